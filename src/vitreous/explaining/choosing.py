"""The method with the best ABPC on some pictures: measured, not guessed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from vitreous.data.depth import Window
from vitreous.errors import DataError, ObservationError
from vitreous.explaining.method_settings import complete_method
from vitreous.explaining.opening import Opened, open_for
from vitreous.explaining.targets import UserTarget, as_target, is_top
from vitreous.explaining.together import explain_by_all
from vitreous.explaining.trust.measure import TrustSettings, measure_trust
from vitreous.masking.forward import Progress
from vitreous.methods import title_of
from vitreous.methods.baseline import Baseline
from vitreous.methods.explanation import Explanation
from vitreous.methods.method import Method, SlowMethod
from vitreous.methods.shared import reason
from vitreous.models.loaded import LoadedModel
from vitreous.shapes import Images
from vitreous.statistics.summary import Values, holm, summarize
from vitreous.trace.classifier import check_classifier
from vitreous.trace.once import Measured, measuring_once
from vitreous.trace.reading import reading

__all__ = ["Choice", "best_of", "choose_method"]

_SETTINGS = TrustSettings(orders=0, classes=False)
_RESAMPLES, _NOISE = 2000, 0.05
_ABPC = "abpc"


@dataclass(frozen=True)
class Choice:
    """The method with the best mean ABPC, and how sure that is.

    Attributes:
        method: its name.
        abpc: mean over the pictures by method, best first, of all that gave a map of every picture.
        pictures: how many were measured.
        ahead: how far its mean is above the next one's; 0 where there is no next one.
        p: that the pictures do not agree on the sign of this difference, corrected for the number of methods (Holm);
            it is at least 2^(1 − pictures).
        refused: by method that gave no map of some picture, why.
        unread: by picture that could not be read, why.
    """

    method: str
    abpc: Mapping[str, float]
    pictures: int
    ahead: float
    p: float
    refused: Mapping[str, str]
    unread: Mapping[str, str]

    @property
    def is_more_than_noise(self) -> bool:
        """Whether p is below 0.05."""
        return self.p < _NOISE

    @property
    def short(self) -> str:
        """For a sheet: of how many methods it is the best, by what, and on how much.

        >>> Choice("ag_cam", {"ag_cam": 0.2, "lrp": 0.1}, 1, 0.1, 1.0, {}, {}).short
        'best ABPC of 2 methods on 1 picture'
        """
        return f"best ABPC of {len(self.abpc)} methods on {self.pictures} picture{'s' if self.pictures > 1 else ''}"

    def __str__(self) -> str:
        best = f"{title_of(self.method)} has the {self.short}: {self.abpc[self.method]:.3f} on average"
        if len(self.abpc) > 1:
            noise = "more than noise" if self.is_more_than_noise else "no more than noise may be"
            best += f", {self.ahead:.3f} above {title_of(list(self.abpc)[1])} (p = {self.p:.2g}: {noise})"
        return f"{best}. It was chosen for this measure, which therefore flatters it; other measures may not."

    def to_json(self) -> dict[str, Any]:
        """All of it in plain values."""
        return asdict(self)


def choose_method(
    model: LoadedModel,
    methods: Mapping[str, Method],
    files: Sequence[Path],
    target: UserTarget = None,
    *,
    against: UserTarget = None,
    window: Window = None,
    progress: Progress | None = None,
) -> Choice:
    """Measure the ABPC of methods on pictures, as `vitreous.trust` does, and take the one with the best mean.

    Args:
        model: from `vitreous.load`.
        methods: by name; slow ones, and baselines that know nothing of the model, are left out.
        files: pictures.
        target: the class to explain, as for `explain`; for "top-K", the most probable.
        against: likewise.
        window: of gray pictures of more than 8 bits, as in `open_picture`.
        progress: told how many pictures are measured.

    Raises:
        DataError: no picture can be read.
        ObservationError: no method gives a map of every picture.
        NoClassScores: the model has no classifier.

    Cost: per picture, every method once, and 10 forward passes for each map.
    """
    left = {
        name: complete_method(method, model)
        for name, method in methods.items()
        if not isinstance(method, SlowMethod | Baseline)
    }
    refused: dict[str, str] = {}
    unread: dict[str, str] = {}
    rows: list[Mapping[str, float]] = []
    asked, measured = None if isinstance(target, str) and is_top(target) else target, Measured()
    for done, file in enumerate(files, 1):
        opened = open_for(model, file, window)
        if isinstance(opened, Opened):
            image = opened.image[None].to(next(model.model.parameters()))
            with measuring_once(measured):
                found = _measured(model, left, image, asked, against)
            refused |= {name: each for name, each in found.items() if isinstance(each, str)}
            left = {name: method for name, method in left.items() if name not in refused}
            rows.append({name: each for name, each in found.items() if not isinstance(each, str)})
        else:
            unread[str(file)] = str(opened)
        if progress:
            progress(done, len(files))
    if not rows:
        raise DataError(f"none of {len(files)} pictures can be read: {next(iter(unread.values()), 'there are none.')}")
    if not left:
        told = [f"{name}: {reason}" for name, reason in refused.items()]
        raise ObservationError(" ".join(["no method gives a map of every picture. Name one: --method NAME.", *told]))
    return best_of({name: [row[name] for row in rows] for name in left}, refused, unread)


def _measured(
    model: LoadedModel, methods: Mapping[str, Method], image: Images, target: UserTarget, against: UserTarget
) -> dict[str, float | str]:
    """By method, the ABPC of its map of one picture, or why there is none."""
    wanted = as_target(target, model.class_names, against)
    with reading(model.reading):
        check_classifier(model.model, image)
    made = explain_by_all(methods, model, image, wanted, batch_size=1)
    maps: dict[str, Tensor] = {name: each.heatmap[0] for name, each in made.items() if isinstance(each, Explanation)}
    why = {name: reason(each) for name, each in made.items() if not isinstance(each, Explanation)}
    if not maps:
        return dict(why)
    trust = measure_trust(model, image, maps, methods, wanted, settings=_SETTINGS)
    return {name: each.abpc for name, each in trust.maps.items()} | why


def best_of(
    abpc: Mapping[str, Sequence[float]],
    refused: Mapping[str, str] | None = None,
    unread: Mapping[str, str] | None = None,
) -> Choice:
    """The choice that follows from each method's ABPC on the same pictures.

    >>> best_of({"lrp": [0.1] * 8, "ag_cam": [0.3] * 8}).p
    0.0078125
    """
    means = {name: float(np.mean(values)) for name, values in abpc.items()}
    ranked = dict(sorted(means.items(), key=lambda pair: -pair[1]))
    best, *others = ranked
    pictures = len(abpc[best])
    values = {name: Values({_ABPC: np.array(each)[:, None]}, np.ones(pictures)) for name, each in abpc.items()}
    cells = summarize("", _ABPC, _Mean(), values, reference=best, resamples=_RESAMPLES, seed=0)
    chances = {cell.method: cell.p for cell in cells if cell.method != best}
    corrected = dict(zip(chances, holm(list(chances.values())), strict=True))
    ahead, p = (ranked[best] - ranked[others[0]], corrected[others[0]]) if others else (0.0, 1.0)
    return Choice(best, ranked, pictures, ahead, p, refused or {}, unread or {})


@dataclass(frozen=True)
class _Mean:
    """Of one number per picture, the mean is reported."""

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        return {_ABPC: ()}

    def summary(self, means: dict[str, Tensor]) -> dict[str, Tensor]:
        return means
