"""What earlier commands found and pages show of a picture: concepts of a folder, alike pictures of an index."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vitreous.errors import DataError, or_why
from vitreous.files.arrays import open_arrays
from vitreous.files.manifest import MANIFEST, read_manifest
from vitreous.inside.cases import find_cases, index_for
from vitreous.inside.concept_page import FILES, JOB
from vitreous.inside.concepts import Concepts, in_patches
from vitreous.models.loaded import LoadedModel
from vitreous.render import inside as shown
from vitreous.shapes import Images
from vitreous.trace.features import patch_features
from vitreous.trace.reading import reading

__all__ = ["NOTHING", "Given", "read_concepts"]

_CASES = 6
_REMEDY = "Give a folder that `vitreous concepts` wrote."


@dataclass(frozen=True)
class Given:
    """What pages show besides.

    Attributes:
        concepts: a folder that `vitreous concepts` wrote; None for none.
        cases: an index that `vitreous cases` wrote; None for none.
    """

    concepts: Path | None = None
    cases: Path | None = None

    @classmethod
    def at(cls, concepts: str | Path | None, cases: str | Path | None) -> Given:
        """Likewise, of texts too."""
        return cls(*(None if each is None else Path(each) for each in (concepts, cases)))

    def check(self, model: LoadedModel) -> None:
        """Refuse before any work what is not of this model.

        Raises:
            DataError: a folder or an index cannot be read, or is one of another model.
            MissingExtra: pyarrow is not installed, and an index is given.
        """
        if self.concepts:
            read_concepts(model, self.concepts)
        if self.cases:
            index_for(model, self.cases)

    def on(self, subject: LoadedModel, image: Images, inside: shown.Inside) -> shown.Inside:
        """A look inside with what is given, on the same picture; a sentence where that is not to be had.

        Cost: of concepts, two forward passes and a backward one; of cases likewise, and one pass over the file.
        """
        if self.concepts:
            folder = self.concepts
            inside = replace(inside, concepts=or_why(lambda: _on_picture(subject, image, folder)))
        if self.cases:
            index = self.cases
            inside = replace(inside, cases=or_why(lambda: _alike(subject, image, index)))
        return inside


NOTHING = Given()


@dataclass(frozen=True)
class _Read:
    """What a folder holds: the concepts, whose they are, and for each a verdict and the most that a patch had."""

    found: Concepts
    of: str
    verdicts: Sequence[str]
    most: Sequence[float]


def read_concepts(model: LoadedModel, folder: Path) -> _Read:
    """The concepts in a folder, if they were found in the same weights. What is in its files is data, and checked.

    Raises:
        DataError: it is no folder of `vitreous concepts`, is damaged, or of another model.
    """
    told = read_manifest(folder, _REMEDY)
    if told.get("job") != JOB or not isinstance(told.get("read"), str):
        raise DataError(f"`{folder / MANIFEST}` is not there, or not of `vitreous concepts`. {_REMEDY}")
    if told.get("weights_sha256") != model.weights_sha256:
        raise DataError(
            f"the concepts in `{folder}` are of `{told.get('model')}`, and `{model.name}` has other weights. Give that "
            "model, or find the concepts of this one."
        )
    with open_arrays(folder / FILES[2], _REMEDY) as arrays:
        maps, directions, mean = (arrays[name] for name in ("maps", "directions", "mean"))
    if not _fit(maps, directions, mean):
        raise DataError(f"the arrays in `{folder / FILES[2]}` do not fit each other, or are not finite. {_REMEDY}")
    found = Concepts(
        torch.from_numpy(maps),
        torch.from_numpy(directions).double(),
        torch.from_numpy(mean).double(),
        0.0,
        told["read"],
    )
    rows, count = told.get("concepts"), len(directions)
    rows = rows if isinstance(rows, list) and len(rows) == count else [{}] * count
    verdicts = [str(row.get("verdict", "")) if isinstance(row, dict) else "" for row in rows]
    named = str(told.get("class_name") or "") or f"the pictures of {Path(str(told.get('place'))).name or 'its folder'}"
    return _Read(found, named, verdicts, maps.max(axis=(0, 2, 3)).tolist())


def _fit(maps: np.ndarray[Any, Any], directions: np.ndarray[Any, Any], mean: np.ndarray[Any, Any]) -> bool:
    if (maps.ndim, directions.ndim, mean.ndim) != (4, 2, 1) or not maps.size or not directions.size:
        return False
    if maps.shape[1] != directions.shape[0] or directions.shape[1] != mean.shape[0]:
        return False
    finite = all(each.dtype.kind == "f" and np.isfinite(each).all() for each in (maps, directions, mean))
    return bool(finite and np.linalg.norm(directions, axis=1).all())


def _on_picture(subject: LoadedModel, image: Images, folder: Path) -> shown.Concepts:
    given = read_concepts(subject, folder)
    with reading(subject.reading):
        features = patch_features(subject.model, image, given.found.layer).maps
    if features.shape[1] != len(given.found.mean):
        raise DataError(
            f"`{given.found.layer}` gives {features.shape[1]} channels, and the concepts in `{folder}` have "
            f"{len(given.found.mean)}. Find them again."
        )
    here = in_patches(features, given.found)[0].float().numpy()
    maps = [
        shown.ConceptMap(at, values, verdict, most)
        for at, (values, verdict, most) in enumerate(zip(here, given.verdicts, given.most, strict=True))
    ]
    return shown.Concepts(given.of, given.found.layer, maps)


def _alike(subject: LoadedModel, image: Images, path: Path) -> shown.AlikeCases:
    found = find_cases(subject, image, path, _CASES)
    cases = [shown.AlikeCase(each.name, each.label or "", each.cosine, found.picture(each)) for each in found.whole]
    return shown.AlikeCases(path.name, len(found.index.names), cases)
