//! What a law gets wrong about differences between schedules: where the intervals of costs and ratios come from.

use super::options::FitOptions;
use super::resample::student;
use crate::cell::{But, Cell};
use crate::curve::Curve;
use crate::features::{FeatureDefinition, RunFeatures};
use crate::law::Law;
use crate::schedule::{Rates, Schedule};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The error of a predicted loss difference between two runs that share everything but how long they anneal, under a refit
/// that did not see one of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DifferenceError {
    /// (ln L̂ − ln L of the run with the shorter annealing) − (ln L̂ − ln L of the other): above 0 where the law overstates
    /// what the shorter annealing costs.
    pub error: f64,
    /// Shares of the updates after the rate left its peak, the smaller first. Fits of earlier versions hold none: their
    /// differences are of no use.
    #[serde(default)]
    pub shares: (f64, f64),
    /// The run that the refit did not see.
    #[serde(default)]
    pub run: String,
}

impl DifferenceError {
    /// How far the two schedules are apart.
    #[must_use]
    pub fn distance(&self) -> f64 {
        distance(self.shares.0, self.shares.1)
    }

    /// Whether both runs anneal.
    fn both_anneal(&self) -> bool {
        self.shares.0 > NO_ANNEALING
    }
}

/// Distance at which two schedules still differ by noise, as if their annealing differed this much.
const SAME_ANNEALING: f64 = 0.05;
/// An annealing share below this is none.
const NO_ANNEALING: f64 = 0.01;
/// Schedules closer than this say nothing about annealing.
const CLOSEST: f64 = 0.02;
/// A run is finished when so much of its horizon is done; one that has not begun to anneal is a finished constant run.
const FINISHED: f64 = 0.97;
/// Fewest runs that were left out and held against others that anneal longer or shorter.
const FEWEST_RUNS: usize = 3;
/// As many runs as the offset, taken as 0 before anything is seen, counts for.
const PRIOR_RUNS: f64 = 3.0;
/// Factor where only differences to constant runs were seen: to meet those is what such a fit was made for, and they say
/// little about differences between ratios. Among runs that have both, these were 2 to 3 times as wrong
/// (`docs/results/coverage.md`).
const CONSTANT_ONLY: f64 = 2.5;
/// A slope at one ratio is less sure than the slope between two ratios that are apart. Chosen on half of the cells of
/// slimpajama-124m (the other half is in `docs/results/coverage.md`).
const ONE_RATIO: f64 = 1.3;
/// Most other runs that one left-out run is held against.
const MOST_PARTNERS: usize = 24;
/// Two points count as one update when they are this close, as a share of the update.
const SAME_UPDATE: f64 = 0.01;
/// Final rates this close, as a share of the peak rate, are one.
const SAME_FINAL: f64 = 0.05;

/// The share of updates 1 … `last` after the rate left its peak for good.
#[must_use]
pub fn annealing_share(rates: &Rates<'_>, last: u64) -> f64 {
    let last = last.min(rates.total());
    let peak = rates.largest(1, last);
    let left = rates.last_at_least(peak * (1.0 - 1e-6), last).unwrap_or(0);
    (last - left) as f64 / last.max(1) as f64
}

/// |√a − √a′|.
#[must_use]
pub fn distance(share: f64, other: f64) -> f64 {
    (share.sqrt() - other.sqrt()).abs()
}

/// The runs of a fit as partners of each other.
pub(super) struct Partners<'a> {
    law: &'a dyn Law,
    curves: &'a [Curve],
    /// What the schedule leaves of each.
    cells: Vec<Cell>,
    definition: &'a FeatureDefinition,
    options: &'a FitOptions,
}

impl<'a> Partners<'a> {
    pub fn new(
        law: &'a dyn Law,
        curves: &'a [Curve],
        definition: &'a FeatureDefinition,
        options: &'a FitOptions,
    ) -> Self {
        Self {
            law,
            curves,
            cells: curves.iter().map(|curve| Cell::of(curve, But::Schedule)).collect(),
            definition,
            options,
        }
    }

    /// Whether two runs share all but how long they anneal. Shapes that differ do not matter to a constant run.
    fn alike(&self, i: usize, j: usize) -> bool {
        let (a, b) = (&self.curves[i], &self.curves[j]);
        let (p, q) = (a.schedule().peak_lr(), b.schedule().peak_lr());
        (p / q - 1.0).abs() < 0.01 && self.cells[i] == self.cells[j]
    }

