"""Learning-rate schedules: the rate of every update."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from . import _given, _lehr, errors
from ._document import Document, Frame, axes, html_table

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


_RATE = "a rate such as 3e-4"
_UPDATES = "a whole number of updates"


def _rate(name: str, value: Any) -> str:
    return repr(_given.real(name, value, _RATE))


def _updates(name: str, value: Any) -> str:
    """Updates; text such as ``"50k"`` is read where the schedule is."""
    return value if isinstance(value, str) else str(_given.whole(name, value, 0, _UPDATES))


def _plain(name: str, value: Any) -> str:
    """A text that is one word of a schedule."""
    if not isinstance(value, str) or not value or any(c in value for c in ",=;") or value.strip() != value:
        raise _given.refuse(name, value, "the name of a shape such as 'linear'")
    return value


def _text(family: str, **parts: str | None) -> str:
    return family + ":" + ",".join(f"{name}={value}" for name, value in parts.items() if value is not None)


class Export(Document):
    """A trainer's configuration.

    Attributes:
        text: the configuration, or ``None`` where it is binary.
        contents: its bytes.
        promised_rates: the rates that the trainer will use.
        loss_cost: by the fit, what the difference to the rates asked for costs (nats per token), where a fit made it.
    """

    @property
    def text(self) -> str | None:
        text: str | None = self._data["text"]
        return text

    @property
    def contents(self) -> bytes:
        return self._extra or b""

    @property
    def promised_rates(self) -> list[float]:
        rates: list[float] = self._data["promised_rates"]
        return rates

    @property
    def loss_cost(self) -> float | None:
        cost: float | None = self._data.get("loss_cost")
        return cost

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the configuration into a file."""
        with open(_given.path("path", path), "wb") as file:
            file.write(self.contents)

    def __str__(self) -> str:
        return self.text if self.text is not None else f"<{len(self.contents)} bytes for {self['target']}>"

    def _rows(self) -> list[tuple[str, str]]:
        return [("target", self["target"]), ("file_name", self["file_name"]), ("executed", str(self["executed"]))]


