"""The fields of a WinfT while it is trained: its own from the start, or a teacher's with every batch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vitreous.data.labelled import LabelledPictures
from vitreous.errors import DataError, ModelError
from vitreous.interact.attention_windows import fixed_windows, random_windows
from vitreous.interact.field_guide import guiding_fields
from vitreous.interact.indicator import Averages, Interactions, average, interactions
from vitreous.interact.responsive_fields import Fields
from vitreous.models.preprocess import Preprocess
from vitreous.models.winft.backbone import WinfT
from vitreous.models.zoo import load
from vitreous.shapes import Images
from vitreous.trace.observed import TokenGrid
from vitreous.training.batches import calibration_batches, preprocess_of
from vitreous.training.field_source import FieldSource
from vitreous.training.recipe import Recipe
from vitreous.training.teacher import prepared_for

__all__ = ["Guide"]


class Guide:
    """What a recipe's [fields] do to a model: a reconstruction after the abstract of arXiv 2203.05922.

    Args:
        source: the recipe's section.
        recipe: all of it.
        model: to be trained.
        teacher: where a teacher is needed, a model as `vitreous.load` takes it.
        pictures: to train with; static fields are averaged over some.

    Raises:
        DataError: a teacher is needed, and none is given.
        ModelError: the model is no WinfT; or the teacher cannot be loaded, or has other patches or blocks.
        NothingObserved, NoTokenGrid, NoGlobalAttention: the teacher has no attention between all patches.
    """

    _taught: _Taught
    """Where the source needs a teacher."""

    def __init__(
        self, source: FieldSource, recipe: Recipe, model: nn.Module, teacher: Path | None, pictures: LabelledPictures
    ) -> None:
        if not isinstance(model, WinfT):
            raise ModelError(f"`{recipe.architecture}` takes no [fields]. Choose winft_tiny, _small or _base.")
        tokens = TokenGrid(model.num_prefix_tokens, *model.patch_embed.grid_size)
        self._source = source
        self._all = torch.ones(len(model.blocks), *model.blocks[0].field.shape, dtype=torch.bool)
        self._own: Fields | None = None
        if source.needs_teacher:
            self._taught = _taught(source, teacher, preprocess_of(recipe), model.field_grid.device)
            self._taught.check(tokens, len(model.blocks))
        match source.kind:
            case "fixed":
                self._own = fixed_windows(tokens, source.radius).expand_as(self._all)
            case "random":
                self._own = random_windows(torch.full(self._all.shape[:2], source.density), tokens, recipe.seed)
            case "static":
                self._own = self._taught.averaged(calibration_batches(recipe, pictures, source.calibration))
            case "per_image" | "predicted":
                pass

    @property
    def foretold(self) -> bool:
        """Whether the model learns to foretell fields: it is to give its gates, and `told` is their loss."""
        return self._source.kind == "predicted"

    def begin(self, model: WinfT, epoch: int) -> None:
        """Give the model the fields of its own that it has in this epoch, counted from 0."""
        if self._own is not None:
            model.set_fields(self._all if epoch < self._source.warm_epochs else self._own)

    def given(self, images: Images, epoch: int) -> tuple[Tensor, ...]:
        """What the model takes besides images: their fields, or nothing."""
        if self._source.kind != "per_image":
            return ()
        if epoch < self._source.warm_epochs:
            return (self._all.to(images.device).expand(len(images), *self._all.shape),)
        return (self._taught.fields(images),)

    def told(self, gates: Tensor, images: Images) -> Tensor:
        """The weighted loss of gates, before the sigmoid, against the teacher's fields."""
        fields = self._taught.fields(images).to(gates)
        return self._source.gates * F.binary_cross_entropy_with_logits(gates, fields)


@dataclass(frozen=True)
class _Taught:
    """A teacher's fields on the student's images."""

    source: FieldSource
    model: nn.Module
    student: Preprocess
    teacher: Preprocess
    device: torch.device

    def fields(self, images: Images) -> Fields:
        return self._made(interactions(self.model, self._seen(images)))

    def averaged(self, batches: Iterable[Tensor]) -> Fields:
        return self._made(average(self.model, map(self._seen, batches)))

    def check(self, tokens: TokenGrid, blocks: int) -> None:
        found = interactions(self.model, self._seen(torch.zeros(1, 3, *self.student.size)))
        theirs = found.tokens.height, found.tokens.width, found.strength.shape[1]
        if (own := (tokens.height, tokens.width, blocks)) != theirs:
            raise ModelError(
                "the student has {}×{} patches and {} blocks, the teacher {}×{} and {}. ".format(*own, *theirs)
                + "Choose a teacher with the same."
            )

    def _made(self, seen: Interactions | Averages) -> Fields:
        return guiding_fields(seen, self.source.density, self.source.indicator, self.source.form)

    def _seen(self, images: Images) -> Tensor:
        return prepared_for(images.to(self.device), self.student, self.teacher)


def _taught(source: FieldSource, teacher: Path | None, student: Preprocess, device: torch.device) -> _Taught:
    if teacher is None:
        raise DataError(f'fields of kind "{source.kind}" come from a teacher. Give a model with --teacher.')
    loaded = load(str(teacher), device=device)
    if loaded.preprocess is None:
        raise ModelError(f"`{teacher}` does not say how its pictures are prepared. Choose another teacher.")
    return _Taught(source, loaded.model, student, loaded.preprocess, device)
