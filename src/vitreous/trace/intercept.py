"""Where every Vision Transformer meets: torch's attention function, and a softmax that multiplies something.

An `Interceptor` is active only inside its `with` block. It changes no module, no weight and no global flag.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from types import FunctionType
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

from vitreous.trace.attend import AttentionCall, WrittenAttention
from vitreous.trace.changes import Place, changes
from vitreous.trace.flow import Flow
from vitreous.trace.gradient import on_graph
from vitreous.trace.moves import KEEPS, TURNS
from vitreous.trace.observed import mutual_tokens
from vitreous.trace.product import roles, tensors_in
from vitreous.trace.reorder import Reorders
from vitreous.trace.seen import AttentionSeen
from vitreous.trace.unseen import check_gradient, check_whole

__all__ = ["Interceptor"]

_SOFTMAX = {F.softmax, torch.softmax, Tensor.softmax}
# `einsum` and what multiplies the last two axes
_MULTIPLY = {torch.matmul, Tensor.matmul, Tensor.__matmul__, torch.linalg.matmul, torch.bmm, Tensor.bmm, torch.einsum}
# The axis of channels in what the next layer takes.
_CHANNELS = {F.linear: -1, F.layer_norm: -1, F.conv2d: 1, torch.conv2d: 1}

# `F.multi_head_attention_forward` hands itself to an active mode before it does anything, so the attention inside it
# would stay unseen. This private copy of torch's own function believes that nobody is watching at its entrance.
_multi_head_attention = FunctionType(
    F.multi_head_attention_forward.__code__,
    {**F.multi_head_attention_forward.__globals__, "has_torch_function": lambda _: False},
    argdefs=F.multi_head_attention_forward.__defaults__,
)


@dataclass(frozen=True)
class _Weights:
    """Attention weights on their way to the values.

    Attributes:
        scores: what the softmax took.
        tensor: the weights as they are now.
        turned: the weights as they were before an axis of theirs took another's place, if one did.
    """

    scores: Tensor
    tensor: Tensor
    turned: Tensor | None = None


@dataclass(frozen=True)
class _Output:
    """What an attention made of its values, on its way to the next layer.

    Attributes:
        values: (…, keys, width).
        tensor: the mixed values as they are now.
        queries: which of them belong to the first query; None where there is no doubt that queries are tokens.
    """

    values: Tensor
    tensor: Tensor
    queries: Tensor | None


class _Product(NamedTuple):
    """Attention that a model writes out: its weights and what to take in their place, its values, its queries' axis."""

    weights: Tensor
    instead: Tensor | None
    values: Tensor | None
    queries: int


