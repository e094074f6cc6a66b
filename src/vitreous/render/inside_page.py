"""What lies inside a model as the page of a picture shows it: drawn for where nothing runs, packed for the viewer."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image

from vitreous.render.case import Attempt, Case, MethodCase
from vitreous.render.colormap import colorize
from vitreous.render.inside import Colors, Heads, Inside, Norms, PatchesAlike
from vitreous.render.interactions import draw_patches
from vitreous.render.numbers import concept_name, number, patch_name
from vitreous.render.page import data_uri

__all__ = ["Tile", "drawn_inside", "packed_inside", "specks"]

_STEPS = 255
_STRONGEST = 0.9
"""An artifact spoils a map where its value is among the tenth of the largest."""
_WIDTH, _HEIGHT = 380, 160
"""Of a chart, in pixels."""


@dataclass(frozen=True)
class Tile:
    """A color for each patch of the picture after one block.

    Attributes:
        title: what it is.
        told: its numbers, in words.
        source: the colors, a pixel for each patch, as an address that holds them.
        rows: of patches.
        columns: likewise.
        framed: (column, row) of patches that have a frame.
    """

    title: str
    told: str
    source: str
    rows: int
    columns: int
    framed: Sequence[tuple[int, int]] = ()


def specks(method: MethodCase, attempt: Attempt, inside: Inside | None) -> Bool[np.ndarray, "h w"] | None:
    """Which patches spoil a map that is read off attention: artifacts among its strongest tenth; None for no such.

    That tenth is our own rule.
    """
    norms = inside.norms if inside else ""
    if isinstance(norms, str) or not method.attends or attempt.heatmap is None:
        return None
    if attempt.heatmap.shape != norms.met.shape:
        return None
    strength = np.abs(attempt.heatmap)
    found = norms.met & (strength >= np.quantile(strength, _STRONGEST)) & (strength > 0)
    return found if found.any() else None


def packed_inside(inside: Inside) -> dict[str, Any] | None:
    """What the viewer is given: of each kind of likeness, half of its square, row by row to the diagonal, in 8 bits."""
    if isinstance(inside.alike, str):
        return None
    rows, columns = inside.grid
    return {"rows": rows, "columns": columns, "alike": [_packed(each) for each in inside.alike]}


def _packed(alike: PatchesAlike) -> dict[str, Any]:
    half = alike.values[np.tril_indices(len(alike.values))].astype(np.float32)
    low, high = float(half.min()), float(half.max())
    steps = np.rint(_STEPS * (half - low) / ((high - low) or 1)).astype(np.uint8)
    values = base64.b64encode(steps.tobytes()).decode()
    return {"kind": alike.kind, "block": alike.block, "low": low, "high": high, "values": values}


def drawn_inside(case: Case, still: Image.Image | None) -> dict[str, Any] | None:
    """What the template asks for, model by model; None where none was at hand.

    Args:
        case: the picture.
        still: the part of the picture that the model saw, as large as maps are drawn.
    """
    looks = [_drawn(name, inside, still) for name, inside in case.looks.items()]
    if not looks:
        return None
    return {
        "looks": looks,
        "seen": any(look["blocks"] for look in looks),
        "concepts": any(look["concepts"] for look in looks),
        "cases": any(look["cases"] for look in looks),
    }


def _drawn(name: str, inside: Inside, still: Image.Image | None) -> dict[str, Any]:
    return {
        "model": name,
        "blocks": len(inside.blocks),
        "alike": _alike(inside),
        "unseen": inside.colors if isinstance(inside.colors, str) else "",
        "colors": [*_colors(inside)],
        "norms": _norms(inside.norms),
        "layers": [*_layers(inside)],
        "charts": [*_charts(inside.heads)],
        "said": inside.said if isinstance(inside.said, str) else "",
        "heads": inside.heads if isinstance(inside.heads, str) else "",
        "concepts": _concepts(inside, still),
        "cases": _cases(inside),
    }


def _tile(title: str, told: str, pixels: UInt8[np.ndarray, "h w 3"], framed: Any = ()) -> Tile:
    places = [(column, row) for row, column in np.argwhere(framed).tolist()] if len(framed) else []
    source = data_uri(Image.fromarray(np.ascontiguousarray(pixels)), "PNG")
    return Tile(title, told, source, pixels.shape[0], pixels.shape[1], places)


def _alike(inside: Inside) -> dict[str, Any]:
    if isinstance(inside.alike, str):
        return {"reason": inside.alike, "tiles": []}
    height, width = inside.grid
    row, column = height // 2, width // 2
    chosen = np.zeros((height, width), bool)
    chosen[row, column] = True
    tiles: list[Tile] = []
    for each in inside.alike:
        found = each.values[row * width + column].reshape(height, width)
        others = np.delete(found, row * width + column)
        low, high = float(others.min(initial=1)), float(others.max(initial=-1))
        shown = colorize(np.clip((found - low) / ((high - low) or 1), 0, 1))
        tiles.append(_tile(_titled(each), f"cosine {low:.2f} to {high:.2f}", shown, chosen))
    return {"reason": "", "tiles": tiles, "patch": patch_name(row, column)}


def _titled(alike: PatchesAlike) -> str:
    return f"{alike.kind} {'after' if alike.kind == 'tokens' else 'of'} block {alike.block + 1}"


def _colors(inside: Inside) -> Iterator[Tile | tuple[str, str]]:
    for at, each in enumerate([] if isinstance(inside.colors, str) else inside.colors, 1):
        if isinstance(each, Colors):
            held = " + ".join(f"{share:.0%}" for share in each.share)
            yield _tile(f"after block {at}", f"{held} of the variance", np.rint(255 * each.values).astype(np.uint8))
        else:
            yield f"after block {at}", each


def _norms(norms: Norms | str) -> dict[str, Any]:
    if isinstance(norms, str):
        return {"reason": norms}
    tiles: list[Tile] = []
    for at, (values, odd) in enumerate(zip(norms.values, norms.outliers, strict=True), 1):
        middle = float(np.quantile(values, 0.5, method="lower"))
        told = (
            f"median {number(middle)}, highest {number(float(values.max()))}; {int(odd.sum())} of {odd.size} stand out"
        )
        tiles.append(_tile(f"after block {at}", told, colorize(_risen(values)), odd))
    met = [patch_name(*place) for place in np.argwhere(norms.met).tolist()]
    return {"reason": "", "tiles": tiles, "times": f"{norms.times:g}", "score": f"{norms.score:.1%}", "met": met}


def _risen(values: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "h w"]:
    """From 0 to 1, as a part of the largest."""
    return np.clip(values / (values.max() or 1), 0, 1)


def _layers(inside: Inside) -> Iterator[dict[str, Any]]:
    """A row for each block."""
    heads = None if isinstance(inside.heads, str) else inside.heads
    for at in range(len(inside.blocks)):
        yield {
            "block": at + 1,
            "name": inside.blocks[at],
            "said": [] if isinstance(inside.said, str) else inside.said[at],
            "distance": _range(heads.distance[at]) if heads else "",
            "entropy": _range(heads.entropy[at]) if heads else "",
            "extra": f"{np.mean(heads.to_extra[at]):.0%}" if heads else "",
        }


def _range(values: Sequence[float]) -> str:
    """The mean of heads, and how far they reach."""
    told = f"{np.mean(values):.2f}"
    return told if len(values) == 1 else f"{told} ({min(values):.2f} to {max(values):.2f})"


def _charts(heads: Heads | str) -> Iterator[dict[str, Any]]:
    """Of the heads of each block, a dot for each, and a line through their means."""
    if isinstance(heads, str):
        return
    for title, unit, values in (
        ("How far heads look", "patches", heads.distance),
        ("How evenly they look", "nats", heads.entropy),
    ):
        top = max(max(each) for each in values) or 1.0
        across = _WIDTH / max(1, len(values) - 1)
        up = [[_HEIGHT * (1 - value / top) for value in each] for each in values]
        yield {
            "title": title,
            "told": f"0 to {number(top)} {unit}, blocks 1 to {len(values)}",
            "dots": [(f"{at * across:.1f}", f"{y:.1f}") for at, each in enumerate(up) for y in each],
            "line": " ".join(f"{at * across:.1f},{np.mean(each):.1f}" for at, each in enumerate(up)),
            "width": _WIDTH,
            "height": _HEIGHT,
        }


def _concepts(inside: Inside, still: Image.Image | None) -> dict[str, Any] | None:
    found = inside.concepts
    if found is None:
        return None
    if isinstance(found, str):
        return {"reason": found}
    page = still or Image.new("RGB", (320, 320), "white")
    shown = [
        {
            "title": concept_name(each.number),
            "source": data_uri(draw_patches(page, each.values, most=max(each.most, float(each.values.max())))),
            "verdict": each.verdict,
            "told": f"up to {number(float(each.values.max()))} here, up to {number(each.most)} where it was found",
        }
        for each in found.maps
    ]
    return {"reason": "", "of": found.of, "layer": found.layer, "shown": shown}


def _cases(inside: Inside) -> dict[str, Any] | None:
    found = inside.cases
    if found is None:
        return None
    if isinstance(found, str):
        return {"reason": found}
    shown = [
        {"source": data_uri(each.picture), "name": each.name, "label": each.label, "cosine": f"{each.cosine:.2f}"}
        for each in found.found
    ]
    return {"reason": "", "index": found.index, "pictures": found.pictures, "shown": shown}
