"""Callbacks for trainers: they write the run, say what it will reach, and start the annealing if asked to.

`Monitor` is for a loop of your own (and for Composer, whose events call it); `hf` and `lightning` make callbacks of it.
"""

from __future__ import annotations

import importlib
import math
import os
import sys
import warnings
from collections.abc import Callable
from typing import Any

from . import _given, errors
from .fit import Fit
from .logger import Logger
from .schedule import Schedule


class AnnealWhen:
    """Starts the annealing when going on pays too little. Nothing does so unless one is given to a `Monitor`.

    Every time a forecast is made, the final loss of annealing now is compared with that of training on for ``ahead``
    updates at the same rate and annealing then; below ``gain`` nats per token the annealing starts.

    Args:
        scheduler: a `lehr.torch.WSD`, or anything with ``start_annealing(updates)``.
        gain: forecast gain, nats per token.
        anneal_steps: updates of the annealing.
        ahead: updates to train on.
        after: not before this update.
    """

    def __init__(self, scheduler: Any, *, gain: float, anneal_steps: int, ahead: int, after: int = 0) -> None:
        if not callable(getattr(scheduler, "start_annealing", None)):
            raise _given.refuse("scheduler", scheduler, "a lehr.torch.WSD, or anything with start_annealing(updates)")
        self.scheduler = scheduler
        self.gain = _given.real("gain", gain, "a gain in nats per token")
        if math.isnan(self.gain):
            raise _given.refuse("gain", gain, "a gain in nats per token")
        self.anneal_steps = _given.whole("anneal_steps", anneal_steps, 1, "a number of updates, at least 1")
        self.ahead = _given.whole("ahead", ahead, 1, "a number of updates, at least 1")
        self.after = _given.whole("after", after, 0, "an update")
        self.started_at: int | None = None

    def forecast_gain(self, fit: Fit, schedule: Schedule, step: int, **setting: Any) -> float:
        """Final loss of annealing now minus that of annealing ``ahead`` updates later."""
        past = schedule.truncate(step)
        now = past.anneal_from(step, self.anneal_steps)
        later = past.extend(self.ahead).anneal_from(step + self.ahead, self.anneal_steps)

        def final(plan: Schedule) -> float:
            return fit.forecast(plan, at=len(plan), **setting).final["value"]

        return final(now) - final(later)

    def check(self, fit: Fit, schedule: Schedule, step: int, **setting: Any) -> bool:
        """Starts the annealing if it is time; whether it was started now."""
        if self.started_at is not None or step < self.after:
            return False
        # A gain that is no number starts nothing.
        if not self.forecast_gain(fit, schedule, step, **setting) < self.gain:
            return False
        self.scheduler.start_annealing(self.anneal_steps)
        self.started_at = step
        return True


class Monitor:
    """Writes a run as it trains and forecasts every so often.

    Args:
        path: the log; `lehr.read` and ``lehr watch`` read it.
        fit: a fit to forecast with; without one, rows are written and nothing else.
        schedule: the schedule, or a scheduler that has one as ``.schedule``.
        every: updates between two forecasts.
        anneal_when: starts the annealing; off by default.
        say: where forecasts go; a line on stderr by default.
        setting: ``params=``, ``tokens_per_step=``, ``arch=`` of the run.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        fit: Fit | None = None,
        schedule: Any = None,
        every: int = 1000,
        anneal_when: AnnealWhen | None = None,
        say: Callable[[str], None] | None = None,
        **setting: Any,
    ) -> None:
        if fit is None and anneal_when is not None:
            raise errors.RequestError("anneal_when= needs fit=", expected="a fit to forecast with", found="none")
        if fit is not None and schedule is None:
            raise errors.RequestError("fit= needs schedule=", expected="the run's schedule or its scheduler", found="none")
        # What is wrong is said here, and not in the middle of a training.
        if fit is not None and not isinstance(fit, Fit):
            raise _given.refuse("fit", fit, "a lehr.Fit")
        if anneal_when is not None and not isinstance(anneal_when, AnnealWhen):
            raise _given.refuse("anneal_when", anneal_when, "a lehr.callbacks.AnnealWhen")
        if say is not None and not callable(say):
            raise _given.refuse("say", say, "a function of a text")
        unknown = sorted(set(setting) - {"params", "tokens_per_step", "arch"})
        if unknown:
            raise errors.RequestError(
                f"there is no argument {unknown[0]!r} here", found=unknown[0], expected="params=, tokens_per_step=, arch="
            )
        self.every = _given.whole("every", every, 1, "a number of updates, at least 1")
        self.fit, self._schedule = fit, schedule
        self.anneal_when, self.setting = anneal_when, setting
        if fit is not None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", errors.CaveatWarning)
                plan = self.schedule
                fit.forecast(plan, at=len(plan), **setting)
        self.logger = Logger(path)
        self.say = say or (lambda text: print(text, file=sys.stderr))
        self.forecasts: list[tuple[int, float]] = []
        self._told = 0

    @property
    def schedule(self) -> Schedule:
        """The run's schedule as it stands."""
        given = getattr(self._schedule, "schedule", self._schedule)
        return given if isinstance(given, Schedule) else Schedule(str(given))

    def log(self, step: int, loss: float, lr: float | None = None, **more: float) -> None:
        """Writes a row; forecasts where ``every`` updates have passed."""
        self.logger.log(step, loss, lr, **more)
        if self.fit is None or step - self._told < self.every:
            return
        self._told = step
        with warnings.catch_warnings():
            # They were said when the fit was made, and would be said again at every forecast.
            warnings.simplefilter("ignore", errors.CaveatWarning)
            plan = self.schedule
            if step <= len(plan):
                answer = self.fit.forecast(plan, at=[step, len(plan)], **self.setting)
                here, f = float(answer.loss[0]), answer.final
                self.forecasts.append((step, f["value"]))
                # A fit of runs that log both losses is one of their validation losses.
                shown = float(more.get("val_loss", loss))
                self.say(
                    f"lehr: update {step}: loss {shown:.4f} (law {here:.4f}); at update {len(plan)}: "
                    f"{f['value']:.4f} ({f['lower']:.4f} … {f['upper']:.4f})"
                )
            if self.anneal_when is not None and self.anneal_when.check(self.fit, plan, step, **self.setting):
                self.say(f"lehr: annealing starts after update {step}, over {self.anneal_when.anneal_steps} updates")

    def close(self) -> None:
        """Closes the log."""
        self.logger.close()


