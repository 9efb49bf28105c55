"""Schedules and callbacks in real training loops."""

import copy
import json
import subprocess
import sys
import time
import warnings
from types import SimpleNamespace

import numpy as np
import pytest

import lehr

torch = pytest.importorskip("torch")
from lehr.callbacks import Monitor, composer, hf, lightning  # noqa: E402
from lehr.torch import WSD  # noqa: E402


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def parts(**given):
    torch.manual_seed(0)
    model = torch.nn.Linear(4, 1)
    groups = [{"params": [model.weight]}, {"params": [model.bias], "lr": 0.5}]
    optimizer = torch.optim.AdamW(groups, lr=0.1)
    return model, optimizer, WSD(optimizer, **given)


def train(model, optimizer, scheduler, updates):
    rates = []
    for _ in range(updates):
        loss = ((model(torch.ones(2, 4)) - 1.0) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        rates.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        scheduler.step()
    return rates


PLAN = {"peak_lr": 1e-3, "steps": 200, "warmup": 20, "ratio": 0.3, "shape": "1-sqrt", "final_lr": 1e-5}


def test_rates_are_those_of_the_schedule_at_every_update():
    rates = train(*parts(**PLAN, scales=[1.0, 0.5]), 200)
    wanted = lehr.Schedule.wsd(**PLAN).rates()
    assert [rate for rate, _ in rates] == wanted.tolist()
    assert [rate for _, rate in rates] == (0.5 * wanted).tolist()


def test_a_resumed_run_goes_on_to_the_same_rates_also_within_an_annealing():
    whole = train(*(one := parts(**PLAN)), 80)
    one[2].start_annealing(40, shape="linear")
    whole += train(*one, 50)
    wanted = lehr.Schedule.wsd(**PLAN).anneal_from(80, 40).rates().tolist()
    assert [rate for rate, _ in whole] == wanted + [wanted[-1]] * 10
    model, optimizer, scheduler = parts(**PLAN)
    head = train(model, optimizer, scheduler, 80)
    scheduler.start_annealing(40)
    head += train(model, optimizer, scheduler, 10)
    kept = copy.deepcopy((model.state_dict(), optimizer.state_dict(), scheduler.state_dict()))
    model, optimizer, scheduler = parts(**PLAN)
    for thing, state in zip((model, optimizer, scheduler), kept):
        thing.load_state_dict(state)
    assert head + train(model, optimizer, scheduler, 40) == whole


def test_an_annealing_needs_an_update_and_scales_need_groups():
    with pytest.raises(lehr.RequestError, match="no update is done"):
        parts(**PLAN)[2].start_annealing(10)
    with pytest.raises(lehr.RequestError, match="2 parameter groups"):
        parts(**PLAN, scales=[1.0])
    with pytest.raises(lehr.RequestError):
        parts()


def test_a_recommendation_is_trained_as_it_is(fit):
    advice = fit.recommend(peak_lr=1e-3, steps=300, warmup=10)
    model = torch.nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    scheduler = WSD.from_recommendation(optimizer, advice)
    assert [r[0] for r in train(model, optimizer, scheduler, 300)] == advice.schedule.rates().tolist()


def test_hf_trainer_writes_the_run_and_resumes(tmp_path):
    transformers = pytest.importorskip("transformers")

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(4, 1)

        def forward(self, x, labels):
            return {"loss": ((self.layer(x) - labels) ** 2).mean() + 1.0}

    data = [{"x": torch.ones(4) * (i % 3), "labels": torch.ones(1)} for i in range(64)]

    def run(resume):
        torch.manual_seed(0)
        model = Model()
        optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
        scheduler = WSD(optimizer, peak_lr=1e-2, steps=40, warmup=5, ratio=0.25)
        arguments = transformers.TrainingArguments(
            str(tmp_path / "out"), max_steps=40, per_device_train_batch_size=4, logging_steps=1, save_steps=20,
            report_to=[], use_cpu=True, disable_tqdm=True,
        )  # fmt: skip
        trainer = transformers.Trainer(
            model, arguments, train_dataset=data, optimizers=(optimizer, scheduler),
            callbacks=[hf(Monitor(tmp_path / "hf.jsonl"))],
        )  # fmt: skip
        trainer.train(resume_from_checkpoint=resume)

    run(None)
    wanted = lehr.Schedule.wsd(peak_lr=1e-2, steps=40, warmup=5, ratio=0.25)
    first = lehr.read(tmp_path / "hf.jsonl", loss_kind="instant")[0]
    assert (first.step == np.arange(1, 41)).all()
    rows = [json.loads(line) for line in (tmp_path / "hf.jsonl").read_text().splitlines()]
    assert [row["lr"] for row in rows] == wanted.rates().tolist()
    run(str(tmp_path / "out" / "checkpoint-20"))
    again = [json.loads(line) for line in (tmp_path / "hf.jsonl").read_text().splitlines()]
    assert [(row["step"], row["lr"]) for row in again] == [(row["step"], row["lr"]) for row in rows]


def test_lightning_writes_the_run(tmp_path):
    pl = pytest.importorskip("lightning.pytorch")

    class Module(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(4, 1)

        def training_step(self, batch, index):
            return {"loss": (self.layer(batch) ** 2).mean() + 1.0}

        def configure_optimizers(self):
            optimizer = torch.optim.SGD(self.parameters(), lr=1.0)
            scheduler = WSD(optimizer, peak_lr=1e-2, steps=30, warmup=5, ratio=0.2)
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    trainer = pl.Trainer(
        max_steps=30, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, callbacks=[lightning(Monitor(tmp_path / "pl.jsonl"))],
    )  # fmt: skip
    trainer.fit(Module(), torch.utils.data.DataLoader(torch.ones(64, 4), batch_size=4))
    rows = [json.loads(line) for line in (tmp_path / "pl.jsonl").read_text().splitlines()]
    wanted = lehr.Schedule.wsd(peak_lr=1e-2, steps=30, warmup=5, ratio=0.2).rates().tolist()
    assert [row["step"] for row in rows] == list(range(1, 31)) and [row["lr"] for row in rows] == wanted


def test_a_loop_like_composers_writes_the_run(tmp_path):
    model, optimizer, scheduler = parts(**PLAN)
    callback = composer(Monitor(tmp_path / "c.jsonl"))
    state = SimpleNamespace(optimizers=[optimizer], timestamp=SimpleNamespace(batch=0), loss=0.0)
    for t in range(1, 31):
        callback.batch_start(state, None)
        train(model, optimizer, scheduler, 1)
        state.timestamp.batch, state.loss = t, 2.0
        callback.batch_end(state, None)
    callback.fit_end(state, None)
    rows = [json.loads(line) for line in (tmp_path / "c.jsonl").read_text().splitlines()]
    assert [row["lr"] for row in rows] == lehr.Schedule.wsd(**PLAN).rates()[:30].tolist()


def test_composer_writes_the_run(tmp_path):
    pytest.importorskip("composer")
    from composer import Trainer
    from composer.models import ComposerModel

    class Model(ComposerModel):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(4, 1)

        def forward(self, batch):
            return self.layer(batch)

        def loss(self, outputs, batch):
            return (outputs**2).mean() + 1.0

    model = Model()
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    scheduler = WSD(optimizer, peak_lr=1e-2, steps=30, warmup=5, ratio=0.2)
    trainer = Trainer(
        model=model, train_dataloader=torch.utils.data.DataLoader(torch.ones(64, 4), batch_size=4), max_duration="30ba",
        optimizers=optimizer, schedulers=scheduler, step_schedulers_every_batch=True, device="cpu", progress_bar=False,
        device_train_microbatch_size=2, callbacks=[composer(Monitor(tmp_path / "c.jsonl"))],
    )  # fmt: skip
    trainer.fit()
    rows = [json.loads(line) for line in (tmp_path / "c.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == list(range(1, 31))
    assert [row["lr"] for row in rows] == scheduler.schedule.rates().tolist()
    # The loss of the whole batch, of two microbatches.
    assert all(row["loss"] >= 1.0 for row in rows)


LOOPS = {
    "plain": """
for i in range(1, 10**9):
    monitor.log(i, 1.0 + 1.0 / i, 1e-2)
""",
    "transformers": """
import transformers
class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(4, 1)
    def forward(self, x, labels):
        return {"loss": ((self.layer(x) - labels) ** 2).mean() + 1.0}
data = [{"x": torch.ones(4), "labels": torch.ones(1)} for i in range(64)]
arguments = transformers.TrainingArguments(folder, max_steps=10**6, per_device_train_batch_size=4, logging_steps=1,
    save_strategy="no", report_to=[], use_cpu=True, disable_tqdm=True)
transformers.Trainer(Model(), arguments, train_dataset=data, callbacks=[lehr.callbacks.hf(monitor)]).train()
""",
    "lightning": """
import lightning.pytorch as pl
class Module(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(4, 1)
    def training_step(self, batch, index):
        return (self.layer(batch) ** 2).mean() + 1.0
    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=1e-2)
pl.Trainer(max_steps=10**6, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
    enable_model_summary=False, callbacks=[lehr.callbacks.lightning(monitor)]).fit(
    Module(), torch.utils.data.DataLoader(torch.ones(64, 4), batch_size=4))
""",
    "composer": """
import composer
class Model(composer.models.ComposerModel):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(4, 1)
    def forward(self, batch):
        return self.layer(batch)
    def loss(self, outputs, batch):
        return (outputs**2).mean() + 1.0
model = Model()
composer.Trainer(model=model, train_dataloader=torch.utils.data.DataLoader(torch.ones(64, 4), batch_size=4),
    max_duration="1000000ba", optimizers=torch.optim.SGD(model.parameters(), lr=1e-2), device="cpu", progress_bar=False,
    callbacks=[lehr.callbacks.composer(monitor)]).fit()
""",
}


@pytest.mark.parametrize("framework", LOOPS)
def test_a_training_that_is_killed_leaves_every_row_that_was_logged(framework, tmp_path):
    if framework != "plain":
        pytest.importorskip(framework)
    path = tmp_path / "run.jsonl"
    head = f"""
import torch, lehr.callbacks
folder = {str(tmp_path / "out")!r}
monitor = lehr.callbacks.Monitor({str(path)!r})
log = monitor.log
def told(step, *rest, **more):
    log(step, *rest, **more)
    if step == 40:
        print("there", flush=True)
monitor.log = told
"""
    child = subprocess.Popen([sys.executable, "-c", head + LOOPS[framework]], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for line in child.stdout:
        if line == "there\n":
            break
    child.kill()
    said = child.communicate()[1]
    assert child.returncode == -9, said
    run = lehr.read(path, loss_kind="instant", accept=True)[0]
    assert len(run) >= 40 and (run.step == np.arange(1, len(run) + 1)).all()
    # What goes on from update 30 takes the place of what was logged after it.
    with lehr.Logger(path) as logger:
        logger.log(31, 1.0, 1e-2)
    assert len(lehr.read(path, loss_kind="instant", accept=True)[0]) == 31


def test_a_call_of_a_callback_takes_less_than_50_microseconds(tmp_path):
    pytest.importorskip("transformers")
    pl = pytest.importorskip("lightning.pytorch")
    del pl
    model, optimizer, _ = parts(**PLAN)
    times = {"hf": [], "lightning": [], "composer": []}
    callbacks = {name: make(Monitor(tmp_path / f"{name}.jsonl")) for name, make in [("hf", hf), ("lightning", lightning), ("composer", composer)]}
    state = SimpleNamespace(optimizers=[optimizer], timestamp=SimpleNamespace(batch=0), loss=torch.tensor(2.0))
    at = SimpleNamespace(global_step=0, is_world_process_zero=True, is_global_zero=True)
    for t in range(1, 3001):
        at.global_step = state.timestamp.batch = t
        begun = time.perf_counter()
        callbacks["hf"].on_pre_optimizer_step(None, at, None, optimizer=optimizer)
        callbacks["hf"].on_log(None, at, None, logs={"loss": 2.0})
        times["hf"].append(time.perf_counter() - begun)
        begun = time.perf_counter()
        callbacks["lightning"].on_before_optimizer_step(at, None, optimizer)
        callbacks["lightning"].on_train_batch_end(at, None, {"loss": state.loss}, None, t)
        times["lightning"].append(time.perf_counter() - begun)
        begun = time.perf_counter()
        callbacks["composer"].batch_start(state, None)
        callbacks["composer"].batch_end(state, None)
        times["composer"].append(time.perf_counter() - begun)
    medians = {name: 1e6 * float(np.median(taken)) for name, taken in times.items()}
    print(medians)
    assert max(medians.values()) < 50, medians
