//! The optimum alone: searched from many starts, finished by Gauss–Newton.

use super::begin::{BeginSearch, find_begin};
use super::dataset::{self, Dataset};
use super::objective::{self, Objective, Plan, Scratch};
use super::options::{self, FitOptions, Weighting};
use super::solver::{self, Outcome};
use super::{FitError, Solution, horizon, starts};
use crate::curve::Curve;
use crate::law::Law;
use rayon::prelude::*;
use std::collections::BTreeSet;

/// Most Gauss–Newton steps of the starts that are not among the three best.
const STEPS_OF_OTHER_STARTS: u64 = 40;
/// Share of the objective by which another start must be lower to be taken in place of the three best.
const CLEARLY_LOWER: f64 = 1e-3;
/// Most runs that the starts search on; with more, an even selection of them.
const MOST_RUNS_OF_STARTS: usize = 400;

/// The optimum without its uncertainty: what refits, validation and benchmarks need.
#[derive(Debug, Clone)]
pub struct PointFit {
    /// All coefficients, in the law's order.
    pub theta: Vec<f64>,
    /// The plan that says which are free.
    pub plan: Plan,
    /// The data as fitted.
    pub data: Dataset,
    /// How the solver fared.
    pub solution: Solution,
    /// The optimum on the solver's scale.
    pub z: Vec<f64>,
    /// The options in effect: those given, with the weight of priors that these data call for.
    pub options: FitOptions,
}

