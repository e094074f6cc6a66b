"""Models that return something else than class scores: explained by one argument, or refused with what to do."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F
import transformers
from torch import Tensor, nn

import vitreous
from tests.contract.libraries import TINY
from tests.contract.zoo import CASES
from tests.quick import quick_pairs
from vitreous.errors import ModelError, NoClassScores, ShapeError
from vitreous.methods import METHODS
from vitreous.methods.explanation import Explanation
from vitreous.methods.method import ScorelessMethod

IMAGES = CASES["timm_vit"].images()
SIZES = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 64}


class Returns(nn.Module):
    """A ViT that returns what a function makes of its class scores and its tokens."""

    def __init__(self, make: Callable[[Tensor, Tensor], Any]) -> None:
        super().__init__()
        self.vit, self.make = CASES["timm_vit"].model(), make

    def forward(self, images: Tensor) -> Any:
        tokens = self.vit.forward_features(images)
        return self.make(self.vit.forward_head(tokens), tokens)


def same(found: Explanation, expected: Explanation) -> None:
    torch.testing.assert_close(found.heatmap, expected.heatmap)
    assert found.logits is not None
    torch.testing.assert_close(found.logits, expected.logits)
    assert found.target is not None
    assert torch.equal(found.target, expected.target)


@pytest.mark.parametrize("method", ["ag_cam", "attn_lrp", "grad_cam", "generic_attention", "rollout", "rise"])
def test_one_argument_makes_it_explainable(method: str) -> None:
    settings = {"masks": 40} if method == "rise" else {}
    expected = vitreous.explain(CASES["timm_vit"].model(), IMAGES, method, **settings)
    two = Returns(lambda scores, tokens: (tokens[:, 0], scores))
    same(vitreous.explain(two, IMAGES, method, output=1, **settings), expected)
    same(vitreous.explain(vitreous.models.zoo.describe(two).read_as(output=1), IMAGES, method, **settings), expected)
    named = Returns(lambda scores, tokens: {"features": tokens[:, 0], "scores": scores})
    same(vitreous.explain(named, IMAGES, method, output="scores", **settings), expected)
    by_itself = Returns(lambda scores, tokens: {"features": tokens[:, 0], "logits": scores})
    same(vitreous.explain(by_itself, IMAGES, method, **settings), expected)
    places = Returns(lambda scores, _: {"logits": torch.stack([scores, -scores], 2)[..., None]})
    same(vitreous.explain(places, IMAGES, method, output=lambda out: out["logits"][:, :, 0, 0], **settings), expected)


@pytest.mark.parametrize("method", ["ag_cam", "legrad", "grad_cam", "rollout", "rise", "tis", "input_x_gradient"])
@pytest.mark.parametrize("classes", [7, 1])
def test_a_squeeze_changes_nothing(method: str, classes: int) -> None:
    """Of one image it takes the batch away, and of one score the classes; a batch of three ends in one of one."""
    settings, images = {"masks": 40} if method == "rise" else {}, torch.cat([IMAGES, IMAGES[:1].flip(3)])
    squeezed, whole = (
        Returns(lambda scores, _, make=make: make(scores[:, :classes])) for make in (Tensor.squeeze, Tensor.clone)
    )
    for some in (images[:1], images):
        expected = vitreous.explain(whole, some, method, batch_size=2, **settings)
        same(vitreous.explain(squeezed, some, method, batch_size=2, **settings), expected)


def test_rows_that_are_no_images_are_refused() -> None:
    for make in (lambda scores, _: scores.T, lambda scores, _: scores[0], lambda scores, _: scores.flatten()):
        with pytest.raises(NoClassScores, match=r"for 2 images, not .* Give a row for each image"):
            vitreous.explain(Returns(make), IMAGES, "occlusion", fill="mean")


def test_features_are_not_explained_as_classes() -> None:
    two = Returns(lambda scores, tokens: (tokens[:, 0], scores))
    with pytest.raises(NoClassScores, match=r"`0` \(2, 32\), `1` \(2, 7\), and which of them"):
        vitreous.explain(two, IMAGES)
    with pytest.raises(NoClassScores, match="num_classes=0"):
        vitreous.explain(timm.create_model("vit_tiny_patch16_224", **{**TINY, "num_classes": 0}), IMAGES)


def _hf_backbone(kind: str) -> nn.Module:
    config = getattr(transformers, f"{kind}Config")(image_size=32, patch_size=8, **SIZES)
    return getattr(transformers, f"{kind}Model")(config).eval()


BACKBONES: dict[str, Callable[[], nn.Module]] = {
    "timm": lambda: timm.create_model("vit_tiny_patch16_224", **{**TINY, "num_classes": 0}).eval(),
    "timm DINOv3": lambda: timm.create_model(
        "vit_small_patch16_dinov3", **{**TINY, "num_classes": 0}, global_pool="token"
    ).eval(),
    "hf ViT": lambda: _hf_backbone("ViT"),
    "hf DINOv2": lambda: _hf_backbone("Dinov2"),
    "hf DINOv3": lambda: _hf_backbone("DINOv3ViT"),
    "tokens": lambda: Returns(lambda _, tokens: tokens),
    "several outputs": lambda: Returns(lambda scores, tokens: (tokens[:, 0], scores)),
}


@functools.cache
def backbone_of_all(name: str) -> nn.Module:
    """One for all methods, which leave it as it was."""
    return BACKBONES[name]()


@pytest.mark.parametrize(("backbone", "method"), quick_pairs(BACKBONES, METHODS, ["timm"]))
def test_without_a_classifier_what_needs_none_explains_and_the_rest_refuses(backbone: str, method: str) -> None:
    model = backbone_of_all(backbone)
    if not isinstance(METHODS[method](), ScorelessMethod):
        with pytest.raises(NoClassScores, match=r"\. [A-Z].*\.$"):
            vitreous.explain(model, IMAGES, method)
        return
    found = vitreous.explain(model, IMAGES, method)
    assert (found.logits, found.target, found.answer()) == (None, None, None)
    assert "of no class" in repr(found)
    singles = vitreous.explain(model, IMAGES, method, batch_size=1)
    torch.testing.assert_close(found.heatmap, singles.heatmap, rtol=1e-4, atol=1e-5)
    with pytest.raises(NoClassScores):
        vitreous.explain(model, IMAGES, method, target=0)
    with pytest.raises(NoClassScores, match="nothing has a probability"):
        _ = found.probabilities


@pytest.mark.parametrize("method", ["raw_attention", "rollout"])
def test_a_backbone_has_the_maps_of_its_classifier(method: str) -> None:
    """The same weights with and without a head attend alike."""
    model = CASES["timm_vit"].model()
    expected = vitreous.explain(model, IMAGES, method).heatmap
    model.reset_classifier(0)
    assert torch.equal(vitreous.explain(model, IMAGES, method).heatmap, expected)


def test_what_a_map_without_a_decision_leaves(tmp_path: Path) -> None:
    found = vitreous.explain(BACKBONES["timm"](), IMAGES, "raw_attention")
    found.save(tmp_path / "found.npz")
    with np.load(tmp_path / "found.npz") as arrays:
        assert list(arrays) == ["heatmap", "about"]
    found.save(tmp_path / "found.png")
    assert (tmp_path / "found.png").is_file()
    assert vitreous.interactions(BACKBONES["timm"](), IMAGES).logits is None


def test_the_likeness_to_another_picture_is_a_target() -> None:
    """The map is that of a linear classifier whose weights are the other picture's embedding."""
    model = BACKBONES["timm"]()
    other = model(torch.randn(1, 3, 32, 32)).detach()[0]
    found = vitreous.explain(model, IMAGES, output=lambda out: out, target=lambda own: own @ other)
    assert found.target is None, "a likeness is no class"
    model.head = nn.Linear(32, 1, bias=False)
    model.head.weight.data[:] = other
    model.num_classes = 1
    expected = vitreous.explain(model, IMAGES, target=0)
    torch.testing.assert_close(found.heatmap, expected.heatmap)
    measured = vitreous.explain(model, IMAGES, "rise", masks=40, score="logit", target=0)
    model.head, model.num_classes = nn.Identity(), 0
    by_likeness = vitreous.explain(
        model, IMAGES, "rise", masks=40, output=lambda out: out, target=lambda own: own @ other
    )
    torch.testing.assert_close(by_likeness.heatmap, measured.heatmap, msg="the softmax of an embedding means nothing")


