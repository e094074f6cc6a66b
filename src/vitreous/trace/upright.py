"""Whether a layer's maps lie on the picture as it is given: an encoder may have seen a mirrored or turned one."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vitreous.errors import NoTokenGrid
from vitreous.shapes import Images
from vitreous.trace.changes import aside
from vitreous.trace.edit import change_output
from vitreous.trace.layout import Layer
from vitreous.trace.observed import check_same_shape
from vitreous.trace.probe import Probe
from vitreous.trace.recorder import record

__all__ = ["check_upright"]

_ALIKE = 0.5
"""Correlation of where a row or column of maps answers to with where it lies: near 1, or -1 of a mirror image."""
_IN_ORDER = 0.9
"""The same, where only a layer's shape says that it lies on the picture."""
_CLEAR = 0.25
"""Share of the picture's side that rows or columns must spread over to tell their order: what sees all tells none."""


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


def _likeness(places: Tensor) -> float:
    """The correlation of places with their order."""
    return torch.corrcoef(torch.stack([places, torch.arange(len(places)).to(places)]))[0, 1].item()


def _slope(places: Tensor) -> float:
    """How fast places grow along their order."""
    order = torch.arange(len(places)).to(places)
    return ((places - places.mean()) * (order - order.mean())).sum().item()


def _maps(model: nn.Module, image: Images, layer: Layer) -> Tensor:
    """(channels, height, width) of the last image."""
    kept: list[Tensor] = []

    def keep(output: Tensor) -> Tensor:
        kept.append(layer.maps(output.detach())[-1].double())
        return output

    with aside(), torch.no_grad(), change_output(model, layer.name, keep, run=layer.run):
        record(model, image)
    return kept[0]
