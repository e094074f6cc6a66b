"""Files of sparse autoencoders: every layout of tensors, and files that lie."""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import vitreous
from tests.inside.test_autoencoder import CHANNELS, FEATURES, made
from vitreous.errors import DataError, ExplainError, ShapeError


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


def test_numbers_that_torch_does_not_compute_with_are_refused(tmp_path: Path) -> None:
    head = json.dumps({"W_enc": {"dtype": "F4", "shape": [2], "data_offsets": [0, 1]}}).encode()
    (tmp_path / "x.safetensors").write_bytes(struct.pack("<Q", len(head)) + head + b"a")
    with pytest.raises(DataError, match=r"`W_enc` in `.*` is torch.float4_.*does not compute with. Give a safetensors"):
        vitreous.load_autoencoder(tmp_path / "x.safetensors")
    save_file({"n" * 5_000: torch.ones(1)}, tmp_path / "x.safetensors")
    with pytest.raises(DataError) as refused:
        vitreous.load_autoencoder(tmp_path / "x.safetensors")
    assert len(str(refused.value)) < 1_000
