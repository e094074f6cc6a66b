"""TIS (Englebert et al., ICCV Workshops 2023)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from vitreous.errors import ModelFailed, ObservationError, ShapeError, check_setting
from vitreous.masking.forward import Progress
from vitreous.masking.moves import moving_values
from vitreous.methods.explanation import Explanation
from vitreous.methods.method import Family
from vitreous.methods.requirements import check_at_least
from vitreous.settings.typed import Passes, Seed
from vitreous.shapes import Images
from vitreous.trace.blocks import check_patches_can_go, observe_blocks
from vitreous.trace.edit import change_inputs
from vitreous.trace.recorder import record
from vitreous.trace.target import Predicted, Scale, Target

__all__ = ["TIS", "k_means", "logits_of_some"]

_MOST_STEPS, _STILL = 100, 1e-4


@dataclass(frozen=True)
class TIS:
    """How well the model does on half of its tokens: which half is taken from clusters of its own activations.

    heat_t = Σ_i (p_i − p̄) · m_i[t] / Σ_i m_i[t]. Every channel of every block's output is a map of the patches;
    k-means finds N centers of them, m_i is 1 at the largest values of center i and 0 elsewhere, and p_i is the
    probability when the model runs on these patches' tokens alone, the others being dropped before the first block,
    where they have their positions; p̄ is their mean. A patch that no mask takes has heat 0: it is as good as the
    average. In the paper nothing is subtracted, so such a patch is worse than any other; centered=False gives that.

    The centers start at channels drawn at random; one that loses all its channels stays where it is (in the authors'
    code it goes to 0). The published code scales the map to [0, 1]; here it stays raw.

    Attributes:
        masks: N, at most the number of channels.
        kept: share of the patches that a mask keeps.
        centered: subtract the mean score; False is the paper's equation.
        score: "probability", as in the paper, or "logit".
        seed: of the draw; every picture has the same.
        batch_size: masks per forward pass.

    Needs global attention in blocks that hold one each, and no positions inside them (rotary or relative ones are made
    for all the tokens).
    Cost: N forward passes of half the tokens, two of all, and k-means over the channels.

    >>> import torch, vitreous
    >>> vitreous.explain(vitreous.load(), torch.randn(1, 3, 128, 128), "tis", masks=32).heatmap.shape
    torch.Size([1, 8, 8])
    """

    title: ClassVar[str] = "TIS"
    source: ClassVar[str] = "Englebert et al., Explaining through Transformer Input Sampling, ICCV Workshops 2023"
    family: ClassVar[Family] = "dropping"
    signed: ClassVar[Literal[True]] = True
    slow: ClassVar[Literal[True]] = True

    masks: Passes = 1024
    kept: float = 0.5
    centered: bool = True
    score: Scale = "probability"
    seed: Seed = 0
    batch_size: int = 64

    def __call__(
        self,
        model: nn.Module,
        images: Images,
        target: Target = Predicted(),  # noqa: B008
        *,
        progress: Progress | None = None,
    ) -> Explanation:
        """Explain a batch of normalised images."""
        check_setting("score", self.score, get_args(Scale))
        check_at_least("masks", self.masks, 1)
        check_at_least("batch_size", self.batch_size, 1)
        trace, blocks = observe_blocks(model, images, changing=True)
        grid, logits = trace.tokens, trace.logits.detach()
        check_patches_can_go(model, images, grid, blocks[0].name)
        taken = int(self.kept * grid.height * grid.width)
        if not 0 < taken < grid.height * grid.width:
            raise ShapeError(
                f"`kept` {self.kept:g} keeps {taken} of {grid.height}×{grid.width} patches. Give another share."
            )
        direction = target(logits)
        channels = torch.cat([grid.of_patches(block.after.detach(), 1) for block in blocks], 2).mT
        del trace
        everything = torch.arange(grid.tokens, device=channels.device)
        extra, places = grid.of_extra(everything), grid.of_patches(everything)
        first, heat = blocks[0].name, list[Tensor]()
        count = min(self.masks, channels.shape[1])
        for at, points in enumerate(channels):
            centers = k_means(points.double(), count, self.seed).float()
            patches = centers.argsort(dim=1, descending=True, stable=True)[:, :taken]
            tokens = torch.cat([extra.expand(count, -1), places[patches]], 1).sort(1).values
            parts: list[Tensor] = []
            for part in tokens.split(self.batch_size):
                parts.append(logits_of_some(model, images[at : at + 1], first, part))
                if progress:
                    progress(at * count + sum(map(len, parts)), len(images) * count)
            scores = moving_values(torch.cat(parts)[None], direction[at : at + 1], self.score, "TIS", start=at)[0]
            scores = scores - scores.mean() if self.centered else scores
            masks = torch.zeros_like(centers, dtype=torch.float64).scatter(1, patches, 1.0)
            heat.append((scores @ masks) / masks.sum(0).clamp(min=1))
        return Explanation(grid.unflatten(torch.stack(heat)).to(images), logits, direction.argmax(1), self)


def k_means(points: Float[Tensor, "points width"], count: int, seed: int) -> Float[Tensor, "centers width"]:
    """Lloyd's algorithm from points drawn at random, until the centers stand still or 100 steps are done.

    In double precision: which center is nearest must not hang on how distances round.
    """
    start = torch.randperm(len(points), generator=torch.Generator().manual_seed(seed))[:count]
    centers = points[start.to(points.device)]
    for _ in range(_MOST_STEPS):
        nearest = torch.cdist(points, centers).argmin(1)
        members = nearest.bincount(minlength=count)[:, None]
        sums = torch.zeros_like(centers).index_add(0, nearest, points)
        moved = torch.where(members > 0, sums / members.clamp(min=1), centers)
        still = (moved - centers).square().sum() <= _STILL
        centers = moved
        if still:
            break
    return centers


def logits_of_some(
    model: nn.Module, image: Images, block: str, tokens: Int[Tensor, "masks kept"]
) -> Float[Tensor, "masks classes"]:
    """The class scores of one image when only some of its tokens go into a block, for several choices of tokens.

    Raises:
        ObservationError: the model cannot run on some of its tokens.
    """
    batch = len(tokens)

    def some(given: Tensor) -> Tensor:
        whole = given.ndim == 3 and given.shape[0] == batch
        return given.take_along_dim(tokens[:, :, None], 1) if whole else given

    try:
        with change_inputs(model, [block], lambda given: pytree.tree_map_only(Tensor, some, given)):
            return record(model, image.expand(batch, -1, -1, -1)).logits
    except ModelFailed:
        raise ObservationError(
            f"`{type(model).__name__}` cannot run on {tokens.shape[1]} of its tokens: something in its blocks, such as "
            "rotary or relative positions, is made for all of them. Use `rise` or `vit_cx`."
        ) from None