def _hf(problem: str | None, labels: int) -> nn.Module:
    config = transformers.ViTConfig(image_size=32, patch_size=8, problem_type=problem, num_labels=labels, **SIZES)
    torch.manual_seed(0)
    model = transformers.ViTForImageClassification(config).eval()
    nn.init.normal_(model.classifier.weight)
    return model


def test_labels_that_hold_at_once_have_sigmoid_probabilities() -> None:
    model = _hf("multi_label_classification", 4)
    found = vitreous.explain(model, IMAGES)
    torch.testing.assert_close(found.probabilities, model(IMAGES).logits.sigmoid().detach())
    answer = found.answer()
    assert answer is not None
    assert answer.probability == pytest.approx(model(IMAGES).logits[0].sigmoid().max().item())
    plain = _hf(None, 4)
    torch.testing.assert_close(vitreous.explain(plain, IMAGES).probabilities, plain(IMAGES).logits.softmax(1).detach())
    said = vitreous.explain(plain, IMAGES, link="sigmoid")
    torch.testing.assert_close(said.probabilities, plain(IMAGES).logits.sigmoid().detach())


def test_a_value_is_shown_as_a_value() -> None:
    model = _hf("regression", 1)
    model.classifier.bias.data[:] = 62.4
    found = vitreous.explain(model, IMAGES)
    answer = found.answer()
    assert answer is not None
    assert (answer.name, answer.probability) == ("value 0", None)
    assert answer.shown == f"{model(IMAGES).logits[0, 0].item():.5g}"
    assert "value 0" in repr(found)
    with pytest.raises(ModelError, match="are values, which have no probabilities"):
        _ = found.probabilities
    own = Returns(lambda scores, _: scores[:, 0] + 62.4)
    same(vitreous.explain(own, IMAGES, link="identity"), vitreous.explain(own, IMAGES, target=0))
    with pytest.raises(ShapeError, match=r"gives 4 values and no classes.* target=0 … 3"):
        vitreous.explain(_hf("regression", 4), IMAGES)
    assert vitreous.explain(_hf("regression", 4), IMAGES, target=2).answer() is not None


