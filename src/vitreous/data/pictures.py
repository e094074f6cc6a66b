"""Picture files, which come from anywhere: found, read, and made 8-bit RGB."""

from __future__ import annotations

import io
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps

from vitreous.data.depth import Window, asked_window, deep, stated_white, to_eight_bits, unused
from vitreous.data.scans import name_in_file, seen
from vitreous.errors import DataError, ExplainWarning, MissingExtra
from vitreous.medical.dicom import is_dicom, read_dicom
from vitreous.medical.files import is_medical, open_scan
from vitreous.medical.nifti import is_nifti
from vitreous.medical.scan import MAX_PIXELS
from vitreous.settings.arguments import checked

__all__ = [
    "MAX_PIXELS",
    "SUFFIXES",
    "as_picture",
    "decode_mask",
    "decode_picture",
    "open_encoded",
    "open_picture",
    "read_pixels",
]

_MEDICAL = (".dcm", ".dicom")
SUFFIXES = (".avif", ".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp", *_MEDICAL)
"""What is taken for a picture where folders are searched."""

_FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")  # the other decoders stay closed to strangers
_PHOTOMETRIC, _SUBFILE_TYPE, _SMALLER_COPY = 262, 254, 1


@checked()
def open_picture(path: str | Path, window: Window = None) -> Image.Image:
    """Read a picture file of any origin as upright RGB.

    The orientation in its EXIF data is applied, transparency becomes white, and of an animation the first frame is
    taken. Gray values of more than 8 bits are scaled to 8 by the window, or else by the depth that the file says;
    `.info["window"]` of the result says by which values, `.info["file"]` the file's name. Where a file says nothing and
    uses less than half of 16 bits, or a window is given for a picture that has no such values, a warning says so, and
    `.info["warning"]` too.

    Args:
        path: of the file.
        window: of gray values of more than 8 bits: (what becomes black, what becomes white), or "auto" for the
            picture's lowest and highest.

    Raises:
        DataError: the file cannot be read as a picture, has more than `MAX_PIXELS` pixels, or several pages.
    """
    path = Path(path)
    with _failures_as_data_errors(f"`{path}`"):
        if is_medical(path):
            picture, warning = seen(open_scan(path), f"`{path}`", asked_window(window))
        else:
            picture, warning = _opened(_whole(path), f"`{path}`", window)
    picture.info["file"] = name_in_file(path)
    return _told(picture, warning)


def open_encoded(encoded: bytes, name: str, window: Window = None, *, most: int = MAX_PIXELS) -> Image.Image:
    """The same of the bytes of such a file, which lie somewhere else; `name` says where, `most` bounds the pixels."""
    with _failures_as_data_errors(f"`{name}`"):
        picture, warning = _opened(encoded, f"`{name}`", window, most)
        _check_size(picture, f"`{name}`", most)
    picture.info["file"] = name.rpartition("/")[2]
    return _told(picture, warning)


def _opened(encoded: bytes, name: str, window: Window, most: int = MAX_PIXELS) -> tuple[Image.Image, str]:
    if not encoded:
        raise DataError(f"{name} is empty (0 bytes). Copy or download it again.")
    if is_dicom(encoded):
        return seen(read_dicom(encoded, "", name, most=most), name, asked_window(window))
    if is_nifti(encoded):
        raise DataError(
            f"{name} is a NIfTI volume, which has many slices. Name one to the command line, as in "
            "`vitreous explain ct.nii.gz/axial/30`."
        )
    return _read(encoded, name, asked_window(window), most=most)


def _whole(path: Path) -> bytes:
    """The bytes of a file; nothing, a folder and a pipe are told."""
    if not path.exists():
        raise DataError(f"there is no file `{path}`. Check the path.")
    if not path.is_file():
        raise DataError(f"`{path}` is not a file. Give the picture files in it.")
    with path.open("rb") as file:
        return file.read()


