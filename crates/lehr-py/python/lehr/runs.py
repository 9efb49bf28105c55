"""Runs: loss curves with their schedules and what is known of each."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, overload

from . import _given, _lehr, errors
from ._document import Accept, Caveat, Frame, Note, accepted_codes, axes, caveats_of, html_caveats, html_table, notes_of, warn
from ._frames import columns_of, is_frame, to_csv
from ._progress import Listener, listener
from .schedule import Schedule

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_SHOWN = ("id", "points", "last_step", "total_steps", "peak_lr", "warmup", "ratio", "params", "last_loss", "noise")


class Run(Frame):
    """One run: its points, its schedule and what is known of it.

    Attributes:
        id: its name.
        info: everything that ``lehr inspect --json`` says of it.
    """

    def __init__(self, native: _lehr.NativeRuns, index: int, info: dict[str, Any]) -> None:
        self._native, self._index = native, index
        self.info = info
        self.id: str = info["id"]

    @property
    def step(self) -> npt.NDArray[np.uint64]:
        """Updates of the points."""
        import numpy as np

        return np.frombuffer(self._native.step(self._index), dtype="<u8")

    @property
    def loss(self) -> npt.NDArray[np.float64]:
        """Losses of the points, nats per token."""
        import numpy as np

        return np.frombuffer(self._native.loss(self._index), dtype="<f8")

    @property
    def lr(self) -> npt.NDArray[np.float64]:
        """Rates of the points, from the schedule."""
        import numpy as np

        return np.frombuffer(self._native.lr(self._index), dtype="<f8")

    @property
    def schedule(self) -> Schedule:
        """The schedule of the whole run."""
        return Schedule._of(self._native.schedule(self._index))

    def to_dict(self) -> dict[str, Any]:
        return {"step": self.step, "lr": self.lr, "loss": self.loss}

    def __len__(self) -> int:
        return int(self.info["points"])

    def plot(self, ax: Any = None) -> Any:
        """Draws its loss."""
        return self._alone().plot(ax)

    def _repr_html_(self) -> str:
        return self._alone()._repr_html_()

    def __eq__(self, other: object) -> bool:
        return self._alone()._native.same(other._alone()._native) if isinstance(other, Run) else NotImplemented

    def __hash__(self) -> int:
        return hash((self.id, len(self)))

    def __reduce__(self) -> tuple[Any, ...]:
        return (_run_from_state, (self._alone()._native.state(),))

    def _alone(self) -> Runs:
        """It as a list of its own."""
        return Runs(self._native.subset([self._index]))

    def __repr__(self) -> str:
        return f"<lehr.Run {self.id}: {len(self)} points, {self.schedule}>"


class Runs(Frame, Sequence[Run]):
    """Runs in the order they were read: a list that is also asked by name, filtered, drawn and fitted.

    Attributes:
        caveats: what to know about the data.
        notes: what was done with them.
    """

    def __init__(self, native: _lehr.NativeRuns) -> None:
        self._native = native
        self._info: list[dict[str, Any]] = json.loads(native.lines())
        self.caveats: list[Caveat] = caveats_of(native.caveats())
        self.notes: list[Note] = notes_of(native.notes())

    @property
    def ids(self) -> list[str]:
        """Names of the runs."""
        return [info["id"] for info in self._info]

    def __len__(self) -> int:
        return len(self._native)

    @overload
    def __getitem__(self, key: int | str) -> Run: ...
    @overload
    def __getitem__(self, key: slice) -> Runs: ...
    def __getitem__(self, key: int | str | slice) -> Run | Runs:
        if isinstance(key, slice):
            return self._some(range(len(self))[key])
        if isinstance(key, str):
            found = [i for i, name in enumerate(self.ids) if name == key] or [
                i for i, name in enumerate(self.ids) if name.rpartition("/")[2] == key
            ]
            if len(found) != 1:
                what = "no run is" if not found else f"{len(found)} runs are"
                raise KeyError(f"{what} named {key!r}; there are {', '.join(self.ids[:12])}")
            key = found[0]
        try:
            index = range(len(self))[key]
        except IndexError:
            raise IndexError(f"there are {len(self)} runs, and none has the place {key}") from None
        except TypeError:
            raise TypeError(f"a run is asked for by its place or its name, not by {_given.shown(key)}") from None
        return Run(self._native, index, self._info[index])

    def __iter__(self) -> Iterator[Run]:
        return (self[i] for i in range(len(self)))

    def _some(self, indices: Sequence[int]) -> Runs:
        return Runs(self._native.subset(list(indices)))

    def filter(self, which: str | Sequence[str] | Callable[[Run], bool]) -> Runs:
        """The runs that a pattern names (or one of several), or for which a function is true.

        Patterns are those of ``run=``: ``*``, ``?`` and ``[ab]``; ``!`` before one leaves its runs out; a name without its folder is
        enough.
        """
        if callable(which):
            return self._some([i for i, run in enumerate(self) if which(run)])
        patterns = [which] if isinstance(which, str) else which
        if not isinstance(patterns, (list, tuple, set, frozenset)) or not all(isinstance(p, str) for p in patterns):
            raise _given.refuse("which", which, "a name or pattern, a list of them, or a function of a run")
        kept = _lehr.chosen(list(patterns), self.ids)
        if not kept:
            raise errors.RequestError(
                f"no run is named {', '.join(patterns)}; there are {', '.join(self.ids[:12])}", found=", ".join(patterns)
            )
        return self._some(kept)

    def __add__(self, other: Runs) -> Runs:
        return Runs(self._native.joined(other._native)) if isinstance(other, Runs) else NotImplemented

    def to_dict(self) -> dict[str, Any]:
        """All points of all runs under ``run``, ``step``, ``lr``, ``loss``."""
        import numpy as np

        runs = list(self)
        if not runs:
            numbers = np.array([], dtype="<f8")
            return {"run": np.array([], dtype=str), "step": np.array([], dtype="<u8"), "lr": numbers, "loss": numbers}
        return {
            "run": np.repeat(np.array([run.id for run in runs]), [len(run.step) for run in runs]),
            "step": np.concatenate([run.step for run in runs]),
            "lr": np.concatenate([run.lr for run in runs]),
            "loss": np.concatenate([run.loss for run in runs]),
        }

    def table(self) -> list[dict[str, Any]]:
        """What is known of each run, a dictionary a run."""
        return [dict(info) for info in self._info]

    def __eq__(self, other: object) -> bool:
        return self._native.same(other._native) if isinstance(other, Runs) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> tuple[Any, ...]:
        return (_runs_from_state, (self._native.state(),))

    def __repr__(self) -> str:
        shown = ", ".join(self.ids[:5]) + (", …" if len(self) > 5 else "")
        return f"<lehr.Runs: {len(self)} runs: {shown}>"

    def _repr_html_(self) -> str:
        import html

        head = "".join(f"<th>{name}</th>" for name in _SHOWN)

        def cell(value: Any) -> str:
            return "" if value is None else html.escape(f"{value:.5g}" if isinstance(value, float) else str(value))

        rows = "".join("<tr>" + "".join(f"<td>{cell(info[name])}</td>" for name in _SHOWN) + "</tr>" for info in self._info[:20])
        more = html_table([("", f"and {len(self) - 20} more runs")]) if len(self) > 20 else ""
        return f"<table><tr>{head}</tr>{rows}</table>{more}{html_caveats(self.caveats)}"

    def plot(self, ax: Any = None) -> Any:
        """Draws every run's loss."""
        ax = axes(ax, "Runs.plot()")
        for run in self:
            ax.plot(run.step, run.loss, label=run.id, linewidth=1)
        ax.set_xlabel("update")
        ax.set_ylabel("loss (nats per token)")
        if len(self) <= 12:
            ax.legend()
        return ax


