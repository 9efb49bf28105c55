"""Weights by the names of lehr's own engine, and its snapshots (safetensors), read and written.

A snapshot holds every tensor three times: the weights, and the optimiser's two moments. Matrices are inputs × outputs there and
outputs × inputs in `torch.nn.Linear`; experts are single there and stacked here.
"""

from __future__ import annotations

import json
import os
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import errors

VERSION = "1"
PREFIXES = ("", "optimiser.first.", "optimiser.second.")


@dataclass(frozen=True)
class Place:
    """Where a tensor of the engine's layout lies: a parameter, one of its stacked experts or all of it, turned or not."""

    parameter: str
    expert: int | None
    transposed: bool


def place(name: str) -> Place:
    """Where the tensor ``name`` of the layout lies.

    Raises:
        KeyError: for a name that is none.

    >>> place("blocks.3.experts.1.down")
    Place(parameter='blocks.3.experts.down', expert=1, transposed=False)
    """
    if name in ("embedding", "head"):
        return Place(f"{name}.weight", None, False)
    if re.fullmatch(r"norm|blocks\.\d+\.norm[12]", name):
        return Place(name, None, False)
    found = re.fullmatch(r"(blocks\.\d+)\.attention\.(qkv|out)", name)
    if found:
        return Place(f"{found[1]}.{found[2]}.weight", None, True)
    found = re.fullmatch(r"(blocks\.\d+)\.router", name)
    if found:
        return Place(f"{found[1]}.experts.router.weight", None, True)
    found = re.fullmatch(r"(blocks\.\d+\.experts)\.(\d+)\.(gate_up|down)", name)
    if found:
        return Place(f"{found[1]}.{found[3]}", int(found[2]), False)
    if re.fullmatch(r"blocks\.\d+\.(mlp|shared)\.(gate_up|down)", name):
        return Place(f"{name}.weight", None, True)
    raise KeyError(name)


def by_parameter(names: Iterable[str]) -> dict[str, list[tuple[str, Place]]]:
    """The tensors of the layout by the parameter that holds them, experts in order."""
    held: dict[str, list[tuple[str, Place]]] = {}
    for name in names:
        found = place(name)
        held.setdefault(found.parameter, []).append((name, found))
    return held


def assemble(parts: list[tuple[str, Place]], value_of: Callable[[str], np.ndarray[Any, Any]]) -> Tensor:
    """A parameter's value from the tensors of the layout that it holds."""
    values = [torch.from_numpy(value_of(name)) for name, _ in parts]
    if parts[0][1].expert is not None:
        return torch.stack(values)
    return values[0].T.contiguous() if parts[0][1].transposed else values[0]


def take_apart(parts: list[tuple[str, Place]], value: Tensor) -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
    """The tensors of the layout that a parameter's value holds."""
    for name, found in parts:
        one = value if found.expert is None else value[found.expert]
        yield name, (one.T if found.transposed else one).contiguous().numpy()


@dataclass(frozen=True)
class Snapshot:
    """A snapshot that was opened: its header is read, its tensors are read one by one.

    Attributes:
        completed: updates done.
        identity: what it says of its run: JSON.
    """

    file: str
    completed: int
    identity: dict[str, Any]
    tensors: dict[str, tuple[list[int], int, int]]

    def value(self, name: str) -> np.ndarray[Any, Any]:
        """The tensor of a name, fp32."""
        if name not in self.tensors:
            raise _wrong(self.file, f"no tensor {name}", "a snapshot of this model")
        shape, begin, end = self.tensors[name]
        with open(self.file, "rb") as source:
            source.seek(begin)
            data = source.read(end - begin)
        return np.frombuffer(data, "<f4").reshape(shape).copy()


def _wrong(file: str, found: str, expected: str) -> errors.ReadError:
    return errors.ReadError(
        f"{file}: {found}; expected {expected}", remedy="write the snapshot again, or resume from an earlier one",
        file=file, found=found, expected=expected,
    )


def crc(parts: Iterable[bytes]) -> int:
    """The checksum of a snapshot: of each part, the CRC-32 of the sum so far (four bytes) and the part."""
    total = 0
    for part in parts:
        total = zlib.crc32(part, zlib.crc32(total.to_bytes(4, "little")))
    return total


def open_snapshot(file: str, names: list[str]) -> Snapshot:
    """Opens a snapshot that ``lehr train``, a sweep or `write_snapshot` left, and checks it against its checksum.

    Args:
        names: the tensors of the layout, in order.

    Raises:
        ReadError: for a file that cannot be read, is no snapshot of this version, or was changed.
    """
    length = 0
    try:
        size = os.path.getsize(file)
        with open(file, "rb") as source:
            length = int.from_bytes(source.read(8), "little")
            header = json.loads(source.read(length)) if 8 + length <= size else None
    except OSError as error:
        raise _wrong(file, f"cannot read it: {error.strerror}", "a snapshot") from None
    except ValueError:
        header = None
    if not isinstance(header, dict):
        raise _wrong(file, "it is no safetensors file, or cut off", "a whole snapshot")
    metadata = header.pop("__metadata__", {})
    if metadata.get("lehr.format") != VERSION:
        raise _wrong(file, f"its format is {metadata.get('lehr.format', 'none')}", f"a snapshot of format {VERSION}")
    tensors: dict[str, tuple[list[int], int, int]] = {}
    for name, entry in header.items():
        if entry["dtype"] != "F32":
            raise _wrong(file, f"tensor {name} is {entry['dtype']}", "F32")
        begin, end = entry["data_offsets"]
        tensors[name] = (entry["shape"], 8 + length + begin, 8 + length + end)
    snapshot = Snapshot(file, int(metadata["lehr.completed"]), json.loads(metadata["lehr.identity"]), tensors)
    order = (snapshot.value(f"{prefix}{name}").tobytes() for name in names for prefix in PREFIXES)
    if str(crc(order)) != metadata.get("lehr.crc32"):
        raise _wrong(file, "its checksum does not match its tensors", "a snapshot as it was written")
    return snapshot


def write_snapshot(
    file: str, names: list[str], values: dict[str, np.ndarray[Any, Any]], completed: int, identity: str
) -> None:
    """Writes a snapshot that lehr's own engine resumes from, at exactly ``file``; the caller renames it into place.

    Args:
        names: the tensors of the layout, in order.
        values: every tensor by name, with each of the prefixes.
    """
    order = [f"{prefix}{name}" for name in names for prefix in PREFIXES]
    header: dict[str, Any] = {}
    at = 0
    for name in order:
        size = values[name].nbytes
        header[name] = {"dtype": "F32", "shape": list(values[name].shape), "data_offsets": [at, at + size]}
        at += size
    data = [np.ascontiguousarray(values[name], "<f4").tobytes() for name in order]
    header["__metadata__"] = {
        "lehr.format": VERSION,
        "lehr.completed": str(completed),
        "lehr.identity": identity,
        "lehr.crc32": str(crc(data)),
    }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(file, "wb") as out:
        out.write(len(text).to_bytes(8, "little"))
        out.write(text)
        for part in data:
            out.write(part)
        out.flush()
        os.fsync(out.fileno())
