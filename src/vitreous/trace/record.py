"""What an observation leaves behind: attention, layer outputs, the token grid."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from vitreous.errors import NoGlobalAttention, NoTokenGrid
from vitreous.shapes import Heatmap, Logits, Scores, TokenMask
from vitreous.trace.gradient import gradients
from vitreous.trace.target import logits_of

__all__ = ["Attention", "TokenGrid", "Trace", "check_same_tokens", "mutual_tokens", "token_grid"]

_INSTEAD = "use a method that reads a layer, such as `grad_cam`, or hides parts of the picture, such as `rise`."


@dataclass(frozen=True)
class Attention:
    """One attention of the forward pass.

    Attributes:
        name: dotted name of the module that ran it.
        scores: before softmax: scaled, biased, masked.
        weights: after it: what multiplies the values. On the autograd graph.
        values: what the weights multiply; None where no projection was seen.
        projection: weight of the linear map that takes the mixed values, (width out, heads · width); None where no
            linear map takes them as they are.
        tokens: how many tokens attend to each other, as `mutual_tokens` says; 0 where it is channels that do.
    """

    name: str
    scores: Scores
    weights: Scores
    values: Float[Tensor, "*batch keys width"] | None = None
    projection: Float[Tensor, "out in"] | None = None
    tokens: int | None = None


@dataclass(frozen=True)
class TokenGrid:
    """How the tokens lie on the picture: `prefix` tokens (class, distillation, registers), then height × width patches.

    >>> TokenGrid(prefix=1, height=14, width=14).tokens
    197
    """

    prefix: int
    height: int
    width: int

    @property
    def tokens(self) -> int:
        """Prefix and patches together."""
        return self.prefix + self.height * self.width

    def unflatten(self, row: Float[Tensor, "batch patches"]) -> Heatmap:
        """One value per patch, laid on the grid."""
        return row.unflatten(-1, (self.height, self.width))


def mutual_tokens(shape: Sequence[int]) -> int | None:
    """How many tokens attend to each other in scores of this shape; None where queries and keys are not the same.

    None also where heads or windows share an axis with the images: what (batch, heads, queries, keys) was is unknown.

    >>> mutual_tokens((2, 3, 17, 17)), mutual_tokens((2, 3, 1, 17)), mutual_tokens((6, 17, 17))
    (17, None, None)
    """
    return shape[-1] if len(shape) == 4 and shape[-2] == shape[-1] else None


def token_grid(grid: tuple[int, int] | None, tokens: int | None, model: str) -> TokenGrid:
    """The token grid, from the patch convolution's output and the number of tokens in the first attention.

    Raises:
        NoTokenGrid: there was no patch convolution.
        NoGlobalAttention: the first attention is not between all patches.
    """
    if grid is None:
        raise NoTokenGrid(
            f"`{model}` ran no 2-d convolution before its first attention, so its patch grid is unknown. "
            "Pass a Vision Transformer that embeds its patches with a convolution."
        )
    height, width = grid
    if tokens is None or tokens < height * width:
        raise NoGlobalAttention(
            f"the first attention of `{model}` is not between all {height}×{width} patches of the picture. "
            "Windowed, pooled and channel attention, and heads that share an axis with the images, give no global map: "
            f"{_INSTEAD}"
        )
    return TokenGrid(tokens - height * width, height, width)


def check_same_tokens(tokens: TokenGrid, sizes: Iterable[int | None], model: str) -> None:
    """Refuse a model whose tokens change on the way; attention that pools them (None) is no change.

    Raises:
        NoGlobalAttention: windows, merged tokens, channels.
    """
    found = {size for size in sizes if size is not None}
    if found != {tokens.tokens}:
        raise NoGlobalAttention(
            f"`{model}` attends among {', '.join(map(str, sorted(found)))} tokens in turn, not among the same "
            f"{tokens.tokens} throughout. Windowed or merged tokens give no global map: {_INSTEAD}"
        )


@dataclass(frozen=True)
class Trace:
    """What one forward pass did.

    Attributes:
        model: class name of the model, for messages.
        output: what the model returned.
        attentions: in order of execution.
        layers: the outputs asked for, by dotted name.
        grid: (height, width) of the patch convolution's output; None where there was none.
        inputs: what went into the modules asked for, by dotted name.
    """

    model: str
    output: Any
    attentions: tuple[Attention, ...]
    layers: Mapping[str, Tensor]
    grid: tuple[int, int] | None
    inputs: Mapping[str, Tensor] = field(default_factory=dict[str, Tensor])

    @property
    def logits(self) -> Logits:
        """The model's class scores, unwrapped from whatever record it returned."""
        return logits_of(self.output, self.model)

    @property
    def tokens(self) -> TokenGrid:
        """The token grid, read off what the model did."""
        return token_grid(self.grid, self.attentions[0].tokens, self.model)

    @property
    def global_attentions(self) -> tuple[Attention, ...]:
        """Those between all tokens of a picture: a pooling head, for example, is left out.

        Raises:
            NoTokenGrid, NoGlobalAttention: as `tokens`.
            NoGlobalAttention: the number of tokens changes on the way through the model.
        """
        check_same_tokens(self.tokens, [a.tokens for a in self.attentions], self.model)
        return tuple(a for a in self.attentions if a.tokens is not None)

    def gradients(self, direction: Logits, attentions: Sequence[Attention] | None = None) -> list[Tensor]:
        """∂⟨direction, logits⟩/∂weights of each attention, all of them by default. May be called again.

        Raises:
            ObservationError: the model recomputes its activations (gradient checkpointing).
        """
        weights = [a.weights for a in (self.attentions if attentions is None else attentions)]
        return gradients(self.logits, direction, weights, self.model)

    def read_tokens(self) -> TokenMask:
        """Which tokens of the last global attention the class scores depend on, measured by their gradient.

        A class-token model reads token 0, mean pooling reads the patches. Costs a backward pass of the last block.
        """
        # any direction without symmetry will do: no class may cancel another
        direction = torch.linspace(1, 2, self.logits.shape[1]).to(self.logits).expand_as(self.logits)
        (gradient,) = self.gradients(direction, self.global_attentions[-1:])
        return gradient.abs().amax((0, 1, 3)) > 0
