"""Explanations as pages show them: by picture, methods beside each other, the classes explained one after another."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any

from torch import nn

from vitreous.errors import ShapeError
from vitreous.files.manifest import versions
from vitreous.medical.scan import NOT_FOR_DIAGNOSIS
from vitreous.methods.method import title_of_method
from vitreous.methods.shows import shows
from vitreous.render.case import Attempt, Case, MethodCase, ToldClass, stretched
from vitreous.settings import typed
from vitreous.trace.answer import assumed, best_answers, rather

if TYPE_CHECKING:
    from PIL.Image import Image

    from vitreous.methods.explanation import Explanation
    from vitreous.trace.answer import Answer

__all__ = ["Beside", "cases_of", "method_case", "said", "shown"]

Beside = Callable[[Case, Sequence[tuple["Explanation", int]]], Case]
"""From a case, and for each of its classes an explanation and the image's place in it, to a fuller case."""
_MOST = 3
"""Classes in the head of a page."""
_ATTENDS = ("class_token", "attention", "chefer")
"""Families whose maps are read off attention."""


@dataclass(frozen=True)
class _Row:
    """One map of an explanation."""

    name: str
    explanation: Explanation
    at: int

    @property
    def answer(self) -> Answer | None:
        return self.explanation.answer(self.at)

    @property
    def wanted(self) -> str:
        """What is explained: alike for all methods, whatever the rounding of their scores."""
        given = self.answer
        return f"{given.index} {rather(given.name, self.rival)}" if given else ""

    @property
    def rival(self) -> str:
        return self.explanation.rival(self.at)

    @property
    def attempt(self) -> Attempt:
        given = self.explanation
        found = given.details[self.at].to_json() if given.details else None
        return Attempt(given.heatmap[self.at].detach().float().cpu().numpy(), found=found)


def cases_of(
    explanations: Explanation | Sequence[Explanation] | Mapping[str, Explanation],
    trust: Sequence[Any] = (),
    beside: Beside | None = None,
) -> list[Case]:
    """A case for each picture that they explain; one of the same picture, or input, is one.

    Args:
        explanations: one, several, or by names of yours.
        trust: per image of a single explanation, or of several of the same images, what `vitreous.trust` gave.
        beside: adds to a case what its explanations do not hold.

    Raises:
        ShapeError: there are none.
    """
    named = _named(explanations)
    if not named:
        raise ShapeError("there is no explanation to show. Give at least one.")
    found: dict[str, list[_Row]] = {}
    for name, each in named.items():
        for at in range(len(each.heatmap)):
            found.setdefault(_picture_key(each, at), []).append(_Row(name, each, at))
    number = len(found)
    return [
        _case(rows, _name(rows[0], f"picture {place}" if number > 1 else ""), trust, beside)
        for place, rows in enumerate(found.values(), 1)
    ]


def shown(explanation: Explanation) -> dict[str, str | bytes]:
    """What a notebook may choose from, by the kind of text: pages in frames, a picture, a line."""
    from vitreous.render.picture_page import framed

    sheet = BytesIO()
    explanation.sheet().save(sheet, "PNG")
    return {"text/html": framed(cases_of(explanation)), "image/png": sheet.getvalue(), "text/plain": repr(explanation)}


def said(given: Answer, rival: str = "") -> ToldClass:
    """What the model says of a class, which may be held against another, for a page."""
    return ToldClass(rather(given.name, rival), given.shown, given.probability)


def method_case(name: str, title: str, method: Any, attempts: Sequence[Attempt], layer: str = "") -> MethodCase:
    """A method's maps of one picture, for a page."""
    about = {"published": str(getattr(method, "published", method.source)), "settings": _settings(method)}
    return MethodCase(
        name,
        title,
        attempts,
        bool(getattr(method, "signed", False)),
        bool(getattr(method, "blocks", False)),
        getattr(method, "family", "") in _ATTENDS,
        tuple(shows(method)),
        about | ({"layer": layer} if layer else {}),
    )


def _settings(method: Any) -> str:
    """Those that a method shows, without what a module holds."""
    if not is_dataclass(method) or hasattr(method, "published"):
        return repr(method)
    return (
        ", ".join(f"{each.name} {_plain(getattr(method, each.name))}" for each in fields(method) if each.repr) or "none"
    )


def _plain(value: Any) -> str:
    if isinstance(value, nn.Module):
        return getattr(getattr(value, "subject", None), "short_name", type(value).__name__)
    return str(getattr(value, "short_name", value))


