//! Refits with runs left out or resampled: where every interval comes from.

use super::dataset::{Dataset, fifths, is_single_batches, mean_of_part};
use super::differences::{DifferenceError, Partners};
use super::objective::{Objective, Scratch};
use super::options::{FitOptions, Residual};
use super::{PointFit, evaluate_along, solver};
use crate::curve::Curve;
use crate::law::Law;
use crate::live::parts_of;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, StudentsT};
use std::collections::{BTreeMap, BTreeSet};

/// Where the refits come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// One refit a group of runs that share noise (a trunk and its branches), without that group.
    LeaveOneGroupOut,
    /// One refit a run, without that run: there are too few groups.
    LeaveOneRunOut,
    /// One refit a fold of groups (of runs, where there are fewer than five groups), without that fold: there are more
    /// groups than [`MOST_REFITS`].
    LeaveFoldOut,
    /// Residuals resampled in blocks along each run: a lower bound, used where runs are too few to leave one out.
    BlockBootstrap,
}

/// One refit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Refit {
    /// Group, run or fold (`fold 3 of 100`) left out; empty for a bootstrap refit.
    pub left_out: String,
    /// All coefficients in the law's order.
    pub theta: Vec<f64>,
}

/// The error of one run under the refit that did not see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct HeldOut {
    /// Name of the run.
    pub id: String,
    /// ln L̂ − ln L at its last point; its mean over the last fifth of the updates where losses are those of single batches.
    pub final_error: f64,
    /// The 90 % quantile of |ln L̂ − ln L| along the later half of its points; of single batches, the size of its mean over the last
    /// fifth but one, 0 where the log does not reach so far back.
    pub curve_error: f64,
    /// Mean |ln L̂ − ln L| along its points.
    pub mean_error: f64,
    /// Mean ln L̂ − ln L over each twentieth of its updates; `None` where it has no point. What of an offset lasts is judged
    /// by these ([`crate::live::Carry`]).
    #[serde(default)]
    pub along: Vec<Option<f64>>,
}

/// Refits and the errors they made on what they did not see.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Uncertainty {
    /// Where the refits come from.
    pub method: Method,
    /// One a group, run, fold or resample.
    pub refits: Vec<Refit>,
    /// Errors on runs left out; in-sample errors under [`Method::BlockBootstrap`].
    pub held_out: Vec<HeldOut>,
    /// Errors in the loss differences between a run left out and those it shares all but the schedule with; the
    /// intervals of costs come from them.
    pub differences: Vec<DifferenceError>,
}

/// Fewest groups (or runs) for leaving one out.
const FEWEST: usize = 3;
/// Fewest groups before groups, rather than runs, are left out.
const FEWEST_GROUPS: usize = 5;
/// Most refits with something left out. Where there are more groups, they are dealt into this many folds: the spread of a
/// grouped jackknife has the same expectation, and the cost of a refit grows with the runs.
pub const MOST_REFITS: usize = 100;
/// Most refits of more than [`MANY`] groups: each costs as much as the runs are many, and a spread over 40 is known to 11 %.
pub const REFITS_OF_MANY: usize = 40;
/// So many groups are many.
pub const MANY: usize = 400;
/// Number of bootstrap refits.
const BOOTSTRAPS: u64 = 100;

/// Refits the law as the number of runs allows.
///
/// Five groups of runs that share noise (a trunk and its branches) or more: one group is left out at a time. Fewer groups
/// but three runs: one run. More than [`MOST_REFITS`] of either: one fold of a hundredth of them at a time (of a fortieth, where there
/// are more than [`MANY`]), dealt in turn in the order of the names. Fewer than three runs: a block bootstrap of the residuals.
#[must_use]
pub fn resample(law: &dyn Law, curves: &[Curve], point: &PointFit, options: &FitOptions) -> Uncertainty {
    let groups: BTreeSet<&str> = point.data.runs.iter().map(|run| run.group.as_str()).collect();
    if groups.len() >= FEWEST_GROUPS {
        return leave_out(law, curves, point, options, Method::LeaveOneGroupOut, &groups);
    }
    let runs: BTreeSet<&str> = point.data.runs.iter().map(|run| run.id.as_str()).collect();
    if runs.len() >= FEWEST {
        return leave_out(law, curves, point, options, Method::LeaveOneRunOut, &runs);
    }
    bootstrap(law, curves, point, options, BOOTSTRAPS)
}

