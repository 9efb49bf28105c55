"""Writes logs of one known run with the real trackers into fixtures/logs/, for the importers' tests.

    python3 -m venv ENV && ENV/bin/pip install mlflow trackio wandb tensorboardX pyarrow zstandard
    ENV/bin/python tools/make_tracker_fixtures.py [mlflow-db trackio wandb-parquet keys compressed]

The run is that of tools/make_log_fixtures.py. `keys` writes, with wandb and tensorboardX themselves, rows under the names
that OLMo-core, Levanter, Composer and LLM-foundry, NeMo, MaxText, nanochat and nanoGPT give their metrics (read from their
sources; the trainers themselves are not run).
"""

import gzip
import json
import os
import shutil
import sqlite3
import sys
import tempfile
from pathlib import Path

from make_log_fixtures import OUT, PEAK, TOTAL, fresh, loss, rate

BATCH, LENGTH = 200, 512


def make_mlflow_db():
    """Two runs in one database, as `mlflow` keeps them since version 3."""
    import mlflow

    with tempfile.TemporaryDirectory() as directory:
        mlflow.set_tracking_uri(f"sqlite:///{directory}/mlflow.db")
        mlflow.set_experiment("annealing")
        for name, offset in [("known-run", 0.0), ("second-run", 0.1)]:
            with mlflow.start_run(run_name=name):
                mlflow.log_params({"n_params": 124000000, "seed": 7, "global_batch_size": BATCH, "seq_length": LENGTH})
                for t in range(1, TOTAL + 1):
                    mlflow.log_metrics({"train/loss": loss(t) + offset, "lr": rate(t), "system/cpu": 1.0}, step=t)
                    if t % 10 == 0:
                        mlflow.log_metric("val/loss", loss(t) + offset + 0.05, step=t)
        target = fresh("mlflow-db")
        target.mkdir()
        shutil.copy(f"{directory}/mlflow.db", target / "mlflow.db")
        # Who ran it belongs into no fixture; the many tables that hold nothing here would make it large.
        with sqlite3.connect(target / "mlflow.db") as database:
            database.execute("update runs set user_id = 'user', artifact_uri = ''")
            database.execute("delete from tags where key <> 'mlflow.runName'")
            database.execute("update experiments set artifact_location = ''")
            kept = {"metrics", "params", "runs", "tags", "experiments", "latest_metrics", "alembic_version"}
            database.execute("pragma foreign_keys = off")
            for (name,) in database.execute("select name from sqlite_master where type = 'table'").fetchall():
                if name not in kept and not name.startswith("sqlite_"):
                    database.execute(f'drop table "{name}"')
        with sqlite3.connect(target / "mlflow.db") as database:
            database.execute("vacuum")


