"""The page of one picture: still readable where nothing runs, and brought to life by the viewer where scripts may."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool
from markupsafe import Markup
from PIL import Image

from vitreous.render.blocks import draw_blocks, draw_walks, frame_patches
from vitreous.render.case import Attempt, Case, MethodCase
from vitreous.render.colormap import PALETTES, colorize
from vitreous.render.html import render, render_part
from vitreous.render.inside_page import drawn_inside, packed_inside, specks
from vitreous.render.numbers import number
from vitreous.render.overlay import Scale, draw, overlay
from vitreous.render.page import data_uri
from vitreous.render.relations import packed
from vitreous.render.script import viewer

__all__ = ["PicturePage", "framed", "picture_page", "prepared_page", "small", "thumbnail", "told_above"]

_STILL, _SHOWN = 320, 512
"""Longest sides in pixels: of maps drawn for where nothing runs, and of the picture that the viewer draws on."""
_BAR = 8
_THUMBNAIL = 112
_FRAMES = 4
_FRAME = '<iframe srcdoc="{}" title="{}" sandbox="allow-scripts" width="100%" height="720" frameborder="0"></iframe>'


@dataclass(frozen=True)
class _Still:
    """A map as a picture, and its scale in words."""

    source: str
    low: str
    high: str
    signed: bool


@dataclass(frozen=True)
class PicturePage:
    """The page of a picture, ready to be written whole, or to be put into one that is open.

    Attributes:
        values: what its templates ask for.
    """

    values: Mapping[str, Any]

    @property
    def whole(self) -> str:
        """One HTML file."""
        return render("picture.html", script=viewer("start"), **self.values)

    @property
    def part(self) -> dict[str, Any]:
        """For an open page: `html`, and the `data` that the viewer mounts on it."""
        return {"html": render_part("picture_body.html", **self.values), "data": self.values["data"]}


def picture_page(case: Case, *, back: str = "") -> str:
    """One HTML file.

    Args:
        case: the picture.
        back: address of the page that lists all pictures; empty for none.
    """
    return prepared_page(case, back=back).whole


def prepared_page(case: Case, *, back: str = "") -> PicturePage:
    """What `picture_page` writes, drawn."""
    picture = case.picture and _fitted(case.picture, _SHOWN)
    still = case.picture and _fitted(case.picture, _STILL)
    several, data = len(case.classes) > 1, _data(case)
    panels = [
        {
            "method": method,
            "at": place,
            "said": case.classes[at] if several else None,
            "which": at,
            "reason": attempt.reason,
            "still": _still(method, attempt, still, specks(method, attempt, case.inside_for(at))),
            "trust": _map_trust(case, method, at),
            "beside": list(_beside(attempt, still)),
        }
        for at in range(len(case.classes))
        for place, method in enumerate(case.methods)
        for attempt in [method.attempts[at]]
    ]
    values = {
        "title": case.title,
        "case": case,
        "back": back,
        "picture": picture and {"source": data_uri(picture), "width": picture.width, "height": picture.height},
        "small": case.picture and small(case.picture),
        "whole": case.whole and data_uri(_fitted(case.whole, _STILL)),
        "panels": panels,
        "several": several,
        "agreement": list(_agreement(case)),
        "bars": {name: data_uri(_bar(name), "PNG") for name in PALETTES},
        "inside": drawn_inside(case, still),
        "specks": any(any(each["specks"]) for each in data["methods"]),
        "data": data,
    }
    return PicturePage(values)


def framed(cases: Sequence[Case]) -> str:
    """Pages in frames, for a notebook: at most four, as they hold their pictures."""
    shown = [Markup(_FRAME).format(picture_page(case), case.title) for case in cases[:_FRAMES]]
    left = len(cases) - len(shown)
    more = Markup("<p>… and {} pictures more: vitreous.report writes them all.</p>").format(left) if left else ""
    return "".join([*shown, more])


def thumbnail(case: Case) -> str:
    """The first map on its picture, small, as an address that holds it; empty where there is nothing to show."""
    picture = case.picture and _fitted(case.picture, _THUMBNAIL)
    for method in case.methods:
        if drawn := _still(method, method.attempts[0], picture):
            return drawn.source
    return data_uri(picture) if picture else ""


def small(picture: Image.Image) -> str:
    """A picture at the size of a thumbnail, as an address that holds it."""
    return data_uri(_fitted(picture, _THUMBNAIL))


def _fitted(picture: Image.Image, side: int) -> Image.Image:
    """At most so long; small pictures as large as that."""
    scale = side / max(picture.size)
    width, height = (max(1, round(length * scale)) for length in picture.size)
    return picture.convert("RGB").resize((width, height), Image.Resampling.LANCZOS, reducing_gap=3.0)


def _still(
    method: MethodCase, attempt: Attempt, picture: Image.Image | None, framed: Bool[np.ndarray, "h w"] | None = None
) -> _Still | None:
    if attempt.heatmap is None:
        return None
    heatmap = torch.from_numpy(np.ascontiguousarray(attempt.heatmap))
    scale = Scale.of([heatmap], signed=method.signed)
    if picture:
        drawn = overlay(picture, heatmap, scale=scale, blocks=method.blocks)
    else:
        drawn = _fitted(draw(heatmap, scale, blocks=method.blocks), _STILL)
    if framed is not None:
        drawn = frame_patches(drawn, framed)
    return _Still(data_uri(drawn), number(scale.low), number(scale.high), method.signed)


def _beside(attempt: Attempt, picture: Image.Image | None) -> Iterator[tuple[str, str]]:
    """What a method found beside its map, as titles and pictures: walks over blocks, and the blocks that stay."""
    if attempt.heatmap is None or picture is None:
        return
    for name, level in attempt.levels.items():
        grid = (level["grid"][0], level["grid"][1])
        kept = torch.zeros(grid)
        for block in level["blocks"]:
            if block["kept"]:
                kept[block["row"], block["column"]] = block["importance"]
        yield f"{name} walk", data_uri(draw_walks(picture, grid, level["walks"]))
        yield f"{name} blocks that stay", data_uri(draw_blocks(picture, kept / (kept.max() or 1)))


def _map_trust(case: Case, method: MethodCase, at: int) -> dict[str, Any] | None:
    """What one map is worth, in words."""
    trust = case.trust_of(at)
    if not trust or method.name not in trust["maps"]:
        return None
    found = trust["maps"][method.name]
    return {
        "verdict": told_above(trust, method.name),
        "abpc": number(found["abpc"], "+.3f"),
        "changes": {None: "not measured", True: "yes", False: "no, it is the same"}[found["changes"]],
        "other": trust["other"],
    }


def _agreement(case: Case) -> Iterator[dict[str, Any]]:
    """For each class with several maps, how alike these are."""
    for at, said in enumerate(case.classes):
        maps = (case.trust_of(at) or {"maps": {}})["maps"]
        measured = [method for method in case.methods if method.name in maps]
        rows = [
            (one.title, [_alike(maps[one.name]["agreement"].get(other.name)) for other in measured]) for one in measured
        ]
        if len(measured) > 1:
            yield {
                "which": at,
                "name": said.name if said else "",
                "titles": [each.title for each in measured],
                "rows": rows,
            }


def _alike(value: float | None) -> str:
    return "·" if value is None else number(value, "+.2f")


def told_above(trust: Mapping[str, Any], name: str) -> str:
    """How a map compares with the random orders; empty where there are none."""
    orders = len(trust["random"])
    return f"above {trust['maps'][name]['above']} of {orders} random orders" if orders else ""


def _data(case: Case) -> dict[str, Any]:
    """What the viewer is given."""
    return {
        "palettes": PALETTES,
        "grid": _grid(case),
        "box": case.box,
        "classes": [each and {"name": each.name, "shown": each.shown} for each in case.classes],
        "methods": [
            {
                "name": method.name,
                "title": method.title,
                "signed": method.signed,
                "blocks": method.blocks,
                "maps": [_packed(attempt.heatmap) for attempt in method.attempts],
                "levels": [attempt.levels for attempt in method.attempts],
                "specks": [
                    _places(specks(method, attempt, case.inside_for(at))) for at, attempt in enumerate(method.attempts)
                ],
            }
            for method in case.methods
        ],
        "trust": [case.trust_of(at) for at in range(len(case.classes))],
        "relations": packed(case.relations),
        "regions": [_packed(each, "<u4") for each in case.regions],
        "inside": [*map(packed_inside, case.looks.values())],
    }


def _places(marked: Bool[np.ndarray, "h w"] | None) -> list[list[int]]:
    return [] if marked is None else np.argwhere(marked).tolist()


def _grid(case: Case) -> dict[str, int]:
    """Of the patches that are chosen: those that were hidden, or the finest map's."""
    trust = next(filter(None, map(case.trust_of, range(len(case.classes)))), None)
    shapes = [tuple(trust["grid"])] if trust else []
    shapes += [each.heatmap.shape for method in case.methods for each in method.attempts if each.heatmap is not None]
    rows, columns = shapes[0] if trust else max(shapes, key=lambda shape: shape[0] * shape[1], default=(1, 1))
    return {"rows": rows, "columns": columns}


def _packed(heatmap: np.ndarray[Any, Any] | None, form: str = "<f4") -> dict[str, Any] | None:
    """A map's shape, and its numbers in base 64, as float32 by default: half precision would lose the smallest."""
    if heatmap is None:
        return None
    numbers = base64.b64encode(heatmap.astype(form).tobytes()).decode()
    return {"rows": heatmap.shape[0], "columns": heatmap.shape[1], "values": numbers}


def _bar(palette: Any) -> Image.Image:
    """The colors of a palette, from low to high."""
    return Image.fromarray(colorize(np.tile(np.linspace(0, 1, _STILL), (_BAR, 1)), palette))
