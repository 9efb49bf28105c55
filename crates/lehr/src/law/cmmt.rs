//! The forward–momentum law with the multiplicative annealing momentum.

use super::terms::{descent, size_term};
use super::{Coefficient, DataSummary, Law, Role, Scale, coefficient};
use crate::features::RunFeatures;
use crate::vector_math::exp_in_place;

/// The forward–momentum law with the multiplicative annealing momentum (CMMT), its decay fitted.
///
/// Simple and hard to beat at one peak rate. The decay λ is a coefficient, written as the time scale τ = 1/(1 − λ).
///
/// # Formula
/// ```text
/// L   = L₀ + λ_S·S^-α_S + λ_N·N₈^-α_N − c·M
/// m_i = λ·m_{i−1} + 10³·(η_{i−1} − η_i),  M = Σ m_i/1000,  λ = 1 − 1/τ      every update after the warm-up
/// ```
/// | symbol | name | unit |
/// |---|---|---|
/// | S | forward effect, Σ η | rate · updates |
/// | N₈ | parameters | 10⁸ |
/// | M | annealing momentum | rate · updates |
/// | τ | memory of the momentum | updates |
///
/// # Source
/// Tissue et al., Scaling Law with Learning Rate Annealing, 2024, eq. 1 (λ fixed there).
#[derive(Debug, Clone, Copy)]
pub struct Cmmt;

const L0: usize = 0;
const LAMBDA_S: usize = 1;
const ALPHA_S: usize = 2;
const C: usize = 3;
const TAU: usize = 4;
const LAMBDA_N: usize = 5;
const ALPHA_N: usize = 6;

static COEFFICIENTS: [Coefficient; 7] = [
    coefficient("l0", "L₀", "nats", 1e-6, 8.0, Scale::Linear, 2.0),
    coefficient("lambda_s", "λ_S", "nats", 2.5e-3, 54.6, Scale::Log, 0.6),
    coefficient("alpha_s", "α_S", "", 0.05, 4.0, Scale::Linear, 0.5),
    coefficient("c", "c", "nats", 0.0, 1000.0, Scale::Linear, 0.5),
    coefficient("tau", "τ", "updates", 10.0, 20_000.0, Scale::Log, 1000.0),
    coefficient("lambda_n", "λ_N", "nats", 1e-3, 54.6, Scale::Log, 0.5),
    coefficient("alpha_n", "α_N", "", 0.02, 1.5, Scale::Linear, 0.25),
];

impl Law for Cmmt {
    fn name(&self) -> &'static str {
        "cmmt"
    }

    fn aliases(&self) -> &'static [&'static str] {
        &["forward-momentum-cmmt", "multiplicative"]
    }

    fn equation(&self) -> &'static str {
        "L = L₀ + λ_S·S^-α_S + λ_N·N₈^-α_N − c·M;  m_i = (1 − 1/τ)·m_{i−1} + (η_{i−1} − η_i),  M = Σ m_i"
    }

    fn source(&self) -> &'static str {
        "Tissue et al., Scaling Law with Learning Rate Annealing, 2024, eq. 1; the decay fitted"
    }

    fn limits(&self) -> &'static [&'static str] {
        &[
            "τ is in updates whatever the rate: measured memories shorten as the rate grows, so it does not carry over between peak rates",
            "S grows with the rate without end: the law always prefers a larger peak rate",
            "the rise of the warm-up is left out of M; a later re-rise counts as negative momentum",
            "M depends on τ updates that follow the fall: a jump to a rate of 0 goes on lowering the loss, so zero-rate padding changes it",
            "λ_N is not identifiable from one size: the term is then part of L₀",
        ]
    }

    fn coefficients(&self) -> &'static [Coefficient] {
        &COEFFICIENTS
    }

    fn linear(&self) -> &'static [usize] {
        &[L0, LAMBDA_S, C, LAMBDA_N]
    }

    fn roles(&self, data: &DataSummary) -> Vec<Role> {
        let mut roles: Vec<Role> = COEFFICIENTS.iter().map(|c| Role::Free { start: c.start }).collect();
        super::descent_roles(data, &mut roles, L0, LAMBDA_S);
        super::size_roles(data, &mut roles, LAMBDA_N, ALPHA_N);
        roles
    }

    fn predict(&self, theta: &[f64], run: &RunFeatures, loss: &mut [f64]) {
        // M goes through `loss`, then gives way to the loss.
        momentum::<false>(theta[TAU], run, |point, m, _| loss[point] = m);
        let floor = theta[L0] + size_term(theta[LAMBDA_N], theta[ALPHA_N], run).value;
        let (lambda_s, c) = (theta[LAMBDA_S], theta[C]);
        descent(theta[ALPHA_S], run, |first, unit| {
            for (l, u) in loss[first..first + unit.len()].iter_mut().zip(unit) {
                *l = floor + lambda_s * u - c * *l;
            }
        });
    }

    fn predict_with_jacobian(
        &self,
        theta: &[f64],
        run: &RunFeatures,
        loss: &mut [f64],
        jacobian: &mut [f64],
    ) {
        let (lambda_s, c) = (theta[LAMBDA_S], theta[C]);
        momentum::<true>(theta[TAU], run, |point, m, by_tau| {
            loss[point] = m;
            jacobian[point * 7 + TAU] = -c * by_tau;
        });
        let size = size_term(theta[LAMBDA_N], theta[ALPHA_N], run);
        let floor = theta[L0] + size.value;
        descent(theta[ALPHA_S], run, |first, unit| {
            let points = first..first + unit.len();
            let ln_s = &run.ln_forward_effect[points.clone()];
            let rows = jacobian[points.start * 7..points.end * 7].chunks_exact_mut(7);
            for (((row, l), u), ln_s) in rows.zip(&mut loss[points]).zip(unit).zip(ln_s) {
                row[L0] = 1.0;
                row[LAMBDA_S] = *u;
                row[ALPHA_S] = -lambda_s * u * ln_s;
                row[C] = -*l;
                row[LAMBDA_N] = size.by_lambda;
                row[ALPHA_N] = size.by_alpha;
                *l = floor + lambda_s * u - c * *l;
            }
        });
    }
}

