"""What loss will a large run reach under this schedule, and which share of it should be spent annealing?

>>> import lehr
>>> runs = lehr.read("runs/")                                  # doctest: +SKIP
>>> fit = lehr.fit(runs)                                       # doctest: +SKIP
>>> rec = fit.recommend(peak_lr=1e-3, steps=50_000)            # doctest: +SKIP
>>> rec.ratio, rec.interval, rec.start_step                    # doctest: +SKIP
"""

from __future__ import annotations

from . import _lehr
from ._document import Caveat, Note
from ._progress import set_progress
from .api import Comparison, Transfer, Validation, compare, export_targets, law, laws, report, transfer, validate
from .errors import (
    BlockingCaveatWarning,
    CaveatWarning,
    InternalError,
    LehrError,
    MissingPackageError,
    ReadError,
    RequestError,
)
from .estimator import LossLaw
from .fit import Coefficients, Fit, Forecast, Recommendation, fit
from .logger import Logger, log
from .runs import Run, Runs, read
from .schedule import Export, Schedule

__version__: str = _lehr.__version__

__all__ = [
    "BlockingCaveatWarning", "Caveat", "CaveatWarning", "Coefficients", "Comparison", "Export", "Fit", "Forecast",
    "InternalError", "LehrError", "Logger", "LossLaw", "MissingPackageError", "Note", "ReadError", "Recommendation",
    "RequestError", "Run", "Runs", "Schedule", "Transfer", "Validation", "compare", "export_targets", "fit", "law",
    "laws", "log", "read", "report", "set_progress", "transfer", "validate",
]  # fmt: skip