def decode_picture(encoded: bytes, name: str) -> Image.Image:
    """RGB from the bytes of a picture file whose pixels others have annotated: as stored, EXIF turns nothing.

    Raises:
        DataError: they cannot be read as a picture; `name` says which.
    """
    with _failures_as_data_errors(name):
        medical = is_dicom(encoded)
        read = seen(read_dicom(encoded, "", name), name, None) if medical else _read(encoded, name, None, turn=False)
    picture, warning = read
    return _told(picture, warning and warning.replace(name, "a picture of the data set", 1))  # said once, not of each


def decode_mask(encoded: bytes, name: str) -> NDArray[np.integer[Any]]:
    """The numbers of the pixels, (height, width), from the bytes of a one-channel, palette, or opaque gray picture.

    Raises:
        DataError: they cannot be read as one; `name` says which.
    """
    with _failures_as_data_errors(name):
        picture = _one_page(Image.open(io.BytesIO(encoded), formats=_FORMATS), name)
        _check_size(picture, name)
        if _is_white_zero(picture):
            raise DataError(f"{name} is a mask in which white is 0. Save it with black as 0, for nothing.")
        gray = _gray(picture) if picture.mode in ("LA", "RGB", "RGBA") else picture
        if gray is None or gray.mode not in ("1", "L", "P", "I", "I;16"):
            raise DataError(
                f"{name} is a mask with the channels {picture.mode}. Save it in one channel, 0 for nothing."
            )
        return np.asarray(gray).astype(np.int64)


def read_pixels(encoded: bytes, name: str) -> NDArray[Any]:
    """The pixels of a picture file as they are in it, of any channels and depth: nothing is turned or scaled.

    Raises:
        DataError: they cannot be read; `name` says which.
    """
    with _failures_as_data_errors(name):
        picture = Image.open(io.BytesIO(encoded), formats=_FORMATS)
        _check_size(picture, name)
        return np.asarray(picture)


def _gray(picture: Image.Image) -> Image.Image | None:
    """The one channel that all colors are, if nothing is transparent."""
    bands = picture.split()
    if picture.mode.endswith("A"):
        *bands, alpha = bands
        if alpha.getextrema() != (255, 255):
            return None
    return bands[0] if all(band.tobytes() == bands[0].tobytes() for band in bands) else None


def as_picture(picture: object, window: Window = None) -> Image.Image:
    """Upright RGB from a path, a PIL image, or an array: uint8 (H, W), (H, W, 3) or (H, W, 4), or uint16 (H, W).

    Args:
        picture: any of these.
        window: as in `open_picture`.

    Raises:
        DataError: the picture cannot be read, or the array is none of these.

    >>> as_picture(np.zeros((4, 6), np.uint8)).size
    (6, 4)
    """
    if isinstance(picture, str | Path):
        return open_picture(picture, window)
    if isinstance(picture, np.ndarray) and picture.dtype == np.uint16 and picture.ndim == 2 and picture.size:
        picture = Image.fromarray(picture)
    if isinstance(picture, Image.Image):
        with _failures_as_data_errors("the picture"):
            white = stated_white(picture, b"") if deep(picture) else None
            read = _upright_rgb(picture, "the picture", asked_window(window), white)
        return _told(*read)
    if not isinstance(picture, np.ndarray):
        raise DataError(f"got {type(picture).__name__} for a picture. Give a path, a PIL image or a uint8 array.")
    if picture.dtype != np.uint8 or picture.shape[2:] not in ((), (3,), (4,)) or picture.ndim < 2 or not picture.size:
        raise DataError(
            f"a picture must be uint8 (H, W), (H, W, 3) or (H, W, 4); got {picture.dtype} {picture.shape}. "
            "Scale it to 0 … 255, put the channels last and convert it with .astype(np.uint8)."
        )
    return _told(*_upright_rgb(Image.fromarray(picture), "the picture", asked_window(window)))


