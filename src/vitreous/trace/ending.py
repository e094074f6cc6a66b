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
from vitreous.trace.reading import current_reading, link_read

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
_CLAMPED = _called("clamp") | _called("clip") | _called("clamp_min") | _called("clamp_max")


@dataclass(frozen=True)
class _Behind:
    """What a tensor of probabilities was made of.

    Attributes:
        scores: in its shape.
        kind: what made it.
        rounding: of the type that it was made in.
        version: of the tensor; what is written into it afterwards was not made of these.
    """

    scores: Tensor
    kind: _Kind
    rounding: float
    version: int


def _note(made: Tensor, scores: Tensor, kind: _Kind, rounding: float) -> None:
    _BEHIND[made] = _Behind(scores, kind, rounding, _version(made))


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
                _note(result, scores, kind, torch.finfo(result.dtype).eps)
            return result
        result = func(*args, **options)
        moved = _BEHIND and (func in MOVES or func in _CLAMPED)
        if moved and isinstance(result, Tensor) and result is not (*args, None)[0]:
            _follow(func, args, options, result)
        return result


def _follow(func: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any], result: Tensor) -> None:
    """Move scores as what was made of them is moved."""
    leaves = [leaf for leaf in pytree.tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    behind = {id(leaf): _noted(leaf) for leaf in leaves if leaf.is_floating_point()}
    known = [each for each in behind.values() if each is not None]
    if not known or len(known) < len(behind) or any(each.kind is not known[0].kind for each in known):
        return
    kind, rounding = known[0].kind, max(each.rounding for each in known)
    if func in _CLAMPED:
        _note(result, known[0].scores, kind, rounding)
        return

    def back(leaf: Tensor) -> Tensor:
        found = behind.get(id(leaf))
        return found.scores if found else leaf

    args, kwargs = pytree.tree_map_only(Tensor, back, (args, kwargs))
    _note(result, func(*args, **kwargs), kind, max(rounding, torch.finfo(result.dtype).eps))


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
    if behind is not None and _makes(behind, found):
        _check_link(behind.kind.link, found.shape[1], model)
        return behind.scores
    shares = found.detach().double()
    # chance does not sum to 1 in float32; what summed many classes rounded more often
    near = (4 + found.shape[1] ** 0.5) * torch.finfo(torch.promote_types(found.dtype, torch.float32)).eps
    if found.shape[1] > 1 and bool((shares >= 0).all()) and bool(((shares.sum(1) - 1).abs() <= near).all()):
        _check_link("softmax", found.shape[1], model)
        return _finite(found.log(), found, model)
    if behind is None or behind.kind.is_log:
        return found
    if found.shape[1] > 1 and behind.kind.link == "softmax":
        raise ModelError(
            f"`{model}` returns {found.shape[1]} probabilities of a softmax over others. Let it return all of them, or "
            "the scores that went into its softmax."
        )
    _check_link("sigmoid", found.shape[1], model)
    return _finite(found.logit(), found, model)


def _makes(behind: _Behind, found: Logits) -> bool:
    """Whether these scores give what was returned, in the axis of the classes."""
    if behind.scores.shape != found.shape:
        return False
    wide = torch.promote_types(found.dtype, torch.float32)
    made = behind.kind.of(behind.scores.detach().to(wide))
    return torch.allclose(made, found.detach().to(wide), rtol=4 * behind.rounding, atol=4 * behind.rounding)


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
    if not scores.detach().isfinite().all():
        bad = int((~scores.detach().isfinite()).sum())
        raise ModelError(
            f"`{model}` returns probabilities, and {bad} of {found.numel()} are so near 0 or 1 that no finite score "
            "stands behind them. Let it return the scores that it makes them of."
        )
    return scores
