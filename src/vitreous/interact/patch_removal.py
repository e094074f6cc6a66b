"""Removal of indiscriminative patches.

The abstract verifies the indicator on it; where they are removed is our own.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any

from jaxtyping import Bool
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from vitreous.errors import ObservationError, ShapeError, UnknownName
from vitreous.interact.use import SCORES, Score, UseSoFar, kept_tokens, random_score, tokens_read, uses
from vitreous.settings.arguments import checked
from vitreous.settings.typed import Seed
from vitreous.shapes import Images
from vitreous.trace.attend import AttentionCall
from vitreous.trace.blocks import check_patches_can_go, find_blocks
from vitreous.trace.edit import change_attention, change_inputs, evaluation
from vitreous.trace.recorder import tokens_of
from vitreous.trace.running import run
from vitreous.trace.seen import AttentionSeen

__all__ = ["Pruned", "dropping", "movable_blocks", "prune", "run_pruned"]


@checked()
def prune(model: nn.Module, share: float, by: str = "lowest", *, after: int | None = None, seed: Seed = 0) -> Pruned:
    """A model that drops the least discriminative patches of each image on the way, and is faster for it.

    A reconstruction after the abstract of arXiv 2203.05922. The first blocks see the whole image and score every patch
    by how differently others use it: D_j = std over queries i of the strength μ_ij, averaged over heads and over these
    blocks (our own). The other blocks run without the patches of lowest score.

    Args:
        model: with attention between all patches; is used, not copied, and stays as it is.
        share: of the patches to drop, at least 0 and below 1. At 0 the class scores are the model's own, bit for bit.
        by: "lowest"; or a control of `SCORES`, or "random".
        after: how many blocks see all patches; a third of them by default. At 0 a pass of its own scores the patches in
            all blocks, and a second one drops them before the first block.
        seed: of the random patches.

    Raises:
        ShapeError: a share outside [0, 1).
        UnknownName: no such `by`.

    Cost: one forward pass, its first blocks with attention written out, the others on the kept patches alone; at
    `after=0` one whole pass before it, which no share earns back. The first call runs one image more.
    """
    return Pruned(model, share, by, after, seed)


class Pruned(nn.Module):
    """A model that runs on the kept patches of each image alone, in evaluation mode; see `prune`."""

    def __init__(self, model: nn.Module, share: float, by: str, after: int | None, seed: int) -> None:
        super().__init__()
        if not 0 <= share < 1:
            raise ShapeError(f"`share` must be at least 0 and below 1; got {share}. Give the share of patches to drop.")
        if by not in (known := [*SCORES, "random"]):
            raise UnknownName("removal", by, known)
        self.model, self.share, self.by, self.after, self.seed = model, share, by, after, seed
        self._blocks: tuple[str, ...] = ()  # found when the first image is there

    def forward(self, images: Images) -> Any:
        """What the model gives for the kept patches.

        Raises:
            ObservationError: the model needs the positions of all patches in its blocks.
            UnknownName: there are no blocks after `after`.
            NothingObserved, NoTokenGrid, NoGlobalAttention, ModelError, ShapeError: as `interactions`.
        """
        with evaluation(self.model):
            if not self.share:  # watched, torch would leave its fused encoder, and bits with it
                return self.model(images)
            self._blocks = self._blocks or movable_blocks(self.model, images)
            after = len(self._blocks) // 3 if self.after is None else self.after
            score = SCORES.get(self.by) or random_score(range(self.seed, self.seed + len(images)))
            return run_pruned(self.model, images, self._blocks, after=after, score=score, share=self.share)


def run_pruned(
    model: nn.Module, images: Images, blocks: Sequence[str], *, after: int, score: Score, share: float
) -> Any:
    """What a model gives when the patches of lowest score leave after so many blocks, which score them on the way.

    Args:
        model: in evaluation mode; comes back as it was.
        images: its input.
        blocks: all of its `movable_blocks`.
        after: how many of these see all patches; at 0 a whole pass scores the patches first.
        score: of the patches.
        share: of the patches that leave.

    Raises:
        UnknownName: no block follows so many.
        …: as `Pruned.forward`.
    """
    if not 0 <= after < len(blocks):
        raise UnknownName("number of blocks before removal", str(after), [f"0 … {len(blocks) - 1}"])
    if not after:
        (use,) = uses(model, images, [0])
        with dropping(model, blocks[0], lambda: kept_tokens(use, score, share)):
            return run(model, images.clone())
    so_far = UseSoFar(tokens_read(model, images))

    def attend(seen: AttentionSeen) -> Tensor | None:
        if so_far.blocks == after:
            return None
        _, weights = seen.attention.scores_and_weights()
        so_far.add(weights.detach())
        return seen.attention.mix(weights)

    with change_attention(attend), dropping(model, blocks[after], lambda: kept_tokens(so_far.mean(), score, share)):
        return run(model, images.clone())


@contextmanager
def dropping(model: nn.Module, block: str, kept: Callable[[], Bool[Tensor, "batch tokens"]]) -> Generator[None]:
    """Let the named block, and what follows it, run on the kept patches and the extra tokens alone.

    Args:
        model: comes back as it was.
        block: one of `movable_blocks`.
        kept: asked when the block is about to run; as many tokens in every image.

    Raises:
        ObservationError: the block takes more than the tokens.
    """

    def drop(given: Any) -> Any:
        tensors = [leaf for leaf in pytree.tree_leaves(given) if isinstance(leaf, Tensor)]
        stay = kept()
        if len(tensors) != 1 or tensors[0].shape[:-1] != stay.shape:
            shapes = ", ".join(str(tuple(each.shape)) for each in tensors)
            raise _needs_all(type(model).__name__, f"`{block}` takes {shapes}")
        # as many stay in each image
        return pytree.tree_map_only(Tensor, lambda tokens: tokens[stay].unflatten(0, (len(stay), -1)), given)

    with change_inputs(model, [block], drop):
        yield


def movable_blocks(model: nn.Module, images: Images) -> tuple[str, ...]:
    """The transformer blocks of a model whose tokens know their own position, so that some can be left out.

    Raises:
        ObservationError: a bias between positions is added to attention, or extra tokens stand between patches.
        NothingObserved, …: as `find_blocks`.

    Cost: a forward pass of the first image.
    """

    def attend(seen: AttentionSeen) -> None:
        call = seen.attention
        if isinstance(call, AttentionCall) and call.attn_mask is not None:
            raise _needs_all(type(model).__name__, f"a bias of {tuple(call.attn_mask.shape)} is added to attention")

    with change_attention(attend):
        blocks = find_blocks(model, images, changing=True)
    check_patches_can_go(model, images, tokens_of(model, images), blocks[0])
    return blocks


def _needs_all(kind: str, why: str) -> ObservationError:
    return ObservationError(
        f"`{kind}` needs the positions of all patches in its blocks: {why}. "
        "Take a model that adds its positions before the first block, such as a plain ViT or DeiT."
    )
