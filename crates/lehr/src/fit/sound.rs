//! Runs that no law describes: those that diverged, never learned, changed their level, or ended before fitting begins.

use super::dataset::without_points;
use super::options::FitOptions;
use crate::curve::Curve;
use crate::names_run;
use serde::{Deserialize, Serialize};

/// What is wrong with a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Unsound {
    /// The loss ends far above the lowest it had reached.
    Diverged,
    /// The loss ends far above that of the other runs at the same update.
    Stalled,
    /// The level of the loss changes between two points as no schedule does: another evaluation set, tokenizer or scale.
    LevelBroken,
    /// A final loss alone, of a run that ended before the update from which a fit takes points.
    TooShort,
}

/// A run that was not fitted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(rename = "LeftOutRun"))]
pub struct LeftOut {
    /// Name of the run.
    pub id: String,
    /// What is wrong with it.
    pub reason: Unsound,
    /// Its loss at the end, nats: the median of its last points.
    pub loss: f64,
    /// What it is held against, nats: the lowest loss of the run itself, the others' median, or the level before a break.
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
            if let Some((before, after)) = broken_level(curve) {
                return Some(LeftOut { loss: after, against: before, ..found(Unsound::LevelBroken, before) });
            }
            if points == 1 && without_points(curve, options).is_some() {
                return Some(found(Unsound::TooShort, loss));
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

/// Points on either side of a break in the level.
const REACH: usize = 5;

/// Updates between which the level of the losses changes as no schedule does: a jump between two rows that is more than five
/// times what the medians of five rows do on either side, more than 8 standard deviations of a row, and more than a tenth of
/// the loss. `noise`: that standard deviation, nats.
///
/// # Formula
/// With a, b the medians of the two fives of rows before and c, d those of the two after:
/// |c − b| > max(5·(|b − a| + |d − c|), 8·noise, 0.1·min(b, c)), at the row where |c − b| is largest.
#[must_use]
pub fn level_breaks(step: &[u64], loss: &[f64], noise: f64) -> Vec<(u64, u64)> {
    breaks(loss, noise).into_iter().filter_map(|i| Some((*step.get(i - 1)?, *step.get(i)?))).collect()
}

/// The rows before which the level breaks.
fn breaks(loss: &[f64], noise: f64) -> Vec<usize> {
    let n = loss.len();
    if n < 4 * REACH {
        return Vec::new();
    }
    let middle = |from: usize| median(&loss[from..from + REACH]);
    let jump = |i: usize| {
        let (a, b) = (middle(i - 2 * REACH), middle(i - REACH));
        let (c, d) = (middle(i), middle(i + REACH));
        let size = (c - b).abs();
        let usual = 5.0 * ((b - a).abs() + (d - c).abs());
        // The two rows themselves: a median moves two rows early.
        let own = (loss[i] - loss[i - 1]).abs();
        (size > usual.max(8.0 * noise).max(0.1 * b.min(c)) && own > 0.5 * size).then_some(size)
    };
    let mut breaks: Vec<(usize, f64)> = Vec::new();
    for i in 2 * REACH..=n - 2 * REACH {
        // What the rows themselves do not do, their medians do not either.
        let candidate = (loss[i] - loss[i - 1]).abs() > 4.0 * noise;
        if let Some(size) = candidate.then(|| jump(i)).flatten() {
            match breaks.last_mut() {
                Some(last) if i - last.0 < REACH => {
                    if size > last.1 {
                        *last = (i, size);
                    }
                }
                _ => breaks.push((i, size)),
            }
        }
    }
    breaks.into_iter().map(|(i, _)| i).collect()
}

/// The level before and after the first break of a curve.
fn broken_level(curve: &Curve) -> Option<(f64, f64)> {
    let loss = curve.loss();
    let first = *breaks(loss, super::suspect::noise(curve)?).first()?;
    Some((median(&loss[first - REACH..first]), median(&loss[first..first + REACH])))
}

/// The curves that are not left out.
pub(super) fn kept(curves: &[Curve], left_out: &[LeftOut]) -> Vec<Curve> {
    curves.iter().filter(|curve| left_out.iter().all(|l| l.id != curve.meta().id)).cloned().collect()
}
