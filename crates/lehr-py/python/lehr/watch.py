"""Running jobs, watched: what each will reach, when to anneal it, what has gone wrong."""

from __future__ import annotations

import datetime
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from . import _lehr, errors
from ._document import Accept, Document, Frame, accepted_codes
from .fit import Fit, fit_of
from .law import Law, law_of
from .runs import _path
from .schedule import Schedule

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .fit import FitOptions


class Look(Document, Frame):
    """What a look at the jobs shows; `to_pandas()` and the like have a row a job.

    Attributes:
        jobs: a dictionary a job: ``id``, ``update``, ``loss``, ``steps``, ``forecast``, ``start``, ``cost_of_now``, …
        events: what is new since the look before: ``job``, ``event``, ``update``, ``message``.
    """

    @property
    def jobs(self) -> list[dict[str, Any]]:
        jobs: list[dict[str, Any]] = self._data["jobs"]
        return jobs

    @property
    def events(self) -> list[dict[str, Any]]:
        events: list[dict[str, Any]] = self._data["events"]
        return events

    def to_dict(self) -> dict[str, Any]:
        plain = ("id", "update", "loss", "steps", "finished", "start", "cost_of_now", "diverged", "stalled", "problem")
        columns: dict[str, Any] = {name: [job[name] for job in self.jobs] for name in plain}
        for part in ("value", "lower", "upper"):
            name = "forecast" if part == "value" else f"forecast_{part}"
            columns[name] = [job["forecast"][part] if job["forecast"] else None for job in self.jobs]
        return columns

    def _rows(self) -> list[tuple[str, str]]:
        def line(job: dict[str, Any]) -> str:
            text = f"update {job['update']} of {job['steps'] or '?'}, loss {job['loss']:.4f}"
            if job["forecast"]:
                f = job["forecast"]
                text += f", will end at {f['value']:.4f} ({f['lower']:.4f} … {f['upper']:.4f})"
            if job["start"] is not None:
                text += f", best start {job['start']}"
            return text + (f"; {job['problem']}" if job["problem"] else "")

        return [(job["id"], line(job)) for job in self.jobs] + [(e["event"], f"{e['job']}: {e['message']}") for e in self.events]


class Watch:
    """Logs of running jobs, followed: reads what is new of them, and nothing else.

    ``look()`` looks once; ``for look in watch:`` looks whenever the logs have changed, until it is broken off or all jobs are
    finished.
    """

    def __init__(
        self,
        native: _lehr.NativeWatch,
        *,
        every: float,
        on: Mapping[str, Callable[[dict[str, Any]], object]],
        save: str | os.PathLike[str] | None,
        accepted: frozenset[str],
    ) -> None:
        self._native = native
        self.every, self.on, self.save = every, dict(on), save
        self.accepted = accepted
        self._polled = False

    def poll(self) -> bool:
        """Whether the logs have changed since the last poll."""
        self._polled = True
        return self._native.poll()

    def look(self) -> Look:
        """Looks at the jobs as they are now; calls what ``on=`` names for each new event."""
        self.poll()
        return self._look()

    def _look(self) -> Look:
        now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        native, lines = self._native.look(now)
        look = Look(native, self.accepted)
        if self.save is not None:
            with open(self.save, "a", encoding="utf-8") as file:
                file.writelines(lines)
        for event in look.events:
            if event["event"] in self.on:
                self.on[event["event"]](event)
        return look

    def __iter__(self) -> Iterator[Look]:
        first = True
        while True:
            if self.poll() or first:
                first = False
                look = self._look()
                yield look
                if look.jobs and all(job["finished"] for job in look.jobs):
                    return
            time.sleep(self.every)

    def __repr__(self) -> str:
        return f"<lehr.Watch every {self.every:g} s>"


def watch(
    *paths: str | os.PathLike[str],
    fit: Fit | str | os.PathLike[str] | None = None,
    law: str | Law = "noise-relaxation",
    steps: int | str | None = None,
    anneal_steps: int | None = None,
    shape: str | None = None,
    final_lr: float | None = None,
    stalled_after: float | None = None,
    every: float = 10.0,
    on: Mapping[str, Callable[[dict[str, Any]], object]] | None = None,
    save: str | os.PathLike[str] | None = None,
    map: dict[str, str] | None = None,
    run: str | Sequence[str] | None = None,
    split: str | None = None,
    warmup: int | None = None,
    params: int | str | None = None,
    tokens_per_step: int | str | None = None,
    stated_schedule: str | Schedule | None = None,
    lr_scale: float | None = None,
    loss_kind: str | None = None,
    drop_nan: bool = False,
    stitch: bool = False,
    accept: Accept = None,
    **options: Unpack[FitOptions],
) -> Watch:
    """Watches the logs of running jobs.

    Args:
        *paths: logs, directories of them, patterns.
        fit: a fit of smaller or earlier runs; without one the jobs watched are fitted themselves, to ``law``.
        steps: horizon of every job; by default as its log says.
        anneal_steps: length of an annealing that begins now; a fifth of the updates done by default.
        shape, final_lr: how the rate will fall.
        stalled_after: a job whose log was not written for so many minutes is stalled; 30 by default.
        every: seconds between two polls of ``for look in watch``.
        on: what to call with an event, by its kind: ``{"diverged": print}``; kinds are those of ``lehr watch --help``.
        save: adds every forecast to this file, for ``lehr watch --score``.
        map, run, split, warmup, params, tokens_per_step, stated_schedule, lr_scale, loss_kind, drop_nan, stitch: as of `read`.
        accept: kinds of caveats that do not count for ``look.blocked``; ``True``: all.
        **options: as of `fit`.
    """
    if not paths:
        raise errors.RequestError("nothing to watch", expected="the path of a log, or of a directory of logs")
    for path in paths:
        _path(path)
    if not (isinstance(every, (int, float)) and 0 < every < 1e9):
        raise errors.RequestError(f"every is {every!r}", found=repr(every), expected="seconds above 0")
    if on is not None and not isinstance(on, Mapping):
        raise errors.RequestError(f"on is {type(on).__name__}", found=type(on).__name__, expected="a dict from event to function")
    known = _lehr.watch_events()
    for kind, call in (on or {}).items():
        if kind not in known:
            raise errors.RequestError(f"on= names {kind!r}, which is no event", found=repr(kind), expected=", ".join(known))
        if not callable(call):
            raise errors.RequestError(f"on[{kind!r}] is {type(call).__name__}", found=type(call).__name__, expected="a function")
    given = {
        **options, "steps": steps, "anneal_steps": anneal_steps, "shape": shape, "final_lr": final_lr,
        "stalled_after": stalled_after, "map": map, "run": run, "split": split, "warmup": warmup, "params": params, "tokens_per_step": tokens_per_step,
        "stated_schedule": None if stated_schedule is None else str(stated_schedule), "lr_scale": lr_scale,
        "loss_kind": loss_kind, "drop_nan": drop_nan, "stitch": stitch,
    }  # fmt: skip
    accepted = accepted_codes(accept)
    native = _lehr.watch(list(paths), None if fit is None else fit_of(fit)._native, law_of(law), given)
    return Watch(native, every=every, on=on or {}, save=save, accepted=accepted)
