"""Train a detector from a recipe."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from timm.optim._param_groups import param_groups_weight_decay
from torch import Tensor

from vitreous.data.objects import Scenes
from vitreous.errors import DataError
from vitreous.models.detection.card import DetectorCard, input_statistics
from vitreous.models.detection.detect import Picture
from vitreous.training.detection.batches import steps_of, training_batches
from vitreous.training.detection.detection_score import check_classes, judge
from vitreous.training.detection.recipe import DetectionRecipe
from vitreous.training.epochs import run
from vitreous.training.log import DetectionEpoch, Event, Judged, StepDone, versions
from vitreous.training.processes import Processes
from vitreous.training.randomness import seeded

__all__ = ["train"]


def train(
    recipe: DetectionRecipe,
    data: tuple[Scenes, Scenes],
    output: Path,
    *,
    backbone: Path | None = None,
    device: torch.device | str = "cpu",
    workers: int = 0,
    resume: bool = False,
) -> Iterator[Event]:
    """Train a Mask R-CNN, and write a folder with the weights whose boxes were best.

    Everything random depends on the recipe's seed alone, so on one CPU a run that was stopped and resumed ends with the
    same weights, to the bit, as one that was not. Processes started by `torchrun` share each step's pictures: the run
    is that of one process, to rounding and to the running statistics of batch norms.

    Args:
        recipe: what to do.
        data: pictures to learn from and to validate with, from `read_scenes`.
        output: as `vitreous.training.epochs.run` writes it.
        backbone: a checkpoint, or a model folder of `vitreous train`, of a classifier to start from; a resumed run has
            its own.
        device: where to train.
        workers: processes that prepare pictures; 0 prepares them in this one.
        resume: go on from the folder's checkpoint; without it, a folder that has one is refused.

    Yields:
        progress, after each step and each epoch.

    Raises:
        DataError: the two sets are of different classes, nothing is to be learned from or to be resumed, or something
            must not be overwritten, or the output folder cannot be written.
        UnknownName: there is no such architecture.
        ModelError: the detector cannot be built, or the loss is not finite.
    """
    scenes, held_out = data[0].learnable(), data[1]
    fingerprint = f"{scenes.fingerprint}+{held_out.fingerprint}"
    mean, std = input_statistics(recipe.architecture, backbone)
    begun = {"backbone": str(backbone)} if backbone else {}
    notes = {"data_sha256": fingerprint, "recipe": recipe.to_json(), **begun, **versions()}
    settings = (recipe.norm, recipe.width, recipe.rois, recipe.shorter, recipe.longer, mean, std)
    card = DetectorCard(recipe.architecture, recipe.arguments, scenes.class_names, *settings, notes)
    check_classes(card, held_out)
    if not any(scene.annotations for scene in held_out.scenes):
        raise DataError(f"`{held_out.folder}` has no object to validate with. Choose another split.")

    def start(processes: Processes) -> _State:
        own = _as_begun(card, DetectorCard.read(output)) if resume else card
        return _State(recipe, own, (scenes, held_out), None if resume else backbone, processes, workers=workers)

    return run(recipe, fingerprint, output, start, device=device, resume=resume)


def _as_begun(card: DetectorCard, kept: DetectorCard) -> DetectorCard:
    """The card of a run that goes on: its backbone, and so how its pictures are normalized, is that of its start."""
    origin = {name: value for name, value in kept.notes.items() if name == "backbone"}
    return replace(card, mean=kept.mean, std=kept.std, notes={**card.notes, **origin})


class _State:
    """The detector and its optimizer."""

    def __init__(
        self,
        recipe: DetectionRecipe,
        card: DetectorCard,
        data: tuple[Scenes, Scenes],
        backbone: Path | None,
        processes: Processes,
        *,
        workers: int,
    ) -> None:
        self.recipe, self.card, self.processes, self.workers, self.best = recipe, card, processes, workers, -1.0
        self.scenes, self.held_out = data
        self.steps = steps_of(recipe, len(self.scenes))
        with seeded(recipe.seed):
            self.model = card.build(drop_path=recipe.drop_path, backbone=backbone).to(processes.device)
        body: Any = self.model.backbone.body
        spared = [f"backbone.body.{name}" for name in getattr(body, "no_weight_decay", set[str])()]
        self.optimizer = torch.optim.AdamW(
            param_groups_weight_decay(self.model, recipe.weight_decay, no_weight_decay_list=spared), recipe.lr
        )

    def epoch(self, epoch: int) -> Generator[StepDone | Judged, None, DetectionEpoch]:
        """Train for one epoch, then validate."""
        started, total = time.perf_counter(), 0.0
        share = {"workers": self.workers, "rank": self.processes.rank, "count": self.processes.count}
        batches = training_batches(self.recipe, self.scenes, epoch, **share)
        at_once = self.recipe.together * self.processes.count
        parts = min(self.recipe.batch_size, len(self.scenes)) // at_once
        for step in range(self.steps):
            for group in self.optimizer.param_groups:
                group["lr"] = self.recipe.rate(epoch, epoch * self.steps + step)
            loss = self._step(islice(batches, parts), epoch, parts)
            total += loss
            yield StepDone(epoch + 1, step + 1, self.steps, loss)
        score = yield from judge(self.model, self.held_out, self.processes, workers=self.workers)
        box, mask = score.boxes.ap or 0.0, score.masks.ap or 0.0
        best, self.best = box > self.best, max(box, self.best)
        lr = self.optimizer.param_groups[0]["lr"]
        return DetectionEpoch(epoch + 1, total / self.steps, lr, box, mask, time.perf_counter() - started, best)

    def _step(
        self, batches: Iterator[tuple[int, list[Picture], list[dict[str, Tensor]]]], epoch: int, parts: int
    ) -> float:
        """One step of the optimizer, the same in all processes; returns the loss."""
        self.model.train()
        self.optimizer.zero_grad()
        device = self.processes.device
        total = torch.zeros((), device=device)
        for number, images, targets in batches:
            objects = [{name: value.to(device) for name, value in target.items()} for target in targets]
            with seeded(self.recipe.seed, epoch, number, 1):
                losses: Any = self.model([image.to(device) for image in images], objects)
                loss = torch.stack([*losses.values()]).sum() / parts
            loss.backward()
            total += loss.detach()
        self.processes.share(self.model, self.optimizer, total)
        self.optimizer.step()
        return total.item()

    def save(self, output: Path, row: DetectionEpoch) -> None:
        """Write the detector's folder."""
        figures = {"box_ap": row.box_ap, "mask_ap": row.mask_ap, "epoch": row.epoch}
        replace(self.card, notes={**figures, **self.card.notes}).save(output, self.model.state_dict())

    def tensors(self) -> dict[str, Any]:
        """What a resumed run needs."""
        return {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict(), "best": self.best}

    def load(self, tensors: dict[str, Any]) -> None:
        """Take up what `tensors` gave."""
        self.model.load_state_dict(tensors["model"])
        self.optimizer.load_state_dict(tensors["optimizer"])
        self.best = tensors["best"]
