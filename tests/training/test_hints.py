"""Tokens between blocks, how far apart two models' are, and a probe."""

from __future__ import annotations

import pytest
import timm
import torch

from vitreous.training.hints import Hints, between_blocks, depths
from vitreous.training.probe import fit_probe

MODEL = timm.create_model("vit_tiny_patch16_224", img_size=32, depth=3, embed_dim=12, num_heads=2).eval()
IMAGES = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def test_depths_keep_their_share() -> None:
    assert depths(6, 12) == [0, 2, 4, 6, 8, 10, 12]
    assert depths(4, 6) == [0, 2, 3, 4, 6]


def test_collects_what_reaches_each_block_and_what_leaves_the_last() -> None:
    with between_blocks(MODEL) as between:
        features = MODEL.forward_features(IMAGES)
    assert len(between) == 4
    for block, before, after in zip(MODEL.blocks, between[:-1], between[1:], strict=True):
        torch.testing.assert_close(block(before), after)
    torch.testing.assert_close(MODEL.norm(between[-1]), features)
    MODEL.forward_features(IMAGES)
    assert len(between) == 4  # nothing is left on the model


def test_blocks_given_tokens_work_on_their_own() -> None:
    given = [torch.randn(2, 5, 12, generator=torch.Generator().manual_seed(at)) for at in range(4)]
    with between_blocks(MODEL, given) as between:
        features = MODEL.forward_features(IMAGES)
    for block, before, after in zip(MODEL.blocks, given[:-1], between[1:], strict=True):
        torch.testing.assert_close(block(before), after)
    torch.testing.assert_close(MODEL.norm(given[-1]), features)
    gradients = torch.autograd.grad(between[2].sum(), list(MODEL.blocks.parameters()), allow_unused=True)
    each = len(gradients) // 3
    assert [any(g is not None for g in gradients[at * each : (at + 1) * each]) for at in range(3)] == [0, 1, 0]


def test_hints_count_in_units_of_the_teachers_spread() -> None:
    example = torch.randn(8, 2, 5, 4, generator=torch.Generator().manual_seed(1)) * torch.tensor([1.0, 10, 0.1, 5]) + 3
    example[..., 3] = 0.0  # a channel that never changes
    hints = Hints(4, 4, 2)
    hints.measure(example)
    assert hints(example.unbind(1), example) == 0
    away = example + hints.std
    assert hints(away.unbind(1), example) == pytest.approx(1, rel=1e-4)
    away[:, :, 1:] = example[:, :, 1:]  # the class token alone counts for half
    assert hints(away.unbind(1), example) == pytest.approx(0.5, rel=1e-4)
    assert not list(hints.parameters())


def test_hints_to_another_width_go_through_a_map_per_depth() -> None:
    generator = torch.Generator().manual_seed(2)
    narrow = torch.randn(8, 2, 5, 3, generator=generator)
    wanted = narrow @ torch.randn(2, 3, 6, generator=generator) * 4 + 1
    hints = Hints(3, 6, 2)
    hints.measure(wanted)
    first = hints(narrow.unbind(1), wanted).item()
    solver = torch.optim.LBFGS(hints.parameters(), max_iter=100)

    def closure() -> torch.Tensor:
        solver.zero_grad()
        loss = hints(narrow.unbind(1), wanted)
        loss.backward()
        return loss

    solver.step(closure)
    assert hints(narrow.unbind(1), wanted).item() < 1e-3 * first


def test_a_probe_separates_classes_that_are_apart() -> None:
    generator = torch.Generator().manual_seed(3)
    labels = torch.arange(90) % 3
    spread = torch.tensor([100.0, 0.01, 1.0, 1.0])  # units do not matter
    features = (torch.eye(3, 4)[labels] * 6 + torch.randn(90, 4, generator=generator)) * spread + 5
    probe = torch.nn.Linear(4, 3)
    fit_probe(probe, features, labels)
    assert (probe(features).argmax(1) == labels).float().mean() > 0.95
    again = torch.nn.Linear(4, 3)
    fit_probe(again, features / spread, labels)
    torch.testing.assert_close(again(features / spread), probe(features), rtol=1e-3, atol=1e-3)
