"""What an autoencoder of somebody else is worth on pictures: `measure_autoencoder(model, pictures, autoencoder)`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Unpack

import torch
from torch import Tensor, nn

from vitreous.data.depth import Window
from vitreous.errors import DataError, ObservationError, ShapeError
from vitreous.explaining.explain import Preparation, inputs_of
from vitreous.inside.autoencoder import SparseAutoencoder
from vitreous.inside.concepts import read_patches
from vitreous.inside.fidelity import Fidelity, measure, rows_of
from vitreous.models.zoo import LoadedModel, describe
from vitreous.settings.arguments import checked
from vitreous.settings.typed import Count
from vitreous.shapes import FeatureMaps, Images
from vitreous.trace.blocks import find_blocks
from vitreous.trace.reading import Said, reading

if TYPE_CHECKING:
    from vitreous.explaining.explain import Picture

__all__ = ["MeasuredAutoencoder", "count_dead", "measure_autoencoder"]

_BLOCK = re.compile(r"blocks\.(\d{1,4})(\..*)?")
_SAME = 1e-6
"""What tokens vary by rounding, over their length."""


@dataclass(frozen=True, repr=False)
class MeasuredAutoencoder:
    """An autoencoder, and what it is worth.

    Attributes:
        autoencoder: that was measured, with the layer that was read.
        fidelity: on the pictures.
        dead: how many features no token of any picture has.
        features: what was read of the patches of all.
    """

    autoencoder: SparseAutoencoder
    fidelity: Fidelity
    dead: int
    features: FeatureMaps


@checked("model", "images", "preprocess")
def measure_autoencoder(
    model: nn.Module | LoadedModel,
    images: Tensor | Picture | Sequence[Picture],
    autoencoder: SparseAutoencoder,
    *,
    layer: str = "",
    batch_size: Count = 8,
    preprocess: Preparation | None = None,
    pixel_window: Window = None,
    **how: Unpack[Said],
) -> MeasuredAutoencoder:
    """Measure a sparse autoencoder, of whatever origin, on the patch tokens of pictures.

    Says how much of the tokens' variance it makes up, how far the model's own decision survives with its tokens in the
    layer (the loss that is recovered, against zeros and against the mean token), and how many features are dead. Give
    pictures that it was not trained on.

    Args:
        model: your own module, or what `vitreous.load` gave. It comes back as it was.
        images: as in `explain`: a tensor, taken as the model's normalized input, or pictures.
        autoencoder: from `load_autoencoder` or `train_autoencoder`.
        layer: dotted name of the module whose patch tokens it is of; by default what the autoencoder says, where
            `blocks.N` is the model's Nth block, from 0, if no module is called so.
        batch_size: how many images run at once; bounds memory.
        preprocess: as in `explain`: how pictures become the model's input, where it does not say.
        pixel_window: as in `explain`: of gray pictures of more than 8 bits.
        how: the model is read, as in `similarity`.

    Raises:
        DataError: neither the autoencoder nor `layer` says whose tokens it is of.
        ShapeError: the layer has another number of channels than the autoencoder, or all tokens are the same.
        UnknownName: the model has no such layer.
        ExplainError: as `similarity`.

    Cost: as `similarity`, and 4 forward passes of each image.

    >>> import torch, vitreous
    >>> model, images = vitreous.load(), torch.randn(5, 3, 128, 128)
    >>> own = vitreous.train_autoencoder(model, images, features=32, k=4, steps=5).autoencoder
    >>> vitreous.measure_autoencoder(model, images, own).fidelity.active <= 4
    True
    """
    subject = describe(model).read_as(**how)
    inputs, _ = inputs_of(subject, images, preprocess, pixel_window)
    if not (layer or autoencoder.layer):
        raise DataError("the autoencoder does not say which layer's tokens it is of. Give layer=, --layer.")
    with reading(subject.reading):
        named = layer or _layer_in(subject.model, inputs, autoencoder.layer)
        read = read_patches(subject.model, inputs, named, batch_size)
        rows = rows_of(read.maps)
        if not (rows - rows.mean(0)).norm() > _SAME * rows.norm():
            raise ShapeError(f"all {len(rows)} tokens of `{read.layer}` are the same. Give other pictures.")
        own = replace(autoencoder, layer=read.layer)
        fidelity = measure(subject.model, inputs, read.maps, own, batch_size)
    return MeasuredAutoencoder(own, fidelity, count_dead(own, read.maps, batch_size), read.maps)


def count_dead(own: SparseAutoencoder, features: FeatureMaps, batch_size: int) -> int:
    """How many features no token has."""
    some = [(own.encode(rows_of(part)) > 0).any(0) for part in features.split(batch_size)]
    return int((~torch.stack(some).any(0)).sum())


def _layer_in(model: nn.Module, images: Images, layer: str) -> str:
    """The module of that name or, where there is none, what the name says of block N in the Nth of the blocks."""
    found = _BLOCK.fullmatch(layer)
    if found is None or layer in dict(model.named_modules()):
        return layer
    try:
        blocks = find_blocks(model, images)
    except ObservationError:
        return layer
    block = int(found[1])
    return f"{blocks[block]}{found[2] or ''}" if block < len(blocks) else layer
