"""Changes to a model that end with the block, and act on the thread that makes them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torch.utils import _pytree as pytree

from vitreous.errors import ModelError, UnknownName
from vitreous.trace.changes import changes
from vitreous.trace.intercept import Interceptor
from vitreous.trace.seen import AttentionSeen

__all__ = [
    "change_attention",
    "change_inputs",
    "change_output",
    "evaluation",
    "find_layers",
    "find_part",
    "first_tensor",
    "stop_gradient",
]


@contextmanager
def evaluation(model: nn.Module) -> Generator[None]:
    """Run in evaluation mode (no dropout, running statistics); every module gets its own mode back.

    Several threads may do so at once: the last one to leave gives the modes back.
    """
    with changes() as change:
        change.evaluate(model)
        yield


@contextmanager
def stop_gradient(model: nn.Module, names: Iterable[str]) -> Generator[None]:
    """Let no gradient pass backwards through the inputs of the named modules.

    With the attention modules named, gradients travel between blocks along the skip path and the MLPs alone.

    Raises:
        UnknownName: a name is not a module of the model.
    """

    def detach(given: Any) -> Any:
        return pytree.tree_map_only(Tensor, Tensor.detach, given)

    with change_inputs(model, names, detach):
        yield


@contextmanager
def change_attention(attend: Callable[[AttentionSeen], Tensor | None]) -> Generator[None]:
    """Let every attention that runs in the block be as `attend` has it; see `Interceptor`."""
    with changes() as made:
        made.enter(Interceptor(attend))
        yield


@contextmanager
def change_inputs(model: nn.Module, names: Iterable[str], change: Callable[[Any], Any]) -> Generator[None]:
    """Let the named modules take `change((args, kwargs))` in place of what they are given; None changes nothing.

    Raises:
        UnknownName: a name is not a module of the model.
    """
    with changes() as made:
        for module in find_layers(model, names).values():
            made.before(module, change)
        yield


@contextmanager
def change_output(
    model: nn.Module, name: str, change: Callable[[Tensor], Tensor], *, run: int | None = None
) -> Generator[None]:
    """Let the named module give `change(output)` in place of its output, or of the first of several.

    Args:
        model: comes back as it was.
        name: of the module.
        change: from what it gives to what it shall give.
        run: which of its runs in the block, from 0; None for all.

    Raises:
        UnknownName: the name is not a module of the model.
    """
    runs = itertools.count()

    def replace(output: Any) -> Any:
        if run not in (None, next(runs)):
            return None
        return (change(output[0]), *output[1:]) if isinstance(output, tuple) else change(output)

    with changes() as made:
        made.after(find_layers(model, [name])[name], replace)
        yield


def first_tensor(output: Any) -> Tensor | None:
    """What a module gave, or the first of several; None where that is no tensor."""
    first = output[0] if isinstance(output, tuple) and output else output
    return first if isinstance(first, Tensor) else None


def find_layers(model: nn.Module, names: Any) -> dict[str, nn.Module]:
    """The modules with these dotted names.

    Raises:
        UnknownName: a name is not a module of the model.
    """
    modules, wanted = dict(_modules(model)), _listed(names)
    for name in wanted:
        if not isinstance(name, str) or name not in modules:
            raise UnknownName("layer", name, [known for known in modules if known])
    return {name: modules[name] for name in wanted}


def find_part(model: nn.Module, name: str) -> None:
    """Refuse a part of the model that is none of its modules; "" is the whole.

    Raises:
        UnknownName: so it is.
    """
    modules = dict(_modules(model))
    if name not in modules:
        known = [each for each in modules if each]
        raise UnknownName("part", name, known, remedy="Say a module that holds one encoder by part= (--part).")


def _listed(names: Any) -> list[Any]:
    """Names as they are given, or what was given in their place."""
    try:
        return [names] if isinstance(names, str) else [*names]
    except TypeError:
        return [names]


def _modules(model: Any) -> Iterator[tuple[str, nn.Module]]:
    """All modules by name.

    Raises:
        ModelError: it is no module.
    """
    if not isinstance(model, nn.Module):
        within = ", its `.model`" if isinstance(getattr(model, "model", None), nn.Module) else ""
        raise ModelError(f"the model is a `{type(model).__name__}`. Give a torch module{within}.")
    return model.named_modules()
