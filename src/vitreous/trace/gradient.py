"""Gradients of what is explained."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.utils.checkpoint import CheckpointError

from vitreous.errors import ObservationError
from vitreous.shapes import Logits

__all__ = ["gradients", "on_graph", "ordinary"]


def gradients(logits: Logits, direction: Logits, inputs: Sequence[Tensor], model: str) -> list[Tensor]:
    """∂⟨direction, logits⟩/∂input for each input, zero where there is no path. Leaves no `.grad` behind.

    Raises:
        ObservationError: the model recomputes its activations (gradient checkpointing).
    """
    with torch.inference_mode(False), torch.enable_grad():
        value = (logits * ordinary(direction)).sum()
        try:
            return list(torch.autograd.grad(value, inputs, retain_graph=True, materialize_grads=True))
        except CheckpointError:
            raise ObservationError(
                f"`{model}` recomputes its activations in the backward pass (gradient checkpointing). "
                "Switch that off to explain, for timm: model.set_grad_checkpointing(False)."
            ) from None


def ordinary(tensor: Tensor) -> Tensor:
    """The tensor, or a copy that autograd accepts if it was made in inference mode."""
    return tensor.clone() if tensor.is_inference() else tensor


def on_graph(tensor: Tensor) -> Tensor:
    """Make sure that gradients can be asked for from here on, also where all parameters are frozen."""
    return tensor if tensor.requires_grad else tensor.requires_grad_()
