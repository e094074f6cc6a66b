"""Whether a model has a classifier: told by the last layer that made what it returns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from vitreous.errors import NoClassScores
from vitreous.shapes import Images
from vitreous.trace.output import everything
from vitreous.trace.reading import current_reading, reading
from vitreous.trace.running import run
from vitreous.trace.settled import check_input, evaluating

__all__ = ["check_classifier", "without_scores"]

T = TypeVar("T")

_LINEAR = {"linear", "conv1d", "conv2d", "conv3d", "matmul", "__matmul__", "mm", "bmm", "addmm", "einsum", "bilinear"}
_NORMS = {"layer_norm", "batch_norm", "group_norm", "instance_norm", "rms_norm"}
_ACTIVATIONS = {"relu", "relu_", "relu6", "gelu", "silu", "hardswish", "hardtanh", "elu", "leaky_relu", "mish"}


def check_classifier(model: nn.Module, images: Images) -> None:
    """Refuse a model whose output is features, as a backbone's is.

    timm says so by `num_classes`. Of others whose last layer is an identity or a norm, the last operation that made the
    output is looked at: a norm or an activation leaves features, a linear map scores. Nothing is refused where the
    block says which output is meant, and what returns several tensors is for `class_scores`.

    Raises:
        NoClassScores: it has no classifier.

    Cost: none for most models; one forward pass of the first image where it must be looked at.
    """
    if current_reading().output is not None:
        return
    kind = type(model).__name__
    if getattr(model, "num_classes", None) == 0:
        raise _headless(f"`{kind}` was made with num_classes=0")
    if not _may_lack_one(model):
        return
    check_input(images)
    with evaluating(model), torch.no_grad(), _LastLayer() as seen:
        output = run(model, images[:1].clone())
    if isinstance(output, Tensor) and output.ndim <= 2 and seen.last in _NORMS | _ACTIVATIONS:
        raise _headless(f"the output of `{kind}` comes out of `{seen.last}` with no linear map behind it")


def without_scores(look: Callable[[], T], model: nn.Module, images: Images) -> T:
    """What is seen by a function that needs no class scores, also of a model without a classifier.

    There, all numbers that the model returns stand in for them.

    Cost: as `check_classifier`; `look` twice where only it finds that there are no scores.
    """
    try:
        check_classifier(model, images)
        return look()
    except NoClassScores:
        with reading(replace(current_reading(), output=everything, link="identity")):
            return look()


def _headless(fact: str) -> NoClassScores:
    return NoClassScores(
        f"{fact}, so it gives features and no class scores. Load it with a classifier, use a method that needs none, "
        "such as `raw_attention`, or explain its features: output=lambda out: out, with target= a function of them."
    )


def _may_lack_one(model: nn.Module) -> bool:
    """Whether its last layer, in the order in which they were made, is no linear map."""
    layers = [module for module in model.modules() if not any(True for _ in module.children())]
    layers = [layer for layer in layers if isinstance(layer, nn.Identity) or any(True for _ in layer.parameters())]
    return bool(layers) and all(parameter.ndim < 2 for parameter in layers[-1].parameters())


class _LastLayer(TorchFunctionMode):
    """Remembers the last linear map, norm or activation that ran."""

    last = ""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        name = getattr(func, "__name__", "")
        # an operator of a library's own may be a linear map, as those of quantized layers are
        if name in _LINEAR | _NORMS | _ACTIVATIONS or type(func).__module__ == "torch._ops":
            self.last = name
        return func(*args, **(kwargs or {}))
