"""What is to be done with many pictures, what became of each, and both in plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from vitreous.data.depth import Window
from vitreous.errors import DataError, ExplainError
from vitreous.explaining.choosing import Choice
from vitreous.explaining.method_settings import complete_method, settings_to_json
from vitreous.explaining.targets import class_index
from vitreous.explaining.trust.measure import TrustSettings
from vitreous.explaining.trust.records import Trust
from vitreous.files.manifest import versions
from vitreous.masking.forward import Progress
from vitreous.methods.detail import Detail
from vitreous.methods.method import Method
from vitreous.models.loaded import LoadedModel
from vitreous.models.zoo import describe
from vitreous.settings.typed import typed_fields
from vitreous.trace.answer import Answer

__all__ = [
    "PictureJob",
    "Result",
    "by_reason",
    "complete_job",
    "describe_job",
    "describe_model",
    "result_from_json",
    "result_to_json",
]


@dataclass(frozen=True)
class PictureJob:
    """What to do with every picture.

    Attributes:
        model: from `vitreous.load`.
        methods: by the name that they get on the sheet and in the files.
        target: "predicted", "top-K" (the K most probable classes), or a class name or index; or several of these.
        against: another class name or index: why the target rather than this. Empty for no such class.
        output: the folder for sheets, maps and the manifest.
        batch_size: how many pictures run at once.
        alpha: opacity of the maps on the sheets.
        common_scale: color all maps of a sheet by one scale.
        isolines: draw maps as lines of equal value.
        progress: told by slow methods how far they are with a batch.
        window: of gray pictures of more than 8 bits, as in `open_picture`.
        trust: how what the maps are worth is measured; None to leave it.
        choice: that the method comes from, if it was chosen by measuring.
        class_names: one per class score, before what the model says; empty for what it says.
        names_file: that they were read from.
    """

    model: LoadedModel
    methods: Mapping[str, Method]
    target: str | tuple[str, ...] = "predicted"
    against: str = ""
    output: Path = Path("explained")
    batch_size: int = 8
    alpha: float = 0.75
    common_scale: bool = False
    isolines: bool = False
    progress: Progress | None = None
    window: Window = None
    trust: TrustSettings | None = None
    choice: Choice | None = None
    class_names: tuple[str, ...] = ()
    names_file: Path | None = None

    @property
    def rival(self) -> int | None:
        """The index of the class that the target is held against; None where there is none."""
        return class_index(self.against, self.class_names or self.model.class_names) if self.against else None

    @property
    def rival_name(self) -> str:
        """Its name; empty where there is none."""
        names, rival = self.class_names or self.model.class_names, self.rival
        return "" if rival is None else names[rival] if rival < len(names) else f"class {rival}"


@dataclass(frozen=True)
class Result:
    """What became of one picture.

    Attributes:
        file: the picture.
        predicted: its most probable classes, at most five, or its values; none without a classifier.
        targets: the classes explained.
        sheet: the page that shows every method; None where nothing could be explained.
        maps: the raw maps, as `write_maps` leaves them.
        details: by method that gave any, per target what it found beside the map.
        layers: by method that read one layer's output, its dotted name.
        refused: by method that gave no map for a target, why.
        error: why there is no sheet.
        window: which values of a gray picture of more than 8 bits are black and white; None of others.
        trust: per target, what its maps are worth, or why that cannot be said; empty where nobody asked.
        warning: what was said of how the picture was read; empty for nothing.
        scores_from: in words, where its class scores were found, if the model does not return them.
    """

    file: Path
    predicted: tuple[Answer, ...] = ()
    targets: tuple[Answer, ...] = ()
    sheet: Path | None = None
    maps: Path | None = None
    details: Mapping[str, Sequence[Detail | None]] = field(default_factory=dict[str, Sequence[Detail | None]])
    layers: Mapping[str, str] = field(default_factory=dict[str, str])
    refused: Mapping[str, str] = field(default_factory=dict[str, str])
    error: str = ""
    window: tuple[float, float] | None = None
    trust: tuple[Trust | str, ...] = ()
    warning: str = ""
    scores_from: str = ""


def by_reason(refused: Mapping[str, str]) -> dict[str, list[str]]:
    """The methods that refuse, by what they say.

    >>> by_reason({"lrp": "no rule.", "rollout": "no class token.", "ag_cam": "no class token."})
    {'no rule.': ['lrp'], 'no class token.': ['rollout', 'ag_cam']}
    """
    found: dict[str, list[str]] = {}
    for name, reason in refused.items():
        found.setdefault(reason, []).append(name)
    return found


def complete_job(job: PictureJob) -> PictureJob:
    """The job, its methods with what follows from the model, the model with the class names that are given.

    Raises:
        ExplainError: as `complete_method`.
    """
    methods = {name: complete_method(method, job.model) for name, method in job.methods.items()}
    return replace(job, methods=methods, model=describe(job.model, class_names=job.class_names))


def describe_model(model: LoadedModel) -> dict[str, Any]:
    """What results of any command depend on, as far as the model goes."""
    parameter = next(model.model.parameters())
    return {
        "versions": versions(),
        "model": model.name,
        "weights_sha256": model.weights_sha256,
        "reading": model.reading.to_json(),
        "device": str(parameter.device),
        "dtype": str(parameter.dtype).removeprefix("torch."),
    }


def describe_job(job: PictureJob) -> dict[str, Any]:
    """What the results depend on."""
    model = job.model
    return {
        **describe_model(model),
        "prompts": list(model.prompts) or None,
        "preprocess": model.preprocess.to_json() if model.preprocess else None,
        "methods": {
            name: {"source": method.source, "settings": settings_to_json(method)}
            for name, method in job.methods.items()
        },
        "target": job.target,
        "against": job.against or None,
        "batch_size": job.batch_size,
        "alpha": job.alpha,
        "common_scale": job.common_scale,
        "isolines": job.isolines,
        "window": job.window,
        "trust": job.trust and asdict(job.trust),
        "choice": job.choice and job.choice.to_json(),
        "class_names": list(job.class_names) or None,
    }


def result_to_json(result: Result, folder: Path) -> dict[str, Any]:
    """What became of a picture in plain values; output files by their places in the folder."""
    return {
        "predicted": [asdict(score) for score in result.predicted],
        "targets": [asdict(score) for score in result.targets],
        "sheet": result.sheet and result.sheet.relative_to(folder).as_posix(),
        "maps": result.maps and result.maps.relative_to(folder).as_posix(),
        "details": {name: [each and each.to_json() for each in found] for name, found in result.details.items()},
        "layers": dict(result.layers),
        "refused": dict(result.refused),
        "error": result.error or None,
        "window": result.window,
        "trust": [each if isinstance(each, str) else each.to_json() for each in result.trust],
        "warning": result.warning,
        "scores_from": result.scores_from,
    }


def result_from_json(values: Mapping[str, Any], file: Path, folder: Path) -> Result | None:
    """The result that `result_to_json` wrote of a picture, without its details; None where it says something else."""
    try:
        answers = {
            name: tuple(Answer(**typed_fields(Answer, each, name, DataError)) for each in values[name])
            for name in ("predicted", "targets")
        }
        page, maps = (folder / values[name] for name in ("sheet", "maps"))
        known = {name: values[name] for name in ("layers", "refused", "window", "warning")}
        known["scores_from"] = values.get("scores_from", "")  # it was not always told
        told = typed_fields(Result, known, "it", DataError)
        trust = tuple(each if isinstance(each, str) else Trust.from_json(each) for each in values["trust"])
    except (ExplainError, TypeError, KeyError, AttributeError):
        return None
    return Result(file, **answers, sheet=page, maps=maps, trust=trust, **told)
