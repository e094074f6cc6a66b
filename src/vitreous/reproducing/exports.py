"""What `vitreous explain --export` wrote of a run, made again with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from warnings import warn

from vitreous.errors import ExplainWarning
from vitreous.explaining.picture_job import PictureJob
from vitreous.files.manifest import MANIFEST, read_manifest
from vitreous.reporting.exports import EXPORTS, JOB, export_pictures, read_formats
from vitreous.reproducing.asked import Asked
from vitreous.reproducing.compare import Compared
from vitreous.reproducing.written import compare_written
from vitreous.settings.typed import typed

__all__ = ["exports"]


def exports(asked: Asked, job: PictureJob, before: Mapping[str, Path], after: Mapping[str, Path]) -> Iterator[Compared]:
    """Every file of the last export, if it was of the run that is made again.

    Args:
        asked: of the run.
        job: that was done again.
        before: by picture, the maps that were there.
        after: likewise, those made again.

    Warns:
        ExplainWarning: it was of a run before.
    """
    folder = asked.folder / EXPORTS
    about = read_manifest(folder)
    if about.get("job") != JOB:
        return
    if about.get("run") != asked.values["started"] or "formats" not in about:
        warn(
            f"`{folder}` does not say that it is of the last run in `{asked.folder}`, so it is not made again. Run "
            f"`vitreous {JOB}` again to have it anew.",
            ExplainWarning,
            stacklevel=2,
        )
        return
    fresh = export_pictures(job, read_formats(",".join(typed(tuple[str, ...], about["formats"]))))
    places = {_name(path, asked.output): _name(before[of], asked.folder) for of, path in after.items() if of in before}
    for new in sorted(each for each in fresh.rglob("*") if each.is_file()):
        inner = new.relative_to(fresh)
        if not inner.name.startswith(".") and inner != Path(MANIFEST):
            old = places.get(inner.parent, inner.parent) / inner.name
            yield compare_written(f"{EXPORTS}/{old.as_posix()}", folder / old, new)


def _name(maps: Path, folder: Path) -> Path:
    """That a picture's outputs have in a folder."""
    return maps.relative_to(folder).with_suffix("")
