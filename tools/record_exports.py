#!/usr/bin/env python3
"""Records the rates that trainers' own scheduler code gives for the configurations that lehr exports.

    python tools/record_exports.py --lehr target/debug/lehr [--site DIR ...] [--target NAME ...]

For every target and schedule below it asks `lehr schedule --export` for the configuration, reads that configuration
the way the trainer reads it, runs the trainer's own scheduler code over every update, and writes the rates with the
libraries' versions to fixtures/reference/exports/TARGET.json. The tests of lehr-io compare the exporter's promise with
them, update by update.

Libraries (see docs/guides/exporters.md for the commands): torch transformers optax megatron-core megatron-bridge
torchtitan nanotron ai2-olmo-core levanter maxtext composer llm-foundry nemo_toolkit llamafactory. A library whose
import needs an accelerator or a newer Python is not imported: its scheduler's definitions are compiled, unchanged, out
of its installed file (`lift`). `--site` adds directories with unpacked wheels to look in.
"""

import argparse
import ast
import enum
import functools
import importlib.metadata
import io
import json
import math
import pathlib
import platform
import shlex
import subprocess
import sys
import types
import warnings
from dataclasses import dataclass, field
from typing import Any, Dict, List, Literal, Optional, Tuple, Union

ROOT = pathlib.Path(__file__).resolve().parent.parent
SCHEDULES = [
    "wsd:peak=3e-4,total=200,warmup=20,ratio=0.2,shape=linear,final=0",
    "wsd:peak=3e-4,total=200,warmup=20,ratio=0.2,shape=linear,final=3e-5",
    "wsd:peak=6e-4,total=240,warmup=24,anneal=57,shape=1-sqrt,final=6e-5",
    "wsd:peak=1e-3,total=150,warmup=0,anneal=37,shape=cosine,final=0",
    "cosine:peak=1e-3,total=160,warmup=20,final=1e-4",
    "constant:peak=3e-4,total=100,warmup=15",
    "wsd:peak=3e-4,total=160,warmup=16,ratio=0.25,shape=exponential,final=0",
    "wsd:peak=3e-4,total=160,warmup=1,ratio=0.25,shape=geometric,final=3e-5",
    "two-stage:peak=3e-4,drop=0.9e-4,at=80,total=160,warmup=16",
    "wsd-s:peak=3e-4,warmup=10,cycles=50+20/50+20,shape=cosine,final=3e-5",
    "sampled:1e-4,2e-4,3e-4x40,2e-4,1e-4",
]
SITES = [pathlib.Path(p) for p in sys.path if p.endswith("site-packages")]


def find(path):
    """The installed (or unpacked) file of a library."""
    for site in SITES:
        if (site / path).exists():
            return site / path
    raise FileNotFoundError(f"{path} in none of {[str(s) for s in SITES]}")


def version(name):
    """Version of an installed or unpacked distribution."""
    for site in SITES:
        for info in site.glob("*.dist-info"):
            if info.name.rsplit("-", 1)[0].replace("_", "-").lower().startswith(name.replace("_", "-").lower() + "-"):
                return info.name[: -len(".dist-info")].rsplit("-", 1)[1]
    return importlib.metadata.version(name)


def lift(path, names, space, methods_of=None):
    """Compiles definitions, unchanged, out of a library's file and runs them in `space`."""
    tree = ast.parse(find(path).read_text())
    body = tree.body
    if methods_of:
        body = next(n for n in body if isinstance(n, ast.ClassDef) and n.name == methods_of).body
    wanted = [n for n in body if isinstance(n, (ast.FunctionDef, ast.ClassDef)) and n.name in names]
    missing = set(names) - {n.name for n in wanted}
    assert not missing, f"{path} no longer defines {missing}"
    exec(compile(ast.Module(wanted, []), str(path), "exec"), space)
    return space


def optimizer(lr):
    import torch

    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)


def step_through(optim, scheduler, total):
    rates = []
    for _ in range(total):
        rates.append(float(optim.param_groups[0]["lr"]))
        optim.step()
        scheduler.step()
    return rates


def python(text):
    space = {}
    exec(compile(text, "export", "exec"), space)
    return space


def yaml(text):
    import yaml as reader

    return reader.safe_load(text)


def run_torch(text, total):
    optim = optimizer(1.0)
    return step_through(optim, python(text)["make_scheduler"](optim), total)


def hf_scheduler(lr, kind, warmup, total, kwargs):
    import transformers

    optim = optimizer(lr)
    scheduler = transformers.get_scheduler(
        kind, optim, num_warmup_steps=warmup, num_training_steps=total, scheduler_specific_kwargs=kwargs
    )
    return step_through(optim, scheduler, total)


