"""Folders of SAELens: `cfg.json` against the equations there, what is not read, and configurations that lie."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

import vitreous
from tests.inside.test_autoencoder import CHANNELS, FEATURES, made
from tests.inside.test_autoencoder_files import fields
from vitreous.errors import DataError, ExplainError, ShapeError

SIXTH: dict[str, Any] = {
    "d_in": CHANNELS,
    "d_sae": FEATURES,
    "dtype": "float32",
    "device": "cpu",
    "apply_b_dec_to_input": True,
    "normalize_activations": "none",
    "reshape_activations": "none",
    "metadata": {"sae_lens_version": "6.12.1", "hook_name": "blocks.3.hook_resid_post", "prepend_bos": True},
    "architecture": "standard",
}
"""As version 6 writes it."""
FOURTH: dict[str, Any] = {
    "architecture": "standard",
    "d_in": CHANNELS,
    "d_sae": FEATURES,
    "activation_fn_str": "relu",
    "apply_b_dec_to_input": False,
    "finetuning_scaling_factor": False,
    "hook_name": "blocks.3.hook_mlp_out",
    "hook_layer": 3,
    "hook_head_index": None,
    "normalize_activations": "none",
    "activation_fn_kwargs": {},
}
"""As versions before it did."""


def written(place: Path, config: object, own: vitreous.SparseAutoencoder | None = None) -> Path:
    own = made() if own is None else own
    tensors = fields(own) if own.threshold is None else fields(own) | {"threshold": own.threshold}
    save_file({name: each.contiguous() for name, each in tensors.items()}, place / "sae_weights.safetensors")
    (place / "cfg.json").write_text(config if isinstance(config, str) else json.dumps(config))
    return place


def in_saelens(own: vitreous.SparseAutoencoder, token: Tensor, k: int = 0, *, rescaled: bool = False) -> Tensor:
    """The token made again, as `sae_lens/saes/topk_sae.py` and `standard_sae.py` write it, one token at a time."""
    lengths = own.decoder.norm(dim=-1) if rescaled else torch.ones(FEATURES)
    much = ((token - own.decoder_bias) @ own.encoder + own.encoder_bias) * lengths
    kept = torch.zeros(FEATURES)
    for at in much.topk(k or FEATURES).indices.tolist():
        kept[at] = max(much[at].item(), 0)
    return (kept / lengths) @ own.decoder + own.decoder_bias


def test_a_folder_says_the_layer_and_how_tokens_are_encoded(tmp_path: Path) -> None:
    own, tokens = made(), torch.randn(5, CHANNELS)
    for place in (written(tmp_path, SIXTH, own), tmp_path / "sae_weights.safetensors"):
        found = vitreous.load_autoencoder(place)
        assert (found.k, found.centered, found.layer) == (0, True, "blocks.3")
        for token, again in zip(tokens, found.decode(found.encode(tokens)), strict=True):
            torch.testing.assert_close(again, in_saelens(own, token), rtol=1e-4, atol=1e-5)
    found = vitreous.load_autoencoder(written(tmp_path, FOURTH, own))
    assert (found.k, found.centered, found.layer) == (0, False, "blocks.3.mlp")
    assert vitreous.load_autoencoder(tmp_path, k=2, centered=True).k == 2


@pytest.mark.parametrize("rescaled", [True, False])
def test_the_largest_are_those_of_saelens(tmp_path: Path, rescaled: bool) -> None:
    own, tokens = made(), torch.randn(20, CHANNELS)
    config = SIXTH | {"architecture": "topk", "k": 2, "rescale_acts_by_decoder_norm": rescaled}
    found = vitreous.load_autoencoder(written(tmp_path, config, own))
    assert found.k == 2
    for token, again in zip(tokens, found.decode(found.encode(tokens)), strict=True):
        torch.testing.assert_close(again, in_saelens(own, token, 2, rescaled=rescaled), rtol=1e-4, atol=1e-5)
    older = FOURTH | {"activation_fn_str": "topk", "activation_fn_kwargs": {"k": 3}}
    assert vitreous.load_autoencoder(written(tmp_path, older, own)).k == 3


def test_thresholds_go_with_jumprelu(tmp_path: Path) -> None:
    own = made(threshold=True)
    found = vitreous.load_autoencoder(written(tmp_path, SIXTH | {"architecture": "jumprelu"}, own))
    assert (found.k, found.centered) == (0, True)
    with pytest.raises(DataError, match=r"is standard, and .* has a threshold"):
        vitreous.load_autoencoder(written(tmp_path, SIXTH, own))
    with pytest.raises(DataError, match=r"is jumprelu, and .* has no threshold"):
        vitreous.load_autoencoder(written(tmp_path, SIXTH | {"architecture": "jumprelu"}))


@pytest.mark.parametrize(
    "hook", ["blocks.0.hook_resid_pre", "hook_embed", "blocks.3.attn.hook_q", "x" * 999, "a\nb", None]
)
def test_hooks_that_no_module_answers_to_leave_the_layer_open(tmp_path: Path, hook: str | None) -> None:
    assert not vitreous.load_autoencoder(written(tmp_path, FOURTH | {"hook_name": hook})).layer


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"normalize_activations": "layer_norm"}, "`normalize_activations` .* is 'layer_norm', and tokens are taken"),
        ({"normalize_activations": "expected_average_only_in"}, "fold it into the weights"),
        ({"normalize_activations": True}, "fold it into the weights"),
        ({"architecture": "gated"}, "'gated', and standard, topk, jumprelu can be read"),
        ({"architecture": "transcoder"}, "Give another autoencoder"),
        ({"reshape_activations": "hook_z"}, "Give another autoencoder"),
        ({"activation_fn_str": "tanh-relu"}, "relu and topk can be read"),
        ({"finetuning_scaling_factor": True}, "are not scaled afterwards"),
        ({"rescale_acts_by_decoder_norm": True}, "of topk alone"),
        ({"hook_name": "blocks.3.attn.hook_z"}, "is of single heads"),
        ({"hook_head_index": 2}, "is of single heads"),
        ({"d_sae": None}, "`d_sae` of .* Give a whole number"),
        ({"d_in": "4"}, "`d_in` of .* is '4'. Give a whole number"),
        ({"d_in": True}, "Give a whole number"),
        ({"d_in": 10**400}, "`d_in` of"),
        ({"apply_b_dec_to_input": "yes"}, "`apply_b_dec_to_input`"),
        ({"architecture": "topk", "k": -1}, "`k` of"),
        ({"architecture": "topk", "k": [3]}, "`k` of"),
        ({"activation_fn_str": "topk", "activation_fn_kwargs": {"k": "3"}}, "`k` of"),
        ({"activation_fn_str": "topk", "activation_fn_kwargs": [3]}, "`activation_fn_kwargs`"),
        ({"hook_name": {"a": 1}}, "`hook_name`"),
        ({"architecture": "x" * 10**6}, "can be read"),
    ],
)
def test_what_is_not_computed_here_is_refused(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError, match=said) as error:
        vitreous.load_autoencoder(written(tmp_path, FOURTH | change))
    assert len(str(error.value)) < 1500


@pytest.mark.parametrize("config", [SIXTH | {"d_in": 10**12}, SIXTH | {"d_sae": 3}])
def test_weights_of_another_configuration_are_refused(tmp_path: Path, config: dict[str, Any]) -> None:
    with pytest.raises(ShapeError, match="Put the weights beside their own configuration"):
        vitreous.load_autoencoder(written(tmp_path, config))


@pytest.mark.parametrize(
    "text", ["{", "[" * 10**5, '{"d_in": NaN}', "\xff", '{"d_in": 1e999, "d_sae": 7}', '{"d_in": 4}']
)
def test_damaged_configurations_are_told_in_a_sentence(tmp_path: Path, text: str) -> None:
    with pytest.raises(ExplainError, match=r"cfg\.json"):
        vitreous.load_autoencoder(written(tmp_path, text))


@pytest.mark.parametrize("config", [[1, 2], {"hidden_size": 3}, 7])
def test_another_programs_configuration_says_nothing(tmp_path: Path, config: object) -> None:
    with pytest.raises(DataError, match="k=0 for ReLU"):
        vitreous.load_autoencoder(written(tmp_path, config))
    assert vitreous.load_autoencoder(tmp_path, k=2, centered=False).k == 2


def test_what_is_missing_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no file `.*sae_weights.safetensors`"):
        vitreous.load_autoencoder(tmp_path)
    with pytest.raises(DataError, match="k of TopK"):
        vitreous.load_autoencoder(written(tmp_path, SIXTH | {"architecture": "topk"}))
