"""How far the maps of a picture can be trusted: `trust(model, explanation)`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vitreous.errors import NoClassScores, ShapeError
from vitreous.explaining.targets import part_of
from vitreous.explaining.together import explain_by_all
from vitreous.explaining.trust.followed import follow, other_classes, read_for, said_of
from vitreous.explaining.trust.orders import (
    hidden_counts,
    hidden_patches,
    order_of,
    patch_values,
    pearson,
    random_orders,
    spearman,
)
from vitreous.explaining.trust.records import Curve, MapTrust, Trust
from vitreous.masking.forward import Progress
from vitreous.methods.archive import Saved
from vitreous.methods.explanation import Explanation
from vitreous.methods.method import Method, SlowMethod, title_of_method
from vitreous.metrics.bands import hidden_logits
from vitreous.metrics.fills import metric_fill
from vitreous.models.loaded import LoadedModel
from vitreous.models.zoo import describe
from vitreous.settings.arguments import checked
from vitreous.settings.typed import Count, Seed, Within, check_settings, shown
from vitreous.shapes import Images, Logits
from vitreous.trace.answer import score_name
from vitreous.trace.once import measuring_once
from vitreous.trace.reading import reading
from vitreous.trace.recorder import record
from vitreous.trace.target import Target

__all__ = ["TrustSettings", "measure_trust", "trust"]

_CELLS = (14, 14)
"""Where a model has no patches."""
_SAME = 1 - 1e-4
"""Maps that correlate more than this are one map, but for its scale and rounding."""


@dataclass(frozen=True)
class TrustSettings:
    """How trust is measured. The defaults take 63 forward passes for a picture and 10 more for each map.

    Attributes:
        orders: random orders that maps are compared with, an even number: each second one is the reverse of the one
            before it.
        steps: in which all patches are hidden.
        fill: what is put in their place, one of `METRIC_FILLS`.
        seed: of the random orders.
        classes: whether maps of another class are made, too.
        batch_size: masked pictures at once; bounds memory.
    """

    orders: Annotated[int, Within(0, 1000)] = 12
    steps: Annotated[int, Within(2, 100)] = 6
    fill: str = "mean"
    seed: Seed = 0
    classes: bool = True
    batch_size: Count = 64

    def __post_init__(self) -> None:
        """Refuse what cannot be.

        Raises:
            ShapeError: an odd number of orders, or a setting that is none.
        """
        check_settings(self)
        if self.orders % 2:
            raise ShapeError(
                f"{self.orders} random orders are no pairs of an order and its reverse. Give an even number."
            )


@checked("model", "explanation")
def trust(
    model: nn.Module | LoadedModel,
    explanation: Explanation | Mapping[str, Explanation],
    *,
    settings: TrustSettings = TrustSettings(),  # frozen
    progress: Progress | None = None,
) -> tuple[Trust, ...]:
    """Measure what maps are worth on their own pictures, by hiding patches of the picture and asking the model again.

    Of each map: the deletion and the insertion curve of what is explained, the area between them (ABPC), above how many
    random orders of the same patches on the same picture that lies, how much the map agrees with the others, and
    whether it changes with the class. What is followed is the probability of the class, or its score where hiding moves
    no probability.

    Source: ABPC is Leem & Seo, AAAI 2024; the curves are Petsiuk et al., BMVC 2018.

    Args:
        model: that was explained; it comes back as it was.
        explanation: from `explain`, which keeps the model's input; the maps of several methods share the random orders.
        settings: of the measurement.
        progress: told how many forward passes of a picture are done, and how many there are.

    Returns:
        one per image; `maps` by the names of the methods, or by the method's own where it is one alone.

    Raises:
        ShapeError: an explanation that keeps no input, or several that are not of the same inputs and classes.
        NoClassScores: the model has no classifier, so there is no class to follow.
        DegenerateMap: hiding patches moves nothing.

    Cost: per image, orders · (steps − 1) + 3 forward passes, 2 · (steps − 1) per map, and the maps of another class by
    all methods that are not slow.

    >>> import vitreous
    >>> model = vitreous.load()
    >>> (found,) = vitreous.trust(model, vitreous.explain(model, torch.rand(1, 3, 128, 128)))
    >>> len(found.random), list(found.maps)
    (12, ['AG-CAM'])
    """
    named = _named(explanation)
    images, target = _checked(named)
    first = next(iter(named.values()))
    subject = replace(describe(model, class_names=first.class_names), reading=first.how)
    methods = {name: each.method for name, each in named.items()}
    with measuring_once():
        return tuple(
            measure_trust(
                subject,
                image,
                {name: each.heatmap[at] for name, each in named.items()},
                methods,
                part_of(target, len(images), slice(at, at + 1)),
                settings=settings,
                progress=progress,
            )
            for at, image in enumerate(images.split(1))
        )


def measure_trust(
    subject: LoadedModel,
    image: Float[Tensor, "1 channels height width"],
    heatmaps: Mapping[str, Float[Tensor, "_ _"]],
    methods: Mapping[str, Method],
    target: Target,
    *,
    settings: TrustSettings,
    progress: Progress | None = None,
) -> Trust:
    """What the maps of one picture are worth.

    Args:
        subject: the model, and how it is read.
        image: its input.
        heatmaps: by name, raw.
        methods: that made them, by the same names.
        target: what they explain.
        settings: of the measurement.
        progress: told how far it is.

    Raises:
        DegenerateMap: as `trust`.
    """
    size, steps = (image.shape[2], image.shape[3]), settings.steps
    mean, std = (subject.preprocess.mean, subject.preprocess.std) if subject.preprocess else ((), ())
    with reading(read_for(subject.reading, target)):
        seen = record(subject.model, image)
        grid = seen.grid or _CELLS
        patches = grid[0] * grid[1]
        laid = {name: partial(patch_values, grid=grid, size=size, blocks=_blocks(methods[name])) for name in heatmaps}
        values = {name: laid[name](each) for name, each in heatmaps.items()}
        ranked = [order_of(each) for each in values.values()]
        drawn = random_orders(settings.orders // 2, patches, settings.seed)
        masks = torch.cat([hidden_patches(each, steps, grid, size) for each in (*drawn, *ranked)])
        ends = torch.stack([torch.zeros_like(masks[0]), torch.ones_like(masks[0])])
        logits = hidden_logits(
            subject.model,
            image,
            torch.cat([ends, masks]).to(image.device),
            metric_fill(settings.fill, mean, std),
            batch_size=settings.batch_size,
            progress=progress,
        )[0]
        followed, of = follow(logits, target, subject)
        said = said_of(logits, subject)
    asked = {name: methods[name] for name in heatmaps} if settings.classes else {}
    others, theirs = _other_maps(subject, asked, image, target, seen.logits)
    curves = [_curves(at, steps, followed.tolist(), said) for at in range(len(drawn) + len(ranked))]
    areas = [least.area - most.area for most, least in curves]
    random = tuple(
        sign * area for area in areas[: len(drawn)] for sign in (1, -1)
    )  # its reverse has its curves swapped
    found = {
        name: MapTrust(
            tuple(order.tolist()),
            *pair,
            abpc=area,
            above=sum(area > each for each in random),
            agreement={them: spearman(values[name], values[them]) for them in values if them != name},
            **(_compared(values[name], laid[name](theirs[name])) if name in theirs else {}),
        )
        for name, order, pair, area in zip(values, ranked, curves[len(drawn) :], areas[len(drawn) :], strict=True)
    }
    return Trust(grid, tuple(hidden_counts(patches, steps)), of, settings.fill, settings.seed, random, found, others)


def _other_maps(
    subject: LoadedModel, methods: Mapping[str, Method], image: Images, target: Target, logits: Logits
) -> tuple[str, dict[str, Float[Tensor, "_ _"]]]:
    """The most probable class but for the one explained, and its maps by all methods that give one.

    Slow methods, and those that were read from a file, are not asked.
    """
    others = other_classes(target, logits)
    asked = {name: each for name, each in methods.items() if not isinstance(each, SlowMethod | Saved)}
    if others is None or not asked:
        return "", {}
    made = explain_by_all(asked, subject, image, others, batch_size=1)
    name = score_name(others.index[0], subject.class_names, logits.shape[1], subject.reading.link)
    return name, {name: each.heatmap[0] for name, each in made.items() if isinstance(each, Explanation)}


def _compared(values: Float[Tensor, " patches"], theirs: Float[Tensor, " patches"]) -> dict[str, Any]:
    """How a map compares with that of another class."""
    likeness = pearson(values, theirs)
    return {"with_other": spearman(values, theirs), "changes": None if likeness is None else likeness < _SAME}


def _blocks(method: Method) -> bool:
    """Whether a method's maps are of whole blocks, which keep their edges."""
    return bool(getattr(method, "blocks", False))


