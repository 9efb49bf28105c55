//! Fits a law to curves, with everything needed to judge and to use the result.

mod caveats;
pub mod dataset;
pub mod differences;
mod fitter;
pub mod horizon;
pub mod identifiability;
mod made;
pub mod metrics;
pub mod objective;
pub mod options;
mod pointwise;
pub mod profile;
pub mod resample;
pub mod solver;
mod sound;
pub mod starts;
mod suspect;
mod usual;

pub use dataset::{Dataset, PreparedRun};
pub use differences::DifferenceError;
pub use fitter::{Fitted, Fitter};
pub use identifiability::{Identifiability, Undetermined};
pub use made::{Input, Made};
pub use metrics::Metrics;
pub use objective::{Objective, Plan, PlanError, Scratch};
pub use options::{Criterion, FitOptions, OptionError, Residual, Weighting};
pub use resample::{Refit, Uncertainty};
pub use solver::{Outcome, Stop};
pub use sound::{LeftOut, Unsound, left_out, level_breaks};

use crate::caveat::Caveat;
use crate::curve::{Arch, Curve, ParamCount, Split};
use crate::features::FeatureDefinition;
use crate::forecast::ForecastError;
use crate::law::{self, Law, LawRegistry, OwnLaw, Role, Scale};
use crate::schedule::Schedule;
use crate::units::{Params, Tokens};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Version of the serialised form of [`Fit`].
pub const FIT_FORMAT: u32 = 3;

/// A fitted law: its coefficients, what they were fitted on, how well, and how sure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fit {
    /// Version of this form.
    pub format: u32,
    /// Name of the law.
    pub law: String,
    /// The coefficients, in the law's order.
    pub coefficients: Vec<CoefficientFit>,
    /// What was minimised over which points.
    pub options: FitOptions,
    /// How the features were computed.
    pub definition: FeatureDefinition,
    /// How the solver fared.
    pub solution: Solution,
    /// Mean errors over the runs fitted.
    pub metrics: Metrics,
    /// The runs, one by one.
    pub runs: Vec<RunFit>,
    /// Runs given that were not fitted, and why.
    pub left_out: Vec<LeftOut>,
    /// Which coefficients the data determine.
    pub identifiability: Identifiability,
    /// Refits with runs left out or resampled.
    pub uncertainty: Uncertainty,
    /// What to know before using it.
    pub caveats: Vec<Caveat>,
    /// How its file was made; `None` for a fit that was not written to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made: Option<Made>,
    /// The law, where it is none of the crate's; its file holds the name alone ([`Fit::resolve`]).
    #[serde(skip)]
    pub own_law: Option<OwnLaw>,
}

/// One fitted coefficient.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CoefficientFit {
    /// Name.
    pub name: String,
    /// Value.
    pub value: f64,
    /// Interval at the fit's level; `None` for a fixed coefficient or without refits.
    pub interval: Option<(f64, f64)>,
    /// Whether it was estimated.
    pub free: bool,
    /// Whether a prior was on it.
    pub prior: bool,
    /// The bound it ran into.
    pub at_bound: Option<Bound>,
}

/// A side of a coefficient's range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// The smallest value.
    Lower,
    /// The largest value.
    Upper,
}

/// How the solver fared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Solution {
    /// The objective at the optimum.
    pub objective: f64,
    /// Why the best start stopped.
    pub stop: Stop,
    /// Number of starts.
    pub starts: usize,
    /// Starts that came within 1 % of the best objective.
    pub starts_agreeing: usize,
    /// Evaluations of objective and gradient over all starts.
    pub evaluations: u64,
    /// Observations fitted.
    pub observations: usize,
}

