"""Megatron-LM, torchtitan and nanochat as trainers of a sweep: makes their command lines from a job file and keeps the contract.

    [trainer]
    command = "python framework.py megatron {job}"        # or torchtitan, nanochat
    logs = "logs/{name}.log"                               # nanochat: logs/{name}.jsonl
    exports = ["megatron"]                                 # the same name: the schedule in its own words

    [trainer.settings]
    gpus = 8
    program = "Megatron-LM/pretrain_gpt.py"                # megatron: its script; nanochat: its folder
    words = ["--data-path", "tokens_text_document", "--tokenizer-type", "GPT2BPETokenizer", "--bf16"]
    checkpoint_every = 500

NOT EXECUTED: none of the three trains without a GPU. Tested: the job file, the command lines, links to checkpoints, exit codes with a
stand-in for the trainer, and that torchtitan 0.3.0 builds the configuration of torchtitan_job.py. Try a toy size first.
`--print` prints the command lines and starts nothing. What a trainer must do: docs/formats/job.md.

Each trainer saves at a fixed interval. Megatron-LM and torchtitan are therefore run in stages, each up to the next update whose
checkpoint a branch needs; nanochat, whose schedule follows its number of updates, saves every so many updates that all are met.
"""

import json
import math
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys

NANOCHAT_LINE = re.compile(r"step (\d+)(?:/\d+)?.*?loss: ([0-9.]+)")


def flags_of(text):
    """The words of flags that are written over several lines."""
    return shlex.split(text.replace("\\\n", " "))


def megatron(job, state, target):
    """Goes on from the newest checkpoint in ``state`` to update ``target``, saves there and ends."""
    c, o, s = job["model"]["config"], job["optimiser"], job["settings"]
    words = ["torchrun", f"--nproc-per-node={s['gpus']}", s["program"], *flags_of(job["exports"]["megatron"])]
    words += ["--num-layers", c["layers"], "--hidden-size", c["width"], "--ffn-hidden-size", c["hidden"]]
    words += ["--num-attention-heads", c["heads"], "--seq-length", c["context"], "--max-position-embeddings", c["context"]]
    words += ["--swiglu", "--normalization", "RMSNorm", "--position-embedding-type", "rope", "--disable-bias-linear"]
    words += [] if c["tied"] else ["--untie-embeddings-and-output-weights"]
    if c["experts"]:
        e = c["experts"]
        words += ["--num-experts", e["count"], "--moe-router-topk", e["top_k"], "--moe-ffn-hidden-size", e["hidden"]]
        words += ["--moe-aux-loss-coeff", e["balance"], "--moe-z-loss-coeff", e["z"]]
    words += ["--global-batch-size", job["batch"], "--micro-batch-size", s.get("micro_batch", 1), "--seed", job["seed"] + 1]
    words += ["--adam-beta1", o["beta1"], "--adam-beta2", o["beta2"], "--adam-eps", o["epsilon"]]
    words += ["--weight-decay", o["weight_decay"], "--clip-grad", o["clip"], "--log-interval", 1]
    words += ["--eval-interval", job["validate_every"] or job["last"], "--save", state, "--load", state]
    words += ["--save-interval", s.get("checkpoint_every", 500), "--exit-interval", target, "--exit-signal-handler"]
    # The trunk's horizon is in its checkpoint; the branch has its own.
    words += ["--override-opt_param-scheduler"] if job["resume"] else []
    return words + s.get("words", [])


def torchtitan(job, state, target):
    """The same; torchtitan_job.py beside this file turns the job into torchtitan's configuration."""
    s = job["settings"]
    words = ["torchrun", f"--nproc-per-node={s['gpus']}", "-m", "torchtitan.train"]
    words += ["--module", "torchtitan_job", "--config", "from_job", "--training.steps", target]
    words += ["--dump_folder", state, "--checkpoint.interval", s.get("checkpoint_every", 500)]
    return words + s.get("words", [])


def nanochat(job, state, target):
    """Goes on from the newest checkpoint of the job's tag to the end."""
    c, s = job["model"]["config"], job["settings"]
    points = [entry["update"] for entry in job["save"]] or [s.get("checkpoint_every", 500)]
    words = ["torchrun", f"--nproc-per-node={s['gpus']}", "-m", "scripts.base_train", "--"]
    words += flags_of(job["exports"]["nanochat"])
    words += ["--depth", c["layers"], "--max-seq-len", c["context"], "--total-batch-size", job["tokens_per_update"]]
    words += ["--model-tag", job["name"], "--run", "dummy", "--save-every", math.gcd(*points)]
    words += ["--eval-every", job["validate_every"] or job["last"]]
    done = updates_done("nanochat", state)
    return words + (["--resume-from-step", done] if done else []) + s.get("words", [])


COMMANDS = {"megatron": megatron, "torchtitan": torchtitan, "nanochat": nanochat}


def parts(trainer, state, update=None):
    """Names in ``state`` that belong to the checkpoint of an update, or of all of them: {update: [names]}."""
    pattern = {"megatron": r"iter_0*(\d+)", "torchtitan": r"step-(\d+)", "nanochat": r"\w+?_0*(\d+)(?:_rank\d+)?\.\w+"}[trainer]
    folder = os.path.join(state, "checkpoint") if trainer == "torchtitan" else state
    found = {}
    for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
        match = re.fullmatch(pattern, name)
        if match:
            found.setdefault(int(match[1]), []).append(os.path.join(folder, name))
    return found if update is None else found.get(update, [])


