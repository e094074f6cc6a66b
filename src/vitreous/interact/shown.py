"""Interactions as a notebook shows them."""

from __future__ import annotations

from jaxtyping import Float
from markupsafe import Markup
from torch import Tensor

from vitreous.render import page
from vitreous.render.overlay import Scale, draw
from vitreous.trace.observed import TokenGrid

__all__ = ["shown"]

_IMAGES, _BLOCKS = 4, 12
"""As many as a notebook holds."""


def shown(title: str, taken: Float[Tensor, "images blocks patches"], tokens: TokenGrid) -> str:
    """How much others take from each patch: a row of pictures for an image, all blocks first, then each.

    Args:
        title: of all.
        taken: per image and block, from each patch; 1 on average.
        tokens: how the patches lie.
    """
    parts = [page.paragraph(title)]
    for at, image in enumerate(taken[:_IMAGES].float().cpu()):
        maps = [image.mean(0), *image[:_BLOCKS]]
        grids = [each.unflatten(0, (tokens.height, tokens.width)) for each in maps]
        low, high = min(each.min().item() for each in grids), max(each.max().item() for each in grids)
        if high > low:
            drawn = [draw(each, Scale(low, high), patch=max(4, 112 // tokens.width)) for each in grids]
            said = "how much others take from each patch: in all blocks, then in each; bright is much"
            parts.append(page.figure(drawn, f"image {at}, {said}"))
    left = len(taken) - _IMAGES
    parts += [page.paragraph(f"… and {left} more")] if left > 0 else []
    return Markup("").join(parts)
