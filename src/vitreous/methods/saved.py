"""What `Explanation.save` writes: a sheet, a table, or numbers that `Explanation.load` reads."""

from __future__ import annotations

from csv import DictWriter
from dataclasses import asdict, dataclass
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vitreous.errors import DataError, ModelError, ShapeError
from vitreous.files.arrays import Arrays, open_arrays
from vitreous.files.reading import parse_json
from vitreous.files.writing import to_json, whole_file
from vitreous.settings.typed import typed_fields
from vitreous.trace.answer import assumed
from vitreous.trace.reading import LINKS

if TYPE_CHECKING:
    from PIL.Image import Image

    from vitreous.methods.explanation import Explanation

__all__ = ["Saved", "draw_sheet", "read_numbers", "table_of", "write", "write_numbers"]

SAME = "same for every class"
"""What a sheet says of a map that reads no class scores."""
_REMEDY = "Give a file that Explanation.save wrote."


@dataclass(frozen=True, repr=False)
class Saved:
    """What made an explanation that was read from a file: it says what it was, and cannot be called.

    Attributes:
        method: with its settings, as it was written.
        title: as people call it.
        published: where.
        signed: its maps have two sides.
        blocks: its maps are of whole blocks.
        scoreless: they are the same for every class.
    """

    source: ClassVar[str] = "a file that Explanation.save wrote"
    method: str
    title: str
    published: str
    signed: bool
    blocks: bool
    scoreless: bool = False

    def __repr__(self) -> str:
        return self.method

    def __call__(self, *_: Any, **__: Any) -> NoReturn:
        """Refuse.

        Raises:
            ModelError: always.
        """
        raise ModelError(
            f"`{self.title}` was read from a file, which holds its maps and not itself. "
            "Make it again: vitreous.methods.make_method."
        )


@dataclass(frozen=True)
class _About:
    """What is no array."""

    made_by: Saved
    class_names: tuple[str, ...]
    layer: str
    link: str | None
    opposed: tuple[bool, ...]


def write(explanation: Explanation, path: Path) -> None:
    """Write what `Explanation.save` promises, by the suffix."""
    from vitreous.render.sheet import save_page

    table = table_of(explanation) if path.suffix == ".csv" else ""
    with whole_file(path) as part:
        if path.suffix == ".npz":
            write_numbers(explanation, part)
        elif path.suffix == ".csv":
            part.write_text(table, encoding="utf-8")
        else:
            save_page(draw_sheet(explanation), part)


def draw_sheet(explanation: Explanation) -> Image:
    """The sheet of `Explanation.sheet`."""
    from vitreous.render.overlay import Scale, draw, overlay
    from vitreous.render.sheet import PANEL, Panel, sheet

    panels: list[Panel] = []
    for at, heatmap in enumerate(explanation.heatmap):
        answer = explanation.answer(at)
        name, caption = (answer.name, answer.shown) if answer else (f"image {at}", "")
        about = SAME if getattr(explanation.method, "scoreless", False) else caption
        scale = Scale.of([heatmap], signed=explanation.signed)
        if not explanation.views:
            panels.append(Panel(name, draw(heatmap, scale), about, scale))
            continue
        view = explanation.views[at]
        panels.append(Panel(view.whole.info.get("file", name), view.shrunk(2 * PANEL).marked(), caption))
        panels.append(Panel(name, overlay(view.part, heatmap, scale=scale), about, scale))
        if explanation.details:
            panels += explanation.details[at].panels(view.part)
    images = len(explanation.heatmap)
    columns = max(4, len(panels) // images) if explanation.views and images > 1 else None
    note = assumed(explanation.logits.shape[1], explanation.link) if explanation.logits is not None else ""
    return sheet(panels, title=repr(explanation.method), subtitle=note, columns=columns)


def table_of(explanation: Explanation) -> str:
    """The details' tables under one heading, each row after the place of its image.

    Raises:
        ShapeError: there are none.
    """
    rows = [{"image": at, **row} for at, detail in enumerate(explanation.details) for row in detail.table()]
    if not rows:
        raise ShapeError(f"`{type(explanation.method).__name__}` gives a map and no table. Save a .npz or a picture.")
    text = StringIO()
    writer = DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def write_numbers(explanation: Explanation, path: Path) -> None:
    """Write the `.npz` that `Explanation.save` promises."""
    method = explanation.method
    kinds = [bool(getattr(method, kind, False)) for kind in ("signed", "blocks", "scoreless")]
    title = getattr(method, "title", type(method).__name__)
    made_by = method if isinstance(method, Saved) else Saved(repr(method), title, method.source, *kinds)
    about = _About(made_by, explanation.class_names, explanation.layer, explanation.link, explanation.opposed)
    given = {name: getattr(explanation, name) for name in ("heatmap", "logits", "target")}
    arrays: dict[str, Any] = {name: _numpy(each) for name, each in given.items() if each is not None}
    np.savez(path, **arrays, about=np.array(to_json(asdict(about))))


def read_numbers(path: Path) -> Explanation:
    """Read it.

    Raises:
        DataError: as `Explanation.load`.
    """
    from vitreous.methods.explanation import Explanation

    with open_arrays(path, _REMEDY) as arrays:
        about = _about(arrays["about"], path)
        heatmap = _tensor(arrays, "heatmap", 3)
        logits, target = (_tensor(arrays, name, dims) for name, dims in (("logits", 2), ("target", 1)))
    if heatmap is None or any(each is not None and len(each) != len(heatmap) for each in (logits, target)):
        raise DataError(f"`{path}` has no heat map for each of its images. {_REMEDY}")
    if target is not None and (logits is None or target.is_floating_point() or _outside(target, logits.shape[1])):
        raise DataError(f"`{path}` has targets that are none of its classes. {_REMEDY}")
    return Explanation(
        heatmap,
        logits,
        target,
        about.made_by,
        about.class_names,
        layer=about.layer,
        link=about.link,
        opposed=about.opposed,
    )


def _about(text: NDArray[Any], path: Path) -> _About:
    values = parse_json(str(text), f"`about` in `{path}`", _REMEDY)
    try:
        found = _About(**typed_fields(_About, dict(values), f"`about` in `{path}`", DataError))
    except (TypeError, ValueError):
        raise DataError(f"`about` in `{path}` is not as it was written. {_REMEDY}") from None
    if found.link not in (None, *LINKS):
        raise DataError(f"`about` in `{path}` has the link {found.link!r}. {_REMEDY}")
    return found


def _tensor(arrays: Arrays, name: str, dims: int) -> Tensor | None:
    """An array of numbers; None where there is none."""
    if name not in arrays:
        return None
    array = arrays[name]
    if array.ndim != dims or array.dtype.kind not in "fi" or not array.size:
        raise DataError(f"`{name}` in `{arrays.archive.filename}` is {array.dtype} {array.shape}. {_REMEDY}")
    return torch.from_numpy(array.astype(array.dtype.newbyteorder("=")))


def _outside(target: Tensor, classes: int) -> bool:
    return bool((target < 0).any() or (target >= classes).any())


def _numpy(values: Tensor) -> NDArray[Any]:
    """As numpy can hold it: half precision becomes float32, exactly."""
    values = values.detach().cpu()
    return (values.float() if values.dtype in (torch.bfloat16, torch.float16) else values).numpy()
