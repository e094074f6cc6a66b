"""What a method gives: heat maps, and the decision that they explain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from csv import DictWriter
from dataclasses import dataclass, field
from io import BytesIO, StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from vitreous.errors import DegenerateMap, ModelError, NoClassScores, ShapeError
from vitreous.files.writing import whole_file
from vitreous.shapes import Heatmap, Logits, TargetClass
from vitreous.trace.answer import Answer, answer, assumed, score_name
from vitreous.trace.reading import Reading, current_reading, reading
from vitreous.trace.target import probabilities

if TYPE_CHECKING:
    from PIL.Image import Image

    from vitreous.methods.method import Method
    from vitreous.render.sheet import Panel

__all__ = ["Detail", "Explanation"]


@runtime_checkable
class Detail(Protocol):
    """What a method found in one image beside the map."""

    def table(self) -> Sequence[Mapping[str, Any]]:
        """Rows of plain values, all with the same names."""
        ...

    def panels(self, picture: Image) -> Sequence[Panel]:
        """What to show of it on a sheet."""
        ...

    def to_json(self) -> dict[str, Any]:
        """All of it in plain values, for a manifest."""
        ...


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
        pictures: per image, the part of the picture that the model saw, where known.
        details: per image, what the method found beside the map; empty for most methods.
        layer: dotted name of the layer whose output was read; empty where a method reads no single one.
        link: what the class scores stand for, as it was said; None where their number says it (see `Reading`).
        opposed: per image, whether what speaks against the class is explained: where a binary score is negative. Empty
            for nowhere.

    Raises:
        DegenerateMap: a map is constant or not finite, so it would explain nothing.
    """

    heatmap: Heatmap
    logits: Logits | None
    target: TargetClass | None
    method: Method
    class_names: tuple[str, ...] = ()
    pictures: tuple[Image, ...] = ()
    details: tuple[Detail, ...] = ()
    layer: str = ""
    link: str | None = field(default_factory=lambda: current_reading().link)
    opposed: tuple[bool, ...] = ()

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

    def overlay(self, index: int = 0) -> Image:
        """The heat map of one image over the part of its picture that the model saw.

        Raises:
            ShapeError: the explanation was made from tensors, so there is no picture.
        """
        from vitreous.render.overlay import overlay

        if not self.pictures:
            raise ShapeError("this explanation was made from tensors, so it has no picture. Pass pictures or paths.")
        return overlay(self.pictures[index], self.heatmap[index], signed=self.signed)

    def sheet(self) -> Image:
        """Every image's picture and overlay side by side, the class and its probability named, or the value."""
        from vitreous.render.overlay import Scale, draw, overlay
        from vitreous.render.sheet import Panel, sheet

        panels: list[Panel] = []
        for at in range(images := len(self.heatmap)):
            answer = self.answer(at)
            name, caption = (answer.name, answer.shown) if answer else (f"image {at}", "")
            if self.pictures:
                panels.append(Panel(name, self.pictures[at], caption))
            heatmap = self.heatmap[at]
            scale = Scale.of([heatmap], signed=self.signed)
            drawn = overlay(self.pictures[at], heatmap, scale=scale) if self.pictures else draw(heatmap, scale)
            panels.append(Panel(name, drawn, caption, scale))
            if self.pictures and self.details:
                panels += self.details[at].panels(self.pictures[at])
        several = self.pictures and images > 1
        columns = max(4, len(panels) // images) if several else None
        note = assumed(self.logits.shape[1], self.link) if self.logits is not None else ""
        return sheet(panels, title=repr(self.method), subtitle=note, columns=columns)

    def save(self, path: str | Path) -> None:
        """Write raw numbers (`.npz`: heatmap, logits, target), the details' table (`.csv`) or the sheet (`.png`, …).

        Raises:
            ShapeError: a table is asked for, and the method gave no details.
            DataError: the file cannot be written, or its suffix is no format.
        """
        path = Path(path)
        table = self._csv() if path.suffix == ".csv" else ""
        with whole_file(path) as part:
            if path.suffix == ".npz":
                import numpy as np

                logits = None if self.logits is None else self.logits.float()
                given = {"heatmap": self.heatmap.float(), "logits": logits, "target": self.target}
                arrays: dict[str, Any] = {name: each.cpu().numpy() for name, each in given.items() if each is not None}
                np.savez(part, **arrays)
            elif path.suffix == ".csv":
                part.write_text(table, encoding="utf-8")
            else:
                self.sheet().save(part)

    def _csv(self) -> str:
        """The details' tables under one heading, each row after the place of its image."""
        rows = [{"image": at, **row} for at, detail in enumerate(self.details) for row in detail.table()]
        if not rows:
            raise ShapeError(f"`{type(self.method).__name__}` gives a map and no table. Save a .npz or a picture.")
        text = StringIO()
        writer = DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        return text.getvalue()

    def _repr_png_(self) -> bytes:
        """What a notebook shows."""
        buffer = BytesIO()
        self.sheet().save(buffer, "PNG")
        return buffer.getvalue()


def _first(bad: Tensor) -> int | None:
    """The first True, if any."""
    return int(bad.nonzero()[0, 0]) if bad.any() else None
