from __future__ import annotations

from typing import Any

import pytest
import timm
import torch
from timm.models.swin_transformer import WindowAttention, window_partition, window_reverse
from torch import Tensor, nn

from vitreous.errors import ShapeError
from vitreous.models.salg.backbone import SALG
from vitreous.models.salg.block import LocalGlobalBlock, Propagation, RegionAttention
from vitreous.models.salg.regions import Regions, find_regions
from vitreous.models.salg.stages import RegionStage

COUNTS = {
    ("salg_st", "ap", "conv"): 6_468_584,
    ("salg_st", "msa", "conv"): 7_053_560,
    ("salg_t", "ap", "conv"): 32_143_456,
    ("salg_t", "msa", "conv"): 41_572_480,
    ("salg_s", "ap", "conv"): 53_479_072,
    ("salg_s", "msa", "conv"): 84_201_664,
    ("salg_st", "ap", "linear"): 5_549_288,
    ("salg_st", "msa", "linear"): 6_134_264,
    ("salg_t", "ap", "linear"): 28_466_272,
    ("salg_t", "msa", "linear"): 37_895_296,
    ("salg_s", "ap", "linear"): 49_801_888,
    ("salg_s", "msa", "linear"): 80_524_480,
}


@pytest.mark.parametrize(("name", "propagation", "merge"), COUNTS)
def test_parameters_are_the_papers_to_the_unit(name: str, propagation: str, merge: str) -> None:
    with torch.device("meta"):
        model = timm.create_model(name, propagation=propagation, merge=merge)
    assert sum(p.numel() for p in model.parameters()) == COUNTS[name, propagation, merge]


def tiny(**settings: Any) -> SALG:
    torch.manual_seed(0)
    return timm.create_model("salg_st", embed_dim=32, depths=(2, 2, 2, 1), num_classes=5, **settings).eval()


VARIANTS = [
    {"segment": False, "agr": False},
    {"segment": False, "propagation": "msa"},
    {"agr": False},
    {"propagation": "ap"},
    {"propagation": "none"},
    {"agr_carry": True},
    {"agr_carry": True, "propagation": "msa"},
    {"propagation": "msa", "merge": "linear"},
    {"window_size": 4},
]


@pytest.mark.parametrize("settings", VARIANTS)
def test_every_parameter_learns(settings: dict[str, Any]) -> None:
    model = tiny(**settings).train()
    model(torch.randn(2, 3, 128, 160)).square().sum().backward()
    assert not [name for name, parameter in model.named_parameters() if parameter.grad is None]
    idle = {name for name, p in model.named_parameters() if p.grad is not None and not p.grad.any()}
    assert idle == set(), "only exact zeros of the keys' bias may stay"


@pytest.mark.parametrize("settings", VARIANTS)
def test_a_batch_gives_what_its_images_give(settings: dict[str, Any]) -> None:
    model, images = tiny(**settings), torch.randn(2, 3, 100, 140)
    with torch.no_grad():
        together, alone = model(images), torch.cat([model(image[None]) for image in images])
    assert together.isfinite().all()
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def make_regions(margin: int = 1, *, agr: bool = True, batch: int = 2, side: int = 2) -> tuple[Tensor, Regions]:
    features = torch.randn(2, 7 * side, 7 * side, 32, generator=torch.Generator().manual_seed(0))[:batch]
    return features, find_regions(features, 7, margin, agr=agr)


@pytest.mark.parametrize("agr", [True, False])
def test_attention_is_that_of_each_region_alone(agr: bool) -> None:
    torch.manual_seed(0)
    features, regions = make_regions(agr=agr, side=6)
    attention = RegionAttention(32, 2, 9, agr=agr)
    for parameter in attention.parameters():
        nn.init.normal_(parameter, std=0.3)
    tokens = features.flatten(1, 2)
    if agr:
        tokens = torch.cat([tokens, torch.randn(2, 36, 32)], 1)
    out = attention(tokens, regions)
    for batch in range(2):
        for region in range(36):
            cells = (regions.index[batch].flatten() == region).nonzero().flatten()
            top, left = region // 6 * 7 - 1, region % 6 * 7 - 1
            own = [42 * 42 + region, *cells.tolist()] if agr else cells.tolist()
            qkv = attention.qkv(tokens[batch, own])
            y, x = cells // 42 - top, cells % 42 - left
            offset = (y[:, None] - y + 8) * 17 + x[:, None] - x + 8
            mixed: list[Tensor] = []
            for head in range(2):
                q, k, v = (qkv[:, 32 * part + 16 * head : 32 * part + 16 * head + 16] for part in range(3))
                bias = attention.table[offset, head]
                if attention.agr_bias is not None:
                    whole = attention.agr_bias[1, head].expand(len(own), len(own)).clone()
                    whole[0], whole[0, 0] = attention.agr_bias[0, head], attention.agr_bias[2, head]
                    whole[1:, 1:] = bias
                    bias = whole
                mixed.append((q @ k.T / 4 + bias).softmax(1) @ v)
            torch.testing.assert_close(out[batch, own], attention.proj(torch.cat(mixed, 1)), rtol=1e-4, atol=1e-5)


