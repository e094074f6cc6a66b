"""Augmented batches, in an order and with changes that depend on the seed, the epoch and the picture alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Int
from timm.data.mixup import Mixup
from timm.data.transforms_factory import create_transform
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset

from vitreous.data.labelled import LabelledPictures
from vitreous.errors import DataError
from vitreous.models.preprocess import Preprocess
from vitreous.training.randomness import place_seed, seeded
from vitreous.training.recipe import Recipe

__all__ = [
    "TrainingBatch",
    "balanced",
    "calibration_batches",
    "preprocess_of",
    "shuffled",
    "training_batches",
    "validation_batches",
]


@dataclass(frozen=True)
class TrainingBatch:
    """Pictures that go through the model at once: a step's, or a part of them.

    Attributes:
        images: (batch, 3, size, size), augmented and normalised.
        labels: (batch, classes), probabilities: smoothed, perhaps mixed.
        index: (batch,), which pictures they are.
        view: which of the fixed views they are; the epoch where views are not fixed.
        number: which batch of the epoch it is, counted over all processes.
    """

    images: Tensor
    labels: Tensor
    index: Tensor
    view: int
    number: int


def preprocess_of(recipe: Recipe) -> Preprocess:
    """How the trained model's pictures are prepared: the shorter side resized, then the centre."""
    side, resized = recipe.image_size, round(recipe.image_size / recipe.crop_pct)
    return Preprocess((side, side), (resized, resized), mean=recipe.mean, std=recipe.std)


def training_batches(
    recipe: Recipe, pictures: LabelledPictures, epoch: int, *, workers: int, rank: int = 0, count: int = 1
) -> Iterator[TrainingBatch]:
    """One process's share of an epoch, `recipe.accumulate` batches per step.

    Each step's pictures are dealt out in equal batches, to the processes in turn. The last, incomplete step is left
    out unless it is the only one.

    Raises:
        DataError: a step cannot be dealt out equally; or pictures are to be mixed in pairs, and a batch is odd.
    """
    step, parts = min(recipe.batch_size, len(pictures)), recipe.accumulate * count
    if step % parts:
        raise DataError(
            f"{step} pictures per step make no {parts} equal batches (`accumulate` {recipe.accumulate} × processes "
            f"{count}). Set a batch_size that does."
        )
    size = step // parts
    if (recipe.augment.mixup or recipe.augment.cutmix) and size % 2:
        raise DataError(f"mixup and cutmix mix pairs, and a batch has {size} pictures. Set an even batch_size.")
    place = recipe.seed, epoch
    shown = balanced(pictures.labels, recipe.balance, place) if recipe.balance else None
    batches = shuffled(len(pictures), place, step, size, shown)
    view = epoch % recipe.distill.views if recipe.distill and recipe.distill.views else epoch
    augmented = _Prepared(pictures, _augmentation(recipe), (recipe.seed, view))
    mix = _mixing(recipe, len(pictures.class_names))
    numbers = range(rank, len(batches), count)
    loader = DataLoader(augmented, batch_sampler=batches[rank::count], num_workers=workers, generator=torch.Generator())
    for number, (images, labels, index) in zip(numbers, loader, strict=True):
        with seeded(recipe.seed, epoch, number):
            mixed, probabilities = mix(images, labels)
        yield TrainingBatch(mixed, probabilities, index, view, number)


def shuffled(
    pictures: int, place: tuple[int, int], step: int, size: int, shown: Int[Tensor, " pictures"] | None = None
) -> list[list[int]]:
    """Batches of `size` pictures in the order of (seed, epoch): as many as make whole steps of `step` pictures.

    Each picture is there once, or those of `shown` are.
    """
    order = torch.randperm(pictures, generator=torch.Generator().manual_seed(place_seed(*place)))
    if shown is not None:
        order = shown[order]
    return order[: pictures // step * step].view(-1, size).tolist()


def balanced(labels: Sequence[int], balance: float, place: tuple[int, int]) -> Int[Tensor, " pictures"]:
    """As many pictures as there are, each class in proportion to the power 1 - `balance` of its size.

    The count of a class, and those of the pictures in it, are off their share by less than one.
    """
    label = torch.tensor(labels)
    share = label.bincount().double()[label] ** -balance
    generator = torch.Generator().manual_seed(place_seed(*place, 2))
    order = torch.randperm(len(label), generator=generator)
    order = order[label[order].argsort(stable=True)]
    ends = share[order].cumsum(0) * (len(label) / share.sum())
    marks = torch.arange(len(label)) + torch.rand((), generator=generator, dtype=torch.float64)
    return order[torch.searchsorted(ends, marks).clamp_max(len(label) - 1)]


def validation_batches(
    recipe: Recipe, pictures: LabelledPictures, *, workers: int, rank: int = 0, count: int = 1
) -> Iterator[tuple[Tensor, Tensor]]:
    """One process's share of the pictures, each once, as the trained model will see them: (images, labels)."""
    prepared = Subset(_Prepared(pictures, preprocess_of(recipe), None), range(rank, len(pictures), count))
    size = 4 * max(1, recipe.batch_size // recipe.accumulate // count)
    loader = DataLoader(prepared, size, num_workers=workers, generator=torch.Generator())
    for images, labels, _ in loader:
        yield images, labels


def calibration_batches(recipe: Recipe, pictures: LabelledPictures, count: int) -> Iterator[Tensor]:
    """About so many of the pictures, evenly spread over all, as the trained model will see them: images alone."""
    spread = range(0, len(pictures), max(1, len(pictures) // count))
    for images, _, _ in DataLoader(Subset(_Prepared(pictures, preprocess_of(recipe), None), spread), recipe.batch_size):
        yield images


@dataclass(frozen=True)
class _Prepared(Dataset[tuple[Tensor, int, int]]):
    pictures: LabelledPictures
    transform: Callable[[Any], Any]
    place: tuple[int, int] | None

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> tuple[Tensor, int, int]:
        picture, label = self.pictures[index]
        if self.place is None:
            return self.transform(picture), label, index
        with seeded(*self.place, index):
            return self.transform(picture), label, index


def _augmentation(recipe: Recipe) -> Callable[[Any], Any]:
    augment, preprocess = recipe.augment, preprocess_of(recipe)
    try:
        made: Any = create_transform(
            recipe.image_size,
            is_training=True,
            scale=augment.scale,
            hflip=augment.flip,
            color_jitter=augment.color_jitter,
            auto_augment=augment.auto_augment or None,
            re_prob=augment.erasing,
            re_mode="pixel",
            interpolation=preprocess.interpolation,
            mean=preprocess.mean,
            std=preprocess.std,
        )
    except (AssertionError, ValueError) as error:
        raise DataError(
            f'`auto_augment` is "{augment.auto_augment}", and timm cannot read it: {error}. '
            'Write such as "rand-m9-mstd0.5".'
        ) from None
    return made


def _mixing(recipe: Recipe, classes: int) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
    augment = recipe.augment
    if augment.mixup or augment.cutmix:
        return Mixup(augment.mixup, augment.cutmix, label_smoothing=recipe.smoothing, num_classes=classes)

    def smooth(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        rest = recipe.smoothing / classes
        return images, F.one_hot(labels, classes) * (1 - recipe.smoothing) + rest

    return smooth
