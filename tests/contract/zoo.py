"""Small random models of every kind that users bring, built offline. Each is (model, input)."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import timm
import torch
from torch import Tensor, nn

from tests.contract.libraries import (
    CLASSES,
    detr,
    hugging_face,
    mobilenet,
    monai_vit,
    naflex,
    open_clip_model,
    salg,
    segformer,
    swin,
    timm_model,
    torchvision_regnet,
    torchvision_swin,
    torchvision_vit,
    unfused,
    vit_pytorch,
    yolos,
)
from tests.contract.written import Ensemble, Ordered, Siamese, Wrapped, adapted, vit
from vitreous.trace.reading import Reading


@dataclass(frozen=True)
class Case:
    """A model, and what each family of methods should say about it.

    Attributes:
        build: makes the model.
        refusal: name of the error that class-token methods raise; None where they work.
        mean: name of the error that readout="mean" raises; None where it works.
        layer: likewise, methods that read the output of a layer (the CAM family).
        pooling: likewise, methods that need a head of average pooling and one linear map.
        pixels: likewise, methods that change or read the input alone.
        ends: likewise, methods that put more rows through the head than there are images; None for `blocks`.
        has_blocks: whether each block is called as one.
        has_classifier: whether it gives class scores.
        fixed_tokens: whether something in it is made for all the tokens, such as positions inside the blocks.
        classes: how many class scores it gives.
        how: what its user says to `explain`, beside the method and the target.
    """

    build: Callable[[], nn.Module]
    refusal: str | None = None
    mean: str | None = "NoClassToken"
    layer: str | None = None
    pooling: str | None = "ObservationError"
    pixels: str | None = None
    size: tuple[int, ...] = (3, 32, 32)
    ends: str | None = None
    has_blocks: bool = True
    has_classifier: bool = True
    fixed_tokens: bool = False
    classes: int = CLASSES
    how: Mapping[str, Any] = field(default_factory=dict[str, Any], hash=False)

    @property
    def reading(self) -> Reading:
        """The same, as the library's own parts are told."""
        return Reading(**self.how)

    @property
    def dropping(self) -> str | None:
        """Likewise, methods that run the model on some of its tokens."""
        return "ObservationError" if self.fixed_tokens else self.blocks

    @property
    def attention(self) -> str | None:
        """Likewise, methods that need attention between all tokens, whichever of them the head reads."""
        return None if self.refusal == "NoClassToken" else self.refusal

    @property
    def blocks(self) -> str | None:
        """Likewise, methods that also read the tokens of every block."""
        return self.attention if self.has_blocks else "ObservationError"

    @property
    def stream(self) -> str | None:
        """Likewise, of those the ones that read the class token."""
        return self.refusal if self.has_blocks else "ObservationError"

    @property
    def head(self) -> str | None:
        """Likewise, methods that put more rows through the head."""
        return self.ends or self.blocks

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


BY_COLUMNS = tuple(row * 4 + column for column in range(4) for row in range(4))

