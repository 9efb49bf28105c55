"""Recommendations: the share of a run to spend annealing, and when a job that is running should begin to."""

from __future__ import annotations

from typing import Any

from . import _lehr
from ._document import Document, Frame, axes
from .schedule import Export, Schedule


class _Recommended(Document, Frame):
    """What every recommendation of one run has: its schedule, and a loss for everything that was looked at."""

    def __init__(self, native: _lehr.NativeAnswer, schedule: str, accepted: frozenset[str] = frozenset()) -> None:
        super().__init__(native, accepted)
        self._schedule = schedule

    def _of(self, name: str) -> Any:
        """A value of the answer itself."""
        return self._data[name]

    @property
    def schedule(self) -> Schedule:
        return Schedule(self._schedule)

    def to_dict(self) -> dict[str, Any]:
        """What was looked at: a column for each thing that is known of it."""
        curve = self._of("curve")
        return {name: [row[name] for row in curve] for name in (curve[0] if curve else {})}

    def export(self, target: str, *, from_step: int | None = None) -> Export:
        """The recommended schedule as a trainer's configuration."""
        return self.schedule.export(target, from_step=from_step)

    def _draw(self, ax: Any, column: str, best: float, plateau: tuple[float, float], label: str) -> Any:
        ax = axes(ax, f"{type(self).__name__}.plot()")
        curve = self.to_dict()
        ax.plot(curve[column], curve["loss"])
        ax.axvline(best, linestyle="--")
        ax.axvspan(*plateau, alpha=0.15)
        ax.set_xlabel(label)
        ax.set_ylabel("loss at the end (nats per token)")
        return ax


class Recommendation(_Recommended):
    """The share of a run to spend annealing, and what another share costs.

    Attributes:
        ratio: the annealing ratio, with its ``interval`` and the ``plateau`` of ratios as good as it.
        start_step: the last update before the annealing; ``anneal_steps`` updates follow.
        loss, loss_interval: the loss at the end.
        rules: what common rules cost, by name.
        schedule: the recommended schedule.
    """

    @property
    def ratio(self) -> float:
        ratio: float = self._of("ratio")
        return ratio

    @property
    def interval(self) -> tuple[float, float]:
        low, high = self._of("interval")
        return (low, high)

    @property
    def plateau(self) -> tuple[float, float]:
        low, high = self._of("plateau")
        return (low, high)

    @property
    def loss(self) -> float:
        loss: float = self._of("loss")["value"]
        return loss

    @property
    def loss_interval(self) -> tuple[float, float]:
        loss = self._of("loss")
        return (loss["lower"], loss["upper"])

    @property
    def start_step(self) -> int:
        step: int = self._of("start_step")
        return step

    @property
    def anneal_steps(self) -> int:
        steps: int = self._of("anneal_steps")
        return steps

    @property
    def rules(self) -> dict[str, dict[str, Any]]:
        rules: dict[str, dict[str, Any]] = self._of("rules")
        return rules

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
        return self._draw(ax, "ratio", self.ratio, self.plateau, "annealing ratio")


class RunningRecommendation(_Recommended):
    """When a running job should begin to anneal.

    Attributes:
        start_step: the last update before the annealing, with its ``interval`` and the ``plateau`` of starts as good as it.
        anneal_steps, ratio: length of the annealing in updates and as a share of the horizon.
        loss, loss_interval: the loss at the end.
        cost_of_now: what annealing now to the horizon costs, nats per token.
        standing: where the job stands against the law.
        schedule: the whole job's schedule with the best start.
    """

    def _of(self, name: str) -> Any:
        return self._data["starts"][name]

    @property
    def start_step(self) -> int:
        step: int = self._of("start")
        return step

    @property
    def interval(self) -> tuple[int, int]:
        low, high = self._of("interval")
        return (low, high)

    @property
    def plateau(self) -> tuple[int, int]:
        low, high = self._of("plateau")
        return (low, high)

    @property
    def anneal_steps(self) -> int:
        steps: int = self._of("anneal")
        return steps

    @property
    def ratio(self) -> float:
        ratio: float = self._of("ratio")
        return ratio

    @property
    def loss(self) -> float:
        loss: float = self._of("loss")["value"]
        return loss

    @property
    def loss_interval(self) -> tuple[float, float]:
        loss = self._of("loss")
        return (loss["lower"], loss["upper"])

    @property
    def cost_of_now(self) -> float:
        cost: float = self._of("cost_of_now")
        return cost

    @property
    def standing(self) -> dict[str, Any]:
        standing: dict[str, Any] = self._data["standing"]
        return standing

    def _rows(self) -> list[tuple[str, str]]:
        low, high = self.interval
        return [
            ("update", str(self.standing["update"])),
            ("start_step", f"{self.start_step} ({low} … {high})"),
            ("anneal_steps", str(self.anneal_steps)),
            ("loss", f"{self.loss:.4f}"),
            ("cost_of_now", f"{self.cost_of_now:.4f}"),
        ]

    def plot(self, ax: Any = None) -> Any:
        """Draws loss against start."""
        return self._draw(ax, "start", self.start_step, self.plateau, "last update before the annealing")


