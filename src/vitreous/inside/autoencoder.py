"""A sparse autoencoder of patch tokens, and its file: `load_autoencoder(path)`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from safetensors.torch import save_file
from torch import Tensor

from vitreous.errors import DataError, ShapeError
from vitreous.files.writing import whole_file
from vitreous.inside.saelens import CONFIG, WEIGHTS, Config, layer_of, read_config
from vitreous.models.tensors import read_metadata, read_tensors
from vitreous.settings.arguments import checked
from vitreous.settings.typed import shown

__all__ = ["SparseAutoencoder", "load_autoencoder"]

_FIELD = ("W_enc", "b_enc", "W_dec", "b_dec")
_FINAL, _NORM, _ATOMS = "encoder.final_block.0", "encoder.final_block.1", "dictionary._weights"
_OVERCOMPLETE = (f"{_FINAL}.weight", f"{_FINAL}.bias", _ATOMS)
_BATCH_NORM = tuple(f"{_NORM}.{name}" for name in ("weight", "bias", "running_mean", "running_var"))
_NORM_EPSILON = 1e-5
"""Of torch's batch norm, which files do not tell."""
_WANTED = (
    f"Wanted are {', '.join(_FIELD)} and perhaps threshold, as SAELens and saev name them; or "
    f"{', '.join(_OVERCOMPLETE)} and perhaps those of one batch norm, as overcomplete does."
)
_REMEDY = "Give a safetensors file of a sparse autoencoder."


@dataclass(frozen=True, repr=False)
class SparseAutoencoder:
    """Few features for each token, and the token made of them again.

    z = TopK(ReLU((x − centered · decoder_bias) · encoder + encoder_bias)), and x̂ = z · decoder + decoder_bias.

    Attributes:
        encoder: a direction for each feature, as a column.
        encoder_bias: of each feature.
        decoder: what each feature adds to a token.
        decoder_bias: what a token without any feature is.
        k: how many of a token's features are kept, the largest; 0 for all that are above zero.
        centered: whether `decoder_bias` is taken off a token before it is encoded.
        threshold: what a feature must exceed to be there at all (JumpReLU); None for 0.
        layer: dotted name of the module whose patch tokens it is of; empty where it is not known.
    """

    encoder: Float[Tensor, "channels features"]
    encoder_bias: Float[Tensor, " features"]
    decoder: Float[Tensor, "features channels"]
    decoder_bias: Float[Tensor, " channels"]
    k: int = 0
    centered: bool = True
    threshold: Float[Tensor, " features"] | None = None
    layer: str = ""

    @property
    def kind(self) -> Literal["relu", "topk"]:
        """Which features of a token are kept."""
        return "topk" if self.k else "relu"

    def encode(self, tokens: Float[Tensor, "n channels"]) -> Float[Tensor, "n features"]:
        """How much of each feature tokens have, never below 0.

        Raises:
            ShapeError: tokens have another number of channels.
        """
        channels = len(self.decoder_bias)
        if tokens.ndim != 2 or tokens.shape[1] != channels:
            raise ShapeError(
                f"tokens are {tuple(tokens.shape)}, and the autoencoder takes (n, {channels}). Give patch tokens of "
                "the layer that it was trained on."
            )
        own = tokens - self.decoder_bias.to(tokens) if self.centered else tokens
        much = own @ self.encoder.to(tokens) + self.encoder_bias.to(tokens)
        if self.threshold is not None:
            much = torch.where(much > self.threshold.to(tokens), much, 0)
        much = much.clamp(min=0)
        if not self.k:
            return much
        kept = much.topk(self.k, 1)
        return torch.zeros_like(much).scatter(1, kept.indices, kept.values)

    def decode(self, features: Float[Tensor, "n features"]) -> Float[Tensor, "n channels"]:
        """Tokens of their features."""
        return features @ self.decoder.to(features) + self.decoder_bias.to(features)

    def save(self, path: str | Path) -> None:
        """Write it as safetensors, by the names of SAELens and saev; `load_autoencoder` reads all of it again.

        Raises:
            DataError: it cannot be written.
        """
        tensors: dict[str, Tensor] = dict(
            zip(_FIELD, (self.encoder, self.encoder_bias, self.decoder, self.decoder_bias), strict=True)
        )
        if self.threshold is not None:
            tensors["threshold"] = self.threshold
        said = {"k": str(self.k), "apply_b_dec_to_input": str(self.centered).lower(), "layer": self.layer}
        with whole_file(Path(path)) as part:
            save_file({name: each.detach().cpu().contiguous() for name, each in tensors.items()}, part, said)