def make_trackio():
    """One run; the second half still lies in the write-ahead log, as it does while a run goes on."""
    directory = tempfile.mkdtemp()
    os.environ["TRACKIO_DIR"] = directory
    from trackio.sqlite_storage import SQLiteStorage

    rows = []
    for t in range(1, TOTAL + 1):
        row = {"train/loss": loss(t), "lr": rate(t)}
        if t % 10 == 0:
            row["val/loss"] = loss(t) + 0.05
        rows.append(row)
    for first, last in [(0, TOTAL // 2), (TOTAL // 2, TOTAL)]:
        SQLiteStorage.bulk_log(
            project="annealing", run="known-run", metrics_list=rows[first:last], steps=list(range(first + 1, last + 1)),
            timestamps=["2026-01-02T03:04:05+00:00"] * (last - first), run_id="0123456789abcdef",
            config={"n_params": 124000000, "seed": 7, "tokens_per_step": BATCH * LENGTH} if first == 0 else None)
        if first == 0:
            path = SQLiteStorage.get_project_db_path("annealing")
            sqlite3.connect(path).execute("pragma wal_checkpoint(truncate)").fetchall()
    target = fresh("trackio")
    target.mkdir()
    for end in ("", "-wal"):
        source = Path(f"{path}{end}")
        assert source.stat().st_size > 0, source
        shutil.copy(source, target / f"annealing.db{end}")
    shutil.rmtree(directory)


def make_wandb_parquet():
    """The history of a run as W&B's servers export it: a column a key, empty where a row has no value."""
    import pyarrow
    import pyarrow.parquet

    steps = range(1, TOTAL + 1)
    table = pyarrow.table({
        "_step": pyarrow.array([t - 1 for t in steps], pyarrow.int64()),
        "_timestamp": pyarrow.array([1.7e9 + t for t in steps]),
        "train.global_step": pyarrow.array(list(steps), pyarrow.int64()),
        "train.loss": pyarrow.array([loss(t) for t in steps]),
        "optim.lr": pyarrow.array([rate(t) for t in steps]),
        "eval.loss": pyarrow.array([loss(t) + 0.05 if t % 10 == 0 else None for t in steps], pyarrow.float64()),
    })
    target = fresh("wandb-parquet")
    target.mkdir()
    pyarrow.parquet.write_table(table, target / "0000.parquet")


# Trainer → names of step, loss, rate, validation loss and what else matters; `None`: not logged.
WANDB_KEYS = {
    "olmo-core": dict(step="step", loss="train/CE loss", lr="optim/LR (group 0)", val=None, tokens="throughput/total tokens"),
    "levanter": dict(step="global_step", loss="train/loss", lr="optim/learning_rate", val="eval/loss", tokens="throughput/total_tokens"),
    "composer": dict(step="time/batch", loss="loss/train/total", lr="lr-DecoupledAdamW/group0", val="metrics/eval/LanguageCrossEntropy", tokens="time/token"),
    "nanogpt": dict(step="iter", loss="train/loss", lr="lr", val="val/loss", tokens=None),
}
EVENT_KEYS = {
    "nemo": dict(loss="reduced_train_loss", lr="lr", val="val_loss", samples="consumed_samples"),
    "torchtitan-events": dict(loss="loss_metrics/global_avg_loss", lr="lr/AdamW", val="validation_metrics/loss", samples=None),
}


def make_keys():
    import wandb

    settings = dict(
        x_disable_meta=True, x_disable_machine_info=True, x_disable_stats=True, x_save_requirements=False, disable_git=True,
        disable_code=True, program="known.py", program_relpath="known.py", host="host", username="user", console="off")

    def offline(name, config, rows):
        with tempfile.TemporaryDirectory() as directory:
            run = wandb.init(mode="offline", project="lehr", name=name, dir=directory, config=config,
                             settings=wandb.Settings(**settings))
            for row in rows:
                run.log(row)
            run.finish()
            target = fresh(name)
            target.mkdir()
            shutil.copy(next(Path(directory).glob("wandb/offline-run-*/run-*.wandb")), target / f"run-{name}.wandb")

    for name, keys in WANDB_KEYS.items():
        rows = []
        for t in range(1, TOTAL + 1):
            row = {keys["step"]: t, keys["loss"]: loss(t), keys["lr"]: rate(t)}
            if keys["tokens"]:
                row[keys["tokens"]] = BATCH * LENGTH * t
            if keys["val"] and t % 10 == 0:
                row[keys["val"]] = loss(t) + 0.05
            rows.append(row)
        offline(name, {"seed": 7}, rows)
    # nanochat: a debiased moving average of the loss (decay 0.9), every update, and the rate as a multiple of its peak.
    rows, average = [], 0.0
    for t in range(TOTAL):
        average = 0.9 * average + 0.1 * loss(t + 1)
        row = {"step": t, "train/loss": average / (1 - 0.9 ** (t + 1)), "train/lrm": rate(t + 1) / PEAK}
        if (t + 1) % 10 == 0:
            row["val/bpb"] = (loss(t + 1) + 0.05) / 3.0
        rows.append(row)
    offline("nanochat", {"matrix_lr": 0.02, "embedding_lr": 0.3, "total_batch_size": BATCH * LENGTH}, rows)

    from tensorboardX import SummaryWriter

    for name, keys in EVENT_KEYS.items():
        target = fresh(name)
        log = SummaryWriter(str(target))
        for t in range(1, TOTAL + 1):
            log.add_scalar(keys["loss"], loss(t), t)
            log.add_scalar(keys["lr"], rate(t), t)
            if keys["samples"]:
                log.add_scalar(keys["samples"], BATCH * t, t)
            if t % 10 == 0:
                log.add_scalar(keys["val"], loss(t) + 0.05, t)
        log.close()
        next(target.glob("events*")).rename(target / "events.out.tfevents.1700000000.host")
    # MaxText's metrics_file: one object a line.
    (OUT / "maxtext.jsonl").write_text("".join(json.dumps({
        "learning/loss": loss(t), "learning/current_learning_rate": rate(t), "learning/grad_norm": 0.5,
        "perf/per_device_tokens": float(BATCH * LENGTH), "step": float(t), "run_name": "known-run"}) + "\n"
        for t in range(1, TOTAL + 1)))


def make_compressed():
    import zstandard

    text = ("step,lr,loss\n" + "".join(f"{t},{rate(t)},{loss(t)}\n" for t in range(1, TOTAL + 1))).encode()
    rows = "".join(json.dumps({"step": t, "lr": rate(t), "loss": loss(t)}) + "\n" for t in range(1, TOTAL + 1)).encode()
    target = fresh("compressed")
    target.mkdir()
    (target / "known.csv.gz").write_bytes(gzip.compress(text, mtime=0))
    (target / "rows.jsonl.zst").write_bytes(zstandard.ZstdCompressor(level=19).compress(rows))
    (target / "megatron.log.gz").write_bytes(gzip.compress((OUT / "megatron.log").read_bytes(), mtime=0))
    # Two members one behind the other, as `cat a.gz b.gz` makes them.
    half = len(text) // 2
    (target / "members.csv.gz").write_bytes(gzip.compress(text[:half], mtime=0) + gzip.compress(text[half:], mtime=0))


MAKERS = {"mlflow-db": make_mlflow_db, "trackio": make_trackio, "wandb-parquet": make_wandb_parquet, "keys": make_keys,
          "compressed": make_compressed}

if __name__ == "__main__":
    for name in sys.argv[1:] or MAKERS:
        MAKERS[name]()
        print("made", name)