class Schedule(Frame):
    """A schedule, from its text or from one of the families.

    Examples:
        >>> schedule = Schedule.wsd(peak_lr=1e-3, steps=1000, warmup=100, ratio=0.2)
        >>> str(schedule)
        'wsd:peak=0.001,total=1000,warmup=100,ratio=0.2,shape=linear,final=0'
        >>> len(schedule), schedule.lr(100), schedule.lr(1000)
        (1000, 0.001, 0.0)
    """

    def __init__(self, text: str) -> None:
        if not isinstance(text, str):
            raise errors.RequestError(
                f"a schedule is {type(text).__name__}", expected="a text such as 'wsd:peak=1e-3,total=50k,ratio=0.2'"
            )
        self._native = _lehr.schedule(text)

    @classmethod
    def _of(cls, native: _lehr.NativeSchedule) -> Schedule:
        made = cls.__new__(cls)
        made._native = native
        return made

    @classmethod
    def wsd(
        cls,
        *,
        peak_lr: float,
        steps: int,
        warmup: int = 0,
        ratio: float | None = None,
        anneal_steps: int | None = None,
        shape: str = "linear",
        final_lr: float = 0.0,
        start_lr: float | None = None,
    ) -> Schedule:
        """Warm-up, stable, annealing over the share ``ratio`` of the run or over ``anneal_steps`` updates."""
        return cls(
            _text(
                "wsd",
                peak=_rate("peak_lr", peak_lr),
                total=_updates("steps", steps),
                warmup=_updates("warmup", warmup),
                ratio=None if ratio is None else repr(_given.real("ratio", ratio, "a share between 0 and 1")),
                anneal=None if anneal_steps is None else _updates("anneal_steps", anneal_steps),
                shape=_plain("shape", shape),
                final=_rate("final_lr", final_lr),
                start=None if start_lr is None else _rate("start_lr", start_lr),
            )
        )

    @classmethod
    def cosine(cls, *, peak_lr: float, steps: int, warmup: int = 0, final_lr: float = 0.0) -> Schedule:
        """Half a cosine after the warm-up."""
        return cls(cls._family("cosine", peak_lr, steps, warmup, final_lr))

    @classmethod
    def linear(cls, *, peak_lr: float, steps: int, warmup: int = 0, final_lr: float = 0.0) -> Schedule:
        """A straight line after the warm-up."""
        return cls(cls._family("linear", peak_lr, steps, warmup, final_lr))

    @classmethod
    def constant(cls, *, peak_lr: float, steps: int, warmup: int = 0) -> Schedule:
        """One rate after the warm-up."""
        return cls(cls._family("constant", peak_lr, steps, warmup))

    @staticmethod
    def _family(family: str, peak_lr: Any, steps: Any, warmup: Any, final_lr: Any = None) -> str:
        return _text(
            family,
            peak=_rate("peak_lr", peak_lr),
            total=_updates("steps", steps),
            warmup=_updates("warmup", warmup),
            final=None if final_lr is None else _rate("final_lr", final_lr),
        )

    @classmethod
    def sampled(cls, rates: Any) -> Schedule:
        """One rate an update, from any sequence of numbers."""
        try:
            values = [float(rate) for rate in rates]
        except (TypeError, ValueError) as error:
            raise errors.RequestError(f"rates are no sequence of numbers: {error}", expected="one rate an update") from None
        return cls._of(_lehr.sampled(values))

    @classmethod
    def recognise(
        cls, log: str | os.PathLike[str], *, warmup: int | None = None, total: int | None = None, peak: float | None = None
    ) -> Schedule:
        """The schedule that a CSV log (``step``, ``lr``) followed."""
        native, _ = _lehr.recognise(_given.path("log", log), {"warmup": warmup, "total": total, "peak": peak})
        return cls._of(native)

    @property
    def steps(self) -> int:
        """The horizon in updates."""
        return self._native.total()

    @property
    def peak_lr(self) -> float:
        """The largest rate."""
        peak: float = self.to_document()["peak_lr"]
        return peak

    def lr(self, update: int) -> float:
        """The rate of an update, from 1."""
        if type(update) is not int or not 1 <= update <= len(self):
            update = _given.whole("update", update, 1, f"1 … {len(self)}")
            if update > len(self):
                raise _given.refuse("update", update, f"1 … {len(self)}")
        return self._native.lr(update)

    def rates(self) -> npt.NDArray[np.float64]:
        """The rate of every update; the first is that of update 1."""
        import numpy as np

        return np.frombuffer(self._native.rates(), dtype="<f8")

    def to_document(self) -> dict[str, Any]:
        """What ``lehr schedule --json`` prints."""
        import json

        document: dict[str, Any] = json.loads(self._native.document())
        return document

    def to_dict(self) -> dict[str, Any]:
        import numpy as np

        return {"step": np.arange(1, len(self) + 1), "lr": self.rates()}

    def truncate(self, steps: int) -> Schedule:
        """Its first updates."""
        return self._of(self._native.truncate(steps))

    def extend(self, steps: int) -> Schedule:
        """It, and more updates at its last rate."""
        return self._of(self._native.extend(steps))

    def anneal_from(self, update: int, anneal_steps: int, *, shape: str = "linear", final_lr: float = 0.0) -> Schedule:
        """A branch: this schedule up to ``update``, then an annealing over ``anneal_steps`` updates."""
        return self._of(self._native.anneal_from(update, anneal_steps, shape, final_lr))

    def export(self, target: str, *, from_step: int | None = None) -> Export:
        """A trainer's configuration: ``torch``, ``hf``, ``megatron``, … (`lehr.export_targets`)."""
        return Export(self._native.export(target, from_step))

    def __len__(self) -> int:
        return self._native.total()

    def __str__(self) -> str:
        return self._native.text()

    def __repr__(self) -> str:
        return f"<lehr.Schedule {self}>" if len(str(self)) < 300 else f"<lehr.Schedule of {len(self)} updates>"

    def __eq__(self, other: object) -> bool:
        return self._native.same(other._native) if isinstance(other, Schedule) else NotImplemented

    def __hash__(self) -> int:
        return hash(str(self))

    def __reduce__(self) -> tuple[Any, ...]:
        return (Schedule, (str(self),))

    def __copy__(self) -> Schedule:
        return self

    def __deepcopy__(self, memo: object) -> Schedule:
        return self

    def _repr_html_(self) -> str:
        return html_table([("schedule", self._native.describe())])

    def plot(self, ax: Any = None) -> Any:
        """Draws the rate of every update."""
        ax = axes(ax, "Schedule.plot()")
        ax.plot(range(1, len(self) + 1), self.rates())
        ax.set_xlabel("update")
        ax.set_ylabel("learning rate")
        return ax


def text_of(schedule: Any) -> str:
    """The text of a schedule given as one, or as text."""
    if isinstance(schedule, (Schedule, str)):
        return str(schedule)
    raise errors.RequestError(
        f"schedule is {type(schedule).__name__}",
        found=type(schedule).__name__,
        expected="a lehr.Schedule or a text such as 'wsd:peak=1e-3,total=50k,ratio=0.2'",
    )
