"""Pictures with their objects for a detector, in an order and turned as the seed, the epoch and the picture say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from vitreous.data.objects import Objects, Scenes
from vitreous.errors import DataError
from vitreous.models.detection.detect import Picture, as_image
from vitreous.training.batches import shuffled
from vitreous.training.detection.recipe import DetectionRecipe
from vitreous.training.randomness import seeded

__all__ = ["scenes_in_order", "steps_of", "training_batches"]


def steps_of(recipe: DetectionRecipe, pictures: int) -> int:
    """Steps of the optimizer in an epoch: the last, incomplete one is left out unless it is the only one."""
    return max(1, pictures // recipe.batch_size)


def training_batches(
    recipe: DetectionRecipe, scenes: Scenes, epoch: int, *, workers: int, rank: int = 0, count: int = 1
) -> Iterator[tuple[int, list[Picture], list[dict[str, Tensor]]]]:
    """One process's share of an epoch: which batch it is, counted over all processes, its pictures and their objects.

    Raises:
        DataError: a step cannot be dealt out in equal batches to all processes.
    """
    step = min(recipe.batch_size, len(scenes))
    if step % (recipe.together * count):
        raise DataError(
            f"{step} pictures per step cannot be dealt out to {count} processes in batches of {recipe.together} "
            "(`together`). Set a batch_size that can, or have as many pictures."
        )
    batches = shuffled(len(scenes), (recipe.seed, epoch), step, recipe.together)
    augmented = _Augmented(scenes, recipe.flip, (recipe.seed, epoch))
    loader = DataLoader(
        augmented,
        batch_sampler=batches[rank::count],
        num_workers=workers,
        collate_fn=_columns,
        generator=torch.Generator(),
    )
    for number, (images, targets) in zip(range(rank, len(batches), count), loader, strict=True):
        yield number, images, targets


def scenes_in_order(
    scenes: Scenes, *, workers: int, rank: int = 0, count: int = 1
) -> Iterator[tuple[Picture, Objects]]:
    """One process's share of the pictures, each once, as they are."""
    loader = DataLoader(
        _Plain(scenes),
        sampler=range(rank, len(scenes), count),
        batch_size=None,
        num_workers=workers,
        generator=torch.Generator(),
    )
    yield from loader


@dataclass(frozen=True)
class _Plain(Dataset[tuple[Picture, Objects]]):
    scenes: Scenes

    def __getitem__(self, index: int) -> tuple[Picture, Objects]:
        picture, objects = self.scenes[index]
        return as_image(picture), objects


@dataclass(frozen=True)
class _Augmented(Dataset[tuple[Picture, dict[str, Tensor]]]):
    scenes: Scenes
    flip: float
    place: tuple[int, int]

    def __getitem__(self, index: int) -> tuple[Picture, dict[str, Tensor]]:
        picture, objects = self.scenes[index]
        image, boxes, masks = as_image(picture), objects.boxes, objects.masks
        with seeded(*self.place, index):
            turned = torch.rand(()).item() < self.flip
        if turned:
            left, top, right, bottom = boxes.unbind(1)
            boxes = torch.stack([picture.width - right, top, picture.width - left, bottom], 1)
            image, masks = image.flip(-1), masks.flip(-1)
        return image, {"boxes": boxes, "labels": objects.labels, "masks": masks.byte()}


def _columns(rows: list[tuple[Any, Any]]) -> tuple[list[Any], list[Any]]:
    images, targets = zip(*rows, strict=True)
    return list(images), list(targets)
