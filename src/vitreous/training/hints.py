"""A student's tokens after every block, led to those of a teacher at the corresponding depth."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

__all__ = ["Hints", "Levels", "Tokens", "between_blocks", "depths"]

Tokens = Float[Tensor, "batch tokens features"]
Levels = Float[Tensor, "batch levels tokens features"]


def depths(student: int, teacher: int) -> list[int]:
    """For each place between a student's blocks, the ends included, how many of the teacher's blocks lie before it.

    >>> depths(3, 12)
    [0, 4, 8, 12]
    """
    return [round(at * teacher / student) for at in range(student + 1)]


@contextmanager
def between_blocks(model: VisionTransformer, given: Sequence[Tokens] | None = None) -> Generator[list[Tokens]]:
    """Collect, inside the block, the tokens that a forward pass brings to each block and to what follows the last.

    Args:
        model: a ViT of timm's; as it was after the block.
        given: with these, each block, and what follows the last, works on its own on tokens given to it: it takes
            them in place of what was collected, and no gradient passes from one block to another.

    Yields:
        one tensor per block and one more, empty until the model has run.
    """
    collected: list[Tokens] = []

    def collect(_: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
        collected.append(inputs[0])
        return None if given is None else (given[len(collected) - 1], *inputs[1:])

    handles = [module.register_forward_pre_hook(collect) for module in (*model.blocks, model.norm)]
    try:
        yield collected
    finally:
        for handle in handles:
            handle.remove()


class Hints(nn.Module):
    """How far a student's tokens are from a teacher's, in units of the spread of the teacher's channels.

    Where the two are equally wide, tokens are compared as they are; otherwise through a linear map per depth, which
    learns along with the student and is thrown away afterwards (FitNets, Romero et al., ICLR 2015).

    Args:
        width: of the student's tokens.
        wanted: of the teacher's.
        levels: how many depths are compared.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, width: int, wanted: int, levels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(levels, 1, wanted))
        self.register_buffer("std", torch.ones(levels, 1, wanted))
        self.maps = nn.ModuleList(nn.Linear(width, wanted) for _ in range(levels if width != wanted else 0))

    def measure(self, example: Levels) -> None:
        """Take each channel's mean and spread, at each depth, from the teacher's tokens of some pictures."""
        std, mean = torch.std_mean(example.float(), (0, 2), correction=0)
        self.mean.copy_(mean[:, None])
        self.std.copy_(std.clamp_min(1e-4 * std.mean())[:, None])  # a channel may be constant

    def forward(self, given: Sequence[Float[Tensor, "batch tokens width"]], wanted: Levels) -> Float[Tensor, ""]:
        """Mean squared difference over depths and channels, of the class token and of the patches in equal parts."""
        goal = (wanted - self.mean) / self.std
        if self.maps:
            ours = torch.stack([to(tokens) for to, tokens in zip(self.maps, given, strict=True)], 1)
        else:
            ours = (torch.stack(list(given), 1) - self.mean) / self.std
        apart = (ours - goal).square()
        return (apart[:, :, 0].mean() + apart[:, :, 1:].mean()) / 2
