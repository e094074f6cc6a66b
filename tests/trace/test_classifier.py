"""A backbone is known by what makes its output; nothing else is taken for one."""

from __future__ import annotations

import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn

from tests.contract.libraries import TINY
from tests.contract.zoo import CASES
from vitreous.errors import NoClassScores
from vitreous.trace.classifier import check_classifier
from vitreous.trace.reading import Reading, reading

IMAGES = torch.randn(2, 3, 64, 64)


def _without(name: str, part: str, **settings: object) -> nn.Module:
    model = getattr(torchvision.models, name)(**settings)
    owner, _, attribute = part.rpartition(".")
    setattr(model.get_submodule(owner), attribute, nn.Identity())
    return model.eval()


BACKBONES = {
    "timm": lambda: timm.create_model("resnet18", num_classes=0),
    "a timm model compiled": lambda: torch.compile(timm.create_model("resnet18", num_classes=0), backend="eager"),
    "resnet": lambda: _without("resnet18", "fc"),
    "swin": lambda: _without("swin_t", "head"),
    "convnext": lambda: _without("convnext_tiny", "classifier.2"),
    "mobilenet": lambda: _without("mobilenet_v3_small", "classifier.3"),
    "densenet": lambda: _without("densenet121", "classifier"),
    "in a wrapper": lambda: nn.Sequential(_without("resnet18", "fc")),
}


@pytest.mark.parametrize("name", BACKBONES)
def test_a_backbone_is_refused(name: str) -> None:
    with pytest.raises(NoClassScores, match=r"gives features and no class scores\. .*raw_attention"):
        check_classifier(BACKBONES[name]().eval(), IMAGES)


def test_whoever_names_its_output_may_explain_it() -> None:
    with reading(Reading(output=lambda output: output)):
        check_classifier(BACKBONES["resnet"](), IMAGES)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.has_classifier])
def test_no_classifier_is_taken_for_a_backbone(name: str) -> None:
    check_classifier(CASES[name].model(), CASES[name].images())


class _Ends(nn.Module):
    """A classifier whose last layer, as it was made, is an identity or a norm, and that uses it otherwise."""

    def __init__(self, last: nn.Module) -> None:
        super().__init__()
        self.body = timm.create_model("vit_tiny_patch16_224", **{**TINY, "num_classes": 0})
        self.weight = nn.Parameter(torch.randn(7, 32))
        self.last = last

    def forward(self, images: Tensor) -> Tensor:
        return self.last(self.body(images)) @ self.weight.T


@pytest.mark.parametrize("last", [nn.Identity(), nn.LayerNorm(32)], ids=["identity", "norm"])
def test_what_ran_last_decides_not_what_was_made_last(last: nn.Module) -> None:
    check_classifier(_Ends(last).eval(), CASES["timm_vit"].images())


@pytest.mark.filterwarnings(
    "ignore:torch.ao.quantization:DeprecationWarning", "ignore:torch.quantize_per_tensor:UserWarning"
)
def test_quantized_layers_are_linear_maps() -> None:
    model = timm.create_model("vit_tiny_patch16_224", **TINY)
    check_classifier(torch.ao.quantization.quantize_dynamic(model, {nn.Linear}), CASES["timm_vit"].images())
