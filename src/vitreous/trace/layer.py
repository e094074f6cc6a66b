"""The layer that a CAM reads: found by watching a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.graph import get_gradient_edge

from vitreous.errors import NoTokenGrid, ObservationError, Uncovered, UnknownName
from vitreous.shapes import Images
from vitreous.trace.attend import WrittenAttention
from vitreous.trace.changes import changes
from vitreous.trace.edit import find_layers, find_part, first_tensor
from vitreous.trace.flow import chains, nodes_before
from vitreous.trace.gradient import gradients
from vitreous.trace.layout import Layer, layout
from vitreous.trace.observed import TokenGrid
from vitreous.trace.once import once
from vitreous.trace.reading import current_reading
from vitreous.trace.recorder import SAY_CALL, record
from vitreous.trace.recording import Recording
from vitreous.trace.reorder import Reorders
from vitreous.trace.seen import AttentionSeen
from vitreous.trace.upright import check_upright, check_whole
from vitreous.trace.views import check_views

__all__ = ["find_layer"]


def find_layer(model: nn.Module, images: Images, name: str = "") -> Layer:
    """The layer with this name; by default the last whose patches the class scores depend on.

    That is measured on the first image: of all modules in order of execution, the last one whose output has a place on
    the picture and a gradient there. What happens inside an attention (queries, keys, values) does not count. So it is
    the last feature map before pooling in a CNN, a Swin or a ViT that pools its patches, and in a ViT that reads its
    class token the input of the last attention, after its norm.

    Raises:
        UnknownName: the model has no such module.
        NoTokenGrid: its output has no place on the picture, or no module's has; or it lies mirrored there.
        Uncovered: the model crops the picture, so that it does not cover all of it.
        ObservationError: several passes ran, and none was chosen; or several views of an image in one.
        ModelError, ShapeError: as `observe`.

    Cost: a forward and a backward pass of one image, two of each without attention between all patches; four more
        forward passes where a pass or a part is chosen, or something in the model may turn the picture.
    """
    return once(("layer", name), model, images, lambda: _measured(model, images, name), picture=True)


def _measured(model: nn.Module, images: Images, name: str) -> Layer:
    (layer, reorders, unsure, tokens), how = _find(model, images, name), current_reading()
    sizes = images.shape[-2] * images.shape[-1], layer.grid.patches
    if unsure or how.part or how.call is not None or reorders.turned(*sizes):
        check_upright(model, images, layer, surely=unsure)
    if tokens is None and how.grid is None:
        check_whole(model, images, layer)
    return layer


def _find(model: nn.Module, images: Images, name: str) -> tuple[Layer, Reorders, bool, TokenGrid | None]:
    """The layer, what may have turned its maps, whether their shape alone says where they lie, and the tokens' grid."""
    how = current_reading()
    find_part(model, how.part)
    find_layers(model, [name] if name else [])
    ran: list[_Ran] = []

    def keep(module: str) -> Callable[[Any], None]:
        def keep(output: Any) -> None:
            if (tensor := first_tensor(output)) is not None:
                ran.append(_Ran(module, tensor, is_early=not begun))

        return keep

    begun: list[AttentionSeen] = []
    with changes() as change:
        for module_name, module in model.named_modules():
            change.after(module, keep(module_name))
        seen = record(model, images[:1].detach(), attention=begun.append, inputs=[""], gradients=True)

    with torch.inference_mode(False), torch.enable_grad():
        picture = get_gradient_edge(seen.inputs[""]).node
    tokens, unsure = _tokens(seen)
    layers = {
        at: layer
        for at, layer in _lay_out(ran, (images.shape[-2], images.shape[-1]), seen, tokens)
        if picture in nodes_before(ran[at].output)
    }
    if name:
        runs = [at for at, each in enumerate(ran) if each.name == name]
        run = _run_of(name, [ran[at].output for at in runs], begun, seen.model) if runs else 0
        if runs and (layer := layers.get(runs[run])):
            unsure |= _may_be_heads(layer, ran[runs[run]].output, tokens)
            return replace(layer, run=run), seen.reorders, unsure, tokens
        raise _no_map(seen.model, name, [ran[at].output for at in runs])
    shapes = {each.name: each.output.shape for each in ran}
    within = f"{how.part}." if how.part else ""
    candidates = [
        (layer, ran[at].output)
        for at, layer in layers.items()
        if ran[at].output.requires_grad
        and not _may_be_heads(layer, ran[at].output, tokens)
        and f"{layer.name}.".startswith(within)
        # inside an attention, a norm may hold all that goes in; queries, keys and values do not, or are wider
        and all(shapes.get(each) == ran[at].output.shape for each in seen.names if layer.name.startswith(f"{each}."))
    ]
    if how.call is not None:
        candidates = [
            (layer, output)
            for layer, output in candidates
            if any(each is output for each in _of_call(_runs(ran, layer.name), begun, how.call))
        ]
    try:
        layer, _ = _last_read(candidates, seen)
    except NoTokenGrid:
        seen.check_one_pass()
        check_views(model, images)
        raise
    return (
        replace(layer, run=_run_of(layer.name, _runs(ran, layer.name), begun, seen.model)),
        seen.reorders,
        unsure,
        tokens,
    )