class Interceptor(TorchFunctionMode):
    """Hands each attention of a forward pass to a function of yours.

    Args:
        attend: called in place of `F.scaled_dot_product_attention`: returns the mixed values, or None to have torch's
            own; and when a softmax over the last axis, seen as it was taken, is about to multiply something: attention
            that a model writes out itself, where it returns other weights, or None to leave them.
        projected: called with (values, weight) when a linear map takes what the latest attention made of its values:
            the output projection.
        running: says which module runs.
        model: class name of the model, for messages.
    """

    def __init__(
        self,
        attend: Callable[[AttentionSeen], Tensor | None],
        projected: Callable[[Tensor, Tensor], None] | None = None,
        running: Callable[[], str] = str,
        model: str = "",
    ) -> None:
        super().__init__()
        self._attend = attend
        self._projected = projected
        self._running, self._model = running, model
        self._place = Place()
        self._followed: dict[int, _Weights] = {}
        self._output: _Output | None = None
        self._sizes: list[int | None] = []
        self._convolved: tuple[int, int] | None = None
        self._above: list[int] = []
        self._flow = Flow()
        self.reorders = Reorders()
        """What may have put tokens or images in another order, where `start` said what the picture is."""

    def start(self, picture: Tensor) -> None:
        """Follow what is made of this picture."""
        self._flow.mark(picture, 1)

    @property
    def sizes(self) -> tuple[int | None, ...]:
        """How many tokens attend to each other, per attention so far: as `mutual_tokens` says, or 0 for channels."""
        return tuple(self._sizes)

    @property
    def above(self) -> tuple[int, ...]:
        """The earlier attentions that each one so far depends on, as the bits of a number."""
        return tuple(bits >> 1 for bits in self._above)  # the lowest is the picture's

    @property
    def sees_picture(self) -> bool:
        """Whether the latest attention depends on what `start` named."""
        return bool(self._above[-1] & 1)

    @property
    def grid(self) -> tuple[int, int] | None:
        """(height, width) of the patch grid: the latest 2-d convolution's output before the first attention."""
        return self._convolved if self._sizes else None

    def __torch_function__(
        self, func: Callable[..., Any], types: Iterable[type], args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Route one torch call."""
        kwargs = kwargs or {}
        if not self._place.is_here:
            return func(*args, **kwargs)
        if torch._C._functorch.maybe_current_level() is not None:  # pyright: ignore[reportPrivateUsage, reportAttributeAccessIssue]
            check_whole((*args, *kwargs.values()))
        seen, bits = len(self._sizes), self._flow.above((args, kwargs))
        if bits:
            self.reorders.see(func, args, kwargs, len(self._sizes), self._flow.above)
        result = self._route(func, args, kwargs)
        bits |= (2 << len(self._sizes)) - (2 << seen)  # the attentions that ran in this call
        self._flow.mark(args[0] if func is Tensor.__setitem__ else result, bits)
        return result

    def _route(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if func is F.scaled_dot_product_attention:
            call = AttentionCall(*args, **kwargs)
            result = self._show(call, call.shape, args)
            if result is None:
                result = call.fused()
            self._output = self._made(call.value, result, -2)
            return result
        if func is F.multi_head_attention_forward:
            return self._multi_head(*args, **kwargs)
        if func is F.batch_norm:
            return _batch_norm(*args, **kwargs)
        product = self._multiply(func, (*args, *kwargs.values())) if func in _MULTIPLY else None
        if product is not None and product.instead is not None:
            old, new = product.weights, product.instead
            args, kwargs = pytree.tree_map_only(Tensor, lambda each: new if each is old else each, (args, kwargs))
        if func in _SOFTMAX:
            scores, *rest = args or (kwargs.pop("input"),)
            if torch.is_grad_enabled() and scores.is_floating_point() and not scores.requires_grad:
                scores = on_graph(scores.detach())  # another tensor: what is given may be a frozen parameter
            args = (scores, *rest)
        result = func(*args, **kwargs)
        if isinstance(result, Tensor):
            if type(func).__module__ == "torch._ops":
                check_gradient(func, args, result)
            self._follow(func, args, kwargs, result)
            if product is not None and product.values is not None:
                self._output = self._made(product.values, result, product.queries)
        return result

    def _follow(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], result: Tensor) -> None:
        given = args[0] if args else None
        if func in _SOFTMAX and result.ndim >= 3:
            dim = kwargs["dim"] if "dim" in kwargs else (*args, None)[1]
            if dim in (-1, result.ndim - 1):
                self._followed[id(result)] = _Weights(args[0], result)
        elif id(given) in self._followed and (func in KEEPS or func is F.linear):  # linear: CaiT's talking heads
            weights = self._followed[id(given)]
            turned = weights.tensor if func in TURNS else weights.turned
            self._followed[id(result)] = replace(weights, tensor=result, turned=turned)
        elif self._output is not None and given is self._output.tensor:
            self._go_on(self._output, func, args, kwargs, result)
        elif func in (F.conv2d, torch.conv2d) and not self._sizes:
            self._convolved = (result.shape[-2], result.shape[-1])

    def _go_on(
        self, output: _Output, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], result: Tensor
    ) -> None:
        """Follow what an attention made of its values, up to the layer that takes it."""
        queries = output.queries
        if func in KEEPS:
            moved = None if queries is None else func(queries, *args[1:], **kwargs)
            self._output = replace(output, tensor=result, queries=moved)
            return
        self._output = None
        if func in _CHANNELS and queries is not None and (queries != queries.narrow(_CHANNELS[func], 0, 1)).any():
            self._sizes[-1] = 0
        if func is F.linear and self._projected is not None:
            self._projected(output.values, args[1] if len(args) > 1 else kwargs["weight"])

    def _show(self, attention: AttentionCall | WrittenAttention, shape: Sequence[int], given: Any) -> Tensor | None:
        """Hand over what is known of an attention, its scores of this shape; what is to be taken for its result."""
        self._sizes.append(mutual_tokens(shape))
        self._above.append(self._flow.above(given))
        return self._attend(AttentionSeen(attention, self._running(), self.sizes, self.grid, self._model))

    def _multiply(self, func: Callable[..., Any], args: tuple[Any, ...]) -> _Product | None:
        """Report attention that is about to happen; None where this product is none."""
        for at, tensor in enumerate(tensors_in(args)):
            if (seen := self._followed.get(id(tensor))) is None:
                continue
            keys, queries, values = roles(func, args, at)
            weights = tensor if keys == -1 else seen.turned
            if weights is None:  # a sum over queries
                continue
            self._followed = {key: each for key, each in self._followed.items() if each.scores is not seen.scores}
            instead = self._show(WrittenAttention(seen.scores, weights, values), weights.shape, args)
            if instead is not None and keys != -1:
                instead = instead.mT
            return _Product(tensor, instead, values, queries)
        return None

    def _made(self, values: Tensor, result: Tensor, queries: int) -> _Output:
        """What attention made of its values, whose axis of queries is given.

        Where the values are as wide as there are patches, their width may be the patches, as in cross-covariance
        attention: then the queries are channels, and the next layer shows it.
        """
        mark = None
        if self._convolved and self._sizes[-1] and values.shape[-1] >= self._convolved[0] * self._convolved[1]:
            first = torch.arange(result.shape[queries]) == 0
            mark = first.view(-1, *[1] * (-1 - queries)).expand(result.shape).contiguous()
        return _Output(values, result, mark)

    def _multi_head(self, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor | None]:
        """Run torch's multi-head attention through its fused branch, and give the caller the weights it asked for."""
        wanted = kwargs.pop("need_weights", True)
        average = kwargs.pop("average_attn_weights", True)
        weights: list[Tensor] = []
        attend = self._attend

        def watch(seen: AttentionSeen) -> Tensor | None:
            if wanted:
                weights.append(seen.attention.scores_and_weights()[1])
            return attend(seen)

        self._attend = watch
        try:
            with changes() as change:
                change.enter(self)
                output, _ = _multi_head_attention(*args, need_weights=False, **kwargs)
        finally:
            self._attend = attend
        if not wanted:
            return output, None
        seen = weights[0].mean(1) if average else weights[0]
        return output, seen if output.ndim == 3 else seen.squeeze(0)


def _batch_norm(maps: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """Torch's, whose gradient in evaluation mode is wrong on CPUs for one image with channels last in either pass."""
    if len(maps) > 1 or not maps.is_cpu or not torch.is_grad_enabled():
        return F.batch_norm(maps, *args, **kwargs)
    result = F.batch_norm(maps.contiguous(), *args, **kwargs)
    if result.requires_grad:
        result.register_hook(Tensor.contiguous)
    return result
