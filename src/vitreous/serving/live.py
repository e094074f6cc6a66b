"""What the live views are told: a picture explained, patches hidden, all in plain values."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxtyping import Bool
from torch import Tensor

from vitreous.errors import NoClassScores
from vitreous.explaining.picture_job import PictureJob
from vitreous.explaining.trust.hiding import foretold, hide
from vitreous.inside.given import NOTHING, Given
from vitreous.interact.relations import heads_of
from vitreous.methods import METHODS, title_of
from vitreous.methods.cases import said
from vitreous.models.loaded import LoadedModel
from vitreous.render.picture_page import PicturePage, prepared_page
from vitreous.render.relations import packed
from vitreous.reporting.single import Single, explain_single
from vitreous.trace.answer import Answer

__all__ = ["Live", "about_methods", "explain_live", "heads_live", "hidden_live", "told"]


@dataclass(frozen=True)
class Live:
    """A picture that was explained, and its page.

    Attributes:
        subject: the model.
        single: what was explained.
        page: ready to be put into an open one.
    """

    subject: LoadedModel
    single: Single
    page: PicturePage

    @property
    def bytes(self) -> int:
        """Roughly what it takes to hold."""
        maps = [each for found in self.single.heatmaps.values() for each in found if each is not None]
        relations = [each.values.nbytes for each in self.single.case.relations.values() if not isinstance(each, str)]
        inside = self.single.case.inside
        alike = [each.values.nbytes for each in inside.alike if not isinstance(each, str)] if inside else []
        picture = self.single.case.picture
        shown = 6 * picture.width * picture.height if picture else 0  # the part, and the whole
        return sum(each.nbytes for each in [self.single.image, *maps]) + sum(relations) + sum(alike) + shown + 500_000


def explain_live(
    job: PictureJob,
    picture: Any,
    name: str,
    file: Path | None = None,
    before: Live | None = None,
    *,
    given: Given = NOTHING,
) -> Live:
    """Explain a picture, and draw its page, as `explain_single` does."""
    single = explain_single(job, picture, name, file, before.single if before else None, given=given)
    return Live(job.model, single, prepared_page(single.case))


def told(live: Live) -> dict[str, Any]:
    """The page, and the most probable classes by their indices."""
    return live.page.part | {"predicted": [_answer(each) for each in live.single.predicted]}


def hidden_live(live: Live, hidden: Bool[Tensor, "rows columns"], which: int) -> dict[str, Any]:
    """What the model says with these patches hidden, and what each map foretold.

    Raises:
        NoClassScores: the model has no classifier.
        DegenerateMap: hiding moves nothing.
    """
    single = live.single
    if not 0 <= which < len(single.targets):
        raise NoClassScores("the model has no such class to follow. Load it with a classifier.")
    found = hide(live.subject, single.image, hidden, single.targets[which])
    size = (single.image.shape[2], single.image.shape[3])
    maps = {name: each[which] for name, each in single.heatmaps.items()}
    return {
        "said": [_answer(each) for each in found.said[:3]],
        "of": found.of,
        "before": found.before,
        "measured": found.measured,
        "foretold": [
            {"map": title_of(name), "value": foretold(each, hidden, found, size)}
            for name, each in maps.items()
            if each is not None
        ],
    }


def heads_live(live: Live, block: int) -> dict[str, Any]:
    """How patches share out their attention in one block, by each head, as a page holds relations.

    Raises:
        UnknownName: there is no such block.
    """
    return packed({"attends": heads_of(live.subject, live.single.image, block)})["attends"]


def about_methods() -> list[dict[str, Any]]:
    """The methods that can be asked for: name, title, whether it is slow, and its first sentence."""
    return [
        {
            "name": name,
            "title": title_of(name),
            "slow": bool(getattr(maker, "slow", False)),
            "about": (maker.__doc__ or "").partition("\n")[0],
        }
        for name, maker in METHODS.items()
    ]


def _answer(given: Answer) -> dict[str, Any]:
    shown = said(given)
    return {"index": given.index, "name": shown.name, "shown": shown.shown, "share": shown.share}
