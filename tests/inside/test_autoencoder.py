"""Sparse autoencoders against their equations and a known dictionary; every layout of files, and files that lie."""

from __future__ import annotations

import inspect
import json
import math
import struct
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

import vitreous
from tests.contract.zoo import CASES
from tests.inside.test_concepts import Pooled
from vitreous.errors import DataError, ExplainError, ShapeError
from vitreous.inside.autoencoder_training import fit
from vitreous.inside.fidelity import Fidelity, measure
from vitreous.models.zoo import describe
from vitreous.trace.features import patch_features
from vitreous.trace.reading import reading

CHANNELS, FEATURES = 4, 7


def made(k: int = 0, *, centered: bool = True, threshold: bool = False) -> vitreous.SparseAutoencoder:
    return vitreous.SparseAutoencoder(
        torch.randn(CHANNELS, FEATURES),
        torch.randn(FEATURES),
        torch.randn(FEATURES, CHANNELS),
        torch.randn(CHANNELS),
        k,
        centered,
        torch.rand(FEATURES) if threshold else None,
        "blocks.1",
    )


def slow_encode(own: vitreous.SparseAutoencoder, token: Tensor) -> list[float]:
    """A number at a time, from the equations."""
    much = list[float]()
    for feature in range(FEATURES):
        total = own.encoder_bias[feature].item()
        for channel in range(CHANNELS):
            less = own.decoder_bias[channel].item() if own.centered else 0.0
            total += (token[channel].item() - less) * own.encoder[channel, feature].item()
        least = 0.0 if own.threshold is None else own.threshold[feature].item()
        much.append(total if total > max(least, 0.0) else 0.0)
    if own.k:
        kept = sorted(range(FEATURES), key=lambda at: -much[at])[: own.k]
        much = [each if at in kept else 0.0 for at, each in enumerate(much)]
    return much


@pytest.mark.parametrize("k", [0, 2])
@pytest.mark.parametrize("centered", [True, False])
@pytest.mark.parametrize("threshold", [True, False])
def test_features_and_tokens_are_those_of_the_equations(k: int, centered: bool, threshold: bool) -> None:
    own, tokens = made(k, centered=centered, threshold=threshold), torch.randn(9, CHANNELS)
    assert own.kind == ("topk" if k else "relu")
    much = own.encode(tokens)
    back = own.decode(much)
    for token, mine, again in zip(tokens, much, back, strict=True):
        expected = slow_encode(own, token)
        torch.testing.assert_close(mine, torch.tensor(expected), rtol=1e-4, atol=1e-5)
        for channel in range(CHANNELS):
            total = own.decoder_bias[channel].item()
            total += sum(each * own.decoder[at, channel].item() for at, each in enumerate(expected))
            assert again[channel].item() == pytest.approx(total, abs=1e-4)


@pytest.mark.parametrize("tokens", [torch.randn(3, 5), torch.randn(4), torch.randn(1, 2, 4)])
def test_tokens_of_another_layer_are_refused(tokens: Tensor) -> None:
    with pytest.raises(ShapeError, match=r"takes \(n, 4\)"):
        inspect.unwrap(vitreous.SparseAutoencoder.encode)(made(), tokens)  # tests check shapes before it does


def test_training_finds_the_directions_that_tokens_are_made_of() -> None:
    generator = torch.Generator().manual_seed(1)
    directions = F.normalize(torch.randn(8, 16, generator=generator), dim=1)
    much = torch.rand(2000, 8, generator=generator) * (torch.rand(2000, 8, generator=generator) < 0.15)
    rows = 5 * much @ directions + 3

    def left(steps: int) -> tuple[float, float]:
        found = fit(rows, 16, 3, steps, torch.Generator().manual_seed(0))
        torch.testing.assert_close(found.decoder.norm(dim=1), torch.ones(16))
        gone = (found.decode(found.encode(rows)) - rows).square().sum() / (rows - rows.mean(0)).square().sum()
        return gone.item(), (directions @ found.decoder.mT).amax(1).mean().item()

    (before, far), (after, near) = left(1), left(400)
    assert after < before / 3
    assert near > far + 0.15


