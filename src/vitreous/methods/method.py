"""What a method is, and what it gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from csv import DictWriter
from dataclasses import dataclass
from io import BytesIO, StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from vitreous.errors import DegenerateMap, NoClassToken, ShapeError
from vitreous.files.writing import whole_file
from vitreous.masking.forward import Progress
from vitreous.shapes import Heatmap, Images, Logits, TargetClass, TokenMask
from vitreous.trace.record import TokenGrid
from vitreous.trace.target import Target, probabilities

if TYPE_CHECKING:
    from PIL.Image import Image

    from vitreous.render.sheet import Panel

__all__ = [
    "BlockMethod",
    "Detail",
    "Explanation",
    "Method",
    "SlowMethod",
    "check_at_least",
    "check_class_token",
]


@runtime_checkable
class Method(Protocol):
    """A frozen dataclass that explains a batch. Its fields are its settings, with the paper's values as defaults."""

    source: ClassVar[str]
    """Where it was published."""

    def __call__(self, model: nn.Module, images: Images, target: Target = ...) -> Explanation:
        """Explain a batch of normalised images."""
        ...


@runtime_checkable
class SlowMethod(Method, Protocol):
    """A method that runs the model hundreds of times, and tells how far it is. `--method all` leaves it out."""

    slow: ClassVar[Literal[True]]

    def __call__(
        self, model: nn.Module, images: Images, target: Target = ..., *, progress: Progress | None = None
    ) -> Explanation:
        """Explain a batch of normalised images."""
        ...


@runtime_checkable
class BlockMethod(Method, Protocol):
    """A method whose map is of whole blocks: metrics enlarge it to the nearest, so that blocks keep their edges."""

    blocks: ClassVar[Literal[True]]


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
        logits: (batch, classes), the model's class scores.
        target: (batch,), the class explained.
        method: what made it; its fields are the settings.
        class_names: one per logit, where known.
        pictures: per image, the part of the picture that the model saw, where known.
        details: per image, what the method found beside the map; empty for most methods.
        layer: dotted name of the layer whose output was read; empty where a method reads no single one.

    Raises:
        DegenerateMap: a map is constant or not finite, so it would explain nothing.
    """

    heatmap: Heatmap
    logits: Logits
    target: TargetClass
    method: Method
    class_names: tuple[str, ...] = ()
    pictures: tuple[Image, ...] = ()
    details: tuple[Detail, ...] = ()
    layer: str = ""

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
        classes = ", ".join(self.class_name(at) for at in self.target[:3].tolist()) + (", …" if batch > 3 else "")
        layer = f" at {self.layer}" if self.layer else ""
        return f"Explanation({batch} × {height}×{width} by {self.method}{layer} of {classes})"

    def class_name(self, index: int) -> str:
        """The name of a class, or "class 7" where none is known."""
        return self.class_names[index] if index < len(self.class_names) else f"class {index}"

    @property
    def probabilities(self) -> Logits:
        """(batch, classes): softmax of the logits; of a single class, its sigmoid."""
        return probabilities(self.logits.float())

    def overlay(self, index: int = 0) -> Image:
        """The heat map of one image over the part of its picture that the model saw.

        Raises:
            ShapeError: the explanation was made from tensors, so there is no picture.
        """
        from vitreous.render.overlay import overlay

        if not self.pictures:
            raise ShapeError("this explanation was made from tensors, so it has no picture. Pass pictures or paths.")
        return overlay(self.pictures[index], self.heatmap[index])

    def sheet(self) -> Image:
        """Every image's picture and overlay side by side, the class and its probability named."""
        from vitreous.render.overlay import draw
        from vitreous.render.sheet import Panel, sheet

        panels: list[Panel] = []
        for at, target in enumerate(self.target.tolist()):
            name = self.class_name(target)
            caption = f"{self.probabilities[at, target].item():.1%}"
            if self.pictures:
                panels.append(Panel(name, self.pictures[at], caption))
            panels.append(Panel(name, self.overlay(at) if self.pictures else draw(self.heatmap[at]), caption))
            if self.pictures and self.details:
                panels += self.details[at].panels(self.pictures[at])
        per_image = len(panels) // len(self.target)
        several = self.pictures and len(self.target) > 1
        return sheet(panels, title=repr(self.method), columns=max(4, per_image) if several else None)

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

                arrays = {name: getattr(self, name).float().cpu().numpy() for name in ("heatmap", "logits")}
                np.savez(part, **arrays, target=self.target.cpu().numpy())
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


def check_class_token(tokens: TokenGrid, model: nn.Module, method: str, read: TokenMask | None = None) -> TokenGrid:
    """Refuse to read the class-token row where there is none, or where the classifier does not read it.

    Args:
        tokens: how they lie.
        model: for the message.
        method: likewise.
        read: which of the extra tokens the class scores depend on; None as long as that is unknown.

    Returns:
        the grid, its class token the one that is read.

    Raises:
        NoClassToken: `method` needs one.
    """
    kind, remedy = type(model).__name__, 'Use `rollout` or `raw_attention` with readout="mean".'
    if tokens.extra == 0:
        raise NoClassToken(
            f"`{method}` reads the class-token row, but `{kind}` has {tokens.tokens} tokens for a "
            f"{tokens.height}×{tokens.width} grid: none is left for a class token. {remedy}"
        )
    if read is not None and not read.any():
        raise NoClassToken(
            f"`{method}` reads the class-token row, but the class scores of `{kind}` depend on none of its "
            f"{tokens.extra} tokens beside the patches: it pools these, or its head is all zeros. {remedy}"
        )
    return tokens if read is None else tokens.read_by(read)


def check_at_least(name: str, value: int | float, least: int | float) -> None:
    """Refuse a setting that is too small.

    Raises:
        ShapeError: `value` is below `least`.
    """
    if value < least:
        raise ShapeError(f"`{name}` must be at least {least:g}; got {value:g}. Give a larger number.")


def _first(bad: Tensor) -> int | None:
    """The first True, if any."""
    return int(bad.nonzero()[0, 0]) if bad.any() else None
