"""Trains the same model on the same tokens from the same weights with lehr's CPU engine and with PyTorch.

    python tools/bench_train.py SPEED_BINARY [--cases small,medium,moe] [--updates 50] [--rounds 3] [--no-compile]

Both sides run in turns, round after round, on the same number of threads. The loss curves are compared update by update.
Needs torch, numpy, safetensors; `cargo xtask bench-train` sets them up and builds the binary.
"""

import argparse
import json
import math
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np


def cases():
    def dense(d, layers, heads, hidden):
        return {"vocabulary": 256, "context": 128, "width": d, "layers": layers, "heads": heads, "hidden": hidden}

    moe = dense(128, 4, 4, 344) | {
        "experts": {"count": 8, "top_k": 2, "hidden": 176, "balance": 0.01, "z": 0.001}
    }
    return {
        "d128-4": (dense(128, 4, 4, 344), 16),
        "d256-8": (dense(256, 8, 8, 688), 16),
        "moe-8x2": (moe, 16),
        "d512-8": (dense(512, 8, 8, 1368), 8),
    }


# Without warm-up the largest model runs into a spike at 1e-3, which amplifies rounding to anything.
RATES = {"d512-8": 3e-4}


# ---------------------------------------------------------------- PyTorch


def build(torch, config):
    """The model as one would write it in PyTorch, with the engine's weights by name."""
    nn, F = torch.nn, torch.nn.functional
    d, heads = config["width"], config["heads"]
    moe = config.get("experts")

    class Norm(nn.Module):
        def __init__(self):
            super().__init__()
            self.gain = nn.Parameter(torch.ones(d))

        def forward(self, x):
            return F.rms_norm(x, (d,), self.gain, 1e-5)

    class SwiGlu(nn.Module):
        def __init__(self, hidden):
            super().__init__()
            self.gate_up = nn.Linear(d, 2 * hidden, bias=False)
            self.down = nn.Linear(hidden, d, bias=False)

        def forward(self, x):
            gate, up = self.gate_up(x).chunk(2, dim=-1)
            return self.down(F.silu(gate) * up)

    class Experts(nn.Module):
        """A straightforward mixture: a loop over experts, index_select, index_add."""

        def __init__(self):
            super().__init__()
            self.router = nn.Linear(d, moe["count"], bias=False)
            self.experts = nn.ModuleList(SwiGlu(moe["hidden"]) for _ in range(moe["count"]))

        def forward(self, x):
            rows, context, _ = x.shape
            flat = x.reshape(-1, d)
            logits = self.router(flat)
            probability = logits.softmax(-1)
            weight, chosen = probability.topk(moe["top_k"], dim=-1)
            weight = weight / weight.sum(-1, keepdim=True)
            out = torch.zeros_like(flat)
            for e, expert in enumerate(self.experts):
                token, choice = (chosen == e).nonzero(as_tuple=True)
                out = out.index_add(0, token, expert(flat[token]) * weight[token, choice, None])
            one_hot = F.one_hot(chosen, moe["count"]).float().sum(1)
            share = one_hot.view(rows, context, -1).mean(1) / moe["top_k"]
            mass = probability.view(rows, context, -1).mean(1)
            balance = moe["count"] * (share * mass).sum(-1).mean()
            z = logits.logsumexp(-1).square().mean()
            return out.view_as(x), moe["balance"] * balance + moe["z"] * z

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm1, self.norm2 = Norm(), Norm()
            self.qkv = nn.Linear(d, 3 * d, bias=False)
            self.out = nn.Linear(d, d, bias=False)
            self.mlp = Experts() if moe else SwiGlu(config["hidden"])

        def forward(self, x, cosine, sine):
            rows, context, _ = x.shape
            q, k, v = self.qkv(self.norm1(x)).view(rows, context, 3, heads, d // heads).permute(2, 0, 3, 1, 4)

            def rotate(y):
                a, b = y.chunk(2, dim=-1)
                return torch.cat([a * cosine - b * sine, a * sine + b * cosine], dim=-1)

            attended = F.scaled_dot_product_attention(rotate(q), rotate(k), v, is_causal=True)
            x = x + self.out(attended.transpose(1, 2).reshape(rows, context, d))
            y = self.mlp(self.norm2(x))
            y, auxiliary = y if moe else (y, 0.0)
            return x + y, auxiliary

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(config["vocabulary"], d)
            self.blocks = nn.ModuleList(Block() for _ in range(config["layers"]))
            self.norm = Norm()
            self.head = nn.Linear(d, config["vocabulary"], bias=False)
            half = d // heads // 2
            angle = torch.outer(torch.arange(config["context"]), 10_000.0 ** (-torch.arange(half) / half))
            self.register_buffer("cosine", angle.cos())
            self.register_buffer("sine", angle.sin())

        def forward(self, tokens):
            x, auxiliary = self.embedding(tokens[:, :-1]), 0.0
            for block in self.blocks:
                x, more = block(x, self.cosine, self.sine)
                auxiliary = auxiliary + more
            logits = self.head(self.norm(x))
            loss = F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())
            return loss, loss + auxiliary

    return Model()


def load(torch, model, file):
    """Copies the engine's initial weights; its matrices are inputs × outputs, PyTorch's outputs × inputs."""
    from safetensors.torch import load_file

    state = load_file(file)
    names = {"attention.qkv": "qkv", "attention.out": "out"}
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            source = name.removesuffix(".weight").removesuffix(".gain")
            for theirs, ours in names.items():
                parts = source.split(".")
                if parts[0] == "blocks" and parts[2] == ours:
                    source = ".".join([*parts[:2], theirs])
            source = source.replace("mlp.router", "router").replace("mlp.experts", "experts")
            value = state[source]
            transposed = name.endswith("weight") and source not in ("embedding", "head")
            parameter.copy_(value.T if transposed else value)


