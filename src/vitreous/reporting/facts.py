"""What a page tells beside the maps: what each class stands for, notes on the decision, what the numbers depend on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vitreous.data.depth import range_told
from vitreous.explaining.picture_job import PictureJob
from vitreous.explaining.targets import as_target
from vitreous.medical.scan import NOT_FOR_DIAGNOSIS
from vitreous.render.case import ToldClass
from vitreous.trace.target import Classes, Predicted, Target

__all__ = ["facts_of", "notes_of", "targets_of"]


def targets_of(job: PictureJob, indices: Sequence[int]) -> list[Target]:
    """What each class of the page stands for."""
    alone = len(indices) == 1 and job.target in ("predicted", "top-1")  # of a binary score, the side that it is on
    named = [Predicted()] if alone else [Classes((index,)) for index in indices]
    return [as_target(each, job.model.class_names, job.against or None) for each in named]


def notes_of(
    job: PictureJob,
    classes: Sequence[ToldClass | None],
    read: Mapping[str | tuple[int, int], Any],
    *,
    warning: str,
    behind: str,
) -> list[str]:
    """Sentences on the decision, and on how the picture was read.

    Args:
        job: that the picture is of.
        classes: that are explained.
        read: what reading it found out, as `open_picture` leaves it in `.info`.
        warning: that it gave; empty for none.
        behind: where the class scores were found, if the model does not return them; else empty.
    """
    notes = [f"Model: {job.model.short_name}", *([NOT_FOR_DIAGNOSIS] if read.get("medical") else [])]
    notes += [f"Of the picture's values, {range_told(read['window'])}."] if read.get("window") else []
    notes += [warning] if warning else []
    if classes[0] is None:
        notes.append("The model has no classifier, so there is no decision.")
    if behind:
        notes.append(f"{behind[0].upper()}{behind[1:]}.")
    return notes


def facts_of(job: PictureJob, manifest: Mapping[str, Any], behind: str) -> dict[str, str]:
    """What the numbers depend on, from what `describe_job` says and when it began; `behind` as in `notes_of`."""
    prepared = (manifest["preprocess"] or {}).items()
    return {
        **({"class scores": behind.removeprefix("its class scores are ")} if behind else {}),
        "model": job.model.short_name,
        "weights, SHA-256": str(manifest["weights_sha256"]),
        "precision, device": f"{manifest['dtype']}, {manifest['device']}",
        "picture to input": ", ".join(f"{name} {value}" for name, value in prepared),
        "versions": ", ".join(f"{name} {version}" for name, version in manifest["versions"].items()),
        "started": str(manifest["started"]),
    }
