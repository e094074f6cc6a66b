"""Trained weights to start from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from timm.models.vision_transformer import VisionTransformer, checkpoint_filter_fn
from torch import Tensor

from vitreous.errors import DataError, ModelError, first_sentence
from vitreous.models.card import CARD, WEIGHTS, ModelCard
from vitreous.models.checkpoint import read_state
from vitreous.models.preprocess import Preprocess
from vitreous.models.zoo import PACKAGED, load
from vitreous.training.recipe import Recipe

__all__ = ["Start", "completed", "read_start", "start_from"]


@dataclass(frozen=True)
class Start:
    """Trained weights and, where they say so, what they are of.

    Attributes:
        name: where they come from.
        state: the weights.
        architecture: in timm's registry; empty where it is not known.
        arguments: that it was built with.
        preprocess: how its pictures are prepared.
    """

    name: str
    state: Mapping[str, Tensor]
    architecture: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    preprocess: Preprocess | None = None


def read_start(place: str | Path) -> Start:
    """Trained weights.

    Args:
        place: a folder that `vitreous train` wrote; a checkpoint; a model that comes along, such as "default"; or a
            model of timm's, "timm:NAME" with its published weights, "timm:NAME@FILE" with those of a file.

    Raises:
        ModelError: there are none, or they cannot be downloaded or read.
        UnknownName: timm has no such model.
    """
    if str(place).startswith("timm:"):
        loaded: Any = load(str(place))
        architecture = loaded.model.pretrained_cfg["architecture"]
        return Start(str(place), loaded.model.state_dict(), architecture, preprocess=loaded.preprocess)
    path = PACKAGED.get(place, Path(place)) if isinstance(place, str) else place
    if not (path / CARD).is_file():
        return Start(str(path), read_state(path / WEIGHTS if path.is_dir() else path))
    card = ModelCard.read(path)
    return Start(str(place), read_state(path / WEIGHTS), card.architecture, card.arguments, card.preprocess)


def completed(recipe: Recipe, start: Start | None) -> Recipe:
    """The recipe with the start's architecture and preparation of pictures, where it names no architecture itself.

    Raises:
        DataError: it names none, and the start does not either.
    """
    if recipe.architecture:
        return recipe
    if start is None or not start.architecture or start.preprocess is None:
        given = "nothing to start from is given" if start is None else f"`{start.name}` does not say what it is"
        raise DataError(
            f"the recipe names no architecture, and {given}. Start from a model that does, such as "
            "--start timm:NAME, --start timm:NAME@FILE, or a folder that `vitreous train` wrote."
        )
    seen = start.preprocess
    return replace(
        recipe,
        architecture=start.architecture,
        arguments={**start.arguments, **recipe.arguments},
        image_size=recipe.image_size or seen.size[0],
        crop_pct=min(1.0, seen.size[0] / seen.resize[0]),
        mean=seen.mean,
        std=seen.std,
    )


def start_from(model: Any, start: Start) -> str:
    """Give a model of timm's the weights of another one, all but a head for other classes.

    Position embeddings of a ViT, and fields of a WinfT, are resized to the model's grid of patches.

    Args:
        model: changed in place.
        start: the weights.

    Returns:
        what was not taken over, in a sentence; empty where everything was.

    Raises:
        ModelError: the weights are of another architecture.
    """
    named, own = model.pretrained_cfg["classifier"], dict(model.named_parameters())
    state: Any = dict(start.state)
    if isinstance(model, VisionTransformer):
        state = checkpoint_filter_fn(state, model)
    heads = (named,) if isinstance(named, str) else tuple(named)
    fresh = {name for name in own if name.startswith(heads) and name in state and state[name].shape != own[name].shape}
    try:
        found = model.load_state_dict({name: state[name] for name in state if name not in fresh}, strict=False)
    except RuntimeError as error:
        said = str(error).partition("\n\t")[2] or first_sentence(error)
        raise ModelError(f"`{start.name}` does not fit: {first_sentence(ValueError(said))}. {_REMEDY}") from None
    missing = [name for name in found.missing_keys if name in own and name not in fresh]
    if wrong := [*found.unexpected_keys, *missing]:
        raise ModelError(f"`{start.name}` does not fit: `{wrong[0]}` is in one of them alone. {_REMEDY}")
    return _said(start.name, state, own, sorted(fresh))


def _said(name: str, state: Mapping[str, Tensor], own: Mapping[str, Tensor], fresh: list[str]) -> str:
    if not fresh:
        return ""
    theirs, ours = len(state[fresh[0]]), len(own[fresh[0]])
    return f"The head of {name}, for {theirs} classes, gives place to a new one for {ours}."


_REMEDY = "Start from weights of the recipe's architecture."
