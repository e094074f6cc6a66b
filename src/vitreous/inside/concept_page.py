"""The concepts of a class on one page, with what shows each most, and whether the class score rests on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup

from vitreous.data.depth import Window
from vitreous.errors import NoClassScores
from vitreous.files.manifest import claim, now
from vitreous.files.writing import alone_in, check_writable, whole_file
from vitreous.inside.concept_table import ConceptRow, by_luck, concept_rows, too_few
from vitreous.inside.concepts import Concepts, concepts
from vitreous.inside.effects import Effects, concept_effects
from vitreous.inside.found_page import FoundPage, write_found
from vitreous.inside.gathered import Gathered, gather, of_class, open_pictures, view_of
from vitreous.masking.forward import Progress
from vitreous.models.zoo import LoadedModel, describe
from vitreous.render import page
from vitreous.render.interactions import draw_patches
from vitreous.render.numbers import concept_name, number
from vitreous.render.patch_crop import crop_patch

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["JOB", "ConceptsJob", "ConceptsPage", "concept_figures", "concept_page"]

JOB = "concepts"
"""Whose the output folder is."""
FILES = ("concepts.html", "concepts.csv", "concepts.npz")
_PICTURES, _PATCHES = 4, 8
"""How many are shown of a concept."""
_HOW = (
    "A concept is a direction of which the features of patches hold more or less, and never less than nothing. Maps "
    "are bright where a patch has much of it, on one scale for all pictures of a concept; below them, the patches that "
    "have the most, in their surroundings. What it means is for you to see."
)
_TEST = (
    "Whether the class score rests on it was measured: it was taken out of all patches, or put into all, and the model "
    "ran on from there. Random directions, drawn as the features vary, took its place at the same length. A concept "
    "that moves the score no farther than they do is a name for a direction, and no reason. As far: how many of the "
    "random directions and itself move the score at least as far."
)


@dataclass(frozen=True)
class ConceptsJob:
    """What is to be found, and in what.

    Attributes:
        model: from `vitreous.load`.
        place: of the pictures, as in `open_pictures`.
        class_name: whose pictures are taken and whose score is asked for; empty for all pictures, and for each the
            class that the model predicts.
        layer: as in `concepts`.
        count: how many concepts.
        draws: how many random directions each is held against; of fewer than 19 no verdict follows.
        limit: pictures drawn at random; 0 takes all.
        seed: of the pictures and of the random directions.
        batch_size: how many pictures run at once.
        output: the folder for the page, the table, the numbers and the manifest.
        window: of gray pictures of more than 8 bits, as in `open_picture`.
        class_names: one per class score, before what the model says; empty for what it says.
    """

    model: LoadedModel
    place: str
    class_name: str = ""
    layer: str = ""
    count: int = 8
    draws: int = 20
    limit: int = 32
    seed: int = 0
    batch_size: int = 8
    output: Path = Path("concepts")
    window: Window = None
    class_names: tuple[str, ...] = ()


@dataclass(frozen=True)
class ConceptsPage:
    """What was found.

    Attributes:
        page: the file.
        rows: of the table.
        unread: pictures that could not be read, and why.
        lacking: why the score was not asked for, or no verdict follows; empty where one does.
    """

    page: Path
    rows: Sequence[ConceptRow]
    unread: dict[str, str]
    lacking: str = ""


def concept_page(job: ConceptsJob, progress: Progress | None = None) -> ConceptsPage:
    """Find the concepts of a class's pictures, and write `concepts.html`, `concepts.csv` and `concepts.npz`.

    Args:
        job: what is to be found.
        progress: told how many forward passes are done, of how many.

    Raises:
        DataError: the pictures or the output folder cannot be used, or the folder is another command's.
        UnknownName: no such class or layer.
        ShapeError, ObservationError: as `concepts` and `concept_effects`.
    """
    check_writable(job.output)
    job = replace(job, model=describe(job.model, class_names=job.class_names))
    with alone_in(job.output):
        started = now()
        every = open_pictures(job.place, job.window)
        samples, target = of_class(every, job.class_name, job.model)
        claim(job.output, JOB, FILES)  # no folder is ours for a class that is not there
        looked = _look(job, gather(job.model, samples, job.limit, job.seed), target, progress)
        told = {
            "started": started,
            "fingerprint": every.fingerprint,
            "target": target,
            "read": looked.found.layer,
            "explained": looked.found.explained,
            "lacking": looked.lacking or looked.undecided,
            "concepts": [asdict(row) for row in looked.rows],
        }
        title, about = f"Concepts of {job.class_name}" if job.class_name else "Concepts", _about(job, looked)
        found = FoundPage(title, about, _parts(job, looked), looked.rows, looked.save, told)
        html = write_found(job, FILES, looked.pictures, found)
    return ConceptsPage(html, looked.rows, looked.pictures.unread, looked.lacking or looked.undecided)


@dataclass(frozen=True)
class _Looked:
    """What was looked at, and found."""

    pictures: Gathered
    found: Concepts
    effects: Effects | None
    lacking: str = ""

    @property
    def rows(self) -> list[ConceptRow]:
        return concept_rows(self.found, self.effects)

    @property
    def undecided(self) -> str:
        return too_few(len(self.effects.removed_by_chance)) if self.effects else ""

    def save(self, path: Path) -> None:
        tensors = {name: getattr(self.found, name) for name in ("maps", "directions", "mean")}
        tensors |= vars(self.effects) if self.effects else {}
        with whole_file(path) as part:
            np.savez(part, **{name: tensor.float().cpu().numpy() for name, tensor in tensors.items()})


def _look(job: ConceptsJob, pictures: Gathered, target: int | None, progress: Progress | None) -> _Looked:
    images, together = pictures.images, job.batch_size
    found = concepts(job.model, images, job.count, layer=job.layer, batch_size=together)
    how: dict[str, Any] = {"draws": job.draws, "seed": job.seed, "batch_size": together, "progress": progress}
    try:
        return _Looked(pictures, found, concept_effects(job.model, images, found, target, **how))
    except NoClassScores as error:
        return _Looked(pictures, found, None, error.alone)


def _about(job: ConceptsJob, looked: _Looked) -> list[tuple[str, str]]:
    shown, taken = looked.pictures.entries, ""
    if job.class_name and all(entry.label is None for entry in shown):
        taken = f", taken for pictures of {job.class_name}: no classes come with them"
    return [
        ("pictures", f"{len(shown)} from {job.place}{taken}"),
        ("model", job.model.short_name),
        ("layer", f"`{looked.found.layer}`"),
        ("explained", f"{looked.found.explained:.0%} of the patches' variance"),
    ]


def _parts(job: ConceptsJob, looked: _Looked) -> list[Markup]:
    rows, parts = looked.rows, [page.paragraph(_HOW)]
    if looked.lacking:
        parts += [page.paragraph(looked.lacking)]
    else:
        luck = by_luck(len(rows), job.draws)
        chance = f"By luck alone, {number(luck, '.2g')} of {len(rows)} concepts would get a verdict."
        why = looked.undecided
        parts += [page.paragraph(_TEST), _table(rows), page.paragraph(why[:1].upper() + why[1:] if why else chance)]
    views = dict[int, "Image"]()
    for row in rows:
        parts += [page.heading(concept_name(row.concept)), page.paragraph(row.verdict)]
        parts += concept_figures(job.model, looked.pictures, looked.found, row.concept, views)
    return parts


def _table(rows: Sequence[ConceptRow]) -> Markup:
    def between(low: float | None, high: float | None) -> str:
        return f"{number(low or 0, '+.3g')} to {number(high or 0, '+.3g')}"

    head = ("concept", "share", "score without it", "random", "as far", "score with it everywhere", "random", "as far")
    body = [
        (
            str(row.concept + 1),
            f"{row.share:.0%}",
            number(row.removed or 0, "+.3g"),
            between(row.random_low, row.random_high),
            f"{row.chance:.0%}",
            number(row.added or 0, "+.3g"),
            between(row.random_added_low, row.random_added_high),
            f"{row.chance_added:.0%}",
        )
        for row in rows
    ]
    return page.table([head, *body])


def concept_figures(
    model: LoadedModel, pictures: Gathered, found: Concepts, concept: int, views: dict[int, Image]
) -> list[Markup]:
    """The pictures that have the most of a concept, and the patches.

    Args:
        model: that the pictures were prepared for.
        pictures: those that the concepts were found in.
        found: in them.
        concept: which of them.
        views: pictures that were drawn before, by their places; those that are drawn are added.
    """
    maps = found.maps[:, concept]
    grid, most = (maps.shape[1], maps.shape[2]), maps.max().item()

    def view(at: int) -> Image:
        if at not in views:
            views[at] = view_of(model, pictures.entries[at])
        return views[at]

    best, patches = found.pictures(concept, _PICTURES), found.patches(concept, _PATCHES)
    drawn = [draw_patches(view(at), maps[at].float().numpy(), most=most) for at in best]
    named = ", ".join(pictures.entries[at].id for at in best)
    crops = [crop_patch(view(each.image), grid, (each.row, each.column)) for each in patches]
    return [
        page.figures([page.figure(drawn, f"Pictures that have the most of it: {named}")]),
        page.figures([page.figure(crops, "Patches that have the most of it, one of each picture")]),
    ]
