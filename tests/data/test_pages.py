"""TIFFs of several pages, and those in which white is 0: the right picture, or a refusal."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vitreous.data.pictures import decode_mask, open_picture
from vitreous.errors import DataError


def tiff(path: Path, pages: list[Image.Image], **options: Any) -> Path:
    first, *others = pages
    first.save(path, save_all=bool(others), append_images=others, **options)
    return path


def test_a_page_of_several_must_be_chosen(tmp_path: Path) -> None:
    pages = [Image.new("L", (6, 4), gray) for gray in (10, 20, 30)]
    several = tiff(tmp_path / "a.tif", pages)
    with pytest.raises(DataError, match=r"has 3 pages\. Save the one that you mean"):
        open_picture(several)
    with pytest.raises(DataError, match="has 3 pages"):
        decode_mask(several.read_bytes(), "a mask")
    assert open_picture(tiff(tmp_path / "b.tif", pages[:1])).getpixel((0, 0)) == (10, 10, 10)
    pages[0].save(tmp_path / "c.gif", save_all=True, append_images=pages[1:])
    assert open_picture(tmp_path / "c.gif").size == (6, 4)


def test_a_smaller_copy_is_no_page(tmp_path: Path) -> None:
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    copy = ImageFileDirectory_v2()
    copy[254] = 1
    thumbnail = Image.new("L", (3, 2), 99)
    thumbnail.encoderinfo = {"tiffinfo": copy}
    path = tiff(tmp_path / "a.tif", [Image.new("L", (6, 4), 10), thumbnail])
    assert open_picture(path).getpixel((0, 0)) == (10, 10, 10)


def test_sixteen_bits_from_white_to_black(tmp_path: Path) -> None:
    values = np.array([[0, 65535, 257]], np.uint16)
    picture = Image.fromarray(values)
    picture.save(tmp_path / "a.tif", tiffinfo={262: 0})
    with Image.open(tmp_path / "a.tif") as saved:
        stored = saved.tag_v2[262]
    if stored != 0:  # this Pillow writes what it always writes
        content = bytearray((tmp_path / "a.tif").read_bytes())
        at = content.index(struct.pack("<HHI", 262, 3, 1))
        content[at + 8 : at + 10] = struct.pack("<H", 0)
        (tmp_path / "a.tif").write_bytes(bytes(content))
    assert np.asarray(open_picture(tmp_path / "a.tif"))[0, :, 0].tolist() == [255, 0, 254]
    with pytest.raises(DataError, match="a mask in which white is 0"):
        decode_mask((tmp_path / "a.tif").read_bytes(), "it")
