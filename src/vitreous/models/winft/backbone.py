"""The window-free transformer, in timm's registry as `winft_tiny`, `winft_small` and `winft_base`."""

from __future__ import annotations

from itertools import chain, repeat
from typing import Any, get_args

import torch
from jaxtyping import Bool, Float
from timm.layers.pos_embed import resample_abs_pos_embed
from timm.models._builder import build_model_with_cfg
from timm.models._registry import generate_default_cfgs, register_model
from timm.models.vision_transformer import VisionTransformer, checkpoint_filter_fn
from torch import Tensor

from vitreous.errors import ShapeError, check_setting
from vitreous.models.winft.block import FieldBlock, FieldMode, Grid, resize_bias, resize_fields
from vitreous.shapes import Images, Logits

__all__ = ["WinfT", "winft_base", "winft_small", "winft_tiny"]

_EVERYWHERE = 1 << 30
"""More rows and columns than any grid has."""


class WinfT(VisionTransformer):
    """timm's Vision Transformer, attention between patches limited to fields.

    Args:
        img_size: of the images, fixed: fields belong to a grid of patches.
        patch_size: of the patches.
        rf_mode: "static": a field per block and query, all patches until `set_fields` is called, kept with the weights;
            "per_image": given with every batch, for example from a teacher; "predicted": foretold by a light head.
        density: share of the patches in a predicted field.
        keep_local: patches so many rows and columns away, at most, always belong to a field; 1 for the 3×3 around.
        global_last: whether all patches belong to the fields of the last block, whatever they are set to.
        class_token: whether there is one.
        reg_tokens: registers.
        options: of timm's `VisionTransformer`.

    Raises:
        UnknownName: no such `rf_mode`.
        ShapeError: a density outside (0, 1], or options under which the patches change.
    """

    field_grid: Tensor
    blocks: Any

    def __init__(
        self,
        img_size: int | Grid = 224,
        patch_size: int | Grid = 16,
        *,
        rf_mode: FieldMode = "static",
        density: float = 0.25,
        keep_local: int = 0,
        global_last: bool = False,
        class_token: bool = True,
        reg_tokens: int = 0,
        **options: Any,
    ) -> None:
        check_setting("rf_mode", rf_mode, get_args(FieldMode))
        if not 0 < density <= 1:
            raise ShapeError(f"`density` must be above 0 and at most 1; got {density}. Give a share of the patches.")
        for name in ("dynamic_img_size", "patch_drop_rate"):
            if options.get(name):
                raise ShapeError(f"`{name}` is {options[name]}, but fields belong to one grid. Leave it out.")
        size, patch = ((each, each) if isinstance(each, int) else each for each in (img_size, patch_size))
        grid = (size[0] // patch[0], size[1] // patch[1])
        fields = {"grid": grid, "prefix": class_token + reg_tokens, "mode": rf_mode, "density": density}
        depth = options.setdefault("depth", 12)
        reaches = chain(repeat(keep_local, depth - 1), [_EVERYWHERE if global_last else keep_local])

        def block(*args: Any, **own: Any) -> FieldBlock:
            return FieldBlock(*args, **fields, keep_local=next(reaches), **own)

        options |= {"class_token": class_token, "reg_tokens": reg_tokens, "block_fn": block}
        super().__init__(img_size, patch_size, **options)
        self.rf_mode = rf_mode
        self.register_buffer("field_grid", torch.tensor(grid))
        self.register_load_state_dict_pre_hook(_fit_state)

    def forward(self, x: Images, fields: Bool[Tensor, "batch blocks patches patches"] | None = None) -> Logits:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The class scores.

        Args:
            x: images.
            fields: in mode "per_image", query before key.

        Raises:
            ShapeError: fields that are missing, not wanted or do not fit.
        """
        return self.forward_head(self.forward_features(x, fields))

    def forward_features(self, x: Images, fields: Bool[Tensor, "batch blocks patches patches"] | None = None) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The final tokens; arguments and errors as in `forward`."""
        if self.rf_mode != "per_image":
            if fields is not None:
                raise ShapeError(f'`fields` were given, but rf_mode is "{self.rf_mode}". Build it with "per_image".')
            return super().forward_features(x)
        patches = self.patch_embed.num_patches
        wanted = (len(x), len(self.blocks), patches, patches)
        if fields is None or fields.shape != wanted:
            got = None if fields is None else tuple(fields.shape)
            raise ShapeError(
                f'`fields` must be {wanted} in rf_mode "per_image"; got {got}. They come from a teacher: '
                "`Guided(model, teacher)` of vitreous.interact.field_guide asks it."
            )
        x = self.norm_pre(self._pos_embed(self.patch_embed(x)))
        for block, field in zip(self.blocks, fields.unbind(1), strict=True):
            x = block(x, attn_mask=field)
        return self.norm(x)

    def forward_with_gates(self, x: Images) -> tuple[Logits, Float[Tensor, "batch blocks patches patches"]]:
        """The class scores, and every block's gates before the sigmoid: in mode "predicted", for their own loss.

        Teach them by `F.binary_cross_entropy_with_logits(gates, fields.float())` with a teacher's fields.
        """
        x = self.norm_pre(self._pos_embed(self.patch_embed(x)))
        gates: list[Tensor] = []
        for block in self.blocks:
            gates.append(block.gates(x))
            x = block(x)
        return self.forward_head(self.norm(x)), torch.stack(gates, 1)

    def set_fields(self, fields: Bool[Tensor, "blocks patches patches"]) -> None:
        """Take static fields, one per block; they are saved with the weights. All-True ones make a block global.

        Raises:
            ShapeError: they do not fit.
        """
        wanted = (len(self.blocks), *self.blocks[0].field.shape)
        if fields.shape != wanted:
            raise ShapeError(f"`fields` must be {wanted}; got {tuple(fields.shape)}. Give one per block, query first.")
        for block, field in zip(self.blocks, fields, strict=True):
            block.set_field(field)

    def set_input_size(self, img_size: Grid | None = None, patch_size: Grid | None = None) -> None:
        """Take another size of images or patches; fields go along."""
        super().set_input_size(img_size, patch_size)
        for block in self.blocks:
            block.resize(self.patch_embed.grid_size)
        self.field_grid = torch.tensor(self.patch_embed.grid_size, device=self.field_grid.device)


def _fit_state(model: WinfT, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Let weights of a plain ViT, and those of a WinfT on another grid, be loaded."""
    new = model.patch_embed.grid_size
    if (found := state.get(f"{prefix}field_grid")) is None:
        own = {f"{prefix}{name}": tensor for name, tensor in model.state_dict().items()}
        state |= {name: own[name] for name in own if name.endswith(("field_grid", ".field"))}
        return
    old = (int(found[0]), int(found[1]))
    if old == new:
        return
    extra = 0 if model.no_embed_class else model.num_prefix_tokens
    for name in [name for name in state if name.startswith(prefix)]:
        if name.endswith(".field"):
            state[name] = resize_fields(state[name], old, new)
        elif name.endswith(".offset_bias"):
            state[name] = resize_bias(state[name], new)
        elif name == f"{prefix}pos_embed" and state[name].shape[1] != extra + new[0] * new[1]:
            state[name] = resample_abs_pos_embed(state[name], [*new], [*old], extra)
    state[f"{prefix}field_grid"] = torch.tensor(new)


_CONFIG = {
    "url": "",
    "num_classes": 1000,
    "input_size": (3, 224, 224),
    "fixed_input_size": True,
    "pool_size": None,
    "crop_pct": 0.9,
    "interpolation": "bicubic",
    "mean": (0.485, 0.456, 0.406),
    "std": (0.229, 0.224, 0.225),
    "first_conv": "patch_embed.proj",
    "classifier": "head",
}
default_cfgs: Any = generate_default_cfgs({name: dict(_CONFIG) for name in ("winft_tiny", "winft_small", "winft_base")})


def _build(name: str, pretrained: bool, kwargs: dict[str, Any], **size: Any) -> Any:
    options: dict[str, Any] = {**size, "depth": 12, **kwargs}
    return build_model_with_cfg(WinfT, name, pretrained, pretrained_filter_fn=checkpoint_filter_fn, **options)


@register_model
def winft_tiny(pretrained: bool = False, **kwargs: Any) -> Any:
    """WinfT-Ti/16: 192 channels, 3 heads, 12 blocks, as DeiT-Ti."""
    return _build("winft_tiny", pretrained, kwargs, embed_dim=192, num_heads=3)


@register_model
def winft_small(pretrained: bool = False, **kwargs: Any) -> Any:
    """WinfT-S/16: 384 channels, 6 heads, 12 blocks, as DeiT-S."""
    return _build("winft_small", pretrained, kwargs, embed_dim=384, num_heads=6)


@register_model
def winft_base(pretrained: bool = False, **kwargs: Any) -> Any:
    """WinfT-B/16: 768 channels, 12 heads, 12 blocks, as DeiT-B."""
    return _build("winft_base", pretrained, kwargs, embed_dim=768, num_heads=12)
