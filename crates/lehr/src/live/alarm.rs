//! Whether something is wrong with a running job: it leaves the band of its law, or does not improve any more.

use super::offset::{PARTS, parts_of};
use super::{Live, Pair};
use crate::curve::Curve;
use crate::fit::resample::{Method, conformal};
use serde::{Deserialize, Serialize};

/// Share of clean runs that may be called out of their band once or more in their whole course.
pub const FALSE_ALARMS: f64 = 0.02;
/// Fewest left-out runs that say what a clean run keeps to.
const FEWEST_RUNS: usize = 3;
/// Least spread of a part, as a share of that over all parts.
const LEAST_SPREAD: f64 = 0.2;
/// Share of the updates done over which an improvement is looked for, twice.
const STRETCH: f64 = 0.15;
/// Fewest points in each of the two stretches.
const FEWEST_POINTS: usize = 6;
/// Standard errors by which the later stretch must lie above the earlier one.
const CLEARLY: f64 = 3.0;

/// The test of a job against the band of its law.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct BandTest {
    /// |mean of ln L − ln L̂| over the twentieth of the horizon that comes nearest to its limit, or exceeds it most.
    pub largest: f64,
    /// Last update of that twentieth.
    pub at: u64,
    /// The limit there. A clean run stays below its limits in its whole course with probability 0.98, 1 −
    /// [`FALSE_ALARMS`].
    pub limit: f64,
    /// Whether it was passed.
    pub left: bool,
    /// Left-out runs that set the limit.
    pub runs: usize,
}

/// A job whose loss does not fall any more.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct NoImprovement {
    /// Mean loss of the earlier stretch, nats per token.
    pub before: f64,
    /// Mean loss of the later stretch, nats per token.
    pub after: f64,
    /// Standard error of their difference, nats.
    pub error: f64,
    /// First update of the later stretch.
    pub since: u64,
}

impl Live<'_> {
    /// Tests whether the job has left the band of its law, given its horizon.
    ///
    /// The test may be repeated at every point: its limit is that of the largest of all parts of a run, so looking often raises
    /// no more false alarms.
    ///
    /// # Formula
    /// ```text
    /// eᵢⱼ = mean of ln L − ln L̂ over twentieth j of left-out run i, under the refit that did not see it
    /// σⱼ  = root mean square of eᵢⱼ over the runs, at least a fifth of that over all parts
    /// Mᵢ  = max over j of |eᵢⱼ|/σⱼ, σⱼ without run i
    /// limitⱼ = w·(q(Mᵢ; 1 − α)·σⱼ + 2s)
    /// ```
    /// q: the conformal quantile; w: by how much an interval is wider outside the data; s: the standard error of the job's own offset. α =
    /// 0.02 is reached with 49 left-out runs; with fewer, q is Student's quantile times the root mean square of Mᵢ.
    ///
    /// `None` where the intervals are those of a block bootstrap, which say nothing about unseen runs.
    #[must_use]
    pub fn band(&self, total: u64) -> Option<BandTest> {
        let uncertainty = &self.fit.uncertainty;
        if uncertainty.method == Method::BlockBootstrap {
            return None;
        }
        let held: Vec<&[Option<f64>]> = uncertainty
            .held_out
            .iter()
            .map(|run| run.along.as_slice())
            .filter(|along| along.len() == PARTS && along.iter().any(Option::is_some))
            .collect();
        if held.len() < FEWEST_RUNS {
            return None;
        }
        // Each run against the spread of the others, as the job against that of all.
        let worst: Vec<f64> = (0..held.len())
            .map(|i| {
                let spread = spreads(&held, Some(i));
                (0..PARTS).filter_map(|j| held[i][j].map(|e| e.abs() / spread[j])).fold(0.0, f64::max)
            })
            .collect();
        const SILENT: crate::Level = crate::Level::without(FALSE_ALARMS);
        let times = conformal(&worst, SILENT);
        let spread = spreads(&held, None);
        let own = 2.0 * self.standing.offset.sd;
        let limit = |j: usize| self.outside.max(1.0) * (times * spread[j] + own);
        let steps: Vec<u64> = self.along.iter().map(|(t, ..)| *t).collect();
        let errors: Vec<f64> = self.along.iter().map(|(_, loss, law)| (loss / law).ln()).collect();
        let parts = parts_of(&steps, &errors, total);
        // The part that is under way has too few points to be judged.
        let end = |j: usize| total as f64 * (j + 1) as f64 / PARTS as f64;
        let (part, largest) = (0..PARTS)
            .filter(|&j| end(j) <= self.standing.update as f64)
            .filter_map(|j| parts[j].map(|e| (j, e.abs())))
            .fold(
                (0, 0.0),
                |best: (usize, f64), (j, e)| {
                    if e / limit(j) > best.1 / limit(best.0) { (j, e) } else { best }
                },
            );
        Some(BandTest {
            largest,
            at: end(part).round() as u64,
            limit: limit(part),
            left: largest > limit(part),
            runs: held.len(),
        })
    }

    /// Update, measured loss and loss by the law of the job's points.
    #[must_use]
    pub fn along(&self) -> &[Pair] {
        &self.along
    }
}