def _named(
    explanations: Explanation | Sequence[Explanation] | Mapping[str, Explanation],
) -> dict[str, Explanation]:
    """By the names given, or by those of their methods."""
    from vitreous.methods.explanation import Explanation

    given = explanations.values() if isinstance(explanations, Mapping) else explanations
    several: list[Any] = [*given] if isinstance(given, Iterable) and getattr(given, "ndim", 1) else [given]
    if wrong := [each for each in several if not isinstance(each, Explanation)]:
        raise ShapeError(f"{typed.shown(wrong[0])} is no explanation. Give what `vitreous.explain` gave.")
    if isinstance(explanations, Mapping):
        return dict(explanations)
    named: dict[str, Explanation] = {}
    for each in several:
        wanted = title_of_method(each.method)
        name, number = wanted, 1
        while name in named:
            number += 1
            name = f"{wanted} {number}"
        named[name] = each
    return named


def _picture_key(explanation: Explanation, at: int) -> str:
    """Alike for the same picture, or the same input; else of this image of this explanation alone."""
    if explanation.views:
        part = explanation.views[at].part
        return hashlib.sha256(f"{part.size}".encode() + part.tobytes()).hexdigest()
    if explanation.inputs is not None:
        image = explanation.inputs[at].detach().float().cpu().contiguous().numpy()
        return hashlib.sha256(f"{image.shape}".encode() + image.tobytes()).hexdigest()
    return f"{id(explanation)} {at}"


def _name(row: _Row, counted: str) -> str:
    """The name of the file, where there is one, and which picture it is of several."""
    views = row.explanation.views
    file = views[row.at].whole.info.get("file", "") if views else ""
    return ": ".join(filter(None, (counted, file))) or "the picture"


def _case(rows: Sequence[_Row], name: str, trust: Sequence[Any], beside: Beside | None) -> Case:
    """One picture: columns are methods, and the answers that they explain the classes."""
    first, place = rows[0].explanation, rows[0].at
    # the first method's words, as rounding varies
    classes = {row.wanted: row.answer and said(row.answer, row.rival) for row in reversed(rows)}
    classes = {wanted: classes[wanted] for wanted in dict.fromkeys(row.wanted for row in rows)}
    methods: dict[str, dict[str, _Row]] = {}
    for row in rows:
        methods.setdefault(row.name, {})[row.wanted] = row
    measured = {row.wanted: trust[row.at] for row in rows if trust}
    case = Case(
        name,
        _picture(first, place),
        [_method(each, found, list(classes)) for each, found in methods.items()],
        list(classes.values()),
        _predicted(first, place),
        _notes(first),
        [measured[each].to_json() if each in measured else None for each in classes],
        facts={"versions": ", ".join(f"{package} {number}" for package, number in versions().items())},
        whole=first.views[place].marked() if first.views and not first.views[place].is_whole else None,
    )
    explained = {row.wanted: (row.explanation, row.at) for row in reversed(rows)}
    return beside(case, [explained[each] for each in classes]) if beside else case


def _method(name: str, found: Mapping[str, _Row], wanted: Sequence[str]) -> MethodCase:
    first = next(iter(found.values())).explanation
    missing = Attempt(None, "this class was not asked for.")
    attempts = [found[each].attempt if each in found else missing for each in wanted]
    return method_case(name, _title(name, first), first.method, attempts, first.layer)


def _title(name: str, explanation: Explanation) -> str:
    """As people call the method, where the name is not one of the user's own."""
    from vitreous.methods import title_of

    return title_of(name) if title_of(name) == title_of_method(explanation.method) else name


def _predicted(explanation: Explanation, at: int) -> list[ToldClass]:
    """The most probable classes; nothing of several values, which have no order."""
    if explanation.logits is None or (explanation.link == "identity" and explanation.logits.shape[1] > 1):
        return []
    best = best_answers(explanation.logits[at], explanation.class_names, explanation.link, _MOST)
    return [said(each) for each in best]


def _notes(explanation: Explanation) -> list[str]:
    notes = [NOT_FOR_DIAGNOSIS] if explanation.medical else []
    if explanation.logits is None:
        return [*notes, "The model has no classifier, so there is no decision."]
    told = (assumed(explanation.logits.shape[1], explanation.link), explanation.scores_from)
    return [*notes, *(f"{note[0].upper()}{note[1:]}." for note in told if note)]


def _picture(explanation: Explanation, at: int) -> Image | None:
    """The part of the picture that the model saw; else its input, from the lowest value black to the highest white."""
    if explanation.views:
        return explanation.views[at].part
    image = None if explanation.inputs is None else explanation.inputs[at]
    return None if image is None else stretched(image.detach().float().cpu().numpy())
