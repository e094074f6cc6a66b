"""The benchmark: what it says is what the metrics say, whatever the batches; it resumes, and refuses what cannot be."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from tests.cli.conftest import Refusal
from tests.tiny import CLASSES, noise, save_model
from vitreous.data.readers import open_samples
from vitreous.data.samples import Entry, Sample
from vitreous.errors import DataError, ShapeError, UnknownName
from vitreous.jobs.benchmark.job import Outcome, benchmark
from vitreous.jobs.benchmark.plan import BASELINES, PRESETS, Plan, make_judge, make_methods, read_plan
from vitreous.jobs.benchmark.run import draw
from vitreous.jobs.benchmark.store import Key, Record, Store
from vitreous.jobs.benchmark.summary import Values, summarize
from vitreous.jobs.benchmark.truth import fit_sample, match_labels, move_boxes
from vitreous.jobs.explain import explain
from vitreous.methods import METHODS, make_method
from vitreous.methods.occlusion import Occlusion
from vitreous.metrics import METRICS
from vitreous.metrics.score import Score
from vitreous.models.preprocess import Preprocess
from vitreous.models.zoo import load

CPU = torch.device("cpu")
PICTURES = 6


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_model(tmp_path_factory.mktemp("benchmarked")))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Six pictures of two of the model's classes, each with a box, half of them with a mask."""
    root = tmp_path_factory.mktemp("pictures")
    rows = ["file,x0,y0,x1,y1"]
    for at in range(PICTURES):
        name = f"{('dog', 'hen')[at % 2]}/{at}.png"
        (root / name).parent.mkdir(exist_ok=True)
        noise(at).save(root / name)
        rows.append(f"{name},{4 + at},3,{20 + at},25")
        if at < 3:
            (root / "masks" / name).parent.mkdir(parents=True, exist_ok=True)
            mask = np.zeros((30, 40), np.uint8)
            mask[5:20, 8 : 20 + at] = 255
            Image.fromarray(mask).save(root / "masks" / name)
    (root / "boxes.csv").write_text("\n".join(rows))
    return f"folder:{root}"


def plan(dataset: str, spec: str, **changes: Any) -> Plan:
    values: dict[str, Any] = {
        "models": (spec,),
        "methods": {"ag_cam": {}, "rollout_1": {"use": "rollout", "start_layer": 1}},
        "metrics": {"box_overlap": {"misclassified": True}, "average_drop": {}},
        "batch_size": 4,
        "resamples": 100,
    }
    return Plan(dataset, **{**values, **changes})


def numbers(outcome: Outcome) -> dict[tuple[str, str, str], float]:
    return {(cell.method, cell.metric, cell.name): cell.value for cell in outcome.table.cells}


def assert_same(one: Outcome, other: Outcome) -> None:
    """Equal cells."""
    for mine, its in zip(one.table.cells, other.table.cells, strict=True):
        assert (mine.method, mine.metric, mine.name, mine.pictures) == (its.method, its.metric, its.name, its.pictures)
        assert (mine.value, mine.low, mine.high) == pytest.approx((its.value, its.low, its.high), abs=1e-5)


