"""The method with the best ABPC: the best is found, and what is no more than noise is called so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import vitreous
from tests.explaining.made_up import Refusal
from vitreous import TrustSettings
from vitreous.errors import DataError, ObservationError
from vitreous.explaining.choosing import best_of, choose_method
from vitreous.explaining.pictures import PictureJob
from vitreous.methods import METHODS

NAMES = ("ag_cam", "attn_lrp", "raw_attention")


def test_the_best_has_the_best_mean_of_what_trust_measures(job: PictureJob, pictures: list[Path]) -> None:
    methods: dict[str, Any] = {name: METHODS[name]() for name in NAMES}
    choice = choose_method(job.model, methods, pictures)
    trusts = vitreous.trust(
        job.model, vitreous.explain(job.model, pictures, methods), settings=TrustSettings(orders=0, classes=False)
    )
    means = {name: sum(each.maps[name].abpc for each in trusts) / len(trusts) for name in NAMES}
    assert dict(choice.abpc) == pytest.approx(means, abs=1e-6)
    best, second, _ = sorted(means.values(), reverse=True)
    assert means[choice.method] == best
    assert choice.ahead == pytest.approx(best - second, abs=1e-6)
    assert choice.pictures == 3
    assert choice.p >= 0.25, "three pictures can say no more"
    assert "no more than noise may be" in str(choice)
    assert "It was chosen for this measure" in str(choice)


def test_only_what_pictures_agree_on_is_more_than_noise() -> None:
    agreed = best_of({"rollout": [0.1, 0.2, 0.3] * 3, "ag_cam": [0.2, 0.3, 0.35] * 3})
    assert (agreed.method, agreed.p) == ("ag_cam", pytest.approx(2**-8, rel=0.3))
    assert "AG-CAM has the best ABPC of 2 methods on 9 pictures: 0.283 on average, 0.083 above Rollout" in str(agreed)
    assert "more than noise)" in str(agreed)
    split = best_of({"rollout": [0.1, 0.2, 0.3] * 3, "ag_cam": [0.5, 0.0, 0.2] * 3})
    assert split.method == "ag_cam"
    assert not split.is_more_than_noise
    third = best_of({"rollout": [0.1] * 9, "ag_cam": [0.2] * 9, "lrp": [0.0] * 9})
    assert third.p == pytest.approx(2 * agreed.p, rel=0.5), "two comparisons were made"
    assert best_of({"rollout": [0.1]}).p == 1


def test_who_is_no_candidate(job: PictureJob, pictures: list[Path]) -> None:
    pictures[2].write_text("no picture")
    methods: dict[str, Any] = {
        "rise": METHODS["rise"](),
        "random": METHODS["random"](),
        "never": Refusal(),
        "rollout": METHODS["rollout"](),
    }
    choice = choose_method(job.model, methods, pictures)
    assert set(choice.abpc) == {"rollout"}
    assert set(choice.refused) == {"never"}
    assert list(choice.unread) == [str(pictures[2])]
    assert choice.pictures == 2
    assert choice.short == "best ABPC of 1 methods on 2 pictures"
    with pytest.raises(DataError, match="none of 1 pictures can be read"):
        choose_method(job.model, methods, pictures[2:])
    with pytest.raises(ObservationError, match="no method gives a map of every picture"):
        choose_method(job.model, {"never": Refusal(), "bright": METHODS["random"]()}, pictures[:1])
