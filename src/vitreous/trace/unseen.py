"""What a model computes where torch shows nothing, or nothing that is what it seems."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from vitreous.errors import ObservationError
from vitreous.trace.changes import takes_hooks
from vitreous.trace.product import tensors_in

__all__ = ["check_gradient", "check_open", "check_whole"]


def check_open(modules: Mapping[str, nn.Module], model: str) -> None:
    """Refuse to keep what modules take or give that show nothing of it.

    Args:
        modules: by dotted name.
        model: class name of the model.

    Raises:
        ObservationError: there is one.
    """
    if closed := [name for name, module in modules.items() if not takes_hooks(module)]:
        inside = f"`{closed[0]}` of `{model}`" if closed[0] else f"`{model}`"
        raise ObservationError(
            f"{inside} is TorchScript, which shows nothing of what it takes and gives. Pass the model that it was "
            "scripted from, or use a method that only runs the model, such as `rise`."
        )


def check_whole(given: Iterable[Any]) -> None:
    """Refuse numbers inside of a function transform, which belong to it and are no whole tensors.

    Args:
        given: to an operation.

    Raises:
        ObservationError: there are such; whole numbers, as of a mask, do no harm.
    """
    if any(tensor.is_floating_point() for tensor in tensors_in(given)):
        raise ObservationError(
            "the model computes inside of a function transform, such as torch.func.vmap, where tensors are not seen as "
            "they are. Let it run on the batch itself."
        )


def check_gradient(func: Callable[..., Any], args: Iterable[Any], result: Tensor) -> None:
    """Refuse an operator of a library's own that lets no gradient back, as those of quantized layers.

    Args:
        func: the operator.
        args: what it was given.
        result: what it gave.

    Raises:
        ObservationError: autograd would take what it cuts off for zero.
    """
    node = result.grad_fn
    carries = result.is_floating_point() and any(tensor.requires_grad for tensor in tensors_in(args))
    if torch.is_grad_enabled() and carries and (node is None or node.name() == "torch::autograd::WarnNotImplemented"):
        raise ObservationError(
            f"no gradient flows back through `{func}`, which the model calls. Explain the model as it was before "
            "quantization, or use a method that needs no gradient, such as `rise`."
        )
