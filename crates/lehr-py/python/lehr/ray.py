"""Questions and sweeps as tasks of a Ray cluster.

When it pays: sweeps whose jobs take minutes or more, and hundreds of fits. A fit takes seconds and uses all cores of one machine, so a single
`lehr.fit`, `lehr.validate` or `lehr.plan` is faster without Ray; so is ``lehr sweep`` where one machine has cores enough.

What a node needs: this version of lehr, and for `sweep` the folder of the sweep at the same path, on a file system that all nodes share, with locks that
reach across nodes. Nodes whose processors differ may round differently; then a branch equals the run trained from the start up to rounding only.

A node that is lost takes no result with it: its tasks run again elsewhere, and a job of a sweep goes on from its last snapshot. The process that
asks must stay; a sweep whose asking process was lost is taken up by asking again with the same folder.

In a shell, ``lehr sweep PLAN --executor ray`` is `sweep`. ``python -m lehr.ray DIR`` goes on with the sweep of a folder.
"""

from __future__ import annotations

import _thread
import argparse
import importlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from . import __version__, errors
from .api import Plan, Validation
from .api import plan as _plan
from .api import validate as _validate
from .fit import Fit
from .fit import fit as _fit
from .law import Law
from .runs import Run, Runs, runs_of

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .fit import FitOptions

Answer = TypeVar("Answer")
Item = TypeVar("Item")

# On Linux a worker is told to end (SIGTERM) with the task that started it, also when the node's daemon is killed.
_WORKER = (
    "import ctypes, sys\n"
    "if sys.platform == 'linux': ctypes.CDLL(None).prctl(1, 15)\n"
    "from lehr.__main__ import main\n"
    "main()\n"
)
_AGAIN = 75
_INTERRUPTED = 130
_ORPHAN = "its trunk was given up before it left the checkpoint"
_JOBS = "lehr.ray-jobs/1"
# Seconds that a worker whose task is cancelled has for its trainer's checkpoint, and that the asking process waits for all of them.
_GRACE = 30


def _ray(address: str | None = None) -> Any:
    try:
        ray = importlib.import_module("ray")
    except ImportError:
        raise errors.missing("ray", "lehr.ray") from None
    if not ray.is_initialized():
        _reach(address or os.environ.get("RAY_ADDRESS"))
        ray.init(address=address, log_to_driver=False)
    return ray


def _reach(address: str | None) -> None:
    """Refuses an address at which nobody listens: Ray itself tries for minutes."""
    host, colon, port = (address or "").removeprefix("ray://").rpartition(":")
    if not (colon and port.isdecimal()):
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
    except (OSError, OverflowError) as error:
        raise errors.LehrError(
            f"no cluster answers at {address} ({error})",
            found=str(address),
            expected="HOST:PORT of the head of a Ray cluster",
            remedy="`ray start --head` prints the address, `ray status` says whether it runs",
        ) from None


def _same_version(wanted: str) -> None:
    if __version__ != wanted:
        raise errors.LehrError(
            f"this node has lehr {__version__}, the process that asks has {wanted}",
            found=__version__,
            expected=wanted,
            remedy="install the same version on every node",
        )


def _quietly(ask: Callable[[Any, Any], Any], shared: Any, item: Any, version: str) -> Any:
    _heed_interrupts()
    _same_version(version)
    with warnings.catch_warnings():
        # They are in the answers, and nobody sees the output of a task.
        warnings.simplefilter("ignore", errors.CaveatWarning)
        return ask(shared, item)


