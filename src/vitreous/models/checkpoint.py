"""Weights in a file of any training script: read without running code, unwrapped, loaded strictly."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from vitreous.errors import ModelError
from vitreous.files.reading import check_file
from vitreous.models.tensors import check_stored, read_pickle, read_tensors
from vitreous.shapes import MOST_CLASSES

__all__ = ["count_classes", "load_strictly", "misfit", "read_state"]

_NESTS = ("state_dict_ema", "model_ema", "ema", "state_dict", "model_state_dict", "model")  # averaged weights first
_PREFIXES = ("module.", "_orig_mod.", "model.", "net.")
_COUNTER = ".num_batches_tracked"
_DEPTH = 8
_AGAIN = "Copy or save it again."
_HEAD = re.compile(r"(heads?|fc|classifier|last_linear)(\.(head|fc\d*|l|linear|\d+))*\.weight")


def read_state(path: Path) -> dict[str, Tensor]:
    """The state dict in a `.safetensors` file or a pickle of torch, which may hold tensors and plain values only.

    What training scripts wrap around it is taken off: an outer dictionary (its averaged weights are preferred, as in
    timm), and the prefixes of DistributedDataParallel, `torch.compile` and Lightning.

    Raises:
        ModelError: there is no such file, or no state dict in it.
    """
    check_file(path, "Check the path of the checkpoint.", ModelError)
    safe = path.suffix == ".safetensors"
    content = read_tensors(path, _AGAIN) if safe else read_pickle(path, "Save model.state_dict() alone.")
    state = _unwrapped(content)
    state.pop("n_averaged", None)
    if not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise ModelError(f"`{path}` holds no state dict. Save one with torch.save(model.state_dict(), …).")
    check_stored(state, path, _AGAIN)
    while stripped := [prefix for prefix in _PREFIXES if all(key.startswith(prefix) for key in state)]:
        state = {key.removeprefix(stripped[0]): value for key, value in state.items()}
    return state


def count_classes(state: Mapping[str, Tensor], path: Path) -> int:
    """How many classes the head in a state dict tells apart.

    Raises:
        ModelError: there is no head, or one of more classes than anybody tells apart.
    """
    heads = [key for key, value in state.items() if _HEAD.fullmatch(key) and value.ndim > 1]
    if not heads:
        raise ModelError(
            f"`{path}` holds no classifier head. Give a checkpoint of a trained classifier, or num_classes=0 for none."
        )
    head = state[max(heads, key=lambda key: [int(digits) for digits in re.findall(r"\d{1,9}", key)])]
    if len(head) > MOST_CLASSES:
        raise ModelError(f"`{path}` tells {len(head):,} classes apart, more than {MOST_CLASSES:,}. {_AGAIN}")
    return len(head)


def load_strictly(
    model: nn.Module, state: Mapping[str, Tensor], path: Path, spec: str, remedy: str = "Give weights of this model."
) -> None:
    """Put a state dict into a model.

    Raises:
        ModelError: a name or a shape differs; `remedy` is what to do then.
    """
    if said := misfit(model.state_dict(), state):
        raise ModelError(f"`{path}` does not fit `{spec}`: {said}. {remedy}")
    model.load_state_dict(state, strict=False)  # but for counters, nothing is missing


def misfit(wanted: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> str:
    """What keeps a state dict from fitting, in words; empty when it fits.

    How many batches a norm was trained on may be missing: only training reads it, and old files and converters leave it
    out.
    """
    missing = [name for name in wanted if name not in state and not name.endswith(_COUNTER)]
    unexpected = [name for name in state if name not in wanted]
    reshaped = [
        f"{name} is {tuple(value.shape)}, not {tuple(wanted[name].shape)}"
        for name, value in state.items()
        if name in wanted and value.shape != wanted[name].shape
    ]
    return "; ".join(filter(None, (_some("missing", missing), _some("unexpected", unexpected), _some("", reshaped))))


def _some(what: str, names: Sequence[str], shown: int = 3) -> str:
    listed = ", ".join(names[:shown]) + (f", … ({len(names)} in all)" if len(names) > shown else "")
    return f"{what} {listed}".strip() if names else ""


def _unwrapped(content: Any) -> dict[str, Any]:
    for _ in range(_DEPTH):
        if not isinstance(content, Mapping):
            return {}
        inner = next((content[nest] for nest in _NESTS if isinstance(content.get(nest), Mapping)), None)
        if inner is None:
            return {str(key): value for key, value in content.items()}
        content = inner
    return {}
