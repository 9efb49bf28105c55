"""Speed of the log readers against pandas, polars and TensorBoard's own reader, in one run on one core.

    cargo xtask bench-import [--mb 250] [--files 10000] [--kinds csv …]

Writes large logs into a temporary folder, reads each with every reader (best of three, file in the page cache, one core by
taskset), and prints a table in Markdown. What is read is the same for all: step, loss and rate of every row, the columns
beside them passed over where the reader can. Needs pandas, polars, tensorboard in the Python that runs it.
"""

import argparse
import json
import os
import resource
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))


def rate(t):
    return 3e-4 * min(1.0, t / 2000)


def loss(t):
    # Not smooth: digits as a real log has them.
    return 2.5 + 6.0 * t**-0.35 + ((t * 2654435761) % 1000003) / 1e8


def write_csv(path, size):
    with open(path, "w") as out:
        out.write("step,lr,loss,grad_norm,tokens\n")
        t = 0
        while out.tell() < size:
            out.write("".join(f"{k},{rate(k)},{loss(k)},{0.5 + k % 7 / 100},{k * 524288}\n" for k in range(t + 1, t + 20001)))
            t += 20000
    return t


def write_jsonl(path, size):
    with open(path, "w") as out:
        t = 0
        while out.tell() < size:
            out.write("".join(
                json.dumps({"step": k, "lr": rate(k), "loss": loss(k), "grad_norm": 0.5 + k % 7 / 100, "tokens": k * 524288}) + "\n"
                for k in range(t + 1, t + 20001)))
            t += 20000
    return t


def varint(value):
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def field(number, data):
    return varint(number << 3 | 2) + varint(len(data)) + data


def write_events(path, size):
    """Scalars as torch's SummaryWriter writes them: one a record."""
    table = []
    for n in range(256):
        crc = n
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 & -(crc & 1))
        table.append(crc)

    def crc(data):
        value = 0xFFFFFFFF
        for byte in data:
            value = table[(value ^ byte) & 255] ^ (value >> 8)
        value ^= 0xFFFFFFFF
        return ((value >> 15 | value << 17) + 0xA282EAD8) & 0xFFFFFFFF

    heads = {}
    t = 0
    with open(path, "wb") as out:
        while out.tell() < size:
            parts = []
            for t in range(t + 1, t + 2001):
                for tag, value in (("train/loss", loss(t)), ("train/lr", rate(t)), ("train/grad_norm", 0.5)):
                    summary = field(1, field(1, tag.encode()) + b"\x15" + struct.pack("<f", value))
                    data = b"\x09" + struct.pack("<d", 1.7e9 + t) + b"\x10" + varint(t) + field(5, summary)
                    if len(data) not in heads:
                        length = struct.pack("<Q", len(data))
                        heads[len(data)] = length + struct.pack("<I", crc(length))
                    parts.append(heads[len(data)] + data + struct.pack("<I", crc(data)))
            out.write(b"".join(parts))
    return t


def write_wandb(path, size):
    """History records as wandb 0.31 writes them: every update, keys with a slash, W&B's own columns beside them."""
    t = 0
    with open(path, "wb") as out:
        out.write(b":W&B" + struct.pack("<HB", 0xBEE1, 0))
        room = 32768 - 7
        done = 7
        while done < size:
            t += 1
            items = b"".join(
                field(1, field(1, key.encode()) + varint(16 << 3 | 2) + varint(len(text)) + text)
                for key, text in [(k, repr(v).encode()) for k, v in (
                    ("_step", t), ("_timestamp", 1.7e9 + t), ("_runtime", float(t)), ("train/loss", loss(t)), ("train/lr", rate(t)),
                    ("train/grad_norm", 0.5), ("train/global_step", t))])
            data = varint(1 << 3) + varint(t) + field(2, items)
            kind = 0
            while True:
                if room < 7:
                    out.write(b"\0" * room)
                    done += room
                    room = 32768
                take = min(len(data), room - 7)
                last = take == len(data)
                kind = (1 if last else 2) if kind == 0 else (4 if last else 3)
                piece = data[:take]
                out.write(struct.pack("<IHB", zlib.crc32(bytes([kind]) + piece), take, kind) + piece)
                done += 7 + take
                room -= 7 + take
                data = data[take:]
                if last:
                    break
    return t