def updates_done(trainer, state):
    """The update of the newest checkpoint in ``state``; 0: there is none. Megatron-LM says itself which one is whole."""
    if trainer == "megatron":
        path = os.path.join(state, "latest_checkpointed_iteration.txt")
        return int(open(path).read()) if os.path.exists(path) else 0
    return max(parts(trainer, state), default=0)


def link(source, target):
    """The same files under another name, or copies where the file system has no links."""
    if os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
        for name in os.listdir(source):
            link(os.path.join(source, name), os.path.join(target, name))
        return
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def put(trainer, names, folder, update):
    """Puts the parts of a checkpoint into a folder that the trainer loads from."""
    inside = os.path.join(folder, "checkpoint") if trainer == "torchtitan" else folder
    os.makedirs(inside, exist_ok=True)
    for name in names:
        link(name, os.path.join(inside, os.path.basename(name)))
    if trainer == "megatron":
        with open(os.path.join(folder, "latest_checkpointed_iteration.txt"), "w") as out:
            out.write(str(update))


def leave(trainer, state, entry):
    """A checkpoint at exactly the path that the job names: beside first, then renamed."""
    path, update = entry["path"], entry["update"]
    names = parts(trainer, state, update)
    if os.path.exists(path):
        return
    if not names:
        sys.exit(f"{state}: {trainer} left no checkpoint of update {update}; expected one, for {path}")
    shutil.rmtree(path + ".new", ignore_errors=True)
    put(trainer, names, path + ".new", update)
    os.replace(path + ".new", path)


def state_folder(trainer, job):
    """Where the trainer keeps its checkpoints: in the job's scratch folder, or where nanochat keeps all of them."""
    if trainer != "nanochat":
        return os.path.join(job["scratch"], "state")
    base = os.environ.get("NANOCHAT_BASE_DIR", os.path.expanduser("~/.cache/nanochat"))
    return os.path.join(base, "base_checkpoints", job["name"])


def run(trainer, job, words, stop):
    """Runs one stage; its output goes to the log. Gives its exit code."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([os.path.dirname(os.path.abspath(__file__)), os.environ.get("PYTHONPATH", "")])}
    folder = job["settings"].get("program") if trainer == "nanochat" else None
    # A session of its own: it is told to end once, by this process.
    child = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                             env=environment, cwd=folder, start_new_session=True)
    stop["child"] = child
    with open(job["log"], "a") as log:
        for line in child.stdout:
            print(line, end="", flush=True)
            if trainer == "nanochat":
                found = NANOCHAT_LINE.search(line)
                # Its steps are counted from 0, and a line is printed before the update.
                update = int(found[1]) + 1 if found else 0
                if not found or update > job["last"]:
                    continue
                line = json.dumps({"step": update, "lr": job["rates"][update - 1], "train_loss": float(found[2])}) + "\n"
            log.write(line)
            log.flush()
    return child.wait()


def main():
    trainer, file = sys.argv[1], sys.argv[2]
    with open(file) as source:
        job = json.load(source)
    if job["format"] != "lehr.job/1":
        sys.exit(f"{file}: format {job['format']}; expected lehr.job/1")
    if trainer not in COMMANDS:
        sys.exit(f"{trainer} is no trainer of this file; expected one of {', '.join(COMMANDS)}")
    needed = ["gpus"] + (["program"] if trainer != "torchtitan" else [])
    missing = [f"settings.{key}" for key in needed if key not in job["settings"]]
    missing += [f"exports.{trainer}"] if trainer not in job["exports"] else []
    if missing:
        sys.exit(f"{file}: {', '.join(missing)} missing; expected them in [trainer] of the plan, as at the top of {sys.argv[0]}")
    state = state_folder(trainer, job)
    save = sorted(job["save"], key=lambda entry: entry["update"])
    targets = [job["last"]] if trainer == "nanochat" else sorted({entry["update"] for entry in save} | {job["last"]})
    if "--print" in sys.argv:
        for target in targets:
            print(shlex.join(map(str, COMMANDS[trainer](job, state, target))))
        return
    stop = {"told": False, "child": None}

    def told(*_):
        if not stop["told"]:
            stop["told"] = True
            if stop["child"] is not None:
                stop["child"].send_signal(signal.SIGTERM)

    for name in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(name, told)
    os.makedirs(os.path.dirname(job["log"]), exist_ok=True)
    if os.path.exists(job["log"]):  # a line that a killed process began is cut off
        with open(job["log"], "rb+") as source:
            source.truncate(source.read().rfind(b"\n") + 1)
    if job["resume"] and not updates_done(trainer, state):
        trunk, update = job["resume"]["path"], job["resume"]["update"]
        names = parts(trainer, trunk, update)
        if not names:
            sys.exit(f"{trunk}: no checkpoint of update {update} of {trainer}; expected the one that the trunk left")
        put(trainer, names, state, update)
    for target in targets:
        if updates_done(trainer, state) < target:
            code = run(trainer, job, [str(word) for word in COMMANDS[trainer](job, state, target)], stop)
            if stop["told"]:
                sys.exit(job["exit_codes"]["again"])
            if code:
                sys.exit(code if code > 0 else 1)
        for entry in save:
            if entry["update"] <= updates_done(trainer, state):
                leave(trainer, state, entry)
    sys.exit(job["exit_codes"]["done"])


if __name__ == "__main__":
    main()
