"""A model folder and a drawer of pictures, good and bad, for the tests that need files."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from vitreous.models.card import ModelCard
from vitreous.models.preprocess import Preprocess

CLASSES = ("tabby, tabby cat", "dog", "hen", "7")
PICTURES = 6


def save_model(folder: Path, **arguments: object) -> Path:
    """A tiny random ViT as a model folder."""
    size = {"img_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 8}
    card = ModelCard("vit_tiny_patch16_224", {**size, **arguments}, CLASSES, Preprocess((32, 32), (36, 36)))
    model = card.build()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.2, generator=generator)
    card.save(folder, model.state_dict())
    return folder


def noise(seed: int, size: tuple[int, int] = (40, 30)) -> Image.Image:
    """A picture unlike the others."""
    pixels = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC)


def save_pictures(root: Path) -> str:
    """Six pictures of two of the model's classes, each with a box, half of them with a mask."""
    rows = ["file,x0,y0,x1,y1"]
    for at in range(PICTURES):
        name = f"{('dog', 'hen')[at % 2]}/{at}.png"
        (root / name).parent.mkdir(exist_ok=True)
        noise(at).save(root / name)
        rows.append(f"{name},{4 + at},3,{20 + at},25")
        if at < 3:
            (root / "masks" / name).parent.mkdir(parents=True, exist_ok=True)
            mask = np.zeros((30, 40), np.uint8)
            mask[5:20, 8 : 20 + at] = 255
            Image.fromarray(mask).save(root / "masks" / name)
    (root / "boxes.csv").write_text("\n".join(rows))
    return f"folder:{root}"


def _rotated(path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    noise(1).save(path, exif=exif)


def _animation(path: Path) -> None:
    noise(1).save(path, save_all=True, append_images=[noise(2)])


def _palette_with_alpha(path: Path) -> None:
    noise(1).quantize(8).save(path, transparency=0)


def _sixteen_bits(path: Path) -> None:
    Image.fromarray(np.asarray(noise(1).convert("L")).astype(np.uint16) * 257).save(path)


GOOD: dict[str, Callable[[Path], None]] = {
    "plain.png": lambda path: noise(1).save(path),
    "cmyk.jpg": lambda path: noise(1).convert("CMYK").save(path),
    "sixteen.png": _sixteen_bits,
    "palette.png": _palette_with_alpha,
    "moving.gif": _animation,
    "rotated.jpg": _rotated,
    "pixel.png": lambda path: noise(1, (1, 1)).save(path),
    "sliver.png": lambda path: noise(1, (3, 400)).save(path),
    "grey.jpg": lambda path: noise(1).convert("L").save(path),
}


def _truncated(path: Path) -> None:
    noise(1, (200, 200)).save(path)
    path.write_bytes(path.read_bytes()[:900])


def _bomb(path: Path) -> None:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b""))


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "text.jpg": (lambda path: path.write_text("not a picture"), "not a picture of a known format"),
    "empty.png": (lambda path: path.touch(), "empty (0 bytes)"),
    "truncated.png": (_truncated, "truncated"),
    "bomb.png": (_bomb, "pixels"),
    "thread.png": (lambda path: Image.new("RGB", (1, 1_000_000)).save(path), "too narrow"),
    "folder.png": (lambda path: path.mkdir(), "not a file"),
}
"""How to make it, and what is said about it."""
