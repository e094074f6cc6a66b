"""An attention that is about to run, and what is known of the forward pass so far."""

from __future__ import annotations

from dataclasses import dataclass

from vitreous.trace.attend import AttentionCall, WrittenAttention

__all__ = ["AttentionSeen"]


@dataclass(frozen=True)
class AttentionSeen:
    """One attention on its way, as it is handed to the function that looks at it.

    Attributes:
        attention: torch's own call, to be run as wished; or what a model wrote out itself, to be looked at.
        name: dotted name of the module that runs it.
        sizes: how many tokens attend to each other, as `mutual_tokens` says, for every attention up to this one; in a
            recording, for those that are read.
        grid: (height, width) of the patch grid; None where no 2-d convolution ran before the first attention.
        model: class name of the model, for messages.
    """

    attention: AttentionCall | WrittenAttention
    name: str
    sizes: tuple[int | None, ...]
    grid: tuple[int, int] | None
    model: str

    @property
    def images(self) -> int:
        """Of how many images it is, where these have an axis of their own."""
        attention = self.attention
        return len(attention.query if isinstance(attention, AttentionCall) else attention.scores)
