"""Weights in a file of any training script: read without running code, unwrapped, loaded strictly."""

from __future__ import annotations

import pickle
import re
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from vitreous.errors import ModelError
from vitreous.models.loaded import first_sentence

__all__ = ["count_classes", "load_strictly", "misfit", "read_state"]

_NESTS = ("state_dict_ema", "model_ema", "ema", "state_dict", "model_state_dict", "model")  # averaged weights first
_PREFIXES = ("module.", "_orig_mod.", "model.", "net.")
_HEAD = re.compile(r"(heads?|fc|classifier|last_linear)(\.(head|fc\d*|l|linear|\d+))*\.weight")


def read_state(path: Path) -> dict[str, Tensor]:
    """The state dict in a `.safetensors` file or a pickle of torch, which may hold tensors and plain values only.

    What training scripts wrap around it is taken off: an outer dictionary (its averaged weights are preferred, as in
    timm), and the prefixes of DistributedDataParallel, `torch.compile` and Lightning.

    Raises:
        ModelError: there is no such file, or no state dict in it.
    """
    if not path.is_file():
        raise ModelError(f"there is no file `{path}`. Check the path of the checkpoint.")
    state = _unwrapped(_read(path))
    if not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise ModelError(f"`{path}` holds no state dict. Save one with torch.save(model.state_dict(), …).")
    state.pop("n_averaged", None)
    while stripped := [prefix for prefix in _PREFIXES if all(key.startswith(prefix) for key in state)]:
        state = {key.removeprefix(stripped[0]): value for key, value in state.items()}
    return state


def count_classes(state: Mapping[str, Tensor], path: Path) -> int:
    """How many classes the head in a state dict tells apart.

    Raises:
        ModelError: there is no head.
    """
    heads = [key for key, value in state.items() if _HEAD.fullmatch(key) and value.ndim > 1]
    if not heads:
        raise ModelError(
            f"`{path}` holds no classifier head. Give a checkpoint of a trained classifier, or num_classes=0 for none."
        )
    return len(state[max(heads, key=lambda key: [int(digits) for digits in re.findall(r"\d+", key)])])


def load_strictly(
    model: nn.Module, state: Mapping[str, Tensor], path: Path, spec: str, remedy: str = "Give weights of this model."
) -> None:
    """Put a state dict into a model.

    Raises:
        ModelError: a name or a shape differs; `remedy` is what to do then.
    """
    if said := misfit(model.state_dict(), state):
        raise ModelError(f"`{path}` does not fit `{spec}`: {said}. {remedy}")
    model.load_state_dict(state)


def misfit(wanted: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> str:
    """What keeps a state dict from fitting, in words; empty when it fits."""
    missing = [name for name in wanted if name not in state]
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


def _read(path: Path) -> Any:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with torch.serialization.safe_globals([Namespace]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, EOFError, KeyError):
        raise ModelError(
            f"`{path}` is not opened: it is damaged, or holds Python objects, which can run code. "
            "Save model.state_dict() alone."
        ) from None
    except (SafetensorError, OSError, RuntimeError, ValueError) as error:
        raise ModelError(f"`{path}` cannot be read: {first_sentence(error)}. Copy or save it again.") from None


def _unwrapped(content: Any) -> dict[str, Any]:
    if not isinstance(content, Mapping):
        return {}
    inner = next((content[nest] for nest in _NESTS if isinstance(content.get(nest), Mapping)), None)
    return {str(key): value for key, value in content.items()} if inner is None else _unwrapped(inner)
