"""What the Python package costs: import, the Python layer of a call, a gigabyte of logs against pandas, fits against SciPy.

    python tools/bench_python.py FIXTURES FOLDER [--mb 1000] [--skip-logs]

Run it with an interpreter in which the release wheel, NumPy, SciPy, pandas and nothing else of the project are installed; FIXTURES is
the folder `fixtures`. Logs are written into FOLDER and removed. Everything is timed side by side in turns, and the least time counts.
Prints tables in Markdown.
"""

import argparse
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import time
import warnings

# Arrays of a few thousand numbers: threads only get in each other's way.
for library in ("OPENBLAS", "OMP", "MKL"):
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")
os.environ["LEHR_PROGRESS"] = "0"

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))


def least(ask, times):
    """Least and median seconds of a call."""
    taken = []
    for _ in range(times):
        begun = time.perf_counter()
        ask()
        taken.append(time.perf_counter() - begun)
    return min(taken), statistics.median(taken)


def process(code, *arguments):
    """A fresh interpreter: what it prints as JSON."""
    done = subprocess.run([sys.executable, "-c", code, *arguments], check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def imports():
    code = "import time, json\n{before}\nt = time.perf_counter()\nimport {name}\nprint(json.dumps(1e3 * (time.perf_counter() - t)))"
    wanted = [("NumPy", "", "numpy"), ("lehr, after NumPy", "import numpy", "lehr"), ("lehr alone", "", "lehr"), ("pandas, after NumPy", "import numpy", "pandas")]
    times = {name: [] for name, _, _ in wanted}
    for _ in range(15):
        for name, before, module in wanted:
            times[name].append(process(code.format(before=before, name=module)))
    print("| import | least, ms | median, ms |\n|---|---|---|")
    for name, taken in times.items():
        print(f"| {name} | {min(taken):.1f} | {statistics.median(taken):.1f} |")
    size = os.path.getsize(__import__("lehr._lehr")._lehr.__file__)
    print(f"\nThe extension has {size:,} bytes.\n")


def calls(runs):
    import lehr
    from lehr import _lehr

    fit = lehr.fit(runs, accept=True)
    plan = lehr.Schedule.wsd(peak_lr=2e-3, steps=20_000, warmup=300, ratio=0.2)
    print("| call | whole, µs | of that the Rust core, µs | Python layer, µs |\n|---|---|---|---|")
    nothing = least(_lehr.ask_nothing, 300)
    print(f"| a question that asks nothing: a thread, signals, the lock let go | {1e6 * nothing[0]:.0f} | {1e6 * nothing[0]:.0f} | 0 |")
    pairs = [
        ("`Schedule.lr(t)`", lambda: plan.lr(9_000), lambda: plan._native.lr(9_000)),
        ("`fit.forecast(plan, at=20_000)`", lambda: fit.forecast(plan, at=20_000, accept=True), None),
        ("`fit.recommend(peak_lr=2e-3, steps=20_000)`", lambda: fit.recommend(peak_lr=2e-3, steps=20_000, accept=True), None),
        ("`lehr.fit(runs)`, 25 runs", lambda: lehr.fit(runs, accept=True), None),
    ]
    for name, whole, core in pairs:
        many = 2000 if core else 30
        if core:
            a, b = least(whole, many)[0], least(core, many)[0]
        else:
            a, b = through(whole, many)
        print(f"| {name} | {1e6 * a:,.1f} | {1e6 * b:,.1f} | {1e6 * (a - b):,.1f} |")
    print()


def through(whole, times):
    """Least seconds of a call, and those that the same call spent in the extension."""
    import lehr

    spent, found = [0.0], []
    places = [(lehr._lehr, "fit")]
    kept = [(owner, name, getattr(owner, name)) for owner, name in places]

    def counted(inner):
        def call(*args, **more):
            begun = time.perf_counter()
            try:
                return inner(*args, **more)
            finally:
                spent[0] += time.perf_counter() - begun

        return call

    class Native:
        """A fit of the extension whose questions are timed."""

        def __init__(self, native):
            self._native = native

        def __getattr__(self, name):
            part = getattr(self._native, name)
            return counted(part) if callable(part) else part

    fits = [cell.cell_contents for cell in whole.__closure__ or () if isinstance(cell.cell_contents, lehr.Fit)]
    natives = [(fit, fit._native) for fit in fits]
    try:
        for owner, name, inner in kept:
            setattr(owner, name, counted(inner))
        for fit, native in natives:
            fit._native = Native(native)
        for _ in range(times):
            spent[0] = 0.0
            begun = time.perf_counter()
            whole()
            found.append((time.perf_counter() - begun, spent[0]))
    finally:
        for owner, name, inner in kept:
            setattr(owner, name, inner)
        for fit, native in natives:
            fit._native = native
    return min(found)


READ = """
import json, sys, time
paths = sys.argv[1:]
begun = time.perf_counter()
{body}
seconds = time.perf_counter() - begun
# Not ru_maxrss: that begins with what the parent had.
peak = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(json.dumps([seconds, 1.024e-3 * peak, rows]))
"""
READERS = {
    "csv": {
        "`lehr.read`": "import lehr; runs = lehr.read(paths, accept=True, progress=False); rows = sum(len(run) for run in runs)",
        "pandas, all columns": "import pandas; frames = [pandas.read_csv(path) for path in paths]; rows = sum(map(len, frames))",
        "pandas, step, loss and rate": "import pandas; frames = [pandas.read_csv(path, usecols=['step', 'lr', 'loss']) for path in paths]; rows = sum(map(len, frames))",
    },
    "jsonl": {
        "`lehr.read`": "import lehr; runs = lehr.read(paths, accept=True, progress=False); rows = sum(len(run) for run in runs)",
        "pandas": "import pandas; frames = [pandas.read_json(path, lines=True) for path in paths]; rows = sum(map(len, frames))",
    },
}


def logs(folder, megabytes):
    import bench_import

    print("| logs | reader | seconds | MB/s | peak memory, MB | rows |\n|---|---|---|---|---|---|")
    for kind, write in (("csv", bench_import.write_csv), ("jsonl", bench_import.write_jsonl)):
        paths = [folder / f"run-{i}.{kind}" for i in range(10)]
        try:
            plain = bench_import.loss
            for i, path in enumerate(paths):
                # Runs that are the same bit by bit would be counted once.
                bench_import.loss = lambda t, i=i: plain(t) + 0.01 * i
                write(path, megabytes * 100_000)
            bench_import.loss = plain
            size = sum(path.stat().st_size for path in paths) / 1e6
            found = {name: [] for name in READERS[kind]}
            for _ in range(2):
                for name, body in READERS[kind].items():
                    found[name].append(process(READ.format(body=body.replace("paths, accept", "*paths, accept")), *map(str, paths)))
            for name, taken in found.items():
                seconds, memory, rows = min(taken)
                print(f"| {kind}, {size:.0f} MB in 10 files | {name} | {seconds:.1f} | {size / seconds:.0f} | {memory:,.0f} | {rows:,} |")
        finally:
            for path in paths:
                path.unlink(missing_ok=True)
    print()


class Notebook:
    """A law as one writes it in a notebook: NumPy, a mean Huber loss of log residuals over runs, `scipy.optimize.minimize`."""

    DELTA = 1e-3

    def __init__(self, runs):
        self.parts = []
        for run in runs:
            keep = run.step >= 1.3 * run.info["warmup"]
            at, rates = run.step[keep] - 1, run.schedule.rates()
            peak = int(np.argmax(rates >= rates.max() * (1 - 1e-9)))
            falls = np.concatenate([[0.0], -np.diff(rates[peak:])])
            self.parts.append((at, np.cumsum(rates)[at], rates[at], falls, at - peak, np.log(run.loss[keep])))

    def memoryless(self, theta):
        l0, ln_a, alpha, ln_b, q = theta
        return [l0 + np.exp(ln_a) * s**-alpha + np.exp(ln_b) * (lr / 1e-3) ** q for _, s, lr, _, _, _ in self.parts]

    def cmmt(self, theta):
        from scipy.signal import lfilter

        l0, ln_a, alpha, c, ln_tau = theta
        decay = 1 - np.exp(-ln_tau)
        moved = [np.cumsum(lfilter([1.0], [1.0, -decay], falls))[at] for _, _, _, falls, at, _ in self.parts]
        return [l0 + np.exp(ln_a) * part[1] ** -alpha - c * m for part, m in zip(self.parts, moved)]

    def objective(self, law):
        def value(theta):
            total = 0.0
            for predicted, part in zip(law(theta), self.parts):
                if not (predicted > 0).all():
                    return 1e6
                r = np.abs(np.log(predicted) - part[-1])
                total += np.where(r <= self.DELTA, r * r / 2, self.DELTA * (r - self.DELTA / 2)).mean()
            return 1e6 * total / len(self.parts)

        return value


def fits(runs):
    import lehr
    from scipy.optimize import minimize

    notebook = Notebook(runs)
    laws = {
        "memoryless": (notebook.memoryless, ("l0", "a", "alpha", "b", "q"), ("a", "b")),
        "cmmt": (notebook.cmmt, ("l0", "lambda_s", "alpha_s", "c", "tau"), ("lambda_s", "tau")),
    }
    print("| law | how | objective | seconds | ratio |\n|---|---|---|---|---|")
    for name, (law, names, in_log) in laws.items():
        known = {c["name"]: c for c in lehr.law(name)["coefficients"]}

        def moved(values):
            return np.array([np.log(v) if n in in_log else v for n, v in zip(names, values)])

        bounds = [tuple(moved([known[n][end] or 1e-12 for n in names])[i] for end in ("lower", "upper")) for i in range(len(names))]
        bounds = [(0.0 if known[n]["lower"] == 0 else low, high) for n, (low, high) in zip(names, bounds)]
        start = moved([known[n]["start"] for n in names])
        objective = notebook.objective(law)
        fit = lehr.fit(runs, name, points="all", accept=True)
        stated = json.loads(fit.to_json())["solution"]["objective"]
        ours = objective(moved([fit.coefficients[n] for n in names]))
        if abs(ours - stated) > 1e-3 * stated:
            raise SystemExit(f"{name}: NumPy's objective at lehr's coefficients is {ours}, lehr's is {stated}: not the same problem")

        def scipy(starts):
            source, best = np.random.default_rng(0), None
            for i in range(starts):
                x = start if i == 0 else np.array([source.uniform(low, high) for low, high in bounds])
                found = minimize(objective, x, method="L-BFGS-B", bounds=bounds)
                best = found if best is None or found.fun < best.fun else best
            return best

        one, many = scipy(1), scipy(16)
        ours_s = least(lambda: lehr.fit(runs, name, points="all", accept=True), 5)[0]
        one_s = least(lambda: scipy(1), 2)[0]
        many_s = least(lambda: scipy(16), 1)[0]
        print(f"| {name} | `lehr.fit`: 16 starts, refits for the intervals, document | {stated:.4f} | {ours_s:.3f} | 1 |")
        print(f"| {name} | SciPy, one start, no gradient ({one.nfev} evaluations) | {one.fun:.4f} | {one_s:.2f} | {one_s / ours_s:.1f} |")
        print(f"| {name} | SciPy, 16 starts | {many.fun:.4f} | {many_s:.2f} | {many_s / ours_s:.1f} |")
    print()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("fixtures", type=pathlib.Path)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--mb", type=int, default=1000)
    parser.add_argument("--skip-logs", action="store_true")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    import lehr

    model = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), platform.processor())
    print(f"{model}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; Python {platform.python_version()}, NumPy {np.__version__}, lehr {lehr.__version__}\n")
    warnings.simplefilter("ignore")
    runs = lehr.read(given.fixtures / "runs")
    imports()
    calls(runs)
    fits(runs)
    if not given.skip_logs:
        logs(given.folder, given.mb)
    print(f"load at the end {os.getloadavg()[0]:.1f}")


main()
