from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torch.nn.functional as F
from jaxtyping import TypeCheckError
from safetensors.torch import load_file, save_file
from torch import Tensor

import vitreous
from vitreous.errors import ShapeError, UnknownName
from vitreous.interact.attention_windows import fixed_windows, random_windows
from vitreous.interact.field_guide import Guided, image_fields
from vitreous.interact.indicator import average, interactions
from vitreous.interact.responsive_fields import responsive_fields
from vitreous.models.card import ModelCard
from vitreous.models.preprocess import Preprocess
from vitreous.models.registry import registry
from vitreous.models.winft.backbone import WinfT
from vitreous.models.winft.block import resize_fields
from vitreous.trace.observed import TokenGrid
from vitreous.trace.restrict import restricted_logits

TINY = {"img_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 3, "num_heads": 2, "num_classes": 5}
GRID = TokenGrid(1, 4, 4)


def images(batch: int = 2, size: int = 32) -> Tensor:
    return torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(1))


def base(**options: Any) -> Any:
    torch.manual_seed(0)
    model = timm.create_model("vit_tiny_patch16_224", **{**TINY, **options}).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return model


def winft(vit: Any = None, **options: Any) -> WinfT:
    torch.manual_seed(0)
    model = registry().create_model("winft_tiny", **{**TINY, **options}).eval()
    if vit is not None:
        model.load_state_dict(vit.state_dict(), strict=options.get("rf_mode") != "predicted")
    return model


@pytest.mark.parametrize("name", ["tiny", "small", "base"])
def test_sizes_are_deits(name: str) -> None:
    with torch.device("meta"):
        ours, theirs = registry().create_model(f"winft_{name}"), timm.create_model(f"deit_{name}_patch16_224")
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in theirs.parameters())


