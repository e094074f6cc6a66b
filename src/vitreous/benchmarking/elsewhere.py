"""Parts of a benchmark in other processes: what they measure comes back, and this one alone writes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch

from vitreous.benchmarking.loop import ModelRun, Part, measure_part
from vitreous.benchmarking.plan import Plan
from vitreous.errors import ModelError
from vitreous.statistics.store import Record

__all__ = ["Measuring"]

_Measured = tuple[Part, Sequence[Record], Mapping[str, str], Mapping[str, str]]


@dataclass(frozen=True)
class Measuring:
    """Makes, in a worker of an engine, the function from a part to what is measured of it.

    Attributes:
        plan: what to measure.
        spec: the model.
        device: where a worker computes.
        dtype: of the weights.
        weights_sha256: of the process that writes.
    """

    plan: Plan
    spec: str
    device: str
    dtype: torch.dtype
    weights_sha256: str

    def __call__(self) -> Callable[[Part], _Measured]:
        """Open data set and model, as the process that writes did.

        Raises:
            ModelError: the model has other weights here.
            ExplainError: as `ModelRun.start`.
        """
        torch.set_num_threads(1)
        run = ModelRun.start(self.plan, self.spec, torch.device(self.device), self.dtype)
        if run.subject.weights_sha256 != self.weights_sha256:
            raise ModelError(
                f"`{self.spec}` has other weights on a worker than where the benchmark was started. Give the path of a "
                "file or folder that all machines see."
            )
        return _Worker(self.plan, self.spec, run).measure


class _Worker:
    """A model's run, which keeps what does not apply."""

    def __init__(self, plan: Plan, spec: str, run: ModelRun) -> None:
        self._plan, self._spec, self._run = plan, spec, run

    def measure(self, part: Part) -> _Measured:
        return part, list(self._records(part)), self._run.refused, self._run.unread

    def _records(self, part: Part) -> Iterator[Record]:
        for _, run, records in measure_part(self._plan, self._spec, self._run, part):
            self._run = run
            yield from records
