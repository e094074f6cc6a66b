"""`vitreous benchmark`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vitreous.cli.completion import complete_methods, complete_metrics, complete_models
from vitreous.cli.options import Address, CheckContents, Engine, Precision, Window
from vitreous.cli.reads import Said, reads
from vitreous.cli.settings import Settings, read_settings

if TYPE_CHECKING:
    from vitreous.benchmarking.loop import RowProgress
    from vitreous.benchmarking.plan import Plan

__all__ = ["EXAMPLES", "benchmark"]

EXAMPLES = """
**Data sets**

`folder:PATH` class folders, with boxes.csv and masks/ where there are any; `folder:PATH:val` where they lie in val/

`table:FILE.csv` file, label (a number, or a name), x0, y0, x1, y1 … of pictures in images/
or images.zip beside it, or else beside itself

`listed:FILE.json` pictures with boxes and instances, in images.zip and instances.zip beside it

`npz:FILE:val` the archives that `vitreous train` reads

`voc:VOCdevkit/VOC2012:val`, `cub:CUB_200_2011:test`, `ilsvrc:ILSVRC:val`, `coco:PATH:val2017`,
`imagenet_seg:gtsegs_ijcv.mat` as they are published

A folder may also be a zip archive, or a folder in one: `voc:VOC.zip/VOCdevkit/VOC2012`

**Examples**

Where do the maps point? `vitreous benchmark folder:birds --metric box_overlap,pointing --limit 200`

Are they faithful? `vitreous benchmark npz:pets.npz --method ag_cam,rollout,legrad --metric perturbation,saco`

With settings: `vitreous benchmark folder:birds --method rollout,rise --set rise.masks=1000 --set rollout.start_layer=1`

A paper's protocol: `vitreous benchmark ilsvrc:ILSVRC --preset ag_cam --model timm:vit_base_patch16_224`

Everything from a file: `vitreous benchmark --plan plan.toml`, with

    dataset = "voc:VOC2012"
    models = ["timm:vit_base_patch16_224"]
    target = "predicted"

    [methods.ag_cam]
    [methods.rollout_from_1]
    use = "rollout"
    start_layer = 1

    [metrics.segmentation]
    [metrics.insertion]
    use = "perturbation"
    preset = "rise"

    [reading]
    link = "sigmoid"
    patches = "1:"

