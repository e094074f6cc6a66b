"""What a page shows where the model is at hand: how patches are related, and into which regions it cuts the picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from torch import nn

from vitreous.explaining.targets import part_of
from vitreous.inside.given import NOTHING, Given
from vitreous.inside.on_picture import inside_of
from vitreous.interact.relations import regions_of, relations_of
from vitreous.methods.cases import Beside
from vitreous.methods.explanation import Explanation
from vitreous.models.loaded import LoadedModel
from vitreous.models.zoo import describe
from vitreous.render.case import Case
from vitreous.render.inside import Norms
from vitreous.render.numbers import patch_name
from vitreous.shapes import Images
from vitreous.trace.target import Target

__all__ = ["beside", "looked", "related"]

_ARTIFACTS = "Artifacts:"
"""What the note about them begins with, which holds for every class."""


def related(
    case: Case,
    subject: LoadedModel,
    image: Images,
    targets: Sequence[Target],
    before: Case | None = None,
    *,
    given: Given = NOTHING,
) -> Case:
    """The same case with what the model says of its patches.

    Args:
        case: the picture.
        subject: the model that it was explained for.
        image: what the model saw, alone.
        targets: one for each class of the case; none of a model without a classifier.
        before: a case of the same picture and model, for any classes: what depends on none is taken from there.
        given: what is shown besides.
    """
    if before:
        relations = relations_of(subject, image, targets, before.relations)
        notes = [*case.notes, *(note for note in before.notes if note.startswith(_ARTIFACTS))]
        return replace(case, notes=notes, relations=relations, regions=before.regions, inside=before.inside)
    regions = [each[0].cpu().numpy() for each in regions_of(subject.model, image)]
    case = looked(case, subject, image, given=given)
    return replace(case, relations=relations_of(subject, image, targets), regions=regions)


def looked(case: Case, subject: LoadedModel, image: Images, *, given: Given = NOTHING, models: int = 1) -> Case:
    """The same case with what lies inside the model; arguments as in `related` and `inside_of`."""
    inside = given.on(subject, image, inside_of(subject, image, models=models))
    return replace(case, notes=[*case.notes, *_artifacts(inside.norms)], inside=inside)


def _artifacts(norms: Norms | str) -> list[str]:
    """Which patches hold something else than what lies there; nothing of a model whose blocks cannot be seen."""
    if isinstance(norms, str) or not norms.met.any():
        return []
    named = "; ".join(patch_name(*place) for place in np.argwhere(norms.met).tolist())
    return [
        f"{_ARTIFACTS} {int(norms.met.sum())} of {norms.met.size} patches (row,column from 1,1: {named}) hold "
        "something else than what lies there, as their tokens show, which are over "
        f"{norms.times:g} times as long as the median. Maps that read attention may have specks on them."
    ]


def beside(model: nn.Module | LoadedModel, given: Given = NOTHING) -> Beside:
    """What adds to the cases of explanations that keep the model's input."""

    def add(case: Case, explained: Sequence[tuple[Explanation, int]]) -> Case:
        first, at = explained[0]
        if first.inputs is None:
            return case
        subject = replace(describe(model), reading=first.how)
        targets = [part_of(each.wanted, len(each.heatmap), slice(at, at + 1)) for each, at in explained if each.wanted]
        return related(case, subject, first.inputs[at : at + 1], targets, given=given)

    return add