def _runs(ran: Sequence[_Ran], name: str) -> list[Tensor]:
    """What the named module gave, each time that it ran."""
    return [each.output for each in ran if each.name == name]


def _of_call(outputs: Sequence[Tensor], read: Sequence[AttentionSeen], call: int) -> list[Tensor]:
    """Of what a module gave each time that it ran, what leads to the attention that is read, or comes from it.

    Without attention, what was made from one another belongs to a call.
    """
    if not read:
        return [outputs[at] for chain in chains(outputs)[call : call + 1] for at in chain]
    attention = read[-1].attention
    mark = attention.scores if isinstance(attention, WrittenAttention) else attention.query
    before = nodes_before(mark)
    return [each for each in outputs if each.grad_fn in before or mark.grad_fn in nodes_before(each)]


class _Ran(NamedTuple):
    """What a module gave when it ran, and whether that was before any attention."""

    name: str
    output: Tensor
    is_early: bool


def _run_of(name: str, outputs: Sequence[Tensor], read: Sequence[AttentionSeen], model: str) -> int:
    """Which run of a module is read: the last of those that were made from one another, or of the call that is chosen.

    Raises:
        ObservationError: there are several such chains, and none was chosen.
        UnknownName: the one that was chosen does not exist.
    """
    found, call = chains(outputs), current_reading().call
    if len(found) == 1:
        return found[0][-1]
    if call is None:
        raise ObservationError(
            f"`{name}` of `{model}` runs {len(found)} times on inputs that do not build on each other, as an encoder "
            "of several pictures or of a flipped one does. Say which run to read, call=0 for the first, or use a "
            "method that only runs the model, such as `rise`."
        )
    if not (of_call := _of_call(outputs, read, call)):
        raise UnknownName("call", str(call), map(str, range(len(found))), remedy=SAY_CALL)
    there = {at for at, output in enumerate(outputs) if any(output is each for each in of_call)}
    # several may go into one attention, as a picture and its tiles do: then the call is one of these
    apart = [runs for chain in found if (runs := there.intersection(chain))]
    return max(apart[min(call, len(apart) - 1)])


def _tokens(seen: Recording) -> tuple[TokenGrid | None, bool]:
    """How the tokens lie, where that is known, and whether they lie on no grid: then shapes alone tell nothing.

    Raises:
        Uncovered: they lie on another part of the picture than the whole, and so do all maps.
    """
    try:
        return (seen.first_tokens if seen.names else None), False
    except Uncovered:
        raise
    except NoTokenGrid:
        return None, True
    except ObservationError:  # windows, merged tokens, several encoders: rows are told by the maps that were seen
        return None, False


