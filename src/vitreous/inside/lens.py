"""What a model would say after each of its blocks: `logit_lens(model, pictures)`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Unpack

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from vitreous.data.depth import Window
from vitreous.errors import ObservationError
from vitreous.explaining.explain import Preparation, inputs_of
from vitreous.explaining.targets import UserTarget, as_target, part_of
from vitreous.models.zoo import LoadedModel, describe
from vitreous.settings.arguments import checked
from vitreous.settings.typed import Count
from vitreous.shapes import Images, TargetClass
from vitreous.trace.blocks import block_tokens, find_blocks
from vitreous.trace.classifier import check_classifier
from vitreous.trace.ends import check_end, scores_of_end, scores_of_rows
from vitreous.trace.reading import Said, reading
from vitreous.trace.target import Target, probabilities

if TYPE_CHECKING:
    from vitreous.explaining.explain import Picture

__all__ = ["Lens", "logit_lens"]


@dataclass(frozen=True, repr=False)
class Lens:
    """What the model's own end says of the tokens after each block.

    Attributes:
        logits: of all tokens as they stand after the block; after the last, the model's own.
        probabilities: that these stand for.
        target: the class that `maps` are of.
        maps: the class's probability for the token of each patch alone; None where it was not asked for.
        best: the class with the largest score for the token of each patch alone; likewise.
        blocks: dotted names, in order.
    """

    logits: Float[Tensor, "images blocks classes"]
    probabilities: Float[Tensor, "images blocks classes"]
    target: TargetClass
    maps: Float[Tensor, "images blocks h w"] | None
    best: Int[Tensor, "images blocks h w"] | None
    blocks: tuple[str, ...]

    @property
    def of_target(self) -> Float[Tensor, "images blocks"]:
        """The probability of each image's target after every block."""
        return self.probabilities.gather(2, self.target[:, None, None].expand(-1, len(self.blocks), 1))[..., 0]


@checked("model", "images", "target", "preprocess")
def logit_lens(
    model: nn.Module | LoadedModel,
    images: Tensor | Picture | Sequence[Picture],
    target: UserTarget = None,
    *,
    maps: bool = True,
    batch_size: Count = 8,
    preprocess: Preparation | None = None,
    pixel_window: Window = None,
    **how: Unpack[Said],
) -> Lens:
    """Put the tokens after every block through the model's own end: its last norm, pooling and head.

    The logit lens (nostalgebraist, 2020; of Vision Transformers, Vilas et al., NeurIPS 2023). Whatever comes behind the
    last block is the end, so no head is looked for, and none is assumed: the model runs with the last block's output
    replaced. A patch alone is a row in which every token is that patch's. That the class scores depend on nothing
    but the last block's output, and that every row gets its own, is measured, and a model refused of which it is not
    so. The end was trained for tokens after the last block alone: what it says of earlier ones is a reading, not
    what the model knows there.

    Args:
        model: your own module, or what `vitreous.load` gave. It comes back as it was.
        images: as in `explain`: a tensor, taken as the model's normalized input, or pictures.
        target: the class that patches are asked for, as in `explain`; None for the predicted one.
        maps: also of every patch alone.
        batch_size: how many images run at once; bounds memory.
        preprocess: as in `explain`: how pictures become the model's input, where it does not say.
        pixel_window: as in `explain`: of gray pictures of more than 8 bits.
        how: the model is read, as in `similarity`.

    Raises:
        ObservationError: the class scores depend on more than the last block's output, blocks are not of one width, or
            the end takes no row for every patch.
        NoClassScores: the model has no classifier.
        ExplainError: an input, or a model without blocks that attend between all patches; the message says what to do.

    Cost: a forward pass for each block, and with `maps` two more of each image, with the end on a row for every
        patch.

    >>> import torch, vitreous
    >>> vitreous.logit_lens(vitreous.load(), torch.randn(1, 3, 128, 128)).maps.shape[2:]
    torch.Size([8, 8])
    """
    subject = describe(model).read_as(**how)
    inputs, _ = inputs_of(subject, images, preprocess, pixel_window)
    wanted = as_target(target, subject.class_names)
    with reading(subject.reading):
        check_classifier(subject.model, inputs)
        blocks = find_blocks(subject.model, inputs, changing=True)
        parts: list[Lens] = []
        for start in range(0, len(inputs), batch_size):
            at = slice(start, start + batch_size)
            parts.append(_look(subject.model, inputs[at], blocks, part_of(wanted, len(inputs), at), maps=maps))
    return _joined(parts)


def _look(model: nn.Module, images: Images, blocks: tuple[str, ...], target: Target, *, maps: bool) -> Lens:
    tokens, grid = block_tokens(model, images, blocks)
    if odd := [name for name, each in zip(blocks, tokens, strict=True) if each.shape != tokens[-1].shape]:
        raise ObservationError(
            f"`{odd[0]}` of `{type(model).__name__}` gives tokens of another width than its last block, so its end "
            "does not take them. Read a model whose blocks are of one width."
        )
    check_end(model, images, blocks[-1], tokens[-1])
    logits = torch.stack([scores_of_end(model, images, blocks[-1], each) for each in tokens], 1)
    chosen = target(logits[:, -1]).abs().argmax(1)
    found = Lens(logits, probabilities(logits), chosen, None, None, blocks)
    if not maps:
        return found
    scores: list[Tensor] = []
    for each in tokens:
        alone = grid.of_patches(each, 1)[:, :, None].expand(-1, -1, grid.tokens, -1)
        # one image at a time, for the memory that rows take
        rows = [
            scores_of_rows(model, images[at : at + 1], blocks[-1], tokens[-1][at : at + 1], alone[at])
            for at in range(len(images))
        ]
        scores.append(torch.stack(rows).unflatten(1, (grid.height, grid.width)))
    of_patches = torch.stack(scores, 1)
    shares = probabilities(of_patches)[torch.arange(len(images)), ..., chosen]
    return replace(found, maps=shares, best=of_patches.argmax(-1))


def _joined(parts: Sequence[Lens]) -> Lens:
    """What was seen of several batches."""

    def both(name: str) -> Any:
        found = [getattr(part, name) for part in parts]
        return None if found[0] is None else torch.cat(found)

    names = ("logits", "probabilities", "target", "maps", "best")
    return replace(parts[0], **{name: both(name) for name in names})
