"""What metrics say of the maps of a batch, beside the maps themselves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import nn

from vitreous.benchmarking.loop import complete_metric
from vitreous.benchmarking.measuring import Failure, judge
from vitreous.errors import ModelError, ShapeError
from vitreous.explaining.found import Found, MethodResult
from vitreous.explaining.picture_job import PictureJob
from vitreous.methods.shared import NO_MEMORY
from vitreous.metrics.metric import Inputs, Metric
from vitreous.models.loaded import LoadedModel
from vitreous.shapes import Images
from vitreous.trace.settled import evaluating
from vitreous.trace.target import Classes

__all__ = ["Measured", "check_metrics", "complete_metrics", "measure_found"]

_NO_CLASS = "there is no class whose score could be followed. Load the model with its classifier."
_OTHER_SIDE = (
    "the map explains that it is not the class, and metrics follow the score of the class. Name another target."
)
_NO_TRUTH = "Leave it out, or measure it with `vitreous benchmark` on a labelled data set."


@dataclass(frozen=True)
class Measured:
    """Of one picture.

    Attributes:
        numbers: by "method.metric.number", the values of each target; NaN where there are none.
        unmeasured: by "method.metric", why a target has none.
    """

    numbers: dict[str, list[float]] = field(default_factory=dict[str, list[float]])
    unmeasured: dict[str, str] = field(default_factory=dict[str, str])


def complete_metrics(metrics: Mapping[str, Metric], subject: LoadedModel) -> dict[str, Metric]:
    """The metrics, with how the model normalizes pixels where that was left empty."""
    return {name: complete_metric(each, subject) for name, each in metrics.items()}


def check_metrics(metrics: Mapping[str, Metric], job: PictureJob) -> None:
    """Refuse metrics that no picture of a batch has all for.

    Raises:
        ShapeError: there are some.
    """
    if metrics and job.against:
        raise ShapeError(
            f"`against` is {job.against!r}, and metrics follow the score of one class. Leave out one of both."
        )
    nothing = torch.zeros(1, 1, 1)
    known = Inputs(
        nothing, nothing[None], nn.Identity(), _none, torch.zeros(1, dtype=torch.long), [None], [None], [None]
    )
    for name, each in metrics.items():
        if lack := each.lack(known, 0):
            raise ShapeError(f"`{name}` cannot be measured on pictures alone: {lack}. {_NO_TRUTH}")


def _none(_: nn.Module, images: Images) -> torch.Tensor:
    return images[:, 0]


def measure_found(
    metrics: Mapping[str, Metric], job: PictureJob, images: Images, found: Sequence[Found]
) -> list[Measured]:
    """What each metric says of each map of pictures that ran together.

    Args:
        metrics: by name.
        job: what was done.
        images: as the model took them.
        found: of each.

    Raises:
        ModelError: memory is short.
        ObservationError, RuleError, UnknownName: a metric does not apply to the model.
    """
    if not metrics or not found:
        return [Measured() for _ in found]
    images = images.to(next(job.model.model.parameters()))
    with evaluating(job.model.model):
        said = {
            f"{method}.{name}": [
                _said(metric, name, _Maps(job, method, target, images, found))
                for target in range(len(found[0].attempts[method]))
            ]
            for method in job.methods
            for name, metric in metrics.items()
        }
    return [_row({key: [target[at] for target in each] for key, each in said.items()}) for at in range(len(found))]


@dataclass(frozen=True)
class _Maps:
    """The maps of one method for one target of each picture."""

    job: PictureJob
    method: str
    target: int
    images: Images
    found: Sequence[Found]

    def map_of(self, at: int) -> MethodResult | str:
        return self.found[at].attempts[self.method][self.target]

    def lack(self, at: int) -> str:
        """Why there is nothing to measure; empty where there is."""
        found, result = self.found[at], self.map_of(at)
        if isinstance(result, str):
            return result
        if found.logits is None or not found.targets:
            return _NO_CLASS
        answer = found.targets[self.target]
        opposed = len(found.logits) == 1 and found.logits[0] < 0 and answer.probability is not None
        return _OTHER_SIDE if opposed else ""

    def inputs(self, some: Sequence[int]) -> Inputs:
        """Of some of the pictures, which lack nothing."""
        maps = [each for at in some if isinstance(each := self.map_of(at), MethodResult)]
        index = [self.found[at].targets[self.target].index for at in some]
        method, classes = self.job.methods[self.method], Classes(tuple(index))
        unknown = [None] * len(index)
        return Inputs(
            torch.stack([each.heatmap for each in maps]),
            self.images[[*some]],
            self.job.model.model,
            lambda model, images: method(model, images, classes).heatmap,
            torch.tensor(index, device=self.images.device),
            unknown,
            unknown,
            unknown,
            maps[0].blocks,
        )


def _said(metric: Metric, name: str, maps: _Maps) -> list[Mapping[str, list[float]] | str]:
    """The numbers of each picture, or why there are none."""
    said: list[Mapping[str, list[float]] | str] = [maps.lack(at) for at in range(len(maps.found))]
    good = [at for at, reason in enumerate(said) if not reason]
    how = maps.job.model.reading
    found = judge(metric, name, how, lambda some: maps.inputs([good[at] for at in some]), len(good)) if good else []
    for at, each in zip(good, found, strict=True):
        if isinstance(each, Failure) and each.passing:
            raise ModelError(NO_MEMORY)
        said[at] = each.reason if isinstance(each, Failure) else each[0]
    return said


def _row(said: Mapping[str, Sequence[Mapping[str, list[float]] | str]]) -> Measured:
    """Of one picture, by "method.metric" what is said for each target."""
    row = Measured()
    for key, each in said.items():
        whole = [numbers for numbers in each if not isinstance(numbers, str)]
        for name, values in (whole[0] if whole else {}).items():
            blank = [math.nan] * len(values)
            row.numbers[f"{key}.{name}"] = [
                value for numbers in each for value in (blank if isinstance(numbers, str) else numbers[name])
            ]
        if reasons := [reason for reason in each if isinstance(reason, str)]:
            row.unmeasured[key] = reasons[0]
    return row
