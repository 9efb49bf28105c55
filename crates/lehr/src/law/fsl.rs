//! The functional-scaling law's memory: noise injected by every update, forgotten along a power law.

use super::modes::{DEFAULT_STEP, MAX_MODES, Modes};
use super::terms::{descent, size_term};
use super::{Coefficient, DataSummary, Law, Role, Scale, coefficient};
use crate::features::RunFeatures;
use crate::vector_math::{exp_each, vectorised};

/// The functional-scaling-law memory: each update injects noise in proportion to η², forgotten along a power law of
/// the forward effect since.
///
/// The best of the simple laws on final losses over several rates, because a larger rate costs noise. Computed in O(K)
/// an interval of the schedule (K about 25).
///
/// # Formula
/// ```text
/// L(t) = L₀ + A·S^-a + B·Σ_k 10³·η_k²·(1 + c·(S(t) − S_k))^-g + λ_N·N₈^-α_N
/// ```
/// | symbol | name | unit |
/// |---|---|---|
/// | η | rate | |
/// | S | forward effect, Σ η | rate · updates |
/// | N₈ | parameters | 10⁸ |
///
/// The sum runs over every update k ≤ t; S_k is the forward effect up to update k, its own rate included.
///
/// # Source
/// Li et al., Functional Scaling Laws, 2025, in the reduced form of six coefficients.
#[derive(Debug, Clone, Copy)]
pub struct Fsl;

const L0: usize = 0;
const A: usize = 1;
const ALPHA: usize = 2;
const B: usize = 3;
const C: usize = 4;
const G: usize = 5;
const LAMBDA_N: usize = 6;
const ALPHA_N: usize = 7;
const COUNT: usize = 8;

static COEFFICIENTS: [Coefficient; COUNT] = [
    coefficient("l0", "L₀", "nats", 1e-6, 8.0, Scale::Linear, 2.0),
    coefficient("a", "A", "nats", 2.5e-3, 54.6, Scale::Log, 0.6),
    coefficient("alpha", "a", "", 0.05, 4.0, Scale::Linear, 0.5),
    coefficient("b", "B", "nats/(10⁻³·rate·updates)", 1e-4, 1e3, Scale::Log, 0.5),
    coefficient("c", "c", "1/(rate·updates)", 1e-3, 1e4, Scale::Log, 10.0),
    coefficient("g", "g", "", 0.1, 5.0, Scale::Linear, 1.0),
    coefficient("lambda_n", "λ_N", "nats", 1e-3, 54.6, Scale::Log, 0.5),
    coefficient("alpha_n", "α_N", "", 0.02, 1.5, Scale::Linear, 0.25),
];

impl Law for Fsl {
    fn name(&self) -> &'static str {
        "fsl"
    }

    fn aliases(&self) -> &'static [&'static str] {
        &["functional-scaling", "fsl-memory"]
    }

    fn equation(&self) -> &'static str {
        "L = L₀ + A·S^-a + B·Σ_k 10³·η_k²·(1 + c·(S − S_k))^-g + λ_N·N₈^-α_N"
    }

    fn source(&self) -> &'static str {
        "Li et al., Functional Scaling Laws, 2025, reduced to six coefficients"
    }

    fn limits(&self) -> &'static [&'static str] {
        &[
            "the noise grows as η² in the short run and as η along S: the exponent is not fitted",
            "L₀, A, a and the slow part of the memory trade off: a single schedule does not determine them",
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
        super::size_roles(data, &mut roles, LAMBDA_N, ALPHA_N);
        roles
    }

    fn predict(&self, theta: &[f64], run: &RunFeatures, loss: &mut [f64]) {
        evaluate::<false>(theta, run, loss, &mut []);
    }

    fn predict_with_jacobian(
        &self,
        theta: &[f64],
        run: &RunFeatures,
        loss: &mut [f64],
        jacobian: &mut [f64],
    ) {
        evaluate::<true>(theta, run, loss, jacobian);
    }
}

