"""Train a classifier from a recipe."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from timm.scheduler.cosine_lr import CosineLRScheduler
from timm.utils.model_ema import ModelEmaV3
from torch import Tensor, nn

from vitreous.data.labelled import LabelledPictures
from vitreous.errors import DataError, ModelError, first_sentence
from vitreous.models.card import ModelCard
from vitreous.training.batches import TrainingBatch, preprocess_of, training_batches, validation_batches
from vitreous.training.epochs import run
from vitreous.training.guided_fields import Guide
from vitreous.training.lessons import Lessons
from vitreous.training.log import EpochDone, Event, Note, StepDone, versions
from vitreous.training.parameters import parameter_groups
from vitreous.training.processes import Processes
from vitreous.training.randomness import seeded
from vitreous.training.recipe import Recipe, read_recipe
from vitreous.training.start import Start, completed, read_start, start_from

__all__ = ["EpochDone", "StepDone", "train"]


def train(
    recipe: Recipe,
    data: tuple[LabelledPictures, LabelledPictures, str],
    output: Path,
    *,
    teacher: Path | None = None,
    start: str | Path | None = None,
    device: torch.device | str = "cpu",
    workers: int = 0,
    resume: bool = False,
) -> Iterator[Event]:
    """Train, and write a model folder with the best averaged weights.

    Everything random depends on the recipe's seed alone, so on one CPU a run that was stopped and resumed ends with the
    same weights, to the bit, as one that was not. With a teacher they agree to rounding: a resumed run asks it anew, in
    other batches.

    Processes started by `torchrun` share each step's pictures: the run is that of one process with `accumulate` times
    their number, to rounding. Rank 0 writes.

    Args:
        recipe: what to do.
        data: training pictures, validation pictures, fingerprint: from `load_labelled`.
        output: the folder. as `vitreous.training.epochs.run` leaves it.
        teacher: the checkpoint to distill from, or the model that guides fields, where the recipe asks for one.
        start: weights to start from, as `read_start` takes them; random ones without. A resumed run has its own.
        device: where to train.
        workers: processes that prepare pictures; 0 prepares them in this one.
        resume: go on from the folder's checkpoint; without it, a folder that has one is refused.

    Yields:
        progress, after each step and each epoch.

    Raises:
        DataError: no teacher where one is needed, a single class, nothing to resume, something
            that must not be overwritten, or an output folder that cannot be written.
        UnknownName: there is no such architecture or teacher.
        ModelError: student or teacher cannot be built or distilled, or the loss is not finite.
    """
    pictures, held_out, fingerprint = data
    classes = pictures.class_names
    if recipe.distill and recipe.distill.classes and len(recipe.distill.classes) != len(classes):
        named = len(recipe.distill.classes)
        raise DataError(f"[distill] names {named} classes, the data has {len(classes)}. Match them.")
    if recipe.distill and teacher is None:
        raise DataError("the recipe distills from a teacher. Give its checkpoint with --teacher.")
    if len(classes) < 2:
        raise DataError(f"the data has {len(classes)} class ({', '.join(classes)}). Give two to tell apart.")

    begin_with = read_start(start) if start and not resume else None
    recipe = completed(
        read_recipe(output / "recipe.toml") if resume and not recipe.architecture else recipe, begin_with
    )

    def begin(processes: Processes) -> _State:
        begun = ModelCard.read(output).notes.get("start") if resume else start
        given = {name: _without_folders(path) for name, path in (("teacher", teacher), ("start", begun)) if path}
        notes = {"data_sha256": fingerprint, "recipe": recipe.to_json(), **given, **versions()}
        card = ModelCard(recipe.architecture, recipe.model_arguments, classes, preprocess_of(recipe), notes)
        state = _State(recipe, card, (pictures, held_out), teacher, processes, workers=workers)
        if begin_with:
            state.start(begin_with)
        if state.lessons:
            state.lessons.keep(output, len(pictures), fingerprint, processes.rank)
        return state

    return run(recipe, fingerprint, output, begin, device=device, resume=resume)


def _without_folders(place: str | Path) -> str:
    """What weights are called, where a card that is handed on may say it: no folder of somebody's own.

    >>> _without_folders("/home/me/vit.pth"), _without_folders("timm:vit@/home/me/vit.pth")
    ('vit.pth', 'timm:vit@vit.pth')
    """
    source, at, file = str(place).rpartition("@") if str(place).startswith("timm:") else ("", "", str(place))
    return source + at + Path(file).name


def _build(card: ModelCard, recipe: Recipe) -> Any:
    """The model to train, which is the card's with stochastic depth."""
    depth = {"drop_path_rate": recipe.drop_path} if recipe.drop_path else {}
    return replace(card, arguments={**card.arguments, **depth}).build()


