//! The multi-power law.

use super::modes::{DEFAULT_STEP, MAX_MODES, Modes};
use super::terms::{descent, size_term};
use super::{Coefficient, DataSummary, Law, Role, Scale, coefficient};
use crate::features::RunFeatures;
use crate::vector_math::{exp_each, vectorised};

/// The multi-power law: every fall of the rate lowers the loss by an amount that is reached along a power law.
///
/// Strong at one peak rate. Computed in O(K) an interval of the schedule (K about 30) instead of O(T²).
///
/// # Formula
/// ```text
/// L(t) = L₀ + A·S^-α − B·Σ_k (e_{k−1} − e_k)·[1 − (1 + C·e_k^-γ·S_k(t))^-β] + λ_N·N₈^-α_N,   S_k(t) = Σ_{i=k}^t η_i
/// ```
/// | symbol | name | unit |
/// |---|---|---|
/// | e | rate | 10⁻³ |
/// | S | forward effect from update 1, warm-up included | rate · updates |
/// | S_k | forward effect from update k | rate · updates |
/// | N₈ | parameters | 10⁸ |
///
/// k runs over the updates after the warm-up. Published coefficients use e in units of 1: B = B_pub·10⁻³,
/// C = C_pub·10^(3γ). An update at rate 0 changes nothing and is no source; in e^-γ a rate counts as at least a
/// thousandth of the peak.
///
/// # Source
/// Luo et al., A Multi-Power Law for Loss Curve Prediction Across Learning Rate Schedules, 2025, eq. 3; their S_W is
/// the warm-up's share of S here. The sum of exponentials is ours: `docs/laws/multi-power.md`.
#[derive(Debug, Clone, Copy)]
pub struct MultiPower;

const L0: usize = 0;
const A: usize = 1;
const ALPHA: usize = 2;
const B: usize = 3;
const C: usize = 4;
const GAMMA: usize = 5;
const BETA: usize = 6;
const LAMBDA_N: usize = 7;
const ALPHA_N: usize = 8;
const COUNT: usize = 9;

/// Rates below this share of the peak count as this share in e^-γ.
const SMALLEST_SHARE: f64 = 1e-3;
/// Largest C'·ΔS that one Gauss rule spans.
const GAUSS_SPAN: f64 = 6.0;

static COEFFICIENTS: [Coefficient; COUNT] = [
    coefficient("l0", "L₀", "nats", 1e-6, 8.0, Scale::Linear, 2.0),
    coefficient("a", "A", "nats", 2.5e-3, 54.6, Scale::Log, 0.6),
    coefficient("alpha", "α", "", 0.05, 4.0, Scale::Linear, 0.5),
    coefficient("b", "B", "nats/10⁻³", 1e-4, 100.0, Scale::Log, 0.4),
    coefficient("c", "C", "1/(rate·updates)", 1e-3, 1e4, Scale::Log, 30.0),
    coefficient("gamma", "γ", "", 0.0, 1.5, Scale::Linear, 0.5),
    coefficient("beta", "β", "", 0.05, 3.0, Scale::Linear, 0.5),
    coefficient("lambda_n", "λ_N", "nats", 1e-3, 54.6, Scale::Log, 0.5),
    coefficient("alpha_n", "α_N", "", 0.02, 1.5, Scale::Linear, 0.25),
];

