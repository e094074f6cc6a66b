"""Fields that guide a window-free transformer, image by image ([A] that fields devise one, [O] how)."""

from __future__ import annotations

from torch import Tensor, nn

from vitreous.interact.fields import Fields, responsive_fields
from vitreous.interact.indicator import interactions
from vitreous.models.winft.backbone import WinfT
from vitreous.shapes import Images

__all__ = ["Guided", "image_fields"]


def image_fields(teacher: nn.Module, images: Images, mass: float = 0.5) -> Fields:
    """The responsive fields of every image, (batch, blocks, patches, patches), by the strength of a model's attention.

    Strength foretells what cutting an interaction does; certainty, measured on two models, does not: see the page
    "Patch interactions" of the docs.

    Raises:
        as `interactions`.

    Cost: one forward pass of the teacher.
    """
    seen = interactions(teacher, images)
    return responsive_fields(seen.strength, seen.tokens, mass)


class Guided(nn.Module):
    """A student in mode "per_image" that takes its fields from a teacher on the same images, in training and after.

    Args:
        student: learns.
        teacher: stays as it is; has the student's grid of patches and as many blocks.
        mass: share of a query's strength that its field holds.
    """

    def __init__(self, student: WinfT, teacher: nn.Module, mass: float = 0.5) -> None:
        super().__init__()
        self.student, self.teacher, self.mass = student, teacher.requires_grad_(requires_grad=False), mass

    def forward(self, images: Images) -> Tensor:
        """The student's class scores."""
        return self.student(images, image_fields(self.teacher, images, self.mass))
