"""Reading picture files that come from anywhere."""

from __future__ import annotations

import contextlib
import io
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL import __version__ as pillow
from PIL.PngImagePlugin import PngInfo

from vitreous.data.pictures import MAX_PIXELS, as_picture, open_encoded, open_picture
from vitreous.errors import DataError

RED, BLUE, WHITE = (255, 0, 0), (0, 0, 255), (255, 255, 255)
UNWRITTEN = {"LA"} if int(pillow.split(".")[0]) >= 13 else {"LA", "YCbCr"}
"""Of these, Pillow writes no TIFF file, or one that nobody reads."""


def encoded(picture: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def ramp(width: int = 13, height: int = 7) -> Image.Image:
    values = np.arange(width * height * 3, dtype=np.uint32).reshape(height, width, 3) % 251
    return Image.fromarray(values.astype(np.uint8))


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds next to nothing."""
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)), (b"IDAT", zlib.compress(b"\0" * 9))]
    body = b"".join(struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks)
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.fixture
def write(tmp_path: Path) -> Callable[[bytes, str], Path]:
    def write(data: bytes, name: str = "picture.png") -> Path:
        (tmp_path / name).write_bytes(data)
        return tmp_path / name

    return write


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM"])
def test_lossless_files_come_back_bit_for_bit(write: Callable[..., Path], kind: str) -> None:
    picture = open_picture(write(encoded(ramp(), kind)))
    assert picture.mode == "RGB"
    assert np.array_equal(picture, ramp())


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (300, 2)])
def test_any_size_however_small(write: Callable[..., Path], size: tuple[int, int]) -> None:
    assert open_picture(write(encoded(ramp(*size), "PNG"))).size == size


def test_a_picture_that_stands_upright_is_not_copied_to_be_turned() -> None:
    file = encoded(Image.new("RGB", (300, 200)), "PNG")
    Image.core.reset_stats()  # type: ignore[attr-defined]
    open_encoded(file, "a.png")
    assert Image.core.get_stats()["new_count"] <= 3  # type: ignore[attr-defined]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_rotated_photo_stands_upright(write: Callable[..., Path], orientation: int) -> None:
    upright = Image.new("RGB", (32, 16), BLUE)
    upright.paste(RED, (0, 0, 16, 8))
    back = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # undoes what the EXIF value asks for
    stored = upright if orientation == 1 else upright.transpose(Image.Transpose(back[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = open_picture(write(encoded(stored, "PNG", exif=exif)))
    assert np.array_equal(picture, upright)


@pytest.mark.parametrize(
    ("picture", "expected"),
    [
        (Image.new("CMYK", (4, 4), (0, 255, 255, 0)), RED),
        (Image.new("L", (4, 4), 77), (77, 77, 77)),
        (Image.new("1", (4, 4), 1), WHITE),
        (Image.new("LA", (4, 4), (0, 0)), WHITE),
        (Image.new("LA", (4, 4), (10, 255)), (10, 10, 10)),
        (Image.new("RGBA", (4, 4), (255, 0, 0, 0)), WHITE),
        (Image.new("RGBA", (4, 4), (255, 0, 0, 128)), (255, 127, 127)),
        (Image.new("YCbCr", (4, 4), (255, 128, 128)), WHITE),
        (Image.fromarray(np.full((4, 4), 65535, np.uint16)), WHITE),
        (Image.fromarray(np.full((4, 4), 32896, np.uint16)), (128, 128, 128)),
        (Image.fromarray(np.array([[257] * 4] * 3 + [[65535] * 4], np.uint16)), (1, 1, 1)),
        (Image.fromarray(np.full((4, 4), 65535, np.int32)), WHITE),
    ],
    ids=lambda value: f"{value.mode}-{value.getpixel((0, 0))}" if isinstance(value, Image.Image) else "",
)
def test_every_mode_becomes_rgb(write: Callable[..., Path], picture: Image.Image, expected: tuple[int, ...]) -> None:
    for read in (
        open_picture(write(encoded(picture, "TIFF"))) if picture.mode not in UNWRITTEN else None,
        as_picture(picture),
    ):
        if read:
            assert read.mode == "RGB"
            assert read.getpixel((1, 1)) == expected


@pytest.mark.parametrize("mode", ["P", "RGB", "L"])
def test_a_transparent_color_is_white(write: Callable[..., Path], mode: str) -> None:
    picture = Image.new(mode, (4, 4), 0)
    transparent = (0, 0, 0) if mode == "RGB" else 0
    assert open_picture(write(encoded(picture, "PNG", transparency=transparent))).getpixel((0, 0)) == WHITE


@pytest.mark.parametrize(("kind", "options"), [("GIF", {}), ("PNG", {}), ("WEBP", {"lossless": True})])
def test_animations_show_their_first_frame(write: Callable[..., Path], kind: str, options: dict[str, object]) -> None:
    frames = [Image.new("RGB", (8, 8), color) for color in (RED, BLUE)]
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    assert open_picture(write(data)).getpixel((3, 3)) == RED


def test_jpeg_is_what_pil_decodes(write: Callable[..., Path]) -> None:
    path = write(encoded(ramp(40, 30), "JPEG"), "photo.jpg")
    with Image.open(path) as plain:
        assert np.array_equal(open_picture(path), plain)


REFUSED = {
    "text": (b"not a picture at all", "`{}` is not a picture of a known format. Convert it to PNG or JPEG."),
    "empty": (b"", "`{}` is empty (0 bytes). Copy or download it again."),
    "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "`{}` is not a picture of a known format. "),
    "truncated jpeg": (
        encoded(ramp(200, 200), "JPEG")[:3000],
        "`{}` is damaged or cannot be read: image file is truncated",
    ),
    "truncated png": (encoded(ramp(200, 200), "PNG")[:500], "`{}` is damaged or cannot be read: "),
    "truncated gif": (encoded(ramp(200, 200), "GIF")[:2000], "`{}` is damaged or cannot be read: "),
    "bomb": (png_header(20_000, 20_000), "`{}` has more than 100,000,000 pixels. Make it smaller first."),
    "large": (png_header(10_001, 10_000), "`{}` has more than 100,000,000 pixels. Make it smaller first."),
    "float": (encoded(Image.new("F", (2, 2), 0.5), "TIFF"), "`{}` has floating-point pixels, whose white is unknown. "),
    "32 bits": (
        encoded(Image.new("I", (2, 2), 70_000), "TIFF"),
        "`{}` has gray values from 70000 to 70000, ",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_picture_is_refused_in_one_sentence(write: Callable[..., Path], case: str) -> None:
    data, message = REFUSED[case]
    path = write(data, "picture.jpg")
    with pytest.raises(DataError) as caught:
        open_picture(path)
    said = str(caught.value)
    assert said.startswith(message.format(path))
    assert "\n" not in said
    assert said.endswith(".")
    assert caught.value.__context__ is None or caught.value.__suppress_context__


def test_a_picture_may_have_as_many_pixels_as_the_limit_says(write: Callable[..., Path]) -> None:
    with pytest.raises(DataError, match="is damaged"):  # the header passes; the pixels are missing
        open_picture(write(png_header(MAX_PIXELS // 10_000, 10_000)))


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no file `.*nowhere\.png`\. Check the path\."):
        open_picture(tmp_path / "nowhere.png")
    with pytest.raises(DataError, match="is not a file"):
        open_picture(tmp_path)
    with pytest.raises(DataError, match=r"is damaged or cannot be read: .*too long"):
        open_picture("x" * 5000)


def test_a_file_that_may_not_be_read(write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(encoded(ramp(), "PNG"))

    def deny(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", deny)  # permission bits do not stop a superuser
    with pytest.raises(DataError, match=r"may not be read\. Change its permissions\."):
        open_picture(path)


@pytest.mark.parametrize("shape", [(5, 6), (5, 6, 3), (5, 6, 4)])
def test_arrays(shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    if shape[2:] == (4,):
        array[..., 3] = 255
    expected = array[..., :3] if array.ndim == 3 else np.stack([array] * 3, -1)
    assert np.array_equal(as_picture(array), expected)
    assert np.array_equal(as_picture(array[::2, ::-1]), expected[::2, ::-1])


@pytest.mark.parametrize(
    "array",
    [np.zeros((5, 6, 3), np.float32), np.zeros((3, 5, 6), np.uint8), np.zeros((0, 6), np.uint8), np.zeros(3, np.uint8)],
    ids=["float", "channels first", "no pixels", "one axis"],
)
def test_other_arrays_are_refused(array: np.ndarray) -> None:
    with pytest.raises(DataError, match=r"a picture must be uint8 .*; got .*\. Scale it"):
        as_picture(array)


def test_what_is_no_picture_at_all() -> None:
    with pytest.raises(DataError, match=r"got int for a picture\. Give a path, a PIL image or a uint8 array\."):
        as_picture(3)


def test_pil_and_paths(write: Callable[..., Path]) -> None:
    path = write(encoded(ramp(), "PNG"))
    for picture in (path, str(path), ramp(), ramp().convert("RGBA")):
        assert np.array_equal(as_picture(picture), ramp())


def test_a_lazy_pil_picture_that_is_damaged() -> None:
    lazy = Image.open(io.BytesIO(encoded(ramp(200, 200), "PNG")[:500]))
    with pytest.raises(DataError, match="the picture is damaged or cannot be read: "):
        as_picture(lazy)


SEEDS = [
    *(encoded(ramp(), kind) for kind in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM")),
    encoded(ramp().quantize(8), "PNG", transparency=0),
    encoded(Image.fromarray(np.arange(20, dtype=np.uint16).reshape(4, 5)), "PNG"),
    encoded(ramp(), "TIFF", compression="tiff_lzw"),
]


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200))
@example(b"\x89PNG\r\n\x1a\n")
@example(b"\xff\xd8\xff")
@example(b"II*\0\x08\0\0\0")
def test_random_bytes_give_a_picture_or_a_data_error(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    read_or_refuse(tmp_path_factory, data)


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(SEEDS),
    st.lists(st.tuples(st.integers(0, 120), st.integers(0, 255)), min_size=1, max_size=6),
    st.floats(0, 1),
)
def test_damaged_files_give_a_picture_or_a_data_error(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, changes: list[tuple[int, int]], kept: float
) -> None:
    damaged = bytearray(data)
    for at, value in changes:
        damaged[at % len(damaged)] = value
    read_or_refuse(tmp_path_factory, bytes(damaged[: round(len(damaged) * max(kept, 0.3))]))


def read_or_refuse(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzzed"
    path.write_bytes(data)
    with contextlib.suppress(DataError), warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*16-bit")  # a damaged file may well say so
        assert open_picture(path).mode == "RGB"


def test_texts_in_a_file_say_nothing_in_our_name(tmp_path: Path) -> None:
    texts = PngInfo()
    for name in ("window", "warning", "file"):
        texts.add_text(name, "theirs")
    Image.new("RGB", (8, 8), "red").save(tmp_path / "a.png", pnginfo=texts)
    assert open_picture(tmp_path / "a.png").info == {"file": "a.png"}
    with Image.open(tmp_path / "a.png") as picture:
        assert as_picture(picture).info == {}
        assert picture.info["window"] == "theirs"
