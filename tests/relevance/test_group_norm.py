"""Group normalization has the rule of the others: its variance is a constant."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vitreous.relevance.composites import ATTN_LRP, CHEFER, CP_LRP, LIBRA_GRAD
from vitreous.relevance.propagate import propagate
from vitreous.trace.pixels import pixel_response
from vitreous.trace.target import Classes


class WrittenGroupNorm(nn.GroupNorm):
    def forward(self, x: Tensor) -> Tensor:
        groups = x.unflatten(1, (self.num_groups, -1))
        over = tuple(range(2, groups.ndim))
        centered = groups - groups.mean(over, keepdim=True)
        scaled = (centered / (centered**2).mean(over, keepdim=True).add(self.eps).sqrt()).flatten(1, 2)
        if self.weight is None:
            return scaled
        shape = (-1, *(1,) * (x.ndim - 2))
        return scaled * self.weight.view(shape) + self.bias.view(shape)


@pytest.mark.parametrize("recipe", [CP_LRP, LIBRA_GRAD, ATTN_LRP], ids=["cp_lrp", "libra", "attn"])
@pytest.mark.parametrize(
    ("shape", "groups", "affine"), [((6, 4, 2), 3, True), ((6, 8), 1, True), ((6,), 2, False)], ids=str
)
def test_group_norm_is_the_one_that_is_written_out(
    recipe: object, shape: tuple[int, ...], groups: int, affine: bool
) -> None:
    torch.manual_seed(0)
    images, slopes = torch.randn(2, 3, 4, 4).double(), []
    inside = nn.Sequential(
        nn.Flatten(), nn.Linear(48, math.prod(shape), bias=False), nn.Unflatten(1, shape), nn.Identity(), nn.Flatten()
    )
    model = nn.Sequential(*inside, nn.Linear(math.prod(shape), 4, bias=False)).double()
    norms = [kind(groups, 6, eps=0.1, affine=affine).double() for kind in (nn.GroupNorm, WrittenGroupNorm)]
    if affine:
        nn.init.normal_(norms[0].weight)
        norms[1].load_state_dict(norms[0].state_dict())
    for norm in norms:
        model[3] = norm
        with propagate(model, recipe):  # type: ignore[arg-type]
            response = pixel_response(model, images)
        slopes.append(response.gradient(Classes((1,))(response.logits.detach())))
        total = (images * slopes[-1]).sum((1, 2, 3))
        torch.testing.assert_close(total, response.logits[:, 1].detach())
    torch.testing.assert_close(slopes[0], slopes[1])


def test_chefers_rules_pass_it_on_as_it_is() -> None:
    x = torch.randn(2, 6, 3).requires_grad_()
    with propagate(nn.Identity(), CHEFER):
        result = F.group_norm(x, 2)
    start = torch.randn(2, 6, 3)
    assert torch.equal(*torch.autograd.grad(result, x, start), start)
