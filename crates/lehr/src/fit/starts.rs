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
    let put = |z: &mut [f64], solution: &[f64]| {
        for (&k, &value) in positions.iter().zip(solution) {
            let value = if plan.scale[k] == Scale::Log { value.ln() } else { value };
            z[k] = value.clamp(plan.lower[k], plan.upper[k]);
        }
    };
    let ranges: Vec<(f64, f64)> = positions
        .iter()
        .map(|&k| match plan.scale[k] {
            Scale::Log => (plan.lower[k].exp(), plan.upper[k].exp()),
            Scale::Linear => (plan.lower[k], plan.upper[k]),
        })
        .collect();
    let all: Vec<usize> = (0..m).collect();
    let Some(solution) = solved(&matrix, &right, &all) else { return };
    // All or nothing: a part of a least-squares solution is no solution.
    if solution.iter().zip(&ranges).all(|(value, (lower, upper))| lower < value && value < upper) {
        put(z, &solution);
    } else if !feasible(law, data, plan, z)
        && let Some(solution) = bounded(&matrix, &right, &ranges)
    {
        // But where the start itself gives a run no loss, nothing is lost by what the bounds allow.
        put(z, &solution);
    }
}

/// Whether every run has a loss at a start.
fn feasible(law: &dyn Law, data: &Dataset, plan: &Plan, z: &[f64]) -> bool {
    let mut theta = vec![0.0; plan.theta.len()];
    plan.to_theta(z, &mut theta);
    let mut loss = Vec::new();
    data.runs.iter().all(|run| {
        loss.resize(run.features.points(), 0.0);
        law.predict(&theta, &run.features, &mut loss);
        loss.iter().all(|value| value.is_finite() && *value > 0.0)
    })
}

/// The least-squares values of the chosen unknowns, the others 0; `None` where they are not determined.
fn solved(matrix: &DMatrix<f64>, right: &DVector<f64>, chosen: &[usize]) -> Option<Vec<f64>> {
    let part = DMatrix::from_fn(chosen.len(), chosen.len(), |a, b| matrix[(chosen[a], chosen[b])]);
    let right = DVector::from_fn(chosen.len(), |a, _| right[chosen[a]]);
    let values: Vec<f64> = part.cholesky()?.solve(&right).iter().copied().collect();
    values.iter().all(|value| value.is_finite()).then_some(values)
}

/// Least-squares values within ranges: of the unknowns that leave theirs the one that does so by the largest share of it is
/// held just inside, and the others are solved again.
fn bounded(matrix: &DMatrix<f64>, right: &DVector<f64>, ranges: &[(f64, f64)]) -> Option<Vec<f64>> {
    let mut values = vec![0.0; ranges.len()];
    let mut free: Vec<usize> = (0..ranges.len()).collect();
    let mut rest = right.clone();
    while !free.is_empty() {
        for (&a, value) in free.iter().zip(solved(matrix, &rest, &free)?) {
            values[a] = value;
        }
        let beyond = |a: usize| {
            let (lower, upper) = ranges[a];
            (lower - values[a]).max(values[a] - upper) / (upper - lower)
        };
        let worst = free.iter().copied().max_by(|&a, &b| beyond(a).total_cmp(&beyond(b)));
        let Some(a) = worst.filter(|&a| beyond(a) > 0.0) else { break };
        let (lower, upper) = ranges[a];
        let slack = 1e-6 * (upper - lower);
        values[a] = values[a].clamp(lower + slack, upper - slack);
        rest -= matrix.column(a) * values[a];
        free.retain(|&other| other != a);
    }
    Some(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknowns_that_leave_their_ranges_are_held_there_and_the_others_solved_again() {
        // 2x + y = 0, x + 2y = 3: x = −1, y = 2.
        let matrix = DMatrix::from_row_slice(2, 2, &[2.0, 1.0, 1.0, 2.0]);
        let right = DVector::from_row_slice(&[0.0, 3.0]);
        let free = bounded(&matrix, &right, &[(-10.0, 10.0), (-10.0, 10.0)]).unwrap();
        assert!((free[0] + 1.0).abs() < 1e-12 && (free[1] - 2.0).abs() < 1e-12, "{free:?}");
        // With x at 0 the second line alone says y = 3/2.
        let held = bounded(&matrix, &right, &[(0.0, 10.0), (-10.0, 10.0)]).unwrap();
        assert!((held[0] - 1e-5).abs() < 1e-12 && (held[1] - 1.5).abs() < 1e-5, "{held:?}");
        let both = bounded(&matrix, &right, &[(0.0, 10.0), (0.0, 1.0)]).unwrap();
        assert!((both[0] - 1e-5).abs() < 1e-12 && (both[1] - 1.0).abs() < 1e-5, "{both:?}");
        // Twice the same equation determines nothing.
        let flat = DMatrix::from_element(2, 2, 1.0);
        assert_eq!(bounded(&flat, &right, &[(0.0, 1.0), (0.0, 1.0)]), None);
    }
}
