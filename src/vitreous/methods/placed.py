"""Heat maps in the pixels of their pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vitreous.errors import ShapeError, UnknownName
from vitreous.masking.components import Box, boxes_by_rank
from vitreous.settings.arguments import checked
from vitreous.shapes import Heatmap, Images, PixelMap, PixelMask

if TYPE_CHECKING:
    from PIL.Image import Image

    from vitreous.methods.method import Method
    from vitreous.render.view import Crop, View

__all__ = ["Placed"]


class Placed:
    """What an `Explanation` can do with where its maps lie."""

    heatmap: Heatmap
    method: Method
    views: tuple[View, ...]
    inputs: Images | None
    crops: tuple[Crop, ...]

    @property
    def signed(self) -> bool:
        """Whether its maps have two sides: what speaks for the class, and what speaks against it."""
        return bool(getattr(self.method, "signed", False))

    @property
    def blocks(self) -> bool:
        """Whether its maps are of whole blocks, which keep their edges at the size of a picture."""
        return bool(getattr(self.method, "blocks", False))

    @property
    def pictures(self) -> tuple[Image, ...]:
        """Per image, the part of the picture that the model saw; none where tensors were given."""
        return tuple(view.part for view in self.views)

    @property
    def medical(self) -> bool:
        """Whether any picture came in a medical file."""
        return any(view.whole.info.get("medical") for view in self.views)

    @checked("picture")
    def at_picture_size(self, index: int = 0, *, picture: Image | View | None = None) -> PixelMap:
        """The heat map of one image in the pixels of its whole picture: (height, width), NaN where the model saw none.

        Bilinear, edge to edge of what the model saw; the blocks of a method that gives blocks keep their edges.

        Args:
            index: of the image.
            picture: that the image was made of, where tensors were explained or a file was loaded: a
                `vitreous.View`, or a PIL image, as `vitreous.open_picture` gives it. Of the latter the model saw what
                the file says or, where tensors were explained, all. Without it, the pixels are those of the picture
                that the file tells of, or of the model's input.

        Raises:
            ShapeError: nothing is known of a picture nor an input, or the picture is of another size.
        """
        from vitreous.render.overlay import spread

        crop = self.crop(index, picture)
        return spread(self.heatmap[index], crop.size, crop.box, blocks=self.blocks)

    @checked("picture")
    def mask(self, threshold: float = 0.5, index: int = 0, *, picture: Image | View | None = None) -> PixelMask:
        """Where the map of one image is strong, in the pixels of its whole picture: (height, width).

        Args:
            threshold: how strong, from 0 to 1: a share of the way from the map's lowest value to its highest; of a map
                with two sides, from zero to the value farthest from it, on the side that speaks for the class.
            index: of the image.
            picture: as for `at_picture_size`.

        Raises:
            ShapeError: the threshold lies outside, or there is no picture.
        """
        from vitreous.render.overlay import Scale

        if not 0 <= threshold <= 1:
            raise ShapeError(f"`threshold` must lie in [0, 1]; got {threshold:g}. 0.5 is half of the strongest.")
        values = self.at_picture_size(index, picture=picture).double()
        scale = Scale.of([self.heatmap[index]], signed=self.signed)
        low = 0.0 if self.signed else scale.low
        # in single precision, so that what reaches the threshold but for rounding reaches it
        return ((values - low) / (scale.high - low)).float() >= threshold

    @checked("picture")
    def boxes(self, threshold: float = 0.5, index: int = 0, *, picture: Image | View | None = None) -> list[Box]:
        """Boxes around the places where the map of one image is strong, the strongest first.

        Each is (left, top, right, bottom) in pixels of the whole picture, right and bottom exclusive, around one
        8-connected component of `mask`; its strength is the map's highest value in it.

        Args:
            threshold: as for `mask`, as are `index` and `picture`.
            index: of the image.
            picture: that the image was made of.

        Raises:
            ShapeError: as `mask`.
        """
        values = self.at_picture_size(index, picture=picture)
        return boxes_by_rank(self.mask(threshold, index, picture=picture), values)

    @checked("picture")
    def overlay(
        self,
        index: int = 0,
        *,
        alpha: float = 0.75,
        whole: bool = False,
        isolines: bool = False,
        picture: Image | View | None = None,
    ) -> Image:
        """The heat map of one image over its picture.

        Args:
            index: of the image.
            alpha: opacity of the map's strongest value, 0 to 1; weaker places are clearer.
            whole: over the whole picture, with the part that the model saw marked in it; else over that part alone.
            isolines: lines of equal value in place of colors.
            picture: as for `at_picture_size`.

        Raises:
            ShapeError: the explanation was made from tensors, and no picture is given; or `alpha` lies outside.
        """
        from vitreous.render.isolines import draw_isolines
        from vitreous.render.overlay import Scale, overlay

        view = self.view(index, picture)
        scale = Scale.of([self.heatmap[index]], signed=self.signed)
        if isolines:
            drawn = draw_isolines(view.part, self.heatmap[index], scale, blocks=self.blocks)
        else:
            drawn = overlay(view.part, self.heatmap[index], alpha=alpha, scale=scale, blocks=self.blocks)
        return view.marked(drawn) if whole else drawn

    @checked("picture")
    def crop(self, index: int = 0, picture: Image | View | None = None) -> Crop:
        """Where the heat map of one image lies: the size of its picture, and the part that the model saw.

        Args:
            index: of the image.
            picture: as for `at_picture_size`.

        Raises:
            ShapeError: as `at_picture_size`.
        """
        from vitreous.render.view import Crop

        self.check_image(index)
        if picture is None and self.crops:
            return self.crops[index]
        if picture is None and not self.views and self.inputs is not None:
            height, width = self.inputs.shape[-2:]
            return Crop((width, height), (0, 0, width, height))
        return self.view(index, picture).crop

    @checked("picture")
    def view(self, index: int = 0, picture: Image | View | None = None) -> View:
        """The picture of one image, and the part of it that the model saw.

        Args:
            index: of the image.
            picture: as for `at_picture_size`.

        Raises:
            ShapeError: as `overlay`.
        """
        from vitreous.render.view import View

        self.check_image(index)
        if isinstance(picture, View):
            return picture
        if picture is not None:
            return self.crops[index].on(picture) if self.crops else View.of(picture)
        if not self.views:
            source = "read from a file, which holds no pictures" if self.crops else "made from tensors"
            more = "" if self.crops else ", or explain pictures or paths"
            which = "the one that was explained" if self.crops else "the picture"
            raise ShapeError(f"this explanation was {source}. Give {which}: picture=vitreous.open_picture(path){more}.")
        return self.views[index]

    @checked()
    def check_image(self, index: int) -> None:
        """Refuse what is no place among the images; from their end it is negative.

        Raises:
            UnknownName: so it is.
        """
        if not -len(self.heatmap) <= index < len(self.heatmap):
            raise UnknownName("image", index, [f"0 … {len(self.heatmap) - 1}"])
