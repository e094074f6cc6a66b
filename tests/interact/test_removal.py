from __future__ import annotations

import pytest
import timm
import torch
import torch.nn.functional as F
from jaxtyping import TypeCheckError
from torch import Tensor, nn

from tests.contract.zoo import CASES
from tests.interact.test_restrict import made
from vitreous.errors import NoClassToken, ObservationError, ShapeError, UnknownName
from vitreous.interact.indicator import interactions
from vitreous.interact.patch_removal import prune
from vitreous.interact.use import SCORES, kept_tokens, random_score, uses
from vitreous.trace.observe import observe
from vitreous.trace.restrict import restricted_logits

WORKS = ["timm_vit", "timm_vit_unfused", "timm_deit_distilled", "timm_vit_wide", "timm_vit_mean", "torchvision_vit"]
EVERY = [*SCORES, "random"]


@pytest.mark.parametrize("name", [*WORKS, "hf_vit_sdpa", "hf_vit_eager"])
@pytest.mark.parametrize("after", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_removing_nothing_changes_no_bit(name: str, after: int) -> None:
    model, images = made(name)
    with torch.no_grad():
        base, pruned = model(images), prune(model, 0.0, after=after)(images)
    assert torch.equal(getattr(pruned, "logits", pruned), getattr(base, "logits", base))
    with torch.no_grad():
        pruned = prune(model, 1e-3, after=after)(images)  # of 16 patches: none
    torch.testing.assert_close(getattr(pruned, "logits", pruned), getattr(base, "logits", base))


@pytest.mark.parametrize("name", ["timm_vit", "timm_deit_distilled", "torchvision_vit"])
@pytest.mark.parametrize("by", EVERY)
@pytest.mark.parametrize("after", [pytest.param(0, marks=pytest.mark.slow), 2])
def test_dropping_patches_is_hiding_them_from_all(name: str, by: str, after: int) -> None:
    model, images = made(name)
    model, images = model.double(), images.double()
    (use,) = uses(model, images, [after])
    kept = kept_tokens(use, SCORES.get(by, random_score([3, 4])), 0.5)
    prefix = use.asked.shape[1]
    assert kept[:, :prefix].all()
    assert kept[:, prefix:].sum(1).tolist() == [8, 8]
    hidden = kept[:, None].expand(-1, prefix + 16, -1)
    masked = restricted_logits(model, images, dict.fromkeys(range(after, 3), hidden))
    with torch.no_grad():
        pruned = prune(model, 0.5, by, after=after, seed=3)(images)
    torch.testing.assert_close(pruned, masked, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("blocks", [0, 2])
def test_the_right_patches_go(blocks: int) -> None:
    """The scores once more, from the attention of every head, with loops."""
    model, images = made("timm_vit")
    trace = observe(model, images)
    (use,) = uses(model, images, [blocks])
    for image in range(2):
        attentions = [each.weights.detach()[image] for each in trace.global_attentions][: blocks or None]
        heads = [head for attention in attentions for head in attention]
        patches = [head[1:, 1:] / head[1:, 1:].sum(1, keepdim=True) for head in heads]
        strength = 16 * sum(patches) / len(patches)  # type: ignore[operator]
        share = strength / 16
        slow = {
            "lowest": [float(((strength[:, j] - strength[:, j].mean()) ** 2).mean().sqrt()) for j in range(16)],
            "received": [float(strength[:, j].mean()) for j in range(16)],
            "class_attention": [float(sum(head[0, 1 + j] for head in heads)) for j in range(16)],
            "entropy": [float(-(share[i] * share[i].log()).sum()) for i in range(16)],
        }
        slow["highest"] = [-value for value in slow["lowest"]]
        for by, values in slow.items():
            gone = (~kept_tokens(use, SCORES[by], 0.25)[image, 1:]).nonzero().flatten().tolist()
            assert set(gone) == set(sorted(range(16), key=lambda j: values[j])[:4]), by
    assert set(slow) == set(SCORES)


def test_random_patches_belong_to_the_image() -> None:
    (use,) = uses(*made("timm_vit"), [0])
    one, other = (kept_tokens(use, random_score(seeds), 0.5) for seeds in ([5, 6], [6, 5]))
    assert torch.equal(one, other.flip(0))
    assert not torch.equal(one[0], one[1])


def test_the_model_stays_as_it_was_and_batches_do_not_matter() -> None:
    model, images = made("timm_vit")
    with torch.no_grad():
        before = model(images)
        for after in (0, 1, None):
            pruned = prune(model, 0.4, after=after)
            together = pruned(images)
            singly = torch.cat([pruned(image) for image in images.split(1)])
            torch.testing.assert_close(together, singly, rtol=1e-5, atol=1e-6)
        assert torch.equal(model(images), before)
    assert not any(block._forward_pre_hooks for block in model.blocks)


@pytest.mark.parametrize("name", ["timm_dinov3", "timm_beit", "timm_eva02"])
@pytest.mark.parametrize("after", [0, 1])
def test_positions_inside_the_blocks_are_refused(name: str, after: int) -> None:
    with pytest.raises(ObservationError, match="needs the positions of all patches"):
        prune(*made(name)[:1], 0.5, after=after)(CASES[name].images())


def test_bad_settings_are_refused() -> None:
    for share in (-0.1, 1.0):
        with pytest.raises(ShapeError, match="`share` must be"):
            prune(nn.Identity(), share)
    with pytest.raises((UnknownName, TypeCheckError)):
        prune(nn.Identity(), 0.5, "loudest")
    model, images = made("timm_vit")
    with pytest.raises(UnknownName, match='no number of blocks before removal named "3"'):
        prune(model, 0.5, after=3)(images)
    with pytest.raises(NoClassToken, match="without a class token"):
        prune(made("timm_siglip")[0], 0.5, "class_attention")(made("timm_siglip")[1])


def test_scores_of_all_blocks_are_those_of_the_interactions() -> None:
    model, images = made("timm_vit")
    (use,) = uses(model, images, [0])
    torch.testing.assert_close(use.strength, interactions(model, images).strength.mean(1))


def colored_squares(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Noise with one square of 2 × 2 patches somewhere; its color is the class."""
    generator = torch.Generator().manual_seed(seed)
    images = 0.3 * torch.randn(count, 3, 24, 24, generator=generator)
    labels = torch.randint(3, (count,), generator=generator)
    for image, label, (row, column) in zip(
        images, labels, torch.randint(5, (count, 2), generator=generator), strict=True
    ):
        image[label, 4 * row : 4 * row + 8, 4 * column : 4 * column + 8] += 2
    return images, labels


@pytest.mark.slow
def test_on_a_trained_model_indiscriminative_patches_matter_least() -> None:
    torch.manual_seed(0)
    model = timm.create_model(
        "vit_tiny_patch16_224", img_size=24, patch_size=4, embed_dim=48, depth=4, num_heads=4, num_classes=3
    )
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    images, labels = colored_squares(2048, 0)
    for some in torch.randperm(len(images)).repeat(2).split(64):
        F.cross_entropy(model(images[some]), labels[some]).backward()
        optimizer.step()
        optimizer.zero_grad()
    model.eval()
    images, labels = colored_squares(200, 1)

    @torch.no_grad()
    def accuracy(share: float, by: str) -> float:
        return (prune(model, share, by, after=0)(images).argmax(1) == labels).float().mean().item()

    assert accuracy(0.0, "lowest") > 0.95
    assert accuracy(0.75, "lowest") > accuracy(0.75, "random") + 0.1
    assert accuracy(0.75, "random") > accuracy(0.75, "highest") + 0.1
