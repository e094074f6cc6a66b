"""Small random models of every kind that users bring, built offline. Each is (model, input)."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from dataclasses import dataclass

import timm
import torch
from torch import Tensor, nn

from vitreous.models.prompted import PromptClassifier
from vitreous.models.registry import registry

CLASSES = 7


@dataclass(frozen=True)
class Case:
    """A model, and what each family of methods should say about it.

    Attributes:
        build: makes the model.
        refusal: name of the error that class-token methods raise; None where they work.
        mean: name of the error that readout="mean" raises; None where it works.
        layer: likewise, methods that read the output of a layer (the CAM family).
        pooling: likewise, methods that need a head of average pooling and one linear map.
        tokens: likewise, methods that read the tokens of every block.
        relevance: likewise, methods that change backward rules.
        chefer: likewise, methods that carry relevance down to the pixels by Chefer's rules.
        pixels: likewise, methods that change or read the input alone.
        attends_in_head: whether the head pools the tokens by attention.
        fixed_tokens: whether positions inside the blocks are made for all the tokens.
    """

    build: Callable[[], nn.Module]
    refusal: str | None = None
    mean: str | None = "NoClassToken"
    layer: str | None = None
    pooling: str | None = "ObservationError"
    tokens: str | None = None
    relevance: str | None = None
    chefer: str | None = None
    pixels: str | None = None
    size: tuple[int, ...] = (3, 32, 32)
    attends_in_head: bool = False
    fixed_tokens: bool = False

    @property
    def dropping(self) -> str | None:
        """Likewise, methods that run the model on some of its tokens."""
        return "ObservationError" if self.fixed_tokens else self.attention

    @property
    def attention(self) -> str | None:
        """Likewise, methods that need attention between all tokens, whichever of them the head reads."""
        return None if self.refusal == "NoClassToken" else self.refusal

    @property
    def head(self) -> str | None:
        """Likewise, methods that also need a head without attention of its own."""
        return "NoGlobalAttention" if self.attends_in_head else self.attention

    def model(self) -> nn.Module:
        """A copy of one's own: the next test gets it as this one did."""
        return copy.deepcopy(_conditioned(self))

    def images(self, batch: int = 2) -> Tensor:
        return torch.randn(batch, *self.size, generator=torch.Generator().manual_seed(1))


@functools.cache
def _conditioned(case: Case) -> nn.Module:
    """Random weights, and no layer whose output explodes or fades: what would be compared there is rounding."""
    torch.manual_seed(0)
    model = case.build().eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            # heads, biases and layer scales start at or near zero in some libraries: nothing to explain there
            if parameter.ndim > 1:
                nn.init.normal_(parameter, std=0.2)
            elif "bias" in name:
                nn.init.normal_(parameter, std=0.05)
            else:  # norms and layer scales
                nn.init.uniform_(parameter, 0.5, 1.0)
        hooks = [
            part.register_forward_hook(_scale) for part in model.modules() if isinstance(part, nn.Linear | nn.Conv2d)
        ]
        model(case.images())
    for hook in hooks:
        hook.remove()
    return model


def _scale(layer: nn.Module, _: object, output: Tensor) -> Tensor:
    """Give a linear layer the weights with which this output has a spread of about one: by a power of two, exactly."""
    scale = 2 ** output.std().log2().round()
    for parameter in layer.parameters(recurse=False):
        parameter.div_(scale)
    return output / scale