@contextmanager
def _failures_as_data_errors(name: str) -> Generator[None]:
    """One clear error for everything that reading a hostile or damaged file can raise, and no warnings."""
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    except (DataError, MissingExtra):
        raise
    except PermissionError:
        raise DataError(f"{name} may not be read. Change its permissions.") from None
    except Image.DecompressionBombError:
        raise DataError(f"{name} {_too_large(MAX_PIXELS)}") from None
    except Image.UnidentifiedImageError:
        raise DataError(f"{name} is not a picture of a known format. Convert it to PNG or JPEG.") from None
    except Exception as error:  # decoders raise anything
        said = (str(error).splitlines() or [""])[0].rstrip(".") or type(error).__name__
        raise DataError(f"{name} is damaged or cannot be read: {said}. Copy, download or export it again.") from None


def _one_page(picture: Image.Image, name: str) -> Image.Image:
    """The picture at its only page; those that say of themselves that they are a smaller copy do not count.

    Raises:
        DataError: it has several, and nothing says which is meant.
    """
    count: int = getattr(picture, "n_frames", 1)
    if picture.format != "TIFF" or count == 1:
        return picture
    pages: list[int] = []
    for at in range(count):
        picture.seek(at)
        if not _tag(picture, _SUBFILE_TYPE) & _SMALLER_COPY:
            pages.append(at)
    if len(pages) != 1:
        raise DataError(f"{name} has {len(pages)} pages. Save the one that you mean as a file of its own.")
    picture.seek(pages[0])
    return picture


def _is_white_zero(picture: Image.Image) -> bool:
    """Whether it is a TIFF whose gray runs from white to black; Pillow itself turns 8 bits around, and not 16."""
    return picture.format == "TIFF" and picture.mode.startswith("I") and _tag(picture, _PHOTOMETRIC, 1) == 0


def _is_turned(picture: Image.Image) -> bool:
    """Whether its EXIF data, which may stand behind the pixels, turn it: Pillow copies all."""
    picture.load()
    return picture.getexif().get(ExifTags.Base.Orientation, 1) != 1


def _tag(picture: Any, number: int, usual: int = 0) -> int:
    found = picture.tag_v2.get(number, usual)
    return found if isinstance(found, int) else usual


def _told(picture: Image.Image, warning: str) -> Image.Image:
    if warning:
        picture.info["warning"] = warning
        warnings.warn(warning, ExplainWarning, stacklevel=4)
    return picture


def _read(
    encoded: bytes, name: str, window: Window, *, turn: bool = True, most: int = MAX_PIXELS
) -> tuple[Image.Image, str]:
    """A picture of a file's bytes, and what its reader should be told."""
    picture: Any = _one_page(Image.open(io.BytesIO(encoded), formats=_FORMATS), name)
    _check_size(picture, name, most)
    white = stated_white(picture, encoded) if deep(picture) else None
    halved = any(";16" in str(tile[-1]) for tile in picture.tile) and not deep(picture)
    read, warning = _upright_rgb(picture, name, window, white, turn=turn)
    if halved and 0 < (most := np.asarray(read).max()) < 16:  # what 12 bits leave of 16
        warning = f"{name} has 16-bit colors, of which 8 are read: at most {most} of 255. Save it with 8 bits."
    return read, warning


def _check_size(picture: Image.Image, name: str, most: int = MAX_PIXELS) -> None:
    if picture.width * picture.height > most:
        raise DataError(f"{name} {_too_large(most)}")


def _too_large(most: int) -> str:
    return f"has more than {most:,} pixels. Make it smaller first."


def _upright_rgb(
    picture: Image.Image, name: str, window: Window = None, white: float | None = None, *, turn: bool = True
) -> tuple[Image.Image, str]:
    """Upright RGB, and a warning where a depth that nobody said may make it dark."""
    _check_size(picture, name)
    white_is_zero = _is_white_zero(picture)
    if turn and _is_turned(picture):
        picture = ImageOps.exif_transpose(picture)
    if deep(picture):
        values, used, warning = to_eight_bits(np.asarray(picture), window, white, name)
        gray = Image.fromarray(255 - values if white_is_zero else values).convert("RGB")
        gray.info["window"] = used
        return gray, warning
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    colors = picture.convert("RGB")
    colors.info = {}  # what the file's own texts say there is not what we say
    return colors, unused(window, name)
