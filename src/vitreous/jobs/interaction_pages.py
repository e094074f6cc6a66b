"""Many pictures to one page each about how their patches act on each other, and the numbers behind it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
from torch import Tensor

from vitreous.errors import DataError, ShapeError, UnknownName
from vitreous.files import check_writable, whole_file
from vitreous.interact import indicator
from vitreous.interact.fields import Fields, FieldShape, attention_distance, responsive_fields, shape_of
from vitreous.interact.indicator import Interactions, Pairs, discriminativeness, entropy, interactions, received
from vitreous.interact.use import kept_patches
from vitreous.interact.windows import Extents, adaptive_windows
from vitreous.jobs.manifest import versions, write_manifest
from vitreous.jobs.outputs import output_names
from vitreous.jobs.pictures import Opened, open_for
from vitreous.models.loaded import LoadedModel, numbered
from vitreous.render.interactions import (
    draw_arrows,
    draw_flow,
    draw_patches,
    draw_query,
    draw_removed,
    draw_windows,
)
from vitreous.render.sheet import Panel, sheet

__all__ = ["Indicator", "Order", "Page", "interaction_pages"]

Indicator = Literal["strength", "certainty", "uncertainty"]
"""What is shown of an interaction; see `Interactions`."""
_WINDOW = 0.6
"""Share of a query's indicator that its adaptive window holds [O]."""


@dataclass(frozen=True)
class Order:
    """What to do with every picture.

    Attributes:
        model: from `vitreous.load`.
        indicator: what the maps, fields and windows are made of.
        block: whose interactions, from 0; None for the mean of all.
        query: (row, column) of the patch shown; None for the most discriminative.
        mass: share of a query's indicator that its responsive field holds.
        share: of the patches, the least discriminative, that are shown as removed.
        output: the folder for pages, numbers and the manifest.
    """

    model: LoadedModel
    indicator: Indicator = "strength"
    block: int | None = None
    query: tuple[int, int] | None = None
    mass: float = 0.5
    share: float = 0.5
    output: Path = Path("interactions")


@dataclass(frozen=True)
class Page:
    """What became of one picture: its page and its numbers, or why there are none."""

    file: Path
    page: Path | None = None
    numbers: Path | None = None
    error: str = ""


@dataclass(frozen=True)
class _Found:
    """Everything about one picture, without the batch axis."""

    seen: Interactions
    pairs: Pairs
    fields: Fields
    shape: FieldShape
    windows: Extents
    removed: Tensor
    query: tuple[int, int]


def interaction_pages(order: Order, files: Sequence[Path]) -> Iterator[Page]:
    """Draw the interactions of every picture's patches, and yield what became of each, in order.

    A reconstruction after the abstract of arXiv 2203.05922. Every picture gets `<name>.png` and `<name>.npz` in the
    output folder; `manifest.json` tells about all of them.

    Raises:
        DataError: the output folder cannot be written.
        UnknownName, ShapeError: no such block, query, or share.
        ObservationError: the model has no attention between all patches.
    """
    check_writable(order.output)
    if not 0 <= order.share < 1 or not 0 < order.mass <= 1:
        raise ShapeError(
            f"`share` must be at least 0 and below 1, and `mass` above 0 and at most 1; got {order.share} and "
            f"{order.mass}. Give shares of the patches and of the indicator."
        )
    started = datetime.now(UTC).isoformat(timespec="seconds")
    pages: list[Page] = []
    try:
        for file, name in zip(files, output_names(files, order.output), strict=True):
            pages.append(_page(order, file, name))
            yield pages[-1]
    finally:
        about = {"versions": versions(), "model": order.model.name, "weights_sha256": order.model.weights_sha256}
        settings = {name: getattr(order, name) for name in ("indicator", "block", "query", "mass", "share")}
        shown = [{name: value and str(value) for name, value in asdict(page).items()} for page in pages]
        write_manifest(order.output, {"started": started, **about, **settings, "pictures": shown})


def _page(order: Order, file: Path, name: str) -> Page:
    opened = open_for(order.model, file)
    if isinstance(opened, DataError):
        return Page(file, error=str(opened))
    found = _find(order, opened)
    page, numbers = order.output / f"{name}.png", order.output / f"{name}.npz"
    try:
        with whole_file(numbers) as part:
            np.savez(part, **_numbers(found))
        with whole_file(page) as part:
            _draw(order, opened, found).save(part)
    except DataError as error:
        return Page(file, error=str(error))
    return Page(file, page, numbers)


