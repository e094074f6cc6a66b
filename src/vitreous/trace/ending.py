"""Class scores behind probabilities: what went into the softmax or sigmoid that a model ends in.

A model that returns probabilities would be read wrongly as one that returns scores: the softmax of a softmax is nearly
flat, and no sigmoid is negative. What went into a model's last softmax or sigmoid *are* its class scores, to the bit,
however saturated the probabilities, with gradients and relevance as of the model without that last step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree
from torch.utils.weak import WeakTensorKeyDictionary

from vitreous.errors import ModelError
from vitreous.shapes import Logits
from vitreous.trace.moves import MOVES
from vitreous.trace.reading import LINKS, current_reading, link_read
from vitreous.trace.telling import tell

__all__ = ["Ending", "scores_behind"]


def _called(name: str, special: str = "") -> frozenset[Any]:
    """A function of torch's by all its names."""
    named = (getattr(place, name, None) for place in (torch, Tensor, F))
    return frozenset({*named, getattr(torch.special, special or name, None)} - {None})


@dataclass(frozen=True)
class _Kind:
    """What a function makes of class scores, and so what these stand for.

    Attributes:
        link: one of `LINKS`.
        of: the function, over classes in axis 1.
        is_log: whether it is the logarithm of probabilities.
    """

    link: str
    of: Callable[[Tensor], Tensor]
    is_log: bool = False


_KINDS: dict[Any, _Kind] = {
    **dict.fromkeys(_called("softmax"), _Kind("softmax", lambda scores: scores.softmax(1))),
    **dict.fromkeys(_called("log_softmax"), _Kind("softmax", lambda scores: scores.log_softmax(1), is_log=True)),
    **dict.fromkeys(_called("sigmoid", "expit") | _called("sigmoid_"), _Kind("sigmoid", torch.sigmoid)),
    **dict.fromkeys(_called("logsigmoid"), _Kind("sigmoid", F.logsigmoid, is_log=True)),
}
# what a sigmoid is written out with: of these scores, it is `of`
_WRITTEN: dict[Any, _Kind] = {
    **dict.fromkeys(_called("exp"), _Kind("exponential", torch.sigmoid)),
    **dict.fromkeys(_called("tanh"), _Kind("hyperbolic tangent", lambda scores: (2 * scores).sigmoid())),
}
_CLAMPED = _called("clamp") | _called("clip") | _called("clamp_min") | _called("clamp_max")
_NAMES = (
    "add add_ sub sub_ subtract rsub mul mul_ multiply div div_ divide true_divide neg negative reciprocal mean sum "
    "__radd__ __rsub__ __rmul__ __rdiv__ __rtruediv__"
)
_ARITHMETIC = frozenset[Any]().union(*map(_called, _NAMES.split()))
_SHARES = (1.0, 100.0)
"""What all probabilities are together: they may be given in percent."""


@dataclass(frozen=True)
class _Behind:
    """What a tensor of probabilities was made of.

    Attributes:
        scores: in its shape.
        kind: what made it.
        rounding: of the type that it was made in.
        version: of the tensor; what is written into it afterwards was not made of these.
        is_whole: whether it is what `kind` makes; or arithmetic followed.
    """

    scores: Tensor
    kind: _Kind
    rounding: float
    version: int
    is_whole: bool


def _note(made: Tensor, scores: Tensor, kind: _Kind, rounding: float, *, is_whole: bool = True) -> None:
    _BEHIND[made] = _Behind(scores, kind, rounding, _version(made), is_whole)


def _noted(made: Tensor) -> _Behind | None:
    found: _Behind | None = _BEHIND.get(made)
    return found if found and found.version == _version(made) else None


def _version(tensor: Tensor) -> int:
    return 0 if tensor.is_inference() else tensor._version  # inference tensors count no versions


_BEHIND: Any = WeakTensorKeyDictionary()
"""By what a softmax or sigmoid made, as long as somebody has it."""


class Ending(TorchFunctionMode):
    """Within its block, what softmax and sigmoid make is known by what they made it of, also when it is moved.

    A softmax over more axes than classes, as in attention, is left alone: its scores would stay in memory.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run one operation."""
        options = kwargs or {}
        if (kind := _KINDS.get(func)) is not None:
            given = args[0] if args else options["input"]
            in_place = func.__name__ == "sigmoid_"
            scores = given.clone() if in_place else given
            result = func(*args, **options)
            if kind.link == "sigmoid" or result.ndim <= 2:
                _note(result, scores, kind, _rounding(result))
            return result
        worked = _worked(args) if _BEHIND and func in _ARITHMETIC else None  # it may write in place
        result = func(*args, **options)
        if func in _WRITTEN and 0 < result.ndim <= 2:
            _note(result, args[0] if args else options["input"], _WRITTEN[func], _rounding(result), is_whole=False)
        elif worked is not None:
            _note(result, worked.scores, worked.kind, max(worked.rounding, _rounding(result)), is_whole=False)
        moved = _BEHIND and (func in MOVES or func in _CLAMPED)
        if moved and isinstance(result, Tensor) and result is not (*args, None)[0]:
            _follow(func, args, options, result)
        return result


def _rounding(tensor: Tensor) -> float:
    return torch.finfo(tensor.dtype).eps


def _worked(args: tuple[Any, ...]) -> _Behind | None:
    """What stands behind the numbers that arithmetic is done with; nothing behind what a sigmoid only gates."""
    given = [each for each in args if isinstance(each, Tensor)]
    behind = [found for each in given if (found := _noted(each)) is not None]
    if not behind or any(each.kind.is_log for each in behind):
        return None
    gated = [each for each in given if each.numel() >= behind[0].scores.numel() and _noted(each) is None]
    return None if gated else behind[0]