def run_hf(text, total):
    a = python(text)["arguments"]
    assert a["max_steps"] == total
    return hf_scheduler(
        a["learning_rate"], a["lr_scheduler_type"], a["warmup_steps"], total, a["lr_scheduler_kwargs"]
    )


def run_axolotl(text, total):
    a = yaml(text)
    return hf_scheduler(a["learning_rate"], a["lr_scheduler"], a["warmup_steps"], a["max_steps"], a["lr_scheduler_kwargs"])


def run_llama_factory(text, total):
    a = types.SimpleNamespace(**yaml(text))
    a.get_warmup_steps = lambda steps: a.warmup_steps
    space = {"Optional": Optional, "DummyOptimizer": type("Unused", (), {})}
    lift("llamafactory/train/trainer_utils.py", ["create_custom_scheduler"], space)
    space["create_custom_scheduler"](a, a.max_steps, None)
    return hf_scheduler(a.learning_rate, a.lr_scheduler_type, a.warmup_steps, a.max_steps, a.lr_scheduler_kwargs)


def megatron(total, batch, **k):
    from megatron.core.optimizer_param_scheduler import OptimizerParamScheduler

    optim = types.SimpleNamespace(param_groups=[{"lr": 0.0}])
    scheduler = OptimizerParamScheduler(
        optim, start_wd=0.0, end_wd=0.0, wd_incr_steps=total * batch, wd_incr_style="constant",
        use_checkpoint_opt_param_scheduler=False, **k
    )
    rates = []
    for _ in range(total):
        rates.append(float(optim.param_groups[0]["lr"]))
        scheduler.step(batch)
    return rates


def run_megatron(text, total, batch=32):
    p = argparse.ArgumentParser()
    for name in ["lr", "min-lr", "lr-warmup-init"]:
        p.add_argument(f"--{name}", type=float, default=0.0)
    for name in ["train-iters", "lr-warmup-iters", "lr-decay-iters", "lr-wsd-decay-iters"]:
        p.add_argument(f"--{name}", type=int, default=None)
    p.add_argument("--lr-decay-style", choices=["constant", "linear", "cosine", "inverse-square-root", "WSD"])
    p.add_argument("--lr-wsd-decay-style", choices=["exponential", "linear", "cosine", "minus_sqrt"], default="exponential")
    a = p.parse_args(shlex.split(text.replace("\\\n", " ")))
    assert a.train_iters == total
    return megatron(
        total, batch, init_lr=a.lr_warmup_init, max_lr=a.lr, min_lr=a.min_lr,
        lr_warmup_steps=a.lr_warmup_iters * batch, lr_decay_steps=a.lr_decay_iters * batch,
        lr_decay_style=a.lr_decay_style, lr_wsd_decay_style=a.lr_wsd_decay_style,
        wsd_decay_steps=a.lr_wsd_decay_iters * batch if a.lr_wsd_decay_iters is not None else None,
    )


def run_megatron_bridge(text, total, batch=32):
    space = python(text)
    config = lift("megatron/bridge/training/config.py", ["SchedulerConfig"],
                  {"dataclass": dataclass, "field": field, "Literal": Literal, "Optional": Optional, "kw_only": True})
    c = config["SchedulerConfig"](**space["scheduler"])
    c.finalize()
    assert space["train_iters"] == total
    return megatron(
        total, batch, init_lr=c.lr_warmup_init, max_lr=space["optimizer"]["lr"], min_lr=space["optimizer"]["min_lr"],
        lr_warmup_steps=c.lr_warmup_iters * batch, lr_decay_steps=c.lr_decay_iters * batch,
        lr_decay_style=c.lr_decay_style, lr_wsd_decay_style=c.lr_wsd_decay_style,
        wsd_decay_steps=(c.lr_wsd_decay_iters or c.lr_decay_iters) * batch,
    )


def comment_number(text, key):
    """A number that the configuration states in its first comment, such as `optimizer.lr = 0.0003`."""
    return float(text.split(key, 1)[1].split()[0].rstrip(","))


def run_torchtitan(text, total):
    from torchtitan.components.optimizer.lr_scheduler import LRSchedulersContainer

    optim = optimizer(comment_number(text, "optimizer.lr = "))
    config = LRSchedulersContainer.Config(**python(text)["lr_scheduler"])
    return step_through(optim, config.build(optimizers=[optim], training_steps=total), total)


def run_nanotron(text, total):
    from torch.optim.lr_scheduler import LambdaLR
    from torch.optim import Optimizer

    space = {"dataclass": dataclass, "Optional": Optional, "math": math, "LambdaLR": LambdaLR, "Optimizer": Optimizer}
    lift("nanotron/config/config.py", ["LRSchedulerArgs"], space)
    lift("nanotron/helpers.py", ["lr_scheduler_builder"], space)
    args = space["LRSchedulerArgs"](**yaml(text)["optimizer"]["learning_rate_scheduler"])
    optim = optimizer(args.learning_rate)
    optim.get_base_optimizer = lambda: optim
    return step_through(optim, space["lr_scheduler_builder"](optim, args, total), total)


