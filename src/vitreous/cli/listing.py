"""`vitreous methods`, `vitreous metrics` and `vitreous models`: what there is to choose from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["KINDS", "NEEDS", "methods", "metrics", "models"]

_SPECS = {
    "default": "the classifier that comes with vitreous: 19 everyday classes, cats and dogs among them",
    "everyday26": "the one before it, seven classes more and less often right; results/ has what was measured on it",
    "tiny20": "the first and smallest, 20 classes at 64 pixels; results/ has what was measured on it",
    "pneumonia": "the medical example that comes with vitreous: chest X-rays, normal or pneumonia; not for diagnosis",
    "FOLDER": "a folder that `vitreous train`, transformers or timm saved a model in",
    "timm:NAME": "a timm model with its published weights, such as timm:vit_base_patch16_224",
    "torchvision:NAME": "a torchvision model with its default weights, such as torchvision:vit_b_16",
    "hf:ID": "a Hugging Face image classifier by id or folder, such as hf:google/vit-base-patch16-224",
    "open_clip:NAME/TAG": "an open_clip model with published weights, such as open_clip:ViT-B-16/openai; with --prompt",
    "timm:NAME@FILE": "a timm architecture with your weights, .safetensors, .pth or .ckpt; also "
    "torchvision: and open_clip:",
    "timm:NAME?A=1&B=2@FILE": "your weights, trained with other settings than NAME's that their tensors do not tell, "
    "such as num_heads=6&img_size=[384,256]; also torchvision:",
}

_READS = {
    "truth": "the object's mask",
    "boxes": "the object's boxes",
    "target": "the model's class scores",
    "explain": "the method itself, run again",
}

NEEDS = {
    "class_token": "attention between all tokens, and a class token that the classifier reads",
    "attention": "attention between all tokens",
    "dropping": "attention between all tokens, and that the model runs on some of them",
    "head": "attention between all tokens, and a head that takes any block's tokens",
    "layer": "a layer whose output lies on the picture, as any CNN, Swin or ViT has",
    "pooling": "such a layer, under a head of average pooling and one linear map",
    "relevance": "nothing but a differentiable model",
    "chefer": "a rule for each of the model's operations",
    "pixels": "nothing but class scores",
}
KINDS = {
    "signed": "its map has two sides: for the class, and against it",
    "slow": "runs the model hundreds of times",
    "scoreless": "the same map for every class, also without a classifier",
    "blocks": "its map is of whole blocks",
}


def methods() -> None:
    """List the methods: what each shows, what it needs of a model, where it was published, its settings."""
    from vitreous.methods import METHODS
    from vitreous.settings.source import told_by

    def about(facts: Mapping[str, Any]) -> list[str]:
        return [
            f"needs {NEEDS[facts['family']]}",
            *(meaning for kind, meaning in KINDS.items() if facts.get(kind)),
            facts["source"],
        ]

    _list(
        (name, [told.summary, *about(told.facts), *(f"--set {key}={value}" for key, value in told.settings.items())])
        for name in METHODS
        for told in [told_by(*METHODS.home(name))]
    )


def metrics() -> None:
    """List the metrics: what each says, what it reads and gives (↑ more is better, ↓ less), its settings in a plan."""
    import inspect
    import json

    import typer

    from vitreous.metrics import METRICS
    from vitreous.metrics.perturbation import PRESETS

    def about(name: str, maker: Any) -> list[str]:
        presets = [f"{name}:{preset}" for preset, judge in PRESETS.items() if type(judge) is maker]
        return [
            (inspect.getdoc(maker) or "").partition("\n")[0],
            f"reads {', '.join(_READS[each] for each in maker.input_names() if each in _READS)}",
            *(f"{name} {number.better} {number.meaning}" for name, number in maker.quantities.items()),
            *([f"as published: {', '.join(presets)}"] if presets else []),
            maker.source,
            *(
                f"{key}, unset" if each.default is None else f"{key} = {json.dumps(each.default)}"
                for key, each in inspect.signature(maker).parameters.items()
            ),
        ]

    _list((name, about(name, maker)) for name, maker in METRICS.items())
    typer.echo("Settings go into a plan, below [metrics.NAME]; see 'vitreous benchmark --help'.")


def models() -> None:
    """List the ways to name a model, for --model."""
    from rich.table import Table
    from rich.text import Text

    from vitreous.cli.console import Console

    table = Table.grid(padding=(0, 3, 0, 0))
    for spec, meaning in _SPECS.items():
        table.add_row(Text(spec, "bold"), Text(meaning))
    Console(quiet=False, highlight=False).print(table)


def _list(entries: Iterable[tuple[str, Iterable[str]]]) -> None:
    """Each name, and below it what there is to say of it, a line each."""
    from rich.console import Group
    from rich.padding import Padding
    from rich.text import Text

    from vitreous.cli.console import Console

    console = Console(quiet=False, highlight=False)
    for name, lines in entries:
        console.print(Text(name, "bold"))
        console.print(Padding(Group(*map(Text, lines)), (0, 0, 1, 4)))
