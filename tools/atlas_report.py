"""Puts the tables into docs/results/atlas.md, from what `lehr` says about fixtures/atlas.

    python3 tools/atlas_report.py target/debug/lehr
"""

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs/results/atlas.md"
STORE = "fixtures/atlas/source"
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


def optima():
    rows = []
    for model in MODELS:
        cells = {(c["peak_lr"], c["total"]): c for c in
                 lehr("transfer", STORE, "--run", f"{model}-*-b8-s0-*-linear")["measured"]}
        for total in [400, 800, 1600]:
            row = [f"`{model}`", str(total)]
            for rate in RATES:
                cell = cells.get((rate, total))
                edge = "" if cell is None or not cell["at_edge"] else "≤ " if cell["ratio"] < 0.5 else "≥ "
                row.append("–" if cell is None else f"{edge}{cell['ratio']:.2f}")
            rows.append(row)
    return table(["model", "T"] + [f"η = {rate * 1e3:.0f}·10⁻³" for rate in RATES], rows)


def powers():
    rows = []
    for name, glob in [(f"`{m}`", m) for m in MODELS] + [("all dense", "dense"), ("all MoE", "moe"), ("all", "")]:
        laws = lehr("transfer", STORE, "--run", f"{glob}*-b8-s0-*-linear")["sources"][0]["laws"]
        by = {tuple(law["variables"]): law for law in laws}
        row = [name]
        for variables in [("peak_lr",), ("total",)]:
            law = by.get(variables)
            row.append(span(law["exponents"][0]["value"], law["exponents"][0]["interval"]) if law else "–")
        both = by.get(("peak_lr", "total"))
        row += [span(e["value"], e["interval"]) for e in both["exponents"]] if both else ["–", "–"]
        row += [f"{both['rms']:.2f}", str(both["n"])] if both else ["–", "–"]
        rows.append(row)
    return table(["runs", "α_η alone", "α_T alone", "α_η jointly", "α_T jointly", "misfit of ln R", "cells"], rows)


def stability():
    rows = []
    for what, glob in [("dense", "dense*"), ("MoE", "moe*"), ("all", "*")]:
        for entry in lehr("transfer", STORE, "--run", f"{glob}-b8-s0-*-linear")["stability"]:
            if entry["t"] is not None:
                rows.append([what, entry["across"], entry["verdict"]])
    return table(["runs", "across", "answer, peak rate and horizon accounted for"], rows)


def laws():
    columns = []
    for model in ["dense-0.1m", "dense-0.2m", "moe-8x0.03m", "moe-8x0.1m"]:
        runs = ["--run", f"{model}-*-b8-s0-*-linear,{model}-*-b8-s0-*-constant"]
        for title, train in [("ratios", "*-constant,*-r0.2-*"), ("horizon", "*-T400-*,*-T800-*")]:
            columns.append((f"`{model}`, {title}", lehr("compare", STORE, *runs, "--train", train)))
    return scores(columns)


def families():
    columns = []
    for model in ["dense-0.1m", "moe-8x0.03m"]:
        runs = f"{model}-lr4e-3-b8-s0-*"
        columns.append((f"`{model}`, cosine → all", lehr("compare", STORE, "--run", runs, "--train", "*-T800-cosine,*-T1600-cosine")))
        straight = f"{model}-lr4e-3-b8-s0-w40-*"
        columns.append((f"`{model}`, linear → all",
                        lehr("compare", STORE, "--run", straight, "--train", "*-linear,*-constant")))
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


def deviation(values):
    mean = sum(values) / len(values)
    return (sum((x - mean) ** 2 for x in values) / (len(values) - 1)) ** 0.5


def twins():
    rows = []
    for model in ["dense-0.1m", "moe-8x0.03m"]:
        runs = lehr("inspect", STORE, "--run", f"{model}-lr4e-3-b8-s*-w40-T800-r0.?-linear")["runs"]
        last = {(run["id"].split("-s")[1][0], round(run["ratio"], 1)): run["last_loss"] for run in runs}
        seeds = [seed for seed, ratio in last if ratio == 0.6]
        lower, upper = ([last[seed, ratio] for seed in seeds] for ratio in (0.2, 0.6))
        apart = [b - a for a, b in zip(lower, upper)]
        cells = [f"{sum(x) / len(x):.4f} ± {1e3 * deviation(x):.1f} mnat" for x in (lower, upper)]
        difference = f"{1e3 * sum(apart) / len(apart):.1f} ± {1e3 * deviation(apart):.1f} mnat"
        rows.append([f"`{model}`", str(len(seeds)), *cells, difference])
    return table(["model", "seeds", "r = 0.2", "r = 0.6", "difference, seed by seed"], rows)


def batches():
    rows = []
    for batch, total in [(4, 3200), (8, 1600), (16, 800), (32, 400)]:
        runs = lehr("inspect", STORE, "--run", f"dense-0.1m-lr4e-3-b{batch}-s0-w40-T{total}-r0.2-linear")["runs"]
        if runs:
            rows.append([str(batch), str(total), str(batch * 128 * total), f"{runs[0]['last_loss']:.4f}"])
    return table(["sequences an update", "T", "tokens", "last loss"], rows)


def main():
    page = PAGE.read_text()
    for make in [optima, powers, stability, laws, families, twins, batches]:
        pattern = re.compile(rf"(<!-- {make.__name__} -->\n)(?:.*?\n)??(<!-- end -->)", re.S)
        assert pattern.search(page), make.__name__
        page = pattern.sub(lambda found: found[1] + make() + "\n" + found[2], page)
    PAGE.write_text(page)


main()
