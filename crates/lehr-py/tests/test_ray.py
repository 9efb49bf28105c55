"""Sweeps and questions on a cluster of three nodes, all on this machine."""

import faulthandler
import json
import pathlib
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings

import pytest

import lehr

ray = pytest.importorskip("ray")
import lehr.ray  # noqa: E402
from ray.cluster_utils import Cluster  # noqa: E402

QUICK = {"starts": 2, "points": 12}
PLAN = """
validate_every = 20
warmup = 10
snapshot_seconds = 1

# data

[models.small]
vocabulary = 256
context = 32
width = 48
layers = 2
heads = 2
hidden = 96

[[grid]]
models = ["small"]
peak_lr = [5e-3, 1e-2]
total = [{total}]
ratio = [0.2, 0.5]
batch = [4]
"""


# Seconds that the cluster has to come up, and that a test may take: Ray waits for ever where something is amiss.
LIMIT = 300


@pytest.fixture(scope="module", autouse=True)
def bounded():
    """Ends the whole process where not even a signal is heard any more."""
    faulthandler.dump_traceback_later(3 * LIMIT, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()


@pytest.fixture(autouse=True)
def in_time():
    def late(*_):
        raise TimeoutError(f"the test takes longer than {LIMIT} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(LIMIT)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="module", autouse=True)
def cluster(bounded):
    # As where a script starts them in the background: interrupts are ignored there, also those by which Ray cancels a task.
    heard = signal.signal(signal.SIGINT, signal.SIG_IGN)
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    nodes = [made.add_node(num_cpus=1) for _ in range(2)]
    signal.signal(signal.SIGINT, heard)
    ray.init(address=made.address, log_to_driver=False)
    made.wait_for_nodes()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield made, nodes
    ray.shutdown()
    made.shutdown()


def status(folder):
    done = subprocess.run([sys.executable, "-m", "lehr", "sweep", "status", folder, "--json"], capture_output=True, text=True)
    return json.loads(done.stdout) if done.returncode == 0 else None


def stored(folder, place):
    subprocess.run([sys.executable, "-m", "lehr", "sweep", "export", folder, "-o", place], check=True, capture_output=True)
    return lehr.read(place, accept=True)


def test_a_fold_on_the_cluster_says_what_it_says_here(some):
    here = lehr.validate(some, leave_out="run", **QUICK)
    there = lehr.ray.validate(some, **QUICK)
    assert list(there) == some.ids
    wanted = {row["id"]: row for row in here["per_run"] if row["part"] == "test"}
    for name, one in there.items():
        (row,) = [row for row in one["per_run"] if row["part"] == "test"]
        assert row["id"] == name and row["mape"] == pytest.approx(wanted[name]["mape"], rel=1e-9)
    with pytest.raises(lehr.RequestError, match="no run is named nothing"):
        lehr.ray.validate(some, folds={"a": ["nothing"]})


def test_halves_depend_on_the_seed_alone_and_their_answers_spread(some):
    fits = lehr.ray.bootstrap(some, draws=4, draw_seed=3, **QUICK)
    assert fits == lehr.ray.bootstrap(some, draws=4, draw_seed=3, **QUICK) and len(fits) == 4
    assert len({fit.to_json() for fit in fits}) > 1
    with pytest.raises(lehr.RequestError, match="2 groups"):
        lehr.ray.bootstrap(some, groups=lambda run: str(run.id.endswith("constant")))


def test_plans_of_several_targets_are_those_of_this_process(fit):
    targets = [{"peak_lr": 1e-3, "steps": steps, "budget": "30kupdates", "draws": 8, "most_runs": 1} for steps in (10_000, 20_000)]
    there = lehr.ray.plans(fit, targets)
    assert [plan.runs for plan in there] == [lehr.plan(fit, **target).runs for target in targets]


def test_what_a_task_raises_is_raised_here_and_not_tried_again(tmp_path, some):
    told = tmp_path / "told"

    def ask(shared, item):
        with open(told, "a") as file:
            file.write("x")
        return lehr.fit(shared, "no-such-law")

    with pytest.raises(lehr.LehrError, match="no-such-law"):
        lehr.ray.map(ask, [1], some)
    assert told.read_text() == "x"


def test_a_plan_that_is_wrong_is_refused(tmp_path):
    (tmp_path / "plan.toml").write_text("nonsense = 1\n")
    with pytest.raises(lehr.LehrError, match="nonsense"):
        lehr.ray.sweep(tmp_path / "plan.toml")


def toy_plan(folder, more="", settings='checkpoint_every = 10\nat = "r0.5"\nalways = 55\n'):
    """A plan of six jobs whose trainer lies beside it; if nothing else is said, it fails two."""
    toy = folder / "toy.py"
    toy.write_text((pathlib.Path(__file__).resolve().parents[3] / "fixtures/trainers/toy.py").read_text())
    trainer = (
        f'[trainer]\ncommand = "{sys.executable} {toy} {{job}}"\nlogs = "logs/{{name}}.jsonl"\nattempts = 1\n{more}'
        f"[trainer.settings]\n{settings}"
    )
    plan = folder / "plan.toml"
    plan.write_text(PLAN.format(total=60).replace("# data", trainer).replace("snapshot_seconds = 1\n", ""))
    return plan, toy


def mend(toy):
    toy.write_text(toy.read_text().replace('("always", 1, False)', '("never", 1, False)'))


def test_a_job_that_fails_is_named_and_done_when_asked_again(tmp_path):
    plan, toy = toy_plan(tmp_path)
    with pytest.raises(lehr.LehrError, match=r"(?s)2 of 6 jobs failed, first small-.*-r0.5-linear: .*ends with 1 before update 55"):
        lehr.ray.sweep(plan, attempts=1)
    # The trainer is mended: what was done is kept, the rest is trained.
    mend(toy)
    found = lehr.ray.sweep(plan)
    assert {job["state"] for job in found["jobs"]} == {"done"}


def command(*words):
    return subprocess.run([sys.executable, "-m", *map(str, words)], capture_output=True, text=True, timeout=LIMIT)


def test_the_command_hands_a_sweep_to_the_cluster_and_follows_it(tmp_path, cluster):
    made, _ = cluster
    plan, toy = toy_plan(tmp_path)
    there = tmp_path / "there"
    done = command("lehr", "sweep", plan, "--dir", there, "--no-measure", "--executor", "ray", "--ray-address", made.address)
    # Two jobs failed, with the end of what their trainer said; the others are done.
    assert done.returncode == 1, done.stderr
    assert "2 jobs failed and 0 wait for them; the others are done" in done.stderr, done.stderr
    assert done.stderr.count("\ndone small-") == 4 and "4 done, 2 failed" in done.stdout, done.stderr
    assert "ends with 1 before update 55" in done.stderr, done.stderr
    listed = json.loads((there / "ray/jobs.json").read_text())
    assert [job["trunk"] is None for job in listed["jobs"]] == [True] * 2 + [False] * 4
    # The trainer is mended: the rest is trained, from the shell without the command, too.
    mend(toy)
    done = command("lehr.ray", there, "--address", made.address)
    assert done.returncode == 0 and "6 of 6 jobs: 6 done" in done.stdout, (done.stdout, done.stderr)
    again = command("lehr", "sweep", "resume", there, "--executor", "ray", "--ray-address", made.address)
    assert again.returncode == 0 and "next: lehr sweep export" in again.stdout, again.stderr


def test_a_command_that_is_stopped_ends_its_tasks_after_a_checkpoint(tmp_path, cluster):
    made, _ = cluster
    plan, _ = toy_plan(tmp_path, settings="hold = 6\ncheckpoint_every = 1000\n")
    there = tmp_path / "there"
    words = ["sweep", plan, "--dir", there, "--no-measure", "--executor", "ray", "--ray-address", made.address]
    asking = subprocess.Popen([sys.executable, "-m", "lehr", *map(str, words)], stderr=subprocess.DEVNULL)
    logs = [tmp_path / "logs" / f"small-lr{rate}-b4-s0-w10-constant.jsonl" for rate in ("5e-3", "1e-2")]
    rows = [0, 0]
    deadline = time.monotonic() + 120
    while min(rows) < 5:
        assert time.monotonic() < deadline and asking.poll() is None, rows
        time.sleep(0.1)
        rows = [len(log.read_text().splitlines()) if log.exists() else 0 for log in logs]
    asking.send_signal(signal.SIGINT)
    assert asking.wait(120) == 130
    deadline = time.monotonic() + 30
    while status(str(there))["running"]:
        assert time.monotonic() < deadline, status(str(there))
        time.sleep(0.2)
    assert status(str(there))["done"] == 0
    # Elsewhere it goes on from where it was: not one update is trained twice.
    done = command("lehr", "sweep", "resume", there)
    assert done.returncode == 0, done.stderr
    assert [len(log.read_text().splitlines()) for log in logs] == [48, 48]


def test_a_cluster_without_room_is_said_and_one_that_is_not_there_refused(tmp_path, cluster):
    made, _ = cluster
    plan, _ = toy_plan(tmp_path, "gpus = 8\n")
    words = ["sweep", plan, "--dir", tmp_path / "there", "--no-measure", "--executor", "ray", "--ray-address", made.address]
    asking = subprocess.Popen([sys.executable, "-m", "lehr", *map(str, words)], stderr=subprocess.PIPE, text=True)
    lines = []
    for line in asking.stderr:
        lines.append(line)
        if "no node of the cluster has 1 processors and 8 GPUs" in line:
            break
    assert lines and "8 GPUs" in lines[-1], lines
    asking.send_signal(signal.SIGINT)
    asking.communicate(timeout=120)
    assert asking.returncode == 130
    deadline = time.monotonic() + 60
    while ray.available_resources().get("CPU") != 2:
        assert time.monotonic() < deadline, ray.available_resources()
        time.sleep(0.5)
    # A port that is taken and at which nobody listens.
    with socket.socket() as mute:
        host = made.address.rpartition(":")[0]
        mute.bind((host, 0))
        address = f"{host}:{mute.getsockname()[1]}"
        nobody = command("lehr", "sweep", "resume", tmp_path / "there", "--executor", "ray", "--ray-address", address)
    assert nobody.returncode == 1 and f"no cluster answers at {address}" in nobody.stderr, nobody.stderr


def test_a_sweep_survives_the_loss_of_a_node_and_has_the_bits_of_a_local_one(tmp_path, cluster):
    made, nodes = cluster
    plan = tmp_path / "plan.toml"
    plan.write_text(PLAN.format(total=3000))
    local, there = str(tmp_path / "local"), str(tmp_path / "there")
    found = []
    asking = threading.Thread(target=lambda: found.append(lehr.ray.sweep(plan, there)))
    asking.start()
    deadline = time.monotonic() + 120
    while True:
        seen = status(there)
        running = [job for job in seen["jobs"] if job["state"] == "running" and job["completed"] > 0] if seen else []
        if len(running) == 2:
            break
        assert time.monotonic() < deadline and asking.is_alive(), seen
        time.sleep(0.1)
    # Not the node whose daemon this process talks to.
    ours = ray._private.worker.global_worker.node.raylet_socket_name
    made.remove_node(next(node for node in nodes if node.raylet_socket_name != ours), allow_graceful=False)
    asking.join(300)
    assert found and not asking.is_alive()
    assert {job["state"] for job in found[0]["jobs"]} == {"done"}
    done = subprocess.run(
        [sys.executable, "-m", "lehr", "sweep", str(plan), "--dir", local, "--no-measure"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert stored(there, str(tmp_path / "a")) == stored(local, str(tmp_path / "b"))
    # Asked again, nothing is left to do.
    assert lehr.ray.sweep(plan, there)["updates_done"] == found[0]["updates_done"]
