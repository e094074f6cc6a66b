"""What a classifier says of labelled pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from jaxtyping import Int
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from vitreous.data.depth import Window, through
from vitreous.data.labelled import LabelledPictures, load_split
from vitreous.errors import DataError, ModelError
from vitreous.evaluation.cost import Cost, measure_cost
from vitreous.explaining.asked import check_class_names
from vitreous.explaining.labels import match_labels
from vitreous.explaining.picture_job import describe_model
from vitreous.files.manifest import check_own_file
from vitreous.files.writing import check_writable, write_json
from vitreous.metrics.classification import Measured, calibration_error, confusion, judge_classifier
from vitreous.models.loaded import LoadedModel, numbered
from vitreous.models.preprocess import Preprocess
from vitreous.shapes import Logits
from vitreous.trace.classifier import check_classifier
from vitreous.trace.reading import reading
from vitreous.trace.running import run
from vitreous.trace.target import logits_of

__all__ = ["JOB", "Answers", "Evaluation", "answers", "evaluate"]

JOB = "evaluate"
"""What made the file."""


@dataclass(frozen=True)
class Answers:
    """Class scores, and the classes that are right, in the order of the pictures."""

    logits: Logits
    labels: Int[Tensor, " batch"]


@dataclass(frozen=True)
class Evaluation:
    """How often a model is right.

    Attributes:
        scores: what `judge_classifier` gives.
        calibration_error: how far its probabilities are from that.
        confusion: how many pictures of each class (row) got each class (column).
        class_names: in that order.
        cost: of the model.
    """

    scores: dict[str, Measured]
    calibration_error: float
    confusion: Int[Tensor, "classes classes"]
    class_names: tuple[str, ...]
    cost: Cost


@torch.no_grad()
def answers(
    model: LoadedModel,
    pictures: LabelledPictures,
    *,
    batch_size: int = 64,
    workers: int = 0,
    window: Window = None,
    progress: Callable[[int, int], None] | None = None,
) -> Answers:
    """One forward pass over the pictures.

    Args:
        model: from `vitreous.load`.
        pictures: with the model's classes in its order, or with some of them by name; of ImageNet's, by WordNet id.
        batch_size: how many run at once.
        workers: processes that prepare pictures; 0 prepares them in this one.
        window: of gray pictures of more than 8 bits, as in `open_picture`.
        progress: told how many pictures are done, and how many there are.

    Raises:
        DataError: the classes of the pictures are not the model's.
        ModelError: the model does not say how its pictures are prepared, or predicts no class.
        ShapeError: it has not a class name for each score.
    """
    preprocess = model.prepared()
    index = _index(pictures, model)
    parameter = next(model.model.parameters())
    loader = DataLoader(_Prepared(pictures, preprocess, window), batch_size, num_workers=workers)
    logits: list[Tensor] = []
    labels: list[Tensor] = []
    for images, right in loader:
        logits.append(_scores(model, images.to(parameter)).float().cpu())
        check_class_names(model.class_names, logits[-1])
        labels.append(index[right])
        if progress:
            progress(sum(map(len, labels)), len(pictures))
    return Answers(torch.cat(logits), torch.cat(labels))


def _index(pictures: LabelledPictures, model: LoadedModel) -> Int[Tensor, " classes"]:
    """The model's index of each class of the data.

    Raises:
        DataError: it is not known.
    """
    named, known = pictures.class_names, model.class_names
    if named in (known, numbered(len(known))):
        return torch.arange(len(named))
    matched, how = match_labels(named, range(len(named)), known, "auto")
    if how != "name":
        raise DataError(
            f"the data has {len(named)} classes ({', '.join(named[:3])} …), and `{model.name}` has {len(known)} "
            f"({', '.join(known[:3])} …). Give data with the model's classes in its order, or with names that it knows."
        )
    return torch.tensor([matched[label] for label in range(len(named))])


def _scores(model: LoadedModel, images: Tensor) -> Logits:
    with reading(model.reading):
        check_classifier(model.model, images)
        logits = logits_of(run(model.model, images.clone()), model.name, len(images))
    if logits.shape[1] == 1 or model.reading.link == "identity":
        raise ModelError(
            f"`{model.name}` gives {logits.shape[1]} values and predicts none of several classes, so there is nothing "
            "to count. Give a classifier of two classes or more."
        )
    return logits


def evaluate(
    model: LoadedModel,
    data: Path | str,
    split: str,
    output: Path,
    *,
    workers: int = 0,
    window: Window = None,
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """How often the model is right about one split of a data set, also written to `output` as JSON.

    Args:
        model: from `vitreous.load`.
        data: what `vitreous train` reads.
        split: "train", "val" or "test".
        output: the file: scores with intervals, calibration error, confusions (rows are the true classes), and what
            they depend on.
        workers: processes that prepare pictures.
        window: of gray pictures of more than 8 bits, as in `open_picture`.
        progress: told how many pictures are done, and how many there are.

    Raises:
        UnknownName: there is no such split.
        DataError: the data cannot be read or is not about the model's classes, or the file cannot be written.
        MissingExtra: two classes, and torchmetrics is not installed.
    """
    check_writable(output.parent)
    check_own_file(output, JOB)
    pictures, fingerprint = load_split(data, split)
    given = answers(model, pictures, workers=workers, window=window, progress=progress)
    found = Evaluation(
        judge_classifier(given.logits, given.labels),
        calibration_error(given.logits, given.labels),
        confusion(given.logits, given.labels),
        model.class_names,
        measure_cost(model),
    )
    values = {
        "job": JOB,
        "scores": {name: asdict(score) for name, score in found.scores.items()},
        "calibration_error": found.calibration_error,
        "cost": asdict(found.cost),
        "class_names": found.class_names,
        "confusion": found.confusion.tolist(),
        "pictures": len(pictures),
        "data": str(data),
        "split": split,
        "data_sha256": fingerprint,
        "window": window,
        **describe_model(model),
    }
    write_json(output, values)
    return found


@dataclass(frozen=True)
class _Prepared(Dataset[tuple[Tensor, int]]):
    pictures: LabelledPictures
    preprocess: Preprocess
    window: Window

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        with through(self.window):
            picture, label = self.pictures[index]
        return self.preprocess(picture), label