def map(
    ask: Callable[[Any, Item], Answer],
    items: Sequence[Item],
    shared: Any = None,
    *,
    attempts: int = 3,
    cpus: float = 1,
    resources: Mapping[str, Any] | None = None,
) -> list[Answer]:
    """Asks a question about each item, a task each; answers come in the order of the items.

    Caveats are in the answers; none is a warning here. What ``ask`` raises is raised here, not tried again.

    Args:
        ask: a function of ``shared`` and an item.
        items: what is asked about.
        shared: runs or a fit that every task needs; sent to each node once.
        attempts: tries of a task whose node or process is lost.
        cpus: processors a task takes; laws are fitted with so many threads.
        resources: further options of the tasks as Ray names them: ``{"num_gpus": 1}``.
    """
    _at_least_one("attempts", attempts)
    ray = _ray()
    environment = {"env_vars": {"RAYON_NUM_THREADS": str(max(1, int(cpus)))}}
    task = ray.remote(_quietly).options(
        **{"num_cpus": cpus, "max_retries": attempts - 1, "runtime_env": environment, **(resources or {})}
    )
    given = ray.put(shared)
    pending = [task.remote(ask, given, item, __version__) for item in items]
    try:
        answers: list[Answer] = ray.get(pending)
    except ray.exceptions.RayTaskError as error:
        # The error of the task itself, not Ray's around it.
        if isinstance(error.cause, errors.LehrError):
            raise error.cause from error
        raise
    finally:
        for one in pending:
            ray.cancel(one)
    return answers


def _at_least_one(name: str, given: int) -> None:
    if given < 1:
        raise errors.RequestError(f"{name} is {given}", found=str(given), expected="at least 1")


def validate(
    runs: Any,
    law: str | Law = "noise-relaxation",
    *,
    folds: Mapping[str, Sequence[str]] | None = None,
    attempts: int = 3,
    cpus: float = 1,
    **options: Unpack[FitOptions],
) -> dict[str, Validation]:
    """What `lehr.validate` says with each fold held out, by the fold's name: a task a fold.

    Args:
        runs: what `read` gave, or anything that it reads.
        law: the law.
        folds: names of runs held out together, by the name of the fold; by default each run alone.
        attempts, cpus: as of `map`.
        **options: as of `fit`.
    """
    given = runs_of(runs)
    folds = {name: [name] for name in given.ids} if folds is None else dict(folds)
    unknown = sorted({name for held in folds.values() for name in held} - set(given.ids))
    if unknown:
        raise errors.RequestError(f"no run is named {', '.join(unknown)}", found=unknown[0], expected="names of runs")

    def ask(shared: Runs, held: Sequence[str]) -> Validation:
        rest = [name for name in shared.ids if name not in held]
        return _validate(shared, law, train=rest, test=list(held), progress=False, **options)

    return dict(zip(folds, map(ask, list(folds.values()), given, attempts=attempts, cpus=cpus)))


def bootstrap(
    runs: Any,
    law: str | Law = "noise-relaxation",
    *,
    draws: int = 50,
    draw_seed: int = 0,
    groups: Callable[[Run], str] | None = None,
    attempts: int = 3,
    cpus: float = 1,
    **options: Unpack[FitOptions],
) -> list[Fit]:
    """Fits on random halves of the runs: how an answer spreads is how uncertain the choice of runs leaves it.

    Halves without repetition, because a fit takes each run once. The variance of an estimate over halves is that of the
    estimate itself (the delete-d jackknife with d = n/2, whose factor (n − d)/d is 1). The intervals of `fit` need none of this: they come from
    runs left out. Halves show what those cannot: how answers that are no smooth function of the data move.

    Source: Shao and Wu, A General Theory for Jackknife Variance Estimation, 1989.

    Args:
        runs: what `read` gave, or anything that it reads; at least four groups.
        law: the law.
        draws: halves.
        draw_seed: of the halves; the same one gives the same fits, on every cluster.
        groups: runs with the same name are drawn together, such as a trunk and its branches; by default each run is drawn alone.
        attempts, cpus: as of `map`.
        **options: as of `fit`.
    """
    import random

    _at_least_one("draws", draws)
    given = runs_of(runs)
    named: dict[str, list[str]] = {}
    for run in given:
        named.setdefault(groups(run) if groups else run.id, []).append(run.id)
    if len(named) < 4:
        raise errors.RequestError(f"{len(named)} groups of runs", found=str(len(named)), expected="at least 4")
    source = random.Random(draw_seed)
    halves = []
    for _ in range(draws):
        kept = source.sample(sorted(named), (len(named) + 1) // 2)
        halves.append([name for group in kept for name in named[group]])

    def ask(shared: Runs, kept: Sequence[str]) -> Fit:
        return _fit(shared.filter(lambda run: run.id in kept), law, progress=False, **options)

    return map(ask, halves, given, attempts=attempts, cpus=cpus)


def plans(about: Any, targets: Sequence[Mapping[str, Any]], *, attempts: int = 3, cpus: float = 1) -> list[Plan]:
    """What `lehr.plan` says for each target, a task each.

    Args:
        about: a fit, or runs, which are fitted once, here; ``None``: priors from public runs.
        targets: arguments of `lehr.plan`, a dictionary a target: ``{"peak_lr": 1e-3, "steps": 50_000, "budget": "30kupdates"}``.
        attempts, cpus: as of `map`.
    """
    fit = about if about is None or isinstance(about, Fit) else _fit(about)

    def ask(shared: Fit | None, target: Mapping[str, Any]) -> Plan:
        return _plan(shared, **{"progress": False, **target})

    return map(ask, list(targets), fit, attempts=attempts, cpus=cpus)


def _command(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "lehr", *words], capture_output=True, text=True)


