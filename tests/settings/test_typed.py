"""Settings of the wrong type, for everything that has settings."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.contract.zoo import CASES
from vitreous import explain
from vitreous.errors import ExplainError, ShapeError, UnknownName
from vitreous.methods import METHODS, make_method
from vitreous.metrics import METRICS, make_metric
from vitreous.metrics.score import Score
from vitreous.settings.typed import Count, shown, typed, wanted

ODD = (1.5, math.nan, math.inf, -(10**30), 10**400, True, None, "x", [], ["x"], [math.nan], {}, b"", 3)
SETTINGS = [(name, item.name) for name, maker in {**METHODS, **METRICS}.items() for item in fields(maker)]  # type: ignore[arg-type]

# the model, the picture or another setting have an end of their own
CAPPED = ("batch_size", "start_layer", "window", "stride", "length", "directions", "last", "sides")


def fits(hint: Any, value: object) -> bool:
    try:
        typed(hint, value)
    except TypeError:
        return False
    return True


@pytest.mark.parametrize(("owner", "setting"), SETTINGS)
def test_a_setting_of_another_type_is_named_with_what_is_wanted(owner: str, setting: str) -> None:
    maker: Any = {**METHODS, **METRICS}[owner]
    hint = get_type_hints(maker, include_extras=True)[setting]
    if hint is Any:
        return
    odd = [value for value in ODD if not fits(hint, value)]
    assert len(odd) >= 5
    for value in odd:
        with pytest.raises((ShapeError, UnknownName)) as told:
            (make_method if owner in METHODS else make_metric)(owner, **{setting: value})
        assert f"`{setting}`" in str(told.value)


@pytest.mark.parametrize(("owner", "setting"), SETTINGS)
def test_how_often_is_bounded(owner: str, setting: str) -> None:
    maker: Any = {**METHODS, **METRICS}[owner]
    if get_type_hints(maker)[setting] not in (int, int | None):
        return
    if setting in ("seed", *CAPPED):
        return
    with pytest.raises(ShapeError, match=f"`{setting}` of .* is 1000000000. Give"):
        (make_method if owner in METHODS else make_metric)(owner, **{setting: 10**9})


@pytest.mark.parametrize(
    ("name", "settings"), [("rise", {"masks": 100_000, "grid": 100}), ("mgrw", {"walks": 10_000, "length": 10**9})]
)
def test_what_is_drawn_is_bounded(name: str, settings: dict[str, int]) -> None:
    with pytest.raises(ShapeError, match="are more than 10,000,000 numbers to draw"):
        explain(CASES["timm_vit"].model(), CASES["timm_vit"].images(), name, **settings)


def test_a_method_made_by_hand_is_checked_as_well() -> None:
    model, images = CASES["timm_vit"].model(), CASES["timm_vit"].images()
    random = make_method("random")
    object.__setattr__(random, "seed", 1.5)
    with pytest.raises(ShapeError, match=r"`seed` of `Random` is 1\.5\. Give a whole number from 0"):
        explain(model, images, random)
    judge = METRICS["pointing"]()
    object.__setattr__(judge, "tolerance", math.nan)
    with pytest.raises(ShapeError, match=r"`tolerance` of `Pointing` is nan\. Give a finite number"):
        Score(judge)


@pytest.mark.parametrize(
    ("name", "settings", "said"),
    [
        ("rise", {"masks": 1.5}, "`masks` of `rise` is 1.5. Give a whole number from 1 to 100000."),
        ("center_gaussian", {"sigma": math.nan}, "`sigma` of `center_gaussian` is nan. Give a finite number."),
        ("grad_cam", {"layer": 3}, "`layer` of `grad_cam` is 3. Give a text."),
        ("rollout", {"readout": [1]}, "`readout` of `rollout` is [1]. Give 'class' or 'mean'."),
        ("rollout", {"readout": "men"}, 'no value of `readout` named "men". Did you mean "mean"? Known: class, mean.'),
        ("bt_head", {"start_layer": "a"}, "`start_layer` of `bt_head` is 'a'. Give a whole number or nothing."),
        ("tis", {"seed": -1}, f"`seed` of `tis` is -1. Give a whole number from 0 to {2**63 - 1}."),
    ],
)
def test_what_is_said(name: str, settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ExplainError) as told:
        make_method(name, **settings)
    assert str(told.value) == said


def test_what_json_and_numpy_write_otherwise_is_made_right() -> None:
    import numpy as np

    rise: Any = make_method("rise", masks=np.int64(8), mean=[0, 1, np.float32(0.5)], std=[1, 1, 1])
    assert (rise.masks, rise.mean, type(rise.masks)) == (8, (0.0, 1.0, 0.5), int)
    assert make_method("rise", seed=0) == make_method("rise")
    assert typed(torch.dtype | None, None) is None


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
HINTS = (int, float, str, bool, Count, int | None, tuple[float, ...], tuple[int, int], Literal["a", 1], dict, Any)


@given(st.sampled_from(HINTS), values)
def test_any_value_is_made_right_or_refused(hint: Any, value: object) -> None:
    wanted(hint)
    assert len(shown(value)) < 1000
    try:
        made = typed(hint, value)
    except TypeError:
        return
    assert fits(hint, made)
    if hint is float:
        assert math.isfinite(made)
    if get_origin(hint) is Literal:
        assert made in get_args(hint)