/// What is left out by each refit: a name, and the indices of the runs.
fn folds(point: &PointFit, method: Method, units: &BTreeSet<&str>) -> Vec<(String, Vec<usize>)> {
    let count = units.len().min(if units.len() > MANY { REFITS_OF_MANY } else { MOST_REFITS });
    let mut folds: Vec<(String, Vec<usize>)> = if count == units.len() {
        units.iter().map(|&unit| (unit.to_owned(), Vec::new())).collect()
    } else {
        (1..=count).map(|i| (format!("fold {i} of {count}"), Vec::new())).collect()
    };
    let fold_of: BTreeMap<&str, usize> =
        units.iter().enumerate().map(|(i, &unit)| (unit, i % count)).collect();
    for (i, run) in point.data.runs.iter().enumerate() {
        let unit = if method == Method::LeaveOneGroupOut { &run.group } else { &run.id };
        folds[fold_of[unit.as_str()]].1.push(i);
    }
    folds
}

/// One refit a fold, without it, from the full optimum.
fn leave_out(
    law: &dyn Law,
    curves: &[Curve],
    point: &PointFit,
    options: &FitOptions,
    method: Method,
    units: &BTreeSet<&str>,
) -> Uncertainty {
    let folds = folds(point, method, units);
    let method = if folds.len() < units.len() { Method::LeaveFoldOut } else { method };
    let partners = Partners::new(law, curves, &point.data.definition, options);
    let results: Vec<(Refit, Vec<HeldOut>, Vec<DifferenceError>)> = folds
        .into_par_iter()
        .map_init(Scratch::default, |scratch, (name, members)| {
            let rest = point.data.without(options.weighting, |i, _| members.binary_search(&i).is_ok());
            let theta = refit(law, &rest, point, options, scratch);
            let held_out = members.iter().map(|&i| judged(law, &theta, &curves[i], point, options)).collect();
            let differences = members.iter().flat_map(|&i| partners.errors(&theta, i)).collect();
            (Refit { left_out: name, theta }, held_out, differences)
        })
        .collect();
    let mut out = Uncertainty { method, refits: Vec::new(), held_out: Vec::new(), differences: Vec::new() };
    for (refit, held_out, differences) in results {
        out.refits.push(refit);
        out.held_out.extend(held_out);
        out.differences.extend(differences);
    }
    out
}

/// Steps of a refit. It begins beside its optimum and takes a dozen; only along a valley that the data leave open would it
/// creep on, and where it stands there makes no difference to what it is for.
const STEPS_OF_REFITS: u64 = 100;

fn refit(
    law: &dyn Law,
    data: &Dataset,
    point: &PointFit,
    options: &FitOptions,
    scratch: &mut Scratch,
) -> Vec<f64> {
    let objective = Objective::new(law, data, &point.plan, options);
    let steps = options.max_iterations.min(STEPS_OF_REFITS);
    let outcome = solver::gauss_newton(&objective, &point.z, steps, scratch);
    let mut theta = vec![0.0; point.theta.len()];
    point.plan.to_theta(&outcome.z, &mut theta);
    theta
}

fn judged(law: &dyn Law, theta: &[f64], curve: &Curve, point: &PointFit, options: &FitOptions) -> HeldOut {
    let along = evaluate_along(law, theta, curve, &point.data.definition, options);
    let errors: Vec<f64> = along.iter().map(|(_, measured, predicted)| (predicted / measured).ln()).collect();
    let steps: Vec<u64> = along.iter().map(|(t, ..)| *t).collect();
    let sizes: Vec<f64> = errors.iter().map(|e| e.abs()).collect();
    let mut late = sizes[sizes.len() / 2..].to_vec();
    late.sort_by(f64::total_cmp);
    let (mut final_error, mut curve_error) = (errors[errors.len() - 1], quantile(&late, 0.9));
    // A forecast is of the expected loss: of single batches, what they scatter by is no error of it.
    if is_single_batches(curve) {
        let [.., before, last] = fifths(&steps).map(|part| mean_of_part(&errors[part]));
        if let Some(last) = last {
            (final_error, curve_error) = (last, before.map_or(0.0, f64::abs));
        }
    }
    HeldOut {
        id: curve.meta().id.clone(),
        final_error,
        curve_error,
        mean_error: sizes.iter().sum::<f64>() / sizes.len() as f64,
        along: parts_of(&steps, &errors, curve.last().0),
    }
}

