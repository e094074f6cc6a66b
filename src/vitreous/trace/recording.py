"""What one watched forward pass showed."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from torch import Tensor

from vitreous.errors import ObservationError
from vitreous.shapes import Logits
from vitreous.trace.observed import TokenGrid, check_same_tokens, not_global
from vitreous.trace.output import everything
from vitreous.trace.reading import Reading
from vitreous.trace.reorder import Reorders
from vitreous.trace.settled import nothing_observed
from vitreous.trace.target import logits_of

__all__ = ["Recording"]

_MOST_SHOWN = 4
"""Passes named in a message."""


@dataclass(frozen=True)
class Recording:
    """What one forward pass showed.

    Attributes:
        model: class name of the model, for messages.
        output: what the model returned.
        images: for how many.
        names: dotted names of the modules that ran the attention that is read, in order: all of it, or that of the part
            and the call that `Reading` names.
        sizes: how many tokens attend to each other there; None where queries and keys are not the same tokens, 0 where
            they are channels.
        passes: which pass through an encoder each of them belongs to, as `passes` says.
        places: of each among all that ran.
        unread: names of the modules that ran attention which is not read.
        inputs: what went into the modules asked for, by dotted name: the first tensor that each was given, at its last
            call, or in the call that is read.
        outputs: what came out of the modules asked for, likewise.
        convolved: (height, width) of the last 2-d convolution's output before the first attention; None where there
            was no attention or no convolution before it.
        reading: how the model was read.
        measure: finds out how the tokens lie.
        measure_order: checks that they lie so throughout.
        reorders: the operations that say that they may not.
        is_scripted: whether parts of the model are TorchScript or were exported: nothing is seen there.
    """

    model: str
    output: Any
    images: int
    names: tuple[str, ...]
    sizes: tuple[int | None, ...]
    passes: tuple[int, ...]
    places: tuple[int, ...]
    unread: frozenset[str]
    inputs: Mapping[str, Tensor]
    outputs: Mapping[str, Tensor]
    convolved: tuple[int, int] | None
    reading: Reading
    measure: Callable[[], TokenGrid]
    measure_order: Callable[[TokenGrid], None]
    reorders: Reorders
    is_scripted: bool = False

    @property
    def logits(self) -> Logits:
        """The class scores.

        Raises:
            ModelError: the model gave none.
        """
        return logits_of(self.output, self.model, self.images)

    @cached_property
    def tokens(self) -> TokenGrid:
        """The token grid of a model whose attention runs between the same tokens throughout, measured when asked for.

        Raises:
            NothingObserved: no attention was seen.
            ObservationError: several passes ran, and none was chosen.
            NoTokenGrid, NoGlobalAttention: as `measure_tokens`, `check_same_tokens` and `check_order`.
        """
        tokens = self.first_tokens
        self.check_order(tokens)
        return tokens

    @cached_property
    def first_tokens(self) -> TokenGrid:
        """Likewise, as the tokens lie at the first attention, whatever becomes of them."""
        self.check_attention()
        self.check_one_pass()
        if not self.sizes[0]:
            raise not_global(self.model)
        tokens = self.measure()
        check_same_tokens(tokens, self.sizes, self.model)
        return tokens

    def check_tokens(self, tokens: TokenGrid) -> None:
        """Refuse to take one token grid, measured before, for the attention of a model that has several.

        Raises:
            ObservationError: several passes ran, and none was chosen.
            NoGlobalAttention: as `check_same_tokens`.
            NoTokenGrid: as `check_order`.
        """
        self.check_one_pass()
        check_same_tokens(tokens, self.sizes, self.model)
        self.check_order(tokens)

    def check_order(self, tokens: TokenGrid) -> None:
        """Measure again where tokens stand, if an operation was seen that may put them in another order.

        Raises:
            NoTokenGrid: it does.
        """
        last = max(at for at, size in zip(self.places, self.sizes, strict=True) if size)
        if self.reorders.before(last, tokens.patches, tokens.tokens):
            self.measure_order(tokens)

    @cached_property
    def grid(self) -> tuple[int, int] | None:
        """(height, width) of the patches, where these can be told; methods that need no attention lay maps on it."""
        if self.reading.grid or self.convolved or not self.names:
            return self.reading.grid or self.convolved
        try:
            return self.tokens.height, self.tokens.width
        except ObservationError:  # no map of these methods depends on it
            return None

    def check_one_pass(self) -> None:
        """Refuse to read several passes as if they were one.

        Raises:
            ObservationError: attention ran in several passes, and none was chosen.
        """
        if self.reading.call is None and (count := max(self.passes, default=0)):
            ran = ", ".join(
                f"`{self.names[self.passes.index(number)]}`" for number in range(min(count + 1, _MOST_SHOWN))
            )
            raise ObservationError(
                f"`{self.model}` runs {count + 1} passes whose attention does not build on each other, as encoders of "
                f"several pictures, of a flipped one or of an ensemble do, or the queries of a decoder; they begin in "
                f"{ran}. Say which to read: call=0 (--call 0) for the first, or part= (--part), the name of a module "
                f'such as "{_encoder(self.names, self.passes)}"; or use a method that only runs the model, such as '
                "`rise`."
            )

    def check_attention(self) -> None:
        """Refuse a model without attention.

        Raises:
            NothingObserved: none was seen.
            NoClassScores: nor did it return any numbers.
        """
        if not self.names:
            _ = everything(self.output)
            raise nothing_observed(self.model, self.reading.part, is_scripted=self.is_scripted)


def _encoder(names: Sequence[str], numbers: Sequence[int]) -> str:
    """The module that all attention of the first pass runs in."""
    first = [name.split(".") for name, number in zip(names, numbers, strict=True) if number == 0]
    shared = [column[0] for column in itertools.takewhile(lambda each: len(set(each)) == 1, zip(*first, strict=False))]
    return ".".join(shared) or names[0]
