//! Where fitting begins: the first update from which the law describes the runs without a trend.

use super::{FitError, FitOptions, evaluate_along, fit_point};
use crate::curve::Curve;
use crate::law::Law;
use serde::{Deserialize, Serialize};

/// When the first update is looked for in the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum BeginSearch {
    /// Never: `first_update` is what it says.
    #[default]
    Never,
    /// Where the rates of no run show a warm-up: what its updates did to the loss is in the data all the same.
    WithoutWarmup,
    /// Always.
    Always,
}

/// Windows that the first third of the shortest run is cut into, of equal length in ln t.
const WINDOWS: usize = 12;
/// A window whose mean error is this many standard deviations off has a trend. Strict, because it costs little to begin a window late and
/// much to begin one early.
const OFF: f64 = 2.0;
/// Starts of the fits made on the way.
const STARTS: usize = 4;

/// The first update that was found, and what is wrong before it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Begin {
    /// The first update whose points take part; 0: all do.
    pub first_update: u64,
    /// Mean |ln L̂ − ln L| over a window with a trend, in the fit that began one window earlier, a fraction; 0 where there is none.
    pub before: f64,
    /// Standard deviation of a window's mean error after it, a fraction.
    pub after: f64,
}

/// Looks for the first update from which residuals are free of trend.
///
/// The first third of the shortest run is cut into twelve windows of equal length in ln t. The law is fitted from the beginning of
/// each, the earliest first, until the mean error of every window from there on, over all runs, is within two standard
/// deviations. These come from a fit that leaves the whole third out (what the law gets wrong later on) and from the scatter
/// of the points (noise).
///
/// `None` where the search does not apply: a law of final losses, or runs that show a warm-up and
/// [`BeginSearch::WithoutWarmup`].
///
/// # Errors
/// [`FitError`] where the law cannot be fitted.
pub fn find_begin(law: &dyn Law, curves: &[Curve], options: &FitOptions) -> Result<Option<Begin>, FitError> {
    let wanted = match options.begin {
        BeginSearch::Never => false,
        BeginSearch::WithoutWarmup => !curves.iter().any(shows_warmup),
        BeginSearch::Always => true,
    };
    if !wanted || law.final_only() || curves.is_empty() {
        return Ok(None);
    }
    let shortest = curves.iter().map(|curve| curve.last().0).min().unwrap_or(0);
    let first = curves.iter().map(|curve| curve.step()[0].max(1)).min().unwrap_or(1);
    let latest = shortest / 3;
    if latest <= 2 * first {
        return Ok(None);
    }
    let edge = |k: usize| {
        let share = k as f64 / WINDOWS as f64;
        ((first as f64).ln() * (1.0 - share) + (latest as f64).ln() * share).exp().round() as u64
    };
    let edges: Vec<u64> = (0..=WINDOWS).map(edge).collect();
    let errors_from = |first_update: u64| -> Result<Vec<Vec<(u64, f64)>>, FitError> {
        let starts = options.starts.min(STARTS);
        let fitting = FitOptions { begin: BeginSearch::Never, first_update, starts, ..options.clone() };
        let point = fit_point(law, curves, &fitting)?;
        let all = FitOptions { first_update: 0, warmup_factor: 0.0, ..point.options.clone() };
        let along = |curve: &Curve| {
            evaluate_along(law, &point.theta, curve, &point.data.definition, &all)
                .into_iter()
                .map(|(t, measured, predicted)| (t, (predicted / measured).ln()))
                .collect()
        };
        Ok(curves.iter().map(along).collect())
    };
    let usual = spread_after(&errors_from(latest)?, latest);
    let mut before = 0.0;
    for k in 0..WINDOWS {
        let first_update = if k == 0 { 0 } else { edges[k] };
        let errors = errors_from(first_update)?;
        let trend = (k..WINDOWS).find_map(|window| {
            let found = window_mean(&errors, edges[window], edges[window + 1])?;
            (found.mean.abs() > OFF * usual.hypot(found.error)).then(|| found.mean.abs())
        });
        let Some(trend) = trend else {
            return Ok(Some(Begin { first_update, before, after: usual }));
        };
        before = trend;
    }
    Ok(Some(Begin { first_update: latest, before, after: usual }))
}

/// Whether the rates of a run rise before they reach their peak.
fn shows_warmup(curve: &Curve) -> bool {
    let rates = crate::schedule::Rates::new(curve.schedule());
    rates.at(1) < rates.peak() * (1.0 - 1e-9)
}

/// Mean error of a window over the runs that have points there.
struct WindowMean {
    mean: f64,
    /// Standard error from the scatter of the points.
    error: f64,
}

/// `None` where no run has a point.
fn window_mean(errors: &[Vec<(u64, f64)>], from: u64, to: u64) -> Option<WindowMean> {
    let (mut sum, mut variance, mut runs) = (0.0, 0.0, 0.0);
    for run in errors {
        let within: Vec<f64> = run.iter().filter(|(t, _)| (from..to).contains(t)).map(|(_, e)| *e).collect();
        if within.is_empty() {
            continue;
        }
        sum += within.iter().sum::<f64>() / within.len() as f64;
        // Neighbours differ by noise alone: half of their mean squared difference is its variance.
        let pairs = within.len() - 1;
        if pairs > 0 {
            let squares: f64 = within.windows(2).map(|pair| (pair[1] - pair[0]).powi(2)).sum();
            variance += squares / (2.0 * pairs as f64) / within.len() as f64;
        }
        runs += 1.0;
    }
    // Runs on the same data in the same order share their noise: more of them do not average it out.
    (runs > 0.0).then(|| WindowMean { mean: sum / runs, error: (variance / runs).sqrt() })
}

/// Standard deviation of a run's mean error over windows after an update, of equal length in ln t.
fn spread_after(errors: &[Vec<(u64, f64)>], from: u64) -> f64 {
    let (mut squares, mut count) = (0.0, 0_u64);
    for run in errors {
        let Some(&(last, _)) = run.last() else { continue };
        let ratio = (last as f64 / from.max(1) as f64).powf(1.0 / 8.0);
        let mut start = from.max(1) as f64;
        for _ in 0..8 {
            let end = start * ratio;
            if let Some(window) =
                window_mean(std::slice::from_ref(run), start.round() as u64, end.round() as u64)
            {
                squares += window.mean * window.mean;
                count += 1;
            }
            start = end;
        }
    }
    (squares / count.max(1) as f64).sqrt()
}
