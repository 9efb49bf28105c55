"""Questions and sweeps as tasks of a Ray cluster.

When it pays: sweeps whose jobs take minutes or more, and hundreds of fits. A fit takes seconds and uses all cores of one machine, so a single
`lehr.fit`, `lehr.validate` or `lehr.plan` is faster without Ray; so is ``lehr sweep`` where one machine has cores enough.

What a node needs: this version of lehr, and for `sweep` the folder of the sweep at the same path, on a file system that all nodes share, with locks that
reach across nodes. Nodes whose processors differ may round differently; then a branch equals the run trained from the start up to rounding only.

A node that is lost takes no result with it: its tasks run again elsewhere, and a job of a sweep goes on from its last snapshot. The process that
asks must stay; a sweep whose asking process was lost is taken up by asking again with the same folder.
"""

from __future__ import annotations

import importlib
import json
import os
import pathlib
import subprocess
import sys
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

# On Linux a worker ends with the task that started it, also when the node's daemon is killed.
_WORKER = (
    "import ctypes, sys\n"
    "if sys.platform == 'linux': ctypes.CDLL(None).prctl(1, 9)\n"
    "from lehr.__main__ import main\n"
    "main()\n"
)
_AGAIN = 75
_FIRST = ("first", "free")


def _ray() -> Any:
    try:
        ray = importlib.import_module("ray")
    except ImportError:
        raise errors.missing("ray", "lehr.ray") from None
    if not ray.is_initialized():
        ray.init(log_to_driver=False)
    return ray


def _same_version(wanted: str) -> None:
    if __version__ != wanted:
        raise errors.LehrError(
            f"this node has lehr {__version__}, the process that asks has {wanted}",
            found=__version__,
            expected=wanted,
            remedy="install the same version on every node",
        )


def _quietly(ask: Callable[[Any, Any], Any], shared: Any, item: Any, version: str) -> Any:
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


def _job(folder: str, job: str, trunk: str | None, attempts: int, version: str) -> str | None:
    """Does a job after its trunk; what its worker said where it came to no end of its own (else the folder knows how it ended)."""
    _same_version(version)
    del trunk
    left = attempts
    while True:
        words = [sys.executable, "-c", _WORKER, "sweep", "worker", "--detached", folder, job]
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode == 0:
            return None
        state = _states(folder)[job]["state"]
        if state in ("done", "diverged"):
            return None
        if done.returncode == _AGAIN or state == "running":
            # Its trainer asks for another start, or what a lost node began is still at work.
            time.sleep(1)
            continue
        left -= 1
        if left == 0:
            return done.stderr.strip()[-2000:] or f"its worker ended with code {done.returncode}"


def _jobs(folder: pathlib.Path) -> dict[str, str | None]:
    """Jobs that are left, each with the job that it waits for, from the lists that a cluster's executor writes."""
    lists: dict[str, dict[str, str]] = {}
    for path in sorted((folder / "slurm").glob("*.jobs")):
        lists[path.stem] = dict(line.split(" ", 1) for line in path.read_text().splitlines())
    first = lists.get("first", {})
    jobs: dict[str, str | None] = {job: None for name in _FIRST for job in lists.get(name, {}).values()}
    for name, tasks in lists.items():
        if name not in _FIRST:
            jobs.update({job: first[number] for number, job in tasks.items()})
    return jobs


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
        resources: further options of the tasks as Ray names them: ``{"num_gpus": 1}`` for a trainer of your own.
        other_arithmetic: goes on with a sweep that another processor or version began, although it rounds otherwise.

    Raises:
        LehrError: for a plan that cannot be trained, and where jobs failed, after all others have ended.
    """
    _at_least_one("attempts", attempts)
    _at_least_one("lanes", lanes)
    plan = pathlib.Path(plan).absolute()
    folder = pathlib.Path(dir).absolute() if dir is not None else plan.with_suffix(".sweep")
    for old in (folder / "slurm").glob("*.jobs"):
        old.unlink()
    words = ["sweep", str(plan), "--dir", str(folder), "--lanes", str(lanes), "--no-measure"]
    if other_arithmetic:
        words.append("--other-arithmetic")
    _answer(*words, "--executor", "slurm", "--write-only")
    ray = _ray()
    task = ray.remote(_job).options(
        **{
            "num_cpus": lanes,
            "max_retries": attempts - 1,
            "runtime_env": {"env_vars": {"RAYON_NUM_THREADS": str(lanes)}},
            **(resources or {}),
        }
    )
    pending: dict[str, Any] = {}
    for job, trunk in sorted(_jobs(folder).items(), key=lambda one: one[1] is not None):
        pending[job] = task.remote(str(folder), job, None if trunk is None else pending[trunk], attempts, __version__)
    said: dict[str, str | None] = {}
    try:
        for job, one in pending.items():
            try:
                said[job] = ray.get(one)
            except ray.exceptions.RayError as error:
                said[job] = str(error)
    finally:
        for one in pending.values():
            ray.cancel(one)
    states = _states(str(folder))
    failed = [job for job in [*pending, *states] if states[job]["state"] not in ("done", "diverged")]
    if failed:
        problem = states[failed[0]]["problem"] or said.get(failed[0]) or f"it is {states[failed[0]]['state']}"
        raise errors.LehrError(
            f"{len(set(failed))} of {len(states)} jobs failed, first {failed[0]}: {problem}",
            file=str(folder),
            remedy="mend it and ask again with the same folder: what is done is kept",
        )
    return _answer("sweep", "status", str(folder))
