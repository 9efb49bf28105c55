//! Held-out validation: fit on some runs, judge on others that the fit did not see.

use crate::curve::Curve;
use crate::fit::dataset::{fifths, is_single_batches, usable};
use crate::fit::{BeginSearch, FitError, FitOptions, Metrics, evaluate, find_begin, fit_point};
use crate::forecast::{Setting, forecast};
use crate::law::Law;
use crate::names_run;
use crate::schedule::Rates;
use crate::units::Steps;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::ops::Range;

/// Which runs are fitted and which are judged.
#[derive(Debug, Clone, PartialEq)]
pub struct SplitOf {
    /// What sets the judged runs apart: `peak rate 0.002`, `named`, …
    pub name: String,
    /// Indices of the runs fitted.
    pub train: Vec<usize>,
    /// Indices of the runs judged.
    pub test: Vec<usize>,
}

/// How to leave runs out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LeaveOut {
    /// One group of runs that share noise at a time.
    Run,
    /// One schedule family with its parameters besides rate and horizon at a time.
    Schedule,
    /// One peak rate at a time.
    PeakRate,
    /// One horizon at a time.
    Horizon,
    /// One size at a time.
    Size,
    /// One batch at a time.
    Batch,
}

/// The errors of one run under a fit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RunErrors {
    /// Name of the run.
    pub id: String,
    /// `train` or `test`.
    pub part: String,
    /// The fold it was judged in: `named`, `peak rate 5.0000e-4`, …
    pub fold: String,
    /// Its errors.
    #[serde(flatten)]
    pub metrics: Metrics,
    /// Signed relative error (L̂ − L)/L at the last point, of single batches by the mean over the last fifth of the updates, a fraction.
    pub final_signed: f64,
}

/// The outcome of one law on one or more splits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Validation {
    /// Name of the law.
    pub law: String,
    /// Coefficients estimated (in the first fold's fit).
    pub n_coefficients: usize,
    /// Mean errors over the runs fitted, means over folds.
    pub train: Metrics,
    /// Mean errors over the runs judged.
    pub test: Metrics,
    /// Largest relative error of any point of any run judged, a fraction.
    pub test_worst_of_all: f64,
    /// Every run, once a fold.
    pub per_run: Vec<RunErrors>,
}

/// Why there is no validation.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ValidateError {
    /// A pattern matches no run.
    #[error("no run matches '{pattern}'; the runs are {known}")]
    NoMatch {
        /// The pattern.
        pattern: String,
        /// The names there are.
        known: String,
    },
    /// Nothing is left on one side.
    #[error("the split leaves {train} runs to fit and {test} to judge; both need at least one")]
    Empty {
        /// Runs to fit.
        train: usize,
        /// Runs to judge.
        test: usize,
    },
    /// The runs do not differ in what is to be left out.
    #[error("all runs have the same {what}: there is nothing to leave out")]
    NothingToLeaveOut {
        /// What was asked for.
        what: &'static str,
    },
    /// A fit failed.
    #[error("split '{split}': {error}")]
    Fit {
        /// Name of the split.
        split: String,
        /// Why.
        error: FitError,
    },
}

/// The split whose fitted runs match one of the patterns and whose judged runs are all others, or those that match
/// `test`.
///
/// # Errors
/// [`ValidateError::NoMatch`], [`ValidateError::Empty`].
pub fn split_by_name(curves: &[Curve], train: &[String], test: &[String]) -> Result<SplitOf, ValidateError> {
    let known = || curves.iter().map(|c| c.meta().id.clone()).collect::<Vec<_>>().join(", ");
    for pattern in train.iter().chain(test) {
        if !curves.iter().any(|c| names_run(pattern, &c.meta().id)) {
            return Err(ValidateError::NoMatch { pattern: pattern.clone(), known: known() });
        }
    }
    let matches = |patterns: &[String], i: usize| patterns.iter().any(|p| names_run(p, &curves[i].meta().id));
    let fitted: Vec<usize> = (0..curves.len()).filter(|&i| matches(train, i)).collect();
    let judged: Vec<usize> =
        (0..curves.len()).filter(|&i| !matches(train, i) && (test.is_empty() || matches(test, i))).collect();
    if fitted.is_empty() || judged.is_empty() {
        return Err(ValidateError::Empty { train: fitted.len(), test: judged.len() });
    }
    Ok(SplitOf { name: "named".to_owned(), train: fitted, test: judged })
}