@pytest.mark.parametrize("options", [{}, {"reg_tokens": 1}, {"class_token": False, "global_pool": "avg"}])
@pytest.mark.parametrize("mode", ["static", "per_image", "predicted"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_fields_of_all_patches_are_the_base_model_bit_for_bit(
    options: dict[str, Any], mode: str, dtype: torch.dtype
) -> None:
    vit = base(**options).to(dtype)
    model = winft(vit, rf_mode=mode, density=1.0, **options).to(dtype)
    x = images().to(dtype)
    fields = (torch.ones(2, 3, 16, 16, dtype=torch.bool),) if mode == "per_image" else ()
    with torch.no_grad():
        assert torch.equal(model(x, *fields), vit(x))


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("keep_local", [0, 1])
def test_static_fields_restrict_the_base_model(fused: bool, keep_local: int) -> None:
    vit = base()
    model = winft(vit, keep_local=keep_local)
    fields = random_windows(torch.full((3, 16), 0.2), GRID, 0)
    model.set_fields(fields)
    for block in model.blocks:
        block.attn.fused_attn = fused
    kept = fields | fixed_windows(GRID, keep_local)
    expected = restricted_logits(vit, images(), {at: field[None] for at, field in enumerate(kept)})
    with torch.no_grad():
        torch.testing.assert_close(model(images()), expected, rtol=1e-5, atol=1e-5)
        assert model.half().float()(images()).isfinite().all()
        assert model.bfloat16()(images().bfloat16()).isfinite().all()


def test_a_field_of_the_patch_alone_keeps_patches_apart() -> None:
    model = winft(base(class_token=False, global_pool="avg"), class_token=False, global_pool="avg")
    model.set_fields(torch.zeros(3, 16, 16, dtype=torch.bool))
    x = images(1)
    changed = x.clone()
    changed[..., :8, :8] += 1
    with torch.no_grad():
        moved = (model.forward_features(x) - model.forward_features(changed)).abs().amax((0, 2))
    assert moved[0] > 0
    assert (moved[1:] == 0).all()


@pytest.mark.parametrize("mode", ["static", "per_image", "predicted"])
def test_the_last_block_may_stay_global(mode: str) -> None:
    vit = base()
    model = winft(vit, rf_mode=mode, global_last=True, density=0.25)
    fields = random_windows(torch.full((3, 16), 0.2), GRID, 0)
    given = (fields.expand(2, -1, -1, -1),) if mode == "per_image" else ()
    if mode == "static":
        model.set_fields(fields)
    limited: list[bool] = []

    def note(_: Any, __: Any, options: dict[str, Any]) -> None:
        mask = options["attn_mask"]
        limited.append(mask is not None and bool((~mask if mask.dtype == torch.bool else mask).any()))

    for block in model.blocks:
        block.attn.register_forward_pre_hook(note, with_kwargs=True)
    with torch.no_grad():
        logits = model(images(), *given)
        if mode == "predicted":
            model.train()(images())  # weights are multiplied by gates
            model.eval().set_input_size((64, 48))
            model(torch.randn(1, 3, 64, 48))
        else:
            expected = restricted_logits(vit, images(), {0: fields[:1], 1: fields[1:2]})
            torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-5)
    assert limited == [True, True, False] * (3 if mode == "predicted" else 1)


def test_fields_of_each_image() -> None:
    vit = base()
    teacher, student = base(), winft(vit, rf_mode="per_image")
    fields = image_fields(teacher, images(), 0.4)
    expected = restricted_logits(vit, images(), dict(enumerate(fields.unbind(1))))
    with torch.no_grad():
        torch.testing.assert_close(student(images(), fields), expected, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(Guided(student, teacher, 0.4)(images()), expected, rtol=1e-5, atol=1e-5)
        singly = torch.cat([Guided(student, teacher, 0.4)(image) for image in images().split(1)])
        torch.testing.assert_close(singly, expected, rtol=1e-5, atol=1e-5)
    for wrong in ((), (fields[:, :2],)):
        with pytest.raises(ShapeError, match="`fields` must be"):
            student(images(), *wrong)
    with pytest.raises(ShapeError, match='rf_mode is "static"'):
        winft()(images(), fields)


def test_predicted_fields_have_the_density_and_learn_from_a_teacher() -> None:
    model = winft(rf_mode="predicted", density=0.25)
    seen = interactions(model, images())
    assert ((seen.strength > 0).sum(-1) == 4).all(), "a quarter of 16, the patch itself included"
    assert (seen.strength.diagonal(dim1=-2, dim2=-1) > 0).all()
    fields = image_fields(base(), images(), 0.4)
    optimizer = torch.optim.Adam(model.train().parameters(), lr=1e-2)
    losses: list[float] = []
    for _ in range(20):
        logits, gates = model.forward_with_gates(images())
        assert gates.shape == fields.shape
        told = F.binary_cross_entropy_with_logits(gates, fields.float())
        loss = F.cross_entropy(logits, torch.tensor([0, 1])) + 0.1 * told
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(told.item())
    assert losses[-1] < losses[0]
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_soft_gates_multiply_weights_in_training() -> None:
    model = winft(rf_mode="predicted").train()
    block, x = model.blocks[0], torch.randn(2, 17, 32)
    gates = F.pad(block.gates(x).sigmoid().masked_fill(torch.eye(16, dtype=torch.bool), 1), (1, 0, 1, 0), value=1)
    attention, normed = block.attn, block.norm1(x)
    q, k, v = attention.qkv(normed).unflatten(-1, (3, 2, 16)).permute(2, 0, 3, 1, 4)
    weights = (q @ k.mT / 4).exp() * gates[:, None]
    mixed = attention.proj((weights / weights.sum(-1, keepdim=True) @ v).transpose(1, 2).flatten(2))
    tokens = x + mixed
    torch.testing.assert_close(block(x), tokens + block.mlp(block.norm2(tokens)), rtol=1e-4, atol=1e-5)


def slow_resize(field: Tensor, before: tuple[int, int], after: tuple[int, int]) -> Tensor:
    """Query by query and key by key."""
    count = after[0] * after[1]
    resized = torch.zeros(count, count, dtype=torch.bool)
    for query in range(count):
        for key in range(count):
            place: list[list[int]] = [[], []]
            for axis in (0, 1):
                q, k = (divmod(each, after[1])[axis] for each in (query, key))
                scale = before[axis] / after[axis]
                old = int((q + 0.5) * scale)
                place[0].append(old)
                place[1].append(min(max(old + round((k - q) * scale), 0), before[axis] - 1))
            old_query, old_key = (each[0] * before[1] + each[1] for each in place)
            resized[query, key] = field[old_query, old_key] or query == key
    return resized


@pytest.mark.parametrize(("before", "after"), [((4, 4), (8, 8)), ((4, 4), (3, 5)), ((2, 6), (4, 3)), ((3, 3), (3, 3))])
def test_fields_on_another_grid(before: tuple[int, int], after: tuple[int, int]) -> None:
    count = before[0] * before[1]
    field = torch.rand(count, count) < 0.3
    field |= torch.eye(count, dtype=torch.bool)
    assert torch.equal(resize_fields(field, before, after), slow_resize(field, before, after))
    whole = torch.ones_like(field)
    assert resize_fields(whole, before, after).all()


@pytest.mark.parametrize("mode", ["static", "predicted"])
def test_fields_are_saved_and_loaded_on_other_grids(mode: str, tmp_path: Path) -> None:
    model = winft(rf_mode=mode)
    fields = random_windows(torch.full((3, 16), 0.3), GRID, 0)
    model.set_fields(fields)
    save_file(model.state_dict(), tmp_path / "mine.safetensors")
    loaded = winft(rf_mode=mode)
    loaded.load_state_dict(load_file(tmp_path / "mine.safetensors"))
    with torch.no_grad():
        assert torch.equal(loaded(images()), model(images()))
    larger = winft(rf_mode=mode, img_size=64)
    larger.load_state_dict(model.state_dict())
    model.set_input_size((64, 64))
    for one, other in zip(larger.blocks, model.blocks, strict=True):
        assert torch.equal(one.field, other.field)
        assert one.near.shape == other.near.shape == (64, 64)
    with torch.no_grad():
        torch.testing.assert_close(larger(images(size=64)), model(images(size=64)))
    assert torch.equal(larger.blocks[1].field, slow_resize(fields[1], (4, 4), (8, 8)))


def test_a_model_folder_keeps_fields(tmp_path: Path) -> None:
    options = {name: value for name, value in TINY.items() if name != "num_classes"}
    card = ModelCard("winft_tiny", options, tuple("abcde"), Preprocess((32, 32), (36, 36)))
    model = winft(base())
    seen = average(model, [images(), images(3)])
    model.set_fields(responsive_fields(seen.certainty, seen.tokens, 0.4))
    card.save(tmp_path / "mine", model.state_dict())
    loaded = vitreous.load(str(tmp_path / "mine"))
    with torch.no_grad():
        assert torch.equal(loaded.model(images()), model(images()))
    assert vitreous.explain(loaded, images(), "rollout").heatmap.shape == (2, 4, 4)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ShapeError, match="`density`"):
        winft(density=0.0)
    with pytest.raises(ShapeError, match="`dynamic_img_size`"):
        winft(dynamic_img_size=True)
    with pytest.raises(ShapeError, match="`fields` must be"):
        winft().set_fields(torch.ones(2, 16, 16, dtype=torch.bool))
    with pytest.raises((UnknownName, TypeCheckError)):  # what the type checks of a test run let through
        winft(rf_mode="sometimes")
