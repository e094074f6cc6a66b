"""The flags that say how a model is read, where it cannot be told: the same for every command that reads attention."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import wraps
from inspect import Parameter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vitreous.cli.options import Link, ModelOutput, output_of, pair_of

if TYPE_CHECKING:
    from vitreous.trace.reading import Said
else:
    Said = dict  # what it is made of needs torch

__all__ = ["Said", "reads"]

_Part = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="The module whose attention, blocks and layers are read, by its dotted name, where a model has several "
        "encoders.",
        show_default=False,
    ),
]
_Call = Annotated[
    int | None,
    typer.Option(
        metavar="INDEX",
        min=0,
        help="Which pass is read, from 0, where an encoder runs several times: on another picture, or a flipped one.",
        show_default=False,
    ),
]
_Grid = Annotated[
    str,
    typer.Option(
        metavar="HEIGHT,WIDTH", help="The grid of the patches, where it cannot be measured.", show_default=False
    ),
]
_Patches = Annotated[
    str | None,
    typer.Option(
        metavar="FIRST:END",
        help="Which tokens are patches, row by row, where that cannot be measured: a range, such as 1: for all but "
        "the first, or their places with commas between.",
        show_default=False,
    ),
]
_FLAGS: Mapping[str, tuple[Any, Any]] = {
    "model_output": (ModelOutput, ""),
    "link": (Link, None),
    "part": (_Part, None),
    "call": (_Call, None),
    "grid": (_Grid, ""),
    "patches": (_Patches, None),
}


def reads(command: Callable[..., Any]) -> Callable[..., Any]:
    """A command whose parameter `how` is made of these flags, which stand in its place."""
    signature = inspect.signature(command, eval_str=True)
    flags = [
        Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=hint)
        for name, (hint, default) in _FLAGS.items()
    ]
    parameters = [each for own in signature.parameters.values() for each in (flags if own.name == "how" else [own])]

    @wraps(command)
    def read(**given: Any) -> Any:
        asked = {name: given.pop(name) for name in _FLAGS}
        how: Said = {
            "output": output_of(asked["model_output"]),
            "link": asked["link"],
            "part": asked["part"],
            "call": asked["call"],
            "grid": pair_of(asked["grid"], "--grid"),
            "patches": asked["patches"],
        }
        return command(**given, how=how)

    read.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    read.__annotations__ = {each.name: each.annotation for each in parameters}
    return read
