"""Puts the tables into docs/results/atlas.md, from what `lehr` says about fixtures/atlas.

    python3 tools/atlas_report.py target/debug/lehr
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs/results/atlas.md"
SOURCE = "fixtures/atlas/source"
LANGUAGE = "fixtures/atlas/language"
MODELS = ["dense-0.03m", "dense-0.1m", "dense-0.2m", "dense-0.4m", "moe-8x0.03m", "moe-8x0.1m"]
RATES = [1e-3, 2e-3, 4e-3, 8e-3]


def lehr(*words):
    command = [sys.argv[1], *words, "--json", "--accept-caveats"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stderr}")
    return json.loads(done.stdout)


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def span(value, interval):
    return f"{value:.2f} ({interval[0]:.2f} … {interval[1]:.2f})"


def optima(store):
    rows = []
    for model in MODELS:
        cells = {(c["peak_lr"], c["total"]): c for c in
                 lehr("transfer", store, "--run", f"{model}-*-b8-s0-*-linear")["measured"]}
        for total in [400, 800, 1600]:
            row = [f"`{model}`", str(total)]
            for rate in RATES:
                cell = cells.get((rate, total))
                edge = "" if cell is None or not cell["at_edge"] else "≤ " if cell["ratio"] <= cell["points"][0][0] else "≥ "
                row.append("–" if cell is None else f"{edge}{cell['ratio']:.2f}")
            rows.append(row)
    return table(["model", "T"] + [f"η = {rate * 1e3:.0f}·10⁻³" for rate in RATES], rows)


def powers(store):
    rows = []
    for name, glob in [(f"`{m}`", m) for m in MODELS] + [("all dense", "dense"), ("all MoE", "moe"), ("all", "")]:
        laws = lehr("transfer", store, "--run", f"{glob}*-b8-s0-*-linear")["sources"][0]["laws"]
        by = {tuple(law["variables"]): law for law in laws}
        row = [name]
        for variables in [("peak_lr",), ("total",)]:
            law = by.get(variables)
            row.append(span(law["exponents"][0]["value"], law["exponents"][0]["interval"]) if law else "–")
        both = by.get(("peak_lr", "total"))
        row += [span(e["value"], e["interval"]) for e in both["exponents"]] if both else ["–", "–"]
        row += [f"{both['rms']:.2f}", f"{both['n']} + {both['limits']}"] if both else ["–", "–"]
        sized = by.get(("peak_lr", "total", "params"))
        row.append(span(sized["exponents"][2]["value"], sized["exponents"][2]["interval"]) if sized else "–")
        rows.append(row)
    return table(["runs", "α_η alone", "α_T alone", "α_η jointly", "α_T jointly", "misfit of ln R", "optima + limits",
                  "α_N, with η and T"], rows)


def stability(store):
    rows = []
    for what, glob in [("dense", "dense*"), ("MoE", "moe*"), ("all", "*")]:
        for entry in lehr("transfer", store, "--run", f"{glob}-b8-s0-*-linear")["stability"]:
            if entry["t"] is not None:
                rows.append([what, entry["across"], entry["verdict"]])
    return table(["runs", "across", "answer, peak rate and horizon accounted for"], rows)


def laws(store):
    columns = []
    for model in ["dense-0.1m", "dense-0.2m", "moe-8x0.03m", "moe-8x0.1m"]:
        runs = ["--run", f"{model}-*-b8-s0-*-linear,{model}-*-b8-s0-*-constant"]
        for title, train in [("ratios", "*-constant,*-r0.2-*"), ("horizon", "*-T400-*,*-T800-*")]:
            columns.append((f"`{model}`, {title}", lehr("compare", store, *runs, "--train", train)))
    return scores(columns)


def families(store):
    columns = []
    for model in ["dense-0.1m", "moe-8x0.03m"]:
        runs = f"{model}-lr4e-3-b8-s0-*"
        columns.append((f"`{model}`, cosine → all", lehr("compare", store, "--run", runs, "--train", "*-T800-cosine,*-T1600-cosine")))
        straight = f"{model}-lr4e-3-b8-s0-w40-*"
        columns.append((f"`{model}`, linear → all",
                        lehr("compare", store, "--run", straight, "--train", "*-linear,*-constant")))
    return scores(columns)


def scores(columns):
    names = [law["law"] for law in columns[0][1]["laws"]]
    rows = []
    for name in names:
        row = [name]
        for _, document in columns:
            law = next((law for law in document["laws"] if law["law"] == name), None)
            row.append(f"{100 * law['test']['mape']:.2f}" if law and law.get("test") else "–")
        rows.append(row)
    return table(["law"] + [title for title, _ in columns], rows)


def carried(store):
    """What ratios cost that were predicted for the largest model from the smaller ones, and for the longest horizon."""
    with tempfile.TemporaryDirectory() as folder:
        groups = lehr("reproduce", "ratios", "--store", store, "--dir", folder)["ratios"]["groups"]
    rows = []
    for group in groups:
        if group["shape"] != "linear":
            continue
        for title, key in [("longest horizon, N in the law", "to_longer"), ("largest model, N left out", "to_larger"),
                           ("largest model, N in the law", "to_larger_with_n")]:
            costs = [1e3 * cell["regret"] for cell in group[key] or []]
            if costs:
                rows.append([group["arch"], title, str(len(costs)), f"{sum(costs) / len(costs):.1f}", f"{max(costs):.1f}"])
    return table(["models", "carried to", "cells", "mean cost, mnat", "largest, mnat"], rows)


def floor(store):
    """The fitted L₀ next to the entropy of the language, which no model can go below."""
    outline = lehr("train", "--preset", "dense-0.1m", "--wsd", "peak=4e-3,total=800,warmup=40,ratio=0.2", "--dry-run")["outline"]
    entropy = outline["language"]["entropy"]
    truth = f"{entropy['nats_per_token']:.4f} ± {entropy['standard_error']:.4f}"
    rows = []
    sets = [(f"`{model}`", f"{model}-*-b8-s0-*") for model in MODELS] + [("all dense, with N", "dense-*-b8-s0-*")]
    for name, glob in sets:
        lowest = min(run["last_loss"] for run in lehr("inspect", store, "--run", glob)["runs"])
        row = [name, f"{lowest:.3f}"]
        for law in ["noise-relaxation", "forward-momentum", "cmmt", "multi-power"]:
            fit = lehr("fit", store, "--run", glob, "--law", law)
            found = next(c for c in fit["coefficients"] if c["name"] == "l0")
            row.append("at its bound, 0" if found["at_bound"] else span(found["value"], found["interval"]))
        rows.append(row + [truth])
    return table(["runs", "lowest last loss", "L₀ noise-relaxation", "forward-momentum", "CMMT", "multi-power", "entropy"], rows)


def deviation(values):
    mean = sum(values) / len(values)
    return (sum((x - mean) ** 2 for x in values) / (len(values) - 1)) ** 0.5


def twins(store):
    rows = []
    for model in ["dense-0.1m", "moe-8x0.03m"]:
        runs = lehr("inspect", store, "--run", f"{model}-lr4e-3-b8-s*-w40-T800-r0.?-linear")["runs"]
        last = {(run["id"].split("-s")[1][0], round(run["ratio"], 1)): run["last_loss"] for run in runs}
        seeds = [seed for seed, ratio in last if ratio == 0.6]
        lower, upper = ([last[seed, ratio] for seed in seeds] for ratio in (0.2, 0.6))
        apart = [b - a for a, b in zip(lower, upper)]
        cells = [f"{sum(x) / len(x):.4f} ± {1e3 * deviation(x):.1f} mnat" for x in (lower, upper)]
        difference = f"{1e3 * sum(apart) / len(apart):.1f} ± {1e3 * deviation(apart):.1f} mnat"
        rows.append([f"`{model}`", str(len(seeds)), *cells, difference])
    return table(["model", "seeds", "r = 0.2", "r = 0.6", "difference, seed by seed"], rows)


def batches(store):
    rows = []
    for batch, total in [(4, 3200), (8, 1600), (16, 800), (32, 400)]:
        runs = lehr("inspect", store, "--run", f"dense-0.1m-lr4e-3-b{batch}-s0-w40-T{total}-r0.2-linear")["runs"]
        if runs:
            rows.append([str(batch), str(total), str(batch * 128 * total), f"{runs[0]['last_loss']:.4f}"])
    return table(["sequences an update", "T", "tokens", "last loss"], rows)


def main():
    page = PAGE.read_text()
    sections = {make.__name__: (make, SOURCE) for make in [optima, powers, stability, carried, laws, families, twins, batches]}
    sections |= {f"language-{make.__name__}": (make, LANGUAGE) for make in [floor, optima, powers, stability, carried, laws, families, twins, batches]}
    for name, (make, store) in sections.items():
        pattern = re.compile(rf"(<!-- {name} -->\n)(?:.*?\n)??(<!-- end -->)", re.S)
        assert pattern.search(page), name
        text = make(store)
        page = pattern.sub(lambda found: found[1] + text + "\n" + found[2], page)
        print(name, flush=True)
    PAGE.write_text(page)


main()
