"""What several commands ask for in the same words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from vitreous.cli.completion import complete_models
from vitreous.errors import DataError

__all__ = [
    "Address",
    "BatchSize",
    "CheckContents",
    "Checkpoint",
    "Device",
    "Engine",
    "InPrecision",
    "Limit",
    "Link",
    "Model",
    "ModelOutput",
    "NamesFile",
    "Pictures",
    "PicturesOrData",
    "Precision",
    "ReadLayer",
    "Sample",
    "Window",
    "asked_files",
    "block_of",
    "find_files",
    "output_of",
    "pair_of",
    "patch_of",
    "without_outputs",
]


class Precision(StrEnum):
    """Floating-point types that a model can run in."""

    float32 = "float32"
    bfloat16 = "bfloat16"
    float64 = "float64"


Engine = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="What runs the work: 'local', processes of this machine, or 'ray', a cluster (pip install "
        "'vitreous[cluster]').",
    ),
]
Address = Annotated[
    str,
    typer.Option(
        metavar="HOST:PORT",
        help="Of a running Ray cluster; 'auto' for the one that this machine belongs to. Without it, Ray is started "
        "here.",
        show_default=False,
    ),
]
CheckContents = Annotated[
    bool,
    typer.Option(
        "--check",
        help="Hash what is in the pictures' files, and compare it when the run goes on; else sizes and times are.",
    ),
]
Pictures = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="PICTURE",
        help="Picture files, folders (searched to the bottom) or patterns; a frame or slices of a medical file, as "
        "cine.dcm/7 or ct.nii.gz/axial/40:60. Without any: the sample picture.",
        show_default=False,
    ),
]
PicturesOrData = Annotated[
    str,
    typer.Argument(
        metavar="PICTURES",
        help="A folder or zip archive of pictures, or a data set, KIND:PATH or KIND:PATH:SPLIT as for 'vitreous "
        "benchmark'.",
    ),
]
Sample = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="A picture that comes with vitreous, in place of PICTURE: chelsea, dog, horse, motorcycle, pizza or "
        "shuttle.",
        show_default=False,
    ),
]
Model = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        autocompletion=complete_models,
        help="The model: 'default', 'pneumonia', 'timm:NAME', 'torchvision:NAME', 'hf:ID', 'open_clip:NAME/TAG', or "
        "the folder of a saved model. See 'vitreous models'.",
    ),
]
Checkpoint = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="Your weights for a timm:, torchvision: or open_clip: model: .safetensors, .pth or .ckpt."
    ),
]
NamesFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Names of the classes, one a line in the order of the model's scores, where the model has none.",
        show_default=False,
    ),
]
ModelOutput = Annotated[
    str,
    typer.Option(
        metavar="NAME|INDEX",
        help="Which of the model's outputs are the class scores, where it returns several; -1 is the last. After a "
        "comma, where in it: the query, 'logits,3', the row and column, 'logits,4,7', or 'max' or 'mean' over all.",
        show_default=False,
    ),
]
Link = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="What the scores stand for: softmax, sigmoid (several labels at once) or identity (values). Else as "
        "the model says, or softmax, or sigmoid of a single score.",
        show_default=False,
    ),
]
Device = Annotated[
    str,
    typer.Option(metavar="DEVICE", help="'cpu', 'cuda', 'cuda:1' …; 'auto' takes a GPU that can, if there is one."),
]
InPrecision = Annotated[Precision, typer.Option(help="Precision that the model runs in.")]
Limit = Annotated[int, typer.Option(metavar="COUNT", min=0, help="Pictures drawn at random; 0 takes all.")]
BatchSize = Annotated[int, typer.Option(metavar="COUNT", min=1, help="Pictures that run at once; bounds memory.")]
ReadLayer = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="Dotted name of the layer whose patch tokens are read. Without it: the one that a CAM would read.",
        show_default=False,
    ),
]
AsReport = Annotated[
    bool,
    typer.Option(
        "--report",
        help="Also write report.html, a page to hand to somebody else: maps beside each other, linked and adjustable, "
        "and on tabs what lies inside the model: similarity of patches, principal components, artifacts, layers; of "
        "several pictures, an index of a page for each. It needs no network. Implies --trust.",
    ),
]
FoundConcepts = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        help="A folder that 'vitreous concepts' wrote with this model: a tab of the page shows them on the picture.",
        show_default=False,
    ),
]
CasesIndex = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="An index that 'vitreous cases' wrote with this model: a tab of the page shows its most alike pictures.",
        show_default=False,
    ),
]
Window = Annotated[
    str | None,
    typer.Option(
        metavar="LOW,HIGH",
        help="Of gray pictures of more than 8 bits: the values that become black and white, or 'auto' for each one's "
        "lowest and highest. By default what the file says of its depth, or its window. Other pictures stay as they "
        "are.",
        show_default=False,
    ),
]


def find_files(pictures: Sequence[str] | None, sample: str = "") -> list[Path]:
    """All picture files; without any, a sample. A path that leads to none stays, to be reported with the bad ones."""
    from vitreous.data.finding import find_pictures
    from vitreous.data.gallery import sample_picture

    if pictures and sample:
        raise typer.BadParameter("stands in place of pictures. Leave one of them out.", param_hint="--sample")
    if not pictures:
        return [sample_picture(sample or "chelsea")]
    files: list[Path] = []
    for picture in pictures:
        try:
            files += find_pictures([picture])
        except DataError:
            if len(pictures) == 1:
                raise
            files.append(Path(picture))
    return list(dict.fromkeys(files))


def without_outputs(files: Sequence[Path], output: Path, job: str) -> list[Path]:
    """The pictures but for those that runs of that command left in its output folder, which may lie among them."""
    from vitreous.files.ledger import full_path, outputs_in

    own = outputs_in(output, job, (".png",))
    return [file for file in files if full_path(file) not in own] or list(files)


def asked_files(pictures: Sequence[str] | None, sample: str, output: Path, job: str) -> list[Path]:
    """The pictures that a command is to work on; what is left out of their folders is told."""
    files = without_outputs(find_files(pictures, sample), output, job)
    _tell_left_out(pictures, files, output)
    return files


def _tell_left_out(pictures: Sequence[str] | None, files: Sequence[Path], output: Path) -> None:
    """A line about what lies in the folders and is no picture, but for what lies in the output folder."""
    from vitreous.data.finding import left_out
    from vitreous.files.ledger import full_path
    from vitreous.files.names import printable

    inside = Path(full_path(output))
    others = [file for file in left_out(pictures or (), files) if inside not in Path(full_path(file)).parents]
    if others:
        named = ", ".join(f"`{file}`" for file in others[:3]) + (", …" if len(others) > 3 else "")
        count = f"{len(others)} files that are no pictures" if len(others) > 1 else "a file that is no picture"
        typer.echo(printable(f"Left out: {count}: {named}"), err=True)


def output_of(name: str) -> str | int | None:
    """A name, or a place among several, from their end where it is negative; nothing of an empty text.

    >>> output_of("logits"), output_of("1"), output_of("-1"), output_of("")
    ('logits', 1, -1, None)
    """
    return int(name) if re.fullmatch(r"-?\d{1,18}", name) else name or None


def pair_of(text: str, option: str) -> tuple[int, int] | None:
    """ROW,COLUMN or HEIGHT,WIDTH as two numbers; nothing of an empty text.

    >>> pair_of("14, 7", "--grid")
    (14, 7)
    """
    if not text:
        return None
    sides = [side.strip() for side in text.split(",")]
    if len(sides) != 2 or not all(re.fullmatch(r"\d{1,9}", side) for side in sides):
        raise typer.BadParameter(
            f"'{text}' is not two whole numbers. Write them with a comma between.", param_hint=option
        )
    return int(sides[0]), int(sides[1])


def block_of(number: int, option: str) -> int:
    """A block counted from 1, as on pages and sheets, as an index from 0.

    >>> block_of(12, "--block")
    11
    """
    if number < 1:
        raise typer.BadParameter(
            f"'{number}' is no block: they are counted from 1, as on pages and sheets.", param_hint=option
        )
    return number - 1


def patch_of(text: str, option: str) -> tuple[int, int] | None:
    """ROW,COLUMN of a patch, counted from 1 as on pages and sheets, as indices from 0; nothing of an empty text.

    >>> patch_of("3,4", "--patch")
    (2, 3)
    """
    place = pair_of(text, option)
    if place is None:
        return None
    if 0 in place:
        raise typer.BadParameter(
            f"'{text}' is no patch: rows and columns are counted from 1, as on pages and sheets.", param_hint=option
        )
    return place[0] - 1, place[1] - 1
