"""One watched forward pass: `record(model, images)`. All that looks at a model stands on it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from vitreous.errors import ModelError, NothingObserved, ObservationError, ShapeError
from vitreous.shapes import Logits
from vitreous.trace.changes import Changes, changes
from vitreous.trace.edit import find_layers
from vitreous.trace.intercept import Interceptor
from vitreous.trace.record import TokenGrid, check_same_tokens, token_grid
from vitreous.trace.seen import AttentionSeen
from vitreous.trace.target import logits_of

__all__ = ["Recording", "check_input", "check_weights", "quiet", "record"]


@dataclass(frozen=True)
class Recording:
    """What one forward pass showed.

    Attributes:
        model: class name of the model, for messages.
        output: what the model returned.
        names: dotted names of the modules that ran attention, in order.
        sizes: how many tokens attend to each other there; None where queries and keys are not the same tokens, 0 where
            they are channels.
        grid: (height, width) of the patches; None where there was no attention or no convolution before it.
        inputs: what went into the modules asked for, by dotted name: the first tensor that each was given, at its last
            call.
        outputs: what came out of the modules asked for, likewise.
        is_scripted: whether parts of the model are TorchScript, in which nothing is seen.
    """

    model: str
    output: Any
    names: tuple[str, ...]
    sizes: tuple[int | None, ...]
    grid: tuple[int, int] | None
    inputs: Mapping[str, Tensor]
    outputs: Mapping[str, Tensor]
    is_scripted: bool = False

    @property
    def logits(self) -> Logits:
        """The class scores.

        Raises:
            ModelError: the model gave none.
        """
        return logits_of(self.output, self.model)

    @property
    def tokens(self) -> TokenGrid:
        """The token grid of a model whose attention runs between the same tokens throughout.

        Raises:
            NothingObserved: no attention was seen.
            NoTokenGrid, NoGlobalAttention: as `token_grid` and `check_same_tokens`.
        """
        self.check_attention()
        tokens = token_grid(self.grid, self.sizes[0], self.model)
        check_same_tokens(tokens, self.sizes, self.model)
        return tokens

    def check_attention(self) -> None:
        """Refuse a model without attention.

        Raises:
            NothingObserved: none was seen.
        """
        if self.names:
            return
        if self.is_scripted:
            raise NothingObserved(
                f"`{self.model}` holds TorchScript, and attention inside a TorchScript graph cannot be seen. "
                "Pass the model that it was scripted or traced from."
            )
        raise NothingObserved(
            f"`{self.model}` ran without any attention between tokens that torch could show, as convolutional networks "
            "and linear or factorized attention do. Use a method that reads a layer, such as `grad_cam`, or hides "
            "parts of the picture, such as `rise`; a flash-attention or xformers kernel can be switched to torch's own."
        )


def record(
    model: nn.Module,
    images: Tensor,
    *,
    attention: Callable[[AttentionSeen], Tensor | None] | None = None,
    projection: Callable[[Tensor, Tensor], None] | None = None,
    inputs: Sequence[str] = (),
    outputs: Sequence[str] = (),
    gradients: bool = False,
) -> Recording:
    """Run the model once, show each attention to a function of yours, and keep what goes into and comes out of modules.

    The model is unchanged during and after the call, also after an exception. It runs in evaluation mode, outside of
    inference mode and in its own precision. Other threads may run it, or record it, at the same time; a recording that
    begins in the forward pass of another is none of the other's business.

    Args:
        model: any `nn.Module`; attention that runs inside compiled graphs or kernels of other packages is not seen.
        images: the model's input; floating point, finite.
        attention: called with each attention when it is about to run, in order. Of torch's fused attention it may
            return the mixed values; None leaves them to torch.
        projection: called with (values, weight) of each attention whose result goes through a linear map as it is.
        inputs: dotted names of modules whose input to keep, "" for the model's own. The input of an attention is that
            of the module named in `names`.
        outputs: dotted names of modules whose output to keep.
        gradients: keep the autograd graph, so that one can differentiate in what is kept.

    Raises:
        ShapeError: `images` is not finite or not floating point.
        ModelError: the weights were made in inference mode.
        UnknownName: there is no such module.
        ObservationError: a module of which something is to be kept did not run, or had no tensor to keep, or what it
            had was overwritten afterwards.

    Cost: one forward pass; hooks on every module say which one runs.

    >>> model = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, batch_first=True), 3, enable_nested_tensor=False)
    >>> seen = record(model, torch.randn(1, 5, 8), inputs=["layers.1.self_attn"])
    >>> seen.names, seen.sizes, seen.inputs["layers.1.self_attn"].shape
    (('layers.0.self_attn', 'layers.1.self_attn', 'layers.2.self_attn'), (5, 5, 5), torch.Size([1, 5, 8]))
    """
    check_input(images)
    names: list[str] = []
    given, made = _Kept("took"), _Kept("gave")

    def attend(seen: AttentionSeen) -> Tensor | None:
        names.append(seen.name)
        return attention(seen) if attention else None

    kind = type(model).__name__
    with _settled(model) as change:
        change.gradients(gradients)
        interceptor = Interceptor(attend, projection, change.running(model), kind)
        for name, module in find_layers(model, inputs).items():
            change.before(module, given.keeper(name))
        for name, module in find_layers(model, outputs).items():
            change.after(module, made.keeper(name))
        change.enter(interceptor)
        change.start_pass()
        output = model(images.clone())
    given.check(inputs, kind)
    made.check(outputs, kind)
    scripted = any(isinstance(module, torch.jit.ScriptModule) for module in model.modules())
    return Recording(
        kind, output, tuple(names), interceptor.sizes, interceptor.grid, given.tensors, made.tensors, scripted
    )


@contextmanager
def quiet(model: nn.Module) -> Generator[None]:
    """Evaluation mode, outside inference mode, compiled parts run as the Python they were compiled from.

    Raises:
        ModelError: as `check_weights`.
    """
    with _settled(model):
        yield


@contextmanager
def _settled(model: nn.Module) -> Generator[Changes]:
    check_weights(model)
    with torch.inference_mode(False), changes() as change:
        change.evaluate(model)
        change.run_as_python(model)
        yield change


class _Kept:
    """The tensors that modules took or gave; `verb` says which, for messages."""

    def __init__(self, verb: str) -> None:
        self.verb = verb
        self.tensors: dict[str, Tensor] = {}
        self._versions: dict[str, int] = {}

    def keeper(self, name: str) -> Callable[[Any], Any]:
        """What keeps the first tensor of a module's input or output, and lets the model go on from it."""

        def keep(tree: Any) -> Any:
            tensor = next((leaf for leaf in pytree.tree_leaves(tree) if isinstance(leaf, Tensor)), None)
            if tensor is None:
                return None
            kept, passed_on = _started(tensor)
            self.tensors[name], self._versions[name] = kept, kept._version
            return None if passed_on is tensor else pytree.tree_map(lambda x: passed_on if x is tensor else x, tree)

        return keep

    def check(self, names: Sequence[str], model: str) -> None:
        """Refuse to give what is not there, or no longer is what it was.

        Raises:
            ObservationError: a module had no tensor, or the tensor was overwritten.
        """
        for name in names:
            if name not in self.tensors:
                raise ObservationError(
                    f"`{name}` of `{model}` {self.verb} no tensor when the model ran. Name a module that does."
                )
            if self.tensors[name]._version != self._versions[name]:
                raise ObservationError(
                    f"what `{name}` of `{model}` {self.verb} was overwritten in place by a later operation. "
                    "Name the module that follows, or run that operation out of place."
                )


def _started(tensor: Tensor) -> tuple[Tensor, Tensor]:
    """What is kept, and what the model goes on with: gradients start there if they did not before."""
    if not torch.is_grad_enabled():
        return tensor.clone(), tensor
    if tensor.requires_grad or not tensor.is_floating_point():
        return tensor, tensor
    kept = tensor.detach().requires_grad_()  # another tensor: what is given may be a frozen parameter
    return kept, kept.clone()  # the model may go on in place


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
