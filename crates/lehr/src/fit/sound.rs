//! Runs that no law describes: those that diverged and those that never learned.

use super::options::FitOptions;
use crate::curve::Curve;
use crate::validate::names_run;
use serde::{Deserialize, Serialize};

/// What is wrong with a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unsound {
    /// The loss ends far above the lowest it had reached.
    Diverged,
    /// The loss ends far above that of the other runs at the same update.
    Stalled,
}

/// A run that was not fitted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Name of the run.
    pub id: String,
    /// What is wrong with it.
    pub reason: Unsound,
    /// Its loss at the end, nats: the median of its last points.
    pub loss: f64,
    /// What it is held against, nats: the lowest loss of the run itself, or the others' median.
    pub against: f64,
    /// Largest rate of the run.
    pub peak_lr: f64,
}

/// A run whose end lies this much above its own lowest loss has diverged. Rises that belong to a schedule (a rate that
/// climbs again) stay below 5 % on public curves; divergences are 20 % and more.
const DIVERGED: f64 = 1.12;
/// A run that ends this much above the median of the others at the same update never learned. Public runs that differ
/// eightfold in N and thirtyfold in the peak rate stay within 25 %.
const STALLED: f64 = 1.6;
/// Points whose median is one loss, so that a single bad batch decides nothing.
const WINDOW: usize = 5;
/// Fewest other runs whose median is worth something.
const FEWEST_OTHERS: usize = 3;

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

/// Median of the points up to `end` (exclusive) within one window.
fn level(curve: &Curve, end: usize) -> f64 {
    median(&curve.loss()[end.saturating_sub(WINDOW)..end])
}

/// The level of a curve at an update; `None` where the run is not measured that far or that early.
fn level_at(curve: &Curve, update: u64) -> Option<f64> {
    let end = curve.step().partition_point(|&t| t <= update);
    (end > 0 && curve.last().0 >= update).then(|| level(curve, end))
}

/// The runs that no law describes, in the order given, those named in [`FitOptions::keep`] excepted.
#[must_use]
pub fn left_out(curves: &[Curve], options: &FitOptions) -> Vec<LeftOut> {
    let kept = |curve: &Curve| options.keep.iter().any(|pattern| names_run(pattern, &curve.meta().id));
    curves
        .iter()
        .enumerate()
        .filter(|(_, curve)| !kept(curve))
        .filter_map(|(i, curve)| {
            let points = curve.loss().len();
            let loss = level(curve, points);
            let found = |reason, against| LeftOut {
                id: curve.meta().id.clone(),
                reason,
                loss,
                against,
                peak_lr: curve.schedule().peak_lr(),
            };
            let lowest = (WINDOW..=points).map(|end| level(curve, end)).fold(f64::INFINITY, f64::min);
            if loss > DIVERGED * lowest {
                return Some(found(Unsound::Diverged, lowest));
            }
            let others: Vec<f64> = curves
                .iter()
                .enumerate()
                .filter(|(j, _)| *j != i)
                .filter_map(|(_, other)| level_at(other, curve.last().0))
                .collect();
            if others.len() < FEWEST_OTHERS {
                return None;
            }
            let usual = median(&others);
            (loss > STALLED * usual).then(|| found(Unsound::Stalled, usual))
        })
        .collect()
}

/// The curves that are not left out.
pub(super) fn kept(curves: &[Curve], left_out: &[LeftOut]) -> Vec<Curve> {
    curves.iter().filter(|curve| left_out.iter().all(|l| l.id != curve.meta().id)).cloned().collect()
}
