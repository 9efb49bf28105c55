//! The forward–momentum law with the Adam-style annealing momentum.

use super::terms::{descent, size_term};
use super::{Coefficient, DataSummary, Law, Role, Scale, coefficient};
use crate::features::{AsmtDefinition, FeatureDefinition, Momentum, RunFeatures};

/// The forward–momentum law with the Adam-style annealing momentum (ASMT).
///
/// The law of the paper that this program started from. Use it to reproduce published fits; the multiplicative
/// momentum and the noise-relaxation law forecast better.
///
/// # Formula
/// ```text
/// L = L₀ + λ_S·S^-α_S + λ_N·N₈^-α_N − c·M
/// ```
/// | symbol | name | unit |
/// |---|---|---|
/// | S | forward effect, Σ η | rate · updates |
/// | N₈ | parameters | 10⁸ |
/// | M | annealing momentum (`features::asmt`) | none |
///
/// M is computed over every update with the warm-up left out. The published code computes it over the logged rows;
/// ask for [`Momentum::LoggedRows`] to repeat its numbers.
///
/// # Source
/// Wang et al., Scaling and Transferability of Annealing Strategies in Large Language Model Training, 2026. The paper
/// writes + λ_M·M with λ_M ≤ 0, its code −C·M with C ≥ 0, as here; its N is not divided by 10⁸, which makes the
/// published bound on the size term's factor bind.
#[derive(Debug, Clone, Copy)]
pub struct ForwardMomentum;

const L0: usize = 0;
const LAMBDA_S: usize = 1;
const ALPHA_S: usize = 2;
const C: usize = 3;
const LAMBDA_N: usize = 4;
const ALPHA_N: usize = 5;

static COEFFICIENTS: [Coefficient; 6] = [
    coefficient("l0", "L₀", "nats", 1e-6, 8.0, Scale::Linear, 2.0),
    coefficient("lambda_s", "λ_S", "nats", 2.5e-3, 54.6, Scale::Log, 0.6),
    coefficient("alpha_s", "α_S", "", 0.05, 4.0, Scale::Linear, 0.5),
    coefficient("c", "c", "nats", 0.0, 10.0, Scale::Linear, 0.1),
    coefficient("lambda_n", "λ_N", "nats", 1e-3, 54.6, Scale::Log, 0.5),
    coefficient("alpha_n", "α_N", "", 0.02, 1.5, Scale::Linear, 0.25),
];

impl Law for ForwardMomentum {
    fn name(&self) -> &'static str {
        "forward-momentum"
    }

    fn aliases(&self) -> &'static [&'static str] {
        &["asmt", "forward-momentum-asmt", "fm", "paper"]
    }

    fn equation(&self) -> &'static str {
        "L = L₀ + λ_S·S^-α_S + λ_N·N₈^-α_N − c·M"
    }

    fn source(&self) -> &'static str {
        "Wang et al., Scaling and Transferability of Annealing Strategies in Large Language Model Training, 2026"
    }

    fn limits(&self) -> &'static [&'static str] {
        &[
            "M depends on the stride of the rows it is computed over: figures from differently logged runs do not compare",
            "M weighs how long the rate falls, hardly how far: the root in its denominator divides the size of the fall out",
            "M goes on growing for some updates after the rate has stopped falling: zero-rate padding changes the loss",
            "S grows with the rate without end: the law always prefers a larger peak rate",
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

    fn features(&self) -> FeatureDefinition {
        FeatureDefinition {
            momentum: Momentum::Dense { stride: 1, warmup: false },
            asmt: AsmtDefinition::default(),
            ..FeatureDefinition::default()
        }
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
    let size = size_term(theta[LAMBDA_N], theta[ALPHA_N], run);
    let floor = theta[L0] + size.value;
    let (lambda_s, c) = (theta[LAMBDA_S], theta[C]);
    descent(theta[ALPHA_S], run, |first, unit| {
        let points = first..first + unit.len();
        let momentum = &run.momentum[points.clone()];
        for ((l, u), m) in loss[points.clone()].iter_mut().zip(unit).zip(momentum) {
            *l = floor + lambda_s * u - c * m;
        }
        if JACOBIAN {
            let ln_s = &run.ln_forward_effect[points.clone()];
            let rows = jacobian[points.start * 6..points.end * 6].chunks_exact_mut(6);
            for (((row, u), m), ln_s) in rows.zip(unit).zip(momentum).zip(ln_s) {
                row[L0] = 1.0;
                row[LAMBDA_S] = *u;
                row[ALPHA_S] = -lambda_s * u * ln_s;
                row[C] = -m;
                row[LAMBDA_N] = size.by_lambda;
                row[ALPHA_N] = size.by_alpha;
            }
        }
    });
}