def hf(monitor: Monitor) -> Any:
    """A callback of Hugging Face's ``Trainer``.

    Its training loss is a mean over ``logging_steps`` updates: with other values than 1, read the log with
    ``loss_kind=f"mean:{logging_steps}"``. The rate is taken before the update that it is used for.
    """
    try:
        base: Any = importlib.import_module("transformers").TrainerCallback
    except ImportError:
        raise errors.missing("transformers", "lehr.callbacks.hf") from None

    class HfCallback(base):  # type: ignore[misc]
        rate: float | None = None

        def _take(self, optimizer: Any) -> None:
            if optimizer is not None:
                self.rate = float(optimizer.param_groups[0]["lr"])

        def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **given: Any) -> None:
            self._take(given.get("optimizer"))

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **given: Any) -> None:
            if logs and "loss" in logs and state.global_step > 0 and state.is_world_process_zero:
                rate = self.rate if self.rate is not None else logs.get("learning_rate")
                monitor.log(state.global_step, logs["loss"], rate)

        def on_train_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
            monitor.close()

    return HfCallback()


def lightning(monitor: Monitor, loss: str = "loss") -> Any:
    """A callback of Lightning; ``loss`` is the key of what ``training_step`` returns."""
    try:
        base: Any = importlib.import_module("lightning.pytorch.callbacks").Callback
    except ImportError:
        try:
            base = importlib.import_module("pytorch_lightning.callbacks").Callback
        except ImportError:
            raise errors.missing("lightning", "lehr.callbacks.lightning") from None

    class LightningCallback(base):  # type: ignore[misc]
        rate: float | None = None
        logged = 0

        def on_before_optimizer_step(self, trainer: Any, module: Any, optimizer: Any) -> None:
            self.rate = float(optimizer.param_groups[0]["lr"])

        def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, index: int) -> None:
            # With accumulated gradients only some batches end an update.
            if trainer.is_global_zero and trainer.global_step > self.logged:
                self.logged = trainer.global_step
                value = outputs[loss] if isinstance(outputs, dict) else outputs
                monitor.log(trainer.global_step, float(value), self.rate)

        def on_fit_end(self, trainer: Any, module: Any) -> None:
            monitor.close()

    return LightningCallback()


def composer(monitor: Monitor) -> Any:
    """A callback of Composer; also for loops that call its event methods (``batch_end(state, logger)``) without Composer."""
    try:
        base: Any = importlib.import_module("composer.core").Callback
        rank: Callable[[], int] = importlib.import_module("composer.utils.dist").get_global_rank
    except ImportError:
        base, rank = object, int

    class ComposerCallback(base):  # type: ignore[misc]
        rate: float | None = None

        def batch_start(self, state: Any, logger: Any) -> None:
            self.rate = float(state.optimizers[0].param_groups[0]["lr"])

        def batch_end(self, state: Any, logger: Any) -> None:
            if rank() != 0:
                return
            # Composer has counted the batch before this event. Its `loss` is that of the last microbatch; the total is the batch's.
            total = (getattr(state, "total_loss_dict", None) or {}).get("loss/train/total", state.loss)
            monitor.log(int(state.timestamp.batch), float(total), self.rate)

        def fit_end(self, state: Any, logger: Any) -> None:
            monitor.close()

    return ComposerCallback()
