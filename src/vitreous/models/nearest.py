"""Names of models that are written like one that there is not."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

from vitreous.errors import UnknownName

__all__ = ["alike", "unknown_model"]

_MOST, _SHORTEST, _LONGEST = 5, 3, 100
"""Names that are told, and letters of a name that others are searched for."""


def alike(name: str, known: Sequence[str]) -> list[str]:
    """At most five of the list, the most alike first: names that begin so, are written so, or hold it, in that order.

    >>> alike("deit_base", ["deit_base_patch16_224", "deit3_base_patch16_224", "rdnet_base", "vgg11"])
    ['deit_base_patch16_224', 'rdnet_base']
    >>> alike("dinov2", ["vit_base_patch14_dinov2", "vgg11"]), alike("v", ["vgg11"])
    (['vit_base_patch14_dinov2'], [])
    """
    if not _SHORTEST <= len(name) <= _LONGEST:
        return []
    told, lower = sorted(known, key=len), name.lower()
    begun = [each for each in told if each.lower().startswith(lower)]
    held = [each for each in told if lower in each.lower()]
    return [*dict.fromkeys([*begun, *get_close_matches(name, told, n=_MOST, cutoff=0.7), *held])][:_MOST]


def unknown_model(kind: str, name: str, known: Sequence[str]) -> UnknownName:
    """The error for a name that is not in a list of models: it tells those that are written alike first."""
    near = alike(name, known)
    return UnknownName(kind, name, [*near, *(each for each in known if each not in near)], near=near[:1])