impl Law for MultiPower {
    fn name(&self) -> &'static str {
        "multi-power"
    }

    fn aliases(&self) -> &'static [&'static str] {
        &["mpl", "multi-power-law"]
    }

    fn equation(&self) -> &'static str {
        "L = L₀ + A·S^-α − B·Σ_k (e_{k−1} − e_k)·[1 − (1 + C·e_k^-γ·S_k)^-β] + λ_N·N₈^-α_N"
    }

    fn source(&self) -> &'static str {
        "Luo et al., A Multi-Power Law for Loss Curve Prediction Across Learning Rate Schedules, 2025, eq. 3"
    }

    fn limits(&self) -> &'static [&'static str] {
        &[
            "what a fall of the rate gains is proportional to the fall in absolute rate: it does not carry over between peak rates",
            "S grows with the rate without end: the law always prefers a larger peak rate",
            "from one peak rate C, γ and β trade off: γ and β then have priors (.6 ± .1, .5 ± .1), without which the converged fit tests worse than the published, early-stopped one",
            "λ_N is not identifiable from one size: the term is then part of L₀",
        ]
    }

    fn coefficients(&self) -> &'static [Coefficient] {
        &COEFFICIENTS
    }

    fn linear(&self) -> &'static [usize] {
        &[L0, A, B, LAMBDA_N]
    }

    fn roles(&self, data: &DataSummary) -> Vec<Role> {
        let mut roles: Vec<Role> = COEFFICIENTS.iter().map(|c| Role::Free { start: c.start }).collect();
        super::descent_roles(data, &mut roles, L0, A);
        if data.peak_lrs.len() < 2 {
            // From one peak rate γ and β wander along a valley with C; the published fits stopped early instead.
            roles[GAMMA] = Role::Prior { mean: 0.6, sd: 0.1 };
            roles[BETA] = Role::Prior { mean: 0.5, sd: 0.1 };
        }
        super::size_roles(data, &mut roles, LAMBDA_N, ALPHA_N);
        roles
    }

    fn predict(&self, theta: &[f64], run: &RunFeatures, loss: &mut [f64]) {
        evaluate::<false>(theta, run, DEFAULT_STEP, loss, &mut []);
    }

    fn predict_with_jacobian(
        &self,
        theta: &[f64],
        run: &RunFeatures,
        loss: &mut [f64],
        jacobian: &mut [f64],
    ) {
        evaluate::<true>(theta, run, DEFAULT_STEP, loss, jacobian);
    }
}

fn evaluate<const JACOBIAN: bool>(
    theta: &[f64],
    run: &RunFeatures,
    step: f64,
    loss: &mut [f64],
    jacobian: &mut [f64],
) {
    let (a, b) = (theta[A], theta[B]);
    vectorised(
        #[inline(always)]
        || {
            gain::<JACOBIAN>(theta, run, step, |point, gain| {
                loss[point] = gain.value;
                if JACOBIAN {
                    let row = &mut jacobian[point * COUNT..(point + 1) * COUNT];
                    row[B] = -gain.value;
                    row[C] = -b * gain.by_c;
                    row[GAMMA] = -b * gain.by_gamma;
                    row[BETA] = -b * gain.by_beta;
                }
            });
        },
    );
    let size = size_term(theta[LAMBDA_N], theta[ALPHA_N], run);
    let floor = theta[L0] + size.value;
    descent(theta[ALPHA], run, |first, unit| {
        for (i, u) in unit.iter().enumerate() {
            let i = first + i;
            loss[i] = floor + a * u - b * loss[i];
            if JACOBIAN {
                let row = &mut jacobian[i * COUNT..(i + 1) * COUNT];
                row[L0] = 1.0;
                row[A] = *u;
                row[ALPHA] = -a * u * run.ln_forward_effect[i];
                row[LAMBDA_N] = size.by_lambda;
                row[ALPHA_N] = size.by_alpha;
            }
        }
    });
}

/// Σ_k (e_{k−1} − e_k)·[1 − (1 + C·e_k^-γ·S_k)^-β] at one point, with its derivatives.
#[derive(Debug, Clone, Copy, Default)]
struct Gain {
    value: f64,
    by_c: f64,
    by_gamma: f64,
    by_beta: f64,
}

/// Sums over the sources k so far, for every mode v: E = exp(−v·(ρ_k + C'·S_k)), Δ_k = e_{k−1} − e_k, r = e/peak,
/// ρ = r^γ, C' = C·peak^-γ, so that (1 + C·e^-γ·S)^-β = ρ^β·(ρ + C'·S)^-β.
#[derive(Clone)]
struct Sums {
    /// Σ Δ ρ^β E.
    plain: [f64; MAX_MODES],
    /// Σ Δ ρ^β S_k E.
    by_effect: [f64; MAX_MODES],
    /// Σ Δ ρ^β ln r E.
    by_share: [f64; MAX_MODES],
    /// Σ Δ ρ^(β+1) ln r E.
    by_offset: [f64; MAX_MODES],
    /// E of the interval or source at hand.
    decay: [f64; MAX_MODES],
    /// Σ Δ.
    fall: f64,
    /// Σ Δ ρ^β.
    lasting: f64,
    /// Σ Δ ρ^β ln r.
    lasting_by_share: f64,
}