@pytest.mark.parametrize("name", ["timm_siglip", "timm_resnet", "timm_vit"])
def test_what_is_trained_on_a_model_is_measured_on_pictures_held_out(name: str) -> None:
    model, images = CASES[name].model(), CASES[name].images(5)
    done = list[tuple[int, int]]()
    found = vitreous.train_autoencoder(
        model, images, features=12, k=3, steps=4, batch_size=2, progress=lambda *now: done.append(now)
    )
    assert done == [(1, 4), (2, 4), (3, 4), (4, 4)]
    own, told = found.autoencoder, found.fidelity
    (held,) = found.held_out
    features = patch_features(model, images, own.layer).maps
    torch.testing.assert_close(found.features, features, rtol=1e-3, atol=1e-4)
    rows = features[held].flatten(1).mT
    back = own.decode(own.encode(rows))
    explained = 1 - (rows - back).square().sum() / (rows - rows.mean(0)).square().sum()
    assert told.explained == pytest.approx(explained.item(), abs=1e-3)
    assert told.active == pytest.approx((own.encode(rows) > 0).sum(1).double().mean().item())
    all_rows = features.movedim(1, -1).flatten(0, 2)
    assert found.dead == sum(not bool((own.encode(all_rows)[:, at] > 0).any()) for at in range(12))
    again = vitreous.train_autoencoder(model, images, features=12, k=3, steps=4, batch_size=2)
    assert torch.equal(again.autoencoder.encoder, own.encoder)


def test_the_loss_is_the_divergence_of_the_decision() -> None:
    """Scores are a linear map of the mean patch: what they become with other patches is known."""
    model, images = Pooled().eval(), torch.randn(3, 3, 32, 32)
    features = model.patches(images).detach()
    own = replace(made(), encoder=torch.randn(6, 7), decoder=torch.randn(7, 6), decoder_bias=torch.randn(6))
    own = replace(own, layer="patches")
    rows = features.movedim(1, -1).flatten(0, 2)
    back = own.decode(own.encode(rows)).unflatten(0, (3, 16)).mean(1)
    mean = rows.mean(0).expand(3, 6)
    for link in ("softmax", "sigmoid", "identity"):
        with reading(describe(model).read_as(link=link).reading):
            told = measure(model, images, features, own, 2)
        for loss, pooled in zip(
            (told.loss, told.loss_zero, told.loss_mean), (back, torch.zeros(3, 6), mean), strict=True
        ):
            total = 0.0
            for was, now in zip(model.head(features.mean((2, 3))), model.head(pooled), strict=True):
                total += slow_loss(was.tolist(), now.tolist(), link) / 3
            assert loss == pytest.approx(total, rel=1e-3, abs=1e-5)
        assert told.recovered_zero == pytest.approx(1 - told.loss / told.loss_zero)
        assert told.recovered_mean == pytest.approx(1 - told.loss / told.loss_mean)


def slow_loss(was: list[float], now: list[float], link: str) -> float:
    if link == "identity":
        return sum((a - b) ** 2 for a, b in zip(was, now, strict=True))
    if link == "softmax":
        p, q = ([math.exp(each) / sum(map(math.exp, row)) for each in row] for row in (was, now))
        return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
    p, q = ([1 / (1 + math.exp(-each)) for each in row] for row in (was, now))
    pairs = zip(p, q, strict=True)
    return sum(a * math.log(a / b) + (1 - a) * math.log((1 - a) / (1 - b)) for a, b in pairs)


def test_without_class_scores_or_where_patches_are_not_read_no_loss_is_told() -> None:
    model, images = CASES["timm_vit"].model(), CASES["timm_vit"].images(2)
    last = f"blocks.{len(model.blocks) - 1}"
    unread = vitreous.train_autoencoder(model, images, layer=last, features=4, k=2, steps=1).fidelity
    assert unread.loss == pytest.approx(0, abs=1e-7)
    assert unread.recovered_zero is unread.recovered_mean is None
    model.reset_classifier(0)
    headless = vitreous.train_autoencoder(model, images, layer=last, features=4, k=2, steps=1).fidelity
    assert headless == Fidelity(pytest.approx(unread.explained, abs=1e-3), pytest.approx(unread.active, abs=0.1))


