"""Patch posterior: this project's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from vitreous.errors import ObservationError, check_setting
from vitreous.masking.fill import make_fill
from vitreous.masking.forward import Progress, masked_logits
from vitreous.masking.moves import moving_values, rounding
from vitreous.methods.explanation import Explanation
from vitreous.methods.generic_attention import GenericAttention
from vitreous.methods.method import Family
from vitreous.methods.requirements import check_at_least
from vitreous.settings.typed import Seed, Within
from vitreous.shapes import Heatmap, Images
from vitreous.trace.layer import find_layer
from vitreous.trace.layer_output import read_layer
from vitreous.trace.target import Predicted, Target, value_of

__all__ = ["PatchPosterior", "draw_blobs", "likeness", "posterior"]

_NOISES = torch.logspace(-2, 2, 33, dtype=torch.float64)
"""What the noise's variance may be, in means of the signal's."""


@dataclass(frozen=True)
class PatchPosterior:
    """How probable it is, after some hundred masks, that a patch speaks for the class more than the average patch does.

    heat = P(w > 0 | y) in the model y = a + c·|v| + v·w + ε, w ~ N(0, σ²·C), ε ~ N(0, ν·σ²). Mask v shows a share of
    the patches, in blobs, and y is what the class then gets: its logit and its probability, both standardized over the
    masks, added up. So c is what any patch is worth, and w_t what patch t is worth beyond that. Patches that are near
    and look alike to the model are expected to be worth as much:
    C_st = exp(-|s - t|²/2ℓ² + (cos(f_s, f_t) - 1)/τ) + p_s·p_t, with f the features of a layer less their mean over the
    picture, and p the standardized map of `prior`. For a and c any value is as likely; σ² and ν are those of the
    largest restricted likelihood.

    A map of ½ says that the masks tell nothing.

    Attributes:
        masks: how many.
        reach: ℓ, in patches.
        temperature: τ.
        prior: "generic_attention", or "" for none, for models without global attention or a class token.
        layer: dotted name; by default the last whose patches the class scores depend on.
        fill: what shows where a mask hides: "mean" (zero after normalization), "black", "gray", "white", "blur".
        mean: of the pixels' normalization; `vitreous.explain` knows it from the model.
        std: likewise.
        seed: of the masks; every picture has the same.
        batch_size: masked pictures per forward pass.

    Needs a layer whose output lies on the picture and tiles it.
    Cost: masks + 2 forward passes, a backward pass for the prior, and an eigendecomposition of masks × masks.

    >>> import torch, vitreous
    >>> vitreous.explain(vitreous.load(), torch.randn(1, 3, 128, 128), "patch_posterior", masks=32).heatmap.shape
    torch.Size([1, 8, 8])
    """

    title: ClassVar[str] = "Patch posterior"
    source: ClassVar[str] = "vitreous; after Zhao et al., BayLIME, UAI 2021, and Petsiuk et al., RISE, BMVC 2018"
    family: ClassVar[Family] = "class_token"
    slow: ClassVar[Literal[True]] = True

    masks: Annotated[int, Within(8, 4096)] = 256  # they are solved for at once
    reach: float = 3.0
    temperature: float = 0.3
    prior: Literal["generic_attention", ""] = "generic_attention"
    layer: str = ""
    fill: str = "mean"
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
        check_at_least("masks", self.masks, 8)
        check_at_least("batch_size", self.batch_size, 1)
        for name in ("reach", "temperature"):
            check_at_least(name, getattr(self, name), 1e-3)
        check_setting("prior", self.prior, ("generic_attention", ""))
        seen = read_layer(model, images, find_layer(model, images, self.layer))
        logits, maps = seen.logits.detach(), seen.maps
        direction = target(logits)
        alike = likeness(maps, self.reach, self.temperature)
        if self.prior:
            known = _standardized(_generic_attention(model, images, target, maps.shape[2:])).flatten(1)
            alike = alike + known[:, :, None] * known[:, None, :]
        grid = (maps.shape[2], maps.shape[3])
        hidden = draw_blobs(self.masks, grid, self.seed).to(images.device)
        fill = make_fill(self.fill, self.mean, self.std)
        masked = masked_logits(model, images, hidden, fill, batch_size=self.batch_size, progress=progress)
        logit = _standardized(moving_values(masked, direction, "logit", "PatchPosterior"))
        probability = _standardized(value_of(masked.double(), direction.double(), "probability"))
        shown = (~hidden).flatten(1).double()
        heat = [posterior(shown, *each) for each in zip(logit + probability, alike, strict=True)]
        heatmap = torch.stack(heat).unflatten(1, grid).to(images)
        return Explanation(heatmap, logits, direction.argmax(1), self, layer=seen.layer.name)


def posterior(
    shown: Float[Tensor, "masks patches"], scores: Float[Tensor, " masks"], alike: Float[Tensor, "patches patches"]
) -> Float[Tensor, " patches"]:
    """P(w > 0 | scores) of every patch, with the variances of the largest restricted likelihood.

    Args:
        shown: 1 where a mask shows a patch.
        scores: what the class got under each mask.
        alike: C, the covariance of w but for σ².
    """
    # any a and c: only what is orthogonal to them counts
    free = torch.stack([torch.ones_like(scores), shown.sum(1)], 1)
    rest = torch.linalg.qr(free, mode="complete").Q[:, 2:].mT
    shown, scores = rest @ shown, rest @ scores
    across = shown @ alike
    signal, axes = torch.linalg.eigh(across @ shown.mT)
    signal, turned, gain = signal.clamp(min=0), axes.mT @ scores, axes.mT @ across
    variances = signal + (_NOISES.to(signal) * signal.mean())[:, None]
    scale = (turned**2 / variances).mean(1)
    best = int((scale.log() * len(scores) + variances.log().sum(1)).argmin())
    mean = gain.mT @ (turned / variances[best])
    variance = scale[best] * (alike.diagonal() - (gain**2 / variances[best][:, None]).sum(0))
    return torch.special.ndtr(mean / variance.clamp(min=torch.finfo(mean.dtype).tiny).sqrt())


def likeness(
    maps: Float[Tensor, "batch channels h w"], reach: float, temperature: float
) -> Float[Tensor, "batch patches patches"]:
    """exp(-|s - t|²/2·reach² + (cos(f_s, f_t) - 1)/temperature) of each two patches s and t."""
    features = maps.flatten(2).mT.double()
    unit = F.normalize(features - features.mean(1, keepdim=True), dim=2)
    rows, columns = (torch.arange(size, device=maps.device, dtype=unit.dtype) for size in maps.shape[2:])
    places = torch.cartesian_prod(rows, columns)
    apart = (places[:, None] - places).square().sum(2)
    return ((unit @ unit.mT - 1) / temperature - apart / (2 * reach**2)).exp()


def draw_blobs(count: int, grid: tuple[int, int], seed: int) -> Bool[Tensor, "count h w"]:
    """What each mask hides: 5 to 95 % of the patches, in blobs of about two by two; the same for the same seed.

    The second half hides what the first shows, so that a patch's effect is not taken for that of how much is shown.
    """
    half = (count + 1) // 2
    coarse = [max(2, side // 2) for side in grid]
    noise = torch.randn(half, 1, *coarse, generator=torch.Generator().manual_seed(seed))
    field = F.interpolate(noise, grid, mode="bilinear", align_corners=False).flatten(1)
    # multiples of the golden ratio: shares are even however many masks there are
    share = 0.05 + 0.9 * ((torch.arange(half) + 0.5) * 0.6180339887498949 % 1)
    hidden = field.argsort(1).argsort(1) < (share * field.shape[1]).round()[:, None]
    return torch.cat([hidden, ~hidden])[:count].unflatten(1, grid)


def _generic_attention(model: nn.Module, images: Images, target: Target, grid: Sequence[int]) -> Heatmap:
    try:
        heatmap = GenericAttention()(model, images, target).heatmap
    except ObservationError as error:
        raise type(error)(f'{error} Or set prior="" for `patch_posterior`.') from None
    return F.interpolate(heatmap[:, None], list(grid), mode="bilinear", align_corners=False)[:, 0]


def _standardized(values: Tensor) -> Tensor:
    """Mean 0 and standard deviation 1 of each image's values; 0 where they are all alike but for rounding."""
    flat = values.flatten(1).double()
    centered = flat - flat.mean(1, keepdim=True)
    spread = centered.square().mean(1, keepdim=True).sqrt()
    moves = spread > rounding(flat, flat.abs().amax(1, keepdim=True))
    return torch.where(moves, centered / spread.where(moves, 1), 0).view_as(values)
