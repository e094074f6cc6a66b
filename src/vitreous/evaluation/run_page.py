"""A finished training on one page: curves, confusions, and the worst mistakes with their heat maps."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from markupsafe import Markup

from vitreous.data.labelled import LabelledPictures
from vitreous.errors import DataError, DegenerateMap, ObservationError
from vitreous.evaluation.evaluate import Answers, answers
from vitreous.explaining.explain import explain
from vitreous.files.reading import read_json
from vitreous.files.writing import whole_file
from vitreous.methods import title_of
from vitreous.metrics.classification import confusion
from vitreous.models.card import ModelCard
from vitreous.models.loaded import LoadedModel
from vitreous.models.zoo import load
from vitreous.render import page
from vitreous.render.numbers import number
from vitreous.render.overlay import overlay
from vitreous.render.sheet import fit
from vitreous.training.log import read_log

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["write_run_page"]

_CURVES = {"loss": "training loss", "top1": "top-1, validation", "lr": "learning rate"}
_METHODS = ("ag_cam", "grad_cam")  # the first that applies to the model
_MATRIX, _MISTAKES = 30, 8
_FEW = 10
"""Classes whose tables are open from the start."""
_FIRST = ("top1", "best_epoch", "epochs", "seconds")
"""What of a summary stands before its settings."""
_GIVE = "Give a folder written by `vitreous train`."


def write_run_page(
    folder: Path, pictures: LabelledPictures, *, device: torch.device | str = "cpu", workers: int = 0
) -> Path:
    """Write report.html into a folder that `vitreous train` wrote: one file that needs no other.

    Curves of the training loss, the top-1 and the learning rate; each class's accuracy and, up to 30 classes, what its
    pictures were taken for; the eight worst mistakes, that is, the wrong pictures whose own class has the least
    probability, with the heat maps of the class predicted and of their own.

    Args:
        folder: with model.safetensors, model.json, log.csv and summary.json.
        pictures: that the run was validated with.
        device: where to run the model.
        workers: processes that prepare pictures.

    Returns:
        the page. It costs one pass over the pictures and sixteen heat maps.

    Raises:
        DataError: the folder has no log, or it cannot be written to.
        ModelError: it holds no model.
    """
    epochs, summary = read_log(folder), read_json(folder / "summary.json", _GIVE)
    wanted = _CURVES.keys()
    if not epochs or not all(wanted <= row.keys() for row in epochs) or not isinstance(summary, dict):
        raise DataError(f"`{folder}` has no log with {', '.join(wanted)}. {_GIVE}")
    if not isinstance(summary.get("top1"), float):
        raise DataError(f"`{folder / 'summary.json'}` does not say `top1`. {_GIVE}")
    model = load(folder, device=device)
    given = answers(model, pictures, workers=workers)
    card = ModelCard.read(folder)
    title = f"{summary['top1']:.1%} of the validation pictures right · {card.architecture}"
    parts = [page.paragraph(_verdict(given, model.class_names))]
    told = {name: number(value, ".6g") if isinstance(value, float) else str(value) for name, value in summary.items()}
    told |= {name: str(card.notes[name]) for name in ("start", "teacher") if name in card.notes}
    rows = {name: (name.replace("_", " "), text) for name, text in told.items()}
    parts += [page.facts([rows.pop(name) for name in _FIRST if name in rows])]
    parts += [page.fold("Settings and versions", [page.facts([*rows.values()])])] if rows else []
    curves = [page.curve(text, [float(row[name]) for row in epochs]) for name, text in _CURVES.items()]
    parts += [page.heading("Curves over epochs"), page.figures(curves)]
    parts += [page.heading("Classes"), *_classes(given, model.class_names)]
    parts += [page.heading("Worst mistakes"), *_mistakes(given, model, pictures)]
    with whole_file(folder / "report.html") as part:
        part.write_text(page.page(title, parts), encoding="utf-8")
    return folder / "report.html"


def _verdict(given: Answers, names: tuple[str, ...]) -> str:
    """The class that is known best and that known worst, and what the latter's pictures are taken for."""
    counts = confusion(given.logits, given.labels)
    seen = [at for at, row in enumerate(counts) if row.sum()]
    right = {at: (counts[at, at] / counts[at].sum()).item() for at in seen}
    best, worst = max(seen, key=right.__getitem__), min(seen, key=right.__getitem__)
    wrong = counts[worst].clone()
    wrong[worst] = 0
    instead = f", most often taken for {names[int(wrong.argmax())]}" if wrong.sum() else ""
    known = f"Best recognized: {names[best]}, {right[best]:.1%} of its pictures right."
    return f"{known} Worst recognized: {names[worst]}, {right[worst]:.1%} right{instead}."


def _classes(given: Answers, names: tuple[str, ...]) -> list[Markup]:
    """A row per class: how many pictures, how many are right; and of few classes, what they were taken for."""
    counts = confusion(given.logits, given.labels)
    right, taken_for = [["class", "pictures", "right"]], [["class", *(f"as {name}" for name in names)]]
    shades: dict[tuple[int, int], float] = {}
    for at, (name, row) in enumerate(zip(names, counts, strict=True)):
        total, taken = int(row.sum()), row.tolist()
        right.append([name, str(total), f"{taken[at] / total:.1%}" if total else "–"])
        taken_for.append([name, *map(str, taken)])
        shades |= {(at + 1, 1 + column): count / total for column, count in enumerate(taken) if total}
    parts = [page.fold("How many of each class are right", [page.table(right)], opened=len(names) <= _FEW)]
    if len(names) <= _MATRIX:
        table = page.table(taken_for, shades)
        parts.append(page.fold("What the pictures of each class were taken for", [table], opened=len(names) <= _FEW))
    return parts


def _mistakes(given: Answers, model: LoadedModel, pictures: LabelledPictures) -> list[Markup]:
    """Each with the heat map of the class predicted and that of its own."""
    probabilities, predicted = given.logits.softmax(1), given.logits.argmax(1)
    own = probabilities.gather(1, given.labels[:, None])[:, 0]
    wrong = (predicted != given.labels).nonzero()[:, 0]
    if not len(wrong):
        return [page.paragraph("None: every validation picture is right.")]
    worst = wrong[own[wrong].argsort()][:_MISTAKES].tolist()
    parts = [
        page.paragraph(
            f"{len(wrong)} of {len(own)} pictures are wrong. After each picture: what speaks for the class "
            "that was predicted, then what speaks for its own; each map on its own scale."
        )
    ]
    shown: list[Markup] = []
    for at in worst:
        picture, label = pictures[at]
        classes = [int(predicted[at]), label]
        said, truth = (f"{model.class_names[each]} ({probabilities[at, each]:.1%})" for each in classes)
        maps, method = _maps(model, picture, classes)
        shown.append(page.figure(maps, f"picture {at}: predicted {said}, is {truth}; {method}"))
    return [*parts, page.figures(shown)]


def _maps(model: LoadedModel, picture: Image, classes: list[int]) -> tuple[list[Image], str]:
    """The picture and its overlays, by the first method that applies, and the name of that."""
    for method in _METHODS:
        try:
            found = explain(model, [picture] * len(classes), method, classes)
        except (ObservationError, DegenerateMap):
            continue
        view = fit(found.pictures[0])
        return [view, *(overlay(view, heatmap, signed=found.signed) for heatmap in found.heatmap)], title_of(method)
    return [fit(picture)], "no method gave a map"
