"""Where to compute."""

from __future__ import annotations

import torch

from vitreous.errors import ModelError

__all__ = ["find_device"]


def find_device(name: str | torch.device) -> torch.device:
    """The device of that name; "auto" is a GPU where there is one.

    Raises:
        ModelError: it does not exist here.

    >>> find_device("cpu")
    device(type='cpu')
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        blank = torch.zeros(1, device=name)
        blank.item()  # which some devices, such as "meta", cannot
        return blank.device
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0].rstrip(".:")
        raise ModelError(f'device "{name}" cannot be used: {reason}. Use "cpu".') from None
