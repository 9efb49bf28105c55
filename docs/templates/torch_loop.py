"""A plain PyTorch loop as the trainer of a sweep. [trainer] command = "python torch_loop.py {job}", logs = "logs/{name}.jsonl"."""

import json, math, os, signal, sys

import torch


def build(model):  # replace: your model from model["config"]
    c = model["config"]
    return torch.nn.Sequential(torch.nn.Embedding(c["vocabulary"], c["width"]), torch.nn.Linear(c["width"], c["vocabulary"]))


def batch(job, update):  # replace: your data. Batch k must be a function of the seed and of k alone.
    random = torch.Generator().manual_seed(job["seed"] * 1_000_003 + update)
    c = job["model"]["config"]
    tokens = torch.randint(c["vocabulary"], (job["batch"], c["context"] + 1), generator=random)
    tokens[:, 1:] = (tokens[:, :1] + torch.arange(c["context"])) % c["vocabulary"]
    return tokens[:, :-1], tokens[:, 1:]


def main():
    job = json.load(open(sys.argv[1]))
    torch.manual_seed(job["seed"])
    net = build(job["model"])
    o = job["optimiser"]
    optimiser = torch.optim.AdamW(net.parameters(), 0.0, (o["beta1"], o["beta2"]), o["epsilon"], o["weight_decay"])
    kept, done = os.path.join(job["scratch"], "last.pt"), 0

    def save(path, update):  # beside first, then renamed: a checkpoint is whole or not there
        torch.save({"update": update, "net": net.state_dict(), "optimiser": optimiser.state_dict()}, path + ".new")
        os.replace(path + ".new", path)

    path = kept if os.path.exists(kept) else (job["resume"] or {}).get("path")
    if path:
        state = torch.load(path, weights_only=True)
        done = state["update"]
        net.load_state_dict(state["net"]), optimiser.load_state_dict(state["optimiser"])
    stop = []
    for name in (signal.SIGTERM, signal.SIGUSR1):  # preemption: a checkpoint, then "try again"
        signal.signal(name, lambda *_: stop.append(True))
    save_at = {entry["update"]: entry["path"] for entry in job["save"]}
    loss_of = lambda x, y: torch.nn.functional.cross_entropy(net(x).flatten(0, 1), y.flatten())
    if os.path.exists(job["log"]):  # a line that a killed process began is cut off
        with open(job["log"], "rb+") as file:
            file.truncate(file.read().rfind(b"\n") + 1)
    with open(job["log"], "a") as log:
        for update in range(done + 1, job["last"] + 1):
            if stop:
                save(kept, update - 1), sys.exit(job["exit_codes"]["again"])
            for group in optimiser.param_groups:
                group["lr"] = job["rates"][update - 1]
            optimiser.zero_grad()
            loss = loss_of(*batch(job, update))
            loss.backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), o["clip"] or math.inf)
            optimiser.step()
            line = {"step": update, "lr": job["rates"][update - 1], "train_loss": loss.item()}
            if not math.isfinite(line["train_loss"]):
                sys.exit(job["exit_codes"]["diverged"])
            if update == job["last"] or (job["validate_every"] and update % job["validate_every"] == 0):
                with torch.no_grad():
                    line["val_loss"] = sum(loss_of(*batch(job, -k - 1)).item() for k in range(4)) / 4
            log.write(json.dumps(line) + "\n"), log.flush()
            if update in save_at:
                save(save_at[update], update)
            elif update % 200 == 0:
                save(kept, update)


main()
