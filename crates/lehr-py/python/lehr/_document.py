"""What all answers share: a document with caveats, notes, a picture and ways out."""

from __future__ import annotations

import html
import importlib
import json
import os
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import errors

if TYPE_CHECKING:
    from ._lehr import NativeAnswer


@dataclass(frozen=True)
class Caveat:
    """Something to know before a number is used.

    Attributes:
        code: kind in kebab-case, for programs.
        message: the sentence for a person.
        blocking: whether the answer should not be used before a person has looked at this.
    """

    code: str
    message: str
    blocking: bool = False


@dataclass(frozen=True)
class Note:
    """Something that was done with the data or assumed."""

    code: str
    about: str
    message: str

    def __str__(self) -> str:
        return f"{self.about}: {self.message}"


def caveats_of(text: str) -> list[Caveat]:
    """Caveats from their JSON list."""
    return [Caveat(c["code"], c["message"], c["blocking"]) for c in json.loads(text)]


def notes_of(text: str) -> list[Note]:
    """Notes from their JSON list."""
    return [Note(n["code"], n["about"], n["message"]) for n in json.loads(text)]


_PACKAGE = os.path.dirname(os.path.abspath(__file__))


def _caller() -> int:
    """The stack level of the first frame outside this package."""
    import sys

    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and os.path.abspath(frame.f_code.co_filename).startswith(_PACKAGE):
        frame = frame.f_back
        level += 1
    return level


def warn(caveats: list[Caveat]) -> None:
    """Says caveats as warnings, once each."""
    for caveat in caveats:
        kind = errors.BlockingCaveatWarning if caveat.blocking else errors.CaveatWarning
        warnings.warn(kind(caveat.message, caveat.code), stacklevel=_caller())


class Frame:
    """Rows under column names, with ways out to other libraries."""

    def to_dict(self) -> dict[str, Any]:
        """Columns as NumPy arrays by name."""
        raise NotImplementedError

    def to_pandas(self) -> Any:
        """A ``pandas.DataFrame``."""
        try:
            pandas = importlib.import_module("pandas")
        except ImportError:
            raise errors.missing("pandas", "to_pandas()") from None
        return pandas.DataFrame(self.to_dict())

    def to_polars(self) -> Any:
        """A ``polars.DataFrame``."""
        try:
            polars = importlib.import_module("polars")
        except ImportError:
            raise errors.missing("polars", "to_polars()") from None
        return polars.DataFrame(self.to_dict(), strict=False)

    def to_arrow(self) -> Any:
        """A ``pyarrow.Table``."""
        try:
            pyarrow = importlib.import_module("pyarrow")
        except ImportError:
            raise errors.missing("pyarrow", "to_arrow()") from None
        return pyarrow.table(self.to_dict())

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.to_arrow().__arrow_c_stream__(requested_schema)


def html_table(rows: list[tuple[str, str]]) -> str:
    """A small table of names and values."""
    cells = "".join(f"<tr><th>{html.escape(a)}</th><td>{html.escape(b)}</td></tr>" for a, b in rows)
    return f"<table>{cells}</table>"


def html_caveats(caveats: list[Caveat]) -> str:
    """Caveats as a list."""
    if not caveats:
        return ""
    items = "".join(f"<li>{'<b>blocking</b> ' if c.blocking else ''}{html.escape(c.message)}</li>" for c in caveats)
    return f"<ul>{items}</ul>"


class Document(Mapping[str, Any]):
    """An answer: a mapping of what the command's ``--json`` prints, with attributes for the main things.

    Attributes:
        caveats: what to know before a number is used.
        notes: what was done or assumed.
    """

    def __init__(self, native: NativeAnswer) -> None:
        self._native: NativeAnswer | None = native
        self._json = native.json
        self._data: dict[str, Any] = json.loads(native.json)
        self.caveats = caveats_of(native.caveats)
        self.notes = notes_of(native.notes)
        self._svg: str | None = None
        self._extra = native.extra()

    def __getitem__(self, key: str) -> Any:
        return self._data[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._data)

    def __len__(self) -> int:
        return len(self._data)

    @property
    def blocked(self) -> bool:
        """Whether a caveat says that a person should look before the answer is used."""
        return any(caveat.blocking for caveat in self.caveats)

    def to_json(self) -> str:
        """The document as the command prints it with ``--json``."""
        return self._json

    def svg(self) -> str | None:
        """The picture as SVG text, or ``None`` where the answer has none."""
        if self._svg is None and self._native is not None:
            self._svg = self._native.svg()
        return self._svg

    def save_plot(self, path: str | os.PathLike[str]) -> None:
        """Writes the picture; the ending says the format: svg, png, pdf or txt."""
        if self._native is not None:
            self._native.save_picture(path)
        elif self._svg is not None and os.fspath(path).endswith(".svg"):
            with open(path, "w", encoding="utf-8") as file:
                file.write(self._svg)
        else:
            raise errors.RequestError("an answer from a pickle keeps its picture as SVG alone", remedy="end the name in .svg")

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_native": None, "_svg": self.svg()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self._json == other._json

    def __hash__(self) -> int:
        return hash((type(self), self._json))

    def _rows(self) -> list[tuple[str, str]]:
        return []

    def __repr__(self) -> str:
        inside = ", ".join(f"{name}={value}" for name, value in self._rows())
        return f"<lehr.{type(self).__name__} {inside}>"

    def _repr_html_(self) -> str:
        return html_table(self._rows()) + (self.svg() or "") + html_caveats(self.caveats)


def axes(ax: Any, what: str) -> Any:
    """Matplotlib axes: those given, else new ones."""
    if ax is not None:
        return ax
    try:
        import matplotlib.pyplot as plt
    except ImportError:
        raise errors.missing("matplotlib", what) from None
    return plt.subplots()[1]
