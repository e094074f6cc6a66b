"""`vitreous explain --export`: every map of a run's folder in formats that other programs read."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any
from warnings import warn

from vitreous.data.scans import name_in_file
from vitreous.errors import DataError, ExplainWarning, UnknownName
from vitreous.explaining.outputs import JOB as EXPLAIN
from vitreous.explaining.picture_job import PictureJob
from vitreous.files.ledger import common_folder, full_path
from vitreous.files.manifest import change_manifest, claim, read_own
from vitreous.files.names import told_without_folders
from vitreous.files.reading import within
from vitreous.files.writing import alone_in, sweep, whole_file, write_json
from vitreous.medical.files import kind_of
from vitreous.methods.explanation import Explanation
from vitreous.methods.exports import FORMATS, Exported, coco, export
from vitreous.methods.saved import rows_as_csv
from vitreous.render.case import Attempt
from vitreous.reporting.again import open_again, read_run, result_again
from vitreous.reporting.claim import claim_item
from vitreous.reporting.hospital import MEDICAL, raw_values, write_objects, write_volumes

__all__ = ["EXPORTS", "JOB", "check_exports", "export_pictures", "read_formats"]

JOB = f"{EXPLAIN} --export"
"""Whose the folder of exports is."""
EXPORTS = "exports"
"""Its name, in the folder of the run that made the maps."""
_COCO, _CLAIM, _CSV = "coco", "claim", "csv"
_NAMES = {"dicom": "DICOM", "nifti": "NIfTI", "dicom, nifti": "DICOM or NIfTI"}


def read_formats(names: str) -> tuple[str, ...]:
    """Names of formats with commas between.

    Raises:
        UnknownName: there is no such format.

    >>> read_formats("svg, tiff")
    ('svg', 'tiff')
    """
    formats = tuple(filter(None, (name.strip() for name in names.split(","))))
    for name in formats:
        if name not in (known := [*FORMATS, *MEDICAL, _CLAIM]):
            raise UnknownName("format", name, known)
    return formats


def check_exports(folder: Path) -> None:
    """Refuse a folder that no export has made, unless it is empty or not there.

    Raises:
        DataError: it holds something else.
    """
    if os.path.lexists(folder) and not (folder.is_dir() and (read_own(folder, JOB) or _is_bare(folder))):
        raise DataError(
            f"`{folder}` is there already, and no `{JOB}` made it. Move it away, or choose another output folder."
        )


def _is_bare(folder: Path) -> bool:
    """Whether nothing is there but what a run leaves that died before it wrote its manifest: a lock, a part."""
    return all(each.name.startswith(".") for each in folder.iterdir())


def export_pictures(job: PictureJob, formats: Sequence[str]) -> Path:
    """Write the maps that a run has left in its folder to `exports/`: `NAME/METHOD.SUFFIX`, or `METHOD-CLASS.SUFFIX`.

    Of a class held against another the name tells both, by their indices: `METHOD-CLASS-against-OTHER.SUFFIX`.

    CSV has, beside each map, the table of a search: `METHOD-blocks.csv`, every block that was walked over. COCO is one
    file for each method, `METHOD.json`, with all pictures; "claim" is a paragraph for a paper, claim.md. DICOM objects
    are made of pictures that came as DICOM, and of slices of a NIfTI volume a volume for each method; of others a
    warning says that there are none. The manifest says which formats the last export was of, and of which run.

    Raises:
        DataError: another run is writing there, the folder is no export's, or the disk says no.
    """
    folder = job.output / EXPORTS
    suffixes = [FORMATS[name][0][0] for name in formats if name in FORMATS and name != _COCO]
    with alone_in(job.output):
        manifest = read_run(job)
        told = [each for each in manifest["pictures"] if each.get("name") and result_again(job, each)]
        root = common_folder([job.output / each["file"] for each in told])
        check_exports(folder)
        folder.mkdir(parents=True, exist_ok=True)
        claim(folder, JOB, [each["name"] for each in told if suffixes or "dicom" in formats])
        about = {"run": manifest["started"], "formats": [*formats]}
        change_manifest(folder, lambda values: {**values, **about})
        listed: dict[str, list[Exported]] = {}
        for each in told:
            sweep(folder / each["name"])
            _write(job, each, folder / each["name"], suffixes)
            if _CSV in formats:
                _write_tables(each, folder / each["name"])
            for method, one in _maps(job, each) if _COCO in formats else ():
                name = os.path.relpath(full_path(job.output / each["file"]), root)
                listed.setdefault(f"{method}{_rival(one)}", []).append(replace(one, name=name))
        claim(folder, JOB, [f"{name}.json" for name in listed])
        for name, maps in listed.items():
            write_json(folder / f"{name}.json", coco(maps))
        if _CLAIM in formats:
            claim(folder, JOB, ["claim.md"])
            with whole_file(folder / "claim.md") as part:
                part.write_text(claim_item(manifest) + "\n", encoding="utf-8")
        if kinds := [kind for kind in MEDICAL if kind in formats]:
            _write_medical(job, told, folder, kinds)
    return folder


def _write_medical(job: PictureJob, told: Sequence[Mapping[str, Any]], folder: Path, kinds: Sequence[str]) -> None:
    """What hospitals read, of the pictures that came in such a format.

    Raises:
        DataError: of some nothing could be made; warnings said of which, and the others are written.
    """
    volumes: dict[tuple[str, Path], dict[Path, Any]] = {}
    failed = 0
    for each in told:
        path = Path(full_path(job.output / each["file"]))
        kind = kind_of(path)
        if kind not in kinds:
            _tell(f"`{name_in_file(path)}` is no file of {_NAMES[', '.join(kinds)]}, so none is made of its maps.")
            continue
        picture = open_again(job, each)
        for method, one in _maps(job, each):
            shown, name = replace(one, picture=picture), f"{method}{_which(one, each)}"
            if kind == "dicom":
                (folder / each["name"]).mkdir(parents=True, exist_ok=True)
                try:
                    write_objects(shown, path, folder / each["name"] / name, job.model)
                except DataError as error:
                    _tell(told_without_folders(str(error)))
                    failed += 1
                    break
            else:
                place = (Path(each["name"]).parents[1] / f"{method}{_rival(one)}.nii.gz").as_posix()
                volumes.setdefault((place, within(path)[0]), {})[path] = raw_values(shown)
    claim(folder, JOB, [name for name, _ in volumes])
    write_volumes(volumes, folder, f"vitreous {version('vitreous')}, raw heat maps; research only")
    if failed:
        raise DataError(
            f"DICOM objects of {failed} of {len(told)} pictures could not be made, as the warnings say. Export those "
            "files again, or leave them out."
        )


def _tell(text: str) -> None:
    warn(text, ExplainWarning, stacklevel=3)


def _write(job: PictureJob, told: Mapping[str, Any], folder: Path, suffixes: Sequence[str]) -> None:
    """The maps of one picture, each a file."""
    if not suffixes:
        return
    folder.mkdir(parents=True, exist_ok=True)
    picture = open_again(job, told)
    for method, one in _maps(job, told):
        for suffix in suffixes:
            export(replace(one, picture=picture), folder / f"{method}{_which(one, told)}{suffix}")


def _write_tables(told: Mapping[str, Any], folder: Path) -> None:
    """Every block that a search walked over, a file for each method that searches and each class."""
    for method, details in told["details"].items():
        for at, found in enumerate(details):
            levels = Attempt(None, found=found).levels.items()
            if rows := [{"level": name, **row} for name, level in levels for row in level["blocks"]]:
                which = f"-{told['targets'][at]['index']}" if len(details) > 1 else ""
                with whole_file(folder / f"{method.replace(':', '.')}{which}-blocks.csv") as part:
                    part.write_text(rows_as_csv(rows), encoding="utf-8")


def _which(one: Exported, told: Mapping[str, Any]) -> str:
    """The class in the name of a file, where there are several."""
    target, rival = one.explanation.target, _rival(one)
    return f"-{target[one.index]}{rival}" if target is not None and (rival or len(told["targets"]) > 1) else ""


def _rival(one: Exported) -> str:
    """The class that it is held against, in the name of a file."""
    return f"-against-{one.explanation.against[one.index]}" if one.explanation.against else ""


def _maps(job: PictureJob, told: Mapping[str, Any]) -> Iterator[tuple[str, Exported]]:
    """Every map of a picture, by what its method's files are called."""
    for method in job.methods:
        try:
            found = Explanation.load(job.output / told["maps"], method)
        except UnknownName:
            continue  # it gave no map of this picture
        yield from ((method.replace(":", "."), Exported(found, at)) for at in range(len(found.heatmap)))
