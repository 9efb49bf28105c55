"""Forecasts of losses, of runs that are planned and of jobs that are running."""

from __future__ import annotations

from typing import Any

from ._document import Document, Frame, axes
from .schedule import Schedule


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
        return [("loss", f"{f['value']:.4f}"), ("interval", f"{f['lower']:.4f} … {f['upper']:.4f}"), ("schedule", self["schedule"])]

    def plot(self, ax: Any = None) -> Any:
        """Draws the loss with its interval."""
        ax = axes(ax, "Forecast.plot()")
        ax.fill_between(self.update, self.lower, self.upper, alpha=0.25)
        ax.plot(self.update, self.loss)
        ax.set_xlabel("update")
        ax.set_ylabel("loss (nats per token)")
        return ax


class RunningForecast(Forecast):
    """The forecast of a job that is running, corrected by what it shows.

    Attributes:
        standing: where the job stands against the law.
        law: the loss at the end by the law alone.
        carry: how much of the job's offset is carried there.
    """

    @property
    def standing(self) -> dict[str, Any]:
        standing: dict[str, Any] = self._data["standing"]
        return standing

    @property
    def law(self) -> dict[str, float]:
        law: dict[str, float] = self._data["law"]
        return law

    @property
    def carry(self) -> dict[str, Any]:
        carry: dict[str, Any] = self._data["carry"]
        return carry
