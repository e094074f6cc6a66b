"""Which of the things that a model returns are taken for its class scores, and which are not."""

from __future__ import annotations

from collections import namedtuple
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from vitreous.errors import ModelError, NoClassScores, UnknownName
from vitreous.trace.output import class_scores, everything
from vitreous.trace.reading import Output

SCORES, OTHERS, TOKENS = torch.randn(2, 7), torch.randn(2, 32), torch.randn(2, 17, 32)
Named = namedtuple("Named", ("summary", "logits"))


@dataclass
class Record:
    logits: Tensor
    boxes: Tensor


@pytest.mark.parametrize(
    "output",
    [
        SCORES,
        {"logits": SCORES},
        {"features": OTHERS, "logits": SCORES},
        Named(OTHERS, SCORES),
        Record(SCORES, OTHERS),
        SimpleNamespace(logits=SCORES),
        (SCORES,),
        [SCORES],
        {"out": SCORES},
        {"out": {"logits": SCORES}},
        ({"features": TOKENS, "logits": SCORES},),
        (torch.tensor(0.3), SCORES),
        (SCORES, (TOKENS, TOKENS), None),
        {"scores": SCORES, "index": torch.tensor([1, 2])},
    ],
    ids=lambda output: type(output).__name__,
)
def test_what_can_only_be_meant_is_taken(output: Any) -> None:
    assert class_scores(output, None, "Model", 2) is SCORES


def test_a_value_per_image_is_a_column() -> None:
    assert class_scores(SCORES[:, 0], None, "Model", 2).shape == (2, 1)
    assert class_scores({"logits": SCORES[:, 0]}, None, "Model", 2).shape == (2, 1)


@pytest.mark.parametrize("squeezed", [SCORES[0], SCORES[0, 0], SCORES[0, :1]])
def test_what_a_squeeze_took_away_is_put_back(squeezed: Tensor) -> None:
    for output in (squeezed, {"logits": squeezed}):
        assert torch.equal(class_scores(output, None, "Model", 1), squeezed.reshape(1, -1))
        assert torch.equal(
            class_scores(output, lambda out: getattr(out, "data", squeezed), "Model", 1)[0], squeezed.flatten()
        )


