"""What a run has left in its folder, read once more for what is made of it: the manifest, and its pictures."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitreous.data.pictures import open_picture
from vitreous.errors import DataError, ExplainWarning
from vitreous.explaining.outputs import JOB
from vitreous.explaining.picture_job import PictureJob, Result, result_from_json
from vitreous.files.manifest import MANIFEST
from vitreous.files.runs import read_runs
from vitreous.settings.layout import Section, as_left

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["open_again", "read_run", "result_again"]


_LAYOUT = {
    **{"versions": Section, "methods": Mapping[str, Section], "preprocess": Section | None, "weights_sha256": str},
    **{"dtype": str, "device": str, "started": str},
}
_REMEDY = "Explain the picture again."


def read_run(job: PictureJob) -> dict[str, Any]:
    """The manifest of the run.

    Raises:
        DataError: there is none, or it was changed.
    """
    return as_left(read_runs(job.output, JOB), _LAYOUT, job.output / MANIFEST)


def result_again(job: PictureJob, told: Mapping[str, Any]) -> Result:
    """What an entry of the manifest says of a picture.

    Raises:
        DataError: it was changed since it was written.
    """
    found = result_from_json(told, Path(told["file"]), job.output)
    if found is None:
        raise DataError(f"what `manifest.json` says of `{told['file']}` is damaged, or was changed. {_REMEDY}")
    return found


def open_again(job: PictureJob, told: Mapping[str, Any]) -> Image:
    """The picture that an entry of the manifest tells of, as the run read it; its warnings were said then.

    Raises:
        DataError: it cannot be read any more.
    """
    with warnings.catch_warnings(action="ignore", category=ExplainWarning):
        return open_picture(job.output / told["file"], job.window)
