"""Rules in the algebra of gradients: relevance is input × gradient, so a share passes on the result's gradient.

With y = x·s and the factor s held constant, an operand's gradient is the result's times s, and Σ x·∂x = Σ y·∂y.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from vitreous.errors import RuleError
from vitreous.relevance.rule import Operation
from vitreous.relevance.rules import linear_map

__all__ = [
    "frozen_group_norm",
    "frozen_layer_norm",
    "frozen_rms_norm",
    "gamma",
    "logarithm",
    "numerator",
    "ratio",
    "unreached",
]


def ratio(step: Operation, gradient: Tensor) -> tuple[Tensor]:
    """Activations, y = x·sg(f(x)/x); nothing where x is 0."""
    (x,) = step.operands
    return (gradient * torch.where(x == 0, 0, step.result / x),)


def frozen_layer_norm(step: Operation, gradient: Tensor) -> tuple[Tensor]:
    """Layer normalization with its variance held constant."""
    x, shape, weight, _, epsilon = step.operands
    dims = tuple(range(-len(shape), 0))
    variance = x.var(dims, correction=0, keepdim=True) + (1e-5 if epsilon is None else epsilon)
    scaled = gradient * variance.rsqrt() if weight is None else gradient * weight * variance.rsqrt()
    return (scaled - scaled.mean(dims, keepdim=True),)


def frozen_group_norm(step: Operation, gradient: Tensor) -> tuple[Tensor]:
    """Group normalization with its variance held constant."""
    x, groups, weight, _, epsilon = step.operands
    groups_of = partial(Tensor.unflatten, dim=1, sizes=(groups, -1))
    dims = tuple(range(2, x.ndim + 1))
    variance = groups_of(x).var(dims, correction=0, keepdim=True) + (1e-5 if epsilon is None else epsilon)
    scaled = gradient if weight is None else gradient * weight.view(-1, *(1,) * (x.ndim - 2))
    scaled = groups_of(scaled) * variance.rsqrt()
    return ((scaled - scaled.mean(dims, keepdim=True)).flatten(1, 2),)


def frozen_rms_norm(step: Operation, gradient: Tensor) -> tuple[Tensor]:
    """Root-mean-square normalization with its mean square held constant."""
    x, shape, weight, epsilon = step.operands
    dims = tuple(range(-len(shape), 0))
    square = x.square().mean(dims, keepdim=True) + (torch.finfo(x.dtype).eps if epsilon is None else epsilon)
    return (gradient * square.rsqrt() if weight is None else gradient * weight * square.rsqrt(),)


def numerator(step: Operation, gradient: Tensor) -> tuple[Tensor, None]:
    """Quotients: the denominator, by which a norm written out divides, is held constant."""
    x, by = step.operands
    return (gradient / by).sum_to_size(x.shape), None


def unreached(_: Operation, gradient: Tensor) -> tuple[Tensor]:
    """Squares, which a norm written out averages and takes the root of: the root is a constant, so nothing comes back.

    Raises:
        RuleError: something does.
    """
    raise RuleError(
        f"relevance {tuple(gradient.shape)} reached a power or square outside of a normalization, which has no rule. "
        "Write the activation with a function of torch, such as `F.gelu`."
    )


def logarithm(_: Operation, gradient: Tensor) -> tuple[Tensor]:
    """The logarithm of a softmax or sigmoid, where a model ends: its class scores are what goes in.

    Raises:
        RuleError: something comes back through it all the same.
    """
    raise RuleError(
        f"relevance {tuple(gradient.shape)} reached the logarithm of a softmax or sigmoid that the model does not end "
        "in, which has no rule. Let the model return what goes into it."
    )


def gamma(step: Operation, gradient: Tensor, gamma: float) -> tuple[Tensor, None, None]:
    """Linear layers and convolutions: contributions of the result's own sign count 1 + γ times.

    z_ij + γ·z_ij^± over its sum with the bias, ± the sign of the result. The sum is at least as large as the result,
    so no stabilizer is needed. γ = 0 is the autograd_rule gradient.
    """
    x, weight, bias = step.operands
    up, down = x.clamp(min=0), x.clamp(max=0)
    more, less = weight + gamma * weight.clamp(min=0), weight + gamma * weight.clamp(max=0)
    for_more, pull_up_more = linear_map(step, up, more, None if bias is None else bias + gamma * bias.clamp(min=0))
    for_less, pull_down_less = linear_map(step, down, less)
    against_less, pull_up_less = linear_map(step, up, less, None if bias is None else bias + gamma * bias.clamp(max=0))
    against_more, pull_down_more = linear_map(step, down, more)
    weighed = gradient * step.result
    above = torch.where(step.result > 0, weighed / (for_more + for_less), 0)
    below = torch.where(step.result < 0, weighed / (against_less + against_more), 0)
    of_up = pull_up_more(above)[0] + pull_up_less(below)[0]
    of_down = pull_down_less(above)[0] + pull_down_more(below)[0]
    return torch.where(x > 0, of_up, of_down), None, None
