"""The pictures of a run, read once more for what is made of its folder."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from vitreous.data.pictures import open_picture
from vitreous.errors import ExplainWarning
from vitreous.explaining.picture_job import PictureJob

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["open_again"]


def open_again(job: PictureJob, told: Mapping[str, Any]) -> Image:
    """The picture that an entry of the manifest tells of, as the run read it; its warnings were said then.

    Raises:
        DataError: it cannot be read any more.
    """
    with warnings.catch_warnings(action="ignore", category=ExplainWarning):
        return open_picture(job.output / told["file"], job.window)
