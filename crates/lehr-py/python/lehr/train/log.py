"""The log of a job: one JSON object a line, added to, never begun again."""

from __future__ import annotations

import json
import os


class Log:
    """Lines are flushed one by one; `sync` puts them on the disk.

    Args:
        path: the file; a line that a killed process left half-written is cut off.
    """

    def __init__(self, path: str) -> None:
        folder = os.path.dirname(os.path.abspath(path))
        os.makedirs(folder, exist_ok=True)
        _cut(path)
        self._file = open(path, "a", encoding="utf-8")  # noqa: SIM115

    def write(self, row: dict[str, int | float]) -> None:
        """Adds a line."""
        self._file.write(json.dumps(row, allow_nan=False) + "\n")
        self._file.flush()

    def sync(self) -> None:
        """Puts what was written on the disk."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Puts what was written on the disk and closes the file."""
        self.sync()
        self._file.close()


def _cut(path: str, block: int = 1 << 16) -> None:
    """Cuts a file after its last line end; reads no more of it than that takes."""
    try:
        file = open(path, "rb+")  # noqa: SIM115
    except FileNotFoundError:
        return
    with file:
        end = file.seek(0, os.SEEK_END)
        while end > 0:
            begin = max(0, end - block)
            file.seek(begin)
            at = file.read(end - begin).rfind(b"\n")
            if at >= 0:
                end = begin + at + 1
                break
            end = begin
        file.truncate(end)
