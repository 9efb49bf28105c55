"""Reference values of features and laws, computed from the formulas alone.

Everything here is written from the equations in docs/laws, with one plain loop over every update: no nodes, no modes,
no closed forms. It shares no code with the Rust crate. The Rust tests compare against the file this writes.

    python tools/parity.py           writes fixtures/reference/parity.json
    python tools/parity.py --check   recomputes and compares with the file (relative tolerance 1e-12)
"""

import json
import math
import pathlib
import sys

import numpy as np

FILE = pathlib.Path(__file__).resolve().parent.parent / "fixtures" / "reference" / "parity.json"
TOTAL, WARMUP = 1000, 60
STRIDES = [1, 5, 10, 50, 100]
TAUS = [20.0, 150.0, 2000.0]


def schedules():
    """name -> (description, rates of updates 1 … T)."""

    def wsd(peak, final, anneal, fall):
        rates = []
        for t in range(1, TOTAL + 1):
            if t <= WARMUP:
                rates.append(peak * t / WARMUP)
            elif t <= TOTAL - anneal:
                rates.append(peak)
            else:
                rates.append(final + (peak - final) * fall((t - (TOTAL - anneal)) / anneal))
        return rates

    def described(peak, final, anneal, shape, fall):
        text = {"peak_lr": peak, "final_lr": final, "warmup": WARMUP, "anneal": anneal, "shape": shape}
        return text, wsd(peak, final, anneal, fall)

    two_stage = [1e-3 * t / WARMUP if t <= WARMUP else 1e-3 if t < 500 else 2e-4 for t in range(1, TOTAL + 1)]
    return {
        "linear-to-zero": described(1e-3, 0.0, 300, "linear", lambda p: 1 - p),
        "cosine": described(8e-4, 8e-5, TOTAL - WARMUP, "cosine", lambda p: (1 + math.cos(math.pi * p)) / 2),
        "one-minus-sqrt": described(6e-4, 1e-4, 200, "one_minus_sqrt", lambda p: 1 - math.sqrt(p)),
        "two-stage": (None, two_stage),
    }


def asmt(steps, rates, beta1=0.9, beta2=0.999, eps=1e-8, v_scale=1e5):
    """Annealing momentum M over rows; the powers of beta by repeated multiplication."""
    m = v = total = 0.0
    power1 = power2 = 1.0
    out = []
    for i in range(len(steps)):
        d = (rates[i - 1] - rates[i]) * (steps[i] - steps[i - 1]) if i else 0.0
        m = beta1 * m + (1 - beta1) * d
        v = beta2 * v + (1 - beta2) * d * d
        power1 *= beta1
        power2 *= beta2
        m_hat = m / (1 - power1)
        v_hat = v / (1 - power2)
        total += m_hat / (math.sqrt(v_scale * v_hat + eps) + eps)
        out.append(total)
    return out


def forward_effect(rates, points):
    sums, total = {}, 0.0
    for t, rate in enumerate(rates, start=1):
        total += rate
        sums[t] = total
    return [sums[t] for t in points]


def logged_forward_effect(steps, rates):
    """S as the published code computes it on logged rows."""
    out = [rates[0] * steps[0]]
    for i in range(1, len(steps)):
        out.append(out[-1] + rates[i] * (steps[i] - steps[i - 1]))
    return out


def first_peak(rates):
    """Update at which the rate first reaches its largest value."""
    return next(t for t, rate in enumerate(rates, start=1) if rate >= max(rates) * (1 - 1e-9))


def strided(rates, points, stride, first):
    rows = list(range(first, len(rates) + 1, stride))
    momentum = asmt(rows, [rates[t - 1] for t in rows])
    out = []
    for point in points:
        before = [m for t, m in zip(rows, momentum) if t <= point]
        out.append(before[-1] if before else 0.0)
    return out


def cmmt(rates, points, tau):
    """M = Σ m_i, m_i = λ m_{i−1} + (η_{i−1} − η_i), from the peak on."""
    first = first_peak(rates)
    m = total = 0.0
    at = {}
    for t in range(1, len(rates) + 1):
        if t > first:
            m = (1 - 1 / tau) * m + (rates[t - 2] - rates[t - 1])
            total += m
        at[t] = total
    return [at[t] for t in points]


def noise(rates, points, clock, peak_clock, level, kappa, substeps=24):
    """dY/dt = κ e^clock pk^peak_clock (e^level − Y), the rate linear between updates, e in 1e-3, t in 1000 updates."""
    y, peak, at = 0.0, 0.0, {}
    for t in range(1, len(rates) + 1):
        before = (rates[t - 2] if t > 1 else 0.0) * 1e3
        after = rates[t - 1] * 1e3
        peak = max(peak, after)
        for k in range(substeps):
            e = before + (after - before) * (k + 0.5) / substeps
            if e > 0:
                x = kappa * e**clock * peak**peak_clock * 1e-3 / substeps
                y += (e**level - y) * (1 - math.exp(-x))
        at[t] = (y, peak)
    return [at[t] for t in points]