    fn same_fall(&self, i: usize, j: usize) -> bool {
        let last = |k: usize| {
            let schedule = self.curves[k].schedule();
            schedule.lr(schedule.total().0) / schedule.peak_lr()
        };
        let shape = |k: usize| match self.curves[k].schedule() {
            Schedule::Wsd(wsd) => Some(wsd.shape),
            _ => None,
        };
        shape(i) == shape(j) && (last(i) - last(j)).abs() <= SAME_FINAL
    }

    /// The annealing share at an update, of a run that is finished there: constant so far, or at its end.
    fn finished(rates: &Rates<'_>, update: u64) -> Option<f64> {
        let share = annealing_share(rates, update);
        (share <= NO_ANNEALING || update as f64 >= FINISHED * rates.total() as f64).then_some(share)
    }

    /// ln L̂ − ln L of a run at an update whose loss was measured.
    fn log_error(&self, theta: &[f64], i: usize, update: u64, loss: f64) -> f64 {
        let curve = &self.curves[i];
        let meta = curve.meta();
        let run = RunFeatures::new(
            curve.schedule(),
            &[update],
            meta.law_params(),
            meta.tokens_per_step,
            self.definition,
        );
        let mut predicted = [0.0];
        self.law.predict(theta, &run, &mut predicted);
        (predicted[0] / loss).ln()
    }

    /// ln L̂ − ln L at a row of a curve, as the fit sees it (a mean over updates where the loss is one).
    fn row_error(&self, theta: &[f64], i: usize, row: usize) -> Option<f64> {
        let point = self.curves[i].retain(|k, _, _| k == row)?;
        super::evaluate(self.law, theta, &point, self.definition, self.options).2.first().copied()
    }

    /// The errors of the differences between run i and the runs that it shares all but the annealing with, under θ: at the
    /// ends that both state apart from their curves, else at the last row of run i.
    pub fn errors(&self, theta: &[f64], i: usize) -> Vec<DifferenceError> {
        let curves = self.curves;
        let found: Vec<usize> = (0..curves.len()).filter(|&j| j != i && self.alike(i, j)).collect();
        if found.is_empty() {
            return Vec::new();
        }
        let (last, _) = curves[i].last();
        let rates = Rates::new(curves[i].schedule());
        let whole = rates.total();
        let own = Self::finished(&rates, last).zip(self.row_error(theta, i, curves[i].step().len() - 1));
        let stated = |k: usize| curves[k].meta().final_loss.filter(|loss| loss.is_finite() && *loss > 0.0);
        let stride = found.len().div_ceil(MOST_PARTNERS);
        let between = |j: usize| -> Option<DifferenceError> {
            let ends = stated(i).zip(stated(j)).filter(|_| curves[j].schedule().total().0 == whole);
            let others = Rates::new(curves[j].schedule());
            let (error, own_share, share) = if let Some((mine, other)) = ends {
                let error = self.log_error(theta, i, whole, mine) - self.log_error(theta, j, whole, other);
                (error, annealing_share(&rates, whole), annealing_share(&others, whole))
            } else {
                let row = nearest(&curves[j], last)?;
                let (own_share, own_error) = own?;
                let share = Self::finished(&others, curves[j].step()[row])?;
                (own_error - self.row_error(theta, j, row)?, own_share, share)
            };
            if own_share.min(share) > NO_ANNEALING && !self.same_fall(i, j) {
                return None;
            }
            let (error, shares) =
                if own_share <= share { (error, (own_share, share)) } else { (-error, (share, own_share)) };
            Some(DifferenceError { error, shares, run: curves[i].meta().id.clone() })
        };
        found
            .into_iter()
            .step_by(stride)
            .filter_map(between)
            .filter(|difference| difference.error.is_finite() && difference.distance() > CLOSEST)
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

/// What refits got wrong about differences between measured schedules, for differences that nobody measured.
///
/// # Formula
/// Over pairs of schedules at the distance d = |√a − √a′| (a the share of the updates after the rate left its peak), with
/// z = error/√(d² + 0.05²) and n runs left out:
/// ```text
/// m = mean z · n/(n + 3),  s = √(mean (z − m)²)
/// error of a difference = m·d ± t·s·√(d² + 0.05²),  t: Student's quantile with n − 1 degrees of freedom
/// ```
/// Pairs of runs that both anneal are used. With fewer than 3 runs left out that have such partners, those of annealed
/// and constant runs are: m is 0 then, and s taken 2.5 times.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DifferenceModel {
    /// m: what the law overstates, on the whole, of what a shorter annealing costs, relative, per unit of distance.
    pub offset: f64,
    /// s: the standard deviation about that.
    pub spread: f64,
    /// Degrees of freedom of s.
    pub degrees: f64,
}

impl DifferenceModel {
    /// From the errors of measured differences; `None` without any.
    #[must_use]
    pub fn of(errors: &[DifferenceError]) -> Option<Self> {
        let of = |annealed: bool| {
            let chosen =
                || errors.iter().filter(move |e| e.both_anneal() == annealed && e.distance() > CLOSEST);
            let runs = chosen().map(|e| e.run.as_str()).collect::<BTreeSet<_>>().len();
            let scores: Vec<f64> = chosen().map(|e| e.error / e.distance().hypot(SAME_ANNEALING)).collect();
            (runs, scores)
        };
        let square = |scores: &[f64], m: f64| {
            (scores.iter().map(|z| (z - m) * (z - m)).sum::<f64>() / scores.len() as f64).sqrt()
        };
        let (runs, scores) = of(true);
        if runs >= FEWEST_RUNS {
            let n = runs as f64;
            let offset = scores.iter().sum::<f64>() / scores.len() as f64 * n / (n + PRIOR_RUNS);
            return Some(Self { offset, spread: square(&scores, offset), degrees: n - 1.0 });
        }
        let (runs, scores) = of(false);
        (runs > 0).then(|| Self {
            offset: 0.0,
            spread: CONSTANT_ONLY * square(&scores, 0.0),
            degrees: runs as f64,
        })
    }

