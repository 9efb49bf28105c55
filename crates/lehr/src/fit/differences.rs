//! What a law gets wrong about differences between schedules: where the intervals of costs and ratios come from.

use super::options::FitOptions;
use super::resample::conformal;
use crate::curve::Curve;
use crate::features::FeatureDefinition;
use crate::law::Law;
use serde::{Deserialize, Serialize};

/// The error of a predicted loss difference between two runs that share everything but the schedule, under a refit that
/// did not see one of them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct DifferenceError {
    /// (ln L̂ − ln L of one run) − (ln L̂ − ln L of the other), at the same update.
    pub error: f64,
    /// How far the two schedules are apart: |√a − √a′|, a the share of the updates after the rate left its peak.
    pub distance: f64,
}

/// Distance at which two schedules still differ by noise and by their shape, as if their annealing differed this much.
const SAME_ANNEALING: f64 = 0.1;
/// Factor where the runs fitted have two annealing shares only (usually constant runs and one ratio): their difference is
/// what the fit was made to meet, and says little about a third. Measured on the 124M runs: without it the costs of
/// 14 of 21 rules lie inside, all at r = 0.1 outside, twice too narrow.
const TWO_SHARES: f64 = 2.0;
/// Annealing shares this close on the root scale are one.
const SAME_SHARE: f64 = 0.05;
/// Most other runs that one left-out run is held against.
const MOST_PARTNERS: usize = 24;
/// Two points count as one update when they are this close, as a share of the update.
const SAME_UPDATE: f64 = 0.01;

/// The share of updates 1 … `last` after the rate left its peak for good.
#[must_use]
pub fn annealing_share(rates: &[f64], last: u64) -> f64 {
    let measured = &rates[..(last as usize).min(rates.len())];
    let peak = measured.iter().copied().fold(0.0, f64::max);
    let left = measured.iter().rposition(|&rate| rate >= peak * (1.0 - 1e-6)).map_or(0, |i| i + 1);
    (measured.len() - left) as f64 / measured.len().max(1) as f64
}

/// |√a − √a′|.
#[must_use]
pub fn distance(share: f64, other: f64) -> f64 {
    (share.sqrt() - other.sqrt()).abs()
}

/// A run as partner of others: its index and its rates.
pub(super) struct Partners {
    rates: Vec<Vec<f64>>,
}

impl Partners {
    pub fn new(curves: &[Curve]) -> Self {
        Self { rates: curves.iter().map(|curve| curve.schedule().rates()).collect() }
    }

    fn alike(curves: &[Curve], i: usize, j: usize) -> bool {
        let (a, b) = (&curves[i], &curves[j]);
        let (p, q) = (a.schedule().peak_lr(), b.schedule().peak_lr());
        let (m, n) = (a.meta(), b.meta());
        (p / q - 1.0).abs() < 0.01
            && m.law_params() == n.law_params()
            && m.tokens_per_step == n.tokens_per_step
            && m.dataset == n.dataset
            && m.split == n.split
    }

    /// The errors of the differences between run i and the runs that it shares all but the schedule with, under θ.
    pub fn errors(
        &self,
        law: &dyn Law,
        theta: &[f64],
        curves: &[Curve],
        i: usize,
        definition: &FeatureDefinition,
        options: &FitOptions,
    ) -> Vec<DifferenceError> {
        let (last, _) = curves[i].last();
        let found: Vec<(usize, usize)> = (0..curves.len())
            .filter(|&j| j != i && Self::alike(curves, i, j))
            .filter_map(|j| nearest(&curves[j], last).map(|row| (j, row)))
            .collect();
        if found.is_empty() {
            return Vec::new();
        }
        let own_share = annealing_share(&self.rates[i], last);
        let log_error = |j: usize, row: usize| -> Option<f64> {
            let point = curves[j].retain(|k, _, _| k == row)?;
            let (_, _, errors) = super::evaluate(law, theta, &point, definition, options);
            errors.first().copied()
        };
        let Some(own) = log_error(i, curves[i].step().len() - 1) else { return Vec::new() };
        let stride = found.len().div_ceil(MOST_PARTNERS);
        found
            .into_iter()
            .step_by(stride)
            .filter_map(|(j, row)| {
                let update = curves[j].step()[row];
                let share = annealing_share(&self.rates[j], update);
                let error = own - log_error(j, row)?;
                Some(DifferenceError { error, distance: distance(own_share, share) })
            })
            .filter(|difference| difference.error.is_finite() && difference.distance > 0.02)
            .collect()
    }
}

/// The row of a curve at about an update.
fn nearest(curve: &Curve, update: u64) -> Option<usize> {
    let i = curve.step().partition_point(|&t| t < update);
    [i.checked_sub(1), Some(i)]
        .into_iter()
        .flatten()
        .filter(|&k| k < curve.step().len())
        .min_by_key(|&k| curve.step()[k].abs_diff(update))
        .filter(|&k| curve.step()[k].abs_diff(update) as f64 <= SAME_UPDATE * update as f64)
}

/// Factor on half-widths where the annealing shares of the runs fitted are too few to show errors in differences.
#[must_use]
pub fn few_shares(shares: impl Iterator<Item = f64>) -> f64 {
    let mut roots: Vec<f64> = shares.map(f64::sqrt).collect();
    roots.sort_by(f64::total_cmp);
    roots.dedup_by(|a, b| (*a - *b).abs() < SAME_SHARE);
    if roots.len() > 2 { 1.0 } else { TWO_SHARES }
}

/// The relative half-width of a loss difference between two schedules this far apart: the conformal quantile of the errors
/// of measured differences, each over its own distance. `None` without measured differences.
///
/// # Formula
/// h(d) = q·√(d² + 0.1²),  q: quantile of |error|/√(d² + 0.1²)
#[must_use]
pub fn half_width(errors: &[DifferenceError], level: f64, distance: f64) -> Option<f64> {
    if errors.is_empty() {
        return None;
    }
    let scores: Vec<f64> = errors.iter().map(|e| e.error / e.distance.hypot(SAME_ANNEALING)).collect();
    Some(conformal(&scores, level) * distance.hypot(SAME_ANNEALING))
}