/// Intervals handled at a time.
const CHUNK: usize = 64;

/// Hands (point, M, ∂M/∂τ) to `at_point`, over the node intervals after the warm-up.
///
/// # Formula
/// Over n updates with the same fall Δ each, with q = (1 − λⁿ)/(1 − λ):
/// ```text
/// M ← M + λ·q·m + Δ·(n − λ·q)/(1 − λ),   m ← λⁿ·m + Δ·q
/// ```
fn momentum<const DERIVATIVE: bool>(tau: f64, run: &RunFeatures, mut at_point: impl FnMut(usize, f64, f64)) {
    let nodes = &run.nodes;
    let lambda = 1.0 - 1.0 / tau;
    let ln_lambda = (-1.0 / tau).ln_1p();
    let (mut m, mut sum, mut m_by, mut sum_by) = (0.0, 0.0, 0.0, 0.0);
    let mut point = 0;
    let points = nodes.before_point.len();
    while point < points && nodes.before_point[point] <= nodes.after_warmup {
        at_point(point, 0.0, 0.0);
        point += 1;
    }
    let mut power = [0.0; CHUNK];
    let mut first = nodes.after_warmup;
    let last = nodes.before_point.last().copied().unwrap_or(0);
    while first < last {
        let end = (first + CHUNK).min(last);
        for (p, n) in power.iter_mut().zip(&nodes.updates[first..end]) {
            *p = n * ln_lambda;
        }
        exp_in_place(&mut power[..end - first]);
        for k in first..end {
            let before = (m, sum, m_by, sum_by);
            let n = nodes.updates[k];
            let fall = nodes.start[k] - nodes.end[k];
            if m != 0.0 || fall != 0.0 {
                let power = power[k - first];
                let each = fall / n;
                // 1 − λⁿ without cancellation where λⁿ is close to 1.
                let lost = if n * ln_lambda < -0.01 { 1.0 - power } else { -(n * ln_lambda).exp_m1() };
                let q = lost * tau;
                if DERIVATIVE {
                    // dλ/dτ = 1/τ²; dq/dτ = q/τ − n·λ^{n−1}/τ.
                    let power_by = n * power / (lambda * tau * tau);
                    let q_by = (q - n * power / lambda) / tau;
                    let lambda_q_by = lambda * q_by + q / (tau * tau);
                    sum_by +=
                        lambda_q_by * m + lambda * q * m_by + each * ((n - lambda * q) - tau * lambda_q_by);
                    m_by = power * m_by + power_by * m + each * q_by;
                }
                sum += lambda * q * m + each * (n - lambda * q) * tau;
                m = power * m + each * q;
            }
            while point < points && nodes.before_point[point] == k + 1 {
                at_point(point, sum * 1e-3, sum_by * 1e-3);
                point += 1;
            }
            if nodes.side[k] {
                (m, sum, m_by, sum_by) = before;
            }
        }
        first = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::FeatureDefinition;
    use crate::schedule::{Schedule, Shape, Wsd};
    use crate::units::{AnnealingRatio, Steps};

    fn dense(rates: &[f64], warmup: usize, tau: f64) -> Vec<f64> {
        let lambda = 1.0 - 1.0 / tau;
        let (mut m, mut sum) = (0.0, 0.0);
        let mut out = Vec::new();
        for i in 0..rates.len() {
            let fall = if i > warmup { rates[i - 1] - rates[i] } else { 0.0 };
            m = lambda * m + fall;
            sum += m;
            out.push(sum);
        }
        out
    }

    #[test]
    fn the_closed_form_equals_the_dense_recurrence_within_a_thousandth() {
        for (shape, tolerance) in [
            (Shape::Linear, 1e-9),
            (Shape::Cosine, 2e-3),
            (Shape::Exponential, 1e-3),
            (Shape::OneMinusSqrt, 1e-3),
            (Shape::Power(2.0), 1e-3),
        ] {
            let ratio = AnnealingRatio::new(0.35).unwrap();
            let wsd = Wsd::new(3e-4, Steps(12_000), Steps(1_000), ratio, shape, 3e-5).unwrap();
            let schedule = Schedule::Wsd(wsd);
            let points: Vec<u64> = (1..=120).map(|i| i * 100).collect();
            let run = RunFeatures::new(&schedule, &points, None, None, &FeatureDefinition::default());
            let rates = schedule.rates();
            for tau in [12.0, 300.0, 1000.0, 15_000.0] {
                let exact = dense(&rates, 999, tau);
                let largest = exact.iter().copied().fold(0.0, f64::max);
                let mut worst: f64 = 0.0;
                momentum::<false>(tau, &run, |i, m, _| {
                    worst = worst.max((m - exact[points[i] as usize - 1]).abs() / largest);
                });
                assert!(worst < tolerance, "{shape}, τ = {tau}: {worst:e} of the largest M");
            }
        }
    }
}
