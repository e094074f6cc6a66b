"""Many pictures to many sheets: a bad picture, or a method that refuses, never stops the others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Int
from torch import Tensor

from vitreous.data.depth import Window
from vitreous.errors import (
    DataError,
    DegenerateMap,
    ExplainError,
    NotFinite,
    ObservationError,
    UnknownName,
)
from vitreous.explaining.explain import explain
from vitreous.explaining.fitting import fit_method, settings_to_json
from vitreous.explaining.opening import Opened, open_for
from vitreous.explaining.outputs import ClassScore, Explained, Found, output_names, write_maps, write_sheet
from vitreous.explaining.targets import choose_classes
from vitreous.files.manifest import now, versions, write_manifest
from vitreous.files.writing import check_writable
from vitreous.masking.forward import Progress
from vitreous.methods.method import Detail, Method
from vitreous.models.loaded import LoadedModel
from vitreous.shapes import Images, TargetClass
from vitreous.trace.settled import quiet
from vitreous.trace.target import logits_of

if TYPE_CHECKING:
    pass

__all__ = ["Order", "Result", "explain_pictures"]


@dataclass(frozen=True)
class Order:
    """What to do with every picture.

    Attributes:
        model: from `vitreous.load`.
        methods: by the name that they get on the sheet and in the files.
        target: "predicted", "top-K" (the K most probable classes), or a class name or index.
        against: another class name or index: why the target rather than this. Empty for no such class.
        output: the folder for sheets, maps and the manifest.
        batch_size: how many pictures run at once.
        alpha: opacity of the maps on the sheets.
        progress: told by slow methods how far they are with a batch.
        window: of gray pictures of more than 8 bits, as in `open_picture`.
    """

    model: LoadedModel
    methods: Mapping[str, Method]
    target: str = "predicted"
    against: str = ""
    output: Path = Path("explained")
    batch_size: int = 8
    alpha: float = 0.6
    progress: Progress | None = None
    window: Window = None


@dataclass(frozen=True)
class Result:
    """What became of one picture.

    Attributes:
        file: the picture.
        predicted: its most probable classes, at most five.
        targets: the classes explained.
        sheet: the page that shows every method; None where nothing could be explained.
        maps: the raw maps, as `write_maps` leaves them.
        details: by method that gave any, per target what it found beside the map.
        layers: by method that read one layer's output, its dotted name.
        refused: by method that gave no map for a target, why.
        error: why there is no sheet.
        window: which values of a gray picture of more than 8 bits are black and white; None of others.
    """

    file: Path
    predicted: tuple[ClassScore, ...] = ()
    targets: tuple[ClassScore, ...] = ()
    sheet: Path | None = None
    maps: Path | None = None
    details: Mapping[str, Sequence[Detail | None]] = field(default_factory=dict[str, Sequence[Detail | None]])
    layers: Mapping[str, str] = field(default_factory=dict[str, str])
    refused: Mapping[str, str] = field(default_factory=dict[str, str])
    error: str = ""
    window: tuple[float, float] | None = None


def explain_pictures(order: Order, files: Sequence[Path]) -> Iterator[Result]:
    """Explain every picture by every method, and yield what became of each, in order.

    A picture that can be explained gets `<name>.png` and `<name>.npz` in the output folder. `manifest.json` tells about
    all of them; it is written at the end, also after an interruption.

    Raises:
        DataError: the output folder cannot be written.
        UnknownName: the model has no such target, or does not allow a method's setting.
        ObservationError: no method applies to the model.
    """
    check_writable(order.output)
    methods = {name: fit_method(method, order.model) for name, method in order.methods.items()}
    order = replace(order, methods=methods)
    names = output_names(files, order.output)
    started = now()
    refused: dict[str, str] = {}
    results: list[Result] = []
    try:
        for start in range(0, len(files), order.batch_size):
            part = slice(start, start + order.batch_size)
            for result in _explain_batch(order, files[part], names[part], refused):
                results.append(result)
                yield result
    finally:
        write_manifest(order.output, {"started": started, **_describe(order), "pictures": [*map(_to_json, results)]})


def _explain_batch(
    order: Order, files: Sequence[Path], names: Sequence[str], refused: dict[str, str]
) -> Iterator[Result]:
    """What became of each picture; `refused` gains the methods that do not apply to the model."""
    opened = [open_for(order.model, file, order.window) for file in files]
    try:
        explained = iter(_explain_opened(order, [each for each in opened if isinstance(each, Opened)], refused))
    except NotFinite as error:
        if len(files) == 1:
            yield Result(files[0], error=str(error))
        for at in range(len(files) if len(files) > 1 else 0):  # one picture does not stop the others
            yield from _explain_batch(order, files[at : at + 1], names[at : at + 1], refused)
        return
    for file, name, each in zip(files, names, opened, strict=True):
        yield _write(order, name, next(explained)) if isinstance(each, Opened) else Result(file, error=str(each))


def _explain_opened(order: Order, pictures: Sequence[Opened], refused: dict[str, str]) -> list[Explained]:
    """All methods and targets, for the pictures of a batch that could be read."""
    if not pictures:
        return []
    model = order.model
    images = torch.stack([picture.image for picture in pictures]).to(next(model.model.parameters()))
    with quiet(model.model), torch.no_grad():
        logits = logits_of(model.model(images.clone()), model.name)
        segment: Any = getattr(model.model, "regions", None)
        regions: Any = segment(images) if callable(segment) else []
    targets = choose_classes(order.target, model.class_names, logits)
    attempts = {name: _try_method(order, name, images, targets, refused) for name in order.methods}
    if len(refused) == len(order.methods):
        raise _none_applies(model.name, refused)
    return [
        Explained(
            picture.file,
            picture.view,
            model,
            logits[at],
            tuple(targets[at].tolist()),
            {name: rows[at] for name, rows in attempts.items()},
            order.against,
            tuple(stage[at] for stage in regions),
            picture.window,
        )
        for at, picture in enumerate(pictures)
    ]


def _try_method(
    order: Order, name: str, images: Images, targets: Int[Tensor, "batch targets"], refused: dict[str, str]
) -> list[tuple[Found | str, ...]]:
    """Per picture and target, the map, or why there is none."""
    if name not in refused:
        try:
            columns = [_attempt(order, name, images, target) for target in targets.T]
            return list(zip(*columns, strict=True))
        except ObservationError as error:
            refused[name] = str(error)
    return [(refused[name],) * targets.shape[1]] * len(targets)


def _attempt(order: Order, name: str, images: Images, target: TargetClass) -> list[Found | str]:
    """Per picture, the map, or why there is none. A batch that fails is tried again one by one.

    Raises:
        ObservationError: the method does not apply to the model.
        UnknownName: one of its settings does not.
    """
    try:
        against = order.against or None
        explanation = explain(
            order.model,
            images,
            order.methods[name],
            target,
            against=against,
            batch_size=len(images),
            progress=order.progress,
        )
        details = explanation.details or [None] * len(images)
        return [Found(*each, explanation.layer) for each in zip(explanation.heatmap, details, strict=True)]
    except (ObservationError, UnknownName):
        raise
    except (ExplainError, torch.OutOfMemoryError) as error:
        if len(images) == 1:
            return [error.alone if isinstance(error, DegenerateMap) else str(error)]
    one_by_one = zip(images.split(1), target.split(1), strict=True)
    return [each for image, wanted in one_by_one for each in _attempt(order, name, image, wanted)]


def _none_applies(model: str, refused: Mapping[str, str]) -> ObservationError:
    if len(refused) == 1:
        return ObservationError(*refused.values())
    reasons = "\n".join(f"{name}: {reason}" for name, reason in refused.items())
    return ObservationError(f"no method applies to `{model}`.\n{reasons}")


def _write(order: Order, name: str, explained: Explained) -> Result:
    """The files of one picture."""
    result = Result(
        explained.file,
        explained.predicted,
        explained.targets,
        details=explained.details,
        layers=explained.layers,
        refused=explained.refused,
        window=explained.window,
    )
    if not explained.methods:
        return replace(result, error=f"no method gave a map of `{explained.file}`. Try another target or method.")
    page, maps = order.output / f"{name}.png", order.output / f"{name}.npz"
    try:
        write_maps(maps, explained)
        write_sheet(page, explained, alpha=order.alpha)
    except DataError as error:
        return replace(result, error=str(error))
    return replace(result, sheet=page, maps=maps)


def _describe(order: Order) -> dict[str, Any]:
    """What the results depend on."""
    model, parameter = order.model, next(order.model.model.parameters())
    return {
        "versions": versions(),
        "model": model.name,
        "weights_sha256": model.weights_sha256,
        "preprocess": model.preprocess.to_json() if model.preprocess else None,
        "device": str(parameter.device),
        "dtype": str(parameter.dtype).removeprefix("torch."),
        "methods": {
            name: {"source": method.source, "settings": settings_to_json(method)}
            for name, method in order.methods.items()
        },
        "target": order.target,
        "against": order.against or None,
        "batch_size": order.batch_size,
        "alpha": order.alpha,
    }


def _to_json(result: Result) -> dict[str, Any]:
    """A result in plain values; output files by their names in the folder."""
    return {
        "file": str(result.file),
        "predicted": [asdict(score) for score in result.predicted],
        "targets": [asdict(score) for score in result.targets],
        "sheet": result.sheet.name if result.sheet else None,
        "maps": result.maps.name if result.maps else None,
        "details": {name: [each and each.to_json() for each in found] for name, found in result.details.items()},
        "layers": dict(result.layers),
        "refused": dict(result.refused),
        "error": result.error or None,
        "window": result.window,
    }
