"""What SAELens says of an autoencoder in the `cfg.json` beside its weights."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from vitreous.errors import DataError
from vitreous.files.reading import read_json
from vitreous.settings.typed import Count, shown, typed_fields

__all__ = ["CONFIG", "WEIGHTS", "Config", "layer_of", "read_config"]

CONFIG, WEIGHTS = "cfg.json", "sae_weights.safetensors"
"""How SAELens calls its files."""
_OWN = re.compile(r"blocks\.(\d{1,4})\.(hook_resid_post|hook_resid_pre|hook_mlp_out|hook_attn_out)")
_MODULE = re.compile(r"[\w.]{1,200}", re.ASCII)
_INNER = {"hook_mlp_out": ".mlp", "hook_attn_out": ".attn"}


@dataclass(frozen=True)
class Config:
    """What is read of it, with the values that SAELens takes where nothing is said.

    Attributes:
        d_in: channels of a token.
        d_sae: features.
        architecture: "standard" (ReLU), "topk" or "jumprelu".
        apply_b_dec_to_input: whether `b_dec` is taken off a token before it is encoded.
        normalize_activations: how tokens are scaled before; "none" alone is read.
        reshape_activations: how they are laid; likewise.
        k: how many features of a token are kept; None where it is not said.
        rescale_acts_by_decoder_norm: whether features count by what they add to a token, when the largest are kept.
        finetuning_scaling_factor: whether features are scaled afterwards, which is not read.
        hook_name: what TransformerLens calls the tensor that it is of; empty where it is not said.
        hook_head_index: of the head that it is of, which is not read.
        activation_fn: before version 6, "relu" or "topk".
        activation_fn_kwargs: its settings.
    """

    d_in: Count
    d_sae: Count
    architecture: str = "standard"
    apply_b_dec_to_input: bool = True
    normalize_activations: str | bool = "none"
    reshape_activations: str = "none"
    k: Count | None = None
    rescale_acts_by_decoder_norm: bool = False
    finetuning_scaling_factor: bool = False
    hook_name: str | None = None
    hook_head_index: int | None = None
    activation_fn: str = "relu"
    activation_fn_kwargs: dict[str, Any] = field(default_factory=dict[str, Any])

    @property
    def kept(self) -> int | None:
        """As `k` of a `SparseAutoencoder`: 0 for all above zero; None where it is not said."""
        return self.k if self.architecture == "topk" else 0


def read_config(folder: Path) -> Config | None:
    """What `cfg.json` says; None where there is none, or it is none of SAELens, which tells `d_in`.

    Raises:
        DataError: it is damaged, a value is of another type, or it asks for what is not computed here.
    """
    path = folder / CONFIG
    if not path.is_file():
        return None
    values = read_json(path, "Put back the file that SAELens wrote, or take it away and give k= and centered=.")
    if not isinstance(values, dict) or "d_in" not in values:
        return None
    config = Config(**_fields(values, path))
    _check(config, path)
    return config


def _fields(values: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Its values as fields, what was called otherwise before version 6 by its name of today."""
    inner = values.get("metadata")
    said: dict[str, Any] = {**(inner if isinstance(inner, dict) else {}), **values}
    for was, now in (("hook_point", "hook_name"), ("hook_point_head_index", "hook_head_index")):
        said.setdefault(now, said.get(was))
    said.setdefault("activation_fn", said.get("activation_fn_str", "relu"))
    known = {item.name for item in fields(Config)}
    own = {name: value for name, value in said.items() if name in known}
    if "d_sae" not in own:
        raise DataError(f"`{path}` does not say `d_sae`. Give the file that SAELens wrote.")
    if own.get("activation_fn_kwargs") is None:
        own.pop("activation_fn_kwargs", None)
    own = typed_fields(Config, own, f"`{path}`", DataError)
    if own.get("architecture", "standard") == "standard" and own["activation_fn"] == "topk":
        k = typed_fields(Config, {"k": own.get("activation_fn_kwargs", {}).get("k")}, f"`{path}`", DataError)
        own |= {"architecture": "topk", "activation_fn": "relu", **k}
    return own


def _check(config: Config, path: Path) -> None:
    """Refuse what would give other features than in SAELens.

    Raises:
        DataError: it does.
    """
    convert = "Read it in SAELens, fold that into the weights and save it anew, or give another autoencoder"
    if config.normalize_activations not in ("none", False):
        raise _unread(
            path,
            "normalize_activations",
            config.normalize_activations,
            "tokens are taken as the layer gives them. Where it is a factor for all tokens, fold it into the weights "
            "by fold_activation_norm_scaling_factor of SAELens and save it anew",
        )
    for name, wanted in (("architecture", ("standard", "topk", "jumprelu")), ("reshape_activations", ("none",))):
        if (value := getattr(config, name)) not in wanted:
            raise _unread(path, name, value, f"{', '.join(wanted)} can be read. Give another autoencoder")
    if config.activation_fn not in ("relu", "topk"):
        raise _unread(
            path, "activation_fn", config.activation_fn, "relu and topk can be read. Give another autoencoder"
        )
    if config.finetuning_scaling_factor:
        raise _unread(path, "finetuning_scaling_factor", True, f"features are not scaled afterwards. {convert}")
    if config.rescale_acts_by_decoder_norm and config.architecture != "topk":
        raise _unread(path, "rescale_acts_by_decoder_norm", True, f"that is read of topk alone. {convert}")
    if config.hook_head_index is not None or (config.hook_name or "").endswith("_z"):
        raise _unread(
            path,
            "hook_name",
            config.hook_name,
            "that is of single heads, and no layer of patch tokens. Give an autoencoder of a residual stream or of "
            "what an attention or MLP adds to it",
        )


def _unread(path: Path, name: str, value: object, why: str) -> DataError:
    return DataError(f"`{name}` in `{path}` is {shown(value)}, and {why}.")


def layer_of(hook: str | None) -> str:
    """The module that gives what a hook of TransformerLens sees, as timm names it; empty where there is none.

    >>> layer_of("blocks.9.hook_resid_post"), layer_of("blocks.9.hook_resid_pre"), layer_of("blocks.9.hook_mlp_out")
    ('blocks.9', 'blocks.8', 'blocks.9.mlp')
    >>> layer_of("blocks.0.hook_resid_pre"), layer_of("hook_embed"), layer_of("encoder.layers.3")
    ('', '', 'encoder.layers.3')
    """
    found = _OWN.fullmatch(hook or "")
    if found is None:
        return hook if hook and "hook" not in hook and _MODULE.fullmatch(hook) else ""
    block, kind = int(found[1]) - (found[2] == "hook_resid_pre"), found[2]
    return f"blocks.{block}{_INNER.get(kind, '')}" if block >= 0 else ""