OTHERS = {
    "csv": {
        "pandas": "import pandas; f = pandas.read_csv(PATH, usecols=['step', 'lr', 'loss']); n = len(f)",
        "polars": "import polars; f = polars.read_csv(PATH, columns=['step', 'lr', 'loss']); n = len(f)",
    },
    "jsonl": {
        "pandas": "import pandas; f = pandas.read_json(PATH, lines=True)[['step', 'lr', 'loss']]; n = len(f)",
        "polars": "import polars; f = polars.read_ndjson(PATH).select('step', 'lr', 'loss'); n = len(f)",
    },
    "tfevents": {
        "tensorboard": "from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader\n"
        "from tensorboard.compat.proto.event_pb2 import Event\n"
        "n = sum(1 for raw in RawEventFileLoader(PATH).Load() for event in [Event.FromString(raw)] if event.HasField('summary'))",
    },
    # Nothing outside W&B's own viewers reads its files.
    "wandb": {},
}


def time_other(code, path, rounds):
    script = f"import time\nPATH = {str(path)!r}\nfor _ in range({rounds}):\n    t = time.perf_counter()\n" + "".join(
        f"    {line}\n" for line in code.replace("; ", "\n").split("\n")) + "    print(time.perf_counter() - t, n, flush=True)\n"
    environment = {**os.environ, "POLARS_MAX_THREADS": "1", "OMP_NUM_THREADS": "1"}
    lines = subprocess.run(["taskset", "-c", "0", sys.executable, "-c", script], env=environment, check=True,
                           capture_output=True, text=True).stdout.splitlines()
    return min(float(line.split()[0]) for line in lines)


def inspect(lehr, arguments):
    """Seconds and peak memory in kB of `lehr inspect`."""
    begun = time.perf_counter()
    child = os.fork()
    if child == 0:
        sink = os.open(os.devnull, os.O_WRONLY)
        os.dup2(sink, 1)
        os.dup2(sink, 2)
        os.execvp("taskset", ["taskset", "-c", "0", lehr, "inspect", *arguments])
    _, status, usage = os.wait4(child, 0)
    assert status == 0, status
    return time.perf_counter() - begun, usage.ru_maxrss


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("read_speed")
    parser.add_argument("lehr")
    parser.add_argument("--mb", type=int, default=250)
    parser.add_argument("--files", type=int, default=10000)
    parser.add_argument("--kinds", nargs="*", default=["csv", "jsonl", "tfevents", "wandb"])
    arguments = parser.parse_args()
    size = arguments.mb * 1_000_000
    with tempfile.TemporaryDirectory() as directory:
        print(f"Files of {arguments.mb} MB, one core, best of three, page cache warm. MB/s of the file.\n")
        print("| file | updates | lehr, rows alone | `lehr inspect`, peak memory | others | lehr (rows) / fastest other |")
        print("|---|---|---|---|---|---|")
        for kind, write in (("csv", write_csv), ("jsonl", write_jsonl), ("tfevents", write_events), ("wandb", write_wandb)):
            if kind not in arguments.kinds:
                continue
            name = "events.out.tfevents.1" if kind == "tfevents" else f"run.{kind}"
            path = Path(directory) / kind / name
            path.parent.mkdir()
            updates = write(path, size)
            length = path.stat().st_size / 1e6
            out = subprocess.run(["taskset", "-c", "0", arguments.read_speed, str(path)], check=True, capture_output=True, text=True)
            rows = json.loads(out.stdout)
            split = [] if kind in ("csv", "jsonl") else ["--split", "train"]
            whole, peak = inspect(arguments.lehr, [str(path), *split])
            others = {other: length / time_other(code, path, 3 if kind in ("csv", "jsonl") else 1)
                      for other, code in OTHERS[kind].items()}
            print(f"| {kind} | {updates:,} | **{rows['mb_per_s']:.0f}** | {length / whole:.0f}, {peak / 1e3:.0f} MB | "
                  + ", ".join(f"{other} {speed:.0f}" for other, speed in others.items())
                  + (f" | {rows['mb_per_s'] / max(others.values()):.1f} |" if others else " – | – |"), flush=True)
            path.unlink()
        if arguments.files:
            small = Path(directory) / "one"
            write_events(small, 20_000)
            data = small.read_bytes()
            runs = Path(directory) / "runs"
            for i in range(arguments.files):
                (runs / f"run-{i:05}").mkdir(parents=True)
                (runs / f"run-{i:05}" / "events.out.tfevents.1").write_bytes(data)
            seconds, peak = inspect(arguments.lehr, [str(runs)])
            print(f"\n{arguments.files:,} event files of {len(data) // 1000} KB in as many folders, `lehr inspect`: "
                  f"{seconds:.1f} s, {peak / 1e3:.0f} MB of memory.")


if __name__ == "__main__":
    main()
