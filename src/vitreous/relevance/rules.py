"""Chefer's rules: how one operation shares the relevance of its result among its operands.

A share gets the operands, the result and the result's relevance R, and gives each operand its part (None for operands
that take none, such as weights). Division is Chefer's: a ⊘ b = a / (b + ε), ε = 1e-9, and 0 where b is 0.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from vitreous.errors import TooFewDigits
from vitreous.relevance.rule import Operation, Share

__all__ = [
    "EPSILON",
    "chosen",
    "convolution",
    "divide",
    "identity",
    "linear_map",
    "linear_z_plus",
    "matmul_z",
    "mean_plus",
    "mean_z",
    "negated",
    "product",
    "residual",
    "sum_z",
    "z_box",
    "z_plus",
    "z_signs",
]

EPSILON = 1e-9
"""The authors' stabilizer."""


def divide(a: Tensor, b: Tensor, epsilon: float = EPSILON) -> Tensor:
    """A ⊘ b: the stabilizer has a sign of its own, as in the authors' code.

    Raises:
        TooFewDigits: b is in half precision, where a sum that nearly cancels keeps no digit and often not its sign.
    """
    if b.dtype in (torch.bfloat16, torch.float16):
        raise TooFewDigits("relevance is divided by sums that nearly cancel", b.dtype)
    shifted = b + epsilon
    if b.is_cpu and (b * shifted).all():  # nearly always; there, choosing costs many times what dividing does
        return a / shifted
    return torch.where(b == 0, 0, a / torch.where(shifted == 0, epsilon, shifted))


def identity(_: Operation, relevance: Tensor) -> tuple[Tensor, ...]:
    """All of R to the first operand: softmax, activations, norms, scaling by a constant."""
    return (relevance,)


def z_plus(step: Operation, relevance: Tensor, epsilon: float = EPSILON) -> tuple[Tensor, None, None]:
    """Linear layers: only products x·w ≥ 0 take part, over one denominator; the bias takes none."""
    (up, up_sum, pull_up), (down, down_sum, pull_down) = _signs(step)
    share = divide(relevance, up_sum + down_sum, epsilon)
    return (up * pull_up(share)[0]).addcmul_(down, pull_down(share)[0]), None, None


def linear_z_plus(step: Operation, relevance: Tensor, epsilon: float = EPSILON) -> tuple[Tensor, None, None]:
    """`z_plus` for `F.linear` in three products in place of four.

    x⁺W⁺ᵀ + x⁻W⁻ᵀ = ½(xWᵀ + |x||W|ᵀ), where the forward pass knows xWᵀ. Where the two cancel, four products.
    """
    x, weight, bias = step.operands
    size, strength = x.abs(), weight.abs()
    most = F.linear(size, strength)
    twice = (step.result if bias is None else step.result - bias) + most
    if not (twice > torch.finfo(x.dtype).eps ** 0.5 * most).all():
        return z_plus(step, relevance, epsilon)
    share = relevance / twice.add_(2 * epsilon)
    return (x * (share @ weight)).addcmul_(size, share @ strength), None, None


def z_signs(step: Operation, relevance: Tensor, epsilon: float = EPSILON) -> tuple[Tensor, None, None]:
    """Linear layers: all of R to the positive inputs and all of it to the negative ones, so R about doubles."""
    parts = [x * pull(divide(relevance, total, epsilon))[0] for x, total, pull in _signs(step)]
    return parts[0] + parts[1], None, None


def convolution(step: Operation, relevance: Tensor, epsilon: float = EPSILON) -> tuple[Tensor, None, None]:
    """`z_box` where the picture is read, up to three channels as in the authors' code; `z_plus` further on."""
    rule = z_box if step.operands[0].shape[1] <= 3 else z_plus
    return rule(step, relevance, epsilon)


def matmul_z(step: Operation, relevance: Tensor, epsilon: float = EPSILON) -> tuple[Tensor, Tensor]:
    """Products of two activations: operand times gradient of R ⊘ result, half to each side."""
    left, right = step.operands
    share = divide(relevance, step.result, epsilon)
    share /= 2
    pull: Any = torch.func.vjp(step.run, left, right)[1]
    to_left, to_right = pull(share)
    return left * to_left, right * to_right


def chosen(step: Operation, relevance: Tensor, epsilon: float = EPSILON) -> tuple[Tensor, None]:
    """The class token passes a stabilized division, as in the authors' `IndexSelect`."""
    tokens, index = step.operands
    whole = torch.zeros_like(tokens)
    whole[index] = step.result * divide(relevance, step.result, epsilon)
    return whole, None


def sum_z(step: Operation, relevance: Tensor, epsilon: float = EPSILON) -> tuple[Tensor | None, ...]:
    """Sums: in proportion to the summands."""
    return _to_operands(step, _parts(step, _cloned(step, relevance, epsilon), epsilon))


