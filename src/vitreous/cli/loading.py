"""The model that a command names, loaded while the terminal says so."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vitreous.cli.console import Console
    from vitreous.cli.options import Precision
    from vitreous.models.loaded import LoadedModel

__all__ = ["loading"]


def loading(
    console: Console,
    models: list[str],
    how: Mapping[str, Any],
    *,
    checkpoint: Path | None,
    device: str,
    dtype: Precision,
) -> list[LoadedModel]:
    """Load the models that were named, each on the device and in the precision that were asked for.

    Raises:
        ExplainError: as `find_device` and `load`.
    """
    import torch

    from vitreous.models.device import find_device
    from vitreous.models.zoo import load

    with console.status("Loading the model …"):
        where, precision = find_device(device), getattr(torch, dtype.value)
        return [load(model, checkpoint=checkpoint, device=where, dtype=precision, **how) for model in models]