impl Sums {
    fn new() -> Self {
        Self {
            plain: [0.0; MAX_MODES],
            by_effect: [0.0; MAX_MODES],
            by_share: [0.0; MAX_MODES],
            by_offset: [0.0; MAX_MODES],
            decay: [0.0; MAX_MODES],
            fall: 0.0,
            lasting: 0.0,
            lasting_by_share: 0.0,
        }
    }

    /// Takes the decay for an interval of forward effect `effect`.
    #[inline(always)]
    fn set_decay(&mut self, modes: &Modes, c: f64, effect: f64) {
        let n = modes.count;
        for (d, v) in self.decay[..n].iter_mut().zip(&modes.speed[..n]) {
            *d = -v * (c * effect);
        }
        exp_each(&mut self.decay[..n]);
    }

    /// Lets all sources so far age by `effect`, whose decay has been set.
    #[inline(always)]
    fn age<const DERIVATIVE: bool>(&mut self, modes: &Modes, effect: f64) {
        let n = modes.count;
        if DERIVATIVE {
            for j in 0..n {
                let decay = self.decay[j];
                self.by_effect[j] = (self.by_effect[j] + effect * self.plain[j]) * decay;
                self.by_share[j] *= decay;
                self.by_offset[j] *= decay;
                self.plain[j] *= decay;
            }
        } else {
            for (p, d) in self.plain[..n].iter_mut().zip(&self.decay[..n]) {
                *p *= d;
            }
        }
    }

    /// Adds a source: a fall `delta` to the rate `share`·peak, `effect` ago.
    #[inline(always)]
    fn add<const DERIVATIVE: bool>(
        &mut self,
        modes: &Modes,
        power: &Power,
        delta: f64,
        share: f64,
        effect: f64,
    ) {
        if share <= 0.0 || delta == 0.0 {
            return;
        }
        let ln_share = share.max(SMALLEST_SHARE).ln();
        let offset = (power.gamma * ln_share).exp();
        let weight = delta * (power.gamma * power.beta * ln_share).exp();
        self.fall += delta;
        self.lasting += weight;
        self.lasting_by_share += weight * ln_share;
        let n = modes.count;
        let reach = offset + power.c * effect;
        for (d, v) in self.decay[..n].iter_mut().zip(&modes.speed[..n]) {
            *d = -v * reach;
        }
        exp_each(&mut self.decay[..n]);
        if DERIVATIVE {
            for j in 0..n {
                let e = weight * self.decay[j];
                self.plain[j] += e;
                self.by_effect[j] += e * effect;
                self.by_share[j] += e * ln_share;
                self.by_offset[j] += e * (ln_share * offset);
            }
        } else {
            for (p, d) in self.plain[..n].iter_mut().zip(&self.decay[..n]) {
                *p += weight * d;
            }
        }
    }

    /// Adds the source at update `x` of an interval, 1 ≤ x ≤ n, which stands for a share of the interval's fall.
    // A method and no closure: a closure is compiled apart, without the machine's wider registers.
    #[inline(always)]
    fn add_within<const DERIVATIVE: bool>(
        &mut self,
        modes: &Modes,
        power: &Power,
        interval: &Interval,
        x: f64,
        share_of_fall: f64,
    ) {
        let delta = interval.start - interval.end;
        let rate = interval.start - delta * x / interval.updates;
        let since = (interval.updates - x + 1.0) * 0.5 * (rate + interval.end) * 1e-3;
        self.add::<DERIVATIVE>(modes, power, delta * share_of_fall, rate / interval.peak, since);
    }

    #[inline(always)]
    fn gain<const DERIVATIVE: bool>(&self, modes: &Modes, power: &Power) -> Gain {
        let n = modes.count;
        let mut rest = modes.lasting * self.lasting;
        for (p, w) in self.plain[..n].iter().zip(&modes.weight[..n]) {
            rest += p * w;
        }
        let mut gain = Gain { value: self.fall - rest, ..Gain::default() };
        if DERIVATIVE {
            let (mut by_effect, mut by_share, mut by_offset) =
                (0.0, modes.lasting * self.lasting_by_share, 0.0);
            let mut by_weight = modes.lasting_by * self.lasting;
            for j in 0..n {
                let (w, v) = (modes.weight[j], modes.speed[j]);
                by_effect -= w * v * self.by_effect[j];
                by_share += w * self.by_share[j];
                by_offset -= w * v * self.by_offset[j];
                by_weight += modes.weight_by[j] * self.plain[j];
            }
            gain.by_c = -by_effect * power.c_by_c;
            gain.by_gamma = -(power.beta * by_share + by_offset - by_effect * power.c * power.ln_peak);
            gain.by_beta = -(by_weight + power.gamma * by_share);
        }
        gain
    }
}

