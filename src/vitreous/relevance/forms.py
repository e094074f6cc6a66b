"""Operations written as others that have rules: x @ W is a linear layer, `addmm` a product and a sum.

So each kind of operation has one rule, however a model calls it. What only moves numbers stands in `trace/moves.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from string import ascii_letters
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from vitreous.relevance.rule import carrying

__all__ = ["written"]

_Form = Callable[[], Any] | None


def written(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Form:
    """The operation in terms of others; None where it is one of those that tables have rules for."""
    form = _FORMS.get(func)
    return form and form(*args, **{name: value for name, value in kwargs.items() if name != "out"})


def _matmul(*factors: Tensor, **named: Tensor) -> _Form:
    """A linear layer, where one side is a constant matrix or vector; else a product of two activations."""
    left, right = (*factors, *named.values())
    first = left.requires_grad
    x, weight = (left, right) if first else (right, left)
    if carrying((left, right)) > 1 or weight.ndim > 2:
        return None
    if weight.ndim == 1:
        return lambda: F.linear(x if first or x.ndim == 1 else x.mT, weight[None]).squeeze(-1)
    if first:
        return lambda: F.linear(x, weight.mT)
    return lambda: F.linear(x.mT, weight).mT if x.ndim > 1 else F.linear(x, weight)


def _product(*factors: Tensor, **named: Tensor) -> _Form:
    """What is a matrix product by another name."""
    return lambda: torch.matmul(*factors, *named.values())


def _added(product: Callable[..., Tensor]) -> Callable[..., _Form]:
    """A product added to something: a linear layer with its bias, where it is one."""

    def form(base: Tensor, *factors: Tensor, beta: Any = 1, alpha: Any = 1, **named: Tensor) -> _Form:
        left, right = (*factors, *named.values())
        constant = carrying((left,)) and not carrying((base, right))
        if constant and alpha == beta == 1 and right.ndim == 2 and base.ndim == 1:
            return lambda: F.linear(left, right.mT, base)
        return lambda: (
            (base if beta == 1 else base * beta)
            + (product(left, right) if alpha == 1 else product(left, right) * alpha)
        )

    return form


def _chain(*matrices: Any) -> _Form:
    """Products from left to right."""
    return lambda: reduce(torch.matmul, matrices[0] if isinstance(matrices[0], list | tuple) else matrices)


def _vecdot(x: Tensor, y: Tensor, *, dim: int = -1) -> _Form:
    return lambda: (x * y).sum(dim)


def _inner(left: Tensor, right: Tensor) -> _Form:
    return _tensordot(left, right, ([-1], [-1]))


def _tensordot(a: Tensor, b: Tensor, dims: Any = 2) -> _Form:
    if isinstance(dims, int):
        dims = list(range(a.ndim - dims, a.ndim)), list(range(dims))
    of_a, of_b = ([int(at) % x.ndim for at in each] for x, each in zip((a, b), dims, strict=True))
    names = iter(ascii_letters)
    first = [next(names) for _ in range(a.ndim)]
    second = [first[of_a[of_b.index(at)]] if at in of_b else next(names) for at in range(b.ndim)]
    kept = [name for name in (*first, *second) if (name in first) != (name in second)]
    return lambda: torch.einsum(f"{''.join(first)},{''.join(second)}->{''.join(kept)}", a, b)


def _einsum(equation: str, *operands: Any) -> _Form:
    """Of one operand a permutation and a sum, of two a product or, with a constant, a linear layer; of many, pairs."""
    tensors: Sequence[Tensor] = operands[0] if isinstance(operands[0], list | tuple) else operands
    terms, result = _explicit(equation, tensors)
    if any(len(set(term)) < len(term) for term in terms):
        return None
    match len(tensors):
        case 1:
            summed = [name for name in terms[0] if name not in result]
            order = [terms[0].index(name) for name in (*result, *summed)]
            axes = tuple(range(len(result), len(order)))
            return lambda: tensors[0].permute(order).sum(axes) if axes else tensors[0].permute(order)
        case 2 if set("".join(terms)) == set(result):
            left, right = (_aligned(*each, result) for each in zip(tensors, terms, strict=True))
            return lambda: left() * right()
        case 2:
            return _contraction(terms, result, tensors) if carrying(tensors) == 1 else None
        case _:
            rest = set("".join(terms[2:]) + result)
            pair = "".join(name for name in dict.fromkeys(terms[0] + terms[1]) if name in rest)
            first, others = f"{terms[0]},{terms[1]}->{pair}", ",".join((pair, *terms[2:]))
            return lambda: torch.einsum(f"{others}->{result}", torch.einsum(first, *tensors[:2]), *tensors[2:])


def _aligned(tensor: Tensor, term: str, result: str) -> Callable[[], Tensor]:
    """A tensor whose axes are in the result's order, with axes of length 1 for those that it lacks."""
    order = [term.index(name) for name in result if name in term]
    return lambda: tensor.permute(order)[tuple(slice(None) if name in term else None for name in result)]


