"""A model as it is watched: in evaluation mode, outside of inference mode, as Python; and what cannot be watched."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.parameter import is_lazy

from vitreous.errors import ModelError, NothingObserved, ShapeError
from vitreous.trace.changes import Changes, changes

__all__ = ["check_input", "check_precise", "check_weights", "evaluating", "is_scripted", "nothing_observed", "settled"]


@contextmanager
def evaluating(model: nn.Module) -> Generator[None]:
    """Evaluation mode, outside inference mode, compiled parts run as the Python they were compiled from.

    Raises:
        ModelError: as `check_weights`.
    """
    with settled(model):
        yield


@contextmanager
def settled(model: nn.Module) -> Generator[Changes]:
    """Likewise; what is yielded takes further changes.

    Raises:
        ModelError: as `check_weights`.
    """
    check_weights(model)
    with torch.inference_mode(False), changes() as change:
        change.evaluate(model)
        change.run_as_python(model)
        yield change


def check_weights(model: nn.Module) -> None:
    """Refuse a model that torch cannot differentiate.

    Raises:
        ModelError: it was made in inference mode, or has weights without a size.
    """
    if any(is_lazy(each) for each in (*model.parameters(), *model.buffers())):
        raise ModelError(
            f"`{type(model).__name__}` has weights that get their size from the first input, as of nn.LazyLinear, and "
            "had none yet. Load its weights, or call it once."
        )
    if any(parameter.is_inference() for parameter in model.parameters()):
        raise ModelError(
            f"the weights of `{type(model).__name__}` were made in inference mode, where torch keeps nothing that a "
            "gradient needs. Load the model outside of torch.inference_mode()."
        )


def check_input(images: Any) -> None:
    """Refuse what no model can explain.

    Raises:
        ShapeError: no tensor, not floating point, empty, not finite, or without numbers that could be read.
        ModelError: torch's default device is another than the CPU.
    """
    if not isinstance(images, Tensor):
        raise ShapeError(f"`images` are a `{type(images).__name__}`. Give a tensor, as the model takes it.")
    if not images.is_floating_point():
        raise ShapeError(f"`images` must be normalized floating point; got {images.dtype}. Pass pictures or arrays.")
    _check_readable(images)
    if (default := torch.get_default_device()).type != "cpu":
        raise ModelError(
            f"torch makes new tensors on {default} by default, and numbers are drawn on the CPU here, so that they are "
            'the same everywhere. Explain inside of `with torch.device("cpu"):`; model and images stay where they are.'
        )
    if not images.numel():
        raise ShapeError(f"`images` is empty: {tuple(images.shape)}. Give at least one image.")
    if not images.isfinite().all():
        raise ShapeError(
            f"`images` {tuple(images.shape)} holds NaN or infinite values. Check how they were normalized."
        )


def _check_readable(images: Tensor) -> None:
    """Refuse tensors whose numbers lie nowhere, or not one after the other."""
    if torch._C._functorch.is_functorch_wrapped_tensor(images):  # pyright: ignore[reportPrivateUsage, reportAttributeAccessIssue]
        raise ShapeError(
            "`images` are inside of torch.func, such as vmap or grad, where numbers cannot be read. Explain outside of "
            "it: a batch is explained at once."
        )
    if images.layout is not torch.strided:
        raise ShapeError(f"`images` are laid out as {images.layout}. Give a dense tensor: images.to_dense().")
    if images.is_meta and type(images) is Tensor:
        raise ShapeError("`images` are on the device meta, which holds no numbers. Give them on the CPU or a GPU.")


def check_precise(device: torch.device) -> None:
    """Refuse a device that computes nothing in double precision, as what is measured of a model is in part.

    Raises:
        ModelError: it is one.

    >>> check_precise(torch.device("cpu"))
    """
    if device.type == "mps":
        raise ModelError(
            f"the images are on {device}, a Mac's GPU, which computes nothing in float64, as explanations do in part. "
            "Explain on the CPU: model.cpu() and images.cpu() (--device cpu)."
        )


def nothing_observed(model: str, part: str, *, is_scripted: bool) -> NothingObserved:
    """Why no attention was seen in a model, or in a part of it, and what to do."""
    if part:
        return NothingObserved(
            f"`{part}` of `{model}` ran without any attention between tokens that torch could show. "
            "Name another part= of the model (--part)."
        )
    if is_scripted:
        return NothingObserved(
            f"`{model}` holds TorchScript or an exported program, and attention inside of such a graph cannot be "
            "seen. Pass the model that it was made from."
        )
    return NothingObserved(
        f"`{model}` ran without any attention between tokens that torch could show, as convolutional networks and "
        "linear or factorized attention do. Use a method that reads a layer, such as `grad_cam`, or hides parts of the "
        "picture, such as `rise`; a flash-attention or xformers kernel can be switched to torch's own."
    )


def is_scripted(model: nn.Module) -> bool:
    """Whether parts of the model are TorchScript, or were exported: nothing is seen there."""
    return any(isinstance(module, torch.jit.ScriptModule) or _is_exported(module) for module in model.modules())


def _is_exported(module: nn.Module) -> bool:
    """Whether a module is a graph of operators; one that was only traced symbolically calls functions."""
    nodes = module.graph.nodes if isinstance(module, fx.GraphModule) else ()
    return any(type(node.target).__module__ == "torch._ops" for node in nodes)
