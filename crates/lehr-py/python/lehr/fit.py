"""Fits; they are asked for forecasts and recommendations."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, overload

from . import _given, _lehr, errors
from ._document import Accept, Caveat, Document, Frame, accepted_codes, axes, html_caveats, html_table, warn
from ._progress import Listener, listener
from .forecast import Forecast, RunningForecast
from .law import Law, law_of
from .recommendation import JointRecommendation, Recommendation, Recommendations, RunningRecommendation
from .runs import Logs, logs_of, runs_of
from .schedule import Schedule, text_of

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
        first_update: int | str
        published: bool
        momentum: int | str
        keep: str | Sequence[str]
        starts: int
        max_iterations: int
        seed: int
        level: float
        first_share: float | str
        threads: int

    class Length(TypedDict, total=False):
        """How long a run is and what it is, beside its schedule."""

        steps: int | str | None
        tokens: int | str | None
        compute: float | None
        warmup: int | None
        final_lr: float | None
        tokens_per_step: int | str | None
        arch: str | None
        accept: Accept
        progress: bool | None | Listener

    class OneRun(Length, total=False):
        """One run: one shape, one size."""

        shape: str | None
        params: int | str | None

    class Exported(TypedDict, total=False):
        """A trainer's configuration beside the answer."""

        tolerance: float | None
        export: str | None
        from_step: int | None

    class JobForecast(OneRun, total=False):
        """What `Fit.forecast` takes about a job that is running."""

        ratio: float | None
        anneal_steps: int | str | None
        anneal_from: int | str | None
        at: int | Sequence[int] | None
        level: float | None

    class ForecastTarget(JobForecast, total=False):
        """What `Fit.forecast` takes about a run that is planned."""

        peak_lr: float | None
        cosine: bool | None
        measured: Any

    class JobRecommendation(OneRun, Exported, total=False):
        """What `Fit.recommend` takes about a job that is running."""

        anneal_steps: int | Sequence[int] | None
        anneal_from: int | Sequence[int] | None

    class JointTarget(OneRun, total=False):
        """What `Fit.recommend` takes where peak rate, batch and ratio are chosen together."""

        peak_lr: float | None
        peak_lr_range: tuple[float, float] | None
        batch_range: tuple[int | str, int | str] | None
        ratio_range: tuple[float, float] | None
        max_anneal_steps: int | None
        tolerance: float | None

    class RecommendTarget(OneRun, Exported, total=False):
        """What `Fit.recommend` takes about one run that is planned."""

        ratio_range: tuple[float, float] | None
        max_anneal_steps: int | None
        optimise_shape: bool | None
        free_schedule: bool | None
        measured: Any

    class RecommendTargets(Length, total=False):
        """What `Fit.recommend` takes about several runs that are planned."""

        shape: Any
        params: Any
        ratio_range: tuple[float, float] | None
        max_anneal_steps: int | None
        tolerance: float | None


def _logs(given: Any) -> Logs | None:
    return None if given is None else logs_of(given)


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


