"""What looks alike, attends and matters is what layers, attention and gradients say; or why it is not known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import timm
import torch
import torch.nn.functional as F

from vitreous.interact.indicator import effect
from vitreous.interact.relations import regions_of, relations_of
from vitreous.models.zoo import LoadedModel, describe
from vitreous.render.relations import Relation
from vitreous.trace.layer import find_layer
from vitreous.trace.observe import observe
from vitreous.trace.target import Classes


def test_each_meaning_is_read_where_it_lies(model: LoadedModel) -> None:
    image, targets = torch.randn(1, 3, 32, 32), [Classes((2,)), Classes((0,))]
    found = relations_of(model, image, targets)
    alike, attends, matters = found["alike"], found["attends"], found["matters"]
    assert isinstance(alike, Relation)
    assert isinstance(attends, Relation)
    assert isinstance(matters, Relation)

    layer = find_layer(model.model, image)
    tokens = observe(model.model, image, layers=[layer.name]).layers[layer.name][0, 1:].detach()
    cosine = F.cosine_similarity(tokens[:, None], tokens[None], dim=2)
    np.testing.assert_allclose(alike.values[0], cosine, atol=1e-5)

    trace = observe(model.model, image)
    for block, each in enumerate(trace.attentions):
        np.testing.assert_allclose(attends.values[block], each.weights[0, :, 1:, 1:].mean(0).detach(), rtol=1e-5)
    assert attends.per == "block"
    for row, target in enumerate(targets):
        expected = effect(model.model, image, target)[0].sum(0)
        np.testing.assert_allclose(matters.values[row], expected, rtol=1e-4, atol=1e-7)
    assert {each.grid for each in (alike, attends, matters)} == {(4, 4)}


def test_what_a_model_lacks_is_told() -> None:
    cnn = timm.create_model("resnet10t", num_classes=3).eval()
    found = relations_of(describe(cnn), torch.randn(1, 3, 64, 64), [Classes((0,))])
    assert isinstance(found["alike"], Relation)
    assert "without any attention" in str(found["attends"])
    assert found["attends"] == found["matters"]


def test_a_model_without_a_classifier_has_no_class_to_matter_to(model: LoadedModel) -> None:
    bare = timm.create_model("vit_tiny_patch16_224", num_classes=0, img_size=32, depth=2, embed_dim=12).eval()
    found = relations_of(replace(model, model=bare), torch.randn(1, 3, 32, 32), [])
    assert isinstance(found["attends"], Relation)
    assert "no class" in str(found["matters"])
    assert regions_of(bare, torch.randn(1, 3, 32, 32)) == []
