from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tests.contract.zoo import CASES
from vitreous.errors import ObservationError, ShapeError
from vitreous.interact.attention_windows import fixed_windows, random_windows
from vitreous.interact.indicator import discriminativeness, impact, interactions
from vitreous.interact.intervene import cut, draw_pairs, quality
from vitreous.trace.observed import TokenGrid
from vitreous.trace.restrict import restricted_logits
from vitreous.trace.target import Classes

FUSED = [
    "timm_vit",
    "timm_deit_distilled",
    "timm_dinov2_registers",
    "timm_dinov3",
    "timm_beit",
    "timm_siglip",
    "torchvision_vit",
    "hf_vit_sdpa",
]


def made(name: str) -> tuple[nn.Module, Tensor]:
    return CASES[name].model(), CASES[name].images()


@pytest.mark.parametrize("name", FUSED)
def test_masks_that_keep_everything_change_no_bit(name: str) -> None:
    model, images = made(name)
    masks = dict.fromkeys(range(3), torch.ones(1, 16, 16, dtype=torch.bool))
    with torch.no_grad():
        base = model(images)
    base = getattr(base, "logits", base)
    if name == "torchvision_vit":  # left alone, it takes a kernel of its own
        torch.testing.assert_close(restricted_logits(model, images, {}), base)
        base = restricted_logits(model, images, {})
    assert torch.equal(restricted_logits(model, images, masks), base)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("prefix", [0, 1, 2, 4])
def test_restriction_is_softmax_of_what_is_kept(prefix: int, dtype: torch.dtype) -> None:
    name = {0: "timm_siglip", 1: "timm_vit", 2: "timm_deit_distilled", 4: "timm_registers"}[prefix]
    name = "timm_vit_registers_mean" if prefix == 4 else name
    model, images = made(name)
    model, images = model.to(dtype), images.to(dtype)
    kept = random_windows(torch.full((3, 2, 16), 0.3), TokenGrid(prefix, 4, 4), 0)
    found = restricted_logits(model, images, dict(enumerate(kept)))
    assert found.isfinite().all()
    full = torch.ones(3, 2, 16 + prefix, 16 + prefix, dtype=torch.bool)
    full[..., prefix:, prefix:] = kept

    def written(block: int) -> object:
        def hook(module: nn.Module, args: tuple[Tensor, ...], _: object) -> Tensor:
            (x,) = args
            q, k, v = module.qkv(x).unflatten(-1, (3, 2, 16)).permute(2, 0, 3, 1, 4)
            scores = q @ k.mT / 4
            weights = (scores + full[block].log()[:, None].to(scores)).softmax(-1)
            torch.testing.assert_close(weights.sum(-1), torch.ones_like(weights[..., 0]), rtol=0.02, atol=0)
            return module.proj((weights @ v).transpose(1, 2).flatten(2))

        return hook

    handles = [block.attn.register_forward_hook(written(at)) for at, block in enumerate(model.blocks)]
    with torch.no_grad():
        slow = model(images)
    for handle in handles:
        handle.remove()
    tolerance = 0.1 if dtype == torch.bfloat16 else 1e-5
    torch.testing.assert_close(found, slow, rtol=tolerance, atol=tolerance)


def test_a_window_of_the_patch_itself_keeps_patches_apart() -> None:
    model, images = made("timm_vit")
    alone = {at: fixed_windows(TokenGrid(1, 4, 4), 0)[None] for at in range(3)}
    blind = {
        at: torch.zeros(1, 17, 17, dtype=torch.bool).index_fill(1, torch.tensor([0]), True) for at in range(3)
    }  # nobody sees the class token either: only the class token mixes
    assert not torch.equal(restricted_logits(model, images, alone), restricted_logits(model, images, blind))


@pytest.mark.parametrize("name", ["timm_vit_unfused", "hf_vit_eager"])
def test_attention_written_out_is_refused(name: str) -> None:
    with pytest.raises(ObservationError, match="fused_attn = True"):
        restricted_logits(*made(name), {})


def test_masks_that_do_not_fit_are_refused() -> None:
    model, images = made("timm_vit")
    for wrong in (torch.ones(1, 9, 9), torch.ones(3, 16, 16)):
        with pytest.raises(ShapeError, match="`kept` is"):
            restricted_logits(model, images, {0: wrong.bool()})
    with pytest.raises(ShapeError, match="names attention 3"):
        restricted_logits(model, images, {3: torch.ones(1, 16, 16, dtype=torch.bool)})


def test_cutting_one_by_one_gives_what_all_at_once_gives() -> None:
    model, images = made("timm_vit")
    pairs = draw_pairs(16, 10)
    assert (pairs[:, 0] != pairs[:, 1]).all()
    together = cut(model, images, 1, pairs, Classes((3,)))
    with torch.no_grad():
        whole = model(images).softmax(1)[:, 3]
    for image in range(2):
        for at, (query, key) in enumerate(pairs.tolist()):
            kept = torch.ones(1, 16, 16, dtype=torch.bool)
            kept[0, query, key] = False
            alone = restricted_logits(model, images[image : image + 1], {1: kept}).softmax(1)[0, 3]
            torch.testing.assert_close(together[image, at], (alone - whole[image]).abs(), rtol=1e-3, atol=1e-7)
    assert len({tuple(pair) for pair in draw_pairs(4, 12).tolist()}) == 12
    with pytest.raises(ShapeError, match="two different patches"):
        cut(model, images, 1, torch.tensor([[2, 2]]))


def test_impact_foretells_the_effect_of_cutting() -> None:
    model, images = made("timm_vit")
    model, images = model.double(), images.double()
    found = quality(model, images, 1, pairs=200)
    assert set(found) == {"strength", "certainty", "uncertainty", "impact"}
    assert found["impact"].min() > 0.3
    assert found["impact"].mean() > found["strength"].mean()
    with pytest.raises(ObservationError, match="changes no class probability"):
        quality(model, images, 2, pairs=8)
    assert impact(model, images).shape == (2, 3, 16, 16)
    assert discriminativeness(interactions(model, images).strength).shape == (2, 3, 16)
