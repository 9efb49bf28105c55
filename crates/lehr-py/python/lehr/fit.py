"""Fits, and what they answer: forecasts and recommendations."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from . import _lehr, errors
from ._document import Document, Frame, axes, html_caveats, html_table, warn
from ._progress import Listener, listener
from .runs import runs_of
from .schedule import Export, Schedule, text_of

if TYPE_CHECKING:
    from typing import TypedDict

    from typing_extensions import Unpack

    class FitOptions(TypedDict, total=False):
        """How to fit; names and defaults are those of ``lehr fit``."""

        fix: dict[str, float]
        free: str | Sequence[str]
        bound: dict[str, tuple[float, float]]
        prior: dict[str, tuple[float, float]]
        residual: str
        huber: float
        points: int | str
        skip_warmup: float
        first_update: int
        published: bool
        momentum: int | str
        keep: str | Sequence[str]
        starts: int
        max_iterations: int
        seed: int
        level: float
        threads: int


def _paths(measured: Any) -> list[Any] | None:
    if measured is None:
        return None
    return [measured] if isinstance(measured, (str, os.PathLike)) else list(measured)


class Coefficients(Frame, dict[str, float]):
    """Coefficients by name; `to_pandas()` and the like have their intervals, too."""

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        super().__init__({row["name"]: row["value"] for row in rows})
        self._rows = rows

    def to_dict(self) -> dict[str, Any]:
        intervals = [row["interval"] or (None, None) for row in self._rows]
        return {
            "name": [row["name"] for row in self._rows],
            "value": [row["value"] for row in self._rows],
            "lower": [interval[0] for interval in intervals],
            "upper": [interval[1] for interval in intervals],
            "free": [row["free"] for row in self._rows],
        }

    def __reduce__(self) -> tuple[Any, ...]:
        return (Coefficients, (self._rows,))


class Forecast(Document, Frame):
    """Loss at updates of a run, with intervals.

    Attributes:
        update, lr, loss, lower, upper: NumPy arrays.
        final: the loss at the last update with its interval.
        schedule: the schedule.
        level: level of the intervals.
    """

    def _array(self, name: str) -> Any:
        import numpy as np

        return np.array(self._data[name])

    @property
    def update(self) -> Any:
        return self._array("update")

    @property
    def lr(self) -> Any:
        return self._array("lr")

    @property
    def loss(self) -> Any:
        return self._array("loss")

    @property
    def lower(self) -> Any:
        return self._array("lower")

    @property
    def upper(self) -> Any:
        return self._array("upper")

    @property
    def final(self) -> dict[str, float]:
        final: dict[str, float] = self._data["final"]
        return final

    @property
    def schedule(self) -> Schedule:
        return Schedule(self._data["schedule"])

    @property
    def level(self) -> float:
        level: float = self._data["level"]
        return level

    def to_dict(self) -> dict[str, Any]:
        return {name: self._array(name) for name in ("update", "lr", "loss", "lower", "upper")}

    def _rows(self) -> list[tuple[str, str]]:
        f = self.final
        return [("loss", f"{f['loss']:.4f}"), ("interval", f"{f['lower']:.4f} … {f['upper']:.4f}"), ("schedule", self["schedule"])]

    def plot(self, ax: Any = None) -> Any:
        """Draws the loss with its interval."""
        ax = axes(ax, "Forecast.plot()")
        ax.fill_between(self.update, self.lower, self.upper, alpha=0.25)
        ax.plot(self.update, self.loss)
        ax.set_xlabel("update")
        ax.set_ylabel("loss (nats per token)")
        return ax


class Recommendation(Document, Frame):
    """The share of a run to spend annealing, and what another share costs.

    Attributes:
        ratio: the annealing ratio, with its ``interval`` and the ``plateau`` of ratios as good as it.
        start_step: the last update before the annealing; ``anneal_steps`` updates follow.
        loss, loss_interval: the loss at the end.
        rules: what common rules cost, by name.
        schedule: the recommended schedule.
    """

    def __init__(self, native: _lehr.NativeAnswer, schedule: str, fit: Fit) -> None:
        super().__init__(native)
        self._schedule, self._fit = schedule, fit

    @property
    def ratio(self) -> float:
        ratio: float = self._data["ratio"]
        return ratio

    @property
    def interval(self) -> tuple[float, float]:
        low, high = self._data["interval"]
        return (low, high)

    @property
    def plateau(self) -> tuple[float, float]:
        low, high = self._data["plateau"]
        return (low, high)

    @property
    def loss(self) -> float:
        loss: float = self._data["loss"]
        return loss

    @property
    def loss_interval(self) -> tuple[float, float]:
        low, high = self._data["loss_interval"]
        return (low, high)

    @property
    def start_step(self) -> int:
        step: int = self._data["start_step"]
        return step

    @property
    def anneal_steps(self) -> int:
        steps: int = self._data["anneal_steps"]
        return steps

    @property
    def rules(self) -> dict[str, dict[str, Any]]:
        rules: dict[str, dict[str, Any]] = self._data["rules"]
        return rules

    @property
    def schedule(self) -> Schedule:
        return Schedule(self._schedule)

    def to_dict(self) -> dict[str, Any]:
        """Loss against ratio: a column for each thing that is known of a ratio."""
        curve = self._data["curve"]
        return {name: [row[name] for row in curve] for name in (curve[0] if curve else {})}

    def export(self, target: str, *, from_step: int | None = None) -> Export:
        """The recommended schedule as a trainer's configuration."""
        return self.schedule.export(target, from_step=from_step)

    def _rows(self) -> list[tuple[str, str]]:
        low, high = self.interval
        return [
            ("ratio", f"{self.ratio:.3f}"),
            ("interval", f"{low:.3f} … {high:.3f}"),
            ("start_step", str(self.start_step)),
            ("anneal_steps", str(self.anneal_steps)),
            ("loss", f"{self.loss:.4f}"),
        ]

    def plot(self, ax: Any = None) -> Any:
        """Draws loss against ratio."""
        ax = axes(ax, "Recommendation.plot()")
        curve = self.to_dict()
        ax.plot(curve["ratio"], curve["loss"])
        ax.axvline(self.ratio, linestyle="--")
        ax.axvspan(*self.plateau, alpha=0.15)
        ax.set_xlabel("annealing ratio")
        ax.set_ylabel("loss at the end (nats per token)")
        return ax


