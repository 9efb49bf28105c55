"""Measures the PyTorch engine on a GPU and trains a grid of runs, in one call of under ten minutes.

    python tools/gpu_grid.py OUT                            a machine with a CUDA GPU, PyTorch and the package lehr
    python tools/gpu_grid.py OUT --device cpu --tiny        the same with toy sizes on a CPU, in about two minutes: tests the script
    python tools/gpu_grid.py OUT --dry-run                  says what it would do

1. Tokens/s and MFU (arithmetic of `lehr.train.model.flops_per_token` over the stated peak of the GPU, and over what a large bf16
   product reaches here) of dense models of 50M, 125M, 350M and 1B parameters and of mixtures of eight experts, two a token.
2. A grid of one size: four peak rates × five annealing ratios × two horizons, 40 runs. The trunk of each rate is trained once and all
   its branches go back to it in memory. The horizons are as long as the time that is left allows.

OUT/speed.md and OUT/speed.json hold the measurements; OUT/grid the logs with their manifest, which `lehr fit OUT/grid` reads.
"""

import argparse
import csv
import json
import math
import pathlib
import statistics
import sys
import time

# Dense bf16 arithmetic per second without sparsity, as the makers state it.
PEAKS = {"H200": 989e12, "H100 PCIe": 756e12, "H100": 989e12, "A100": 312e12, "L40S": 362e12, "L4": 121e12, "4090": 165e12}
RATIOS = [0.1, 0.2, 0.35, 0.5, 0.7]
WARMUP_SHARE = 0.05


def dense(width, layers, heads, hidden, context, vocabulary=32_768):
    return {"vocabulary": vocabulary, "context": context, "width": width, "layers": layers, "heads": heads, "hidden": hidden}


