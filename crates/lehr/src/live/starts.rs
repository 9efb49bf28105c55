//! When a running job should begin to anneal: now, later, and with a longer budget.

use super::{Live, LiveError};
use crate::caveat::Caveat;
use crate::forecast::{Estimate, spread_of};
use crate::quantile::student;
use crate::recommend::{RecommendOptions, Target, recommend_ratio};
use crate::schedule::{Rates, Schedule, Shape};
use crate::units::Steps;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// How to search for a start.
#[derive(Debug, Clone, PartialEq)]
pub struct StartOptions {
    /// How the rate falls.
    pub shape: Shape,
    /// Final rate.
    pub final_lr: f64,
    /// Starts whose loss is within this many nats of the best are tied with it.
    pub tolerance: f64,
    /// Number of starts tried.
    pub grid: usize,
}

impl Default for StartOptions {
    fn default() -> Self {
        Self { shape: Shape::Linear, final_lr: 0.0, tolerance: 2e-3, grid: 101 }
    }
}

/// One start and the loss at the horizon.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct StartLoss {
    /// Last update before the annealing.
    pub start: u64,
    /// Corrected loss at the horizon, nats per token.
    pub loss: f64,
}

/// The best start of the annealing within a horizon.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Starts {
    /// Horizon T.
    pub total: u64,
    /// Last update before the annealing, with the lowest loss at T.
    pub start: u64,
    /// Interval of the best start over refits with runs left out, cut to what is left of the job, updates.
    #[cfg_attr(feature = "schema", schemars(with = "crate::schema::WholeInterval"))]
    pub interval: (u64, u64),
    /// Earliest and latest start within the tolerance of the best, updates.
    #[cfg_attr(feature = "schema", schemars(with = "crate::schema::WholeInterval"))]
    pub plateau: (u64, u64),
    /// Tolerance of the plateau, nats.
    pub tolerance: f64,
    /// Length of the annealing, updates.
    pub anneal: u64,
    /// Annealing ratio, of the whole horizon.
    pub ratio: f64,
    /// Loss at T, corrected.
    pub loss: Estimate,
    /// Loss at T if the annealing begins at the job's last update, above the lowest, nats.
    pub cost_of_now: f64,
    /// Loss against start.
    pub curve: Vec<StartLoss>,
}

/// An annealing of the job: where it begins and ends, and the loss there.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Ending {
    /// Last update before the annealing.
    pub start: u64,
    /// Last update.
    pub end: u64,
    /// Loss there, corrected, nats per token.
    pub loss: Estimate,
}

/// Annealing over D updates: now, and as late as the horizon allows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AnnealRow {
    /// D, updates spent annealing.
    pub anneal: u64,
    /// Begun at the job's last update.
    pub now: Ending,
    /// Begun at T − D; `None` where D is all that is left.
    pub wait: Option<Ending>,
    /// What waiting gains, nats per token: loss of `now` minus that of `wait`.
    pub gain: Option<f64>,
}

/// What another horizon would change.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LongerBudget {
    /// Horizon.
    pub total: u64,
    /// Best start there: the last update before the annealing.
    pub start: u64,
    /// Corrected loss.
    pub loss: Estimate,
    /// Loss at the stated horizon with its best start, minus this one, nats per token.
    pub gain: f64,
}

/// Shares of what is left that are tabulated where no D is given.
const SHARES: [f64; 6] = [0.05, 0.1, 0.2, 0.4, 0.7, 1.0];
/// Multiples of the horizon that are tabulated.
const LONGER: [f64; 4] = [1.1, 1.25, 1.5, 2.0];
/// Starts tried for each longer budget.
const LONGER_GRID: usize = 41;

/// Lengths of annealing for a table: shares of what is left, rounded to two digits.
fn lengths(left: u64) -> Vec<u64> {
    let mut out: Vec<u64> = SHARES
        .iter()
        .map(|share| {
            let wanted = share * left as f64;
            let unit = 10_f64.powf(wanted.max(1.0).log10().floor() - 1.0).max(1.0);
            if *share >= 1.0 { left } else { ((wanted / unit).round() * unit) as u64 }
        })
        .map(|d| d.clamp(1, left))
        .collect();
    out.dedup();
    out
}

