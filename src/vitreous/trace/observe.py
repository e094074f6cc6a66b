"""See a forward pass: `observe(model, images)`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor, nn

from vitreous.trace.gradient import on_graph
from vitreous.trace.observed import Attention, Trace
from vitreous.trace.recorder import record
from vitreous.trace.seen import AttentionSeen

__all__ = ["observe"]


def observe(model: nn.Module, images: Tensor, *, layers: Sequence[str] = (), inputs: Sequence[str] = ()) -> Trace:
    """Run the model once and keep its attention, the layer outputs asked for and the token grid.

    The model is unchanged during and after the call, also after an exception: fused attention is replaced by its
    definition for this call only. Runs in evaluation mode, with gradients enabled, in the model's own precision.

    Args:
        model: any `nn.Module`; attention that runs inside compiled graphs or kernels of other packages is not seen.
        images: the model's input; floating point, finite.
        layers: dotted names of modules whose outputs to keep.
        inputs: dotted names of modules whose inputs to keep, such as those that run attention.

    Returns:
        the trace. It holds scores and weights of every attention, 2·batch·layers·heads·tokens² numbers, and the
        autograd graph: explain large batches in chunks.

    Raises:
        NothingObserved: no attention was seen, in the model or in the part of it that is to be read.
        ShapeError: `images` is not finite or not floating point.
        ModelError: the weights were made in inference mode.
        UnknownName: a layer does not exist.
        ObservationError: a layer had no tensor to keep, or it was overwritten afterwards.

    >>> import torch
    >>> model = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, batch_first=True), 3, enable_nested_tensor=False)
    >>> [a.name for a in observe(model, torch.randn(1, 5, 8)).attentions]
    ['layers.0.self_attn', 'layers.1.self_attn', 'layers.2.self_attn']
    """
    attentions: list[Attention] = []

    def keep(seen: AttentionSeen) -> Tensor | None:
        scores, weights = seen.attention.scores_and_weights()
        attentions.append(Attention(seen.name, scores, on_graph(weights)))
        return seen.attention.mix(weights)

    def projected(values: Tensor, weight: Tensor) -> None:
        attentions[-1] = replace(attentions[-1], values=values, projection=weight)

    seen = record(model, images, attention=keep, projection=projected, inputs=inputs, outputs=layers, gradients=True)
    seen.check_attention()
    known = tuple(replace(each, tokens=size) for each, size in zip(attentions, seen.sizes, strict=True))
    return Trace(seen.model, seen.output, len(images), known, seen.outputs, lambda: seen.tokens, seen.inputs)
