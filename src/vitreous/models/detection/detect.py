"""What a detector finds in a picture, and the class scores of one box as a model of their own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torchvision.models.detection import MaskRCNN
from torchvision.ops import box_iou
from torchvision.transforms.v2 import functional as F

from vitreous.shapes import Images, Logits

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["BoxScores", "Detections", "Picture", "as_image", "detect", "hits"]

_INSIDE = 0.5

Picture = Float[Tensor, "3 height width"]
"""Red, green and blue in [0, 1]: torchvision's detectors resize and normalize it themselves."""


@dataclass(frozen=True)
class Detections:
    """What was found in one picture.

    Attributes:
        boxes: left, top, right, bottom in pixels of the picture, right and bottom exclusive.
        labels: from 1, in the order of the class names.
        scores: 0 to 1, highest first.
        masks: True on the object.
    """

    boxes: Float[Tensor, "objects 4"]
    labels: Int[Tensor, " objects"]
    scores: Float[Tensor, " objects"]
    masks: Bool[Tensor, "objects height width"]


class BoxScores(nn.Module):
    """The class scores that a detector's head gives to one box: a classifier, which heat-map methods can explain.

    Args:
        detector: in evaluation mode, after its first picture, on which torchvision measures the strides; not copied.
        box: left, top, right, bottom in pixels of the input.

    Attributes:
        layer: dotted name of the level of the feature pyramid that the box is read from, by its size.
    """

    def __init__(self, detector: MaskRCNN, box: Float[Tensor, " 4"]) -> None:
        super().__init__()
        heads: Any = detector.roi_heads
        self.pyramid, self.box = detector.backbone, box[None]
        self.pool, self.head, self.predictor = heads.box_roi_pool, heads.box_head, heads.box_predictor
        self.layer = f"pyramid.fpn.layer_blocks.{int(self.pool.map_levels([self.box]))}"

    def forward(self, images: Images) -> Logits:
        """(batch, 1 + classes) logits, the background first, of normalized images."""
        size = (images.shape[-2], images.shape[-1])
        read = self.pool(self.pyramid(images), [self.box] * len(images), [size] * len(images))
        return self.predictor(self.head(read))[0]


def as_image(picture: Image) -> Picture:
    """An RGB picture as a detector wants it."""
    return F.to_dtype(F.pil_to_tensor(picture), torch.float32, scale=True)


@torch.no_grad()
def detect(model: MaskRCNN, image: Picture) -> Detections:
    """What the detector, in evaluation mode, finds in one picture; on the CPU, surest first."""
    output: Any = model([image.to(next(model.parameters()).device)])
    found = {name: value.cpu() for name, value in output[0].items()}
    return Detections(found["boxes"], found["labels"], found["scores"], found["masks"][:, 0] > _INSIDE)


def hits(found: Float[Tensor, "found 4"], given: Float[Tensor, "given 4"], least: float = 0.5) -> list[bool]:
    """Whether each box that was found is one that is given, of one class: of IoU `least` or more, each of them once.

    Args:
        found: surest first; each takes the box that it overlaps most, of those that none before it took.
        given: those of the objects.
        least: as COCO's AP50 counts.

    >>> one, twice = torch.tensor([[0.0, 0.0, 4.0, 4.0]]), torch.tensor([[0.0, 0.0, 4.0, 4.0], [0.0, 0.0, 4.0, 3.0]])
    >>> hits(twice, one)
    [True, False]
    """
    overlaps = box_iou(found, given)
    right: list[bool] = []
    for row in overlaps:
        best = int(row.argmax()) if len(row) else -1
        right.append(best >= 0 and bool(row[best] >= least))
        if right[-1]:
            overlaps[:, best] = -1
    return right
