"""The layer that a CAM reads: found by watching a run, its output read as maps whatever its layout."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from vitreous.errors import NoTokenGrid
from vitreous.shapes import FeatureMaps, Images, Logits
from vitreous.trace.attend import AttentionCall
from vitreous.trace.changes import changes
from vitreous.trace.edit import change_output, find_layers, first_tensor
from vitreous.trace.gradient import gradients
from vitreous.trace.record import TokenGrid
from vitreous.trace.recorder import record
from vitreous.trace.seen import AttentionSeen

__all__ = ["Layer", "LayerOutput", "find_layer", "layout", "read_layer", "run_with"]


_MOST_EXTRA = 64
"""A row with more tokens beside the patches is taken for something else, such as channels before patches."""


@dataclass(frozen=True)
class Layer:
    """A layer whose output lies on the picture, and how.

    Attributes:
        name: dotted name of the module.
        grid: its patches; the prefix is nonzero only where the output is a row of tokens.
        channels: the axis of the channels: 1 in (batch, channels, h, w), -1 in (batch, h, w, channels) and
            (batch, tokens, channels).
    """

    name: str
    grid: TokenGrid
    channels: int

    def maps(self, output: Tensor) -> FeatureMaps:
        """The layer's output, or its gradient, as one map per channel."""
        if output.ndim == 3:
            return output[:, self.grid.prefix :].mT.unflatten(-1, (self.grid.height, self.grid.width))
        return output.movedim(self.channels, 1)


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


def find_layer(model: nn.Module, images: Images, name: str = "") -> Layer:
    """The layer with this name; by default the last whose patches the class scores depend on.

    That is measured on the first image: of all modules in order of execution, the last one whose output has a place on
    the picture and a gradient there. What happens inside an attention (queries, keys, values) does not count. So it is
    the last feature map before pooling in a CNN, a Swin or a ViT that pools its patches, and in a ViT that reads its
    class token the input of the last attention, after its norm.

    Raises:
        UnknownName: the model has no such module.
        NoTokenGrid: its output has no place on the picture, or no module's has.
        ModelError, ShapeError: as `observe`.
    """
    if name:
        find_layers(model, [name])
    size = (images.shape[-2], images.shape[-1])
    outputs: list[tuple[str, Tensor]] = []

    def keep(module: str) -> Callable[[Any], None]:
        def keep(output: Any) -> None:
            if (tensor := first_tensor(output)) is not None:
                outputs.append((module, tensor))

        return keep

    with changes() as change:
        for module_name, module in model.named_modules():
            change.after(module, keep(module_name))
        seen = record(model, images[:1].detach(), inputs=[""], gradients=True)

    layers = dict(_lay_out(outputs, size))
    if name:
        if found := [layers[at] for at, (module, _) in enumerate(outputs) if module == name and at in layers]:
            return found[-1]
        raise _no_map(seen.model, name, [tensor for module, tensor in outputs if module == name])
    inside = tuple(f"{module}." for module in seen.names if module)
    candidates = [
        (layer, outputs[at][1])
        for at, layer in layers.items()
        if outputs[at][1].requires_grad and not layer.name.startswith(inside)
    ]
    return _last_read(candidates, seen.logits, seen.model)


def read_layer(model: nn.Module, images: Images, layer: Layer) -> LayerOutput:
    """Run the model once and keep what the layer gave; gradients start there, so nothing before it is recorded."""
    kept: list[Tensor] = []

    def start_gradients(output: Tensor) -> Tensor:
        torch.set_grad_enabled(True)
        kept[:] = [output.detach().requires_grad_()]
        return kept[0].clone()  # the model may go on in place

    logits = run_with(model, images, layer, start_gradients)
    return LayerOutput(layer, kept[0], logits, type(model).__name__)


def run_with(model: nn.Module, images: Images, layer: Layer, change: Callable[[Tensor], Tensor]) -> Logits:
    """The class scores where the layer gives `change(output)` in place of its output.

    Attention is fused until `change` switches gradients on, and written out from there.
    """

    def attend(seen: AttentionSeen) -> Tensor | None:
        call = seen.attention
        return call.written() if isinstance(call, AttentionCall) and torch.is_grad_enabled() else None

    with change_output(model, layer.name, change):
        return record(model, images.detach(), attention=attend).logits


