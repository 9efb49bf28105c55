"""Writes the folder of offline W&B runs that docs/guides/wandb-to-megatron.md begins with, with the real library.

    ENV/bin/python tools/make_guide_logs.py        (ENV has wandb)

The curves are seven of the simulated runs in fixtures/runs (no model was trained for them).
"""

import csv
import shutil
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "fixtures" / "guides" / "wandb"
RUNS = [
    "sim-peak5e-4-T10000-constant",
    "sim-peak5e-4-T10000-r0.2",
    "sim-peak5e-4-T20000-r0.5",
    "sim-peak2e-3-T10000-constant",
    "sim-peak2e-3-T10000-r0.2",
    "sim-peak2e-3-T20000-r0.5",
    "sim-peak2e-3-T20000-r0.1",
]


def main():
    import wandb

    with open(ROOT / "fixtures/runs/curves.csv") as file:
        rows = list(csv.DictReader(file))
    if OUT.exists():
        shutil.rmtree(OUT)
    for name in RUNS:
        # Nothing about the machine belongs into a fixture.
        settings = wandb.Settings(
            x_disable_meta=True, x_disable_machine_info=True, x_disable_stats=True, x_save_requirements=False,
            disable_git=True, disable_code=True, program="train.py", program_relpath="train.py", host="host",
            username="user", console="off")
        config = {"n_params": 18874368, "model": {"seq_len": 1024}, "global_batch_size": 128, "warmup_steps": 300}
        with tempfile.TemporaryDirectory() as directory:
            run = wandb.init(
                mode="offline", project="proxies", name=name, dir=directory, config=config, settings=settings)
            for row in rows:
                if row["run_id"] == name:
                    run.log({
                        "trainer/global_step": int(row["step"]),
                        "lr": float(row["lr"]),
                        "val/loss": float(row["loss"]),
                    })
            run.finish()
            time.sleep(2)  # the writer is a process of its own
            path = next(Path(directory).glob("wandb/offline-run-*/run-*.wandb"))
            folder = OUT / f"offline-run-{name.removeprefix('sim-')}"
            folder.mkdir(parents=True)
            shutil.copy(path, folder / f"run-{name.removeprefix('sim-')}.wandb")


main()
