"""Writes a run while it trains, as rows that `lehr.read` and ``lehr watch`` read."""

from __future__ import annotations

import json
import math
import os
import threading
import weakref
from typing import Any

from . import _given, errors


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
        # The file itself, where the name is a link.
        self.path = os.path.realpath(_given.path("path", path))
        self._file = -1
        # A cell of a notebook that is run again makes a second one while the first is still held.
        before = _open.get(self.path)
        if before is not None:
            before.close()
        self._sync = sync
        self._lock = threading.Lock()
        try:
            os.makedirs(os.path.dirname(self.path), exist_ok=True)
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError as error:
            raise errors.LehrError(f"{self.path}: {error.strerror or error}", file=self.path) from error
        try:
            self._alone()
            self._last = self._mend()
        except BaseException:
            os.close(self._file)
            self._file = -1
            raise
        _open[self.path] = self

    def _alone(self) -> None:
        """Refuses a file that another process writes: each would remove rows of the other.

        The lock is not inherited by worker processes, which may outlive a job that was killed; it is lost where this process itself
        opens and closes the file.
        """
        try:
            import fcntl
        except ImportError:
            return
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            raise errors.LehrError(
                f"{self.path} is written by another process",
                file=self.path,
                remedy="log from one process (rank 0), or give each a file of its own",
            ) from None
        except OSError:
            # A file system without locks.
            return

    def _mend(self) -> int:
        """Removes a row that was cut off; the last update in the file, 0 if there is none. What is no log is left as it is."""
        length = os.fstat(self._file).st_size
        if length == 0:
            return 0
        start = max(0, length - 65536)
        tail = os.pread(self._file, length - start, start)
        whole = tail.rfind(b"\n") + 1
        lines = [line for line in tail[:whole].split(b"\n") if line.strip()]
        last = 0
        if lines:
            try:
                last = _given.whole("step", json.loads(lines[-1])["step"], 0, "a whole number")
            except (ValueError, KeyError, TypeError) as error:
                raise self._foreign("its last row is no row of a lehr log", lines[-1]) from error
        elif start > 0:
            raise self._foreign("its last row is longer than any row of a lehr log", tail)
        cut = tail[whole:]
        if cut:
            # What a write that was cut off leaves: the beginning of a row, or nothing that was written yet.
            begins = cut.rstrip(b"\0")[: len(_ROW)]
            if not _ROW.startswith(begins):
                raise self._foreign("its last line has no end and is no row of a lehr log", cut)
            os.ftruncate(self._file, start + whole)
        return last

    def _foreign(self, why: str, found: bytes) -> errors.ReadError:
        return errors.ReadError(
            f"{self.path}: {why}",
            file=self.path,
            found=found[:80].decode(errors="replace"),
            expected='a row such as {"step": 1, "loss": 4.5, "lr": 0.001}',
            remedy="name another file; this one was left as it is",
        )

    def _rewind(self, step: int) -> None:
        """Removes the rows from ``step`` on: cuts the file behind the last row before it."""
        end = os.fstat(self._file).st_size
        begin, held = end, b""
        while True:
            # The lines of `held` after its first line break are whole; what is before it began further up.
            whole = 0 if begin == 0 else held.find(b"\n") + 1
            if begin == 0 or whole > 0:
                at = len(held)
                while at > whole:
                    start = held.rfind(b"\n", whole, at - 1) + 1 or whole
                    line = held[start:at]
                    if line.strip() and self._step_of(line) < step:
                        os.ftruncate(self._file, begin + at)
                        return
                    at = start
                held = held[:whole]
            if begin == 0:
                os.ftruncate(self._file, 0)
                return
            size = min(65536, begin)
            begin -= size
            held = os.pread(self._file, size, begin) + held

    def _step_of(self, line: bytes) -> int:
        try:
            return _given.whole("step", json.loads(line)["step"], 0, "a whole number")
        except (ValueError, KeyError, TypeError) as error:
            raise self._foreign("a row of it is no row of a lehr log", line) from error

    def log(self, step: int, loss: float, lr: float | None = None, **more: float) -> None:
        """Writes the loss of an update (from 1) and its rate; ``val_loss=`` and further numbers may be added.

        A loss that is no finite number is written too: the reader says what it means.
        """
        step = _given.whole("step", step, 1, "the number of updates done, from 1")
        if step > 1 << 53:
            raise _given.refuse("step", step, "a number of updates that a double holds")
        row: dict[str, Any] = {"step": step, "loss": _number("loss", loss)}
        if lr is not None:
            row["lr"] = _number("lr", lr)
        for name, value in more.items():
            row[name] = _number(name, value)
        line = (json.dumps(row) + "\n").encode()
        with self._lock:
            if self._file < 0:
                raise errors.RequestError(
                    f"{self.path} is closed, or a Logger that was made later writes it",
                    remedy="make a new Logger of the same path: it goes on there",
                )
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
            if _open.get(self.path) is self:
                del _open[self.path]

    def __del__(self) -> None:
        # A logger that nobody holds any more keeps its file from nobody.
        if getattr(self, "_file", -1) >= 0:
            self.close()

    def __enter__(self) -> Logger:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


# The Logger of this process that writes a file.
_open: weakref.WeakValueDictionary[str, Logger] = weakref.WeakValueDictionary()

# How every row begins.
_ROW = b'{"step": '


def _number(name: str, value: Any) -> Any:
    number = _given.real(name, value, "a number")
    return number if math.isfinite(number) else str(number)


_default: Logger | None = None


def log(step: int, loss: float, lr: float | None = None, *, path: str | os.PathLike[str] | None = None, **more: float) -> None:
    """Writes a row of the run of this process: into the ``path`` that was named last, else ``$LEHR_LOG``, else ``lehr-run/run.jsonl``."""
    global _default
    if _default is None or (path is not None and os.path.realpath(_given.path("path", path)) != _default.path):
        if _default is not None:
            _default.close()
        _default = Logger(path if path is not None else os.environ.get("LEHR_LOG", "lehr-run/run.jsonl"))
    _default.log(step, loss, lr, **more)
