"""JUDGE: how well heat maps point, and how faithful they are. `METRICS` is the whole list."""

from __future__ import annotations

from typing import Any

from vitreous.metrics.infidelity import Completeness, Infidelity
from vitreous.metrics.localization import BoxOverlap, CorLoc, EnergyPointing, MaskOverlap, MaxBoxAccuracy, Pointing
from vitreous.metrics.metric import Metric
from vitreous.metrics.perturbation import Perturbation
from vitreous.metrics.road import Road
from vitreous.metrics.saco import AverageDrop, SaCo
from vitreous.metrics.segmentation import Segmentation
from vitreous.metrics.stability import ModelRandomization, SensitivityMax
from vitreous.settings.named import find, make

__all__ = ["METRICS", "is_metric", "make_metric"]

METRICS: dict[str, type[Metric]] = {
    "average_drop": AverageDrop,
    "box_overlap": BoxOverlap,
    "completeness": Completeness,
    "cor_loc": CorLoc,
    "energy_pointing": EnergyPointing,
    "infidelity": Infidelity,
    "mask_overlap": MaskOverlap,
    "max_box_accuracy": MaxBoxAccuracy,
    "model_randomization": ModelRandomization,
    "perturbation": Perturbation,
    "pointing": Pointing,
    "road": Road,
    "saco": SaCo,
    "segmentation": Segmentation,
    "sensitivity_max": SensitivityMax,
}


def make_metric(name: str, /, **settings: Any) -> Metric:
    """A metric by name, with its settings.

    Args:
        name: one of `METRICS`, or "package.module:Name" for a metric of your own.
        settings: the fields of its dataclass.

    Raises:
        UnknownName: there is no such metric, setting or choice.
        ShapeError: a setting is of another type than its annotation says.

    >>> make_metric("pointing", tolerance=7)
    Pointing(tolerance=7.0)
    """
    return make(find("metric", name, METRICS, is_metric), name, settings)


def is_metric(made: Any) -> bool:
    """Whether a class is one of metrics."""
    return isinstance(made, type) and issubclass(made, Metric)
