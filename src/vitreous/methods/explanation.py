"""What a method gives: heat maps, and the decision that they explain."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from vitreous.errors import DegenerateMap, ModelError, NoClassScores, ShapeError
from vitreous.masking.components import Box, boxes_by_rank
from vitreous.methods.detail import Detail
from vitreous.shapes import Heatmap, Images, Logits, PixelMap, PixelMask, TargetClass
from vitreous.trace.answer import Answer, answer, score_name
from vitreous.trace.reading import Reading, current_reading, reading
from vitreous.trace.target import Target, probabilities

if TYPE_CHECKING:
    from PIL.Image import Image

    from vitreous.methods.method import Method
    from vitreous.render.view import Crop, View

__all__ = ["Explanation"]


@dataclass(frozen=True, repr=False)
class Explanation:
    """Heat maps of a batch and the decision that they explain.

    Attributes:
        heatmap: (batch, h, w) on the patch grid, raw: neither resized nor normalised.
        logits: (batch, classes), the model's class scores; None of a model without a classifier.
        target: (batch,), the class explained; None where no class is: without a classifier, or by a function of the
            scores.
        method: what made it; its fields are the settings.
        class_names: one per logit, where known.
        details: per image, what the method found beside the map; empty for most methods.
        layer: dotted name of the layer whose output was read; empty where a method reads no single one.
        link: what the class scores stand for, as it was said; None where their number says it (see `Reading`).
        opposed: per image, whether what speaks against the class is explained: where a binary score is negative. Empty
            for nowhere.
        views: per image, the whole picture and the box of the part that the model saw, where pictures were given.
        inputs: (batch, channels, height, width), the model's input itself, not a copy; None where nobody kept it.
        wanted: what was asked for, as a function of the scores; None where nobody kept it.
        how: the model was read.
        crops: per image, which part of its picture the model saw, where only that is known: of a file that was loaded.

    What was given (`views`, `inputs`, `wanted`, `how`) stays in memory with the explanation; of it, `save` writes which
    part of each picture the model saw.

    Raises:
        DegenerateMap: a map is constant or not finite, so it would explain nothing.
    """

    heatmap: Heatmap
    logits: Logits | None
    target: TargetClass | None
    method: Method
    class_names: tuple[str, ...] = ()
    details: tuple[Detail, ...] = ()
    layer: str = ""
    link: str | None = field(default_factory=lambda: current_reading().link)
    opposed: tuple[bool, ...] = ()
    views: tuple[View, ...] = ()
    inputs: Images | None = None
    wanted: Target | None = None
    how: Reading = Reading()  # noqa: RUF009  # frozen
    crops: tuple[Crop, ...] = ()

    def __post_init__(self) -> None:
        flat = self.heatmap.flatten(1)
        name = type(self.method).__name__
        if (bad := _first(~flat.isfinite().all(1))) is not None:
            remedy = "Run the model in float32 or float64, and check that its weights are finite."
            raise DegenerateMap(f"`{name}` gave a map with NaN or infinite values", bad, remedy)
        spread, size = flat.amax(1) - flat.amin(1), flat.abs().amax(1)
        if (bad := _first(spread <= 4 * torch.finfo(flat.dtype).eps * size)) is not None:
            raise DegenerateMap(
                f"`{name}` gave a constant map ({flat[bad, 0].item():g} everywhere), which explains nothing,",
                bad,
                "Choose another method or target; an untrained head (all zeros) also gives this.",
            )

    def __repr__(self) -> str:
        batch, height, width = self.heatmap.shape
        answers = [self.answer(at) for at in range(min(batch, 3))]
        classes = ", ".join(each.name for each in answers if each) + (", …" if batch > 3 and any(answers) else "")
        layer = f" at {self.layer}" if self.layer else ""
        return f"Explanation({batch} × {height}×{width} by {self.method}{layer} of {classes or 'no class'})"

    def class_name(self, index: int) -> str:
        """The name of a class, or "class 7" where none is known."""
        count = len(self.class_names) if self.logits is None else self.logits.shape[1]
        return score_name(index, self.class_names, count, self.link)

    def answer(self, index: int = 0) -> Answer | None:
        """What the model says of one image, as far as it is explained: the class and its probability, or the value."""
        if self.logits is None or self.target is None:
            return None
        target, opposed = int(self.target[index]), bool(self.opposed) and self.opposed[index]
        return answer(target, self.logits[index], self.class_names, self.link, opposed=opposed)

    @property
    def probabilities(self) -> Logits:
        """(batch, classes): what the class scores stand for: their softmax, or the sigmoid of each.

        Raises:
            ModelError: they are values of a regression.
            NoClassScores: there are none.
        """
        if self.logits is None:
            raise NoClassScores("the model has no classifier, so nothing has a probability. Read `heatmap`.")
        if self.link == "identity":
            raise ModelError("the model's scores are values, which have no probabilities. Read `logits`.")
        with reading(Reading(link=self.link)):
            return probabilities(self.logits.float())

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

    def at_picture_size(self, index: int = 0, *, picture: Image | View | None = None) -> PixelMap:
        """The heat map of one image in the pixels of its whole picture: (height, width), NaN where the model saw none.

        Bilinear, edge to edge of what the model saw; the blocks of a method that gives blocks keep their edges.

        Args:
            index: of the image.
            picture: that the image was made of, where tensors were explained or a file was loaded: a
                `vitreous.View`, or a PIL image, as `vitreous.open_picture` gives it. Of the latter the model saw what
                the file says or, where tensors were explained, all. Without it, the pixels are the model's input's.

        Raises:
            ShapeError: the explanation knows neither a picture nor an input, or the picture is another's.
        """
        from vitreous.render.overlay import spread

        if picture is None and not self.views and self.inputs is not None:
            height, width = self.inputs.shape[-2:]
            return spread(self.heatmap[index], (width, height), (0, 0, width, height), blocks=self.blocks)
        view = self._view(index, picture)
        return spread(self.heatmap[index], view.whole.size, view.box, blocks=self.blocks)

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
        scale = Scale.of([self.heatmap[index]], signed=self.signed)
        low = 0.0 if self.signed else scale.low
        return self.at_picture_size(index, picture=picture).double() >= low + threshold * (scale.high - low)

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

        view = self._view(index, picture)
        scale = Scale.of([self.heatmap[index]], signed=self.signed)
        if isolines:
            drawn = draw_isolines(view.part, self.heatmap[index], scale, blocks=self.blocks)
        else:
            drawn = overlay(view.part, self.heatmap[index], alpha=alpha, scale=scale, blocks=self.blocks)
        return view.marked(drawn) if whole else drawn

    def _view(self, index: int, picture: Image | View | None) -> View:
        from vitreous.render.view import View

        if isinstance(picture, View):
            return picture
        if picture is not None:
            return self.crops[index].on(picture) if self.crops else View.of(picture)
        if not self.views:
            source = "read from a file, which holds no pictures" if self.crops else "made from tensors"
            raise ShapeError(
                f"this explanation was {source}. Give the picture: picture=vitreous.open_picture(path), or explain "
                "pictures or paths."
            )
        return self.views[index]

    def sheet(self) -> Image:
        """Every image's picture and overlay side by side, the class and its probability named, or the value."""
        from vitreous.methods.saved import draw_sheet

        return draw_sheet(self)

    def save(self, path: str | Path) -> None:
        """Write raw numbers (`.npz`, for `load`), the details' table (`.csv`) or the sheet (`.png`, …).

        Arrays of the `.npz`: `heatmap` (batch, h, w), `logits` (batch, classes) and `target` (batch,), the latter two
        where there are any; and `about`, a text of JSON with what made the map, the class names and which part of each
        picture the model saw (`vitreous.methods.archive`). Half precision is written as float32.

        Raises:
            ShapeError: a table is asked for, and the method gave no details.
            DataError: the file cannot be written, or its suffix is no format.
        """
        from vitreous.methods.saved import write

        write(self, Path(path))

    @classmethod
    def load(cls, path: str | Path, method: str = "") -> Explanation:
        """What `save` or `vitreous explain` wrote to a `.npz`, on the CPU. Its method says what made it, no more.

        Args:
            path: of the file.
            method: which of the maps in it, where there are several, such as "ag_cam". Of a picture that was explained
                for several classes, each is an image of the batch.

        Raises:
            DataError: there is no such file, it was written by neither, or it holds several maps and none is named.
            UnknownName: there is no map of that name.
        """
        from vitreous.methods.archive import read_archive

        return read_archive(Path(path), method)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        """What a notebook shows: the page of `vitreous.report`, or the sheet where no page can be."""
        from vitreous.methods.cases import shown

        return shown(self)


def _first(bad: Tensor) -> int | None:
    """The first True, if any."""
    return int(bad.nonzero()[0, 0]) if bad.any() else None
