"""What a page shows of one picture: maps by several methods, the decision that they explain, what they are worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from PIL import Image

from vitreous.render.inside import Inside
from vitreous.render.relations import Relation, Relations

__all__ = ["Attempt", "Case", "MethodCase", "ToldClass", "stretched"]


@dataclass(frozen=True)
class ToldClass:
    """What the model says of one class, or one of its values.

    Attributes:
        name: of the class.
        shown: its probability or value, in words.
        share: its probability, from 0 to 1; None of a value.
    """

    name: str
    shown: str
    share: float | None = None


@dataclass(frozen=True)
class Attempt:
    """What a method gave for one class.

    Attributes:
        heatmap: (h, w), raw; None where it gave no map.
        reason: why it gave none.
        found: what it found beside the map, in plain values, as `Detail.to_json` gives it; None of most methods.
    """

    heatmap: Float[np.ndarray, "h w"] | None
    reason: str = ""
    found: Mapping[str, Any] | None = None

    @property
    def levels(self) -> dict[str, Mapping[str, Any]]:
        """Walks over blocks among what was found, by the size of the blocks."""
        known = {"walks", "blocks", "grid"}
        found = (self.found or {}).items()
        return {name: level for name, level in found if isinstance(level, Mapping) and known <= level.keys()}


@dataclass(frozen=True)
class MethodCase:
    """A method's maps of one picture.

    Attributes:
        name: by which `Case.trust` knows it.
        title: as people call it.
        attempts: for each class explained.
        signed: its maps have two sides.
        blocks: its maps are of whole blocks, which keep their edges.
        attends: its maps are read off attention.
        shows: what its maps show, and what they do not, a sentence each.
        about: what else there is to know of it, by name: its source, settings, the layer that was read.
    """

    name: str
    title: str
    attempts: Sequence[Attempt]
    signed: bool = False
    blocks: bool = False
    attends: bool = False
    shows: Sequence[str] = ()
    about: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True)
class Case:
    """One picture on one page.

    Attributes:
        name: of the picture.
        picture: RGB, exactly the part that the model saw; None where there is no picture to show.
        methods: that explain it.
        classes: that are explained, one for each attempt of a method; a model without a classifier has one, `None`.
        predicted: what the model finds most probable, best first.
        notes: sentences on the decision.
        trust: for each class, what the maps are worth, as `Trust.to_json` gives it, or why that cannot be said; None
            where it was not measured.
        command: that makes the same maps again; empty where there is none.
        facts: what the numbers depend on, by name.
        whole: the whole picture, with what the model saw marked in it; None where it saw all of it.
        relations: of its patches to each other; empty where no model was at hand.
        regions: into which the model segments the picture, stage by stage: the number of each place's.
        box: of the part that the model saw: left, top, right, bottom, as shares of the whole picture.
        inside: what the model makes of it, block by block; None where no model was at hand.
        by_model: the same picture by each of several models, of which this one is joined; empty of one model.
    """

    name: str
    picture: Image.Image | None
    methods: Sequence[MethodCase]
    classes: Sequence[ToldClass | None]
    predicted: Sequence[ToldClass] = ()
    notes: Sequence[str] = ()
    trust: Sequence[Mapping[str, Any] | str | None] = ()
    command: str = ""
    facts: Mapping[str, str] = field(default_factory=dict[str, str])
    whole: Image.Image | None = None
    relations: Relations = field(default_factory=dict[str, Relation | str])
    regions: Sequence[Int[np.ndarray, "_ _"]] = ()
    box: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)
    inside: Inside | None = None
    by_model: Mapping[str, Case] = field(default_factory=dict[str, "Case"])

    @property
    def title(self) -> str:
        """The decision, or the picture's name where there is none, or several."""
        first = self.classes[0] if self.classes and not self.by_model else None
        return f"{first.name} · {first.shown}" if first else self.name

    @property
    def looks(self) -> dict[str, Inside]:
        """What lies inside each model, by what it is called; empty texts call the one that is alone."""
        return {name: each.inside for name, each in (self.by_model or {"": self}).items() if each.inside}

    def inside_for(self, at: int) -> Inside | None:
        """What lies inside the model that says one class."""
        owners = [each.inside for each in self.by_model.values() for _ in each.classes]
        return owners[at] if owners else self.inside

    def trust_of(self, at: int) -> Mapping[str, Any] | None:
        """What the maps of one class are worth; None where that is not known."""
        found = self.trust[at] if at < len(self.trust) else None
        return None if isinstance(found, str) else found

    @property
    def untrusted(self) -> list[str]:
        """Why it cannot be said of some classes."""
        return list(dict.fromkeys(each for each in self.trust if isinstance(each, str)))


def stretched(values: Float[np.ndarray, "channels h w"]) -> Image.Image | None:
    """A model's input of 1 or 3 channels as a picture, its lowest value black and its highest white; else None."""
    if values.shape[0] not in (1, 3):
        return None
    low, high = values.min(), values.max()
    pixels = np.rint(255 * (values - low) / ((high - low) or 1)).astype(np.uint8).transpose(1, 2, 0)
    return Image.fromarray(np.ascontiguousarray(pixels.repeat(3 // len(values), 2)))