def _curves(at: int, steps: int, values: Sequence[float], said: Sequence[str]) -> tuple[Curve, Curve]:
    """Along one order and along its reverse: the untouched picture, the steps between, all patches hidden."""
    start = 2 + 2 * at * (steps - 1)
    rows = [[0, *range(begin, begin + steps - 1), 1] for begin in (start, start + steps - 1)]
    most, least = (Curve(tuple(values[row] for row in each), tuple(said[row] for row in each)) for each in rows)
    return most, least


def _named(explanation: Explanation | Mapping[str, Explanation]) -> dict[str, Explanation]:
    if isinstance(explanation, Explanation):
        return {title_of_method(explanation.method): explanation}
    given: Any = explanation
    if not isinstance(given, Mapping) or not all(isinstance(each, Explanation) for each in given.values()):
        raise ShapeError(f"{shown(given)} is no explanation. Give what `vitreous.explain` gave.")
    if not explanation:
        raise ShapeError("there is no explanation whose trust to measure. Give at least one.")
    return dict(explanation)


def _checked(named: Mapping[str, Explanation]) -> tuple[Images, Target]:
    """What all of them explain."""
    first, *rest = named.values()
    if first.inputs is None:
        raise ShapeError(
            "this explanation keeps no input of the model: it was read from a file, or its method was called directly. "
            "Make it anew, by vitreous.explain(model, picture, method), and trust that."
        )
    if first.logits is None or first.wanted is None:
        raise NoClassScores("the model has no classifier, so no class can be followed. Trust needs class scores.")
    for each in rest:
        alike = (each.opposed, each.against) == (first.opposed, first.against)
        if each.inputs is not first.inputs or not _same(each.target, first.target) or not alike:
            raise ShapeError(
                "the explanations are not of the same inputs and classes. Make them together: explain(method=[…])."
            )
    return first.inputs, first.wanted


def _same(one: Tensor | None, other: Tensor | None) -> bool:
    return one is other if one is None or other is None else torch.equal(one, other)
