"""Gray pictures of more than 8 bits are as light as they were meant to be, or it is said that nobody knows."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vitreous.data.depth import asked_window
from vitreous.data.pictures import as_picture, decode_picture, open_picture
from vitreous.errors import DataError, ExplainWarning

TWELVE = np.linspace(0, 4095, 64).round().astype(np.uint16).reshape(8, 8)
LIGHT = np.rint(TWELVE / 4095 * 255).astype(np.uint8)
DARK = np.rint(TWELVE / 257).astype(np.uint8)


def png(values: np.ndarray, significant: int = 0) -> bytes:
    """A 16-bit PNG, with an sBIT chunk where some bits are significant."""
    file = io.BytesIO()
    Image.fromarray(values).save(file, "PNG")
    data = file.getvalue()
    if not significant:
        return data
    body = b"sBIT" + bytes([significant])
    return data[:33] + struct.pack(">I", 1) + body + struct.pack(">I", zlib.crc32(body)) + data[33:]


def tiff(values: np.ndarray, **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(values).save(file, "TIFF", **options)
    return file.getvalue()


def twelve_bit_tiff(values: np.ndarray) -> bytes:
    """A TIFF of packed 12-bit samples, which Pillow reads and does not write."""
    pairs = values.astype(np.uint32).reshape(-1, 2)
    packed = np.stack([pairs[:, 0] >> 4, (pairs[:, 0] & 15) << 4 | pairs[:, 1] >> 8, pairs[:, 1] & 255], 1)
    pixels = packed.astype(np.uint8).tobytes()
    height, width = values.shape
    entries = [(256, 4, width), (257, 4, height), (258, 3, 12), (259, 3, 1), (262, 3, 1), (273, 4, 8)]
    entries += [(277, 3, 1), (278, 4, height), (279, 4, len(pixels))]
    table = b"".join(struct.pack("<HHI", tag, kind, 1) + struct.pack("<I", value) for tag, kind, value in entries)
    head = struct.pack("<2sHI", b"II", 42, 8 + len(pixels))
    return head + pixels + struct.pack("<H", len(entries)) + table + struct.pack("<I", 0)


def gray(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture)[..., 0]


@pytest.mark.parametrize(
    ("data", "white"),
    [
        (png(TWELVE, 12), 4095),
        (png(TWELVE * 16 + TWELVE // 256, 12), 65535),  # scaled up, as the standard wants
        (png(np.array([[0, 16, 32, 256]], np.uint16), 12), 65535),  # and dark
        (tiff(TWELVE, tiffinfo={281: 4095}), 4095),
        (twelve_bit_tiff(TWELVE), 4095),
    ],
    ids=["sBIT", "sBIT, scaled", "sBIT, scaled and dark", "MaxSampleValue", "BitsPerSample"],
)
def test_the_depth_is_what_the_file_says(data: bytes, white: int, tmp_path: Path) -> None:
    (tmp_path / "scan").write_bytes(data)
    picture = open_picture(tmp_path / "scan")
    assert picture.info["window"] == (0, white)
    values = np.asarray(Image.open(io.BytesIO(data))).astype(float)
    assert np.array_equal(gray(picture), np.rint(values * 255 / white))
    assert np.array_equal(decode_picture(data, "scan"), picture)


@pytest.mark.parametrize("data", [png(TWELVE), tiff(TWELVE)], ids=["png", "tiff"])
def test_where_nobody_says_it_a_warning_offers_a_window(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "scan"
    path.write_bytes(data)
    with pytest.warns(
        UserWarning, match=r"of at most 4095, which fill 0 … 16 of 255. Give --window .* may be 4095 \(12 bits\)"
    ):
        picture = open_picture(path)
    assert np.array_equal(gray(picture), DARK)
    with pytest.warns(UserWarning, match="a picture of the data set has 16-bit gray values"):
        decode_picture(data, "`scan`")
    with warnings.catch_warnings(action="error"):
        assert np.array_equal(gray(open_picture(path, (0.0, 4095.0))), LIGHT)
        assert np.array_equal(gray(open_picture(path, "auto")), LIGHT)
        assert np.array_equal(gray(as_picture(TWELVE, (0.0, 4095.0))), LIGHT)
        assert np.array_equal(gray(as_picture(Image.fromarray(TWELVE), "auto")), LIGHT)
        narrow = open_picture(path, (1000.0, 2000.0))
    assert (gray(narrow)[TWELVE <= 1000] == 0).all()
    assert (gray(narrow)[TWELVE >= 2000] == 255).all()
    assert narrow.info["window"] == (1000, 2000)


def test_a_window_also_reads_what_has_no_white_of_its_own(tmp_path: Path) -> None:
    for values in (np.float32([[-1000, 0, 400]]), np.int32([[-1000, 0, 400]])):
        path = tmp_path / "scan.tif"
        Image.fromarray(values).save(path)
        with pytest.raises(DataError, match="Give --window LOW,HIGH"):
            open_picture(path)
        assert gray(open_picture(path, (-1000.0, 400.0))).tolist() == [[0, 182, 255]]
        assert gray(open_picture(path, "auto")).tolist() == [[0, 182, 255]]


def test_eight_bits_and_full_sixteen_are_left_alone(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 65536, (8, 8)).astype(np.uint16)
    values[0, 0] = 65535
    (tmp_path / "a.png").write_bytes(png(values))
    assert np.array_equal(gray(open_picture(tmp_path / "a.png")), (values.astype(int) + 128) // 257)
    Image.fromarray(LIGHT).save(tmp_path / "b.png")
    assert np.array_equal(gray(open_picture(tmp_path / "b.png")), LIGHT)
    for read in (lambda window: open_picture(tmp_path / "b.png", window), lambda window: as_picture(LIGHT, window)):
        for window, shown in (((0.0, 10.0), "0,10"), ("auto", "auto")):
            with pytest.warns(ExplainWarning, match=f"the window {shown} does not apply: it is read as it is"):
                found = read(window)
            assert np.array_equal(gray(found), LIGHT)
            assert f"the window {shown} does not apply" in found.info["warning"]
            assert "window" not in found.info


def test_dark_colors_of_sixteen_bits_are_said(tmp_path: Path) -> None:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    rows = b"".join(b"\0" + np.repeat(row, 3).astype(">u2").tobytes() for row in TWELVE)
    header = struct.pack(">IIBBBBB", 8, 8, 16, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    (tmp_path / "scan.png").write_bytes(data)
    with pytest.warns(UserWarning, match="16-bit colors, of which 8 are read: at most 15 of 255. Save it with 8 bits"):
        open_picture(tmp_path / "scan.png")


@pytest.mark.parametrize("window", ["4095", "a,b", "5,5", (9.0, 1.0), "0,inf", 3, (1, 2, 3)])
def test_what_is_no_window_is_refused(window: Any) -> None:
    with pytest.raises(DataError, match=r"is no window\. Give two numbers LOW,HIGH"):
        asked_window(window)
