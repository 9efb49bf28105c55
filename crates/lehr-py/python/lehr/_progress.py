"""Progress of long questions: a line on a terminal, a line in a notebook, nothing in scripts."""

from __future__ import annotations

import importlib
import os
import sys
import time
from collections.abc import Callable
from typing import Any

Listener = Callable[[Any, int, int, int], None]

_enabled: bool | None = None
_AFTER = 0.5


def set_progress(enabled: bool | None) -> None:
    """Shows progress always (``True``), never (``False``) or on terminals and in notebooks (``None``, the default).

    The environment variable ``LEHR_PROGRESS=0`` is the same as ``False``.
    """
    global _enabled
    _enabled = enabled


def _in_notebook() -> bool:
    module = sys.modules.get("IPython")
    if module is None:
        return False
    shell = module.get_ipython()
    return shell is not None and type(shell).__name__ == "ZMQInteractiveShell"


class _Bar:
    """Writes one line that changes; begins after half a second, so that quick answers show nothing."""

    def __init__(self, notebook: bool) -> None:
        self.begun = time.monotonic()
        self.width = 0
        self.handle: Any = None
        self.notebook = notebook

    def _show(self, text: str) -> None:
        if self.notebook:
            display = importlib.import_module("IPython.display").display
            if self.handle is None:
                self.handle = display({"text/plain": text}, raw=True, display_id=True)
            else:
                self.handle.update({"text/plain": text}, raw=True)
            return
        sys.stderr.write("\r" + text.ljust(self.width))
        sys.stderr.flush()
        self.width = len(text)

    def __call__(self, what: Any, done: int, of: int, runs: int) -> None:
        if not what:
            if self.width or self.handle is not None:
                self._show("")
                if not self.notebook:
                    sys.stderr.write("\r")
            return
        if time.monotonic() - self.begun < _AFTER:
            return
        if of:
            filled = 20 * done // of
            self._show(f"{what} [{'#' * filled}{'.' * (20 - filled)}] {done}/{of} files, {runs} runs")
        else:
            self._show(f"{what} …")


def listener(progress: bool | None | Listener) -> Listener | None:
    """Who hears of progress: as the call says, else as `set_progress` says, else whoever sits at a terminal."""
    if callable(progress):
        return progress
    wanted = progress if progress is not None else _enabled
    if wanted is None and os.environ.get("LEHR_PROGRESS", "") == "0":
        wanted = False
    notebook = _in_notebook()
    if wanted is None:
        wanted = notebook or sys.stderr.isatty()
    return _Bar(notebook) if wanted else None
