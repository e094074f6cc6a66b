"""One watched forward pass: `record(model, images)`. All that looks at a model stands on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from vitreous.errors import NoTokenGrid, ObservationError, ShapeError, UnknownName
from vitreous.trace.chance import no_chance
from vitreous.trace.changes import aside
from vitreous.trace.edit import find_layers, find_part
from vitreous.trace.flow import passes
from vitreous.trace.intercept import Interceptor
from vitreous.trace.observed import TokenGrid
from vitreous.trace.once import once
from vitreous.trace.order import check_order
from vitreous.trace.places import Reads, measure_tokens
from vitreous.trace.reading import Reading, current_reading, reading
from vitreous.trace.recording import Recording
from vitreous.trace.running import run
from vitreous.trace.seen import AttentionSeen
from vitreous.trace.settled import check_input, check_precise, is_scripted, settled
from vitreous.trace.unseen import check_open

__all__ = ["SAY_CALL", "record", "tokens_of"]

SAY_CALL = "Say one of these by call= (--call), or nothing where there is but one."


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
        ShapeError: `images` is not finite or not floating point, or an argument is of another type.
        ModelError: the weights were made in inference mode, or a Mac's GPU has the images.
        UnknownName: there is no such module.
        ObservationError: a module of which something is to be kept did not run, or had no tensor to keep, or what it
            had was overwritten afterwards, or it is TorchScript; attention that is to be shown is of fewer images than
            were given.

    Cost: one forward pass; hooks on every module say which one runs.

    >>> model = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, batch_first=True), 3, enable_nested_tensor=False)
    >>> seen = record(model, torch.randn(1, 5, 8), inputs=["layers.1.self_attn"])
    >>> seen.names, seen.sizes, seen.inputs["layers.1.self_attn"].shape
    (('layers.0.self_attn', 'layers.1.self_attn', 'layers.2.self_attn'), (5, 5, 5), torch.Size([1, 5, 8]))
    """
    check_input(images)
    check_precise(images.device)
    _check_asked(attention, projection, gradients)
    how, is_read = current_reading(), _choice(model, images)
    ran, names, places, unread = list[bool](), list[str](), list[int](), set[str]()
    given, made = _Kept("took"), _Kept("gave")

    def attend(seen: AttentionSeen) -> Tensor | None:
        ran.append(is_read(len(ran), seen.name))
        if not ran[-1]:
            unread.add(seen.name)
            return None
        if attention and seen.sizes[-1] and seen.images < len(images) and interceptor.sees_picture:
            raise ObservationError(
                f"`{seen.name}` of `{kind}` attends in {seen.images} of {len(images)} images at a time: the model runs "
                "them one by one, or joins them. Explain them one at a time, batch_size=1 (--batch-size 1)."
            )
        names.append(seen.name)
        places.append(len(ran) - 1)
        return attention(replace(seen, sizes=tuple(seen.sizes[at] for at in places))) if attention else None

    def project(values: Tensor, weight: Tensor) -> None:
        if projection and ran[-1]:
            projection(values, weight)

    def chosen(keep: Callable[[Any], Any], ahead: int) -> Callable[[Any], Any]:
        """Where a call is chosen, keep only what goes to, or comes from, an attention of that."""
        return lambda tree: keep(tree) if how.call is None or is_read(len(ran) - 1 + ahead, "") else None

    kind, takers, makers = type(model).__name__, find_layers(model, inputs), find_layers(model, outputs)
    check_open(takers | makers, kind)
    with no_chance(model, images), settled(model) as change:
        change.gradients(gradients)
        interceptor = Interceptor(attend, project, change.running(model), kind)
        for name, module in takers.items():
            change.before(module, chosen(given.keeper(name), ahead=1) if name else given.keeper(name))
        for name, module in makers.items():
            change.after(module, chosen(made.keeper(name), ahead=0))
        change.enter(interceptor)
        change.start_pass()
        interceptor.start(picture := images.clone())
        output = run(model, picture)
    given.check(inputs, kind)
    made.check(outputs, kind)
    # of those that are read, as bits of their own numbers
    above = [sum((interceptor.above[at] >> each & 1) << to for to, each in enumerate(places)) for at in places]
    return Recording(
        kind,
        output,
        len(images),
        tuple(names),
        tuple(interceptor.sizes[at] for at in places),
        tuple(passes(above, names)),
        tuple(places),
        frozenset(unread),
        given.tensors,
        made.tensors,
        interceptor.grid,
        how,
        lambda: _measured(model, images, is_read, how),
        lambda tokens: once(
            ("order", how, tokens, len(images)),
            model,
            images,
            lambda: check_order(model, images, tokens, is_read),
            picture=True,
        ),
        interceptor.reorders,
        is_scripted(model),
    )


def tokens_of(model: nn.Module, images: Tensor) -> TokenGrid:
    """How the tokens of the attention that is read lie on the picture, before the model runs on all of it.

    Raises:
        NothingObserved, NoTokenGrid, NoGlobalAttention: as `measure_tokens`.
        ObservationError: it finds no grid, and several passes ran of which none was chosen.
        UnknownName: the part or the call that is to be read does not exist.
    """
    check_input(images)
    check_precise(images.device)
    try:
        return _measured(model, images, _choice(model, images), current_reading())
    except NoTokenGrid:  # of several passes one must be chosen first
        with aside():
            record(model, images[:1]).check_one_pass()
        raise


def _measured(model: nn.Module, images: Tensor, is_read: Reads, how: Reading) -> TokenGrid:
    """As `measure_tokens`; which attentions are read follows from `how`."""
    return once(("tokens", how), model, images, lambda: measure_tokens(model, images, is_read))


def _check_asked(attention: Any, projection: Any, gradients: Any) -> None:
    for name, given in (("attention", attention), ("projection", projection)):
        if given is not None and not callable(given):
            raise ShapeError(f"`{name}` of `record` is {given!r:.80}. Give a function, or nothing.")
    if not isinstance(gradients, bool):
        raise ShapeError(f"`gradients` of `record` is {gradients!r:.80}. Give true or false.")


def _choice(model: nn.Module, images: Tensor) -> Reads:
    """Whether an attention, by its place among all that run and the module that runs it, is one that is read.

    Cost: nothing, or one forward pass of the first image where a call is chosen.
    """
    how = current_reading()
    find_part(model, how.part)
    if (call := how.call) is None:
        return lambda _, name: not how.part or f"{name}.".startswith(f"{how.part}.")
    return once("call", model, images, lambda: _of_call(model, images, how, call), picture=True)


def _of_call(model: nn.Module, images: Tensor, how: Reading, call: int) -> Reads:
    """Whether an attention is one of this call."""
    with reading(replace(how, call=None)), aside():
        seen = record(model, images[:1])
    if not seen.names:  # calls of layers alone are told apart by these
        return lambda _, __: True
    if call not in seen.passes:
        raise UnknownName("call", str(call), map(str, sorted(set(seen.passes))), remedy=SAY_CALL)
    chosen = {at for at, number in zip(seen.places, seen.passes, strict=True) if number == call}
    return lambda at, _: at in chosen


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
