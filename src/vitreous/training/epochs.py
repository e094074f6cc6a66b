"""A run over epochs that can be stopped and resumed, whatever it trains."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch

from vitreous.errors import DataError, first_sentence
from vitreous.files.manifest import claim
from vitreous.files.writing import alone_in, sweep, whole_file
from vitreous.models.card import read_card
from vitreous.training.checkpoint import AnyRecipe, has_checkpoint, load_checkpoint, save_checkpoint
from vitreous.training.kept import places
from vitreous.training.log import Event, Judged, Note, StepDone, add_row, write_summary
from vitreous.training.processes import Processes, join

__all__ = ["State", "run"]

_FILES = (
    *("recipe.toml", "log.csv", "summary.json", "checkpoint.pt", "report.html", "last"),
    *("model.json", "model.safetensors"),
)
"""What a run writes into its folder, beside what each of its processes keeps of a teacher."""


@runtime_checkable
class State(Protocol):
    """What is trained, and all that changes while it is."""

    def epoch(self, epoch: int) -> Generator[StepDone | Judged | Note, None, Any]:
        """Train for one epoch, counted from 0, then validate; returns the row of the log."""
        ...

    def save(self, output: Path, row: Any) -> None:
        """Write the model folder; the card's notes hold `data_sha256`."""
        ...

    def tensors(self) -> dict[str, Any]:
        """What a resumed run needs."""
        ...

    def load(self, tensors: dict[str, Any]) -> None:
        """Take up what `tensors` gave."""
        ...


def run(
    recipe: AnyRecipe,
    fingerprint: str,
    output: Path,
    start: Callable[[Processes], State],
    *,
    device: torch.device | str,
    resume: bool,
) -> Iterator[Event]:
    """Train what `start` makes, and keep the best of it, the log and a checkpoint in the output folder.

    Processes started by `torchrun` share the work; rank 0 writes.

    Args:
        recipe: what to do.
        fingerprint: of the data.
        output: the folder. It receives model.safetensors and model.json (the best so far), the same in last/ (of the
            newest epoch), recipe.toml, log.csv, summary.json and checkpoint.pt (to resume from).
        start: gives the state at the beginning.
        device: where to train.
        resume: go on from the folder's checkpoint; without it, a folder that has one is refused.

    Yields:
        progress, after each step and each epoch.

    Raises:
        DataError: nothing to resume, something that must not be overwritten, or another run is writing there.
    """
    if not resume and has_checkpoint(output):
        raise DataError(f"{output} holds a run already. Add --resume to go on with it, or give another --output.")
    with join(torch.device(device)) as processes, alone_in(output) if processes.rank == 0 else nullcontext():
        kept = load_checkpoint(output, recipe, processes.device) if resume else None
        if kept and read_card(output, lambda card: card["notes"]["data_sha256"], "vitreous") != fingerprint:
            raise DataError(f"{output} was trained on other data. Resume with the same --data, or start elsewhere.")
        if processes.rank == 0:
            kept_files = [place.name for rank in range(processes.count) for place in places(output, rank)]
            claim(output, "train", [*_FILES, *kept_files], begun=has_checkpoint(output))
            sweep(output / "last")
        state = start(processes)
        if kept:
            _take_up(state, kept, output)
        if processes.rank == 0:
            with whole_file(output / "recipe.toml") as part:
                part.write_text(recipe.to_toml(), encoding="utf-8")
            if kept:
                write_summary(output, recipe.seed, fingerprint)
        for epoch in range(kept["epoch"] if kept else 0, recipe.epochs):
            row = yield from state.epoch(epoch)
            if processes.rank == 0:
                if row.best:
                    state.save(output, row)
                state.save(output / "last", row)
                add_row(output, row)
                write_summary(output, recipe.seed, fingerprint)
                save_checkpoint(output, state.tensors(), recipe, epoch=row.epoch)
            yield row


def _take_up(state: State, kept: dict[str, Any], output: Path) -> None:
    try:
        state.load(kept)
    except torch.OutOfMemoryError:
        raise
    except (KeyError, RuntimeError, ValueError, TypeError, AttributeError) as error:  # of a checkpoint that was changed
        raise DataError(
            f"the checkpoint in {output} does not fit its recipe: {first_sentence(error)}. Start again elsewhere."
        ) from None
