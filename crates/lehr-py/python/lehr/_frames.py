"""Frames of any library as columns: dictionaries, pandas, polars, and whatever speaks Arrow's C stream."""

from __future__ import annotations

import csv
import io
from typing import Any

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
        columns = {str(name): _values(values) for name, values in frame.items()}
    elif type(frame).__module__.partition(".")[0] == "pandas":
        columns = {str(name): _values(frame[name], missing=True) for name in frame.columns}
    elif hasattr(frame, "__arrow_c_stream__"):
        from ._arrow import read_stream

        columns = read_stream(frame)
    else:
        columns = {str(name): _values(frame[name]) for name in frame.columns}
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


def _values(given: Any, missing: bool = False) -> list[Any]:
    """A column as a list. In pandas (``missing``) NaN is a cell that was never written, elsewhere it is a value."""
    values: list[Any] = list(given.tolist() if hasattr(given, "tolist") else given)
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
