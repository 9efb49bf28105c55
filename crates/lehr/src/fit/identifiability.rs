//! Which coefficients the data determine.

use super::objective::{MEAN_SCALE, Objective, Plan, Scratch};
use crate::law::{Coefficient, Scale};
use nalgebra::{DMatrix, SymmetricEigen};
use serde::{Deserialize, Serialize};

/// What the Jacobian says about the fit, without the priors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Identifiability {
    /// Singular values of the weighted Jacobian with columns of unit length, descending.
    pub singular_values: Vec<f64>,
    /// Largest over smallest singular value.
    pub condition: f64,
    /// Standard deviation that the data alone leave to each free coefficient, on the solver's scale.
    pub sd: Vec<f64>,
    /// Free coefficients that the data alone do not determine, with the combination they are lost in.
    pub undetermined: Vec<Undetermined>,
}

/// A coefficient that the data do not determine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Undetermined {
    /// Name of the coefficient.
    pub name: String,
    /// Standard deviation on the solver's scale that the data leave to it.
    pub sd: f64,
    /// Whether a prior carries it.
    pub prior: bool,
    /// The coefficients it can be traded against: the largest entries of the weakest direction.
    pub traded_with: Vec<String>,
}

/// A logarithmic coefficient known to no better than this (a factor of e) counts as undetermined.
const LOG_LIMIT: f64 = 1.0;
/// A linear coefficient known to no better than this share of its range counts as undetermined.
const LINEAR_LIMIT: f64 = 0.25;
/// Independent pieces of information a curve, for turning misfit into a standard deviation: neighbouring points of a
/// curve share their misfit, so they are not independent.
const PIECES_PER_CURVE: f64 = 4.0;

/// Judges the fit at z.
///
/// # Formula
/// Covariance of z = s²·(n·mean g gᵀ)⁻¹ with s a robust standard deviation of the residuals, n = 4 pieces of information a curve, g
/// the gradient of a residual. A direction whose eigenvalue is below 10⁻¹² of the largest (columns scaled to unit
/// length) is treated as having that eigenvalue.
#[must_use]
pub fn judge(
    objective: &Objective,
    coefficients: &[Coefficient],
    z: &[f64],
    curves: usize,
    misfit: f64,
    scale: f64,
    scratch: &mut Scratch,
) -> Identifiability {
    let plan: &Plan = objective.plan();
    let (_, _, matrix) = objective.normal_equations(z, false, scratch);
    let k = z.len();
    let unit: Vec<f64> =
        (0..k).map(|j| if matrix[(j, j)] > 0.0 { matrix[(j, j)].sqrt() } else { 0.0 }).collect();
    let scaled = DMatrix::from_fn(k, k, |a, b| {
        if unit[a] > 0.0 && unit[b] > 0.0 { matrix[(a, b)] / (unit[a] * unit[b]) } else { 0.0 }
    });
    let eigen = SymmetricEigen::new(scaled);
    let mut order: Vec<usize> = (0..k).collect();
    order.sort_by(|&a, &b| eigen.eigenvalues[b].total_cmp(&eigen.eigenvalues[a]));
    let largest = eigen.eigenvalues[order[0]].max(1e-300);
    let floor = 1e-12 * largest;
    let singular_values: Vec<f64> = order.iter().map(|&j| eigen.eigenvalues[j].max(0.0).sqrt()).collect();
    let noise = misfit.max(1e-5);
    let factor =
        noise * noise * (scale / MEAN_SCALE) * MEAN_SCALE / (PIECES_PER_CURVE * curves.max(1) as f64);
    let sd: Vec<f64> = (0..k)
        .map(|a| {
            if unit[a] == 0.0 {
                return f64::INFINITY;
            }
            let inverse: f64 =
                (0..k).map(|j| eigen.eigenvectors[(a, j)].powi(2) / eigen.eigenvalues[j].max(floor)).sum();
            (factor * inverse).sqrt() / unit[a]
        })
        .collect();
    let weakest = order[k - 1];
    let undetermined = (0..k)
        .filter(|&a| {
            let limit = match plan.scale[a] {
                Scale::Log => LOG_LIMIT,
                Scale::Linear => LINEAR_LIMIT * (plan.upper[a] - plan.lower[a]).min(4.0),
            };
            // A coefficient at its bound is held there, not lost: it gets a caveat of its own.
            let near = 1e-6 * (plan.upper[a] - plan.lower[a]);
            let at_bound = z[a] - plan.lower[a] <= near || plan.upper[a] - z[a] <= near;
            sd[a] > limit && !at_bound
        })
        .map(|a| {
            let mut others: Vec<usize> =
                (0..k).filter(|&b| b != a && eigen.eigenvectors[(b, weakest)].abs() > 0.3).collect();
            others.sort_by(|&b, &c| {
                eigen.eigenvectors[(c, weakest)].abs().total_cmp(&eigen.eigenvectors[(b, weakest)].abs())
            });
            Undetermined {
                name: coefficients[plan.free[a]].name.to_owned(),
                sd: sd[a].min(1e6),
                prior: plan.prior[a].is_some(),
                traded_with: others.iter().map(|&b| coefficients[plan.free[b]].name.to_owned()).collect(),
            }
        })
        .collect();
    let smallest = singular_values[k - 1];
    Identifiability {
        condition: if smallest > 0.0 { singular_values[0] / smallest } else { 1e300 },
        singular_values,
        sd: sd.into_iter().map(|s| s.min(1e6)).collect(),
        undetermined,
    }
}
