"""Processes that share one run, as `torchrun` starts them."""

from __future__ import annotations

import os
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn

from vitreous.errors import ModelError, first_sentence
from vitreous.models.device import find_device

__all__ = ["Processes", "is_first", "join"]


@dataclass(frozen=True)
class Processes:
    """Who takes part in a run, seen from one process.

    Attributes:
        device: where this one computes.
        rank: its number; 0 writes and reports.
        count: of all.
    """

    device: torch.device
    rank: int = 0
    count: int = 1

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its mean over the processes: the same bits in all of them."""
        if self.count == 1:
            return
        flat = torch.cat([tensor.detach().flatten() for tensor in tensors])
        dist.all_reduce(flat)
        with torch.no_grad():
            for tensor, mean in zip(tensors, flat.div_(self.count).split([t.numel() for t in tensors]), strict=True):
                tensor.copy_(mean.view_as(tensor))

    def share(self, model: nn.Module, optimizer: torch.optim.Optimizer, total: Tensor) -> None:
        """Average a step's gradients and loss, and the running statistics of the model's batch norms.

        Raises:
            ModelError: the loss is not finite, in all processes.
        """
        gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        running = [seen for name, seen in model.named_buffers() if name.endswith(("running_mean", "running_var"))]
        self.average([*gradients, *running, total])
        if not total.isfinite():
            raise ModelError(
                f"the loss became {total.item()}, so training stopped; the best weights so far are kept. Start again "
                "elsewhere, with a lower `lr` or a longer warm-up."
            )


def is_first() -> bool:
    """Whether this is the process that writes and reports; asked before `join` as well."""
    return int(os.environ.get("RANK", "0")) == 0


@contextmanager
def join(device: torch.device) -> Generator[Processes]:
    """Meet the other processes, inside the block. Where there are several, each takes a GPU of its own, or the CPU.

    A process group that exists already is used, and left.

    Raises:
        ModelError: there are fewer GPUs than processes, or they do not find each other.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Processes(device)
        return
    if device.type == "cuda":
        device = find_device(f"cuda:{os.environ['LOCAL_RANK']}")
        torch.cuda.set_device(device)
    ours = not dist.is_initialized()
    if ours:
        try:
            dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
        except (RuntimeError, ValueError) as error:
            said = first_sentence(error)
            raise ModelError(f"the processes cannot meet: {said}. Start them with torchrun.") from None
    try:
        yield Processes(device, dist.get_rank(), dist.get_world_size())
    finally:
        if ours:
            dist.destroy_process_group()
