"""A linear classifier on a frozen model's features."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

__all__ = ["fit_probe"]

_RIDGE = 1e-3
"""Weight of the squared norm of the map beside the mean cross-entropy, for features of unit spread."""


@torch.enable_grad()
def fit_probe(probe: nn.Linear, features: Float[Tensor, "pictures features"], labels: Int[Tensor, " pictures"]) -> None:
    """Give the map the weights of a logistic regression on features of unit spread, fitted by L-BFGS; seconds."""
    std, mean = torch.std_mean(features.double(), 0, correction=0)
    std = std.clamp_min(1e-6)
    unit = (features - mean) / std
    weight = torch.zeros(probe.out_features, probe.in_features, dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(probe.out_features, dtype=torch.float64, requires_grad=True)
    solver = torch.optim.LBFGS([weight, bias], max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        solver.zero_grad()
        loss = F.cross_entropy(unit @ weight.T + bias, labels) + _RIDGE * weight.square().sum()
        loss.backward()
        return loss

    solver.step(closure)
    with torch.no_grad():
        probe.weight.copy_(weight / std)
        probe.bias.copy_(bias - (weight / std) @ mean)
