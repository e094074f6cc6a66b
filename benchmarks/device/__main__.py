"""All that is worth knowing of vitreous on an accelerator, in one command, from the root of the repository.

    python -m benchmarks.device [--device cuda] [--output results/device] [--limit 480] [--data FOLDER]

With --output, each part's numbers are a file in a folder of the card's name as soon as they are there, and a second
start goes on with what is missing or failed; table.md is made anew from all. After --limit seconds no new part begins,
and the last one trains until then. --tiny runs all of it on toys, for the tests. It needs pytest, whose contract it
runs, but no network: weights are random. --authors is a checkout of hila-chefer/Transformer-Explainability. Ends with 1
where a part failed or an aim was missed.
"""

from __future__ import annotations

import argparse
import inspect
from pathlib import Path
from time import perf_counter


def main() -> int:
    started = perf_counter()
    parser = argparse.ArgumentParser(description=inspect.cleandoc(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--limit", type=float, default=480.0)
    parser.add_argument("--data", default="", help="what `vitreous train --data` takes; noise without")
    parser.add_argument("--authors", type=Path)
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--only", default="", help="parts whose names begin so")
    options = parser.parse_args()

    from benchmarks.device.parts import PARTS
    from benchmarks.device.runner import Setup, carry_out, folder_of, table

    from vitreous.models.device import find_device

    device = find_device(options.device)
    setup = Setup(device, options.tiny, started + options.limit, options.data, options.authors)
    folder = options.output and options.output / folder_of(setup.card + (" tiny" if setup.tiny else ""))
    if folder:
        folder.mkdir(parents=True, exist_ok=True)
    parts = {name: measure for name, measure in PARTS.items() if name.startswith(options.only)}
    results: list[dict[str, object]] = []
    for result in carry_out(parts, setup, folder):
        results.append(result)
        print(f"{result['part']:34} {result['seconds']:>8} s  {'FAILED' if result['failed'] else ''}", flush=True)
        if result["failed"]:
            print(result["failed"], flush=True)
    done = {result["part"] for result in results}
    text = table(results, [name for name in parts if name not in done])
    if folder:
        (folder / "table.md").write_text(text, encoding="utf-8")
    print(text)
    missed = any(row["met"] is False for result in results for row in result["rows"])  # type: ignore[attr-defined]
    return int(missed or any(result["failed"] for result in results))


if __name__ == "__main__":
    raise SystemExit(main())
