"""A result made again from its manifest: a file that is data, names no code to run and is never written."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitreous.batching.plan import JOB as BATCH
from vitreous.benchmarking.job import JOB as BENCHMARK
from vitreous.errors import DataError
from vitreous.evaluation.detection import JOB as PRECISION
from vitreous.evaluation.evaluate import JOB as EVALUATE
from vitreous.explaining.detections import JOB as DETECTIONS
from vitreous.explaining.outputs import JOB as EXPLAIN
from vitreous.files.ledger import full_path
from vitreous.files.manifest import MANIFEST, read_manifest, read_own, versions
from vitreous.files.reading import read_json
from vitreous.files.writing import check_writable, whole_file
from vitreous.inside.autoencoder_page import JOB as AUTOENCODER
from vitreous.inside.case_building import JOB as CASES
from vitreous.inside.case_index import open_index
from vitreous.inside.concept_page import JOB as CONCEPTS
from vitreous.inside.sheets import JOB as INSIDE
from vitreous.interacting.pages import AVERAGES
from vitreous.interacting.pages import JOB as INTERACTIONS
from vitreous.models.card import read_card
from vitreous.models.device import find_device
from vitreous.reporting.exports import JOB as EXPORT
from vitreous.reproducing.asked import REMEDY, Asked
from vitreous.reproducing.batches import batch
from vitreous.reproducing.compare import Compared
from vitreous.reproducing.detectors import detections, precision
from vitreous.reproducing.found import autoencoder, cases, concepts
from vitreous.reproducing.pictures import averages, pictures
from vitreous.reproducing.tables import CHECKS, evaluation, table, verification
from vitreous.settings.typed import Count, typed

__all__ = ["Reproduction", "reproduce"]

_JOBS = {
    EXPLAIN: pictures,
    BATCH: batch,
    INTERACTIONS: pictures,
    INSIDE: pictures,
    AVERAGES: averages,
    BENCHMARK: table,
    EVALUATE: evaluation,
    CONCEPTS: concepts,
    AUTOENCODER: autoencoder,
    CASES: cases,
    DETECTIONS: detections,
    PRECISION: precision,
    **dict.fromkeys(CHECKS, verification),
}
_PLACES = ("hardware", "machine")
"""Where manifests of data sets say which device it was."""
_NESTED = {BATCH: "plan", DETECTIONS: "run"}
"""By the command, where its manifest says what the results depend on, if that is not at the top."""


@dataclass(frozen=True)
class Reproduction:
    """What was made again, and how it compares with what it was.

    Attributes:
        parts: every picture, or every row of a table.
        changed: what is not as it was then: versions of packages.
    """

    parts: Sequence[Compared]
    changed: Sequence[str]

    @property
    def apart(self) -> float:
        """The largest difference, over the largest value; 0 where all is the same to the bit."""
        return max(part.apart for part in self.parts)

    @property
    def same(self) -> str:
        """How many of all are the same to the bit."""
        return f"{sum(part.same for part in self.parts):,} of {sum(part.rows for part in self.parts):,}"


def reproduce(
    manifest: Path, output: Path, *, own: Sequence[str] = (), dataset: str = "", device: str = ""
) -> Reproduction:
    """Make a result again by its manifest, and compare the two.

    Args:
        manifest: `manifest.json`, or its folder; the results lie beside it. Or a result that tells of itself:
            what `evaluate`, `detect evaluate` and `detect explain` wrote as JSON, or an index of `cases`.
        output: a folder for the new results: there is none yet, or it is empty.
        own: "package.module:Name" of every class of one's own that the manifest names; importing them runs their code.
        dataset: where the data set is now; empty for where it was.
        device: where to compute; empty for where it was.

    Raises:
        DataError: the manifest is another's or damaged, the data or the weights are not what they were, or are gone;
            or it is of a training, which takes as long as it took: the command that makes it again is told.
        ExplainError: likewise, of a model that cannot be loaded.
    """
    path, values = _read(manifest)
    if values.get("job") == "train":
        raise DataError(_how_to_train(path.parent))
    if str(values.get("job")) not in _JOBS:
        raise DataError(f"`{path}` is of no run that can be made again ({', '.join(_JOBS)}). {REMEDY}")
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise DataError(
            f"`{output}` is not empty. Give a new folder with --output, so that nothing is taken for what it is not."
        )
    check_writable(output.parent)
    with whole_file(output) as fresh:  # so that one that fails leaves nothing that the next would refuse
        fresh.mkdir()
        parts, changed = _again(path, values, fresh, own=own, dataset=dataset, device=device)
        if not parts:
            raise DataError(f"`{path.parent}` holds no results that could be compared. {REMEDY}")
    return Reproduction(parts, changed)


def _again(
    path: Path, values: Mapping[str, Any], output: Path, *, own: Sequence[str], dataset: str, device: str
) -> tuple[list[Compared], list[str]]:
    """The parts, compared, and what is of another version."""
    try:
        values = {**values, **dict(values.get(_NESTED.get(job := values["job"], "")) or {}), "job": job}
        typed(Count, values.get("batch_size", 1))
        where = values.get("device") or next((values[at]["device"] for at in _PLACES if at in values), "")
        if not where or "versions" not in values:
            raise DataError(
                f"`{path}` does not say on what its results depend, as those of older versions do not. Run `vitreous "
                f"{job}` with the same options into a new place, and compare the two."
            )
        asked = Asked(values, path, output, own, dataset, find_device(device or typed(str, where)))
        then, now = {name: typed(str, each) for name, each in dict(values["versions"]).items()}, versions()
        changed = [f"{name} {then[name]}, now {now[name]}" for name in now if then.get(name) not in (None, now[name])]
        return list(_JOBS[values["job"]](asked)), changed
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise DataError(f"`{path}` is not as a run left it: {error!r}. {REMEDY}") from None


def _read(manifest: Path) -> tuple[Path, Mapping[str, Any]]:
    """The file that says what was run, and what it says: a manifest, or a result that tells of itself.

    Raises:
        DataError: there is none, or it is not one of these.
    """
    if manifest.name == MANIFEST or not manifest.is_file():
        folder = manifest.parent if manifest.name == MANIFEST else manifest
        if not (folder / MANIFEST).is_file():
            raise DataError(f"there is no `{folder / MANIFEST}`. {REMEDY}")
        values: Mapping[str, Any] = read_manifest(folder)
        if values.get("job") == EXPORT:  # which is made again with the run that it is of
            folder = Path(full_path(folder)).parent
            values = read_own(folder, EXPLAIN)
        return folder / MANIFEST, values
    if manifest.suffix == ".parquet":
        return manifest, open_index(manifest).run
    found: Any = read_json(manifest, REMEDY)
    return manifest, found if isinstance(found, dict) else {}


def _how_to_train(folder: Path) -> str:
    """The command that trains again what a folder holds."""

    def notes_of(card: Mapping[str, Any]) -> tuple[bool, dict[str, str]]:
        notes = dict(card["notes"])
        return "rois" in card, {name: str(notes[name]) for name in ("teacher", "start", "backbone") if name in notes}

    detector, given = read_card(folder, notes_of, "vitreous train")
    words = ["vitreous", *(["detect"] if detector else []), "train", str(folder / "recipe.toml")]
    words += [word for name, value in given.items() for word in (f"--{name}", value)]
    return (
        f"`{folder}` holds a training, which takes as long again. Run {shlex.join(words)} --data DATA --output FOLDER; "
        "on one CPU, and without a teacher, its weights come out the same to the bit."
    )