REFUSED: dict[str, tuple[Any, tuple[str, ...]]] = {
    "features and scores": (
        (OTHERS, SCORES),
        (
            "`0` (2, 32), `1` (2, 7), and which of them are the class scores cannot be told",
            "Name one, such as output=0",
        ),
    ),
    "two heads": ({"a": SCORES, "b": SCORES}, ("`a` (2, 7), `b` (2, 7)", "output='a' (--model-output a)")),
    "scores and tokens": ((SCORES, TOKENS), ("`0` (2, 7), `1` (2, 17, 32), and which of them",)),
    "a summary and tokens": ({"summary": OTHERS, "features": TOKENS}, ("cannot be told",)),
    "a backbone": (
        {"last_hidden_state": TOKENS, "pooler_output": OTHERS},
        ("features, and no class scores.", "`raw_attention`", "output='pooler_output'"),
    ),
    "a detector": (
        {"pred_logits": TOKENS, "pred_boxes": TOKENS},
        ("none is (batch, classes)", 'output="pred_logits,0" (--model-output pred_logits,0)'),
    ),
    "scores of queries": (
        {"logits": TOKENS},
        ("(2, 17, 32) as `logits` for 2 images, not (batch, classes)", 'output="logits,0"'),
    ),
    "a segmentation": (
        Record(torch.randn(2, 3, 8, 8), OTHERS),
        ('output="logits,0,0" (--model-output logits,0,0)', 'output="logits,mean"'),
    ),
    "tokens": (TOKENS, ("(2, 17, 32) for 2 images, not (batch, classes)", 'output=",0" (--model-output ,0)')),
    "tokens further in": (
        {"a": {"b": {"c": TOKENS, "d": {"e": TOKENS}}}, "f": TOKENS, "g": {"h": 1}},
        ("(2, 17, 32)", 'output="f,0" (--model-output f,0)'),
    ),
    "one number": (SCORES.mean(), ("of shape () for 2 images", "Give a row for each image; a model that mixes")),
    "scores of no image": (SCORES[0], ("(7,) for 2 images, not (batch, classes)", "Give a row for each image; a")),
    "rows in a row": (SCORES.flatten(), ("(14,) for 2 images", "output=lambda out: out.reshape(2, -1)")),
    "classes first": (SCORES.T, ("(7, 2) for 2 images, not (batch, classes)", "Give a row for each image")),
    "decisions": (SCORES.argmax(1), ("of shape (2,) torch.int64", "no gradient")),
    "nothing": (None, ("`NoneType`, in which there are no class scores",)),
    "nothing at all": ({}, ("`dict`, in which there are no class scores",)),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_told_is_refused_with_the_choices(name: str) -> None:
    output, said = REFUSED[name]
    with pytest.raises(NoClassScores, match=r"^`Model` returned .*\. [A-Z].*\.$") as caught:
        class_scores(output, None, "Model", 2)
    assert all(words in str(caught.value) for words in said)


def test_an_embedding_is_not_taken_for_scores() -> None:
    unit = F.normalize(torch.randn(2, 512), dim=1)
    for output in (unit, (unit, None, torch.tensor(100.0)), unit.bfloat16()):
        with pytest.raises(NoClassScores, match="rows have length 1: an embedding"):
            class_scores(output, None, "CLIP", 2)
    certain = F.one_hot(torch.tensor([3, 5]), 512).float()
    assert class_scores(certain, None, "Model", 2) is certain, "probabilities of a sure model have that length too"
    assert class_scores(unit, lambda output: output, "CLIP", 2) is unit, "whoever says so may explain it"


@pytest.mark.parametrize("wanted", ["scores", 1, -1, lambda output: output["scores"]])
def test_an_output_is_chosen_by_name_index_or_function(wanted: Output) -> None:
    assert class_scores({"features": OTHERS, "scores": SCORES}, wanted, "Model", 2) is SCORES


def test_an_index_counts_in_tuples_and_records() -> None:
    assert class_scores((OTHERS, SCORES), 1, "Model", 2) is SCORES
    assert class_scores(Named(OTHERS, SCORES), 0, "Model", 2) is OTHERS


def test_a_wrong_choice_is_refused() -> None:
    with pytest.raises(UnknownName, match=r'no output of `Model` named "score". Did you mean "scores"\?'):
        class_scores({"features": OTHERS, "scores": SCORES}, "score", "Model", 2)
    with pytest.raises(UnknownName, match=r'named "2"\. Known: 0, 1\.'):
        class_scores((OTHERS, SCORES), 2, "Model", 2)
    with pytest.raises(UnknownName, match=r"it is one tensor\)\. Leave out output= \(--model-output\)"):
        class_scores(SCORES, "logits", "Model", 2)
    with pytest.raises(
        ModelError, match=r"gave a tensor of shape \(2, 17, 32\) as `tokens` for 2 images, not .*output=\"tokens,0\""
    ):
        class_scores({"tokens": TOKENS, "scores": SCORES}, "tokens", "Model", 2)
    with pytest.raises(ModelError, match="gave `NoneType` by the function `output`"):
        class_scores(SCORES, lambda _: None, "Model", 2)


@pytest.mark.parametrize("output", [TOKENS, (TOKENS, OTHERS)])
def test_a_place_is_named_after_a_comma(output: Any) -> None:
    name = "0" if isinstance(output, tuple) else ""
    for said, expected in {
        "3": TOKENS[:, 3],
        "-1": TOKENS[:, -1],
        "max": TOKENS.amax(1),
        " mean": TOKENS.mean(1),
    }.items():
        assert torch.equal(class_scores(output, f"{name},{said}", "Model", 2), expected)


def test_everything_is_all_numbers_of_an_image() -> None:
    output = {"tokens": TOKENS, "pair": (SCORES, OTHERS[:1]), "scale": torch.tensor(1.0), "index": torch.tensor([1, 2])}
    assert torch.equal(everything(output), torch.cat([TOKENS.flatten(1), SCORES], 1))
    assert torch.equal(everything(torch.tensor(3.0)), torch.tensor([[3.0]]))
    with pytest.raises(NoClassScores, match="`NoneType` without any numbers"):
        everything(None)
