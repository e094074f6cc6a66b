"""A device that computes on the CPU and refuses what CUDA refuses: `with strict_device(): model.to(DEVICE)`.

Its tensors hold a tensor of the CPU and say that they are elsewhere. So an operation on tensors of both is refused but
where one of them is a single number, an index into a tensor of the device, or a copy; so are numpy, and a generator of
the other device.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing

DEVICE = torch.device("meta")
"""The one that torch lets be without a driver: whatever says that it is there, is on ours."""

aten = torch.ops.aten
_COPIES = {aten.copy_.default, aten._to_copy.default}
_INDEXED = {aten.index.Tensor, aten.index_put_.default, aten.index_put.default, aten._index_put_impl_.default}
"""Of these, the indices may lie on the CPU where what they point into does not."""
_MATH = 0
"""Attention in single operations: the fused kernels are those of the CPU."""


class DeviceTensor(Tensor):
    """A tensor that is on the device, around one of the CPU with its numbers."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> DeviceTensor:
        made = Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls, held.size(), held.stride(), held.storage_offset(), dtype=held.dtype, layout=held.layout, device=DEVICE
        )
        made.held = held
        return made

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    def __repr__(self, *_: Any, **__: Any) -> str:
        return f"on the device: {self.held!r}"

    def tolist(self) -> Any:
        return self.held.tolist()

    def __getitem__(self, index: Any) -> Tensor:
        """A list of places is brought to the device where no mode sees it, so it is made a tensor first."""
        places = index if isinstance(index, tuple) else (index,)
        return super().__getitem__(tuple(torch.tensor(at) if isinstance(at, list) else at for at in places))

    def new_tensor(self, *args: Any, **kwargs: Any) -> Tensor:
        return self.held.new_tensor(*args, **kwargs).to(DEVICE)

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _carry_out(func, args, kwargs or {})


class _Made(TorchDispatchMode):
    """Sees what is made on the device out of nothing, or brought there."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _carry_out(func, args, kwargs or {})


def _carry_out(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    leaves = [each for each in pytree.tree_leaves((args, kwargs)) if isinstance(each, Tensor)]
    there = [each for each in leaves if isinstance(each, DeviceTensor)]
    lost = [each for each in leaves if each.device == DEVICE and not isinstance(each, DeviceTensor)]
    assert not lost, f"{func}: the numbers of {lost[0]!r} were lost where no mode saw it; see `_brought`"
    if func is aten._fused_sdp_choice.default and there:
        return _MATH
    wanted = kwargs.get("device")
    is_there = bool(there) if wanted is None else torch.device(wanted) == DEVICE
    if is_there and kwargs.get("generator"):
        raise RuntimeError(f"{func}: expected a generator of the device, and got one of the CPU")
    if there and func not in _COPIES:
        _check(func, args, leaves)
    bare_args, bare = pytree.tree_map_only(DeviceTensor, lambda each: each.held, (args, kwargs))
    found = func(*bare_args, **(bare if wanted is None else bare | {"device": "cpu"}))
    if func is aten.copy_.default:
        return args[0]
    if func is aten._local_scalar_dense.default or not is_there:
        return found
    found = pytree.tree_map_only(Tensor, DeviceTensor, found)
    return return_and_correct_aliasing(func, args, kwargs, found) if there else found


def _check(func: Any, args: Any, leaves: list[Tensor]) -> None:
    if func in _INDEXED and isinstance(args[0], DeviceTensor):
        leaves = [each for each in args[2:3] if isinstance(each, Tensor)]
    if any(each.ndim and not isinstance(each, DeviceTensor) for each in leaves):
        raise RuntimeError(f"{func}: expected all tensors to be on the same device, but some are on the CPU")


@contextmanager
def strict_device() -> Generator[None]:
    """Until the block ends, there is the device."""
    states = SimpleNamespace(get_rng_state=lambda _: torch.zeros(1, dtype=torch.uint8), synchronize=lambda *_: None)
    with (
        patch.object(torch, "get_device_module", lambda *_: states),
        patch.object(torch, "tensor", _brought(torch.tensor)),
        patch.object(torch, "as_tensor", _brought(torch.as_tensor)),
        _Made(),
    ):
        yield


def _brought(make: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Numbers of Python go to the device by `to`: torch brings them there where no mode sees it."""

    def brought(*args: Any, device: Any = None, **kwargs: Any) -> Tensor:
        made = make(*args, **kwargs)
        return made if device is None else made.to(device)

    return brought