CASES: dict[str, Case] = {
    "timm_vit": Case(timm_model("vit_tiny_patch16_224")),
    "timm_vit_unfused": Case(unfused),
    "timm_vit_wide": Case(timm_model("vit_tiny_patch16_224", img_size=(24, 40)), size=(3, 24, 40)),
    "timm_vit_gray": Case(timm_model("vit_tiny_patch16_224", in_chans=1), size=(1, 32, 32)),
    "timm_vit_mean": Case(timm_model("vit_tiny_patch16_224", global_pool="avg"), refusal="NoClassToken", mean=None),
    "timm_vit_registers_mean": Case(
        timm_model("vit_tiny_patch16_224", global_pool="avg", class_token=False, reg_tokens=4), "NoClassToken", None
    ),
    "timm_deit_distilled": Case(timm_model("deit_tiny_distilled_patch16_224")),
    "timm_dinov2_registers": Case(timm_model("vit_small_patch14_reg4_dinov2")),
    "timm_dinov3": Case(timm_model("vit_small_patch16_dinov3", global_pool="token"), fixed_tokens=True),
    "timm_eva02": Case(
        timm_model("eva02_tiny_patch14_224", mlp_ratio=2.0, global_pool="token"),
        fixed_tokens=True,
    ),
    "timm_beit": Case(timm_model("beit_base_patch16_224"), refusal="NoClassToken", mean=None, fixed_tokens=True),
    "timm_siglip": Case(
        timm_model("vit_base_patch16_siglip_224"), refusal="NoClassToken", mean=None, ends="NoGlobalAttention"
    ),
    "timm_cait": Case(
        timm_model("cait_xxs24_224", depth_token_only=1), refusal="NoClassToken", mean=None, ends="NoGlobalAttention"
    ),
    "timm_xcit": Case(  # as many channels to a head as there are patches
        timm_model("xcit_nano_12_p8_224", depth=1, cls_attn_layers=1),
        "NoGlobalAttention",
        "NoGlobalAttention",
    ),
    "timm_swin": Case(
        swin("swin_tiny_patch4_window7_224", window_size=4), "NoGlobalAttention", "NoGlobalAttention", pooling=None
    ),
    "timm_swinv2": Case(
        swin("swinv2_tiny_window8_256", window_size=4), "NoGlobalAttention", "NoGlobalAttention", pooling=None
    ),
    "salg": Case(
        salg,
        "NoGlobalAttention",
        "NoGlobalAttention",
        pooling=None,
        size=(3, 96, 96),
    ),
    "torchvision_vit": Case(torchvision_vit),
    "torchvision_swin": Case(torchvision_swin, "NoGlobalAttention", "NoGlobalAttention", pooling=None),
    "hf_vit_sdpa": Case(hugging_face("ViT")),
    "hf_vit_eager": Case(hugging_face("ViT", "eager")),
    "hf_deit_sdpa": Case(hugging_face("DeiT")),
    "hf_deit_eager": Case(hugging_face("DeiT", "eager")),
    "hf_dinov2_registers_sdpa": Case(hugging_face("Dinov2WithRegisters", num_register_tokens=4), mean=None),
    "hf_dinov2_registers_eager": Case(hugging_face("Dinov2WithRegisters", "eager", num_register_tokens=4), mean=None),
    "hf_clip_sdpa": Case(hugging_face("CLIP"), refusal="NoClassToken", mean=None, pooling=None),
    "hf_clip_eager": Case(hugging_face("CLIP", "eager"), refusal="NoClassToken", mean=None, pooling=None),
    "hf_siglip_sdpa": Case(hugging_face("Siglip"), refusal="NoClassToken", mean=None, pooling=None),
    "hf_siglip_eager": Case(hugging_face("Siglip", "eager"), refusal="NoClassToken", mean=None, pooling=None),
    "hf_swin_sdpa": Case(hugging_face("Swin"), "NoGlobalAttention", "NoGlobalAttention", pooling=None),
    "hf_swin_eager": Case(hugging_face("Swin", "eager"), "NoGlobalAttention", "NoGlobalAttention", pooling=None),
    "open_clip": Case(open_clip_model),
    "torch_encoder": Case(Ordered),
    "timm_resnet": Case(
        lambda: timm.create_model(
            "resnet18", num_classes=CLASSES, channels=(8, 16, 24, 32), layers=(1, 1, 1, 1), output_stride=16
        ),
        "NothingObserved",
        "NothingObserved",
        pooling=None,
    ),
    "timm_mobilenet": Case(
        mobilenet,
        "NothingObserved",
        "NothingObserved",
        size=(3, 64, 64),
    ),
    "torchvision_regnet": Case(
        torchvision_regnet, "NothingObserved", "NothingObserved", pooling=None, size=(3, 64, 64)
    ),
    "siamese": Case(Siamese, *["ObservationError"] * 3),
    "ensemble": Case(Ensemble, ends="ObservationError", how={"part": "first"}),
    "registers_last": Case(lambda: Ordered("cpr", depth=2)),
    "class_token_last": Case(lambda: Ordered("pc", depth=2), fixed_tokens=True),
    "linear_embedding": Case(lambda: Ordered(unfolded=True, depth=2)),
    "column_major": Case(lambda: Ordered(order=BY_COLUMNS, depth=2)),
    "timm_naflex": Case(naflex, "NoClassToken", mean=None),
    "monai_vit": Case(monai_vit, how={"output": 0}),
    "vit_pytorch": Case(vit_pytorch, has_blocks=False),
    "hf_detr": Case(
        detr,
        "ObservationError",
        "ObservationError",
        classes=CLASSES + 1,
        how={"output": lambda out: out.logits[:, 3]},
    ),
    "hf_yolos": Case(yolos, fixed_tokens=True, classes=CLASSES + 1, how={"output": lambda out: out.logits[:, 3]}),
    "hf_segformer": Case(
        segformer("ImageClassification"), "NoGlobalAttention", "NoGlobalAttention", pooling=None, size=(3, 64, 64)
    ),
    "hf_segformer_place": Case(
        segformer("SemanticSegmentation"),
        "NoGlobalAttention",
        "NoGlobalAttention",
        size=(3, 64, 64),
        how={"output": lambda out: out.logits[:, :, 5, 9]},
    ),
    "regressor": Case(lambda: Wrapped(vit(), lambda out: out[:, 3]), classes=1, how={"link": "identity"}),
    "hf_multi_label": Case(hugging_face("ViT", problem_type="multi_label_classification")),
    "headless": Case(
        timm_model("vit_small_patch16_dinov3", depth=2, num_classes=0, global_pool="token"), has_classifier=False
    ),
    "lora": Case(adapted),
    "lightning": Case(lambda: Wrapped(vit())),
}