def _find(order: Order, opened: Opened) -> _Found:
    parameter = next(order.model.model.parameters())
    seen = interactions(order.model.model, opened.image[None].to(parameter))
    tokens, blocks = seen.tokens, seen.strength.shape[1]
    if order.block is not None and not 0 <= order.block < blocks:
        raise UnknownName("block", str(order.block), [f"0 … {blocks - 1}"])
    chosen = slice(None) if order.block is None else slice(order.block, order.block + 1)
    strength, uncertainty = (each[0, chosen].mean(0) for each in (seen.strength, seen.uncertainty))
    pairs = {
        "strength": strength,
        "certainty": indicator.certainty(strength, uncertainty),
        "uncertainty": uncertainty,
    }[order.indicator]
    query = order.query or divmod(int(discriminativeness(strength).argmax()), tokens.width)
    if not (0 <= query[0] < tokens.height and 0 <= query[1] < tokens.width):
        raise UnknownName("patch", f"{query[0]},{query[1]}", [f"0,0 … {tokens.height - 1},{tokens.width - 1}"])
    fields = responsive_fields(pairs, tokens, order.mass)
    removed = ~kept_patches(discriminativeness(seen.strength.mean(1)), order.share)[0]
    return _Found(
        seen, pairs, fields, shape_of(fields, pairs, tokens), adaptive_windows(pairs, tokens, _WINDOW), removed, query
    )


def _numbers(found: _Found) -> dict[str, Any]:
    """The arrays of the `.npz`: patches flattened row by row, query first."""
    seen, strength = found.seen, found.seen.strength[0].mean(0)
    tensors = {
        "strength": seen.strength[0],
        "uncertainty": seen.uncertainty[0],
        "distance": attention_distance(seen.strength[0], seen.tokens),
        "logits": seen.logits[0].float(),
        "indicator": found.pairs,
        "field": found.fields,
        "size": found.shape.size,
        "radius": found.shape.radius,
        "tendency": found.shape.tendency,
        "anisotropy": found.shape.anisotropy,
        "windows": found.windows,
        "discriminativeness": discriminativeness(strength),
        "received": received(strength),
        "entropy": entropy(strength),
        "removed": found.removed,
    }
    grid = np.array([seen.tokens.height, seen.tokens.width])
    return {
        "grid": grid,
        "query": np.array(found.query),
        **{name: each.cpu().numpy() for name, each in tensors.items()},
    }


def _draw(order: Order, opened: Opened, found: _Found) -> Any:
    tokens, view = found.seen.tokens, opened.view.convert("RGB")
    row, column = found.query

    def laid(values: Tensor) -> Any:
        return values.unflatten(0, (tokens.height, tokens.width)).cpu().numpy()

    at = row * tokens.width + column
    middle = {(h * tokens.height // 4, w * tokens.width // 4) for h in (1, 3) for w in (1, 3)} - {found.query}
    tendency, windows = laid(found.shape.tendency), laid(found.windows)
    longest = float(found.shape.tendency.norm(dim=-1).max())
    panels = [
        Panel("what the model saw", view),
        Panel(f"patch {row},{column}", draw_query(view, laid(found.pairs[at]), found.query, laid(found.fields[at]))),
        Panel("where patches lean", draw_arrows(view, tendency), f"longest: {longest:.1f} patches"),
        Panel("where patches lean", draw_flow(view, tendency), "hue: direction, saturation: length"),
        Panel("size of fields", draw_patches(view, laid(found.shape.size))),
        Panel("adaptive windows", draw_windows(view, windows, [found.query, *sorted(middle)])),
        Panel("what is discriminative", draw_patches(view, laid(discriminativeness(found.seen.strength[0].mean(0))))),
        Panel("without the indiscriminative", draw_removed(view, laid(found.removed)), f"{order.share:.0%} removed"),
    ]
    best = int(found.seen.logits[0].argmax())
    names = order.model.class_names or numbered(found.seen.logits.shape[1])
    where = "all blocks" if order.block is None else f"block {order.block}"
    about = (opened.file.name, order.model.name, f"{order.indicator} in {where}", "reconstruction of arXiv 2203.05922")
    return sheet(panels, title=names[best], subtitle=" · ".join(about), columns=4)
