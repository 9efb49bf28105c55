#!/usr/bin/env python3
"""Runs a sweep on a Slurm cluster of two nodes on this machine, kills one node in the middle, and compares every bit with
a local sweep.

    sudo apt-get install slurm-wlm munge
    cargo build && sudo python3 tools/slurm_sweep.py target/debug/lehr

Needs root (slurmd starts jobs as other users). Everything is made in a temporary folder and removed; a Slurm that runs on
this machine already is not touched: ports, munge socket and configuration are its own.
"""

import getpass
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

PLAN = """
validate_every = 20
warmup = 10
snapshot_seconds = 1

[data]
paths = ["text.txt"]
validation_sequences = 8

[models.small]
vocabulary = 256
context = 64
width = 48
layers = 2
heads = 2
hidden = 96

[models.experts]
vocabulary = 256
context = 64
width = 32
layers = 2
heads = 2
hidden = 64
experts = { count = 4, top_k = 2, hidden = 32 }

[[grid]]
models = ["small", "experts"]
peak_lr = [5e-3]
total = [900, 1200]
ratio = [0.2, 0.5]
batch = [4]

[[grid]]
models = ["small"]
peak_lr = [5e-3]
total = [900]
family = ["cosine", "constant"]
batch = [4]
"""

CONF = """
ClusterName=lehr
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort=16817
AuthType=auth/munge
AuthInfo=socket={place}/munge.socket
CredType=cred/munge
SlurmUser={user}
StateSaveLocation={place}/state
SlurmdSpoolDir={place}/spool-%n
SlurmctldPidFile={place}/slurmctld.pid
SlurmdPidFile={place}/slurmd-%n.pid
SlurmctldLogFile={place}/slurmctld.log
SlurmdLogFile={place}/slurmd-%n.log
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
ReturnToService=2
JobRequeue=1
SlurmdTimeout=8
InactiveLimit=0
KillWait=2
MinJobAge=600
SchedulerParameters=sched_interval=2,bf_interval=2,requeue_setup_env_fail
NodeName=node1 NodeHostname={host} NodeAddr=127.0.0.1 Port=17001 CPUs=1
NodeName=node2 NodeHostname={host} NodeAddr=127.0.0.1 Port=17002 CPUs=1
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def children(parent):
    """Process numbers below a process, itself included."""
    tree = {}
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            tree.setdefault(int(fields[1]), []).append(int(entry.name))
    found, open_ = [], [parent]
    while open_:
        process = open_.pop()
        found.append(process)
        open_ += tree.get(process, [])
    return found


def node_processes(place, name):
    """The daemon of a node, its step daemons and what they run."""
    spool = str(place / f"spool-{name}")
    daemons = []
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                environment = (entry / "environ").read_bytes().decode(errors="replace")
            except OSError:
                continue
            own = ("slurmd" in words and f"-N {name}" in words) or spool in words
            of_job = f"SLURMD_NODENAME={name}\0" in environment
            if own or of_job:
                daemons.append(int(entry.name))
            if of_job:
                # The step's daemon is the parent of what it runs.
                parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
                if pathlib.Path(f"/proc/{parent}/comm").read_text().startswith("slurmstepd"):
                    daemons.append(parent)
    return sorted({process for daemon in daemons for process in children(daemon)})


def journals(folder):
    return {path.name: path.read_bytes() for path in sorted((folder / "points").iterdir())}


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    lehr = str(pathlib.Path(sys.argv[1]).resolve())
    for program in ["slurmctld", "slurmd", "sbatch", "munged"]:
        if not (shutil.which(program) or pathlib.Path("/usr/sbin", program).exists()):
            sys.exit(f"error: {program} is not installed: apt-get install slurm-wlm munge")
    place = pathlib.Path(tempfile.mkdtemp(prefix="lehr-slurm-"))
    place.chmod(0o755)
    environment = dict(os.environ, SLURM_CONF=str(place / "slurm.conf"))
    environment["PATH"] += ":/usr/sbin"
    daemons = []

    def start(*words):
        log = open(place / f"{pathlib.Path(words[0]).name}.out", "ab")
        daemon = subprocess.Popen(words, env=environment, stdout=log, stderr=log)
        daemons.append(daemon)
        return daemon

    def run(*words, check=True):
        answer = subprocess.run(words, env=environment, cwd=place, capture_output=True, text=True)
        if check and answer.returncode:
            raise RuntimeError(f"{' '.join(words)}: {answer.stdout}{answer.stderr}")
        return answer.stdout

    try:
        host = socket.gethostname().split(".")[0]
        (place / "slurm.conf").write_text(CONF.format(host=host, place=place, user=getpass.getuser()))
        (place / "plan.toml").write_text(PLAN)
        words = "glass is annealed in a lehr slowly until it rests".split()
        random.seed(1)
        (place / "text.txt").write_text(" ".join(random.choice(words) for _ in range(60_000)))
        for name in ["state", "spool-node1", "spool-node2"]:
            (place / name).mkdir()
        (place / "munge.key").write_bytes(os.urandom(1024))
        (place / "munge.key").chmod(0o400)

        print("local sweep …", flush=True)
        run(lehr, "sweep", "plan.toml", "--dir", "local", "--no-measure")

        own = [f"--{key}={place}/munge.{end}" for key, end in
               [("socket", "socket"), ("key-file", "key"), ("pid-file", "pid"), ("log-file", "log"), ("seed-file", "seed")]]
        start("munged", "--foreground", "--force", *own)
        time.sleep(1)
        start("slurmctld", "-D", "-c")
        for node in ["node1", "node2"]:
            start("slurmd", "-D", "-N", node)
        for _ in range(60):
            if run("sinfo", "-h", "-o", "%T %D", check=False).strip() == "idle 2":
                break
            time.sleep(1)
        else:
            raise RuntimeError(f"the nodes do not come up: {run('sinfo', check=False)}")

        print("sweep on two nodes …", flush=True)
        print(run(lehr, "sweep", "plan.toml", "--dir", "cluster", "--no-measure", "--executor", "slurm"))
        since, killed = time.monotonic(), None
        while True:
            time.sleep(1)
            queue = run("squeue", "-h", "-o", "%i %T %N %R", check=False).strip()
            if killed is None and any("RUNNING node2" in line for line in queue.splitlines()):
                time.sleep(1)
                before = [line for line in run("squeue", "-h", "-o", "%i %T %N").splitlines() if "node2" in line]
                processes = node_processes(place, "node2")
                for process in processes:
                    try:
                        os.kill(process, signal.SIGKILL)
                    except ProcessLookupError:
                        pass
                killed = before
                print(f"node2 killed ({len(processes)} processes) while it ran {before}", flush=True)
            if killed is not None and not queue:
                break
            if time.monotonic() - since > 540:
                raise RuntimeError(f"the sweep does not end:\n{queue}\n{run('sinfo', check=False)}")
        assert killed, "the node was idle when it was killed"
        print(run(lehr, "sweep", "status", "cluster"))
        found, expected = journals(place / "cluster"), journals(place / "local")
        assert found.keys() == expected.keys(), (found.keys(), expected.keys())
        different = [name for name in expected if found[name] != expected[name]]
        assert not different, f"journals differ: {different}"
        logs = "".join(path.read_text() for path in (place / "cluster/log").glob("slurm-*"))
        resumed = [line for line in logs.splitlines() if line.startswith("resumes after")]
        for folder in ["cluster", "local"]:
            run(lehr, "sweep", "export", folder, "-o", f"store-{folder}")
        runs = [run(lehr, "inspect", f"store-{name}", "--json").replace(name, "NAME") for name in ["cluster", "local"]]
        assert runs[0] == runs[1], "the stores differ"
        print(f"{len(expected)} jobs, a node killed, {len(resumed)} tasks resumed ({resumed}): every journal is equal, bit for bit")
    finally:
        for daemon in daemons:
            daemon.kill()
        for node in ["node1", "node2"]:
            for process in node_processes(place, node):
                try:
                    os.kill(process, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        if sys.exc_info()[0] is None:
            shutil.rmtree(place, ignore_errors=True)
        else:
            print(f"everything is left in {place}", file=sys.stderr)


if __name__ == "__main__":
    main()
