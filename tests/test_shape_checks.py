from __future__ import annotations

import pytest
import torch
from jaxtyping import TypeCheckError

from vitreous.masking.fill import make_fill, solid
from vitreous.methods.method import Explanation
from vitreous.methods.rollout import Rollout


def test_shapes_are_checked_in_functions_closures_and_records() -> None:
    with pytest.raises(TypeCheckError):
        solid(0.0, [0.5], [0.5])(torch.ones(3))
    with pytest.raises(TypeCheckError):
        Explanation(torch.ones(3), torch.ones(1, 2), torch.zeros(1, dtype=torch.long), Rollout())


def test_plain_types_are_checked() -> None:
    with pytest.raises(Exception, match="violates type hint"):
        make_fill(7, (), ())  # type: ignore[arg-type]
