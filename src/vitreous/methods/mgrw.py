"""MGRW: multi-granularity random walks (Ding et al., TNNLS 2025)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, ClassVar, Literal, get_args

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from vitreous.errors import DegenerateMap, ModelError, ShapeError, check_setting
from vitreous.masking.fill import make_fill
from vitreous.masking.forward import Progress, masked_logits
from vitreous.masking.moves import rounding
from vitreous.masking.patches import refine
from vitreous.masking.walks import components, draw_clocks, edge_weights, neighbors_of, visited, walk
from vitreous.methods.explanation import Explanation
from vitreous.methods.method import Family
from vitreous.methods.raw_attention import raw_attention
from vitreous.methods.readout import Readout, check_readout
from vitreous.methods.reduct import Level, Reduct, ThresholdScale, best_walk, survivors
from vitreous.methods.requirements import check_at_least, check_digits
from vitreous.settings.typed import Seed
from vitreous.shapes import Heatmap, Images, Logits, PatchMask
from vitreous.trace.observe import observe
from vitreous.trace.reading import Reading, current_reading, link_of, reading
from vitreous.trace.target import Predicted, Scale, Target, probabilities

__all__ = ["MGRW", "DecisionClasses", "importance"]

DecisionClasses = Literal["target", "top5", "all"]
"""D of their equation 10: the explained class, the five most probable, or every class."""
_FEWEST_WALKS = 50


@dataclass(frozen=True)
class MGRW:
    """The few blocks without which the decision falls: found by random walks, on coarse blocks and then on fine ones.

    Blocks are nodes, edges join neighbors with weight exp(-β·‖g_i - g_j‖²), g the mean color. Every walk starts at the
    block with the largest attention and takes each edge at most once; the next edge is drawn by weight. The importance
    of blocks E is I(E) = |S(x) - S(x without E)| (their eq. 10 and 11). Of the most important walk's blocks, those stay
    whose loss I(E) - I(E∖i) is above the threshold (eq. 12). With a second model, `fine`, the blocks that stay are
    divided into its patches and searched again. heat = loss / largest loss where a block stays, 0 elsewhere.

    The paper's settings are the defaults for photographs; for medical pictures it takes walks=5000, length=20,
    coarse_threshold=0.2, fine_threshold=0.1. Where it leaves a choice open, the literal reading of its formulas is
    classes="all" and scale="absolute"; with many classes, hardly a block then passes its thresholds. Parts of the
    coarse result that do not touch are searched apart at the fine level, each with at least 50 walks.

    Attributes:
        walks: at each level.
        length: most blocks on a walk, its start and repetitions counted.
        coarse_threshold: for the blocks of the model given to `explain`.
        fine_threshold: for those of `fine`.
        scale: what a loss is divided by before it meets the threshold: "max" (the largest), "absolute", "relative" (I).
        beta: how much walks keep to blocks of like color; 0 chooses edges evenly. Squared differences of color are
            divided by the largest in the picture.
        directions: 4 neighbors (edges touch) or 8 (corners too).
        classes: whose scores I averages over: "target", "top5" or "all".
        score: "probability" or "logit".
        readout: of the last layer's attention: "class", or "mean" for models that pool the patches.
        fine: a second classifier of the same classes that takes the same input and whose smaller patches tile it;
            through `vitreous.explain` or on the command line any module or spec, such as timm:vit_base_patch16_224,
            or a model of `vitreous.load` that is read in a way of its own.
        fill: what hides a block: "black", "gray", "white", "mean", "blur".
        mean: of the pixels' normalization; `vitreous.explain` knows it from the model.
        std: likewise.
        seed: of the walks; every picture has the same.
        batch_size: masked pictures per forward pass.

    Needs global attention, float16 or better, and a class token that the classifier reads unless readout="mean".
    Cost: per level one observed forward pass, and a forward pass for each distinct set of blocks that was walked (fewer
    than `walks`) and for each block of the best.

    >>> import torch, vitreous
    >>> vitreous.explain(vitreous.load(), torch.randn(1, 3, 128, 128), "mgrw", walks=50, length=8).heatmap.shape
    torch.Size([1, 8, 8])
    """

    title: ClassVar[str] = "MGRW"
    source: ClassVar[str] = "Ding et al., MGRW-Transformer, IEEE TNNLS 36(1), 2025"
    family: ClassVar[Family] = "class_token"
    slow: ClassVar[Literal[True]] = True
    blocks: ClassVar[Literal[True]] = True

    walks: int = 500
    length: int = 36
    coarse_threshold: float = 0.3
    fine_threshold: float = 0.2
    scale: ThresholdScale = "max"
    beta: float = 10.0
    directions: int = 4
    classes: DecisionClasses = "target"
    score: Scale = "probability"
    readout: Readout = "class"
    fine: Any = None
    fill: str = "black"
    mean: Sequence[float] = field(default=(), repr=False)
    std: Sequence[float] = field(default=(), repr=False)
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
        self._check()
        attention, logits = self._look(model, images)
        check_digits("mgrw", images, logits)
        own = getattr(self.fine, "reading", None)
        # its classes are the first one's, and so is what their scores stand for
        how = replace(own, link=current_reading().link) if isinstance(own, Reading) else current_reading()
        with reading(how):
            finer = self._look(self.fine, images) if isinstance(self.fine, nn.Module) else None
        if finer:
            _check_same_classes(logits.shape[1], finer[1].shape[1])
            _check_finer(images, attention, finer[0])
        direction = target(logits)
        search = partial(self._search, direction=direction, progress=progress)
        everywhere = torch.ones_like(attention, dtype=torch.bool)
        coarse = search(model, images, attention, members=everywhere, threshold=self.coarse_threshold)
        reducts = tuple(Reduct(level) for level in coarse)
        if finer:
            kept = torch.stack([level.kept for level in coarse])
            children = refine(kept, (finer[0].shape[1], finer[0].shape[2]))
            with reading(how):
                fine = search(self.fine, images, finer[0], members=children, threshold=self.fine_threshold)
            reducts = tuple(Reduct(*levels) for levels in zip(coarse, fine, strict=True))
        heatmap = torch.stack([reduct.finest.weights for reduct in reducts]).to(images)
        return Explanation(heatmap, logits, direction.argmax(1), self, details=reducts)

    def _check(self) -> None:
        check_setting("scale", self.scale, get_args(ThresholdScale))
        check_setting("classes", self.classes, get_args(DecisionClasses))
        check_setting("score", self.score, get_args(Scale))
        check_setting("directions", self.directions, (4, 8))
        check_at_least("walks", self.walks, 1)
        check_at_least("length", self.length, 1)
        check_at_least("beta", self.beta, 0)
        check_at_least("batch_size", self.batch_size, 1)
        if not isinstance(self.fine, nn.Module | None):
            raise ModelError(f"`fine` is {self.fine!r}, not a module. Give one, or go through vitreous.explain.")

    def _look(self, model: nn.Module, images: Images) -> tuple[Heatmap, Logits]:
        """Where the last layer looks, and the class scores. The autograd graph ends here."""
        trace = observe(model, images)
        tokens = check_readout(trace, "mgrw", self.readout)
        weights = trace.global_attentions[-1].weights.detach()
        return raw_attention(tokens, weights, self.readout), trace.logits.detach()

    def _search(
        self,
        model: nn.Module,
        images: Images,
        attention: Heatmap,
        *,
        direction: Logits,
        members: PatchMask,
        threshold: float,
        progress: Progress | None,
    ) -> list[Level]:
        """Algorithm 3 for every image: walk among the members, take the best walk of each part, reduce."""
        grid = (attention.shape[1], attention.shape[2])
        neighbors = neighbors_of(*grid, self.directions)
        inside = members.flatten(1).cpu()
        weights = edge_weights(self._colors(images, grid), neighbors, self.beta)
        teams = [
            _team(components(row, neighbors), heat, self.walks)
            for row, heat in zip(inside, attention.flatten(1).cpu(), strict=True)
        ]
        sizes = [len(starts) for starts, _ in teams]
        paths = walk(
            neighbors,
            weights * inside[:, neighbors.clamp(min=0)],
            torch.arange(len(teams)).repeat_interleave(torch.tensor(sizes)),
            torch.cat([starts for starts, _ in teams]),
            torch.cat([draw_clocks(size, self.length - 1, self.directions, self.seed) for size in sizes]),
        ).split(sizes)
        seen = [visited(path, grid) for path in paths]
        distinct = [sets.unique(dim=0, return_inverse=True) for sets in seen]

        levels: list[Level] = []
        done, total = 0, sum(1 + len(sets) for sets, _ in distinct)
        for at, (sets, which) in enumerate(distinct):
            measure = partial(self._importance, model, images[at : at + 1], direction[at])
            found = measure(sets, _later(progress, done, total))[which]
            if not found.any():
                remedy = 'Choose another target, or score="logit"; an untrained head (all zeros) also gives this.'
                raise DegenerateMap("`MGRW` found no walk that changes the score", at, remedy)
            parts = [teams[at][1] == part for part in teams[at][1].unique()]
            best = [best_walk(found, seen[at].sum((1, 2)), part) for part in parts]
            walks = tuple(tuple(paths[at][one][paths[at][one] >= 0].tolist()) for one in best)
            levels.append(_level(measure, seen[at][best].any(0), walks, threshold, self.scale))
            done += 1 + len(sets)
        return levels

    def _importance(
        self,
        model: nn.Module,
        image: Images,
        direction: Float[Tensor, " classes"],
        hidden: PatchMask,
        progress: Progress | None = None,
    ) -> Float[Tensor, " sets"]:
        """Algorithm 2: I of each set of blocks, 0 where it is mere rounding. The intact image runs with them."""
        masks = torch.cat([torch.zeros_like(hidden[:1]), hidden]).to(image.device)
        fill = make_fill(self.fill, self.mean, self.std)
        logits = masked_logits(model, image, masks, fill, batch_size=self.batch_size, progress=progress)[0]
        found = importance(logits[0], logits[1:], direction, self.classes, self.score)
        shares = self.score == "probability" and link_of(logits.shape[1]) != "identity"
        size = probabilities(logits.double()).amax() if shares else logits.double().abs().amax()
        return found.where(found > rounding(found if shares else logits, size), 0).cpu()

    def _colors(self, images: Images, grid: tuple[int, int]) -> Float[Tensor, "images nodes channels"]:
        """The mean color of every block, before normalisation where that is known."""
        std, mean = (
            torch.tensor(values or neutral, dtype=torch.float64, device=images.device)[:, None, None]
            for values, neutral in ((self.std, (1.0,)), (self.mean, (0.0,)))
        )
        return F.adaptive_avg_pool2d(images.detach().double() * std + mean, grid).flatten(2).mT.cpu()


def importance(
    intact: Float[Tensor, " classes"],
    masked: Float[Tensor, "sets classes"],
    direction: Float[Tensor, " classes"],
    classes: DecisionClasses = "target",
    score: Scale = "probability",
) -> Float[Tensor, " sets"]:
    """Their eq. 10: how far the scores of the decision classes move, on average, when a set of blocks is hidden.

    >>> importance(torch.tensor([2.0, 0.0]), torch.tensor([[0.5, 0.0]]), torch.tensor([1.0, 0.0]), score="logit")
    tensor([1.5000], dtype=torch.float64)
    """
    before, after = (
        probabilities(logits.double()) if score == "probability" else logits.double() for logits in (intact, masked)
    )
    if classes == "target":
        return ((after - before) @ direction.double()).abs()
    decided = intact.topk(min(5, len(intact))).indices if classes == "top5" else slice(None)
    return (after - before)[:, decided].abs().mean(1)


def _level(
    measure: Callable[[PatchMask], Tensor],
    union: PatchMask,
    walks: tuple[tuple[int, ...], ...],
    threshold: float,
    scale: ThresholdScale,
) -> Level:
    """The reduct of the best walks' blocks: what hiding all of them does, and all but one."""
    blocks = union.flatten().nonzero()[:, 0]
    but_one = union.flatten().repeat(len(blocks), 1)
    but_one[torch.arange(len(blocks)), blocks] = False
    whole, parts = measure(torch.cat([union[None], but_one.unflatten(1, union.shape)])).split([1, len(blocks)])
    losses = torch.zeros(union.numel(), dtype=whole.dtype)
    kept = torch.zeros(union.numel(), dtype=torch.bool)
    losses[blocks] = whole - parts
    kept[blocks] = survivors(whole - parts, whole.item(), threshold, scale)
    return Level(walks, whole.item(), losses.view(union.shape), kept.view(union.shape))


