"""DICOM files from anywhere: one frame, its values rescaled, and the window that the file gives them."""

from __future__ import annotations

import io
import logging
import re
import struct
import threading
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitreous.errors import DataError, MissingExtra
from vitreous.medical.scan import MAX_PIXELS, Scan, asked_places, check_size, whole_range

__all__ = ["count_frames", "is_dicom", "read_dicom", "read_header", "stored_values", "telling_nothing"]

_MARK, _AT = b"DICM", 128
_DEFLATED = b"1.2.840.10008.1.2.1.99"
_GRAY = {"MONOCHROME1": True, "MONOCHROME2": False}
_EXPORT = "Copy or export it again."
_J2K_SIZE, _JPEG_SIZE = 0x51, {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
"""Markers of the segments in which a JPEG 2000, a JPEG or a JPEG-LS says how large it is."""
_ITEM = 8
"""Bytes that the least frame of a compressed file takes."""
_BURNED = "the file says that text is burned into its pixels: it may name the patient on all that shows the picture"
_CALLED = "its path holds the name or number of the patient, and all that is written repeats it: rename it first"
_READERS = ("pydicom", "highdicom")
_ALONE = threading.RLock()


@contextmanager
def telling_nothing() -> Generator[None]:
    """Within the block, what reads DICOM neither logs nor warns: it quotes the file, which names the patient."""
    with _ALONE, warnings.catch_warnings(action="ignore"):
        loggers = [logging.getLogger(name) for name in _READERS]
        levels = [logger.level for logger in loggers]
        for logger in loggers:
            logger.setLevel(logging.CRITICAL + 1)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def is_dicom(head: bytes) -> bool:
    """Whether a file that begins like that is DICOM's.

    >>> is_dicom(bytes(128) + b"DICM")
    True
    """
    return head[_AT : _AT + 4] == _MARK


def read_header(content: bytes, name: str, most: int = MAX_PIXELS) -> Any:
    """All that a file of so many pixels says but for them. Nothing of it is in an error: it may name the patient.

    Raises:
        DataError: it is damaged, deflated or no picture.
        MissingExtra: pydicom is not installed.
    """
    try:
        import pydicom
    except ImportError:
        raise MissingExtra("pydicom", "medical") from None
    if not is_dicom(content):
        raise DataError(f"{name} is no DICOM file: it does not say DICM at byte {_AT}. {_EXPORT}")
    if _DEFLATED in content:  # it would be inflated to any size
        raise DataError(f"{name} is deflated as a whole. Unpack it first, as dcmtk's dcmconv does.")
    try:
        with telling_nothing():
            header = pydicom.dcmread(io.BytesIO(content), stop_before_pixels=True)
            rows, columns, frames = (int(header.get(each) or 0) for each in ("Rows", "Columns", "NumberOfFrames"))
            needed = _least_bytes(header) if rows * columns else 0
    except Exception as error:  # decoders raise anything, and say what they saw
        raise DataError(f"{name} is damaged: {type(error).__name__} while reading its header. {_EXPORT}") from None
    if not rows * columns:
        raise DataError(f"{name} is a DICOM file without a picture. Leave it out, or give one of images.")
    check_size(rows, columns, name, most)
    if needed > len(content):
        told = f"{columns}×{rows} pixels" + f" in {frames} frames" * (frames > 1)
        raise DataError(
            f"{name} says that it has {told}, for which its {len(content):,} bytes are too few: it is cut off or "
            f"damaged. {_EXPORT}"
        )
    return header


def _least_bytes(header: Any) -> int:
    """What the pixels of such a file take at least."""
    from pydicom.pixels.utils import get_expected_length

    if header.file_meta.TransferSyntaxUID.is_encapsulated:
        return _ITEM * count_frames(header)
    return get_expected_length(header)


def count_frames(header: Any) -> int:
    """How many frames there are."""
    return max(int(header.get("NumberOfFrames") or 1), 1)


def read_dicom(content: bytes, asked: str, name: str, path: Path | None = None, most: int = MAX_PIXELS) -> Scan:
    """One frame: its values after the modality's rescaling, and the first window that the file gives.

    Args:
        content: of the file.
        asked: the number of the frame, from 1; nothing of a file that has one.
        name: of the file, for messages.
        path: of the file, where frames of it can be named.
        most: pixels of a frame.

    Raises:
        DataError: as `read_header`; several frames and none named; pixels that cannot be decoded.
        MissingExtra: pydicom is not installed.
    """
    header = read_header(content, name, most)
    frames = count_frames(header)
    if frames > 1 and not asked:
        raise DataError(f"{name} has {frames} frames. {_which(path, frames)}")
    frame = asked_places(asked or "1", frames, 1, name)[0]
    with telling_nothing():
        raw = _pixels(content, header, frame - 1, name, most)
        try:
            values, window, told = _as_meant(raw, content, frame - 1)
            inverted = _GRAY.get(str(header.get("PhotometricInterpretation", "")), False)
            warned = "; ".join(_named(header, name))
        except Exception as error:
            raise DataError(
                f"{name} says no clear thing of its values: {type(error).__name__} while they were rescaled. {_EXPORT}"
            ) from None
    if values.ndim == 3 and values.dtype != np.uint8:
        raise DataError(f"{name} has colors of {values.dtype}. Export them with 8 bits.")
    return Scan(values, window, inverted, "; ".join(filter(None, (told, warned))), warned)


def stored_values(content: bytes, name: str) -> NDArray[Any]:
    """The values of a file's first frame, as they are stored.

    Raises:
        DataError: it is damaged or no picture.
        MissingExtra: pydicom is not installed.
    """
    return _pixels(content, read_header(content, name), 0, name, MAX_PIXELS)


def _which(path: Path | None, frames: int) -> str:
    """What to do about several frames."""
    if path is None:
        return "Save the one that you mean as a file of its own."
    return f"Name one, such as `{path}/{1 + frames // 2}`, or a range, `{path}/1:{1 + frames}`."


def _pixels(content: bytes, header: Any, frame: int, name: str, most: int) -> NDArray[Any]:
    """The stored values of a frame."""
    import pydicom
    from pydicom.encaps import get_frame
    from pydicom.pixels.utils import pixel_array

    packed = header.file_meta.TransferSyntaxUID.is_encapsulated
    try:
        whole: Any = io.BytesIO(content)
        if packed:
            whole = pydicom.dcmread(whole)
            stream = get_frame(whole.PixelData, frame, number_of_frames=count_frames(header))
            check_size(*_size_of(stream), name, most)
        return pixel_array(whole, index=frame)
    except DataError:
        raise
    except Exception as error:
        remedy = (
            "Export it uncompressed, or install pylibjpeg with pylibjpeg-libjpeg and pylibjpeg-openjpeg."
            if packed
            else f"It is cut off or damaged. {_EXPORT}"
        )
        raise DataError(f"{name} has pixels that cannot be decoded: {type(error).__name__}. {remedy}") from None


def _size_of(stream: bytes) -> tuple[int, int]:
    """Height and width that a compressed frame says of itself, whatever its header says; (1, 1) where it says none.

    >>> _size_of(bytes.fromhex("ffd8 fff7 000b 08 0190 00c8"))
    (400, 200)
    """
    at = 2
    while at + 9 <= len(stream) and stream[at] == 0xFF:
        if stream[at + 1] == _J2K_SIZE:
            width, height, left, top = struct.unpack_from(">4I", stream, at + 6)
            return height - top, width - left
        if stream[at + 1] in _JPEG_SIZE:
            return struct.unpack_from(">HH", stream, at + 5)
        at += 2 + int.from_bytes(stream[at + 2 : at + 4])
    return 1, 1


def _named(header: Any, name: str) -> Generator[str]:
    """Where else than in its header the file says whose picture it is."""
    if str(header.get("BurnedInAnnotation", "")).upper() == "YES":
        yield _BURNED
    if str(header.get("PatientIdentityRemoved", "")).upper() == "YES":
        return
    words, letters = re.compile(r"[^\W\d_]{3,}"), re.compile(r"[\W_]")
    whose = set(words.findall(str(header.get("PatientName", "")).lower()))
    number = letters.sub("", str(header.get("PatientID", "")).lower())
    if whose & set(words.findall(name.lower())) or (len(number) > 4 and number in letters.sub("", name.lower())):
        yield _CALLED


def _as_meant(raw: NDArray[Any], content: bytes, frame: int) -> tuple[NDArray[Any], tuple[float, float] | None, str]:
    """Values as the file means the stored ones, window, and how the window was found."""
    import pydicom
    from pydicom.pixels.processing import apply_color_lut, apply_modality_lut, apply_voi_lut

    about: Any = pydicom.dcmread(io.BytesIO(content))
    if "PixelData" in about:
        del about.PixelData
    about = _of_frame(about, frame)
    if str(about.PhotometricInterpretation) == "PALETTE COLOR":
        colors = apply_color_lut(raw, about)
        return (colors >> 8).astype(np.uint8) if colors.dtype == np.uint16 else colors, None, ""
    if raw.ndim == 3:
        return raw, None, ""
    values = np.asarray(apply_modality_lut(raw, about), np.float64)
    nothing = _padding(raw, about)
    window, told = _window(values, about)
    if window is None and "VOILUTSequence" in about:
        values = np.asarray(apply_voi_lut(np.asarray(apply_modality_lut(raw, about)), about), np.float64)
        window, told = whole_range(values), "gray values by the table of the file"
    values[nothing] = np.nan
    if window is None:
        window, told = whole_range(values), "the file gives no window, so the whole range of its values was taken"
    return values, window, told


def _of_frame(about: Any, frame: int) -> Any:
    """What holds for a frame: in enhanced files it stands in groups for all of them, or for each."""
    for name, at in (("SharedFunctionalGroupsSequence", 0), ("PerFrameFunctionalGroupsSequence", frame)):
        groups = about.get(name) or []
        group = groups[at] if at < len(groups) else {}
        for part in ("PixelValueTransformationSequence", "FrameVOILUTSequence"):
            for item in group.get(part) or []:
                about.update(item)
    return about


def _window(values: NDArray[Any], about: Any) -> tuple[tuple[float, float] | None, str]:
    """The first window, as PS3.3 C.11.2.1.2 has it."""
    centers, widths = (_several(about.get(name)) for name in ("WindowCenter", "WindowWidth"))
    kind = str(about.get("VOILUTFunction") or "LINEAR").upper()
    if not centers or not widths or widths[0] < 1 or kind == "SIGMOID":
        return None, ""
    center, width = centers[0], widths[0]
    if kind == "LINEAR_EXACT":
        window = center - width / 2, center + width / 2
    else:
        window = center - 0.5 - (width - 1) / 2, center - 0.5 + max(width - 1, 1e-6) / 2  # a width of 1 is a step
    several = f"the first of {len(centers)} windows of the file" if len(centers) > 1 else ""
    return window, several


def _several(value: Any) -> list[float]:
    found = value if isinstance(value, list | tuple) or hasattr(value, "__iter__") else [value]
    return [float(each) for each in found if each is not None and str(each) != ""]


def _padding(raw: NDArray[Any], about: Any) -> NDArray[np.bool_]:
    """Where there is nothing: the stored values from one padding value to the other."""
    first = about.get("PixelPaddingValue")
    if first is None or isinstance(first, bytes):
        return np.zeros(raw.shape, np.bool_)
    last = about.get("PixelPaddingRangeLimit", first)
    low, high = sorted((int(first), int(last)))
    return (raw >= low) & (raw <= high)
