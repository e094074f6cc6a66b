"""What the tensors of a checkpoint say of how its model was made: classes, channels, patches, picture, widths."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping
from inspect import signature
from math import isqrt
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from vitreous.errors import ExplainWarning, ModelError
from vitreous.models.checkpoint import count_classes

__all__ = ["settings_of", "square_side", "timm_settings", "within"]


def within(state: Mapping[str, Tensor], names: Collection[str], path: Path) -> dict[str, Tensor]:
    """The part of a state dict that is the model's, whatever the training script called the model.

    Of several, averaged weights come first, as in `read_state`. What lies outside is left, and a warning names it.
    Names of which fewer than half are the model's, and of the model's which fewer than half are there, are another
    library's: they stay as they are.
    """
    found: dict[str, int] = {}
    for key in state:
        parts = key.split(".")
        for at in range(len(parts)):
            if ".".join(parts[at:]) in names:
                prefix = ".".join([*parts[:at], ""])
                found[prefix] = found.get(prefix, 0) + 1
    most = max(found.values(), default=0)
    if 2 * most < min(len(names), len(state)):
        return dict(state)
    best = min((each for each in found if 2 * found[each] > most), key=lambda each: ("ema" not in each, -found[each]))
    own = {key.removeprefix(best): value for key, value in state.items() if key.startswith(best)}
    if left := [key for key in state if not key.startswith(best)]:
        listed = ", ".join(left[:5]) + (f", … ({len(left)} in all)" if len(left) > 5 else "")
        warnings.warn(
            f"`{path}` holds tensors beside the model's, which were left: {listed}.", ExplainWarning, stacklevel=2
        )
    return own


def timm_settings(
    model: Any, state: Mapping[str, Tensor], path: Path, given: Mapping[str, Any], spec: str
) -> dict[str, Any]:
    """Arguments for timm that differ from its own, read off a state dict for an architecture made without any.

    A picture's size is read off the position embeddings only where they lie on a square: others must be given.

    Args:
        model: the architecture.
        state: in its names.
        path: of the state dict, for messages.
        given: arguments, which go before what is read.
        spec: name of the architecture, for messages.

    Raises:
        ModelError: the number of classes is not given, and there is no head; or that of attention heads, and tokens are
            of another width than the architecture's: no tensor tells it.
    """
    own: dict[str, Tensor] = model.state_dict()
    said: dict[str, Any] = {}
    if "num_classes" not in given:
        said["num_classes"] = count_classes(state, path)
    first: Any = model.pretrained_cfg.get("first_conv") or ""
    kernel = state.get(f"{first}.weight") if isinstance(first, str) else None
    usual = own.get(f"{first}.weight")
    if kernel is not None and usual is not None and kernel.ndim == usual.ndim == 4:
        if kernel.shape[1] != usual.shape[1]:
            said["in_chans"] = kernel.shape[1]
        if kernel.shape[2:] != usual.shape[2:] and hasattr(model, "patch_embed"):
            said["patch_size"] = tuple(kernel.shape[2:])
        if kernel.shape[0] != usual.shape[0] == getattr(model, "embed_dim", None):
            said["embed_dim"] = kernel.shape[0]
    said |= {name: value for name, value in _blocks(own, state).items() if name in settings_of(model)}
    _check_heads(model, {**said, **given}, path, spec)
    if "fc_norm.weight" in state and "fc_norm.weight" not in own and "norm.weight" not in state:
        said["global_pool"] = "avg"
    patch: Any = given.get("patch_size") or said.get("patch_size") or _patch(model)
    if patch and "pos_embed" in state and "pos_embed" in own:
        extra = own["pos_embed"].shape[1] - model.patch_embed.num_patches
        side = square_side(state["pos_embed"].shape[1] - extra)
        height, width = (patch, patch) if isinstance(patch, int) else patch
        if side and (side * height, side * width) != tuple(model.patch_embed.img_size):
            said["img_size"] = (side * height, side * width)
    return {name: value for name, value in said.items() if name not in given}


def settings_of(model: nn.Module) -> list[str]:
    """The arguments that its class takes."""
    return [*signature(type(model)).parameters]


def _blocks(own: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> dict[str, Any]:
    """How many blocks there are, and how wide the hidden layer of their MLPs is, where that differs."""
    usual, there = ({key.split(".")[1] for key in each if key.startswith("blocks.")} for each in (own, state))
    said: dict[str, Any] = {"depth": len(there)} if there and usual and len(there) != len(usual) else {}
    shapes = [tuple(each[first].shape) for each in (own, state) if (first := "blocks.0.mlp.fc1.weight") in each]
    if len(shapes) == 2 and all(len(shape) == 2 for shape in shapes):
        before, ratio = (hidden / width for hidden, width in shapes)
        if ratio != before:
            said["mlp_ratio"] = ratio
    return said


def _check_heads(model: Any, settings: Mapping[str, Any], path: Path, spec: str) -> None:
    """Refuse to guess the number of heads: any that divides the width loads, and all but one give wrong answers."""
    usual, width = getattr(model, "embed_dim", None), settings.get("embed_dim")
    if width in (None, usual) or "num_heads" in settings or "num_heads" not in settings_of(model):
        return
    raise ModelError(
        f"`{path}` holds tokens of {width} numbers, those of `{spec}` have {usual}, and no tensor tells how many "
        f'attention heads share them. Give the number that it was trained with, "{spec}?num_heads=N@FILE" (in Python '
        'settings={"num_heads": N}), or the architecture that it was trained as.'
    )


def square_side(patches: int) -> int:
    """The side of a square of so many patches; 0 if they are none.

    >>> square_side(196), square_side(200)
    (14, 0)
    """
    side = isqrt(max(patches, 0))
    return side if side * side == patches else 0


def _patch(model: nn.Module) -> tuple[int, int] | None:
    """The size of a patch, where position embeddings lie on a fixed grid of them."""
    embedding: Any = getattr(model, "patch_embed", None)
    return embedding.patch_size if getattr(embedding, "img_size", None) and hasattr(embedding, "patch_size") else None
