"""A model in training: update, evaluate, and its state, whole or divided among processes."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn

from .. import errors
from .data import Ahead, Material, Tokens, chunks
from .experts import can_group
from .model import Decoder, Losses
from .optimiser import Optimiser
from .parallel import World
from .settings import Settings
from .weights import PREFIXES, Snapshot, assemble, by_parameter, take_apart


class Report(NamedTuple):
    """What an update measured, on its device until it is read.

    Attributes:
        measured: loss (before the update, without auxiliary terms), load-balance loss, z-loss, the gradient's norm before clipping.
        counts: of a mixture, L × E, tokens routed to each expert by all processes.
    """

    measured: Tensor
    counts: Tensor


class Memory(NamedTuple):
    """A state to go back to: updates done, and of every parameter its weights and moments."""

    completed: int
    parts: dict[str, tuple[Tensor, Tensor, Tensor]]


class Engine:
    """A model that is told the rate of every update.

    Args:
        run: model, optimiser, data, batch and seed, as in a job file.
        settings: precision, compilation and so on.
        world: the processes; by default those that torchrun started.

    Attributes:
        completed: updates done.
        model: the model, sharded or not.
    """

    def __init__(self, run: dict[str, Any], settings: Settings, world: World | None = None) -> None:
        self.settings = settings
        self.world = world if world is not None else World(settings)
        self.material = Material(run)
        self.run = self.material.run
        self.completed = 0
        device = self.world.device
        self.half = settings.precision == "bf16" or (settings.precision == "auto" and device.type == "cuda")
        self._first, self._rows = self.world.share(int(self.run["batch"]))
        with torch.device("meta"):
            model = Decoder(self.run["model"])
        self._choose_products(model)
        if settings.compile:
            model.compile_blocks()
        if self.world.parallel == "fsdp":
            self.world.divide(model, model.blocks, self.half)
        model.to_empty(device=device)
        model.fill_tables()
        self.model = model
        self._held = by_parameter(self.material.names)
        # Looked up once: after a pass a sharded model may hold whole parameters in their place for a while.
        self._parameters = dict(model.named_parameters())
        self.optimiser = Optimiser(model, self.material)
        self._callable: nn.Module | None = None
        self._ahead = Ahead(self.material, self._first, self._rows)

    def _choose_products(self, model: Decoder) -> None:
        wanted = self.settings.experts
        if wanted == "grouped" and not can_group():
            raise errors.RequestError(
                f"settings.experts is grouped, and PyTorch {torch.__version__} has no grouped products",
                remedy="PyTorch 2.10 or later, or experts = \"loop\"",
                found=torch.__version__,
                expected="PyTorch 2.10 or later",
            )
        fast = self.half and self.world.device.type == "cuda" and can_group()
        for block in model.blocks:
            experts = cast(Any, block).experts
            if experts is not None:
                experts.grouped = wanted == "grouped" or (wanted == "auto" and fast)
                experts.compute = torch.bfloat16 if self.half else None

    def initialise(self) -> None:
        """Weights from the seed: the same bits as those that lehr's own engine begins with."""
        for name, parts in self._held.items():
            _fill(self._parameters[name], assemble(parts, self.material.initial))
        self.completed = 0

    def adopt(self, snapshot: Snapshot) -> None:
        """Weights, moments and number of updates of a snapshot of lehr's own engine."""
        for name, parts in self._held.items():
            parameter = self._parameters[name]
            whole = [
                assemble(parts, lambda tensor, prefix=prefix: snapshot.value(prefix + tensor))  # type: ignore[misc]
                for prefix in PREFIXES
            ]
            _fill(parameter, whole[0])
            moments = [torch.empty_like(parameter.data) for _ in range(2)]
            for moment, value in zip(moments, whole[1:], strict=True):
                _fill(moment, value)
            self.optimiser.set_moments(parameter, moments[0], moments[1], snapshot.completed)
        self.completed = snapshot.completed

    def values(self) -> dict[str, np.ndarray[Any, Any]]:
        """Weights and moments by the names of a snapshot; every process takes part, the first one gets them."""
        values: dict[str, np.ndarray[Any, Any]] = {}
        for name, parts in self._held.items():
            parameter = self._parameters[name]
            held = (parameter.data, *self.optimiser.moments(parameter))
            for prefix, value in zip(PREFIXES, held, strict=True):
                whole = _whole(value)
                if self.world.first:
                    for tensor, part in take_apart(parts, whole):
                        values[prefix + tensor] = part
        return values

    def remember(self) -> Memory:
        """The state as it is now, kept on the device: a branch without a file."""
        parts: dict[str, tuple[Tensor, Tensor, Tensor]] = {}
        for name, parameter in self._parameters.items():
            first, second = self.optimiser.moments(parameter)
            parts[name] = (parameter.data.clone(), first.clone(), second.clone())
        return Memory(self.completed, parts)

    def recall(self, memory: Memory) -> None:
        """Goes back to a state, any number of times."""
        for name, (weights, first, second) in memory.parts.items():
            parameter = self._parameters[name]
            parameter.data.copy_(weights)
            self.optimiser.set_moments(parameter, first.clone(), second.clone(), memory.completed)
        self.completed = memory.completed

    def _autocast(self) -> AbstractContextManager[Any]:
        return torch.autocast(self.world.device.type, dtype=torch.bfloat16) if self.half else nullcontext()

    def _on_device(self, rows: Tokens) -> Tensor:
        tokens = torch.from_numpy(np.ascontiguousarray(rows))
        if self.world.device.type == "cuda":
            return tokens.pin_memory().to(self.world.device, non_blocking=True)
        return tokens

    def _pass(self, rows: Tokens) -> Losses:
        with self._autocast():
            return cast(Losses, self._outer()(self._on_device(rows)))

    def _outer(self) -> nn.Module:
        """The model as it is called; with DDP gradients are averaged from the first call on, when the weights are there."""
        if self._callable is None:
            self._callable = self.world.replicate(self.model) if self.world.parallel == "ddp" else self.model
        return self._callable

    def update(self, rate: float) -> Report:
        """Does update ``completed + 1`` at a rate on that update's batch."""
        rows = self._ahead.batch(self.completed + 1)
        pieces = list(chunks(rows, self.settings.micro_batch))
        sums: list[Tensor] = []
        counts: Tensor | None = None
        for index, piece in enumerate(pieces):
            share = len(piece) / len(rows)
            with self.world.quiet(self._outer(), index + 1 == len(pieces)):
                losses = self._pass(piece)
                (losses.total * share).backward()  # type: ignore[no-untyped-call, unused-ignore]
            sums.append(torch.stack([losses.loss, losses.balance, losses.z]).float() * share)
            counts = losses.counts if counts is None else counts + losses.counts
        measured = self.world.mean(torch.stack(sums).sum(0))
        norm = self.optimiser.step(rate)
        assert counts is not None
        if counts.numel():
            counts = self.world.total(counts)
        self.completed += 1
        return Report(torch.cat([measured, norm.float().reshape(1)]), counts)

    def evaluate(self) -> float:
        """Mean cross-entropy on the validation batches, nats per token.

        Raises:
            RequestError: where no sequence is held out for validation.
        """
        batches = self.material.validation_batches
        if not batches:
            raise errors.RequestError(
                "there is no validation batch",
                remedy="raise data.validation_sequences to the batch's sequences",
                found="0",
                expected="at least 1",
            )
        total = torch.zeros((), dtype=torch.float64, device=self.world.device)
        with torch.no_grad():
            for index in range(batches):
                rows = self.material.validation(index, self._first, self._rows)
                for piece in chunks(rows, self.settings.micro_batch):
                    total += self._pass(piece).loss.double() * (len(piece) / len(rows))
        return float(self.world.mean(total)) / batches

    def close(self) -> None:
        """Ends the thread that reads batches, and leaves the other processes."""
        self._ahead.close()
        self.world.end()


def _fill(to: Tensor, value: Tensor) -> None:
    """Copies a whole value to a tensor that may be divided among processes."""
    with torch.no_grad():
        mesh = getattr(to, "device_mesh", None)
        if mesh is None:
            to.copy_(value)
            return
        from torch.distributed.tensor import distribute_tensor

        to.copy_(distribute_tensor(value.to(to.device), mesh, to.placements))  # type: ignore[attr-defined, unused-ignore]


def _whole(value: Tensor) -> Tensor:
    """A tensor that may be divided among processes, whole, on the CPU."""
    full = getattr(value, "full_tensor", None)
    return (full() if full is not None else value).detach().cpu()