/// A straight piece of the schedule.
struct Interval {
    /// Rate before its first update.
    start: f64,
    /// Rate of its last update.
    end: f64,
    updates: f64,
    /// Highest rate of the run.
    peak: f64,
}

/// The coefficients of the sum, relative to the peak rate.
struct Power {
    beta: f64,
    gamma: f64,
    /// C' = C·peak^-γ.
    c: f64,
    /// ∂C'/∂C.
    c_by_c: f64,
    ln_peak: f64,
}

#[inline(always)]
fn gain<const DERIVATIVE: bool>(
    theta: &[f64],
    run: &RunFeatures,
    step: f64,
    mut at_point: impl FnMut(usize, &Gain),
) {
    let nodes = &run.nodes;
    let peak = nodes.highest;
    let ln_peak = peak.ln();
    let c_by_c = (-theta[GAMMA] * ln_peak).exp();
    let power = Power { beta: theta[BETA], gamma: theta[GAMMA], c: theta[C] * c_by_c, c_by_c, ln_peak };
    let total = nodes.total_effect;
    let mut modes = None;
    let mut sums = Sums::new();
    let mut value = Gain::default();
    let mut point = 0;
    // A constant rate logged at a regular pace repeats the same interval: its decay is kept.
    let mut kept = (f64::NAN, f64::NAN);
    for k in 0..nodes.len() {
        let before = nodes.side[k].then(|| sums.clone());
        let (start, end, n) = (nodes.start[k], nodes.end[k], nodes.updates[k]);
        let delta = start - end;
        if k >= nodes.after_warmup && (delta != 0.0 || modes.is_some()) {
            let modes = modes.get_or_insert_with(|| Modes::new(power.beta, power.c * total, step));
            if delta == 0.0 {
                let effect = n * start * 1e-3;
                if kept != (n, start) {
                    kept = (n, start);
                    sums.set_decay(modes, power.c, effect);
                }
                sums.age::<DERIVATIVE>(modes, effect);
            } else {
                kept = (f64::NAN, f64::NAN);
                let effect = nodes.forward_effect[k];
                if sums.fall != 0.0 || sums.lasting != 0.0 {
                    sums.set_decay(modes, power.c, effect);
                    sums.age::<DERIVATIVE>(modes, effect);
                }
                let interval = Interval { start, end, updates: n, peak };
                if n <= 4.0 {
                    for x in 1..=n as u64 {
                        sums.add_within::<DERIVATIVE>(modes, &power, &interval, x as f64, 1.0 / n);
                    }
                } else {
                    let spans = (power.c * effect / GAUSS_SPAN).ceil().clamp(1.0, 16.0);
                    let width = n / spans;
                    for span in 0..spans as u64 {
                        let middle = 0.5 + width * (span as f64 + 0.5);
                        for (offset, weight) in GAUSS {
                            let x = (middle + offset * width).clamp(1.0, n);
                            sums.add_within::<DERIVATIVE>(modes, &power, &interval, x, weight / spans);
                        }
                    }
                }
            }
            if nodes.before_point.get(point) == Some(&(k + 1)) {
                value = sums.gain::<DERIVATIVE>(modes, &power);
            }
        }
        while nodes.before_point.get(point) == Some(&(k + 1)) {
            at_point(point, &value);
            point += 1;
        }
        if let Some(before) = before {
            (sums, kept) = (before, (f64::NAN, f64::NAN));
        }
    }
}

/// Abscissas (in widths from the middle) and weights of the three-point Gauss–Legendre rule.
const GAUSS: [(f64, f64); 3] =
    [(-0.387_298_334_620_741_7, 5.0 / 18.0), (0.0, 8.0 / 18.0), (0.387_298_334_620_741_7, 5.0 / 18.0)];

