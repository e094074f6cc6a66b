"""An object on its picture: the box, and the outline of the mask."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float
from PIL import Image
from torch import Tensor

from vitreous.render.boxes import SHOWN, draw_boxes, line_of

__all__ = ["draw_detection"]

_OUTLINE = (255, 255, 255)


def draw_detection(picture: Image.Image, box: Float[Tensor, " 4"], mask: Bool[Tensor, "height width"]) -> Image.Image:
    """A copy of the picture with an object on it, in lines that grow with the picture.

    Args:
        picture: RGB.
        box: left, top, right, bottom in pixels, right and bottom exclusive.
        mask: True on the object, at the picture's size.
    """
    wide = line_of(picture)
    inside = mask.cpu().numpy()
    padded = np.pad(inside, wide)
    shifts = [(wide + dy, wide + dx) for dy in (-wide, 0, wide) for dx in (-wide, 0, wide)]
    core = np.all([padded[y : y + inside.shape[0], x : x + inside.shape[1]] for y, x in shifts], axis=0)
    page = np.array(picture.convert("RGB"))
    page[inside & ~core] = _OUTLINE
    return draw_boxes(Image.fromarray(page), box[None], (picture.height, picture.width), SHOWN)
