"""Metrics over a whole data set: `Score` collects what a judge says of each batch. Needs torchmetrics."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from vitreous.errors import MissingExtra, ShapeError
from vitreous.metrics.judge import Inputs, Judge
from vitreous.settings.typed import check_settings

try:
    from torchmetrics import Metric
except ImportError:
    raise MissingExtra("torchmetrics", "metrics") from None

__all__ = ["Score"]


class Score(Metric):
    """Means over images of what a judge says, summed in double precision, over processes too.

    >>> from vitreous.metrics.localization import EnergyPointing
    >>> score = Score(EnergyPointing())
    >>> score.update(torch.tensor([[[1.0, 0.0]]]), torch.tensor([[[True, False]]]))
    >>> score.compute()
    {'energy': tensor(1., dtype=torch.float64)}
    """

    full_state_update = False
    images: Tensor

    def __init__(self, judge: Judge, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_settings(judge)
        self.judge = judge
        self.set_dtype(torch.float64)
        for name, shape in judge.shapes.items():
            self.add_state(f"sum_{name}", torch.zeros(shape, dtype=torch.float64), "sum")
        self.add_state("images", torch.zeros((), dtype=torch.float64), "sum")

    def update(self, *inputs: Any, **named: Any) -> None:
        """Judge a batch; the inputs are those of the judge, or all that is known of a batch as one `Inputs`."""
        whole = isinstance(inputs[0], Inputs) if inputs else False
        values = self.judge.of(inputs[0]) if whole else self.judge(*inputs, **named)
        counted = values.pop("counted", None)
        for name, value in values.items():
            kept = value if counted is None else value[counted]
            if not kept.isfinite().all():
                judge = type(self.judge).__name__
                raise ShapeError(f"`{judge}` gave a `{name}` of NaN or infinity. Look for such values in the maps.")
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
            name = type(self.judge).__name__
            raise ShapeError(f"`{name}` has counted no image. Give it some that the model classifies as said.")
        means: dict[str, Tensor] = {name: getattr(self, f"sum_{name}") / self.images for name in self.judge.shapes}
        return self.judge.summary(means)
