"""What artifacts do, against a loop that hides keys one by one; a model that looks at none of them is not moved."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import vitreous
from tests.contract.zoo import CASES
from tests.tiny import noise
from vitreous.errors import DataError, ObservationError
from vitreous.inside.artifact_effects import since
from vitreous.render.blocks import frame_patches
from vitreous.trace.attend import AttentionCall
from vitreous.trace.edit import change_attention
from vitreous.trace.seen import AttentionSeen


def spoiled(name: str = "timm_vit") -> tuple[nn.Module, Tensor]:
    """A model one of whose patches, and in one image another, is very long from the start."""
    model, images = CASES[name].model(), CASES[name].images(3)
    with torch.no_grad():
        extra = model.pos_embed.shape[1] - 16
        model.pos_embed[0, extra + 6] += 60 * torch.linspace(-1, 1, model.pos_embed.shape[2])
    return model, images


def by_loop(model: nn.Module, image: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
    """Scores and the class token's last attention where `hidden[block]` are no keys to other tokens, key by key."""
    turn, last = [0], list[Tensor]()

    def attend(seen: AttentionSeen) -> Tensor:
        call = seen.attention
        assert isinstance(call, AttentionCall)
        scores, at = call.scores().clone(), turn[0]
        for patch in range(16) if at else ():
            if hidden[at - 1, patch]:
                for query in range(17):
                    if query != patch + 1:
                        scores[..., query, patch + 1] = -torch.inf
        turn[0] += 1
        last[:] = [scores.softmax(-1).mean(1)]
        return call.mix(scores.softmax(-1))

    with torch.no_grad(), change_attention(attend):
        logits = model(image[None])
    return logits[0], last[0][0, 0, 1:].unflatten(0, (4, 4))


def test_hiding_artifacts_is_a_loop_over_keys() -> None:
    model, images = spoiled()
    effects = vitreous.artifact_effects(model, images, 2, draws=3, batch_size=2)
    outliers = effects.found.outliers.flatten(2)
    assert effects.hidden[:, 1, 2].all()
    for image in range(3):
        before, attention = by_loop(model, images[image], torch.zeros_like(outliers[image]))
        after, without = by_loop(model, images[image], since(outliers)[image])
        assert effects.scores[image].item() == pytest.approx(before[2].item(), abs=1e-4)
        assert effects.moved[image].item() == pytest.approx((after - before)[2].item(), abs=1e-4)
        torch.testing.assert_close(effects.maps[image], attention, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(effects.maps_without[image], without, rtol=1e-4, atol=1e-5)
        mass = sum(float(attention[row, column]) for row, column in effects.hidden[image].nonzero().tolist())
        assert effects.mass[image].item() == pytest.approx(mass / attention.sum().item(), abs=1e-4)
        kept = ~effects.hidden[image]
        expected = np.corrcoef(attention[kept].numpy(), without[kept].numpy())[0, 1]
        assert effects.likeness[image].item() == pytest.approx(expected, abs=1e-4)
    own = effects.moved.abs().mean()
    farther = sum(bool(each.abs().mean() >= own) for each in effects.moved_by_chance)
    assert effects.chance == (1 + farther) / 4


def test_a_patch_stays_hidden_once_it_stood_out() -> None:
    outliers = torch.tensor([[[False, True], [True, False], [False, False]]])
    assert since(outliers).tolist() == [[[False, True], [True, True], [True, True]]]


def test_nothing_moves_where_nothing_stands_out() -> None:
    model, images = CASES["timm_vit"].model(), CASES["timm_vit"].images(2)
    effects = vitreous.artifact_effects(model, images, draws=2)
    assert not effects.hidden.any()
    assert not effects.moved.any()
    assert not effects.moved_by_chance.any()
    assert effects.chance == 1
    torch.testing.assert_close(effects.likeness, torch.ones_like(effects.likeness))


def test_written_attention_hides_no_keys() -> None:
    model, images = CASES["hf_vit_eager"].model(), CASES["hf_vit_eager"].images(1)
    with pytest.raises(ObservationError, match="no key can be hidden"):
        vitreous.artifact_effects(model, images)


def test_the_score_over_a_data_set_is_that_of_its_pictures(model_folder: Path, tmp_path: Path) -> None:
    model = vitreous.load(str(model_folder))
    for seed in range(3):
        noise(seed).save(tmp_path / f"{seed}.png")
    (tmp_path / "bad.png").write_text("not a picture")
    done: list[tuple[int, int]] = []
    found = vitreous.dataset_artifacts(model, tmp_path, times=1.2, batch_size=2, progress=lambda *now: done.append(now))
    each = vitreous.artifacts(model, [tmp_path / f"{seed}.png" for seed in range(3)], times=1.2)
    assert found.score == pytest.approx(each.score)
    assert found.score > 0
    assert done == [(2, 4), (4, 4)]
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "bad.png").write_text("not a picture")
    with pytest.raises(DataError, match="none of 1 pictures"):
        vitreous.dataset_artifacts(model, tmp_path / "empty")


def test_frames_lie_around_marked_patches_alone() -> None:
    marked = np.zeros((4, 4), bool)
    marked[1, 2] = True
    page = np.asarray(frame_patches(Image.new("RGB", (80, 80), "white"), marked))
    changed = (page != 255).any(2)
    assert changed[20:40, 40:60].any()
    changed[20:40, 40:60] = False
    assert not changed.any()
