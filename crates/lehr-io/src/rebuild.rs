//! How a run's schedule is known, and how well the logged rates agree with it.

use lehr::schedule::Family;
use lehr::{Schedule, Segment};
use serde::{Deserialize, Serialize};

/// How a run's schedule is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Known {
    /// The source or the user states it.
    Stated,
    /// A manifest states it.
    Manifest,
    /// Its family was recognised in the logged rates.
    Recognised,
    /// Straight lines through the logged rates.
    Rows,
}

/// Where a run's schedule comes from and how well the logged rates agree with it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ScheduleOrigin {
    /// Where the schedule comes from.
    pub known: Known,
    /// A name for a table: `wsd linear`, `cosine`, `constant`, `rows`.
    pub family: String,
    /// Largest difference between logged and rebuilt rates over the logged rows, a share of the peak rate; `None`
    /// if no rate was logged.
    pub residual: Option<f64>,
    /// Rows that had a rate.
    pub rows: usize,
}

/// Whether the log begins later than one and a half of its own intervals.
pub(crate) fn misses_its_past(step: &[u64]) -> bool {
    let Some(&first) = step.first() else { return false };
    let mut gaps: Vec<u64> = step.windows(2).map(|pair| pair[1] - pair[0]).collect();
    if gaps.is_empty() {
        return first > 1;
    }
    let middle = gaps.len() / 2;
    let (_, &mut stride, _) = gaps.select_nth_unstable(middle);
    first > 1 && 2 * first > 3 * stride
}

/// Largest difference between logged and rebuilt rates, as a share of the peak.
#[must_use]
pub fn residual(schedule: &Schedule, rates: &[(u64, f64)]) -> Option<f64> {
    let peak = schedule.peak_lr();
    let total = schedule.total().0;
    let rebuilt = Cursor::new(schedule);
    let mut worst: Option<f64> = None;
    for (lr, &(_, logged)) in rebuilt
        .at(rates.iter().map(|&(step, _)| step))
        .zip(rates)
        .filter(|(_, (step, _))| *step >= 1 && *step <= total)
    {
        let error = (lr - logged).abs() / peak;
        worst = Some(worst.map_or(error, |worst| worst.max(error)));
    }
    worst
}

/// The rows whose rates are further from the schedule than this share of its peak; the first `most` of them.
pub(crate) fn far(schedule: &Schedule, rates: &[(u64, f64)], share: f64, most: usize) -> Vec<(u64, f64)> {
    let peak = schedule.peak_lr();
    Cursor::new(schedule)
        .at(rates.iter().map(|&(step, _)| step))
        .zip(rates)
        .filter(|(lr, (_, logged))| (lr - logged).abs() > share * peak)
        .map(|(_, &row)| row)
        .take(most)
        .collect()
}

/// Rates at many updates without walking the segments anew for each.
struct Cursor<'a> {
    schedule: &'a Schedule,
    segments: Vec<(u64, Segment)>,
}

impl<'a> Cursor<'a> {
    fn new(schedule: &'a Schedule) -> Self {
        let mut end = 0;
        let segments = schedule
            .segments()
            .unwrap_or_default()
            .into_iter()
            .map(|segment| {
                let start = end;
                end += segment.updates.0;
                (start, segment)
            })
            .collect();
        Self { schedule, segments }
    }

    /// The rate of each update; NaN outside 1 … T.
    fn at(&self, steps: impl Iterator<Item = u64>) -> impl Iterator<Item = f64> {
        let total = self.schedule.total().0;
        steps.map(move |step| {
            if step == 0 || step > total {
                return f64::NAN;
            }
            if self.segments.is_empty() {
                return self.schedule.lr(step);
            }
            let k = self.segments.partition_point(|&(start, _)| start < step) - 1;
            let (start, segment) = self.segments[k];
            segment.lr(step - start)
        })
    }
}

/// A name of the schedule for a table: its family, and the shape where there is a choice.
#[must_use]
pub fn family(schedule: &Schedule) -> String {
    let family = schedule.family();
    match (family, schedule) {
        (Family::Wsd, Schedule::Wsd(wsd)) => format!("wsd {}", wsd.shape),
        (Family::Wsd, Schedule::Piecewise(_)) => schedule
            .annealing()
            .map_or_else(|| family.to_string(), |annealing| format!("wsd {}", annealing.shape)),
        (Family::Piecewise, Schedule::Piecewise(pieces)) => format!("{} pieces", pieces.segments().len()),
        _ => family.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_begins_at_its_interval_misses_nothing() {
        assert!(!misses_its_past(&[128, 256, 384]));
        assert!(!misses_its_past(&[1, 11, 21]));
        assert!(misses_its_past(&[2160, 2288, 2416]));
    }

    #[test]
    fn the_residual_is_a_share_of_the_peak() {
        let schedule: Schedule =
            "wsd:peak=1e-3,total=1000,warmup=100,anneal=200,shape=linear,final=0".parse().unwrap();
        let mut rates: Vec<(u64, f64)> = (1..=100).map(|k| (10 * k, schedule.lr(10 * k))).collect();
        assert_eq!(residual(&schedule, &rates), Some(0.0));
        rates[50].1 += 1e-5;
        assert!((residual(&schedule, &rates).unwrap() - 0.01).abs() < 1e-12);
    }
}
