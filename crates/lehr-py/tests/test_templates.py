"""The templates for trainers of one's own: run in sweeps, killed, branched from, on toy sizes; or tested up to the command line."""

import json
import os
import signal
import sys

import pytest

import lehr
from engine_jobs import PLAN, ROOT, job, lines, rows, run, start, tiny, wait_for

TEMPLATES = ROOT / "docs/templates"
pytest.importorskip("torch")


def sweep(tmp_path, template, settings=""):
    """A sweep of two trunks and four branches by a template."""
    command = f'command = "{sys.executable} {TEMPLATES / template} {{job}}"\nlogs = "logs/{{name}}.jsonl"\n'
    (tmp_path / "plan.toml").write_text(PLAN + command + settings)
    run("-m", "lehr", "sweep", "plan.toml", "--dir", "s", "--jobs", "2", cwd=tmp_path)
    status = json.loads(run("-m", "lehr", "sweep", "status", "s", "--json", cwd=tmp_path))
    assert status["done"] == 6, status
    run("-m", "lehr", "sweep", "export", "s", "-o", "store", cwd=tmp_path)
    return lehr.read(str(tmp_path / "store"), run="*", progress=False)


@pytest.mark.parametrize("template", ["torch_loop.py", "hf_trainer.py"])
def test_a_template_sweeps_and_its_branches_are_whole_runs(tmp_path, template):
    if template == "hf_trainer.py":
        pytest.importorskip("transformers")
    assert len(sweep(tmp_path, template)) == 6
    file = tmp_path / "s/job/tiny-lr2e-2-b4-s0-w4-T60-r0.4-linear.json"
    table = json.loads(file.read_text())
    assert table["kind"] == "branch" and table["resume"]["update"] == 36
    branch = rows_of(table["log"])
    table |= {"first": 1, "resume": None, "scratch": str(tmp_path / "scratch"), "log": str(tmp_path / "whole.jsonl")}
    (tmp_path / "whole.json").write_text(json.dumps(table))
    run(TEMPLATES / template, tmp_path / "whole.json")
    whole = rows_of(table["log"])
    assert sorted(branch) == list(range(37, 61)) and sorted(whole) == list(range(1, 61))
    # One thread, the same order of sums: bit for bit.
    assert branch == {k: whole[k] for k in branch}
    assert whole[60]["val_loss"] < whole[10]["val_loss"]


def rows_of(path):
    """Rows by update; training and validation losses of an update may stand in rows of their own."""
    merged = {}
    with open(path) as file:
        for row in map(json.loads, file):
            merged.setdefault(row["step"], {}).update(row)
    return merged


@pytest.mark.parametrize("template", ["torch_loop.py", "hf_trainer.py"])
def test_a_template_that_is_killed_or_told_to_end_goes_on(tmp_path, template):
    if template == "hf_trainer.py":
        pytest.importorskip("transformers")
    updates = 400 if template == "torch_loop.py" else 120
    more = {"updates": updates, "validate_every": 0, "settings": {"checkpoint_every": 10}}
    run(TEMPLATES / template, job(tmp_path, "whole", **more))
    path = job(tmp_path, "ended", **more)
    child = start(TEMPLATES / template, path)
    wait_for(lambda: lines(tmp_path / "ended.jsonl") >= 15, child)
    child.kill()
    child.wait()
    with open(tmp_path / "ended.jsonl", "a") as log:
        log.write('{"step": 16, "train_')
    child = start(TEMPLATES / template, path)
    begun = lines(tmp_path / "ended.jsonl")
    wait_for(lambda: lines(tmp_path / "ended.jsonl") >= begun + 15, child)
    child.send_signal(signal.SIGTERM)
    said, _ = child.communicate(timeout=60)
    assert child.returncode == 75, said
    run(TEMPLATES / template, path)
    assert rows_of(tmp_path / "ended.jsonl") == rows_of(tmp_path / "whole.jsonl")


@pytest.mark.parametrize("template", ["torch_loop.py", "hf_trainer.py"])
def test_a_template_that_diverges_says_so(tmp_path, template):
    bad = {"beta1": 0.9, "beta2": 0.95, "epsilon": 1e-8, "weight_decay": 0.0, "clip": 0.0}
    run(TEMPLATES / template, job(tmp_path, rate=1e38, model=tiny(), optimiser=bad, settings={"checkpoint_every": 1000}), code=10)
    assert os.path.exists(tmp_path / "job.jsonl")


