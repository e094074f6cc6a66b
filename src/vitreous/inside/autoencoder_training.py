"""A sparse autoencoder of a model's own patch tokens: `train_autoencoder(model, pictures)`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Unpack

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from vitreous.data.depth import Window
from vitreous.errors import ShapeError
from vitreous.explaining.explain import Preparation, inputs_of
from vitreous.inside.autoencoder import SparseAutoencoder
from vitreous.inside.autoencoder_measuring import MeasuredAutoencoder, count_dead
from vitreous.inside.concepts import read_patches
from vitreous.inside.effects import random_directions
from vitreous.inside.fidelity import measure, rows_of
from vitreous.masking.forward import Progress
from vitreous.models.zoo import LoadedModel, describe
from vitreous.settings.arguments import checked
from vitreous.settings.typed import Count, Passes, Seed, Within
from vitreous.trace.reading import Said, reading

if TYPE_CHECKING:
    from vitreous.explaining.explain import Picture

__all__ = ["TrainedAutoencoder", "fit", "train_autoencoder"]

Width = Annotated[int, Within(1, 100_000)]
_TOGETHER = 1024
"""Tokens of a step."""
_RATE = 1e-3
_DRAWN_FROM = 4096
"""Tokens that the first directions are drawn from."""
_HELD_OUT, _SAME = 0.2, 1e-6
"""Of the pictures; and what tokens vary by rounding, over their length."""


@dataclass(frozen=True, repr=False)
class TrainedAutoencoder(MeasuredAutoencoder):
    """An autoencoder, and what it is worth on pictures that it was not trained on: `fidelity` is of those.

    Attributes:
        held_out: those pictures' places among all.
    """

    held_out: tuple[int, ...]


@checked("model", "images", "preprocess")
def train_autoencoder(
    model: nn.Module | LoadedModel,
    images: Tensor | Picture | Sequence[Picture],
    *,
    layer: str = "",
    features: Width = 512,
    k: Count = 16,
    steps: Passes = 2000,
    seed: Seed = 0,
    batch_size: Count = 8,
    progress: Progress | None = None,
    preprocess: Preparation | None = None,
    pixel_window: Window = None,
    **how: Unpack[Said],
) -> TrainedAutoencoder:
    """Train a TopK sparse autoencoder on the patch tokens of a layer, and measure it on pictures held out.

    After Gao et al. (ICLR 2025), without their auxiliary loss: Adam on ‖x − x̂‖², directions of the decoder of length 1,
    and the encoder begins as the decoder turned. A fifth of the pictures, drawn by the seed, is held out. What a
    feature means is for you to see, in the patches that have the most of it.

    Args:
        model: your own module, or what `vitreous.load` gave. It comes back as it was.
        images: as in `explain`: a tensor, taken as the model's normalized input, or pictures; two at least.
        layer: as in `concepts`.
        features: how many the autoencoder has.
        k: how many of them a token has at most.
        steps: of training, each on 1024 tokens drawn at random.
        seed: of the pictures that are held out, of the first directions, and of the tokens of every step.
        batch_size: how many images run at once.
        progress: told how many steps are done, and how many there are.
        preprocess: as in `explain`: how pictures become the model's input, where it does not say.
        pixel_window: as in `explain`: of gray pictures of more than 8 bits.
        how: the model is read, as in `similarity`.

    Raises:
        ShapeError: fewer than two pictures, more features for a token than there are, or all tokens are the same.
        ExplainError: as `similarity`.

    Cost: as `similarity`, and 4 forward passes of the pictures held out; all tokens are kept in memory.

    >>> import torch, vitreous
    >>> images = torch.randn(5, 3, 128, 128)
    >>> found = vitreous.train_autoencoder(vitreous.load(), images, features=32, k=4, steps=5)
    >>> found.autoencoder.decoder.shape[0], found.fidelity.active <= 4
    (32, True)
    """
    subject = describe(model).read_as(**how)
    inputs, _ = inputs_of(subject, images, preprocess, pixel_window)
    if len(inputs) < 2:
        raise ShapeError("there is 1 picture, and a part of them is held out. Give at least 2.")
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(inputs), generator=generator)
    many = max(1, round(_HELD_OUT * len(inputs)))
    held, own = order[:many].sort().values, order[many:]
    with reading(subject.reading):
        read = read_patches(subject.model, inputs, layer, batch_size)
        maps = read.maps
        found = fit(rows_of(maps[own]).to(inputs.device), features, k, steps, generator, progress=progress)
        found = replace(found, layer=read.layer)
        fidelity = measure(subject.model, inputs[held], maps[held], found, batch_size)
    return TrainedAutoencoder(found, fidelity, count_dead(found, maps, batch_size), maps, tuple(held.tolist()))


def fit(
    rows: Float[Tensor, "n channels"],
    features: int,
    k: int,
    steps: int,
    generator: torch.Generator,
    *,
    progress: Progress | None = None,
) -> SparseAutoencoder:
    """Train on tokens, in the units in which their mean squared length about their mean is 1.

    Raises:
        ShapeError: as `train_autoencoder`.
    """
    if k > features:
        raise ShapeError(f"`k` is {k}, and there are {features} features. Give at most as many.")
    mean = rows.mean(0)
    scale = (rows - mean).square().sum(1).mean().sqrt()
    if not scale > _SAME * rows.square().sum(1).mean().sqrt():
        raise ShapeError(f"all {len(rows)} tokens are the same. Give other pictures, or another layer.")
    rows = (rows - mean) / scale
    drawn = torch.randint(len(rows), (min(len(rows), _DRAWN_FROM),), generator=generator)
    first = random_directions(rows[drawn].cpu(), features, generator).to(rows)
    with torch.inference_mode(False), torch.enable_grad():
        encoder, decoder = first.mT.clone().requires_grad_(), first.clone().requires_grad_()
        inner, outer = (rows.new_zeros(count).requires_grad_() for count in (features, len(mean)))
        adam = torch.optim.Adam([encoder, decoder, inner, outer], _RATE)
        for step in range(steps):
            batch = rows[torch.randint(len(rows), (_TOGETHER,), generator=generator)].clone()
            now = SparseAutoencoder(encoder, inner, F.normalize(decoder, dim=1), outer, k)
            loss = (now.decode(now.encode(batch)) - batch).square().sum(1).mean()
            adam.zero_grad()
            loss.backward()
            adam.step()
            if progress:
                progress(step + 1, steps)
    trained = encoder, inner * scale, F.normalize(decoder, dim=1), mean + outer * scale
    into, inner, out_of, outer = (each.detach().cpu() for each in trained)
    return SparseAutoencoder(into, inner, out_of, outer, k)