def _answer(*words: str) -> dict[str, Any]:
    done = _command(*words, "--json")
    if done.returncode:
        raise errors.LehrError(done.stderr.strip().removeprefix("error: "))
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def _states(folder: str) -> dict[str, dict[str, Any]]:
    return {job["id"]: job for job in _answer("sweep", "status", folder)["jobs"]}


def _heed_interrupts() -> None:
    """Lets an interrupt be heard where it is ignored: processes that were started in the background ignore it, and Ray cancels tasks by it."""
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _work(words: Sequence[str], log: pathlib.Path) -> tuple[int, str]:
    """Runs a worker, what it says added to its log: its exit code, and what it said. A task that is cancelled tells it to end."""
    with open(log, "ab") as file:
        begun = file.tell()
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=file)
        try:
            # A task is cancelled by an exception, which comes between two looks and not inside of one.
            while process.poll() is None:
                time.sleep(0.1)
            code = process.returncode
        except BaseException:
            process.terminate()
            try:
                process.wait(_GRACE)
            except subprocess.TimeoutExpired:
                process.kill()
            raise
    return code, log.read_bytes()[begun:].decode(errors="replace").strip()


def _job(folder: str, job: str, trunk: str | None, attempts: int, counts: bool, version: str) -> str | None:
    """Does a job after its trunk; why it was given up, ``None`` where it is done or diverged.

    Args:
        folder: of the sweep.
        job: its name.
        trunk: why its trunk was given up, if it was; a branch whose checkpoint is there is trained all the same.
        attempts: workers that may end without an answer.
        counts: whether the worker counts failures itself, and a job that it gave up is given up.
        version: of the asking process.
    """
    _heed_interrupts()
    _same_version(version)
    left = attempts
    while True:
        words = [sys.executable, "-c", _WORKER, "sweep", "worker", "--detached", "--exit-codes", "--", folder, job]
        code, said = _work(words, pathlib.Path(folder, "log", job))
        if code == 0:
            return None
        found = _states(folder)[job]
        if found["state"] in ("done", "diverged"):
            return None
        if trunk is not None and found["state"] == "waiting":
            return _ORPHAN
        if code == _AGAIN:
            # Its trainer asks for another start, or what a lost node began is still at work.
            time.sleep(1)
            continue
        left -= 1
        if left == 0 or (counts and found["state"] == "failed"):
            return found["problem"] or said[-2000:] or f"its worker ended with code {code}"


