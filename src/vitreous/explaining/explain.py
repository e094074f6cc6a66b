"""The main job: `explain(model, images)`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from vitreous.data.depth import Window
from vitreous.data.pictures import as_picture
from vitreous.errors import DegenerateMap, ModelError, ShapeError
from vitreous.explaining.fitting import fit_method
from vitreous.explaining.targets import UserTarget, as_target, choose_classes, is_top, part_of
from vitreous.masking.forward import Progress
from vitreous.methods import make_method
from vitreous.methods.method import Explanation, Method, SlowMethod
from vitreous.models.loaded import first_sentence
from vitreous.models.preprocess import Preprocess
from vitreous.models.zoo import LoadedModel, describe
from vitreous.trace.recorder import record
from vitreous.trace.settled import check_input
from vitreous.trace.target import Target

Preparation = Preprocess | Callable[[Any], Any]

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

    Picture = str | Path | Image | NDArray[Any]

__all__ = ["explain", "inputs_of"]


def explain(
    model: nn.Module | LoadedModel,
    images: Tensor | Picture | Sequence[Picture],
    method: str | Method = "ag_cam",
    target: UserTarget = None,
    *,
    against: UserTarget = None,
    batch_size: int = 8,
    progress: Progress | None = None,
    preprocess: Preparation | None = None,
    class_names: Sequence[str] = (),
    pixel_window: Window = None,
    **settings: Any,
) -> Explanation:
    """Explain why a model decided as it did about some images.

    Args:
        model: your own module, or what `vitreous.load` gave. It comes back as it was.
        images: a tensor (batch, channels, height, width) or one image without the batch axis, taken as the model's
            normalised input; or pictures (paths, PIL, uint8 arrays), which go through the preprocessing.
        method: a name of `vitreous.METHODS`, "package.module:Class", or a method object.
        target: what to explain: a class index or name, one per image, "top-3" (a row of the result for each of an
            image's three most probable classes), a function from logits (batch, classes) to one number per image, or
            None for each image's predicted class.
        against: why `target` rather than this: the difference of the two logits is explained.
        batch_size: how many images run at once; bounds memory.
        progress: told by a slow method, such as "mgrw" or "rise", how many forward passes of a batch are done, and how
            many there are.
        preprocess: how pictures become the model's input, where it does not say: a `vitreous.Preprocess`, or any
            function from an RGB PIL image to a tensor (channels, height, width), torchvision's transforms included.
            Maps lie on the part of a picture that a `Preprocess` keeps; what a function keeps is unknown, so its maps
            are stretched over the whole picture.
        class_names: one per logit, where the model has none.
        pixel_window: of gray pictures of more than 8 bits: (what becomes black, what becomes white), or "auto" for each
            picture's lowest and highest; by default what the file says.
        settings: the method's own, when it is given by name.

    Returns:
        the explanation; `heatmap` is (batch, h, w) on the patch grid, raw, on the model's device.

    Raises:
        ExplainError: an input, a name or a model that cannot be explained; the message says what to do.
    """
    subject = describe(model, preprocess if isinstance(preprocess, Preprocess) else None, class_names)
    chosen = fit_method(make_method(method, **settings) if isinstance(method, str) else method, subject)
    inputs, pictures = inputs_of(subject, images, preprocess, pixel_window)
    if batch_size < 1:
        raise ShapeError(f"`batch_size` must be at least 1; got {batch_size}. Give a whole number.")
    if is_top(target):
        seen = [record(subject.model, inputs[part]).logits for part in _parts(len(inputs), batch_size)]
        classes = choose_classes(target, subject.class_names, torch.cat(seen))
        each = torch.arange(len(inputs)).repeat_interleave(classes.shape[1])
        inputs, target = inputs[each], classes.flatten()
        pictures = tuple(pictures[at] for at in each.tolist()) if pictures else ()
    wanted = as_target(target, subject.class_names, against)
    explain_chunk = partial(_explain_chunk, chosen, subject.model, progress=progress)
    parts = [
        explain_chunk(inputs[part], part_of(wanted, len(inputs), part), start=part.start)
        for part in _parts(len(inputs), batch_size)
    ]
    if (names := len(subject.class_names)) not in (0, classes := parts[0].logits.shape[1]):
        raise ShapeError(f"there are {names} `class_names` for {classes} classes. Give one for each.")
    return Explanation(
        torch.cat([part.heatmap for part in parts]),
        torch.cat([part.logits for part in parts]),
        torch.cat([part.target for part in parts]),
        chosen,
        subject.class_names,
        pictures,
        details=tuple(detail for part in parts for detail in part.details),
        layer=parts[0].layer,
    )


def _parts(images: int, batch_size: int) -> list[slice]:
    return [slice(start, start + batch_size) for start in range(0, images, batch_size)]


def _explain_chunk(
    method: Method, model: nn.Module, images: Tensor, target: Target, *, start: int, progress: Progress | None
) -> Explanation:
    try:
        if isinstance(method, SlowMethod):
            return method(model, images, target, progress=progress)
        return method(model, images, target)
    except DegenerateMap as error:
        raise DegenerateMap(error.fact, error.image + start, error.remedy) from None


def inputs_of(
    subject: LoadedModel, images: Any, preprocess: Preparation | None = None, window: Window = None
) -> tuple[Tensor, tuple[Image, ...]]:
    """The model's input, and the part of each picture that it shows."""
    parameter = next(subject.model.parameters(), torch.empty(0))
    if isinstance(images, Tensor):
        batch = images[None] if images.ndim == 3 else images
        if batch.ndim != 4:
            raise ShapeError(
                f"`images` must be (batch, channels, height, width); got {tuple(images.shape)} {images.dtype}. "
                "Add the missing axes, or pass pictures."
            )
        check_input(batch)
        if (batch.device, batch.dtype) != (parameter.device, parameter.dtype):
            raise ShapeError(
                f"`images` are {batch.dtype} on {batch.device}, but the model is {parameter.dtype} on "
                f"{parameter.device}. Move one to the other: images.to(next(model.parameters()))."
            )
        return batch, ()
    prepare = preprocess or subject.preprocess
    if prepare is None:
        raise ModelError(
            f"`{type(subject.model).__name__}` does not say how its pictures are prepared. Say it with preprocess=, a "
            "vitreous.Preprocess or a function from a picture to a tensor, or pass normalized tensors."
        )
    listed = list(images) if isinstance(images, list | tuple) else [images]
    if not listed:
        raise ShapeError("`images` is empty. Give at least one picture.")
    opened = [as_picture(picture, window) for picture in listed]
    if isinstance(prepare, Preprocess):
        batch = torch.stack([prepare(picture) for picture in opened])
        return batch.to(parameter), tuple(prepare.view(picture) for picture in opened)
    prepared = [_prepared(prepare, picture) for picture in opened]
    if len(sizes := {tuple(each.shape) for each in prepared}) > 1:
        raise ShapeError(f"`preprocess` gave tensors of the shapes {sorted(sizes)}. Resize and crop to one size.")
    return torch.stack(prepared).to(parameter), tuple(opened)


def _prepared(prepare: Callable[[Any], Any], picture: Image) -> Tensor:
    """What a function of the user's makes of a picture, without the batch axis that some add."""
    try:
        image = prepare(picture)
    except Exception as error:  # it is not ours
        raise ModelError(
            f"`preprocess` failed on a picture of {picture.width}×{picture.height} RGB pixels: "
            f"{type(error).__name__}: {first_sentence(error)}. It must take a PIL image."
        ) from error
    if isinstance(image, Tensor) and image.ndim == 4 and len(image) == 1:
        image = image[0]
    if not isinstance(image, Tensor) or image.ndim != 3:
        got = tuple(image.shape) if isinstance(image, Tensor) else type(image).__name__
        raise ShapeError(
            f"`preprocess` gave {got} for a picture, not a tensor (channels, height, width). Return one; of a "
            'processor of transformers, processor(picture, return_tensors="pt")["pixel_values"][0].'
        )
    check_input(image)
    return image
