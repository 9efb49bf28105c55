"""The PyTorch engine: parity with lehr's own, interruptions, several processes, and a sweep from its plan to an answer."""

import csv
import json
import os
import shutil
import signal

import numpy as np
import pytest

import lehr
from engine_jobs import PLAN, environment, job, lines, mixture, rows, run, start, tiny, wait_for
from lehr.train import preset, presets, read

torch = pytest.importorskip("torch")
from lehr.train import checkpoint  # noqa: E402
from lehr.train.__main__ import main  # noqa: E402
from lehr.train.engine import Engine  # noqa: E402
from lehr.train.settings import Settings  # noqa: E402
from lehr.train.weights import PREFIXES, by_parameter, open_snapshot  # noqa: E402


@pytest.fixture(autouse=True)
def one_thread():
    """Sums have one order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def no_signals_left():
    """The loop listens for signals; the tests' process goes on without."""
    before = {name: signal.getsignal(name) for name in (signal.SIGTERM, signal.SIGUSR1)}
    yield
    for name, handler in before.items():
        signal.signal(name, handler)


def losses(path):
    return [row["train_loss"] for _, row in sorted(rows(path).items())]


def both(tmp_path, model, **more):
    """The rows of a job by lehr's own engine and by this one."""
    native = job(tmp_path, "native", model, **more)
    run("-m", "lehr", "sweep", "job", native)
    assert main([str(job(tmp_path, "torch", model, **more))]) == 0
    return rows(tmp_path / "native.jsonl"), rows(tmp_path / "torch.jsonl")


# ---------------------------------------------------------------- parity


@pytest.mark.parametrize(
    "model",
    [
        preset("dense-0.1m", vocabulary=96),
        tiny(tied=True, parametrisation={"mup": {"base_width": 16}}, rope_theta=500.0, norm_epsilon=1e-3),
    ],
    ids=["preset", "tied-mup"],
)
def test_dense_losses_are_those_of_the_native_engine_over_50_updates(tmp_path, model):
    native, ours = both(tmp_path, model, updates=50)
    assert sorted(native) == sorted(ours) == list(range(1, 51))
    # Asked for: 1e-4. Sums in another order differ by some 1e-7 an update.
    worst = max(abs(native[k]["train_loss"] - ours[k]["train_loss"]) for k in native)
    assert worst < 2e-5, worst
    validated = [k for k in native if "val_loss" in native[k]]
    assert validated == [k for k in ours if "val_loss" in ours[k]] == [5, 10, 15, 20, 25, 30, 35, 40, 45, 50]
    assert max(abs(native[k]["val_loss"] - ours[k]["val_loss"]) for k in validated) < 2e-5
    # Something was learnt: equal losses of models that stand still would say little.
    assert ours[50]["train_loss"] < ours[1]["train_loss"] - 0.5


def test_a_mixture_routes_as_the_native_engine_does_and_follows_it(tmp_path):
    model = preset("moe-8x0.1m", vocabulary=96)
    run_of = json.loads(job(tmp_path, model=model).read_text())
    engine = Engine(read(job(tmp_path, model=model)).run, Settings())
    engine.initialise()
    report = engine.update(run_of["rates"][0])
    engine.close()
    text = "batch = 4\nseed = 3\n[model]\npreset = 'moe-8x0.1m'\n[data]\nvalidation_sequences = 8\n"
    (tmp_path / "run.toml").write_text(text)
    experts = tmp_path / "experts.csv"
    run("-m", "lehr", "train", tmp_path / "run.toml", "--constant", "peak=1e-3,total=1", "--threads", "1",
        "-o", tmp_path / "store", "--experts", experts)
    found = np.zeros((2, 8), dtype=int)
    for row in csv.DictReader(experts.open()):
        found[int(row["layer"]), int(row["expert"])] += int(row["tokens"])
    assert found.sum() == 2 * 2 * 4 * 128
    assert report.counts.tolist() == found.tolist()
    native, ours = both(tmp_path, model, updates=30)
    # Later a token whose second and third expert tie to the last bit may go the other way, which moves the loss of one
    # token in 512; until then rounding alone differs.
    first = [abs(native[k]["train_loss"] - ours[k]["train_loss"]) for k in range(1, 6)]
    assert max(first) < 1e-5, first
    assert max(abs(native[k]["train_loss"] - ours[k]["train_loss"]) for k in native) < 2e-2


