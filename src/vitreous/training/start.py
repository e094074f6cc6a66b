"""Trained weights to start from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from timm.models.vision_transformer import VisionTransformer, checkpoint_filter_fn

from vitreous.errors import ModelError
from vitreous.models.card import WEIGHTS
from vitreous.models.checkpoint import read_state
from vitreous.models.loaded import first_sentence

__all__ = ["start_from"]


def start_from(model: Any, path: Path) -> None:
    """Give a model of timm's the weights of another one, all but a head for another number of classes.

    Position embeddings of a ViT, and fields of a WinfT, are resized to the model's grid of patches.

    Args:
        model: changed in place.
        path: a folder that `vitreous train` wrote, or a checkpoint.

    Raises:
        ModelError: there are no weights, or they are of another architecture.
    """
    named, own = model.pretrained_cfg["classifier"], dict(model.named_parameters())
    state: Any = read_state(path / WEIGHTS if path.is_dir() else path)
    if isinstance(model, VisionTransformer):
        state = checkpoint_filter_fn(state, model)
    heads = (named,) if isinstance(named, str) else tuple(named)
    fresh = {name for name in own if name.startswith(heads) and name in state and state[name].shape != own[name].shape}
    try:
        found = model.load_state_dict({name: state[name] for name in state if name not in fresh}, strict=False)
    except RuntimeError as error:
        said = str(error).partition("\n\t")[2] or first_sentence(error)
        raise ModelError(f"`{path}` does not fit: {first_sentence(ValueError(said))}. {_REMEDY}") from None
    missing = [name for name in found.missing_keys if name in own and name not in fresh]
    if wrong := [*found.unexpected_keys, *missing]:
        raise ModelError(f"`{path}` does not fit: `{wrong[0]}` is in one of them alone. {_REMEDY}")


_REMEDY = "Start from weights of the recipe's architecture."
