from __future__ import annotations

import pytest
import torch
from beartype import beartype
from jaxtyping import Float, TypeCheckError
from torch import Tensor

from tests.shape_checks import checked
from vitreous.masking.fill import hide, solid
from vitreous.methods.explanation import Explanation
from vitreous.methods.rollout import Rollout


def test_shapes_are_checked_in_functions_closures_and_records() -> None:
    fill = solid(0.0, [0.5], [0.5])
    with pytest.raises(TypeCheckError):
        hide(torch.ones(1, 3, 4, 4), torch.ones(4, dtype=torch.bool), fill)
    with pytest.raises(TypeCheckError):
        fill(torch.ones(3))
    with pytest.raises(TypeCheckError):
        Explanation(torch.ones(3), torch.ones(1, 2), torch.zeros(1, dtype=torch.long), Rollout())


@checked(typechecker=beartype)
def some(rows: Float[Tensor, "n m"], kept: int) -> Float[Tensor, "n m"]:
    return rows[:kept] if kept else rows[0]


@pytest.mark.parametrize("good", [(4, 3), (5, 3)])
def test_what_held_once_is_checked_again_where_shapes_differ(good: tuple[int, int]) -> None:
    assert some(torch.ones(good), good[0]).shape == good
    assert some(torch.ones(good), good[0]).shape == good
    for rows, kept in ((torch.ones(good), 2), (torch.ones(good), 0), (torch.ones(3), 3), (torch.ones(3, 3).long(), 3)):
        with pytest.raises(TypeCheckError):
            some(rows, kept)
