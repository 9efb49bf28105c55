"""Speed of lehr against SciPy's L-BFGS-B with NumPy, in one run: same objective, data, start, gradient and tolerances.

    cargo xtask bench-scipy [FOLDER]      FOLDER: the public curves, by default ../shared/curves/multi-power-law

The NumPy side uses one thread and is written the way one would: arrays over all points of all curves at once, the gradient analytic, the
dense recurrences of the multiplicative momentum by scipy.signal.lfilter. Rust and Python runs alternate, three rounds;
the least time of each side counts.
"""

import json
import math
import os
import pathlib
import statistics
import subprocess
import sys
import time

# Arrays of a few hundred numbers: threads only get in each other's way.
for library in ("OPENBLAS", "OMP", "MKL"):
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")

import numpy as np
from scipy.optimize import minimize
from scipy.signal import lfilter

import parity

WARMUP, DELTA, SCALE = 2160, 1e-3, 1e6
TRAIN = ["25M/cosine_24000", "25M/constant_24000", "25M/wsdcon_9"]


def rust(program, *arguments):
    return json.loads(subprocess.run([program, "bench-side", *arguments], check=True, capture_output=True).stdout)


def dense_rates(folder, run):
    rows = np.loadtxt(folder / f"{run}.csv", delimiter=",", skiprows=1)
    steps = np.concatenate([[0.0, WARMUP], rows[rows[:, 0] > WARMUP, 0]])
    rates = np.concatenate([[0.0, rows[0, 1]], rows[rows[:, 0] > WARMUP, 1]])
    return np.interp(np.arange(1, rows[-1, 0] + 1), steps, rates)


class Problem:
    """Huber on log losses, mean over points, then over curves, times 1e6; gradient on the solver's scale."""

    def __init__(self, side, folder):
        self.theta = np.array(side["theta"])
        self.free = np.array(side["free"])
        self.log = np.array(side["log"])
        self.at = {name: i for i, name in enumerate(side["coefficients"])}
        effect, target, weight, ln_n, momentum = [], [], [], [], []
        self.falls, self.picks, points = [], [], side["points"]
        for run in points:
            rates = dense_rates(folder, run["id"])
            index = np.array(run["step"]) - 1
            effect.append(np.cumsum(rates)[index])
            target.append(np.log(run["loss"]))
            weight.append(np.full(len(index), SCALE / (len(points) * len(index))))
            ln_n.append(np.full(len(index), math.log(run["n8"])))
            first = int(np.argmax(rates >= rates.max() * (1 - 1e-9)))
            falls = np.concatenate([[0.0], -np.diff(rates[first:])])
            self.falls.append(falls)
            self.picks.append(index - first)
            if side["law"] == "forward-momentum":
                rows = list(range(first + 1, len(rates) + 1))
                momentum.append(np.array(parity.asmt(rows, rates[first:].tolist()))[index - first])
        self.ln_effect = np.log(np.concatenate(effect))
        self.target = np.concatenate(target)
        self.weight = np.concatenate(weight)
        self.ln_n = np.concatenate(ln_n)
        self.momentum = np.concatenate(momentum) if momentum else None
        self.several = len(set(self.ln_n)) > 1

    def cmmt(self, tau):
        """M and dM/dτ at the points, by the dense recurrence."""
        decay = 1 - 1 / tau
        values, slopes = [], []
        for falls, picks in zip(self.falls, self.picks):
            m = lfilter([1.0], [1.0, -decay], falls)
            m_by = lfilter([0.0, 1.0], [1.0, -decay], m) / tau**2
            values.append(np.cumsum(m)[picks])
            slopes.append(np.cumsum(m_by)[picks])
        return np.concatenate(values), np.concatenate(slopes)

    def __call__(self, z):
        theta = self.theta.copy()
        theta[self.free] = np.where(self.log, np.exp(z), z)
        at = self.at
        jacobian = np.zeros((len(theta), len(self.target)))
        descent = np.exp(-theta[at["alpha_s"]] * self.ln_effect)
        loss = theta[at["l0"]] + theta[at["lambda_s"]] * descent
        jacobian[at["l0"]] = 1.0
        jacobian[at["lambda_s"]] = descent
        jacobian[at["alpha_s"]] = -theta[at["lambda_s"]] * descent * self.ln_effect
        if self.several:
            size = np.exp(-theta[at["alpha_n"]] * self.ln_n)
            loss += theta[at["lambda_n"]] * size
            jacobian[at["lambda_n"]] = size
            jacobian[at["alpha_n"]] = -theta[at["lambda_n"]] * size * self.ln_n
        if "tau" in at:
            momentum, slope = self.cmmt(theta[at["tau"]])
            jacobian[at["tau"]] = -theta[at["c"]] * slope
        else:
            momentum = self.momentum
        loss -= theta[at["c"]] * momentum
        jacobian[at["c"]] = -momentum
        residual = np.log(loss) - self.target
        clipped = np.clip(residual, -DELTA, DELTA)
        value = self.weight @ (clipped * (residual - 0.5 * clipped))
        by_theta = jacobian @ (self.weight * clipped / loss)
        gradient = by_theta[self.free] * np.where(self.log, theta[self.free], 1.0)
        return value, gradient


