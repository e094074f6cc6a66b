"""What the manifest of a benchmark says, and whether a folder's results go on with these."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from vitreous.benchmarking.loop import ModelRun
from vitreous.benchmarking.plan import Plan
from vitreous.data.samples import join_identity
from vitreous.errors import DataError
from vitreous.explaining.method_settings import settings_to_json
from vitreous.files.manifest import MANIFEST, now, versions
from vitreous.metrics.metric import Metric
from vitreous.settings.layout import Section, as_left

__all__ = ["describe", "join", "plain_settings", "tell_failures"]


_LAYOUT = {
    "plan": Section,
    "dtype": str,
    "dataset": Section,
    "models": Mapping[str, Section],
    "methods": Mapping[str, Section],
    "metrics": Mapping[str, Section],
}
"""Of a manifest, as far as another run reads it."""
_FAILURES = {"refused": Section, "unread": Section}


def describe(
    plan: Plan, spec: str, run: ModelRun, device: torch.device, dtype: torch.dtype, *, check: bool
) -> dict[str, Any]:
    """What the numbers depend on, in plain values."""
    cuda = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    return {
        "started": now(),
        "versions": {**versions(), "pyarrow": version("pyarrow")},
        "hardware": {
            "machine": platform.machine(),
            "processor": platform.processor(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "device": str(device),
            "gpu": cuda,
        },
        "plan": {**asdict(plan), "reading": plan.reading.to_json()},
        "dtype": str(dtype).removeprefix("torch."),
        "dataset": run.samples.identity(check=check),
        "models": {
            spec: {
                "weights_sha256": run.subject.weights_sha256,
                "preprocess": run.preprocess.to_json(),
                "reading": run.subject.reading.to_json(),
                "labels": run.matched,
            }
        },
        "methods": {
            row: {"source": method.source, "settings": settings_to_json(method)} for row, method in run.methods.items()
        },
        "metrics": {
            row: {"source": measure.source, "settings": plain_settings(measure)}
            for row, measure in run.measures.items()
        },
    }


def plain_settings(measure: Metric) -> dict[str, Any]:
    """A metric's settings in plain values."""
    values = {item.name: getattr(measure, item.name) for item in fields(measure)}
    return {name: str(value) if isinstance(value, torch.dtype) else value for name, value in values.items()}


def join(old: dict[str, Any], new: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The new manifest, with the models, methods and metrics of earlier runs.

    Raises:
        DataError: the folder holds results that are not comparable.
    """
    new = json.loads(json.dumps(new))
    if "plan" not in old:  # a claim alone
        return {**old, **new}
    old = as_left(old, _LAYOUT, folder / MANIFEST)
    for about in old["models"].values():
        as_left(
            {"refused": {}, "unread": {}, **about}, dict.fromkeys(("refused", "unread"), Section), folder / MANIFEST
        )
    same = {
        name: (old["plan"].get(name), new["plan"][name]) for name in ("target", "follow", "labels", "whole", "window")
    }
    same["dtype"] = (old["dtype"], new["dtype"])
    for kind in ("models", "methods", "metrics"):
        for row in old[kind].keys() & new[kind].keys():
            same[f"{kind}.{row}"] = (_asked(old[kind][row]), _asked(new[kind][row]))
    for name, (before, after) in same.items():
        if before != after:
            raise DataError(
                f"`{folder}` holds results of another plan: `{name}` was {before}, and is {after}. Choose another "
                "output folder."
            )
    dataset = join_identity(old["dataset"], new["dataset"], new["plan"]["dataset"], folder)
    return {
        **old,
        **new,
        "dataset": dataset,
        **{kind: {**new[kind], **old[kind]} for kind in ("models", "methods", "metrics")},
    }


def _asked(about: Mapping[str, Any]) -> dict[str, Any]:
    """What a manifest says of a model, method or metric that was asked for, and does not follow from a model.

    How a model normalizes pixels stands with the model.
    """
    said = {name: value for name, value in about.items() if name not in ("refused", "unread")}
    if isinstance(said.get("settings"), Mapping):
        said["settings"] = {name: value for name, value in said["settings"].items() if name not in ("mean", "std")}
    return said


def tell_failures(manifest: dict[str, Any], spec: str, run: ModelRun) -> dict[str, Any]:
    """The manifest with what did not work; of rows and pictures that this run did not try, what others found stays."""
    about = manifest["models"][spec]
    drawn = {entry.id for entry in run.drawn}
    for name, tried, found in (("refused", run.methods, run.refused), ("unread", drawn, run.unread)):
        before = {each: reason for each, reason in about.get(name, {}).items() if each not in tried}
        about[name] = {**before, **found}
    return manifest