def _runs_from_state(state: bytes) -> Runs:
    return Runs(_lehr.runs_from_state(state))


def _run_from_state(state: bytes) -> Run:
    return _runs_from_state(state)[0]


def read(
    *sources: Any,
    map: dict[str, str] | None = None,
    run: str | Sequence[str] | None = None,
    split: str | None = None,
    warmup: int | None = None,
    params: int | str | None = None,
    params_column: str | None = None,
    tokens_per_step: int | str | None = None,
    samples_per_step: int | None = None,
    stated_schedule: str | Schedule | None = None,
    lr_scale: float | None = None,
    loss_kind: str | None = None,
    unit: str | None = None,
    manifest: str | os.PathLike[str] | None = None,
    drop_nan: bool = False,
    stitch: bool = False,
    name: str | None = None,
    accept: Accept = None,
    progress: bool | None | Listener = None,
) -> Runs:
    """Reads runs from logs, tables, directories of them, run stores, or frames.

    Args:
        *sources: paths and patterns (``"logs/*.jsonl"``), lists of them, or frames with columns such as step, lr, loss, run: a dict of
            arrays, pandas, polars, anything with ``__arrow_c_stream__``, what W&B's ``run.history()`` gives.
        map: which column holds what, by role: ``{"loss": "eval/ce"}``.
        run: names or patterns of the runs to take.
        split: ``"train"`` or ``"val"``; validation by default, where a run has it.
        warmup: warm-up updates of logs that begin after it.
        params: N of every run; ``"1.3B"`` is understood.
        params_column: column of the manifest that holds N.
        tokens_per_step: tokens an update, where the logs do not say.
        samples_per_step: samples an update, for logs that count samples.
        stated_schedule: the schedule of every run, for logs without a rate.
        lr_scale: what a logged rate of 1 stands for.
        loss_kind: what a training loss stands for: ``"instant"``, ``"mean:50"``, ``"ema:0.9"``.
        unit: the unit of the losses: ``"nats"``, ``"bits"``, ``"bits-per-byte"``; taken from names and perplexities by default.
        manifest: a file that describes the runs.
        drop_nan: leaves rows out whose loss is no number above 0, instead of refusing them.
        stitch: keeps the last row of each update where rows look like several runs.
        name: name of a frame's run, where no column tells.
        accept: kinds of caveats that are known and need no warning; ``True``: all.
        progress: see `lehr.set_progress`.

    Raises:
        ReadError: with file, line, found and expected.
        LehrError: where no file fits a pattern.
    """
    if not sources:
        raise errors.RequestError("nothing to read", expected="a path, a pattern or a frame")
    accepted = accepted_codes(accept)
    options = {
        "map": map, "run": run, "split": split, "warmup": warmup, "params": params, "params_column": params_column,
        "tokens_per_step": tokens_per_step, "samples_per_step": samples_per_step, "lr_scale": lr_scale,
        "stated_schedule": None if stated_schedule is None else str(stated_schedule), "loss_kind": loss_kind,
        "unit": unit,
        "manifest": manifest, "drop_nan": drop_nan, "stitch": stitch,
    }  # fmt: skip
    given = [inner for source in sources for inner in (source if isinstance(source, (list, tuple)) else [source])]
    if not given:
        raise errors.RequestError("nothing to read: the list is empty", expected="a path, a pattern or a frame")
    paths = [_path(source) for source in given if not is_frame(source)]
    frames = [source for source in given if is_frame(source)]
    if name is not None and not frames:
        raise errors.RequestError(
            f"name= is {_given.shown(name)}, and no frame was given: files name their runs themselves",
            remedy="leave name= out, or choose with run=",
        )
    made: Runs | None = None
    if paths:
        made = Runs(_lehr.read(paths, options, listener(progress)))
    for i, frame in enumerate(frames):
        named = name or ("frame" if len(frames) == 1 else f"frame-{i + 1}")
        file = f"{named}.csv"
        files = [(file, to_csv(columns_of(frame)))]
        more = Runs(_lehr.read([file], options, listener(progress), files))
        made = more if made is None else made + more
    assert made is not None
    warn(made.caveats, accepted)
    return made


