"""What loss will a large run reach under this schedule, and which share of it should be spent annealing?

>>> import lehr
>>> runs = lehr.read("runs/")                                  # doctest: +SKIP
>>> fit = lehr.fit(runs)                                       # doctest: +SKIP
>>> rec = fit.recommend(peak_lr=1e-3, steps=50_000)            # doctest: +SKIP
>>> rec.ratio, rec.interval, rec.start_step                    # doctest: +SKIP
"""

from __future__ import annotations

from . import _lehr
from ._document import Caveat, Note, caveat_kinds
from ._progress import set_progress
from .api import (
    Comparison,
    Plan,
    Report,
    Transfer,
    Validation,
    compare,
    export_targets,
    law,
    laws,
    plan,
    report,
    transfer,
    validate,
)
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
from .fit import Coefficients, Fit, fit
from .forecast import Forecast, RunningForecast
from .law import Coefficient, Features, Law
from .logger import Logger, log
from .recommendation import JointRecommendation, Recommendation, Recommendations, RunningRecommendation
from .runs import Run, Runs, read
from .schedule import Export, Schedule
from .watch import Look, Watch, watch

__version__: str = _lehr.__version__

__all__ = [
    "BlockingCaveatWarning", "Caveat", "CaveatWarning", "Coefficient", "Coefficients", "Comparison", "Export", "Features", "Fit",
    "Forecast", "InternalError", "JointRecommendation", "Law", "LehrError", "Logger", "Look", "LossLaw", "MissingPackageError", "Note", "Plan", "ReadError",
    "Recommendation", "Recommendations", "Report", "RequestError", "Run", "RunningForecast", "RunningRecommendation", "Runs",
    "Schedule", "Transfer", "Validation", "Watch", "caveat_kinds", "compare", "export_targets", "fit", "law", "laws", "log", "plan",
    "read", "report", "set_progress", "transfer", "validate", "watch",
]  # fmt: skip
