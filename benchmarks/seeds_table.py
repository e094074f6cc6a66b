"""Runs of several recipes with several seeds, as a table of means ± standard deviations over seeds.

    vitreous train RECIPE.toml --seed SEED --output STUDY/RECIPE/SEED …
    vitreous benchmark --plan PLAN.toml --output SCORES
    python benchmarks/seeds_table.py STUDY --output results/STUDY [--scores SCORES/summary.csv …]

The second is for scores of heat maps beside accuracy; its models are STUDY/RECIPE/SEED. Writes table.csv, a row per
run, and table.md, a row per recipe. Runs that are not finished are named and left out.
"""

from __future__ import annotations

import argparse
import csv
import json
import tomllib
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from statistics import mean, stdev

from vitreous.models.zoo import load

Row = dict[str, str | float]
SHOWN = {"box_overlap": "iou", "energy_pointing": "energy"}


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def is_finished(run: Path) -> bool:
    recipe = tomllib.loads((run / "recipe.toml").read_text(encoding="utf-8"))
    return (run / "log.csv").is_file() and len(read_csv(run / "log.csv")) == recipe["epochs"]


def read_run(run: Path) -> Row:
    """What one finished run came to, in percent, parameters and seconds."""
    summary = json.loads((run / "summary.json").read_text(encoding="utf-8"))
    return {
        "recipe": run.parent.name,
        "seed": run.name,
        "top-1 last": round(100 * float(read_csv(run / "log.csv")[-1]["top1"]), 2),
        "top-1 best": round(100 * summary["top1"], 2),
        "parameters": sum(weights.numel() for weights in load(run).model.parameters()),
        "seconds": summary["seconds"],
    }


def read_scores(files: Iterable[Path]) -> dict[tuple[str, str], Row]:
    """By recipe and seed, a number per method, in percent, of each metric that `SHOWN` names."""
    scores: dict[tuple[str, str], Row] = defaultdict(dict)
    for line in (line for file in files for line in read_csv(file)):
        if SHOWN.get(line["metric"]) == line["name"] and line["value"]:
            recipe, seed = line["model"].split("/")[-2:]
            scores[recipe, seed][f"{line['method']} {line['name']}"] = round(100 * float(line["value"]), 2)
    return scores


def summarize(runs: list[Row]) -> dict[str, str]:
    """One recipe's runs."""
    names = dict.fromkeys(name for run in runs for name in run)
    return {name: told(name, [run[name] for run in runs if name in run]) for name in names}


def told(name: str, values: list[str | float]) -> str:
    match name:
        case "recipe":
            return str(values[0])
        case "seed":
            return f"{len(values)}"
        case "parameters":
            return f"{float(values[0]) / 1e6:.2f} M"
        case "seconds":
            return f"{mean(map(float, values)):.0f}"
        case _:
            numbers = [float(value) for value in values]
            return f"{mean(numbers):.1f}" + (f" ± {stdev(numbers):.1f}" if len(numbers) > 1 else "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--scores", type=Path, nargs="*", default=[])
    options = parser.parse_args()

    found = sorted(path.parent for path in options.study.glob("*/*/recipe.toml"))
    finished = [run for run in found if is_finished(run)]
    for run in found:
        if run not in finished:
            print(f"left out, not finished: {run}")
    if not finished:
        raise SystemExit(f"{options.study} has no finished run RECIPE/SEED. Train some first.")
    scores = read_scores(options.scores)
    rows = [read_run(run) | scores.get((run.parent.name, run.name), {}) for run in finished]
    names = list(dict.fromkeys(name for row in rows for name in row))
    options.output.mkdir(parents=True, exist_ok=True)
    with (options.output / "table.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(rows)

    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups[str(row["recipe"])].append(row)
    lines = [f"| {' | '.join(names)} |".replace("| seed |", "| seeds |"), "|---" * len(names) + "|"]
    for runs in groups.values():
        summary = summarize(runs)
        lines.append(f"| {' | '.join(summary.get(name, '') for name in names)} |")
    text = "\n".join(lines) + "\n"
    (options.output / "table.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
