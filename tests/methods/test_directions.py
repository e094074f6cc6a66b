"""What is explained need not be a class: a margin, a probability, a number of any size."""

from __future__ import annotations

import functools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import vitreous
from tests.tiny import noise
from vitreous.errors import ShapeError
from vitreous.methods import METHODS, make_method
from vitreous.methods.relevance_cam import contrast
from vitreous.models.zoo import LoadedModel, describe

READS_RELEVANCE = [name for name, method in METHODS.items() if method.family in ("relevance", "chefer")]
METHODS_OF_RELEVANCE = {name: make_method(name) for name in (*READS_RELEVANCE, "transformer_attribution")} | {
    "relevance_cam": make_method("relevance_cam"),
    "lrp_orig": make_method("lrp", rules="orig"),
    "lrp_last_layer": make_method("lrp", readout="last_layer"),
    "attn_lrp_gamma": make_method("attn_lrp", linear_gamma=0.1),
}
BOTH_SIGNS: dict[str, Callable[[Tensor], Tensor]] = {
    "margin": lambda logits: logits[:, 2] - logits[:, 0],
    "probability": lambda logits: logits.softmax(1)[:, 2],
    "one against all": lambda logits: logits[:, 2] - 0.9 * logits.mean(1),
}
NOT_OF_BOTH_SIGNS = {"lrp", "lrp_last_layer", "transformer_attribution"}


@functools.cache
def models() -> tuple[LoadedModel, LoadedModel]:
    """One model in single and in double precision."""
    import timm

    torch.manual_seed(0)
    size = {"img_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 2, "num_classes": 5}
    made = [timm.create_model("vit_tiny_patch16_224", **size).eval() for _ in range(2)]
    weights = {name: torch.randn_like(each) * 0.2 for name, each in made[0].state_dict().items()}
    for model in made:
        model.load_state_dict(weights)
    return describe(made[0]), describe(made[1].double())


def maps(method: object, **target: object) -> tuple[Tensor, Tensor]:
    single, double = (vitreous.explain(model, noise(0), method, **target).heatmap.double() for model in models())
    return single, double


def alike(one: Tensor, other: Tensor) -> float:
    return torch.corrcoef(torch.stack([one.flatten(), other.flatten()]))[0, 1].item()


@pytest.mark.parametrize("what", BOTH_SIGNS)
@pytest.mark.parametrize("name", METHODS_OF_RELEVANCE)
def test_a_direction_of_both_signs(name: str, what: str) -> None:
    method, target = METHODS_OF_RELEVANCE[name], BOTH_SIGNS[what]
    if name in NOT_OF_BOTH_SIGNS:
        with pytest.raises(ShapeError, match=r"has both signs.* Use"):
            maps(method, target=target)
        return
    assert alike(*maps(method, target=target)) > 0.999, "the map is no rounding"


def test_against_is_refused_with_a_way_out() -> None:
    with pytest.raises(ShapeError, match=r'Use rules="orig" \(--set lrp.rules=orig\) or `attn_lrp`'):
        maps("lrp", target=2, against=0)
    with pytest.raises(ShapeError, match="Use `generic_attention` or `attn_lrp`"):
        maps("transformer_attribution", target=2, against=0)
    for method in (make_method("lrp", rules="orig"), "attn_lrp", "generic_attention"):
        assert alike(*maps(method, target=2, against=0)) > 0.999


@pytest.mark.parametrize("name", METHODS_OF_RELEVANCE)
def test_the_size_of_what_is_explained_changes_no_map(name: str) -> None:
    method = METHODS_OF_RELEVANCE[name]
    (_, whole), (_, small) = (
        maps(method, target=lambda logits, size=size: logits[:, 2] * size) for size in (1.0, 1e-9)
    )
    assert alike(whole, small) > 0.999


def test_a_contrast_is_as_large_as_what_it_contrasts() -> None:
    direction = torch.tensor([[0.0, -2e-6, 1e-6, 0.0]])
    torch.testing.assert_close(contrast(direction), torch.tensor([[-5e-7, -2e-6, 1e-6, -5e-7]]))
