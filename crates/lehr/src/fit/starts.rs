//! Where the solver starts: the law's own start, then random ones, each with its linear coefficients projected.

use super::dataset::Dataset;
use super::objective::Plan;
use crate::law::{Law, Scale};
use nalgebra::{DMatrix, DVector};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A standard normal number (Box and Muller).
pub(crate) fn normal(rng: &mut ChaCha8Rng) -> f64 {
    let u: f64 = 1.0 - rng.random::<f64>();
    let v: f64 = rng.random();
    (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

/// `count` starts on the solver's scale: the first is the law's own, the others scatter around it. Start i depends on
/// the seed and i alone.
#[must_use]
pub fn starts(law: &dyn Law, data: &Dataset, plan: &Plan, count: usize, seed: u64) -> Vec<Vec<f64>> {
    let centre = plan.to_z(&plan.theta);
    (0..count.max(1))
        .map(|i| {
            let mut z = centre.clone();
            if i > 0 {
                let mut rng = ChaCha8Rng::seed_from_u64(seed);
                rng.set_stream(i as u64);
                for k in 0..z.len() {
                    let (lower, upper) = (plan.lower[k], plan.upper[k]);
                    let noise = normal(&mut rng);
                    let moved = match (plan.prior[k], plan.scale[k]) {
                        (Some((mean, sd)), _) => mean + sd * noise,
                        (None, Scale::Log) => z[k] + 0.9 * noise,
                        (None, Scale::Linear) if lower >= 0.0 => z[k] * (0.45 * noise).exp(),
                        (None, Scale::Linear) => z[k] + noise * (0.2 * (upper - lower)).min(0.4),
                    };
                    z[k] = moved.clamp(lower + 1e-6 * (upper - lower), upper - 1e-6 * (upper - lower));
                }
            }
            project_linear(law, data, plan, &mut z);
            z
        })
        .collect()
}

/// Replaces the coefficients in which the law is linear by their least-squares values given the others (variable
/// projection), where those lie within the bounds.
fn project_linear(law: &dyn Law, data: &Dataset, plan: &Plan, z: &mut [f64]) {
    let positions: Vec<usize> = (0..z.len()).filter(|&k| law.linear().contains(&plan.free[k])).collect();
    if positions.is_empty() {
        return;
    }
    let n = plan.theta.len();
    let mut theta = vec![0.0; n];
    plan.to_theta(z, &mut theta);
    let m = positions.len();
    let mut matrix = DMatrix::<f64>::zeros(m, m);
    let mut right = DVector::<f64>::zeros(m);
    let (mut loss, mut jacobian) = (Vec::new(), Vec::new());
    for run in &data.runs {
        let points = run.features.points();
        loss.resize(points, 0.0);
        jacobian.resize(points * n, 0.0);
        law.predict_with_jacobian(&theta, &run.features, &mut loss, &mut jacobian);
        for i in 0..run.loss.len() {
            // One evaluation point an observation is enough for a start.
            let j = run.samples[run.starts[i] as usize] as usize;
            let row = &jacobian[j * n..(j + 1) * n];
            let weight = run.weight / (run.loss[i] * run.loss[i]);
            let linear: f64 = positions.iter().map(|&k| row[plan.free[k]] * theta[plan.free[k]]).sum();
            let wanted = run.loss[i] - (loss[j] - linear);
            for a in 0..m {
                let g = row[plan.free[positions[a]]];
                right[a] += weight * g * wanted;
                for b in 0..m {
                    matrix[(a, b)] += weight * g * row[plan.free[positions[b]]];
                }
            }
        }
    }
    for a in 0..m {
        matrix[(a, a)] *= 1.0 + 1e-9;
    }
    let Some(solution) = matrix.cholesky().map(|c| c.solve(&right)) else { return };
    let inside = |a: usize| {
        let k = positions[a];
        let value = if plan.scale[k] == Scale::Log { solution[a].ln() } else { solution[a] };
        (value.is_finite() && value > plan.lower[k] && value < plan.upper[k]).then_some(value)
    };
    // All or nothing: a part of a least-squares solution is no solution.
    let values: Option<Vec<f64>> = (0..m).map(inside).collect();
    if let Some(values) = values {
        for (a, value) in values.into_iter().enumerate() {
            z[positions[a]] = value;
        }
    }
}
