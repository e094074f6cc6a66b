"""The command that makes a picture's maps again, without a word of where they lie."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any

from vitreous.explaining.picture_job import PictureJob
from vitreous.explaining.trust.measure import TrustSettings
from vitreous.models.adapted import Adapted

__all__ = ["command_of"]

_OUTPUT = "--model-output"
"""The one flag that is not called like what it says."""


def command_of(job: PictureJob, file: Path) -> str:
    """The command, by names without folders; empty where something was given that no command can say."""
    if job.class_names and not job.names_file:
        return ""
    picture = f"./{file.name}" if file.name.startswith("-") else file.name
    words = ["vitreous", "explain", picture, "--model", job.model.short_name]
    words += [word for text in job.model.prompts for word in ("--prompt", text)]
    words += ["--class-names", job.names_file.name] if job.names_file else []
    words += ["--method", ",".join(job.methods)]
    for name, method in job.methods.items():
        for setting, value in _changed(method):
            text = _text(value)
            if text is None:
                return ""
            words += ["--set", f"{name}.{setting}={text}"]
    if job.target != "predicted":
        wanted = (job.target,) if isinstance(job.target, str) else job.target
        words += [word for each in wanted for word in ("--target", each)]
    words += ["--against", job.against] if job.against else []
    if isinstance(job.window, str):
        words += ["--window", job.window]
    elif job.window:
        words += ["--window", ",".join(f"{each:g}" for each in job.window)]
    for name, value in job.model.reading.to_json().items():
        if value not in (None, ""):
            words += [
                _OUTPUT if name == "output" else f"--{name}",
                ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value),
            ]
    dtype = str(next(job.model.model.parameters()).dtype).removeprefix("torch.")
    words += ["--dtype", dtype] if dtype != "float32" else []
    words += ["--trust-orders", str(job.trust.orders)] if job.trust and job.trust.orders != TrustSettings.orders else []
    return shlex.join([*words, "--report"])


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
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value)
    except TypeError:
        return None
