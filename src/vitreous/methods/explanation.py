"""What a method gives: heat maps, and the decision that they explain."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from vitreous.errors import DegenerateMap, ModelError, NoClassScores, UnknownName
from vitreous.methods.detail import Detail
from vitreous.methods.placed import Placed
from vitreous.settings.arguments import checked
from vitreous.shapes import Heatmap, Images, Logits, TargetClass
from vitreous.trace.answer import Answer, answer, rather, score_name
from vitreous.trace.reading import Reading, current_reading, reading
from vitreous.trace.target import Target, probabilities

if TYPE_CHECKING:
    from PIL.Image import Image

    from vitreous.methods.method import Method
    from vitreous.render.view import Crop, View

__all__ = ["Explanation"]


@dataclass(frozen=True, repr=False)
class Explanation(Placed):
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
        against: per image, the class that the one explained is held against; empty where there is none.
        scores_from: in words, where the class scores were found of a model that returns probabilities: what went into
            its last softmax. Empty where it returns them by itself.
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
    against: tuple[int, ...] = ()
    scores_from: str = ""
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
        named = [rather(each.name, self.rival(at)) for at, each in enumerate(answers) if each]
        classes = ", ".join(named) + (", …" if batch > 3 and any(answers) else "")
        layer = f" at {self.layer}" if self.layer else ""
        return f"Explanation({batch} × {height}×{width} by {self.method}{layer} of {classes or 'no class'})"

    @checked()
    def class_name(self, index: int) -> str:
        """The name of a class, or "class 7" where none is known.

        Raises:
            UnknownName: there is no such class.
        """
        count = len(self.class_names) if self.logits is None else self.logits.shape[1]
        if index < 0 or 0 < count <= index:
            raise UnknownName("class", str(index), [f"0 … {count - 1}"] if count else [])
        return score_name(index, self.class_names, count, self.link)

    @checked()
    def answer(self, index: int = 0) -> Answer | None:
        """What the model says of one image, as far as it is explained: the class and its probability, or the value."""
        if self.logits is None or self.target is None:
            return None
        self.check_image(index)
        target, opposed = int(self.target[index]), bool(self.opposed) and self.opposed[index]
        return answer(target, self.logits[index], self.class_names, self.link, opposed=opposed)

    def rival(self, index: int = 0) -> str:
        """The name of the class that an image's is held against; empty for none."""
        return self.class_name(self.against[index]) if self.against else ""

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

    def sheet(self) -> Image:
        """Every image's picture and overlay side by side, the class and its probability named, or the value."""
        from vitreous.methods.saved import draw_sheet

        return draw_sheet(self)

    @checked()
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

    @checked("picture")
    def export(
        self, path: str | Path, index: int = 0, *, threshold: float = 0.5, picture: Image | View | None = None
    ) -> None:
        """Write the map of one image for other programs, in the format that the suffix names.

        `.png`: over its whole picture. `.svg`: picture, map and scale as layers. `.tiff`: the raw map in the picture's
        pixels, float32, NaN where the model saw none. `.csv`: a row for each patch, with its corners in the picture and
        its raw value. `.json`: boxes and masks of the strong places of all images, in COCO's format.

        Args:
            path: of the file.
            index: of the image; of no meaning for `.json`.
            threshold: of the strong places, as for `mask`.
            picture: as for `at_picture_size`.

        Raises:
            DataError: the suffix names no format, or the disk says no.
            ShapeError: there is no picture, and the format needs one; or as `mask`.
        """
        from vitreous.methods.exports import Exported, export

        export(Exported(self, index, picture), Path(path), threshold)

    @classmethod
    @checked()
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
