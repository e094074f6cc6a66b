"""What explaining a picture leaves: a sheet to look at, and the raw maps to compute with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from vitreous.data.depth import range_told
from vitreous.data.scans import name_in_file
from vitreous.explaining.found import Found, MethodResult, stack_maps
from vitreous.explaining.trust.records import Trust
from vitreous.files.writing import whole_file
from vitreous.medical.scan import NOT_FOR_DIAGNOSIS
from vitreous.methods import title_of
from vitreous.methods.archive import About, made_by, write_archive
from vitreous.methods.method import Method
from vitreous.methods.saved import SAME
from vitreous.render.isolines import draw_isolines
from vitreous.render.overlay import Scale, overlay
from vitreous.render.regions import draw_regions
from vitreous.render.sheet import Panel, save_page, sheet
from vitreous.render.view import Crop
from vitreous.trace.answer import assumed, rather, score_name

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = [
    "JOB",
    "SUFFIXES",
    "Explained",
    "Style",
    "draw_sheet",
    "write_maps",
    "write_sheet",
]

JOB = "explain"
"""Whose the output folder is."""
SUFFIXES = (".png", ".npz")
"""Of the files of a picture."""


_MOST_BARS = 3
"""Classes in the head of a sheet."""


_TRUST = "random orders: patches are hidden in the map's order and in random ones; which tells better what matters?"


@dataclass(frozen=True)
class Style:
    """How maps are drawn.

    Attributes:
        alpha: opacity of their strongest values.
        isolines: as lines of equal value instead.
        common_scale: all of a sheet by one scale; else each has its own.
    """

    alpha: float = 0.75
    isolines: bool = False
    common_scale: bool = False

    def draw(self, picture: Image, found: MethodResult, scale: Scale) -> Image:
        """One map on its picture."""
        if self.isolines:
            return draw_isolines(picture, found.heatmap, scale, blocks=found.blocks)
        return overlay(picture, found.heatmap, alpha=self.alpha, scale=scale, blocks=found.blocks)


@dataclass(frozen=True, kw_only=True)
class Explained(Found):
    """One picture and its maps.

    Attributes:
        file: where it came from.
        crop: which part of it the model saw.
        view: that part, at the size of a panel.
        marked: the whole picture with that part marked in it, likewise.
        made_by: the methods by their names.
        against: the class that the targets were held against; None for none.
        window: which values of a gray picture of more than 8 bits are black and white; None of others.
        choice: how its method was chosen, if it was.
        warning: what was said of how the picture was read; empty for nothing.
        medical: whether it came in a medical file.
    """

    file: Path
    crop: Crop
    view: Image
    marked: Image
    made_by: Mapping[str, Method]
    against: int | None = None
    window: tuple[float, float] | None = None
    choice: str = ""
    warning: str = ""
    medical: bool = False


def write_maps(path: Path, explained: Explained) -> None:
    """Write the `.npz`, as `methods/archive.py` says: a map for each method, and a row of it for each target.

    Raises:
        DataError: the disk says no.
    """
    maps = {method: stack_maps(explained.attempts[method]) for method in explained.methods}
    rows, logits, targets = len(next(iter(maps.values()))), explained.logits, explained.targets
    names, link = explained.model.class_names, explained.model.reading.link
    count = 0 if logits is None else len(logits)
    opposed = tuple(each.name != score_name(each.index, names, count, link) for each in targets)
    about = About(
        {name: made_by(explained.made_by[name], explained.layers.get(name, "")) for name in maps},
        names,
        link,
        opposed if any(opposed) else (),
        (explained.crop,) * rows,
        () if explained.against is None else (explained.against,) * rows,
        explained.scores_from,
    )
    scores = None if logits is None else logits.expand(rows, -1)
    target = None if logits is None else torch.tensor([each.index for each in targets])
    with whole_file(path) as part:
        write_archive(part, about, maps, scores, target)


def write_sheet(path: Path, explained: Explained, style: Style) -> None:
    """Write the `.png`, as `draw_sheet` draws it.

    Raises:
        DataError: the disk says no.
    """
    page = draw_sheet(explained, style)
    with whole_file(path) as part:
        save_page(page, part)


def draw_sheet(explained: Explained, style: Style) -> Image:
    """Picture, overlays, details and regions; or, of several targets, a row of overlays each."""
    file, model, others = name_in_file(explained.file), explained.model.short_name, explained.targets[1:]
    about = [_rival(explained), file, model, *_notes(explained)]
    about += _depth(explained)
    title, columns, pictures = file, None, [Panel("what the model saw", explained.marked)]
    if others:
        columns = 1 + len(explained.methods)
        pictures = [Panel(each.name, explained.marked, each.shown) for each in explained.targets]
    elif explained.targets:
        title = str(explained.targets[0])
    about = [part for part in (*about, NOT_FOR_DIAGNOSIS * explained.medical) if part and part != title]
    panels: list[Panel] = []
    common = _common_scale(explained) if style.common_scale else None
    for at, picture in enumerate(pictures):
        panels += [picture, *_overlays(explained, at, style, common, details=not others)]
    if not others:
        drawn = [draw_regions(explained.view, regions) for regions in explained.regions]
        panels += [Panel(f"regions of stage {stage}", each) for stage, each in enumerate(drawn, 1)]
    foot = _TRUST if any(isinstance(each, Trust) for each in explained.trust) else ""
    return sheet(panels, title=title, subtitle=" · ".join(about), columns=columns, shares=_shares(explained), foot=foot)


def _rival(explained: Explained) -> str:
    """The class that the targets were held against."""
    if explained.against is None or explained.logits is None:
        return ""
    names, link = explained.model.class_names, explained.model.reading.link
    return rather("", score_name(explained.against, names, len(explained.logits), link)).strip()


def _shares(explained: Explained) -> list[tuple[str, float]]:
    """The most probable classes, so that a decision of 34 % does not look like one of 99 %."""
    return [(str(each), each.probability) for each in explained.predicted[:_MOST_BARS] if each.probability is not None]


def _common_scale(explained: Explained) -> Scale:
    found = [each for attempts in explained.attempts.values() for each in attempts if isinstance(each, MethodResult)]
    return Scale.of([each.heatmap for each in found], signed=any(each.signed for each in found))


def _notes(explained: Explained) -> Iterator[str]:
    """What else there is to know of the decision."""
    yield explained.choice
    if explained.logits is None:
        yield "no classifier, so no decision"
        return
    link = explained.model.reading.link
    yield assumed(len(explained.logits), link)
    yield explained.scores_from
    best = explained.predicted[0]
    if explained.targets[0].index != best.index and link != "identity":
        yield f"predicted: {best}"


def _depth(explained: Explained) -> Iterator[str]:
    """How gray values of more than 8 bits were read, and whether there was a warning."""
    if explained.window:
        yield range_told(explained.window)
    if explained.warning:
        yield "with a warning, see manifest.json"


def _overlays(explained: Explained, at: int, style: Style, common: Scale | None, *, details: bool) -> Iterator[Panel]:
    """Every method's view of one target."""
    for method in explained.methods:
        found = explained.attempts[method][at]
        if isinstance(found, MethodResult):
            scale = common or Scale.of([found.heatmap], signed=found.signed)
            shown = style.draw(explained.view, found, scale)
            caption = SAME if found.scoreless else ""
            yield Panel(title_of(method), shown, caption, scale, note=_verdict(explained, at, method))
            if details and found.detail:
                yield from found.detail.panels(explained.view)
        else:
            yield Panel(title_of(method), None, "no map")


def _verdict(explained: Explained, at: int, method: str) -> str:
    trust = explained.trust[at] if explained.trust else ""
    return trust.verdict(method) if isinstance(trust, Trust) else ""
