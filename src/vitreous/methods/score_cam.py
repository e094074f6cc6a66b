"""Score-CAM (Wang et al., CVPRW 2020)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vitreous.errors import check_setting
from vitreous.masking.forward import Masks, Progress, masked_logits
from vitreous.masking.moves import moving_values
from vitreous.methods.explanation import Explanation
from vitreous.methods.feature_maps import weighted_sum
from vitreous.methods.method import Family
from vitreous.methods.requirements import check_at_least
from vitreous.shapes import Images
from vitreous.trace.layer import find_layer
from vitreous.trace.layer_output import read_layer
from vitreous.trace.target import Predicted, Scale, Target, value_of

__all__ = ["ScoreCAM"]

Weighting = Literal["softmax", "increase", "score"]
"""What a channel weighs: softmax of the increases of confidence over the channels, the increase, or the score."""


@dataclass(frozen=True)
class ScoreCAM:
    """A layer's maps, each weighted by the class score of the image seen through it; without gradients.

    heat = ReLU(Σ_k w_k · A_k), w = softmax over channels of C_k, C_k = y(X ⊙ s(Up(A_k))) − y(0), s(U) = (U − min U) /
    (max U − min U). Up is bilinear, and 0 is the mean of the data set in normalised space. This is their Algorithm 1,
    where y is the logit; subtracting y(0) does not change a softmax. A constant map hides everything.

    The paper's text (§3.2) takes y after the softmax over classes: scale="probability". Its equations 9 and 10 weigh by
    C_k itself: weights="increase". The authors' code takes scale="probability", weights="score": y without y(0), 0 for
    a constant map. pytorch-grad-cam takes the defaults with align_corners=True.

    Attributes:
        scale: measure y before ("logit") or after ("probability") the softmax over classes.
        weights: "softmax", "increase" or "score".
        align_corners: of the bilinear interpolation.
        layer: dotted name of the layer; by default the last whose patches the class scores depend on.
        batch_size: masked images per forward pass; bounds memory, changes nothing else.

    Needs a layer whose output lies on the picture: any CNN, Swin or ViT.
    Cost: as many forward passes as the layer has channels, and two more.

    >>> import torch, vitreous
    >>> vitreous.explain(vitreous.load(), torch.randn(1, 3, 128, 128), "score_cam").heatmap.shape
    torch.Size([1, 8, 8])
    """

    title: ClassVar[str] = "Score-CAM"
    source: ClassVar[str] = "Wang et al., Score-CAM, CVPR Workshops 2020"
    family: ClassVar[Family] = "layer"
    slow: ClassVar[Literal[True]] = True

    scale: Scale = "logit"
    weights: Weighting = "softmax"
    align_corners: bool = False
    layer: str = ""
    batch_size: int = 64

    def __call__(
        self,
        model: nn.Module,
        images: Images,
        target: Target = Predicted(),  # noqa: B008
        *,
        progress: Progress | None = None,
    ) -> Explanation:
        """Explain a batch of normalised images."""
        check_setting("scale", self.scale, get_args(Scale))
        check_setting("weights", self.weights, get_args(Weighting))
        check_at_least("batch_size", self.batch_size, 1)
        seen = read_layer(model, images, find_layer(model, images, self.layer))
        maps, logits = seen.maps, seen.logits.detach()
        direction = target(logits)
        size = (images.shape[-2], images.shape[-1])
        hidden: list[Masks] = [_Hidden(each, size, self.align_corners) for each in maps]
        masked = masked_logits(model, images, hidden, torch.zeros_like, batch_size=self.batch_size, progress=progress)
        weights = moving_values(masked, direction, self.scale, "ScoreCAM", setting="scale")
        if self.weights == "softmax":
            weights = weights.softmax(1)
        elif self.weights == "increase":
            blank = masked_logits(model, images, maps.new_ones(1, 1, 1), torch.zeros_like)
            weights = weights - value_of(blank.double(), direction.double(), self.scale)
        else:
            weights = weights.masked_fill(maps.amax((2, 3)) == maps.amin((2, 3)), 0)
        return Explanation(
            weighted_sum(maps, weights.to(maps)).relu(), logits, direction.argmax(1), self, layer=seen.layer.name
        )


@dataclass(frozen=True)
class _Hidden:
    """The shares of the picture that the channels of one image hide, made when asked."""

    maps: Tensor
    size: tuple[int, int]
    align_corners: bool

    def __len__(self) -> int:
        return len(self.maps)

    def __getitem__(self, part: slice) -> Tensor:
        enlarged = F.interpolate(
            self.maps[None, part], size=self.size, mode="bilinear", align_corners=self.align_corners
        )[0]
        low, high = enlarged.amin((1, 2), keepdim=True), enlarged.amax((1, 2), keepdim=True)
        # what enlarging alone tells apart is hidden: a picture faint as 1e-7 can still decide what a model attends to
        rounding = 4 * torch.finfo(enlarged.dtype).eps * enlarged.abs().amax((1, 2), keepdim=True)
        return torch.where(enlarged - low > rounding, (high - enlarged) / (high - low), 1)
