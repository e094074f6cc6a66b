"""Whether a layer's maps lie on the picture as it is given: a model may have seen it mirrored, turned or cropped."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vitreous.errors import NoTokenGrid, ObservationError, Uncovered
from vitreous.shapes import Images
from vitreous.trace.changes import aside
from vitreous.trace.covering import reached_along
from vitreous.trace.edit import change_output
from vitreous.trace.gradient import gradients
from vitreous.trace.layer_output import did_not_run
from vitreous.trace.layout import Layer
from vitreous.trace.observed import check_same_shape
from vitreous.trace.probe import Probe, ramp
from vitreous.trace.reading import current_reading
from vitreous.trace.recorder import record

__all__ = ["check_upright", "check_whole"]

_ALIKE = 0.5
"""Correlation of where a row or column of maps answers to with where it lies: near 1, or -1 of a mirror image.

Measured where `_CLEAR` holds: 0.99 and more, or -0.99 and less; of pictures turned by a quarter, -0.97 to 0.42, of
six CNNs and a Swin at 96 and 112 pixels.
"""
_IN_ORDER = 0.9
"""The same, where only a layer's shape says that it lies on the picture."""
_CLEAR = 0.25
"""Share of the picture's side that rows or columns must spread over to tell their order: what sees all tells none.

Measured on nine untrained CNNs and Swin-likes: 0.82 and more of 7×7 cells, 0.5 to 0.67 of most of 3×3, but 0.22 of a
MobileNetV3 and 0.07 of a PoolFormer; noise across reaches 0.09. What spreads less is asked pixel by pixel.
"""
_SURELY = 5.0
"""Standard errors, of 16 draws, that cells' places must differ from upright by: chance reaches that once in 10,000.

Measured on 27 untrained CNNs with three seeds, at 64 and 96 pixels: -3.6 and more where pictures are as given. Of
mirror images at 96 pixels -6.9 and less in a MobileNetV3, a PoolFormer and an EfficientNet.
"""
_OFF = 0.49
"""Of a map's cell, half of it but for rounding: so much of the picture may be left out at an edge, as with patches."""
_MOVED = 0.75
"""Of a map's cell: so far from the picture it may lie at most. Convolutions of stride 2 alone move maps by half of one.

Measured on nine families of untrained CNNs and Swin-likes, at 96 and 224 pixels: at most 0.49 of the middle, and 0.36
at the edges. Padding of half the picture at one side moves them by 0.4 where there are 3×3 cells, which is taken, and
by 1.5 of 7×7; at both sides, it is told where receptive fields are narrow. No shift is told that is smaller than what
a pixel reaches to each side: the finest maps of a pyramid lean as its coarsest do, by several of their own cells.
Of 6×6 cells of a ResNet-18, a ConvNeXt and a MobileNetV3, half of a picture of 192 pixels is not told that is added to
each side as its mirror image, where the whole is made small again: a quarter of its side is the largest shift taken.
"""
_DRAWS = 16
"""Of what looks moved by one; tokens of a few pixels are told roughly by that."""
_MORE_DRAWS = 64
"""Of what 16 leave open.

Measured on five untrained CNNs with two seeds, as they are and mirrored: of 3×3 cells 16 draws tell 13 of 20, and these
16. Of 2×2 cells, which all see everything, these tell 2 of 20; 18 are refused as not told. A SALG and a Swin are told
at 2×2. Of what lies upright, one side alone lies surely across, in a MobileNetV3 and a SALG of 8 channels: both must.
"""
_NARROW = 1 / 8
"""Of the cells along a side: what reaches more, to each side, has its mean drawn inwards by the picture's edges."""
_FLAT, _MANY = 0.1, 4
"""The share of so many cells that channels follow, taken for rows: 0.02, measured; rows of Swin-likes: 0.97."""


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
        NoTokenGrid: they lie otherwise, or are another image's; or that cannot be told, and no grid is said.

    Cost: four forward passes of one image, and one of two; where cells see too much to tell their order by that, also
        one and 48 backward passes of one image, or 192.
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
    unclear = False
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
            raise _turned(type(model).__name__, layer)
        unclear |= len(places) > 1 and not clear
    if unclear and (is_upright := _is_upright(model, images, layer)) is not True:
        if is_upright is False:
            raise _turned(type(model).__name__, layer)
        if current_reading().grid is None:
            raise _untold(type(model).__name__, layer)
    both = _maps(model, probe.like(torch.cat([picture.flip(-1), picture])), layer)
    if (both - before).norm() > before.norm() / 10:
        raise NoTokenGrid(
            f"at `{layer.name}` of `{type(model).__name__}` the images of a batch do not stand in the order in which "
            "they were given, or change each other. Use a method that only runs the model, such as `rise`."
        )


def _turned(kind: str, layer: Layer) -> NoTokenGrid:
    return NoTokenGrid(
        f"what `{layer.name}` of `{kind}` sees in this pass is mirrored or turned, so its maps do not lie on the "
        "picture. Read the pass that sees the picture as it is, such as call=0, or use a method that only runs the "
        "model, such as `rise`."
    )


def _untold(kind: str, layer: Layer) -> NoTokenGrid:
    grid = layer.grid.height, layer.grid.width
    return NoTokenGrid(
        f"something in `{kind}` may mirror or turn what it sees, and whether the {grid[0]}×{grid[1]} cells of "
        f"`{layer.name}` lie on the picture as it is given cannot be told, as each sees nearly all of it. Give a "
        f"larger picture, say grid={grid} (--grid {grid[0]},{grid[1]}) to have a map laid as it is all the same, or "
        "use a method that only runs the model, such as `rise`."
    )


