"""Lines of equal value: they run where the map crosses a level, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from vitreous.render.isolines import LEVELS, draw_isolines
from vitreous.render.overlay import Scale

GRAY = Image.new("RGB", (300, 60), "gray")


@pytest.mark.parametrize(("signed", "low"), [(False, 0.0), (True, -1.0)])
def test_a_ramp_crosses_each_level_once(signed: bool, low: float) -> None:
    ramp = torch.linspace(low, 1, 301)[None]
    shown = np.asarray(draw_isolines(GRAY, ramp, Scale.of([ramp], signed=signed)))
    touched = (shown != np.asarray(GRAY)).any(2)
    assert (touched == touched[:1]).all(), "lines run straight down"
    starts = np.flatnonzero(np.diff(touched[0].astype(int)) == 1)
    levels = np.array([side * at for at in LEVELS for side in ((1, -1) if signed else (1,))])
    wanted = np.sort((levels - low) / (1 - low)) * 300
    assert len(starts) == len(wanted)
    assert np.abs(starts - wanted).max() <= 4
    if signed:
        red_over_blue = shown[30, :, 0].astype(int) - shown[30, :, 2]
        lines = np.array([red_over_blue[start : start + 4].sum() for start in starts])
        assert (np.sign(lines) == np.sign(wanted - 150)).all(), "blue speaks against, orange for"


def test_large_pictures_have_lines_too() -> None:
    peak = torch.tensor([[0.0, 1.0, 0.0]])
    picture = Image.new("RGB", (1200, 40), "gray")
    shown = np.asarray(draw_isolines(picture, peak, Scale.of([peak])))
    touched = (shown != np.asarray(picture)).any(2)[20]
    assert np.count_nonzero(np.diff(touched.astype(int)) == 1) == 2 * len(LEVELS)