def _path(given: Any) -> Any:
    if isinstance(given, (str, os.PathLike)):
        return _given.path("the path", given)
    raise errors.RequestError(
        f"cannot read a {type(given).__name__}",
        found=type(given).__name__,
        expected="a path, a pattern, or a frame: a dict of arrays, pandas, polars, an object with __arrow_c_stream__",
    )


Logs = tuple[list[Any], list[tuple[str, bytes]] | None]


def logs_of(given: Any) -> Logs:
    """Logs for a question that reads them itself: paths as they are, runs and frames as files in memory."""
    if isinstance(given, (str, os.PathLike)):
        return [_path(given)], None
    if isinstance(given, (list, tuple)) and given and all(isinstance(path, (str, os.PathLike)) for path in given):
        return [_path(path) for path in given], None
    if isinstance(given, (Run, Runs)) or (isinstance(given, (list, tuple)) and given and all(isinstance(run, Run) for run in given)):
        return ["runs"], runs_of(given)._native.store("runs")
    if is_frame(given):
        return ["frame.csv"], [("frame.csv", to_csv(columns_of(given)))]
    _path(given)
    raise AssertionError


def runs_of(given: Any, **options: Any) -> Runs:
    """Runs given as such, or whatever `read` reads."""
    if isinstance(given, Runs):
        if not len(given):
            raise errors.RequestError("there is no run in runs", found="no run", expected="at least one run")
        return given
    if isinstance(given, Run):
        return given._alone()
    if isinstance(given, (list, tuple)):
        if given and all(isinstance(run, Run) for run in given):
            made: Runs = given[0]._alone()
            for run in given[1:]:
                made = made + run._alone()
            return made
        return read(*given, **options)
    return read(given, **options)
