"""A plain PyTorch loop as the trainer of a sweep: copy it, put your model and data in, and name it in the plan.

    [trainer]
    command = "python torch_loop.py {job}"
    logs = "logs/{name}.jsonl"

    [trainer.settings]
    checkpoint_every = 200        # updates between two of the job's own checkpoints: what a kill can cost

What it is told and must do: docs/formats/job.md. A test runs it in a sweep, kills it and branches from it.
"""

import json
import math
import os
import signal
import sys

import torch

VALIDATION_BATCHES = 4


def build(model):
    """Replace: your model, from ``model["config"]``."""
    c = model["config"]
    return torch.nn.Sequential(torch.nn.Embedding(c["vocabulary"], c["width"]), torch.nn.Linear(c["width"], c["vocabulary"]))


def batch(job, part, index):
    """Replace: your data. Batch k must be a function of the seed and of k alone, the same on every machine and after every
    interruption; validation batches are the same for every seed."""
    seed = 1 + job["seed"] if part == "training" else 0
    random = torch.Generator().manual_seed(seed * 2**32 + index)
    c = job["model"]["config"]
    tokens = torch.randint(c["vocabulary"], (job["batch"], c["context"] + 1), generator=random)
    tokens[:, 1:] = (tokens[:, :1] + torch.arange(c["context"])) % c["vocabulary"]
    return tokens[:, :-1], tokens[:, 1:]


def main():
    with open(sys.argv[1]) as file:
        job = json.load(file)
    if job["format"] != "lehr.job/1":
        sys.exit(f"{sys.argv[1]}: format {job['format']}; expected lehr.job/1")
    torch.manual_seed(job["seed"])
    net = build(job["model"])
    o = job["optimiser"]
    optimiser = torch.optim.AdamW(net.parameters(), 0.0, (o["beta1"], o["beta2"]), o["epsilon"], o["weight_decay"])
    kept = os.path.join(job["scratch"], "last.pt")
    every = job["settings"].get("checkpoint_every", 200)

    def save(path, update):
        """Beside first, flushed, then renamed: a checkpoint is whole or not there."""
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path + ".new", "wb") as out:
            torch.save({"update": update, "net": net.state_dict(), "optimiser": optimiser.state_dict()}, out)
            out.flush()
            os.fsync(out.fileno())
        os.replace(path + ".new", path)

    done = 0
    path = kept if os.path.exists(kept) else (job["resume"] or {}).get("path")
    if path:
        state = torch.load(path, weights_only=True)
        done = state["update"]
        net.load_state_dict(state["net"])
        optimiser.load_state_dict(state["optimiser"])
    if not job["first"] - 1 <= done <= job["last"]:
        sys.exit(f"{path}: a checkpoint of update {done}; expected one of updates {job['first'] - 1} … {job['last']}")

    stop = []
    for name in (signal.SIGTERM, signal.SIGUSR1):  # preemption: a checkpoint, then "try again"
        signal.signal(name, lambda *_: stop.append(True))
    save_at = {entry["update"]: entry["path"] for entry in job["save"]}

    def loss_of(part, index):
        x, y = batch(job, part, index)
        return torch.nn.functional.cross_entropy(net(x).flatten(0, 1), y.flatten())

    os.makedirs(os.path.dirname(job["log"]), exist_ok=True)
    if os.path.exists(job["log"]):  # a line that a killed process began is cut off
        with open(job["log"], "rb+") as file:
            file.truncate(file.read().rfind(b"\n") + 1)
    with open(job["log"], "a") as log:
        for update in range(done + 1, job["last"] + 1):
            if stop:
                save(kept, update - 1)
                sys.exit(job["exit_codes"]["again"])
            for group in optimiser.param_groups:
                group["lr"] = job["rates"][update - 1]
            loss = loss_of("training", update)
            line = {"step": update, "lr": job["rates"][update - 1], "train_loss": loss.item()}
            if not math.isfinite(line["train_loss"]):
                sys.exit(job["exit_codes"]["diverged"])
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), o["clip"] or math.inf)
            optimiser.step()
            if update == job["last"] or (job["validate_every"] and update % job["validate_every"] == 0):
                with torch.no_grad():
                    line["val_loss"] = sum(loss_of("validation", k).item() for k in range(VALIDATION_BATCHES)) / VALIDATION_BATCHES
            # The log before the checkpoint: what a checkpoint holds is never missing from it.
            log.write(json.dumps(line) + "\n")
            log.flush()
            if update in save_at:
                save(save_at[update], update)
            if update % every == 0:
                save(kept, update)
    sys.exit(job["exit_codes"]["done"])


if __name__ == "__main__":
    main()
