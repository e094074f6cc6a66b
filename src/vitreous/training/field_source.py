"""The section of a recipe that says where a WinfT's fields come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from vitreous.errors import DataError
from vitreous.interact.indicator import Indicator
from vitreous.interact.responsive_fields import Form

__all__ = ["FieldKind", "FieldSource"]

FieldKind = Literal["fixed", "random", "static", "per_image", "predicted"]


@dataclass(frozen=True)
class FieldSource:
    """Where the fields of a WinfT come from: a reconstruction after the abstract of arXiv 2203.05922.

    The last three kinds need a teacher with as many blocks and the same grid of patches. Their fields are the patches
    that the teacher's patches take most from.

    Attributes:
        kind: "fixed" for square windows; "random" for patches drawn once; "static" for the teacher's fields, averaged
            over pictures; "per_image" for those on each image, when the trained model is used as well; "predicted" for
            a head that learns to foretell those, so that the trained model needs no teacher.
        radius: of fixed windows, in patches.
        density: share of the patches in a field of any other kind; of boxes, on average over a block.
        indicator: what the teacher's patches take: "strength" or "certainty" of `vitreous.interactions`.
        form: of a teacher's fields: "set" for the patches that are taken most from, "box" for adaptive windows.
        calibration: about how many training pictures static fields are averaged over.
        gates: weight of the loss by which predicted fields are learned.
        warm_epochs: in these, first, all patches see all; 0 for predicted fields, which start soft.
    """

    kind: FieldKind
    radius: int = 2
    density: float = 0.25
    indicator: Indicator = "strength"
    form: Form = "set"
    calibration: int = 1000
    gates: float = 0.1
    warm_epochs: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.density <= 1:
            raise DataError(f"`density` of [fields] is {self.density:g}. Give a share, above 0 and up to 1.")
        if self.calibration < 1 or self.radius < 0:
            raise DataError(
                f"[fields] has radius {self.radius} and {self.calibration} calibration pictures. "
                "Give at least 0 and at least 1."
            )
        if self.kind == "predicted" and self.warm_epochs:
            raise DataError("predicted fields start soft, without `warm_epochs`. Leave them out.")

    @property
    def needs_teacher(self) -> bool:
        """Whether a teacher must be given."""
        return self.kind in ("static", "per_image", "predicted")

    @property
    def arguments(self) -> dict[str, Any]:
        """Keyword arguments with which a WinfT has such fields."""
        match self.kind:
            case "per_image":
                return {"rf_mode": "per_image"}
            case "predicted":
                return {"rf_mode": "predicted", "density": self.density}
            case _:
                return {}
