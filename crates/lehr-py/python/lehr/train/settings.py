"""What a plan says to this engine in ``[trainer.settings]``."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from typing import Any

from .. import errors

_CHOICES = {
    "device": ("auto", "cpu", "cuda"),
    "precision": ("auto", "fp32", "bf16"),
    "parallel": ("auto", "none", "ddp", "fsdp"),
    "experts": ("auto", "grouped", "loop"),
    "checkpoint_format": ("dcp", "safetensors"),
}


@dataclass(frozen=True)
class Settings:
    """How a job is trained; what it comes to is the job's, but for rounding.

    Attributes:
        device: ``auto``: CUDA where there is some, else the CPU.
        precision: ``bf16``: autocast over fp32 weights; ``fp32``; ``auto``: bf16 on CUDA, fp32 on the CPU.
        compile: ``torch.compile`` of every block and of the loss.
        parallel: of several processes: ``ddp`` or ``fsdp`` (FSDP2); ``auto`` is ``ddp``.
        processes: processes on this machine, started by torchrun; 0: as many as this was started with (one, or torchrun's).
        micro_batch: sequences of one pass of a process; 0: its whole share of the batch.
        experts: products of a mixture: ``grouped`` (one kernel) or ``loop`` over experts; ``auto``: grouped in bf16 on CUDA.
        checkpoint_every: updates between two of the job's own checkpoints; 0: by time alone.
        checkpoint_seconds: seconds between two of them; 0: by updates alone.
        checkpoint_format: ``dcp`` (a folder, by torch.distributed.checkpoint) or ``safetensors`` (a file that lehr's own engine
            resumes from).
        lanes: of ``safetensors``: the number of threads that lehr's engine will resume with, part of what it checks.
        threads: threads of a process on the CPU; 0: PyTorch's choice.
        backend: of several processes: ``nccl`` or ``gloo``; empty: nccl on CUDA.
    """

    device: str = "auto"
    precision: str = "auto"
    compile: bool = False
    parallel: str = "auto"
    processes: int = 0
    micro_batch: int = 0
    experts: str = "auto"
    checkpoint_every: int = 0
    checkpoint_seconds: float = 300.0
    checkpoint_format: str = "dcp"
    lanes: int = 1
    threads: int = 0
    backend: str = ""

    @classmethod
    def of(cls, file: str, table: dict[str, Any], batch: int) -> Settings:
        """The settings of a job file's table.

        Raises:
            ReadError: for a key that is none or a value outside its range.
        """
        known: dict[str, Any] = {field.name: field.default for field in fields(cls)}
        values: dict[str, Any] = {}
        for key, value in table.items():
            if key not in known:
                raise _wrong(file, key, json.dumps(value)[:60], f"one of the keys {', '.join(known)}")
            default = known[key]
            allowed = (int, float) if isinstance(default, float) else type(default)
            if not isinstance(value, allowed) or (isinstance(value, bool) and not isinstance(default, bool)):
                raise _wrong(file, key, json.dumps(value)[:60], f"a value like {json.dumps(default)}")
            if key in _CHOICES and value not in _CHOICES[key]:
                raise _wrong(file, key, json.dumps(value), f"one of {', '.join(_CHOICES[key])}")
            if isinstance(value, (int, float)) and not 0 <= value < 2**31:
                raise _wrong(file, key, value, "a number ≥ 0")
            values[key] = float(value) if isinstance(default, float) else value
        made = cls(**values)
        if made.lanes < 1:
            raise _wrong(file, "lanes", made.lanes, "a whole number from 1")
        if made.processes > 1 and batch % made.processes:
            raise _wrong(file, "processes", made.processes, f"a divisor of the batch, {batch} sequences")
        return made


def _wrong(file: str, key: str, found: object, expected: str) -> errors.ReadError:
    return errors.ReadError(
        f"{file}: settings.{key} is {found}; expected {expected}",
        remedy=f"change {key} in [trainer.settings] of the plan; docs/guides/pytorch-engine.md describes every key",
        file=file,
        found=str(found),
        expected=expected,
    )
