"""What was found inside a model over many pictures, in a folder: a page, a table, numbers, and a manifest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from markupsafe import Markup

from vitreous.explaining.picture_job import describe_model
from vitreous.files.manifest import change_manifest
from vitreous.files.writing import whole_file
from vitreous.inside.gathered import Gathered
from vitreous.methods.saved import rows_as_csv
from vitreous.models.loaded import LoadedModel
from vitreous.render import page

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

__all__ = ["FoundJob", "FoundPage", "write_found"]


class FoundJob(Protocol):
    """What was asked: a dataclass, whose other fields are plain values."""

    @property
    def model(self) -> LoadedModel:
        """From `vitreous.load`."""
        ...

    @property
    def place(self) -> str:
        """Of the pictures."""
        ...

    @property
    def output(self) -> Path:
        """The folder."""
        ...


@dataclass(frozen=True)
class FoundPage:
    """What is written of it.

    Attributes:
        title: of the page.
        about: it is worth, by name, in words.
        parts: of the page, below that.
        rows: of the table, dataclasses of plain values.
        save: writes the numbers to a path.
        told: in the manifest, beside the model, what was asked and the pictures.
    """

    title: str
    about: Sequence[tuple[str, str]]
    parts: Sequence[Markup]
    rows: Sequence[DataclassInstance]
    save: Callable[[Path], object]
    told: Mapping[str, Any]


def write_found(job: FoundJob, files: Sequence[str], pictures: Gathered, found: FoundPage) -> Path:
    """Write the page, the table, the numbers and the manifest; the page is there when all are.

    Args:
        job: what was asked.
        files: how the page, the table and the numbers are called; the folder is claimed for them.
        pictures: that were looked at.
        found: in them.

    Raises:
        DataError: the disk says no.
    """
    html, table, numbers = (job.output / name for name in files)
    found.save(numbers)
    with whole_file(table) as part:
        part.write_text(rows_as_csv([asdict(row) for row in found.rows]), encoding="utf-8")
    told = {
        **describe_model(job.model),
        **{name: value for name, value in vars(job).items() if name not in ("model", "output")},
        "pictures": [entry.id for entry in pictures.entries],
        "unread": pictures.unread,
        **found.told,
    }
    change_manifest(job.output, lambda values: {**values, **told})
    unread = [page.heading("Not read"), page.items([*pictures.unread.values()])] if pictures.unread else []
    with whole_file(html) as part:
        text = page.page(found.title, [page.facts(found.about), *found.parts, *unread])
        part.write_text(text, encoding="utf-8", errors="backslashreplace")
    return html
