"""Reads Arrow's C stream interface with nothing but ctypes, so that any frame library is read without being imported."""

from __future__ import annotations

import ctypes
import struct
from decimal import Decimal
from typing import Any

from ._frames import distinct
from .errors import RequestError


class _Schema(ctypes.Structure):
    pass


class _Array(ctypes.Structure):
    pass


class _Stream(ctypes.Structure):
    pass


_Schema._fields_ = [
    ("format", ctypes.c_char_p),
    ("name", ctypes.c_char_p),
    ("metadata", ctypes.c_void_p),
    ("flags", ctypes.c_int64),
    ("n_children", ctypes.c_int64),
    ("children", ctypes.POINTER(ctypes.POINTER(_Schema))),
    ("dictionary", ctypes.POINTER(_Schema)),
    ("release", ctypes.CFUNCTYPE(None, ctypes.POINTER(_Schema))),
    ("private_data", ctypes.c_void_p),
]
_Array._fields_ = [
    ("length", ctypes.c_int64),
    ("null_count", ctypes.c_int64),
    ("offset", ctypes.c_int64),
    ("n_buffers", ctypes.c_int64),
    ("n_children", ctypes.c_int64),
    ("buffers", ctypes.POINTER(ctypes.c_void_p)),
    ("children", ctypes.POINTER(ctypes.POINTER(_Array))),
    ("dictionary", ctypes.POINTER(_Array)),
    ("release", ctypes.CFUNCTYPE(None, ctypes.POINTER(_Array))),
    ("private_data", ctypes.c_void_p),
]
_Stream._fields_ = [
    ("get_schema", ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(_Stream), ctypes.POINTER(_Schema))),
    ("get_next", ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(_Stream), ctypes.POINTER(_Array))),
    ("get_last_error", ctypes.CFUNCTYPE(ctypes.c_char_p, ctypes.POINTER(_Stream))),
    ("release", ctypes.CFUNCTYPE(None, ctypes.POINTER(_Stream))),
    ("private_data", ctypes.c_void_p),
]

# Arrow's letter for a type → struct's letter and the bytes of a value.
_NUMBERS = {"c": ("b", 1), "C": ("B", 1), "s": ("h", 2), "S": ("H", 2), "i": ("i", 4), "I": ("I", 4),
            "l": ("q", 8), "L": ("Q", 8), "e": ("e", 2), "f": ("f", 4), "g": ("d", 8)}  # fmt: skip


def read_stream(frame: Any) -> dict[str, list[Any]]:
    """Columns of whatever has ``__arrow_c_stream__``: numbers, texts and ``None``; other columns are left out."""
    capsule = frame.__arrow_c_stream__()
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    try:
        stream = _Stream.from_address(pointer(capsule, b"arrow_array_stream"))
    except ValueError:
        found = type(capsule).__name__
        raise RequestError(
            f"__arrow_c_stream__() gives {found}, which is no Arrow stream", found=found, expected="a capsule 'arrow_array_stream'"
        ) from None
    schema = _Schema()
    try:
        _check(stream, stream.get_schema(ctypes.byref(stream), ctypes.byref(schema)))
        if schema.format != b"+s":
            raise RequestError("the Arrow stream holds no table", found=str(schema.format), expected="a table with named columns")
        children = [schema.children[i].contents for i in range(schema.n_children)]
        names = [child.name.decode() for child in children]
        distinct(names)
        columns: dict[str, list[Any]] = {name: [] for name in names}
        unread: set[str] = set()
        while True:
            batch = _Array()
            _check(stream, stream.get_next(ctypes.byref(stream), ctypes.byref(batch)))
            if not batch.release:
                break
            for i, (name, child) in enumerate(zip(names, children, strict=True)):
                values = _read(child, batch.children[i].contents, batch.offset, batch.length)
                if values is None:
                    unread.add(name)
                else:
                    columns[name].extend(values)
            batch.release(ctypes.byref(batch))
        for name in unread:
            del columns[name]
        return columns
    finally:
        if schema.release:
            schema.release(ctypes.byref(schema))
        # The capsule owns the stream and releases it.
        del capsule


def _check(stream: Any, code: int) -> None:
    if code:
        why = stream.get_last_error(ctypes.byref(stream))
        raise RequestError(f"the Arrow stream cannot be read: {(why or b'no reason given').decode()}")


def _bytes(address: int | None, start: int, length: int) -> bytes:
    return ctypes.string_at(address + start, length) if address and length else b""


def _valid(array: Any, start: int, length: int) -> list[bool] | None:
    bitmap = array.buffers[0] if array.n_buffers else None
    if not bitmap or array.null_count == 0:
        return None
    bits = _bytes(bitmap, start // 8, (start % 8 + length + 7) // 8)
    return [bool(bits[(start % 8 + i) // 8] >> ((start % 8 + i) % 8) & 1) for i in range(length)]


def _read(schema: Any, array: Any, more: int, length: int) -> list[Any] | None:
    """The values of a column from its offset on; ``None`` for kinds that no log holds."""
    kind, start = schema.format.decode(), array.offset + more
    values: list[Any]
    if schema.dictionary:
        words = _read(schema.dictionary.contents, array.dictionary.contents, 0, array.dictionary.contents.length)
        letter, size = _NUMBERS[kind]
        keys = struct.unpack(f"<{length}{letter}", _bytes(array.buffers[1], start * size, length * size))
        if words is None:
            return None
        valid = _valid(array, start, length)
        return [words[key] if valid is None or valid[i] else None for i, key in enumerate(keys)]
    if kind in _NUMBERS:
        letter, size = _NUMBERS[kind]
        values = list(struct.unpack(f"<{length}{letter}", _bytes(array.buffers[1], start * size, length * size)))
    elif kind == "b":
        bits = _bytes(array.buffers[1], start // 8, (start % 8 + length + 7) // 8)
        values = [bool(bits[(start % 8 + i) // 8] >> ((start % 8 + i) % 8) & 1) for i in range(length)]
    elif kind in ("u", "U"):
        letter, size = ("i", 4) if kind == "u" else ("q", 8)
        ends = struct.unpack(f"<{length + 1}{letter}", _bytes(array.buffers[1], start * size, (length + 1) * size))
        values = [_bytes(array.buffers[2], a, b - a).decode() for a, b in zip(ends, ends[1:])]
    elif kind == "vu":
        views = _bytes(array.buffers[1], start * 16, length * 16)
        values = []
        for i in range(length):
            (size,) = struct.unpack_from("<i", views, 16 * i)
            if size <= 12:
                values.append(views[16 * i + 4 : 16 * i + 4 + size].decode())
            else:
                buffer, at = struct.unpack_from("<ii", views, 16 * i + 8)
                values.append(_bytes(array.buffers[2 + buffer], at, size).decode())
    elif kind.startswith("d:"):
        # A decimal number: precision, scale and, where they are not 128, its bits.
        _, scale, *bits_ = [int(part) for part in kind[2:].split(",")]
        size = (bits_[0] if bits_ else 128) // 8
        data = _bytes(array.buffers[1], start * size, length * size)
        parts = (int.from_bytes(data[i * size : (i + 1) * size], "little", signed=True) for i in range(length))
        values = [float(Decimal(part).scaleb(-scale)) for part in parts]
    elif kind == "n":
        return [None] * length
    else:
        return None
    valid = _valid(array, start, length)
    return values if valid is None else [value if there else None for value, there in zip(values, valid, strict=True)]
