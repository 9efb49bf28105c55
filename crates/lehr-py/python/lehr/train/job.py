"""The job file: what a trainer is told (``docs/formats/job.md``), read and checked before anything is loaded."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Any

from .. import errors
from .settings import Settings

FORMAT = "lehr.job/1"


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint: updates done, and a file or a folder."""

    update: int
    path: str


@dataclass(frozen=True)
class ExitCodes:
    """What a trainer exits with."""

    done: int
    diverged: int
    again: int


@dataclass(frozen=True)
class Job:
    """One job of a sweep.

    Attributes:
        file: the job file.
        run: model, optimiser, data, batch and seed: everything that decides the losses but the rates.
        first, last: updates to do, from 1.
        rates: the rate of every update of the whole run; ``rates[k - 1]`` is that of update k.
        resume: of a branch, its trunk's checkpoint.
        save: checkpoints to leave, by update.
        scratch: folder of the job's own checkpoints.
        log: where to log.
        validate_every: updates between two validations; 0: only after the last.
        settings: of this engine.
    """

    file: str
    name: str
    run: dict[str, Any]
    first: int
    last: int
    rates: tuple[float, ...]
    resume: Checkpoint | None
    save: dict[int, str]
    scratch: str
    log: str
    validate_every: int
    settings: Settings
    exit_codes: ExitCodes

    def validates_at(self, update: int) -> bool:
        """Whether there is a validation after this update: every ``validate_every``, and after the last."""
        return update == self.last or (self.validate_every > 0 and update % self.validate_every == 0)


class _Keys:
    """A table of the file, with the way to it for errors."""

    def __init__(self, file: str, table: dict[str, Any], place: str = "") -> None:
        self.file, self.table, self.place = file, table, place

    def wrong(self, key: str, found: object, expected: str, remedy: str | None = None) -> errors.ReadError:
        name = f"{self.place}{key}"
        return errors.ReadError(
            f"{self.file}: {name} is {found}; expected {expected}",
            remedy=remedy or "lehr writes job files itself: run the sweep again, or see docs/formats/job.md",
            file=self.file,
            found=str(found),
            expected=expected,
        )

    def get(self, key: str, kind: type | tuple[type, ...], expected: str) -> Any:
        if key not in self.table:
            raise self.wrong(key, "missing", expected)
        value = self.table[key]
        # A truth value is a whole number to Python, but to nobody else.
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise self.wrong(key, json.dumps(value)[:60], expected)
        return value

    def count(self, key: str, least: int) -> int:
        value = self.get(key, int, f"a whole number from {least}")
        if value < least:
            raise self.wrong(key, value, f"a whole number from {least}")
        return int(value)

    def text(self, key: str) -> str:
        value = self.get(key, str, "text that is not empty")
        if not value:
            raise self.wrong(key, "empty", "text that is not empty")
        return str(value)

    def inside(self, key: str) -> _Keys:
        return _Keys(self.file, self.get(key, dict, "an object"), f"{self.place}{key}.")


def _checkpoint(file: str, place: str, value: object) -> Checkpoint:
    if not isinstance(value, dict):
        raise _Keys(file, {}).wrong(place, json.dumps(value)[:60], "an object with update and path")
    keys = _Keys(file, value, f"{place}.")
    return Checkpoint(keys.count("update", 0), keys.text("path"))


def _rates(keys: _Keys, last: int) -> tuple[float, ...]:
    expected = f"{last} finite rates ≥ 0, one for every update up to the last"
    rates = keys.get("rates", list, expected)
    if len(rates) != last:
        raise keys.wrong("rates", f"{len(rates)} numbers", expected)
    for index, rate in enumerate(rates):
        if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0.0 <= rate < float("inf"):
            raise keys.wrong(f"rates[{index}]", json.dumps(rate), "a finite rate ≥ 0")
    return tuple(float(rate) for rate in rates)


def of(file: str, table: dict[str, Any]) -> Job:
    """The job of a table that was read from ``file``.

    Raises:
        ReadError: names the key, what was found, what was expected and what to do.
    """
    keys = _Keys(file, table)
    form = keys.get("format", str, FORMAT)
    if form != FORMAT:
        raise keys.wrong("format", form, FORMAT, "use the lehr that wrote the file, or update this one")
    first, last = keys.count("first", 1), keys.count("last", 1)
    if first > last:
        raise keys.wrong("first", first, f"at most last, which is {last}")
    model = keys.inside("model")
    run = {
        "model": model.get("config", dict, "an object"),
        "optimiser": keys.get("optimiser", dict, "an object"),
        "data": keys.get("data", dict, "an object"),
        "batch": keys.count("batch", 1),
        "seed": keys.count("seed", 0),
    }
    config = model.inside("config")
    for key in ("vocabulary", "context", "width", "layers", "heads"):
        config.count(key, 1)
    resume = table.get("resume")
    resumed = None if resume is None else _checkpoint(file, "resume", resume)
    if resumed is not None and resumed.update != first - 1:
        raise keys.wrong("resume.update", resumed.update, f"{first - 1}, the update before first")
    if resumed is None and first != 1:
        raise keys.wrong("resume", "missing", f"the checkpoint after update {first - 1}, from which update {first} goes on")
    save: dict[int, str] = {}
    for index, entry in enumerate(keys.get("save", list, "a list of checkpoints")):
        checkpoint = _checkpoint(file, f"save[{index}]", entry)
        if not first <= checkpoint.update <= last:
            raise keys.wrong(f"save[{index}].update", checkpoint.update, f"an update of the job, {first} … {last}")
        save[checkpoint.update] = checkpoint.path
    codes = keys.inside("exit_codes")
    return Job(
        file=file,
        name=keys.text("name"),
        run=run,
        first=first,
        last=last,
        rates=_rates(keys, last),
        resume=resumed,
        save=save,
        scratch=keys.text("scratch"),
        log=keys.text("log"),
        validate_every=keys.count("validate_every", 0),
        settings=Settings.of(file, keys.get("settings", dict, "an object"), run["batch"]),
        exit_codes=ExitCodes(codes.count("done", 0), codes.count("diverged", 1), codes.count("again", 1)),
    )


def read(path: str | os.PathLike[str]) -> Job:
    """Reads a job file.

    Raises:
        ReadError: a file that cannot be read, is no JSON, or in which a key is missing or wrong.
    """
    file = os.fspath(path)
    try:
        with open(file, encoding="utf-8") as source:
            table = json.load(source)
    except OSError as error:
        raise errors.ReadError(
            f"{file}: cannot read it: {error.strerror}",
            remedy="the path of a job file, which lehr puts in place of {job}",
            file=file,
            expected="a job file",
        ) from None
    except ValueError as error:
        line = getattr(error, "lineno", None)
        raise errors.ReadError(
            f"{file}:{line or 1}: not JSON: {error}", remedy="lehr writes job files itself: run the sweep again",
            file=file, line=line, found=str(error), expected="a JSON object",
        ) from None
    if not isinstance(table, dict):
        raise errors.ReadError(
            f"{file}: it holds {type(table).__name__}; expected a JSON object", file=file, expected="a JSON object"
        )
    return of(file, table)
