"""Writes logs of one known run with the real libraries into fixtures/logs/, for the importers' tests.

    python3 -m venv ENV && ENV/bin/pip install wandb tensorboardX torch transformers accelerate lightning mlflow-skinny
    ENV/bin/python tools/make_log_fixtures.py [wandb tensorboard hf lightning mlflow text folders]

The run: peak rate 1e-3, warm-up 10, horizon 100, linear annealing over the last 20 updates, loss 2.5 + 6 t^-0.35 at update t.
Text logs are written from the format strings of their programs (named at each).
"""

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

OUT = Path(__file__).resolve().parent.parent / "fixtures" / "logs"
TOTAL, WARMUP, PEAK = 100, 10, 1e-3


def loss(step):
    return 2.5 + 6.0 * step**-0.35


def rate(step):
    if step <= WARMUP:
        return PEAK * step / WARMUP
    return PEAK * min(1.0, (TOTAL - step) / 20)


def fresh(name):
    path = OUT / name
    if path.is_dir():
        shutil.rmtree(path)
    return path


def make_wandb():
    import wandb

    with tempfile.TemporaryDirectory() as directory:
        config = {"n_params": 124000000, "seed": 7, "model": {"seq_len": 512}, "global_batch_size": 200}
        # Nothing about the machine belongs into a fixture.
        settings = wandb.Settings(
            x_disable_meta=True, x_disable_machine_info=True, x_disable_stats=True, x_save_requirements=False,
            disable_git=True, disable_code=True, program="known.py", program_relpath="known.py", host="host",
            username="user", console="off")
        run = wandb.init(
            mode="offline", project="lehr", name="known-run", dir=directory, config=config, settings=settings)
        for t in range(1, TOTAL + 1):
            row = {"train": {"global_step": t}, "train/loss": loss(t), "optim/lr": rate(t), "note": "text"}
            if t % 10 == 0:
                row["eval/loss"] = loss(t) + 0.05
            run.log(row)
        run.finish()
        path = next(Path(directory).glob("wandb/offline-run-*/run-*.wandb"))
        target = fresh("wandb")
        target.mkdir()
        shutil.copy(path, target / "run-known.wandb")


def make_tensorboard():
    import torch
    from tensorboardX import SummaryWriter
    from torch.utils.tensorboard import SummaryWriter as TorchWriter

    for name, writer, options in [
        ("tensorboard", SummaryWriter, {}),
        ("tensorboard-tensors", TorchWriter, {"new_style": True}),
    ]:
        target = fresh(name)
        # A restart: the first attempt reaches update 60, the second resumes from 50.
        for first, last in [(1, 60), (51, TOTAL)]:
            log = writer(str(target), filename_suffix=f".{first}")
            for t in range(first, last + 1):
                log.add_scalar("lm loss", loss(t), t, **options)
                log.add_scalar("learning-rate", rate(t), t, **options)
                if t % 10 == 0:
                    log.add_scalar("lm loss validation", loss(t) + 0.05, t, **options)
            log.add_histogram("weights", torch.zeros(4), last)
            log.close()
        # One file a second: names then sort by time.
        for i, path in enumerate(sorted(target.glob("events*"), key=lambda p: int(str(p).rsplit(".", 1)[1]))):
            path.rename(target / f"events.out.tfevents.{1700000000 + i}.host")


def make_folders():
    """Runs whose event files lie in several folders: add_scalars, and train/ beside validation/."""
    from tensorboardX import SummaryWriter

    target = fresh("tensorboard-scalars")
    log = SummaryWriter(str(target), filename_suffix=".known")
    for t in range(1, TOTAL + 1):
        curves = {"train": loss(t)}
        if t % 10 == 0:
            curves["val"] = loss(t) + 0.05
        log.add_scalars("loss", curves, t)
        log.add_scalar("lr", rate(t), t)
    log.close()
    target = fresh("tensorboard-siblings")
    train = SummaryWriter(str(target / "train"), filename_suffix=".known")
    validation = SummaryWriter(str(target / "validation"), filename_suffix=".known")
    for t in range(1, TOTAL + 1):
        train.add_scalar("loss", loss(t), t)
        train.add_scalar("learning_rate", rate(t), t)
        if t % 10 == 0:
            validation.add_scalar("loss", loss(t) + 0.05, t)
    train.close()
    validation.close()
    for name in ("tensorboard-scalars", "tensorboard-siblings"):
        for path in sorted((OUT / name).rglob("events.out.tfevents.*")):
            path.rename(path.with_name("events.out.tfevents.1700000000.host"))


