"""ViT-CX (Xie et al., IJCAI 2023)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from vitreous.errors import check_setting
from vitreous.masking.forward import Progress
from vitreous.masking.moves import moving_values
from vitreous.methods.explanation import Explanation
from vitreous.methods.method import Family
from vitreous.methods.requirements import check_at_least, check_digits
from vitreous.settings.typed import Seed
from vitreous.shapes import Images
from vitreous.trace.layer import find_layer
from vitreous.trace.layer_output import read_layer
from vitreous.trace.recorder import record
from vitreous.trace.target import Predicted, Scale, Target

__all__ = ["ViTCX", "cluster_masks", "complete_linkage"]


@dataclass(frozen=True)
class ViTCX:
    """Masks made of a layer's channels, like ones merged; each place by the score that what it belongs to keeps.

    heat = 1/N · Σ_i s_i · M_i / Σ_j M_j, s_i = p(x ⊙ M_i + Z_i ⊙ (1 - M_i)) - p(x + Z_i ⊙ (1 - M_i)), where Z_i is
    Gaussian noise and p the probability; at the resolution of the picture. The paper's s_i also holds p(x), which
    centered=False adds: the same number everywhere, but for places that no mask covers. The masks are the layer's maps,
    enlarged and scaled to [0, 1]; maps are merged by complete linkage as long as 1 - cosine is below `distance`, and
    the sum of a cluster's maps is scaled to [0, 1] again. A constant map belongs to no place and is left out.

    Attributes:
        distance: below which clusters are merged.
        noise: standard deviation of Z, in normalized pixels.
        centered: leave out p(x); False is the paper's equation.
        score: "probability", as in the paper, or "logit".
        layer: dotted name; by default the last whose patches the class scores depend on: in a ViT that reads its class
            token the input of the last attention after its norm, as in the paper.
        seed: of the noise; every picture has the same.
        batch_size: masked pictures per forward pass.

    Needs a layer whose output lies on the picture, and float16 or better.
    Cost: two forward passes for each mask, about 60 masks on a ViT-B/16, and two more.

    >>> import torch, vitreous
    >>> vitreous.explain(vitreous.load(), torch.randn(1, 3, 128, 128), "vit_cx").heatmap.shape
    torch.Size([1, 128, 128])
    """

    title: ClassVar[str] = "ViT-CX"
    source: ClassVar[str] = "Xie et al., ViT-CX: Causal Explanation of Vision Transformers, IJCAI 2023"
    family: ClassVar[Family] = "layer"
    signed: ClassVar[Literal[True]] = True
    slow: ClassVar[Literal[True]] = True

    distance: float = 0.1
    noise: float = 0.1
    centered: bool = True
    score: Scale = "probability"
    layer: str = ""
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
        check_at_least("batch_size", self.batch_size, 1)
        seen = read_layer(model, images, find_layer(model, images, self.layer))
        logits = seen.logits.detach()
        check_digits("vit_cx", images, logits)
        direction = target(logits)
        size = (images.shape[-2], images.shape[-1])
        each = [cluster_masks(maps, size, self.distance) for maps in seen.maps]
        done, total, heat = 0, sum(map(len, each)), list[Tensor]()
        for at, masks in enumerate(each):
            seen_through: list[Tensor] = []
            wholes: list[Tensor] = []
            for start in range(0, len(masks), self.batch_size):
                part = range(start, min(start + self.batch_size, len(masks)))
                through, whole = self._noisy(model, images[at], masks[part.start : part.stop].to(images), part)
                seen_through.append(through)
                wholes.append(whole)
                done += len(part)
                if progress:
                    progress(done, total)
            passes = torch.cat([logits[at : at + 1], *seen_through, *wholes])[None]
            values = moving_values(passes, direction[at : at + 1], self.score, "ViTCX", start=at)[0]
            scores = values[1 : 1 + len(masks)] - values[1 + len(masks) :]
            coverage = masks.sum(0).clamp(min=torch.finfo(masks.dtype).tiny)
            scores = scores if self.centered else scores + values[0]
            shares = torch.einsum("m,mhw->hw", scores, masks.double()) / coverage
            heat.append(shares / len(masks))
        return Explanation(torch.stack(heat).to(images), logits, direction.argmax(1), self, layer=seen.layer.name)

    def _noisy(
        self, model: nn.Module, image: Float[Tensor, "channels height width"], masks: Tensor, numbers: range
    ) -> tuple[Tensor, Tensor]:
        """Class scores of the image seen through each mask, with noise elsewhere; and of the whole with that noise.

        The noise of a mask depends on its number alone, so that no batch size changes it.
        """
        generators = [torch.Generator().manual_seed(self.seed + number) for number in numbers]
        noise = torch.stack([torch.randn(image.shape, generator=g) for g in generators]).to(image)
        seen, around = masks[:, None], self.noise * noise * (1 - masks[:, None])
        through, whole = (record(model, batch).logits for batch in (image * seen + around, image + around))
        return through, whole


def cluster_masks(
    maps: Float[Tensor, "channels h w"], size: tuple[int, int], distance: float
) -> Float[Tensor, "masks height width"]:
    """A layer's maps as masks of the picture's size, those of like shape merged.

    Which are alike is computed in double and compared in single precision, so that equally close maps are equally
    close to each other however their products round.
    """
    enlarged = F.interpolate(maps[None].double(), size, mode="bilinear", align_corners=False)[0].float().flatten(1)
    rounding = 4 * torch.finfo(enlarged.dtype).eps * enlarged.abs().amax(1)  # what enlarging alone tells apart
    enlarged = _scaled(enlarged[enlarged.amax(1) - enlarged.amin(1) > rounding])
    unit = F.normalize(enlarged.double(), dim=1)
    cluster = complete_linkage((1 - unit @ unit.mT).float().cpu(), distance).to(maps.device)
    merged = enlarged.new_zeros(int(cluster.max()) + 1, enlarged.shape[1]).index_add(0, cluster, enlarged)
    return _scaled(merged).unflatten(1, size)


def complete_linkage(distance: Float[Tensor, "n n"], threshold: float) -> Int[Tensor, " n"]:
    """The cluster of each, where the two nearest are merged as long as their farthest members are below the threshold.

    >>> places = torch.tensor([0.0, 1.0, 2.5, 9.0])
    >>> complete_linkage((places[:, None] - places).abs(), 2.0)
    tensor([0, 0, 1, 2])
    """
    apart, cluster = distance.clone().fill_diagonal_(torch.inf), torch.arange(len(distance))
    while apart.min() < threshold:
        first, second = sorted(divmod(int(apart.argmin()), len(apart)))
        apart[first] = apart[:, first] = torch.maximum(apart[first], apart[second])
        apart[second] = apart[:, second] = torch.inf
        apart[first, first] = torch.inf
        cluster[cluster == second] = first
    return cluster.unique(return_inverse=True)[1]


def _scaled(rows: Float[Tensor, "rows pixels"]) -> Float[Tensor, "rows pixels"]:
    low, high = rows.amin(1, keepdim=True), rows.amax(1, keepdim=True)
    return (rows - low) / (high - low)
