"""From a picture file to what the model sees of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from jaxtyping import Float
from torch import Tensor

from vitreous.data.depth import Window
from vitreous.data.pictures import open_picture
from vitreous.data.samples import Entry
from vitreous.errors import DataError, ShapeError
from vitreous.models.loaded import LoadedModel
from vitreous.render.sheet import PANEL, fit
from vitreous.render.view import Crop, View

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Opened", "open_for", "prepare", "read_images", "show"]


@dataclass(frozen=True)
class Opened:
    """A picture, the model's input made of it, and what is shown of it, at the size of a panel.

    Attributes:
        file: where it came from.
        image: the model's input.
        crop: which part of the picture the model sees.
        view: that part.
        marked: the whole picture, with that part marked in it.
        window: which values of a gray picture of more than 8 bits are black and white; None of others.
        warning: what was said of how it was read; empty for nothing.
        medical: whether it came in a medical file.
    """

    file: Path
    image: Float[Tensor, "channels height width"]
    crop: Crop
    view: Image
    marked: Image
    window: tuple[float, float] | None = None
    warning: str = ""
    medical: bool = False


def open_for(model: LoadedModel, file: Path, window: Window = None) -> Opened | DataError:
    """A picture as the model takes it, or why it cannot be read.

    Raises:
        ModelError: the model does not say how its pictures are prepared.
    """
    made = prepare(model, partial(open_picture, file, window), str(file))
    return made if isinstance(made, DataError) else show(model, file, *made)


def prepare(
    model: LoadedModel, read: Callable[[], Image], name: str
) -> tuple[Image, Float[Tensor, "channels height width"]] | DataError:
    """A picture and the model's input made of it, or why it cannot be read.

    Raises:
        ModelError: the model does not say how its pictures are prepared.
    """
    preprocess = model.prepared()
    try:
        picture = read()
        return picture, preprocess(picture)
    except DataError as error:
        return error
    except ShapeError as error:
        return DataError(f"`{name}` does not fit the model: {error}")


def show(model: LoadedModel, file: Path, picture: Image, image: Float[Tensor, "channels height width"]) -> Opened:
    """A prepared picture with what is shown of it."""
    view = View(picture, model.prepared().box(picture))
    shown = fit(view.part), fit(view.shrunk(2 * PANEL).marked())
    told = (picture.info.get("window"), picture.info.get("warning", ""), picture.info.get("medical", False))
    return Opened(file, image, view.crop, *shown, *told)


def read_images(subject: LoadedModel, entries: Sequence[Entry], unread: dict[str, str]) -> dict[str, Tensor]:
    """The model's inputs by name, without the pictures that cannot be read: `unread` receives the reasons.

    Raises:
        ModelError: the model does not say how its pictures are prepared.
    """
    preprocess = subject.prepared()
    images: dict[str, Tensor] = {}
    for entry in entries:
        try:
            images[entry.id] = preprocess(entry.open().picture).to(next(subject.model.parameters()))
        except DataError as error:
            unread[entry.id] = str(error)
        except ShapeError as error:
            unread[entry.id] = f"`{entry.id}` does not fit the model: {error}"
    return images