def layout(
    shape: tuple[int, ...], size: tuple[int, int], grids: Mapping[tuple[int, int], None]
) -> tuple[TokenGrid, int] | None:
    """The grid and the channel axis of an output of this shape; None where it has no place on the picture.

    Args:
        shape: of the output, batch first.
        size: (height, width) of the picture.
        grids: (height, width) of the maps seen so far: a row of tokens lies on one of these, or on one halved.

    >>> layout((1, 512, 7, 7), (224, 224), {})
    (TokenGrid(prefix=0, height=7, width=7), 1)
    >>> layout((1, 7, 7, 768), (224, 224), {})
    (TokenGrid(prefix=0, height=7, width=7), -1)
    >>> layout((1, 197, 192), (224, 224), {(14, 14): None})
    (TokenGrid(prefix=1, height=14, width=14), -1)
    """
    if len(shape) == 4:
        found = [
            (-shape[axis], TokenGrid(0, *sides), axis)
            for axis, sides in ((1, shape[2:]), (-1, shape[1:3]))
            if _same_stride(sides, size) and min(sides) * max(sides) > 1
        ]
        # a square block of numbers could be either: channels are the long axis
        return min(found, key=lambda each: each[0])[1:] if found else None
    if len(shape) != 3 or shape[2] == 1:  # one number per row is a pooled map
        return None
    tokens = shape[1]
    halved = [(-(-h // 2), -(-w // 2)) for h, w in grids]
    exact = [grid for grid in (*grids, *halved) if grid[0] * grid[1] == tokens > 1]
    loose = sorted((h * w, h, w) for h, w in grids if h * w < tokens < h * w + min(h * w, _MOST_EXTRA))
    if exact:
        return TokenGrid(0, *exact[0]), -1
    return (TokenGrid(tokens - loose[-1][0], *loose[-1][1:]), -1) if loose else None


def _lay_out(outputs: list[tuple[str, Tensor]], size: tuple[int, int]) -> Iterator[tuple[int, Layer]]:
    """By place in the list, the outputs that lie on the picture."""
    grids: dict[tuple[int, int], None] = {}
    for at, (name, tensor) in enumerate(outputs):
        found = layout(tuple(tensor.shape), size, grids) if tensor.shape[:1] == (1,) else None
        if found and tensor.is_floating_point():
            grid, channels = found
            grids[grid.height, grid.width] = None
            yield at, Layer(name, grid, channels)


def _same_stride(sides: tuple[int, ...], size: tuple[int, int]) -> bool:
    """Whether a grid with these sides divides the picture by one stride, up to rounding of the sides.

    >>> _same_stride((7, 7), (224, 224)), _same_stride((7, 768), (224, 224)), _same_stride((3, 5), (24, 40))
    (True, False, True)
    """
    shortest = max(length / (side + 1) for side, length in zip(sides, size, strict=True))
    longest = min(length / max(side - 1, 0.5) for side, length in zip(sides, size, strict=True))
    return shortest < longest and min(sides) > 0


def _last_read(candidates: list[tuple[Layer, Tensor]], logits: Logits, model: str) -> Layer:
    """The last whose gradient is not zero on the patches. It is near the end, so it is looked for from there."""
    # any direction without symmetry will do: no class may cancel another
    direction = torch.linspace(1, 2, logits.shape[1]).to(logits).expand_as(logits)
    for end in range(len(candidates), 0, -16):
        part = candidates[max(end - 16, 0) : end][::-1]
        slopes = gradients(logits, direction, [output for _, output in part], model)
        for (layer, _), slope in zip(part, slopes, strict=True):
            if layer.maps(slope).any():
                return layer
    raise NoTokenGrid(
        f"no layer of `{model}` gave a map of the picture that its class scores depend on. Name one by layer=; an "
        "untrained head (all zeros) also gives this."
    )


def _no_map(model: str, name: str, outputs: list[Tensor]) -> NoTokenGrid:
    given = f"gave {tuple(outputs[-1].shape)} for one image" if outputs else "gave no tensor when the model ran"
    return NoTokenGrid(
        f"`{name}` of `{model}` {given}, which has no place on the picture. "
        "Name a layer that gives (batch, channels, h, w), (batch, h, w, channels) or a row of patch tokens."
    )