def torch_side(request, threads, compiled):
    import torch

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    model = build(torch, request["config"]["model"])
    load(torch, model, request["initial"])
    matrices = [p for p in model.parameters() if p.ndim > 1]
    gains = [p for p in model.parameters() if p.ndim == 1]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": gains, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=request["lr"], betas=(0.9, 0.95), eps=1e-8, fused=True)
    step = torch.compile(model) if compiled else model
    config = request["config"]
    rows, context = config["batch"], config["model"]["context"]
    tokens = np.fromfile(request["tokens"], dtype="<u4").reshape(-1, rows, context + 1)
    losses, seconds = [], []
    for update in range(request["updates"]):
        batch = torch.from_numpy(tokens[update % len(tokens)].astype(np.int64))
        start = time.perf_counter()
        loss, total = step(batch)
        optimiser.zero_grad(set_to_none=True)
        total.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        losses.append(loss.item())
        seconds.append(time.perf_counter() - start)
    mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"losses": losses, "seconds": seconds, "mib": mib}))


# ---------------------------------------------------------------- both sides


def tokens(updates, rows, context):
    """A Markov chain over 256 symbols, so that there is something to learn."""
    rng = np.random.default_rng(0)
    table = rng.dirichlet(np.full(256, 0.05), size=256).cumsum(1)
    out = np.empty((updates, rows, context + 1), dtype=np.uint32)
    state = rng.integers(0, 256, size=(updates, rows))
    for t in range(context + 1):
        out[..., t] = state
        draw = rng.random(state.shape)
        state = np.minimum((table[state] < draw[..., None]).sum(-1), 255)
    return out


def flops(model):
    """Of a training step per token: 6 per weight that takes part, and causal attention (half of T²)."""
    d, context = model["width"], model["context"]
    moe = model.get("experts")
    inner = 3 * d * (moe["hidden"] * moe["top_k"] if moe else model["hidden"]) + (d * moe["count"] if moe else 0)
    weights = model["layers"] * (4 * d * d + inner) + model["vocabulary"] * d
    return 6 * weights + model["layers"] * 6 * context * d


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("--cases", default=",".join(cases()))
    parser.add_argument("--updates", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--no-compile", action="store_true")
    parser.add_argument("--torch-side", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.torch_side:
        file, compiled = arguments.torch_side
        return torch_side(json.loads(Path(file).read_text()), arguments.threads, compiled == "compiled")

    def call(command):
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{command}: {done.stderr}")
        return json.loads(done.stdout.strip().splitlines()[-1])

    threads = arguments.threads
    print("| case | side | tokens/s, median of rounds (each round) | lehr ÷ side | memory, MiB | max \\|Δ loss\\| | share of sgemm peak |")
    print("|---|---|---|---|---|---|---|")
    for case in arguments.cases.split(","):
        model, rows = cases()[case]
        updates = arguments.updates
        with tempfile.TemporaryDirectory() as folder:
            folder = Path(folder)
            tokens(updates, rows, model["context"]).tofile(folder / "tokens.bin")
            request = {
                "config": {"model": model, "batch": rows, "seed": 1},
                "tokens": str(folder / "tokens.bin"),
                "lanes": threads,
                "lr": RATES.get(case, 1e-3),
                "updates": updates,
                "initial": str(folder / "initial.safetensors"),
            }
            (folder / "request.json").write_text(json.dumps(request))
            sides = {"lehr": [arguments.binary, "train", str(folder / "request.json")]}
            for side in ["eager"] if arguments.no_compile else ["eager", "compiled"]:
                sides[side] = [sys.executable, __file__, arguments.binary, "--threads", str(threads),
                               "--torch-side", str(folder / "request.json"), side]
            os.environ["OMP_NUM_THREADS"] = str(threads)
            results, peaks = {side: [] for side in sides}, []
            for _ in range(arguments.rounds):
                peaks.append(call([arguments.binary, "peak", str(threads)])["gflops"])
                for side, command in sides.items():
                    results[side].append(call(command))
            per_update = rows * model["context"]

            def speed(result):
                return per_update / statistics.median(result["seconds"][min(10, updates // 2):])

            ours = [speed(result) for result in results["lehr"]]
            for side, rounds in results.items():
                speeds = [speed(result) for result in rounds]
                ratio = statistics.median(a / b for a, b in zip(ours, speeds))
                difference = max(abs(a - b) for result in rounds for a, b in
                                 zip(results["lehr"][0]["losses"], result["losses"]))
                share = statistics.median(s * flops(model) / 1e9 / p for s, p in zip(speeds, peaks))
                memory = statistics.median(result["mib"] for result in rounds)
                each = " · ".join(f"{s / 1e3:.1f}k" for s in speeds)
                print(f"| {case} | {side} | {statistics.median(speeds) / 1e3:.1f}k ({each}) | {ratio:.2f}× | "
                      f"{memory:.0f} | {difference:.1e} | {share:.0%} |", flush=True)
                assert all(math.isfinite(loss) for result in rounds for loss in result["losses"])
    print(f"\n{updates} updates of the cases' batches a round, {arguments.rounds} rounds in turns, {threads} threads, fp32.")
    if not arguments.no_compile:
        import torch

        print(f"PyTorch {torch.__version__}.")


main()