def _follow(func: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any], result: Tensor) -> None:
    """Move scores as what was made of them is moved."""
    leaves = [leaf for leaf in pytree.tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    behind = {id(leaf): _noted(leaf) for leaf in leaves if leaf.is_floating_point()}
    known = [each for each in behind.values() if each is not None]
    if not known or len(known) < len(behind) or any(each.kind is not known[0].kind for each in known):
        return
    kind, rounding = known[0].kind, max(each.rounding for each in known)
    whole = all(each.is_whole for each in known)
    if func in _CLAMPED or any(leaf.shape != found.scores.shape for leaf in leaves if (found := behind[id(leaf)])):
        _note(result, known[0].scores, kind, rounding, is_whole=whole and func in _CLAMPED)
        return

    def back(leaf: Tensor) -> Tensor:
        found = behind.get(id(leaf))
        return found.scores if found else leaf

    args, kwargs = pytree.tree_map_only(Tensor, back, (args, kwargs))
    _note(result, func(*args, **kwargs), kind, max(rounding, _rounding(result)), is_whole=whole)


def scores_behind(found: Logits, model: str) -> Logits:
    """The class scores of a model that returned this: what went into its last softmax or sigmoid, or what it returned.

    Believed only if they make what it returned. Where they do not, or nobody saw how it was made, rows that sum to 1
    are probabilities all the same, and their logarithms scores.

    Args:
        found: (batch, classes), as the model returned it.
        model: its name, for messages.

    Raises:
        ModelError: it returned probabilities that are to be read as something else, or whose scores are infinite.
    """
    if current_reading().link == "identity":  # values, whatever made them
        return found
    behind = _noted(found)
    if behind is not None and (scores := _made_of(behind, found)) is not None:
        link = behind.kind.link if behind.kind.link in LINKS else "sigmoid"
        _check_link(link, found.shape[1], model)
        return tell(f"what went into its last {link}", scores)
    shares = found.detach().cpu().double()  # not every device has float64
    # chance does not sum to 1 in float32; what summed many classes rounded more often
    near = (4 + found.shape[1] ** 0.5) * torch.finfo(torch.promote_types(found.dtype, torch.float32)).eps
    for whole in _SHARES if found.shape[1] > 1 and bool((shares >= 0).all()) else ():
        if bool(((shares.sum(1) / whole - 1).abs() <= near).all()):
            _check_link("softmax", found.shape[1], model)
            return tell(
                "the logarithms of the probabilities that it returns", _finite((found / whole).log(), found, model)
            )
    if behind is None or behind.kind.is_log:
        return found
    if not behind.is_whole and not (behind.kind.link == "sigmoid" and bool(((shares >= 0) & (shares <= 1)).all())):
        _check_said(behind.kind, model)
        return found
    if found.shape[1] > 1 and behind.kind.link == "softmax":
        raise ModelError(
            f"`{model}` returns {found.shape[1]} probabilities of a softmax over others. Let it return all of them, or "
            "the scores that went into its softmax."
        )
    _check_link("sigmoid", found.shape[1], model)
    return tell("the log odds of the probabilities that it returns", _finite(found.logit(), found, model))


def _made_of(behind: _Behind, found: Logits) -> Logits | None:
    """The scores that give what was returned, in the axis of the classes; None where these do not."""
    if behind.scores.shape != found.shape:
        return None
    wide, near = torch.promote_types(found.dtype, torch.float32), 4 * behind.rounding
    scores = behind.scores.detach().to(wide)
    if behind.is_whole:
        return behind.scores if torch.allclose(behind.kind.of(scores), found.detach().to(wide), near, near) else None
    for whole in _SHARES:
        shares = found.detach().to(wide) / whole
        for sign in (1, -1):  # 1 / (1 + exp(-x)) as well as 1 - 1 / (1 + exp(-x))
            if torch.allclose(behind.kind.of(sign * scores), shares, 4 * near, near):
                at = sign * (2 if behind.kind.link == "hyperbolic tangent" else 1)
                return behind.scores if at == 1 else at * behind.scores
    return None


def _check_said(kind: _Kind, model: str) -> None:
    """Refuse to guess what was made of probabilities by arithmetic; a hyperbolic tangent may bound scores.

    Raises:
        ModelError: nobody says what it stands for.
    """
    if kind.link != "hyperbolic tangent" and current_reading().link is None:
        raise ModelError(
            f"`{model}` returns what arithmetic makes of {'an' if kind.link == 'exponential' else 'a'} {kind.link}, "
            'which are no class scores. Let it return the scores, or say what they stand for: link="identity" '
            '(--link identity) for values, or link="softmax" or "sigmoid" where they are scores all the same.'
        )


def _check_link(link: str, scores: int, model: str) -> None:
    """Refuse to read scores as something else than the model does.

    Raises:
        ModelError: the block says otherwise, or nothing where it must.
    """
    if (link, scores) == ("softmax", 1):
        raise ModelError(
            f"`{model}` returns the softmax of a single score, which is 1 for every picture. Let it return the score."
        )
    if link_read(scores) != link:
        several = f"its {scores} scores are" if scores > 1 else "its score is"
        raise ModelError(
            f'`{model}` ends in a {link}, and {several} to be read by link="{link_read(scores)}". '
            f'Say link="{link}" (--link {link}), or link="identity" to explain what it returns as values.'
        )


def _finite(scores: Logits, found: Logits, model: str) -> Logits:
    """These scores, made of probabilities.

    Raises:
        ModelError: some probabilities are 0 or 1.
    """
    if bad := int((~scores.detach().isfinite()).sum()):
        raise ModelError(
            f"`{model}` returns probabilities, and {bad} of {found.numel()} are so near 0 or 1 that no finite score "
            "stands behind them. Let it return the scores that it makes them of."
        )
    return scores