/// One split a distinct value of what is left out.
///
/// # Errors
/// [`ValidateError::NothingToLeaveOut`].
pub fn splits(curves: &[Curve], what: LeaveOut) -> Result<Vec<SplitOf>, ValidateError> {
    let (label, key): (&'static str, Box<dyn Fn(&Curve) -> String>) = match what {
        LeaveOut::Run => ("run", Box::new(|c: &Curve| c.meta().id.clone())),
        LeaveOut::Schedule => ("schedule", Box::new(schedule_key)),
        LeaveOut::PeakRate => ("peak rate", Box::new(|c: &Curve| format!("{:.4e}", c.schedule().peak_lr()))),
        LeaveOut::Horizon => ("horizon", Box::new(|c: &Curve| c.last().0.to_string())),
        LeaveOut::Batch => (
            "batch",
            Box::new(|c: &Curve| {
                c.meta().tokens_per_step.map_or_else(|| "unknown".to_owned(), |b| b.0.to_string())
            }),
        ),
        LeaveOut::Size => (
            "size",
            Box::new(|c: &Curve| {
                c.meta().law_params().map_or_else(|| "unknown".to_owned(), |n| n.to_string())
            }),
        ),
    };
    let keys: BTreeSet<String> = curves.iter().map(&key).collect();
    if keys.len() < 2 {
        return Err(ValidateError::NothingToLeaveOut { what: label });
    }
    Ok(keys
        .into_iter()
        .map(|value| {
            let (test, train) = (0..curves.len()).partition(|&i| key(&curves[i]) == value);
            SplitOf { name: format!("{label} {value}"), train, test }
        })
        .collect())
}

/// What a schedule is apart from its rate, horizon and size: the shape of its rates at 16 places, relative to the peak.
fn schedule_key(curve: &Curve) -> String {
    let rates = Rates::new(curve.schedule());
    let (last, _) = curve.last();
    let peak = rates.peak();
    (1..=16)
        .map(|i| format!("{:.1}", (rates.at((last * i / 16).max(1)) / peak * 10.0).round() / 10.0))
        .collect::<Vec<_>>()
        .join(" ")
}

/// Fits the law on each split's runs and judges it on the others.
///
/// Every error is taken over all points after the warm-up, averaged per run, then over runs.
///
/// # Errors
/// [`ValidateError::Fit`] with the split whose fit failed.
pub fn validate(
    law: &dyn Law,
    curves: &[Curve],
    splits: &[SplitOf],
    options: &FitOptions,
) -> Result<Validation, ValidateError> {
    let results: Vec<(usize, Vec<RunErrors>)> = splits
        .par_iter()
        .map(|split| {
            let train: Vec<Curve> = split.train.iter().map(|&i| curves[i].clone()).collect();
            let point = fit_point(law, &train, options)
                .map_err(|error| ValidateError::Fit { split: split.name.clone(), error })?;
            let judge = |&i: &usize, part: &str| {
                let (metrics, final_signed, _) =
                    evaluate(law, &point.theta, &curves[i], &point.data.definition, &point.options);
                RunErrors {
                    id: curves[i].meta().id.clone(),
                    part: part.to_owned(),
                    fold: split.name.clone(),
                    metrics,
                    final_signed,
                }
            };
            let runs = split
                .train
                .iter()
                .map(|i| judge(i, "train"))
                .chain(split.test.iter().map(|i| judge(i, "test")))
                .collect();
            Ok((point.plan.free.len(), runs))
        })
        .collect::<Result<_, ValidateError>>()?;
    let n_coefficients = results.first().map_or(0, |(n, _)| *n);
    let per_run: Vec<RunErrors> = results.into_iter().flat_map(|(_, runs)| runs).collect();
    let part = |name: &str| -> Vec<Metrics> {
        per_run.iter().filter(|run| run.part == name).map(|run| run.metrics).collect()
    };
    let (train, test) = (part("train"), part("test"));
    let empty = || ValidateError::Empty { train: train.len(), test: test.len() };
    Ok(Validation {
        law: law.name().to_owned(),
        n_coefficients,
        train: Metrics::mean(&train).ok_or_else(empty)?,
        test: Metrics::mean(&test).ok_or_else(empty)?,
        test_worst_of_all: test.iter().map(|m| m.worst).fold(0.0, f64::max),
        per_run,
    })
}

