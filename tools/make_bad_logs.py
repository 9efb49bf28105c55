"""Writes the broken logs of fixtures/logs/bad-*: what a user may hand over by mistake. Standard library only.

    python3 tools/make_bad_logs.py
"""

import struct
from pathlib import Path

OUT = Path(__file__).resolve().parent.parent / "fixtures" / "logs"


def loss(step, offset=0.0):
    return round(2.5 + 6.0 * step**-0.35 + offset, 5)


def rate(step, peak=1e-3, total=1000):
    if step < 100:
        return peak * step / 100
    return peak if step <= 0.8 * total else round(peak * (total - step) / (0.2 * total), 9)


def rows(first=10, last=1000, every=10, offset=0.0, peak=1e-3):
    return [f"{t},{rate(t, peak)},{loss(t, offset)}" for t in range(first, last + 1, every)]


def table(name, lines, header="step,lr,loss", end="\n"):
    (OUT / name).write_text("\n".join(([header] if header else []) + lines) + end, encoding="utf-8")


def replaced(index, line, lines=None):
    lines = list(lines or rows())
    lines[index] = line
    return lines


OUT.mkdir(parents=True, exist_ok=True)
table("bad-nan.csv", replaced(40, "410,0.001,nan"))
table("bad-infinite.csv", replaced(40, "410,0.001,inf"))
table("bad-nan-tail.csv", rows()[:60] + [f"{t},0.001,NaN" for t in range(610, 1001, 10)])
table("bad-diverged.csv", rows()[:60] + [f"{t},0.001,{7.0 + 0.01 * (t % 30)}" for t in range(610, 1001, 10)])
table("bad-spikes.csv", [line if i not in (30, 70) else line[:-1] + "1e1" for i, line in enumerate(replaced(30, "310,0.001,6.5", replaced(70, "710,0.001,7.5")))])
table("bad-restart.csv", rows(last=600) + rows(first=410, offset=0.01))
table("bad-duplicate-rows.csv", [line for line in rows() for _ in range(2)])
table("bad-descending.csv", rows()[::-1])
table("bad-shuffled-conflict.csv", (rows() + rows(offset=0.1))[::7] + (rows() + rows(offset=0.1))[3::7] + rows()[::-1])
table("bad-two-runs.csv", rows() + rows(offset=0.2))
table("bad-two-rates.csv", rows() + rows(last=600, peak=3e-3))
table("bad-alternating.csv", [line for pair in zip(rows(), rows(offset=0.3)) for line in pair])
(OUT / "bad-empty.csv").write_bytes(b"")
(OUT / "bad-blank.csv").write_bytes(b"\n\n  \n")
table("bad-header-only.csv", [])
table("bad-no-header.csv", rows(), header=None)
table("bad-no-loss.csv", rows(), header="step,lr,accuracy")
table("bad-no-step.csv", rows(), header="when,lr,loss")
table("bad-no-lr.csv", [f"{line.split(',')[0]},{line.split(',')[2]}" for line in rows()], header="step,loss")
table("bad-cut-off.csv", rows() + ["1010,0.0"], end="")
table("bad-ragged.csv", replaced(12, "130,0.001"))
table("bad-text-in-loss.csv", replaced(12, "130,0.001,high"))
table("bad-negative-lr.csv", replaced(12, "130,-0.001,3.5"))
table("bad-fractional-step.csv", replaced(12, "130.5,0.001,3.5"))
table("bad-zero-lr.csv", [f"{t},0,{loss(t)}" for t in range(10, 201, 10)])
table("bad-split-word.csv", [f"{line},holdout" for line in rows(last=50)], header="step,lr,loss,split")
table("bad-one-row.csv", rows()[:1])
table("bad-step-zero-only.csv", ["0,0.001,10.9"])
(OUT / "bad-latin1.csv").write_bytes("step,lr,loss,note\n10,0.001,3.5,gut\n20,0.001,drei f\u00fcnf,x\n".encode("latin-1"))
(OUT / "bad-binary.csv").write_bytes(bytes(range(256)) * 4)
(OUT / "bad-prose.txt").write_text("It went well.\nThe loss fell.\n")
(OUT / "bad-parquet.parquet").write_bytes(b"PAR1" + bytes(200) + struct.pack("<I", 5000) + b"PAR1")
good = [f'{{"step": {t}, "lr": {rate(t)}, "loss": {loss(t)}}}' for t in range(10, 301, 10)]
(OUT / "bad-json.jsonl").write_text("\n".join(good[:9] + ['{"step": 100, "lr": 0.001, "loss": }'] + good[10:]) + "\n")
(OUT / "bad-json-cut-off.jsonl").write_text("\n".join(good) + '\n{"step": 310, "lr"')
(OUT / "bad-json-nan.jsonl").write_text("\n".join(good + ['{"step": 310, "lr": 0.001, "loss": NaN}']) + "\n")
(OUT / "bad-json-text.jsonl").write_text("\n".join(good + ['{"step": 310, "lr": 0.001, "loss": "low"}']) + "\n")
for name, text in {
    "bad-manifest-value": "run_id,peak_lr,total_steps,warmup_steps,schedule,annealing_ratio\na,fast,1000,100,wsd,0.2\n",
    "bad-manifest-ratio": "run_id,peak_lr,total_steps,warmup_steps,schedule,annealing_ratio\na,0.001,1000,100,wsd,20\n",
    "bad-manifest-twice": "run_id,peak_lr,total_steps\na,0.001,1000\na,0.001,1000\n",
    "bad-manifest-short": "run_id,peak_lr,total_steps,warmup_steps,schedule,annealing_ratio\na,0.001,500,100,wsd,0.2\n",
    "bad-manifest-other-rate": "run_id,peak_lr,total_steps,warmup_steps,schedule,annealing_ratio\na,0.01,1000,100,wsd,0.2\n",
}.items():
    (OUT / name).mkdir(exist_ok=True)
    (OUT / name / "manifest.csv").write_text(text)
    (OUT / name / "a.csv").write_text("step,lr,loss\n" + "\n".join(rows()) + "\n")
(OUT / "bad-manifest-toml").mkdir(exist_ok=True)
(OUT / "bad-manifest-toml" / "manifest.toml").write_text('[runs.a]\npeak_lr = 1e-3\ntotal_steps = = 5\n')
(OUT / "bad-manifest-toml" / "a.csv").write_text("step,lr,loss\n" + "\n".join(rows()) + "\n")
(OUT / "bad-store-version").mkdir(exist_ok=True)
(OUT / "bad-store-version" / "manifest.toml").write_text('format = "lehr-run-store"\nversion = 7\ngeneration = 1\n')
