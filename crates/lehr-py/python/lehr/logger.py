"""Writes a run while it trains, as rows that `lehr.read` and ``lehr watch`` read."""

from __future__ import annotations

import json
import math
import os
import threading
from typing import Any

from . import errors


class Logger:
    """Appends a JSON line a call to ``path``, in one write: a process that is killed loses no row that was logged.

    A file that exists is continued: a last row that was cut off (by a power failure) is removed, and rows from the first
    update that is logged again on are replaced, as after a resume from a checkpoint.

    Examples:
        >>> import os, tempfile
        >>> path = os.path.join(tempfile.mkdtemp(), "run.jsonl")
        >>> with Logger(path) as logger:
        ...     logger.log(1, 4.5, 1e-3)
        >>> open(path).read()
        '{"step": 1, "loss": 4.5, "lr": 0.001}\\n'

    Args:
        path: the file; its folder is made if it is not there.
        sync: wait until each row is on the disk; slower, and safe against power failures, too.
    """

    def __init__(self, path: str | os.PathLike[str], *, sync: bool = False) -> None:
        self.path = os.path.abspath(os.fspath(path))
        self._sync = sync
        self._lock = threading.Lock()
        os.makedirs(os.path.dirname(self.path), exist_ok=True)
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        self._last = self._mend()

    def _mend(self) -> int:
        """Removes a row that was cut off; the last update in the file, 0 if there is none."""
        length = os.fstat(self._file).st_size
        if length == 0:
            return 0
        start = max(0, length - 65536)
        tail = os.pread(self._file, length - start, start)
        whole = tail.rfind(b"\n") + 1
        if whole < len(tail):
            os.ftruncate(self._file, start + whole)
        lines = [line for line in tail[:whole].split(b"\n") if line.strip()]
        if not lines:
            return 0
        try:
            return int(json.loads(lines[-1])["step"])
        except (ValueError, KeyError, TypeError) as error:
            raise errors.ReadError(
                f"{self.path}: its last row is no row of a lehr log: {error}",
                file=self.path,
                found=lines[-1][:80].decode(errors="replace"),
                expected='a row such as {"step": 1, "loss": 4.5, "lr": 0.001}',
                remedy="name another file",
            ) from None

    def _rewind(self, step: int) -> None:
        """Removes the rows from ``step`` on."""
        length = os.fstat(self._file).st_size
        kept = [line for line in os.pread(self._file, length, 0).splitlines(keepends=True) if json.loads(line)["step"] < step]
        temporary = self.path + ".unfinished"
        with open(temporary, "wb") as file:
            file.writelines(kept)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, self.path)
        os.close(self._file)
        self._file = os.open(self.path, os.O_RDWR | os.O_APPEND)

    def log(self, step: int, loss: float, lr: float | None = None, **more: float) -> None:
        """Writes the loss of an update (from 1) and its rate; ``val_loss=`` and further numbers may be added.

        A loss that is no finite number is written too: the reader says what it means.
        """
        step, loss = int(step), float(loss)
        if step < 1:
            raise errors.RequestError(f"step is {step}", found=str(step), expected="the number of updates done, from 1")
        row: dict[str, Any] = {"step": step, "loss": _number(loss)}
        if lr is not None:
            row["lr"] = _number(float(lr))
        for name, value in more.items():
            row[name] = _number(float(value))
        line = (json.dumps(row) + "\n").encode()
        with self._lock:
            if step <= self._last:
                self._rewind(step)
            written = os.write(self._file, line)
            if written < len(line):
                # The disk is full: what is there of the row goes away again.
                os.ftruncate(self._file, os.fstat(self._file).st_size - written)
                raise errors.LehrError(f"{self.path}: the disk is full", file=self.path)
            if self._sync:
                os.fsync(self._file)
            self._last = step

    def close(self) -> None:
        """Closes the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __enter__(self) -> Logger:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _number(value: float) -> Any:
    return value if math.isfinite(value) else str(value)


_default: Logger | None = None


def log(step: int, loss: float, lr: float | None = None, *, path: str | os.PathLike[str] | None = None, **more: float) -> None:
    """Writes a row of the run of this process: into ``path`` of the first call, else ``$LEHR_LOG``, else ``lehr-run/run.jsonl``."""
    global _default
    if _default is None or (path is not None and os.path.abspath(os.fspath(path)) != _default.path):
        if _default is not None:
            _default.close()
        _default = Logger(path if path is not None else os.environ.get("LEHR_LOG", "lehr-run/run.jsonl"))
    _default.log(step, loss, lr, **more)
