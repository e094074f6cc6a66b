"""Gradients of what is explained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import CheckpointError

from vitreous.errors import ExplainError, ObservationError, told
from vitreous.shapes import Logits

__all__ = ["gradients", "on_graph", "outside_inference"]


def gradients(
    logits: Logits, direction: Logits, inputs: Sequence[Tensor], model: str, *, reached: bool = False
) -> list[Tensor]:
    """∂⟨direction, logits⟩/∂input for each input, zero where there is no path. Leaves no `.grad` behind.

    Args:
        logits: on the autograd graph.
        direction: of the class scores.
        inputs: what to differentiate in.
        model: its name, for messages.
        reached: refuse where there is a path to none of them.

    Raises:
        ObservationError: the model recomputes its activations (gradient checkpointing), lets no gradient through, or
            fails on the way back.
    """
    with torch.inference_mode(False), torch.enable_grad():
        value = (outside_inference(logits) * outside_inference(direction)).sum()
        if not value.requires_grad:
            raise _ended(model)
        try:
            found: Any = torch.autograd.grad(value, inputs, retain_graph=True, allow_unused=True)
        except CheckpointError:
            raise ObservationError(
                f"`{model}` recomputes its activations in the backward pass (gradient checkpointing). "
                "Switch that off to explain, for timm: model.set_grad_checkpointing(False)."
            ) from None
        except (ExplainError, torch.OutOfMemoryError):
            raise
        except Exception as error:  # functions of the model's own raise anything
            raise ObservationError(
                f"no gradient comes back through `{model}`: {told(error)}. Use a method that needs none, such as "
                "`rise`; `vitreous --debug` shows where it failed."
            ) from error
        if reached and all(each is None for each in found):
            raise _ended(model)
        return [torch.zeros_like(at) if each is None else each for at, each in zip(inputs, found, strict=True)]


def _ended(model: str) -> ObservationError:
    return ObservationError(
        f"no gradient reaches the class scores of `{model}`: its forward ends it, as torch.no_grad(), .detach() and "
        "numpy do. Run it without these, or use a method that needs none, such as `rise`."
    )


def outside_inference(tensor: Tensor) -> Tensor:
    """The tensor, or a copy that autograd accepts if it was made in inference mode."""
    return tensor.clone() if tensor.is_inference() else tensor


def on_graph(tensor: Tensor) -> Tensor:
    """Make sure that gradients can be asked for from here on, also where all parameters are frozen."""
    return tensor if tensor.requires_grad else tensor.requires_grad_()