@checked()
def load_autoencoder(path: str | Path, *, k: int | None = None, centered: bool | None = None) -> SparseAutoencoder:
    """Read a sparse autoencoder of a safetensors file, as vitreous, SAELens, saev or overcomplete name its tensors.

    Of SAELens, the `cfg.json` beside the weights is read too: it says the layer, `k` and `centered`; what it asks for
    and is not computed here, such as scaled tokens, is refused.

    Which way a matrix lies shows in its shape; a square one is taken as these libraries lay it. Of overcomplete, an
    encoder of one linear map and perhaps a batch norm is read, and its dictionary as it is stored: call its
    `get_dictionary()` before you save it, which normalizes it.

    Args:
        path: of the file, or of a folder that SAELens wrote. Files of torch.save are not read: they can run code.
        k: how many features of a token are kept, the largest; 0 for ReLU or JumpReLU. None for what the file says.
        centered: whether `b_dec` is taken off a token before it is encoded: `apply_b_dec_to_input` in SAELens, whose
            default is to do so; saev does not. None for what the file says.

    Raises:
        DataError: the file cannot be read, holds other tensors, or does not say what `k` or `centered` would; or
            `cfg.json` is damaged, or asks for what is not computed here.
        ShapeError: its tensors do not fit each other, or `cfg.json`, are no finite numbers, or there are fewer features
            than `k`.
    """
    place = Path(path)
    place = place / WEIGHTS if place.is_dir() else place
    if place.suffix.lower() in (".pt", ".pth", ".ckpt", ".bin"):
        raise DataError(
            f"`{place}` is not opened: files of torch.save can run code. Convert it to safetensors: "
            f"safetensors.torch.save_file of its state's tensors. {_WANTED}"
        )
    state, said = read_tensors(place, _REMEDY, DataError), read_metadata(place, _REMEDY, DataError)
    state = {name: each for name, each in state.items() if name != f"{_NORM}.num_batches_tracked"}
    for name, tensor in state.items():
        if not (tensor.is_floating_point() and tensor.float().isfinite().all()):
            raise ShapeError(f"`{name}` in `{place}` is not all finite numbers. Train it again, or convert it anew.")
    state = {name: each.float() for name, each in state.items()}
    optional = {"threshold"} & {*state}
    if {*state} == {*_FIELD, *optional}:
        tensors = [state[name] for name in _FIELD]
    elif {*state} in ({*_OVERCOMPLETE}, {*_OVERCOMPLETE, *_BATCH_NORM}):
        tensors = _of_overcomplete(state, place)
    else:
        raise DataError(
            f"`{place}` holds {', '.join(name[:80] for name in sorted(state)[:12]) or 'no tensor'}. {_WANTED}"
        )
    encoder, encoder_bias, decoder, decoder_bias = tensors
    threshold = state.get("threshold")
    others = (encoder_bias,) if threshold is None else (encoder_bias, threshold)
    if decoder_bias.ndim != 1 or any(each.shape != others[0].shape[:1] for each in others):
        raise _unfit(state, place)
    sizes = len(decoder_bias), len(encoder_bias)
    config = read_config(place.parent) if "W_enc" in state and "k" not in said else None
    if config is not None:
        _check_config(config, sizes, threshold, place)
        k, centered = config.kept if k is None else k, config.apply_b_dec_to_input if centered is None else centered
    kept = _kept(k, said, threshold, place)
    if not 0 <= kept <= sizes[1]:
        raise ShapeError(f"`k` is {kept}, and `{place}` has {sizes[1]} features. Give at most as many, or 0 for ReLU.")
    encoder = _turned(encoder, sizes, state, place)
    decoder = _turned(decoder, (sizes[1], sizes[0]), state, place)
    if config is not None and config.rescale_acts_by_decoder_norm:
        lengths = decoder.norm(dim=1)
        encoder, encoder_bias, decoder = encoder * lengths, encoder_bias * lengths, F.normalize(decoder, dim=1)
    layer = said.get("layer", "") if config is None else layer_of(config.hook_name)
    centered = _centered(centered, said, decoder_bias, place)
    return SparseAutoencoder(encoder, encoder_bias, decoder, decoder_bias, kept, centered, threshold, layer)


