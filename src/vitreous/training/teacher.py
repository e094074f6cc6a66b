"""A trained ViT that a student learns from, asked about each fixed view of a picture once."""

from __future__ import annotations

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
from vitreous.training.batches import Batch
from vitreous.training.recipe import Distill

__all__ = ["Teacher", "Tokens", "class_and_patches", "plain_vit", "prepared_for", "regrid"]

Tokens = Float[Tensor, "batch tokens features"]


class Teacher:
    """The answers of a trained ViT: class scores, and final tokens laid on the student's grid.

    Args:
        distill: the recipe's section.
        weights: a checkpoint of the teacher, safetensors or a `.pth` of tensors alone.
        pictures: how many training pictures there are.
        preprocess: the student's, whose mean and std are exchanged for the teacher's.
        grid: (height, width) of the student's patches.

    Answers are kept in half precision: views × pictures × tokens × width numbers.

    Raises:
        UnknownName: timm has no such teacher.
        ModelError: there is no such checkpoint, it is not one of this teacher, or the teacher is no plain ViT or lacks
            one of the classes.
    """

    def __init__(
        self, distill: Distill, weights: Path, pictures: int, preprocess: Preprocess, grid: tuple[int, int]
    ) -> None:
        self.model = plain_vit(load_timm(distill.teacher, weights).model, "teacher")
        self.model.set_input_size((distill.image_size, distill.image_size))
        self.model.eval().requires_grad_(False)
        if not all(0 <= index < self.model.num_classes for index in distill.classes):
            raise ModelError(
                f"[distill] names class {max(distill.classes, key=abs)}, and `{distill.teacher}` has "
                f"{self.model.num_classes}. Count from 0."
            )
        self.width = self.model.num_features
        side, config = (distill.image_size, distill.image_size), cast(Any, self.model.pretrained_cfg)
        self._taught = Preprocess(side, side, mean=config["mean"], std=config["std"])
        self._distill, self._preprocess, self._grid = distill, preprocess, grid
        tokens = 1 + grid[0] * grid[1]
        self._known = torch.zeros(distill.views, pictures, dtype=torch.bool)
        self._logits = torch.empty(distill.views, pictures, len(distill.classes), dtype=torch.float16)
        self._tokens = torch.empty(distill.views, pictures, tokens, self.width, dtype=torch.float16)

    def answer(self, batch: Batch) -> tuple[Logits, Tokens]:
        """Class scores for the data's classes, and (batch, 1 + patches, width) tokens, the class token first."""
        new = ~self._known[batch.view, batch.index]
        if new.any():
            place = batch.view, batch.index[new]
            logits, tokens = self._ask(batch.images[new.to(batch.images.device)])
            self._logits[place], self._tokens[place] = logits.half().cpu(), tokens.half().cpu()
            self._known[place] = True
        device = batch.images.device
        logits, tokens = self._logits[batch.view, batch.index], self._tokens[batch.view, batch.index]
        return logits.to(device).float(), tokens.to(device).float()

    @torch.no_grad()
    def _ask(self, images: Images) -> tuple[Logits, Tokens]:
        self.model.to(images.device)
        features = self.model.forward_features(prepared_for(images, self._preprocess, self._taught))
        logits = self.model.forward_head(features)[:, list(self._distill.classes)]
        tokens = class_and_patches(self.model, features)
        return logits, torch.cat([tokens[:, :1], regrid(tokens[:, 1:], self._grid)], 1)


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