def run_olmo_core(text, total):
    from olmo_core.optim import scheduler as olmo

    lr = comment_number(text, "optimizer's lr is ")
    space = python(text)
    if "stages" in space:
        made = olmo.ComposableScheduler(stages=[olmo.ComposableSchedulerStage(**s) for s in space["stages"]])
    else:
        made = olmo.WSD(**space["scheduler"])
    return [float(made.get_lr(lr, t, total)) for t in range(1, total + 1)]


def run_levanter(text, total):
    import jax.numpy as jnp
    import numpy as np
    import optax

    config = yaml(text)
    assert config["trainer"]["num_train_steps"] == total
    space = {"optax": optax, "jnp": jnp, "np": np, "warnings": warnings, "LrSchedule": type("Unused", (), {})}
    path = "levanter/optim/config.py"
    lift(path, ["_convert_frac_or_steps", "_inv_sqrt_decay_schedule", "_inv_decay_schedule"], space)
    lift(path, ["lr_scheduler", "_get_cycle_minima"], space, methods_of="OptimizerConfig")
    # The dataclass's other fields, at their defaults.
    o = types.SimpleNamespace(**{"cooldown": None, "cycle_length": None, "cycles": None, "haps": None, "rewarmup": 0.0, **config["optimizer"]})
    o._get_cycle_minima = functools.partial(space["_get_cycle_minima"], o)
    schedule = space["lr_scheduler"](o, total)
    return [float(schedule(n)) for n in range(total)]


def run_maxtext(text, total):
    import jax.numpy as jnp
    import optax

    known = {"Enum": enum.Enum, "str": str, "enum": enum}
    lift("maxtext/configs/types.py", ["LearningRateScheduleType", "WsdDecayStyle"], known)
    space = {"jnp": jnp, "optax": optax, "types": types.SimpleNamespace(**known)}
    lift("maxtext/utils/maxtext_utils.py", ["create_learning_rate_schedule"], space)
    config = yaml(text)
    assert config["steps"] == total
    config["lr_schedule_type"] = known["LearningRateScheduleType"](config["lr_schedule_type"])
    config["wsd_decay_style"] = known["WsdDecayStyle"](config["wsd_decay_style"])
    schedule = space["create_learning_rate_schedule"](types.SimpleNamespace(**config))
    return [float(schedule(n)) for n in range(total)]


def run_optax(text, total):
    schedule = python(text)["schedule"]
    return [float(schedule(n)) for n in range(total)]


def run_llm_foundry(text, total):
    import textwrap

    from composer.core import State, Time, TimeUnit
    from composer.core.time import Timestamp
    from composer.optim import ComposerScheduler, LinearScheduler
    from composer.optim.scheduler import _convert_time

    space = {
        "textwrap": textwrap, "warnings": warnings, "Union": Union, "State": State, "Time": Time, "TimeUnit": TimeUnit,
        "ComposerScheduler": ComposerScheduler, "LinearScheduler": LinearScheduler, "_convert_time": _convert_time,
        "experimental_class": lambda name: lambda cls: cls,
    }
    lift("llmfoundry/optim/scheduler.py",
         ["_raise_if_units_dont_match", "_raise_if_units_dur", "InverseSquareRootWithWarmupScheduler"], space)
    config = yaml(text)
    kwargs = dict(config["scheduler"])
    assert kwargs.pop("name") == "inv_sqrt_with_warmup"
    scheduler = space["InverseSquareRootWithWarmupScheduler"](**kwargs)
    rates = []
    for n in range(total):
        state = types.SimpleNamespace(timestamp=Timestamp(batch=n), max_duration=Time.from_batch(total), dataloader_len=None)
        rates.append(config["optimizer"]["lr"] * scheduler(state))
    return rates


def run_nemo(text, total):
    from torch.optim.lr_scheduler import LRScheduler

    names = ["WarmupPolicy", "WarmupHoldPolicy", "WarmupHoldAnnealOneMinusSquareRoot", "WarmupHoldAnnealLinear"]
    space = lift("nemo/core/optim/lr_scheduler.py", names, {"_LRScheduler": LRScheduler, "warnings": warnings})
    config = yaml(text)["optim"]
    sched = dict(config["sched"])
    optim = optimizer(config["lr"])
    return step_through(optim, space[sched.pop("name")](optim, **sched), total)


def run_csv(text, total):
    import csv

    return [float(row["lr"]) for row in csv.DictReader(io.StringIO(text))]


def run_json(text, total):
    return json.loads(text)["lr"]


