"""Classifiers of torchvision, with their preprocessing and class names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from vitreous.errors import ModelError, first_sentence
from vitreous.models.checkpoint import count_classes, load_strictly, read_state
from vitreous.models.loaded import LoadedModel, numbered
from vitreous.models.nearest import unknown_model
from vitreous.models.network import not_downloaded
from vitreous.models.preprocess import Preprocess
from vitreous.models.shaped import square_side, within

__all__ = ["load_torchvision"]


def load_torchvision(
    name: str, checkpoint: Path | None = None, settings: Mapping[str, Any] | None = None
) -> LoadedModel:
    """A classifier of torchvision with its default weights, or with those of a checkpoint.

    Args:
        name: as `torchvision.models.get_model` takes it, such as "vit_b_16".
        checkpoint: weights to load instead; the classes, and a square picture of a ViT, are as its tensors say.
        settings: what `torchvision.models.get_model` should take for these weights, such as `image_size`.

    Raises:
        UnknownName: torchvision has no such classifier.
        ModelError: the weights cannot be downloaded or do not fit.
    """
    from torchvision import models

    known = models.list_models(module=models)
    if name not in known:
        raise unknown_model("torchvision model", name, known)
    spec = f"torchvision:{name}"
    weights: Any = models.get_model_weights(name)
    weights = weights.DEFAULT
    preset = weights.transforms()
    preprocess = Preprocess(
        size=(preset.crop_size[0], preset.crop_size[0]),
        resize=(preset.resize_size[0], preset.resize_size[0]),
        interpolation=preset.interpolation.value,
        mean=tuple(preset.mean),
        std=tuple(preset.std),
    )
    class_names = tuple(weights.meta["categories"])
    if checkpoint is None:
        try:
            return LoadedModel(models.get_model(name, weights=weights), preprocess, class_names, spec)
        except OSError:
            instead = f'Connect to the network, or give a local file: "{spec}@weights.pth".'
            raise not_downloaded(spec, instead) from None
    usual = _build(name, {})
    state = within(read_state(checkpoint), usual.state_dict().keys(), checkpoint)
    made = {"num_classes": count_classes(state, checkpoint), **_image_size(usual, state), **(settings or {})}
    model = _build(name, made)
    remedy = f'Give the settings that it was trained with, "{spec}?image_size=384@FILE", or another architecture.'
    load_strictly(model, state, checkpoint, spec, remedy)
    if size := made.get("image_size"):
        edge = round(preprocess.resize[0] * size / preprocess.size[0])
        preprocess = replace(preprocess, size=(size, size), resize=(edge, edge))
    classes: int = made["num_classes"]
    names = class_names if classes == len(class_names) else numbered(classes)
    return LoadedModel(model, preprocess, names, f"{spec}@{checkpoint}", checkpoint)


def _build(name: str, settings: Mapping[str, Any]) -> Any:
    """A model with random weights.

    Raises:
        ModelError: it does not take these settings.
    """
    from torchvision import models

    try:
        return models.get_model(name, weights=None, **settings)
    except Exception as error:  # constructors raise anything
        raise ModelError(
            f"`torchvision:{name}` cannot be built with {dict(settings)}: {first_sentence(error)}. Correct them."
        ) from error


def _image_size(model: Any, state: Mapping[str, Tensor]) -> dict[str, int]:
    """Of a ViT, the size of the picture that its position embeddings lie on, if they lie on a square."""
    positions, patch = state.get("encoder.pos_embedding"), getattr(model, "patch_size", 0)
    side = square_side(positions.shape[1] - 1) if positions is not None and patch else 0
    return {"image_size": side * patch} if side and side * patch != model.image_size else {}
