"""Whether tokens stand at every attention where they stood at the first, for every picture and every image of a batch.

Measured as `places.py` measures, on another picture, in passes whose attention mixes nothing: each token goes on with
its own values, so what a place answers to at a later attention is the pixels of the token that stands there by then.
"""

from __future__ import annotations

import itertools
from functools import partial

import torch
from torch import Tensor, nn

from vitreous.errors import NoTokenGrid
from vitreous.shapes import Images
from vitreous.trace.attend import AttentionCall
from vitreous.trace.changes import aside
from vitreous.trace.intercept import Interceptor
from vitreous.trace.observed import TokenGrid
from vitreous.trace.places import Reads, measure_tokens
from vitreous.trace.probe import Probe
from vitreous.trace.running import run
from vitreous.trace.seen import AttentionSeen
from vitreous.trace.settled import settled

__all__ = ["check_order"]

_APART = 0.75
"""Of a patch: a token that answers to a place farther from where it stood is another, whose place is one off at least.

Measured on 13 untrained ViTs of 4×4 patches, in one draw: at most 0.38 in float32 and 0.67 in bfloat16, and two
neighbors that change places 1.
"""
_DRAWS = 4
"""Of noise, where one shows tokens apart: rounding to 16 bits moves a few of many by chance."""
_INSTEAD = "Use a method that only runs the model, such as `rise`, or let the model keep the order."


def check_order(model: nn.Module, images: Images, tokens: TokenGrid, is_read: Reads) -> None:
    """Refuse tokens that do not stand where `tokens` says at every attention between all of them that is read.

    Args:
        model: comes back as it was.
        images: its input; only their size, number, mean and spread are used.
        tokens: as measured at the first.
        is_read: which attentions are read.

    Raises:
        NoTokenGrid: the order changes between attentions, from picture to picture, or among the images of a batch.

    Cost: as `measure_tokens`, and four to six forward passes of one image, nine more where they look apart.
    """
    kind, probe = type(model).__name__, Probe.of(images, seed=1)
    if _elsewhere(model, images, tokens, is_read):
        raise NoTokenGrid(
            f"where the {tokens.patches} patches of `{kind}` stand among its tokens depends on the picture, so no map "
            f"of its tokens lies on one. {_INSTEAD}"
        )
    picture = probe.noise() + probe.middle
    unmixed = partial(_unmixed, model, tokens=tokens, is_read=is_read)
    names, before = unmixed(probe.like(picture))
    step = max(probe.step(each.dtype) for each in (images, *before))

    def moved_by(push: Tensor) -> list[Tensor]:
        others, now = unmixed(probe.like(picture + push))
        if others != names:
            raise NoTokenGrid(
                f"`{kind}` attends between {tokens.tokens} tokens {len(names)} times in one run and {len(others)} "
                f"times in another, of pictures of one size: which tokens go on depends on the picture. {_INSTEAD}"
            )
        return [each.double() - then for each, then in zip(now, before, strict=True)]

    sums, elsewhere = torch.zeros(3, len(names), tokens.tokens, dtype=torch.float64), ""
    for _ in range(_DRAWS):
        push = probe.noise() * step
        even, *sloped = (moved_by(push * ramp) for ramp in (torch.ones_like(push), *probe.ramps))
        for code, each in enumerate((even, *sloped)):
            sums[code] += torch.stack([(a * b).sum((0, 2)).cpu() for a, b in zip(even, each, strict=True)])
        if not (elsewhere := _moved(tokens, names, sums[1:] / sums[0])):
            break
    if elsewhere:
        raise NoTokenGrid(
            f"the tokens of `{kind}` stand in another order at `{elsewhere}` than at its first attention, "
            f"`{names[0]}`, so its attentions are of no one grid. {_INSTEAD}"
        )
    if len(images) > 1:
        _, both = unmixed(probe.like(torch.cat([probe.noise() + probe.middle, picture])))
        for name, now, then in zip(names, both, before, strict=True):
            if (now[1].double() - then[0]).norm() > then.double().norm() / 10:
                raise NoTokenGrid(
                    f"at `{name}` of `{kind}` the images of a batch do not stand in the order in which they were "
                    "given. Explain them one at a time, batch_size=1 (--batch-size 1)."
                )


def _moved(tokens: TokenGrid, names: list[str], places: Tensor) -> str:
    """The first attention at which patches answer to other places than at the first of all; none where none does.

    Args:
        tokens: as measured at the first.
        names: of the attentions.
        places: (2, attentions, tokens), downwards and to the right.
    """
    cells = torch.tensor([[2 / tokens.height], [2 / tokens.width]])
    first = None
    for at, name in enumerate(names):
        now = tokens.of_patches(places[:, at])
        first = now if first is None else first
        if not bool(((now - first).abs() < _APART * cells).all()):
            return name
    return ""


def _elsewhere(model: nn.Module, images: Images, tokens: TokenGrid, is_read: Reads) -> bool:
    """Whether another picture's patches stand elsewhere among the tokens of the first attention."""
    for seed in (1, 2):  # of a small model, one draw of noise may not show where they stand
        try:
            return measure_tokens(model, images, is_read, seed=seed) != tokens
        except NoTokenGrid:
            continue
    return True


def _unmixed(model: nn.Module, pictures: Images, tokens: TokenGrid, is_read: Reads) -> tuple[list[str], list[Tensor]]:
    """By attention between all tokens, its name and its values, (batch, tokens, numbers), where none mixes tokens."""
    at, names, values = itertools.count(), list[str](), list[Tensor]()

    def attend(seen: AttentionSeen) -> Tensor | None:
        is_asked, call = is_read(next(at), seen.name), seen.attention
        if not seen.sizes[-1]:
            return None
        if is_asked and seen.sizes[-1] == tokens.tokens and call.value is not None:
            names.append(seen.name)
            values.append(call.value.transpose(1, 2).flatten(2))
        if isinstance(call, AttentionCall):
            return call.apart()
        return torch.eye(seen.sizes[-1]).to(call.weights).expand_as(call.weights)

    with aside(), settled(model) as change:
        change.gradients(False)
        change.enter(Interceptor(attend, running=change.running(model)))
        change.start_pass()
        run(model, pictures.clone())
    return names, values