TARGETS = {
    "torch": (run_torch, ["torch"], "torch.optim.lr_scheduler.LambdaLR"),
    "deepspeed": (run_torch, ["torch"], "torch.optim.lr_scheduler.LambdaLR"),
    "lightning": (run_torch, ["torch"], "torch.optim.lr_scheduler.LambdaLR"),
    "hf": (run_hf, ["transformers", "torch"], "transformers.get_scheduler"),
    "axolotl": (run_axolotl, ["transformers", "torch"], "transformers.get_scheduler"),
    "llama-factory": (run_llama_factory, ["llamafactory", "transformers", "torch"],
                      "llamafactory.train.trainer_utils.create_custom_scheduler, transformers.get_scheduler"),
    "megatron": (run_megatron, ["megatron-core"], "megatron.core.optimizer_param_scheduler.OptimizerParamScheduler"),
    "megatron-bridge": (run_megatron_bridge, ["megatron-bridge", "megatron-core"],
                        "megatron.bridge.training.config.SchedulerConfig, megatron.core OptimizerParamScheduler"),
    "torchtitan": (run_torchtitan, ["torchtitan", "torch"],
                   "torchtitan.components.optimizer.lr_scheduler.LRSchedulersContainer.Config"),
    "nanotron": (run_nanotron, ["nanotron", "torch"], "nanotron.helpers.lr_scheduler_builder"),
    "olmo-core": (run_olmo_core, ["ai2-olmo-core"], "olmo_core.optim.scheduler.WSD, ComposableScheduler"),
    "levanter": (run_levanter, ["levanter", "optax", "jax"], "levanter.optim.config.OptimizerConfig.lr_scheduler"),
    "maxtext": (run_maxtext, ["maxtext", "optax", "jax"], "maxtext.utils.maxtext_utils.create_learning_rate_schedule"),
    "optax": (run_optax, ["optax", "jax"], "optax.join_schedules"),
    "llm-foundry": (run_llm_foundry, ["llm-foundry", "composer"],
                    "llmfoundry.optim.scheduler.InverseSquareRootWithWarmupScheduler"),
    "nemo": (run_nemo, ["nemo_toolkit", "torch"], "nemo.core.optim.lr_scheduler.WarmupHoldAnnealLinear, …OneMinusSquareRoot"),
    "csv": (run_csv, [], "csv.DictReader"),
    "json": (run_json, [], "json.loads"),
}
# What a release does not know although its repository does.
REFUSED = {("nanotron", "1-sqrt")}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lehr", default=ROOT / "target/debug/lehr", help="the lehr command")
    parser.add_argument("--site", action="append", default=[], help="a directory with unpacked wheels, looked in first")
    parser.add_argument("--target", action="append", help="only this target (may be repeated)")
    parser.add_argument("--out", default=ROOT / "fixtures/reference/exports", type=pathlib.Path)
    a = parser.parse_args()
    SITES[:0] = [pathlib.Path(site) for site in a.site]
    failed = []
    for target, (run, packages, code) in TARGETS.items():
        if a.target and target not in a.target:
            continue
        cases = []
        try:
            for spec in SCHEDULES:
                asked = subprocess.run(
                    [a.lehr, "schedule", "--spec", spec, "--export", target, "--json"], capture_output=True, text=True
                )
                if asked.returncode == 1:  # the trainer cannot express it, as the tests expect
                    cases.append({"schedule": spec, "refused": True})
                    continue
                assert asked.returncode == 0, asked.stderr
                made = json.loads(asked.stdout)
                if any(t == target and f"shape={s}" in spec for t, s in REFUSED):
                    continue
                rates = run(made["text"], len(made["promised_rates"]))
                worst = max(abs(x - y) for x, y in zip(rates, made["promised_rates"]))
                print(f"{target:16} {spec:75} max |promised - executed| / peak = {worst / max(rates):.1e}")
                cases.append({"schedule": spec, "text": made["text"], "rates": rates})
            versions = {name: version(name) for name in packages}
        except Exception as error:  # noqa: BLE001 - one trainer's failure must not stop the others
            print(f"{target:16} FAILED: {type(error).__name__}: {error}")
            failed.append(target)
            continue
        record = {"target": target, "code": code, "python": platform.python_version(), "versions": versions, "cases": cases}
        a.out.mkdir(parents=True, exist_ok=True)
        lines = json.dumps(record, indent=1)
        # One line a vector of rates.
        for case in cases:
            if "rates" in case:
                lines = lines.replace(json.dumps(case["rates"], indent=1).replace("\n", "\n   "), json.dumps(case["rates"], separators=(",", ":")))
        (a.out / f"{target}.json").write_text(lines + "\n")
    sys.exit(f"not recorded: {', '.join(failed)}" if failed else 0)


if __name__ == "__main__":
    main()
