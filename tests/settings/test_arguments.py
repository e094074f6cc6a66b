"""Arguments of the wrong type, for every function that users call with values."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import vitreous
from tests.contract.zoo import CASES
from tests.settings.test_typed import ODD, fits
from vitreous.errors import ExplainError, ShapeError, UnknownName
from vitreous.inside.concepts import Concepts
from vitreous.methods import METHODS
from vitreous.methods.explanation import Explanation
from vitreous.settings.arguments import hints_of

EXPLANATION = Explanation(
    torch.rand(2, 3, 3), torch.rand(2, 4), torch.tensor([1, 2]), METHODS["random"](), inputs=torch.rand(2, 3, 6, 6)
)
RECORD = inspect.unwrap(vitreous.record)  # tests check its types before it does
CONCEPTS = Concepts(torch.rand(1, 2, 3, 3), torch.rand(2, 4), torch.rand(4), 0.5, "layer")
NEEDED: list[tuple[Callable[..., Any], dict[str, Any]]] = [
    (vitreous.explain, {"model": None, "images": None}),
    (vitreous.load, {}),
    (vitreous.batch, {"dataset": "x", "output": "y"}),
    (vitreous.similarity, {"model": None, "picture": None}),
    (vitreous.components, {"model": None, "images": None}),
    (vitreous.artifacts, {"model": None, "images": None}),
    (vitreous.interactions, {"model": None, "images": None}),
    (vitreous.heads, {"model": None, "images": None}),
    (vitreous.cka, {"model": None, "images": None}),
    (vitreous.logit_lens, {"model": None, "images": None}),
    (vitreous.concepts, {"model": None, "images": None}),
    (vitreous.concept_effects, {"model": None, "images": None, "found": CONCEPTS}),
    (vitreous.train_autoencoder, {"model": None, "images": None}),
    (vitreous.load_autoencoder, {"path": "x"}),
    (vitreous.prune, {"model": nn.Identity(), "share": 0.5}),
    (vitreous.trust, {"model": None, "explanation": None}),
    (vitreous.report, {"explanations": None}),
    (vitreous.open_picture, {"path": "x"}),
    (vitreous.live, {"model": None, "picture": None}),
    *((getattr(EXPLANATION, name), {}) for name in ("mask", "boxes", "overlay", "crop", "view", "answer")),
    (EXPLANATION.class_name, {"index": 0}),
    (EXPLANATION.save, {"path": "x"}),
    (EXPLANATION.export, {"path": "x"}),
    (Explanation.load, {"path": "x"}),
]


@pytest.mark.parametrize(("function", "needed"), NEEDED, ids=[each.__name__ for each, _ in NEEDED])
def test_an_argument_of_another_type_is_named_with_what_is_wanted(
    function: Callable[..., Any], needed: dict[str, Any]
) -> None:
    tried = 0
    for name, hint in hints_of(function).items():
        if hint is Any:
            continue
        for value in (each for each in ODD if not fits(hint, each)):
            with pytest.raises((ShapeError, UnknownName)) as told:
                function(**{**needed, name: value})
            assert f"`{name}`" in str(told.value)
            tried += 1
    assert tried >= 5


@pytest.mark.parametrize("name", ["mask", "boxes", "overlay", "crop", "view", "answer", "at_picture_size"])
def test_a_place_beyond_the_images_is_refused(name: str) -> None:
    for place in (2, -3, 10**9):
        with pytest.raises(UnknownName, match=rf'no image named "{place}"'):
            getattr(EXPLANATION, name)(index=place)


@pytest.mark.parametrize("name", [4, -1, 10**9])
def test_a_class_beyond_the_scores_has_no_name(name: int) -> None:
    with pytest.raises(UnknownName, match=rf'no class named "{name}"'):
        EXPLANATION.class_name(name)


@pytest.mark.parametrize("attention", [1, "x", [len]])
def test_what_attention_is_shown_to_is_called(attention: object) -> None:
    case = CASES["timm_vit"]
    with pytest.raises(ShapeError, match="`attention` of `record` is"):
        RECORD(case.model(), case.images(), attention=attention)


ALONE = (math.nan, 1.5, b"x", object(), {None: None}, [None], [[1]], lambda *_: None, torch.tensor(0.5), np.array(0.5))


@pytest.mark.parametrize("value", ALONE, ids=map(repr, range(len(ALONE))))
def test_what_functions_check_by_themselves(value: object) -> None:
    model, images = CASES["timm_vit"].model(), CASES["timm_vit"].images()
    calls: list[Callable[[], object]] = [
        lambda: vitreous.explain(value, images),  # type: ignore[call-overload]
        lambda: vitreous.explain(model, value),  # type: ignore[call-overload]
        lambda: vitreous.explain(model, images, value),  # type: ignore[call-overload]
        lambda: vitreous.explain(model, images, "rollout", value),  # type: ignore[call-overload]
        lambda: vitreous.explain(model, images, "rollout", 0, against=value),  # type: ignore[call-overload]
        lambda: vitreous.trust(model, value),  # type: ignore[arg-type]
        lambda: vitreous.report(value, "x.html"),  # type: ignore[arg-type]
        lambda: vitreous.stop_gradient(value, []).__enter__(),  # type: ignore[arg-type]
        lambda: vitreous.stop_gradient(model, [value]).__enter__(),  # type: ignore[list-item]
        lambda: RECORD(model, images, outputs=value),
        lambda: RECORD(model, images, gradients=value),
        lambda: vitreous.Margin(value, value)(torch.rand(2, 3)),  # type: ignore[arg-type]
        lambda: vitreous.Classes(value),  # type: ignore[arg-type]
        lambda: vitreous.Preprocess((32, 32), mean=value),  # type: ignore[arg-type]
    ]
    for call in calls:
        with pytest.raises(ExplainError):
            call()


def test_whole_numbers_and_sequences_of_other_libraries_are_taken() -> None:
    model, images = CASES["timm_vit"].model(), CASES["timm_vit"].images()
    expected = vitreous.explain(model, images, "grad_cam", 1).heatmap
    whole: Any = np.int64
    found = vitreous.explain(
        model, images, "grad_cam", whole(1), batch_size=whole(8), patches=range(1, 17), grid=(4, 4)
    )
    assert torch.equal(found.heatmap, expected)


def test_a_checked_function_keeps_its_face() -> None:
    assert [*inspect.signature(vitreous.explain).parameters][:3] == ["model", "images", "method"]
    assert vitreous.explain.__doc__
    with pytest.raises(TypeError, match="missing a required argument: 'images'"):
        vitreous.explain(CASES["timm_vit"].model())  # type: ignore[call-overload]