def bound(rates, point):
    """The two sums of the convex bound over updates 1 … point, updates at rate 0 left out."""
    eta = np.array([rate for rate in rates[:point] if rate > 0])
    n = len(eta)
    first = 1 / (2 * eta.sum())
    second = (eta**2).sum() / (2 * eta.sum())
    for k in range(n - 1):
        tail = eta[k:]
        second += 0.5 * eta[k] / eta[k + 1 :].sum() * (tail**2).sum() / tail.sum()
    return first, second


def multi_power(rates, point, c, gamma, beta):
    first = first_peak(rates)
    gain = 0.0
    for k in range(first + 1, point + 1):
        if rates[k - 1] > 0:
            e = rates[k - 1] * 1e3
            since = math.fsum(rates[k - 1 : point])
            fall = (rates[k - 2] - rates[k - 1]) * 1e3
            gain += fall * (1 - (1 + c * e**-gamma * since) ** -beta)
    return gain


def fsl(rates, point, c, g):
    total = math.fsum(rates[:point])
    sums, value = 0.0, 0.0
    for rate in rates[:point]:
        sums += rate
        value += 1e3 * rate * rate * (1 + c * (total - sums)) ** -g
    return value


# Tokens an update of the runs that a batch is held against.
REFERENCE_BATCH = 125_000

THETA = {
    "noise-relaxation": [2.1, 0.5, 0.52, 0.2, 9.0, 0.08, 0.54, 0.6, -0.3, 1.1, -0.2, 0.4, 0.3, 0.05, -0.1, 0.07, 0.45, -0.4, -0.3, 0.06, 0.07],
    "exponential-memory": [2.1, 0.5, 0.52, 0.2, 9.0, 0.9, 0.7, 0.4, 0.3],
    "forward-momentum": [2.1, 0.5, 0.52, 0.06, 0.4, 0.3],
    "cmmt": [2.1, 0.5, 0.52, 1.4, 150.0, 0.4, 0.3],
    "multi-power": [2.1, 0.5, 0.52, 0.45, 60.0, 0.6, 0.5, 0.4, 0.3],
    "fsl": [2.1, 0.5, 0.52, 2.0, 40.0, 1.2, 0.4, 0.3],
    "memoryless": [2.1, 0.5, 0.52, 0.2, 0.7, 0.4, 0.3],
    "convex-bound": [2.1, 0.8, 90.0, 0.4, 0.3],
    "chinchilla": [1.9, 0.7, 0.35, 0.4, 0.3],
    "chinchilla-steps": [1.9, 0.7, 0.35, 0.4, 0.3],
}


def law_values(rates, points, n8, tokens):
    effect = forward_effect(rates, points)
    out = {}

    l0, a, alpha, b, kappa, s0, e_c, q, delta, p, w, e_n, alpha_n, g_a, g_b, g_k, beta_s, beta_y, g_ec, grow, start = THETA["noise-relaxation"]
    saturating, at = 0.0, {}
    for t, rate in enumerate(rates, start=1):
        e = rate * 1e3
        saturating += (tokens / REFERENCE_BATCH) ** beta_s * e / (1 + e / (e_c * n8**g_ec)) * 1e-3
        at[t] = saturating
    states = noise(rates, points, p, w - p, q, kappa * n8**g_k)
    out["noise-relaxation"] = [
        l0 + e_n * n8**-alpha_n + a * n8**g_a * (at[t] + s0) ** -alpha
        + b * n8**g_b * (tokens / REFERENCE_BATCH) ** beta_y * peak**delta * (1 + at[t]) ** grow * y
        + start / (t / 1000 + 0.1) ** 2
        for t, (y, peak) in zip(points, states)
    ]

    l0, a, alpha, b, kappa, p, q, lam, alpha_n = THETA["exponential-memory"]
    states = noise(rates, points, p, 0.0, q, kappa)
    out["exponential-memory"] = [
        l0 + lam * n8**-alpha_n + a * s**-alpha + b * y for s, (y, _) in zip(effect, states)
    ]

    l0, lam_s, alpha, c, lam, alpha_n = THETA["forward-momentum"]
    momentum = strided(rates, points, 1, first_peak(rates))
    out["forward-momentum"] = [
        l0 + lam_s * s**-alpha + lam * n8**-alpha_n - c * m for s, m in zip(effect, momentum)
    ]

    l0, lam_s, alpha, c, tau, lam, alpha_n = THETA["cmmt"]
    out["cmmt"] = [
        l0 + lam_s * s**-alpha + lam * n8**-alpha_n - c * m for s, m in zip(effect, cmmt(rates, points, tau))
    ]

    l0, a, alpha, b, c, gamma, beta, lam, alpha_n = THETA["multi-power"]
    out["multi-power"] = [
        l0 + a * s**-alpha + lam * n8**-alpha_n - b * multi_power(rates, t, c, gamma, beta)
        for s, t in zip(effect, points)
    ]

    l0, a, alpha, b, c, g, lam, alpha_n = THETA["fsl"]
    out["fsl"] = [
        l0 + a * s**-alpha + lam * n8**-alpha_n + b * fsl(rates, t, c, g) for s, t in zip(effect, points)
    ]

    l0, a, alpha, b, q, lam, alpha_n = THETA["memoryless"]
    out["memoryless"] = [
        l0 + a * s**-alpha + lam * n8**-alpha_n + b * (rates[t - 1] * 1e3) ** q for s, t in zip(effect, points)
    ]

    l0, d2, g2, lam, alpha_n = THETA["convex-bound"]
    out["convex-bound"] = []
    for t in points:
        first, second = bound(rates, t)
        out["convex-bound"].append(float(l0 + d2 * first + g2 * second + lam * n8**-alpha_n))

    e, b, beta, a, alpha = THETA["chinchilla"]
    out["chinchilla"] = [e + a * n8**-alpha + b * (tokens * t / 1e9) ** -beta for t in points]
    e, b, beta, a, alpha = THETA["chinchilla-steps"]
    out["chinchilla-steps"] = [e + a * n8**-alpha + b * (t / 1e3) ** -beta for t in points]
    return out


