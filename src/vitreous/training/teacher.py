"""A trained ViT that a student learns from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from vitreous.errors import ModelError
from vitreous.models.preprocess import Preprocess
from vitreous.models.timm_source import load_timm
from vitreous.shapes import Images, Logits
from vitreous.training.batches import TrainingBatch
from vitreous.training.hints import Levels, Tokens, between_blocks, depths
from vitreous.training.kept import KeptAnswers
from vitreous.training.probe import fit_probe
from vitreous.training.recipe import Distill

__all__ = ["Teacher", "TeacherAnswer", "class_and_patches", "plain_vit", "prepared_for", "regrid"]


@dataclass(frozen=True)
class TeacherAnswer:
    """What a teacher says of a batch; tokens lie on the student's grid, the class token first.

    Attributes:
        logits: for the data's classes.
        levels: tokens before the first block, after each and, where final tokens are matched, after the norm that
            follows the last; at the depths that correspond to the student's. Those that the recipe asks for.
    """

    logits: Logits
    levels: Levels


class Teacher:
    """The answers of a trained ViT: class scores, and tokens laid on the student's grid.

    Args:
        distill: the recipe's section.
        weights: a checkpoint of the teacher, safetensors or a `.pth` of tensors alone.
        classes: how many the data has.
        preprocess: the student's, whose mean and std are exchanged for the teacher's.
        student: whose grid and depth the answers are laid on.

    Raises:
        UnknownName: timm has no such teacher.
        ModelError: there is no such checkpoint, it is not one of this teacher, or the teacher is no plain ViT or lacks
            one of the classes.
    """

    def __init__(
        self, distill: Distill, weights: Path, classes: int, preprocess: Preprocess, student: VisionTransformer
    ) -> None:
        loaded = load_timm(distill.teacher, weights)
        self.weights_sha256 = loaded.weights_sha256
        self.model = plain_vit(loaded.model, "teacher")
        self.model.set_input_size((distill.image_size, distill.image_size))
        self.model.eval().requires_grad_(False)
        if not all(0 <= index < self.model.num_classes for index in distill.classes):
            raise ModelError(
                f"[distill] names class {max(distill.classes, key=abs)}, and `{distill.teacher}` has "
                f"{self.model.num_classes}. Count from 0."
            )
        self.width = self.model.num_features
        self.probe = nn.Linear(self.width, classes).requires_grad_(False) if distill.probe else None
        side, config = (distill.image_size, distill.image_size), cast(Any, self.model.pretrained_cfg)
        self._taught = Preprocess(side, side, mean=config["mean"], std=config["std"])
        self._distill, self._preprocess, self._grid = distill, preprocess, student.patch_embed.grid_size
        self._depths = depths(len(student.blocks), len(self.model.blocks)) if distill.hints else []
        self._numbers = self.width if distill.probe else len(distill.classes)
        self._tokens = 1 + self._grid[0] * self._grid[1]
        self._kept: KeptAnswers | None = None

    @property
    def levels(self) -> int:
        """How many of an answer's levels there are."""
        return len(self._depths) + bool(self._distill.tokens)

    def keep(self, path: Path, pictures: int, about: str) -> None:
        """Remember answers about so many pictures in a file, where the recipe's views are fixed.

        Half precision: views × pictures × (levels × tokens × width + classes, or width for a probe) numbers.

        Args:
            path: the file.
            pictures: how many there are.
            about: what the views depend on.

        Raises:
            DataError: the file cannot be written, or is too large for the disk.
        """
        if self._distill.views:
            numbers = self._numbers + self.levels * self._tokens * self.width
            asked = self.weights_sha256, self._distill.image_size, self._distill.classes, self._depths, self._grid
            self._kept = KeptAnswers(path, (self._distill.views, pictures, numbers), f"{asked} {about}")

    def save(self) -> None:
        """Make sure that a resumed run finds what is remembered."""
        if self._kept:
            self._kept.save()

    def forget(self) -> None:
        """Remove what is remembered."""
        if self._kept:
            self._kept.remove()

    def study(self, batches: Iterable[TrainingBatch]) -> None:
        """Train the probe, where there is one, on the class tokens of these batches and their labels."""
        if self.probe is None:
            return
        seen = [(self._answer(batch)[0].cpu(), batch.labels.argmax(1)) for batch in batches]
        fit_probe(self.probe, *(torch.cat(part) for part in zip(*seen, strict=True)))

    @torch.no_grad()
    def answer(self, batch: TrainingBatch) -> TeacherAnswer:
        """What it says of a batch."""
        seen, levels = self._answer(batch)
        return TeacherAnswer(seen if self.probe is None else self.probe.to(seen.device)(seen), levels)

    def _answer(self, batch: TrainingBatch) -> tuple[Tensor, Levels]:
        """What class scores are read from, and the levels: remembered, or asked for and remembered."""
        if self._kept is None:
            return self._ask(batch.images)
        new = ~self._kept.known(batch.view, batch.index)
        if new.any():
            seen, levels = self._ask(batch.images[new.to(batch.images.device)])
            self._kept.put(batch.view, batch.index[new], torch.cat([seen, levels.flatten(1)], 1))
        row = self._kept.get(batch.view, batch.index).to(batch.images.device)
        seen, tokens = row.tensor_split([self._numbers], 1)
        return seen, tokens.unflatten(1, (self.levels, self._tokens, self.width))

    @torch.no_grad()
    def _ask(self, images: Images) -> tuple[Tensor, Levels]:
        self.model.to(images.device)
        with between_blocks(self.model) as between:
            final = self.model.forward_features(prepared_for(images, self._preprocess, self._taught))
        seen = final[:, 0] if self.probe else self.model.forward_head(final)[:, list(self._distill.classes)]
        tokens = [between[depth] for depth in self._depths] + [final] * bool(self._distill.tokens)
        laid = [self._laid(each).flatten(1) for each in tokens]
        flat = torch.cat(laid, 1) if laid else seen.new_empty(len(seen), 0)
        return seen, flat.unflatten(1, (self.levels, self._tokens, self.width))

    def _laid(self, tokens: Tokens) -> Tokens:
        plain = class_and_patches(self.model, tokens)
        return torch.cat([plain[:, :1], regrid(plain[:, 1:], self._grid)], 1)


