//! Two minimisers behind one outcome type: bounded L-BFGS and a bounded Gauss–Newton finish.

use super::objective::{INFEASIBLE, Objective, Scratch};
use basin::{
    BoxBounds, ConstraintSet, Constraints, CostFunction, Executor, FirstOrderState, Gradient, Lbfgs,
    Termination,
};
use nalgebra::{DMatrix, DVector};
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::convert::Infallible;

/// Why a solver stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Stop {
    /// A convergence test was met.
    Converged,
    /// The iteration limit was reached.
    IterationLimit,
    /// The line search found no better point.
    Stalled,
}

/// Where a solver ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The point, on the solver's scale.
    pub z: Vec<f64>,
    /// The objective there.
    pub value: f64,
    /// Why it stopped.
    pub stop: Stop,
    /// Evaluations of objective and gradient.
    pub evaluations: u64,
}

struct Problem<'a, 'b> {
    objective: &'a Objective<'b>,
    scratch: RefCell<&'a mut Scratch>,
}

impl Constraints for Problem<'_, '_> {
    type Set = ConstraintSet<BoxBounds<Vec<f64>>>;
    fn constraints(&self) -> <Self::Set as basin::ConstraintDescription>::Borrowed<'_> {
        let plan = self.objective.plan();
        ConstraintSet::new().with_bounds(BoxBounds::new(Some(&plan.lower), Some(&plan.upper)))
    }
}

impl CostFunction for Problem<'_, '_> {
    type Param = Vec<f64>;
    type Output = f64;
    type Error = Infallible;
    fn cost(&self, z: &Vec<f64>) -> Result<f64, Infallible> {
        Ok(self.objective.value(z, None, &mut self.scratch.borrow_mut()))
    }
}

impl Gradient for Problem<'_, '_> {
    type Gradient = Vec<f64>;
    fn gradient(&self, z: &Vec<f64>) -> Result<Vec<f64>, Infallible> {
        self.cost_and_gradient(z).map(|(_, gradient)| gradient)
    }
    fn cost_and_gradient(&self, z: &Vec<f64>) -> Result<(f64, Vec<f64>), Infallible> {
        let mut gradient = vec![0.0; z.len()];
        let value = self.objective.value(z, Some(&mut gradient), &mut self.scratch.borrow_mut());
        Ok((value, gradient))
    }
    fn cost_and_gradient_into(&self, z: &Vec<f64>, gradient: &mut Vec<f64>) -> Result<f64, Infallible> {
        gradient.resize(z.len(), 0.0);
        Ok(self.objective.value(z, Some(gradient), &mut self.scratch.borrow_mut()))
    }
}

/// Minimises from `start` by L-BFGS-B (Byrd, Lu, Nocedal and Zhu, 1995; version 3.0).
#[must_use]
pub fn lbfgsb(objective: &Objective, start: &[f64], max_iterations: u64, scratch: &mut Scratch) -> Outcome {
    let plan = objective.plan();
    let start: Vec<f64> =
        start.iter().zip(plan.lower.iter().zip(&plan.upper)).map(|(&z, (&l, &u))| z.clamp(l, u)).collect();
    let problem = Problem { objective, scratch: RefCell::new(scratch) };
    let solver = Lbfgs::new()
        .with_absolute_projected_gradient_tolerance(1e-7)
        .with_relative_cost_reduction_tolerance(1e-11);
    let run =
        Executor::new(problem, solver, FirstOrderState::new(start.clone())).max_iter(max_iterations).run();
    match run {
        Ok(result) => Outcome {
            z: result.best_param().clone(),
            value: result.best_cost(),
            stop: match result.report.termination {
                Termination::Converged(_) => Stop::Converged,
                _ if result.report.termination.is_failure() => Stop::Stalled,
                _ => Stop::IterationLimit,
            },
            evaluations: result.cost_evals(),
        },
        // The solver gives up on a start it cannot move from: the start itself is where it ended.
        Err(_) => Outcome { z: start, value: INFEASIBLE, stop: Stop::Stalled, evaluations: 0 },
    }
}

/// Minimises from `start` by Gauss–Newton steps on the reweighted residuals, damped (Levenberg, Marquardt) and kept
/// within the bounds by holding the coefficients that push against one.
///
/// Quadratic convergence near the optimum, where L-BFGS needs many steps; the finish of every fit and the solver of
/// refits that start from a neighbouring optimum.
#[must_use]
pub fn gauss_newton(
    objective: &Objective,
    start: &[f64],
    max_iterations: u64,
    scratch: &mut Scratch,
) -> Outcome {
    let plan = objective.plan();
    let (lower, upper) = (&plan.lower, &plan.upper);
    let mut z: Vec<f64> =
        start.iter().zip(lower.iter().zip(upper)).map(|(&z, (&l, &u))| z.clamp(l, u)).collect();
    let mut damping = 1e-4;
    let mut evaluations = 1;
    let (mut value, mut gradient, mut matrix) = objective.normal_equations(&z, true, scratch);
    let mut small_steps = 0;
    for _ in 0..max_iterations {
        let free: Vec<usize> = (0..z.len())
            .filter(|&j| !(z[j] <= lower[j] && gradient[j] > 0.0 || z[j] >= upper[j] && gradient[j] < 0.0))
            .collect();
        if free.iter().all(|&j| gradient[j].abs() < 1e-9) {
            return Outcome { z, value, stop: Stop::Converged, evaluations };
        }
        let mut accepted = false;
        for _ in 0..12 {
            let Some(step) = damped_step(&matrix, &gradient, &free, damping) else {
                damping *= 10.0;
                continue;
            };
            let trial: Vec<f64> = (0..z.len()).map(|j| (z[j] + step[j]).clamp(lower[j], upper[j])).collect();
            let trial_value = objective.value(&trial, None, scratch);
            evaluations += 1;
            if trial_value < value {
                let gain = (value - trial_value) / value.abs().max(1e-12);
                z = trial;
                (value, gradient, matrix) = objective.normal_equations(&z, true, scratch);
                evaluations += 1;
                damping = (damping * 0.2).max(1e-12);
                accepted = true;
                small_steps = if gain < 1e-10 { small_steps + 1 } else { 0 };
                break;
            }
            damping *= 5.0;
        }
        if !accepted || small_steps >= 2 {
            // No step of any length is better: a minimum to rounding.
            return Outcome { z, value, stop: Stop::Converged, evaluations };
        }
    }
    Outcome { z, value, stop: Stop::IterationLimit, evaluations }
}

fn damped_step(
    matrix: &DMatrix<f64>,
    gradient: &DVector<f64>,
    free: &[usize],
    damping: f64,
) -> Option<Vec<f64>> {
    let k = free.len();
    let mut system = DMatrix::from_fn(k, k, |a, b| matrix[(free[a], free[b])]);
    for a in 0..k {
        system[(a, a)] += damping * system[(a, a)].max(1e-9);
    }
    let right = DVector::from_fn(k, |a, _| -gradient[free[a]]);
    let solution = system.cholesky()?.solve(&right);
    let mut step = vec![0.0; gradient.len()];
    for (a, &j) in free.iter().enumerate() {
        step[j] = solution[a];
    }
    solution.iter().all(|s| s.is_finite()).then_some(step)
}
