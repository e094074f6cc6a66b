"""What a page of interactions shows, as one picture or as HTML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from vitreous.interacting.numbers import InteractionsJob, PictureInteractions
from vitreous.render import page
from vitreous.render.interactions import (
    draw_arrows,
    draw_flow,
    draw_patches,
    draw_query,
    draw_removed,
    draw_windows,
)
from vitreous.render.numbers import block_name, patch_name
from vitreous.render.sheet import Panel, blank, sheet

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Drawn", "draw_interactions"]

_HOW = (
    "In every block of the model each patch of the picture takes something from the others. Strength is how much, "
    "where 1 is what it takes if it takes from all alike. Patches are named by row and column, the top left one 1,1."
)


@dataclass(frozen=True)
class Drawn:
    """A page of interactions.

    Attributes:
        title: what the model says.
        about: what was looked at, and how.
        panels: its pictures.
    """

    title: str
    about: Sequence[str]
    panels: Sequence[Panel]

    def sheet(self) -> Image:
        """As one picture."""
        return sheet(self.panels, title=self.title, subtitle=" · ".join(self.about), columns=4)

    def page(self) -> str:
        """As a file of HTML that needs no other."""
        shown = [
            page.figure([panel.picture], "; ".join(filter(None, (panel.title, panel.caption, panel.note))))
            for panel in self.panels
            if panel.picture
        ]
        parts = [page.paragraph(" · ".join(self.about)), page.paragraph(_HOW), page.figures(shown)]
        return page.page(self.title, parts)


def draw_interactions(
    job: InteractionsJob, found: PictureInteractions, views: tuple[Image, Image] | None, title: str, source: str
) -> Drawn:
    """All that a page shows.

    Args:
        job: whose settings hold.
        found: the numbers.
        views: the part that the model saw, and the whole with that part marked in it; None of an average.
        title: what the model says.
        source: what was looked at.
    """
    view = views[0] if views else blank()
    tokens, whole, blocks = found.seen.tokens, found.whole, found.blocks
    row, column = found.query

    def laid(values: Tensor) -> Any:
        return values.unflatten(0, (tokens.height, tokens.width)).cpu().numpy()

    at = row * tokens.width + column
    middle = {(h * tokens.height // 4, w * tokens.width // 4) for h in (1, 3) for w in (1, 3)} - {found.query}
    tendency = laid(whole["tendency"].nan_to_num())  # a patch that takes nothing leans nowhere
    longest = float(np.linalg.norm(tendency, axis=-1).max())
    patch = f"patch {patch_name(row, column)}"
    inside = "half of it" if job.mass == 0.5 else f"{job.mass:.0%} of it"
    queries = {f"what {patch} takes": (whole["indicator"], whole["field"])}
    if job.block is None:
        each = zip(blocks["indicator"], blocks["field"], strict=True)
        queries |= {f"{patch} in {block_name(block)}": pair for block, pair in enumerate(each)}
    seen, *single = (
        Panel(name, draw_query(view, laid(pairs[at]), found.query, laid(fields[at])), f"{inside} from inside the line")
        for name, (pairs, fields) in queries.items()
    )
    seen = replace(seen, note=found.chosen)
    panels = [
        *([Panel("what the model saw", views[1])] if views else []),
        seen,
        Panel("where each patch looks", draw_arrows(view, tendency), f"the longest arrow: {longest:.1f} patches"),
        Panel("the same in colors", draw_flow(view, tendency), "hue as in the wheel; pale looks about itself"),
        Panel("how widely each patch looks", draw_patches(view, laid(whole["size"])), "bright: at many patches"),
        Panel(
            "windows of some patches",
            draw_windows(view, laid(whole["windows"]), [found.query, *sorted(middle)]),
            "a patch and its window have one color",
        ),
        Panel(
            "patches used unevenly",
            draw_patches(view, laid(whole["discriminativeness"])),
            "bright: much by some, little by others",
        ),
        Panel(
            f"without {job.share:.0%} of the patches",
            draw_removed(view, laid(found.removed)),
            "gray: used alike by all others",
        ),
        *single,
    ]
    where = "all blocks" if job.block is None else block_name(job.block)
    about = (source, job.model.short_name, f"{job.indicator} in {where}", "reconstruction of arXiv 2203.05922")
    return Drawn(title, about, panels)
