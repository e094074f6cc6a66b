"""Fields that guide a window-free transformer, image by image.

The abstract has fields devise one; how is our own.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vitreous.interact.attention_windows import dense_windows, rectangles
from vitreous.interact.indicator import Averages, Indicator, Interactions, interactions
from vitreous.interact.responsive_fields import Fields, Form
from vitreous.models.winft.backbone import WinfT
from vitreous.models.winft.block import top_fields
from vitreous.shapes import Images

__all__ = ["Guided", "guiding_fields", "image_fields"]


def image_fields(
    teacher: nn.Module,
    images: Images,
    density: float = 0.25,
    indicator: Indicator = "strength",
    form: Form = "set",
) -> Fields:
    """Of every image, in every block, the patches that each one takes most from in a teacher's attention.

    Strength foretells what cutting an interaction does; certainty, measured on two models, does not: see the page
    "Patch interactions" of the docs.

    Args:
        teacher: a model with attention between all patches.
        images: normalized for the teacher.
        density: share of the patches in a field; of boxes, on average over a block.
        indicator: what the teacher's patches take from each other.
        form: of a field.

    Returns:
        (batch, blocks, patches, patches), query before key.

    Raises:
        as `interactions`.

    Cost: one forward pass of the teacher; the search for boxes takes longer than that.
    """
    return guiding_fields(interactions(teacher, images), density, indicator, form)


def guiding_fields(
    seen: Interactions | Averages, density: float, indicator: Indicator = "strength", form: Form = "set"
) -> Fields:
    """Each patch itself, and those that it takes most from: together this share of all, rounded (our own).

    Boxes are adaptive windows, of one mass in a block, that come to this share on average.
    """
    taken = getattr(seen, indicator)
    if form == "box":
        return rectangles(dense_windows(taken, seen.tokens, density), seen.tokens)
    return top_fields(taken, torch.eye(taken.shape[-1], dtype=torch.bool, device=taken.device), density)


class Guided(nn.Module):
    """A student in mode "per_image" that takes its fields from a teacher on the same images, in training and after.

    Args:
        student: learns.
        teacher: stays as it is; has the student's grid of patches and as many blocks.
        density: share of the patches in a field; of boxes, on average over a block.
        indicator: what the teacher's patches take from each other.
        form: of a field.
    """

    def __init__(
        self,
        student: WinfT,
        teacher: nn.Module,
        density: float = 0.25,
        indicator: Indicator = "strength",
        form: Form = "set",
    ) -> None:
        super().__init__()
        self.student, self.teacher = student, teacher.requires_grad_(requires_grad=False)
        self.density: float = density
        self.indicator: Indicator = indicator
        self.form: Form = form

    def forward(self, images: Images) -> Tensor:
        """The student's class scores."""
        return self.student(images, image_fields(self.teacher, images, self.density, self.indicator, self.form))