def make_hf():
    import torch
    from transformers import Trainer, TrainingArguments

    class Toy(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(1))
            self.step = 0

        def forward(self, x=None, labels=None):
            if self.training:
                self.step += 1
            return {"loss": self.weight.sum() * 0.0 + loss(max(self.step, 1)), "logits": x}

    data = [{"x": torch.ones(1), "labels": torch.ones(1)} for _ in range(8)]
    with tempfile.TemporaryDirectory() as directory:
        arguments = TrainingArguments(
            output_dir=directory,
            max_steps=TOTAL,
            warmup_steps=WARMUP,
            learning_rate=PEAK,
            lr_scheduler_type="cosine",
            logging_steps=5,
            eval_strategy="steps",
            eval_steps=20,
            save_steps=50,
            per_device_train_batch_size=2,
            report_to=[],
            use_cpu=True,
        )
        Trainer(model=Toy(), args=arguments, train_dataset=data, eval_dataset=data).train()
        target = fresh("hf")
        for path in Path(directory).glob("checkpoint-*"):
            (target / path.name).mkdir(parents=True)
            shutil.copy(path / "trainer_state.json", target / path.name)


def make_lightning():
    import lightning
    import torch
    from lightning.pytorch.callbacks import LearningRateMonitor
    from lightning.pytorch.loggers import CSVLogger

    class Toy(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(1))

        def training_step(self, batch, index):
            value = self.weight.sum() * 0.0 + loss(self.global_step + 1)
            self.log("train_loss", value)
            return value

        def configure_optimizers(self):
            optimizer = torch.optim.AdamW(self.parameters(), lr=PEAK)
            schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda t: rate(t + 1) / PEAK)
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    target = fresh("lightning")
    with tempfile.TemporaryDirectory() as directory:
        trainer = lightning.Trainer(
            max_steps=TOTAL,
            logger=CSVLogger(directory, name="run"),
            log_every_n_steps=5,
            callbacks=[LearningRateMonitor("step")],
            accelerator="cpu",
            enable_checkpointing=False,
            enable_progress_bar=False,
        )
        trainer.fit(Toy(), torch.utils.data.DataLoader(torch.ones(1000, 1), batch_size=1))
        target.mkdir()
        shutil.copy(next(Path(directory).glob("run/version_*/metrics.csv")), target / "metrics.csv")


def make_mlflow():
    os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
    import mlflow

    with tempfile.TemporaryDirectory() as directory:
        mlflow.set_tracking_uri(f"file://{directory}/mlruns")
        with mlflow.start_run(run_name="known-run"):
            mlflow.log_params({"n_params": 124000000, "seed": 7})
            for t in range(1, TOTAL + 1):
                mlflow.log_metrics({"loss": loss(t), "lr": rate(t)}, step=t)
                if t % 10 == 0:
                    mlflow.log_metric("val_loss", loss(t) + 0.05, step=t)
        target = fresh("mlruns")
        source = Path(directory) / "mlruns"
        for run in source.glob("*/*/metrics"):
            for path in list(run.rglob("*")) + list((run.parent / "params").rglob("*")) + [run.parent / "meta.yaml"]:
                if path.is_file():
                    copy = target / "0" / "run" / path.relative_to(run.parent)
                    copy.parent.mkdir(parents=True, exist_ok=True)
                    text = path.read_text()
                    copy.write_text(text if path.name != "meta.yaml" else "".join(
                        line for line in text.splitlines(True) if line.split(":")[0] in ("run_id", "run_name", "status")))