def test_shared_experts_are_those_of_the_native_engine(tmp_path):
    native, ours = both(tmp_path, mixture(), updates=5)
    assert max(abs(native[k]["train_loss"] - ours[k]["train_loss"]) for k in native) < 1e-5


def test_text_is_read_in_the_same_order(tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("".join(f"{n} bottles of beer on the wall, {n} bottles of beer. " for n in range(400)))
    data = {"paths": [str(text)], "column": None, "tokenizer": None, "bits": None, "vocabulary": None, "cache": None,
            "validation_sequences": 8, "language_seed": 0}
    # 20 updates of 4 × 32 tokens of 20,000 bytes; a second pass begins in a longer run.
    native, ours = both(tmp_path, tiny(vocabulary=256), updates=20, data=data, validate_every=0)
    assert max(abs(native[k]["train_loss"] - ours[k]["train_loss"]) for k in native) < 1e-5


def test_every_preset_has_a_place_for_every_tensor():
    assert len(presets()) == 30
    for name in ("dense-1b", "moe-8x400m"):
        settings = Settings()
        from lehr.train.data import Material
        from lehr.train.model import Decoder

        run_of = {"model": preset(name), "optimiser": {}, "data": {}, "batch": 1, "seed": 0}
        material = Material(run_of)
        with torch.device("meta"):
            model = Decoder(material.run["model"])
        held = by_parameter(material.names)
        assert sorted(held) == sorted(name for name, _ in model.named_parameters())
        total = sum(int(np.prod(tensor["shape"])) for tensor in material.tensors)
        assert total == sum(parameter.numel() for parameter in model.parameters())
        assert settings.precision == "auto"


# ---------------------------------------------------------------- weights


def weights_of(path, names):
    snapshot = open_snapshot(str(path), names)
    return {prefix + name: snapshot.value(prefix + name) for name in names for prefix in PREFIXES}


@pytest.mark.parametrize("model", [tiny(), mixture()], ids=["dense", "mixture"])
def test_weights_go_from_the_native_engine_to_this_one_and_back(tmp_path, model):
    """A trunk and a branch, each by either engine: four ways to the same losses."""
    ends = {}
    for trunk in ("native", "torch"):
        at = tmp_path / f"{trunk}-at-10.safetensors"
        path = job(tmp_path, f"trunk-{trunk}", model, updates=12, save=[{"update": 10, "path": str(at)}],
                   settings={"checkpoint_format": "safetensors"} if trunk == "torch" else {})
        run("-m", "lehr", "sweep", "job", path) if trunk == "native" else main([str(path)])
        for branch in ("native", "torch"):
            name = f"{trunk}-then-{branch}"
            path = job(tmp_path, name, model, updates=12, first=11, resume={"update": 10, "path": str(at)}, kind="branch")
            run("-m", "lehr", "sweep", "job", path) if branch == "native" else main([str(path)])
            assert sorted(rows(tmp_path / f"{name}.jsonl")) == [11, 12]
            ends[name] = rows(tmp_path / f"{name}.jsonl")[12]["val_loss"]
    assert max(ends.values()) - min(ends.values()) < 1e-5, ends


def test_a_snapshot_read_and_written_is_the_same_file_content(tmp_path):
    at = tmp_path / "at-3.safetensors"
    run("-m", "lehr", "sweep", "job", job(tmp_path, updates=4, save=[{"update": 3, "path": str(at)}]))
    settings = Settings(checkpoint_format="safetensors")
    engine = Engine(read(job(tmp_path, "again")).run, settings)
    checkpoint.load(engine, str(at))
    assert engine.completed == 3
    checkpoint.save(engine, str(tmp_path / "again.safetensors"))
    engine.close()
    names = engine.material.names
    before, after = weights_of(at, names), weights_of(tmp_path / "again.safetensors", names)
    assert all(np.array_equal(before[name], after[name]) for name in before)


def test_a_snapshot_that_was_changed_or_is_of_another_run_is_refused(tmp_path):
    at = tmp_path / "at-3.safetensors"
    run("-m", "lehr", "sweep", "job", job(tmp_path, updates=4, save=[{"update": 3, "path": str(at)}]))
    resume = {"update": 3, "path": str(at)}
    with pytest.raises(lehr.ReadError, match="another seed: 3; expected 4"):
        engine = Engine(read(job(tmp_path, "b", updates=6, first=4, resume=resume, seed=4)).run, Settings())
        checkpoint.load(engine, str(at))
    data = bytearray(at.read_bytes())
    data[-1] ^= 1
    at.write_bytes(data)
    engine = Engine(read(job(tmp_path, "c")).run, Settings())
    with pytest.raises(lehr.ReadError, match="checksum does not match"):
        checkpoint.load(engine, str(at))
    at.write_bytes(data[:100])
    with pytest.raises(lehr.ReadError, match="cut off"):
        checkpoint.load(engine, str(at))


# ---------------------------------------------------------------- branches and interruptions


@pytest.mark.parametrize("model", [tiny(), mixture()], ids=["dense", "mixture"])
def test_a_branch_is_the_whole_run_bit_for_bit(tmp_path, model):
    at = tmp_path / "snapshots/at-12"
    main([str(job(tmp_path, "trunk", model, save=[{"update": 12, "path": str(at)}]))])
    assert (at / "lehr.json").exists() and not at.with_name("at-12.new").exists()
    branch = job(tmp_path, "branch", model, first=13, resume={"update": 12, "path": str(at)}, kind="branch")
    assert main([str(branch)]) == 0
    whole, part = rows(tmp_path / "trunk.jsonl"), rows(tmp_path / "branch.jsonl")
    assert sorted(part) == list(range(13, 21))
    assert part == {k: whole[k] for k in part}


def test_a_state_that_is_remembered_is_gone_back_to_bit_for_bit(tmp_path):
    engine = Engine(read(job(tmp_path, model=mixture())).run, Settings())
    engine.initialise()
    for _ in range(3):
        engine.update(1e-3)
    memory = engine.remember()
    once = [engine.update(1e-3).measured.tolist() for _ in range(3)]
    for _ in range(2):
        engine.recall(memory)
        assert [engine.update(1e-3).measured.tolist() for _ in range(3)] == once
    engine.close()


def test_killed_in_the_middle_it_goes_on_to_the_same_losses(tmp_path):
    main([str(job(tmp_path, "whole", updates=300, validate_every=50))])
    path = job(tmp_path, "killed", updates=300, validate_every=50, settings={"checkpoint_every": 20})
    for at in (45, 130):
        child = start("-m", "lehr.train", path)
        wait_for(lambda at=at: lines(tmp_path / "killed.jsonl") >= at, child)
        child.kill()
        child.wait()
    reached = lines(tmp_path / "killed.jsonl")
    assert 130 <= reached < 300
    with open(tmp_path / "killed.jsonl", "a") as log:
        log.write('{"step": 131, "lr": 0.00')
    assert main([str(path)]) == 0
    assert rows(tmp_path / "killed.jsonl") == rows(tmp_path / "whole.jsonl")
    # It went on from a checkpoint: fewer lines than two runs would have.
    assert lines(tmp_path / "killed.jsonl") < 300 + 3 * 45
    # Of its own checkpoints one is left.
    assert [name for name in os.listdir(tmp_path / "killed.scratch") if name.startswith("at-")] == ["at-280"]


@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR1"])
def test_told_to_end_it_leaves_a_checkpoint_and_asks_to_be_started_again(tmp_path, name):
    main([str(job(tmp_path, "whole", updates=300, validate_every=50))])
    path = job(tmp_path, "told", updates=300, validate_every=50)
    child = start("-m", "lehr.train", path)
    wait_for(lambda: lines(tmp_path / "told.jsonl") >= 20, child)
    child.send_signal(getattr(signal, name))
    child.wait(timeout=60)
    assert child.returncode == 75
    reached = lines(tmp_path / "told.jsonl")
    assert os.listdir(tmp_path / "told.scratch") == [f"at-{reached}"]
    assert main([str(path)]) == 0
    assert rows(tmp_path / "told.jsonl") == rows(tmp_path / "whole.jsonl")
    assert lines(tmp_path / "told.jsonl") == 300


def test_a_run_that_diverges_exits_with_10_and_keeps_its_rows(tmp_path, capfd):
    path = job(tmp_path, rate=1e30, optimiser={"beta1": 0.9, "beta2": 0.95, "epsilon": 1e-8, "weight_decay": 0.0, "clip": 0.0})
    assert main([str(path)]) == 10
    assert "diverged at update" in capfd.readouterr().out
    kept = rows(tmp_path / "job.jsonl")
    assert 1 <= len(kept) < 20 and all(np.isfinite(row["train_loss"]) for row in kept.values())


def test_a_checkpoint_of_this_engine_that_is_broken_is_named(tmp_path, capfd):
    (tmp_path / "job.scratch/at-7").mkdir(parents=True)
    assert main([str(job(tmp_path))]) == 1
    said = capfd.readouterr().err
    assert "at-7: it has no lehr.json; expected a whole checkpoint" in said and "hint: delete it" in said


# ---------------------------------------------------------------- precision, passes, compilation


def test_small_passes_add_up_to_the_whole_batch(tmp_path):
    main([str(job(tmp_path, "whole"))])
    main([str(job(tmp_path, "parts", settings={"micro_batch": 1}))])
    # The order of sums differs.
    assert np.allclose(losses(tmp_path / "whole.jsonl"), losses(tmp_path / "parts.jsonl"), atol=1e-5)


def test_grouped_products_are_those_of_the_loop(tmp_path):
    main([str(job(tmp_path, "loop", mixture(), settings={"experts": "loop"}))])
    main([str(job(tmp_path, "grouped", mixture(), settings={"experts": "grouped"}))])
    a, b = rows(tmp_path / "loop.jsonl"), rows(tmp_path / "grouped.jsonl")
    assert max(abs(a[k]["train_loss"] - b[k]["train_loss"]) for k in range(1, 6)) < 1e-5
    assert max(abs(a[k]["train_loss"] - b[k]["train_loss"]) for k in a) < 2e-2


@pytest.mark.parametrize("model", [tiny(), mixture()], ids=["dense", "mixture"])
def test_bf16_keeps_fp32_weights_and_stays_near(tmp_path, model):
    main([str(job(tmp_path, "fp32", model))])
    main([str(job(tmp_path, "bf16", model, settings={"precision": "bf16"}))])
    a, b = losses(tmp_path / "fp32.jsonl"), losses(tmp_path / "bf16.jsonl")
    # bf16 has 8 bits: a loss of 4.6 made of such products is right to about a hundredth.
    assert 0 < max(abs(x - y) for x, y in zip(a, b, strict=True)) < 5e-2
    engine = Engine(read(job(tmp_path, "e", model)).run, Settings(precision="bf16"))
    engine.initialise()
    engine.update(1e-3)
    assert all(parameter.dtype == torch.float32 for parameter in engine.model.parameters())
    assert all(state["exp_avg"].dtype == torch.float32 for state in engine.optimiser.torch.state.values())
    engine.close()


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile on the CPU needs a C++ compiler")
@pytest.mark.parametrize("model", [tiny(), mixture()], ids=["dense", "mixture"])
def test_compiled_it_comes_to_the_same(tmp_path, model):
    main([str(job(tmp_path, "eager", model, updates=4, validate_every=0))])
    settings = {"compile": True, "checkpoint_every": 3}
    main([str(job(tmp_path, "compiled", model, updates=4, validate_every=0, settings=settings))])
    a, b = rows(tmp_path / "eager.jsonl"), rows(tmp_path / "compiled.jsonl")
    assert max(abs(a[k]["train_loss"] - b[k]["train_loss"]) for k in a) < 1e-4
    assert abs(a[4]["val_loss"] - b[4]["val_loss"]) < 1e-4
    # Names of weights are those of the model that is not compiled: either goes on from a checkpoint of the other.
    os.remove(tmp_path / "compiled.jsonl")
    assert main([str(job(tmp_path, "compiled", model, updates=4, validate_every=0))]) == 0
    assert list(rows(tmp_path / "compiled.jsonl")) == [4]


# ---------------------------------------------------------------- several processes


@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
@pytest.mark.parametrize("model", [tiny(), mixture()], ids=["dense", "mixture"])
def test_two_processes_are_one_with_the_same_batch(tmp_path, parallel, model):
    main([str(job(tmp_path, "one", model))])
    at = tmp_path / "two-at-10"
    settings = {"processes": 2, "parallel": parallel}
    run("-m", "lehr.train", job(tmp_path, "two", model, settings=settings, save=[{"update": 10, "path": str(at)}]))
    one, two = rows(tmp_path / "one.jsonl"), rows(tmp_path / "two.jsonl")
    assert sorted(one) == sorted(two)
    # Stated tolerance: 1e-5 nats over 20 updates. Sums of gradients have another order, as with other numbers of threads.
    for k in one:
        for key in one[k]:
            tolerance = 1e-5 if key in ("train_loss", "val_loss") else 1e-4
            assert abs(one[k][key] - two[k][key]) < tolerance, (k, key, one[k], two[k])
    # The checkpoint of two processes is read by one.
    branch = job(tmp_path, "branch", model, first=11, resume={"update": 10, "path": str(at)})
    assert main([str(branch)]) == 0
    after = rows(tmp_path / "branch.jsonl")
    assert max(abs(after[k]["train_loss"] - two[k]["train_loss"]) for k in after) < 1e-5


def test_sharded_processes_write_snapshots_for_the_native_engine_and_work_in_bf16(tmp_path):
    at = tmp_path / "at-10.safetensors"
    settings = {"processes": 2, "parallel": "fsdp", "checkpoint_format": "safetensors", "micro_batch": 1}
    run("-m", "lehr.train", job(tmp_path, "two", mixture(), settings=settings, save=[{"update": 10, "path": str(at)}]))
    branch = job(tmp_path, "native", mixture(), first=11, resume={"update": 10, "path": str(at)})
    run("-m", "lehr", "sweep", "job", branch)
    after, two = rows(tmp_path / "native.jsonl"), rows(tmp_path / "two.jsonl")
    assert sorted(after) == list(range(11, 21))
    assert max(abs(after[k]["train_loss"] - two[k]["train_loss"]) for k in after) < 1e-4
    # And read one, shards of the moments included.
    run("-m", "lehr.train", job(tmp_path, "shards", mixture(), first=11, resume={"update": 10, "path": str(at)}, settings=settings))
    assert max(abs(rows(tmp_path / "shards.jsonl")[k]["train_loss"] - two[k]["train_loss"]) for k in range(11, 21)) < 1e-5
    half = {"processes": 2, "parallel": "fsdp", "precision": "bf16"}
    run("-m", "lehr.train", job(tmp_path, "half", mixture(), settings=half))
    assert max(abs(a - b) for a, b in zip(losses(tmp_path / "half.jsonl"), losses(tmp_path / "two.jsonl"), strict=True)) < 5e-2


def test_exit_codes_come_through_torchrun(tmp_path):
    bad = {"beta1": 0.9, "beta2": 0.95, "epsilon": 1e-8, "weight_decay": 0.0, "clip": 0.0}
    run("-m", "lehr.train", job(tmp_path, "lost", rate=1e30, optimiser=bad), "--processes", "2", code=10)
    path = job(tmp_path, "told", updates=100_000, rate=1e-4, validate_every=0, settings={"processes": 2})
    child = start("-m", "lehr.train", path)
    wait_for(lambda: lines(tmp_path / "told.jsonl") >= 5, child)
    child.send_signal(signal.SIGTERM)
    said, _ = child.communicate(timeout=120)
    assert child.returncode == 75, said
    kept = [name for name in os.listdir(tmp_path / "told.scratch") if name.startswith("at-")]
    assert kept == [f"at-{lines(tmp_path / 'told.jsonl')}"]


# ---------------------------------------------------------------- job files


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": "lehr.job/2"}, "format is lehr.job/2; expected lehr.job/1"),
        ({"rates": [1e-3] * 3}, "rates is 3 numbers; expected 20 finite rates"),
        ({"rates": [1e-3] * 19 + [-1.0]}, r"rates\[19\] is -1.0; expected a finite rate ≥ 0"),
        ({"batch": 0}, "batch is 0; expected a whole number from 1"),
        ({"batch": "4"}, 'batch is "4"; expected a whole number from 1'),
        ({"first": 3}, "resume is missing; expected the checkpoint after update 2"),
        ({"first": 21}, "first is 21; expected at most last, which is 20"),
        ({"first": 3, "resume": {"update": 4, "path": "x"}}, "resume.update is 4; expected 2"),
        ({"save": [{"update": 30, "path": "x"}]}, r"save\[0\].update is 30; expected an update of the job, 1 … 20"),
        ({"save": [{"update": 3}]}, r"save\[0\].path is missing"),
        ({"log": ""}, "log is empty"),
        ({"settings": {"precison": "bf16"}}, "settings.precison is .*; expected one of the keys device"),
        ({"settings": {"precision": "fp8"}}, "settings.precision is .*; expected one of auto, fp32, bf16"),
        ({"settings": {"micro_batch": 1.5}}, "settings.micro_batch is 1.5; expected a value like 0"),
        ({"settings": {"compile": 1}}, "settings.compile is 1; expected a value like false"),
        ({"settings": {"processes": 3}}, "settings.processes is 3; expected a divisor of the batch, 4 sequences"),
    ],
)
def test_a_wrong_job_file_is_refused_by_key(tmp_path, change, words):
    with pytest.raises(lehr.ReadError, match=words) as caught:
        read(job(tmp_path, **change))
    assert caught.value.file and caught.value.remedy and caught.value.found and caught.value.expected


