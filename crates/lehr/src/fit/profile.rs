//! Profile likelihood: how much worse the fit gets when one coefficient is held elsewhere.

use super::objective::{Objective, Scratch};
use super::options::FitOptions;
use super::{PointFit, solver};
use crate::law::{Law, Scale};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// The profile of one coefficient.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Profile {
    /// Name of the coefficient.
    pub name: String,
    /// Values it was held at, ascending.
    pub values: Vec<f64>,
    /// Objective with all others refitted, one a value.
    pub objective: Vec<f64>,
    /// The lowest objective.
    pub best: f64,
    /// Where the objective crosses the 90 % limit on either side; `None`: it does not within the bounds, so the
    /// data do not determine the coefficient on that side.
    pub interval: (Option<f64>, Option<f64>),
}

/// Profiles every free coefficient over `count` values between its bounds.
///
/// # Formula
/// The interval holds the values whose objective is below best·(1 + 2.71/(4·curves)): twice the log-likelihood ratio
/// of a Gauss misfit with 4 independent pieces of information a curve, at 90 % for one coefficient (χ²₁ = 2.71).
#[must_use]
pub fn profiles(law: &dyn Law, point: &PointFit, options: &FitOptions, count: usize) -> Vec<Profile> {
    (0..point.z.len()).into_par_iter().map(|k| profile(law, point, options, k, count)).collect()
}

/// Refits with the coefficient held at z: the objective and the others' optimum.
type Solve<'a> = dyn FnMut(f64, &[f64]) -> (f64, Vec<f64>) + 'a;

fn profile(law: &dyn Law, point: &PointFit, options: &FitOptions, k: usize, count: usize) -> Profile {
    let plan = &point.plan;
    let (lower, upper, centre) = (plan.lower[k], plan.upper[k], point.z[k]);
    let best = point.solution.objective;
    let limit = best * (1.0 + 2.71 / (4.0 * point.data.runs.len() as f64));
    let mut scratch = Scratch::default();
    let mut solve = |z: f64, from: &[f64]| {
        let held = plan.holding(k, z);
        let start: Vec<f64> = from.to_vec();
        let objective = Objective::new(law, &point.data, &held, options);
        let outcome = solver::gauss_newton(&objective, &start, options.max_iterations, &mut scratch);
        (outcome.value, outcome.z)
    };
    let mut rest = point.z.clone();
    rest.remove(k);
    let side = |bound: f64, solve: &mut Solve| {
        let n = (count / 2).max(2);
        let mut points = Vec::with_capacity(n);
        let mut from = rest.clone();
        let mut crossing = None;
        let (mut before_z, mut before) = (centre, best);
        for j in 1..=n {
            // Denser near the optimum: the profile is a parabola there.
            let z = centre + (bound - centre) * (j as f64 / n as f64).powi(2);
            let (value, solution) = solve(z, &from);
            from = solution;
            points.push((z, value));
            if crossing.is_none() && value > limit {
                let share = (limit - before) / (value - before);
                crossing = Some(before_z + share * (z - before_z));
            }
            (before_z, before) = (z, value);
        }
        (points, crossing)
    };
    let (mut left, low) = side(lower, &mut solve);
    let (right, high) = side(upper, &mut solve);
    left.reverse();
    left.push((centre, best));
    left.extend(right);
    let back = |z: f64| if plan.scale[k] == Scale::Log { z.exp() } else { z };
    Profile {
        name: law.coefficients()[plan.free[k]].name.to_owned(),
        values: left.iter().map(|(z, _)| back(*z)).collect(),
        objective: left.iter().map(|(_, value)| *value).collect(),
        best,
        interval: (low.map(back), high.map(back)),
    }
}
