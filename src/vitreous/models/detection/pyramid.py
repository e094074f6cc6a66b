"""Any pyramid of timm's registry as the backbone of torchvision's detectors."""

from __future__ import annotations

from typing import Any

import torch
from timm.layers.norm import LayerNorm2d
from torch import Tensor, nn
from torchvision.ops.feature_pyramid_network import FeaturePyramidNetwork, LastLevelMaxPool

from vitreous.errors import ModelError, first_sentence
from vitreous.shapes import Images

__all__ = ["Pyramid"]

_FINEST = 4
_PROBE = (64, 96)


class Pyramid(nn.Module):
    """The stages' outputs of strides 4 and up, mixed by a feature pyramid network (Lin et al., CVPR 2017).

    What a stage does about maps that its windows do not tile is the model's own affair; SALG's is in its `mask_pad`.

    Args:
        body: a timm model that has `forward_intermediates`; the layers after its last stage are taken off it.
        width: channels of every output.
        norm: a LayerNorm of its own for every stage, as Swin's and SALG's authors have for dense tasks.

    Attributes:
        strides: pixels per place of the stages' maps, finest first.
        channels: of the stages.

    Raises:
        ModelError: the model gives no such maps, or not for every size of picture.
    """

    def __init__(self, body: nn.Module, *, width: int = 256, norm: bool = False) -> None:
        super().__init__()
        model: Any = body
        stages: Any = getattr(body, "feature_info", [])
        stages = getattr(stages, "info", stages)
        self.levels = [at for at, stage in enumerate(stages) if stage["reduction"] >= _FINEST]
        self.strides = [stages[at]["reduction"] for at in self.levels]
        self.channels = [stages[at]["num_chs"] for at in self.levels]
        if len(set(self.strides)) < 2 or not hasattr(body, "forward_intermediates"):
            raise ModelError(
                f"`{type(body).__name__}` has no maps of several strides. "
                "Choose a pyramid, such as salg_t, a Swin or a CNN."
            )
        if hasattr(body, "prune_intermediate_layers"):
            model.prune_intermediate_layers(self.levels, prune_norm=True)
        self.body = model
        self.norms = nn.ModuleList(LayerNorm2d(dim) if norm else nn.Identity() for dim in self.channels)
        self.fpn = FeaturePyramidNetwork(self.channels, width, LastLevelMaxPool())
        self.out_channels = width
        self._check()

    def stages(self, images: Images) -> list[Tensor]:
        """The stages' maps, (batch, channels, height / stride, width / stride) each."""
        return self.body.forward_intermediates(images, indices=self.levels, intermediates_only=True)

    def forward(self, images: Images) -> dict[str, Tensor]:
        """(batch, width, height / stride, width / stride) maps: "0" is the finest, "pool" half the coarsest."""
        maps = zip(self.norms, self.stages(images), strict=True)
        return self.fpn({str(at): norm(stage) for at, (norm, stage) in enumerate(maps)})

    @torch.no_grad()
    def _check(self) -> None:
        training = self.body.training
        try:
            self.body.eval()
            maps = self.stages(next(self.body.parameters()).new_zeros(1, 3, *_PROBE))
        except (AssertionError, RuntimeError, TypeError, ValueError) as error:
            raise ModelError(
                f"`{type(self.body).__name__}` does not take pictures of every size: {first_sentence(error)}. "
                "Set what it needs in the recipe's arguments, for Swin: strict_img_size = false."
            ) from None
        finally:
            self.body.train(training)
        given = [tuple(each.shape[1:]) for each in maps]
        wanted = [
            (dim, *(side // stride for side in _PROBE)) for dim, stride in zip(self.channels, self.strides, strict=True)
        ]
        if given != wanted:
            raise ModelError(f"`{type(self.body).__name__}` gave maps {given}, not {wanted}. Choose another pyramid.")