/// `count` refits to residuals resampled in blocks: every run keeps its fitted curve and gets blocks of its own
/// residuals in another order. Blocks have an eighth of the run's points. A lower bound of the uncertainty: the misfit
/// of the law itself is not in it.
#[must_use]
pub fn bootstrap(
    law: &dyn Law,
    curves: &[Curve],
    point: &PointFit,
    options: &FitOptions,
    count: u64,
) -> Uncertainty {
    let fitted: Vec<Vec<f64>> = point
        .data
        .runs
        .iter()
        .map(|run| {
            let mut loss = vec![0.0; run.features.points()];
            law.predict(&point.theta, &run.features, &mut loss);
            let mut predicted = Vec::new();
            run.observe(&loss, &mut predicted);
            match options.residual {
                Residual::Log => predicted.iter().map(|p| p.ln()).collect(),
                Residual::Raw => predicted,
            }
        })
        .collect();
    let refits: Vec<Refit> = (0..count)
        .into_par_iter()
        .map_init(Scratch::default, |scratch, i| {
            let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
            rng.set_stream(1_000_000 + i);
            let mut data = point.data.clone();
            for (run, fitted) in data.runs.iter_mut().zip(&fitted) {
                let n = fitted.len();
                let block = (n / 8).max(1);
                let residuals: Vec<f64> = run.target.iter().zip(fitted).map(|(t, f)| t - f).collect();
                let mut j = 0;
                while j < n {
                    let from = rng.random_range(0..n);
                    for k in 0..block.min(n - j) {
                        run.target[j + k] = fitted[j + k] + residuals[(from + k) % n];
                    }
                    j += block;
                }
            }
            Refit { left_out: String::new(), theta: refit(law, &data, point, options, scratch) }
        })
        .collect();
    let held_out = curves.iter().map(|curve| judged(law, &point.theta, curve, point, options)).collect();
    Uncertainty { method: Method::BlockBootstrap, refits, held_out, differences: Vec::new() }
}

/// The q-quantile of ascending numbers, linear between neighbours.
pub(crate) fn quantile(ascending: &[f64], q: f64) -> f64 {
    let at = q * (ascending.len() - 1) as f64;
    let (low, high) = (at.floor() as usize, at.ceil() as usize);
    ascending[low] + (at - low as f64) * (ascending[high] - ascending[low])
}

/// The two-sided quantile of Student's t: |t| exceeds it with probability 1 − level.
pub(crate) fn student(level: crate::Level, degrees: f64) -> f64 {
    StudentsT::new(0.0, 1.0, degrees.max(1.0)).map_or(1.96, |t| t.inverse_cdf(0.5 + 0.5 * level.get()))
}

/// The conformal half-width for scores |R|: the ⌈(n + 1)·level⌉-th smallest if there is one; Student's t times the
/// root mean square otherwise, and never less than that where n is below 20.
pub(crate) fn conformal(scores: &[f64], level: crate::Level) -> f64 {
    let n = scores.len();
    if n == 0 {
        return f64::INFINITY;
    }
    let mut sorted: Vec<f64> = scores.iter().map(|s| s.abs()).collect();
    sorted.sort_by(f64::total_cmp);
    let rank = ((n + 1) as f64 * level.get()).ceil() as usize;
    if rank <= n && n >= 20 {
        return sorted[rank - 1];
    }
    let rms = (sorted.iter().map(|s| s * s).sum::<f64>() / n as f64).sqrt();
    let gauss = student(level, n as f64) * rms * (1.0 + 1.0 / n as f64).sqrt();
    if rank <= n { gauss.max(sorted[rank - 1]) } else { gauss }
}

impl Uncertainty {
    /// The spread of a number over the refits, as a standard deviation: delete-one jackknife, or plain for a bootstrap.
    #[must_use]
    pub fn spread(&self, value: impl Fn(&[f64]) -> f64) -> f64 {
        let values: Vec<f64> =
            self.refits.iter().map(|refit| value(&refit.theta)).filter(|v| v.is_finite()).collect();
        let n = values.len() as f64;
        if values.len() < 2 {
            return f64::INFINITY;
        }
        let mean = values.iter().sum::<f64>() / n;
        let squares: f64 = values.iter().map(|v| (v - mean) * (v - mean)).sum();
        match self.method {
            Method::BlockBootstrap => (squares / (n - 1.0)).sqrt(),
            _ => (squares * (n - 1.0) / n).sqrt(),
        }
    }

    /// Degrees of freedom of the spread.
    #[must_use]
    pub fn degrees(&self) -> f64 {
        (self.refits.len() as f64 - 1.0).max(1.0)
    }

    /// An interval of a number that depends on θ, on its logarithm where `log` holds. `None` without a finite spread.
    #[must_use]
    pub fn interval(
        &self,
        level: crate::Level,
        log: bool,
        centre: f64,
        value: impl Fn(&[f64]) -> f64,
    ) -> Option<(f64, f64)> {
        let scale = |v: f64| if log { v.ln() } else { v };
        let spread = self.spread(|theta| scale(value(theta)));
        let half = student(level, self.degrees()) * spread;
        let centre = scale(centre);
        let (low, high) = (centre - half, centre + half);
        (low.is_finite() && high.is_finite()).then(|| if log { (low.exp(), high.exp()) } else { (low, high) })
    }

    /// The half-width, as a relative error, that an unseen run calls for over its later half and at its end: the conformal
    /// quantile of each left-out run's error, the larger of its final error and the 90 % quantile along its later half.
    #[must_use]
    pub fn half_width(&self, level: crate::Level) -> f64 {
        let scores: Vec<f64> = self.held_out.iter().map(|h| h.final_error.abs().max(h.curve_error)).collect();
        conformal(&scores, level)
    }
}
