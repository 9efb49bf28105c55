"""torchtitan's configuration of a job: framework.py names it as `--module torchtitan_job --config from_job`.

Replace the configuration that it begins with by your own: model, tokenizer and data. lehr sets LEHR_JOB to the job file's path.
NOT EXECUTED beyond building the configuration with torchtitan 0.3.0. A branch's first update uses the trunk's rate: torchtitan
takes it from the optimizer's state; compare its log with `rates` of the job file.
"""

import json
import os
import re


def from_job():
    """A `Trainer.Config` with the job's schedule, optimizer, batch and seed."""
    from torchtitan.components.optimizer import default_adamw
    from torchtitan.models.llama3.config_registry import llama3_debugmodel

    with open(os.environ["LEHR_JOB"]) as file:
        job = json.load(file)
    config, o = llama3_debugmodel(), job["optimiser"]
    config.optimizer = default_adamw(
        lr=job["wsd"]["peak_lr"], betas=(o["beta1"], o["beta2"]), eps=o["epsilon"], weight_decay=o["weight_decay"]
    )
    schedule = scheduler_arguments(job["exports"]["torchtitan"])
    for key, value in schedule.items():
        setattr(config.lr_scheduler, key, value)
    config.training.steps = job["last"]
    config.training.global_batch_size = job["batch"]
    config.training.local_batch_size = max(1, job["batch"] // job["settings"]["gpus"])
    config.training.seq_len = job["model"]["config"]["context"]
    config.training.max_norm = o["clip"] or float("inf")
    config.debug.seed = job["seed"]
    config.metrics.log_freq = 1
    # The last checkpoint of a stage is what the next stage and the branches go on from.
    config.checkpoint.enable, config.checkpoint.last_save_model_only, config.checkpoint.keep_latest_k = True, False, 2
    config.checkpoint.initial_load_model_only = False
    return config


def scheduler_arguments(text):
    """What `lehr schedule --export torchtitan` says between `lr_scheduler = dict(` and `)`."""
    body = text[text.index("lr_scheduler = dict(") :].split("\n)")[0]
    return {key: json.loads(value) for key, value in re.findall(r"^\s+(\w+)=(.+),$", body, re.MULTILINE)}
