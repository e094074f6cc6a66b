"""What an observation leaves behind: attention, layer outputs, the token grid."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from vitreous.errors import NoGlobalAttention, NoTokenGrid
from vitreous.shapes import Heatmap, Logits, Scores, TokenMask, Weights
from vitreous.trace.gradient import gradients
from vitreous.trace.target import logits_of

__all__ = [
    "Attention",
    "TokenGrid",
    "Trace",
    "check_same_shape",
    "check_same_tokens",
    "mutual_tokens",
    "not_global",
    "rows_read",
]

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
    """How the tokens lie on the picture: height × width patches, and extra tokens (class, distillation, registers).

    Attributes:
        extra: how many tokens are no patches.
        height: rows of patches.
        width: columns of patches.
        order: each patch's place among the tokens, row by row; empty where the extra tokens come first and the patches
            follow row by row.
        class_token: place of the extra token that the class scores depend on, or of the first extra token as long as
            nobody has looked.

    >>> TokenGrid(extra=1, height=14, width=14).tokens
    197
    """

    extra: int
    height: int
    width: int
    order: tuple[int, ...] = ()
    class_token: int = 0

    @classmethod
    def of(cls, tokens: int, grid: tuple[int, int], order: Sequence[int]) -> TokenGrid:
        """The grid on which the patch in each cell, row by row, is the token with that place.

        >>> TokenGrid.of(5, (2, 2), [1, 2, 3, 4]) == TokenGrid(1, 2, 2)
        True
        >>> TokenGrid.of(5, (2, 2), [0, 2, 1, 3])
        TokenGrid(extra=1, height=2, width=2, order=(0, 2, 1, 3), class_token=4)
        """
        extra = tokens - len(order)
        found = cls(extra, *grid, () if list(order) == list(range(extra, tokens)) else tuple(order))
        return replace(found, class_token=next(iter(found.extra_places), 0))

    def read_by(self, read: TokenMask) -> TokenGrid:
        """The same grid, its class token the first of the extra tokens that is read; as it was where none is.

        >>> TokenGrid(2, 1, 1).read_by(torch.tensor([False, True])).class_token
        1
        """
        return replace(
            self,
            class_token=next((at for at, seen in zip(self.extra_places, read, strict=True) if seen), self.class_token),
        )

    @property
    def patches(self) -> int:
        """How many there are."""
        return self.height * self.width

    @property
    def tokens(self) -> int:
        """Extra tokens and patches together."""
        return self.extra + self.patches

    @property
    def alone(self) -> TokenGrid:
        """The patches without the extra tokens, in the same order."""
        ranks = {place: rank for rank, place in enumerate(sorted(self.order))}
        return TokenGrid.of(
            self.patches, (self.height, self.width), [ranks[at] for at in self.order] or range(self.patches)
        )

    @property
    def extra_places(self) -> tuple[int, ...]:
        """Of the extra tokens, among all."""
        taken = set(self.order or range(self.extra, self.tokens))
        return tuple(at for at in range(self.tokens) if at not in taken)

    def of_patches(self, tensor: Tensor, dim: int = -1) -> Tensor:
        """What an axis of all tokens holds for the patches, row by row.

        >>> TokenGrid(1, 1, 2, order=(2, 0)).of_patches(torch.tensor([5.0, 6.0, 7.0]))
        tensor([7., 5.])
        """
        if not self.order:
            return tensor.narrow(dim, self.extra, self.patches)
        return tensor.index_select(dim, torch.tensor(self.order, device=tensor.device))

    def of_extra(self, tensor: Tensor, dim: int = -1) -> Tensor:
        """What an axis of all tokens holds for the extra tokens, in their order.

        >>> TokenGrid(1, 1, 2, order=(2, 0)).of_extra(torch.tensor([5.0, 6.0, 7.0]))
        tensor([6.])
        """
        if not self.order:
            return tensor.narrow(dim, 0, self.extra)
        return tensor.index_select(dim, torch.tensor(self.extra_places, dtype=torch.long, device=tensor.device))

    def among_tokens(self, tensor: Tensor, dim: int, *, extra: int | float) -> Tensor:
        """The way back: an axis of patches, row by row, becomes one of all tokens, with one value for the extra ones.

        >>> TokenGrid(1, 1, 2, order=(2, 0)).among_tokens(torch.tensor([7.0, 5.0]), 0, extra=0)
        tensor([5., 0., 7.])
        """
        shape = list(tensor.shape)
        shape[dim] = self.tokens
        places = torch.tensor(self.order or range(self.extra, self.tokens), device=tensor.device)
        return tensor.new_full(shape, extra).index_copy(dim, places, tensor)

    def unflatten(self, row: Float[Tensor, "batch patches"]) -> Heatmap:
        """One value per patch, row by row, laid on the grid."""
        return row.unflatten(-1, (self.height, self.width))

    def heatmap(self, row: Float[Tensor, "batch tokens"]) -> Heatmap:
        """Of one value per token, the patches', laid on the grid."""
        return self.unflatten(self.of_patches(row))


