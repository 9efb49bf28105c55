"""The Hugging Face Trainer as the trainer of a sweep: copy it, put your model and data in, and name it in the plan.

    [trainer]
    command = "python hf_trainer.py {job}"
    logs = "logs/{name}.jsonl"

    [trainer.settings]
    checkpoint_every = 200        # updates between two of the job's own checkpoints: what a kill can cost

The rates are those of the job file (the Trainer's own schedule differs at the first update); a branch resumes the trunk's checkpoint,
optimiser and position in the data included. What it is told and must do: docs/formats/job.md. A test runs it in a sweep.
Needs transformers, accelerate, torch.
"""

import json
import math
import os
import shutil
import signal
import sys

import torch
from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainerCallback, TrainingArguments

VALIDATION_SEQUENCES = 16


def build(model):
    """Replace: your model, from ``model["config"]``."""
    c = model["config"]
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=c["vocabulary"], hidden_size=c["width"], intermediate_size=c["hidden"], num_hidden_layers=c["layers"],
            num_attention_heads=c["heads"], max_position_embeddings=c["context"], tie_word_embeddings=c["tied"],
            bos_token_id=None, eos_token_id=None, pad_token_id=None,
        )
    )


class Sequences(torch.utils.data.Dataset):
    """Replace: your data. Sequence i must be a function of the seed and of i alone; update k takes those from (k − 1)·batch on."""

    def __init__(self, job, part, count):
        self.c, self.seed, self.count = job["model"]["config"], 1 + job["seed"] if part == "training" else 0, count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        random = torch.Generator().manual_seed(self.seed * 2**32 + index)
        first = torch.randint(self.c["vocabulary"], (1,), generator=random)
        tokens = (first + torch.arange(self.c["context"])) % self.c["vocabulary"]
        return {"input_ids": tokens, "labels": tokens}


class InOrder(Trainer):
    """Goes through the sequences as they are numbered: no shuffling, so that a branch sees what the whole run would."""

    def _get_train_sampler(self, *_):
        return torch.utils.data.SequentialSampler(self.train_dataset)


class Contract(TrainerCallback):
    """Logs, checkpoints where the job wants them, and what to do when told to end."""

    def __init__(self, job):
        self.job, self.stop, self.code = job, False, job["exit_codes"]["done"]
        self.save_at = {entry["update"]: entry["path"] for entry in job["save"]}
        self.every = job["settings"].get("checkpoint_every", 200)
        for name in (signal.SIGTERM, signal.SIGUSR1):
            signal.signal(name, self.told)

    def told(self, *_):
        self.stop = True

    def log(self, row):
        with open(self.job["log"], "a") as log:
            log.write(json.dumps(row) + "\n")

    def on_step_begin(self, args, state, control, optimizer=None, **_):
        for group in optimizer.param_groups:
            group["lr"] = self.job["rates"][state.global_step]

    def on_step_end(self, args, state, control, **_):
        update = state.global_step
        validate = self.job["validate_every"]
        control.should_log = True
        control.should_evaluate = update == self.job["last"] or bool(validate and update % validate == 0)
        control.should_save = update in self.save_at or update % self.every == 0
        if self.stop and update < self.job["last"]:
            control.should_save = control.should_training_stop = True
            self.code = self.job["exit_codes"]["again"]

    def on_log(self, args, state, control, logs=None, **_):
        if "loss" in logs:
            if not math.isfinite(logs["loss"]):
                self.code = self.job["exit_codes"]["diverged"]
                control.should_training_stop = True
                return
            self.log({"step": state.global_step, "lr": self.job["rates"][state.global_step - 1], "train_loss": logs["loss"]})
        elif "eval_loss" in logs:
            self.log({"step": state.global_step, "val_loss": logs["eval_loss"]})

    def on_save(self, args, state, control, **_):
        path = self.save_at.get(state.global_step)
        if path and not os.path.exists(path):  # beside first, then renamed: what stands at path is whole
            shutil.copytree(os.path.join(args.output_dir, f"checkpoint-{state.global_step}"), path + ".new", dirs_exist_ok=True)
            os.replace(path + ".new", path)


def newest(scratch):
    """The job's own checkpoint of the latest update that is whole: the Trainer writes its state last."""
    found = [name for name in os.listdir(scratch) if name.startswith("checkpoint-")] if os.path.isdir(scratch) else []
    whole = [name for name in found if os.path.exists(os.path.join(scratch, name, "trainer_state.json"))]
    return os.path.join(scratch, max(whole, key=lambda name: int(name.split("-")[1]))) if whole else None


def main():
    with open(sys.argv[1]) as file:
        job = json.load(file)
    if job["format"] != "lehr.job/1":
        sys.exit(f"{sys.argv[1]}: format {job['format']}; expected lehr.job/1")
    os.makedirs(os.path.dirname(job["log"]), exist_ok=True)
    if os.path.exists(job["log"]):  # a line that a killed process began is cut off
        with open(job["log"], "rb+") as file:
            file.truncate(file.read().rfind(b"\n") + 1)
    torch.manual_seed(job["seed"])
    model, o = build(job["model"]), job["optimiser"]
    matrices = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim == 1]
    groups = [{"params": matrices, "weight_decay": o["weight_decay"]}, {"params": others, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=0.0, betas=(o["beta1"], o["beta2"]), eps=o["epsilon"])
    # The rates are set by `Contract`: a scheduler that is resumed makes one more update at the trunk's rate.
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda done: 1.0)
    contract = Contract(job)
    arguments = TrainingArguments(
        output_dir=job["scratch"], max_steps=job["last"], per_device_train_batch_size=job["batch"],
        per_device_eval_batch_size=job["batch"], max_grad_norm=o["clip"] or 0.0, logging_steps=1, logging_nan_inf_filter=False,
        eval_strategy="no", save_strategy="no", save_total_limit=2, report_to=[], disable_tqdm=True, seed=job["seed"],
        dataloader_num_workers=0, average_tokens_across_devices=False,
    )
    trainer = InOrder(
        model=model, args=arguments, train_dataset=Sequences(job, "training", job["last"] * job["batch"]),
        eval_dataset=Sequences(job, "validation", VALIDATION_SEQUENCES), optimizers=(optimiser, schedule), callbacks=[contract],
    )
    trainer.train(resume_from_checkpoint=newest(job["scratch"]) or (job["resume"] or {}).get("path"))
    sys.exit(contract.code)


if __name__ == "__main__":
    main()