def _team(parts: Sequence[Tensor], attention: Float[Tensor, " nodes"], walks: int) -> tuple[Tensor, Tensor]:
    """The start of each walker and the part that it walks in: walkers in proportion to the parts' sizes."""
    sizes = [int(part.sum()) for part in parts]
    counts = torch.tensor([max(min(_FEWEST_WALKS, walks), round(walks * size / sum(sizes))) for size in sizes])
    starts = torch.stack([attention.masked_fill(~part, -torch.inf).argmax() for part in parts])
    return starts.repeat_interleave(counts), torch.arange(len(parts)).repeat_interleave(counts)


def _later(progress: Progress | None, done: int, total: int) -> Progress | None:
    """Progress of one image, told as that of all."""
    return progress and (lambda new, _: progress(done + new, total))


def _check_same_classes(coarse: int, fine: int) -> None:
    if coarse != fine:
        raise ShapeError(
            f"the coarse model has {coarse} classes and the fine one {fine}. Give two models of the same classes."
        )


def _check_finer(images: Images, coarse: Heatmap, fine: Float[Tensor, "batch rows columns"]) -> None:
    """So that every block of the coarse model has a fine one in it, and pixels can be hidden by blocks."""
    pixels, old, new = (tuple(each.shape[-2:]) for each in (images, coarse, fine))
    if any(side % blocks or blocks < before for side, before, blocks in zip(pixels, old, new, strict=True)):
        raise ShapeError(
            f"the fine model has {new[0]}×{new[1]} blocks, which are fewer than the coarse one's {old[0]}×{old[1]} or "
            f"do not tile its {pixels[0]}×{pixels[1]} pixels. Give one with smaller patches, or of another input size."
        )
