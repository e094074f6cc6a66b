"""What to measure: models × methods × metrics on a data set, from TOML or from flags."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Any

import torch

from vitreous.data.depth import Window, asked_window
from vitreous.errors import DataError, UnknownName, check_setting
from vitreous.files.reading import read_toml
from vitreous.methods import is_method, make_method
from vitreous.methods.method import Method
from vitreous.methods.requirements import check_at_least
from vitreous.metrics import is_metric, make_metric
from vitreous.metrics.metric import Metric
from vitreous.metrics.perturbation import PRESETS as CURVES
from vitreous.models.labels import labels_of
from vitreous.settings.named import is_own, own
from vitreous.settings.typed import Seed, Within, check_settings, shown, typed_fields
from vitreous.trace.reading import Reading

__all__ = [
    "BASELINES",
    "Plan",
    "make_methods",
    "plan_metric",
    "read_plan",
    "reading_of",
    "to_plan",
    "use_own",
]

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
        methods: by the name of their row, their settings; `use` among these is the method's name where it is another,
            and `model` the model that is explained where it is another than the table's.
        metrics: by name, their settings; `use` likewise, and `preset` a published protocol of `perturbation`.
        target: the class that is explained: "predicted" or the picture's "label".
        follow: the class whose score a metric follows; empty for the one that is explained.
        labels: how labels are those of the model: by "name", by "position", or "auto": by name where each is known to
            the model, by position where there are as many.
        whole: squash the whole picture into the model's input, bilinearly, with no crop, as the papers do.
        window: of gray pictures of more than 8 bits, as in `open_picture`.
        limit: how many pictures are drawn; 0 for all.
        seed: of the draw and of the resamples.
        batch_size: how many pictures run at once.
        reference: the row that the others are compared with; empty for the first.
        resamples: of the bootstrap.
        reading: what cannot be told of the models by measuring; in a file, a section of `output`, `link`, `part`,
            `call`, `grid` and `patches`. Models of several readings take a plan each; the folder may be the same.
    """

    dataset: str
    models: tuple[str, ...] = ("default",)
    methods: Settings = field(default_factory=dict[str, Mapping[str, Any]])
    metrics: Settings = field(default_factory=dict[str, Mapping[str, Any]])
    target: str = "predicted"
    follow: str = ""
    labels: str = "auto"
    whole: bool = False
    window: Window = None
    limit: int = 0
    seed: Seed = 0
    batch_size: int = 8
    reference: str = ""
    resamples: Annotated[int, Within(100, 100_000)] = 2000
    reading: Reading = Reading()  # noqa: RUF009  # frozen

    def __post_init__(self) -> None:
        check_settings(self)
        asked_window(self.window)
        for name, allowed in _CHOICES.items():
            check_setting(name, getattr(self, name), allowed)
        for name, least in (("limit", 0), ("batch_size", 1)):
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

    @property
    def specs(self) -> tuple[str, ...]:
        """All models that run: one for each table, and those that rows name for themselves."""
        return tuple(dict.fromkeys([*self.models, *(self.model_of(row, self.models[0]) for row in self.rows)]))

    @property
    def called(self) -> dict[str, str]:
        """By model, what tables and pages call it: without folders, which stand in the manifest."""
        return dict(zip(self.specs, labels_of(self.specs), strict=True))

    def model_of(self, row: str, table: str) -> str:
        """The model that a row of a model's table explains: its own, or that one."""
        return str(self.rows[row].get("model", table))

    def rows_of(self, spec: str) -> tuple[str, ...]:
        """The rows that explain a model, in any table."""
        return tuple(row for row in self.rows if any(self.model_of(row, table) == spec for table in self.models))


def make_methods(plan: Plan) -> dict[str, Method]:
    """The methods of all rows.

    Raises:
        UnknownName: there is no such method or setting.
    """
    named = {row: _named(row, settings) for row, settings in plan.rows.items()}
    for _, settings in named.values():
        settings.pop("model", None)
    return {row: make_method(name, **settings) for row, (name, settings) in named.items()}


def plan_metric(row: str, settings: Mapping[str, Any]) -> Metric:
    """A metric with its settings; a `precision` by its name.

    Raises:
        UnknownName: there is no such metric, preset or setting.

    >>> plan_metric("chefer", {"use": "perturbation", "preset": "chefer"}).morf
    'black'
    """
    name, values = _named(row, settings)
    preset = values.pop("preset", "")
    if preset and (name != "perturbation" or preset not in CURVES):
        raise UnknownName(f"preset of `{name}`", preset, CURVES if name == "perturbation" else ["(it has none)"])
    if "precision" in values:
        check_setting("precision", values["precision"], _PRECISIONS)
        values["precision"] = getattr(torch, str(values["precision"]))
    published = {item.name: getattr(CURVES[preset], item.name) for item in fields(CURVES[preset])} if preset else {}
    return make_metric(name, **{**published, **values})