/// One run of a fit: what it was and how well the law describes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunFit {
    /// Name.
    pub id: String,
    /// Group that shares noise.
    pub group: String,
    /// Architecture.
    pub arch: Arch,
    /// N as the law uses it.
    pub params: Option<Params>,
    /// What N counts.
    pub counted: ParamCount,
    /// Batch in tokens.
    pub tokens_per_step: Option<Tokens>,
    /// Data set.
    pub dataset: Option<String>,
    /// Split.
    pub split: Split,
    /// Largest rate.
    pub peak_lr: f64,
    /// Warm-up updates: where the rate first reaches its peak.
    pub warmup: u64,
    /// Last measured update.
    pub last_update: u64,
    /// Share of the measured updates after the rate left its peak for good.
    pub annealing_share: f64,
    /// How the rate falls, in a word.
    pub fall: String,
    /// Rate of its last update.
    pub final_lr: f64,
    /// Horizon of its schedule.
    pub total: u64,
    /// Errors over all its points after the warm-up.
    pub metrics: Metrics,
    /// Signed relative error at the last point.
    pub final_error: f64,
}

/// Why there is no fit.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum FitError {
    /// No curve was given.
    #[error("no curve to fit")]
    NoCurves,
    /// An option is outside its range.
    #[error(transparent)]
    Option(#[from] OptionError),
    /// Two curves share a name.
    #[error("two curves are named '{0}'; names must be unique")]
    DuplicateName(String),
    /// Options and law do not fit together.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The law counts tokens and a run does not say how many an update has.
    #[error("the {law} law counts tokens, and run '{run}' does not say how many an update has")]
    NoTokens {
        /// Name of the law.
        law: &'static str,
        /// Name of the run.
        run: String,
    },
    /// Fewer observations than free coefficients.
    #[error(
        "{observations} observations cannot determine {free} coefficients; add runs or points, or fix coefficients"
    )]
    TooFewObservations {
        /// Observations.
        observations: usize,
        /// Free coefficients.
        free: usize,
    },
    /// A run ends before the first update that takes part.
    #[error(
        "run '{run}' ends at update {last} and has no point from update {first} on, where fitting begins (after its warm-up, or where you said)"
    )]
    NoPoints {
        /// Name of the run.
        run: String,
        /// Its last update.
        last: u64,
        /// First update that takes part.
        first: u64,
    },
    /// Every run is left out.
    #[error(
        "no run of the {0} can be fitted: each diverged, never learned, changed its level or ended too early; name the runs to fit all the same as kept"
    )]
    AllUnsound(usize),
    /// No start gave a finite objective.
    #[error("the {law} law has no finite objective on these curves from any of {starts} starts")]
    NoSolution {
        /// Name of the law.
        law: &'static str,
        /// Number of starts.
        starts: usize,
    },
}

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

/// Most Gauss–Newton steps of the starts that are not among the three best.
const STEPS_OF_OTHER_STARTS: u64 = 40;
/// Share of the objective by which another start must be lower to be taken in place of the three best.
const CLEARLY_LOWER: f64 = 1e-3;
/// Most runs that the starts search on; with more, an even selection of them.
const MOST_RUNS_OF_STARTS: usize = 400;

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

/// Errors of `theta` on one curve, over all its points after the warm-up (the last point alone for a law of final
/// losses): metrics, signed relative error at the end, and the signed log errors.
#[must_use]
pub fn evaluate(
    law: &dyn Law,
    theta: &[f64],
    curve: &Curve,
    definition: &FeatureDefinition,
    options: &FitOptions,
) -> (Metrics, f64, Vec<f64>) {
    let (run, predicted) = predicted_along(law, theta, curve, definition, options);
    let metrics = Metrics::of(&predicted, &run.loss);
    let errors: Vec<f64> = predicted.iter().zip(&run.loss).map(|(p, m)| (p / m).ln()).collect();
    let last = predicted.len() - 1;
    (metrics, predicted[last] / run.loss[last] - 1.0, errors)
}

/// Update, measured loss and loss under `theta` of every point of one curve after the warm-up (of its last point alone for
/// a law of final losses).
#[must_use]
pub fn evaluate_along(
    law: &dyn Law,
    theta: &[f64],
    curve: &Curve,
    definition: &FeatureDefinition,
    options: &FitOptions,
) -> Vec<(u64, f64, f64)> {
    let (run, predicted) = predicted_along(law, theta, curve, definition, options);
    run.step.iter().zip(&run.loss).zip(predicted).map(|((t, loss), p)| (*t, *loss, p)).collect()
}

