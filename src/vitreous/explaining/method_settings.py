"""What a method has to know of the model before it can run."""

from __future__ import annotations

from dataclasses import asdict, fields, is_dataclass, replace
from typing import Any

from torch import nn

from vitreous.methods.method import Method
from vitreous.models.adapted import Adapted
from vitreous.models.loaded import LoadedModel
from vitreous.models.zoo import describe, load
from vitreous.settings.typed import check_settings

__all__ = ["complete_method", "settings_of", "settings_to_json"]


def complete_method(method: Method, subject: LoadedModel) -> Method:
    """The method, with the settings that follow from the model where they were left empty.

    `mean` and `std`, for one that fills in pixels: how they are normalized, where the model says so. `fine`, a second
    model: loaded if it is a spec, and made to take the input of the first; "same" is the first one.

    Raises:
        UnknownName, ShapeError: a setting is of another type than its annotation says.
        UnknownName, ModelError, MissingExtra: as `load`.
    """
    check_settings(method)
    values = settings_of(method)
    changes: dict[str, Any] = {}
    if subject.preprocess and values.get("std") == ():
        changes = {"mean": subject.preprocess.mean, "std": subject.preprocess.std}
    fine = values.get("fine")
    if fine is not None and fine != "same" and not isinstance(fine, Adapted):
        changes["fine"] = Adapted(_load(fine, subject), subject)
    return replace(method, **changes) if changes else method  # pyright: ignore[reportArgumentType, reportUnknownVariableType]


def settings_of(method: Method) -> dict[str, Any]:
    """A method's settings by name; none of one that is no dataclass."""
    if not is_dataclass(method) or isinstance(method, type):
        return {}
    return {field.name: getattr(method, field.name) for field in fields(method)}


def settings_to_json(method: Method) -> dict[str, Any]:
    """A method's settings in plain values, for a manifest."""
    return {
        name: asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
        for name, value in (settings_of(method) | _second_model(method)).items()
    }


def _second_model(method: Method) -> dict[str, Any]:
    fine = settings_of(method).get("fine")
    if not isinstance(fine, Adapted):
        return {}
    return {
        "fine": {
            "model": fine.subject.name,
            "weights_sha256": fine.subject.weights_sha256,
            "reading": fine.subject.reading.to_json(),
        }
    }


def _load(fine: Any, subject: LoadedModel) -> LoadedModel:
    """A spec, where the first model is; a module or a loaded model as it is. Only the latter says how it is read."""
    if isinstance(fine, LoadedModel):
        return fine
    output = subject.reading.output
    if isinstance(fine, nn.Module):
        return describe(fine).read_as(output=output)
    parameter = next(subject.model.parameters())
    return load(fine, device=parameter.device, dtype=parameter.dtype, output=output)