# ---------------------------------------------------------------- trainers that need a GPU: up to the command line

# In torchrun's place: goes on from the newest checkpoint, logs as the trainer does, saves at the end of its stage.
STAND_IN = '''
import json, math, os, pathlib, sys
words = sys.argv[1:]
after = lambda flag: words[words.index(flag) + 1]
job = json.load(open(os.environ["LEHR_JOB"]))
trainer = "nanochat" if "scripts.base_train" in words else "torchtitan" if "torchtitan.train" in words else "megatron"
with open(os.path.join(os.path.dirname(os.environ["LEHR_JOB"]), job["name"] + ".words"), "a") as out:
    out.write(json.dumps(words) + chr(10))
if trainer == "megatron":
    state, target = pathlib.Path(after("--load")), int(after("--exit-interval"))
    latest = state / "latest_checkpointed_iteration.txt"
    done = int(latest.read_text()) if latest.exists() else 0
    assert done == 0 or (state / f"iter_{done:07d}/weights").read_text() == str(done)
elif trainer == "torchtitan":
    state, target = pathlib.Path(after("--dump_folder")) / "checkpoint", int(after("--training.steps"))
    done = max([int(p.name[5:]) for p in state.glob("step-*")], default=0)
else:
    state = pathlib.Path(os.environ["NANOCHAT_BASE_DIR"]) / "base_checkpoints" / after("--model-tag")
    done = int(after("--resume-from-step")) if "--resume-from-step" in words else 0
    target = job["last"]
state.mkdir(parents=True, exist_ok=True)
for k in range(done + 1, target + 1):
    loss, rate = 3 + 1 / math.sqrt(k) + 10 * job["rates"][k - 1], job["rates"][k - 1]
    if trainer == "megatron":
        print(f" [2026-11-26 00:00:{k % 60:02d}] iteration {k:8d}/{job['last']:8d} | consumed samples: {k * 4:12d} | elapsed time per iteration (ms): 1.0 | learning rate: {rate:.6E} | global batch size: 4 | lm loss: {loss:.6E} | loss scale: 1.0 |")
    elif trainer == "torchtitan":
        print(f"[titan] 2026-11-26 00:00:{k % 60:02d},000 - root - INFO - step: {k:2d}  loss: {loss:.5f}  grad_norm: 1.0  memory: 1.0GiB(1.0%)  tps: 1  tflops: 1.0  mfu: 1.0%", flush=True)
    else:
        print(f"step {k - 1:05d}/{target:05d} ({k:.2f}%) | loss: {loss:.6f} | lrm: 1.00 | dt: 1.00ms")
    saves = k == target or (trainer == "nanochat" and k % int(after("--save-every")) == 0)
    if saves and trainer == "megatron":
        (state / f"iter_{k:07d}").mkdir(exist_ok=True)
        (state / f"iter_{k:07d}/weights").write_text(str(k))
        latest.write_text(str(k))
    elif saves and trainer == "torchtitan":
        (state / f"step-{k}").mkdir(exist_ok=True)
        (state / f"step-{k}/.metadata").write_text(str(k))
    elif saves:
        for name in (f"model_{k:06d}.pt", f"meta_{k:06d}.json", f"optim_{k:06d}_rank0.pt"):
            (state / name).write_text(str(k))
'''


