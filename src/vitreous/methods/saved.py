"""What `Explanation.save` writes: a sheet, a table, or numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from csv import DictWriter
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitreous.errors import ShapeError
from vitreous.files.writing import whole_file
from vitreous.medical.scan import NOT_FOR_DIAGNOSIS
from vitreous.methods.archive import About, made_by, write_archive
from vitreous.trace.answer import assumed, rather

if TYPE_CHECKING:
    from PIL.Image import Image

    from vitreous.methods.explanation import Explanation

__all__ = ["SAME", "draw_sheet", "rows_as_csv", "table_of", "write"]

SAME = "same for every class"
"""What a sheet says of a map that reads no class scores."""
_NAME = "heatmap"
"""Of the map in an `.npz`."""


def write(explanation: Explanation, path: Path) -> None:
    """Write what `Explanation.save` promises, by the suffix."""
    from vitreous.render.sheet import save_page

    table = table_of(explanation) if path.suffix == ".csv" else ""
    with whole_file(path) as part:
        if path.suffix == ".npz":
            _write_numbers(explanation, part)
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
        name, caption = (rather(answer.name, explanation.rival(at)), answer.shown) if answer else (f"image {at}", "")
        about = SAME if getattr(explanation.method, "scoreless", False) else caption
        scale = Scale.of([heatmap], signed=explanation.signed)
        if not explanation.views:
            panels.append(Panel(name, draw(heatmap, scale, blocks=explanation.blocks), about, scale))
            continue
        view = explanation.views[at]
        panels.append(Panel(view.whole.info.get("file", name), view.shrunk(2 * PANEL).marked(), caption))
        panels.append(Panel(name, overlay(view.part, heatmap, scale=scale, blocks=explanation.blocks), about, scale))
        if explanation.details:
            panels += explanation.details[at].panels(view.part)
    images = len(explanation.heatmap)
    columns = max(4, len(panels) // images) if explanation.views and images > 1 else None
    note = assumed(explanation.logits.shape[1], explanation.link) if explanation.logits is not None else ""
    subtitle = " · ".join(filter(None, (note, explanation.scores_from, NOT_FOR_DIAGNOSIS * explanation.medical)))
    return sheet(panels, title=repr(explanation.method), subtitle=subtitle, columns=columns)


def table_of(explanation: Explanation) -> str:
    """The details' tables under one heading, each row after the place of its image.

    Raises:
        ShapeError: there are none.
    """
    rows = [{"image": at, **row} for at, detail in enumerate(explanation.details) for row in detail.table()]
    if not rows:
        raise ShapeError(f"`{type(explanation.method).__name__}` gives a map and no table. Save a .npz or a picture.")
    return rows_as_csv(rows)


def rows_as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows that all have the same names, at least one, under these."""
    text = StringIO()
    writer = DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _write_numbers(explanation: Explanation, path: Path) -> None:
    about = About(
        {_NAME: made_by(explanation.method, explanation.layer)},
        explanation.class_names,
        explanation.link,
        explanation.opposed,
        tuple(view.crop for view in explanation.views) or explanation.crops,
        explanation.against,
        explanation.scores_from,
    )
    write_archive(path, about, {_NAME: explanation.heatmap}, explanation.logits, explanation.target)
