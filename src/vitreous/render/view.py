"""A whole picture, and which part of it a model saw."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import ceil

from PIL import Image, ImageDraw

from vitreous.errors import ShapeError

__all__ = ["Crop", "View"]

_FAINT, _INNER, _OUTER = 0.6, "#ffffff", "#16181d"


@dataclass(frozen=True)
class Crop:
    """Which part of a picture a model saw, where the picture is not at hand.

    Attributes:
        size: (width, height) of the picture, upright.
        box: of the part, as in a `View`.
    """

    size: tuple[int, int]
    box: tuple[int, int, int, int]

    def on(self, picture: Image.Image) -> View:
        """The picture, with that part.

        Raises:
            ShapeError: it is no PIL image, or of another size.
        """
        shown = _rgb(picture)
        if shown.size != tuple(self.size):
            had, got = ("{} × {}".format(*each) for each in (self.size, shown.size))
            raise ShapeError(
                f"the explained picture has {had} pixels, and this one {got}. Give that picture, upright: "
                "vitreous.open_picture(path)."
            )
        return View(shown, self.box)


@dataclass(frozen=True)
class View:
    """A picture, and the part of it that a model saw.

    Attributes:
        whole: RGB, upright, as large as it is.
        box: (left, top, right, bottom) of the part in pixels of `whole`, right and bottom exclusive. It may reach
            beyond the picture, where the model saw a border.
    """

    whole: Image.Image
    box: tuple[int, int, int, int]

    @classmethod
    def of(cls, picture: Image.Image) -> View:
        """A picture of which the model saw all.

        Raises:
            ShapeError: it is no PIL image.
        """
        shown = _rgb(picture)
        return cls(shown, (0, 0, shown.width, shown.height))

    @property
    def crop(self) -> Crop:
        """The same without the picture."""
        return Crop(self.whole.size, self.box)

    @property
    def is_whole(self) -> bool:
        """Whether the model saw the picture to its edges."""
        left, top, right, bottom = self.box
        return left <= 0 and top <= 0 and right >= self.whole.width and bottom >= self.whole.height

    @cached_property
    def part(self) -> Image.Image:
        """What the model saw, at the picture's own resolution; black beyond its edges. Heat maps lie on it."""
        return self.whole if self.box == (0, 0, *self.whole.size) else self.whole.crop(self.box)

    @property
    def inside(self) -> tuple[int, int, int, int]:
        """The box, as far as it lies in the picture."""
        left, top, right, bottom = self.box
        return max(left, 0), max(top, 0), min(right, self.whole.width), min(bottom, self.whole.height)

    @property
    def shares(self) -> tuple[float, float, float, float]:
        """The box, as shares of the picture's width and height."""
        (left, top, right, bottom), (width, height) = self.box, self.whole.size
        return left / width, top / height, right / width, bottom / height

    def marked(self, part: Image.Image | None = None) -> Image.Image:
        """The whole picture, faint outside of what the model saw, with a frame around that.

        Args:
            part: shown there, of the part's size; by default the part itself.
        """
        left, top, right, bottom = self.inside
        page = Image.blend(self.whole, Image.new("RGB", self.whole.size, "white"), _FAINT)
        corner = left - self.box[0], top - self.box[1]
        shown = (part or self.part).crop((*corner, corner[0] + right - left, corner[1] + bottom - top))
        page.paste(shown, (left, top))
        if self.is_whole:
            return page
        draw, line = ImageDraw.Draw(page), ceil(max(page.size) / 250)
        for color, width in ((_OUTER, 2 * line), (_INNER, line)):
            draw.rectangle((left, top, right - 1, bottom - 1), outline=color, width=width)
        return page

    def shrunk(self, side: int) -> View:
        """The same, with a picture that is at most so many pixels long."""
        scale = min(1.0, side / max(self.whole.size))
        width, height = (max(1, round(length * scale)) for length in self.whole.size)
        left, top, right, bottom = (round(edge * scale) for edge in self.box)
        left, top = min(left, width - 1), min(top, height - 1)
        box = left, top, max(right, left + 1), max(bottom, top + 1)
        return View(self.whole.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=3.0), box)


def _rgb(picture: object) -> Image.Image:
    if not isinstance(picture, Image.Image):
        raise ShapeError(f"a picture is a PIL image; got `{type(picture).__name__}`. Give vitreous.open_picture(path).")
    return picture.convert("RGB")
