"""Distillation: what a student is told by a teacher, beside the labels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vitreous.data.labelled import LabelledPictures
from vitreous.errors import ModelError
from vitreous.training.batches import TrainingBatch, preprocess_of, training_batches
from vitreous.training.hints import Hints, Tokens, between_blocks
from vitreous.training.kept import places
from vitreous.training.recipe import Distill, Recipe
from vitreous.training.teacher import Teacher, TeacherAnswer, class_and_patches, plain_vit

__all__ = ["Lessons"]

Outputs = Callable[[Tensor], tuple[Tokens, Tensor]]

_EXAMPLES = 256
"""Training pictures that the spread of the teacher's channels is measured on."""


class Lessons(nn.Module):
    """A teacher, and the student's maps to its tokens, which are thrown away after the training.

    Args:
        recipe: with a [distill] section.
        distill: that section.
        model: the student.
        weights: the teacher's checkpoint.
        classes: how many the data has.

    Raises:
        ModelError: student or teacher is no plain ViT, or the blocks cannot start on the teacher's tokens.
    """

    def __init__(self, recipe: Recipe, distill: Distill, model: nn.Module, weights: Path, classes: int) -> None:
        super().__init__()
        self.student = [plain_vit(model, "student")]  # in a list, so as to be no part of this module
        self.teacher = Teacher(distill, weights, classes, preprocess_of(recipe), self.student[0])
        self.recipe, self.distill = recipe, distill
        width = self.student[0].num_features
        self.project = nn.Linear(width, self.teacher.width) if distill.tokens else nn.Identity()
        self.hints = Hints(width, self.teacher.width, len(self.student[0].blocks) + 1) if distill.hints else None
        if distill.blockwise and (width, self.student[0].num_prefix_tokens) != (self.teacher.width, 1):
            raise ModelError(
                f"blocks {width} wide with {self.student[0].num_prefix_tokens} prefix tokens cannot start on the "
                f"teacher's tokens, {self.teacher.width} wide with a class token. Build the student alike, or set "
                "`blockwise` to 0."
            )

    def begin(self, pictures: LabelledPictures, workers: int) -> None:
        """Before the first epoch: measure the spread of the teacher's channels and train its probe, on its views.

        No pictures are mixed there: the probe learns from one label each.
        """
        plain = replace(self.recipe, augment=replace(self.recipe.augment, mixup=0.0, cutmix=0.0))

        def batches() -> Iterator[TrainingBatch]:
            return training_batches(plain, pictures, 0, workers=workers)

        if self.hints:
            few = islice(batches(), max(1, _EXAMPLES // self.recipe.batch_size))
            seen = [self.teacher.answer(batch).levels for batch in few]
            self.hints.measure(torch.cat(seen)[:, : len(self.hints.mean)])
        self.teacher.study(batches())
        self.teacher.save()

    def keep(self, folder: Path, pictures: int, fingerprint: str, rank: int) -> None:
        """Remember the teacher's answers about the data's views in a folder, one file per process."""
        recipe = self.recipe
        views = fingerprint, recipe.seed, recipe.image_size, recipe.crop_pct, recipe.augment
        self.teacher.keep(places(folder, rank)[0], pictures, repr(views))

    def loss(self, outputs: Outputs, batch: TrainingBatch, epoch: int) -> Tensor:
        """What labels and teacher say of a batch.

        Args:
            outputs: the student's final tokens and class scores of images.
            batch: where the student is.
            epoch: counted from 0; in the first, blocks may learn one by one.
        """
        answer = self.teacher.answer(batch)
        if self.hints is None:
            features, logits = outputs(batch.images)
            return F.cross_entropy(logits, batch.labels) + self._apart(answer, features, logits)
        start = answer.levels.unbind(1) if epoch < self.distill.blockwise else None
        with between_blocks(self.student[0], start) as between:
            features, logits = outputs(batch.images)
        plain = [class_and_patches(self.student[0], tokens) for tokens in between]
        hinted = self.distill.hints * self.hints(plain, answer.levels[:, : len(plain)])
        return F.cross_entropy(logits, batch.labels) + self._apart(answer, features, logits) + hinted

    def tensors(self) -> dict[str, Any]:
        """What a resumed run needs."""
        return {name: part.state_dict() for name, part in self._parts().items()}

    def load(self, tensors: dict[str, Any]) -> None:
        """Take up what `tensors` gave."""
        for name, part in self._parts().items():
            part.load_state_dict(tensors[name])

    def _parts(self) -> dict[str, nn.Module]:
        found = {"project": self.project, "hints": self.hints, "probe": self.teacher.probe}
        return {name: part for name, part in found.items() if part is not None}

    def _apart(self, answer: TeacherAnswer, features: Tokens, logits: Tensor) -> Tensor:
        """How far the student's class scores and final tokens are from the teacher's."""
        distill, t = self.distill, self.distill.temperature
        soft, wanted = (logits / t).log_softmax(1), (answer.logits / t).log_softmax(1)
        apart = distill.logits * t * t * F.kl_div(soft, wanted, log_target=True, reduction="batchmean")
        if not distill.tokens:
            return apart
        ours = self.project(class_and_patches(self.student[0], features))
        return apart + distill.tokens * (1 - F.cosine_similarity(ours, answer.levels[:, -1], dim=-1).mean())