@pytest.mark.parametrize(
    ("images", "features", "k", "said"),
    [
        (torch.randn(1, 3, 32, 32), 4, 2, "at least 2"),
        (torch.randn(2, 3, 32, 32), 4, 5, "`k` is 5"),
        (torch.zeros(2, 3, 32, 32), 4, 2, "are the same"),
        (torch.randn(2, 3, 32, 32), 10**9, 2, "`features`"),
    ],
)
def test_what_cannot_be_trained_is_refused(images: Tensor, features: int, k: int, said: str) -> None:
    with pytest.raises(ShapeError, match=said):
        vitreous.train_autoencoder(Pooled().eval(), images, layer="patches", features=features, k=k, steps=1)


@pytest.mark.parametrize("k", [0, 3])
@pytest.mark.parametrize("threshold", [True, False])
def test_what_was_saved_is_read_as_it_was(tmp_path: Path, k: int, threshold: bool) -> None:
    own, tokens = made(k, centered=bool(k), threshold=threshold), torch.randn(5, CHANNELS)
    own.save(tmp_path / "own.safetensors")
    again = vitreous.load_autoencoder(tmp_path / "own.safetensors")
    assert (again.k, again.centered, again.layer) == (k, bool(k), "blocks.1")
    assert torch.equal(again.encode(tokens), own.encode(tokens))
    assert torch.equal(again.decode(again.encode(tokens)), own.decode(own.encode(tokens)))
    with pytest.raises(DataError, match="cannot be written"):
        own.save(tmp_path / "none" / "own.safetensors")


def fields(own: vitreous.SparseAutoencoder) -> dict[str, Tensor]:
    return {"W_enc": own.encoder, "b_enc": own.encoder_bias, "W_dec": own.decoder, "b_dec": own.decoder_bias}


def saved(path: Path, tensors: dict[str, Tensor]) -> Path:
    save_file({name: each.contiguous() for name, each in tensors.items()}, path)
    return path


def test_matrices_are_turned_as_their_shapes_say_and_what_is_not_said_is_asked_for(tmp_path: Path) -> None:
    own, tokens = made(2, centered=False), torch.randn(5, CHANNELS)
    turned = fields(own) | {"W_enc": own.encoder.mT, "W_dec": own.decoder.mT}
    for tensors in (fields(own), turned, {name: each.double() for name, each in turned.items()}):
        path = saved(tmp_path / "a.safetensors", tensors)
        again = vitreous.load_autoencoder(path, k=2, centered=False)
        torch.testing.assert_close(again.encode(tokens), own.encode(tokens))
        torch.testing.assert_close(again.decode(again.encode(tokens)), own.decode(own.encode(tokens)))
        with pytest.raises(DataError, match="k=0 for ReLU"):
            vitreous.load_autoencoder(path, centered=False)
        with pytest.raises(DataError, match="centered=True"):
            vitreous.load_autoencoder(path, k=2)
        with pytest.raises(ShapeError, match="has 7 features"):
            vitreous.load_autoencoder(path, k=8, centered=False)
    jumps = fields(own) | {"threshold": torch.rand(FEATURES)}
    assert vitreous.load_autoencoder(saved(path, jumps), centered=True).kind == "relu"
    unmoved = fields(own) | {"b_dec": torch.zeros(CHANNELS)}
    assert not vitreous.load_autoencoder(saved(path, unmoved), k=2).centered