def timed(run, budget=1.0):
    """Least seconds and last result of repeated calls."""
    least, begun, count, result = math.inf, time.perf_counter(), 0, None
    while count < 3 or time.perf_counter() - begun < budget:
        start = time.perf_counter()
        result = run()
        least = min(least, time.perf_counter() - start)
        count += 1
    return least, result


def fits(program, folder, law, runs, label):
    side = rust(program, "fit", law, str(folder), *runs)
    problem = Problem(side, folder)
    start = np.array(side["start"])
    value, _ = problem(start)
    gap = abs(value / side["objective_at_start"] - 1)
    # The production momentum is a closed form over nodes; the dense recurrence differs by less than a thousandth.
    allowed = 1e-9 if law == "forward-momentum" else 5e-3
    if gap > allowed:
        sys.exit(f"{law}: the two objectives differ at the start by {gap:.1e}")
    bounds = list(zip(side["lower"], side["upper"]))
    options = {"gtol": 1e-7, "ftol": 1e-11, "maxiter": 1000, "maxfun": 100_000}

    def solve():
        return minimize(problem, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options)

    def solve_without_gradient():
        value_only = lambda z: problem(z)[0]
        return minimize(value_only, start, method="L-BFGS-B", bounds=bounds, options=options)

    differences, rough = timed(solve_without_gradient, 0.5)
    ours, theirs, newton, result = [side["seconds"]], [], [side["seconds_newton"]], None
    for _ in range(3):
        seconds, result = timed(solve)
        theirs.append(seconds)
        again = rust(program, "fit", law, str(folder), *runs)
        ours.append(again["seconds"])
        newton.append(again["seconds_newton"])
    one, _ = timed(lambda: problem(start), 0.3)
    points = len(problem.target)
    print(
        f"| {law}, {label} | {points} | {1e3 * min(theirs):.2f} ms ({result.nfev} ev.) | {1e3 * min(ours):.3f} ms "
        f"({side['evaluations']} ev.) | **{min(theirs) / min(ours):.0f}×** | {1e6 * one:.0f} / "
        f"{1e6 * side['seconds_evaluation']:.1f} µs | {result.fun:.6f} / {side['objective']:.6f} | "
        f"{1e3 * min(newton):.3f} ms, **{min(theirs) / min(newton):.0f}×** | "
        f"{1e3 * differences:.2f} ms ({rough.nfev} ev.), **{differences / min(ours):.0f}×** |",
        flush=True,
    )


def features(program):
    total = 100_000
    rates = [
        1e-3 * t / 2000 if t <= 2000 else 1e-3 if t <= 80_000 else 1e-3 * (total - t) / 20_000
        for t in range(1, total + 1)
    ]
    rows = np.arange(1, total + 1)
    arrays = np.array(rates)
    steps = rows.tolist()

    def over_lists():
        return parity.logged_forward_effect(steps, rates), parity.asmt(steps, rates)

    def over_arrays():
        return parity.logged_forward_effect(rows, arrays), parity.asmt(rows, arrays)

    mine = [rust(program, "features") for _ in range(2)]
    lists, (effect, momentum) = timed(over_lists, 2.0)
    arrayed, _ = timed(over_arrays, 2.0)
    mine.append(rust(program, "features"))
    ours = min(side["seconds_all"] for side in mine)
    assert abs(momentum[-1] / mine[0]["final_momentum"] - 1) < 1e-9, (momentum[-1], mine[0])
    assert abs(effect[-1] / mine[0]["final_forward_effect"] - 1) < 1e-9
    print(f"| loop over NumPy arrays | {1e3 * arrayed:.1f} ms | {1e3 * ours:.3f} ms | **{arrayed / ours:.0f}×** |")
    print(f"| loop over Python lists | {1e3 * lists:.1f} ms | {1e3 * ours:.3f} ms | **{lists / ours:.0f}×** |")


def main():
    program = sys.argv[1]
    root = pathlib.Path(__file__).resolve().parent.parent
    folder = pathlib.Path(sys.argv[2]) if len(sys.argv) > 2 else root / "../shared/curves/multi-power-law"
    everything = sorted(f"{path.parent.name}/{path.stem}" for path in folder.glob("*/*.csv"))
    if not everything:
        sys.exit(f"no curves in {folder}")
    print(f"NumPy {np.__version__}, Python {sys.version.split()[0]}\n")
    print("| fit from one start | points | SciPy | lehr, L-BFGS-B | ratio | one evaluation | objectives | lehr, Gauss–Newton | SciPy without a gradient |")
    print("|---|---|---|---|---|---|---|---|---|")
    for law in ("forward-momentum", "cmmt"):
        fits(program, folder, law, TRAIN, "3 curves")
        fits(program, folder, law, everything, f"{len(everything)} curves")
    print("\n| S and M of 100,000 updates | Python | lehr (with nodes) | ratio |")
    print("|---|---|---|---|")
    features(program)
    print("\n| objective and gradient | curves | points | least | median |")
    print("|---|---|---|---|---|")
    for law in ("noise-relaxation", "forward-momentum", "cmmt", "multi-power", "fsl"):
        sides = [rust(program, "objective", law, str(folder), *everything) for _ in range(3)]
        least = min(side["seconds"] for side in sides)
        median = statistics.median(side["seconds_median"] for side in sides)
        print(f"| {law} | {sides[0]['runs']} | {sides[0]['points']} | {1e6 * least:.0f} µs | {1e6 * median:.0f} µs |")


if __name__ == "__main__":
    main()
