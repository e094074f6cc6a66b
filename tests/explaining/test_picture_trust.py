"""Trust beside the maps of many pictures: on the sheet, in the manifest, and in the run that goes on after it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import vitreous
from tests.explaining.made_up import Brightness, Refusal, manifest, run
from tests.tiny import noise
from vitreous import Trust, TrustSettings
from vitreous.explaining.pictures import PictureJob
from vitreous.methods import METHODS

FEW = TrustSettings(orders=2, steps=3)


@pytest.fixture
def job(job: PictureJob) -> PictureJob:
    return replace(job, trust=FEW)


def test_it_is_that_of_python_and_goes_into_the_manifest(job: PictureJob, pictures: list[Path]) -> None:
    results = run(job, pictures[:2])
    methods: dict[str, Any] = dict(job.methods)
    found = vitreous.explain(job.model, pictures[:2], methods)
    for at, (one, expected) in enumerate(zip(results, vitreous.trust(job.model, found, settings=FEW), strict=True)):
        (trust,) = one.trust
        assert isinstance(trust, Trust)
        assert trust.other == expected.other
        assert trust.random == pytest.approx(expected.random, abs=1e-6)
        for name, each in trust.maps.items():
            assert each.order == expected.maps[name].order
            assert each.abpc == pytest.approx(expected.maps[name].abpc, abs=1e-6)
        written: Any = manifest(job)
        assert Trust.from_json(written["pictures"][at]["trust"][0]) == trust
        assert written["trust"]["steps"] == 3


def test_the_batch_size_changes_nothing(job: PictureJob, pictures: list[Path]) -> None:
    together = [each.trust for each in run(job, pictures)]
    alone = [each.trust for each in run(replace(job, batch_size=1, output=job.output / "alone"), pictures)]
    for one, other in zip(together, alone, strict=True):
        assert isinstance(one[0], Trust)
        assert isinstance(other[0], Trust)
        assert one[0].random == pytest.approx(other[0].random, abs=1e-6)
        assert {name: each.changes for name, each in one[0].maps.items()} == {
            name: each.changes for name, each in other[0].maps.items()
        }


def test_every_target_has_its_own(job: PictureJob, pictures: list[Path]) -> None:
    (one,) = run(replace(job, target="top-2"), pictures[:1])
    names = [each.of for each in one.trust if isinstance(each, Trust)]
    assert names == [f"probability of {target.name}" for target in one.targets]


def test_it_is_kept_for_the_next_run_and_made_anew_by_other_settings(job: PictureJob, pictures: list[Path]) -> None:
    (first,) = run(job, pictures[:1])
    (again,) = run(job, pictures[:1])
    assert again == replace(first, details={})
    (other,) = run(replace(job, trust=replace(FEW, orders=4)), pictures[:1])
    assert isinstance(other.trust[0], Trust)
    assert len(other.trust[0].random) == 4
    (none,) = run(replace(job, trust=None), pictures[:1])
    assert none.trust == ()


def test_the_sheet_says_it_under_each_map(job: PictureJob, pictures: list[Path]) -> None:
    (told,) = run(job, pictures[:1])
    (silent,) = run(replace(job, trust=None, output=job.output / "silent"), pictures[:1])
    assert told.sheet
    assert silent.sheet
    with Image.open(told.sheet) as one, Image.open(silent.sheet) as other:
        assert one.width == other.width
        assert one.height > other.height


def test_a_method_that_refuses_has_none_and_where_no_map_is_it_says_so(job: PictureJob, pictures: list[Path]) -> None:
    Image.new("RGB", (40, 30), "white").save(pictures[1])
    methods: dict[str, Any] = {"bright": Brightness(), "never": Refusal(), "rollout": METHODS["rollout"]()}
    results = run(replace(job, methods=methods), pictures[:2])
    shown = [set(each.trust[0].maps) if isinstance(each.trust[0], Trust) else each.trust[0] for each in results]
    assert shown == [{"bright", "rollout"}, {"rollout"}]
    noise(3).save(pictures[0])
    (alone,) = run(replace(job, methods={"bright": Brightness()}, output=job.output / "alone"), pictures[1:2])
    assert "Try another target or method" in alone.error
