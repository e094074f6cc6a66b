"""What patches look like inside a model: a sheet and the numbers behind it for every picture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vitreous.data.depth import Window
from vitreous.data.scans import name_in_file
from vitreous.errors import DataError, DegenerateMap, ObservationError
from vitreous.explaining.opening import Opened, open_for
from vitreous.explaining.picture_job import describe_model
from vitreous.files.ledger import Ledger, open_ledger
from vitreous.files.writing import check_writable, whole_file
from vitreous.inside.artifacts import Artifacts, artifacts
from vitreous.inside.components import Components, fitted
from vitreous.inside.similarity import Similarity, compare
from vitreous.medical.scan import NOT_FOR_DIAGNOSIS
from vitreous.models.loaded import LoadedModel
from vitreous.render.interactions import draw_patches, draw_query
from vitreous.render.patch_colors import draw_colors
from vitreous.render.sheet import Panel, save_page, sheet
from vitreous.trace.features import Features, patch_features
from vitreous.trace.reading import reading

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["JOB", "SUFFIXES", "InsideJob", "Sheet", "inside_sheets"]

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
    """

    model: LoadedModel
    layer: str = ""
    of: Features = "tokens"
    patch: tuple[int, int] | None = None
    foreground: bool = False
    times: float = 3.0
    output: Path = Path("inside")
    window: Window = None


@dataclass(frozen=True)
class Sheet:
    """What became of a picture: its sheet and its numbers, or why there are none.

    `lacking` says why the model has no norms of tokens, where it has none.
    """

    file: Path
    page: Path | None = None
    error: str = ""
    lacking: str = ""
    window: tuple[float, float] | None = None


def inside_sheets(job: InsideJob, files: Sequence[Path]) -> Iterator[Sheet]:
    """Draw what every picture's patches look like inside the model, and yield what became of each, in order.

    Every picture gets a `.png` and a `.npz` in the output folder, which keep its place below the folder that all
    pictures lie in; `manifest.json` tells about all of them. What a run that was stopped, or killed, has done by the
    same settings is not done again.

    Raises:
        DataError: the output folder cannot be written, another run is writing there, or it is another command's.
        UnknownName: no such features, layer or patch.
        ObservationError: the features are not to be seen in the model.
    """
    check_writable(job.output)
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
    window = found.get("window")
    lacking = str(found.get("lacking", ""))
    return Sheet(
        file, ledger.claim(file)[0], lacking=lacking, window=tuple(window) if isinstance(window, list) else None
    )


def _about(job: InsideJob) -> dict[str, Any]:
    """What the numbers depend on."""
    return describe_model(job.model) | {
        name: getattr(job, name) for name in ("layer", "of", "patch", "foreground", "times", "window")
    }


def _sheet(job: InsideJob, file: Path, ledger: Ledger) -> Sheet:
    opened = open_for(job.model, file, job.window)
    if isinstance(opened, DataError):
        return Sheet(file, error=str(opened))
    images = opened.image[None].to(next(job.model.model.parameters()))
    try:
        with reading(job.model.reading):
            read = patch_features(job.model.model, images, job.layer, job.of)
        alike, colors = compare(read, read, job.of), fitted(read, job.of, foreground=job.foreground)
        found = _Found(alike, colors, _artifacts(job, images), job.patch or (alike.grid[0] // 2, alike.grid[1] // 2))
        page, numbers = ledger.claim(file)
        drawn = _drawn(job, found, opened)
        with whole_file(numbers) as part:
            np.savez(part, **found.arrays())
        with whole_file(page) as part:
            save_page(drawn, part)
        lacking = found.odd if isinstance(found.odd, str) else ""
        return Sheet(file, page, lacking=lacking, window=opened.window)
    except DegenerateMap as error:
        return Sheet(file, error=f"`{file}`: {error.alone}")
    except DataError as error:
        return Sheet(file, error=str(error))


def _artifacts(job: InsideJob, images: Any) -> Artifacts | str:
    """The norms of the tokens, or why a model has none."""
    try:
        return artifacts(job.model, images, times=job.times)
    except ObservationError as error:
        return error.alone


@dataclass(frozen=True)
class _Found:
    """The numbers of a picture."""

    alike: Similarity
    colors: Components
    odd: Artifacts | str
    patch: tuple[int, int]

    def arrays(self) -> Mapping[str, Any]:
        """For the `.npz`: patches row by row; norms and outliers only of a model that has them."""
        told: dict[str, Any] = {
            "grid": np.array(self.alike.grid),
            "patch": np.array(self.patch),
            "similarity": self.alike.values.float().cpu().numpy(),
            "components": self.colors.values[0].numpy(),
            "share": self.colors.share.numpy(),
            "foreground": self.colors.foreground[0].numpy(),
        }
        if isinstance(self.odd, Artifacts):
            told |= {"norms": self.odd.norms[0].cpu().numpy(), "outliers": self.odd.outliers[0].cpu().numpy()}
        return told


def _drawn(job: InsideJob, found: _Found, opened: Opened) -> Image:
    view, (row, column) = opened.view.convert("RGB"), found.patch
    alike, nothing = found.alike.to(row, column).float().cpu().numpy(), np.zeros(found.alike.grid, dtype=bool)
    others = np.delete(alike, row * alike.shape[1] + column)
    scale = f"bright: a cosine of {others.max():.2f}; dark: 0 or less"
    held = " + ".join(f"{share:.0%}" for share in found.colors.share.tolist())
    panels = [
        Panel("what the model saw", opened.marked.convert("RGB")),
        Panel(
            "principal components", draw_colors(found.colors.colors[0].numpy(), view.size), f"{held} of the variance"
        ),
        Panel(f"alike to patch {row},{column}", draw_query(view, alike, found.patch, nothing), scale),
        *_norm_panels(found.odd, view),
    ]
    medical = [NOT_FOR_DIAGNOSIS] if opened.medical else []
    about = (name_in_file(opened.file), job.model.short_name, f"{job.of} of {found.alike.layer}", *medical)
    return sheet(panels, title="What patches look like inside", subtitle=" · ".join(about), columns=5)


def _norm_panels(odd: Artifacts | str, view: Image) -> list[Panel]:
    if isinstance(odd, str):
        return [Panel("no norms of tokens", None, odd)]
    medians = odd.medians[0].tolist()
    norms, outliers = odd.norms[0].float().cpu().numpy(), odd.outliers[0].cpu().numpy()
    return [
        Panel(
            f"norms after block {at}",
            draw_patches(view, each),
            f"median {medians[at]:.3g}, highest {each.max():.3g}",
            note=f"{int(outliers[at].sum())} of {each.size} patches over {odd.times:g} x the median",
        )
        for at, each in enumerate(norms)
    ]
