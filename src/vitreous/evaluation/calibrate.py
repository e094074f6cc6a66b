"""Make a trained classifier's probabilities mean what they say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from vitreous.data.depth import Window
from vitreous.data.labelled import load_split
from vitreous.errors import ModelError
from vitreous.evaluation.evaluate import answers
from vitreous.metrics.classification import fit_temperature
from vitreous.models.card import CARD, WEIGHTS, ModelCard
from vitreous.models.loaded import LoadedModel
from vitreous.models.tensors import read_tensors
from vitreous.models.zoo import PACKAGED

__all__ = ["calibrate"]


def calibrate(model: LoadedModel, data: Path | str, split: str, *, workers: int = 0, window: Window = None) -> float:
    """Divide a model's class scores by the one temperature that fits labelled pictures best, in its own folder.

    The head's weights are divided, so the model is used as before; no decision changes. The card notes the product of
    all temperatures so far, as `temperature`. (Guo et al., On Calibration of Modern Neural Networks, ICML 2017)

    Args:
        model: loaded from a folder that `vitreous train` wrote. What is in memory stays as it is.
        data: what `vitreous train` reads; pictures that the model was not trained on.
        split: which part of it.
        workers: processes that prepare pictures.
        window: of gray pictures of more than 8 bits, as in `open_picture`.

    Returns:
        the temperature: above 1 where the model was too sure.

    Raises:
        ModelError: the model comes from no such folder, or has no linear head.
        UnknownName, DataError: as `evaluate`; or no temperature fits, as where all pictures are right.
    """
    folder = model.weights_file.parent if model.weights_file else None
    if folder is None or folder in PACKAGED.values() or not (folder / CARD).is_file():
        raise ModelError(f"`{model.name}` is no folder of your own that `vitreous train` wrote. Calibrate one that is.")
    head = _linear_head(model.model)
    if head is None:
        raise ModelError(f"`{model.name}` has no linear head whose scores could be divided. Leave it as it is.")
    given = answers(model, load_split(data, split)[0], workers=workers, window=window)
    temperature = fit_temperature(given.logits, given.labels)
    card, state = ModelCard.read(folder), read_tensors(folder / WEIGHTS, "Save the model again.")
    stored = state[f"{head}.weight"].dtype
    scaled = {name: state[name].float() / temperature for name in (f"{head}.weight", f"{head}.bias") if name in state}
    notes = {**card.notes, "temperature": temperature * card.notes.get("temperature", 1.0)}
    replace(card, notes=notes).save(folder, state | scaled, dtype=stored)
    return temperature


def _linear_head(model: Any) -> str | None:
    """The name of the layer that gives the class scores."""
    head = model.get_classifier()
    named = (name for name, module in model.named_modules() if module is head)
    return next(named, None) if isinstance(head, nn.Linear) else None
