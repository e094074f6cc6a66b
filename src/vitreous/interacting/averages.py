"""The interactions of patches, averaged over the pictures of a data set as they are read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from vitreous.data.samples import Entry
from vitreous.errors import DataError
from vitreous.explaining.opening import read_images
from vitreous.interact.indicator import Averages, average
from vitreous.models.loaded import LoadedModel
from vitreous.trace.output import everything
from vitreous.trace.reading import reading

__all__ = ["average_pictures"]


def average_pictures(
    subject: LoadedModel,
    entries: Sequence[Entry],
    batch_size: int,
    unread: dict[str, str],
    tell: Callable[[int, int], object] | None = None,
) -> Averages:
    """Averages over the pictures that can be read; one batch is in memory at a time.

    Args:
        subject: from `vitreous.load`.
        entries: the pictures; labels are not read.
        batch_size: how many run at once.
        unread: receives why a picture could not be read.
        tell: told how many pictures are done, of how many.

    Raises:
        DataError: no picture can be read.
        ModelError, ObservationError: as `read_images` and `average`.
    """

    def batches() -> Iterator[Tensor]:
        for start in range(0, len(entries), batch_size):
            part = entries[start : start + batch_size]
            if images := read_images(subject, part, unread):
                yield torch.stack(list(images.values()))
            if tell:
                tell(start + len(part), len(entries))

    found = batches()
    first = next(found, None)
    if first is None:
        raise DataError(f"none of {len(entries)} pictures can be read: {next(iter(unread.values()), 'there are none')}")
    with reading(replace(subject.reading, output=everything)):  # no class score is read
        return average(subject.model, (batch for part in ([first], found) for batch in part))
