"""Every metric: what a batch gives is what its images give, in any order, in any parts, on one process or two."""

from __future__ import annotations

import dataclasses
import inspect
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.contract import two_processes
from tests.contract.promises import fingerprint
from tests.contract.zoo import CASES
from vitreous.errors import DegenerateMap, ShapeError, UnknownName
from vitreous.methods import make_method
from vitreous.metrics import METRICS
from vitreous.metrics.boxes import union_of_boxes
from vitreous.metrics.metric import Inputs, Metric
from vitreous.metrics.perturbation import PRESETS, Perturbation
from vitreous.metrics.score import Score
from vitreous.trace.target import Classes

SIZE = (32, 32)
BATCH = 4
# cheaper settings, and what the defaults leave to the user
SETTINGS: dict[str, dict[str, Any]] = {
    "box_overlap": {"misclassified": True},
    "infidelity": {"sides": 2},
    "model_randomization": {"layers": ("head", "blocks.2.attn.qkv")},
    "pointing": {"tolerance": 3.0},
    "road": {"std": (0.5, 0.5, 0.5), "parts": 4, "scale": "probability"},
    "sensitivity_max": {"samples": 2},
}
JUDGES = {name: METRICS[name](**SETTINGS.get(name, {})) for name in METRICS} | {
    "chefer": dataclasses.replace(PRESETS["chefer"], mean=(0.5,) * 3, std=(0.5,) * 3),
    "rise": dataclasses.replace(PRESETS["rise"], parts=8, last=8),
    "skipping": dataclasses.replace(PRESETS["ag_cam"], misclassified=False),
    "boxes_skipping": METRICS["box_overlap"](),
}
# the map enters as numbers, not only as an order or a share
SCALED = {"completeness"}


def model() -> nn.Module:
    return CASES["timm_vit"].model()


def explain(model: nn.Module, images: Tensor) -> Tensor:
    return make_method("ag_cam")(model, images, Classes((3,))).heatmap


def data() -> Inputs:
    """Everything that any metric reads, of the same images."""
    generator = torch.Generator().manual_seed(2)
    corners = torch.randint(0, 20, (BATCH, 2, 2), generator=generator)
    boxes = torch.cat([corners, corners + torch.randint(4, 12, (BATCH, 2, 2), generator=generator)], 2)
    images = CASES["timm_vit"].images(BATCH)
    with torch.no_grad():
        predicted = model()(images).argmax(1)
    return Inputs(
        torch.rand(BATCH, 4, 4, generator=generator),
        images,
        model(),
        explain,
        torch.where(torch.arange(BATCH) < 3, predicted, (predicted + 1) % 7),
        [at < 3 for at in range(BATCH)],
        list(boxes),
        [union_of_boxes(each, SIZE) for each in boxes],
    )


def some(inputs: Inputs, rows: list[int]) -> Inputs:
    kept = {
        name: [value[at] for at in rows] if isinstance(value, list) else value[rows]
        for name, value in vars(inputs).items()
        if isinstance(value, list | Tensor)
    }
    return dataclasses.replace(inputs, **kept)


def score(judge: Metric, *batches: Inputs) -> dict[str, Tensor]:
    found = Score(judge)
    for batch in batches:
        found.update(batch)
    return found.compute()


def same(got: dict[str, Tensor], expected: dict[str, Tensor], atol: float = 1e-6) -> None:
    assert got.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(got[name], value, rtol=1e-5, atol=atol)


def test_the_list_is_in_order() -> None:
    assert list(METRICS) == sorted(METRICS)


@pytest.mark.parametrize("name", METRICS)
def test_metrics_are_records_that_say_what_they_are(name: str) -> None:
    maker = METRICS[name]
    assert (inspect.getdoc(maker) or "").splitlines()[0].endswith((".", "?"))
    assert maker.source
    assert maker() == maker()
    with pytest.raises(dataclasses.FrozenInstanceError):
        maker().anything = 1  # type: ignore[attr-defined]
    if "model" in maker.input_names():
        assert "Cost: " in (maker.__doc__ or "")


@pytest.mark.parametrize("name", JUDGES)
def test_every_number_says_which_way_is_better(name: str) -> None:
    judge = JUDGES[name]
    reported = judge.summary({each: torch.ones(shape) for each, shape in judge.shapes.items()})
    numbers = {each for each, value in reported.items() if not value.ndim}
    assert numbers <= judge.quantities.keys() if isinstance(judge, Perturbation) else numbers == judge.quantities.keys()


class Corner(nn.Module):
    """Class 0 for what is in the top left quarter of the picture, and less so for what is not."""

    def forward(self, images: Tensor) -> Tensor:
        inside = images[:, :, :16, :16].mean((1, 2, 3))
        outside = (images.sum((1, 2, 3)) / 3 - 256 * inside) / 768
        return torch.stack([4 * inside - 2 * outside, torch.ones_like(inside)], 1)


@pytest.mark.parametrize("name", [name for name in JUDGES if "heatmap" in JUDGES[name].input_names()])
def test_the_right_map_is_better_than_the_wrong_one(name: str) -> None:
    judge = JUDGES[name]
    there = torch.zeros(2, SIZE[0], SIZE[1], dtype=torch.bool)
    there[:, :16, :16] = True
    right = there[:, ::8, ::8].float()  # adds up to 4, and what class 0 gains to 3
    inputs = Inputs(
        right,
        torch.where(there[:, None], 1.0, 0.5).expand(-1, 3, -1, -1),
        Corner(),
        explain,
        torch.zeros(2, dtype=torch.long),
        [True] * 2,
        [torch.tensor([[0, 0, 16, 16]])] * 2,
        [*there],
    )
    good, bad = score(judge, inputs), score(judge, dataclasses.replace(inputs, heatmap=3 * right.flip(1, 2)))
    for number, (arrow, _) in judge.quantities.items():
        if number in good:
            assert good[number] > bad[number] if arrow == "↑" else good[number] < bad[number], number