def test_what_the_engine_refuses_names_the_key(tmp_path, capfd):
    assert main([str(job(tmp_path, model=tiny(width=12)))]) == 1
    assert "model.width is 12; expected a multiple of 8" in capfd.readouterr().err
    assert main([str(job(tmp_path, model=tiny(vocabulary=40)))]) == 1
    assert "model.vocabulary is 40; expected at least 96" in capfd.readouterr().err
    if not torch.cuda.is_available():
        assert main([str(job(tmp_path, settings={"device": "cuda"}))]) == 1
        assert "no CUDA device" in capfd.readouterr().err
    assert main([str(tmp_path / "nothing.json")]) == 1
    assert "cannot read it" in capfd.readouterr().err
    (tmp_path / "text.json").write_text("{\n no")
    assert main([str(tmp_path / "text.json")]) == 1
    assert "text.json:2: not JSON" in capfd.readouterr().err
    assert main(["--check", str(job(tmp_path))]) == 0
    assert "nothing is trained" in capfd.readouterr().out
    assert not (tmp_path / "job.jsonl").exists()


def test_neither_the_package_nor_a_check_loads_pytorch(tmp_path):
    program = "import sys, lehr, lehr.train; from lehr.train.__main__ import main; main(['--check', sys.argv[1]]); assert 'torch' not in sys.modules"
    run("-c", program, job(tmp_path))


