"""All parts, those first whose results are worth most."""

from __future__ import annotations

from functools import partial

from benchmarks.device.backbones import salg, winft
from benchmarks.device.contract import KINDS, compare
from benchmarks.device.judging import judge
from benchmarks.device.learning import learn
from benchmarks.device.runner import Measure
from benchmarks.device.speed import MASKED, ag_cam, against_forward, chefer, masked
from tests.contract.test_metrics import JUDGES

from vitreous.methods import METHODS

PARTS: dict[str, Measure] = {
    f"contract_{KINDS[0]}": partial(compare, KINDS[0]),
    "speed_ag_cam": partial(ag_cam, compiled=False),
    **{f"contract_{kind}": partial(compare, kind) for kind in KINDS[1:]},
    "speed_ag_cam_compiled": partial(ag_cam, compiled=True),
    "speed_transformer_attribution": chefer,
    **{f"speed_{name}": partial(masked, name) for name in MASKED},
    "salg": salg,
    "winft": winft,
    **{f"metric_{name}": partial(judge, name) for name in JUDGES},
    **{f"cost_{name}": partial(against_forward, name) for name in METHODS},
    "train": learn,
}