fn predicted_along(
    law: &dyn Law,
    theta: &[f64],
    curve: &Curve,
    definition: &FeatureDefinition,
    options: &FitOptions,
) -> (PreparedRun, Vec<f64>) {
    let run = dataset::prepare(law, curve, definition, options, false);
    let mut loss = vec![0.0; run.features.points()];
    law.predict(theta, &run.features, &mut loss);
    let mut predicted = Vec::new();
    run.observe(&loss, &mut predicted);
    (run, predicted)
}

/// Fits the law and its uncertainty. A [`Fitter`] keeps what further questions need, and takes laws from outside.
///
/// # Errors
/// [`FitError`], one variant a reason. A poor fit is no error: it is an answer with caveats.
pub fn fit(law: &dyn Law, curves: &[Curve], options: &FitOptions) -> Result<Fit, FitError> {
    with_point(law, curves, options).map(|(fit, ..)| fit)
}

/// The fit, its optimum and the runs that were fitted.
fn with_point(
    law: &dyn Law,
    curves: &[Curve],
    options: &FitOptions,
) -> Result<(Fit, PointFit, Vec<Curve>), FitError> {
    options.check()?;
    let left_out = left_out(curves, options);
    let kept = sound::kept(curves, &left_out);
    if kept.is_empty() && !curves.is_empty() {
        return Err(FitError::AllUnsound(left_out.len()));
    }
    let curves = kept.as_slice();
    let point = fit_point(law, curves, options)?;
    let options = &point.options;
    let definition = point.data.definition;
    let evaluated: Vec<(Metrics, f64, f64)> = curves
        .par_iter()
        .map(|curve| {
            let (metrics, end, errors) = evaluate(law, &point.theta, curve, &definition, options);
            (metrics, end, median_size(&errors))
        })
        .collect();
    let runs: Vec<RunFit> = curves
        .iter()
        .zip(&evaluated)
        .map(|(curve, (metrics, end, _))| describe(curve, *metrics, *end))
        .collect();
    let all: Vec<Metrics> = evaluated.iter().map(|(metrics, ..)| *metrics).collect();
    let Some(metrics) = Metrics::mean(&all) else { return Err(FitError::NoCurves) };
    let objective = Objective::new(law, &point.data, &point.plan, options);
    let misfit = typical_error(&evaluated);
    let scale = match options.weighting {
        Weighting::EqualCurves => objective::MEAN_SCALE,
        Weighting::EqualPoints => point.data.observations() as f64,
    };
    let identifiability = identifiability::judge(
        &objective,
        law.coefficients(),
        &point.z,
        curves.len(),
        misfit,
        scale,
        &mut Scratch::default(),
    );
    let uncertainty = resample::resample(law, curves, &point, options);
    let coefficients = report_coefficients(law, &point, &uncertainty, options.level);
    let mut fit = Fit {
        format: FIT_FORMAT,
        law: law.name().to_owned(),
        coefficients,
        options: options.clone(),
        definition,
        solution: point.solution.clone(),
        metrics,
        runs,
        left_out,
        identifiability,
        uncertainty,
        caveats: Vec::new(),
        made: None,
        own_law: None,
    };
    fit.caveats = caveats::caveats(law, &fit, &point, curves);
    Ok((fit, point, kept))
}

impl Fit {
    /// The law that was fitted: the one it holds, or the crate's of that name; `None` if neither is there.
    #[must_use]
    pub fn law(&self) -> Option<&dyn Law> {
        match &self.own_law {
            Some(own) => Some(own.0.as_ref()),
            None => law::by_name(&self.law).map(|law| law as &dyn Law),
        }
    }

