"""From a picture to the model's input, and back to what the model saw of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

from jaxtyping import Float
from torch import Tensor

from vitreous.errors import ModelError, ShapeError, check_setting
from vitreous.settings.typed import Within, check_settings, shown, typed_fields

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Preprocess"]

Side = Annotated[int, Within(1, 2**15)]
_INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "lanczos", "box", "hamming")
_MAX_RESIZED = 2**26  # pixels: a strip of 1×60000 pixels would grow to gigabytes before the crop


@dataclass(frozen=True)
class Preprocess:
    """Resize, center-crop, scale to [0, 1], normalize: what timm, torchvision and Hugging Face do to a picture.

    For a model of your own that takes 224 × 224 pixels normalized as ImageNet's:
    `Preprocess((224, 224), (256, 256), mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))`.

    Attributes:
        size: (height, width) of the model's input.
        resize: (height, width) before the crop; `size` where not given.
        keep_ratio: scale the picture just enough to cover `resize`; otherwise squash it to exactly that.
        interpolation: "nearest", "bilinear", "bicubic", "lanczos", "box" or "hamming", always antialiased.
        mean: per channel, in [0, 1]: three for color; one for a model of one channel, which gets gray.
        std: per channel, as many.
        border: scale it to lie inside `resize` instead of covering it, with a border of the mean color.
        floor: when the crop cannot be centered exactly, take the pixel up and left (Hugging Face) instead of the
            nearest (timm, torchvision).

    Raises:
        UnknownName: there is no such interpolation.
        ShapeError: a value is of another type, or means and deviations do not fit one or three channels.
    """

    size: tuple[Side, Side]
    resize: tuple[Side, Side] = (0, 0)
    keep_ratio: bool = True
    interpolation: str = "bicubic"
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    std: tuple[float, ...] = (0.5, 0.5, 0.5)
    border: bool = False
    floor: bool = False

    def __post_init__(self) -> None:
        for name in ("size", "resize"):
            pair: Any = getattr(self, name)
            if not isinstance(pair, tuple) or len(pair) != 2:
                raise ShapeError(f"`{name}` must be (height, width); got {pair}. Give two whole numbers.")
        if self.resize == (0, 0):
            object.__setattr__(self, "resize", self.size)
        check_settings(self)
        check_setting("interpolation", self.interpolation, _INTERPOLATIONS)
        if len(self.mean) not in (1, 3) or len(self.std) != len(self.mean) or min(self.std) <= 0:
            raise ShapeError(
                f"`mean` {self.mean} and `std` {self.std} fit no picture. "
                "Give three of each for color, or one for gray, and deviations above 0."
            )

    def __call__(self, picture: Image) -> Float[Tensor, "channels height width"]:
        """The model's input for one RGB picture.

        Raises:
            ShapeError: the picture is so narrow that the resize would make it enormous.
        """
        from torchvision.transforms import InterpolationMode
        from torchvision.transforms import functional as F

        (height, width), (top, left) = self.frame(picture)
        if height * width > _MAX_RESIZED:
            raise ShapeError(f"a picture of {picture.width}×{picture.height} pixels is too narrow. Crop it first.")
        image: Any = picture if len(self.mean) == 3 else picture.convert("L")
        image = F.resize(image, [height, width], InterpolationMode(self.interpolation))
        beyond = (-left, -top, left + self.size[1] - width, top + self.size[0] - height)
        margins = [max(edge, 0) for edge in beyond]
        if any(margins):
            fill: Any = [round(255 * mean) for mean in self.mean] if self.border else [0] * len(self.mean)
            image = F.pad(image, margins, fill if len(fill) == 3 else fill[0])
        image = F.crop(image, max(top, 0), max(left, 0), *self.size)
        return F.normalize(F.to_tensor(image), list(self.mean), list(self.std))

    def view(self, picture: Image) -> Image:
        """The part of the picture that the model sees, at the picture's own resolution; black beyond its edges.

        A heat map lies on this part: its corners are the corners of the model's input.
        """
        return picture.crop(self.box(picture))

    def box(self, picture: Image) -> tuple[int, int, int, int]:
        """(left, top, right, bottom) of that part in the picture's pixels, right and bottom exclusive.

        It reaches beyond the picture where the model's input has a border.
        """
        (height, width), (top, left) = self.frame(picture)
        y, x = picture.height / height, picture.width / width
        upper, lefter = round(top * y), round(left * x)
        lower, righter = round((top + self.size[0]) * y), round((left + self.size[1]) * x)
        return lefter, upper, max(righter, lefter + 1), max(lower, upper + 1)

    def frame(self, picture: Image) -> tuple[tuple[int, int], tuple[int, int]]:
        """(height, width) of the whole picture after the resize, and (top, left) of the input in it.

        The corner is negative where the input reaches beyond the picture.
        """
        height, width = self._resized(picture)
        return (height, width), (self._offset(height - self.size[0]), self._offset(width - self.size[1]))

    def _resized(self, picture: Image) -> tuple[int, int]:
        """(height, width) of the whole picture after the resize."""
        if not self.keep_ratio:
            return self.resize
        ratios = picture.height / self.resize[0], picture.width / self.resize[1]
        if not self.border and self.resize[0] == self.resize[1]:  # torchvision's rule, which cuts fractions off
            side, short, long = self.resize[0], *sorted(picture.size)
            longer = int(side * long / short)
            return (longer, side) if picture.height > picture.width else (side, longer)
        ratio = max(ratios) if self.border else min(ratios)  # timm's rule, which rounds them
        return max(round(picture.height / ratio), 1), max(round(picture.width / ratio), 1)

    def _offset(self, spare: int) -> int:
        if spare < 0:
            return -(-spare // 2)
        return spare // 2 if self.floor else round(spare / 2)

    def to_json(self) -> dict[str, Any]:
        """Plain values, for a model card or a manifest."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Any) -> Preprocess:
        """The inverse of `to_json`; `resize` may be one number, for both.

        Raises:
            ModelError: a value is of another type, or no picture could be prepared so.
            UnknownName: there is no such interpolation.
            TypeError: one is missing, or there is one too many.
        """
        if not isinstance(values, Mapping):
            raise ModelError(f"the preprocessing is {shown(values)}. Give a table.")
        made = dict(values)
        if isinstance(made.get("resize"), int):
            made["resize"] = (made["resize"], made["resize"])
        read = cls(**typed_fields(cls, made, "the preprocessing", ModelError))
        area = max(height * width for height, width in (read.size, read.resize))
        if area > _MAX_RESIZED or not all(read.std):
            raise ModelError(
                f"the preprocessing resizes to {read.resize} for inputs of {read.size} with std {read.std}, which "
                "cannot be. Correct it."
            )
        if {len(read.mean), len(read.std)} != {3}:
            raise ModelError(f"the preprocessing has mean {read.mean} and std {read.std}. Give three numbers each.")
        return read