class _State:
    """The model, its average, the optimizer, what teaches it and the student's map to the teacher's tokens."""

    def __init__(
        self,
        recipe: Recipe,
        card: ModelCard,
        pictures: tuple[LabelledPictures, LabelledPictures],
        teacher: Path | None,
        processes: Processes,
        *,
        workers: int,
    ) -> None:
        self.recipe, self.card, self.processes, self.best, self.told = recipe, card, processes, -1.0, ""
        self.pictures, self.held_out = pictures
        self._share = {"workers": workers, "rank": processes.rank, "count": processes.count}
        self.layout = torch.channels_last if recipe.channels_last else torch.contiguous_format
        with seeded(recipe.seed):
            self.model = _build(card, recipe).to(processes.device, memory_format=self.layout)
            self.lessons: Lessons | None = None
            if recipe.distill and teacher:
                taught = Lessons(recipe, recipe.distill, self.model, teacher, len(card.class_names))
                self.lessons = taught.to(processes.device)
            self.guide = Guide(recipe.fields, recipe, self.model, teacher, self.pictures) if recipe.fields else None
        self._try()
        settings = recipe.optimizer
        self.ema = ModelEmaV3(self.model, decay=settings.ema, use_warmup=True)
        groups = parameter_groups(self.model, settings, self.lessons)
        if settings.name == "sgd":
            self.optimizer = torch.optim.SGD(groups, settings.lr, settings.momentum)
        else:
            self.optimizer = torch.optim.AdamW(groups, settings.lr)
        self.steps = max(1, len(self.pictures) // recipe.batch_size)
        self.schedule = CosineLRScheduler(
            self.optimizer,
            t_initial=recipe.epochs * self.steps,
            lr_min=settings.min_lr,
            warmup_t=settings.warmup_epochs * self.steps,
            warmup_lr_init=settings.warmup_lr,
            t_in_epochs=False,
        )
        self._run = torch.compile(self._forward) if recipe.compile else self._forward

    @property
    def lr(self) -> float:
        return max(group["lr"] for group in self.optimizer.param_groups)

    def epoch(self, epoch: int) -> Generator[StepDone | Note, None, EpochDone]:
        """Train for one epoch, then validate."""
        if self.told:
            yield Note(self.told)
            self.told = ""
        started, total = time.perf_counter(), 0.0
        if self.recipe.fields and epoch == self.recipe.fields.warm_epochs:
            self.best = -1.0  # what saw everything does not compete
        if self.guide:
            self.guide.begin(self.model, epoch)
        if self.lessons and epoch == 0:
            self.lessons.begin(self.pictures, self._share["workers"])
        batches = training_batches(self.recipe, self.pictures, epoch, **self._share)
        for step in range(self.steps):
            loss = self.step(islice(batches, self.recipe.accumulate), epoch, step)
            total += loss
            yield StepDone(epoch + 1, step + 1, self.steps, loss)
        top1 = self.accuracy(validation_batches(self.recipe, self.held_out, **self._share), epoch)
        best, self.best = top1 > self.best, max(top1, self.best)
        if self.lessons and epoch + 1 < self.recipe.epochs:
            self.lessons.teacher.save()
        elif self.lessons:
            self.lessons.teacher.forget()
        return EpochDone(epoch + 1, total / self.steps, self.lr, top1, time.perf_counter() - started, best)

    def save(self, output: Path, row: EpochDone) -> None:
        """Write the model folder, with the averaged weights."""
        noted = replace(self.card, notes={"top1": row.top1, "epoch": row.epoch, **self.card.notes})
        noted.save(output, self.ema.module.state_dict(), dtype=torch.float16)

    def step(self, batches: Iterable[TrainingBatch], epoch: int, step: int) -> float:
        """One step of the optimizer, the same in all processes; returns the loss."""
        update = epoch * self.steps + step
        self.schedule.step_update(update)
        self.model.train()
        self.optimizer.zero_grad()
        total = torch.zeros((), device=self.processes.device)
        for batch in batches:
            with seeded(self.recipe.seed, epoch, batch.number, 1):
                loss = self._loss(batch, epoch) / self.recipe.accumulate
            loss.backward()
            total += loss.detach()
        self.processes.share(self.model, self.optimizer, total)
        if self.recipe.optimizer.clip:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.optimizer.clip)
        self.optimizer.step()
        self.ema.update(self.model, step=update)
        return total.item()

    @torch.no_grad()
    def _try(self) -> None:
        """Send a blank picture through the model.

        Raises:
            ModelError: it does not take pictures of the recipe's size.
        """
        side = self.recipe.image_size
        blank = torch.zeros(1, 3, side, side, device=self.processes.device)
        try:
            self.model.eval()(blank, *(self.guide.given(blank, 0) if self.guide else ()))
        except (AssertionError, RuntimeError, ValueError) as error:
            raise ModelError(
                f"`{self.recipe.architecture}` does not take RGB pictures of {side}×{side}: {first_sentence(error)}. "
                "Change `image_size`, or the model's [arguments], such as img_size."
            ) from None

    def _forward(self, images: Tensor, *fields: Tensor) -> tuple[Tensor, Tensor]:
        """What a teacher corrects, gates or final tokens, and class scores."""
        if self.guide and self.guide.foretold:
            logits, gates = self.model.forward_with_gates(images)
            return gates, logits
        features = self.model.forward_features(images, *fields)
        return features, self.model.forward_head(features)

    def _loss(self, batch: TrainingBatch, epoch: int) -> Tensor:
        device = self.processes.device
        images, labels = batch.images.to(device, memory_format=self.layout), batch.labels.to(device)
        if self.lessons:
            return self.lessons.loss(self._outputs, replace(batch, images=images, labels=labels), epoch)
        features, logits = self._outputs(images, *(self.guide.given(images, epoch) if self.guide else ()))
        loss = F.cross_entropy(logits, labels)
        return loss + self.guide.told(features, images) if self.guide and self.guide.foretold else loss

    def _outputs(self, images: Tensor, *fields: Tensor) -> tuple[Tensor, Tensor]:
        with torch.autocast(self.processes.device.type, torch.bfloat16, enabled=self.recipe.bf16):
            features, logits = self._run(images, *fields)
        return features.float(), logits.float()

    @torch.no_grad()
    def accuracy(self, batches: Iterator[tuple[Tensor, Tensor]], epoch: int) -> float:
        """Share of pictures that the averaged weights get right, over all processes."""
        self.ema.module.eval()
        device = self.processes.device
        right, total = torch.zeros(2, device=device).unbind()  # exact up to 16 million; some GPUs have no float64
        for images, labels in batches:
            images = images.to(device, memory_format=self.layout)  # noqa: PLW2901
            fields = self.guide.given(images, epoch) if self.guide else ()
            predicted = self.ema.module(images, *fields).argmax(1)
            right += (predicted == labels.to(device)).sum()
            total += len(labels)
        self.processes.average([right, total])
        return right.item() / total.item()

    def tensors(self) -> dict[str, Any]:
        """What a resumed run needs."""
        return {
            "model": self.model.state_dict(),
            "ema": self.ema.module.state_dict(),
            **(self.lessons.tensors() if self.lessons else {}),
            "optimizer": self.optimizer.state_dict(),
            "best": self.best,
        }

    def start(self, start: Start) -> None:
        """Take trained weights in place of random ones."""
        self.told = start_from(self.model, start)
        self.ema.set(self.model)

    def load(self, tensors: dict[str, Any]) -> None:
        self.model.load_state_dict(tensors["model"])
        self.ema.module.load_state_dict(tensors["ema"])
        if self.lessons:
            self.lessons.load(tensors)
        self.optimizer.load_state_dict(tensors["optimizer"])
        self.best = tensors["best"]