    /// The same with its law looked up by name, for a fit that was read from a file.
    ///
    /// # Errors
    /// [`ForecastError::UnknownLaw`] for a law that the registry does not have.
    pub fn resolve(mut self, registry: &LawRegistry) -> Result<Self, ForecastError> {
        if law::by_name(&self.law).is_none() {
            let own =
                registry.own_by_name(&self.law).ok_or_else(|| ForecastError::UnknownLaw(self.law.clone()))?;
            self.own_law = Some(OwnLaw(Arc::clone(own)));
        }
        Ok(self)
    }

    /// θ in the law's order.
    #[must_use]
    pub fn theta(&self) -> Vec<f64> {
        self.coefficients.iter().map(|c| c.value).collect()
    }

    /// Number of coefficients that were estimated.
    #[must_use]
    pub fn n_coefficients(&self) -> usize {
        self.coefficients.iter().filter(|c| c.free).count()
    }
}

/// A robust standard deviation of the log errors: 1.48 times their median size, the mean over runs. The few points
/// right after the warm-up, which every law misses, do not decide it.
fn typical_error(evaluated: &[(Metrics, f64, f64)]) -> f64 {
    1.4826 * evaluated.iter().map(|(.., median)| median).sum::<f64>() / evaluated.len() as f64
}

fn median_size(errors: &[f64]) -> f64 {
    let mut sizes: Vec<f64> = errors.iter().map(|e| e.abs()).collect();
    sizes.sort_by(f64::total_cmp);
    resample::quantile(&sizes, 0.5)
}

fn describe(curve: &Curve, metrics: Metrics, final_error: f64) -> RunFit {
    let meta = curve.meta();
    let rates = curve.schedule().rates();
    let (last, _) = curve.last();
    let measured = &rates[..last as usize];
    let peak = measured.iter().copied().fold(0.0, f64::max);
    let at_peak = |&rate: &f64| rate >= peak * (1.0 - 1e-6);
    let warmup = measured.iter().position(at_peak).unwrap_or(0) as u64;
    let left = measured.iter().rposition(at_peak).unwrap_or(0) as u64 + 1;
    RunFit {
        id: meta.id.clone(),
        group: meta.noise_group().to_owned(),
        arch: meta.arch.clone(),
        params: meta.law_params(),
        counted: meta.counted,
        tokens_per_step: meta.tokens_per_step,
        dataset: meta.dataset.clone(),
        split: meta.split,
        peak_lr: curve.schedule().peak_lr(),
        warmup,
        last_update: last,
        annealing_share: (last - left) as f64 / last as f64,
        fall: match curve.schedule() {
            Schedule::Wsd(wsd) if wsd.anneal.0 == 0 || left == last => "none".to_owned(),
            Schedule::Wsd(wsd) => wsd.shape.to_string(),
            Schedule::Piecewise(_) if left == last => "none".to_owned(),
            Schedule::Piecewise(_) => "piecewise".to_owned(),
            Schedule::Sampled(_) => "sampled".to_owned(),
        },
        final_lr: rates[rates.len() - 1],
        total: rates.len() as u64,
        metrics,
        final_error,
    }
}

fn report_coefficients(
    law: &dyn Law,
    point: &PointFit,
    uncertainty: &Uncertainty,
    level: f64,
) -> Vec<CoefficientFit> {
    law.coefficients()
        .iter()
        .enumerate()
        .map(|(i, c)| {
            let position = point.plan.free.iter().position(|&j| j == i);
            let at_bound = position.and_then(|k| {
                let (z, lower, upper) = (point.z[k], point.plan.lower[k], point.plan.upper[k]);
                let near = 1e-6 * (upper - lower);
                if z - lower <= near {
                    Some(Bound::Lower)
                } else if upper - z <= near {
                    Some(Bound::Upper)
                } else {
                    None
                }
            });
            CoefficientFit {
                name: c.name.to_owned(),
                value: point.theta[i],
                interval: position.and_then(|_| {
                    uncertainty.interval(level, c.scale == Scale::Log, point.theta[i], |theta| theta[i])
                }),
                free: position.is_some(),
                prior: matches!(point.plan.roles[i], Role::Prior { .. }),
                at_bound,
            }
        })
        .collect()
}
