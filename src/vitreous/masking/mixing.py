"""Masked images, and their first layer without embedding any patch twice."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Shaped
from torch import Tensor
from torch.overrides import TorchFunctionMode

from vitreous.masking.patches import pixel_mask

__all__ = ["EmbedOnce", "Mixture"]


class Mixture(NamedTuple):
    """One image under several masks."""

    image: Float[Tensor, "channels height width"]
    filling: Float[Tensor, "channels height width"]
    hidden: Shaped[Tensor, "masks h w"]

    def mixed(self) -> Float[Tensor, "masks channels height width"]:
        """The filling where a mask hides the image, or as much of it as the mask says."""
        where = pixel_mask(self.hidden, (self.image.shape[-2], self.image.shape[-1]))[:, None].to(self.image.device)
        if self.hidden.dtype == torch.bool:
            return torch.where(where, self.filling, self.image)
        return self.image.lerp(self.filling, where.to(self.image))


class EmbedOnce(TorchFunctionMode):
    """Inside the block, a patch embedding of the masked images mixes those of image and filling.

    A convolution whose windows do not overlap is linear and sees a patch at a time, so for masks of whole patches
    conv(mixed) = mixed(conv(image), conv(filling)), to rounding. All other layers and inputs stay as they are.

    Args:
        masked: the batch that the model gets; no other tensor is replaced.
        mixtures: what it was made of.
    """

    def __init__(self, masked: Float[Tensor, "batch channels height width"], mixtures: Sequence[Mixture]) -> None:
        super().__init__()
        self.masked, self.mixtures, self._version = masked, mixtures, masked._version

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Mix the embeddings where that is exact."""
        options = kwargs or {}
        if func is not torch.conv2d or args[0] is not self.masked or not self._fits(*args[1:]):
            return func(*args, **options)
        whole = [
            torch.stack(pair) for pair in zip(*((each.image, each.filling) for each in self.mixtures), strict=True)
        ]
        images, fillings = (func(each, *args[1:], **options) for each in whole)
        return torch.cat(
            [
                Mixture(image, filling, each.hidden).mixed()
                for image, filling, each in zip(images, fillings, self.mixtures, strict=True)
            ]
        )

    def _fits(self, weight: Tensor, _bias: Any = None, *layout: Any) -> bool:
        """Windows that tile the picture, each inside one patch of the masks, and nothing done to it in place."""
        if self.masked._version != self._version:
            return False
        window = (weight.shape[-2], weight.shape[-1])
        return layout[:3] == (window, (0, 0), (1, 1)) and all(
            size % (step * patches) == 0
            for size, step, patches in zip(
                self.masked.shape[-2:], window, self.mixtures[0].hidden.shape[-2:], strict=True
            )
        )