def test_the_table_says_what_the_metrics_say(tmp_path: Path, dataset: str, spec: str) -> None:
    metrics = {**plan(dataset, spec).metrics, "segmentation": {}, "max_box_accuracy": {}}
    outcome = benchmark(plan(dataset, spec, metrics=metrics), tmp_path, device=CPU, dtype=torch.float64)
    found = numbers(outcome)
    model, samples = load(spec, dtype=torch.float64), open_samples(dataset)
    assert model.preprocess
    fitted = [fit_sample(samples[at], model.preprocess, None) for at in range(PICTURES)]
    images = torch.stack([each.image for each in fitted]).double()
    boxes, masks = [each.boxes for each in fitted], [each.mask for each in fitted if each.mask is not None]
    for row, settings in (("ag_cam", {}), ("rollout_1", {"start_layer": 1}), ("edges", {})):
        made = explain(model, images, row.removesuffix("_1"), **settings)
        scores = {name: Score(make_judge(name, metrics[name])) for name in metrics}
        scores["box_overlap"].update(made.heatmap, boxes, (32, 32))
        scores["max_box_accuracy"].update(made.heatmap, boxes, (32, 32))
        scores["segmentation"].update(made.heatmap, torch.stack(masks))
        scores["average_drop"].update(model.model, images, made.heatmap, made.target)
        for metric, score in scores.items():
            for name, value in score.compute().items():
                # borders of an enlarged map are equal up to rounding, which average precision sees as an order
                error = 1e-3 if name.startswith("mean_ap") else 1e-9
                assert found.pop((row, metric, name)) == pytest.approx(float(value), abs=error)
    assert {row for row, _, _ in found} == {"random", "center_gaussian"}


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
    assert f"average_drop: average_drop against box_overlap: iou · {spec}</h2><img" in page
    assert outcome.table.costs["forwards"][spec, "rollout_1"] == 1
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["versions"]["pyarrow"]
    assert manifest["hardware"]["device"] == "cpu"
    assert manifest["models"][spec]["weights_sha256"] == load(spec).weights_sha256
    assert manifest["models"][spec]["labels"] == "name"
    assert manifest["methods"]["rollout_1"]["settings"]["start_layer"] == 1
    assert manifest["metrics"]["box_overlap"]["settings"]["misclassified"] is True
    assert all(outcome.table.costs["seconds"][spec, row] > 0 for row in outcome.table.rows)


def test_what_is_done_is_not_done_again(
    tmp_path: Path, dataset: str, spec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    half = plan(dataset, spec, limit=3)
    benchmark(half, tmp_path, device=CPU)
    first = Store(tmp_path).read()
    heated: list[str] = []
    monkeypatch.setattr(
        "vitreous.jobs.benchmark.judging.explain",
        lambda *args, **named: heated.extend([type(args[2]).__name__] * len(args[1])) or explain(*args, **named),
    )
    again = benchmark(half, tmp_path, device=CPU)
    assert heated == []
    resumed = benchmark(replace(half, limit=0), tmp_path, device=CPU)
    assert sorted(heated) == sorted(["AGCAM", "Rollout", "Random", "CenterGaussian", "Edges"] * 3)
    fresh = benchmark(replace(half, limit=0), tmp_path / "fresh", device=CPU)
    assert_same(resumed, fresh)
    assert {cell.pictures for cell in again.table.cells} == {3}
    heated.clear()
    more = {**half.metrics, "cor_loc": {}}
    benchmark(replace(half, limit=0, metrics=more, methods={**half.methods, "legrad": {}}), tmp_path, device=CPU)
    assert heated.count("LeGrad") == PICTURES
    after = Store(tmp_path).read()
    key = Key(spec, "ag_cam", "box_overlap")
    assert len(after[key]) == 2 * len(first[key])
    assert {"ag_cam", "legrad", "rollout_1"} < json.loads((tmp_path / "manifest.json").read_text())["methods"].keys()


def test_an_interrupted_run_goes_on(tmp_path: Path, dataset: str, spec: str) -> None:
    def stop(_: object) -> None:
        if len(list((tmp_path / "results").glob("*.parquet"))) == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        benchmark(plan(dataset, spec), tmp_path, device=CPU, tell=stop)
    assert len(Store(tmp_path).read()[Key(spec, "", "")]) == 4
    resumed = benchmark(plan(dataset, spec), tmp_path, device=CPU)
    assert_same(resumed, benchmark(plan(dataset, spec), tmp_path / "fresh", device=CPU))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"target": "label"}, "`target` was predicted, and is label"),
        ({"whole": True}, "`whole` was False, and is True"),
        ({"methods": {"ag_cam": {}, "rollout_1": {"use": "rollout"}}}, r"`methods\.rollout_1` was"),
        ({"metrics": {"average_drop": {"fill": "black"}}}, r"`metrics\.average_drop` was"),
    ],
)
def test_results_of_another_plan_are_not_mixed(
    tmp_path: Path, dataset: str, spec: str, changes: dict[str, Any], said: str
) -> None:
    benchmark(plan(dataset, spec, limit=1), tmp_path, device=CPU)
    with pytest.raises(DataError, match=said):
        benchmark(plan(dataset, spec, **changes), tmp_path, device=CPU)