def test_windows_alone_are_swin_without_shift() -> None:
    torch.manual_seed(0)
    features, regions = make_regions(0, agr=False)
    ours, swin = RegionAttention(32, 2, 7, agr=False), WindowAttention(32, 2, window_size=7)
    swin.qkv.load_state_dict(ours.qkv.state_dict())
    swin.proj.load_state_dict(ours.proj.state_dict())
    with torch.no_grad():
        swin.relative_position_bias_table.copy_(ours.table)
        windows = window_partition(features, (7, 7)).flatten(1, 2)
        expected = window_reverse(swin(windows).unflatten(1, (7, 7)), (7, 7), 14, 14)
        torch.testing.assert_close(ours(features.flatten(1, 2), regions), expected.flatten(1, 2), rtol=1e-4, atol=1e-5)


def reached(blocks: list[LocalGlobalBlock], source: int) -> Tensor:
    """Which pixels change when that one does."""
    features, regions = make_regions(batch=1)
    tokens = torch.cat([features.flatten(1, 2), torch.zeros(1, 4, 32)], 1).requires_grad_()
    changed = tokens.detach().clone()
    changed[0, source, 0] += 9
    outputs: list[Tensor] = []
    for out in (tokens, changed):
        for block in blocks:
            out = block(out, regions)  # noqa: PLW2901
        outputs.append(out[0, :196])
    return (outputs[0] != outputs[1]).any(1)


@pytest.mark.parametrize("propagation", ["ap", "msa", "none"])
def test_a_pixel_is_seen_by_its_region_and_after_propagation_by_all(propagation: Propagation) -> None:
    torch.manual_seed(0)
    blocks = [
        LocalGlobalBlock(32, 2, 9, agr=True, propagation=propagation, drop_path=0.0),
        LocalGlobalBlock(32, 2, 9, agr=True, propagation="none", drop_path=0.0),
    ]
    region = make_regions()[1].index[0].flatten()
    one, two = reached(blocks[:1], 30), reached(blocks, 30)
    assert torch.equal(one, region == region[30])
    assert torch.equal(two, region == region[30] if propagation == "none" else torch.ones_like(two))


def test_averaged_tokens_are_equal_and_images_stay_apart() -> None:
    block = LocalGlobalBlock(32, 2, 9, agr=True, propagation="ap", drop_path=0.0)
    features, regions = make_regions()
    out = block(torch.cat([features.flatten(1, 2), torch.randn(2, 4, 32)], 1), regions)[:, 196:]
    assert torch.equal(out, out[:, :1].expand_as(out))
    assert not torch.allclose(out[0], out[1])


def test_any_size_gives_the_strides() -> None:
    model = timm.create_model("salg_st", features_only=True, embed_dim=32, depths=(1, 1, 1, 1)).eval()
    maps = model(torch.randn(1, 3, 200, 333))
    assert [tuple(each.shape) for each in maps] == [(1, 32, 50, 84), (1, 64, 25, 42), (1, 128, 13, 21), (1, 256, 7, 11)]
    assert model.feature_info.reduction() == [4, 8, 16, 32]
    stage = tiny().stages[0]
    assert isinstance(stage, nn.Module)
    features = torch.randn(1, 10, 12, 32)
    whole, index, agr = stage(features)
    assert whole.shape == features.shape
    assert index.shape == (1, 10, 12)
    assert agr.shape == (1, 2, 2, 32)


