//! Signs that the runs are not what they are taken for: said before anything else.

use super::Fit;
use crate::caveat::CaveatKind;
use crate::cell::{But, Cell};
use crate::curve::Curve;
use std::collections::BTreeMap;

/// Runs of one configuration whose last losses differ by this share and more are not repetitions of one another.
const TWINS: f64 = 0.01;

/// A mean misfit of so many standard deviations of one point and less is the scatter of the points.
const NOISE: f64 = 2.0;

/// What a fit that does not describe its runs says, and runs of one configuration that differ.
pub(super) fn caveats(fit: &Fit, curves: &[Curve]) -> Vec<CaveatKind> {
    let mut out = Vec::new();
    let share = fit.metrics.judged();
    // In the unit of losses, as far as bins are judged in place of points.
    let misfit = fit.metrics.mae * share / fit.metrics.mape.max(f64::MIN_POSITIVE);
    if share > CaveatKind::POOR_FIT / 2.0 {
        let noise: Vec<f64> = curves.iter().filter_map(noise).collect();
        let noise = (!noise.is_empty()).then(|| noise.iter().sum::<f64>() / noise.len() as f64);
        // No law can come nearer to single batches than they scatter.
        if fit.metrics.binned.is_some() || noise.is_none_or(|noise| misfit > NOISE * noise) {
            out.push(CaveatKind::PoorFit { share, misfit, noise });
        }
    }
    out.extend(twins(curves));
    out
}

/// Standard deviation of one point about a smooth curve, nats, from second differences; `None` under 8 points.
///
/// # Formula
/// 1.4826 · median |L_{i−1} − 2·L_i + L_{i+1}| / √6
pub(super) fn noise(curve: &Curve) -> Option<f64> {
    scatter(curve.loss())
}

/// The same of a row of losses.
pub(super) fn scatter(loss: &[f64]) -> Option<f64> {
    let mut second: Vec<f64> = loss.windows(3).map(|w| (w[0] - 2.0 * w[1] + w[2]).abs()).collect();
    if second.len() < 6 {
        return None;
    }
    second.sort_by(f64::total_cmp);
    Some(1.4826 * second[second.len() / 2] / 6.0_f64.sqrt())
}

/// The two runs of one configuration that differ most, where they differ by more than repetitions do.
fn twins(curves: &[Curve]) -> Option<CaveatKind> {
    let mut alike: BTreeMap<(Cell, u64), Vec<&Curve>> = BTreeMap::new();
    for curve in curves {
        let key = (Cell::of(curve, But::Nothing), curve.last().0);
        alike.entry(key).or_default().push(curve);
    }
    let apart = |a: &Curve, b: &Curve| (a.last().1 / b.last().1).ln().abs();
    let (first, second, by) = alike
        .values()
        .filter_map(|runs| {
            let low = runs.iter().min_by(|a, b| a.last().1.total_cmp(&b.last().1))?;
            let high = runs.iter().max_by(|a, b| a.last().1.total_cmp(&b.last().1))?;
            Some((*low, *high, apart(low, high)))
        })
        .max_by(|a, b| a.2.total_cmp(&b.2))?;
    (by > TWINS).then(|| CaveatKind::TwinsDiffer {
        first: first.meta().id.clone(),
        second: second.meta().id.clone(),
        losses: (first.last().1, second.last().1),
    })
}
