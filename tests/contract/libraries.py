"""Models of public libraries, tiny and random."""

from __future__ import annotations

import functools
from collections.abc import Callable

import timm
import torch
from timm.models._efficientnet_blocks import SqueezeExcite
from timm.models._efficientnet_builder import decode_arch_def
from timm.models.mobilenetv3 import MobileNetV3
from torch import nn

from vitreous.models.prompted import PromptClassifier
from vitreous.models.registry import registry

CLASSES = 7
SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "image_size": 32,
    "patch_size": 8,
}
NAMES = {"id2label": {at: f"name {at}" for at in range(CLASSES)}}
TINY = {"img_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 3, "num_heads": 2, "num_classes": CLASSES}


def timm_model(name: str, **kwargs: object) -> Callable[[], nn.Module]:
    return lambda: timm.create_model(name, **{**TINY, **kwargs})


def unfused() -> nn.Module:
    model = timm.create_model("vit_tiny_patch16_224", **TINY)
    for block in model.blocks:
        block.attn.fused_attn = False
    return model


def swin(name: str, **kwargs: object) -> Callable[[], nn.Module]:
    return lambda: timm.create_model(
        name, img_size=32, patch_size=2, embed_dim=8, depths=(2, 2), num_heads=(2, 2), num_classes=CLASSES, **kwargs
    )


def salg() -> nn.Module:
    return registry().create_model("salg_st", embed_dim=8, depths=(1, 1, 2, 1), num_classes=CLASSES)


def mobilenet() -> nn.Module:
    """A MobileNetV3 of few channels: methods without gradients run it once or twice for each."""
    blocks = [
        ["ds_r1_k3_s2_e1_c8_se0.25_nre"],
        ["ir_r1_k3_s2_e3_c12_nre"],
        ["ir_r2_k5_s1_e2_c16_se0.25"],
        ["cn_r1_k1_s1_c32"],
    ]
    gated = functools.partial(SqueezeExcite, gate_layer="hard_sigmoid", force_act_layer=nn.ReLU, rd_round_fn=round)
    return MobileNetV3(
        decode_arch_def(blocks), CLASSES, stem_size=8, num_features=24, act_layer=nn.Hardswish, se_layer=gated
    )


def torchvision_vit() -> nn.Module:
    from torchvision.models import VisionTransformer

    return VisionTransformer(32, 8, num_layers=3, num_heads=2, hidden_dim=32, mlp_dim=64, num_classes=CLASSES)


def torchvision_swin() -> nn.Module:
    from torchvision.models import SwinTransformer

    return SwinTransformer([2, 2], 8, [2, 2], [2, 2], [4, 4], num_classes=CLASSES)


def torchvision_regnet() -> nn.Module:
    from torchvision.models.regnet import BlockParams, RegNet

    blocks = BlockParams.from_init_params(depth=4, w_0=16, w_a=16.0, w_m=2.0, group_width=8, se_ratio=0.25)
    return RegNet(blocks, num_classes=CLASSES)


def hugging_face(kind: str, attention: str = "sdpa", **kwargs: object) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        import transformers

        if kind in ("CLIP", "Siglip"):
            vision = getattr(transformers, f"{kind}VisionConfig")(**SIZES)
            text = getattr(transformers, f"{kind}TextConfig")(
                hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, vocab_size=64
            )
            config = getattr(transformers, f"{kind}Config")(
                text_config=text.to_dict(), vision_config=vision.to_dict(), **NAMES
            )
        elif kind == "Swin":
            config = transformers.SwinConfig(
                image_size=32, patch_size=2, embed_dim=8, depths=[2, 2], num_heads=[2, 2], window_size=4, **NAMES
            )
        else:
            config = getattr(transformers, f"{kind}Config")(**SIZES, **kwargs, **NAMES)
        config._attn_implementation = attention
        return getattr(transformers, f"{kind}ForImageClassification")(config)

    return build


def open_clip_model() -> nn.Module:
    import open_clip

    vision = {"image_size": 32, "patch_size": 8, "width": 32, "head_width": 16, "layers": 3}
    text = {"vocab_size": 64, "width": 32, "heads": 2, "layers": 1}
    model = open_clip.CLIP(32, vision, text)
    return PromptClassifier(model, open_clip.CLIP.encode_image, torch.randn(CLASSES, 32))


def naflex() -> nn.Module:
    return timm.create_model(
        "naflexvit_base_patch16_gap", patch_size=8, embed_dim=24, depth=2, num_heads=2, num_classes=CLASSES
    )


def monai_vit() -> nn.Module:
    """Unfolded pixels through a linear layer; attention written out by `einsum`; logits first, then every block."""
    from monai.networks.nets import ViT

    return ViT(3, 32, 8, 32, 64, 2, 2, "perceptron", classification=True, num_classes=CLASSES, spatial_dims=2)


def vit_pytorch() -> nn.Module:
    from vit_pytorch import ViT

    return ViT(image_size=32, patch_size=8, num_classes=CLASSES, dim=32, depth=2, heads=2, dim_head=16, mlp_dim=64)


def detr() -> nn.Module:
    """Queries that read the last maps of a convolutional network."""
    import transformers

    backbone = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic", out_features=["stage2"]
    )
    config = transformers.DetrConfig(
        backbone_config=backbone,
        use_timm_backbone=False,
        use_pretrained_backbone=False,
        num_queries=5,
        d_model=32,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        num_labels=CLASSES,
    )
    return transformers.DetrForObjectDetection(config)


def yolos() -> nn.Module:
    """Queries among the tokens, after the patches."""
    import transformers

    sizes = SIZES | {"num_hidden_layers": 2, "image_size": (32, 32)}
    return transformers.YolosForObjectDetection(
        transformers.YolosConfig(**sizes, num_detection_tokens=5, num_labels=CLASSES)
    )


def segformer(kind: str) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        import transformers

        config = transformers.SegformerConfig(
            num_encoder_blocks=2,
            depths=[1, 1],
            sr_ratios=[2, 1],
            hidden_sizes=[16, 32],
            patch_sizes=[7, 3],
            strides=[4, 2],
            num_attention_heads=[1, 2],
            mlp_ratios=[2, 2],
            decoder_hidden_size=24,
            **NAMES,
        )
        return getattr(transformers, f"SegformerFor{kind}")(config)

    return build
