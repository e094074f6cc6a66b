"""Where every Vision Transformer meets: torch's attention function, and a softmax that multiplies something.

An `Interceptor` is active only inside its `with` block. It changes no module, no weight and no global flag.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import FunctionType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from vitreous.errors import ObservationError
from vitreous.trace.attend import AttentionCall

__all__ = ["Interceptor", "on_graph"]

_SOFTMAX = {F.softmax, torch.softmax, Tensor.softmax}
_MULTIPLY = {torch.matmul, Tensor.matmul, Tensor.__matmul__, torch.bmm, Tensor.bmm, torch.einsum}
# What may stand between a softmax and the product with the values: none of these mixes tokens. (`linear` mixes the
# heads of CaiT's talking-head attention.)
_CARRY = {
    F.dropout,
    F.linear,
    torch.dropout,
    torch.permute,
    torch.reshape,
    torch.transpose,
    Tensor.contiguous,
    Tensor.flatten,
    Tensor.permute,
    Tensor.reshape,
    Tensor.to,
    Tensor.transpose,
    Tensor.type_as,
    Tensor.unflatten,
    Tensor.view,
}

# `F.multi_head_attention_forward` hands itself to an active mode before it does anything, so the attention inside it
# would stay unseen. This private copy of torch's own function believes that nobody is watching at its entrance.
_multi_head_attention = FunctionType(
    F.multi_head_attention_forward.__code__,
    {**F.multi_head_attention_forward.__globals__, "has_torch_function": lambda _: False},
    argdefs=F.multi_head_attention_forward.__defaults__,
)


class Interceptor(TorchFunctionMode):
    """Hands each attention of a forward pass to a function of yours.

    Args:
        attend: called in place of `F.scaled_dot_product_attention`; returns the mixed values.
        mixed: called with (scores, weights) when a softmax over the last axis, seen as it was taken, is about to
            multiply something: attention that a model writes out itself.
        projected: called with (values, weight) when a linear map takes what the latest attention made of its values:
            the output projection.
    """

    def __init__(
        self,
        attend: Callable[[AttentionCall], Tensor],
        mixed: Callable[[Tensor, Tensor], None] | None = None,
        projected: Callable[[Tensor, Tensor], None] | None = None,
    ) -> None:
        super().__init__()
        self._attend = attend
        self._mixed = mixed
        self._projected = projected
        self._followed: dict[int, tuple[Tensor, Tensor]] = {}
        self._output: tuple[Tensor, Tensor] | None = None
        self._attended = False
        self._convolved: tuple[int, int] | None = None

    @property
    def grid(self) -> tuple[int, int] | None:
        """(height, width) of the patch grid: the latest 2-d convolution's output before the first attention."""
        return self._convolved if self._attended else None

    def __torch_function__(
        self, func: Callable[..., Any], types: Iterable[type], args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Route one torch call."""
        kwargs = kwargs or {}
        if func is F.scaled_dot_product_attention:
            self._attended = True
            call = AttentionCall(*args, **kwargs)
            result = self._attend(call)
            self._output = (call.value, result)
            return result
        if func is F.multi_head_attention_forward:
            return self._multi_head(*args, **kwargs)
        values = self._multiply(args, self._mixed) if func in _MULTIPLY and self._mixed is not None else None
        if func in _SOFTMAX:
            scores, *rest = args or (kwargs.pop("input"),)
            if torch.is_grad_enabled() and scores.is_floating_point() and not scores.requires_grad:
                scores = on_graph(scores.detach())  # another tensor: what is given may be a frozen parameter
            args = (scores, *rest)
        result = func(*args, **kwargs)
        if isinstance(result, Tensor):
            if type(func).__module__ == "torch._ops":
                _check_gradient(func, args, result)
            self._follow(func, args, kwargs, result)
            if values is not None:
                self._output = (values, result)
        return result

    def _follow(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], result: Tensor) -> None:
        if func in _SOFTMAX and result.ndim >= 3:
            dim = kwargs["dim"] if "dim" in kwargs else (*args, None)[1]
            if dim in (-1, result.ndim - 1):
                self._followed[id(result)] = (args[0], result)
        elif func in _CARRY and args and id(args[0]) in self._followed:
            self._followed[id(result)] = (self._followed[id(args[0])][0], result)
        elif func in _CARRY and args and self._output is not None and args[0] is self._output[1]:
            values = self._output[0]
            self._output = None if func is F.linear else (values, result)
            if func is F.linear and self._projected is not None:
                self._projected(values, args[1] if len(args) > 1 else kwargs["weight"])
        elif func in (F.conv2d, torch.conv2d) and not self._attended:
            self._convolved = (result.shape[-2], result.shape[-1])

    def _multiply(self, args: tuple[Any, ...], mixed: Callable[[Tensor, Tensor], None]) -> Tensor | None:
        """Report attention that is about to happen; the values that it multiplies."""
        tensors = list(_tensors(args))
        for weights in tensors:
            if id(weights) in self._followed:
                self._attended = True
                scores = self._followed[id(weights)][0]
                self._followed = {key: pair for key, pair in self._followed.items() if pair[0] is not scores}
                mixed(scores, weights)
                return next((tensor for tensor in tensors if tensor is not weights), None)
        return None

    def _multi_head(self, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor | None]:
        """Run torch's multi-head attention through its fused branch, and give the caller the weights it asked for."""
        wanted = kwargs.pop("need_weights", True)
        average = kwargs.pop("average_attn_weights", True)
        weights: list[Tensor] = []
        attend = self._attend

        def watch(call: AttentionCall) -> Tensor:
            if wanted:
                weights.append(call.scores().softmax(-1))
            return attend(call)

        self._attend = watch
        try:
            with self:
                output, _ = _multi_head_attention(*args, need_weights=False, **kwargs)
        finally:
            self._attend = attend
        if not wanted:
            return output, None
        seen = weights[0].mean(1) if average else weights[0]
        return output, seen if output.ndim == 3 else seen.squeeze(0)


def _check_gradient(func: Callable[..., Any], args: Iterable[Any], result: Tensor) -> None:
    """Refuse an operator of a library's own that lets no gradient back, as those of quantized layers.

    Raises:
        ObservationError: autograd would take what it cuts off for zero.
    """
    node = result.grad_fn
    carries = result.is_floating_point() and any(tensor.requires_grad for tensor in _tensors(args))
    if torch.is_grad_enabled() and carries and (node is None or node.name() == "torch::autograd::WarnNotImplemented"):
        raise ObservationError(
            f"no gradient flows back through `{func}`, which the model calls. Explain the model as it was before "
            "quantization, or use a method that needs no gradient, such as `rise`."
        )


def on_graph(tensor: Tensor) -> Tensor:
    """Make sure that gradients can be asked for from here on, also where all parameters are frozen."""
    return tensor if tensor.requires_grad else tensor.requires_grad_()


def _tensors(args: Iterable[Any]) -> Iterable[Tensor]:
    for arg in args:
        if isinstance(arg, Tensor):
            yield arg
        elif isinstance(arg, list | tuple):
            yield from _tensors(arg)
