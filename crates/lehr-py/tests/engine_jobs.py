"""Job files for the tests of the PyTorch engine and of the templates, and how they are run."""

import json
import os
import pathlib
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[3]
# A plan of two peak rates and two ratios of a model of 5,000 parameters; [trainer] comes on top.
PLAN = """
validate_every = 10
warmup = 4

[models.tiny]
vocabulary = 96
context = 32
width = 16
layers = 1
heads = 2
hidden = 32

[data]
validation_sequences = 8

[[grid]]
models = ["tiny"]
peak_lr = [1e-2, 2e-2]
total = [60]
ratio = [0.2, 0.4]
batch = [4]

[trainer]
"""


def tiny(**changes):
    """A model of one block that trains in milliseconds."""
    model = {"vocabulary": 96, "context": 32, "width": 32, "layers": 2, "heads": 2, "hidden": 64, "tied": False}
    model |= {"rope_theta": 10000.0, "norm_epsilon": 1e-5, "parametrisation": "standard", "experts": None}
    return model | changes


def mixture():
    """The same with four experts, one of them shared."""
    return tiny(experts={"count": 4, "top_k": 2, "hidden": 32, "shared": 1, "balance": 0.01, "z": 0.001})


def job(folder, name="job", model=None, *, updates=20, rate=5e-3, settings=None, **changes):
    """Writes a job file into a folder and gives its path."""
    folder = pathlib.Path(folder)
    table = {
        "format": "lehr.job/1",
        "name": name,
        "kind": "alone",
        "model": {"name": "m", "params": 1, "active_params": 1, "config": model or tiny()},
        "optimiser": {"beta1": 0.9, "beta2": 0.95, "epsilon": 1e-8, "weight_decay": 0.1, "clip": 1.0},
        "data": {
            "paths": [], "column": None, "tokenizer": None, "bits": None, "vocabulary": None, "cache": None,
            "validation_sequences": 8, "language_seed": 0,
        },
        "batch": 4,
        "tokens_per_update": 128,
        "seed": 3,
        "first": 1,
        "last": updates,
        # Rates that differ from update to update: one that is off by one shows.
        "rates": [rate * min(1.0, (k + 1) / 5) * (1 - k / (2 * updates)) for k in range(updates)],
        "schedule": f"constant:peak={rate},total={updates}",
        "wsd": None,
        "resume": None,
        "save": [],
        "scratch": str(folder / f"{name}.scratch"),
        "validate_every": 5,
        "log": str(folder / f"{name}.jsonl"),
        "exports": {},
        "settings": settings or {},
        "exit_codes": {"done": 0, "diverged": 10, "again": 75},
    } | changes
    path = folder / f"{name}.json"
    path.write_text(json.dumps(table))
    return path


def rows(path):
    """The rows of a log by update; of an update that was trained twice, the later ones."""
    lines = pathlib.Path(path).read_text().splitlines()
    return {row["step"]: row for row in map(json.loads, lines)}


def environment():
    """One thread a process: sums have one order, and two cores are shared."""
    return os.environ | {"OMP_NUM_THREADS": "1", "LEHR_PROGRESS": "0", "TOKENIZERS_PARALLELISM": "false"}


def start(*words, **more):
    """Starts a program of this Python."""
    return subprocess.Popen(
        [sys.executable, *map(str, words)], env=environment(), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **more,
    )


def run(*words, code=0, **more):
    """Runs a program of this Python and gives what it said."""
    child = start(*words, **more)
    said, _ = child.communicate(timeout=240)
    assert child.returncode == code, f"{words}: {child.returncode} instead of {code}\n{said}"
    return said


def wait_for(done, child, seconds=120):
    """Waits until something is so, while a process lives."""
    end = time.monotonic() + seconds
    while not done():
        assert child.poll() is None, f"it ended with {child.returncode}: {child.stdout.read()}"
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.02)


def lines(path):
    """Number of lines of a file; 0 where there is none."""
    path = pathlib.Path(path)
    return path.read_text().count("\n") if path.exists() else 0
