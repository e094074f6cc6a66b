"""What becomes of an operation's backward: its own, none, half of it, or a rule."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from vitreous.errors import RuleError

__all__ = [
    "Backward",
    "Composite",
    "Factors",
    "Operation",
    "Rule",
    "Share",
    "Suspension",
    "autograd_rule",
    "carrying",
    "constant_rule",
    "uniform_rule",
]

Backward = Callable[[Callable[..., Any], tuple[Any, ...], dict[str, Any]], Any]
"""Runs an operation on its arguments, and sees to it that its backward is another."""

Composite = Mapping[Callable[..., Any], Backward]
"""From operations to what becomes of their backward."""


@dataclass(frozen=True)
class Operation:
    """One operation of the forward pass.

    Attributes:
        operands: its tensor operands by the rule's names; numbers and None where that is what it was given.
        result: what it returned.
        run: the same operation on other operands.
        carries: per operand, whether relevance flowed back to it when the operation ran.
        shared: whether more than one operation took its result.
    """

    operands: tuple[Any, ...]
    result: Tensor
    run: Callable[..., Tensor]
    carries: tuple[bool, ...] = ()
    shared: bool = True


Share = Callable[[Operation, Tensor], tuple[Tensor | None, ...]]


class Suspension:
    """Within its block, rules are suspended: what flows back are gradients."""

    active = False

    @contextmanager
    def __call__(self) -> Generator[None]:
        """Suspend them."""
        self.active = True
        try:
            yield
        finally:
            self.active = False


@dataclass(frozen=True)
class Rule:
    """A rule and the operands that it speaks of; as a `Backward`, it runs the operation with itself as its backward.

    Attributes:
        operands: names of the leading arguments, in torch's order.
        share: from the step and what arrives at its result to what each operand gets (None: nothing).
        applies: whether the rule speaks of a call; autograd's own backward serves the others.
        suspension: while it is active, autograd's own backward takes the rule's place.
    """

    operands: tuple[str, ...]
    share: Share
    applies: Callable[..., bool] = lambda *_, **__: True
    suspension: Suspension = field(default_factory=Suspension)

    def __call__(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
        """The operation's result; its backward is the rule."""
        if not self.applies(*args, **kwargs):
            return func(*args, **kwargs)
        count = len(self.operands)
        rest = {key: value for key, value in kwargs.items() if key not in self.operands}
        given = [*args[:count], *(kwargs.get(name) for name in self.operands[len(args[:count]) :])]

        def run(*operands: Any) -> Tensor:
            kept = list(operands)
            while len(args) <= count and kept[-1] is None:  # not given: `add` takes no None
                kept.pop()
            return func(*kept, *args[count:], **rest)

        name = getattr(func, "__name__", "")
        in_place = (name.endswith("_") and not name.endswith("__")) or name == "__iadd__" or rest.get("inplace", False)
        made: list[Any] = [x.grad_fn for x in given if isinstance(x, Tensor)]
        for maker in made:
            if hasattr(maker, "takers"):
                maker.takers += 1
        return _Ruled.apply(run, self, in_place, *given)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Factors(Rule):
    """A rule of products of two tensors, wherever they stand: the operands of `einsum` come after a text."""

    def __call__(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
        """The operation's result; its backward is the rule.

        Raises:
            RuleError: there are not two.
        """
        given = [each for arg in (*args, *kwargs.values()) for each in (arg if _are_tensors(arg) else [arg])]
        factors = tuple(each for each in given if isinstance(each, Tensor))
        if len(factors) != 2:
            raise RuleError(
                f"no relevance rule for `{getattr(func, '__name__', func)}` of {len(factors)} operands written like "
                "this. Write it as products of two, with every axis named once."
            )

        def run(*operands: Tensor) -> Tensor:
            left = iter(operands)
            return func(*(next(left) if isinstance(each, Tensor) else each for each in given))

        return super().__call__(run, factors, {})


def autograd_rule(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Autograd's own backward."""
    return func(*args, **kwargs)


def constant_rule(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    """Nothing flows back: the result counts as a constant."""
    return func(*args, **kwargs).detach()


def uniform_rule(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    """Products: half to each side if both carry, autograd's own backward if one does (AttnLRP's uniform rule)."""
    result: Tensor = func(*args, **kwargs)
    if carrying((*args, *kwargs.values())) > 1:
        result.register_hook(lambda gradient: gradient / 2)
    return result


def _are_tensors(arg: Any) -> bool:
    return isinstance(arg, list | tuple) and all(isinstance(each, Tensor) for each in arg)


def carrying(args: Iterable[Any]) -> int:
    """How many tensors among the arguments, also in lists and tuples, relevance flows back to."""
    return sum(
        arg.requires_grad if isinstance(arg, Tensor) else carrying(arg) if isinstance(arg, list | tuple) else 0
        for arg in args
    )


class _Ruled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, run: Callable[..., Tensor], rule: Rule, in_place: bool, *operands: Any) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        before = (operands[0].clone(), *operands[1:]) if in_place else operands
        ctx.save_for_backward(*(x for x in before if isinstance(x, Tensor)))
        # a graph of this operation alone, for its own backward
        alone = [
            x.detach().requires_grad_(given.requires_grad) if isinstance(x, Tensor) else x
            for x, given in zip(before, operands, strict=True)
        ]
        with torch.enable_grad():
            ctx.alone = run(alone[0].clone(), *alone[1:]) if in_place else run(*alone)
        result = operands[0].copy_(ctx.alone.detach()) if in_place else ctx.alone.detach()
        if in_place:
            ctx.mark_dirty(result)
        ctx.inputs, ctx.version = [x for x in alone if carrying((x,))], ctx.alone._version
        ctx.rest = [None if isinstance(x, Tensor) else (x,) for x in before]
        ctx.run, ctx.rule, ctx.takers = run, rule, 0
        return result

    @staticmethod
    def backward(ctx: Any, relevance: Tensor) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        carries = ctx.needs_input_grad[3:]
        if ctx.rule.suspension.active:
            gradients = iter(torch.autograd.grad(ctx.alone, ctx.inputs, relevance, retain_graph=True))
            return None, None, None, *(next(gradients) if takes else None for takes in carries)
        tensors = iter(ctx.saved_tensors)
        operands = tuple(next(tensors) if kept is None else kept[0] for kept in ctx.rest)
        # an activation in place may have overwritten the result
        intact = ctx.alone._version == ctx.version
        result = ctx.alone.detach() if intact else ctx.run(operands[0].clone(), *operands[1:])
        shares = ctx.rule.share(Operation(operands, result, ctx.run, carries, ctx.takers > 1), relevance)
        return None, None, None, *shares, *(None for _ in range(len(operands) - len(shares)))
