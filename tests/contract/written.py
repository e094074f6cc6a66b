"""Models as people write them: tokens in any order, several encoders, wrappers, outputs of their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import timm
import torch
from torch import Tensor, nn

from tests.contract.libraries import CLASSES, TINY


class Unfolded(nn.Linear):
    """A patch embedding that is a linear layer of each patch's pixels, in the order of a convolution's weights."""

    def __init__(self, side: int, width: int) -> None:
        super().__init__(3 * side * side, width)
        self.side = side

    def forward(self, images: Tensor) -> Tensor:
        cells = images.unflatten(3, (-1, self.side)).unflatten(2, (-1, self.side))
        return super().forward(cells.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2))


class Ordered(nn.Module):
    """`nn.TransformerEncoder` on patches, and its tokens in any order: the simplest Vision Transformer to write.

    Args:
        sequence: "c" for the class token, "r" for four registers, "p" for the patches, "1" for the first ten of them
            and "2" for the others.
        order: of the patches, which are given their positions before that.
        grid: rows and columns of patches, each of 8 pixels.
        unfolded: whether the patch embedding is a linear layer and no convolution.
        from_end: whether the class token is found by its place counted from the last token.
        depth: of the encoder.
        classes: how many the head knows.
    """

    def __init__(
        self,
        sequence: str = "cp",
        order: Sequence[int] | None = None,
        grid: tuple[int, int] = (4, 4),
        *,
        unfolded: bool = False,
        from_end: bool = False,
        depth: int = 3,
        classes: int = CLASSES,
    ) -> None:
        super().__init__()
        count = grid[0] * grid[1]
        self.patches = Unfolded(8, 32) if unfolded else nn.Conv2d(3, 32, 8, 8)
        self.token = nn.Parameter(torch.randn(1, 1, 32))
        self.registers = nn.Parameter(torch.randn(1, 4, 32))
        self.position = nn.Parameter(torch.randn(1, count, 32))
        layer = nn.TransformerEncoderLayer(32, 2, 64, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)
        self.head = nn.Linear(32, classes)
        self.sequence, self.order = sequence, torch.arange(count) if order is None else torch.tensor(order)
        lengths = {"c": 1, "r": 4, "p": count, "1": 10, "2": count - 10}
        self.reads = sum(lengths[part] for part in sequence[: sequence.index("c")])
        if from_end:
            self.reads -= sum(lengths[part] for part in sequence)

    def forward(self, images: Tensor) -> Tensor:
        patches = self.patches(images)
        patches = patches.flatten(2).mT if patches.ndim == 4 else patches
        patches = (patches + self.position)[:, self.order]
        extra = {"c": self.token, "r": self.registers}
        parts = {name: token.expand(len(images), -1, -1) for name, token in extra.items()}
        parts |= {"p": patches, "1": patches[:, :10], "2": patches[:, 10:]}
        return self.head(self.encoder(torch.cat([parts[part] for part in self.sequence], 1))[:, self.reads])


def vit(**settings: Any) -> nn.Module:
    return timm.create_model("vit_tiny_patch16_224", **{**TINY, "depth": 2, **settings})


class Siamese(nn.Module):
    """One encoder for the picture and for another one, which it keeps."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.head = vit(num_classes=0), nn.Linear(64, CLASSES)
        self.register_buffer("other", torch.randn(1, 3, 32, 32))

    def forward(self, images: Tensor) -> Tensor:
        return self.head(torch.cat([self.encoder(images), self.encoder(self.other.expand_as(images))], 1))


class Ensemble(nn.Module):
    """The mean of what two networks say."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = vit(), vit()

    def forward(self, images: Tensor) -> Tensor:
        return (self.first(images) + self.second(images)) / 2


class Wrapped(nn.Module):
    """A network held as `model`, as a LightningModule holds it, and a function of what it returns."""

    def __init__(self, model: nn.Module, end: Callable[[Any], Any] = lambda output: output) -> None:
        super().__init__()
        self.model, self.end = model, end

    def forward(self, images: Tensor) -> Any:
        return self.end(self.model(images))


class LowRank(nn.Module):
    """A linear layer and a product of two thin matrices beside it (LoRA)."""

    def __init__(self, base: nn.Linear, rank: int = 2) -> None:
        super().__init__()
        self.base = base
        self.down = nn.Linear(base.in_features, rank, bias=False)
        self.up = nn.Linear(rank, base.out_features, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.base(tokens) + self.up(self.down(tokens)) * 0.5


def adapted() -> nn.Module:
    """A ViT whose attention was adapted by LoRA."""
    model = vit()
    for block in model.blocks:
        block.attn.qkv, block.attn.proj = LowRank(block.attn.qkv), LowRank(block.attn.proj)
    return model