def _named(row: str, settings: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The name of what a row uses, and its settings."""
    values = dict(settings)
    return str(values.pop("use", row)), values


def read_plan(path: Path, flags: Mapping[str, Any], preset: Mapping[str, Any]) -> Plan:
    """The plan in a TOML file; what the flags say goes before it, and it before the preset.

    Raises:
        DataError: the file is missing, is no TOML, has a value of another type, or names code to run.
        UnknownName: it sets something that does not exist.
    """
    return to_plan(read_toml(path, "plan"), path, flags, preset)


def to_plan(given: Mapping[str, Any], path: Path, flags: Mapping[str, Any], preset: Mapping[str, Any] = {}) -> Plan:
    """The plan in values from a file; flags and preset as for `read_plan`.

    Raises:
        DataError: a value is of another type, or names code to run.
        UnknownName: something is set that does not exist.
    """
    values = {name: value for name, value in given.items() if name not in flags}
    known = [item.name for item in fields(Plan)]
    for name in values:
        if name not in known:
            raise UnknownName(f"setting in {path.name}", name, known)
    values |= {name: _rows(values, name, path) for name in ("methods", "metrics") if name in values}
    if "reading" in values:
        values["reading"] = reading_of(values["reading"], path)
    values = typed_fields(Plan, values, f"the plan in {path}", DataError)
    if is_own(values.get("dataset", "")):
        raise DataError(
            f"`dataset` in {path} is read by {shown(values['dataset'])}, and a file names no code to run. Leave it out "
            "there, and give it on the command line if you trust that code."
        )
    if "dataset" not in {**values, **flags}:
        raise DataError(f"{path} does not set `dataset`. Add it, or give it on the command line.")
    values = {**preset, **values, **flags}
    for name in ("methods", "metrics"):
        if name not in values:
            raise DataError(f"{path} sets no `{name}`. Add a section [{name}.NAME] for each.")
    return Plan(**values)


def reading_of(given: Any, path: Path) -> Reading:
    """What a file says of how models are read.

    Raises:
        DataError: it is no section, or a value is of another type.
        UnknownName: it says something that there is not.
    """
    if not isinstance(given, dict):
        raise DataError(f"`reading` in {path} is {shown(given)}. Give a section, [reading].")
    said: dict[str, Any] = dict(given)
    known = [item.name for item in fields(Reading)]
    for name in said:
        if name not in known:
            raise UnknownName(f"setting of `reading` in {path.name}", name, known)
    patches = said.pop("patches", None)
    if not isinstance(patches, str):
        patches = typed_fields(Reading, {"patches": patches}, f"`reading` in {path}", DataError)["patches"]
    return Reading(**typed_fields(Reading, said, f"`reading` in {path}", DataError)).but(patches=patches)


def _rows(values: dict[str, Any], name: str, path: Path) -> dict[str, dict[str, Any]]:
    """Sections by the name of their row, from a file: a list of rows stands for rows without settings.

    Raises:
        DataError: it is neither, or a row names code to run.
    """
    given = values[name]
    rows: Any = {row: {} for row in given} if _is_list_of_texts(given) else given
    if not isinstance(rows, dict) or not all(isinstance(each, dict) for each in rows.values()):
        raise DataError(f"`{name}` in {path} is {shown(given)}. Give names, or a section each.")
    for row, settings in rows.items():
        if ":" in str(used := settings.get("use", row)):
            raise DataError(
                f"`{name}.{row}` in {path} uses {shown(used)}, and a file names no code to run. Leave it out there, "
                f"and give --use {row}={used} on the command line if you trust that code."
            )
    return rows


def _is_list_of_texts(given: object) -> bool:
    return isinstance(given, list) and all(isinstance(each, str) for each in given)


def use_own(plan: Plan, classes: Mapping[str, str]) -> Plan:
    """The plan with classes of one's own in its rows.

    Args:
        plan: from a file or from flags.
        classes: by the name of the row, "package.module:Name": a method or a metric. A row that the plan has not is
            added to it. Importing the module runs its code.

    Raises:
        UnknownName: there is no such class, or it is neither.
    """
    methods, metrics = (
        {row: dict(settings) for row, settings in rows.items()} for rows in (plan.methods, plan.metrics)
    )
    for row, name in classes.items():
        made = own(name)
        rows = metrics if is_metric(made) else methods if made and is_method(made) else None
        if rows is None:
            raise UnknownName("method or metric", name, ["package.module:Name"])
        rows[row] = {**rows.get(row, {}), "use": name}
    return replace(plan, methods=methods, metrics=metrics)
