"""Tables from operations to rules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from vitreous.relevance.gradient_rules import (
    frozen_group_norm,
    frozen_layer_norm,
    frozen_rms_norm,
    gamma,
    logarithm,
    numerator,
    ratio,
    unreached,
)
from vitreous.relevance.rule import (
    Backward,
    Composite,
    Factors,
    Rule,
    Share,
    autograd_rule,
    constant_rule,
    uniform_rule,
)
from vitreous.relevance.rules import (
    EPSILON,
    chosen,
    convolution,
    identity,
    linear_z_plus,
    matmul_z,
    mean_plus,
    mean_z,
    negated,
    product,
    residual,
    sum_z,
    z_plus,
    z_signs,
)

__all__ = [
    "ATTN_LRP",
    "CHEFER",
    "CONVOLUTION",
    "CP_LRP",
    "DECOMPX",
    "LIBRA_GRAD",
    "RELEVANCE_CAM",
    "RuleSet",
    "chefer",
    "with_gamma",
]

RuleSet = Literal["ours", "orig"]
"""Chefer's two sets of rules, by the names of the authors' models."""

_LINEAR = (F.linear,)
CONVOLUTION = (F.conv2d, torch.conv2d)
"""Operations that convolve pictures."""
_MATMUL = (torch.matmul, Tensor.matmul, Tensor.__matmul__, torch.einsum)
"""The products that `forms.py` writes all others as."""
_SUM = (torch.add, Tensor.add, Tensor.__add__, Tensor.__radd__, Tensor.add_, Tensor.__iadd__)
_DIFFERENCE = (torch.sub, Tensor.sub, Tensor.__sub__, Tensor.sub_, Tensor.__isub__)
_REVERSED = (torch.rsub, Tensor.__rsub__)
_PRODUCT = (torch.mul, Tensor.mul, Tensor.__mul__, Tensor.__rmul__)
_QUOTIENT = (torch.div, Tensor.div, Tensor.__truediv__)
_SOFTMAX = (F.softmax, torch.softmax, Tensor.softmax)
_LOGARITHM = (F.log_softmax, torch.log_softmax, Tensor.log_softmax, F.logsigmoid)
_SIGMOID = (F.sigmoid, torch.sigmoid, Tensor.sigmoid, F.hardsigmoid)
# f(0) = 0, so that f(x) / x is a factor
_ACTIVATION = (
    *(F.gelu, F.relu, F.relu6, F.hardtanh, F.silu, F.leaky_relu, F.elu, F.mish, F.hardswish),
    *(torch.relu, Tensor.relu, F.tanh, torch.tanh, Tensor.tanh),
)
_LAYER_NORM = (F.layer_norm, torch.layer_norm)
_GROUP_NORM = (F.group_norm, torch.group_norm)
_RMS_NORM = (F.rms_norm, torch.rms_norm)
_MEAN = (torch.mean, Tensor.mean, torch.sum, Tensor.sum, F.adaptive_avg_pool1d, F.adaptive_avg_pool2d)
_BATCH_NORM = (F.batch_norm, torch.batch_norm)
# which of its numbers a maximum takes, and how an enlarged map mixes, is the picture's; the weights are fixed
_POOL = (
    *(F.max_pool2d, torch.max_pool2d, F.adaptive_max_pool2d, F.avg_pool2d, F.interpolate),
    *(F.max_pool1d, torch.max_pool1d, F.avg_pool1d, torch.avg_pool1d),
)
_NEGATIVE = (torch.neg, Tensor.neg, Tensor.__neg__)
# what a norm that is written out divides by
_ROOT = (
    *(torch.sqrt, Tensor.sqrt, torch.rsqrt, Tensor.rsqrt, torch.std, Tensor.std, torch.var, Tensor.var),
    *(torch.norm, Tensor.norm, torch.linalg.norm, torch.linalg.vector_norm),
)
_SQUARE = (torch.pow, Tensor.pow, Tensor.__pow__, torch.square, Tensor.square)


def _all(operations: tuple[Callable[..., Any], ...], backward: Backward) -> Composite:
    return dict.fromkeys(operations, backward)


def _sums(share: Share) -> Composite:
    """A rule of sums, for differences too."""
    sides = "input", "other"
    return {
        **_all(_SUM, Rule(sides, share)),
        **_all(_DIFFERENCE, Rule(sides, partial(negated, share=share, at=1))),
        **_all(_REVERSED, Rule(sides, partial(negated, share=share, at=0))),
    }


def chefer(rules: RuleSet = "ours", epsilon: float = EPSILON) -> Composite:
    """Chefer, Gur & Wolf, CVPR 2021, as their code has it (α = 1).

    Args:
        rules: "ours", their `layers_ours`, conserves relevance; "orig", their `layers_lrp`, gives all of it to the
            positive and all of it to the negative inputs of a linear layer, and does not scale the sides of a sum.
        epsilon: the stabilizer of every division.

    Convolutional networks have the rules of the same code, which its transformers do not run: a batch norm, in
    evaluation mode a scale and a shift of each channel, passes R on, as its shift takes none like any bias; averages
    and maxima share R in proportion to what they take. A difference is a sum, one side negated (ours). Where all
    scales are positive, this is what folding the norms into the convolutions gives; a negative one turns which
    products of its convolution count as positive.
    """

    def rule(names: str, share: Callable[..., Any]) -> Rule:
        return Rule(tuple(names.split()), share if share in (identity, product) else partial(share, epsilon=epsilon))

    return {
        **dict.fromkeys(_LINEAR, rule("input weight bias", linear_z_plus if rules == "ours" else z_signs)),
        **dict.fromkeys(CONVOLUTION, rule("input weight bias", convolution)),
        **dict.fromkeys(_MATMUL, Factors(("input", "other"), partial(matmul_z, epsilon=epsilon))),
        **_sums(partial(residual if rules == "ours" else sum_z, epsilon=epsilon)),
        **dict.fromkeys(_PRODUCT, rule("input other", product)),
        **dict.fromkeys((*_QUOTIENT, *_SOFTMAX, *_ACTIVATION, *_SIGMOID, *_NEGATIVE), rule("input", identity)),
        **dict.fromkeys((*_LAYER_NORM, *_GROUP_NORM, *_RMS_NORM, F.normalize), rule("input", identity)),
        **dict.fromkeys(_BATCH_NORM, rule("input", identity)),
        **dict.fromkeys((*_MEAN, *_POOL), rule("input", mean_z)),
        **dict.fromkeys(_LOGARITHM, Rule(("input",), logarithm)),
        Tensor.__getitem__: replace(rule("input index", chosen), applies=_takes_a_token),
    }


def _takes_a_token(_: Tensor, index: object) -> bool:
    return isinstance(index, tuple) and len(index) == 2 and index[0] == slice(None) and isinstance(index[1], int)


CHEFER = chefer()
"""The rules of their `layers_ours`."""


_RATIO, _NUMERATOR = Rule(("input",), ratio), Rule(("input", "other"), numerator)
_FROZEN_LAYER_NORM = Rule(("input", "normalized_shape", "weight", "bias", "eps"), frozen_layer_norm)
_FROZEN_GROUP_NORM = Rule(("input", "num_groups", "weight", "bias", "eps"), frozen_group_norm)
_FROZEN_RMS_NORM = Rule(("input", "normalized_shape", "weight", "eps"), frozen_rms_norm)

CP_LRP: Composite = {
    **_all((*_LINEAR, *CONVOLUTION, *_MATMUL, *_SUM, *_DIFFERENCE, *_REVERSED, *_MEAN, *_NEGATIVE), autograd_rule),
    **_all((*_BATCH_NORM, *_POOL, *_PRODUCT, *_ACTIVATION, *_SIGMOID), autograd_rule),
    **_all(_SOFTMAX, constant_rule),
    **_all(_LAYER_NORM, _FROZEN_LAYER_NORM),
    **_all(_GROUP_NORM, _FROZEN_GROUP_NORM),
    **_all(_RMS_NORM, _FROZEN_RMS_NORM),
    **_all((F.normalize,), _RATIO),
    **_all(_QUOTIENT, _NUMERATOR),
    **_all(_ROOT, constant_rule),
    **_all(_SQUARE, Rule(("input",), unreached)),
    **_all(_LOGARITHM, Rule(("input",), logarithm)),
}
"""Ali et al., ICML 2022: attention weights and the variance of norms are constants; the rest is the gradient."""

# a sigmoid is the factor of its activation, x·sg(σ(x)), or a gate
DECOMPX: Composite = {**CP_LRP, **_all(_ACTIVATION, _RATIO), **_all(_SIGMOID, constant_rule)}
"""Modarressi et al., ACL 2023: and activations are x·sg(f(x)/x)."""

LIBRA_GRAD: Composite = {**DECOMPX, **_all(_PRODUCT, uniform_rule)}
"""Mehri et al., CVPR 2025: and products of two activations give half to each."""

ATTN_LRP: Composite = {**LIBRA_GRAD, **_all(_SOFTMAX, autograd_rule), **_all(_MATMUL, uniform_rule)}
"""Achtibat et al., ICML 2024: and attention weights are no constants: softmax is itself, its two products give half."""

RELEVANCE_CAM: Composite = {
    **CHEFER,
    **_all(CONVOLUTION, Rule(("input", "weight", "bias"), z_plus)),
    **_sums(sum_z),
    **_all(_MEAN, Rule(("input",), mean_plus)),
}
"""Lee et al., CVPR 2021, as their code has it (α = 1), and Chefer's rules for what only transformers do."""


def with_gamma(composite: Composite, convolution: float, linear: float) -> Composite:
    """The composite with γ rules for convolutions and linear layers; 0 leaves them as they are."""
    rules = {
        operation: Rule(("input", "weight", "bias"), partial(gamma, gamma=strength))
        for operations, strength in ((CONVOLUTION, convolution), (_LINEAR, linear))
        for operation in operations
        if strength
    }
    return {**composite, **rules}