@pytest.mark.parametrize("trainer", ["megatron", "torchtitan", "nanochat"])
def test_command_lines_stages_and_checkpoints_of_a_trainer_that_is_not_executed(tmp_path, trainer, monkeypatch):
    """With a stand-in for torchrun: what the template tells the trainer, and that its sweep comes to its end."""
    (tmp_path / "bin").mkdir()
    fake = tmp_path / "bin/torchrun"
    fake.write_text(f"#!{sys.executable}\n{STAND_IN}")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("NANOCHAT_BASE_DIR", str(tmp_path / "nanochat"))
    suffix = "jsonl" if trainer == "nanochat" else "log"
    program = tmp_path if trainer == "nanochat" else "pretrain_gpt.py"
    command = (
        f'command = "{sys.executable} {TEMPLATES}/framework.py {trainer} {{job}}"\nlogs = "logs/{{name}}.{suffix}"\n'
        f'exports = ["{trainer}"]\n[trainer.settings]\ngpus = 2\nprogram = "{program}"\nwords = ["--extra", "a b"]\n'
    )
    (tmp_path / "plan.toml").write_text(PLAN + command)
    run("-m", "lehr", "sweep", "plan.toml", "--dir", "s", cwd=tmp_path)
    status = json.loads(run("-m", "lehr", "sweep", "status", "s", "--json", cwd=tmp_path))
    assert status["done"] == 6, (status, [path.read_text()[-800:] for path in (tmp_path / "s/log").glob("*.out")])
    said = {path.stem: [json.loads(line) for line in path.read_text().splitlines()] for path in (tmp_path / "s/job").glob("*.words")}
    trunk = said["tiny-lr2e-2-b4-s0-w4-constant"]
    branch = said["tiny-lr2e-2-b4-s0-w4-T60-r0.4-linear"]
    after = {"megatron": "--exit-interval", "torchtitan": "--training.steps", "nanochat": "--save-every"}[trainer]
    stages = [words[words.index(after) + 1] for words in trunk]
    # The trunk stops where its two branches begin; nanochat saves at what divides both.
    assert stages == (["12"] if trainer == "nanochat" else ["36", "48"])
    assert len(branch) == 1 and branch[0][-2:] == ["--extra", "a b"]
    if trainer == "megatron":
        words = branch[0]
        flags = {flag: words[words.index(flag) + 1] for flag in ("--lr", "--train-iters", "--lr-wsd-decay-iters", "--global-batch-size")}
        assert flags == {"--lr": "0.02", "--train-iters": "60", "--lr-wsd-decay-iters": "24", "--global-batch-size": "4"}
        assert "--override-opt_param-scheduler" in words and "--override-opt_param-scheduler" not in trunk[0]
    if trainer == "nanochat":
        assert branch[0][branch[0].index("--resume-from-step") + 1] == "36"
    run("-m", "lehr", "sweep", "export", "s", "-o", "store", cwd=tmp_path)
    assert len(lehr.read(str(tmp_path / "store"), run="*", progress=False)) == 6
    file = tmp_path / "s/job/tiny-lr2e-2-b4-s0-w4-T60-r0.4-linear.json"
    shown = run(TEMPLATES / "framework.py", trainer, file, "--print")
    assert shown.count("torchrun --nproc-per-node=2") == 1 and "'a b'" in shown


def test_a_job_without_what_a_framework_needs_is_refused(tmp_path):
    said = run(TEMPLATES / "framework.py", "megatron", job(tmp_path), code=1)
    assert "settings.gpus, settings.program, exports.megatron missing" in said
    assert "expected one of megatron, torchtitan, nanochat" in run(TEMPLATES / "framework.py", "other", job(tmp_path), code=1)


def test_torchtitan_builds_the_configuration_of_a_job(tmp_path, monkeypatch):
    pytest.importorskip("torchtitan")
    sys.path.insert(0, str(TEMPLATES))
    try:
        import torchtitan_job
    finally:
        sys.path.remove(str(TEMPLATES))
    schedule = lehr.Schedule.wsd(peak_lr=2e-2, steps=60, warmup=4, ratio=0.4)
    text = schedule.export("torchtitan").text
    wsd = {"peak_lr": 2e-2, "total": 60, "warmup": 4, "anneal": 24, "shape": "linear", "final_lr": 0.0}
    path = job(tmp_path, updates=60, wsd=wsd, exports={"torchtitan": text}, settings={"gpus": 2})
    monkeypatch.setenv("LEHR_JOB", str(path))
    config = torchtitan_job.from_job()
    assert (config.training.steps, config.training.global_batch_size, config.training.local_batch_size) == (60, 4, 2)
    assert config.optimizer.param_groups[0].optimizer_kwargs["lr"] == 2e-2
    assert (config.lr_scheduler.warmup_steps, config.lr_scheduler.total_steps, config.lr_scheduler.decay_type) == (4, 59, "linear")