/// How often intervals hold what they did not see.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Coverage {
    /// Nominal level of the intervals.
    pub level: crate::Level,
    /// Last losses judged: runs held out, over all folds.
    pub finals: usize,
    /// Of these, runs whose last loss lies inside its interval.
    pub finals_inside: usize,
    /// Points held out (after the warm-up).
    pub points: usize,
    /// Of these, points inside their interval.
    pub points_inside: usize,
    /// Mean half-width of the last losses' intervals, relative to the loss.
    pub mean_half_width: f64,
}

/// Fits the law with its uncertainty on each split's runs and counts how many losses of the others lie inside the
/// intervals of the forecast.
///
/// # Errors
/// [`ValidateError::Fit`] with the split whose fit failed.
pub fn measure_coverage(
    law: &dyn Law,
    curves: &[Curve],
    splits: &[SplitOf],
    options: &FitOptions,
) -> Result<Coverage, ValidateError> {
    let mut total = Coverage {
        level: options.level,
        finals: 0,
        finals_inside: 0,
        points: 0,
        points_inside: 0,
        mean_half_width: 0.0,
    };
    for split in splits {
        let train: Vec<Curve> = split.train.iter().map(|&i| curves[i].clone()).collect();
        let fit = crate::fit::fit(law, &train, options)
            .map_err(|error| ValidateError::Fit { split: split.name.clone(), error })?;
        for curve in split.test.iter().map(|&i| &curves[i]) {
            // The points that the fit speaks about.
            let rows = usable(curve, &fit.options);
            let setting = Setting {
                params: curve.meta().law_params(),
                tokens_per_step: curve.meta().tokens_per_step,
                ..Setting::default()
            };
            // The last measured point counts as the end of the run: its interval is that of a final loss.
            let Ok(schedule) = curve.schedule().truncate(Steps(curve.last().0)) else { continue };
            let updates: Vec<u64> = rows.iter().map(|&i| curve.step()[i]).collect();
            let Ok(forecast) = forecast(&fit, &schedule, &setting, &updates) else { continue };
            // A forecast is of the expected loss. Single batches are averaged over fifths of the run, which their scatter leaves
            // near it; every other point stands for itself.
            let judged: Vec<Range<usize>> = if is_single_batches(curve) {
                fifths(&updates).into_iter().filter(|part| !part.is_empty()).collect()
            } else {
                (0..rows.len()).map(|i| i..i + 1).collect()
            };
            let inside = |part: &Range<usize>| {
                let end = part.end - 1;
                let factor = if part.len() == 1 {
                    curve.loss()[rows[end]] / forecast.loss[end]
                } else {
                    let errors = part.clone().map(|i| (curve.loss()[rows[i]] / forecast.loss[i]).ln());
                    (errors.sum::<f64>() / part.len() as f64).exp()
                };
                let loss = forecast.loss[end] * factor;
                loss >= forecast.lower[end] && loss <= forecast.upper[end]
            };
            let last = rows.len() - 1;
            total.finals += 1;
            total.finals_inside += usize::from(judged.last().is_some_and(&inside));
            total.points += judged.len();
            total.points_inside += judged.iter().filter(|part| inside(part)).count();
            total.mean_half_width += (forecast.upper[last] / forecast.loss[last]).ln();
        }
    }
    total.mean_half_width /= total.finals.max(1) as f64;
    Ok(total)
}