def mixture(model):
    experts = {"count": 8, "top_k": 2, "hidden": model["hidden"] // 2 // 8 * 8, "shared": 0, "balance": 0.01, "z": 0.001}
    return model | {"experts": experts}


def sizes(tiny):
    """Name, model, sequences an update."""
    if tiny:
        small, large = dense(32, 2, 2, 64, 32, 96), dense(64, 2, 4, 176, 64, 96)
        return [("dense-tiny", small, 8), ("dense-small", large, 8), ("moe-8x-tiny", mixture(small), 8)]
    models = {
        "50m": dense(640, 10, 10, 1744, 512),
        "125m": dense(768, 18, 12, 2064, 1024),
        "350m": dense(1024, 28, 16, 2704, 1024),
        "1b": dense(2048, 20, 16, 5408, 2048),
    }
    tokens = 131_072
    found = [(f"dense-{name}", model, tokens // model["context"]) for name, model in models.items()]
    return found + [(f"moe-8x{name}", mixture(models[name]), tokens // models[name]["context"]) for name in ("50m", "125m", "350m")]


def grid_model(tiny):
    """The size of the grid, its sequences an update and its peak rates."""
    if tiny:
        return "tiny", dense(32, 2, 2, 64, 32, 96), 8, [3e-3, 6e-3, 1.2e-2, 2.4e-2]
    return "6m", dense(256, 8, 8, 656, 256, 96), 128, [1e-3, 2e-3, 4e-3, 8e-3]


class Clock:
    """What is left of the time."""

    def __init__(self, minutes):
        self.end = time.monotonic() + 60 * minutes

    def left(self):
        return self.end - time.monotonic()


def engine_of(model, rows, arguments, micro=0):
    from lehr.train import Settings
    from lehr.train.engine import Engine

    run = {"model": model, "optimiser": {}, "data": {"validation_sequences": rows}, "batch": rows, "seed": 1}
    settings = Settings(
        device=arguments.device, compile=arguments.compile, micro_batch=micro, precision=arguments.precision,
        threads=1 if arguments.tiny else 0,
    )
    engine = Engine(run, settings)
    engine.initialise()
    return engine


def finish(engine):
    import torch

    if engine.world.device.type == "cuda":
        torch.cuda.synchronize()


def product_speed(device, tiny):
    """Arithmetic per second of a large bf16 product on this machine."""
    import torch

    n = 512 if tiny else 8192
    a = torch.randn(n, n, dtype=torch.bfloat16, device=device)
    seconds = []
    for _ in range(8):
        begun = time.perf_counter()
        for _ in range(4):
            a @ a
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds.append((time.perf_counter() - begun) / 4)
    return 2 * n**3 / statistics.median(seconds[2:])


def measure(name, model, rows, arguments, updates):
    """Seconds an update, with as many sequences a pass as fit into the memory; a dictionary."""
    import torch

    from lehr.train.model import flops_per_token

    micro = max(1, min(rows, 16_384 // model["context"]))
    while True:
        engine = None
        try:
            begun = time.perf_counter()
            engine = engine_of(model, rows, arguments, micro)
            for _ in range(3):
                engine.update(1e-4)
            finish(engine)
            ready = time.perf_counter() - begun
            seconds = []
            for _ in range(updates):
                begun = time.perf_counter()
                report = engine.update(1e-4)
                finish(engine)
                seconds.append(time.perf_counter() - begun)
            break
        except torch.OutOfMemoryError:
            if micro == 1:
                return {"name": name, "problem": "one sequence a pass does not fit into the memory"}
            micro //= 2
        finally:
            if engine is not None:
                engine.close()
    if not math.isfinite(float(report.measured[0])):
        sys.exit(f"{name}: the loss is {float(report.measured[0])}")
    tokens = rows * model["context"]
    speed = tokens / statistics.median(seconds)
    weights = sum(parameter.numel() for parameter in engine.model.parameters())
    memory = torch.cuda.max_memory_allocated() / 2**30 if engine.world.device.type == "cuda" else None
    del engine
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    return {
        "name": name, "parameters": weights, "tokens_per_update": tokens, "micro_batch": micro, "ready_seconds": ready,
        "tokens_per_second": speed, "flops_per_second": speed * flops_per_token(model | {"experts": model.get("experts")}),
        "memory_gib": memory,
    }


def table(results, peak, product, title):
    lines = [title, "", "| model | parameters | tokens an update (sequences a pass) | tokens/s | MFU of the stated peak | of a bf16 product here | memory, GiB | ready after |",
             "|---|--:|---|--:|--:|--:|--:|--:|"]
    for row in results:
        if "problem" in row:
            lines.append(f"| {row['name']} | {row['problem']} | | | | | | |")
            continue
        stated = f"{row['flops_per_second'] / peak:.1%}" if peak else "–"
        memory = f"{row['memory_gib']:.1f}" if row["memory_gib"] else "–"
        lines.append(
            f"| {row['name']} | {row['parameters'] / 1e6:,.1f}M | {row['tokens_per_update']:,} ({row['micro_batch']}) | "
            f"{row['tokens_per_second']:,.0f} | {stated} | {row['flops_per_second'] / product:.1%} | {memory} | {row['ready_seconds']:.0f} s |"
        )
    return "\n".join(lines) + "\n"


def updates_of_grid(horizons):
    """Updates of trunk and branches of one peak rate; a run's annealing begins at T − round(r·T)."""
    branches = [round(ratio * total) for total in horizons for ratio in RATIOS]
    return max(total - round(ratio * total) for total in horizons for ratio in RATIOS) + sum(branches)


def grid(out, arguments, clock):
    """Trains the grid; gives the final validation losses by (rate, horizon, ratio)."""
    import lehr

    name, model, rows, rates = grid_model(arguments.tiny)
    engine = engine_of(model, rows, arguments)
    for _ in range(3):
        engine.update(rates[0])
    finish(engine)
    begun = time.perf_counter()
    for _ in range(10):
        engine.update(rates[0])
    finish(engine)
    each = (time.perf_counter() - begun) / 10
    begun = time.perf_counter()
    engine.evaluate()
    look = time.perf_counter() - begun
    # 15 % of the time is kept for validations, logs and what this estimate does not know.
    seconds = (clock.left() if arguments.grid_seconds is None else arguments.grid_seconds) * 0.85
    long = 1000
    while len(rates) * (updates_of_grid([long // 2, long]) * each + 11 * 25 * look) > seconds and long > 40:
        long = int(long * 0.95) // 2 * 2
    horizons = [long // 2, long]
    warmup, every = max(2, int(WARMUP_SHARE * horizons[0])), max(1, long // 50)
    print(f"grid: dense-{name}, {rows} × {model['context']} tokens an update, horizons {horizons}, {len(rates)} peak rates, "
          f"{each * 1e3:.1f} ms an update", flush=True)
    logs = out / "grid"
    logs.mkdir(parents=True, exist_ok=True)
    tokens, size = rows * model["context"], sum(p.numel() for n, p in engine.model.named_parameters() if n.split(".")[0] not in ("embedding", "head"))
    finals, manifest, lasted = {}, [], 0.0

    def train(run, schedule, first, last, points=()):
        """Updates first … last; gives the states at the points and the last validation loss."""
        wanted, states, waiting, final = schedule.rates(), {}, [], None
        # A short branch is looked at often enough for its curve.
        often = max(1, min(every, (last - first + 1) // 8))
        with open(logs / f"{run}.jsonl", "w") as log:

            def write(validation=None):
                for update, report in waiting:
                    loss = float(report.measured[0])
                    if not math.isfinite(loss):
                        raise FloatingPointError(f"{run} diverged at update {update}")
                    row = {"step": update, "lr": float(wanted[update - 1]), "train_loss": loss}
                    if validation is not None and update == waiting[-1][0]:
                        row["val_loss"] = validation
                    log.write(json.dumps(row) + "\n")
                waiting.clear()

            for update in range(first, last + 1):
                waiting.append((update, engine.update(float(wanted[update - 1]))))
                if update == last or update % often == 0:
                    final = engine.evaluate()
                    write(final)
                if update in points:
                    states[update] = engine.remember()
            write()
        return states, final

    for done, rate in enumerate(rates):
        begun = time.monotonic()
        # A machine that slows down must not make the call longer: a rate that would not end in time is left out, and said.
        if done and clock.left() < lasted:
            print(f"peak {rate:g}: left out, {clock.left():.0f} s left and a rate takes {lasted:.0f} s", flush=True)
            continue
        branches = sorted(
            ((total - round(ratio * total), total, ratio) for total in horizons for ratio in RATIOS), key=lambda branch: branch[0]
        )
        trunk, end = f"{name}-lr{rate:g}-constant", branches[-1][0]
        shared = {"params_non_embedding": size, "tokens_per_step": tokens, "peak_lr": rate, "warmup_steps": warmup, "arch": "dense"}
        engine.initialise()
        engine.optimiser.torch.state.clear()
        schedule = lehr.Schedule(f"constant:peak={rate!r},total={end},warmup={warmup}")
        try:
            states, _ = train(trunk, schedule, 1, end, {at for at, _, _ in branches})
        except FloatingPointError as error:
            print(error, flush=True)
            continue
        manifest.append(shared | {"run_id": trunk, "schedule": "constant", "total_steps": end})
        for at, total, ratio in branches:
            run = f"{name}-lr{rate:g}-T{total}-r{ratio:g}"
            schedule = lehr.Schedule.wsd(peak_lr=rate, steps=total, warmup=warmup, anneal_steps=total - at)
            engine.recall(states[at])
            try:
                _, finals[rate, total, ratio] = train(run, schedule, at + 1, total)
            except FloatingPointError as error:
                print(error, flush=True)
                continue
            manifest.append(shared | {
                "run_id": run, "schedule": "wsd", "shape": "linear", "total_steps": total, "anneal_steps": total - at,
                "final_lr": 0.0, "branch_from": trunk, "branch_at_step": at,
            })
        lasted = time.monotonic() - begun
        print(f"peak {rate:g}: done, {clock.left():.0f} s left", flush=True)
    engine.close()
    columns = ["run_id", *sorted({key for row in manifest for key in row} - {"run_id"})]
    with open(logs / "manifest.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(manifest)
    return finals


def finals_table(finals):
    lines = ["| peak rate | horizon | " + " | ".join(f"r = {ratio:g}" for ratio in RATIOS) + " | best |", "|---|--:|" + "--:|" * (len(RATIOS) + 1)]
    for rate, total in sorted({(rate, total) for rate, total, _ in finals}):
        row = {ratio: finals.get((rate, total, ratio)) for ratio in RATIOS}
        known = {ratio: loss for ratio, loss in row.items() if loss is not None}
        cells = " | ".join("–" if loss is None else f"{loss:.4f}" for loss in row.values())
        lines.append(f"| {rate:g} | {total} | {cells} | {min(known, key=known.get):g} |")
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--tiny", action="store_true", help="toy sizes")
    parser.add_argument("--dry-run", action="store_true")
    parser.add_argument("--precision", choices=["bf16", "fp32"], default="bf16")
    parser.add_argument("--no-compile", dest="compile", action="store_false", help="without torch.compile")
    parser.add_argument("--minutes", type=float, default=9.0, help="time of the whole call")
    parser.add_argument("--grid-seconds", type=float, default=None, help="time of the grid; default: what is left, at least 240")
    parser.add_argument("--peak-tflops", type=float, default=None, help="the GPU's bf16 peak, where it is not known here")
    parser.add_argument("--updates", type=int, default=10, help="updates that are timed")
    arguments = parser.parse_args()
    clock = Clock(arguments.minutes)
    models = sizes(arguments.tiny)
    if arguments.dry_run:
        from lehr.train.model import flops_per_token

        for name, model, rows in models:
            print(f"{name}: {rows} × {model['context']} tokens an update, {flops_per_token(model) / 1e9:.2f} GFLOP a token")
        name, model, rows, rates = grid_model(arguments.tiny)
        print(f"grid: dense-{name}, {rows} × {model['context']} tokens, peak rates {rates}, ratios {RATIOS}; with horizons 500 and "
              f"1000 it is {len(rates) * updates_of_grid([500, 1000])} updates")
        return
    import torch

    if arguments.device == "cuda" and not torch.cuda.is_available():
        sys.exit("PyTorch finds no CUDA device; expected one. --device cpu --tiny tests this script without")
    arguments.out.mkdir(parents=True, exist_ok=True)
    device = torch.device(arguments.device)
    machine = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
    peak = arguments.peak_tflops * 1e12 if arguments.peak_tflops else next((p for key, p in PEAKS.items() if key in machine), None)
    product = product_speed(device, arguments.tiny)
    kept = 20 if arguments.tiny else 240
    results = []
    for name, model, rows in models:
        if clock.left() < kept + 40:
            results.append({"name": name, "problem": "not measured: the time was needed for the grid"})
            continue
        results.append(measure(name, model, rows, arguments, arguments.updates))
        print(json.dumps(results[-1]), flush=True)
    compiled = "torch.compile" if arguments.compile else "eager"
    stated = f"stated bf16 peak {peak / 1e12:.0f} TFLOP/s" if peak else "no stated peak is known"
    title = (f"{machine}, PyTorch {torch.__version__}, {arguments.precision}, {compiled}, one process; {stated}; a bf16 product reaches "
             f"{product / 1e12:.2f} TFLOP/s. Median of {arguments.updates} updates after 3; {time.strftime('%Y-%m-%d')}.")
    text = table(results, peak, product, title)
    finals = grid(arguments.out, arguments, clock)
    text += "\nFinal validation losses of the grid, nats per token:\n\n" + finals_table(finals)
    (arguments.out / "speed.md").write_text(text)
    rows = [{"peak_lr": rate, "total": total, "ratio": ratio, "final_val_loss": loss} for (rate, total, ratio), loss in finals.items()]
    (arguments.out / "speed.json").write_text(json.dumps({"machine": machine, "speeds": results, "finals": rows}, indent=1))
    print("\n" + text)
    print(f"next: lehr fit {arguments.out / 'grid'} -o fit.json; {60 * arguments.minutes - clock.left():.0f} s in all")


if __name__ == "__main__":
    main()
