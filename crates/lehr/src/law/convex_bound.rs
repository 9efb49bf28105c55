//! The last-iterate bound of convex optimisation, as a law.

use super::terms::size_term;
use super::{Coefficient, DataSummary, Law, Role, Scale, coefficient};
use crate::features::{FeatureDefinition, RunFeatures};

/// The last-iterate bound of convex optimisation, with its two constants and a floor fitted.
///
/// Three coefficients, linear in all of them: use it where there are hardly any data, to compare shapes, or to carry a
/// rate from one horizon to another.
///
/// # Formula
/// ```text
/// L = L₀ + D²·f₁ + G²·f₂ + λ_N·N₈^-α_N
/// f₁(t) = 1/(2 Σ η),   f₂(t) = Σ η²/(2 Σ η) + ½ Σ_{k<t} η_k/(Σ_{j>k} η_j)·(Σ_{j≥k} η_j²)/(Σ_{j≥k} η_j)
/// ```
/// η rate; N₈ parameters in 10⁸.
///
/// # Source
/// Schaipp et al., The Surprising Agreement Between Convex Optimization Theory and Learning-Rate Scheduling for Large
/// Model Training, 2025, theorem 1 with constant gradient norms.
#[derive(Debug, Clone, Copy)]
pub struct ConvexBound;

const L0: usize = 0;
const D2: usize = 1;
const G2: usize = 2;
const LAMBDA_N: usize = 3;
const ALPHA_N: usize = 4;

static COEFFICIENTS: [Coefficient; 5] = [
    coefficient("l0", "L₀", "nats", 1e-6, 8.0, Scale::Linear, 2.0),
    coefficient("d2", "D²", "nats·rate·updates", 0.0, 1e4, Scale::Linear, 1.0),
    coefficient("g2", "G²", "nats/rate", 0.0, 1e6, Scale::Linear, 100.0),
    coefficient("lambda_n", "λ_N", "nats", 1e-3, 54.6, Scale::Log, 0.5),
    coefficient("alpha_n", "α_N", "", 0.02, 1.5, Scale::Linear, 0.25),
];

impl Law for ConvexBound {
    fn name(&self) -> &'static str {
        "convex-bound"
    }

    fn aliases(&self) -> &'static [&'static str] {
        &["schaipp"]
    }

    fn equation(&self) -> &'static str {
        "L = L₀ + D²/(2Σ η) + G²·[Σ η²/(2Σ η) + ½ Σ_{k<t} η_k/(Σ_{j>k} η_j)·(Σ_{j≥k} η_j²)/(Σ_{j≥k} η_j)] + λ_N·N₈^-α_N"
    }

    fn source(&self) -> &'static str {
        "Schaipp et al., The Surprising Agreement Between Convex Optimization Theory and Learning-Rate Scheduling for Large Model Training, 2025"
    }

    fn limits(&self) -> &'static [&'static str] {
        &[
            "a bound for convex problems: its curve falls as 1/S early on, which real losses do not",
            "its features cost O(T) a point, so O(T²) for a forecast at every update",
            "λ_N is not identifiable from one size: the term is then part of L₀",
        ]
    }

    fn coefficients(&self) -> &'static [Coefficient] {
        &COEFFICIENTS
    }

    fn linear(&self) -> &'static [usize] {
        &[L0, D2, G2, LAMBDA_N]
    }

    fn roles(&self, data: &DataSummary) -> Vec<Role> {
        let mut roles: Vec<Role> = COEFFICIENTS.iter().map(|c| Role::Free { start: c.start }).collect();
        roles[L0] = Role::Free { start: (data.min_loss - 0.12).max(0.1) };
        super::size_roles(data, &mut roles, LAMBDA_N, ALPHA_N);
        roles
    }

    fn features(&self) -> FeatureDefinition {
        FeatureDefinition { bound: true, ..FeatureDefinition::default() }
    }

    fn predict(&self, theta: &[f64], run: &RunFeatures, loss: &mut [f64]) {
        let floor = theta[L0] + size_term(theta[LAMBDA_N], theta[ALPHA_N], run).value;
        for (l, [f1, f2]) in loss.iter_mut().zip(&run.bound) {
            *l = floor + theta[D2] * f1 + theta[G2] * f2;
        }
    }

    fn predict_with_jacobian(
        &self,
        theta: &[f64],
        run: &RunFeatures,
        loss: &mut [f64],
        jacobian: &mut [f64],
    ) {
        self.predict(theta, run, loss);
        let size = size_term(theta[LAMBDA_N], theta[ALPHA_N], run);
        for (row, [f1, f2]) in jacobian.chunks_exact_mut(COEFFICIENTS.len()).zip(&run.bound) {
            row[L0] = 1.0;
            row[D2] = *f1;
            row[G2] = *f2;
            row[LAMBDA_N] = size.by_lambda;
            row[ALPHA_N] = size.by_alpha;
        }
    }
}