Interrupt it whenever you like: run again, it goes on where it stopped, also with more pictures, methods or metrics.
"""
_METHODS = (
    "ag_cam, attention_grad_cam, raw_attention, rollout, transformer_attribution, generic_attention, legrad, attn_lrp"
)
_METRICS = "perturbation"


@reads
def benchmark(
    *,
    dataset: Annotated[
        str | None,
        typer.Argument(metavar="DATASET", help="KIND:PATH or KIND:PATH:SPLIT; see below.", show_default=False),
    ] = None,
    plan: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A plan, TOML; options go before what it says.", show_default=False),
    ] = None,
    preset: Annotated[
        str,
        typer.Option(
            metavar="PAPER",
            help="A paper's methods, metrics and protocol: ag_cam, chefer, mgrw or mgrw_medical. Options go before it.",
            show_default=False,
        ),
    ] = "",
    model: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            autocompletion=complete_models,
            help="As for 'vitreous explain'; repeat it for several. [default: default]",
        ),
    ] = None,
    method: Annotated[
        str,
        typer.Option(
            metavar="NAME,…",
            autocompletion=complete_methods,
            help="Methods by name, see 'vitreous methods'. The baselines random, center_gaussian and edges always "
            f"join. [default: {_METHODS}]",
            show_default=False,
        ),
    ] = "",
    metric: Annotated[
        str,
        typer.Option(
            metavar="NAME,…",
            autocompletion=complete_metrics,
            help="Metrics by name, see 'vitreous metrics'; perturbation:chefer and perturbation:rise are its published "
            "protocols. "
            f"[default: {_METRICS}]",
            show_default=False,
        ),
    ] = "",
    use: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ROW=package.module:Name",
            help="A method or metric of your own, for a row of the plan or a new one; its code is run. A plan itself "
            "names no code. May be repeated.",
            show_default=False,
        ),
    ] = None,
    setting: Settings = None,
    how: Said,
    target: Annotated[
        str, typer.Option(help="The class explained: 'predicted' or 'label'. [default: predicted]", show_default=False)
    ] = "",
    labels: Annotated[
        str,
        typer.Option(
            help="How the data's labels are the model's: by 'name', by 'position', or 'auto'. [default: auto]",
            show_default=False,
        ),
    ] = "",
    limit: Annotated[
        int | None, typer.Option(metavar="COUNT", min=0, help="Pictures drawn at random; 0 takes all. [default: 0]")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of the draw and of the bootstrap. [default: 0]")] = None,
    reference: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="The method that the others are tested against. [default: the first]",
            show_default=False,
        ),
    ] = "",
    whole: Annotated[
        bool, typer.Option("--whole", help="Squash whole pictures into the model's input, as the papers do; no crop.")
    ] = False,
    window: Window = None,
    output: Annotated[
        Path,
        typer.Option(metavar="FOLDER", help="Folder for results/, manifest.json and summary.md, .csv, .tex, .html."),
    ] = Path("benchmark"),
    batch_size: Annotated[
        int | None, typer.Option(metavar="COUNT", min=1, help="Pictures at once. [default: 8]")
    ] = None,
    device: Annotated[
        str, typer.Option(metavar="DEVICE", help="'cpu', 'cuda', 'cuda:1' …; 'auto' takes a GPU where there is one.")
    ] = "auto",
    dtype: Annotated[Precision, typer.Option(help="Precision that the model runs in.")] = Precision.float32,
    check: CheckContents = False,
    engine: Engine = "local",
    address: Address = "",
    workers: Annotated[
        int | None,
        typer.Option(
            metavar="COUNT",
            min=1,
            help="Processes that measure, each with a model. By default this one alone, and of 'ray' as many as the "
            "cluster has CPUs or GPUs for.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Measure how good explanations are: every method on every picture of a data set, side by side with baselines.

    Metrics are means over pictures, with 95 % intervals and paired tests from a bootstrap over pictures.
    """
    import torch

    from vitreous.benchmarking.job import benchmark as run
    from vitreous.benchmarking.plan import use_own
    from vitreous.cli.console import Console
    from vitreous.cli.progress import bars, stoppable
    from vitreous.cli.tables import show_table
    from vitreous.data.depth import asked_window
    from vitreous.engines.choose import make_engine
    from vitreous.engines.engine import InProcess
    from vitreous.models.device import find_device

    own = _own_classes(use or [])
    flags = {
        "dataset": dataset,
        "models": tuple(model) if model else None,
        "methods": _rows(method),
        "metrics": _rows(metric),
        "target": target or None,
        "labels": labels or None,
        "limit": limit,
        "seed": seed,
        "reference": reference or None,
        "whole": whole or None,
        "window": asked_window(window),
        "batch_size": batch_size,
    }
    order = _make_plan(plan, preset, {name: value for name, value in flags.items() if value is not None})
    order = _set(use_own(replace(order, reading=order.reading.but(**how)), own), setting or [])
    console = Console(highlight=False)
    maps: dict[str, tuple[int, int]] = dict.fromkeys(order.specs, (0, 0))

    def how_far() -> tuple[int, int]:
        done, of = (sum(each) for each in zip(*maps.values(), strict=True))
        return done, of

    with stoppable(how_far), bars(console) as progress:
        tasks = {name: progress.add_task(name, total=None) for name in order.specs}

        def tell(step: RowProgress) -> None:
            maps[step.model] = maps[step.model][0] + step.pictures, step.total
            progress.update(
                tasks[step.model], advance=step.pictures, total=step.total, description=f"{step.model} · {step.method}"
            )

        where, precision = find_device(device), getattr(torch, dtype.value)
        count = 1 if engine == "local" and workers is None else workers
        chosen = make_engine(engine, address, count, gpu=where.type == "cuda")
        shared = None if isinstance(chosen, InProcess) else chosen
        outcome = run(order, output, device=where, dtype=precision, check=check, engine=shared, tell=tell)
    show_table(console, outcome.table, outcome.files)
    raise typer.Exit(int(not outcome.table.cells))


def _set(plan: Plan, settings: Sequence[str]) -> Plan:
    """The plan with settings of its methods, or of a row of any kind."""
    given = read_settings(settings, plan.methods, plan.metrics)
    methods, metrics = (
        {row: {**values, **given[row]} for row, values in rows.items()} for rows in (plan.methods, plan.metrics)
    )
    return replace(plan, methods=methods, metrics=metrics)


def _rows(names: str) -> dict[str, dict[str, Any]] | None:
    """Rows without settings; "perturbation:rise" is a row with a preset. None for no names."""
    rows: dict[str, dict[str, Any]] = {}
    for name in filter(None, map(str.strip, names.split(","))):
        kind, _, preset = name.partition(":")
        rows[name] = {"use": kind, "preset": preset} if kind == "perturbation" and preset else {}
    return rows or None


def _own_classes(uses: Sequence[str]) -> dict[str, str]:
    """By row, its class."""
    pairs = [use.partition("=") for use in uses]
    for use, (row, _, name) in zip(uses, pairs, strict=True):
        if not row.strip() or ":" not in name:
            raise typer.BadParameter(f"'{use}' names no class. Write ROW=package.module:Name.", param_hint="--use")
    return {row.strip(): name.strip() for row, _, name in pairs}


def _make_plan(path: Path | None, preset: str, flags: dict[str, Any]) -> Plan:
    """The preset, overridden by the file, overridden by the flags."""
    from vitreous.benchmarking.plan import Plan, read_plan
    from vitreous.benchmarking.presets import PRESETS
    from vitreous.errors import UnknownName

    if preset and preset not in PRESETS:
        raise UnknownName("preset", preset, PRESETS)
    if path:
        return read_plan(path, flags, PRESETS.get(preset, {}))
    if "dataset" not in flags:
        raise typer.BadParameter("names no data set. Give KIND:PATH, or a --plan.", param_hint="DATASET")
    usual: dict[str, Any] = {"methods": _rows(_METHODS), "metrics": _rows(_METRICS)}
    return Plan(**{**usual, **PRESETS.get(preset, {}), **flags})
