"""MGRW: multi-granularity random walks (Ding et al., TNNLS 2025)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, ClassVar, Literal, get_args

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from vitreous.errors import ModelError, ShapeError, check_setting
from vitreous.masking.fill import make_fill
from vitreous.masking.forward import Progress, masked_logits
from vitreous.masking.moves import rounding
from vitreous.masking.patches import refine
from vitreous.methods.block_search import BlockSearch
from vitreous.methods.explanation import Explanation
from vitreous.methods.method import Family
from vitreous.methods.raw_attention import raw_attention
from vitreous.methods.readout import Readout, check_readout
from vitreous.methods.reduct import Level, Reduct, ThresholdScale
from vitreous.methods.requirements import check_at_least, check_digits, check_product
from vitreous.methods.rollout import rollout
from vitreous.settings.typed import Passes, Seed
from vitreous.shapes import Heatmap, Images, Logits, PatchMask
from vitreous.trace.observe import observe
from vitreous.trace.reading import Reading, current_reading, link_of, reading
from vitreous.trace.target import Predicted, Scale, Target, probabilities

__all__ = ["MGRW", "Context", "DecisionClasses", "FineGraph", "StartAttention", "importance"]

DecisionClasses = Literal["target", "top5", "all"]
"""D of their equation 10: the explained class, the five most probable, or every class."""
StartAttention = Literal["last", "mean", "rollout"]
"""M_s of their equation 7: the last layer's attention, all layers' mean, or their rollout."""
Context = Literal["picture", "reduct"]
"""What is seen beside the fine blocks: the whole picture, or the coarse blocks that stay."""
FineGraph = Literal["parts", "blocks"]
"""What fine walks keep to: coarse blocks that touch, or each coarse block."""
_SAME = "same"


@dataclass(frozen=True)
class MGRW:
    """The few blocks without which the decision falls: found by random walks, on coarse blocks and then on fine ones.

    Blocks are nodes, edges join neighbors with weight exp(-β·‖g_i - g_j‖²), g the mean color. Every walk starts at the
    block with the largest attention and takes each edge at most once; the next edge is drawn by weight. The importance
    of blocks E is I(E) = |S(x) - S(x without E)| (their eq. 10 and 11). Of the most important walk's blocks, those stay
    whose loss I(E) - I(E∖i) is above the threshold (eq. 12). With a second model, `fine`, the blocks that stay are
    divided into its patches and searched again. heat = loss / largest loss where a block stays, 0 elsewhere.

    The paper's settings are the defaults for photographs; for medical pictures it takes walks=5000, length=20,
    coarse_threshold=0.2, fine_threshold=0.1. It leaves much open: `scale`, `beta`, `directions`, `classes`, `score`,
    `attention`, `context`, `fine_graph`, `sequential` and `fill` are readings, and each default is a choice of ours.
    Literal are classes="all" and scale="absolute", by which, with many classes, hardly a block passes the thresholds.
    What each does to accuracy and IoU is in results/EVIDENCE.md of the repository. Parts that are searched apart at the
    fine level have at least 50 walks each.

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
        attention: that is largest where walks start: the "last" layer's, the layers' "mean", or their "rollout".
        readout: of that attention: "class", or "mean" for models that pool the patches.
        context: at the fine level: "picture" hides the fine blocks in the whole picture; "reduct" shows the model the
            coarse blocks that stay, and nothing else, before and after.
        fine_graph: "parts": fine walks go on over coarse blocks that touch; "blocks": each stays in its coarse block.
        sequential: judge blocks one after another, from the smallest loss up, among those that are still there; else
            each among all. A forward pass for each, which do not share a batch.
        fine: a second classifier of the same classes that takes the same input and whose smaller patches tile it;
            through `vitreous.explain` or on the command line any module or spec, such as torchvision:vit_b_16, or a
            model of `vitreous.load` that is read in a way of its own. Or "same": the one model, its patches halved.
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

    walks: Passes = 500
    length: int = 36
    coarse_threshold: float = 0.3
    fine_threshold: float = 0.2
    scale: ThresholdScale = "max"
    beta: float = 10.0
    directions: int = 4
    classes: DecisionClasses = "target"
    score: Scale = "probability"
    attention: StartAttention = "last"
    readout: Readout = "class"
    context: Context = "picture"
    fine_graph: FineGraph = "parts"
    sequential: bool = False
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
        finer = None
        if self.fine == _SAME:
            finer = refine(attention, (2 * attention.shape[1], 2 * attention.shape[2]))
            _check_halves(images, finer)
        elif isinstance(self.fine, nn.Module):
            with reading(how):
                finer, others = self._look(self.fine, images)
            _check_same_classes(logits.shape[1], others.shape[1])
            _check_finer(images, attention, finer)
        direction = target(logits)
        search = partial(self._search, images=images, direction=direction, progress=progress)
        everywhere = torch.zeros_like(attention, dtype=torch.long)
        coarse = search(model, attention, everywhere, threshold=self.coarse_threshold)
        reducts = tuple(Reduct(level) for level in coarse)
        if finer is not None:
            kept = torch.stack([level.kept for level in coarse])
            regions = self._fine_regions(kept, (finer.shape[1], finer.shape[2]))
            with reading(how):
                second = model if self.fine == _SAME else self.fine
                fine = search(second, finer, regions, threshold=self.fine_threshold)
            reducts = tuple(Reduct(*levels) for levels in zip(coarse, fine, strict=True))
        heatmap = torch.stack([reduct.finest.weights for reduct in reducts]).to(images)
        return Explanation(heatmap, logits, direction.argmax(1), self, details=reducts)

    def _check(self) -> None:
        check_setting("scale", self.scale, get_args(ThresholdScale))
        check_setting("classes", self.classes, get_args(DecisionClasses))
        check_setting("score", self.score, get_args(Scale))
        check_setting("attention", self.attention, get_args(StartAttention))
        check_setting("context", self.context, get_args(Context))
        check_setting("fine_graph", self.fine_graph, get_args(FineGraph))
        check_setting("directions", self.directions, (4, 8))
        check_at_least("walks", self.walks, 1)
        check_at_least("length", self.length, 1)
        check_product("walks", self.walks, "length", self.length)
        check_at_least("beta", self.beta, 0)
        check_at_least("batch_size", self.batch_size, 1)
        if not isinstance(self.fine, nn.Module | None) and self.fine != _SAME:
            raise ModelError(
                f'`fine` is {self.fine!r}, not a module. Give one, or "same", or go through vitreous.explain.'
            )

    def _look(self, model: nn.Module, images: Images) -> tuple[Heatmap, Logits]:
        """Where the model looks, and the class scores. The autograd graph ends here."""
        trace = observe(model, images)
        tokens = check_readout(trace, "mgrw", self.readout)
        weights = [attention.weights.detach() for attention in trace.global_attentions]
        logits = trace.logits.detach()
        if self.attention == "rollout":
            return rollout(tokens, [each.mean(1) for each in weights], self.readout), logits
        read = weights if self.attention == "mean" else weights[-1:]
        return torch.stack([raw_attention(tokens, each, self.readout) for each in read]).mean(0), logits

    def _fine_regions(self, kept: PatchMask, grid: tuple[int, int]) -> Int[Tensor, "images rows columns"]:
        """For each fine block the part that walks keep to; -1 where none goes."""
        blocks = torch.arange(kept[0].numel()).view(kept.shape[1:]) if self.fine_graph == "blocks" else 0
        coarse = torch.where(kept, blocks, -1)
        return refine(coarse.double(), grid).long()

    def _search(
        self,
        model: nn.Module,
        attention: Heatmap,
        regions: Int[Tensor, "images h w"],
        *,
        images: Images,
        direction: Logits,
        threshold: float,
        progress: Progress | None,
    ) -> list[Level]:
        """One level of every image."""
        outside = (regions < 0) & (self.context == "reduct")
        measures = [
            partial(self._importance, model, images[at : at + 1], direction=direction[at], beside=beside)
            for at, beside in enumerate(outside)
        ]
        colors = self._colors(images, (attention.shape[1], attention.shape[2]))
        search = BlockSearch(
            self.walks, self.length, self.directions, self.beta, self.seed, threshold, self.scale, self.sequential
        )
        return search(measures, colors, attention, regions, progress)

    def _importance(
        self,
        model: nn.Module,
        image: Images,
        hidden: PatchMask,
        progress: Progress | None,
        *,
        direction: Float[Tensor, " classes"],
        beside: Bool[Tensor, "h w"],
    ) -> Float[Tensor, " sets"]:
        """Algorithm 2: I of each set of blocks, 0 where it is mere rounding. The image without them runs along.

        What lies in `beside` is hidden throughout.
        """
        masks = torch.cat([torch.zeros_like(hidden[:1]), hidden]).to(image.device) | beside.to(image.device)
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


def _check_halves(images: Images, fine: Float[Tensor, "batch rows columns"]) -> None:
    pixels, blocks = tuple(images.shape[-2:]), tuple(fine.shape[-2:])
    if any(side % count for side, count in zip(pixels, blocks, strict=True)):
        raise ShapeError(
            f'fine="same" halves the patches, and {blocks[0]}×{blocks[1]} blocks do not tile '
            f"{pixels[0]}×{pixels[1]} pixels. Give a second model with smaller patches, or none."
        )