TINY = {"img_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 3, "num_heads": 2, "num_classes": CLASSES}


def _timm(name: str, **kwargs: object) -> Callable[[], nn.Module]:
    return lambda: timm.create_model(name, **{**TINY, **kwargs})


def _unfused() -> nn.Module:
    model = timm.create_model("vit_tiny_patch16_224", **TINY)
    for block in model.blocks:
        block.attn.fused_attn = False
    return model


def _swin(name: str, **kwargs: object) -> Callable[[], nn.Module]:
    return lambda: timm.create_model(
        name, img_size=32, patch_size=2, embed_dim=8, depths=(2, 2), num_heads=(2, 2), num_classes=CLASSES, **kwargs
    )


def _salg() -> nn.Module:
    return registry().create_model("salg_st", embed_dim=8, depths=(1, 1, 2, 1), num_classes=CLASSES)


def _torchvision_vit() -> nn.Module:
    from torchvision.models import VisionTransformer

    return VisionTransformer(32, 8, num_layers=3, num_heads=2, hidden_dim=32, mlp_dim=64, num_classes=CLASSES)


def _torchvision_swin() -> nn.Module:
    from torchvision.models import SwinTransformer

    return SwinTransformer([2, 2], 8, [2, 2], [2, 2], [4, 4], num_classes=CLASSES)


def _torchvision_regnet() -> nn.Module:
    from torchvision.models.regnet import BlockParams, RegNet

    blocks = BlockParams.from_init_params(depth=4, w_0=16, w_a=12.0, w_m=2.0, group_width=8, se_ratio=0.25)
    return RegNet(blocks, num_classes=CLASSES)


def _hf(kind: str, attention: str = "sdpa", **kwargs: object) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        import transformers

        sizes = {
            "hidden_size": 32,
            "num_hidden_layers": 3,
            "num_attention_heads": 2,
            "intermediate_size": 64,
            "image_size": 32,
            "patch_size": 8,
        }
        names = {"id2label": {at: f"name {at}" for at in range(CLASSES)}}
        if kind in ("CLIP", "Siglip"):
            vision = getattr(transformers, f"{kind}VisionConfig")(**sizes)
            text = getattr(transformers, f"{kind}TextConfig")(
                hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, vocab_size=64
            )
            config = getattr(transformers, f"{kind}Config")(
                text_config=text.to_dict(), vision_config=vision.to_dict(), **names
            )
        elif kind == "Swin":
            config = transformers.SwinConfig(
                image_size=32, patch_size=2, embed_dim=8, depths=[2, 2], num_heads=[2, 2], window_size=4, **names
            )
        else:
            config = getattr(transformers, f"{kind}Config")(**sizes, **kwargs, **names)
        config._attn_implementation = attention
        return getattr(transformers, f"{kind}ForImageClassification")(config)

    return build


def _open_clip() -> nn.Module:
    import open_clip

    vision = {"image_size": 32, "patch_size": 8, "width": 32, "head_width": 16, "layers": 3}
    text = {"vocab_size": 64, "width": 32, "heads": 2, "layers": 1}
    model = open_clip.CLIP(32, vision, text)
    return PromptClassifier(model, open_clip.CLIP.encode_image, torch.randn(CLASSES, 32))


class _Encoder(nn.Module):
    """`nn.TransformerEncoder` on a patch convolution: the simplest Vision Transformer that one can write."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 32, 8, 8)
        self.token = nn.Parameter(torch.zeros(1, 1, 32))
        self.position = nn.Parameter(torch.zeros(1, 17, 32))
        layer = nn.TransformerEncoderLayer(32, 2, 64, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False)
        self.head = nn.Linear(32, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.patches(images).flatten(2).mT
        tokens = torch.cat([self.token.expand(len(tokens), -1, -1), tokens], 1) + self.position
        return self.head(self.encoder(tokens)[:, 0])


CASES: dict[str, Case] = {
    "timm_vit": Case(_timm("vit_tiny_patch16_224")),
    "timm_vit_unfused": Case(_unfused),
    "timm_vit_wide": Case(_timm("vit_tiny_patch16_224", img_size=(24, 40)), size=(3, 24, 40)),
    "timm_vit_gray": Case(_timm("vit_tiny_patch16_224", in_chans=1), size=(1, 32, 32)),
    "timm_vit_mean": Case(_timm("vit_tiny_patch16_224", global_pool="avg"), refusal="NoClassToken", mean=None),
    "timm_vit_registers_mean": Case(
        _timm("vit_tiny_patch16_224", global_pool="avg", class_token=False, reg_tokens=4), "NoClassToken", None
    ),
    "timm_deit_distilled": Case(_timm("deit_tiny_distilled_patch16_224")),
    "timm_dinov2_registers": Case(_timm("vit_small_patch14_reg4_dinov2")),
    "timm_dinov3": Case(_timm("vit_small_patch16_dinov3", global_pool="token"), fixed_tokens=True),
    "timm_eva02": Case(
        _timm("eva02_tiny_patch14_224", mlp_ratio=2.0, global_pool="token"),
        fixed_tokens=True,
    ),
    "timm_beit": Case(_timm("beit_base_patch16_224"), refusal="NoClassToken", mean=None, fixed_tokens=True),
    "timm_siglip": Case(_timm("vit_base_patch16_siglip_224"), refusal="NoClassToken", mean=None, attends_in_head=True),
    "timm_cait": Case(
        _timm("cait_xxs24_224", depth_token_only=1), refusal="NoClassToken", mean=None, attends_in_head=True
    ),
    "timm_xcit": Case(  # as many channels to a head as there are patches
        _timm("xcit_nano_12_p8_224", depth=1, cls_attn_layers=1),
        "NoGlobalAttention",
        "NoGlobalAttention",
        chefer="RuleError",
    ),
    "timm_swin": Case(
        _swin("swin_tiny_patch4_window7_224", window_size=4), "NoGlobalAttention", "NoGlobalAttention", pooling=None
    ),
    "timm_swinv2": Case(
        _swin("swinv2_tiny_window8_256", window_size=4), "NoGlobalAttention", "NoGlobalAttention", pooling=None
    ),
    "salg": Case(
        _salg,
        "NoGlobalAttention",
        "NoGlobalAttention",
        pooling=None,
        chefer="RuleError",
        size=(3, 64, 64),
    ),
    "torchvision_vit": Case(_torchvision_vit),
    "torchvision_swin": Case(_torchvision_swin, "NoGlobalAttention", "NoGlobalAttention", pooling=None),
    "hf_vit_sdpa": Case(_hf("ViT")),
    "hf_vit_eager": Case(_hf("ViT", "eager")),
    "hf_deit_sdpa": Case(_hf("DeiT")),
    "hf_deit_eager": Case(_hf("DeiT", "eager")),
    "hf_dinov2_registers_sdpa": Case(_hf("Dinov2WithRegisters", num_register_tokens=4), mean=None),
    "hf_dinov2_registers_eager": Case(_hf("Dinov2WithRegisters", "eager", num_register_tokens=4), mean=None),
    "hf_clip_sdpa": Case(_hf("CLIP"), refusal="NoClassToken", mean=None, pooling=None),
    "hf_clip_eager": Case(_hf("CLIP", "eager"), refusal="NoClassToken", mean=None, pooling=None),
    "hf_siglip_sdpa": Case(_hf("Siglip"), refusal="NoClassToken", mean=None, pooling=None),
    "hf_siglip_eager": Case(_hf("Siglip", "eager"), refusal="NoClassToken", mean=None, pooling=None),
    "hf_swin_sdpa": Case(_hf("Swin"), "NoGlobalAttention", "NoGlobalAttention", pooling=None),
    "hf_swin_eager": Case(_hf("Swin", "eager"), "NoGlobalAttention", "NoGlobalAttention", pooling=None),
    "open_clip": Case(_open_clip),
    "torch_encoder": Case(_Encoder),
    "timm_resnet": Case(
        lambda: timm.create_model(
            "resnet18", num_classes=CLASSES, channels=(8, 16, 24, 32), layers=(1, 1, 1, 1), output_stride=16
        ),
        "NothingObserved",
        "NothingObserved",
        pooling=None,
        chefer="RuleError",
    ),
    "timm_mobilenet": Case(
        lambda: timm.create_model("mobilenetv3_small_050", num_classes=CLASSES),
        "NothingObserved",
        "NothingObserved",
        chefer="RuleError",
        size=(3, 64, 64),
    ),
    "torchvision_regnet": Case(
        _torchvision_regnet, "NothingObserved", "NothingObserved", pooling=None, chefer="RuleError", size=(3, 64, 64)
    ),
}