class Fit:
    """A fitted law; forecasts and recommendations need nothing else.

    Attributes:
        law: its name.
        coefficients: values by name.
        metrics, identifiability: how well, and what the data determine.
        runs: what was fitted, run by run; ``left_out`` what was not, and why.
        caveats, notes: what to know, and what was done.
    """

    def __init__(
        self,
        native: _lehr.NativeFit,
        answer: _lehr.NativeAnswer | None = None,
        own: Sequence[Law] = (),
        accepted: frozenset[str] = frozenset(),
    ) -> None:
        self._native = native
        self._text = native.text()
        self._own = tuple(own)
        self._data: dict[str, Any] = json.loads(self._text)
        self._answer = Document(answer, accepted) if answer is not None else None
        self.accepted = accepted
        if self._answer is not None:
            self.caveats, self.notes = self._answer.caveats, self._answer.notes
        else:
            self.caveats = [
                Caveat(c["code"], c["message"], c["blocking"], c.get("values", {}), c.get("remedy"))
                for c in self._data["caveats"]
            ]
            self.notes = []

    @property
    def blocked(self) -> bool:
        """Whether a caveat that was not accepted says that a person should look before the fit is used."""
        return any(caveat.blocking and caveat.code not in self.accepted for caveat in self.caveats)

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
        with open(_given.path("path", path), "w", encoding="utf-8") as file:
            file.write(self._text)

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, laws: Law | Sequence[Law] = ()) -> Fit:
        """Reads what `save` or ``lehr fit -o`` wrote; ``laws`` are those of your own that it may be of."""
        own = [laws] if isinstance(laws, Law) else list(laws)
        path = _given.path("path", path)
        try:
            with open(path, encoding="utf-8") as file:
                text = file.read()
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise errors.ReadError(f"{path}: {why}", file=path) from error
        return cls(_lehr.fit_from_text(path, text, [law_of(law) for law in own]), own=own)

    @overload
    def forecast(
        self, schedule: str | Schedule | None = None, *, running: None = None, **target: Unpack[ForecastTarget]
    ) -> Forecast: ...
    @overload
    def forecast(self, *, running: object, **target: Unpack[JobForecast]) -> RunningForecast: ...
    def forecast(
        self,
        schedule: str | Schedule | None = None,
        *,
        running: object = None,
        peak_lr: float | None = None,
        steps: int | str | None = None,
        tokens: int | str | None = None,
        compute: float | None = None,
        warmup: int | None = None,
        ratio: float | None = None,
        anneal_steps: int | str | None = None,
        anneal_from: int | str | None = None,
        shape: str | None = None,
        final_lr: float | None = None,
        cosine: bool | None = None,
        params: int | str | None = None,
        tokens_per_step: int | str | None = None,
        arch: str | None = None,
        at: int | Sequence[int] | None = None,
        level: float | None = None,
        measured: Any = None,
        accept: Accept = None,
        progress: bool | None | Listener = None,
    ) -> Forecast:
        """Forecasts the loss of a run from its schedule, or from what a schedule is made of.

        Args:
            schedule: a `Schedule` or its text; else peak_lr, a length, and warmup, ratio, shape, final_lr, cosine.
            running: the log of a job that is running (a path, runs, a frame): the forecast goes on from where it stands.
            steps, tokens, compute: the horizon in updates, in tokens or in floating-point operations (6·N·tokens).
            anneal_steps, anneal_from: length of the annealing and the last update before it, in place of a ratio.
            params: N of the run, counted as in the fit; ``"1.3B"`` is understood.
            tokens_per_step, arch: checked against the runs fitted.
            at: updates to forecast at; spread over the run by default.
            level: level of the intervals.
            measured: measured runs to draw beside it: paths, runs, a frame.
            accept: kinds of caveats that are known and need no warning; ``True``: all.
        """
        accepted = accepted_codes(accept)
        options = {
            "schedule": None if schedule is None else text_of(schedule), "peak_lr": peak_lr, "steps": steps,
            "tokens": tokens, "compute": compute, "warmup": warmup, "ratio": ratio, "anneal_steps": anneal_steps,
            "anneal_from": anneal_from, "shape": shape, "final_lr": final_lr, "cosine": cosine, "params": params,
            "tokens_per_step": tokens_per_step, "arch": arch, "at": at, "level": level,
        }  # fmt: skip
        if running is None:
            made = Forecast(self._native.forecast(options, _logs(measured), listener(progress)), accepted)
        else:
            _alone(measured, "measured")
            made = RunningForecast(self._native.forecast_running(options, logs_of(running), listener(progress)), accepted)
        warn(made.caveats, accepted)
        return made

    @overload
    def recommend(self, *, running: object, **target: Unpack[JobRecommendation]) -> RunningRecommendation: ...
    @overload
    def recommend(self, *, optimise: str | Sequence[str], running: None = None, **target: Unpack[JointTarget]) -> JointRecommendation: ...
    @overload
    def recommend(
        self, *, peak_lr: float, running: None = None, **target: Unpack[RecommendTarget]
    ) -> Recommendation: ...
    @overload
    def recommend(self, *, peak_lr: Any, running: None = None, **target: Unpack[RecommendTargets]) -> Recommendations: ...
    def recommend(
        self,
        *,
        peak_lr: Any = None,
        steps: int | str | None = None,
        tokens: int | str | None = None,
        compute: float | None = None,
        running: object = None,
        warmup: int | None = None,
        shape: Any = None,
        final_lr: float | None = None,
        params: Any = None,
        tokens_per_step: int | str | None = None,
        arch: str | None = None,
        anneal_steps: int | Sequence[int] | None = None,
        anneal_from: int | Sequence[int] | None = None,
        ratio_range: tuple[float, float] | None = None,
        max_anneal_steps: int | None = None,
        tolerance: float | None = None,
        optimise_shape: bool | None = None,
        free_schedule: bool | None = None,
        optimise: str | Sequence[str] | None = None,
        peak_lr_range: tuple[float, float] | None = None,
        batch_range: tuple[int | str, int | str] | None = None,
        measured: Any = None,
        export: str | None = None,
        from_step: int | None = None,
        accept: Accept = None,
        progress: bool | None | Listener = None,
    ) -> Recommendation | RunningRecommendation | Recommendations | JointRecommendation:
        """Recommends the annealing ratio of a run, or when a running job should begin to anneal.

        Args:
            peak_lr: the run's peak rate. Lists here, in ``params`` and in ``shape`` give `Recommendations`, a row each.
            steps, tokens, compute: the horizon in updates, in tokens or in floating-point operations (6·N·tokens).
            running: the log of a job that is running (a path, runs, a frame): gives a `RunningRecommendation`.
            warmup: warm-up updates; by default as in the runs fitted.
            anneal_steps, anneal_from: of a running job: lengths of annealing to compare, starts to look at besides the best.
            ratio_range, max_anneal_steps: limits of the search.
            tolerance: ratios within this many mnat of the best are tied with it (2 by default).
            optimise_shape, free_schedule: also find the best power of the shape, the best non-increasing schedule.
            optimise: chooses these together: ``["peak_lr", "batch", "ratio"]`` or some of them; gives a `JointRecommendation`.
            peak_lr_range, batch_range: with ``optimise``: the rates and batches (tokens an update) considered; those of the runs fitted
                by default.
            measured: measured runs to compare with: paths, runs, a frame.
            export, from_step: also make a trainer's configuration (``rec["export"]``).
            accept: kinds of caveats that are known and need no warning; ``True``: all.
        """
        accepted = accepted_codes(accept)
        options = {
            "peak_lr": peak_lr, "steps": steps, "tokens": tokens, "compute": compute, "warmup": warmup, "shape": shape,
            "final_lr": final_lr, "params": params, "tokens_per_step": tokens_per_step, "arch": arch,
            "anneal_steps": anneal_steps, "anneal_from": anneal_from, "ratio_range": ratio_range,
            "max_anneal_steps": max_anneal_steps, "tolerance": tolerance, "optimise_shape": optimise_shape,
            "free_schedule": free_schedule, "export": export, "from_step": from_step,
        }  # fmt: skip
        joint = {"optimise": optimise, "peak_lr_range": peak_lr_range, "batch_range": batch_range}
        heard = listener(progress)
        made: Recommendation | RunningRecommendation | Recommendations | JointRecommendation
        if optimise is None and (peak_lr_range is not None or batch_range is not None):
            name = "peak_lr_range" if peak_lr_range is not None else "batch_range"
            raise errors.RequestError(f"{name}= is given without optimise=", remedy="optimise= names what is to be chosen", found=name)
        if optimise is not None:
            _alone(measured, "measured")
            _alone(running, "running")
            made = JointRecommendation(self._native.recommend_jointly({**options, **joint}, heard), accepted)
        elif running is not None:
            _alone(measured, "measured")
            made = RunningRecommendation(*self._native.recommend_running(options, logs_of(running), heard), accepted)
        elif any(_several(value) for value in (peak_lr, params, shape)):
            _alone(measured, "measured")
            made = Recommendations(self._native.recommend_rows(options, heard), accepted)
        else:
            made = Recommendation(*self._native.recommend(options, _logs(measured), heard), accepted)
        warn(made.caveats, accepted)
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
        self._native = _lehr.fit_from_text("a pickled fit", self._text, [law_of(law) for law in self._own])

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
    law: str | Law = "noise-relaxation",
    *,
    profile: bool = False,
    bootstrap: int | None = None,
    accept: Accept = None,
    progress: bool | None | Listener = None,
    **options: Unpack[FitOptions],
) -> Fit:
    """Fits a law of the loss curve to runs.

    Args:
        runs: what `read` gave, or anything that it reads.
        law: its name (`laws` lists them), or a law of your own (`Law`).
        profile: profile every coefficient.
        bootstrap: also refit so many block-bootstrap resamples.
        accept: kinds of caveats that are known and need no warning; ``True``: all.
        **options: ``fix``, ``free``, ``bound``, ``prior``, ``residual``, ``huber``, ``points``, ``skip_warmup``,
            ``first_update`` (an update, or ``"found"``: from where the law's errors have no trend), ``first_share`` (a share of each
            run, or ``"chosen"``), ``published``, ``momentum``, ``keep``, ``starts``, ``max_iterations``, ``seed``, ``level``,
            ``threads``, as of ``lehr fit``.

    Raises:
        LehrError: for data that determine nothing.
    """
    accepted = accepted_codes(accept)
    given = {**options, "profile": profile, "bootstrap": bootstrap}
    own = [law] if isinstance(law, Law) else []
    made = Fit(*_lehr.fit(runs_of(runs)._native, law_of(law), given, listener(progress)), own, accepted)
    warn(made.caveats, accepted)
    return made


def fit_of(given: Any) -> Fit:
    """A fit given as such, or by the name of its file."""
    if isinstance(given, Fit):
        return given
    if isinstance(given, (str, os.PathLike)):
        return Fit.load(given)
    raise errors.RequestError(
        f"fit is {type(given).__name__}", found=type(given).__name__, expected="a lehr.Fit or the name of a fit's file"
    )


def _several(value: Any) -> bool:
    return not isinstance(value, str) and hasattr(value, "__iter__")


def _alone(value: Any, name: str) -> None:
    if value is not None:
        raise errors.RequestError(
            f"{name}= is about one run that has not begun", remedy=f"leave {name}= out, or name one target", found=name
        )
