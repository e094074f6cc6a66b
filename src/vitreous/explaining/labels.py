"""Labels of a data set as the classes of a model."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from vitreous.errors import DataError
from vitreous.explaining.targets import class_named
from vitreous.models.wordnet import wordnet_ids

__all__ = ["match_labels"]


def match_labels(
    names: Sequence[str], used: Collection[int], class_names: Sequence[str], how: str
) -> tuple[dict[int, int], str]:
    """The model's index of each label that is used, and how it was found: "name", "position" or "unknown".

    Args:
        names: of the data set's classes.
        used: the labels that occur.
        class_names: of the model.
        how: "name", "position", or "auto": by name where each is known to the model and no two are one class, else by
            position where there are as many classes, else unknown. WordNet ids are names of ImageNet's classes.

    Raises:
        UnknownName: "name" is asked for, and the model does not know one.
        DataError: two labels are one class of the model, or there are labels beyond its classes.

    >>> match_labels(["hen", "tabby"], [0, 1], ["tabby, tabby cat", "dog", "hen"], "auto")
    ({0: 2, 1: 0}, 'name')
    """
    if how == "position":
        if class_names and max(used, default=0) >= len(class_names):
            raise DataError(
                f"the data set has label {max(used)}, but the model has {len(class_names)} classes. Match by name."
            )
        return {label: label for label in used}, "position"
    ids = wordnet_ids(class_names)
    if used and all(names[label] in ids for label in used):
        return {label: ids[names[label]] for label in used}, "name"
    if how == "name":
        matched = {label: class_named(names[label], class_names) for label in used}
        if len(set(matched.values())) < len(matched):
            raise DataError("two classes of the data set have one name in the model. Match by position.")
        return matched, "name"
    known = {part.strip().lower() for full in class_names for part in (full, *full.split(","))}
    if used and all(names[label].lower() in known for label in used):
        matched = {label: class_named(names[label], class_names) for label in used}
        if len(set(matched.values())) == len(matched):
            return matched, "name"
    if used and len(names) == len(class_names):
        return {label: label for label in used}, "position"
    return {}, "unknown"
