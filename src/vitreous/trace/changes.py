"""Changes to a model and to this thread that end with a block: hooks, evaluation mode, modes of torch.

They act on the thread that makes them, and not inside the recording of another model; what threads must share
(evaluation mode, compiled parts run as Python) begins with the first that wants it and ends with the last. Each is
noted before or in the act of being made, and undoing is safe to repeat, so an interrupt at any point leaves none.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Hashable
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from threading import RLock, get_ident
from traceback import clear_frames
from typing import Any

import torch
from torch import nn, overrides
from torch.overrides import TorchFunctionMode

__all__ = ["Changes", "Place", "aside", "changes", "takes_hooks"]


@dataclass(frozen=True, eq=False)
class _Pass:
    """A recorded forward pass that is running, and the one in whose forward pass it began."""

    outer: _Pass | None


_PASS: ContextVar[_Pass | None] = ContextVar("pass", default=None)


@dataclass(frozen=True)
class Place:
    """Where a change was made: it acts on that thread, and in the recording made there but not in one further in."""

    thread: int = field(default_factory=get_ident)
    inside: _Pass | None = field(default_factory=_PASS.get)

    @property
    def is_here(self) -> bool:
        """Whether the code now running is what the change was made for."""
        running = _PASS.get()
        within = running is self.inside or (running is not None and running.outer is self.inside)
        return within and get_ident() == self.thread


@dataclass
class _Shared:
    """A change that many may want at once.

    Attributes:
        leave: undoes it, also where it has not been made yet.
        holders: who wants it now.
    """

    leave: Callable[[], object]
    holders: set[object] = field(default_factory=set[object])


# One at a time: torch numbers hooks without a lock, and what is shared has one owner.
_LOCK = RLock()
_SHARED: dict[Hashable, _Shared] = {}


class Changes:
    """What is changed until the end of the block of `changes`."""

    def __init__(self) -> None:
        self._place = Place()
        self._undo: list[Callable[[], object]] = []

    def before(self, module: nn.Module, hook: Callable[[Any], Any], *, further_in: bool = False) -> None:
        """Call `hook` with (args, kwargs) when the module is about to run; it may return others to run it with.

        Nothing calls it of a module that was scripted.

        Args:
            module: that is about to run.
            hook: called with its input.
            further_in: also in recordings that begin within others, on this thread.
        """

        def guarded(_: nn.Module, *given: Any) -> Any:
            is_here = get_ident() == self._place.thread if further_in else self._place.is_here
            return hook(given) if is_here else None

        if not takes_hooks(module):
            return
        with _LOCK:
            self._undo.append(module.register_forward_pre_hook(guarded, with_kwargs=True).remove)

    def after(self, module: nn.Module, hook: Callable[[Any], Any], *, always: bool = False) -> None:
        """Call `hook` with what the module gave; it may return something else in its place. As `before`.

        Args:
            module: whose output it is.
            hook: called with it.
            always: also where the module raised an exception.
        """

        def guarded(_: nn.Module, __: Any, output: Any) -> Any:
            return hook(output) if self._place.is_here else None

        if not takes_hooks(module):
            return
        with _LOCK:
            self._undo.append(module.register_forward_hook(guarded, always_call=always).remove)

    def running(self, model: nn.Module) -> Callable[[], str]:
        """Follow which module runs: a function that says its dotted name, "" for the model itself."""
        stack: list[str] = []

        def enter(name: str) -> Callable[[Any], None]:
            return lambda _: stack.append(name)

        def leave(_: Any) -> None:
            if stack:
                stack.pop()

        for name, module in model.named_modules():
            self.before(module, enter(name))
            self.after(module, leave, always=True)
        return lambda: stack[-1] if stack else ""

    def evaluate(self, model: nn.Module) -> None:
        """Evaluation mode: no dropout, running statistics. Every module gets its own mode back."""
        with _LOCK:
            for module in model.modules():
                if module.training or module in _SHARED:
                    self._share(module, partial(_set_training, module, False), partial(_set_training, module, True))

    def run_as_python(self, model: nn.Module) -> None:
        """Let compiled parts run as the Python that they were compiled from."""
        if any(hasattr(m, "_orig_mod") or getattr(m, "_compiled_call_impl", None) for m in model.modules()):
            stances: list[Any] = []
            self._share(
                "compiler's stance",
                lambda: stances.append(torch.compiler.set_stance("force_eager")),
                lambda: [stance.__exit__(None, None, None) for stance in stances],
            )

    def gradients(self, enabled: bool) -> None:
        """Record gradients, or do not."""
        self._undo.append(partial(torch.set_grad_enabled, torch.is_grad_enabled()))
        torch.set_grad_enabled(enabled)

    def enter(self, mode: TorchFunctionMode) -> None:
        """Let a mode of torch see every call."""
        self._undo.append(partial(_set_modes, overrides._get_current_function_mode_stack()))  # pyright: ignore[reportPrivateUsage]
        mode.__enter__()

    def start_pass(self) -> None:
        """From here on, changes made outside of the block do not act on what is recorded further in."""
        outer = _PASS.get()
        self._undo.append(partial(_PASS.set, outer))
        _PASS.set(_Pass(outer))

    def undo(self) -> None:
        """Put everything back, last first."""
        while self._undo:
            self._undo[-1]()
            self._undo.pop()

    def _share(self, key: Hashable, enter: Callable[[], object], leave: Callable[[], object]) -> None:
        self._undo.append(partial(self._give_up, key))
        with _LOCK:
            shared = _SHARED.setdefault(key, _Shared(leave))
            first = not shared.holders
            shared.holders.add(self)
            if first:
                enter()

    def _give_up(self, key: Hashable) -> None:
        with _LOCK:
            if (shared := _SHARED.get(key)) is None:
                return
            shared.holders.discard(self)
            if not shared.holders:
                shared.leave()
                _SHARED.pop(key, None)


def takes_hooks(module: nn.Module) -> bool:
    """Whether a module says when it runs, as one that was scripted does not."""
    return type(module).register_forward_hook is nn.Module.register_forward_hook


@contextmanager
def changes() -> Generator[Changes]:
    """Yield what notes the changes that are made within the block, and undo them at its end."""
    made = Changes()
    try:
        try:
            yield made
        except KeyboardInterrupt as interrupt:
            clear_frames(interrupt.__traceback__)  # blocks of torch's that it broke off end before ours, not after
            raise
        finally:
            made.undo()
    finally:
        made.undo()  # what an interrupt of the first left


@contextmanager
def aside() -> Generator[None]:
    """Run the model as if nobody else watched it: what was changed outside of the block does not act in recordings."""
    with changes() as made:
        made.start_pass()
        yield


def _set_training(module: nn.Module, training: bool) -> None:
    module.training = training


def _set_modes(modes: list[TorchFunctionMode]) -> None:
    """Make torch's stack of modes what it was: an interrupt inside torch leaves one too many on it, or one too few."""
    while (now := overrides._get_current_function_mode_stack()) != modes[: len(now)]:  # pyright: ignore[reportPrivateUsage]
        overrides._pop_mode()  # pyright: ignore[reportPrivateUsage]
    for mode in modes[len(now) :]:
        overrides._push_mode(mode)  # pyright: ignore[reportPrivateUsage]