fn evaluate<const JACOBIAN: bool>(theta: &[f64], run: &RunFeatures, loss: &mut [f64], jacobian: &mut [f64]) {
    let (a, b) = (theta[A], theta[B]);
    vectorised(
        #[inline(always)]
        || {
            noise::<JACOBIAN>(theta[C], theta[G], run, |point, noise| {
                loss[point] = noise.value;
                if JACOBIAN {
                    let row = &mut jacobian[point * COUNT..(point + 1) * COUNT];
                    row[B] = noise.value;
                    row[C] = b * noise.by_c;
                    row[G] = b * noise.by_g;
                }
            });
        },
    );
    let size = size_term(theta[LAMBDA_N], theta[ALPHA_N], run);
    let floor = theta[L0] + size.value;
    descent(theta[ALPHA], run, |first, unit| {
        for (i, u) in unit.iter().enumerate() {
            let i = first + i;
            loss[i] = floor + a * u + b * loss[i];
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

#[derive(Debug, Clone, Copy, Default)]
struct Noise {
    value: f64,
    by_c: f64,
    by_g: f64,
}

/// What one interval does to every mode.
struct Interval {
    decay: [f64; MAX_MODES],
    added: [f64; MAX_MODES],
    added_by_c: [f64; MAX_MODES],
}

/// Hands (point, Σ_k 10³·η_k²·(1 + c·(S − S_k))^-g) to `at_point`.
///
/// # Formula
/// Over an interval of effect F from rate e₀ to e₁, mode v with z = v·c·F and u = v·c·η̄ for the mean rate η̄:
/// ```text
/// D ← e^-z·D + F·(e₁·φ₀(z) + (e₀ − e₁)·φ₁(z))/φ₀(u),   φ_k(z) = ∫₀¹ x^k e^(−z·x) dx
/// ```
/// 1/φ₀(u) turns the integral over the interval into the sum over its updates.
#[inline(always)]
fn noise<const DERIVATIVE: bool>(c: f64, g: f64, run: &RunFeatures, mut at_point: impl FnMut(usize, &Noise)) {
    let nodes = &run.nodes;
    let total = nodes.total_effect;
    let modes = Modes::new(g, c * total, DEFAULT_STEP);
    let n = modes.count;
    // The sum is for y^-g at y = 1 + c·X: e^-v goes into the weight.
    let mut unit = [0.0; MAX_MODES];
    for (u, v) in unit[..n].iter_mut().zip(&modes.speed[..n]) {
        *u = -v;
    }
    exp_each(&mut unit[..n]);
    let (mut state, mut state_by_c) = ([0.0; MAX_MODES], [0.0; MAX_MODES]);
    let mut lasting = 0.0;
    let mut interval =
        Interval { decay: [1.0; MAX_MODES], added: [0.0; MAX_MODES], added_by_c: [0.0; MAX_MODES] };
    let mut kept = (f64::NAN, f64::NAN, f64::NAN);
    let mut point = 0;
    for k in 0..nodes.len() {
        let before = nodes.side[k].then_some((state, state_by_c, lasting));
        let (e0, e1, updates) = (nodes.start[k], nodes.end[k], nodes.updates[k]);
        let effect = if e0 == e1 { updates * e1 * 1e-3 } else { nodes.forward_effect[k] };
        if kept != (e0, e1, updates) {
            kept = (e0, e1, updates);
            set_interval::<DERIVATIVE>(&mut interval, &modes, c, effect, e0, e1);
        }
        if DERIVATIVE {
            for j in 0..n {
                let aged = interval.decay[j] * state[j];
                state_by_c[j] = interval.decay[j] * state_by_c[j] - modes.speed[j] * effect * aged
                    + interval.added_by_c[j];
                state[j] = aged + interval.added[j];
            }
        } else {
            for j in 0..n {
                state[j] = interval.decay[j] * state[j] + interval.added[j];
            }
        }
        lasting += effect * 0.5 * (e0 + e1);
        if nodes.before_point.get(point) == Some(&(k + 1)) {
            let mut noise =
                Noise { value: modes.lasting * lasting, by_c: 0.0, by_g: modes.lasting_by * lasting };
            for j in 0..n {
                noise.value += modes.weight[j] * unit[j] * state[j];
                if DERIVATIVE {
                    noise.by_c += modes.weight[j] * unit[j] * state_by_c[j];
                    noise.by_g += modes.weight_by[j] * unit[j] * state[j];
                }
            }
            while nodes.before_point.get(point) == Some(&(k + 1)) {
                at_point(point, &noise);
                point += 1;
            }
        }
        if let Some(before) = before {
            (state, state_by_c, lasting) = before;
        }
    }
}

#[inline(always)]
fn set_interval<const DERIVATIVE: bool>(
    interval: &mut Interval,
    modes: &Modes,
    c: f64,
    effect: f64,
    e0: f64,
    e1: f64,
) {
    let n = modes.count;
    for (d, v) in interval.decay[..n].iter_mut().zip(&modes.speed[..n]) {
        *d = -v * (c * effect);
    }
    exp_each(&mut interval.decay[..n]);
    let rate = 0.5 * (e0 + e1) * 1e-3;
    let mut each = [0.0; MAX_MODES];
    for (d, v) in each[..n].iter_mut().zip(&modes.speed[..n]) {
        *d = -v * (c * rate);
    }
    exp_each(&mut each[..n]);
    for j in 0..n {
        let z = modes.speed[j] * c * effect;
        let [phi0, phi1, phi2] = phi(z, interval.decay[j]);
        let (inverse, inverse_by) = inverse_phi0(modes.speed[j] * c * rate, each[j]);
        let sum = effect * (e1 * phi0 + (e0 - e1) * phi1);
        interval.added[j] = sum * inverse;
        if DERIVATIVE {
            let by_z = -effect * effect * (e1 * phi1 + (e0 - e1) * phi2);
            interval.added_by_c[j] = modes.speed[j] * (by_z * inverse + sum * rate * inverse_by);
        }
    }
}

/// Below this argument the quotients are taken by their series, because numerator and denominator cancel.
const SMALL: f64 = 0.05;

/// φ_k(z) = ∫₀¹ x^k e^(−z·x) dx for k = 0, 1, 2; `decay` is e^-z.
#[inline(always)]
fn phi(z: f64, decay: f64) -> [f64; 3] {
    let over = 1.0 / z;
    let direct0 = (1.0 - decay) * over;
    let direct1 = (direct0 - decay) * over;
    let direct2 = (2.0 * direct1 - decay) * over;
    // φ₂ by Σ (−z)^k/(k!·(k+3)), then φ_{k−1} = (z·φ_k + e^-z)/k.
    let series = 1.0 / 3.0
        - z * (1.0 / 4.0
            - z * (1.0 / 10.0
                - z * (1.0 / 36.0
                    - z * (1.0 / 168.0 - z * (1.0 / 960.0 - z * (1.0 / 6480.0 - z / 50_400.0))))));
    let series1 = 0.5 * (z * series + decay);
    let series0 = z * series1 + decay;
    let small = z < SMALL;
    [
        if small { series0 } else { direct0 },
        if small { series1 } else { direct1 },
        if small { series } else { direct2 },
    ]
}

/// 1/φ₀(u) = u/(1 − e^-u) and its derivative; `decay` is e^-u.
#[inline(always)]
fn inverse_phi0(u: f64, decay: f64) -> (f64, f64) {
    let over = 1.0 / (1.0 - decay);
    let direct = u * over;
    let direct_by = (1.0 - direct * decay) * over;
    let u2 = u * u;
    let series = 1.0 + u * 0.5 + u2 * (1.0 / 12.0 - u2 * (1.0 / 720.0 - u2 / 30_240.0));
    let series_by = 0.5 + u * (1.0 / 6.0 - u2 * (1.0 / 180.0 - u2 / 5040.0));
    let small = u < SMALL;
    (if small { series } else { direct }, if small { series_by } else { direct_by })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::FeatureDefinition;
    use crate::schedule::{Schedule, Shape, Wsd};
    use crate::units::{AnnealingRatio, Steps};

    #[test]
    fn the_modes_agree_with_the_sum_over_every_update() {
        for (shape, final_lr) in [(Shape::Cosine, 3e-5), (Shape::Linear, 0.0), (Shape::OneMinusSqrt, 1e-5)] {
            let ratio = AnnealingRatio::new(0.4).unwrap();
            let wsd = Wsd::new(1e-3, Steps(10_000), Steps(500), ratio, shape, final_lr).unwrap();
            let schedule = Schedule::Wsd(wsd);
            let points: Vec<u64> = (1..=50).map(|i| i * 200).collect();
            let run = RunFeatures::new(&schedule, &points, None, None, &FeatureDefinition::default());
            let rates = schedule.rates();
            for (c, g) in [(10.0, 1.0), (100.0, 0.5), (1.0, 2.0)] {
                let exact: Vec<f64> = points
                    .iter()
                    .map(|&t| {
                        let mut since = 0.0;
                        let mut sum = 0.0;
                        for &rate in rates[..t as usize].iter().rev() {
                            let kernel: f64 = 1.0 + c * since;
                            sum += 1e3 * rate * rate * kernel.powf(-g);
                            since += rate;
                        }
                        sum
                    })
                    .collect();
                let largest = exact.iter().copied().fold(0.0, f64::max);
                noise::<false>(c, g, &run, |i, noise| {
                    let error = (noise.value - exact[i]).abs() / largest;
                    assert!(error < 1e-3, "{shape}, c = {c}, g = {g}, point {i}: {error:e} of the largest");
                });
            }
        }
    }
}
