"""See a forward pass: `observe(model, images)`."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from vitreous.errors import ModelError, NothingObserved, ShapeError
from vitreous.trace.attend import AttentionCall
from vitreous.trace.edit import evaluation, find_layers
from vitreous.trace.intercept import Interceptor, on_graph
from vitreous.trace.names import running_names
from vitreous.trace.record import Attention, Trace

__all__ = ["check_input", "check_weights", "nothing_observed", "observe", "quiet"]


def observe(model: nn.Module, images: Tensor, *, layers: Sequence[str] = ()) -> Trace:
    """Run the model once and keep its attention, the layer outputs asked for and the token grid.

    The model is unchanged during and after the call, also after an exception: fused attention is replaced by its
    definition for this call only. Runs in evaluation mode, with gradients enabled, in the model's own precision.

    Args:
        model: any `nn.Module`; attention that runs inside compiled graphs or kernels of other packages is not seen.
        images: the model's input; floating point, finite.
        layers: dotted names of modules whose outputs to keep.

    Returns:
        the trace. It holds scores and weights of every attention, 2·batch·layers·heads·tokens² numbers, and the
        autograd graph: explain large batches in chunks.

    Raises:
        NothingObserved: no attention was seen.
        ShapeError: `images` is not finite or not floating point.
        ModelError: the weights were made in inference mode.
        UnknownName: a layer does not exist.

    >>> model = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, batch_first=True), 3, enable_nested_tensor=False)
    >>> [a.name for a in observe(model, torch.randn(1, 5, 8)).attentions]
    ['layers.0.self_attn', 'layers.1.self_attn', 'layers.2.self_attn']
    """
    check_input(images)
    attentions: list[Attention] = []
    outputs: dict[str, Tensor] = {}

    with ExitStack() as stack:
        stack.enter_context(quiet(model))
        stack.enter_context(torch.enable_grad())
        name = stack.enter_context(running_names(model))
        for layer, module in find_layers(model, layers).items():
            handle = module.register_forward_hook(_keep(outputs, layer))
            stack.callback(handle.remove)

        def attend(call: AttentionCall) -> Tensor:
            scores = call.scores()
            weights = on_graph(scores.softmax(-1))
            attentions.append(Attention(name(), scores, weights))
            return call.mix(weights)

        def mixed(scores: Tensor, weights: Tensor) -> None:
            attentions.append(Attention(name(), scores, weights))

        def projected(values: Tensor, weight: Tensor) -> None:
            attentions[-1] = replace(attentions[-1], values=values, projection=weight)

        interceptor = stack.enter_context(Interceptor(attend, mixed, projected))
        output = model(images.clone())

    if not attentions:
        raise nothing_observed(model)
    known = tuple(replace(each, tokens=size) for each, size in zip(attentions, interceptor.sizes, strict=True))
    return Trace(type(model).__name__, output, known, outputs, interceptor.grid)


@contextmanager
def quiet(model: nn.Module) -> Generator[None]:
    """Evaluation mode, outside inference mode, compiled parts run as the Python they were compiled from.

    Raises:
        ModelError: as `check_weights`.
    """
    check_weights(model)
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(evaluation(model))
        if any(hasattr(m, "_orig_mod") or getattr(m, "_compiled_call_impl", None) for m in model.modules()):
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        yield


def check_weights(model: nn.Module) -> None:
    """Refuse a model that torch cannot differentiate.

    Raises:
        ModelError: it was made in inference mode.
    """
    if any(parameter.is_inference() for parameter in model.parameters()):
        raise ModelError(
            f"the weights of `{type(model).__name__}` were made in inference mode, where torch keeps nothing that a "
            "gradient needs. Load the model outside of torch.inference_mode()."
        )


def check_input(images: Tensor) -> None:
    """Refuse what no model can explain.

    Raises:
        ShapeError: not floating point, empty or not finite.
    """
    if not images.is_floating_point():
        raise ShapeError(f"`images` must be normalized floating point; got {images.dtype}. Pass pictures or arrays.")
    if not images.numel():
        raise ShapeError(f"`images` is empty: {tuple(images.shape)}. Give at least one image.")
    if not images.isfinite().all():
        raise ShapeError(
            f"`images` {tuple(images.shape)} holds NaN or infinite values. Check how they were normalized."
        )


def nothing_observed(model: nn.Module) -> NothingObserved:
    """Why no attention was seen, and what to do."""
    kind = type(model).__name__
    if any(isinstance(module, torch.jit.ScriptModule) for module in model.modules()):
        return NothingObserved(
            f"`{kind}` holds TorchScript, and attention inside a TorchScript graph cannot be seen. "
            "Pass the model that it was scripted or traced from."
        )
    return NothingObserved(
        f"`{kind}` ran without any attention between tokens that torch could show, as convolutional networks and "
        "linear or factorized attention do. Use a method that reads a layer, such as `grad_cam`, or hides parts of the "
        "picture, such as `rise`; a flash-attention or xformers kernel can be switched to torch's own."
    )


def _keep(outputs: dict[str, Tensor], layer: str) -> Callable[..., None]:
    def hook(_: nn.Module, __: Any, output: Any) -> None:
        tensor = output[0] if isinstance(output, tuple) else output
        outputs[layer] = on_graph(tensor)

    return hook
