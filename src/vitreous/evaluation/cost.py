"""What a model costs: its size, and what a picture takes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from vitreous.models.loaded import LoadedModel
from vitreous.trace.changes import changes
from vitreous.trace.running import run

__all__ = ["Cost", "measure_cost"]


@dataclass(frozen=True)
class Cost:
    """Of one model.

    Attributes:
        parameters: how many numbers it has learned.
        multiply_adds: in the matrix products, convolutions and attentions of one picture, which papers call FLOPs;
            norms, activations and kernels of one's own are not counted.
    """

    parameters: int
    multiply_adds: int


def measure_cost(model: LoadedModel) -> Cost:
    """Count them, in one forward pass of one blank picture.

    Raises:
        ModelError: the model does not say how its pictures are prepared.
    """
    parameter = next(model.model.parameters())
    image = torch.zeros(1, 3, *model.prepared().size, dtype=parameter.dtype, device=parameter.device)
    # fused kernels of attention are not counted everywhere
    with changes() as change, sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        change.evaluate(model.model)
        change.gradients(False)
        run(model.model, image.clone())
    return Cost(sum(each.numel() for each in model.model.parameters()), counter.get_total_flops() // 2)
