"""A law in the manner of scikit-learn's estimators."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from . import errors
from .fit import Fit
from .fit import fit as _fit
from .law import Law
from .runs import runs_of
from .schedule import text_of

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


class LossLaw:
    """A law that is fitted to runs and predicts the loss under schedules.

    Parameters are those of `lehr.fit`; learned attributes end in ``_``: ``fit_``, ``coefficients_``, ``metrics_``,
    ``caveats_``. ``sklearn.base.clone`` and parameter searches work; ``X`` are runs, not a matrix.
    """

    def __init__(
        self,
        law: str | Law = "noise-relaxation",
        *,
        fix: dict[str, float] | None = None,
        free: list[str] | None = None,
        bound: dict[str, tuple[float, float]] | None = None,
        prior: dict[str, tuple[float, float]] | None = None,
        residual: str = "log",
        huber: float = 1e-3,
        points: int | str = 48,
        skip_warmup: float = 1.3,
        first_update: int | str | None = None,
        starts: int = 16,
        max_iterations: int = 400,
        seed: int = 0,
        level: float = 0.9,
        threads: int | None = None,
    ) -> None:
        self.law = law
        self.fix = fix
        self.free = free
        self.bound = bound
        self.prior = prior
        self.residual = residual
        self.huber = huber
        self.points = points
        self.skip_warmup = skip_warmup
        self.first_update = first_update
        self.starts = starts
        self.max_iterations = max_iterations
        self.seed = seed
        self.level = level
        self.threads = threads

    @classmethod
    def _names(cls) -> list[str]:
        return [name for name in inspect.signature(cls.__init__).parameters if name != "self"]

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Parameters by name."""
        return {name: getattr(self, name) for name in self._names()}

    def set_params(self, **params: Any) -> LossLaw:
        """Sets parameters by name."""
        for name, value in params.items():
            if name not in self._names():
                raise errors.RequestError(f"there is no parameter '{name}'", expected=", ".join(self._names()), found=name)
            setattr(self, name, value)
        return self

    def fit(self, X: Any, y: object = None) -> LossLaw:
        """Fits the law to runs."""
        given = {name: value for name, value in self.get_params().items() if name != "law" and value is not None}
        self.fit_: Fit = _fit(X, self.law, **given)
        self.coefficients_ = self.fit_.coefficients
        self.metrics_ = self.fit_.metrics
        self.caveats_ = self.fit_.caveats
        return self

    def _fitted(self) -> Fit:
        if not hasattr(self, "fit_"):
            raise errors.RequestError("this law is not fitted yet", remedy="call fit(runs) first")
        return self.fit_

    def predict(self, schedule: Any, at: Any = None, **setting: Any) -> npt.NDArray[np.float64]:
        """Losses under a schedule (every forecast point by default, else at the updates ``at``)."""
        loss: npt.NDArray[np.float64] = self._fitted().forecast(text_of(schedule), at=at, **setting).loss
        return loss

    def score(self, X: Any, y: object = None) -> float:
        """Minus the mean absolute relative error of the last losses of runs: higher is better."""
        import warnings

        errs = []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", errors.CaveatWarning)
            for run in runs_of(X):
                loss = self.predict(run.schedule, at=int(run.step[-1]), params=run.info["params"])[-1]
                errs.append(abs(loss / float(run.loss[-1]) - 1.0))
        return -float(sum(errs)) / len(errs)

    def __repr__(self) -> str:
        defaults = {name: p.default for name, p in inspect.signature(type(self).__init__).parameters.items()}
        inside = ", ".join(f"{n}={v!r}" for n, v in self.get_params().items() if v != defaults[n])
        return f"LossLaw({inside})"

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "fit_")

    def __sklearn_tags__(self) -> Any:
        """What scikit-learn 1.6 and later ask an estimator: runs in, no target."""
        import importlib

        utils = importlib.import_module("sklearn.utils")
        return utils.Tags(
            estimator_type=None,
            target_tags=utils.TargetTags(required=False),
            transformer_tags=None,
            classifier_tags=None,
            regressor_tags=None,
            array_api_support=False,
            no_validation=True,
            non_deterministic=False,
            requires_fit=True,
            input_tags=utils.InputTags(two_d_array=False),
        )