def test_a_folder_of_another_job_is_left_alone(tmp_path: Path, dataset: str, spec: str) -> None:
    (tmp_path / "manifest.json").write_text("{}")
    benchmark(plan(dataset, spec, limit=1), tmp_path, device=CPU)
    (tmp_path / "manifest.json").write_text('{"pictures": []}')
    with pytest.raises(DataError, match="another job's results"):
        benchmark(plan(dataset, spec), tmp_path, device=CPU)
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(DataError, match="cannot be read"):
        benchmark(plan(dataset, spec), tmp_path, device=CPU)


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
    assert {cell.metric for cell in outcome.table.cells} == {"perturbation"}
    assert sum("pointing says nothing of any method on 2 pictures" in note for note in outcome.table.notes) == 1
    assert not any("takes boxes for masks" in note for note in outcome.table.notes)  # there are none
    # a later method has all pictures before it, and the others only the bad one
    more = benchmark(replace(wanted, methods={**wanted.methods, "legrad": {}}), tmp_path / "out", device=CPU)
    assert {cell.pictures for cell in more.table.cells if cell.method == "legrad"} == {2}


def test_labels_that_mean_nothing(tmp_path: Path, spec: str) -> None:
    (tmp_path / "set/cow").mkdir(parents=True)
    noise(1).save(tmp_path / "set/cow/a.png")
    data = f"folder:{tmp_path / 'set'}"
    with pytest.raises(DataError, match="mean nothing to"):
        benchmark(plan(data, spec, target="label"), tmp_path / "out", device=CPU)
    outcome = benchmark(plan(data, spec, metrics={"perturbation": {}}), tmp_path / "out", device=CPU)
    assert outcome.table.cells
    benchmark(plan(data, spec, target="label", labels="position", metrics={"saco": {}}), tmp_path / "other", device=CPU)


def test_labels_by_name_and_by_position() -> None:
    assert match_labels(("hen", "tabby"), {0, 1}, CLASSES, "auto") == ({0: 2, 1: 0}, "name")
    assert match_labels(("a", "b", "c", "d"), {0, 3}, CLASSES, "auto") == ({0: 0, 3: 3}, "position")
    assert match_labels(("tabby", "tabby cat"), {0, 1}, CLASSES, "auto") == ({}, "unknown")
    assert match_labels(("a", "b"), set(), CLASSES, "auto") == ({}, "unknown")
    with pytest.raises(UnknownName, match='no class named "cow"'):
        match_labels(("cow",), {0}, CLASSES, "name")
    with pytest.raises(DataError, match="one name"):
        match_labels(("tabby", "tabby cat"), {0, 1}, CLASSES, "name")
    with pytest.raises(DataError, match="has label 9"):
        match_labels(("x",) * 10, {9}, CLASSES, "position")


SHAPES = [(40, 30), (30, 40), (33, 71), (8, 8), (500, 333)]
WAYS = [
    Preprocess((32, 32), (36, 36)),
    Preprocess((32, 32), (32, 32), keep_ratio=False),
    Preprocess((32, 24), (40, 40), floor=True),
    Preprocess((32, 32), (32, 32), border=True),
    Preprocess((32, 32), (20, 20)),
]


