//! The memoryless law: the noise level follows the rate at once.

use super::terms::{descent, size_term};
use super::{Coefficient, DataSummary, Law, Role, Scale, coefficient};
use crate::features::RunFeatures;

/// The memoryless law: descent along S plus a noise level that follows the current rate at once.
///
/// A baseline: what is left of the others when annealing takes no time. It recommends the shortest annealing allowed.
///
/// # Formula
/// ```text
/// L = L₀ + A·S^-α + B·e^q + λ_N·N₈^-α_N
/// ```
/// S forward effect (rate · updates), e the rate of the point's update in 10⁻³, N₈ parameters in 10⁸.
///
/// # Source
/// This project, as a baseline.
#[derive(Debug, Clone, Copy)]
pub struct Memoryless;

const L0: usize = 0;
const A: usize = 1;
const ALPHA: usize = 2;
const B: usize = 3;
const Q: usize = 4;
const LAMBDA_N: usize = 5;
const ALPHA_N: usize = 6;

static COEFFICIENTS: [Coefficient; 7] = [
    coefficient("l0", "L₀", "nats", 1e-6, 8.0, Scale::Linear, 2.0),
    coefficient("a", "A", "nats", 2.5e-3, 54.6, Scale::Log, 0.6),
    coefficient("alpha", "α", "", 0.05, 4.0, Scale::Linear, 0.5),
    coefficient("b", "B", "nats", 1.2e-4, 148.0, Scale::Log, 0.22),
    coefficient("q", "q", "", 0.05, 3.0, Scale::Linear, 0.6),
    coefficient("lambda_n", "λ_N", "nats", 1e-3, 54.6, Scale::Log, 0.5),
    coefficient("alpha_n", "α_N", "", 0.02, 1.5, Scale::Linear, 0.25),
];

impl Law for Memoryless {
    fn name(&self) -> &'static str {
        "memoryless"
    }

    fn equation(&self) -> &'static str {
        "L = L₀ + A·S^-α + B·(η/10⁻³)^q + λ_N·N₈^-α_N"
    }

    fn source(&self) -> &'static str {
        "lehr, as a baseline"
    }

    fn limits(&self) -> &'static [&'static str] {
        &[
            "annealing takes effect at once: the law always recommends the shortest annealing",
            "a drop of the rate is predicted as a jump of the loss",
            "zero-rate padding lowers the loss, because the noise follows the rate and not the updates",
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
    let n = COEFFICIENTS.len();
    let size = size_term(theta[LAMBDA_N], theta[ALPHA_N], run);
    let floor = theta[L0] + size.value;
    let (mut kept_rate, mut level, mut level_by) = (f64::NAN, 0.0, 0.0);
    descent(theta[ALPHA], run, |first, unit| {
        for (i, u) in unit.iter().enumerate() {
            let i = first + i;
            if run.lr[i] != kept_rate {
                kept_rate = run.lr[i];
                let ln_e = (kept_rate * 1e3).ln();
                level = (theta[Q] * ln_e).exp();
                level_by = if level > 0.0 { level * ln_e } else { 0.0 };
            }
            loss[i] = floor + theta[A] * u + theta[B] * level;
            if JACOBIAN {
                let row = &mut jacobian[i * n..(i + 1) * n];
                row[L0] = 1.0;
                row[A] = *u;
                row[ALPHA] = -theta[A] * u * run.ln_forward_effect[i];
                row[B] = level;
                row[Q] = theta[B] * level_by;
                row[LAMBDA_N] = size.by_lambda;
                row[ALPHA_N] = size.by_alpha;
            }
        }
    });
}