    /// The half-width of the interval of a difference at this distance, relative.
    #[must_use]
    pub fn half_width(&self, level: crate::Level, distance: f64) -> f64 {
        student(level, self.degrees) * self.spread * distance.hypot(SAME_ANNEALING)
    }

    /// The half-width of the interval of ∂ ln L/∂√a at one ratio: 1.3·t·s.
    #[must_use]
    pub fn half_slope(&self, level: crate::Level) -> f64 {
        ONE_RATIO * student(level, self.degrees) * self.spread
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(run: &str, shares: (f64, f64), z: f64) -> DifferenceError {
        let error = z * distance(shares.0, shares.1).hypot(SAME_ANNEALING);
        DifferenceError { error, shares, run: run.to_owned() }
    }

    #[test]
    fn an_error_that_all_differences_share_is_taken_off_and_only_the_rest_is_uncertain() {
        let errors: Vec<DifferenceError> = ["a", "b", "c", "d", "e", "f"]
            .iter()
            .enumerate()
            .map(|(i, run)| pair(run, (0.1, 0.4), if i % 2 == 0 { 0.011 } else { 0.009 }))
            .collect();
        let model = DifferenceModel::of(&errors).unwrap();
        // 6 runs against the 3 that say 0.
        assert!((model.offset - 0.01 * 6.0 / 9.0).abs() < 1e-12, "{model:?}");
        let spread = ((0.011_f64 - model.offset).powi(2) / 2.0 + (0.009 - model.offset).powi(2) / 2.0).sqrt();
        assert!((model.spread - spread).abs() < 1e-12, "{model:?}");
        assert_eq!(model.degrees, 5.0);
    }

    #[test]
    fn differences_to_constant_runs_alone_say_less_and_nothing_of_a_side() {
        let errors = [pair("a", (0.0, 0.2), 0.002), pair("b", (0.0, 0.2), 0.002)];
        let model = DifferenceModel::of(&errors).unwrap();
        assert_eq!(model.offset, 0.0);
        assert!((model.spread - 2.5 * 0.002).abs() < 1e-12, "{model:?}");
        assert_eq!(model.degrees, 2.0);
    }

    #[test]
    fn what_earlier_versions_wrote_is_not_used() {
        let old = DifferenceError { error: 0.5, shares: (0.0, 0.0), run: String::new() };
        assert_eq!(DifferenceModel::of(&[old]), None);
    }
}
