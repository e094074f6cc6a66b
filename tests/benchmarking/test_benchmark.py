"""The benchmark: what it says is what the metrics say, whatever the batches; it resumes, and refuses what cannot be."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageColor
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from tests.benchmarking.benchmarks import CPU, assert_same, numbers, plan
from tests.cli.conftest import Refusal
from tests.quick import quick
from tests.tiny import CLASSES, PICTURES, noise, save_model
from vitreous.benchmarking import examples
from vitreous.benchmarking.job import benchmark
from vitreous.benchmarking.plan import BASELINES, Plan, plan_metric
from vitreous.benchmarking.presets import PRESETS
from vitreous.benchmarking.truth import prepare_sample
from vitreous.data.readers import open_samples
from vitreous.errors import DataError
from vitreous.explaining.explain import explain
from vitreous.methods import METHODS, make_method
from vitreous.methods.occlusion import Occlusion
from vitreous.metrics.score import Score
from vitreous.models.zoo import load
from vitreous.render.boxes import FOUND, GIVEN
from vitreous.render.sheet import Panel, sheet
from vitreous.statistics.store import Key, Store
from vitreous.statistics.summary import Values


def test_the_table_says_what_the_metrics_say(tmp_path: Path, dataset: str, spec: str) -> None:
    metrics = {**plan(dataset, spec).metrics, "segmentation": {}, "max_box_accuracy": {}}
    outcome = benchmark(plan(dataset, spec, metrics=metrics), tmp_path, device=CPU, dtype=torch.float64)
    found = numbers(outcome)
    model, samples = load(spec, dtype=torch.float64), open_samples(dataset)
    assert model.preprocess
    fitted = [prepare_sample(samples[at], model.preprocess, None) for at in range(PICTURES)]
    images = torch.stack([each.image for each in fitted]).double()
    boxes, masks = [each.boxes for each in fitted], [each.mask for each in fitted if each.mask is not None]
    for row, settings in (("ag_cam", {}), ("rollout_1", {"start_layer": 1}), ("edges", {})):
        made = explain(model, images, row.removesuffix("_1"), **settings)
        scores = {name: Score(plan_metric(name, metrics[name])) for name in metrics}
        scores["box_overlap"].update(made.heatmap, boxes, (32, 32))
        scores["max_box_accuracy"].update(made.heatmap, boxes, (32, 32))
        scores["segmentation"].update(made.heatmap, torch.stack(masks))
        scores["average_drop"].update(model.model, images, made.heatmap, made.target)
        for metric, score in scores.items():
            for name, value in score.compute().items():
                # borders of an enlarged map are equal up to rounding, which average precision sees as an order
                error = 1e-3 if "_ap" in name else 1e-9
                assert found.pop((row, metric, name)) == pytest.approx(float(value), abs=error)
    assert {row for row, _, _ in found} == {"random", "center_gaussian"}


@pytest.mark.slow
def test_batches_do_not_matter(tmp_path: Path, dataset: str, spec: str) -> None:
    one = benchmark(plan(dataset, spec, batch_size=1), tmp_path / "one", device=CPU)
    four = benchmark(plan(dataset, spec), tmp_path / "four", device=CPU)
    assert_same(one, four)


def test_everything_is_written(tmp_path: Path, dataset: str, spec: str) -> None:
    outcome = benchmark(plan(dataset, spec), tmp_path, device=CPU)
    assert [file.name for file in outcome.files] == [f"summary.{end}" for end in ("md", "csv", "tex", "html")]
    markdown = (tmp_path / "summary.md").read_text()
    for row in ("ag_cam", "rollout_1", *BASELINES):
        assert f"| {row} |" in markdown
    rows = (tmp_path / "summary.csv").read_text().splitlines()
    assert len(rows) == 1 + len(outcome.table.cells)
    assert rows[0].startswith("model,method,metric,name,value,low,high,pictures,difference")
    assert r"rollout\_1 & " in (tmp_path / "summary.tex").read_text()
    page = (tmp_path / "summary.html").read_text()
    assert "<td>rollout_1</td>" in page
    assert page.count("data:image/jpeg") == 4, "two pictures at either end"
    assert re.search(
        rf"average_drop: average_drop against box_overlap: iou · {re.escape(Path(spec).name)}</h2>\s*<[a-z]+", page
    ), page[:3000]
    assert outcome.table.costs["forwards"][Path(spec).name, "rollout_1"] == 1
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["versions"]["pyarrow"]
    assert manifest["hardware"]["device"] == "cpu"
    assert manifest["models"][spec]["weights_sha256"] == load(spec).weights_sha256
    assert manifest["models"][spec]["labels"] == "name"
    assert manifest["methods"]["rollout_1"]["settings"]["start_layer"] == 1
    assert manifest["metrics"]["box_overlap"]["settings"]["misclassified"] is True
    settings = 'target="predicted", follow="predicted", whole=false, threshold=0.5, inclusive=true, epsilon=1e-05'
    for end in ("md", "csv", "tex", "html"):
        text = html.unescape((tmp_path / f"summary.{end}").read_text()).replace('""', '"')
        assert f"{settings}, misclassified=true" in text, end
        assert 'fill="mean"' in text, end
        assert str(Path(spec).parent) not in text, "folders stand in the manifest alone"
    assert all(outcome.table.costs["seconds"][Path(spec).name, row] > 0 for row in outcome.table.rows)


def test_a_refusal_stops_nobody_else(tmp_path: Path, dataset: str, spec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METHODS, "refusal", Refusal)
    outcome = benchmark(
        plan(dataset, spec, methods={"refusal": {}, "ag_cam": {}}, reference="ag_cam"), tmp_path, device=CPU
    )
    assert outcome.refused == [(spec, "refusal", "not on a Monday. Come back tomorrow.")]
    assert {cell.method for cell in outcome.table.cells} == {"ag_cam", *BASELINES}
    assert "refusal does not apply to" in (tmp_path / "summary.md").read_text()
    assert "| refusal | – |" in (tmp_path / "summary.md").read_text()
    assert "refusal" in json.loads((tmp_path / "manifest.json").read_text())["models"][spec]["refused"]


def test_a_bad_picture_is_left_out_and_named(tmp_path: Path, spec: str) -> None:
    for at in range(3):
        (tmp_path / "set/dog").mkdir(parents=True, exist_ok=True)
        noise(at).save(tmp_path / f"set/dog/{at}.png")
    (tmp_path / "set/dog/1.png").write_text("no picture")
    wanted = plan(f"folder:{tmp_path / 'set'}", spec, metrics={"perturbation": {}, "pointing": {}})
    outcome = benchmark(wanted, tmp_path / "out", device=CPU)
    assert list(outcome.unread) == ["dog/1.png"]
    assert {cell.pictures for cell in outcome.table.cells} == {2}
    for file in outcome.files:
        assert str(tmp_path) not in file.read_text(), file
    assert {cell.metric for cell in outcome.table.cells} == {"perturbation"}
    assert sum("pointing says nothing of any method on 2 pictures" in note for note in outcome.table.notes) == 1
    assert not any("takes boxes for masks" in note for note in outcome.table.notes)  # there are none
    # a later method has all pictures before it, and the others only the bad one
    more = benchmark(replace(wanted, methods={**wanted.methods, "legrad": {}}), tmp_path / "out", device=CPU)
    assert {cell.pictures for cell in more.table.cells if cell.method == "legrad"} == {2}


@pytest.mark.slow
def test_labels_that_mean_nothing(tmp_path: Path, spec: str) -> None:
    (tmp_path / "set/cow").mkdir(parents=True)
    noise(1).save(tmp_path / "set/cow/a.png")
    data = f"folder:{tmp_path / 'set'}"
    with pytest.raises(DataError, match="mean nothing to"):
        benchmark(plan(data, spec, target="label"), tmp_path / "out", device=CPU)
    outcome = benchmark(plan(data, spec, metrics={"perturbation": {}}), tmp_path / "out", device=CPU)
    assert outcome.table.cells
    wanted = plan(data, spec, target="label", labels="position", metrics={"saco": {}})
    notes = benchmark(wanted, tmp_path / "other", device=CPU).table.notes
    assert any(f"`cow` is its `{CLASSES[0]}`" in note for note in notes)


@pytest.mark.slow
def test_masked_passes_run_in_the_precision_that_a_plan_names(tmp_path: Path, dataset: str, spec: str) -> None:
    metrics = {
        name: {"use": "perturbation", **its} for name, its in (("whole", {}), ("half", {"precision": "bfloat16"}))
    }
    found = numbers(benchmark(plan(dataset, spec, metrics=metrics), tmp_path, device=CPU))
    assert found["ag_cam", "half", "abpc"] != found["ag_cam", "whole", "abpc"]
    assert found["ag_cam", "half", "abpc"] == pytest.approx(found["ag_cam", "whole", "abpc"], abs=0.2)
    assert json.loads((tmp_path / "manifest.json").read_text())["metrics"]["half"]["settings"]["precision"]


def test_the_page_draws_the_maps_that_slow_methods_left_and_the_boxes_that_are_scored(
    tmp_path: Path, dataset: str, spec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    explained: list[Tensor] = []
    sheets: list[dict[str, Panel]] = []
    whole = Occlusion.__call__

    def count(self: Occlusion, model: nn.Module, images: Tensor, *rest: Any, **named: Any) -> Any:
        found = whole(self, model, images, *rest, **named)
        explained.extend(found.heatmap)
        return found

    def look(panels: Sequence[Panel], **named: Any) -> Image.Image:
        sheets.append({panel.title: panel for panel in panels})
        return sheet(panels, **named)

    monkeypatch.setattr(Occlusion, "__call__", count)
    monkeypatch.setattr(examples, "sheet", look)
    methods = {"ag_cam": {}, "occlusion": {"window": 8, "stride": 8}}
    metrics = {"box_overlap": {"misclassified": True}}
    benchmark(plan(dataset, spec, methods=methods, metrics=metrics), tmp_path, device=CPU)
    assert len(explained) == PICTURES, "once each, and not again for the page"
    assert "data:image/jpeg" in (tmp_path / "summary.html").read_text()
    assert len(sheets) == 4
    strongest = [each.abs().max().item() for each in explained]
    for panels in sheets:
        assert [*panels][:3] == ["picture", "AG-CAM", "Occlusion"]
        scale = panels["Occlusion"].scale
        assert scale is not None
        assert any(scale.high == pytest.approx(each) for each in strongest)
        colors = {
            name: {color for _, color in panel.picture.getcolors(100_000) or ()}
            for name, panel in panels.items()
            if panel.picture
        }
        assert all(ImageColor.getrgb(GIVEN) in each for each in colors.values())
        assert {name for name, each in colors.items() if ImageColor.getrgb(FOUND) in each} == {*colors} - {"picture"}


def test_the_passes_of_a_second_model_are_counted(
    tmp_path: Path, dataset: str, spec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fine = save_model(tmp_path / "fine", patch_size=4)
    passed: list[int] = []
    forward = VisionTransformer.forward

    def count(self: VisionTransformer, images: Tensor, *rest: Any, **named: Any) -> Tensor:
        scores = forward(self, images, *rest, **named)
        passed.append(len(images))  # what ends before its end is no pass
        return scores

    monkeypatch.setattr(VisionTransformer, "forward", count)
    method = {"use": "mgrw", "fine": str(fine), "walks": 20, "length": 8}
    wanted = plan(dataset, spec, methods={"both": method}, metrics={"pointing": {}}, limit=1)
    after: dict[str, int] = {}
    tell = lambda step: after.update({step.method: sum(passed)})  # noqa: E731
    outcome = benchmark(wanted, tmp_path / "out", device=CPU, tell=tell)
    assert outcome.table.costs["forwards"][Path(spec).name, "both"] == after["both"] - 1, (
        "one is the benchmark's own prediction"
    )
    assert outcome.table.costs["forwards"][Path(spec).name, "random"] == 1


def test_curves_are_drawn(tmp_path: Path, dataset: str, spec: str) -> None:
    outcome = benchmark(plan(dataset, spec, metrics={"perturbation": {}}), tmp_path, device=CPU)
    curve = outcome.table.curves[Path(spec).name, "perturbation", "morf_curve"]["ag_cam"]
    values = Values.of(
        Store(tmp_path).read()[Key(spec, "ag_cam", "perturbation")], [e.id for e in open_samples(dataset).entries]
    )
    assert values is not None
    assert curve == pytest.approx(values.numbers["morf"].mean(0))
    page = (tmp_path / "summary.html").read_text()
    assert "perturbation: most relevant pixels hidden first" in page
    charts = [base64.b64decode(each).decode() for each in re.findall('data:image/svg[+]xml;base64,([^"]*)', page)]
    assert {"share of pixels hidden", "probability of the class"} <= {*re.findall(">([^<>]+)</text>", charts[0])}


@pytest.mark.parametrize("name", quick(PRESETS, ["ag_cam"]))
def test_a_papers_protocol_runs(tmp_path: Path, dataset: str, spec: str, name: str) -> None:
    wanted = replace(Plan(dataset, **PRESETS[name]), models=(spec,), resamples=100)
    outcome = benchmark(wanted, tmp_path, device=CPU)
    assert {cell.metric for cell in outcome.table.cells} == set(wanted.metrics)
    assert {cell.method for cell in outcome.table.cells} == set(wanted.rows)
    assert not outcome.refused
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["models"][spec]["preprocess"]["resize"] == [32, 32]


def test_a_map_of_blocks_keeps_their_edges(tmp_path: Path, dataset: str, spec: str) -> None:
    """MGRW's blocks are 8 × 8 pixels here, and every pixel above the map's mean lies in a block that stays."""
    method, metrics = {"walks": 20, "length": 8}, {"segmentation": {}, "infidelity": {"sides": 1, "scaling": False}}
    found = numbers(benchmark(plan(dataset, spec, methods={"mgrw": method}, metrics=metrics), tmp_path, device=CPU))
    model, right, apart = load(spec), list[float](), list[float]()
    assert model.preprocess
    for entry in open_samples(dataset).entries:
        fitted = prepare_sample(entry.open(), model.preprocess, None)
        made = explain(model, fitted.image, make_method("mgrw", **method))
        infidelity = plan_metric("infidelity", metrics["infidelity"])
        apart.append(infidelity(model.model, fitted.image[None], made.heatmap, made.target)["infidelity"].item())
        if fitted.mask is not None:
            blocks = np.kron(made.heatmap[0], np.ones((8, 8)))
            right.append(np.mean((blocks > blocks.mean()) == fitted.mask.numpy()))
    assert found["mgrw", "infidelity", "infidelity"] == pytest.approx(np.mean(apart), rel=1e-4), "on its own blocks"
    assert found["mgrw", "segmentation", "pixel_accuracy"] == pytest.approx(np.mean(right), abs=1e-9)


def test_a_picture_without_a_label_is_judged_by_what_needs_none(tmp_path: Path, spec: str) -> None:
    """Chefer's protocol has two data sets: masks without labels, and labels without masks."""
    (tmp_path / "set/images").mkdir(parents=True)
    noise(1).save(tmp_path / "set/images/a.png")
    (tmp_path / "set/list.csv").write_text("file,x0,y0,x1,y1\na.png,2,2,20,20\n")
    wanted = Plan(f"table:{tmp_path / 'set/list.csv'}", models=(spec,), labels="position", **PRESETS["chefer"])
    outcome = benchmark(wanted, tmp_path / "out", device=CPU)
    assert {cell.metric for cell in outcome.table.cells} == {"segmentation"}
    assert any("there is no label whose score to follow" in note for note in outcome.table.notes)


def test_metrics_that_read_the_method(tmp_path: Path, dataset: str, spec: str) -> None:
    metrics = {"sensitivity_max": {"samples": 2}, "model_randomization": {"layers": ["head"]}, "road": {"parts": 3}}
    outcome = benchmark(plan(dataset, spec, methods={"ag_cam": {}}, metrics=metrics, limit=2), tmp_path, device=CPU)
    assert {cell.metric for cell in outcome.table.cells} == set(metrics)