def _check_config(config: Config, sizes: tuple[int, int], threshold: Tensor | None, place: Path) -> None:
    told, beside = (config.d_in, config.d_sae), place.parent / CONFIG
    if told != sizes:
        raise ShapeError(
            f"`{place}` has {sizes[0]} channels and {sizes[1]} features, and `{beside}` says {shown(told[0])} and "
            f"{shown(told[1])}. Put the weights beside their own configuration."
        )
    if (config.architecture == "jumprelu") != (threshold is not None):
        raise DataError(
            f"`architecture` in `{beside}` is {config.architecture}, and `{place}` has "
            f"{'no' if threshold is None else 'a'} threshold. Put the weights beside their own configuration."
        )


def _of_overcomplete(state: Mapping[str, Tensor], place: Path) -> list[Tensor]:
    """The encoder, its bias, the decoder, and none of its own; a batch norm as it evaluates, in the encoder."""
    weight, bias, atoms = (state[name] for name in _OVERCOMPLETE)
    if weight.ndim != 2 or atoms.shape != weight.shape or bias.shape != weight.shape[:1]:
        raise _unfit(state, place)
    if _BATCH_NORM[0] in state:
        scale, shift, mean, variance = (state[name] for name in _BATCH_NORM)
        if any(each.shape != bias.shape for each in (scale, shift, mean, variance)):
            raise _unfit(state, place)
        scale = scale / (variance + _NORM_EPSILON).sqrt()
        weight, bias = scale[:, None] * weight, scale * (bias - mean) + shift
    return [weight.mT, bias, atoms, atoms.new_zeros(atoms.shape[1])]


def _turned(matrix: Tensor, shape: tuple[int, int], state: Mapping[str, Tensor], place: Path) -> Tensor:
    if matrix.shape == shape:
        return matrix
    if matrix.shape == shape[::-1]:
        return matrix.mT
    raise _unfit(state, place)


def _kept(k: int | None, said: Mapping[str, str], threshold: Tensor | None, place: Path) -> int:
    if k is not None:
        return k
    told = said.get("k", "" if threshold is None else "0")
    if not (told.isascii() and told.isdigit() and len(told) < 10):
        raise DataError(
            f"`{place}` does not say how many features of a token are kept. Give k=0 for ReLU, or the k of TopK, as in "
            "the configuration beside it."
        )
    return int(told)


def _centered(centered: bool | None, said: Mapping[str, str], bias: Tensor, place: Path) -> bool:
    if centered is not None:
        return centered
    told = said.get("apply_b_dec_to_input", "" if bias.any() else "false").lower()
    if told not in ("true", "false"):
        raise DataError(
            f"`{place}` does not say whether `b_dec` is taken off a token before it is encoded. Give centered=True, as "
            "SAELens by default, or False, as saev."
        )
    return told == "true"


def _unfit(state: Mapping[str, Tensor], place: Path) -> ShapeError:
    shapes = ", ".join(f"{name} {tuple(tensor.shape)}" for name, tensor in state.items())
    return ShapeError(
        f"the tensors of `{place}` do not fit each other: {shapes}. Wanted are (channels, features), (features), "
        "(features, channels) and (channels)."
    )
