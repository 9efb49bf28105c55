"""Several processes on this machine, by torchrun, whose exit code is the job's.

torchrun itself exits with 1 whatever a process exits with. So the first process leaves its code in a file, which is read here.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from types import FrameType

from .job import Job

VERDICT = "LEHR_TRAIN_VERDICT"


def leave_verdict(code: int) -> None:
    """Of the first process: what it exits with, for who started torchrun."""
    path = os.environ.get(VERDICT)
    if path and os.environ.get("RANK", "0") == "0":
        with open(f"{path}.new", "w", encoding="utf-8") as out:
            out.write(str(code))
        os.replace(f"{path}.new", path)


def launch(job: Job, processes: int, words: list[str]) -> int:
    """Trains a job with so many processes on this machine; SIGTERM and SIGUSR1 are passed on to them.

    Args:
        words: further arguments of torchrun, for several machines.
    """
    os.makedirs(job.scratch, exist_ok=True)
    verdict = os.path.join(job.scratch, "verdict")
    if os.path.exists(verdict):
        os.remove(verdict)
    place = [] if any(word.startswith(("--rdzv", "--master", "--nnodes")) for word in words) else ["--standalone"]
    command = [sys.executable, "-m", "torch.distributed.run", *place, f"--nproc-per-node={processes}", *words]
    command += ["-m", "lehr.train", job.file]
    # PyTorch would say one thread each; cores are shared. A checkpoint may take longer than the half minute that torchrun allows.
    environment = os.environ | {VERDICT: verdict}
    environment.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // processes)))
    environment.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", "150")
    # A session of its own: who ends this process's group reaches torchrun once, through this process. Told twice, torchrun would
    # not wait for the checkpoint.
    child = subprocess.Popen(command, env=environment, start_new_session=True)
    told = False

    def pass_on(number: int, frame: FrameType | None) -> None:
        nonlocal told
        if not told:
            told = True
            child.send_signal(signal.SIGTERM)

    for name in ("SIGTERM", "SIGUSR1", "SIGINT"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), pass_on)
    code = child.wait()
    try:
        with open(verdict, encoding="utf-8") as said:
            return int(said.read())
    except (OSError, ValueError):
        # No process came to its end: killed, or an error that was printed.
        return code if code > 0 else 1
