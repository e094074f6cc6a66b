"""Detectors and models of segmentation in folders that `save_pretrained` wrote: loaded, also by the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from typer.testing import CliRunner

import vitreous
from tests.contract.libraries import CLASSES, detr, segformer, yolos
from tests.tiny import noise
from vitreous.cli.main import app
from vitreous.errors import ModelError, UnknownName
from vitreous.models.hf_source import _of_queries  # pyright: ignore[reportPrivateUsage]
from vitreous.models.zoo import load

EDGES = {"shortest_edge": 64, "longest_edge": 96}
KINDS: dict[str, tuple[Callable[[], Any], Callable[[], Any], tuple[str, ...]]] = {
    "detr": (detr, lambda: transformers.DetrImageProcessor(size=EDGES), ("logits,3", "logits,max")),
    "yolos": (yolos, lambda: transformers.YolosImageProcessor(size=EDGES), ("logits,0", "logits,-1")),
    "segformer": (
        segformer("SemanticSegmentation"),
        lambda: transformers.SegformerImageProcessor(size={"height": 64, "width": 64}),
        ("logits,4,7", "logits,mean"),
    ),
}


def saved(kind: str, folder: Path) -> str:
    torch.manual_seed(0)
    build, processor, _ = KINDS[kind]
    build().save_pretrained(folder)
    processor().save_pretrained(folder)
    return f"hf:{folder}"


@pytest.mark.filterwarnings("ignore:.*pictures of any shape")
@pytest.mark.parametrize("kind", KINDS)
def test_places_and_queries_are_explained(kind: str, tmp_path: Path) -> None:
    loaded = load(saved(kind, tmp_path))
    assert loaded.preprocess is not None
    assert loaded.preprocess.size == (64, 64)
    assert loaded.preprocess.border == (kind != "segformer")
    assert loaded.class_names[CLASSES:] == (() if kind == "segformer" else ("no object",))
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    answer: Any = loaded.model.eval()(images).logits
    said = {
        "logits,3": lambda: answer[:, 3],
        "logits,max": lambda: answer.amax(1),
        "logits,0": lambda: answer[:, 0],
        "logits,-1": lambda: answer[:, -1],
        "logits,4,7": lambda: answer[:, :, 4, 7],
        "logits,mean": lambda: answer.mean((2, 3)),
    }
    for output in KINDS[kind][2]:
        found = vitreous.explain(loaded, images, "input_x_gradient", output=output)
        torch.testing.assert_close(found.logits, said[output](), rtol=1e-4, atol=1e-5)


def test_a_detector_without_a_score_of_no_object_says_of_each_class_whether_it_is_there() -> None:
    model: Any = yolos()
    model.config.id2label = {at: f"thing {at}" for at in range(CLASSES + 1)}
    names, how = _of_queries(model)
    assert (len(names), how.link) == (CLASSES + 1, "sigmoid")


@pytest.mark.filterwarnings("ignore:.*pictures of any shape")
@pytest.mark.parametrize(
    ("output", "why"),
    [
        ("logits", r"choose a row, output=\"logits,0\" \(--model-output logits,0\)"),
        ("logits,9", r"'9' is no place in it\. Give the query, from 0 to 4, or \"max\""),
        ("logits,1,1", r"'1,1' is no place in it"),
        ("logits,best", r"'best' is no place in it"),
        ("scores,1", r'named "scores"\. Known: logits, pred_boxes'),
    ],
)
def test_a_place_that_is_none_is_refused(output: str, why: str, tmp_path: Path) -> None:
    with pytest.raises((ModelError, UnknownName), match=why):
        vitreous.explain(load(saved("yolos", tmp_path)), noise(1), "rollout", output=output)


def test_the_command_line_explains_a_query(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    model = saved("yolos", tmp_path / "model")
    words = "--model-output", "logits,3", "--method", "raw_attention"
    done = CliRunner().invoke(app, ["explain", "--model", model, *words])
    assert done.exit_code == 0, done.stderr
    assert "pictures of any shape, their shorter side 64" in " ".join(done.stderr.split())
