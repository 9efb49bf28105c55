//! Signs that the runs are not what they are taken for: said before anything else.

use super::Fit;
use super::dataset::{is_single_batches, usable};
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
        let noise: Vec<f64> = curves.iter().filter_map(|curve| judged_noise(curve, fit)).collect();
        let noise = (!noise.is_empty()).then(|| noise.iter().sum::<f64>() / noise.len() as f64);
        // No law can come nearer to points, or to the bins of single batches, than they scatter.
        if noise.is_none_or(|noise| misfit > NOISE * noise) {
            out.push(CaveatKind::PoorFit { share, misfit, noise });
        }
    }
    out.extend(twins(curves));
    out
}

/// Standard deviation of what a curve is judged by, nats: of one point, or of a bin of single batches.
fn judged_noise(curve: &Curve, fit: &Fit) -> Option<f64> {
    let noise = noise(curve)?;
    match (is_single_batches(curve), fit.options.points_per_curve) {
        (true, Some(bins)) => {
            let rows = usable(curve, &fit.options).len() as f64 / bins as f64;
            Some(noise / rows.max(1.0).sqrt())
        }
        _ => Some(noise),
    }
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
    // Beyond what the last two batches scatter by, where a loss is that of one batch.
    let apart = |a: &Curve, b: &Curve| {
        let of_one = |curve: &Curve| {
            let noise = noise(curve).filter(|_| is_single_batches(curve)).unwrap_or(0.0);
            noise / curve.last().1
        };
        (a.last().1 / b.last().1).ln().abs() - 3.0 * of_one(a).hypot(of_one(b))
    };
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
