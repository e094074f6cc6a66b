"""Whether a layer's maps lie on the picture as it is given: a model may have seen it mirrored, turned or cropped."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vitreous.errors import NoTokenGrid, ObservationError, Uncovered
from vitreous.shapes import Images
from vitreous.trace.changes import aside
from vitreous.trace.edit import change_output
from vitreous.trace.gradient import gradients
from vitreous.trace.layout import Layer
from vitreous.trace.observed import check_same_shape
from vitreous.trace.probe import Probe
from vitreous.trace.recorder import record

__all__ = ["check_upright", "check_whole"]

_ALIKE = 0.5
"""Correlation of where a row or column of maps answers to with where it lies: near 1, or -1 of a mirror image."""
_IN_ORDER = 0.9
"""The same, where only a layer's shape says that it lies on the picture."""
_CLEAR = 0.25
"""Share of the picture's side that rows or columns must spread over to tell their order: what sees all tells none."""
_OFF = 0.49
"""Of a map's cell, half of it but for rounding: so much of the picture may be left out at an edge, as with patches."""
_UNMOVED = 1e-6
"""Of what a row or column of pixels moves at most, rounding."""


def check_upright(model: nn.Module, images: Images, layer: Layer, *, surely: bool = False) -> None:
    """Refuse maps whose rows do not lie from top to bottom of the picture, and columns from left to right.

    Measured as the tokens' places are: noise that grows along the picture moves what lies further along it more. And an
    image must have the same maps alone and in a batch.

    Args:
        model: comes back as it was.
        images: its input; only their size and type are used.
        layer: whose maps they are.
        surely: refuse also what tells no order, and what follows it only loosely: as where tokens lie on no grid.

    Raises:
        NoTokenGrid: they lie otherwise, or are another image's.

    Cost: four forward passes of one image, and one of two.
    """
    probe = Probe.of(images)
    picture = probe.middle + probe.noise()
    push = probe.noise() * probe.step(images.dtype)
    ramps = torch.ones([], device=push.device), *probe.ramps
    before = _maps(model, probe.like(picture), layer)
    if not before.isfinite().all():
        return  # a map of what has no numbers is refused where it is made
    found = [_maps(model, probe.like(picture + push * ramp), layer) for ramp in ramps]
    for each in found:
        check_same_shape(before, each, f"what `{layer.name}` of `{type(model).__name__}` gives")
    even, down, right = (each - before for each in found)
    for along, beside, across in ((down, right, -1), (right, down, -2)):
        moved = even.square().sum((0, across))
        places, others = (((even * sloped).sum((0, across)) / moved)[moved > 0] for sloped in (along, beside))
        rising, aslant = _slope(places), abs(_slope(others))
        clear = len(places) > 1 and max(abs(rising), aslant) >= _CLEAR * _slope(torch.linspace(-1, 1, len(places)))
        if surely and len(places) != 1 and not (clear and _likeness(places) > _IN_ORDER):
            raise NoTokenGrid(
                f"what `{layer.name}` of `{type(model).__name__}` gives has the shape of maps of the picture and does "
                "not follow it row by row and column by column. Name another layer=, say how the tokens lie by "
                "grid=(height, width) and patches= (--grid, --patches), or use a method that only runs the model, such "
                "as `rise`."
            )
        if clear and (_likeness(places) < _ALIKE or rising < aslant):
            raise NoTokenGrid(
                f"what `{layer.name}` of `{type(model).__name__}` sees in this pass is mirrored or turned, so its maps "
                "do not lie on the picture. Read the pass that sees the picture as it is, such as call=0, or use a "
                "method that only runs the model, such as `rise`."
            )
    both = _maps(model, probe.like(torch.cat([picture.flip(-1), picture])), layer)
    if (both - before).norm() > before.norm() / 10:
        raise NoTokenGrid(
            f"at `{layer.name}` of `{type(model).__name__}` the images of a batch do not stand in the order in which "
            "they were given, or change each other. Use a method that only runs the model, such as `rise`."
        )


def check_whole(model: nn.Module, images: Images, layer: Layer) -> None:
    """Refuse maps that pixels at the picture's edges do not reach, as they would be laid on these as well.

    Arguments as for `check_upright`.

    Raises:
        Uncovered: there are such pixels across half a cell of the maps or more.

    Cost: a forward and a backward pass of one image.
    """
    probe = Probe.of(images)
    picture = probe.like(probe.middle + probe.noise())
    kind, leaf = type(model).__name__, picture.detach().clone().requires_grad_()
    maps = _kept(model, leaf, layer, gradients=True)
    chance = torch.randn(maps.shape, generator=torch.Generator().manual_seed(0)).to(maps)
    try:
        (found,) = gradients(maps.flatten(1), chance.flatten(1), [leaf], kind)
    except ObservationError:
        return  # where no gradient gets back to the picture, nothing is told
    moved = found.double().square().sum((0, 1))
    for across, cells, sides in ((1, maps.shape[-2], ("top", "bottom")), (0, maps.shape[-1], ("left", "right"))):
        strength = moved.sum(across)
        reached = (strength > _UNMOVED * strength.max()).nonzero()[:, 0]
        if not len(reached):
            return
        missed = int(reached[0]), len(strength) - 1 - int(reached[-1])
        if max(missed) >= _OFF * len(strength) / cells:
            raise Uncovered(
                f"what `{layer.name}` of `{kind}` gives does not depend on {missed[0]} pixels at the {sides[0]} of the "
                f"picture and {missed[1]} at the {sides[1]}, as where a model crops it by itself, so a map would be "
                "moved. Explain the model inside, given the picture as it is cropped. Say grid=(height, width) "
                "(--grid HEIGHT,WIDTH) to have a map laid on the whole picture all the same."
            )


def _likeness(places: Tensor) -> float:
    """The correlation of places with their order."""
    return torch.corrcoef(torch.stack([places, torch.arange(len(places)).to(places)]))[0, 1].item()


def _slope(places: Tensor) -> float:
    """How fast places grow along their order."""
    order = torch.arange(len(places)).to(places)
    return ((places - places.mean()) * (order - order.mean())).sum().item()


def _maps(model: nn.Module, image: Images, layer: Layer) -> Tensor:
    """(channels, height, width) of the last image."""
    return _kept(model, image, layer).detach()[-1].double()


def _kept(model: nn.Module, images: Images, layer: Layer, *, gradients: bool = False) -> Tensor:
    """(batch, channels, height, width)."""
    kept: list[Tensor] = []

    def keep(output: Tensor) -> Tensor:
        kept.append(layer.maps(output))
        return output

    with aside(), change_output(model, layer.name, keep, run=layer.run):
        record(model, images, gradients=gradients)
    return kept[0]