def _lay_out(
    ran: Sequence[_Ran], size: tuple[int, int], seen: Recording, tokens: TokenGrid | None
) -> Iterator[tuple[int, Layer]]:
    """By place in the list, the outputs that lie on the picture."""
    grids: dict[tuple[int, int], None] = {}
    if tokens is not None:
        seen.check_order(tokens)
    for at, (name, output, is_early) in enumerate(ran):
        shape = tuple(output.shape)
        if shape[:1] != (1,) or not output.is_floating_point():
            continue
        if tokens is not None and len(shape) == 3 and shape[1] in (tokens.tokens, tokens.patches) and shape[2] > 1:
            if not (is_early and tokens.order):  # they may be put in that order, or joined by others, afterwards
                yield at, Layer(name, tokens if shape[1] == tokens.tokens else tokens.alone, -1)
            continue
        if found := layout(shape, size, grids):
            grids[found[0].height, found[0].width] = None
            yield at, Layer(name, *found)


def _may_be_heads(layer: Layer, output: Tensor, tokens: TokenGrid | None) -> bool:
    """Whether what looks like maps may be (batch, heads, tokens, width)."""
    if tokens is None or output.ndim < 4 or (layer.grid.height, layer.grid.width) == (tokens.height, tokens.width):
        return False
    return tokens.tokens in output.shape[1:]


def _last_read(candidates: Sequence[tuple[Layer, Tensor]], seen: Recording) -> tuple[Layer, Tensor]:
    """The last that all others on the picture that the class scores read lead to or come from.

    Two attentions side by side in a block are passed over; two encoders have no such layer.

    Raises:
        NoTokenGrid: no gradient reaches the picture.
        ObservationError: it does so in ways that meet in no layer.
    """
    later: list[Tensor] = []
    for at in _read(candidates, seen):
        layer, output = candidates[at]
        before = nodes_before(output)
        aside = [each for each in candidates[:at] if each[1].grad_fn not in before]
        alone = all(output.grad_fn in nodes_before(each) for each in later)
        if alone and not any(True for _ in _read(aside, seen)):
            return layer, output
        if not seen.names:
            raise ObservationError(
                f"the class scores of `{seen.model}` reach the picture in ways that meet in no layer, as in an "
                f'ensemble, of which `{layer.name}` lies on one. Say what to read: layer="{layer.name}", or part=, '
                "the name of one encoder."
            )
        later.append(output)
    if seen.is_scripted:
        raise NoTokenGrid(
            f"`{seen.model}` holds TorchScript or an exported program, and layers inside of such a graph cannot be "
            "seen. Pass the model that it was made from, or use a method that only runs the model, such as `rise`."
        )
    raise NoTokenGrid(
        f"no layer of `{seen.model}` gave a map of the picture that its class scores depend on. Name one by layer=, or "
        "use a method that only runs the model, such as `rise`; an untrained head (all zeros) and a torch.no_grad() in "
        "its forward also give this."
    )


def _read(candidates: Sequence[tuple[Layer, Tensor]], seen: Recording) -> Iterator[int]:
    """Those whose gradient is not zero on the patches, last first: the one that is wanted is near the end."""
    # any direction without symmetry will do: no class may cancel another
    direction = torch.linspace(1, 2, seen.logits.shape[1]).to(seen.logits).expand_as(seen.logits)
    for end in range(len(candidates), 0, -16):
        part = range(max(end - 16, 0), end)[::-1]
        grads = gradients(seen.logits, direction, [candidates[at][1] for at in part], seen.model)
        for at, grad in zip(part, grads, strict=True):
            if candidates[at][0].maps(grad).any():
                yield at


def _no_map(model: str, name: str, outputs: list[Tensor]) -> NoTokenGrid:
    given = f"gave {tuple(outputs[-1].shape)} for one image" if outputs else "gave no tensor when the model ran"
    return NoTokenGrid(
        f"`{name}` of `{model}` {given}, which has no place on the picture. "
        "Name a layer that gives (batch, channels, h, w), (batch, h, w, channels) or a row of patch tokens."
    )
