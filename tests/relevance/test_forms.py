"""Every product of matrices and every move of numbers has its rule, by whatever name a model calls it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vitreous.errors import RuleError
from vitreous.relevance.composites import ATTN_LRP, CHEFER, CP_LRP, chefer, with_gamma
from vitreous.relevance.propagate import propagate

Call = Callable[..., Any]
RECIPES = {"chefer": CHEFER, "orig": chefer("orig"), "cp_lrp": CP_LRP, "attn_gamma": with_gamma(ATTN_LRP, 0.0, 0.3)}


def shares(call: Call, operands: tuple[Tensor, ...], carry: tuple[int, ...], recipe: Any) -> tuple[Tensor, ...]:
    """The result of a call and the relevance of the operands that carry, from a fixed relevance of the result."""
    given = [x.clone().requires_grad_(at in carry) for at, x in enumerate(operands)]
    with propagate(nn.Identity(), recipe):
        result = call(*given)
    start = torch.linspace(0.5, 1.5, result.numel(), dtype=result.dtype).view(result.shape)
    return result.detach(), *torch.autograd.grad(result, [given[at] for at in carry], start)


def random(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(sum(shape)))


# by name: a product, the shapes of its operands, and the same as `@`
PRODUCTS: dict[str, tuple[Call, tuple[tuple[int, ...], ...], Call]] = {
    "@": (lambda a, b: a @ b, ((2, 3, 4), (2, 4, 5)), torch.matmul),
    "@ broadcast": (lambda a, b: a @ b, ((2, 1, 3, 4), (6, 4, 5)), lambda a, b: torch.matmul(a, b.expand(2, 6, 4, 5))),
    "matmul": (lambda a, b: a.matmul(other=b), ((2, 3, 4), (2, 4, 5)), torch.matmul),
    "bmm": (lambda a, b: torch.bmm(a, mat2=b), ((2, 3, 4), (2, 4, 5)), torch.matmul),
    "mm": (lambda a, b: a.mm(b), ((3, 4), (4, 5)), torch.matmul),
    "mv": (torch.mv, ((3, 4), (4,)), torch.matmul),
    "dot": (torch.dot, ((4,), (4,)), torch.matmul),
    "vdot": (torch.vdot, ((4,), (4,)), torch.matmul),
    "inner": (torch.inner, ((3, 4), (5, 4)), lambda a, b: a @ b.mT),
    "linalg.matmul": (torch.linalg.matmul, ((3, 4), (4, 5)), torch.matmul),
    "vecdot": (torch.linalg.vecdot, ((3, 4), (3, 4)), lambda a, b: (a[:, None] @ b[..., None])[:, 0, 0]),
    "tensordot": (torch.tensordot, ((2, 3, 4), (3, 4, 5)), lambda a, b: a.flatten(1) @ b.flatten(0, 1)),
    "tensordot over axes": (
        lambda a, b: torch.tensordot(a, b, dims=([2], [-2])),
        ((2, 3, 4), (4, 5)),
        torch.matmul,
    ),
    "einsum": (lambda a, b: torch.einsum("bij, bjk -> bik", a, b), ((2, 3, 4), (2, 4, 5)), torch.matmul),
    "einsum of a list": (
        lambda a, b: torch.einsum("bij,bkj->bki", [a, b]),
        ((2, 3, 4), (2, 5, 4)),
        lambda a, b: b @ a.mT,
    ),
    "einsum without an arrow": (lambda a, b: torch.einsum("ij,jk", a, b), ((3, 4), (4, 5)), torch.matmul),
    "einsum with dots": (lambda a, b: torch.einsum("...ij,...jk->...ik", a, b), ((2, 3, 4), (4, 5)), torch.matmul),
    "einsum by numbers": (
        lambda a, b: torch.einsum(a, [0, 1], b, [1, 2], [0, 2]),
        ((3, 4), (4, 5)),
        torch.matmul,
    ),
}
# products with a constant matrix, and the same as a linear layer
LAYERS: dict[str, tuple[Call, tuple[tuple[int, ...], ...], int, Call]] = {
    "x @ W": (lambda x, w: x @ w, ((2, 3, 4), (4, 5)), 0, lambda x, w: F.linear(x, w.mT)),
    "W @ x": (lambda w, x: w @ x, ((5, 3), (2, 3, 4)), 1, lambda w, x: F.linear(x.mT, w).mT),
    "x @ w": (lambda x, w: x @ w, ((2, 3, 4), (4,)), 0, lambda x, w: F.linear(x, w[None])[..., 0]),
    "W @ vector": (lambda w, x: w @ x, ((5, 3), (3,)), 1, lambda w, x: F.linear(x, w)),
    "vector @ x": (lambda w, x: w @ x, ((3,), (2, 3, 4)), 1, lambda w, x: F.linear(x.mT, w[None])[..., 0]),
    "mm": (torch.mm, ((3, 4), (4, 5)), 0, lambda x, w: F.linear(x, w.mT)),
    "dot": (torch.dot, ((4,), (4,)), 1, lambda w, x: F.linear(x, w[None])[0]),
    "inner": (torch.inner, ((3, 4), (5, 4)), 0, F.linear),
    "tensordot": (torch.tensordot, ((2, 3, 4), (3, 4, 5)), 0, lambda x, w: F.linear(x.flatten(1), w.flatten(0, 1).mT)),
    "einsum": (lambda x, w: torch.einsum("bnd,de->bne", x, w), ((2, 3, 4), (4, 5)), 0, lambda x, w: F.linear(x, w.mT)),
    "einsum to heads": (
        lambda w, x: torch.einsum("hde,bnd->bhne", w, x),
        ((2, 4, 3), (2, 5, 4)),
        1,
        lambda w, x: F.linear(x, w.mT.flatten(0, 1)).unflatten(-1, (2, 3)).transpose(1, 2),
    ),
    "einsum over tokens": (
        lambda x, w: torch.einsum("bnd,n->bd", x, w),
        ((2, 3, 4), (3,)),
        0,
        lambda x, w: F.linear(x.mT, w[None])[..., 0],
    ),
    "einsum with dots": (
        lambda x, w: torch.einsum("...d,de", x, w),
        ((2, 3, 4), (4, 5)),
        0,
        lambda x, w: F.linear(x, w.mT),
    ),
}


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("name", PRODUCTS)
def test_a_product_of_two_activations_is_a_matrix_product(name: str, recipe: str) -> None:
    call, shapes, canonical = PRODUCTS[name]
    operands = tuple(random(*shape) for shape in shapes)
    got, expected = (shares(each, operands, (0, 1), RECIPES[recipe]) for each in (call, canonical))
    for ours, theirs in zip(got, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("name", LAYERS)
def test_a_product_with_a_constant_is_a_linear_layer(name: str, recipe: str) -> None:
    call, shapes, at, canonical = LAYERS[name]
    operands = tuple(random(*shape) for shape in shapes)
    got, expected = (shares(each, operands, (at,), RECIPES[recipe]) for each in (call, canonical))
    for ours, theirs in zip(got, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize(
    ("call", "shapes", "carry", "canonical"),
    [
        (torch.addmm, ((5,), (3, 4), (4, 5)), (1,), lambda b, x, w: F.linear(x, w.mT, b)),
        (torch.addmm, ((3, 5), (3, 4), (4, 5)), (0, 1, 2), lambda c, a, b: c + a @ b),
        (
            lambda c, a, b: c.addmm(mat1=a, mat2=b, alpha=0.5),
            ((3, 5), (3, 4), (4, 5)),
            (1, 2),
            lambda c, a, b: c + (a @ b) * 0.5,
        ),
        (torch.addmv, ((3,), (3, 4), (4,)), (1, 2), lambda c, a, b: c + a @ b),
        (
            lambda c, a, b: torch.baddbmm(c, a, b, beta=2, alpha=0.5),
            ((2, 3, 5), (2, 3, 4), (2, 4, 5)),
            (1, 2),
            lambda c, a, b: c * 2 + (a @ b) * 0.5,
        ),
        (torch.addbmm, ((3, 5), (2, 3, 4), (2, 4, 5)), (0, 1, 2), lambda c, a, b: c + (a @ b).sum(0)),
        (torch.chain_matmul, ((3, 4), (4, 5), (5, 2)), (0, 1, 2), lambda a, b, c: (a @ b) @ c),
        (lambda *m: torch.linalg.multi_dot(m), ((3, 4), (4, 5), (5, 2)), (0, 2), lambda a, b, c: (a @ b) @ c),
        (
            lambda a, b, c: torch.einsum("ij,jk,kl->li", a, b, c),
            ((3, 4), (4, 5), (5, 2)),
            (0, 1, 2),
            lambda a, b, c: ((a @ b) @ c).mT,
        ),
        (lambda x: torch.einsum("bij->jb", x), ((2, 3, 4),), (0,), lambda x: x.permute(2, 0, 1).sum((2,))),
        (lambda x: torch.einsum("bij->jbi", x), ((2, 3, 4),), (0,), lambda x: x.permute(2, 0, 1)),
        (lambda x, w: torch.einsum("bnd,d->bnd", x, w), ((2, 3, 4), (4,)), (0,), lambda x, w: x * w),
    ],
    ids=[
        "bias",
        "added",
        "scaled",
        "addmv",
        "baddbmm",
        "addbmm",
        "chain",
        "multi_dot",
        "three",
        "sum",
        "permutation",
        "factor",
    ],
)
def test_what_is_made_of_products(call: Call, shapes: Any, carry: Any, canonical: Call, recipe: str) -> None:
    operands = tuple(random(*shape) for shape in shapes)
    got, expected = (shares(each, operands, carry, RECIPES[recipe]) for each in (call, canonical))
    for ours, theirs in zip(got, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    ("call", "shapes", "carry"),
    [(call, shapes, (0, 1)) for call, shapes, _ in PRODUCTS.values()]
    + [(call, shapes, (at,)) for call, shapes, at, _ in LAYERS.values()],
    ids=[*PRODUCTS, *(f"{name}, constant" for name in LAYERS)],
)
def test_products_conserve_relevance(call: Call, shapes: Any, carry: tuple[int, ...]) -> None:
    result, *found = shares(call, tuple(random(*shape).abs() for shape in shapes), carry, CHEFER)
    start = torch.linspace(0.5, 1.5, result.numel(), dtype=result.dtype).sum()
    torch.testing.assert_close(sum(each.sum() for each in found), start, rtol=1e-6, atol=0)


def test_what_cannot_be_read_is_refused() -> None:
    with pytest.raises(RuleError, match="of 1 operands written like this"):
        shares(lambda x: torch.einsum("bii->bi", x), (random(2, 3, 3),), (0,), CHEFER)


def _assigned(x: Tensor) -> Tensor:
    kept = torch.zeros_like(x)
    kept[:, 1:] = x[:, :-1]
    return kept


FLIPPED = torch.arange(5, -1, -1)
ODD = torch.arange(6) % 2 == 1
MOVES: dict[str, Call] = {
    "reshape_as": lambda x: x.reshape_as(torch.empty(4, 12)),
    "view_as": lambda x: x.view_as(torch.empty(8, 6)),
    "as_strided": lambda x: x.as_strided((4, 6), (6, 1), 12),
    "unflatten": lambda x: x.unflatten(2, (2, 3)),
    "swapdims": lambda x: torch.swapdims(x, 0, 1),
    "swapaxes": lambda x: x.swapaxes(0, 1),
    "movedim": lambda x: x.movedim(0, -1),
    "moveaxis": lambda x: torch.moveaxis(x, 0, -1),
    "adjoint": lambda x: x.adjoint(),
    "H": lambda x: x[0].H,
    "mH": lambda x: x.mH,
    "t": lambda x: x[0].t(),
    "narrow": lambda x: x.narrow(1, 1, 2),
    "select": lambda x: x.select(1, 0),
    "unbind": lambda x: torch.stack(x.unbind(1)[::-1]),
    "iteration": lambda x: torch.stack(list(x)),
    "split": lambda x: torch.cat(x.split(2, 1)[::-1]),
    "split_with_sizes": lambda x: x.split_with_sizes([1, 3], 1)[1],
    "chunk": lambda x: torch.concat(x.chunk(3, 2)),
    "tensor_split": lambda x: torch.concatenate(x.tensor_split(3, 2)),
    "hsplit": lambda x: torch.hstack(x.hsplit(2)[::-1]),
    "vsplit": lambda x: torch.vstack(x.vsplit(2)[::-1]),
    "dsplit": lambda x: torch.dstack(x.dsplit(2)[::-1]),
    "column_stack": lambda x: torch.column_stack([x[0], x[1]]),
    "unsqueeze": lambda x: x.unsqueeze(0),
    "squeeze": lambda x: x[:1].squeeze(0),
    "in place": lambda x: x.clone().unsqueeze_(0).transpose_(1, 2).squeeze_(0),
    "atleast_3d": lambda x: torch.atleast_3d(x[0]),
    "expand": lambda x: x.expand(3, -1, -1, -1),
    "broadcast_to": lambda x: x.broadcast_to(3, 2, 4, 6),
    "broadcast_tensors": lambda x: torch.broadcast_tensors(x, torch.empty(3, 1, 1, 1, dtype=x.dtype))[0],
    "repeat": lambda x: x.repeat(2, 1, 1),
    "tile": lambda x: x.tile(2),
    "repeat_interleave": lambda x: x.repeat_interleave(2, 1),
    "roll": lambda x: x.roll(1, 1),
    "flip": lambda x: x.flip(1),
    "fliplr": lambda x: x.fliplr(),
    "flipud": lambda x: x.flipud(),
    "rot90": lambda x: x.rot90(),
    "ravel": lambda x: x.ravel(),
    "unfold": lambda x: x.unfold(2, 2, 1),
    "F.unfold": lambda x: F.unfold(x[None], 2),
    "pixel_shuffle": lambda x: F.pixel_shuffle(x.reshape(1, 4, 3, 4), 2),
    "pixel_unshuffle": lambda x: F.pixel_unshuffle(x, 2),
    "channel_shuffle": lambda x: F.channel_shuffle(x[None], 2),
    "pad": lambda x: F.pad(x, (1, 0, 2, 1)),
    "pad by reflection": lambda x: F.pad(x, (1, 1), mode="reflect"),
    "diagonal": lambda x: x.diagonal(dim1=1, dim2=2),
    "diag_embed": lambda x: x.diag_embed(),
    "tril": lambda x: x.tril(),
    "triu": lambda x: x.triu(),
    "take": lambda x: x.take(FLIPPED),
    "take_along_dim": lambda x: x.take_along_dim(FLIPPED.expand(2, 4, 6), 2),
    "index_select": lambda x: x.index_select(2, FLIPPED),
    "gather": lambda x: x.gather(2, FLIPPED.expand(2, 4, 6)),
    "scatter": lambda x: torch.zeros_like(x).scatter(2, FLIPPED.expand(2, 4, 6), x),
    "masked_select": lambda x: x.masked_select(ODD),
    "masked_fill": lambda x: x.masked_fill(ODD, 0),
    "where": lambda x: torch.where(ODD, x, 0.0),
    "sort": lambda x: x.sort(-1).values,
    "topk": lambda x: x.topk(2, -1)[0],
    "meshgrid": lambda x: torch.meshgrid(x[0, 0], x[1, 0], indexing="ij")[0],
    "type": lambda x: x.float().to(x).type_as(x),
    "assignment": _assigned,
}


@pytest.mark.parametrize("recipe", ["chefer", "attn_gamma"])
@pytest.mark.parametrize("name", MOVES)
def test_moves_take_relevance_along(name: str, recipe: str) -> None:
    """Each number of the result is one that went in, or 0; each that went in gets the relevance of its copies."""
    x = torch.arange(1.0, 49.0, dtype=torch.float64)[torch.randperm(48)].view(2, 4, 6)
    result, found = shares(MOVES[name], (x,), (0,), RECIPES[recipe])
    start = torch.linspace(0.5, 1.5, result.numel(), dtype=result.dtype)
    expected = torch.stack([start[result.flatten() == number].sum() for number in x.flatten()]).view(x.shape)
    torch.testing.assert_close(found, expected)
    assert not set(result.flatten().tolist()) - set(x.flatten().tolist()) - {0.0}