def test_a_negative_binary_score_is_explained_against() -> None:
    middle = CASES["timm_vit"].model()(IMAGES)[:, 0].mean().item()
    model = Returns(lambda scores, _: scores[:, :1] - middle)
    found = vitreous.explain(model, IMAGES)
    assert found.logits is not None
    negative = found.logits[:, 0] < 0
    assert negative.sum() == 1
    assert found.opposed == tuple(negative.tolist())
    for at, side in enumerate(negative.tolist()):
        answer = found.answer(at)
        assert answer is not None
        assert answer.name == ("not class 0" if side else "class 0")
        assert answer.probability == pytest.approx(found.logits[at, 0].abs().sigmoid().item())
    pro = vitreous.explain(model, IMAGES, "input_x_gradient", target=0)
    contra = vitreous.explain(model, IMAGES, "input_x_gradient")
    assert not pro.opposed, "whoever names the class asks what speaks for it"
    torch.testing.assert_close(contra.heatmap, pro.heatmap * torch.where(negative, -1, 1)[:, None, None])
    values = vitreous.explain(model, IMAGES, "input_x_gradient", link="identity")
    assert torch.equal(values.heatmap, pro.heatmap), "a low value is no answer that could be spoken against"


def test_length_one_is_an_embedding() -> None:
    clip = Returns(lambda _, tokens: (F.normalize(tokens[:, 0], dim=1), None, torch.tensor(3.0)))
    with pytest.raises(NoClassScores, match="an embedding, not class scores"):
        vitreous.explain(clip, IMAGES)
