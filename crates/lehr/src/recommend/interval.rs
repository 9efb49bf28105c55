//! The intervals of loss differences between schedules, and of the best ratio.

use super::Recommendation;
use crate::fit::differences::{DifferenceModel, annealing_share, distance};
use crate::fit::{Fit, resample};
use crate::forecast::Reach;
use crate::schedule::{Rates, Schedule};

/// Most of a spread in nats, or on the root scale of ratios, that is worth saying.
const MOST_SPREAD: f64 = 10.0;

/// What is known about the differences between a recommended schedule and others.
pub(super) struct Differences {
    model: Option<DifferenceModel>,
    /// Factor on half-widths for a target outside the data.
    factor: f64,
    level: crate::Level,
    /// Student's quantile for spreads over the refits.
    student: f64,
    /// Annealing share of the recommended schedule.
    own: f64,
}

/// The share of a schedule's updates after its rate left the peak.
fn share_of(schedule: &Schedule) -> f64 {
    annealing_share(&Rates::new(schedule), schedule.total().0)
}

impl Differences {
    pub fn new(fit: &Fit, reach: &Reach, recommended: &Schedule) -> Self {
        let level = fit.options.level;
        Self {
            model: DifferenceModel::of(&fit.uncertainty.differences),
            factor: reach.difference_factor(),
            level,
            student: resample::student(level, fit.uncertainty.degrees()),
            own: share_of(recommended),
        }
    }

    /// What the predicted loss of a schedule less that of the recommended one overstates, and the half-width about what is
    /// left, nats. `spread`: standard deviation of the difference over the refits.
    pub fn to(&self, schedule: &Schedule, loss: f64, spread: f64) -> (f64, f64) {
        let sampled = self.student * spread.min(MOST_SPREAD);
        let Some(model) = &self.model else { return (0.0, sampled) };
        let share = share_of(schedule);
        let d = distance(share, self.own);
        let side = if share < self.own { 1.0 } else { -1.0 };
        let measured = self.factor * model.half_width(self.level, d) * loss;
        (side * model.offset * d * loss, sampled.max(measured))
    }

    /// The interval of r* within `range`, from losses at ascending ratios and the spread of √r* over the refits.
    pub fn ratios(
        &self,
        ratios: &[f64],
        losses: &[f64],
        ratio: f64,
        spread: f64,
        (lower, upper): (f64, f64),
    ) -> (f64, f64) {
        let sampled = self.student * spread.min(MOST_SPREAD);
        let (mut first, mut last) =
            ((ratio.sqrt() - sampled).max(0.0).powi(2), (ratio.sqrt() + sampled).powi(2));
        if let Some(model) = &self.model {
            let half = self.factor * model.half_slope(self.level);
            let (from, to) = flat(ratios, losses, model.offset, half);
            (first, last) = (first.min(from), last.max(to));
        }
        // Ratios are of whole updates: r* may lie a rounding outside the range that was asked for.
        (first.clamp(lower.min(ratio), ratio), last.clamp(ratio, upper.max(ratio)))
    }
}

/// The ratios around the lowest of L + m·√r·L whose slope in √r, over L, is at most `half`.
fn flat(ratios: &[f64], losses: &[f64], offset: f64, half: f64) -> (f64, f64) {
    let root: Vec<f64> = ratios.iter().map(|r| r.sqrt()).collect();
    let least = losses.iter().copied().fold(f64::INFINITY, f64::min);
    let corrected: Vec<f64> = losses.iter().zip(&root).map(|(l, x)| l + offset * x * least).collect();
    let count = corrected.len();
    let lowest = (0..count).fold(0, |best, i| if corrected[i] < corrected[best] { i } else { best });
    // Between neighbours: what leads from the lowest to the next ratio must be flat.
    let is_flat = |a: usize, b: usize| {
        let run = root[b] - root[a];
        run > 0.0 && (corrected[b] - corrected[a]).abs() <= half * least * run
    };
    let mut first = lowest;
    while first > 0 && is_flat(first - 1, first) {
        first -= 1;
    }
    let mut last = lowest;
    while last + 1 < count && is_flat(last, last + 1) {
        last += 1;
    }
    (ratios[first], ratios[last])
}

impl Recommendation {
    /// The interval of the loss at every ratio of [`Recommendation::curve`], as a difference to the recommended ratio
    /// (nats per token), at the level of the recommendation: as the costs of rules have, too.
    #[must_use]
    pub fn band(&self) -> Vec<(f64, f64)> {
        let band = |centre: f64, half: f64| (centre - half, centre + half);
        self.curve.iter().map(|p| band(p.loss, p.half_width)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parabola(lowest: f64) -> (Vec<f64>, Vec<f64>) {
        let ratios: Vec<f64> = (0..=1000).map(|i| f64::from(i) / 1000.0).collect();
        let losses = ratios.iter().map(|r| 3.0 + 0.3 * (r.sqrt() - lowest).powi(2)).collect();
        (ratios, losses)
    }

    #[test]
    fn a_ratio_is_open_while_its_slope_cannot_be_told_from_none() {
        let (ratios, losses) = parabola(0.6);
        // Slope 0.6·(x − 0.6) against 0.02·3: x within 0.1.
        let (first, last) = flat(&ratios, &losses, 0.0, 0.02);
        assert!((first.sqrt() - 0.5).abs() < 2e-3 && (last.sqrt() - 0.7).abs() < 2e-3, "{first} {last}");
        // Twice as sure: half as wide, where a rule on losses would be 0.7 times as wide.
        let (first, last) = flat(&ratios, &losses, 0.0, 0.01);
        assert!((first.sqrt() - 0.55).abs() < 2e-3 && (last.sqrt() - 0.65).abs() < 2e-3, "{first} {last}");
    }

    #[test]
    fn a_law_that_overstates_what_short_annealing_costs_points_to_shorter_annealing() {
        let (ratios, losses) = parabola(0.6);
        // Slope 0.6·(x − 0.6) + 0.01·3 = 0 at x = 0.55.
        let (first, last) = flat(&ratios, &losses, 0.01, 0.01);
        assert!((first.sqrt() - 0.5).abs() < 2e-3 && (last.sqrt() - 0.6).abs() < 2e-3, "{first} {last}");
    }
}
