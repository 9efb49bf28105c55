"""One job: from its newest checkpoint to its last update, and the code it exits with."""

from __future__ import annotations

import math
import signal
import time
from collections import deque
from types import FrameType

from .. import errors
from . import checkpoint
from .engine import Engine, Report
from .job import Job
from .log import Log
from .parallel import World

# Updates whose numbers are read from a GPU together: reading each at once would let it wait.
_READ_TOGETHER = 16
# A loss above so many times that of guessing, ln V, is a run that diverged.
_LOST = 3.0


class Diverged(Exception):
    """The run diverged, which is a result."""


class _Signals:
    """Remembers that SIGTERM or SIGUSR1 came: a checkpoint, then the code `again`."""

    def __init__(self) -> None:
        self.came = False
        for name in ("SIGTERM", "SIGUSR1"):
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.came = True


class _Rows:
    """Updates that were done and not logged yet."""

    def __init__(self, engine: Engine, job: Job, log: Log | None) -> None:
        self._engine, self._job, self._log = engine, job, log
        self._waiting: deque[tuple[int, Report]] = deque()
        self._most = _READ_TOGETHER if engine.world.device.type == "cuda" else 1

    def add(self, update: int, report: Report, validated: bool) -> None:
        self._waiting.append((update, report))
        if validated:
            self.write(self._engine.evaluate())
        elif len(self._waiting) >= self._most:
            self.write()

    def write(self, validation: float | None = None) -> None:
        """Logs what waits; the last update has a validation loss where there is one."""
        vocabulary = int(self._engine.run["model"]["vocabulary"])
        mixture = self._engine.run["model"]["experts"] is not None
        while self._waiting:
            update, report = self._waiting.popleft()
            loss, balance, z, norm = report.measured.tolist()
            for quantity, value in (("loss", loss), ("gradient norm", norm)):
                if not math.isfinite(value):
                    raise Diverged(f"update {update}: {quantity} is {value}")
            if loss > _LOST * math.log(vocabulary):
                raise Diverged(f"update {update}: the loss is {loss}, more than {_LOST:g}·ln V")
            row: dict[str, int | float] = {"step": update, "lr": self._job.rates[update - 1], "train_loss": loss}
            if validation is not None and not self._waiting:
                if not math.isfinite(validation):
                    raise Diverged(f"update {update}: the validation loss is {validation}")
                row["val_loss"] = validation
            row["gradient_norm"] = norm
            if mixture:
                row |= {"balance_loss": balance, "z_loss": z}
                row["largest_expert_share"] = _largest(report)
            if self._log is not None:
                self._log.write(row)


def _largest(report: Report) -> float:
    """The largest share of a layer's tokens that one expert got; 1/E when perfectly even."""
    counts = report.counts.double()
    return float((counts / counts.sum(-1, keepdim=True)).max())


def _begin(engine: Engine, job: Job) -> None:
    """From the newest checkpoint in scratch; else from the trunk's; else from the seed."""
    path = checkpoint.newest(job.scratch)
    if path is None and job.resume is not None:
        path = job.resume.path
    if path is None:
        engine.initialise()
        return
    checkpoint.load(engine, path)
    if not job.first - 1 <= engine.completed <= job.last:
        raise errors.ReadError(
            f"{path}: it is of update {engine.completed}; expected one of updates {job.first - 1} … {job.last}",
            remedy="delete it: the job then goes on from an earlier checkpoint or its beginning",
            file=path,
            found=str(engine.completed),
            expected=f"{job.first - 1} … {job.last}",
        )


def _updates(engine: Engine, job: Job, log: Log | None, signals: _Signals) -> int:
    settings, world = job.settings, engine.world
    rows = _Rows(engine, job, log)
    kept, kept_at = engine.completed, time.monotonic()

    def written(path: str | None) -> None:
        # What a checkpoint holds must be in the log before it: after a kill no row is missing.
        rows.write()
        if log is not None:
            log.sync()
        if path is None:
            checkpoint.keep(engine, job.scratch)
        else:
            checkpoint.save(engine, path)

    while engine.completed < job.last:
        by_time = settings.checkpoint_seconds > 0 and time.monotonic() - kept_at >= settings.checkpoint_seconds
        by_count = settings.checkpoint_every > 0 and engine.completed - kept >= settings.checkpoint_every
        stop, due = world.any(signals.came, by_time or by_count)
        if stop or due:
            written(None)
            kept, kept_at = engine.completed, time.monotonic()
        if stop:
            return job.exit_codes.again
        update = engine.completed + 1
        rows.add(update, engine.update(job.rates[update - 1]), job.validates_at(update))
        if update in job.save:
            written(job.save[update])
    rows.write()
    return job.exit_codes.done


def run(job: Job) -> int:
    """Does a job, or what is left of it, with the processes that torchrun started, and gives the code to exit with.

    Raises:
        LehrError: for a checkpoint, data or settings that cannot be used.
    """
    signals = _Signals()
    world = World(job.settings)
    engine = Engine(job.run, job.settings, world)
    log: Log | None = None
    try:
        _begin(engine, job)
        log = Log(job.log) if world.first else None
        return _updates(engine, job, log, signals)
    except Diverged as error:
        if world.first:
            print(f"{job.name} diverged at {error}", flush=True)
        return job.exit_codes.diverged
    finally:
        if log is not None:
            log.close()
        engine.close()
