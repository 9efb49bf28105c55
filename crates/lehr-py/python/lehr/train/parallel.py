"""Several processes: who this is, how the model is divided, and what all agree on."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from .. import errors
from .settings import Settings


class World:
    """The processes that train together; one where this was not started by torchrun.

    Attributes:
        rank, size: which of how many.
        device: where this one computes.
        parallel: ``none``, ``ddp`` or ``fsdp``.
    """

    def __init__(self, settings: Settings) -> None:
        self.rank, self.size = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
        local = int(os.environ.get("LOCAL_RANK", "0"))
        cuda = torch.cuda.is_available()
        if settings.device == "cuda" and not cuda:
            raise errors.RequestError(
                "settings.device is cuda, and PyTorch finds no CUDA device",
                remedy="run on a machine with a GPU and a CUDA build of PyTorch, or set device = \"cpu\"",
                found="no CUDA device",
                expected="a CUDA device",
            )
        on_cuda = settings.device != "cpu" and cuda
        self.device = torch.device("cuda", local) if on_cuda else torch.device("cpu")
        if on_cuda:
            torch.cuda.set_device(self.device)
        if settings.threads:
            torch.set_num_threads(settings.threads)
        wanted = settings.parallel
        self.parallel = ("ddp" if wanted == "auto" else wanted) if self.size > 1 else ("fsdp" if wanted == "fsdp" else "none")
        self._began = False
        self._control: Any = None
        if self.size > 1 and self.parallel == "none":
            raise errors.RequestError(
                f"settings.parallel is none, and {self.size} processes were started",
                remedy="parallel = \"ddp\" or \"fsdp\", or one process",
                found=f"{self.size} processes",
                expected="1 process",
            )
        if self.size > 1 or self.parallel == "fsdp":
            self._begin(settings.backend or ("nccl" if on_cuda else "gloo"), on_cuda)

    def _begin(self, backend: str, on_cuda: bool) -> None:
        if not dist.is_initialized():
            alone = self.size == 1 and "MASTER_ADDR" not in os.environ
            more: dict[str, Any] = {"store": dist.HashStore(), "rank": 0, "world_size": 1} if alone else {}
            dist.init_process_group(backend, timeout=timedelta(minutes=30), **more)
            self._began = True
        # What concerns no tensor of the model goes by a group of its own, so that no device has to be waited for.
        self._control = dist.new_group(backend="gloo") if self.size > 1 and on_cuda else None

    @property
    def first(self) -> bool:
        """Whether this is the process that logs."""
        return self.rank == 0

    def share(self, rows: int) -> tuple[int, int]:
        """First row and number of rows of this process's share of a batch.

        Raises:
            RequestError: where the batch cannot be shared evenly.
        """
        if rows % self.size:
            raise errors.RequestError(
                f"a batch of {rows} sequences cannot be shared evenly by {self.size} processes",
                remedy="a batch that is a multiple of the processes, or fewer processes",
                found=str(rows),
                expected=f"a multiple of {self.size}",
            )
        mine = rows // self.size
        return self.rank * mine, mine

    def divide(self, model: nn.Module, blocks: nn.ModuleList, half: bool) -> None:
        """Shards a model whose memory is not made yet (FSDP2): every block, then the rest."""
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

        mesh = init_device_mesh(self.device.type, (self.size,))
        # Weights travel and compute in bf16; sums of gradients, weights kept and moments are fp32.
        policy = (
            MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32, cast_forward_inputs=False)
            if half
            else MixedPrecisionPolicy()
        )
        for block in blocks:
            fully_shard(block, mesh=mesh, mp_policy=policy)
        fully_shard(model, mesh=mesh, mp_policy=policy)

    def replicate(self, model: nn.Module) -> nn.Module:
        """The model whose gradients are averaged over processes (DDP)."""
        devices = [self.device.index] if self.device.type == "cuda" else None
        return nn.parallel.DistributedDataParallel(model, device_ids=devices, gradient_as_bucket_view=True)

    def quiet(self, model: nn.Module, last: bool) -> AbstractContextManager[Any]:
        """Of several passes of one update, replicas exchange gradients in the last alone. Shards do so in each: what they
        keep of a gradient is then a shard, too."""
        if self.parallel == "ddp" and not last:
            silent: AbstractContextManager[Any] = model.no_sync()  # type: ignore[operator, unused-ignore]
            return silent
        return nullcontext()

    def mean(self, values: Tensor) -> Tensor:
        """The mean over processes, in place."""
        if self.size > 1:
            dist.all_reduce(values)
            values /= self.size
        return values

    def total(self, values: Tensor) -> Tensor:
        """The sum over processes, in place."""
        if self.size > 1:
            dist.all_reduce(values)
        return values

    def any(self, *flags: bool) -> list[bool]:
        """Whether any process says so, of each flag: all go on the same way."""
        if self.size == 1:
            return list(flags)
        said = torch.tensor([int(flag) for flag in flags])
        if self._control is None and self.device.type == "cuda":
            said = said.to(self.device)
        dist.all_reduce(said, op=dist.ReduceOp.MAX, group=self._control)
        return [bool(flag) for flag in said.tolist()]

    def wait(self) -> None:
        """Until all are here."""
        self.any(False)

    def end(self) -> None:
        """Leaves the others."""
        if self._began and dist.is_initialized():
            dist.destroy_process_group()