def mutual_tokens(shape: Sequence[int]) -> int | None:
    """How many tokens attend to each other in scores of this shape; None where queries and keys are not the same.

    None also where heads or windows share an axis with the images: what (batch, heads, queries, keys) was is unknown.

    >>> mutual_tokens((2, 3, 17, 17)), mutual_tokens((2, 3, 1, 17)), mutual_tokens((6, 17, 17))
    (17, None, None)
    """
    return shape[-1] if len(shape) == 4 and shape[-2] == shape[-1] else None


def not_global(model: str) -> NoGlobalAttention:
    """Why the first attention of a model gives no map, and what to do."""
    return NoGlobalAttention(
        f"the first attention of `{model}` is not between all patches of the picture. Windowed, pooled and channel "
        "attention, and heads or views of a picture that share an axis with the images, give no global map: "
        f"{_INSTEAD}"
    )


def check_same_shape(first: Tensor, now: Tensor, what: str) -> None:
    """Refuse what does not have one shape in every run on pictures of one size.

    Args:
        first: what it was in the first run.
        now: what it is now.
        what: in words, for messages.

    Raises:
        NoTokenGrid: the shapes differ.
    """
    if first.shape != now.shape:
        raise NoTokenGrid(
            f"{what} is {tuple(first.shape)} in one run and {tuple(now.shape)} in another, of pictures of one size: "
            "how many tokens go on depends on the picture, or on chance. Let the model keep all tokens, or use a "
            "method that only runs it, such as `rise`."
        )


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
        images: for how many.
        attentions: in order of execution.
        layers: the outputs asked for, by dotted name.
        find_tokens: finds out how the tokens lie, once it is asked.
        inputs: what went into the modules asked for, by dotted name.
    """

    model: str
    output: Any
    images: int
    attentions: tuple[Attention, ...]
    layers: Mapping[str, Tensor]
    find_tokens: Callable[[], TokenGrid]
    inputs: Mapping[str, Tensor] = field(default_factory=dict[str, Tensor])

    @property
    def logits(self) -> Logits:
        """The model's class scores, unwrapped from whatever record it returned."""
        return logits_of(self.output, self.model, self.images)

    @property
    def tokens(self) -> TokenGrid:
        """How the tokens lie on the picture, measured when it is asked for.

        Raises:
            NoTokenGrid, NoGlobalAttention, ObservationError: as `Recording.tokens`.
        """
        return self.find_tokens()

    @property
    def global_attentions(self) -> tuple[Attention, ...]:
        """Those between all tokens of a picture: a pooling head, for example, is left out.

        Raises:
            NoTokenGrid, NoGlobalAttention, ObservationError: as `tokens`.
        """
        _ = self.tokens
        return tuple(a for a in self.attentions if a.tokens is not None)

    def gradients(self, direction: Logits, attentions: Sequence[Attention] | None = None) -> list[Tensor]:
        """∂⟨direction, logits⟩/∂weights of each attention, all of them by default. May be called again.

        Raises:
            ObservationError: the model recomputes its activations (gradient checkpointing).
        """
        weights = [a.weights for a in (self.attentions if attentions is None else attentions)]
        return gradients(self.logits, direction, weights, self.model, reached=attentions is None)

    def read_tokens(self) -> TokenMask:
        """Which tokens of the last global attention the class scores depend on, measured by their gradient.

        A class-token model reads one token, mean pooling reads the patches. Costs a backward pass of the last block.
        """
        return self.read_after(self.global_attentions[-1])

    def read_after(self, attention: Attention) -> TokenMask:
        """Which tokens the class scores depend on after this attention."""
        # any direction without symmetry will do: no class may cancel another
        direction = torch.linspace(1, 2, self.logits.shape[1]).to(self.logits).expand_as(self.logits)
        (gradient,) = gradients(self.logits, direction, [attention.weights], self.model, reached=True)
        return rows_read(gradient)


def rows_read(gradient: Weights) -> TokenMask:
    """Which queries' attention weights have a gradient anywhere."""
    return (gradient != 0).any(3).any(1).any(0)