def _room(ray: Any, cpus: float, gpus: float) -> tuple[int, str | None]:
    """Jobs at a time that the nodes have room for now; a note where no node has."""
    slots = 0
    for node in ray.nodes():
        if node["Alive"]:
            has = node["Resources"]
            fitting = [has.get(name, 0) // wanted for name, wanted in (("CPU", cpus), ("GPU", gpus)) if wanted]
            slots += int(min(fitting, default=1))
    if slots:
        return slots, None
    wanted = f"{cpus:g} processors" + (f" and {gpus:g} GPUs" if gpus else "")
    return 0, f"no node of the cluster has {wanted}, what a job takes: the jobs wait until one joins"


def _train(
    folder: pathlib.Path,
    attempts: int,
    resources: Mapping[str, Any] | None,
    tell: Callable[[dict[str, Any]], None],
    address: str | None = None,
) -> dict[str, str | None]:
    """Hands over the jobs that the command listed, and waits for them: of each why it was given up, if it was."""
    place = folder / "ray" / "jobs.json"
    listed = json.loads(place.read_text())
    if listed.get("format") != _JOBS:
        raise errors.LehrError(
            f"{place}: the format is {listed.get('format')}",
            file=str(place),
            found=str(listed.get("format")),
            expected=_JOBS,
            remedy="use the lehr that wrote it",
        )
    if not listed["jobs"]:
        return {}
    ray = _ray(address)
    options: dict[str, Any] = {
        "num_cpus": listed["lanes"],
        "max_retries": attempts - 1,
        "runtime_env": {"env_vars": {"RAYON_NUM_THREADS": str(listed["lanes"])}},
    }
    if listed["gpus"]:
        options["num_gpus"] = listed["gpus"]
    options.update(resources or {})
    slots, note = _room(ray, options.get("num_cpus") or 0, options.get("num_gpus") or 0)
    tell({"event": "ready", "slots": slots, "note": note})
    task = ray.remote(_job).options(**options)
    trunks: dict[str, str | None] = {one["job"]: one["trunk"] for one in listed["jobs"]}
    handed: dict[str, Any] = {}
    for job, trunk in trunks.items():
        after = None if trunk is None else handed[trunk]
        handed[job] = task.remote(str(folder), job, after, attempts, listed["trainer"], __version__)
    pending = {reference: job for job, reference in handed.items()}
    said: dict[str, str | None] = {}
    try:
        while pending:
            for reference in ray.wait(list(pending), num_returns=1, timeout=1)[0]:
                job = pending.pop(reference)
                try:
                    said[job] = ray.get(reference)
                except ray.exceptions.RayError as error:
                    # What a trunk's task raised comes back from the tasks that wait for it, too.
                    said[job] = str(error) if said.get(trunks[job] or "") is None else _ORPHAN
                if said[job] not in (None, _ORPHAN):
                    tell({"event": "failed", "job": job, "problem": said[job]})
    except BaseException:
        for reference in pending:
            ray.cancel(reference)
        ray.wait(list(pending), num_returns=len(pending), timeout=_GRACE)
        raise
    return said


def sweep(
    plan: str | os.PathLike[str],
    dir: str | os.PathLike[str] | None = None,
    *,
    lanes: int = 1,
    attempts: int = 3,
    resources: Mapping[str, Any] | None = None,
    other_arithmetic: bool = False,
) -> dict[str, Any]:
    """Trains the plan of a sweep, a task a job; what ``lehr sweep status --json`` says at the end.

    The plan, the folder and what comes out of it are those of ``lehr sweep``, and a sweep that one began the other goes on with. A branch waits until
    its trunk is done. Then: ``lehr sweep export DIR -o store``.

    Args:
        plan: the plan (TOML).
        dir: folder of the sweep, on a file system that all nodes share; by default the plan's name with ``.sweep``.
        lanes: threads of each job, and processors that its task takes.
        attempts: tries of a job, and of a task whose node is lost.
        resources: further options of the tasks as Ray names them. ``num_gpus`` is what the plan says (``gpus`` under ``[trainer]``), if nothing is
            said here.
        other_arithmetic: goes on with a sweep that another processor or version began, although it rounds otherwise.

    Raises:
        LehrError: for a plan that cannot be trained, and where jobs failed, after all others have ended.
    """
    _at_least_one("attempts", attempts)
    _at_least_one("lanes", lanes)
    plan = pathlib.Path(plan).absolute()
    folder = pathlib.Path(dir).absolute() if dir is not None else plan.with_suffix(".sweep")
    words = ["sweep", str(plan), "--dir", str(folder), "--lanes", str(lanes), "--no-measure"]
    if other_arithmetic:
        words.append("--other-arithmetic")
    _answer(*words, "--executor", "ray", "--write-only")
    said = _train(folder, attempts, resources, lambda event: None)
    states = _states(str(folder))
    failed = [job for job in [*said, *states] if states[job]["state"] not in ("done", "diverged")]
    if failed:
        problem = states[failed[0]]["problem"] or said.get(failed[0]) or f"it is {states[failed[0]]['state']}"
        raise errors.LehrError(
            f"{len(set(failed))} of {len(states)} jobs failed, first {failed[0]}: {problem}",
            file=str(folder),
            remedy="mend it and ask again with the same folder: what is done is kept",
        )
    return _answer("sweep", "status", str(folder))


def _end_with_input() -> None:
    """Interrupts this process when its standard input ends: when the command that holds the other side is gone."""

    def wait() -> None:
        while os.read(0, 4096):
            pass
        _thread.interrupt_main()

    _heed_interrupts()
    threading.Thread(target=wait, daemon=True).start()


def main() -> int:
    """Goes on with the sweep of a folder: ``python -m lehr.ray DIR``; the exit code is 0 where every job is done or diverged, else 1."""
    parser = argparse.ArgumentParser("python -m lehr.ray", description="Goes on with the sweep of a folder, a task of Ray a job.")
    parser.add_argument("dir", help="folder of the sweep, which `lehr sweep PLAN --dir DIR` makes, on a file system that all nodes share")
    parser.add_argument("--address", help="of the cluster; default: the one that Ray finds, or one that it starts on this machine")
    parser.add_argument("--attempts", type=int, default=3, help="tries of a job, and of a task whose node is lost; default: 3")
    parser.add_argument(
        "--events",
        action="store_true",
        help="for `lehr sweep --executor ray`, which has listed the jobs: lines of JSON on standard output; ends with standard input",
    )
    given = parser.parse_args()
    folder = pathlib.Path(given.dir).absolute()

    def tell(event: dict[str, Any]) -> None:
        if given.events:
            print(json.dumps(event), flush=True)
        elif event["event"] == "failed":
            print(f"failed {event['job']}: {event['problem']}", file=sys.stderr, flush=True)
        elif event.get("note"):
            print(f"note: {event['note']}", file=sys.stderr, flush=True)

    try:
        _at_least_one("attempts", given.attempts)
        if given.events:
            _end_with_input()
        else:
            _answer("sweep", "resume", str(folder), "--executor", "ray", "--write-only")
        ended = _train(folder, given.attempts, None, tell, given.address)
    except KeyboardInterrupt:
        return _INTERRUPTED
    except (errors.LehrError, OSError, ValueError, RuntimeError) as error:
        # One line: whoever reads the log of the command takes the last.
        said = [error.message, error.remedy or ""] if isinstance(error, errors.LehrError) else str(error).splitlines()
        print("error: " + "; ".join(line for line in said if line), file=sys.stderr)
        return 1
    if given.events:
        # How jobs ended is in the folder, and what was given up was told.
        return 0
    print(_command("sweep", "status", str(folder)).stdout, end="")
    return int(any(problem is not None for problem in ended.values()))


if __name__ == "__main__":
    # The module by its own name, which the tasks import.
    sys.exit(importlib.import_module("lehr.ray").main())
