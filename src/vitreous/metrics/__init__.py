"""JUDGE: how well heat maps point, and how faithful they are. `METRICS` is the whole list."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vitreous.settings.named import Listed, find, make

if TYPE_CHECKING:
    from vitreous.metrics.metric import Metric

__all__ = ["METRICS", "is_metric", "make_metric"]

METRICS: Listed[type[Metric]] = Listed(
    __name__,
    {
        "average_drop": "saco:AverageDrop",
        "box_overlap": "localization:BoxOverlap",
        "completeness": "infidelity:Completeness",
        "cor_loc": "localization:CorLoc",
        "energy_pointing": "localization:EnergyPointing",
        "infidelity": "infidelity:Infidelity",
        "mask_overlap": "localization:MaskOverlap",
        "max_box_accuracy": "localization:MaxBoxAccuracy",
        "model_randomization": "stability:ModelRandomization",
        "perturbation": "perturbation:Perturbation",
        "pointing": "localization:Pointing",
        "road": "road:Road",
        "saco": "saco:SaCo",
        "segmentation": "segmentation:Segmentation",
        "sensitivity_max": "stability:SensitivityMax",
    },
)


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
    from vitreous.metrics.metric import Metric

    return isinstance(made, type) and issubclass(made, Metric)