/// Fits θ alone: many starts of L-BFGS-B in parallel, the best three finished by Gauss–Newton. With more than 400 runs the
/// starts search on an even selection of them; the finish always sees all.
///
/// # Errors
/// [`FitError`], one variant a reason.
pub fn fit_point(law: &dyn Law, curves: &[Curve], options: &FitOptions) -> Result<PointFit, FitError> {
    options.check()?;
    if options.choose_first_share {
        let plain = FitOptions { choose_first_share: false, ..options.clone() };
        let share = horizon::choose_start(law, curves, &plain)?.map_or(plain.first_share, |c| c.share);
        return fit_point(law, curves, &FitOptions { first_share: share, ..plain });
    }
    if options.begin != BeginSearch::Never && options.first_update == 0 {
        let plain = FitOptions { begin: BeginSearch::Never, ..options.clone() };
        let first_update = find_begin(law, curves, options)?.map_or(0, |found| found.first_update);
        let mut point = fit_point(law, curves, &FitOptions { first_update, ..plain })?;
        point.options.begin = options.begin;
        return Ok(point);
    }
    if curves.is_empty() {
        return Err(FitError::NoCurves);
    }
    let mut names = BTreeSet::new();
    if let Some(curve) = curves.iter().find(|curve| !names.insert(curve.meta().id.as_str())) {
        return Err(FitError::DuplicateName(curve.meta().id.clone()));
    }
    if !law.final_only() {
        for curve in curves {
            if let Some(first) = dataset::without_points(curve, options) {
                return Err(FitError::NoPoints { run: curve.meta().id.clone(), last: curve.last().0, first });
            }
        }
    }
    if law.needs_tokens()
        && let Some(curve) = curves.iter().find(|curve| curve.meta().tokens_per_step.is_none())
    {
        return Err(FitError::NoTokens { law: law.name(), run: curve.meta().id.clone() });
    }
    let data = Dataset::new(law, curves, options);
    let plan = Plan::new(law, &data, options)?;
    let observations = data.observations();
    if observations < plan.free.len() {
        return Err(FitError::TooFewObservations { observations, free: plan.free.len() });
    }
    let objective = Objective::new(law, &data, &plan, options);
    // Where there are very many runs, an even selection of them finds the basin and all of them the optimum in it.
    let stride = data.runs.len().div_ceil(MOST_RUNS_OF_STARTS);
    let selection = (stride > 1).then(|| data.every(options.weighting, stride));
    let searched = selection.as_ref().unwrap_or(&data);
    let search = Objective::new(law, searched, &plan, options);
    let starts = starts::starts(law, searched, &plan, options.starts, options.seed);
    let mut outcomes: Vec<Outcome> = starts
        .par_iter()
        .map_init(Scratch::default, |scratch, start| {
            solver::lbfgsb(&search, start, options.max_iterations, scratch)
        })
        .collect();
    let evaluations: u64 = outcomes.iter().map(|o| o.evaluations).sum();
    // A stable sort: ties keep the order of the starts, whatever thread finished first.
    outcomes.sort_by(|a, b| a.value.total_cmp(&b.value));
    if outcomes[0].value >= objective::INFEASIBLE {
        return Err(FitError::NoSolution { law: law.name(), starts: options.starts });
    }
    let finished: Vec<Outcome> = outcomes
        .par_iter()
        .take(3)
        .map_init(Scratch::default, |scratch, outcome| {
            solver::gauss_newton(&objective, &outcome.z, options.max_iterations, scratch)
        })
        .collect();
    // L-BFGS stalls in the narrow valleys of several sizes. Where few starts seem to agree, all are given the finish, in
    // fewer steps, before they are said to disagree.
    let lowest_start = outcomes[0].value.min(finished.iter().map(|o| o.value).fold(f64::INFINITY, f64::min));
    let near = |value: f64, lowest: f64| value <= lowest * 1.01 + 1e-12;
    let seem = outcomes.iter().filter(|outcome| near(outcome.value, lowest_start)).count();
    let settled = 2 * seem >= outcomes.len();
    let rest: Vec<Outcome> = if settled {
        outcomes.iter().skip(3).cloned().collect()
    } else {
        outcomes
            .par_iter()
            .skip(3)
            .filter(|outcome| outcome.value < objective::INFEASIBLE)
            .map_init(Scratch::default, |scratch, outcome| {
                solver::gauss_newton(&search, &outcome.z, STEPS_OF_OTHER_STARTS, scratch)
            })
            .collect()
    };
    let mut reached: Vec<f64> = rest.iter().map(|outcome| outcome.value).collect();
    // Of a selection of the runs, starts can only be held against each other.
    let leaders = if stride > 1 { &outcomes[..outcomes.len().min(3)] } else { &finished };
    reached.extend(leaders.iter().map(|outcome| outcome.value));
    let lowest = reached.iter().copied().fold(f64::INFINITY, f64::min);
    let agreeing = reached.iter().filter(|value| near(**value, lowest)).count();
    let further: u64 = if settled { 0 } else { rest.iter().map(|outcome| outcome.evaluations).sum() };
    let evaluations = evaluations + further;
    let best = finished
        .into_iter()
        .reduce(|best, other| if other.value < best.value { other } else { best })
        .ok_or(FitError::NoSolution { law: law.name(), starts: options.starts })?;
    // A start that was not among the three best may end lower all the same.
    let best = match rest.into_iter().reduce(|a, b| if b.value < a.value { b } else { a }) {
        Some(other) if other.value < best.value * (1.0 - CLEARLY_LOWER) && stride == 1 => {
            let mut scratch = Scratch::default();
            let other = solver::gauss_newton(&objective, &other.z, options.max_iterations, &mut scratch);
            if other.value < best.value { other } else { best }
        }
        _ => best,
    };
    let (best, options) = weigh_priors(law, &data, &plan, options, best);
    let mut theta = vec![0.0; plan.theta.len()];
    plan.to_theta(&best.z, &mut theta);
    let solution = Solution {
        objective: best.value,
        stop: best.stop,
        starts: outcomes.len(),
        starts_agreeing: agreeing,
        evaluations: evaluations + best.evaluations,
        observations,
    };
    Ok(PointFit { theta, z: best.z, plan, data, solution, options })
}

/// Lowers the weight of the priors where the data are described better than real curves usually are, and finishes the
/// optimum again.
fn weigh_priors(
    law: &dyn Law,
    data: &Dataset,
    plan: &Plan,
    options: &FitOptions,
    best: Outcome,
) -> (Outcome, FitOptions) {
    let mut options = options.clone();
    if options.weighting != Weighting::EqualCurves || plan.prior.iter().all(Option::is_none) {
        return (best, options);
    }
    let mut scratch = Scratch::default();
    let mut best = best;
    let given = options.prior_weight;
    for _ in 0..2 {
        let objective = Objective::new(law, data, plan, &options);
        let share = objective.data_value(&best.z, &mut scratch) / options::USUAL_OBJECTIVE;
        options.prior_weight = given * share.clamp(1e-3, 1.0);
        let objective = Objective::new(law, data, plan, &options);
        let outcome = solver::gauss_newton(&objective, &best.z, options.max_iterations, &mut scratch);
        best = Outcome { evaluations: best.evaluations + outcome.evaluations, ..outcome };
    }
    (best, options)
}
