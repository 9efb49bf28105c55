"""Questions about runs: comparing laws, judging them, transferring optima; and what lehr knows."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from . import _given, _lehr, errors
from ._document import Accept, Document, Frame, accepted_codes, warn
from ._progress import Listener, listener
from .fit import Fit, fit_of
from .fit import fit as _fit
from .law import Law, law_of
from .runs import logs_of, runs_of

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .fit import FitOptions


class Comparison(Document, Frame):
    """Laws in the order of their error on runs held out.

    Attributes:
        winner: the law with the lowest error.
        laws: a dictionary a law, the best first.
    """

    @property
    def winner(self) -> str:
        winner: str = self._data["winner"]
        return winner

    @property
    def laws(self) -> list[dict[str, Any]]:
        laws: list[dict[str, Any]] = self._data["laws"]
        return laws

    def to_dict(self) -> dict[str, Any]:
        def error(line: dict[str, Any], part: str) -> Any:
            return line[part]["mape"] if line[part] else None

        return {
            "law": [line["law"] for line in self.laws],
            "n_coefficients": [line["n_coefficients"] for line in self.laws],
            "train_mape": [error(line, "train") for line in self.laws],
            "test_mape": [error(line, "test") for line in self.laws],
            "margin": [line["margin"] for line in self.laws],
            "margin_se": [line["margin_se"] for line in self.laws],
        }

    def _rows(self) -> list[tuple[str, str]]:
        return [("winner", self.winner)] + [
            (line["law"], f"held-out MAPE {100 * line['test']['mape']:.3f} %" if line["test"] else str(line["error"]))
            for line in self.laws
        ]


class Validation(Document):
    """Errors on runs that the fits did not see; ``train`` and ``test`` hold the metrics."""

    def _rows(self) -> list[tuple[str, str]]:
        return [(part, f"MAPE {100 * self._data[part]['mape']:.3f} %") for part in ("train", "test") if self._data.get(part)]


class Transfer(Document):
    """How the optimal annealing ratio moves with peak rate, horizon and size; ``prediction`` is that of the target."""

    @property
    def prediction(self) -> dict[str, Any] | None:
        prediction: dict[str, Any] | None = self._data["prediction"]
        return prediction

    def _rows(self) -> list[tuple[str, str]]:
        rows = [("measured optima", str(len(self._data["measured"])))]
        if self.prediction:
            rows.append(("predicted ratio", f"{self.prediction['ratio']:.3f}"))
        return rows


def compare(
    runs: Any,
    laws: str | Law | Sequence[str | Law] = (),
    *,
    train: str | Sequence[str] | None = None,
    test: str | Sequence[str] | None = None,
    leave_out: str | None = None,
    accept: Accept = None,
    progress: bool | None | Listener = None,
    **options: Unpack[FitOptions],
) -> Comparison:
    """Compares laws (all by default) by their error on runs that their fits did not see.

    Args:
        runs: what `read` gave, or anything that it reads.
        laws: names, and laws of your own (`Law`).
        train, test: names or patterns of runs to fit and to judge.
        leave_out: ``"run"``, ``"schedule"``, ``"peak-lr"``, ``"horizon"`` or ``"size"``: one value at a time.
        accept: kinds of caveats that are known and need no warning; ``True``: all.
        **options: as of `fit`.
    """
    accepted = accepted_codes(accept)
    named = [law_of(law) for law in ([laws] if isinstance(laws, (str, Law)) else laws)]
    given = {**options, "train": train, "test": test, "leave_out": leave_out}
    made = Comparison(runs_of(runs)._native.compare(named, given, listener(progress)), accepted)
    warn(made.caveats, accepted)
    return made


def validate(
    runs: Any,
    law: str | Law = "noise-relaxation",
    *,
    train: str | Sequence[str] | None = None,
    test: str | Sequence[str] | None = None,
    leave_out: str | None = None,
    coverage: bool = False,
    accept: Accept = None,
    progress: bool | None | Listener = None,
    **options: Unpack[FitOptions],
) -> Validation:
    """Fits on some runs and judges on others; ``coverage`` also asks how often the intervals hold."""
    accepted = accepted_codes(accept)
    given = {**options, "train": train, "test": test, "leave_out": leave_out, "coverage": coverage}
    made = Validation(runs_of(runs)._native.validate(law_of(law), given, listener(progress)), accepted)
    warn(made.caveats, accepted)
    return made


def transfer(
    runs: Any,
    fit: Fit | None = None,
    *,
    peak_lr: float | None = None,
    steps: int | str | None = None,
    target_params: int | str | None = None,
    arch: str | None = None,
    across_architectures: bool = False,
    level: float | None = None,
    accept: Accept = None,
    progress: bool | None | Listener = None,
) -> Transfer:
    """Says how the optimal annealing ratio moves with peak rate and horizon, and predicts it for a target."""
    given = {
        "peak_lr": peak_lr, "steps": steps, "target_params": target_params, "arch": arch,
        "across_architectures": across_architectures, "level": level,
    }  # fmt: skip
    accepted = accepted_codes(accept)
    native = None if fit is None else fit_of(fit)._native
    made = Transfer(runs_of(runs)._native.transfer(native, given, listener(progress)), accepted)
    warn(made.caveats, accepted)
    return made


def laws() -> list[dict[str, Any]]:
    """The laws, the default first.

    Examples:
        >>> laws()[0]["name"]
        'noise-relaxation'
    """
    listed: list[dict[str, Any]] = json.loads(_lehr.laws_document())["laws"]
    return listed


def law(name: str) -> dict[str, Any]:
    """Everything that is known about a law: equation, coefficients with bounds, source, limits."""
    if not isinstance(name, str):
        raise errors.RequestError(f"name is {type(name).__name__}", found=type(name).__name__, expected="the name of a law")
    known: dict[str, Any] = json.loads(_lehr.law_document(name))
    return known


def export_targets() -> list[str]:
    """Names of the trainers that a schedule can be exported to."""
    return _lehr.export_targets()


class Plan(Document, Frame):
    """The runs to train next, in the order of choice; `to_pandas()` and the like have a row a run.

    Attributes:
        runs: a dictionary a run.
        stop_after: after how many of them to stop.
        sweep: the plan of a sweep as text, where ``sweep=True`` asked for it: ``lehr sweep`` trains it.
    """

    @property
    def runs(self) -> list[dict[str, Any]]:
        runs: list[dict[str, Any]] = self._data["runs"]
        return runs

    @property
    def stop_after(self) -> int:
        count: int = self._data["stop_after"]
        return count

    @property
    def sweep(self) -> str | None:
        sweep: str | None = self._data.get("sweep")
        return sweep

    def to_dict(self) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for name, value in self.runs[0].items() if self.runs else ():
            if isinstance(value, dict):
                for part in value:
                    out[f"{name}_{part}"] = [run[name][part] for run in self.runs]
            else:
                out[name] = [run[name] for run in self.runs]
        return out

    def _rows(self) -> list[tuple[str, str]]:
        return [("runs", str(len(self.runs))), ("stop_after", str(self.stop_after)), ("regret", f"{1e3 * self['regret']:.2f} mnat before")]


def plan(
    about: Any = None,
    *,
    peak_lr: float,
    steps: int | str | None = None,
    tokens: int | str | None = None,
    compute: float | None = None,
    warmup: int | None = None,
    shape: str | None = None,
    final_lr: float | None = None,
    params: int | str | None = None,
    tokens_per_step: int | str | None = None,
    arch: str | None = None,
    budget: str | None = None,
    throughput: str | None = None,
    checkpoints: str | Sequence[str] | None = None,
    candidate_params: Sequence[int | str] | None = None,
    candidate_lrs: Sequence[float] | None = None,
    horizons: Sequence[int | str] | None = None,
    ratios: Sequence[float] | None = None,
    most_runs: int | None = None,
    aim: str | None = None,
    draws: int | None = None,
    seed: int | None = None,
    sweep: bool = False,
    model: str | Sequence[str] | None = None,
    batch: int | None = None,
    accept: Accept = None,
    progress: bool | None | Listener = None,
) -> Plan:
    """Chooses the runs to train next: those that make the recommended ratio most certain for what they cost.

    Args:
        about: a fit, or runs (anything that `read` reads), which are fitted first; without any, priors from public runs.
        peak_lr, steps, tokens, compute, warmup, shape, final_lr, params, tokens_per_step, arch: the target, as of `Fit.recommend`.
        budget: what the runs may cost together: ``"2e19flops"``, ``"400h"`` (with ``throughput``), ``"5Btokens"``, ``"30kupdates"``.
        throughput: what one GPU does: ``"250k@124M"`` (tokens a second at a size) or ``"2e14"`` (FLOPs a second).
        checkpoints: constant-rate runs of the fit whose checkpoints are kept: branching off them costs the annealing alone.
        candidate_params, candidate_lrs, horizons, ratios: what may be trained.
        most_runs: at most so many runs.
        aim: what the runs are chosen for: ``"ratio"`` or ``"forecast"``.
        draws, seed: draws of the coefficients that everything is averaged over.
        sweep, model, batch: also the plan of a sweep that trains them.
        accept: kinds of caveats that are known and need no warning; ``True``: all.
    """
    accepted = accepted_codes(accept)
    if about is None:
        fit = None
    elif isinstance(about, Fit):
        fit = about
    else:
        fit = _fit(about, accept=accept, progress=progress)
    given = {
        "peak_lr": peak_lr, "steps": steps, "tokens": tokens, "compute": compute, "warmup": warmup, "shape": shape,
        "final_lr": final_lr, "params": params, "tokens_per_step": tokens_per_step, "arch": arch, "budget": budget,
        "throughput": throughput, "checkpoints": checkpoints, "candidate_params": candidate_params,
        "candidate_lrs": candidate_lrs, "horizons": horizons, "ratios": ratios, "most_runs": most_runs, "aim": aim,
        "draws": draws, "seed": seed, "sweep": sweep, "model": model, "batch": batch,
    }  # fmt: skip
    made = Plan(_lehr.plan(None if fit is None else fit._native, given, listener(progress)), accepted)
    warn(made.caveats, accepted)
    return made


class Report(Document):
    """Everything about a fit and a target.

    Attributes:
        files: the files that were written.
    """

    files: list[str]

    def _rows(self) -> list[tuple[str, str]]:
        found = self._data["recommend"]
        return [("ratio", f"{found['ratio']:.3f}"), ("loss", f"{found['loss']['value']:.4f}"), ("files", str(len(self.files)))]


def report(
    about: Any,
    path: str | os.PathLike[str],
    *,
    runs: Any = None,
    law: str | Law = "noise-relaxation",
    peak_lr: float | None = None,
    steps: int | str | None = None,
    warmup: int | None = None,
    shape: str | None = None,
    final_lr: float | None = None,
    params: int | str | None = None,
    tokens_per_step: int | str | None = None,
    arch: str | None = None,
    skip_laws: bool = False,
    accept: Accept = None,
    progress: bool | None | Listener = None,
    **options: Unpack[FitOptions],
) -> Report:
    """Writes a report: the answer first, then every figure and table behind it.

    Args:
        about: a fit, or runs (anything that `read` reads), which are fitted first.
        path: a file that ends in .html or .md, or a folder.
        runs: with a fit: its runs, to show them, too.
        law: the law, where runs are fitted.
        peak_lr, steps, warmup, shape, final_lr, params, tokens_per_step, arch: the target; by default after the longest run.
        skip_laws: leaves out the comparison of all laws, which takes a fit a law.
        accept: kinds of caveats that are known and need no warning; ``True``: all.
        **options: as of `fit`, where runs are fitted.

    Raises:
        LehrError: where the files cannot be written, and as of `fit` and `Fit.recommend`.
    """
    if isinstance(about, Fit):
        fit, logs = about, None if runs is None else logs_of(runs)
    elif runs is not None:
        raise errors.RequestError(
            f"runs= is given twice: about is {type(about).__name__}, no fit", found=type(about).__name__, expected="a lehr.Fit"
        )
    else:
        fit, logs = None, logs_of(about)
    accepted = accepted_codes(accept)
    given = {
        **options, "peak_lr": peak_lr, "steps": steps, "warmup": warmup, "shape": shape, "final_lr": final_lr,
        "params": params, "tokens_per_step": tokens_per_step, "arch": arch, "skip_laws": skip_laws,
    }  # fmt: skip
    target = os.path.abspath(_given.path("path", path))
    name = os.path.basename(target)
    if not os.path.isdir(os.path.dirname(target)):
        raise errors.LehrError(
            f"{target}: its folder is not there", file=target, remedy="make the folder first, or name another"
        )
    native, folder, files = _lehr.report(
        name, None if fit is None else fit._native, logs, law_of(law), given, listener(progress)
    )
    made = Report(native, accepted)
    made.files = []
    for file, contents in files:
        place = os.path.join(target if folder else os.path.dirname(target), file)
        try:
            os.makedirs(os.path.dirname(place), exist_ok=True)
            with open(place, "wb") as out:
                out.write(contents)
        except OSError as error:
            raise errors.LehrError(f"{place}: {error.strerror or error}", file=place) from error
        made.files.append(place)
    warn(made.caveats, accepted)
    return made