impl Live<'_> {
    fn ending(&self, schedule: &Schedule, start: u64) -> Result<Ending, LiveError> {
        let end = schedule.total().0;
        Ok(Ending { start, end, loss: self.forecast(schedule, &[end])?.forecast.r#final })
    }

    /// Anneals over each D from the job's last update, and from T − D.
    ///
    /// Without lengths, D goes over shares of what is left.
    ///
    /// # Errors
    /// [`LiveError`] for a D beyond what is left, and for schedules that are none.
    pub fn anneal_table(
        &self,
        total: u64,
        given: &[u64],
        options: &StartOptions,
    ) -> Result<Vec<AnnealRow>, LiveError> {
        let last = self.standing.update;
        if total <= last {
            return Err(LiveError::Spent { id: self.standing.id.clone(), last, total });
        }
        let left = total - last;
        let lengths = if given.is_empty() { lengths(left) } else { given.to_vec() };
        lengths
            .into_par_iter()
            .map(|anneal| {
                let ending = |total: u64| {
                    let schedule = self.continued(total, anneal, options.shape, options.final_lr)?;
                    self.ending(&schedule, total - anneal)
                };
                // Refused where it does not fit into the horizon, also for the one that ends earlier.
                self.continued(total, anneal, options.shape, options.final_lr)?;
                let now = ending(last.saturating_add(anneal))?;
                let wait = if anneal < left { Some(ending(total)?) } else { None };
                Ok(AnnealRow { anneal, now, wait, gain: wait.map(|wait| now.loss.value - wait.loss.value) })
            })
            .collect()
    }

    /// The best start within a horizon.
    ///
    /// # Formula
    /// The start minimises the law's L̂(T) over a grid from u to T, refined by a parabola. Its interval is ± t·s, s the jackknife
    /// standard deviation of the root of the best ratio over the refits, joined with that of the recommendation for a whole run of this peak
    /// rate ([`recommend_ratio`]), cut to what is left.
    ///
    /// # Errors
    /// [`LiveError`].
    pub fn starts(&self, total: u64, options: &StartOptions) -> Result<Starts, LiveError> {
        let last = self.standing.update;
        if total <= last {
            return Err(LiveError::Spent { id: self.standing.id.clone(), last, total });
        }
        let n = options.grid.max(5) as u64 - 1;
        let left = total - last;
        let mut anneals: Vec<u64> =
            (0..=n).map(|i| (u128::from(left) * u128::from(i) / u128::from(n)) as u64).collect();
        anneals.dedup();
        let schedules: Vec<Schedule> = anneals
            .par_iter()
            .map(|&d| self.continued(total, d, options.shape, options.final_lr))
            .collect::<Result<_, _>>()?;
        let features: Vec<_> = schedules
            .par_iter()
            .map(|s| self.ready.features(s, &[total], self.setting.tokens_per_step))
            .collect();
        let losses = |theta: &[f64]| -> Vec<f64> {
            features.iter().map(|f| self.ready.predict(theta, f)[0]).collect()
        };
        let law = losses(&self.ready.theta);
        let ratios: Vec<f64> = anneals.iter().map(|&d| d as f64 / total as f64).collect();
        let best_of = |losses: &[f64]| crate::recommend::lowest(&ratios, losses);
        let anneal = ((best_of(&law) * total as f64).round() as u64).min(left);
        let refits = &self.fit.uncertainty.refits;
        let found: Vec<f64> = refits.par_iter().map(|refit| best_of(&losses(&refit.theta)).sqrt()).collect();
        let half = student(self.fit.options.level, self.fit.uncertainty.degrees())
            * spread_of(self.fit, found.into_iter()).min(10.0);
        let ratio = anneal as f64 / total as f64;
        let updates = |ratio: f64| ((ratio * total as f64).round() as u64).min(left);
        let (mut short, mut long) =
            (updates((ratio.sqrt() - half).max(0.0).powi(2)), updates((ratio.sqrt() + half).powi(2)));
        if let Some((low, high)) = self.open_ratios(total, options) {
            (short, long) = (short.min(updates(low)), long.max(updates(high)));
        }
        let best = self.continued(total, anneal, options.shape, options.final_lr)?;
        let ending = self.ending(&best, total - anneal)?;
        let lowest = law.iter().copied().fold(f64::INFINITY, f64::min);
        let tied: Vec<u64> = anneals
            .iter()
            .zip(&law)
            .filter(|(_, loss)| **loss <= lowest + options.tolerance)
            .map(|(d, _)| total - d)
            .chain([total - anneal])
            .collect();
        // One carry for all starts: they share the horizon, and comparing them must not depend on it.
        let factor = (self.carry(total, true).share * self.standing.offset.value).exp();
        let first = tied.iter().copied().min().unwrap_or(total - anneal);
        let latest = tied.iter().copied().max().unwrap_or(total - anneal);
        Ok(Starts {
            total,
            start: total - anneal,
            interval: (total - long, total - short),
            plateau: (first, latest),
            tolerance: options.tolerance,
            anneal,
            ratio,
            loss: ending.loss,
            cost_of_now: law.last().map_or(0.0, |now| factor * (now - lowest)),
            curve: anneals
                .iter()
                .zip(&law)
                .rev()
                .map(|(d, loss)| StartLoss { start: total - d, loss: factor * loss })
                .collect(),
        })
    }

    /// The interval of the best ratio of a whole run at the job's rate, where it has not left its peak.
    fn open_ratios(&self, total: u64, options: &StartOptions) -> Option<(f64, f64)> {
        let standing = &self.standing;
        if standing.annealing || options.grid <= LONGER_GRID {
            return None;
        }
        let past = self.curve.schedule().truncate(Steps(standing.update)).ok()?;
        let warmup = Rates::new(&past).first_at_least(standing.peak_lr * (1.0 - 1e-9))? - 1;
        let target = Target {
            peak_lr: standing.peak_lr,
            total: Steps(total),
            warmup: Steps(warmup),
            shape: options.shape,
            final_lr: options.final_lr,
            setting: self.setting.clone(),
        };
        let limits = RecommendOptions {
            max_anneal_steps: Some(total - standing.update),
            tolerance: options.tolerance,
            ..RecommendOptions::default()
        };
        Some(recommend_ratio(self.fit, &target, &limits).ok()?.interval)
    }

    /// What longer budgets would change: 1.1, 1.25, 1.5 and 2 times the horizon, each with its best start.
    ///
    /// # Errors
    /// [`LiveError`].
    pub fn longer_budgets(
        &self,
        found: &Starts,
        options: &StartOptions,
    ) -> Result<Vec<LongerBudget>, LiveError> {
        let options = StartOptions { grid: LONGER_GRID, ..options.clone() };
        LONGER
            .iter()
            .map(|times| (found.total as f64 * times).round() as u64)
            .filter(|total| *total <= crate::bounds::SAMPLED_UPDATES.most)
            .map(|total| {
                let longer = self.starts(total, &options)?;
                Ok(LongerBudget {
                    total: longer.total,
                    start: longer.start,
                    loss: longer.loss,
                    gain: found.loss.value - longer.loss.value,
                })
            })
            .collect()
    }

    /// The caveats of a forecast to a horizon, with those of the job.
    ///
    /// # Errors
    /// [`LiveError`].
    pub fn caveats_until(&self, schedule: &Schedule) -> Result<Vec<Caveat>, LiveError> {
        Ok(self.forecast(schedule, &[schedule.total().0])?.forecast.caveats)
    }
}

#[cfg(test)]
mod tests {
    use super::lengths;

    #[test]
    fn lengths_of_annealing_are_round_and_within_what_is_left() {
        assert_eq!(lengths(11_000), [550, 1_100, 2_200, 4_400, 7_700, 11_000]);
        assert_eq!(lengths(1), [1]);
        assert_eq!(lengths(7), [1, 3, 5, 7]);
    }
}
