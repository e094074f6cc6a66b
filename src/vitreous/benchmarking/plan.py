"""What to measure: models × methods × metrics on a data set, from TOML or from flags."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, get_args, get_origin

import torch

from vitreous.errors import DataError, UnknownName
from vitreous.methods import make_method
from vitreous.methods.method import Method, check_at_least, check_setting
from vitreous.metrics import METRICS
from vitreous.metrics.judge import Judge
from vitreous.metrics.perturbation import PRESETS as CURVES

__all__ = ["BASELINES", "PRESETS", "Plan", "make_judge", "make_methods", "read_plan"]

BASELINES = ("random", "center_gaussian", "edges")
"""Methods that know nothing of the model; they are in every table."""

Settings = Mapping[str, Mapping[str, Any]]
_PRECISIONS = ("bfloat16", "float16")
_CHOICES = {
    "target": ("predicted", "label"),
    "follow": ("", "predicted", "label"),
    "labels": ("auto", "name", "position"),
}


@dataclass(frozen=True)
class Plan:
    """Everything that decides the numbers, the data and the weights aside.

    Attributes:
        dataset: "KIND:PATH" or "KIND:PATH:SPLIT", as `open_samples` takes it.
        models: as `vitreous.load` takes them.
        methods: by the name of their row, their settings; `use` among these is the method's name where it is another.
        metrics: by name, their settings; `use` likewise, and `preset` a published protocol of `perturbation`.
        target: the class that is explained: "predicted" or the picture's "label".
        follow: the class whose score a metric follows; empty for the one that is explained.
        labels: how labels are those of the model: by "name", by "position", or "auto": by name where each is known to
            the model, by position where there are as many.
        whole: squash the whole picture into the model's input, bilinearly, with no crop, as the papers do.
        limit: how many pictures are drawn; 0 for all.
        seed: of the draw and of the resamples.
        batch_size: how many pictures run at once.
        reference: the row that the others are compared with; empty for the first.
        resamples: of the bootstrap.
    """

    dataset: str
    models: tuple[str, ...] = ("default",)
    methods: Settings = field(default_factory=dict[str, Mapping[str, Any]])
    metrics: Settings = field(default_factory=dict[str, Mapping[str, Any]])
    target: str = "predicted"
    follow: str = ""
    labels: str = "auto"
    whole: bool = False
    limit: int = 0
    seed: int = 0
    batch_size: int = 8
    reference: str = ""
    resamples: int = 2000

    def __post_init__(self) -> None:
        for name, allowed in _CHOICES.items():
            check_setting(name, getattr(self, name), allowed)
        for name, least in (("limit", 0), ("batch_size", 1), ("resamples", 100)):
            check_at_least(name, getattr(self, name), least)
        for name in ("dataset", "models", "methods", "metrics"):
            if not getattr(self, name):
                raise DataError(f"the plan names no {name}. Name at least one.")
        if self.reference and self.reference not in self.methods:
            raise UnknownName("reference method", self.reference, self.methods)

    @property
    def rows(self) -> Settings:
        """The methods, and the baselines that are not among them."""
        return dict(self.methods) | {name: {} for name in BASELINES if name not in self.methods}


def make_methods(plan: Plan) -> dict[str, Method]:
    """The methods of all rows.

    Raises:
        UnknownName: there is no such method or setting.
    """
    return {row: make_method(**_named(row, settings, "name")) for row, settings in plan.rows.items()}


def make_judge(row: str, settings: Mapping[str, Any]) -> Judge:
    """A metric with its settings; a `precision` by its name.

    Raises:
        UnknownName: there is no such metric, preset or setting.

    >>> make_judge("chefer", {"use": "perturbation", "preset": "chefer"}).morf
    'black'
    """
    values = _named(row, settings, "use")
    name, preset = values.pop("use"), values.pop("preset", "")
    if name not in METRICS:
        raise UnknownName("metric", name, METRICS)
    if preset and (name != "perturbation" or preset not in CURVES):
        raise UnknownName(f"preset of `{name}`", preset, CURVES if name == "perturbation" else ["(it has none)"])
    known = [item.name for item in fields(METRICS[name])]
    for setting in values:
        if setting not in known:
            raise UnknownName(f"setting of `{name}`", setting, known or ["(it has none)"])
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
    if "precision" in values:
        check_setting("precision", values["precision"], _PRECISIONS)
        values["precision"] = getattr(torch, str(values["precision"]))
    return replace(CURVES[preset], **values) if preset else METRICS[name](**values)


def _named(row: str, settings: Mapping[str, Any], key: str) -> dict[str, Any]:
    values = dict(settings)
    return {key: values.pop("use", row), **values}


def read_plan(path: Path, flags: Mapping[str, Any], preset: Mapping[str, Any]) -> Plan:
    """The plan in a TOML file; what the flags say goes before it, and it before the preset.

    Raises:
        DataError: the file is missing, is no TOML, or has a value of another type.
        UnknownName: it sets something that does not exist.
    """
    try:
        values: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, IsADirectoryError):
        raise DataError(f"there is no plan at {path}. Give the path of a TOML file.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is not TOML: {error}. Correct that line.") from None
    kinds = {item.name: _KINDS[item.name] for item in fields(Plan)}
    for name, value in values.items():
        if name not in kinds:
            raise UnknownName(f"setting in {path.name}", name, kinds)
        values[name] = _typed(value, kinds[name], f"`{name}` in {path}")
    if "dataset" not in {**values, **flags}:
        raise DataError(f"{path} does not set `dataset`. Add it, or give it on the command line.")
    values = {**preset, **values, **flags}
    for name in ("methods", "metrics"):
        if name not in values:
            raise DataError(f"{path} sets no `{name}`. Add a section [{name}.NAME] for each.")
    return Plan(**values)


_KINDS: dict[str, Any] = {
    **dict.fromkeys(("dataset", "target", "follow", "labels", "reference"), str),
    **dict.fromkeys(("limit", "seed", "batch_size", "resamples"), int),
    "models": tuple[str, ...],
    "whole": bool,
    "methods": Mapping,
    "metrics": Mapping,
}
_WORDS: dict[Any, str] = {str: "a text", int: "a whole number", bool: "true or false", tuple: "a list of texts"}


def _typed(value: Any, kind: Any, place: str) -> Any:
    """The value as that type. A list of rows stands for rows without settings."""
    if kind is Mapping and isinstance(value, list) and all(isinstance(each, str) for each in value):
        return {each: {} for each in value}
    if kind is Mapping and isinstance(value, dict) and all(isinstance(each, dict) for each in value.values()):
        return value
    if (
        get_origin(kind) is tuple
        and isinstance(value, list)
        and all(isinstance(each, get_args(kind)[0]) for each in value)
    ):
        return tuple(value)
    if kind in (str, int, bool) and type(value) is kind:
        return value
    raise DataError(f"{place} is {value!r}. Give {_WORDS.get(get_origin(kind) or kind, 'names, or a section each')}.")


PRESETS: dict[str, dict[str, Any]] = {
    "ag_cam": {
        "methods": {
            "ag_cam": {},
            "attention_grad_cam": {},
            "rollout": {},
            "transformer_attribution": {},
        },
        "metrics": {"box_overlap": {}, "perturbation": {"preset": "ag_cam"}},
        "target": "label",
        "whole": True,
        "reference": "ag_cam",
    },
    "chefer": {
        "methods": {
            "transformer_attribution": {"start_layer": 1},
            "rollout": {"start_layer": 1},
            "raw_attention": {},
            "attention_grad_cam": {},
            "lrp": {"rules": "orig"},
            "partial_lrp": {"use": "lrp", "readout": "last_layer", "rules": "orig"},
        },
        "metrics": {"segmentation": {}, "perturbation": {"preset": "chefer"}},
        "target": "predicted",
        "follow": "label",
        "whole": True,
        "reference": "transformer_attribution",
    },
    "mgrw": {
        "methods": {"mgrw": {}, "raw_attention": {}, "score_cam": {}, "relevance_cam": {}},
        "metrics": {"segmentation": {}},
        "target": "predicted",
        "whole": True,
        "reference": "mgrw",
    },
}
"""The papers' protocols, as far as they do not depend on the data and the model.

AG-CAM explains the predicted class for its boxes, where only pictures classified right count: that is the label, which
it explains for its curves. So one heat map serves both. MGRW's fine row needs a second model, which a plan names:
`[methods.mgrw_fine]` with `use = "mgrw"` and `fine = "timm:vit_base_patch16_224"`.
"""
