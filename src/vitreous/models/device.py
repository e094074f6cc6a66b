"""Where to compute."""

from __future__ import annotations

import torch

from vitreous.errors import ModelError

__all__ = ["choose_device", "find_device"]


def find_device(name: str | torch.device, *, float64: bool = True) -> torch.device:
    """The device of that name; "auto" is a GPU where there is one that can do the work.

    Args:
        name: "cpu", "cuda", "cuda:1", "mps" …, or "auto".
        float64: whether something is computed in double precision, as all explanations are in part.

    Raises:
        ModelError: it does not exist here.

    >>> find_device("cpu")
    device(type='cpu')
    """
    if name == "auto":
        name = choose_device(torch.cuda.is_available(), torch.backends.mps.is_available(), float64)
    try:
        blank = torch.zeros(1, device=name)
        blank.item()  # which some devices, such as "meta", cannot
        return blank.device
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0][:200].rstrip(".:")
        raise ModelError(f'device "{name:.80}" cannot be used: {reason}. Use "cpu".') from None


def choose_device(cuda: bool, mps: bool, float64: bool) -> str:
    """The fastest of those that there are; that of a Mac computes nothing in double precision.

    >>> choose_device(cuda=False, mps=True, float64=False)
    'mps'
    >>> choose_device(cuda=False, mps=True, float64=True)
    'cpu'
    """
    return "cuda" if cuda else "mps" if mps and not float64 else "cpu"