def residual(step: Operation, relevance: Tensor, epsilon: float = EPSILON) -> tuple[Tensor | None, ...]:
    """Sums: in proportion to the summands, then scaled so that each side's total is its share of the absolute totals.

    Totals are per image (the authors' code takes them over the batch, which must be one image there).
    """
    relevance = _cloned(step, relevance, epsilon)
    parts = _parts(step, relevance, epsilon)
    totals = [_total(part) for part in parts]
    size = totals[0].abs() + totals[1].abs()
    whole = _total(relevance)
    scaled = [
        part.mul_(divide(divide(total.abs(), size, epsilon) * whole, total, epsilon))
        for part, total in zip(parts, totals, strict=True)
    ]
    return _to_operands(step, scaled)


def negated(step: Operation, relevance: Tensor, *, share: Share, at: int) -> tuple[Tensor | None, ...]:
    """Differences: a rule of sums, where the summand at this place counts as its negative."""
    operands = [-each if place == at else each for place, each in enumerate(step.operands)]
    return share(replace(step, operands=tuple(operands)), relevance)


def product(step: Operation, relevance: Tensor) -> tuple[Tensor | None, ...]:
    """Elementwise products: all to the side that carries relevance, half to each if both do."""
    return tuple(
        (relevance / sum(step.carries)).sum_to_size(operand.shape) if takes else None
        for takes, operand in zip(step.carries, step.operands, strict=True)
    )


def mean_z(step: Operation, relevance: Tensor, epsilon: float = EPSILON) -> tuple[Tensor]:
    """Averages and sums of one operand: in proportion to what they average."""
    (x,) = step.operands
    pull: Any = torch.func.vjp(step.run, x)[1]
    return (x * pull(divide(relevance, step.result, epsilon))[0],)


def mean_plus(step: Operation, relevance: Tensor, epsilon: float = EPSILON) -> tuple[Tensor]:
    """Averages: in proportion to what is positive in what they average."""
    up = step.operands[0].clamp(min=0)
    total, pull = torch.func.vjp(step.run, up)[:2]
    return (up * pull(divide(relevance, total, epsilon))[0],)


def z_box(step: Operation, relevance: Tensor, epsilon: float = EPSILON) -> tuple[Tensor, None, None]:
    """The first convolution, whose input is bounded: by each image's own lowest and highest value; no bias."""
    image, weight, _ = step.operands
    low, high = (
        torch.ones_like(image) * edge(image.flatten(1), 1).view(-1, 1, 1, 1) for edge in (torch.amin, torch.amax)
    )
    terms = ((image, weight, 1), (low, weight.clamp(min=0), -1), (high, weight.clamp(max=0), -1))
    reached = [(x, sign, *linear_map(step, x, kernel)) for x, kernel, sign in terms]
    share = relevance / (sum(sign * total for _, sign, total, _ in reached) + epsilon)
    return sum(sign * x * pull(share)[0] for x, sign, _, pull in reached), None, None  # type: ignore[return-value]


def linear_map(step: Operation, x: Tensor, kernel: Tensor, bias: Tensor | None = None) -> tuple[Tensor, Any]:
    """A linear step on another input, kernel and bias, and its transpose."""
    result: Any = torch.func.vjp(lambda x: step.run(x, kernel, bias), x)
    return result


def _signs(step: Operation) -> list[tuple[Tensor, Tensor, Any]]:
    """The positive and the negative inputs, each with the sum of their products ≥ 0 and its transpose."""
    x, weight, _ = step.operands
    halves = ((x.clamp(min=0), weight.clamp(min=0)), (x.clamp(max=0), weight.clamp(max=0)))
    return [(half, *linear_map(step, half, kernel)) for half, kernel in halves]


def _cloned(step: Operation, relevance: Tensor, epsilon: float) -> Tensor:
    """What comes from several takers of a sum passes their stabilized division first, as in the authors' `Clone`."""
    return step.result * divide(relevance, step.result, epsilon) if step.shared else relevance


def _parts(step: Operation, relevance: Tensor, epsilon: float) -> list[Tensor]:
    summands = torch.broadcast_tensors(*(torch.as_tensor(x).to(relevance) for x in step.operands))
    share = divide(relevance, step.result, epsilon)
    return [summand * share for summand in summands]


def _to_operands(step: Operation, parts: list[Tensor]) -> tuple[Tensor | None, ...]:
    return tuple(
        part.sum_to_size(operand.shape) if isinstance(operand, Tensor) else None
        for part, operand in zip(parts, step.operands, strict=True)
    )


def _total(tensor: Tensor) -> Tensor:
    return tensor.sum(tuple(range(1, tensor.ndim)), keepdim=True)
