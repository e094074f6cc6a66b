"""A detector's training recipe: one frozen record, read from TOML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from math import inf
from pathlib import Path
from typing import Any

from vitreous.errors import DataError
from vitreous.settings.typed import Seed
from vitreous.training.toml_records import check_range, read_record, write_record

__all__ = ["RECIPES", "DetectionRecipe", "read_detection_recipe"]

RECIPES = Path(__file__).parent / "recipes"
"""Those that come with vitreous."""


@dataclass(frozen=True)
class DetectionRecipe:
    """Everything that decides how a Mask R-CNN is trained, the pictures aside.

    Attributes:
        architecture: of the pyramid, a name in timm's registry.
        epochs: times through the pictures.
        norm: give every stage of the pyramid a LayerNorm of its own.
        width: channels of the feature pyramid network and of the mask head; the box head has four times as many.
        rois: boxes per picture that the heads learn from.
        shorter: pixels that a picture's shorter side is resized to; in training one of these by chance, else the last.
        longer: pixels that its longer side may have then.
        flip: probability of a left-right flip.
        batch_size: pictures per step of the optimizer, over all processes.
        together: pictures that go through the model at once, so padded to one size and normalized by one batch norm.
        lr: learning rate of AdamW, up to the first milestone.
        weight_decay: not applied to biases, norms, nor what the pyramid excepts (position tables, mostly).
        milestones: epochs after which the learning rate is divided by ten.
        warmup_steps: over which the learning rate grows linearly at the start.
        drop_path: stochastic depth, the rate of the last block.
        seed: of every random choice.
        arguments: keyword arguments for the architecture.
    """

    architecture: str
    epochs: int
    norm: bool = False
    width: int = 256
    rois: int = 512
    shorter: tuple[int, ...] = (480, 512, 544, 576, 608, 640, 672, 704, 736, 768, 800)
    longer: int = 1333
    flip: float = 0.5
    batch_size: int = 16
    together: int = 2
    lr: float = 1e-4
    weight_decay: float = 0.05
    milestones: tuple[int, ...] = ()
    warmup_steps: int = 0
    drop_path: float = 0.0
    seed: Seed = 0
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_range(self, 1.0, inf, "epochs", "width", "rois", "batch_size")
        check_range(self, 0.0, inf, "lr", "weight_decay", "milestones", "warmup_steps")
        check_range(self, 0.0, 1.0, "flip", "drop_path")
        if self.together < 1 or self.batch_size % self.together:
            raise DataError(
                f"`batch_size` {self.batch_size} is no multiple of `together` {self.together}. "
                "Change one, so that a step has parts of one size."
            )
        if not self.shorter or min(*self.shorter, self.longer) < 1:
            raise DataError("`shorter` and `longer` are sides in pixels. Give one or more, above 0.")
        if "drop_path_rate" in self.arguments:
            raise DataError("`drop_path_rate` among the arguments is `drop_path` of the recipe. Set that.")

    def rate(self, epoch: int, update: int) -> float:
        """The learning rate in an epoch, counted from 0, and at a step, counted over all epochs."""
        warm = min(1.0, (update + 1) / (self.warmup_steps + 1))
        return self.lr * warm * 0.1 ** sum(epoch >= milestone for milestone in self.milestones)

    def to_json(self) -> dict[str, Any]:
        """Plain values, for the detector's card."""
        return asdict(self)

    def to_toml(self) -> str:
        """What `read_detection_recipe` reads."""
        return write_record(self.to_json())


def read_detection_recipe(path: Path) -> DetectionRecipe:
    """The recipe in a TOML file.

    Raises:
        DataError: the file is missing, is no TOML, lacks a value or has one of another type.
        UnknownName: it sets something that does not exist.
    """
    return read_record(DetectionRecipe, path)
