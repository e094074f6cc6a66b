"""`vitreous explain`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vitreous.cli.completion import complete_methods, complete_models
from vitreous.cli.options import (
    AsReport,
    CasesIndex,
    Checkpoint,
    Device,
    FoundConcepts,
    InPrecision,
    NamesFile,
    Pictures,
    Precision,
    Sample,
    Window,
    asked_files,
)
from vitreous.cli.reads import Said, reads
from vitreous.cli.settings import Settings, read_settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vitreous.methods.method import Method

__all__ = ["EXAMPLES", "explain"]

EXAMPLES = """
**Examples**

The sample picture that comes with vitreous: `vitreous explain`; another: `vitreous explain --sample horse`

Files, folders and patterns: `vitreous explain cat.jpg holiday/ "scans/*.png"`

What speaks for each of the three most probable classes: `vitreous explain cat.jpg --target top-3`

What speaks for each of two classes: `vitreous explain cat.jpg --target cat --target dog`

Why a cat and not a dog: `vitreous explain cat.jpg --target cat --against dog`

Your own weights and classes: `vitreous explain cat.jpg --model timm:vit_base_patch16_224 --checkpoint mine.pth
--class-names classes.txt`

Classes in your own words: `vitreous explain cat.jpg --model hf:my/clip --prompt "a cat" --prompt "a dog"`

The blocks that a decision hangs on, coarse and then fine: `vitreous explain cat.jpg --method mgrw --set fine=same`

Coarse blocks by one model, fine ones by another: `vitreous explain cat.jpg --model torchvision:vit_l_32
--method mgrw --set fine=torchvision:vit_b_16`

The method that is most faithful to the model on your pictures: `vitreous explain holiday/ --method best`

How far each map can be trusted: `vitreous explain cat.jpg --trust`

Where it cannot be measured which tokens are patches: `vitreous explain cat.jpg --grid 14,14 --patches 1:`

Two models, a row each on one sheet: `vitreous explain cat.jpg --model mine --model yours --method cam --target cat`

A page to hand to somebody else: `vitreous explain cat.jpg --report`

Maps for other programs: `vitreous explain cat.jpg --export tiff,coco`

