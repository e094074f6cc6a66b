"""The SALG pyramid, in timm's registry as `salg_st`, `salg_t` and `salg_s`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, get_args

from timm.layers.weight_init import trunc_normal_
from timm.models._builder import build_model_with_cfg
from timm.models._features import feature_take_indices
from timm.models._registry import generate_default_cfgs, register_model
from torch import Tensor, nn

from vitreous.errors import ShapeError, check_setting
from vitreous.models.salg.block import Propagation
from vitreous.models.salg.regions import FeatureMap, RegionMap
from vitreous.models.salg.stages import ConvMerge, GlobalStage, LinearMerge, Merge, RegionStage, Stem
from vitreous.shapes import Images, Logits

__all__ = ["SALG", "salg_s", "salg_st", "salg_t"]

_MARGINS = (1, 2, 1)


class SALG(nn.Module):
    """Three stages of attention within learned regions, and one of global attention.

    Args:
        img_size: accepted for timm's sake; every input size will do.
        in_chans: channels of the input.
        num_classes: of the head; 0 for none.
        embed_dim: channels of the first stage; doubled by each.
        depths: blocks of the four stages.
        window_size: side of a window, at least 4; also of the grid that the last stage's position bias is kept for.
        drop_path_rate: stochastic depth of the last block; grows from 0 linearly.
        drop_rate: dropout before the head.
        segment: whether regions are segmented; windows otherwise.
        agr: whether regions have aggregation tokens.
        propagation: between aggregation tokens: "ap", their mean, "msa", a transformer block, or "none": the ablation's
            "Base + Seg. + Local" with tokens that gather and do not tell; without tokens, it is agr=False.
        agr_carry: whether the tokens go on to the next stage of regions, merged as the text merges pixels (2 × 2 of
            them, by a norm and a linear map); else each stage begins with a vector of its own.
        merge: between stages: "conv", two convolutions, or "linear", a linear map.
        mask_pad: keep padding out of attention and means; False is the paper's literal reading.
        out_norm: whether each stage's output has a norm of its own, as dense tasks need.

    Source: Zhang et al., Semantic-Aware Local-Global Vision Transformer, arXiv 2211.14705. What the paper leaves
    open is settled as follows: heads = max(1, round(channels / 32)); AGR tokens are one learnable vector per stage and
    are not carried to the next; the last block of a stage propagates nothing, since nobody would read it; regions carry
    no gradient; eq. 3's bracket, MSA(LN(T) + T), is read as the usual MSA(LN(T)) + T. The text merges by a linear map
    as Swin does, which has 6 to 15 % fewer parameters than the paper; merge="conv", the default, has the paper's to
    1 % (AP) or 2 % (SALG-T with MSA: 41.57 million, the paper has 42.4).

    Raises:
        ShapeError: windows so small that a pixel has more than four close.
        ShapeError: `agr_carry` without `agr`.
        UnknownName: no such `propagation` or `merge`.
    """

    def __init__(
        self,
        *,
        img_size: int | tuple[int, int] = 224,
        in_chans: int = 3,
        num_classes: int = 1000,
        embed_dim: int = 96,
        depths: Sequence[int] = (2, 2, 6, 2),
        window_size: int = 7,
        drop_path_rate: float = 0.0,
        drop_rate: float = 0.0,
        segment: bool = True,
        agr: bool = True,
        propagation: Propagation = "ap",
        agr_carry: bool = False,
        merge: Merge = "conv",
        mask_pad: bool = True,
        out_norm: bool = False,
    ) -> None:
        check_setting("propagation", propagation, get_args(Propagation))
        check_setting("merge", merge, get_args(Merge))
        if window_size < 2 * max(_MARGINS):
            raise ShapeError(f"`window_size` is {window_size}. Give at least {2 * max(_MARGINS)}; the paper has 7.")
        if agr_carry and not agr:
            raise ShapeError(
                "`agr_carry` is True and `agr` False, so there is nothing to carry. Set one the other way."
            )
        super().__init__()
        self.num_classes, self.mask_pad = num_classes, mask_pad
        dims = [embed_dim * 2**stage for stage in range(4)]
        self.num_features = self.head_hidden_size = dims[-1]
        self.feature_info = [
            {"num_chs": dim, "reduction": 4 * 2**stage, "module": f"stages.{stage}"} for stage, dim in enumerate(dims)
        ]
        blocks = sum(depths)
        rates = iter(drop_path_rate * at / max(1, blocks - 1) for at in range(blocks))
        self.patch_embed = Stem(in_chans, embed_dim)
        self.stages = nn.ModuleList(
            RegionStage(
                dim,
                [next(rates) for _ in range(depth)],
                window_size,
                margin if segment else 0,
                agr=agr,
                propagation=propagation,
                mask_pad=mask_pad,
                receives=agr_carry and at > 0,
                hands_on=agr_carry and at < 2,
            )
            for at, (dim, depth, margin) in enumerate(zip(dims[:3], depths[:3], _MARGINS, strict=True))
        )
        self.stages.append(GlobalStage(dims[3], list(rates), window_size))
        self.merges = nn.ModuleList((ConvMerge if merge == "conv" else LinearMerge)(dim) for dim in dims[:3])
        self.carries = nn.ModuleList(LinearMerge(dim) for dim in dims[:2] if agr_carry)
        self.out_norms = nn.ModuleList(nn.LayerNorm(dim) if out_norm else nn.Identity() for dim in dims)
        self.norm: nn.Module = nn.LayerNorm(dims[-1])
        self.head_drop = nn.Dropout(drop_rate)
        self.head: nn.Module = nn.Linear(dims[-1], num_classes) if num_classes else nn.Identity()
        self.apply(_initialize)

    def forward_stages(self, images: Images) -> Iterator[tuple[FeatureMap, RegionMap | None]]:
        """Each stage's output, and its regions: None in the last, which has none."""
        features, agr = self.patch_embed(images), None
        for at, stage in enumerate(self.stages):
            received = self.carries[at - 1](agr) if 0 < at <= len(self.carries) else None
            features, regions, agr = stage(self.merges[at - 1](features) if at else features, received)
            yield features, regions

    def forward_features(self, images: Images) -> FeatureMap:
        """The last stage's output, normalized: (batch, height / 32, width / 32, channels)."""
        *_, (features, _) = self.forward_stages(images)
        return self.norm(features)

    def forward_head(self, features: FeatureMap, pre_logits: bool = False) -> Tensor:
        """Class scores of the averaged features, or these themselves."""
        pooled = self.head_drop(features.mean((1, 2)))
        return pooled if pre_logits else self.head(pooled)

    def forward(self, images: Images) -> Logits:
        """(batch, classes) logits."""
        return self.forward_head(self.forward_features(images))

    def regions(self, images: Images) -> list[RegionMap]:
        """The regions of the first three stages, on maps of 1/4, 1/8 and 1/16 of the picture's sides."""
        return [regions for _, regions in self.forward_stages(images) if regions is not None]

    def forward_intermediates(
        self,
        x: Images,
        indices: int | Sequence[int] | None = None,
        *,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: str = "NCHW",
        intermediates_only: bool = False,
    ) -> Any:
        """Outputs of the stages, as timm's `features_only` asks for them."""
        if output_fmt != "NCHW":
            raise ShapeError(f'`output_fmt` must be "NCHW"; got "{output_fmt}". Leave it out.')
        wanted, last = feature_take_indices(4, list(indices) if isinstance(indices, Sequence) else indices)
        kept: list[Tensor] = []
        features = x
        for at, (features, _) in enumerate(self.forward_stages(x)):
            if at in wanted:
                out = self.norm(features) if norm and at == 3 else self.out_norms[at](features)
                kept.append(out.permute(0, 3, 1, 2).contiguous())
            if stop_early and at == last:
                break
        return kept if intermediates_only else (self.norm(features) if last == 3 else features, kept)

    def prune_intermediate_layers(
        self, indices: int | Sequence[int] | None = None, prune_norm: bool = False, prune_head: bool = True
    ) -> list[int]:
        """Take off what `forward_intermediates` leaves unused, as timm asks for it; returns the stages wanted."""
        wanted, _ = feature_take_indices(4, list(indices) if isinstance(indices, Sequence) else indices)
        if prune_norm:
            self.norm = nn.Identity()
        if prune_head:
            self.reset_classifier(0)
        return wanted

    def get_classifier(self) -> nn.Module:
        """The linear head."""
        return self.head

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """A new head for so many classes; 0 for none."""
        self.num_classes = num_classes
        self.head = nn.Linear(self.num_features, num_classes) if num_classes else nn.Identity()
        _initialize(self.head)

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Recompute each block in the backward pass, for memory."""
        stages: Any = self.stages
        for stage in stages:
            stage.recompute = enable

    def no_weight_decay(self) -> set[str]:
        """Parameters that are not pulled towards 0."""
        small = ("table", "agr_bias", "agr")
        return {name for name, _ in self.named_parameters() if name.rpartition(".")[2] in small}


def _initialize(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:  # pyright: ignore[reportUnnecessaryComparison]
            nn.init.zeros_(module.bias)


_CONFIG = {
    "url": "",
    "num_classes": 1000,
    "input_size": (3, 224, 224),
    "fixed_input_size": False,
    "pool_size": (7, 7),
    "crop_pct": 0.875,
    "interpolation": "bicubic",
    "mean": (0.485, 0.456, 0.406),
    "std": (0.229, 0.224, 0.225),
    "first_conv": "patch_embed.0",
    "classifier": "head",
}
default_cfgs: Any = generate_default_cfgs({name: dict(_CONFIG) for name in ("salg_st", "salg_t", "salg_s")})


def _build(name: str, pretrained: bool, kwargs: dict[str, Any], **size: Any) -> Any:
    features = {"feature_cls": "getter", "out_indices": (0, 1, 2, 3)}
    return build_model_with_cfg(SALG, name, pretrained, feature_cfg=features, **{**size, **kwargs})


@register_model
def salg_st(pretrained: bool = False, **kwargs: Any) -> Any:
    """SALG-ST: 48 channels, 2, 2, 2, 2 blocks."""
    return _build("salg_st", pretrained, kwargs, embed_dim=48, depths=(2, 2, 2, 2))


@register_model
def salg_t(pretrained: bool = False, **kwargs: Any) -> Any:
    """SALG-T: 96 channels, 2, 2, 6, 2 blocks."""
    return _build("salg_t", pretrained, kwargs, embed_dim=96, depths=(2, 2, 6, 2))


@register_model
def salg_s(pretrained: bool = False, **kwargs: Any) -> Any:
    """SALG-S: 96 channels, 2, 2, 18, 2 blocks."""
    return _build("salg_s", pretrained, kwargs, embed_dim=96, depths=(2, 2, 18, 2))
