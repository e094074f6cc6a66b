"""Metrics over a whole data set: `Score` collects what a metric says of each batch. Needs torchmetrics."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from vitreous.errors import MissingExtra, ShapeError
from vitreous.metrics.metric import Inputs, Metric
from vitreous.settings.typed import check_settings

try:
    import torchmetrics
except ImportError:
    raise MissingExtra("torchmetrics", "metrics") from None

__all__ = ["Score"]


class Score(torchmetrics.Metric):
    """Means over images of what a metric says, summed in double precision, over processes too.

    >>> from vitreous.metrics.localization import EnergyPointing
    >>> score = Score(EnergyPointing())
    >>> score.update(torch.tensor([[[1.0, 0.0]]]), torch.tensor([[[True, False]]]))
    >>> score.compute()
    {'energy': tensor(1., dtype=torch.float64)}
    """

    full_state_update = False
    images: Tensor

    def __init__(self, metric: Metric, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_settings(metric)
        self.metric = metric
        self.set_dtype(torch.float64)
        for name, shape in metric.shapes.items():
            self.add_state(f"sum_{name}", torch.zeros(shape, dtype=torch.float64), "sum")
        self.add_state("images", torch.zeros((), dtype=torch.float64), "sum")

    def update(self, *inputs: Any, **named: Any) -> None:
        """Measure a batch; the inputs are those of the metric, or all that is known of a batch as one `Inputs`."""
        whole = isinstance(inputs[0], Inputs) if inputs else False
        values = self.metric.of(inputs[0]) if whole else self.metric(*inputs, **named)
        counted = values.pop("counted", None)
        for name, value in values.items():
            kept = value if counted is None else value[counted]
            if not kept.isfinite().all():
                metric = type(self.metric).__name__
                raise ShapeError(f"`{metric}` gave a `{name}` of NaN or infinity. Look for such values in the maps.")
            total: Tensor = getattr(self, f"sum_{name}")
            total += kept.to(total).sum(0)
        first = next(iter(values.values()))
        self.images += len(first) if counted is None else counted.sum().to(self.images)

    def compute(self) -> dict[str, Tensor]:
        """What is reported of all images so far.

        Raises:
            ShapeError: no image counted.
        """
        if not self.images:
            name = type(self.metric).__name__
            raise ShapeError(f"`{name}` has counted no image. Give it some that the model classifies as said.")
        means: dict[str, Tensor] = {name: getattr(self, f"sum_{name}") / self.images for name in self.metric.shapes}
        return self.metric.summary(means)
