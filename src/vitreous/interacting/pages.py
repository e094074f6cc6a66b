"""Pages about how patches act on each other, of a picture or averaged over many, and the numbers behind them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vitreous.data.readers import open_samples
from vitreous.data.samples import dataset_name, draw
from vitreous.data.scans import name_in_file
from vitreous.errors import DataError, DegenerateMap, ObservationError, ShapeError
from vitreous.explaining.asked import check_class_names
from vitreous.explaining.opening import open_for, read_images
from vitreous.explaining.picture_job import describe_model
from vitreous.files.ledger import Ledger, open_ledger
from vitreous.files.manifest import change_manifest, claim, now
from vitreous.files.writing import alone_in, check_writable, whole_file
from vitreous.interact.indicator import Averages, Interactions, PatchScore, effect, importance
from vitreous.interacting.averages import average_pictures
from vitreous.interacting.drawing import draw_interactions
from vitreous.interacting.interactions import interactions_of
from vitreous.interacting.numbers import InteractionsJob, PictureInteractions, check_place, find
from vitreous.medical.scan import NOT_FOR_DIAGNOSIS
from vitreous.render.sheet import save_page
from vitreous.shapes import Images
from vitreous.trace.answer import answer, is_opposed
from vitreous.trace.reading import reading

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["AVERAGES", "JOB", "SUFFIXES", "Page", "average_page", "interaction_pages"]

JOB, AVERAGES = "interactions", "interactions of a data set"
"""Whose the output folder is."""
SUFFIXES = (".png", ".npz", ".html")
"""Of the files of a picture."""


@dataclass(frozen=True)
class Page:
    """What became of a picture or data set: its page and its numbers, or why there are none.

    `window` are the values of a gray picture of more than 8 bits that are black and white; None of others.
    """

    file: Path | str
    page: Path | None = None
    numbers: Path | None = None
    error: str = ""
    window: tuple[float, float] | None = None


def interaction_pages(job: InteractionsJob, files: Sequence[Path]) -> Iterator[Page]:
    """Draw the interactions of every picture's patches, and yield what became of each, in order.

    A reconstruction after the abstract of arXiv 2203.05922. Every picture gets a `.png`, a `.html` and a `.npz` in the
    output folder, which keep its place below the folder that all pictures lie in; `manifest.json` tells about all of
    them. What a run that was stopped, or killed, has done by the same settings is not done again.

    Raises:
        DataError: the output folder cannot be written, another run is writing there, or it is another command's.
        UnknownName, ShapeError: no such block, query, or share; class names are given, and not one for each score.
        ObservationError: the model has no attention between all patches.
    """
    _check(job)
    with open_ledger(job.output, JOB, _about(job), files, SUFFIXES) as ledger:
        for file in files:
            page = _kept(ledger, file) or _page(job, file, ledger)
            written = {"page": page.page, "numbers": page.numbers}
            told = {name: each and each.relative_to(job.output).as_posix() for name, each in written.items()}
            shown = {**told, "error": page.error, "window": page.window}
            ledger.note(file, shown, written=page.page is not None)
            yield page


def _kept(ledger: Ledger, file: Path) -> Page | None:
    """What an earlier run wrote, if it need not be written again."""
    found = ledger.whole(file)
    if found is None:
        return None
    page, numbers, _ = ledger.claim(file)
    window = found.get("window")
    return Page(file, page, numbers, window=tuple(window) if isinstance(window, list) else None)


def average_page(
    job: InteractionsJob,
    dataset: str,
    *,
    limit: int = 1000,
    seed: int = 0,
    batch_size: int = 16,
    tell: Callable[[int, int], object] | None = None,
) -> Page:
    """Draw the interactions of patches averaged over pictures of a data set: `average.png`, `.html` and `.npz`.

    Args:
        job: the indicator is not "impact", which follows each picture's own class.
        dataset: as `open_samples` takes it; labels are not read.
        limit: pictures drawn at random; 0 takes all.
        seed: of the draw.
        batch_size: pictures at once; bounds memory.
        tell: told how many pictures are done, of how many.

    Raises:
        DataError: the data set or the output folder cannot be used, or no picture can be read.
        UnknownName, ShapeError, ObservationError: as `interaction_pages`.
    """
    _check(job)
    if job.indicator == "impact":
        raise ShapeError(
            "impact follows the class of each picture and has no average over many. "
            "Choose strength, certainty or uncertainty, or give pictures."
        )
    with alone_in(job.output):
        files = [f"average{suffix}" for suffix in SUFFIXES]
        claim(job.output, AVERAGES, files)
        return _average(job, dataset, draw_of=(limit, seed), batch_size=batch_size, tell=tell)


def _average(
    job: InteractionsJob,
    dataset: str,
    *,
    draw_of: tuple[int, int],
    batch_size: int,
    tell: Callable[[int, int], object] | None,
) -> Page:
    started, unread, (limit, seed) = now(), dict[str, str](), draw_of
    samples = open_samples(dataset, job.window)
    entries = draw(samples.entries, limit, seed)
    readable = (image for entry in entries for image in read_images(job.model, [entry], {}).values())
    for image in islice(readable, 1):  # what is not there is told before the long work
        first = interactions_of(job.model, image[None])
        check_place(job, first.strength.shape[1], first.tokens)
    seen = average_pictures(job.model, entries, batch_size, unread, tell)
    found = find(job, seen)
    title = f"average of {seen.images} pictures"
    files = [job.output / f"average{suffix}" for suffix in SUFFIXES]
    page = _write(job, found, dataset, dataset_name(dataset), files=files, title=title, pictures=seen.images)
    drawn = {"dataset": dataset, "fingerprint": samples.fingerprint, "limit": limit, "seed": seed, "unread": unread}
    told = {"started": started, "images": seen.images, **drawn, "batch_size": batch_size, **_about(job)}
    change_manifest(job.output, lambda values: {**values, **told})
    return replace(page, error="; ".join(unread.values()))


def _check(job: InteractionsJob) -> None:
    check_writable(job.output)
    if not 0 <= job.share < 1 or not 0 < job.mass <= 1:
        raise ShapeError(
            f"`share` must be at least 0 and below 1, and `mass` above 0 and at most 1; got {job.share} and "
            f"{job.mass}. Give shares of the patches and of the indicator."
        )


def _about(job: InteractionsJob) -> dict[str, Any]:
    """What the numbers depend on."""
    return describe_model(job.model) | {
        "class_names": list(job.class_names) or None,
        **{name: getattr(job, name) for name in ("indicator", "block", "query", "mass", "share", "window")},
    }


def _page(job: InteractionsJob, file: Path, ledger: Ledger) -> Page:
    opened = open_for(job.model, file, job.window)
    if isinstance(opened, DataError):
        return Page(file, error=str(opened))
    images = opened.image[None].to(next(job.model.model.parameters()))
    seen = interactions_of(job.model, images)
    check_class_names(job.class_names, seen.logits)
    with reading(job.model.reading):
        effects = effect(job.model.model, images)[0] if job.indicator == "impact" else None
    scores = {} if seen.logits is None else {"logits": seen.logits[0].float().cpu().numpy()}
    try:
        averages = Averages(seen.strength[0], seen.uncertainty[0], seen.tokens, 1)
        found = find(job, averages, effects, matters=_matters(job, images, seen))
        title, views = _title(job, seen, file), (opened.view.convert("RGB"), opened.marked.convert("RGB"))
        source = name_in_file(file) + (f" · {NOT_FOR_DIAGNOSIS}" if opened.medical else "")
        page = _write(job, found, file, source, files=ledger.claim(file), title=title, views=views, **scores)
        return replace(page, window=opened.window)
    except DegenerateMap as error:
        return Page(file, error=f"`{file}`: {error.alone}")
    except DataError as error:
        return Page(file, error=str(error))


def _matters(job: InteractionsJob, images: Images, seen: Interactions) -> PatchScore | None:
    """How much each patch matters to the class; None where nobody has to know, or it cannot be told."""
    if job.query or seen.logits is None:
        return None
    with reading(job.model.reading):
        try:
            found = importance(job.model.model, images)[0]
        except (ObservationError, ShapeError):  # the page itself needs no gradient
            return None
    return found if found.any() else None


def _title(job: InteractionsJob, seen: Interactions, file: Path) -> str:
    """What the model says, or the file's name where it says nothing."""
    names, link = job.class_names or job.model.class_names, job.model.reading.link
    if seen.logits is None or (link == "identity" and seen.logits.shape[1] > 1):
        return name_in_file(file)
    scores = seen.logits[0]
    said = answer(int(scores.argmax()), scores, names, link, opposed=is_opposed(scores, link))
    return str(said) if link == "identity" else said.name


def _write(
    job: InteractionsJob,
    found: PictureInteractions,
    file: Path | str,
    source: str,
    *,
    files: Sequence[Path],
    title: str,
    views: tuple[Image, Image] | None = None,
    **more: Any,
) -> Page:
    page, numbers, html = files
    drawn = draw_interactions(job, found, views, title, source)
    with whole_file(numbers) as part:
        np.savez(part, **found.arrays(), **more)
    with whole_file(html) as part:
        part.write_text(drawn.page(), encoding="utf-8", errors="backslashreplace")
    with whole_file(page) as part:
        save_page(drawn.sheet(), part)
    return Page(file, page, numbers)