def plain_vit(model: nn.Module, role: str) -> VisionTransformer:
    """The model, if its tokens are a class token and one per patch.

    Raises:
        ModelError: they are not.
    """
    if isinstance(model, VisionTransformer) and model.has_class_token:
        return model
    raise ModelError(
        f"the {role} is a `{type(model).__name__}`, and tokens can be matched between timm's VisionTransformers with a "
        "class token only. Choose one, or drop [distill]."
    )


def class_and_patches(model: VisionTransformer, features: Tokens) -> Tokens:
    """The class token and the patches' tokens, without registers."""
    return torch.cat([features[:, :1], features[:, model.num_prefix_tokens :]], 1)


def regrid(tokens: Tokens, grid: tuple[int, int]) -> Float[Tensor, "batch cells features"]:
    """Tokens of a square grid, resampled to another grid."""
    side = round(tokens.shape[1] ** 0.5)
    laid = tokens.mT.unflatten(2, (side, side))
    return F.interpolate(laid, size=grid, mode="bilinear", antialias=True).flatten(2).mT


def prepared_for(images: Images, done: Preprocess, wanted: Preprocess) -> Float[Tensor, "batch 3 new_height new_width"]:
    """Prepared images with the mean, std and size that another model expects."""
    if (done.mean, done.std) != (wanted.mean, wanted.std):
        mean, std, other_mean, other_std = (
            torch.tensor(values, dtype=images.dtype, device=images.device)[:, None, None]
            for values in (done.mean, done.std, wanted.mean, wanted.std)
        )
        images = (images * std + mean - other_mean) / other_std
    if images.shape[-2:] == wanted.size:
        return images
    return F.interpolate(images, size=wanted.size, mode="bicubic", antialias=True)
