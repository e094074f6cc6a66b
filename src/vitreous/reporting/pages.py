"""One picture on a page of its own; many on an index of pages, one each."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from vitreous.errors import DataError
from vitreous.files.writing import whole_file
from vitreous.render.case import Case
from vitreous.render.html import check_own_page, render
from vitreous.render.picture_page import picture_page, thumbnail, told_above
from vitreous.render.script import viewer

__all__ = ["Failed", "check_pages", "write_pages"]


@dataclass(frozen=True)
class Failed:
    """A picture that has no page.

    Attributes:
        name: of the picture.
        error: why.
    """

    name: str
    error: str


@dataclass(frozen=True)
class _Card:
    """A picture on the index.

    Attributes:
        name: of its page: the picture's place below the folder that all of them lie in.
        said: the classes explained, and their probabilities; none without a classifier.
        kinds: the classes alone.
        trust: share of the random orders that its best map, of any class, is above; None where that was not measured.
    """

    name: str
    address: str
    thumbnail: str
    said: Sequence[str] = ()
    kinds: Sequence[str] = ()
    trust: float | None = None
    verdict: str = ""
    error: str = ""


def write_pages(cases: Iterable[tuple[str, Case | Failed]], path: Path, title: str) -> Path:
    """Write a page for each picture, and an index where there are several.

    Args:
        cases: by the name of the page, below the folder that is called like the index without its suffix.
        path: of the index, or of the page where there is one picture.
        title: of the index.

    Returns:
        the path.

    Raises:
        DataError: a file there is no page of ours, or the disk says no.
    """
    check_pages(path)
    cards: list[_Card] = []
    waiting: tuple[str, Case] | None = None
    for name, case in cases:
        if isinstance(case, Failed):
            cards.append(_Card(case.name, "", "", error=case.error))
            continue
        if waiting is None and not cards:
            waiting = name, case  # it may be the only one
        else:
            _write(path, name, case)
        cards.append(_card(path, name, case))
    if waiting and len(cards) == 1:
        _save(path, picture_page(waiting[1]))
        return path
    if waiting:
        _write(path, *waiting)
    kinds = list(dict.fromkeys(kind for card in cards for kind in card.kinds))
    measured = any(card.trust is not None for card in cards)
    _save(path, render("index.html", title=title, cards=cards, kinds=kinds, measured=measured, script=viewer("index")))
    return path


def check_pages(path: Path) -> None:
    """Refuse to write where files lie that are no pages of ours: the index, and all pages in its folder.

    Raises:
        DataError: one of them is something else, or cannot be read.
    """
    for page in [path, *path.with_suffix("").rglob("*.html")]:
        check_own_page(page)


def _write(index: Path, name: str, case: Case) -> None:
    page = _place(index, name)
    check_own_page(page)
    try:
        page.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"`{page.parent}` cannot be made: {error.strerror}. Choose another output folder.") from None
    _save(page, picture_page(case, back="../" * len(PurePosixPath(name).parts) + _link(index.name)))


def _save(path: Path, text: str) -> None:
    with whole_file(path) as part:
        part.write_text(text, encoding="utf-8", errors="backslashreplace")


def _place(index: Path, name: str) -> Path:
    return index.with_suffix("") / f"{name}.html"


def _link(name: str) -> str:
    r"""A file's name in an address, by its bytes: it may be no text.

    >>> _link("a b\udcff")
    'a%20b%FF'
    """
    return quote(os.fsencode(name))


def _card(index: Path, name: str, case: Case) -> _Card:
    classes = [each for each in case.classes if each]
    address = f"{_link(index.stem)}/{_link(name)}.html"
    said, kinds = [f"{each.name} · {each.shown}" for each in classes], [each.name for each in classes]
    return _Card(_title(name, case), address, thumbnail(case), said, kinds, *_best(case))


def _title(name: str, case: Case) -> str:
    """The picture's name, after the folders that tell it from others of that name."""
    folder = PurePosixPath(name).parent
    return str(folder / case.name)


def _best(case: Case) -> tuple[float | None, str]:
    """How many random orders the best map is above, as a share and in words."""
    titles = {method.name: method.title for method in case.methods}
    found = [
        (each["above"] / len(trust["random"]), f"{titles.get(name, name)}: {told_above(trust, name)}")
        for trust in filter(None, map(case.trust_of, range(len(case.classes))))
        for name, each in trust["maps"].items()
        if trust["random"]
    ]
    return max(found, key=lambda each: each[0], default=(None, ""))