def make_text():
    """Format strings: Megatron-LM training.py `training_log`, gpt-neox `training_log`, torchtitan `MetricsProcessor.log`,
    nanotron `log_columns`, lingua `MetricLogger`, DeepSpeed `csv_monitor`, W&B's chart export."""
    steps = range(1, TOTAL + 1)
    lines = ["------------------------ arguments ------------------------",
             "  global_batch_size ............................... 200",
             "  seq_length ...................................... 512",
             "  seed ............................................ 7",
             "-------------------- end of arguments ---------------------"]
    for t in steps:
        if t % 5 == 0:
            mean = sum(loss(k) for k in range(t - 4, t + 1)) / 5
            lines.append(
                f" [2026-01-02 03:04:05.678901] iteration {t:8d}/{TOTAL:8d} | consumed samples: {200 * t:12d} |"
                f" elapsed time per iteration (ms): 123.4 | learning rate: {rate(t):.6E} | global batch size: {200:5d} |"
                f" lm loss: {mean:.6E} | loss scale: 1.0 | grad norm: 0.500 | number of skipped iterations:   0 |"
                f" number of nan iterations:   0 |")
        if t % 20 == 0:
            lines.append("-" * 60)
            lines.append(f" validation loss at iteration {t} | lm loss value: {loss(t) + 0.05:.6E} | lm loss PPL: 1.0E+01 | ")
    (OUT / "megatron.log").write_text("\n".join(lines) + "\n")
    (OUT / "torchtitan.log").write_text("".join(
        f"[titan] 2026-01-02 03:04:05 - root - INFO - \x1b[31mstep: {t:2}  \x1b[32mloss: {loss(t):7.4f}  \x1b[38;2;180;60;0m"
        f"grad_norm: {0.5:7.4f}  \x1b[38;2;54;234;195mmemory: 1.00GiB(1.00%)  \x1b[34mtps: 1,000  \x1b[36mtflops: 1.00\n"
        for t in steps))
    (OUT / "nanotron.log").write_text("".join(
        f"01/02/2026 03:04:05 [INFO|DP=0]: iteration: {t} / {TOTAL} | consumed_tokens: {t}M | elapsed_time_per_iteration_ms: 1.2K |"
        f" lm_loss: {loss(t):.3g} | lr: {rate(t):.3g} | grad_norm: 0.5 |\n" for t in steps))
    (OUT / "lingua.jsonl").write_text("".join(json.dumps({
        "created_at": "2026-01-02T03:04:05", "global_step": t, "acc_step": 0, "speed/wps": 1.0, "optim/grad_norm": 0.5,
        "optim/lr": rate(t), "optim/total_tokens": 102400 * t, "loss/out": loss(t)}) + "\n" for t in steps))
    deepspeed = fresh("deepspeed")
    deepspeed.mkdir()
    for name, of in [("train_loss", loss), ("lr", rate)]:
        (deepspeed / f"Train_Samples_{name}.csv").write_text(
            f"step,Train_Samples_{name}\n" + "".join(f"{200 * t},{of(t)}\n" for t in steps))
    export = fresh("wandb-export")
    export.mkdir()
    for name, of in [("train/loss", loss), ("train/learning_rate", rate)]:
        header = ",".join(f'"run-{i} - {name}{end}"' for i in (1, 2) for end in ("", "__MIN", "__MAX"))
        rows = "".join(
            f'"{t}",' + ",".join(f'"{of(t) * (1 if name != "train/loss" else 1 + 0.01 * i)}"' for i in (1, 2) for _ in range(3)) + "\n"
            for t in steps)
        (export / f"{name.replace('/', '_')}.csv").write_text(f'"Step",{header}\n{rows}')


MAKERS = {"wandb": make_wandb, "tensorboard": make_tensorboard, "hf": make_hf, "lightning": make_lightning,
          "mlflow": make_mlflow, "text": make_text, "folders": make_folders}

if __name__ == "__main__":
    for name in sys.argv[1:] or MAKERS:
        MAKERS[name]()
        print("made", name)