/// Σ_k (e_{k−1} − e_k)·[1 − (1 + C·e_k^-γ·S_k(t))^-β] exactly as written, at update `t`; O(t) for one point.
///
/// The reference that the production sum is tested against. `first` is the index of the first rate after the warm-up.
#[must_use]
pub fn exact_gain(rates: &[f64], first: usize, t: usize, c: f64, gamma: f64, beta: f64) -> f64 {
    let mut since = 0.0;
    let mut gain = 0.0;
    for k in (first + 1..t).rev() {
        since += rates[k];
        if rates[k] > 0.0 {
            let e = rates[k] * 1e3;
            let delta = (rates[k - 1] - rates[k]) * 1e3;
            gain += delta * (1.0 - (1.0 + c * e.powf(-gamma) * since).powf(-beta));
        }
    }
    gain
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::FeatureDefinition;
    use crate::schedule::{Piecewise, Schedule, Segment, Shape, Wsd};
    use crate::units::{AnnealingRatio, Steps};

    fn schedules() -> Vec<(&'static str, Schedule)> {
        let wsd = |ratio: f64, shape, final_lr| {
            let ratio = AnnealingRatio::new(ratio).unwrap();
            Schedule::Wsd(Wsd::new(3e-4, Steps(24_000), Steps(2_160), ratio, shape, final_lr).unwrap())
        };
        let segment = |updates, from, to| Segment::new(Steps(updates), from, to, Shape::Linear);
        let two_stage = Piecewise::new(vec![
            segment(2_160, 0.0, 3e-4),
            segment(6_000, 3e-4, 3e-4),
            segment(6_000, 9e-5, 9e-5),
        ])
        .unwrap();
        vec![
            ("cosine", wsd(0.91, Shape::Cosine, 3e-5)),
            ("linear to zero", wsd(0.3, Shape::Linear, 0.0)),
            ("exponential", wsd(0.17, Shape::Geometric, 3e-5)),
            ("1-sqrt to zero", wsd(0.2, Shape::OneMinusSqrt, 0.0)),
            ("two-stage", Schedule::Piecewise(two_stage)),
        ]
    }

    /// Largest error of the production sum at 186 points, as a share of the largest gain, and the number of modes.
    fn error(schedule: &Schedule, step: f64, c: f64, gamma: f64, beta: f64) -> (f64, usize) {
        let total = schedule.total().0;
        let points: Vec<u64> = (2_200..=total).step_by(128).chain([total]).collect();
        let points: Vec<u64> =
            points.into_iter().collect::<std::collections::BTreeSet<_>>().into_iter().collect();
        let run = RunFeatures::new(schedule, &points, None, None, &FeatureDefinition::default());
        let theta = [2.0, 0.6, 0.5, 0.4, c, gamma, beta, 0.0, 0.25];
        let rates = schedule.rates();
        let exact: Vec<f64> =
            points.iter().map(|&t| exact_gain(&rates, 2_159, t as usize, c, gamma, beta)).collect();
        let largest = exact.iter().copied().fold(0.0, f64::max);
        let mut worst: f64 = 0.0;
        gain::<false>(&theta, &run, step, |i, gain| {
            worst = worst.max((gain.value - exact[i]).abs() / largest);
        });
        let total_effect = run.forward_effect.last().copied().unwrap_or(0.0);
        let modes = Modes::new(beta, c * (-gamma * 0.3f64.ln()).exp() * total_effect, step);
        (worst, modes.count)
    }

    #[test]
    fn the_sum_of_exponentials_agrees_with_the_exact_sum() {
        for (name, schedule) in schedules() {
            for (c, gamma, beta) in [(35.0, 0.5, 0.5), (5.0, 0.9, 0.3), (100.0, 0.2, 0.9), (2.0, 0.0, 2.0)] {
                let (worst, modes) = error(&schedule, DEFAULT_STEP, c, gamma, beta);
                assert!(
                    worst < 4e-4,
                    "{name}, C = {c}, γ = {gamma}, β = {beta}, K = {modes}: {worst:e} of the largest gain"
                );
            }
        }
    }

    #[test]
    fn a_finer_step_is_more_accurate_until_the_gauss_rule_limits() {
        let mut table = String::new();
        let mut errors = Vec::new();
        for step in [2.4, 1.2, 0.8, 0.6] {
            let mut worst: f64 = 0.0;
            let mut modes = 0;
            for (_, schedule) in schedules() {
                let (e, k) = error(&schedule, step, 35.0, 0.5, 0.5);
                worst = worst.max(e);
                modes = k;
            }
            table += &format!("h = {step}: K = {modes}, worst {worst:.1e} of the largest gain\n");
            errors.push(worst);
        }
        println!("{table}");
        assert!(errors[0] > errors[1] && errors[1] > errors[2], "{table}");
        assert!(errors[2] < 2e-4, "{table}");
    }
}
