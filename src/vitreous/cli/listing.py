"""`vitreous methods` and `vitreous models`: what there is to choose from."""

from __future__ import annotations

__all__ = ["methods", "models"]

_SPECS = {
    "default": "the classifier that comes with vitreous: 20 everyday classes",
    "pneumonia": "the medical example that comes with vitreous: chest X-rays, normal or pneumonia; not for diagnosis",
    "FOLDER": "a folder that `vitreous train`, transformers or timm saved a model in",
    "timm:NAME": "a timm model with its published weights, such as timm:vit_base_patch16_224",
    "torchvision:NAME": "a torchvision model with its default weights, such as torchvision:vit_b_16",
    "hf:ID": "a Hugging Face image classifier by id or folder, such as hf:google/vit-base-patch16-224",
    "open_clip:NAME/TAG": "an open_clip model with published weights, such as open_clip:ViT-B-16/openai; with --prompt",
    "timm:NAME@FILE": "a timm architecture with your weights, .safetensors or .pth; also torchvision: and open_clip:",
}


def methods() -> None:
    """List the methods: what each shows, where it was published, its settings."""
    import inspect

    from rich.console import Console
    from rich.padding import Padding
    from rich.text import Text

    from vitreous.methods import METHODS

    console = Console(highlight=False)
    for name, maker in METHODS.items():
        console.print(Text(name, "bold"))
        lines = [(inspect.getdoc(maker) or "").partition("\n")[0], getattr(maker, "source", "")]
        settings = inspect.signature(maker).parameters.values()
        lines += [f"--set {setting.name}={setting.default}" for setting in settings]
        console.print(Padding(Text("\n".join(lines)), (0, 0, 1, 4)))


def models() -> None:
    """List the ways to name a model, for --model."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 3, 0, 0))
    for spec, meaning in _SPECS.items():
        table.add_row(Text(spec, "bold"), Text(meaning))
    Console(highlight=False).print(table)
