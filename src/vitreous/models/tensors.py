"""The door for weights: files that may come from anybody are read without running code or filling the memory."""

from __future__ import annotations

import pickle
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from vitreous.errors import ExplainError, ModelError, first_sentence
from vitreous.files.reading import check_file, check_growth, find_member, is_zip, open_zip

__all__ = ["check_stored", "read_metadata", "read_pickle", "read_tensors"]

_Error = type[ExplainError]
_PACKED = "torch.float4"
"""Types of several numbers in a byte, which torch keeps and does nothing else with."""


def read_tensors(path: Path, remedy: str, error: _Error = ModelError) -> dict[str, Tensor]:
    """The tensors of a safetensors file.

    Raises:
        ModelError: or `error`: there is no such file, it is damaged, or holds several numbers in a byte.
    """
    check_file(path, remedy, error)
    try:
        found = load_file(path)
    except Exception as said:  # of a damaged header, anything
        raise error(f"`{path}` cannot be read: {first_sentence(said)}. {remedy}") from None
    for name, tensor in found.items():
        if str(tensor.dtype).startswith(_PACKED):
            raise error(f"`{name:.80}` in `{path}` is {tensor.dtype}, which torch does not compute with. {remedy}")
    return found


def read_metadata(path: Path, remedy: str, error: _Error = ModelError) -> dict[str, str]:
    """What a safetensors file says beside its tensors.

    Raises:
        ModelError: or `error`: as `read_tensors`.
    """
    check_file(path, remedy, error)
    try:
        with safe_open(path, "pt") as file:
            return file.metadata() or {}
    except Exception as said:  # of a damaged header, anything
        raise error(f"`{path}` cannot be read: {first_sentence(said)}. {remedy}") from None


def read_pickle(path: Path, remedy: str, error: _Error = ModelError, *, device: torch.device | str = "cpu") -> Any:
    """What `torch.save` wrote: tensors and plain values, nothing that runs code.

    Raises:
        ModelError: or `error`: there is no such file, it is damaged, holds Python objects, or grows as it is read.
    """
    check_file(path, remedy, error)
    if is_zip(path):
        with open_zip(path, remedy, error) as archive:
            members = [find_member(archive, name, remedy, error) for name in archive.namelist()]
        unpacked = sum(member.file_size for member in members)
        check_growth(f"`{path}`", sum(member.compress_size for member in members), unpacked, remedy, error)
    try:
        with torch.serialization.safe_globals([Namespace]):
            return torch.load(path, map_location=device, weights_only=True)
    except (pickle.UnpicklingError, EOFError, KeyError):
        raise error(
            f"`{path}` is not opened: it is damaged, or holds Python objects, which can run code. {remedy}"
        ) from None
    except Exception as said:  # of a damaged file, anything
        raise error(f"`{path}` cannot be read: {first_sentence(said)}. {remedy}") from None


def check_stored(state: Mapping[str, Tensor], path: Path, remedy: str, error: _Error = ModelError) -> None:
    """Refuse tensors that say they are larger than what is stored of them.

    Raises:
        ModelError: or `error`.
    """
    for name, tensor in state.items():
        if tensor.is_sparse or tensor.is_quantized or tensor.device.type == "meta":
            raise error(f"`{name}` in `{path}` is no plain tensor. {remedy}")
        if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            raise error(f"`{name}` in `{path}` says {tuple(tensor.shape)}, and fewer numbers are stored. {remedy}")
