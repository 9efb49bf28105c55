"""The ``lehr`` command, in this process."""

from __future__ import annotations

import subprocess
import sys


def main() -> None:
    """Runs the command with this process's arguments and ends the process with its exit code."""
    from ._lehr import command

    sys.exit(command(["lehr", *sys.argv[1:]], sys.executable, ["-m", "lehr"]))


def run(words: list[str]) -> tuple[int, str, str]:
    """Runs the command in a process of its own: exit code, standard output, standard error."""
    done = subprocess.run([sys.executable, "-m", "lehr", *words], capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


if __name__ == "__main__":
    main()
