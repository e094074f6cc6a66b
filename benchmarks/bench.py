"""One table of what every method costs beside a bare forward pass: batch 1, 8 and 32, time and peak memory.

    python -m benchmarks.bench [--model default] [--device auto] [--output FOLDER] [--limit 1800] [--budget 20]

Both sides run in turn in one process; ratios are of medians. A batch that would take longer than --budget seconds is
left out. With --output, each method's numbers are a file as soon as they are there, and a second start goes on.
"""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from time import perf_counter

import torch
from benchmarks.device.runner import Row, Setup, carry_out, folder_of, in_turn, peak, seconds
from benchmarks.device.speed import explained, made, plain_pass

import vitreous
from vitreous.errors import ExplainError
from vitreous.methods import METHODS
from vitreous.models.device import find_device
from vitreous.models.loaded import LoadedModel

BATCHES = (1, 8, 32)


def beside_forward(name: str, model: LoadedModel, budget: float, setup: Setup) -> Iterator[Row]:
    method, each = made(name, setup.tiny), 0.0
    for size in BATCHES[: 2 if setup.tiny else None]:
        if each * size * 4 > budget:  # it warms up, runs, and is watched for memory
            yield Row(f"time, batch {size}", None, "×", note=f"a picture takes {each:.1f} s")
            continue
        generator = torch.Generator().manual_seed(0)
        images = torch.randn(size, 3, *model.prepared().size, generator=generator).to(setup.device)
        call, bare = partial(explained, model, images, method), partial(plain_pass, model.model, images)
        try:
            each = seconds(call, setup) / size
        except ExplainError as error:
            yield Row(f"time, batch {size}", None, "×", note=f"refused: {error}")
            return
        ours, forward = in_turn([call, bare], setup, repeats=3)
        yield Row(f"time, batch {size}", ours / forward, "×", note=f"{1e3 * ours / size:.1f} ms a picture")
        most, least = peak(call, setup), peak(bare, setup)
        yield Row(f"memory, batch {size}", most / least, "×", note=f"{most:.1f} MiB")


def ratios(results: Sequence[Mapping[str, object]], title: str) -> str:
    columns = [f"{what}, batch {size}" for what in ("time", "memory") for size in BATCHES]
    lines = [f"# {title}", "", "× a bare forward pass of the same batch. –: refused, or too long.", ""]
    lines += [f"| method | {' | '.join(columns)} |", f"|---|{'--:|' * len(columns)}"]
    for result in results:
        found = {row["what"]: row["value"] for row in result["rows"]}  # type: ignore[attr-defined]
        cells = ["–" if found.get(column) is None else f"{found[column]:.2f}" for column in columns]
        lines.append(f"| {result['part']} | {' | '.join(cells)} |{' failed' if result['failed'] else ''}")
    return "\n".join(lines) + "\n"


def main() -> int:
    started = perf_counter()
    parser = argparse.ArgumentParser(description=inspect.cleandoc(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="default")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--limit", type=float, default=1800.0)
    parser.add_argument("--budget", type=float, default=20.0)
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--tiny", action="store_true", help="few masks and one repeat, for the tests")
    options = parser.parse_args()

    setup = Setup(find_device(options.device), options.tiny, started + options.limit)
    model = vitreous.load(options.model, device=setup.device)
    folder = options.output and options.output / folder_of(f"{setup.card} {model.name}")
    if folder:
        folder.mkdir(parents=True, exist_ok=True)
    parts = {name: partial(beside_forward, name, model, options.budget) for name in options.methods.split(",")}
    results: list[dict[str, object]] = []
    for result in carry_out(parts, setup, folder):
        results.append(result)
        print(f"{result['part']:24} {result['seconds']:>8} s  {result['failed']}", flush=True)
    threads = f", {torch.get_num_threads()} threads" if setup.device.type == "cpu" else ""
    text = ratios(results, f"{model.name}, {setup.card}, torch {torch.__version__}{threads}")
    if folder:
        (folder / "table.md").write_text(text, encoding="utf-8")
    print(text)
    return int(any(result["failed"] for result in results))


if __name__ == "__main__":
    raise SystemExit(main())
