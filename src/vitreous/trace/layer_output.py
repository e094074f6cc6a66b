"""What a layer gives in a run, as maps whatever its layout, and a run that goes on from another output."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vitreous.errors import ObservationError
from vitreous.shapes import FeatureMaps, Images, Logits
from vitreous.trace.attend import AttentionCall
from vitreous.trace.edit import change_output
from vitreous.trace.gradient import gradients
from vitreous.trace.layout import Layer
from vitreous.trace.recorder import record
from vitreous.trace.seen import AttentionSeen

__all__ = ["LayerOutput", "did_not_run", "read_layer", "run_with"]


@dataclass(frozen=True)
class LayerOutput:
    """What a layer gave in one forward pass, and the class scores that followed.

    Attributes:
        layer: that was read.
        output: as the module gave it, in its own layout.
        logits: the class scores, on the graph that starts at `output`.
        model: class name of the model, for messages.
    """

    layer: Layer
    output: Tensor
    logits: Logits
    model: str

    @property
    def maps(self) -> FeatureMaps:
        """One map per channel."""
        return self.layer.maps(self.output.detach())

    def gradients(self, direction: Logits) -> FeatureMaps:
        """∂⟨direction, logits⟩/∂maps. May be called again.

        Raises:
            ObservationError: the model recomputes its activations (gradient checkpointing).
        """
        return self.layer.maps(gradients(self.logits, direction, [self.output], self.model)[0])


def read_layer(model: nn.Module, images: Images, layer: Layer) -> LayerOutput:
    """Run the model once and keep what the layer gave; gradients start there, so nothing before it is recorded."""
    kept: list[Tensor] = []

    def start_gradients(output: Tensor) -> Tensor:
        torch.set_grad_enabled(True)
        kept[:] = [output.detach().requires_grad_()]
        return kept[0].clone()  # the model may go on in place

    logits = run_with(model, images, layer, start_gradients)
    if not kept:
        raise did_not_run(layer, model)
    return LayerOutput(layer, kept[0], logits, type(model).__name__)


def did_not_run(layer: Layer, model: nn.Module) -> ObservationError:
    """Why a layer gave nothing in a run, and something in one before."""
    return ObservationError(
        f"`{layer.name}` of `{type(model).__name__}` did not run on these images as it did before: the model keeps "
        "what it gave for an earlier input. Switch that off."
    )


def run_with(model: nn.Module, images: Images, layer: Layer, change: Callable[[Tensor], Tensor]) -> Logits:
    """The class scores where the layer gives `change(output)` in place of its output.

    Attention is fused until `change` switches gradients on, and written out from there.

    Raises:
        ObservationError: the layer gives other than one output for each image.
    """

    def attend(seen: AttentionSeen) -> Tensor | None:
        call = seen.attention
        return call.written() if isinstance(call, AttentionCall) and torch.is_grad_enabled() else None

    def checked(output: Tensor) -> Tensor:
        if len(output) != len(images):
            raise ObservationError(
                f"`{layer.name}` of `{type(model).__name__}` gives {len(output)} outputs at a time for {len(images)} "
                "images: the model runs them one by one, or joins them. Explain them one at a time, batch_size=1 "
                "(--batch-size 1)."
            )
        return change(output)

    with change_output(model, layer.name, checked, run=layer.run):
        return record(model, images.detach(), attention=attend).logits