@pytest.mark.parametrize("norm", [True, False])
def test_what_overcomplete_lays_out_is_read_with_its_batch_norm(tmp_path: Path, norm: bool) -> None:
    linear, normed = nn.Linear(CHANNELS, FEATURES), nn.BatchNorm1d(FEATURES)
    for name in ("weight", "bias", "running_mean", "running_var"):
        getattr(normed, name).data.uniform_(0.5, 2)
    atoms, tokens = torch.randn(FEATURES, CHANNELS), torch.randn(5, CHANNELS)
    state = {f"encoder.final_block.0.{name}": each for name, each in linear.state_dict().items()}
    if norm:
        state |= {f"encoder.final_block.1.{name}": each for name, each in normed.state_dict().items()}
    path = saved(tmp_path / "a.safetensors", state | {"dictionary._weights": atoms})
    found = vitreous.load_autoencoder(path, k=0)
    expected = (normed.eval() if norm else nn.Identity())(linear(tokens)).relu().detach()
    torch.testing.assert_close(found.encode(tokens), expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.decode(expected), expected @ atoms)
    deeper = state | {"dictionary._weights": atoms, "encoder.mlp_blocks.0.0.weight": torch.ones(2)}
    with pytest.raises(DataError, match=r"mlp_blocks.*Wanted are W_enc"):
        vitreous.load_autoencoder(saved(path, deeper), k=0)


OWN = fields(made())
WRONG: dict[str, dict[str, Tensor]] = {
    "an encoder of other channels": OWN | {"W_enc": torch.ones(5, FEATURES)},
    "a decoder of other features": OWN | {"W_dec": torch.ones(8, CHANNELS)},
    "a matrix for a bias": OWN | {"b_enc": torch.ones(FEATURES, 1)},
    "a number for a bias": OWN | {"b_dec": torch.ones(())},
    "a threshold for another": OWN | {"threshold": torch.ones(3)},
    "whole numbers": OWN | {"b_enc": torch.ones(FEATURES, dtype=torch.int64)},
    "not a number": OWN | {"b_enc": torch.full((FEATURES,), math.nan)},
    "no decoder": {name: each for name, each in OWN.items() if name != "W_dec"},
    "more than there should be": OWN | {"W_gate": torch.ones(2)},
    "nothing": {},
    "atoms of other features": {
        "encoder.final_block.0.weight": torch.ones(3, 4),
        "encoder.final_block.0.bias": torch.ones(3),
        "dictionary._weights": torch.ones(4, 4),
    },
}


@pytest.mark.parametrize("kind", WRONG)
def test_tensors_that_are_no_autoencoder_are_refused_with_what_is_wanted(tmp_path: Path, kind: str) -> None:
    with pytest.raises(ExplainError, match=r"Wanted are|Train it again"):
        vitreous.load_autoencoder(saved(tmp_path / "a.safetensors", WRONG[kind]), k=0, centered=True)


def header(of: object, data: bytes = b"") -> bytes:
    text = json.dumps(of).encode()
    return struct.pack("<Q", len(text)) + text + data


HOSTILE = {
    "nothing": b"",
    "noise": b"\x80\x04" * 40,
    "a header without end": struct.pack("<Q", 2**60) + b"{}",
    "more than is stored": header(
        {"W_enc": {"dtype": "F32", "shape": [10**6, 10**6], "data_offsets": [0, 4 * 10**12]}}
    ),
    "data from outside": header({"W_enc": {"dtype": "F32", "shape": [2], "data_offsets": [-8, 0]}}, b"\0" * 8),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_damaged_files_are_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(HOSTILE[kind])
    with pytest.raises(DataError, match="cannot be read"):
        vitreous.load_autoencoder(path)


def test_what_could_run_code_is_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    path.write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    with pytest.raises(DataError, match=r"Convert it to safetensors.*W_enc, b_enc, W_dec, b_dec"):
        vitreous.load_autoencoder(path)
    with pytest.raises(DataError, match="there is no file"):
        vitreous.load_autoencoder(tmp_path / "none.safetensors")


@pytest.mark.parametrize("said", [{"k": "-1"}, {"k": "9" * 5000}, {"k": "²"}, {"apply_b_dec_to_input": "perhaps"}])
def test_what_a_file_says_of_itself_is_checked(tmp_path: Path, said: dict[str, str]) -> None:
    save_file(OWN, tmp_path / "a.safetensors", {"k": "2", "apply_b_dec_to_input": "true", **said})
    with pytest.raises(DataError, match="does not say"):
        vitreous.load_autoencoder(tmp_path / "a.safetensors")
