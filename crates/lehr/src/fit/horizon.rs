//! Fits for horizons much longer than any run fitted: which part of the runs to learn from.

use super::{FitError, FitOptions, evaluate, fit_point};
use crate::curve::Curve;
use crate::law::Law;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Shares of a run that are tried as where fitting begins.
pub const SHARES: [f64; 5] = [0.0, 0.1, 0.25, 0.4, 0.55];
/// A target this many times longer than the longest run fitted is far enough for the choice to matter.
pub const FAR: f64 = 3.0;

/// One share and what it costs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ShareError {
    /// Share of a run's updates that is left out at its start.
    pub share: f64,
    /// Root mean square relative error of the last losses of the longest runs, from fits to the shorter ones.
    pub error: f64,
}

/// Where fitting should begin for a horizon far beyond the data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StartChoice {
    /// The share chosen.
    pub share: f64,
    /// Every share that could be tried, ascending.
    pub tried: Vec<ShareError>,
}

/// Chooses the share of every run to leave out at its start by what forecasts the longest runs from the shorter ones.
///
/// Runs of one size and batch whose horizons differ by a factor of 1.5 or more: the longest are predicted from the others.
/// The largest share whose error is within 10 % of the lowest is taken, because the target is farther away than the runs
/// held out, and the early part misleads the more, the farther a target is. `None` without such horizons.
///
/// # Errors
/// [`FitError`] where no share can be fitted.
pub fn choose_start(
    law: &dyn Law,
    curves: &[Curve],
    options: &FitOptions,
) -> Result<Option<StartChoice>, FitError> {
    // The longest horizon of every size and batch.
    let key = |curve: &Curve| (curve.meta().law_params(), curve.meta().tokens_per_step);
    let mut longest: BTreeMap<_, u64> = BTreeMap::new();
    for curve in curves {
        let most = longest.entry(key(curve)).or_default();
        *most = curve.last().0.max(*most);
    }
    let is_long = |curve: &Curve| curve.last().0 as f64 > longest[&key(curve)] as f64 / 1.5;
    let (long, short): (Vec<Curve>, Vec<Curve>) = curves.iter().cloned().partition(is_long);
    if short.is_empty() || long.is_empty() {
        return Ok(None);
    }
    let results: Vec<Result<ShareError, FitError>> = SHARES
        .par_iter()
        .map(|&share| {
            let options = FitOptions { first_share: options.first_share.max(share), ..options.clone() };
            let point = fit_point(law, &short, &options)?;
            let squares: f64 = long
                .iter()
                .map(|curve| {
                    let (_, end, _) = evaluate(law, &point.theta, curve, &point.data.definition, &options);
                    end * end
                })
                .sum();
            Ok(ShareError { share, error: (squares / long.len() as f64).sqrt() })
        })
        .collect();
    let mut tried = Vec::new();
    let mut failure = None;
    for result in results {
        match result {
            Ok(found) => tried.push(found),
            Err(error) => failure = Some(error),
        }
    }
    let lowest = tried.iter().map(|t| t.error).fold(f64::INFINITY, f64::min);
    let Some(best) = tried.iter().rev().find(|t| t.error <= 1.1 * lowest) else {
        return failure.map_or(Ok(None), Err);
    };
    Ok(Some(StartChoice { share: best.share, tried }))
}
