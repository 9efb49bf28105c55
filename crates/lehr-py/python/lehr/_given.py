"""Arguments of the Python layer: brought to what is expected, or refused by name."""

from __future__ import annotations

import math
import operator
import os
from typing import Any

from . import errors


def shown(value: Any) -> str:
    """A value as an error names it."""
    try:
        text = repr(value)
    except Exception:  # an object of the caller's may raise whatever it likes
        text = ""
    return text if 0 < len(text) <= 60 else f"a {type(value).__name__}"


def refuse(name: str, value: Any, expected: str, remedy: str | None = None) -> errors.RequestError:
    """The error for an argument that is something else than expected."""
    found = shown(value)
    return errors.RequestError(f"{name} is {found}; expected {expected}", found=found, expected=expected, remedy=remedy)


def whole(name: str, value: Any, least: int, expected: str) -> int:
    """A whole number of at least ``least``: also NumPy's, and floats without a fraction."""
    if type(value) is int and value >= least:
        return value
    made: int | None = None
    try:
        made = operator.index(value)
    except TypeError:
        number = real(name, value, expected)
        made = int(number) if math.isfinite(number) and number == math.floor(number) else None
    except Exception:
        raise refuse(name, value, expected) from None
    if made is None or isinstance(value, bool) or made < least:
        raise refuse(name, value, expected)
    return made


def real(name: str, value: Any, expected: str) -> float:
    """A number, also NaN and infinities; text that looks like one is none."""
    if type(value) is float:
        return value
    try:
        if isinstance(value, (str, bytes, bytearray, bool)):
            raise TypeError
        return float(value)
    except Exception:
        raise refuse(name, value, expected) from None


def path(name: str, value: Any) -> str:
    """The name of a file or folder; a number is none (Python would take it for a file that is open)."""
    try:
        text: Any = os.fspath(value)
        if isinstance(text, bytes):
            text = os.fsdecode(text)
        os.fsencode(text)
    except Exception:
        raise refuse(name, value, "the name of a file or folder, as text or as a path") from None
    if "\0" in text:
        raise refuse(name, value, "the name of a file or folder, without a null character")
    return str(text)