A model without a class token: `vitreous explain cat.jpg --method rollout,raw_attention --set readout=mean`
"""

_BEST = "best"
_USUAL = "ag_cam, transformer_attribution, attn_lrp, grad_cam, rollout"
"""One method of each kind: a sheet that says something about any model, in seconds."""


@reads
def explain(
    *,
    pictures: Pictures = None,
    sample: Sample = "",
    model: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            autocompletion=complete_models,
            help="The model: 'default', 'pneumonia', 'timm:NAME', 'torchvision:NAME', 'hf:ID', 'open_clip:NAME/TAG', "
            "or the folder of a saved model. See 'vitreous models'. Repeat it to compare models: each has a folder in "
            "the output folder, and the sheet of a picture a row for each. [default: default]",
            show_default=False,
        ),
    ] = None,
    checkpoint: Checkpoint = None,
    prompt: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TEXT",
            help="For CLIP, SigLIP and their like (hf:ID, open_clip:NAME/TAG): a text that is a class. Repeat it for "
            "several classes.",
            show_default=False,
        ),
    ] = None,
    class_names: NamesFile = None,
    how: Said,
    method: Annotated[
        str,
        typer.Option(
            metavar="NAME,…",
            autocompletion=complete_methods,
            help="Methods by name, with commas between; 'all' takes every method that needs a few passes at most and "
            "applies to the model, and 'best' the one of them that has the best ABPC on the pictures, which takes 10 "
            "forward passes for each. See 'vitreous methods'.",
        ),
    ] = _USUAL,
    choose_on: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Of '--method best': choose on these pictures instead.", show_default=False
        ),
    ] = None,
    setting: Settings = None,
    target: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CLASS",
            help="The class to explain: 'predicted' (the most probable, as without it), 'top-K' (the K most probable, "
            "one row of the sheet each), a class name, or its index from 0. Repeat it for several classes.",
            show_default=False,
        ),
    ] = None,
    against: Annotated[
        str,
        typer.Option(
            metavar="CLASS",
            help="Why the target rather than this class: explains the difference of their scores.",
            show_default=False,
        ),
    ] = "",
    output: Annotated[
        Path,
        typer.Option(metavar="FOLDER", help="Folder for the sheets (.png), the raw maps (.npz) and manifest.json."),
    ] = Path("explained"),
    batch_size: Annotated[
        int, typer.Option(metavar="COUNT", min=1, help="Pictures that run at once; fewer need less memory.")
    ] = 8,
    device: Device = "auto",
    dtype: InPrecision = Precision.float32,
    window: Window = None,
    alpha: Annotated[
        float,
        typer.Option(
            metavar="OPACITY",
            min=0,
            max=1,
            help="Opacity of the strongest places of the maps on the sheets, 0 to 1; weaker ones are clearer.",
        ),
    ] = 0.75,
    common_scale: Annotated[
        bool, typer.Option("--common-scale", help="Color all maps of a sheet by one scale, to compare their values.")
    ] = False,
    isolines: Annotated[
        bool, typer.Option("--isolines", help="Draw maps as lines of equal value, which hide little of the picture.")
    ] = False,
    trust: Annotated[
        bool,
        typer.Option(
            "--trust",
            help="Measure what each map is worth on its picture: hide patches in its order and in random ones, and ask "
            "the model again. Some 60 forward passes a picture and 10 a map.",
        ),
    ] = False,
    trust_orders: Annotated[
        int | None,
        typer.Option(
            metavar="COUNT",
            min=2,
            help="Random orders that maps are compared with, an even number, 12 without it; implies --trust.",
            show_default=False,
        ),
    ] = None,
    report: AsReport = False,
    concepts: FoundConcepts = None,
    cases: CasesIndex = None,
    export: Annotated[
        str,
        typer.Option(
            metavar="FORMAT,…",
            help="Also write each map to exports/, for other programs: png (over the whole picture), svg (picture, map "
            "and scale as layers), tiff (raw, float32, in the picture's pixels), csv (raw, a row for each patch), coco "
            "(boxes and masks of where it is above half of its strongest, all pictures of a method in one JSON); dicom "
            "(of DICOM files: a Secondary Capture, a Segmentation and, with a frame of reference, a Parametric Map; "
            "they name the patient as the file does) and nifti (of slices: raw, a volume for each method); "
            "claim (what was done and measured, a paragraph as CLAIM's item 31 asks for).",
            show_default=False,
        ),
    ] = "",
) -> None:
    """Show what in a picture speaks for a class: one sheet per picture, methods side by side.

    The exit status is 1 where a picture could not be explained, and where a method gave no map that was named, or that
    `--grid` or `--patches` were given for.
    """
    import torch

    from vitreous.cli.console import Console
    from vitreous.cli.report import Report
    from vitreous.data.depth import asked_window
    from vitreous.data.finding import find_pictures
    from vitreous.explaining.asked import read_class_names
    from vitreous.explaining.choosing import choose_method
    from vitreous.explaining.pictures import PictureJob
    from vitreous.explaining.trust.measure import TrustSettings
    from vitreous.files.writing import check_writable
    from vitreous.inside.given import Given
    from vitreous.models.device import find_device
    from vitreous.models.zoo import describe, load
    from vitreous.reporting.exports import EXPORTS, check_exports, read_formats
    from vitreous.reporting.models import jobs_of
    from vitreous.reporting.pages import check_pages

    models = model or ["default"]
    if len(models) > 1:
        _check_several(method, checkpoint, concepts or cases)
    if (concepts or cases) and not report:
        raise typer.BadParameter("are shown on the page. Say --report, too.", param_hint="--concepts and --cases")
    if choose_on and method != _BEST:
        raise typer.BadParameter("chooses no method: --method names some. Say --method best.", param_hint="--choose-on")
    asked = TrustSettings(orders=trust_orders) if trust_orders else TrustSettings() if trust or report else None
    files = asked_files(pictures, sample, output, "explain")
    methods = _make_methods(method, setting or [])
    names = read_class_names(class_names or ())
    check_writable(output)
    if report:
        check_pages(output / "report.html")
    if formats := read_formats(export):
        check_exports(output / EXPORTS)
    shown = Report(Console(highlight=False), Console(stderr=True, highlight=False))
    with shown.status("Loading the model …"):
        where, precision = find_device(device), getattr(torch, dtype.value)
        loaded = [
            load(each, checkpoint=checkpoint, device=where, dtype=precision, prompts=prompt or (), **how)
            for each in models
        ]
    given = Given(concepts, cases)
    given.check(loaded[0])
    job = PictureJob(
        loaded[0],
        methods,
        tuple(target) if target and len(target) > 1 else (target or ["predicted"])[0],
        against,
        output,
        batch_size,
        alpha,
        common_scale,
        isolines,
        window=asked_window(window),
        trust=asked,
        class_names=names,
        names_file=class_names,
    )
    if method == _BEST:
        measured, rather = find_pictures([choose_on]) if choose_on else files, against or None
        named = describe(loaded[0], class_names=names)
        chosen = shown.choose(
            lambda tell: choose_method(
                named, methods, measured, (target or [None])[0], against=rather, window=job.window, progress=tell
            )
        )
        job = replace(job, methods={chosen.method: methods[chosen.method]}, choice=chosen)
    demanded = method not in ("all", _BEST, _USUAL) or bool(how.get("grid") or how.get("patches"))
    jobs = jobs_of(job, loaded)
    failed = shown.explain(jobs, files, demanded=demanded)
    shown.write(jobs, output, page=report, formats=formats, given=given)
    raise typer.Exit(int(failed))


def _check_several(method: str, checkpoint: Path | None, given: Path | None) -> None:
    """Refuse what means one model."""
    if checkpoint:
        raise typer.BadParameter(
            "holds the weights of one model. Name those of each, as timm:NAME@FILE.", param_hint="--checkpoint"
        )
    if method == _BEST:
        raise typer.BadParameter("is chosen for one model. Name methods, to compare models.", param_hint="--method")
    if given:
        raise typer.BadParameter("are of one model. Name that one alone.", param_hint="--concepts and --cases")


def _make_methods(names: str, settings: Sequence[str]) -> dict[str, Method]:
    """The methods named, each with its settings."""
    from vitreous.methods import METHODS, make_method

    quick = [name for name, maker in METHODS.items() if not getattr(maker, "slow", False)]
    chosen = quick if names in ("all", _BEST) else [name.strip() for name in names.split(",") if name.strip()]
    if not chosen:
        raise typer.BadParameter("names no method. See 'vitreous methods'.", param_hint="--method")
    return {name: make_method(name, **values) for name, values in read_settings(settings, chosen).items()}