class Fit:
    """A fitted law; forecasts and recommendations need nothing else.

    Attributes:
        law: its name.
        coefficients: values by name.
        metrics, identifiability: how well, and what the data determine.
        runs: what was fitted, run by run; ``left_out`` what was not, and why.
        caveats, notes: what to know, and what was done.
    """

    def __init__(self, native: _lehr.NativeFit, answer: _lehr.NativeAnswer | None = None) -> None:
        self._native = native
        self._text = native.text()
        self._data: dict[str, Any] = json.loads(self._text)
        self._answer = Document(answer) if answer is not None else None
        from ._document import Caveat

        if self._answer is not None:
            self.caveats, self.notes = self._answer.caveats, self._answer.notes
        else:
            self.caveats = [Caveat(c["code"], c["message"], c["blocking"]) for c in self._data["caveats"]]
            self.notes = []

    @property
    def law(self) -> str:
        law: str = self._data["law"]
        return law

    @property
    def coefficients(self) -> Coefficients:
        return Coefficients(self._data["coefficients"])

    @property
    def metrics(self) -> dict[str, Any]:
        metrics: dict[str, Any] = self._data["metrics"]
        return metrics

    @property
    def identifiability(self) -> dict[str, Any]:
        found: dict[str, Any] = self._data["identifiability"]
        return found

    @property
    def runs(self) -> list[dict[str, Any]]:
        runs: list[dict[str, Any]] = self._data["runs"]
        return runs

    @property
    def left_out(self) -> list[dict[str, Any]]:
        left: list[dict[str, Any]] = self._data["left_out"]
        return left

    @property
    def profiles(self) -> list[dict[str, Any]]:
        """How far each coefficient can be moved, where ``profile=True`` asked for it."""
        profiles: list[dict[str, Any]] = self._answer.get("profiles", []) if self._answer is not None else []
        return profiles

    def to_dict(self) -> dict[str, Any]:
        """Everything that the fit's file holds."""
        data: dict[str, Any] = json.loads(self._text)
        return data

    def to_json(self) -> str:
        """What ``lehr fit --json`` prints, or the fit's file for a fit that was loaded."""
        return self._answer.to_json() if self._answer is not None else self._text

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the fit, for `Fit.load` and for ``lehr forecast`` and ``lehr recommend``."""
        with open(path, "w", encoding="utf-8") as file:
            file.write(self._text)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Fit:
        """Reads what `save` or ``lehr fit -o`` wrote."""
        try:
            with open(path, encoding="utf-8") as file:
                text = file.read()
        except (OSError, UnicodeDecodeError) as error:
            raise errors.ReadError(f"{os.fspath(path)}: {error}", file=os.fspath(path)) from error
        return cls(_lehr.fit_from_text(os.fspath(path), text))

    def forecast(
        self,
        schedule: str | Schedule | None = None,
        *,
        peak_lr: float | None = None,
        steps: int | str | None = None,
        warmup: int | None = None,
        ratio: float | None = None,
        shape: str | None = None,
        final_lr: float | None = None,
        cosine: bool | None = None,
        params: int | str | None = None,
        tokens_per_step: int | str | None = None,
        arch: str | None = None,
        at: int | Sequence[int] | None = None,
        level: float | None = None,
        measured: Any = None,
        progress: bool | None | Listener = None,
    ) -> Forecast:
        """Forecasts the loss of a run from its schedule, or from what a schedule is made of.

        Args:
            schedule: a `Schedule` or its text; else peak_lr and steps, and warmup, ratio, shape, final_lr, cosine.
            params: N of the run, counted as in the fit; ``"1.3B"`` is understood.
            tokens_per_step, arch: checked against the runs fitted.
            at: updates to forecast at; spread over the run by default.
            level: level of the intervals.
            measured: paths of measured runs to draw beside it.
        """
        options = {
            "schedule": None if schedule is None else text_of(schedule), "peak_lr": peak_lr, "steps": steps,
            "warmup": warmup, "ratio": ratio, "shape": shape, "final_lr": final_lr, "cosine": cosine, "params": params,
            "tokens_per_step": tokens_per_step, "arch": arch, "at": at, "level": level,
        }  # fmt: skip
        made = Forecast(self._native.forecast(options, _paths(measured), listener(progress)))
        warn(made.caveats)
        return made

    def recommend(
        self,
        *,
        peak_lr: float,
        steps: int | str,
        warmup: int | None = None,
        shape: str | None = None,
        final_lr: float | None = None,
        params: int | str | None = None,
        tokens_per_step: int | str | None = None,
        arch: str | None = None,
        ratio_range: tuple[float, float] | None = None,
        max_anneal_steps: int | None = None,
        tolerance: float | None = None,
        optimise_shape: bool | None = None,
        free_schedule: bool | None = None,
        measured: Any = None,
        export: str | None = None,
        from_step: int | None = None,
        progress: bool | None | Listener = None,
    ) -> Recommendation:
        """Recommends the annealing ratio of a run.

        Args:
            peak_lr, steps: the run: its peak rate and its horizon in updates.
            warmup: warm-up updates; by default as in the runs fitted.
            ratio_range, max_anneal_steps: limits of the search.
            tolerance: ratios within this many mnat of the best are tied with it (2 by default).
            optimise_shape, free_schedule: also find the best power of the shape, the best non-increasing schedule.
            export, from_step: also make a trainer's configuration (``rec["export"]``).
        """
        options = {
            "peak_lr": peak_lr, "steps": steps, "warmup": warmup, "shape": shape, "final_lr": final_lr, "params": params,
            "tokens_per_step": tokens_per_step, "arch": arch, "ratio_range": ratio_range,
            "max_anneal_steps": max_anneal_steps, "tolerance": tolerance, "optimise_shape": optimise_shape,
            "free_schedule": free_schedule, "export": export, "from_step": from_step,
        }  # fmt: skip
        made = Recommendation(*self._native.recommend(options, _paths(measured), listener(progress)), self)
        warn(made.caveats)
        return made

    def svg(self) -> str | None:
        """What the law misses of each run, as SVG; ``None`` for a fit that was loaded."""
        return self._answer.svg() if self._answer is not None else None

    def plot(self, ax: Any = None) -> Any:
        """Draws the coefficients with their intervals, relative to their values."""
        ax = axes(ax, "Fit.plot()")
        rows = [row for row in self._data["coefficients"] if row["interval"] and row["value"]]
        for i, row in enumerate(rows):
            ax.plot([end / row["value"] for end in row["interval"]], [i, i])
            ax.plot([1.0], [i], "o")
        ax.set_yticks(range(len(rows)), [row["name"] for row in rows])
        ax.set_xlabel("interval relative to the value")
        return ax

    def __eq__(self, other: object) -> bool:
        return self._native.same(other._native) if isinstance(other, Fit) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._text)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_native": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._native = _lehr.fit_from_text("a pickled fit", self._text)

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={value:.4g}" for name, value in self.coefficients.items())
        return f"<lehr.Fit {self.law} on {len(self.runs)} runs: {values}>"

    def _repr_html_(self) -> str:
        rows = [("law", self.law), ("runs", str(len(self.runs)))]
        for row in self._data["coefficients"]:
            interval = row["interval"]
            rows.append((row["name"], f"{row['value']:.4g}" + (f" ({interval[0]:.4g} … {interval[1]:.4g})" if interval else "")))
        return html_table(rows) + (self.svg() or "") + html_caveats(self.caveats)


def fit(
    runs: Any,
    law: str = "noise-relaxation",
    *,
    profile: bool = False,
    bootstrap: int | None = None,
    progress: bool | None | Listener = None,
    **options: Unpack[FitOptions],
) -> Fit:
    """Fits a law of the loss curve to runs.

    Args:
        runs: what `read` gave, or anything that it reads.
        law: its name; `laws` lists them.
        profile: profile every coefficient.
        bootstrap: also refit so many block-bootstrap resamples.
        **options: ``fix``, ``free``, ``bound``, ``prior``, ``residual``, ``huber``, ``points``, ``skip_warmup``,
            ``first_update``, ``published``, ``momentum``, ``keep``, ``starts``, ``max_iterations``, ``seed``, ``level``,
            ``threads``, as of ``lehr fit``.

    Raises:
        LehrError: for data that determine nothing.
    """
    given = {**options, "profile": profile, "bootstrap": bootstrap}
    made = Fit(*_lehr.fit(runs_of(runs)._native, _law(law), given, listener(progress)))
    warn(made.caveats)
    return made


def _law(law: Any) -> str:
    if not isinstance(law, str):
        raise errors.RequestError(f"law is {type(law).__name__}", found=type(law).__name__, expected="the name of a law")
    return law
