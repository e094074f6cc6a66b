"""What patches look like inside a model: a sheet and the numbers behind it for every picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vitreous.data.depth import Window
from vitreous.data.scans import name_in_file
from vitreous.errors import DataError, DegenerateMap, NoClassScores, ObservationError, ShapeError, or_why
from vitreous.explaining.opening import Opened, open_for
from vitreous.explaining.picture_job import describe_model
from vitreous.files.ledger import Ledger, full_path, open_ledger, told_from
from vitreous.files.manifest import digest_of
from vitreous.files.writing import check_writable, whole_file
from vitreous.inside.artifact_effects import artifact_effects
from vitreous.inside.artifacts import Artifacts, artifacts
from vitreous.inside.cases import find_cases, index_for
from vitreous.inside.components import fitted
from vitreous.inside.heads import heads
from vitreous.inside.kinship import Kinship, cka
from vitreous.inside.lens import logit_lens
from vitreous.inside.panels import CASES, Found, panels_of
from vitreous.inside.similarity import compare
from vitreous.medical.scan import NOT_FOR_DIAGNOSIS
from vitreous.models.loaded import LoadedModel
from vitreous.render.numbers import check_patch
from vitreous.render.sheet import save_page, sheet
from vitreous.shapes import Images
from vitreous.trace.features import Features, patch_features
from vitreous.trace.reading import reading

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["JOB", "SUFFIXES", "InsideJob", "Sheet", "inside_sheets"]

_LACKS = ObservationError, NoClassScores
"""A model has not what a panel is of: the sheet says so."""

JOB = "inside"
"""Whose the output folder is."""
SUFFIXES = (".png", ".npz")
"""Of the files of a picture."""


@dataclass(frozen=True)
class InsideJob:
    """What to do with every picture.

    Attributes:
        model: from `vitreous.load`.
        layer: whose features, as in `similarity`.
        of: which.
        patch: (row, column) of the patch that the others are compared with; None for the one in the middle.
        foreground: tell the background apart, as in `components`.
        times: as in `artifacts`.
        output: the folder for sheets, numbers and the manifest.
        window: of gray pictures of more than 8 bits, as in `open_picture`.
        cases: an index of `build_cases`, whose most alike pictures and patches are shown; None for none.
        other: a model whose blocks are compared with those of `model`; None to compare these with each other.
    """

    model: LoadedModel
    layer: str = ""
    of: Features = "tokens"
    patch: tuple[int, int] | None = None
    foreground: bool = False
    times: float = 3.0
    output: Path = Path("inside")
    window: Window = None
    cases: Path | None = None
    other: LoadedModel | None = None


@dataclass(frozen=True)
class Sheet:
    """What became of a picture: its sheet and its numbers, or why there are none.

    `lacking` says why the model has no norms of tokens, heads, kinship of blocks or logit lens, where it has not.
    """

    file: Path
    page: Path | None = None
    error: str = ""
    lacking: tuple[str, ...] = ()
    window: tuple[float, float] | None = None


def inside_sheets(job: InsideJob, files: Sequence[Path]) -> Iterator[Sheet]:
    """Draw what every picture's patches look like inside the model, and yield what became of each, in order.

    Every picture gets a `.png` and a `.npz` in the output folder, which keep its place below the folder that all
    pictures lie in; `manifest.json` tells about all of them. What a run that was stopped, or killed, has done by the
    same settings is not done again.

    Raises:
        DataError: the output folder cannot be written, another run is writing there, or it is another command's; or the
            index of cases is none of this model's.
        UnknownName: no such features, layer or patch.
        ObservationError: the features are not to be seen in the model.
    """
    check_writable(job.output)
    if job.cases:
        index_for(job.model, job.cases)
    with open_ledger(job.output, JOB, _about(job), files, SUFFIXES) as ledger:
        for file in files:
            done = _kept(ledger, file) or _sheet(job, file, ledger)
            page = done.page and done.page.relative_to(job.output).as_posix()
            told = {"page": page, "error": done.error, "lacking": done.lacking, "window": done.window}
            ledger.note(file, told, written=page is not None)
            yield done


def _kept(ledger: Ledger, file: Path) -> Sheet | None:
    """What an earlier run wrote, if it need not be written again."""
    found = ledger.whole(file)
    if found is None:
        return None
    window, why = found.get("window"), found.get("lacking")
    lacking = tuple(map(str, why)) if isinstance(why, list) else ()
    return Sheet(
        file, ledger.claim(file)[0], lacking=lacking, window=tuple(window) if isinstance(window, list) else None
    )


def _about(job: InsideJob) -> dict[str, Any]:
    """What the numbers depend on."""
    return describe_model(job.model) | {
        **{name: getattr(job, name) for name in ("layer", "of", "patch", "foreground", "times", "window")},
        "other": job.other and describe_model(job.other),
        "cases": job.cases and told_from(job.output, full_path(job.cases)),
        "cases_sha256": job.cases and digest_of(job.cases),
    }


def _sheet(job: InsideJob, file: Path, ledger: Ledger) -> Sheet:
    opened = open_for(job.model, file, job.window)
    if isinstance(opened, DataError):
        return Sheet(file, error=str(opened))
    try:
        found = _look(job, file, opened.image[None].to(next(job.model.model.parameters())))
        page, numbers = ledger.claim(file)
        drawn = _drawn(job, found, opened)
        with whole_file(numbers) as part:
            np.savez(part, **found.arrays())
        with whole_file(page) as part:
            save_page(drawn, part)
        return Sheet(file, page, lacking=found.lacking, window=opened.window)
    except DegenerateMap as error:
        return Sheet(file, error=f"`{file}`: {error.alone}")
    except DataError as error:
        return Sheet(file, error=str(error))


def _look(job: InsideJob, file: Path, images: Images) -> Found:
    model = job.model
    with reading(model.reading):
        read = patch_features(model.model, images, job.layer, job.of)
    alike, colors = compare(read, read, job.of), fitted(read, job.of, foreground=job.foreground)
    patch = job.patch or (alike.grid[0] // 2, alike.grid[1] // 2)
    check_patch(patch, alike.grid)
    odd = or_why(lambda: artifacts(model, images, times=job.times), _LACKS)
    stand_out = isinstance(odd, Artifacts) and odd.outliers[:, :-1].any()
    return Found(
        alike,
        colors,
        patch,
        odd,
        or_why(lambda: heads(model, images), _LACKS),
        or_why(lambda: _kinship(job, file, images), _LACKS),
        or_why(lambda: logit_lens(model, images), _LACKS),
        or_why(lambda: artifact_effects(model, images, times=job.times), _LACKS) if stand_out else None,
        find_cases(model, images, job.cases, CASES) if job.cases else None,
    )


def _kinship(job: InsideJob, file: Path, images: Images) -> Kinship:
    """Of a model's blocks, or of those of two, each of which prepares the picture by itself."""
    try:
        return cka(job.model, file, job.other, pixel_window=job.window) if job.other else cka(job.model, images)
    except ShapeError as error:  # another grid, another part of the picture, or too few patches
        raise ObservationError(str(error)) from None


def _drawn(job: InsideJob, found: Found, opened: Opened) -> Image:
    model = job.model
    view, marked = opened.view.convert("RGB"), opened.marked.convert("RGB")
    panels = panels_of(found, view, marked, model.class_names, model.reading.link)
    medical = [NOT_FOR_DIAGNOSIS] if opened.medical else []
    about = (name_in_file(opened.file), model.short_name, f"{job.of} of {found.alike.layer}", *medical)
    return sheet(panels, title="What patches look like inside", subtitle=" · ".join(about), columns=5)
