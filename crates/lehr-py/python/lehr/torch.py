"""PyTorch: a scheduler whose rates are those of a `lehr.Schedule` at every update."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from . import errors
from .recommendation import Recommendation
from .schedule import Schedule, text_of

try:
    from torch.optim.lr_scheduler import LRScheduler
except ImportError:
    raise errors.missing("torch", "lehr.torch") from None


class WSD(LRScheduler):
    """Warm-up, stable, annealing; or any other `lehr.Schedule`.

    Call ``step()`` after each ``optimizer.step()``. Update t, from 1, is made with the rate of update t, the same double
    that `Schedule.lr` gives. After the last update the last rate stays.

    Args:
        optimizer: the optimizer.
        schedule: a schedule or its text; else peak_lr, steps and what `Schedule.wsd` takes.
        scales: a factor for each parameter group; 1 for all by default.
        last_epoch: updates done, minus 1 where there are none; `load_state_dict` sets it.
    """

    def __init__(
        self,
        optimizer: Any,
        schedule: str | Schedule | None = None,
        *,
        scales: Sequence[float] | None = None,
        last_epoch: int = -1,
        **wsd: Any,
    ) -> None:
        if (schedule is None) == (not wsd):
            raise errors.RequestError(
                "give a schedule, or peak_lr= and steps= with what Schedule.wsd takes", expected="one of the two"
            )
        self.schedule = Schedule(text_of(schedule)) if schedule is not None else Schedule.wsd(**wsd)
        self._rates = self.schedule.rates().tolist()
        groups = len(optimizer.param_groups)
        self.scales = [1.0] * groups if scales is None else [float(scale) for scale in scales]
        if len(self.scales) != groups:
            raise errors.RequestError(
                f"scales has {len(self.scales)} values for {groups} parameter groups",
                found=str(len(self.scales)),
                expected=str(groups),
            )
        super().__init__(optimizer, last_epoch)

    @classmethod
    def from_recommendation(cls, optimizer: Any, recommendation: Recommendation, **more: Any) -> WSD:
        """The schedule that was recommended."""
        return cls(optimizer, recommendation.schedule, **more)

    def get_lr(self) -> list[Any]:
        """The rate of the next update, a value a group."""
        rate = self._rates[min(self.last_epoch, len(self._rates) - 1)]
        return [rate * scale for scale in self.scales]

    def start_annealing(self, updates: int, *, shape: str = "linear", final_lr: float = 0.0) -> Schedule:
        """Anneals over the next ``updates`` updates, whatever was planned; the new schedule is returned and kept."""
        done = self.last_epoch
        if done < 1:
            raise errors.RequestError("no update is done yet: there is no rate to anneal from", expected="at least one step()")
        base = self.schedule if done <= len(self.schedule) else self.schedule.extend(done - len(self.schedule))
        self.schedule = base.anneal_from(done, updates, shape=shape, final_lr=final_lr)
        self._rates = self.schedule.rates().tolist()
        self._set(self.get_lr())
        return self.schedule

    def _set(self, rates: list[float]) -> None:
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
        self._last_lr = list(rates)

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs: the schedule as text, updates done, scales."""
        return {"schedule": str(self.schedule), "last_epoch": self.last_epoch, "scales": list(self.scales)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continues where `state_dict` was taken, an annealing that was begun included."""
        self.schedule = Schedule(state_dict["schedule"])
        self._rates = self.schedule.rates().tolist()
        self.last_epoch = int(state_dict["last_epoch"])
        self.scales = list(state_dict["scales"])
        self._step_count = self.last_epoch + 1
        self._set(self.get_lr())