class JointRecommendation(Document, Frame):
    """Peak rate, batch and annealing ratio chosen together; `to_pandas()` and the like have a row a choice that ties with the best.

    Attributes:
        peak_lr, tokens_per_step, steps: the best peak rate, batch (tokens an update) and horizon (updates).
        ratio: the annealing ratio there, with its ``interval``.
        start_step: the last update before the annealing; ``anneal_steps`` updates follow.
        loss, loss_interval: the loss at the end.
    """

    @property
    def peak_lr(self) -> float:
        rate: float = self._data["best"]["peak_lr"]
        return rate

    @property
    def tokens_per_step(self) -> int | None:
        batch: int | None = self._data["best"]["tokens_per_step"]
        return batch

    @property
    def steps(self) -> int:
        steps: int = self._data["best"]["total"]
        return steps

    @property
    def ratio(self) -> float:
        ratio: float = self._data["best"]["ratio"]
        return ratio

    @property
    def interval(self) -> tuple[float, float]:
        low, high = self._data["ratio_interval"]
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
    def loss(self) -> float:
        loss: float = self._data["loss"]["value"]
        return loss

    @property
    def loss_interval(self) -> tuple[float, float]:
        loss = self._data["loss"]
        return (loss["lower"], loss["upper"])

    def to_dict(self) -> dict[str, Any]:
        """The choices whose loss is within the tolerance of the lowest, a column for each thing that is known of them."""
        tied = self._data["plateau"]
        return {name: [point[name] for point in tied] for name in (tied[0] if tied else ())}

    def _rows(self) -> list[tuple[str, str]]:
        low, high = self.interval
        batch = "as fitted" if self.tokens_per_step is None else str(self.tokens_per_step)
        return [
            ("peak_lr", f"{self.peak_lr:.4g}"),
            ("tokens_per_step", batch),
            ("steps", str(self.steps)),
            ("ratio", f"{self.ratio:.3f} ({low:.3f} … {high:.3f})"),
            ("start_step", str(self.start_step)),
            ("loss", f"{self.loss:.4f}"),
        ]


class Recommendations(Document, Frame):
    """A recommendation for each of several targets: every combination of ``params``, ``peak_lr`` and ``shape``.

    Attributes:
        rows: a dictionary a target.
    """

    @property
    def rows(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self._data["rows"]
        return rows

    def to_dict(self) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for name in self.rows[0] if self.rows else ():
            values = [row[name] for row in self.rows]
            if name in ("interval", "plateau"):
                out[f"{name}_lower"] = [value[0] for value in values]
                out[f"{name}_upper"] = [value[1] for value in values]
            elif name == "loss":
                out[name] = [value["value"] for value in values]
                out[f"{name}_lower"] = [value["lower"] for value in values]
                out[f"{name}_upper"] = [value["upper"] for value in values]
            else:
                out[name] = values
        return out

    def _rows(self) -> list[tuple[str, str]]:
        return [
            (
                f"N {'as fitted' if row['params'] is None else format(row['params'], '.4g')}, rate {row['peak_lr']:g}, {row['shape']}",
                f"ratio {row['ratio']:.3f}, start after {row['start_step']}, loss {row['loss']['value']:.4f}",
            )
            for row in self.rows
        ]
