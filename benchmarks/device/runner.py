"""Parts in order: each one's result is a file as soon as it is there, and what is there is not measured again."""

from __future__ import annotations

import json
import re
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate
from pathlib import Path
from statistics import median
from time import perf_counter

import torch
from torch.profiler import ProfilerActivity, profile

from vitreous.files.writing import write_json


@dataclass(frozen=True)
class Setup:
    """What all parts are told: where to compute, whether on toys, whose data, and when time is up (`perf_counter`)."""

    device: torch.device
    tiny: bool
    deadline: float
    data: str = ""
    authors: Path | None = None

    @property
    def card(self) -> str:
        return torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else self.device.type

    def synchronize(self) -> None:
        if self.device.type != "cpu":
            torch.accelerator.synchronize(self.device)


@dataclass(frozen=True)
class Row:
    """A number, the most or least that it should be, and how it was come by."""

    what: str
    value: float | None
    unit: str
    at_most: float | None = None
    at_least: float | None = None
    note: str = ""

    @property
    def met(self) -> bool | None:
        if self.value is None or (self.at_most is None and self.at_least is None):
            return None
        high, low = self.at_most, self.at_least
        return (high is None or self.value <= high) and (low is None or self.value >= low)


Measure = Callable[[Setup], Sequence[Row]]


def carry_out(parts: Mapping[str, Measure], setup: Setup, folder: Path | None) -> Iterator[dict[str, object]]:
    """The results, one by one; those in `folder` are read, and the others are measured while there is time.

    A part that failed is a result too, so that the others are measured, but it is measured again on the next start.
    """
    for name, measure in parts.items():
        file = folder / f"{name}.json" if folder else None
        if file and file.is_file() and not (known := json.loads(file.read_text("utf-8")))["failed"]:
            yield known
            continue
        if perf_counter() >= setup.deadline:
            continue
        start = perf_counter()
        rows, failed = list[Row](), ""
        try:
            rows = [*measure(setup)]
        except Exception:
            failed = traceback.format_exc()
        result: dict[str, object] = {
            "part": name,
            "card": setup.card,
            "torch": torch.__version__,
            "tiny": setup.tiny,
            "seconds": round(perf_counter() - start, 2),
            "rows": [asdict(row) | {"met": row.met} for row in rows],
            "failed": failed,
        }
        if file:
            write_json(file, result)
        yield result


def table(results: Sequence[Mapping[str, object]], left: Sequence[str]) -> str:
    """All numbers as Markdown, with what failed and what there was no time for."""
    first = results[0] if results else {"card": "no card", "torch": torch.__version__, "tiny": False}
    toys = ", toys: no measurement" if first["tiny"] else ""
    lines = [f"# {first['card']}, torch {first['torch']}{toys}", "", "| part | what | value | aim | met | note |"]
    lines.append("|---|---|--:|--:|---|---|")
    for result in results:
        for row in result["rows"]:  # type: ignore[attr-defined]
            aims = [
                f"{sign} {row[key]:g}" for key, sign in (("at_most", "≤"), ("at_least", "≥")) if row[key] is not None
            ]
            value = "–" if row["value"] is None else f"{row['value']:.4g} {row['unit']}".strip()
            met = {True: "yes", False: "**no**", None: ""}[row["met"]]
            lines.append(f"| {result['part']} | {row['what']} | {value} | {' '.join(aims)} | {met} | {row['note']} |")
        if result["failed"]:
            last = str(result["failed"]).strip().splitlines()[-1].replace("|", r"\|")
            lines.append(f"| {result['part']} | failed | – | | **no** | {last} |")
    if left:
        lines += ["", f"No time was left for {', '.join(left)}."]
    return "\n".join(lines) + "\n"


def folder_of(card: str) -> str:
    """A card's name as a folder's.

    >>> folder_of("NVIDIA H100 80GB HBM3")
    'nvidia_h100_80gb_hbm3'
    """
    return re.sub(r"\W+", "_", card.lower()).strip("_")


def seconds(call: Callable[[], object], setup: Setup) -> float:
    setup.synchronize()
    start = perf_counter()
    call()
    setup.synchronize()
    return perf_counter() - start


def in_turn(calls: Sequence[Callable[[], object]], setup: Setup, repeats: int = 5) -> list[float]:
    """Median seconds of each, run in turn, after one that warms up."""
    for call in calls:
        call()
    rows = [[seconds(call, setup) for call in calls] for _ in range(1 if setup.tiny else repeats)]
    return [median(column) for column in zip(*rows, strict=True)]


def peak(call: Callable[[], object], setup: Setup) -> float:
    """MiB that a call takes at most beyond what was taken before, as torch's allocator counts them."""
    if setup.device.type == "cuda":
        setup.synchronize()
        torch.cuda.reset_peak_memory_stats(setup.device)
        before = torch.cuda.memory_allocated(setup.device)
        call()
        setup.synchronize()
        return (torch.cuda.max_memory_allocated(setup.device) - before) / 2**20
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as watched:
        call()
    events = [event for event in watched.profiler.kineto_results.events() if event.name() == "[memory]"]
    taken = accumulate(event.nbytes() for event in sorted(events, key=lambda event: event.start_ns()))
    return max(taken, default=0) / 2**20
