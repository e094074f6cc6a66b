"""The main job: `explain(model, images)`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard, overload

import torch
from torch import Tensor, nn

from vitreous.data.depth import Window
from vitreous.data.pictures import as_picture
from vitreous.errors import ModelError, ShapeError, told
from vitreous.explaining.asked import Several, asked_methods, check_class_names, read_class_names
from vitreous.explaining.method_settings import complete_method
from vitreous.explaining.targets import UserTarget, as_target, choose_classes, is_top
from vitreous.explaining.together import explain_by_all
from vitreous.masking.forward import Progress
from vitreous.methods.explanation import Explanation
from vitreous.methods.method import Method
from vitreous.models.preprocess import Preprocess
from vitreous.models.zoo import LoadedModel, describe
from vitreous.settings.arguments import checked
from vitreous.settings.typed import Count
from vitreous.trace.classifier import check_classifier
from vitreous.trace.reading import Output, reading
from vitreous.trace.recorder import record
from vitreous.trace.settled import check_input, check_precise

Preparation = Preprocess | Callable[[Any], Any]

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

    from vitreous.render.view import View

    Picture = str | Path | Image | NDArray[Any]

__all__ = ["explain", "inputs_of"]


@overload
def explain(
    model: nn.Module | LoadedModel,
    images: Tensor | Picture | Sequence[Picture],
    method: str | Method = "ag_cam",
    target: UserTarget = None,
    *,
    against: UserTarget = None,
    output: Output | None = None,
    link: str | None = None,
    part: str = "",
    call: int | None = None,
    grid: tuple[int, int] | int | None = None,
    patches: slice | Sequence[int] | None = None,
    batch_size: Count = 8,
    progress: Progress | None = None,
    preprocess: Preparation | None = None,
    class_names: Sequence[str] | str | Path = (),
    pixel_window: Window = None,
    settings: Mapping[str, Any] | None = None,
    **more: Any,
) -> Explanation: ...


@overload
def explain(
    model: nn.Module | LoadedModel,
    images: Tensor | Picture | Sequence[Picture],
    method: Several,
    target: UserTarget = None,
    *,
    against: UserTarget = None,
    output: Output | None = None,
    link: str | None = None,
    part: str = "",
    call: int | None = None,
    grid: tuple[int, int] | int | None = None,
    patches: slice | Sequence[int] | None = None,
    batch_size: Count = 8,
    progress: Progress | None = None,
    preprocess: Preparation | None = None,
    class_names: Sequence[str] | str | Path = (),
    pixel_window: Window = None,
    settings: Mapping[str, Any] | None = None,
    **more: Any,
) -> dict[str, Explanation]: ...


@checked("model", "images", "method", "target", "against", "preprocess")
def explain(
    model: nn.Module | LoadedModel,
    images: Tensor | Picture | Sequence[Picture],
    method: str | Method | Several = "ag_cam",
    target: UserTarget = None,
    *,
    against: UserTarget = None,
    output: Output | None = None,
    link: str | None = None,
    part: str = "",
    call: int | None = None,
    grid: tuple[int, int] | int | None = None,
    patches: slice | Sequence[int] | None = None,
    batch_size: Count = 8,
    progress: Progress | None = None,
    preprocess: Preparation | None = None,
    class_names: Sequence[str] | str | Path = (),
    pixel_window: Window = None,
    settings: Mapping[str, Any] | None = None,
    **more: Any,
) -> Explanation | dict[str, Explanation]:
    """Explain why a model decided as it did about some images.

    Args:
        model: your own module, or what `vitreous.load` gave. It comes back as it was.
        images: a tensor (batch, channels, height, width) or one image without the batch axis, taken as the model's
            normalised input; or pictures (paths, PIL, uint8 arrays), which go through the preprocessing.
        method: a name of `vitreous.METHODS`, "package.module:Name", or a method object. Or several: a list of names,
            or a mapping from names of yours to any of these; what they read in common is observed once.
        target: what to explain: a class index or name, one per image, several classes of one image (a row of the result
            for each), "top-3" (likewise, an image's three most probable classes), a function from logits (batch,
            classes) to one number per image, or None for each image's predicted class. A single score is a binary one,
            and what speaks against its class is explained where it is negative.
        against: why `target` rather than this: the difference of the two logits is explained.
        output: which of a model's outputs are the class scores, where it returns several: a name, an index (from the
            end where it is negative), or a function from what the model returns to (batch, classes). A segmentation's
            classes at one place are output="logits,8,12", those of one query of a detector output="logits,5", and
            "logits,max" or "logits,mean" are of all. The likeness to another picture's embedding is
            output="image_embeds" with target=lambda own: own @ other, a function of the embedding.
        link: what the scores stand for: "softmax", "sigmoid" (several labels may hold at once) or "identity" (values
            of a regression). By default as the configuration of a model of transformers says; else the softmax of
            several, the sigmoid of one. The scores of a model that returns probabilities are what its last softmax or
            sigmoid was given.
        part: dotted name of the module whose attention, blocks and layers are read, where a model has several encoders.
        call: which pass is read, from 0, where an encoder runs several times: on another picture, or a flipped one.
        grid: (height, width) of the patches, where it cannot be measured; one number is the method's own setting of
            that name.
        patches: which tokens are patches, row by row, where that cannot be measured: a slice or their places.
        batch_size: how many images run at once; bounds memory.
        progress: told by a slow method, such as "mgrw" or "rise", how many forward passes of a batch are done, and how
            many there are.
        preprocess: how pictures become the model's input, where it does not say: a `vitreous.Preprocess`, or any
            function from an RGB PIL image to a tensor (channels, height, width), torchvision's transforms included.
            Maps lie on the part of a picture that a `Preprocess` keeps; what a function keeps is unknown, so its maps
            are stretched over the whole picture.
        class_names: one per logit, where the model has none; or a text file with one a line.
        pixel_window: of gray pictures of more than 8 bits: (what becomes black, what becomes white), or "auto" for each
            picture's lowest and highest; by default what the file says.
        settings: of methods that are given by name, as `--set` has them: {"masks": 500} of all of them, {"rise.masks":
            500} of one.
        more: the same as arguments, masks=500; but for those, such as `batch_size`, that `explain` itself has.

    Returns:
        the explanation, or one by each method's name; `heatmap` is (batch, h, w) on the patch grid, raw, on the
        model's device. Of a model without a classifier, its `logits` and `target` are None. It holds on to the pictures
        and to the model's input, for `vitreous.trust` and for what is drawn at the size of the picture.

    Raises:
        NoClassScores: the model has no classifier, and the method or the target needs one; or it cannot be told which
            of its outputs are the class scores.
        ExplainError: an input, a name or a model that cannot be explained; the message says what to do.
    """
    names = read_class_names(class_names)
    subject = describe(model, preprocess if isinstance(preprocess, Preprocess) else None, names)
    if isinstance(grid, int):
        more["grid"], grid = grid, None
    subject = subject.read_as(output=output, link=link, part=part or None, call=call, grid=grid, patches=patches)
    asked = asked_methods(method, settings or {}, more, [*signature(explain).parameters][:-1])
    methods = {name: complete_method(each, subject) for name, each in asked.items()}
    inputs, views = inputs_of(subject, images, preprocess, pixel_window)
    if is_top(target) or _are_several(target, inputs):
        with reading(subject.reading):
            check_classifier(subject.model, inputs)
            seen = torch.cat([record(subject.model, part).logits for part in inputs.split(batch_size)])
        classes = choose_classes(target, subject.class_names, seen)
        each = torch.arange(len(inputs)).repeat_interleave(classes.shape[1])
        inputs, target = inputs[each], classes.flatten() if seen.shape[1] > 1 else None
        views = tuple(views[at] for at in each.tolist()) if views else ()
    wanted = as_target(target, subject.class_names, against)
    explained: dict[str, Explanation] = {}
    for name, found in explain_by_all(
        methods, subject, inputs, wanted, batch_size=batch_size, progress=progress
    ).items():
        if not isinstance(found, Explanation):
            raise found
        check_class_names(names, found.logits)
        explained[name] = replace(found, views=views, inputs=inputs, how=subject.reading)
    return explained if isinstance(method, list | tuple | Mapping) else explained[""]


def _are_several(target: UserTarget, inputs: Tensor) -> TypeGuard[Sequence[int | str]]:
    """Whether these are classes of one image."""
    return len(inputs) == 1 and isinstance(target, list | tuple) and len(target) > 1


def inputs_of(
    subject: LoadedModel, images: Any, preprocess: Preparation | None = None, window: Window = None
) -> tuple[Tensor, tuple[View, ...]]:
    """The model's input, and each picture with the part of it that the model sees."""
    from vitreous.render.view import View

    parameter = next(subject.model.parameters(), torch.empty(0))
    check_precise(parameter.device)
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
    _check_one_input(images)
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
        return batch.to(parameter), tuple(View(picture, prepare.box(picture)) for picture in opened)
    prepared = [_prepared(prepare, picture) for picture in opened]
    if len(sizes := {tuple(each.shape) for each in prepared}) > 1:
        raise ShapeError(f"`preprocess` gave tensors of the shapes {sorted(sizes)}. Resize and crop to one size.")
    return torch.stack(prepared).to(parameter), tuple(View.of(picture) for picture in opened)


