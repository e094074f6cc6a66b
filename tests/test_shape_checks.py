from __future__ import annotations

import pytest
import torch
from jaxtyping import TypeCheckError

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