/// σⱼ of every part, over the runs but `without`; see [`Live::band`].
fn spreads(held: &[&[Option<f64>]], without: Option<usize>) -> Vec<f64> {
    let others = || held.iter().enumerate().filter(move |(i, _)| Some(*i) != without).map(|(_, along)| along);
    let square = |errors: &mut dyn Iterator<Item = f64>| {
        let (sum, n) = errors.fold((0.0, 0_u32), |(sum, n), e| (sum + e * e, n + 1));
        (n > 0).then(|| (sum / f64::from(n)).sqrt())
    };
    let all =
        square(&mut others().flat_map(|along| along.iter().flatten().copied())).unwrap_or(f64::INFINITY);
    (0..PARTS)
        .map(|j| {
            let own = square(&mut others().filter_map(|along| along[j]));
            own.unwrap_or(all).max(LEAST_SPREAD * all).max(f64::MIN_POSITIVE)
        })
        .collect()
}

/// Whether the loss of a job rises clearly: the mean over the last 15 % of its updates above that over the 15 % before, by three
/// standard errors.
///
/// `None`: it improves, or there are too few points to tell.
#[must_use]
pub fn no_improvement(curve: &Curve) -> Option<NoImprovement> {
    let (last, _) = curve.last();
    let edge = |times: f64| (1.0 - times * STRETCH) * last as f64;
    let stretch = |from: f64, to: f64| -> Vec<f64> {
        let points = curve.step().iter().zip(curve.loss());
        points.filter(|(t, _)| **t as f64 > from && **t as f64 <= to).map(|(_, loss)| *loss).collect()
    };
    let (before, after) = (stretch(edge(2.0), edge(1.0)), stretch(edge(1.0), last as f64));
    if before.len() < FEWEST_POINTS || after.len() < FEWEST_POINTS {
        return None;
    }
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    // Losses of neighbouring points, so that a slope is no noise.
    let squares = |values: &[f64]| {
        let n = (values.len() - 1) as f64;
        values.windows(2).map(|pair| (pair[1] - pair[0]).powi(2)).sum::<f64>() / (2.0 * n)
    };
    let error = (squares(&before) / before.len() as f64 + squares(&after) / after.len() as f64).sqrt();
    let (earlier, later) = (mean(&before), mean(&after));
    (later - earlier > CLEARLY * error).then_some(NoImprovement {
        before: earlier,
        after: later,
        error,
        since: edge(1.0) as u64 + 1,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{RunMeta, Schedule, Steps};

    fn curve(loss: impl Fn(f64) -> f64) -> Curve {
        let step: Vec<u64> = (1..=100).map(|i| 100 * i).collect();
        let loss = step.iter().map(|&t| loss(t as f64)).collect();
        let schedule = Schedule::constant(1e-3, Steps(10_000), Steps(100)).unwrap();
        Curve::new(RunMeta::named("job"), schedule, step, loss).unwrap()
    }

    #[test]
    fn a_loss_that_rises_is_seen_and_one_that_falls_or_wavers_is_not() {
        let wave = |t: f64| 0.01 * (t / 70.0).sin();
        assert_eq!(no_improvement(&curve(|t| 3.0 + 10.0 / t.sqrt() + wave(t))), None);
        assert_eq!(no_improvement(&curve(|t| 3.0 + wave(t))), None);
        let rising = no_improvement(&curve(|t| 3.0 + (t - 8_500.0).max(0.0) * 1e-4 + wave(t))).unwrap();
        assert_eq!(rising.since, 8_501);
        assert!((rising.after - rising.before - 0.075).abs() < 0.01, "{rising:?}");
    }
}
