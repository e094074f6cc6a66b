"""Every operation's backward is its rule: `with propagate(model, CHEFER): trace = observe(model, images)`."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode, resolve_name
from torch.utils import _pytree as pytree

from vitreous.errors import RuleError
from vitreous.relevance.forms import written
from vitreous.relevance.rule import Composite, Rule, Suspension, carrying
from vitreous.trace.attend import AttentionCall
from vitreous.trace.changes import Place, changes
from vitreous.trace.flow import Flow
from vitreous.trace.intercept import Interceptor
from vitreous.trace.moves import MOVES
from vitreous.trace.seen import AttentionSeen
from vitreous.trace.settled import check_weights

__all__ = ["propagate"]


@contextmanager
def propagate(model: nn.Module, composite: Composite) -> Generator[Suspension]:
    """Within the block, gradients are relevance: what `observe` records there gives it by `trace.gradients`.

    The forward pass is the model's own, operation by operation; some are written as others (`forms.py`). Ask for the
    relevance after the block, where operations are themselves again. Parameters take no relevance: operations get them
    as constants. Fused attention is written out, so that its products and its softmax have rules.

    Yields:
        what suspends the rules: within a block of it, before or after the end of this one, gradients of the same
        observation are gradients again.

    Raises:
        RuleError: an operation that carries relevance has no rule in the composite, or is not seen.
        ModelError: as `check_weights`.
    """
    check_weights(model)
    kind, suspension = type(model).__name__, Suspension()
    rules = {op: replace(way, suspension=suspension) if isinstance(way, Rule) else way for op, way in composite.items()}
    with changes() as change:
        change.enter(mode := _Rules(rules, change.running(model), kind))
        change.after(model, mode.check_seen)
        change.enter(Interceptor(_write_out))
        yield suspension


def _write_out(seen: AttentionSeen) -> Tensor | None:
    return seen.attention.written() if isinstance(seen.attention, AttentionCall) else None


class _Rules(TorchFunctionMode):
    def __init__(self, composite: Composite, name: Callable[[], str], model: str) -> None:
        super().__init__()
        self._composite, self._name, self._model = composite, name, model
        self._place, self._flow = Place(), Flow()

    def check_seen(self, given: Any, taker: str = "what the model returns") -> None:
        """Refuse tensors that carry relevance and that no operation made which was seen; it starts at the first.

        Raises:
            RuleError: there is one: autograd's own backward would pass for its rule.
        """
        for tensor in () if self._flow.is_empty else pytree.tree_leaves(given):
            if isinstance(tensor, Tensor) and carrying((tensor,)) and not (tensor.is_leaf or self._flow.above(tensor)):
                raise RuleError(
                    f"what made a tensor of shape {tuple(tensor.shape)} for {taker}, in `{self._name() or 'forward'}` "
                    f"of `{self._model}`, cannot be seen: TorchScript, a torch.autograd.Function or a kernel of its "
                    "own, so it has no relevance rule. Let the model call torch's functions there, or use a method "
                    "without rules."
                )

    def __torch_function__(
        self, func: Callable[..., Any], types: Iterable[type], args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if not torch.is_grad_enabled() or not self._place.is_here:
            return func(*args, **kwargs)
        args, kwargs = _without_parameters(args), {key: _without_parameters(each) for key, each in kwargs.items()}
        if not carrying((*args, *kwargs.values())):
            return func(*args, **kwargs)
        self.check_seen((args, kwargs), f"`{resolve_name(func) or func}`")
        result = self._ruled(func, args, kwargs)
        self._flow.mark((result, args, kwargs), 1)
        return result

    def _ruled(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if form := written(func, args, kwargs):
            with self:
                return form()
        if backward := self._composite.get(func):
            return backward(func, args, kwargs)
        result = func(*args, **kwargs)
        if func not in MOVES and carrying((result,)):
            raise RuleError(
                f"no relevance rule for `{resolve_name(func) or func}`, called in `{self._name() or 'forward'}` of "
                f"`{self._model}`. Add one to the composite, {{operation: Rule(…)}}, or use a method without rules."
            )
        return result


def _without_parameters(given: Any) -> Any:
    """The same arguments, with parameters as constants: the model's own stay as they are, for other threads as well."""
    if isinstance(given, nn.Parameter):
        return given.detach()
    if isinstance(given, list):
        return [_without_parameters(each) for each in given]
    return tuple(map(_without_parameters, given)) if type(given) is tuple else given