def _check_one_input(images: Any) -> None:
    """Refuse several tensors, or tensors by name: what a processor gives, or the inputs of a model that takes several.

    Raises:
        ShapeError: likewise.
    """
    named = (
        images if isinstance(images, Mapping) else dict(enumerate(images)) if isinstance(images, list | tuple) else {}
    )
    found = {name: tuple(each.shape) for name, each in named.items() if isinstance(each, Tensor)}
    if not found and not isinstance(images, Mapping):
        return
    shown = ", ".join(f"{name!r} {shape}" for name, shape in found.items()) or "none"
    likely = "pixel_values" if "pixel_values" in found else next(iter(found), "pixel_values")
    stack = ", or torch.stack pictures of one size" if len(set(found.values())) == 1 and len(found) > 1 else ""
    raise ShapeError(
        f"`images` is a `{type(images).__name__}` that holds the tensors {shown}, and one is explained. "
        f"Give that one, images[{likely!r}]{stack}; a model that takes several is explained in a module whose "
        "forward takes that one and holds the others."
    )


def _prepared(prepare: Callable[[Any], Any], picture: Image) -> Tensor:
    """What a function of the user's makes of a picture, without the batch axis that some add."""
    try:
        image = prepare(picture)
    except Exception as error:  # it is not ours
        raise ModelError(
            f"`preprocess` failed on a picture of {picture.width}×{picture.height} RGB pixels: "
            f"{told(error)}. It must take a PIL image."
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