# ---------------------------------------------------------------- a sweep


def test_a_sweep_from_its_plan_to_a_recommendation(tmp_path):
    trainer = 'command = "python3 -m lehr.train {job}"\nlogs = "{dir}/logs/{name}.jsonl"\n'
    trainer = trainer.replace("python3", os.path.realpath(os.sys.prefix) + "/bin/python")
    (tmp_path / "plan.toml").write_text(PLAN + trainer + "[trainer.settings]\nthreads = 1\n")
    run("-m", "lehr", "sweep", "plan.toml", "--dir", "s", "--jobs", "2", cwd=tmp_path)
    status = json.loads(run("-m", "lehr", "sweep", "status", "s", "--json", cwd=tmp_path))
    assert status["done"] == 6, status
    run("-m", "lehr", "sweep", "export", "s", "-o", "store", cwd=tmp_path)
    runs = lehr.read(str(tmp_path / "store"), run="*", progress=False)
    assert len(runs) == 6
    fit = lehr.fit(runs, law="noise-relaxation", starts=2, points=12)
    answer = fit.recommend(peak_lr=2e-2, steps=60, warmup=4)
    assert 0.0 <= answer.ratio <= 1.0
    # The same sweep by lehr's own engine has the same curves.
    own = 'command = "python3 -m lehr sweep job {job}"\nlogs = "{dir}/logs/{name}.jsonl"\n'
    own = own.replace("python3", os.path.realpath(os.sys.prefix) + "/bin/python")
    (tmp_path / "own.toml").write_text(PLAN + own)
    run("-m", "lehr", "sweep", "own.toml", "--dir", "o", "--jobs", "2", cwd=tmp_path)
    for log in sorted((tmp_path / "o/logs").iterdir()):
        native, ours = rows(log), rows(tmp_path / "s/logs" / log.name)
        assert sorted(native) == sorted(ours)
        assert max(abs(native[k]["train_loss"] - ours[k]["train_loss"]) for k in native) < 1e-4
    assert environment()["OMP_NUM_THREADS"] == "1"
