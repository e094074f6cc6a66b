"""The class scores in what a model returns: a tensor, a record, a dict, a tuple."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from vitreous.errors import ModelError, NoClassScores, UnknownName
from vitreous.shapes import Logits
from vitreous.trace.reading import Output

__all__ = ["class_scores", "everything"]

_LISTED = 8
"""Outputs that a message names."""
_PLACES = {3: (1,), 4: (2, 3)}
"""By the number of axes, those of the places: (batch, queries, classes), (batch, classes, height, width)."""
_WIDE = 32
"""Rows of length 1 are an embedding where they have as many numbers: of a few, scores may have that length too."""


def class_scores(output: Any, wanted: Output | None, model: str, images: int) -> Logits:
    """The class scores in what a model returned.

    What a squeeze took away is put back: (batch,) values, the (classes,) scores of one image, its one score.

    Args:
        output: what it returned.
        wanted: a name or an index in it, or a function of it. By default a tensor itself, what is named `logits`, and
            of anything else the one tensor in it. After a name and a comma, where in it: the query, "logits,3", of
            (batch, queries, classes), the row and the column, "logits,4,7", of (batch, classes, height, width), or of
            either the "max" or the "mean" over these. In one tensor, the name is empty.
        model: its name, for messages.
        images: how many went in.

    Returns:
        (batch, classes); of (batch,) values (batch, 1).

    Raises:
        NoClassScores: none were named, and it cannot be told which they are, or there are none.
        UnknownName: there is no output of that name, or at that index.
        ModelError: what was named is no (batch, classes).
    """
    if wanted is None:
        return _found(output, model, images)
    if callable(wanted):
        found, where = wanted(output), "out"
        given = f"{_kind(found)} by the function `output`"
    else:
        parts = _parts(output)
        names = [*parts]
        if isinstance(wanted, str) and "," in wanted and wanted not in parts:
            return _at_places(output, wanted, model, images)
        name = names[wanted] if isinstance(wanted, int) and -len(names) <= wanted < len(names) else wanted
        if name not in parts:
            alone = "Leave out output= (--model-output), or give a function of that tensor."
            raise UnknownName(
                f"output of `{model}`",
                str(wanted),
                map(str, names or ["(it is one tensor)"]),
                remedy="" if names else alone,
            )
        found, where = parts[name], _access(output, name)
        given = f"{_kind(found)} as `{name}`"
    if (scores := _rows(found, images)) is not None:
        return scores
    raise ModelError(
        f"`{model}` gave {given}{_for(images)}, not (batch, classes) logits. {_remedy(found, where, images)}"
    )


def _at_places(output: Any, wanted: str, model: str, images: int) -> Logits:
    """The class scores at a place in one of the outputs: of a query, or of a row and a column, or over all of these.

    Raises:
        UnknownName: there is no such output.
        ModelError: there is no such place.
    """
    name, *places = (each.strip() for each in wanted.split(","))
    parts = _parts(output)
    found = next((part for key, part in parts.items() if str(key) == name), None) if name else output
    if not isinstance(found, Tensor):
        raise UnknownName(f"output of `{model}`", name, map(str, [*parts] or ["(it is one tensor: nothing)"]))
    axes, sizes = _PLACES.get(found.ndim, ()), [found.shape[axis] for axis in _PLACES.get(found.ndim, ())]
    given = f"`{model}` gave {_kind(found)}{_for(images)}"
    if not axes or len(found) != images or not found.is_floating_point():
        raise ModelError(f"{given}, in which no place has class scores. {_remedy(found, 'out', images)}")
    if places == ["max"]:
        return found.amax(axes)
    if places == ["mean"]:
        return found.mean(axes)
    at = [int(each) for each in places if re.fullmatch(r"-?\d{1,18}", each)]
    if len(at) != len(places) or len(at) != len(axes) or any(not -n <= i < n for i, n in zip(at, sizes, strict=True)):
        which = "the query, from 0" if len(axes) == 1 else "the row and the column, each from 0"
        raise ModelError(
            f"{given}, and {','.join(places)!r} is no place in it. Give {which} to "
            f'{" and ".join(str(size - 1) for size in sizes)}, or "max" or "mean", such as output="{name},max" '
            f"(--model-output {name},max)."
        )
    for axis, index in zip(reversed(axes), reversed(at), strict=True):
        found = found.select(axis, index)
    return found


def everything(output: Any) -> Logits:
    """All numbers that a model returned, a row per image: what stands in for the scores where there are none.

    Raises:
        NoClassScores: there are no numbers either.
    """
    if isinstance(output, Tensor) and output.ndim == 0:  # of one image, squeezed
        output = output[None]
    if not (tensors := _tensors(output)):
        raise NoClassScores(f"the model returned {_kind(output)} without any numbers. Give one that returns tensors.")
    return torch.cat([each.reshape(len(each), -1) for each in tensors if len(each) == len(tensors[0])], 1)


def _found(output: Any, model: str, images: int) -> Logits:
    output, where = _innermost(output)
    parts = _parts(output)
    listed = {name: part for name, part in parts.items() if _is_choice(part)}
    if "logits" in parts:
        name, found = "logits", parts["logits"]
    elif isinstance(output, Tensor) or len(listed) == 1:
        name, found = next(iter(listed.items()), ("", output))
    else:
        raise NoClassScores(_undecided(output, listed, model, images))
    where = where if isinstance(output, Tensor) else _access(output, name, where)
    if (scores := _rows(found, images)) is None:
        called = "" if isinstance(output, Tensor) else f" as `{name}`"
        raise NoClassScores(
            f"`{model}` returned {_kind(found)}{called}{_for(images)}, not (batch, classes) logits. "
            f"{_remedy(found, where, images)}"
        )
    if _is_embedding(scores):
        raise NoClassScores(
            f"`{model}` returned {_kind(scores)} whose rows have length 1: an embedding, not class scores. Explain a "
            f"function of it, such as its likeness to another one: output=lambda out: {where}, target=lambda own: "
            "own @ other."
        )
    return scores


def _innermost(output: Any) -> tuple[Any, str]:
    """What is in a dict or a tuple that holds one other and no scores, and how Python reaches it."""
    where = "out"
    while not isinstance(output, Tensor):
        parts = _parts(output)
        inner = [name for name, part in parts.items() if isinstance(part, Mapping | tuple | list)]
        if len(inner) != 1 or any(_is_choice(part) for part in parts.values()):
            break
        output, where = parts[inner[0]], _access(output, inner[0], where)
    return output, where


def _undecided(output: Any, listed: Mapping[str | int, Tensor], model: str, images: int) -> str:
    """Why none of several outputs was taken, and how to name one."""
    if not listed:
        return (
            f"`{model}` returned {_kind(output)}, in which there are no class scores. Let its forward return them, or "
            "give output=, a function of what it returns."
        )
    shown = ", ".join(f"`{name}` {tuple(part.shape)}" for name, part in [*listed.items()][:_LISTED])
    likely = next((name for name, part in listed.items() if part.ndim == 2), None)
    if likely is None:
        name, part = next(iter(listed.items()))
        remedy = _remedy(part, _access(output, name), images)
        return f"`{model}` returned {shown}: none is (batch, classes) logits. {remedy}"
    remedy = f"Name one, such as output={likely!r} (--model-output {likely})"
    if "last_hidden_state" in listed:
        return (
            f"`{model}` returned {shown}: features, and no class scores. Load it with a classifier, use a method that "
            f"needs none, such as `raw_attention`, or explain a function of them: output={likely!r}, target=lambda "
            "features: …."
        )
    return f"`{model}` returned {shown}, and which of them are the class scores cannot be told. {remedy}."


def _remedy(found: Any, where: str, images: int) -> str:
    """How to make (batch, classes) of something else."""
    if not isinstance(found, Tensor):
        return "Give output=, a function of what the model returns that gives (batch, classes)."
    if not found.is_floating_point():
        return "Give the scores that these were made of: numbers without a fraction have no gradient."
    if found.ndim < 3:
        fits = found.numel() and found.numel() % images == 0
        way = f", output=lambda out: {where}.reshape({images}, -1)" if fits else ""
        return f"Give a row for each image{way}; a model that mixes the images of a batch runs with batch_size=1."
    plain = re.fullmatch(r"out(?:\.(\w+)|\['(\w+)'\]|\[(\d+)\])?", where)
    if plain and found.ndim in _PLACES:
        name = next((each for each in plain.groups() if each is not None), "")
        one, all_of_them = ("a row", "take each class's best") if found.ndim == 3 else ("a place", "take the mean")
        at, over = ("0", "max") if found.ndim == 3 else ("0,0", "mean")
        return (
            f'Load it with a classification head, or choose {one}, output="{name},{at}" (--model-output {name},{at}), '
            f'or {all_of_them}, output="{name},{over}".'
        )
    ways = {
        3: f"choose a row, output=lambda out: {where}[:, 0], or take each class's best, {where}.amax(1).",
        4: f"choose a place, output=lambda out: {where}[:, :, 0, 0], or take the mean, {where}.mean((2, 3)).",
    }
    way = ways.get(found.ndim, f"take means, output=lambda out: {where}.flatten(2).mean(2).")
    return f"Load it with a classification head, or {way}"


def _parts(output: Any) -> dict[str | int, Any]:
    """What a record, a dict or a tuple holds, by name or else by place; of a tensor, nothing."""
    if isinstance(output, Tensor):
        return {}
    if isinstance(output, Mapping):
        named: Mapping[Any, Any] = output
    elif hasattr(output, "_asdict"):  # a named tuple
        named = output._asdict()
    elif isinstance(output, tuple | list):
        named = dict(enumerate(output))
    else:
        named = {**getattr(output, "__dict__", {}), **({"logits": output.logits} if hasattr(output, "logits") else {})}
    return {name: part for name, part in named.items() if part is not None}


def _access(output: Any, name: str | int, where: str = "out") -> str:
    """How Python reaches a part of it.

    >>> _access({"maps": 1}, "maps"), _access((1, 2), 1)
    ("out['maps']", 'out[1]')
    """
    return f"{where}.{name}" if isinstance(name, str) and hasattr(output, name) else f"{where}[{name!r}]"


def _tensors(output: Any) -> list[Tensor]:
    if isinstance(output, Tensor):
        return [output] if _is_choice(output) else []
    return [tensor for part in _parts(output).values() for tensor in _tensors(part)]


def _is_choice(part: Any) -> bool:
    """Whether it could be meant: one number, such as a loss or a temperature, is of no image."""
    return isinstance(part, Tensor) and part.ndim > 0 and part.is_floating_point()


def _rows(found: Any, images: int) -> Logits | None:
    """As (batch, classes), where it is that, or was before a squeeze."""
    if not isinstance(found, Tensor) or not found.is_floating_point() or found.ndim > 2:
        return None
    if found.ndim == 2:
        return found if len(found) == images else None
    if images == 1:
        return found.reshape(1, -1)
    return found[:, None] if found.shape == (images,) else None


def _for(images: int) -> str:
    return f" for {images} images" if images > 1 else " for one image"


def _is_embedding(scores: Logits) -> bool:
    """Whether every row has length 1, and is no row of probabilities."""
    length = scores.detach().to(torch.promote_types(scores.dtype, torch.float32)).norm(dim=1)
    unit = (length - 1).abs() <= torch.finfo(scores.dtype).eps * 4
    return scores.shape[1] >= _WIDE and bool(unit.all()) and bool((scores < 0).any(1).all())


def _kind(found: Any) -> str:
    if isinstance(found, Tensor):
        return f"a tensor of shape {tuple(found.shape)}" + ("" if found.is_floating_point() else f" {found.dtype}")
    return f"`{type(found).__name__}`"
