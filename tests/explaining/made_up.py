"""Methods without a model behind them, and a run over pictures to look at."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from torch import Tensor, nn

from vitreous.errors import DegenerateMap, NoClassToken
from vitreous.explaining.pictures import PictureJob, Result, explain_pictures
from vitreous.methods import METHODS
from vitreous.methods.explanation import Explanation
from vitreous.trace.target import Target

TWO = {name: METHODS[name]() for name in ("ag_cam", "rollout")}


@dataclass(frozen=True)
class Brightness:
    """A method without a model behind it: bright pictures and the last class are beyond it."""

    source: ClassVar[str] = "made up"
    calls: ClassVar[list[int]] = []

    def __call__(self, model: nn.Module, images: Tensor, target: Target = ...) -> Explanation:  # type: ignore[assignment]
        self.calls.append(len(images))
        logits = model(images).detach()
        wanted = target(logits).argmax(1)
        for at, (image, index) in enumerate(zip(images, wanted, strict=True)):
            if image.mean() > 0.9 or index == logits.shape[1] - 1:
                raise DegenerateMap("too bright", at, "Draw the curtains.")
        return Explanation(images.mean(1), logits, wanted, self)


@dataclass(frozen=True)
class Refusal:
    """A method that applies to no model."""

    source: ClassVar[str] = "made up"
    calls: ClassVar[list[int]] = []

    def __call__(self, model: nn.Module, images: Tensor, target: Target = ...) -> Explanation:  # type: ignore[assignment]
        self.calls.append(len(images))
        raise NoClassToken("there is none. Look elsewhere.")


def run(job: PictureJob, files: list[Path]) -> list[Result]:
    return list(explain_pictures(job, files))


def manifest(job: PictureJob) -> dict[str, object]:
    return json.loads((job.output / "manifest.json").read_text())


def names(folder: Path) -> set[str]:
    """Of what a run leaves there, but for the lock that it held."""
    return {path.name for path in folder.iterdir()} - {".lock"}
