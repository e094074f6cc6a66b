"""What was found inside a model over many pictures, made again: concepts, an autoencoder, an index of cases."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from vitreous.errors import DataError
from vitreous.files.manifest import read_manifest
from vitreous.inside import autoencoder_page, concept_page
from vitreous.inside.autoencoder_page import AutoencoderJob
from vitreous.inside.case_building import build_cases
from vitreous.inside.case_index import Index, Whole, open_index
from vitreous.inside.concept_page import ConceptsJob
from vitreous.inside.gathered import open_pictures
from vitreous.inside.saelens import WEIGHTS
from vitreous.reproducing.asked import Asked
from vitreous.reproducing.compare import Compared, compare_arrays, compare_files, compare_tables, compare_values
from vitreous.settings.typed import typed, typed_fields

__all__ = ["autoencoder", "cases", "concepts"]


def concepts(asked: Asked) -> Iterator[Compared]:
    """The numbers, the table, and how much the concepts explain."""
    names = ("class_name", "layer", "count", "draws", "limit", "seed", "batch_size", "window")
    given = _given(asked, ConceptsJob, names)
    named = typed(tuple[str, ...], asked.values.get("class_names") or ())
    model, place = asked.load(asked.values), _place(asked)
    concept_page.concept_page(ConceptsJob(model, place, output=asked.output, class_names=named, **given))
    yield from _compared(asked, concept_page.FILES, ("explained",))


def autoencoder(asked: Asked) -> Iterator[Compared]:
    """The weights, the table, and what the autoencoder is worth."""
    names = ("layer", "features", "k", "steps", "limit", "seed", "batch_size", "window")
    given = _given(asked, AutoencoderJob, names)
    model, place = asked.load(asked.values), _place(asked)
    file, centered = asked.file("file", WEIGHTS), typed(bool | None, asked.values.get("centered"))
    job = AutoencoderJob(model, place, output=asked.output, file=file, centered=centered, **given)
    autoencoder_page.autoencoder_page(job)
    worth = ("explained", "active", "loss", "loss_zero", "loss_mean", "recovered_zero", "recovered_mean", "dead")
    yield from _compared(asked, autoencoder_page.FILES, worth)


def cases(asked: Asked) -> Iterator[Compared]:
    """What the index holds of pictures and of their patches."""
    values = asked.values
    layer, whole, window = typed(str, values["layer"]), typed(Whole, values["whole"]), values["window"]
    limit, seed, batch_size = (typed(int, values[name]) for name in ("limit", "seed", "batch_size"))
    model, place, path = asked.load(values), _place(asked), asked.output / asked.path.name
    numbers = {"limit": limit, "seed": seed, "batch_size": batch_size}
    build_cases(model, place, path, layer=layer, whole=whole, pixel_window=window, **numbers)
    yield from _compare_indexes(open_index(asked.path), open_index(path))


def _given(asked: Asked, job: type, names: Sequence[str]) -> dict[str, Any]:
    return typed_fields(job, {name: asked.values[name] for name in names}, f"`{asked.path}`", DataError)


def _place(asked: Asked) -> str:
    """Where the pictures lie, once they are those of the manifest by their names."""
    place = asked.dataset(asked.values["place"])
    asked.check_fingerprint(open_pictures(place).fingerprint, asked.values["fingerprint"], place)
    return place


def _compared(asked: Asked, files: Sequence[str], names: Sequence[str]) -> Iterator[Compared]:
    """The files that hold numbers, and numbers of the manifest."""
    for name in files:
        if not name.endswith(".html"):
            compare = compare_tables if name.endswith(".csv") else compare_files
            yield compare(name, asked.folder / name, asked.output / name)
    after = read_manifest(asked.output)
    for name in names:
        yield compare_values(name, asked.values[name], after[name])


def _compare_indexes(old: Index, new: Index) -> Iterator[Compared]:
    if (old.names, old.labels) != (new.names, new.labels):
        yield Compared(
            "pictures", math.inf, f"{len(old.names)} were in it, and now {len(new.names)} that are not the same"
        )
        return
    if old.about != new.about:
        yield Compared("features", math.inf, f"they were of {old.about.layer}, and are of {new.about.layer}")
        return
    whole = patches = 0.0
    for before, after in zip(old.chunks(), new.chunks(), strict=True):
        whole = max(whole, compare_arrays(before.whole.numpy(), after.whole.numpy()))
        patches = max(patches, compare_arrays(before.patches.numpy(), after.patches.numpy()))
    yield Compared("whole", whole)
    yield Compared("patches", patches)
