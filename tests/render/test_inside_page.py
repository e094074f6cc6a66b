"""What lies inside a model, drawn and packed for a page."""

from __future__ import annotations

import base64
from dataclasses import replace

import numpy as np
import pytest

from vitreous.render.case import Attempt, Case, MethodCase, ToldClass
from vitreous.render.inside import Colors, Heads, Inside, Norms, PatchesAlike
from vitreous.render.inside_page import packed_inside, specks
from vitreous.render.picture_page import picture_page


def made() -> Inside:
    """Of 2 × 3 patches and two blocks, the last patch an artifact."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(6, 4))
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    values = features @ features.T
    norms = np.ones((2, 2, 3))
    norms[:, 1, 2] = 9
    head = [[0.5, 1.5], [1.0, 2.0]]
    return Inside(
        (2, 3),
        ("blocks.0", "blocks.1"),
        [PatchesAlike("tokens", 0, values), PatchesAlike("tokens", 1, values**2), PatchesAlike("keys", 1, -values)],
        [Colors(rng.random((2, 3, 3)), (0.5, 0.25, 0.125)), "the tokens of `blocks.1` are the same at every patch."],
        Norms(norms, norms > 3, 3.0, norms[0] > 3),
        [[ToldClass("dog", "60.0%", 0.6)], [ToldClass("tabby", "90.0%", 0.9)]],
        Heads(head, head, [[0.1, 0.2], [0.0, 0.1]]),
    )


def test_likeness_comes_back_within_half_a_step() -> None:
    inside = made()
    told = packed_inside(inside)
    assert told
    assert [(each["kind"], each["block"]) for each in told["alike"]] == [("tokens", 0), ("tokens", 1), ("keys", 1)]
    for each, packed in zip(inside.alike, told["alike"], strict=True):
        assert isinstance(each, PatchesAlike)
        steps = np.frombuffer(base64.b64decode(packed["values"]), np.uint8)
        low, high = packed["low"], packed["high"]
        half = low + (high - low) * steps / 255
        np.testing.assert_allclose(half, each.values[np.tril_indices(6)], atol=(high - low) / 510 + 1e-6)


@pytest.mark.parametrize(
    ("values", "attends", "found"),
    [
        ([[0, 1, 2], [3, 4, 9]], True, [[1, 2]]),
        ([[0, 1, 2], [3, 4, -9]], True, [[1, 2]]),
        ([[0, 1, 9], [3, 4, 2]], True, None),
        ([[0, 1, 2], [3, 4, 9]], False, None),
        ([[0, 1], [2, 3]], True, None),
        ([[0, 0, 0], [0, 0, 0]], True, None),
    ],
)
def test_artifacts_spoil_attention_maps_that_they_are_strong_in(
    values: list[list[float]], attends: bool, found: list[list[int]] | None
) -> None:
    method = MethodCase("m", "M", [Attempt(np.array(values, float))], attends=attends)
    marked = specks(method, method.attempts[0], made())
    assert (None if marked is None else np.argwhere(marked).tolist()) == found


def test_nothing_is_marked_without_a_map_or_a_look_inside() -> None:
    method = MethodCase("m", "M", [Attempt(None, "there is none.")], attends=True)
    assert specks(method, method.attempts[0], made()) is None
    whole = Attempt(np.arange(6.0).reshape(2, 3))
    assert specks(method, whole, None) is None
    assert specks(method, whole, Inside.unseen("nothing is seen.")) is None


def test_the_page_says_it_all_without_a_script() -> None:
    case = Case("cat.png", None, [], [ToldClass("tabby", "90.0%", 0.9)], inside=made())
    page = picture_page(case)
    for text in (
        "<h2>Similarity</h2>",
        "tokens after block 1",
        "keys of block 2",
        "patch 2,2",
        "<h2>Principal components</h2>",
        "50% + 25% + 12% of the variance",
        "are the same at every patch.",
        "<b>16.7%</b>",
        "The last attention meets 1 of that kind (row,column from 1,1): 2,3.",
        "median 1, highest 9; 1 of 6 stand out",
        "tabby <b>90.0%</b>",
        "1.00 (0.50 to 1.50)",
        "15%",
    ):
        assert text in page, text


def test_a_model_that_shows_nothing_says_why_once() -> None:
    case = Case("cat.png", None, [], [None], inside=Inside.unseen("`Net` runs no attention."))
    page = picture_page(case)
    assert page.count("<code>Net</code> runs no attention.") == 1
    assert "<h2>Similarity</h2>" not in page


def test_reasons_stand_for_what_is_lacking() -> None:
    inside = replace(made(), said="it gives no class scores.", alike="1,500 patches are too many.")
    page = picture_page(Case("cat.png", None, [], [None], inside=inside))
    assert "What the model would say after each block is not here: it gives no class scores." in page
    assert "if it were the last" not in page
    assert "The logit lens" not in page
    assert "1.00 (0.50 to 1.50)" in page
    assert "Not here: 1,500 patches are too many." in page
    assert packed_inside(inside) is None


def test_a_table_of_blocks_has_no_empty_columns() -> None:
    inside = replace(made(), heads="its heads are not seen.")
    page = picture_page(Case("cat.png", None, [], [None], inside=inside))
    assert "How its heads look is not here: its heads are not seen." in page
    assert ">entropy<" not in page
    assert "tabby <b>90.0%</b>" in page


def test_of_several_models_each_has_its_row() -> None:
    """One that shows nothing says so; frames are where the model of the class has artifacts."""
    strong = Attempt(np.array([[0.0, 1.0, 2.0], [3.0, 4.0, 9.0]]))
    dog, tabby = ToldClass("dog", "60.0%", 0.6), ToldClass("tabby", "90.0%", 0.9)
    one = Case("cat.png", None, [], [dog], [dog], inside=made())
    other = Case("cat.png", None, [], [tabby], [tabby], inside=Inside.unseen("`Net` runs no attention."))
    method = MethodCase("m", "M", [strong, strong], attends=True)
    case = Case("cat.png", None, [method], [dog, tabby], by_model={"first": one, "second": other})
    page = picture_page(case)
    assert "<h1>cat.png</h1>" in page
    assert page.count("<h3>first</h3>") == page.count("<h3>second</h3>") == 4
    assert page.count("Not here: <code>Net</code> runs no attention.") == 4
    assert ['aria-label="What first says"' in page, 'aria-label="What second says"' in page] == [True, True]
    assert '"specks": [[[1, 2]], []]' in page
    assert [case.inside_for(at) is each.inside for at, each in enumerate((one, other))] == [True, True]
    nothing = replace(case, by_model={"first": other, "second": other})
    assert picture_page(nothing).count("are not here: <code>Net</code> runs no attention.") == 2


def test_a_page_without_a_look_inside_has_no_tabs() -> None:
    assert "data-tab" not in picture_page(Case("cat.png", None, [], [None])).split("<script")[0]