def _contraction(terms: Sequence[str], result: str, tensors: Sequence[Tensor]) -> _Form:
    """A linear layer of the operand that carries; None where the constant differs along an axis of the result."""
    at = int(tensors[1].requires_grad)
    x, weight, own, other = tensors[at], tensors[1 - at], terms[at], terms[1 - at]
    summed = [name for name in own if name in other]
    kept, new = ([name for name in term if name not in summed] for term in (own, other))
    sizes = [(x.shape[own.index(name)], weight.shape[other.index(name)]) for name in summed]
    if not summed or set(result) != {*kept, *new} or any(a != b for a, b in sizes):
        return None
    matrix = weight.permute([other.index(name) for name in (*new, *summed)]).reshape(
        [*(weight.shape[other.index(name)] for name in new), -1]
    )
    order = [own.index(name) for name in (*kept, *summed)]
    back = [[*kept, *new].index(name) for name in result]

    def layer() -> Tensor:
        rows = x.permute(order).flatten(len(kept))
        made = F.linear(rows, matrix.reshape(-1, matrix.shape[-1]))
        return made.unflatten(-1, matrix.shape[:-1] or (1,)).reshape(*rows.shape[:-1], *matrix.shape[:-1]).permute(back)

    return layer


def _explicit(equation: str, tensors: Sequence[Tensor]) -> tuple[list[str], str]:
    """The terms and the result of an equation, every axis with a name of its own."""
    left, arrow, result = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    unused = [name for name in ascii_letters if name not in equation]
    widths = [tensor.ndim - len(term.replace("...", "")) for term, tensor in zip(terms, tensors, strict=True)]
    dots = "".join(unused[: max(widths)])
    terms = [term.replace("...", dots[len(dots) - width :]) for term, width in zip(terms, widths, strict=True)]
    if not arrow:
        names = "".join(term for term in left.replace("...", "") if term != ",")
        result = "..." + "".join(sorted(name for name in set(names) if names.count(name) == 1))
    return terms, result.replace("...", dots)


def _forms(form: Callable[..., _Form], *names: str) -> dict[Any, Callable[..., _Form]]:
    places = (torch, Tensor, torch.linalg)
    return {getattr(place, name): form for name in names for place in places if hasattr(place, name)}


_FORMS: dict[Any, Callable[..., _Form]] = {
    **_forms(_product, "mm", "bmm", "mv", "dot", "vdot"),
    torch.linalg.matmul: _product,
    **dict.fromkeys((torch.matmul, Tensor.matmul, Tensor.__matmul__), _matmul),
    Tensor.__rmatmul__: lambda right, left: _product(left, right),
    **_forms(_added(torch.matmul), "addmm", "addmv", "baddbmm"),
    **_forms(_added(lambda left, right: torch.matmul(left, right).sum(0)), "addbmm"),
    **_forms(_chain, "chain_matmul", "multi_dot"),
    **_forms(_inner, "inner"),
    **_forms(_vecdot, "vecdot"),
    torch.tensordot: _tensordot,
    torch.einsum: _einsum,
}