def test_tokens_that_are_carried_are_what_the_next_stage_begins_with() -> None:
    carrying, images = tiny(agr_carry=True, window_size=4), torch.randn(1, 3, 150, 100)
    seen: list[tuple[Tensor | None, Tensor]] = []

    def watch(_: nn.Module, given: tuple[Any, ...], found: tuple[Any, ...]) -> None:
        seen.append((given[1], found[2]))

    stages: Any = carrying.stages
    for stage in stages[:3]:
        stage.register_forward_hook(watch)
    with torch.no_grad():
        carrying(images)
    assert [tuple(left.shape) for _, left in seen] == [(1, 10, 7, 32), (1, 5, 4, 64), (1, 3, 2, 128)]
    assert seen[0][0] is None
    for merge, (_, left), (received, _) in zip(carrying.carries, seen[:2], seen[1:], strict=True):
        torch.testing.assert_close(received, merge(left))
    assert [name for name, _ in carrying.named_parameters() if name.endswith(".agr")] == ["stages.0.agr"]
    # the text's merges of pixels (8d²) and their norms (8d), for the tokens of two stages; two vectors less
    extra = sum(8 * dim**2 + 8 * dim for dim in (48, 96)) - 96 - 192
    with torch.device("meta"):
        plain, grown = (timm.create_model("salg_st", agr_carry=each) for each in (False, True))
    assert sum(p.numel() for p in grown.parameters()) - sum(p.numel() for p in plain.parameters()) == extra
    with pytest.raises(ShapeError, match="nothing to carry"):
        tiny(agr=False, agr_carry=True)


def test_what_padding_holds_does_not_matter() -> None:
    torch.manual_seed(0)
    blocks = [LocalGlobalBlock(32, 2, 9, agr=True, propagation="msa", drop_path=0.0) for _ in range(2)]
    features, agr = torch.randn(2, 10, 12, 32), torch.randn(2, 4, 32)
    valid = torch.zeros(14, 14, dtype=torch.bool)
    valid[:10, :12] = True

    def seen(padding: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        padded = padding.clone()
        padded[:, :10, :12] = features
        regions = find_regions(padded, 7, 1, mask, agr=True)
        tokens = torch.cat([padded.flatten(1, 2), agr], 1)
        for block in blocks:
            tokens = block(tokens, regions)
        return tokens[:, :196][:, valid.flatten()], regions.index[:, valid]

    zeros, noise = torch.zeros(2, 14, 14, 32), torch.randn(2, 14, 14, 32)
    for one, other in zip(seen(zeros, valid), seen(noise, valid), strict=True):
        torch.testing.assert_close(one, other)
    assert not torch.allclose(seen(zeros, None)[0], seen(noise, None)[0])
    stages = [RegionStage(32, [0.0], 7, 1, agr=True, propagation="ap", mask_pad=mask) for mask in (True, False)]
    stages[1].load_state_dict(stages[0].state_dict())
    assert not torch.allclose(stages[0](features)[0], stages[1](features)[0])


def test_region_maps_of_three_stages() -> None:
    maps = tiny().regions(torch.randn(1, 3, 224, 224))
    assert [tuple(each.shape) for each in maps] == [(1, 56, 56), (1, 28, 28), (1, 14, 14)]
    assert [int(each.max()) for each in maps] == [63, 15, 3]


def test_windows_of_another_size() -> None:
    first, second, third = tiny(window_size=4).regions(torch.randn(1, 3, 64, 64))
    assert [int(regions.max()) + 1 for regions in (first, second, third)] == [16, 4, 1]
    with pytest.raises(ShapeError, match="`window_size` is 3"):
        tiny(window_size=3)


def test_timms_ways() -> None:
    model = tiny()
    model.reset_classifier(3)
    assert model(torch.randn(1, 3, 64, 64)).shape == (1, 3)
    features = model.forward_features(torch.randn(1, 3, 64, 64))
    assert features.shape == (1, 2, 2, 256)
    assert model.forward_head(features, pre_logits=True).shape == (1, 256)
    assert model.get_classifier() is model.head
    assert {name.rpartition(".")[2] for name in model.no_weight_decay()} == {"table", "agr", "agr_bias"}


@pytest.mark.slow
def test_one_graph_of_fixed_shapes_for_every_picture() -> None:
    model, images = tiny(propagation="msa"), torch.randn(3, 2, 3, 64, 80)
    exported = torch.export.export(model, (images[0],)).module()
    with torch.no_grad():
        for batch in images:
            torch.testing.assert_close(exported(batch), model(batch), rtol=1e-4, atol=1e-5)


def test_recomputing_changes_no_gradient() -> None:
    images = torch.randn(2, 3, 64, 64)
    plain, recomputing = tiny(propagation="msa").train(), tiny(propagation="msa").train()
    recomputing.set_grad_checkpointing()
    for model in (plain, recomputing):
        model(images).square().sum().backward()
    for one, other in zip(plain.parameters(), recomputing.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)