/// One law's place in a comparison.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Contender {
    /// Its validation; `None` with the reason if it could not be fitted.
    pub validation: Result<Validation, String>,
    /// Held-out error minus the winner's (mean relative error a run, a fraction).
    pub margin: f64,
    /// Standard error of that difference, paired over runs.
    pub margin_se: f64,
}

impl Contender {
    /// The held-out error (mean relative error a run, a fraction) with the interval that its difference to the winner
    /// has, never below 0; `None` for a law that could not be fitted. The winner itself, and a law compared on one
    /// run, have no interval.
    ///
    /// # Formula
    /// e ± t·s: s the standard error of the difference, paired over n runs, t Student's with n − 1 degrees of freedom.
    #[must_use]
    pub fn error(&self, level: crate::Level) -> Option<(f64, Option<(f64, f64)>)> {
        let validation = self.validation.as_ref().ok()?;
        let value = validation.test.judged();
        let n = validation.per_run.iter().filter(|run| run.part == "test").count();
        let half = (n > 1).then(|| crate::quantile::student(level, n as f64 - 1.0) * self.margin_se);
        let half = half.filter(|half| half.is_finite() && *half > 0.0);
        Some((value, half.map(|half| ((value - half).max(0.0), value + half))))
    }
}

/// Every law on the same splits, best held-out error first. Where the first update is looked for in the data
/// ([`FitOptions::begin`]), the first law that describes whole curves finds it for all, so that they are judged on the same points.
#[must_use]
pub fn compare(
    laws: &[&'static dyn Law],
    curves: &[Curve],
    splits: &[SplitOf],
    options: &FitOptions,
) -> Vec<(String, Contender)> {
    let found = laws
        .iter()
        .find(|law| !law.final_only())
        .filter(|_| options.first_update == 0)
        .and_then(|law| find_begin(*law, curves, options).ok().flatten());
    let first_update = found.map_or(options.first_update, |found| found.first_update);
    let options = &FitOptions { first_update, begin: BeginSearch::Never, ..options.clone() };
    let mut entries: Vec<(String, Contender)> = laws
        .iter()
        .map(|law| {
            let validation = validate(*law, curves, splits, options).map_err(|e| e.to_string());
            (law.name().to_owned(), Contender { validation, margin: f64::NAN, margin_se: f64::NAN })
        })
        .collect();
    let score = |c: &Contender| c.validation.as_ref().map_or(f64::INFINITY, |v| v.test.judged());
    entries.sort_by(|a, b| score(&a.1).total_cmp(&score(&b.1)));
    let errors = |c: &Contender| -> Vec<f64> {
        c.validation.as_ref().map_or_else(
            |_| Vec::new(),
            |v| v.per_run.iter().filter(|r| r.part == "test").map(|r| r.metrics.judged()).collect(),
        )
    };
    let winner = entries.first().map(|(_, c)| errors(c)).unwrap_or_default();
    for (_, contender) in &mut entries {
        let own = errors(contender);
        if own.len() == winner.len() && !own.is_empty() {
            let differences: Vec<f64> = own.iter().zip(&winner).map(|(a, b)| a - b).collect();
            let n = differences.len() as f64;
            let mean = differences.iter().sum::<f64>() / n;
            contender.margin = mean;
            let squares: f64 = differences.iter().map(|d| (d - mean).powi(2)).sum();
            contender.margin_se = (squares / (n - 1.0).max(1.0) / n).sqrt();
        }
    }
    entries
}
