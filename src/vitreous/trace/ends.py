"""What a model's own end, its last norm and head, says of tokens that it did not come to by itself."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vitreous.errors import ModelError, NotFinite, ObservationError
from vitreous.shapes import Images
from vitreous.trace.edit import change_output
from vitreous.trace.probe import Probe
from vitreous.trace.running import run
from vitreous.trace.settled import evaluating
from vitreous.trace.target import logits_of

__all__ = ["check_end", "scores_of_end", "scores_of_rows"]

Own = Float[Tensor, "batch tokens features"]
Tokens = Float[Tensor, "rows tokens features"]
RowScores = Float[Tensor, "rows classes"]


def scores_of_end(model: nn.Module, images: Images, block: str, tokens: Tokens) -> RowScores:
    """The class scores where a block gives these tokens of the images in place of its own.

    Args:
        model: comes back as it was.
        images: its input.
        block: dotted name; what comes behind it is the end.
        tokens: a row for every image, or more, where the end takes them.

    Raises:
        ModelFailed: the end takes no such tokens.
        NoClassScores, NotFinite: as `logits_of`.

    Cost: one forward pass.
    """

    def instead(_: Tensor) -> Tensor:
        return tokens

    with evaluating(model), torch.no_grad(), change_output(model, block, instead):
        output = run(model, images.clone())
    return logits_of(output, type(model).__name__, len(tokens))


def scores_of_rows(model: nn.Module, images: Images, block: str, own: Own, rows: Tokens) -> RowScores:
    """What the end says of other rows of tokens, in one larger batch, the images' own before and behind them.

    Args:
        model: comes back as it was.
        images: its input.
        block: dotted name; what comes behind it is the end.
        own: the tokens that the block gives of the images.
        rows: any number of others.

    Raises:
        ObservationError: the end does not take more rows than there are images, or does not give each its own scores:
            those of the images, which stand at both ends, come out as others.

    Cost: two forward passes, and of the end as many as there are rows.
    """
    kind, many = type(model).__name__, len(images)
    alone = scores_of_end(model, images, block, own)
    try:
        found = scores_of_end(model, images, block, torch.cat([own, rows, own]))
    except NotFinite:
        raise
    except ModelError:
        raise _fixed_batch(kind) from None
    if not (_alike(found[:many], alone) and _alike(found[-many:], alone)):
        raise _fixed_batch(kind)
    return found[many:-many]


def check_end(model: nn.Module, images: Images, block: str, own: Own) -> None:
    """Refuse a model whose class scores depend on more than what a block gives.

    Measured: another picture goes in, noise, and the block gives the tokens of the images all the same.

    Raises:
        ObservationError: then the scores are others.

    Cost: two forward passes.
    """
    noise = Probe.of(images)
    others = torch.cat([noise.like(noise.middle + noise.noise()) for _ in images])
    if not _alike(scores_of_end(model, others, block, own), scores_of_end(model, images, block, own)):
        raise ObservationError(
            f"the class scores of `{type(model).__name__}` depend on more than what its last block `{block}` gives: "
            "on earlier blocks, or on another encoder. So its end says nothing of the tokens of one block alone. Read "
            "a model whose head takes the last block's tokens."
        )


def _alike(here: RowScores, there: RowScores) -> bool:
    """Whether scores are the same but for the rounding of another size of batch."""
    return bool((here - there).abs().max() <= torch.finfo(here.dtype).eps ** 0.5 * there.abs().max())


def _fixed_batch(kind: str) -> ObservationError:
    return ObservationError(
        f"`{kind}` remembers how many images came in, reorders them, or mixes them, so that its end does not take a "
        "row for every patch. Ask for whole rows alone, maps=False."
    )