def huber(r, delta):
    return 0.5 * r * r if abs(r) <= delta else delta * (abs(r) - 0.5 * delta)


def compute():
    points = list(range(40, TOTAL + 1, 40))
    # Logged rows as a trainer writes them: irregular at the start, at the end and around a restart.
    rows = sorted({1, 7, 37, *range(50, TOTAL, 50), 333, 771, TOTAL})
    document = {"points": points, "rows": rows, "theta": THETA, "tokens_per_step": 500_000, "schedules": []}
    sizes = [25_000_000, 124_000_000, 400_000_000, 1_000_000_000]
    for (name, (description, rates)), size in zip(schedules().items(), sizes):
        logged = [rates[t - 1] for t in rows]
        document["schedules"].append(
            {
                "name": name,
                "params": size,
                "wsd": description,
                "rates": rates,
                "forward_effect": forward_effect(rates, points),
                "momentum": {
                    "warmup": {str(k): strided(rates, points, k, 1) for k in STRIDES},
                    "no_warmup": {str(k): strided(rates, points, k, first_peak(rates)) for k in STRIDES},
                    "logged_rows": asmt(rows, logged),
                },
                "logged_forward_effect": logged_forward_effect(rows, logged),
                "cmmt": {str(tau): cmmt(rates, points, tau) for tau in TAUS},
                "laws": law_values(rates, points, size / 1e8, 500_000),
            }
        )
    residuals = [-0.5, -2e-3, -1e-3, -3e-4, 0.0, 1e-5, 9.99e-4, 1e-3, 1.001e-3, 0.02]
    document["huber"] = [
        {"delta": delta, "residual": r, "value": huber(r, delta)} for delta in (1e-3, 3e-3) for r in residuals
    ]
    return document


def differences(new, old, path=""):
    """Every place where two documents differ by more than 1e-12, relative."""
    if isinstance(new, dict) and isinstance(old, dict):
        for key in sorted(set(new) | set(old)):
            if key not in new or key not in old:
                yield f"{path}/{key}: only in one of the two"
            else:
                yield from differences(new[key], old[key], f"{path}/{key}")
    elif isinstance(new, list) and isinstance(old, list):
        if len(new) != len(old):
            yield f"{path}: {len(new)} entries, {len(old)} in the file"
        for i, (a, b) in enumerate(zip(new, old)):
            yield from differences(a, b, f"{path}/{i}")
    elif isinstance(new, float) or isinstance(old, float):
        if abs(new - old) > 1e-12 * max(abs(new), abs(old)):
            yield f"{path}: {new!r}, {old!r} in the file"
    elif new != old:
        yield f"{path}: {new!r}, {old!r} in the file"


def main():
    document = json.loads(json.dumps(compute()))
    if "--check" in sys.argv[1:]:
        found = list(differences(document, json.loads(FILE.read_text())))
        if found:
            sys.exit("the reference file is not what this script computes:\n" + "\n".join(found[:20]))
        print(f"{FILE.name}: agrees with the computation (NumPy {np.__version__})")
    else:
        FILE.parent.mkdir(parents=True, exist_ok=True)
        text = ",\n".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in document.items())
        FILE.write_text("{\n" + text + "\n}\n")
        print(f"wrote {FILE}")


if __name__ == "__main__":
    main()
