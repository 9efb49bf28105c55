"""What all answers share: a document with caveats, notes, a picture and ways out."""

from __future__ import annotations

import html
import importlib
import json
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from . import _given, _lehr, errors

if TYPE_CHECKING:
    from ._lehr import NativeAnswer


@dataclass(frozen=True)
class Caveat:
    """Something to know before a number is used.

    Attributes:
        code: kind in kebab-case, for programs; `caveat_kinds` lists all.
        message: the sentence for a person.
        blocking: whether the answer should not be used before a person has looked at this.
        values: what was found, by name.
        remedy: what to do about it, or ``None``.
    """

    code: str
    message: str
    blocking: bool = False
    values: dict[str, Any] = field(default_factory=dict, hash=False)
    remedy: str | None = None

    def __str__(self) -> str:
        return self.message


@dataclass(frozen=True)
class Note:
    """Something that was done with the data or assumed."""

    code: str
    about: str
    message: str

    def __str__(self) -> str:
        return f"{self.about}: {self.message}"


def caveats_of(text: str) -> list[Caveat]:
    """Caveats from their JSON list, the most important first."""
    return [Caveat(c["code"], c["message"], c["blocking"], c.get("values", {}), c.get("remedy")) for c in json.loads(text)]


def caveat_kinds() -> list[dict[str, Any]]:
    """Every kind of caveat, the most important first: ``code``, ``rank``, ``blocks``, ``meaning``, ``remedy``.

    Examples:
        >>> "extrapolates-horizon" in [kind["code"] for kind in caveat_kinds()]
        True
    """
    kinds: list[dict[str, Any]] = json.loads(_lehr.caveat_kinds())
    return kinds


Accept = bool | str | Sequence[str] | None


def accepted_codes(accept: Accept) -> frozenset[str]:
    """The codes that ``accept=`` names; ``True`` names all."""
    if accept is None or accept is False:
        return frozenset()
    known = [kind["code"] for kind in caveat_kinds()]
    if accept is True:
        return frozenset(known)
    named: list[Any] = [accept] if isinstance(accept, str) or not hasattr(accept, "__iter__") else list(accept)
    for code in named:
        if code not in known:
            raise errors.RequestError(
                f"accept= names {code!r}, which is no kind of caveat",
                found=repr(code),
                expected=", ".join(known),
                remedy="lehr.caveat_kinds() lists them",
            )
    return frozenset(named)


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


def warn(caveats: list[Caveat], accepted: frozenset[str] = frozenset()) -> None:
    """Says caveats as warnings, once each; not those that were accepted."""
    for caveat in caveats:
        if caveat.code not in accepted:
            kind = errors.BlockingCaveatWarning if caveat.blocking else errors.CaveatWarning
            warnings.warn(kind(caveat.message, caveat.code, caveat.remedy), stacklevel=_caller())


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
    items = "".join(
        f"<li>{'<b>blocking</b> ' if c.blocking else ''}{html.escape(c.message)}"
        f"{f' <i>{html.escape(c.remedy)}</i>' if c.remedy else ''}</li>"
        for c in caveats
    )
    return f"<ul>{items}</ul>"


class Document(Mapping[str, Any]):
    """An answer: a mapping of what the command's ``--json`` prints, with attributes for the main things.

    Attributes:
        caveats: what to know before a number is used, the most important first.
        notes: what was done or assumed.
        accepted: codes of caveats that the caller has accepted (``accept=``).
    """

    def __init__(self, native: NativeAnswer, accepted: frozenset[str] = frozenset()) -> None:
        self._native: NativeAnswer | None = native
        self._json = native.json
        self._data: dict[str, Any] = json.loads(native.json)
        self.caveats = caveats_of(native.caveats)
        self.notes = notes_of(native.notes)
        self.accepted = accepted
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
        """Whether a caveat that was not accepted says that a person should look before the answer is used."""
        return any(caveat.blocking and caveat.code not in self.accepted for caveat in self.caveats)

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
        path = _given.path("path", path)
        if self._native is not None:
            self._native.save_picture(path)
        elif self._svg is not None and path.endswith(".svg"):
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
