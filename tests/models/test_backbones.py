"""One import puts SALG and WinfT in timm's registry; what it makes is what was asked for."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from jaxtyping import TypeCheckError

from vitreous.errors import UnknownName
from vitreous.metrics.perturbation import Perturbation
from vitreous.metrics.road import Road
from vitreous.models.registry import registry


@pytest.mark.slow
def test_one_import_registers_them() -> None:
    code = (
        "import timm, vitreous.backbones\n"
        "tiny = dict(embed_dim=8, depths=(1, 1, 1, 1), num_classes=3)\n"
        "print(type(timm.create_model('salg_t', **tiny)).__name__)\n"
        "print(type(timm.create_model('winft_tiny', embed_dim=12, depth=1, num_classes=3)).__name__)\n"
        "from vitreous.errors import UnknownName\n"
        "for wrong in (dict(merge='liner'), dict(propagation='nothing'), dict(merge='')):\n"
        "    try:\n"
        "        timm.create_model('salg_t', **tiny, **wrong)\n"
        "    except UnknownName as error:\n"
        "        print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "SALG",
        "WinfT",
        'no value of `merge` named "liner". Did you mean "linear"? Known: conv, linear.',
        'no value of `propagation` named "nothing". Known: ap, msa, none.',
        'no value of `merge` named "". Known: conv, linear.',
    ]


@pytest.mark.parametrize(
    ("name", "setting"),
    [("salg_st", {"merge": "Conv"}), ("salg_st", {"propagation": "avg"}), ("winft_tiny", {"rf_mode": "dynamic"})],
)
def test_a_mistyped_setting_is_refused(name: str, setting: dict[str, str]) -> None:
    with pytest.raises((UnknownName, TypeCheckError)):  # what the type checks of a test run let through
        registry().create_model(name, **setting)


@pytest.mark.parametrize(("metric", "setting"), [(Perturbation, "area"), (Perturbation, "scale"), (Road, "scale")])
def test_so_is_one_of_a_metric(metric: Any, setting: str) -> None:
    with pytest.raises((UnknownName, TypeCheckError)):
        metric(**{setting: "prob"})
