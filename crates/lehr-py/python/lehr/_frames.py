"""Frames of any library as columns: dictionaries, pandas, polars, and whatever speaks Arrow's C stream."""

from __future__ import annotations

import csv
import io
from typing import Any

from . import _given
from .errors import RequestError


def is_frame(given: object) -> bool:
    """Whether something is a frame and not a path."""
    return isinstance(given, dict) or hasattr(given, "__arrow_c_stream__") or (
        hasattr(given, "columns") and hasattr(given, "to_dict")
    )


def columns_of(frame: Any) -> dict[str, list[Any]]:
    """Columns by name, as Python lists of numbers, texts and ``None``."""
    from ._document import Frame

    if isinstance(frame, (dict, Frame)):
        frame = frame.to_dict() if isinstance(frame, Frame) else frame
        distinct(frame)
        columns = {str(name): _values(name, values) for name, values in frame.items()}
    elif type(frame).__module__.partition(".")[0] == "pandas":
        if not hasattr(frame, "columns"):
            raise _one_column(frame)
        distinct(frame.columns)
        columns = {str(name): _values(name, frame[name], missing=True) for name in frame.columns}
        _diverged(columns)
    elif hasattr(frame, "__arrow_c_stream__"):
        from ._arrow import read_stream

        columns = read_stream(frame)
    else:
        distinct(frame.columns)
        columns = {str(name): _values(name, frame[name]) for name in frame.columns}
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise RequestError(
            f"the columns differ in length: {lengths}",
            remedy="give every column as many values as there are rows",
            found=str(lengths),
            expected="columns of one length",
        )
    if not columns:
        raise RequestError("the frame has no column", expected="columns such as step, lr, loss", found="none")
    return columns


def _one_column(frame: Any) -> RequestError:
    return RequestError(
        f"a {type(frame).__name__} is one column",
        found=f"a {type(frame).__name__}",
        expected="a frame with columns such as step, lr, loss",
    )


def distinct(names: Any) -> None:
    """Refuses columns of one name."""
    seen: set[str] = set()
    for name in map(str, names):
        if name in seen:
            raise RequestError(
                f"two columns are named {name!r}", found=repr(name), expected="names that differ", remedy="drop or rename one of them"
            )
        seen.add(name)


def _diverged(columns: dict[str, list[Any]]) -> None:
    """Gives back as NaN what pandas cannot tell from a missing cell: the end of a column that had no gap until then.

    A row counts as written where another column that is no count of steps or time has a value in every row.
    """
    counts = ("step", "time", "epoch", "token", "sample", "iter", "index")
    whole = [name for name, values in columns.items() if None not in values]
    if not any(isinstance(columns[name][0], float) and not any(c in name.lower() for c in counts) for name in whole if columns[name]):
        return
    for values in columns.values():
        if None not in values:
            continue
        first = values.index(None)
        if first >= 10 and len(values) - first >= 3 and all(value is None for value in values[first:]):
            if all(isinstance(value, float) for value in values[:first]):
                values[first:] = [float("nan")] * (len(values) - first)


def _values(name: Any, given: Any, missing: bool = False) -> list[Any]:
    """A column as a list. In pandas (``missing``) NaN is a cell that was never written, elsewhere it is a value."""
    listed = given.tolist() if hasattr(given, "tolist") else given
    if isinstance(listed, (str, bytes)) or not hasattr(listed, "__len__") or not hasattr(listed, "__iter__"):
        raise _given.refuse(f"column {str(name)!r}", given, "a list or an array of values")
    values: list[Any] = list(listed)
    if not missing:
        return values
    return [None if value is None or type(value).__name__ in ("NAType", "NaTType") or value != value else value for value in values]


def to_csv(columns: dict[str, list[Any]]) -> bytes:
    """The columns as CSV text; numbers keep every bit."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return text.getvalue().encode()