@pytest.mark.parametrize("size", SHAPES)
@pytest.mark.parametrize("way", WAYS)
def test_boxes_and_masks_move_with_the_picture(way: Preprocess, size: tuple[int, int]) -> None:
    """A white rectangle on black is where its box and its mask are, to a pixel of the resize."""
    width, height = size
    box = (width // 4, height // 4, 3 * width // 4, 3 * height // 4)
    picture, mask = Image.new("RGB", size), np.zeros((height, width), bool)
    picture.paste((255, 255, 255), box)
    mask[box[1] : box[3], box[0] : box[2]] = True
    plain = replace(way, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), interpolation="bilinear")
    fitted = fit_sample(Sample("a", picture, None, np.array([box], float), mask), plain, None)
    assert fitted.boxes is not None
    assert fitted.mask is not None
    assert fitted.mask.shape == fitted.image.shape[1:]
    white = fitted.image[0] > 0.5
    edge = (white != fitted.mask).float().sum()
    assert edge <= 2 * sum(fitted.mask.shape) * max(1.0, fitted.image.shape[1] / height)
    rows, columns = white.nonzero().T
    seen = torch.tensor([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
    assert (fitted.boxes[0] - seen).abs().max() <= max(
        1, *(round(side / old) for side, old in zip(fitted.mask.shape, (height, width), strict=True))
    )


def test_boxes_outside_the_crop_are_left_out() -> None:
    boxes = torch.tensor([[0.0, 0.0, 3.0, 3.0], [30.0, 4.0, 60.0, 9.0], [20.1, 5.0, 20.2, 9.0]])
    moved = move_boxes(boxes, (20, 80), (20, 80), (0, 20), (20, 20))
    assert moved.tolist() == [[10, 4, 20, 9], [0, 5, 1, 9]]


def test_the_papers_boxes_come_out_as_the_authors_compute_them() -> None:
    """Int(v / side · 224) of each coordinate."""
    moved = move_boxes(torch.tensor([[10.0, 10.0, 99.0, 50.0]]), (100, 200), (224, 224), (0, 0), (224, 224))
    assert moved.tolist() == [[11, 22, 110, 112]]


def record(picture: int, value: float, *, counted: bool = True) -> Record:
    return Record("m", "r", "pointing", str(picture), "pointing", [value], counted)


def test_intervals_and_paired_tests() -> None:
    """Against the textbook: a mean's standard error, and differences that are paired."""
    pictures = [str(at) for at in range(200)]
    draws = np.random.default_rng(1).normal(0.5, 0.2, 200)
    noise_ = np.random.default_rng(2).normal(0.0, 0.02, 200)
    found = {
        "a": Values.of([record(at, draws[at]) for at in range(200)], pictures),
        "b": Values.of([record(at, draws[at] + 0.02 + noise_[at]) for at in range(200)], pictures),
        "c": Values.of([record(at, draws[at] + noise_[at] - noise_.mean()) for at in range(200)], pictures),
        "d": Values.of([record(at, draws[at], counted=at < 100) for at in range(150)], pictures),
    }
    kept = {row: values for row, values in found.items() if values is not None}
    cells = summarize("m", "pointing", METRICS["pointing"](), kept, reference="a", resamples=2000, seed=0)
    a, b, c, d = cells
    assert a.value == pytest.approx(draws.mean())
    spread = 1.96 * draws.std() / np.sqrt(200)
    assert (a.low, a.high) == pytest.approx((draws.mean() - spread, draws.mean() + spread), abs=0.005)
    assert np.isnan(a.p)
    assert b.difference == pytest.approx(0.02 + noise_.mean())
    assert b.p < 0.01
    assert b.difference_low < b.difference < b.difference_high
    # the methods' own intervals overlap: only the pairs tell
    assert b.low < a.high
    assert c.p > 0.5
    assert (d.pictures, d.value, d.difference) == (100, pytest.approx(draws[:100].mean()), 0)
    assert d.p == 1
    again = summarize("m", "pointing", METRICS["pointing"](), kept, reference="a", resamples=2000, seed=0)
    assert str(again) == str(cells)


@pytest.mark.parametrize(("count", "least"), [(1, 1.0), (2, 0.5), (5, 1 / 16), (8, 1 / 128)])
def test_few_pictures_prove_little(count: int, least: float) -> None:
    """However far apart: the two-sided sign test of so many pictures that all agree."""
    found = {
        row: Values.of([record(at, value) for at in range(count)], list(map(str, range(count))))
        for row, value in (("a", 0.1), ("b", 0.9))
    }
    kept = {row: values for row, values in found.items() if values is not None}
    _, b = summarize("m", "pointing", METRICS["pointing"](), kept, reference="a", resamples=1000, seed=0)
    assert b.p == least


def test_nothing_that_counts_is_no_value() -> None:
    assert Values.of([record(0, 1.0, counted=False)], ["0"]) is None
    assert Values.of([Record("m", "r", "pointing", "0", error="no mask")], ["0"]) is None


def test_a_larger_draw_holds_the_smaller() -> None:
    entries = [Entry(f"{at:02}", partial(noise, at)) for at in range(50)]
    few, many = draw(entries, 10, 3), draw(entries, 20, 3)
    assert {entry.id for entry in few} < {entry.id for entry in many}
    assert [entry.id for entry in many] == sorted(entry.id for entry in many)
    assert draw(entries, 0, 3) == entries
    assert draw(entries, 10, 4) != few


def test_a_damaged_result_is_named(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.add([record(0, 1.0)])
    store.add([record(1, 0.0)])
    assert [each.picture for each in store.read()[Key("m", "r", "pointing")]] == ["0", "1"]
    (tmp_path / "results/000001.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"000001\.parquet` cannot be read"):
        store.read()


def test_a_plan_from_toml(tmp_path: Path) -> None:
    path = tmp_path / "plan.toml"
    path.write_text(
        'dataset = "npz:a.npz"\nmodels = ["default"]\nmethods = ["ag_cam"]\nlimit = 9\n'
        '[metrics.rise]\nuse = "perturbation"\npreset = "rise"\nparts = 8\nlast = 8\n'
    )
    made = read_plan(path, {"limit": 4}, {})
    assert made == Plan(
        "npz:a.npz",
        methods={"ag_cam": {}},
        metrics={"rise": {"use": "perturbation", "preset": "rise", "parts": 8, "last": 8}},
        limit=4,
    )
    judge = make_judge("rise", made.metrics["rise"])
    assert (judge.insertion, judge.parts) == ("rise_blur", 8)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("dataset = 3", "`dataset` in .* is 3. Give a text"),
        ("limit = true\ndataset = 'x'", "`limit` in .* is True. Give a whole number"),
        ("models = 'default'", "Give a list of texts"),
        ("methods = {ag_cam = 3}", "Give names, or a section each"),
        ("method = ['ag_cam']", 'no setting in plan.toml named "method". Did you mean "methods"'),
        ("seed = 1", "does not set `dataset`"),
        ("dataset = 'x'", r"sets no `methods`"),
        ("dataset = 'x'\nmethods = ['ag_cam']\nmetrics = []", "names no metrics"),
        ("=", "is not TOML"),
    ],
)
def test_a_wrong_plan_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "plan.toml").write_text(text)
    with pytest.raises((DataError, UnknownName), match=said):
        read_plan(tmp_path / "plan.toml", {}, {})
    with pytest.raises(DataError, match="there is no plan at"):
        read_plan(tmp_path / "none.toml", {}, {})


def test_names_in_a_plan_are_checked() -> None:
    base: dict[str, Any] = {"methods": {"ag_cam": {}}, "metrics": {"pointing": {}}}
    with pytest.raises(UnknownName, match='value of `target` named "lable"'):
        Plan("x", **base, target="lable")
    with pytest.raises(UnknownName, match='reference method named "rollout"'):
        Plan("x", **base, reference="rollout")
    with pytest.raises(ShapeError, match="`batch_size` must be at least 1"):
        Plan("x", **base, batch_size=0)
    for name, settings, said in (
        ("pointin", {}, 'no metric named "pointin"'),
        ("pointing", {"size": 3}, 'no setting of `pointing` named "size"'),
        ("saco", {"preset": "rise"}, r"\(it has none\)"),
        ("perturbation", {"preset": "ris"}, 'Did you mean "rise"'),
        ("saco", {"precision": "bfloat8"}, 'Did you mean "bfloat16"'),
    ):
        with pytest.raises(UnknownName, match=said):
            make_judge(name, settings)


def test_masked_passes_run_in_the_precision_that_a_plan_names(tmp_path: Path, dataset: str, spec: str) -> None:
    metrics = {name: {"use": "saco", **its} for name, its in (("whole", {}), ("half", {"precision": "bfloat16"}))}
    found = numbers(benchmark(plan(dataset, spec, metrics=metrics), tmp_path, device=CPU))
    assert found["ag_cam", "half", "saco"] != found["ag_cam", "whole", "saco"]
    assert found["ag_cam", "half", "saco"] == pytest.approx(found["ag_cam", "whole", "saco"], abs=0.2)
    assert json.loads((tmp_path / "manifest.json").read_text())["metrics"]["half"]["settings"]["precision"]


@pytest.mark.parametrize("name", PRESETS)
def test_presets_can_be_made(name: str) -> None:
    made = Plan("x", **PRESETS[name])
    assert made.whole
    assert made.reference in made.methods
    for metric, settings in made.metrics.items():
        make_judge(metric, settings)
    assert set(make_methods(made)) >= set(BASELINES)


def test_slow_methods_are_not_run_again_for_the_page(
    tmp_path: Path, dataset: str, spec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    explained: list[int] = []
    whole = Occlusion.__call__

    def count(self: Occlusion, model: nn.Module, images: Tensor, *rest: Any, **named: Any) -> Any:
        explained.append(len(images))
        return whole(self, model, images, *rest, **named)

    monkeypatch.setattr(Occlusion, "__call__", count)
    methods = {"ag_cam": {}, "occlusion": {"window": 8, "stride": 8}}
    benchmark(plan(dataset, spec, methods=methods, metrics={"pointing": {}}), tmp_path, device=CPU)
    assert sum(explained) == PICTURES
    assert "data:image/jpeg" in (tmp_path / "summary.html").read_text()


def test_curves_are_drawn(tmp_path: Path, dataset: str, spec: str) -> None:
    outcome = benchmark(plan(dataset, spec, metrics={"perturbation": {}}), tmp_path, device=CPU)
    curve = outcome.table.curves[spec, "perturbation", "morf_curve"]["ag_cam"]
    values = Values.of(
        Store(tmp_path).read()[Key(spec, "ag_cam", "perturbation")], [e.id for e in open_samples(dataset).entries]
    )
    assert values is not None
    assert curve == pytest.approx(values.numbers["morf"].mean(0))
    assert "data:image/svg+xml" in (tmp_path / "summary.html").read_text()


@pytest.mark.parametrize("name", PRESETS)
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
    method, metrics = {"walks": 20, "length": 8}, {"segmentation": {}}
    found = numbers(benchmark(plan(dataset, spec, methods={"mgrw": method}, metrics=metrics), tmp_path, device=CPU))
    model, right = load(spec), []
    assert model.preprocess
    for entry in open_samples(dataset).entries:
        fitted = fit_sample(entry.open(), model.preprocess, None)
        if fitted.mask is not None:
            blocks = np.kron(explain(model, fitted.image, make_method("mgrw", **method)).heatmap[0], np.ones((8, 8)))
            right.append(np.mean((blocks > blocks.mean()) == fitted.mask.numpy()))
    assert found["mgrw", "segmentation", "pixel_accuracy"] == pytest.approx(np.mean(right), abs=1e-9)


def test_a_picture_without_a_label_is_judged_by_what_needs_none(tmp_path: Path, spec: str) -> None:
    """Chefer's protocol has two data sets: masks without labels, and labels without masks."""
    (tmp_path / "set/images").mkdir(parents=True)
    noise(1).save(tmp_path / "set/images/a.png")
    (tmp_path / "set/list.csv").write_text("file,x0,y0,x1,y1\na.png,2,2,20,20\n")
    wanted = Plan(f"table:{tmp_path / 'set/list.csv'}", models=(spec,), **PRESETS["chefer"])
    outcome = benchmark(wanted, tmp_path / "out", device=CPU)
    assert {cell.metric for cell in outcome.table.cells} == {"segmentation"}
    assert any("there is no label whose score to follow" in note for note in outcome.table.notes)


def test_metrics_that_read_the_method(tmp_path: Path, dataset: str, spec: str) -> None:
    metrics = {"sensitivity_max": {"samples": 2}, "model_randomization": {"layers": ["head"]}, "road": {"parts": 3}}
    outcome = benchmark(plan(dataset, spec, methods={"ag_cam": {}}, metrics=metrics, limit=2), tmp_path, device=CPU)
    assert {cell.metric for cell in outcome.table.cells} == set(metrics)
