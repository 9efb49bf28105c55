"""``python -m lehr.train job.json``: does one job of a sweep and exits as its job file says."""

from __future__ import annotations

import argparse
import os
import sys

from .. import errors
from .job import read
from .launch import launch, leave_verdict


def main(words: list[str] | None = None) -> int:
    """Runs one command line and gives its exit code: that of the job; 1 for an error, which is printed."""
    parser = argparse.ArgumentParser(
        prog="python -m lehr.train",
        description="Trains one job of a sweep with PyTorch. In a plan: [trainer] command = \"python -m lehr.train {job}\".",
        epilog="exit codes: 0 done, 10 diverged, 75 interrupted after a checkpoint, 1 an error; docs/guides/pytorch-engine.md",
    )
    parser.add_argument("job", help="the job file that lehr wrote")
    parser.add_argument(
        "--processes", type=int, default=None, metavar="N",
        help="processes on this machine, by torchrun; default: the plan's settings.processes",
    )
    parser.add_argument("--check", action="store_true", help="reads and checks the job file and its data, and trains nothing")
    parser.add_argument("torchrun", nargs="*", metavar="-- WORDS", help="further words for torchrun, for several machines")
    given = parser.parse_args(words)
    try:
        job = read(given.job)
        processes = job.settings.processes if given.processes is None else given.processes
        if processes < 0 or (processes and job.run["batch"] % processes):
            raise errors.RequestError(
                f"--processes {processes} does not divide the batch, {job.run['batch']} sequences",
                remedy="a number of processes that divides it",
                found=str(processes),
                expected=f"a divisor of {job.run['batch']}",
            )
        if given.check:
            from .data import Material

            material = Material(job.run)
            print(f"{job.name}: updates {job.first} … {job.last} on {material.name}; nothing is trained")
            return 0
        if processes > 1 and "WORLD_SIZE" not in os.environ:
            return launch(job, processes, given.torchrun)
        try:
            from .loop import run
        except ModuleNotFoundError as error:
            if error.name and error.name.split(".")[0] == "torch":
                raise errors.missing("torch", "python -m lehr.train") from None
            raise
        code = run(job)
        leave_verdict(code)
        return code
    except errors.LehrError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return 1


if __name__ == "__main__":
    sys.exit(main())
