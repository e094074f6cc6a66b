"""What there is to draw and to keep of how patches act on each other, in one picture or averaged over many."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float
from torch import Tensor

from vitreous.data.depth import Window
from vitreous.errors import DegenerateMap
from vitreous.interact.attention_windows import adaptive_windows
from vitreous.interact.indicator import Averages, Pairs, certainty, discriminativeness, entropy, received
from vitreous.interact.responsive_fields import attention_distance, responsive_fields, shape_of
from vitreous.interact.use import kept_patches
from vitreous.masking.ties import first_of_largest
from vitreous.models.loaded import LoadedModel
from vitreous.render.numbers import check_block, check_patch
from vitreous.trace.observed import TokenGrid

__all__ = ["Indicator", "InteractionsJob", "PictureInteractions", "check_place", "find"]

Indicator = Literal["strength", "certainty", "uncertainty", "impact"]
"""What is shown of an interaction; see `Interactions` and `impact`."""
_WINDOW = 0.6
"""Share of a query's indicator that its adaptive window holds (our own)."""


@dataclass(frozen=True)
class InteractionsJob:
    """What to do with every picture.

    Attributes:
        model: from `vitreous.load`.
        indicator: what the maps, fields and windows are made of.
        block: whose interactions, from 0; None for the mean of all.
        query: (row, column) of the patch shown; None for the one that matters most to the class, where known.
        mass: share of a query's indicator that its responsive field holds.
        share: of the patches, the least discriminative, that are shown as removed.
        output: the folder for pages, numbers and the manifest.
        window: of gray pictures of more than 8 bits, as in `open_picture`.
        class_names: one per class score, before what the model says; empty for what it says.
    """

    model: LoadedModel
    indicator: Indicator = "strength"
    block: int | None = None
    query: tuple[int, int] | None = None
    mass: float = 0.5
    share: float = 0.5
    output: Path = Path("interactions")
    window: Window = None
    class_names: tuple[str, ...] = ()


Measures = Mapping[str, Tensor]
"""By name, numbers of (…, patches) and more; blocks first, where they are of single blocks."""


@dataclass(frozen=True)
class PictureInteractions:
    """What there is to draw and to keep, without the batch axis: of the block or blocks shown, and of every block."""

    seen: Averages
    whole: Measures
    blocks: Measures
    removed: Tensor
    query: tuple[int, int]
    chosen: str = ""
    """Why this query; empty where somebody named it."""

    def arrays(self) -> dict[str, Any]:
        """For the `.npz`: patches flattened row by row, query first; of every block under `block_…`."""
        tensors = {
            "strength": self.seen.strength,
            "uncertainty": self.seen.uncertainty,
            **self.whole,
            **{f"block_{name}": each for name, each in self.blocks.items()},
            "removed": self.removed,
        }
        return {
            "grid": np.array([self.seen.tokens.height, self.seen.tokens.width]),
            "query": np.array(self.query),
            **{name: each.cpu().numpy() for name, each in tensors.items()},
        }


def check_place(job: InteractionsJob, blocks: int, tokens: TokenGrid) -> None:
    """Refuse a block or patch that a model of so many blocks and such a grid has not.

    Raises:
        UnknownName: no such block or query.
    """
    if job.block is not None:
        check_block(job.block, blocks)
    check_patch(job.query or (0, 0), (tokens.height, tokens.width))


def find(
    job: InteractionsJob,
    seen: Averages,
    effects: Pairs | None = None,
    *,
    matters: Float[Tensor, " patches"] | None = None,
) -> PictureInteractions:
    """What a job asks for.

    Args:
        job: what is shown.
        seen: strength and uncertainty of every block.
        effects: likewise, where the indicator is "impact".
        matters: how much each patch matters to the class, where that is known: the first of them is the query where
            the job names none; else the most discriminative patch is.

    Raises:
        UnknownName: no such block or query.
        DegenerateMap: nothing has an impact.
    """
    check_place(job, len(seen.strength), seen.tokens)
    chosen = slice(None) if job.block is None else slice(job.block, job.block + 1)
    strength, uncertainty = seen.strength[chosen].mean(0), seen.uncertainty[chosen].mean(0)
    if effects is not None:
        pairs, each = effects[chosen].sum(0).abs(), effects.abs()
        if not pairs.any():
            remedy = "Show another block, or strength: what no other patch and no class token reads has no impact."
            raise DegenerateMap("no interaction between patches has an impact on the class score", 0, remedy)
    else:
        pairs = {
            "strength": strength,
            "certainty": certainty(strength, uncertainty),
            "uncertainty": uncertainty,
        }[job.indicator]
        each = getattr(seen, job.indicator)
    most = discriminativeness(strength) if matters is None else matters
    query = job.query or divmod(int(first_of_largest(most)), seen.tokens.width)
    why = "the patch that others use most unevenly" if matters is None else "the patch that matters most to the class"
    overall = seen.strength.mean(0)
    whole, single = (_measure(job, seen, taken, used) for taken, used in ((pairs, overall), (each, seen.strength)))
    removed = ~kept_patches(discriminativeness(overall[None]), job.share)[0]
    return PictureInteractions(seen, whole, single, removed, query, "" if job.query else why)


def _measure(job: InteractionsJob, seen: Averages, pairs: Pairs, strength: Pairs) -> Measures:
    fields = responsive_fields(pairs, seen.tokens, job.mass)
    return {
        "indicator": pairs,
        "field": fields,
        **asdict(shape_of(fields, pairs, seen.tokens)),
        "windows": adaptive_windows(pairs, seen.tokens, _WINDOW),
        "discriminativeness": discriminativeness(strength),
        "received": received(strength),
        "entropy": entropy(strength),
        "distance": attention_distance(strength, seen.tokens),
    }
