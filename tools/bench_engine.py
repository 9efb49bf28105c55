"""Compares the PyTorch engine with lehr's own on the CPU: losses update by update, and tokens/s.

    python tools/bench_engine.py [--updates 50] [--rounds 3] [--threads 1] [--cases "dense-0.1m;moe-8x0.1m"]

Losses: both do the same job file (synthetic language, a constant rate of 3e-3). Speed, in turns: what
`lehr train --json` says of as many updates, and the median time of an update of `lehr.train.engine.Engine` in this process. Needs the package
lehr with its command, and PyTorch.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "crates/lehr-py/tests"))
import torch  # noqa: E402
from engine_jobs import environment, job, rows  # noqa: E402

from lehr.train import Settings, preset  # noqa: E402
from lehr.train.engine import Engine  # noqa: E402

RATE = 3e-3

CASES = {
    "dense-0.1m": ("dense-0.1m", {}),
    "dense-0.1m, torch.compile": ("dense-0.1m", {"compile": True}),
    "dense-0.8m": ("dense-0.8m", {}),
    "moe-8x0.1m": ("moe-8x0.1m", {}),
    "moe-8x0.1m, grouped": ("moe-8x0.1m", {"experts": "grouped"}),
}


def run(words):
    """What a program said that must succeed."""
    done = subprocess.run([sys.executable, *map(str, words)], env=environment(), capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{words}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def apart(folder, model, settings, updates, batch):
    """Differences of the losses of both engines, update by update."""
    for side, words, own in (("native", ["-m", "lehr", "sweep", "job"], {}), ("torch", ["-m", "lehr.train"], settings)):
        run([*words, job(folder, side, model, updates=updates, batch=batch, validate_every=0, settings=own, rates=[RATE] * updates)])
    native, ours = (rows(folder / f"{side}.jsonl") for side in ("native", "torch"))
    return [abs(native[k]["train_loss"] - ours[k]["train_loss"]) for k in sorted(native)]


def native_speed(folder, name, arguments):
    file = folder / "run.toml"
    file.write_text(f"batch = {arguments.batch}\nseed = 3\nvalidate_every = 0\n[model]\npreset = '{name}'\n[data]\nvalidation_sequences = 16\n")
    words = ["-m", "lehr", "train", file, "--constant", f"peak={RATE},total={arguments.updates}", "--threads", arguments.threads]
    said = json.loads(run([*words, "--run", "r", "--replace", "--json", "-o", folder / "store"]))
    return said["tokens_per_second"]


def torch_speed(model, settings, arguments):
    run_of = {"model": model, "optimiser": {}, "data": {"validation_sequences": 16}, "batch": arguments.batch, "seed": 3}
    engine = Engine(run_of, Settings(threads=arguments.threads, **settings))
    engine.initialise()
    seconds = []
    for _ in range(arguments.updates):
        begun = time.perf_counter()
        engine.update(RATE).measured.tolist()
        seconds.append(time.perf_counter() - begun)
    engine.close()
    return arguments.batch * model["context"] / statistics.median(seconds[5:])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--updates", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--cases", default=";".join(CASES), help="names between semicolons")
    arguments = parser.parse_args()
    print("| case | lehr train, tokens/s (each round) | lehr.train, tokens/s (each round) | lehr.train ÷ lehr train | largest difference of losses, updates 1–5 | all |")
    print("|---|--:|--:|--:|--:|--:|")
    for case in arguments.cases.split(";"):
        name, settings = CASES[case]
        model = preset(name, vocabulary=96)
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            differences = apart(folder, model, settings, arguments.updates, arguments.batch)
            native, ours = [], []
            for _ in range(arguments.rounds):
                native.append(native_speed(folder, name, arguments))
                ours.append(torch_speed(model, settings, arguments))
        parted = next((k for k, difference in enumerate(differences, 1) if difference > 1e-5), None)
        if parted:
            print(f"{case}: losses differ by more than 1e-5 from update {parted} on", file=sys.stderr)
        middle = [statistics.median(values) / 1e3 for values in (native, ours)]
        each = [" · ".join(f"{value / 1e3:.1f}k" for value in values) for values in (native, ours)]
        print(f"| {case} | {middle[0]:.1f}k ({each[0]}) | {middle[1]:.1f}k ({each[1]}) | {middle[1] / middle[0]:.2f} | "
              f"{max(differences[:5]):.1e} | {max(differences):.1e} |", flush=True)
    print(f"\nPyTorch {torch.__version__}, {arguments.updates} updates, {arguments.rounds} rounds in turns, {arguments.threads} thread(s), fp32.")


main()
