"""Medical files as pictures: a frame or slice in 8 bits, through the window that was asked for or the file's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from vitreous.data.depth import Window, current, to_eight_bits, unused
from vitreous.files.reading import within
from vitreous.medical.scan import Scan

__all__ = ["name_in_file", "seen"]


def seen(scan: Scan, name: str, window: Window) -> tuple[Image.Image, str]:
    """RGB, with the window that was taken in `.info["window"]`, and what its reader should be told."""
    if scan.values.ndim == 3:
        told = f"{name}: {scan.told}." if scan.told else ""
        return _medical(Image.fromarray(scan.values)), " ".join(filter(None, (unused(window, name), told)))
    given = current(window)
    values, used, _ = to_eight_bits(scan.values, given or scan.window, None, name)
    shown = np.where(np.isnan(scan.values), 0, 255 - values if scan.inverted else values).astype(np.uint8)
    picture = _medical(Image.fromarray(shown).convert("RGB"))
    picture.info["window"] = used
    told = scan.told if given is None else scan.warned
    return picture, f"{name}: {told}." if told else ""


def name_in_file(path: Path) -> str:
    """What a frame or slice is called, without the folders of its file."""
    return path.relative_to(within(path)[0].parent).as_posix()


def _medical(picture: Image.Image) -> Image.Image:
    picture.info["medical"] = True
    return picture