@pytest.mark.parametrize("name", JUDGES)
class TestEveryMetric:
    def test_parts_and_order_of_the_batch(self, name: str) -> None:
        judge, inputs = JUDGES[name], data()
        whole = score(judge, inputs)
        assert all(value.isfinite().all() for value in whole.values())
        same(score(judge, *(some(inputs, [at]) for at in (2, 0, 3, 1))), whole)
        same(score(judge, some(inputs, [3, 1, 0]), some(inputs, [2])), whole)

    def test_a_call_gives_the_promised_values_per_image(self, name: str) -> None:
        judge = JUDGES[name]
        values = judge.of(data())
        values.pop("counted", None)
        assert {key: tuple(value.shape) for key, value in values.items()} == {
            key: (BATCH, *shape) for key, shape in judge.shapes.items()
        }

    def test_pickle_and_reset(self, name: str) -> None:
        judge, inputs = JUDGES[name], data()
        found = Score(judge)
        found.update(some(inputs, [0, 1]))
        copy = pickle.loads(pickle.dumps(found))
        copy.update(some(inputs, [2, 3]))
        whole = score(judge, inputs)
        same(copy.compute(), whole)
        copy.reset()
        copy.update(inputs)
        same(copy.compute(), whole)

    def test_the_model_is_as_it_was(self, name: str) -> None:
        subject = model().train()
        inputs = dataclasses.replace(data(), model=subject)
        before, images = fingerprint(subject), inputs.images.clone()
        JUDGES[name].of(inputs)
        assert fingerprint(subject) == before
        assert torch.equal(inputs.images, images)

    def test_the_scale_of_the_map_changes_nothing(self, name: str) -> None:
        judge, inputs = JUDGES[name], data()
        if "heatmap" not in judge.input_names() or name in SCALED:
            return
        same(score(judge, dataclasses.replace(inputs, heatmap=8 * inputs.heatmap)), score(judge, inputs))

    def test_a_constant_map_is_refused(self, name: str) -> None:
        judge, inputs = JUDGES[name], data()
        if "heatmap" not in judge.input_names() or name in ("completeness", "infidelity"):
            return
        inputs.heatmap[2] = 0.1  # a constant that has grain when it is enlarged
        with pytest.raises(DegenerateMap, match="for image 2"):
            judge.of(inputs)

    def test_what_does_not_belong_together_is_refused(self, name: str) -> None:
        judge, inputs = JUDGES[name], data()
        if not {"truth", "boxes"}.isdisjoint(judge.input_names()):
            values = {name: getattr(inputs, name) for name in judge.input_names()} | {"heatmap": inputs.heatmap[:3]}
            if "correct" in values:
                values["correct"] = torch.tensor(inputs.correct[:3])
            with pytest.raises(ShapeError, match="3 heat maps got"):
                judge(**values)
        elif "target" in judge.input_names():
            inputs.target[1] = 7
            with pytest.raises(ShapeError, match="one of 7 classes"):
                judge.of(inputs)


@pytest.mark.slow
def test_two_processes_are_one(tmp_path: Path) -> None:
    """Of unequal shares, and states of every shape."""
    path = tmp_path / "store"
    run = [sys.executable, "-m", "tests.contract.two_processes", str(path)]
    processes = [subprocess.Popen([*run, str(rank)], cwd=Path(__file__).parents[2]) for rank in range(2)]
    assert [process.wait(timeout=300) for process in processes] == [0, 0]
    whole = two_processes.judged(slice(None))
    for rank in range(2):
        for name, found in torch.load(f"{path}.{rank}").items():
            same(found, whole[name], atol=0)


@pytest.mark.parametrize(
    "make",
    [
        lambda: METRICS["perturbation"](last=11),
        lambda: METRICS["perturbation"](morf="", lerf=""),
        lambda: METRICS["saco"](groups=1),
        lambda: METRICS["road"](parts=1),
        lambda: METRICS["sensitivity_max"](samples=0),
        lambda: score(METRICS["infidelity"](sides=0), data()),
        lambda: score(METRICS["road"](), data()),
        lambda: score(PRESETS["chefer"], data()),
        lambda: METRICS["box_overlap"]()(data().heatmap, data().boxes, SIZE),
        lambda: METRICS["cor_loc"]()(data().heatmap, [each[:0] for each in data().boxes], SIZE),
        lambda: METRICS["pointing"]()(data().heatmap, torch.zeros(BATCH, *SIZE, dtype=torch.bool)),
        lambda: score(JUDGES["boxes_skipping"], dataclasses.replace(data(), correct=[False] * BATCH)),
    ],
)
def test_bad_settings_and_inputs_are_refused(make: Callable[[], object]) -> None:
    with pytest.raises(ShapeError, match=r"\. [A-Z].*\.$"):
        make()


def test_an_unknown_fill_is_refused() -> None:
    with pytest.raises(UnknownName, match="rise_blur"):
        score(METRICS["saco"](fill="blck"), data())


def test_maps_without_numbers_are_refused() -> None:
    inputs = data()
    inputs.heatmap[1, 0, 0] = torch.nan
    for name, judge in JUDGES.items():
        if "heatmap" in judge.input_names():
            error = ShapeError if name in ("completeness", "infidelity") else DegenerateMap
            with pytest.raises(error, match=r"infini|finite"):
                score(judge, inputs)
