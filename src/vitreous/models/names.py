"""Names of models, for shells that complete them: read off the libraries' sources, since importing these takes long."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

__all__ = ["registered_names"]

_REGISTERED = re.compile(r"^@register_model\b.*\n(?:@.*\n)*def (\w+)", re.MULTILINE)


def registered_names(library: str) -> list[str]:
    """The models that timm or torchvision registers; none where it is not installed.

    >>> "vit_b_16" in registered_names("torchvision"), registered_names("none_such")
    (True, [])
    """
    found = find_spec(library)
    places = found.submodule_search_locations if found else None
    files = [file for place in places or () for file in sorted((Path(place) / "models").glob("*.py"))]
    return sorted({name for file in files for name in _REGISTERED.findall(file.read_text(encoding="utf-8"))})
