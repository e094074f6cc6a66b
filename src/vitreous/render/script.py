"""The viewer that pages run: modules of JavaScript as one, in the order in which they need each other."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

__all__ = ["viewer"]

_FOLDER = Path(__file__).with_name("viewer")
_IMPORT = re.compile(r'^import \{[^}]*\} from "\./(\w+)\.js";\n', re.MULTILINE)


@cache
def viewer(start: str) -> str:
    """A module and all that it imports, for a page that can load nothing.

    Args:
        start: its name in the folder of the viewer, without a suffix.
    """
    joined: dict[str, str] = {}
    _add(start, joined)
    return "\n".join(joined.values())


def _add(name: str, joined: dict[str, str]) -> None:
    """The module after those it needs."""
    if name in joined:
        return
    text = (_FOLDER / f"{name}.js").read_text(encoding="utf-8")
    for needed in _IMPORT.findall(text):
        _add(needed, joined)
    joined[name] = re.sub(r"^export (?!default)", "", _IMPORT.sub("", text), flags=re.MULTILINE).strip()