def _is_upright(model: nn.Module, images: Images, layer: Layer) -> bool | None:
    """Whether the cells that a pixel moves lie, on average, where the pixel does; None where that cannot be told.

    The middle of all cells, weighted by the square of how much the pixel moves each, is what two gradients give for all
    pixels at once; over several draws it rises or falls along the picture by more than chance, or does not.
    """
    probe = Probe.of(images)
    leaf = probe.like(probe.middle + probe.noise()).detach().clone().requires_grad_()
    maps = _kept(model, leaf, layer, gradients=True)
    generator, codes = torch.Generator().manual_seed(0), [ramp(side) for side in maps.shape[-2:]]
    several = torch.tensor(maps.shape[-2:]) > 1
    drawn = list[Tensor]()
    for draws in range(1, _MORE_DRAWS + 1):
        try:
            even, *indexed = _reached(maps, leaf, codes, generator, type(model).__name__)
        except ObservationError:
            return None  # where no gradient gets back to the picture, nothing is told
        rows = [(even * each).sum((0, 1)) / even.square().sum() for each in indexed]
        drawn.append(torch.stack([(row * along).sum() for row in rows for along in probe.ramps]).cpu())
        if draws not in (_DRAWS, _MORE_DRAWS):
            continue
        spread, rise = torch.std_mean(torch.stack(drawn), 0)
        found, sure = rise.view(2, 2), (rise.abs() > _SURELY * spread / draws**0.5).view(2, 2)
        own, other = found.diagonal(), found.flip(1).diagonal().abs()
        mirrored = (sure.diagonal() & (own < 0)).any()
        if mirrored or (sure.flip(1).diagonal() & (other > own)).all():  # a quarter turn lays both sides across
            return False
        if (sure.diagonal() & (own > 0))[several].all():
            return True
    return None


def check_whole(model: nn.Module, images: Images, layer: Layer) -> None:
    """Refuse maps that pixels at the picture's edges do not reach, or whose cells lie beyond them.

    Arguments as for `check_upright`.

    Raises:
        Uncovered: there are such pixels across half a cell of the maps or more, or a map would lie three quarters of a
            cell off. Less is taken.

    Cost: a forward and three backward passes of one image; of what looks moved, 48.
    """
    probe = Probe.of(images)
    picture = probe.like(probe.middle + probe.noise())
    kind, leaf = type(model).__name__, picture.detach().clone().requires_grad_()
    maps = _kept(model, leaf, layer, gradients=True)
    height, width = maps.shape[-2:]
    generator, codes = torch.Generator().manual_seed(0), [torch.arange(height), torch.arange(width)]
    found, why = list[list[Tensor]](), ""
    while len(found) < (_DRAWS if why else 1):
        try:
            found.append(_reached(maps, leaf, codes, generator, kind))
        except ObservationError:
            return  # where no gradient gets back to the picture, nothing is told
        even, *indexed = (torch.cat(each) for each in zip(*found, strict=True))
        if not even.any() or not even.isfinite().all():
            return  # a map of what has no numbers is refused where it is made
        why = _moved(even, indexed, (height, width), is_ambiguous=layer.channels == -1)
        if not why:
            return
    raise Uncovered(
        f"what `{layer.name}` of `{kind}` gives {why}, as where a model crops or pads it by itself, so a map would be "
        "moved. Explain the model inside, given the picture as it is cropped or padded. Say grid=(height, width) "
        "(--grid HEIGHT,WIDTH) to have a map laid on the whole picture all the same."
    )


def _moved(even: Tensor, indexed: list[Tensor], grid: tuple[int, int], *, is_ambiguous: bool) -> str:
    """What shows that maps do not lie on the picture, of gradients that reach its pixels; nothing where they do.

    Args:
        even: of Σ⟨r, cell⟩, for some draws of r.
        indexed: of Σ row·⟨r, cell⟩ and Σ column·⟨r, cell⟩.
        grid: (height, width) of the maps.
        is_ambiguous: channels may be as many as there are rows, and be taken for them.
    """
    sides = (-2, ("top", "bottom")), (-1, ("left", "right"))
    for cells, each, (axis, (start, end)) in zip(grid, indexed, sides, strict=True):
        along = reached_along(even.transpose(-1, axis), each.transpose(-1, axis))
        missed, (lean, share) = (along.first, along.length - along.last), along.fit(cells)
        if max(missed) - along.gap >= _OFF * along.length / cells:
            return f"does not depend on {missed[0]} pixels at the {start} of the picture and {missed[1]} at the {end}"
        beyond = (1 - share) * cells / 2 if along.spread < cells * _NARROW else 0.0
        if (moved := max(abs(lean), abs(beyond))) >= max(_MOVED, along.spread):
            return f"lies {moved:.2g} of its {cells} cells off the picture, from {start} to {end}"
        if is_ambiguous and cells >= _MANY and share < _FLAT:
            return f"does not follow the picture from {start} to {end}"
    return ""


def _reached(
    maps: Tensor, leaf: Tensor, codes: Sequence[Tensor], generator: torch.Generator, kind: str
) -> list[Tensor]:
    """Gradients in the picture of Σ⟨r, cell⟩, and of Σ code·⟨r, cell⟩ of rows and of columns, for one draw of r."""
    chance = torch.randn(maps.shape, generator=generator).to(maps)
    rows, columns = (code.to(maps) for code in codes)
    weighted = (chance, chance * rows[:, None], chance * columns)
    return [gradients(maps.flatten(1), each.flatten(1), [leaf], kind)[0].double() for each in weighted]


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
    if not kept:
        raise did_not_run(layer, model)
    return kept[0]
