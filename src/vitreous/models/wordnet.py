"""ImageNet's classes by their WordNet ids, which is how its folders are called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

__all__ = ["wordnet_ids"]

_ENOUGH = 0.99
"""Of the classes; libraries rename a few of them."""


def wordnet_ids(class_names: Sequence[str]) -> Mapping[str, int]:
    """The model's index of every WordNet id, if its classes are the 1,000 of ILSVRC in their order; else nothing.

    >>> wordnet_ids(["hen", "cock"])
    {}
    """
    from timm.data.imagenet_info import ImageNetInfo

    ilsvrc = ImageNetInfo("imagenet-1k")
    ids, described = ilsvrc.label_names(), ilsvrc.label_descriptions()
    if len(class_names) != len(ids):
        return {}
    first = (name.partition(",")[0].lower() for name in class_names)
    same = sum(name in known.lower().split(", ") for name, known in zip(first, described, strict=True))
    return {each: at for at, each in enumerate(ids)} if same >= _ENOUGH * len(ids) else {}
