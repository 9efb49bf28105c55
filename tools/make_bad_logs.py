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

# Binary logs, broken in the ways that disks, crashes and mistakes break them; made from the good ones beside them.
import gzip  # noqa: E402
import shutil  # noqa: E402
import sqlite3  # noqa: E402
import zlib  # noqa: E402


def fresh(name):
    shutil.rmtree(OUT / name, ignore_errors=True)
    (OUT / name).mkdir()
    return OUT / name


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 & -(crc & 1))
    return crc ^ 0xFFFFFFFF


def masked(data):
    crc = crc32c(data)
    return struct.pack("<I", (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF)


def varint(value):
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def field(number, data):
    return varint(number << 3 | 2) + varint(len(data)) + data


def event(step, values):
    summary = b"".join(field(1, field(1, tag.encode()) + value) for tag, value in values)
    data = b"\x09" + struct.pack("<d", 1.7e9) + b"\x10" + varint(step) + field(5, summary)
    length = struct.pack("<Q", len(data))
    return length + masked(length) + data + masked(data)


def simple(value):
    return b"\x15" + struct.pack("<f", value)


def scalars(first, last, offset=0.0):
    return b"".join(
        event(t, [("loss", simple(loss(t, offset))), ("lr", simple(rate(t)))]) for t in range(first, last + 1, 10))


def wandb(records):
    out = b":W&B" + struct.pack("<HB", 0xBEE1, 0)
    for data in records:
        assert len(out) + 7 + len(data) < 32768
        out += struct.pack("<IHB", zlib.crc32(b"\x01" + data), len(data), 1) + data
    return out


def history(items):
    return field(2, b"".join(field(1, field(1, key.encode()) + varint(16 << 3 | 2) + varint(len(value)) + value.encode()) for key, value in items))


good_wandb = [history([("_step", str(t)), ("loss", str(loss(t))), ("lr", str(rate(t)))]) for t in range(10, 1001, 10)]
(OUT / "bad-wandb-cut-off.wandb").write_bytes(wandb(good_wandb)[:-20])
whole = bytearray(wandb(good_wandb))
whole[len(whole) // 2] ^= 0x10
(OUT / "bad-wandb-checksum.wandb").write_bytes(whole)
(OUT / "bad-wandb-version.wandb").write_bytes(b":W&B\xe1\xbe\x07" + wandb(good_wandb)[7:])
(OUT / "bad-wandb-empty.wandb").write_bytes(wandb([]))
(OUT / "bad-wandb-text.wandb").write_bytes(wandb([history([("_step", str(t)), ("loss", '"low"'), ("lr", "1e-3")]) for t in range(1, 20)]))
(OUT / "bad-wandb-no-message.wandb").write_bytes(wandb([b"\x12\xff\xff\xff\xff\x0f"]))
(OUT / "bad-wandb-repeated.wandb").write_bytes(wandb([record for record in good_wandb[:60] for _ in range(2)]))

for name, data in {
    "bad-events-cut-off": scalars(10, 1000)[:-9],
    "bad-events-checksum": scalars(10, 500)[:-30] + b"\x00" + scalars(10, 500)[-29:],
    "bad-events-garbage": scalars(10, 500) + bytes(range(64)),
    "bad-events-empty": b"",
    "bad-events-no-scalar": event(0, []),
    "bad-events-text": b"".join(event(t, [("loss", field(8, b"\x08\x07" + field(8, b"low"))), ("lr", simple(1e-3))]) for t in range(1, 20)),
    "bad-events-repeated": scalars(10, 600) + scalars(600, 1000) + scalars(990, 1000, 0.001),
}.items():
    (fresh(name) / "events.out.tfevents.1700000000.host").write_bytes(data)
both = fresh("bad-events-two-runs")
for i in range(2):
    (both / f"events.out.tfevents.170000000{i}.host").write_bytes(scalars(10, 1000, 0.2 * i))

mlflow = (OUT / "mlflow-db" / "mlflow.db").read_bytes()
(OUT / "bad-mlflow-cut-off.db").write_bytes(mlflow[: 3 * 4096 + 100])
page = bytearray(mlflow[: 20 * 4096])
page[4096 : 20 * 4096] = bytes(b % 251 for b in range(19 * 4096))
(OUT / "bad-mlflow-overwritten.db").write_bytes(page)
for name, statements in {
    "bad-database-other.db": ["create table songs (name text)"],
    "bad-mlflow-nothing.db": [
        "create table metrics (key text, value double, timestamp bigint, run_uuid text, step bigint, is_nan boolean)",
        "create table runs (run_uuid text, name text, lifecycle_stage text, experiment_id int)",
        "create table experiments (experiment_id int, name text)", "create table params (key text, value text, run_uuid text)"],
    "bad-mlflow-text.db": [
        "create table metrics (key text, value double, timestamp bigint, run_uuid text, step bigint, is_nan boolean)",
        "create table runs (run_uuid text, name text, lifecycle_stage text, experiment_id int)",
        "create table experiments (experiment_id int, name text)", "create table params (key text, value text, run_uuid text)",
        "insert into runs values ('a', 'run', 'active', 0)", "insert into metrics values ('loss', 'low', 0, 'a', 1, 0)"],
    "bad-trackio-json.db": [
        "create table metrics (id integer primary key, run_id text, timestamp text, run_name text, step integer, metrics text)",
        "insert into metrics values (1, 'a', '', 'run', 1, '{\"loss\": 3, \"lr\": 1e-3}')",
        "insert into metrics values (2, 'a', '', 'run', 2, '{\"loss\": 3, \"lr\"')"],
}.items():
    (OUT / name).unlink(missing_ok=True)
    database = sqlite3.connect(OUT / name)
    database.execute("pragma page_size = 512")
    for statement in statements:
        database.execute(statement)
    database.commit()
    database.close()

text = ("step,lr,loss\n" + "\n".join(rows()) + "\n").encode()
packed = gzip.compress(text, mtime=0)
(OUT / "bad-gzip-cut-off.csv.gz").write_bytes(packed[: len(packed) // 2])
(OUT / "bad-gzip-checksum.csv.gz").write_bytes(packed[:-8] + b"\0\0\0\0" + packed[-4:])
(OUT / "bad-gzip-garbage.csv.gz").write_bytes(packed[:20] + bytes(range(256)))
(OUT / "bad-gzip-bomb.csv.gz").write_bytes(gzip.compress(b"step,lr,loss\n" + b"\n" * (80 << 20), mtime=0))
(OUT / "bad-archive.zip").write_bytes(b"PK\x03\x04" + bytes(26))
(OUT / "bad-xz.csv.xz").write_bytes(b"\xfd7zXZ\0\0\x04" + bytes(20))
(OUT / "bad-samples-only.csv").write_text("consumed_samples,lr,loss\n" + "\n".join(rows()) + "\n")
(OUT / "bad-rounded.csv").write_text("step,lr,loss\n" + "\n".join(f"{t},0.001,{loss(t):.2f}" for t in range(10, 1001, 10)) + "\n")
