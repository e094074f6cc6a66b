"""The command that makes a picture's maps again, without a word of where they lie."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any

from vitreous.data.gallery import GALLERY
from vitreous.data.scans import name_in_file
from vitreous.explaining.picture_job import PictureJob
from vitreous.explaining.trust.measure import TrustSettings
from vitreous.files.ledger import full_path
from vitreous.inside.given import NOTHING, Given
from vitreous.models.adapted import Adapted
from vitreous.models.loaded import LoadedModel

__all__ = ["command_of"]

_OUTPUT = "--model-output"
"""The one flag that is not called like what it says."""


def command_of(job: PictureJob, file: Path, given: Given = NOTHING) -> str:
    """The command, by names without folders; empty where something was given that no command can say."""
    if _own(job.model) or callable(job.model.reading.output) or (job.class_names and not job.names_file):
        return ""
    settings = _settings(job)
    if settings is None:
        return ""
    words = ["vitreous", "explain", *_picture(file), "--model", job.model.short_name]
    words += [word for text in job.model.prompts for word in ("--prompt", text)]
    words += ["--class-names", job.names_file.name] if job.names_file else []
    words += ["--method", ",".join(job.methods), *settings]
    if job.target != "predicted":
        wanted = (job.target,) if isinstance(job.target, str) else job.target
        words += [word for each in wanted for word in ("--target", each)]
    words += ["--against", job.against] if job.against else []
    if job.window:
        words += ["--window", job.window if isinstance(job.window, str) else ",".join(map(str, job.window))]
    for name, value in job.model.reading.to_json().items():
        if value not in (None, ""):
            words += [
                _OUTPUT if name == "output" else f"--{name}",
                ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value),
            ]
    dtype = str(next(job.model.model.parameters()).dtype).removeprefix("torch.")
    words += ["--dtype", dtype] if dtype != "float32" else []
    words += ["--trust-orders", str(job.trust.orders)] if job.trust and job.trust.orders != TrustSettings.orders else []
    return shlex.join([*words, *_drawn(job), "--report", *_shown_besides(given)])


def _own(model: LoadedModel) -> bool:
    """Whether it is a module of the user's, which has no name to load it by."""
    module: Any = model.model
    return model.name == type(getattr(module, "_orig_mod", module)).__name__


def _picture(file: Path) -> tuple[str, ...]:
    """What names a picture."""
    for sample, each in GALLERY.items():
        if each == Path(full_path(file)):
            return "--sample", sample
    name = name_in_file(file)
    return (f"./{name}" if name.startswith("-") else name,)


def _shown_besides(given: Given) -> Iterator[str]:
    """What earlier commands found."""
    for flag, place in (("--concepts", given.concepts), ("--cases", given.cases)):
        if place:
            yield f"{flag}={place.resolve().name}"


def _drawn(job: PictureJob) -> Iterator[str]:
    """How sheets are drawn, and how many pictures run at once, where that is not as it is by default."""
    if job.batch_size != PictureJob.batch_size:
        yield from ("--batch-size", str(job.batch_size))
    if job.alpha != PictureJob.alpha:
        yield from ("--alpha", str(job.alpha))
    yield from ["--common-scale"] * job.common_scale + ["--isolines"] * job.isolines


def _settings(job: PictureJob) -> list[str] | None:
    """The methods' settings; None where one is no text."""
    words: list[str] = []
    for name, method in job.methods.items():
        for setting, value in _changed(method):
            text = _text(value)
            if text is None:
                return None
            words += ["--set", f"{name}.{setting}={text}"]
    return words


def _changed(method: Any) -> Iterator[tuple[str, Any]]:
    """The settings that are not as they are by default; those that follow from the model are not told."""
    for each in fields(method) if is_dataclass(method) else ():
        default = each.default_factory() if each.default_factory is not MISSING else each.default
        value = getattr(method, each.name)
        if each.repr and value is not default and value != default:
            yield each.name, value


def _text(value: Any) -> str | None:
    """As `--set` takes it; None where it cannot."""
    if isinstance(value, Adapted):
        return value.subject.short_name
    if isinstance(value, str) and not _is_json(value):
        return value
    try:
        return json.dumps(value)
    except TypeError:
        return None


def _is_json(text: str) -> bool:
    """Whether a text would be read as something else than itself, such as a number."""
    try:
        json.loads(text)
    except ValueError:
        return False
    return True
