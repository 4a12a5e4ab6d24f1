"""Where training runs: a processor or a CUDA device, alone or as one of several processes of ``torchrun``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import torch
from torch import distributed


@dataclass(frozen=True, slots=True)
class Machine:
    """One process's device and place among the processes."""

    device: torch.device
    rank: int = 0
    world: int = 1

    @property
    def precision(self) -> torch.dtype | None:
        """Of the forward pass: bfloat16 on a CUDA device that has it, else float16; None is float32 (processors)."""
        if self.device.type != "cuda":
            return None
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16

    @property
    def scales(self) -> bool:
        """Whether the loss has to be scaled: float16 would lose small gradients, bfloat16 does not."""
        return self.precision is torch.float16

    def autocast(self) -> AbstractContextManager[None]:
        """Mixed precision where there is some."""
        precision = self.precision
        return torch.autocast(self.device.type, dtype=precision, enabled=precision is not None)

    def share(self, rows: torch.Tensor) -> torch.Tensor:
        """This process's part of a batch, INT64 [m]; a batch smaller than the processes are many is everyone's."""
        return rows if len(rows) < self.world else rows[self.rank :: self.world]

    @contextmanager
    def in_turn(self) -> Iterator[None]:
        """The first process alone, then all others together: what one has written the others read."""
        if self.world > 1 and self.rank > 0:
            distributed.barrier()
        yield
        if self.world > 1 and self.rank == 0:
            distributed.barrier()

    def agreed(self, figures: dict[str, float]) -> dict[str, float]:
        """The first process's figures, in all of them, so that all stop at the same epoch."""
        if self.world == 1:
            return figures
        said = [figures]
        distributed.broadcast_object_list(said, device=self.device)
        return said[0]

    def mean(self, total: float, count: int) -> float:
        """Total over count, of all processes together."""
        sums = torch.tensor([total, count], dtype=torch.float64, device=self.device)
        if self.world > 1:
            distributed.all_reduce(sums)
        return float(sums[0] / sums[1].clamp(min=1))


@contextmanager
def this_machine() -> Iterator[Machine]:
    """CUDA if there is one. Under ``torchrun`` the processes find each other: NCCL on CUDA, gloo elsewhere."""
    cuda = torch.cuda.is_available()
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Machine(torch.device("cuda" if cuda else "cpu"))
        return
    local = int(os.environ["LOCAL_RANK"])
    if cuda:
        torch.cuda.set_device(local)
    distributed.init_process_group("nccl" if cuda else "gloo")
    try:
        device = torch.device("cuda", local) if cuda else torch.device("cpu")
        yield Machine(device, distributed.get_rank(), distributed.get_world_size())
    finally:
        distributed.destroy_process_group()
