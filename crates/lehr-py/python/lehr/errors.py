"""Exceptions and warnings, each with what is needed to act on it."""

from __future__ import annotations

from typing import Any


class LehrError(Exception):
    """There is no answer.

    Attributes:
        message: what is wrong.
        remedy: what to do about it, or ``None``.
        file, line: where in the input it is, where that is known.
        found, expected: what is there and what should be.
        notes: what was done with the data before it failed.
    """

    def __init__(
        self,
        message: str,
        *,
        remedy: str | None = None,
        file: str | None = None,
        line: int | None = None,
        found: str | None = None,
        expected: str | None = None,
        notes: list[str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.file = file
        self.line = line
        self.found = found
        self.expected = expected
        self.notes = list(notes or [])

    def __str__(self) -> str:
        said = self.message
        if self.expected is not None and "expected" not in said:
            said = f"{said}; expected {self.expected}"
        return said if self.remedy is None else f"{said}\nhint: {self.remedy}"

    def __reduce__(self) -> tuple[Any, ...]:
        return (_restore, (type(self), self.message, dict(self.__dict__)))


def _restore(kind: type[LehrError], message: str, state: dict[str, Any]) -> LehrError:
    error = kind(message)
    error.__dict__.update(state)
    return error


class ReadError(LehrError, ValueError):
    """A file cannot be read, or holds something else than expected."""


class RequestError(LehrError, ValueError):
    """The arguments do not fit together."""


class InternalError(LehrError, RuntimeError):
    """A fault of lehr itself; please report it with what you called."""


class MissingPackageError(LehrError, ImportError):
    """A package that this call needs is not installed."""


class CaveatWarning(UserWarning):
    """Something to know before a number is used; ``code`` names its kind, ``remedy`` says what to do."""

    def __init__(self, message: str, code: str = "", remedy: str | None = None) -> None:
        super().__init__(message if remedy is None else f"{message}; {remedy}")
        self.code = code
        self.remedy = remedy


class BlockingCaveatWarning(CaveatWarning):
    """An answer should not be used before a person has looked at this."""


def of(
    kind: str,
    message: str,
    remedy: str | None = None,
    file: str | None = None,
    line: int | None = None,
    found: str | None = None,
    expected: str | None = None,
    notes: list[str] | None = None,
) -> LehrError:
    """The exception of a failure; called by the extension."""
    if kind == "request":
        error: type[LehrError] = RequestError
    elif file is not None:
        error = ReadError
    else:
        error = LehrError
    return error(message, remedy=remedy, file=file, line=line, found=found, expected=expected, notes=notes)


def internal(what: str) -> InternalError:
    """The exception of a fault of lehr itself; called by the extension."""
    return InternalError(
        f"lehr failed: {what}",
        remedy="this is a fault of lehr, not of your data: please report it with the call and the log",
    )


def missing(package: str, what: str) -> MissingPackageError:
    """The exception where ``what`` needs a package that is not there."""
    return MissingPackageError(f"{what} needs {package}, which is not installed", remedy=f"pip install {package}")
