"""Questions about runs: comparing laws, judging them, transferring optima; and what lehr knows."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from . import _lehr
from ._document import Document, Frame, warn
from ._progress import Listener, listener
from .fit import Fit, _law
from .runs import runs_of

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
    laws: Sequence[str] = (),
    *,
    train: str | Sequence[str] | None = None,
    test: str | Sequence[str] | None = None,
    leave_out: str | None = None,
    progress: bool | None | Listener = None,
    **options: Unpack[FitOptions],
) -> Comparison:
    """Compares laws (all by default) by their error on runs that their fits did not see.

    Args:
        runs: what `read` gave, or anything that it reads.
        train, test: names or patterns of runs to fit and to judge.
        leave_out: ``"run"``, ``"schedule"``, ``"peak-lr"``, ``"horizon"`` or ``"size"``: one value at a time.
        **options: as of `fit`.
    """
    names = [laws] if isinstance(laws, str) else list(laws)
    given = {**options, "train": train, "test": test, "leave_out": leave_out}
    made = Comparison(runs_of(runs)._native.compare(names, given, listener(progress)))
    warn(made.caveats)
    return made


def validate(
    runs: Any,
    law: str = "noise-relaxation",
    *,
    train: str | Sequence[str] | None = None,
    test: str | Sequence[str] | None = None,
    leave_out: str | None = None,
    coverage: bool = False,
    progress: bool | None | Listener = None,
    **options: Unpack[FitOptions],
) -> Validation:
    """Fits on some runs and judges on others; ``coverage`` also asks how often the intervals hold."""
    given = {**options, "train": train, "test": test, "leave_out": leave_out, "coverage": coverage}
    made = Validation(runs_of(runs)._native.validate(_law(law), given, listener(progress)))
    warn(made.caveats)
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
    progress: bool | None | Listener = None,
) -> Transfer:
    """Says how the optimal annealing ratio moves with peak rate and horizon, and predicts it for a target."""
    given = {
        "peak_lr": peak_lr, "steps": steps, "target_params": target_params, "arch": arch,
        "across_architectures": across_architectures, "level": level,
    }  # fmt: skip
    made = Transfer(runs_of(runs)._native.transfer(None if fit is None else fit._native, given, listener(progress)))
    warn(made.caveats)
    return made


def laws() -> list[dict[str, Any]]:
    """The laws, the default first.

    >>> laws()[0]["name"]
    'noise-relaxation'
    """
    listed: list[dict[str, Any]] = json.loads(_lehr.laws_document())["laws"]
    return listed


def law(name: str) -> dict[str, Any]:
    """Everything that is known about a law: equation, coefficients with bounds, source, limits."""
    known: dict[str, Any] = json.loads(_lehr.law_document(_law(name)))
    return known


def export_targets() -> list[str]:
    """Names of the trainers that a schedule can be exported to."""
    return _lehr.export_targets()


def report(
    fit: Fit,
    path: str | os.PathLike[str],
    *,
    peak_lr: float | None = None,
    steps: int | None = None,
    warmup: int | None = None,
    shape: str | None = None,
) -> None:
    """Writes the report of ``lehr report`` for a fit: a file that ends in .html or .md, or a folder.

    Raises:
        LehrError: with what the command said, where it fails.
    """
    import tempfile

    from . import errors
    from .__main__ import run

    flags = {"--peak-lr": peak_lr, "--steps": steps, "--warmup": warmup, "--shape": shape}
    words = [f"{flag}={value}" for flag, value in flags.items() if value is not None]
    with tempfile.TemporaryDirectory() as folder:
        file = os.path.join(folder, "fit.json")
        fit.save(file)
        code, _, said = run(["report", file, "-o", os.fspath(path), *words])
    # Exit code 3: the report is there, with a blocking caveat in it.
    if code not in (0, 3):
        raise errors.LehrError(said.strip() or f"lehr report ended with code {code}")
