//! The schedule of a whole run from what was logged of its rate.

use lehr::schedule::Piecewise;
use lehr::{Schedule, ScheduleError, Segment, Shape, Steps};
use serde::{Deserialize, Serialize};

/// How a run's schedule is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScheduleOrigin {
    /// How it is known.
    pub known: Known,
    /// A name for a table: `wsd linear`, `cosine`, `constant`, `rows`.
    pub family: String,
    /// Largest |logged − rebuilt| / peak over the logged rows; `None` if no rate was logged.
    pub residual: Option<f64>,
    /// Rows with a rate.
    pub rows: usize,
}

/// What stands before the first logged rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Past {
    /// The log begins at its first logging interval: nothing is missing.
    Logged,
    /// The user stated a warm-up of so many updates.
    Stated(u64),
    /// Nothing is known: a linear warm-up of so many updates, then the first logged rate, is assumed.
    Assumed(u64),
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

/// Straight lines through logged rates: update, rate, in order of the updates; the past as `past` says.
///
/// Stretches on one line become one segment. Without a missing past, a rate that rises over the first two rows is
/// carried back along their line to update 0 (not below 0), any other first rate held from the beginning.
///
/// # Errors
/// [`ScheduleError`]: no rate, a negative or non-finite rate, a stated warm-up that is longer than the first row.
pub fn through_rows(rates: &[(u64, f64)], past: Past, total: u64) -> Result<Schedule, ScheduleError> {
    let Some(&(first, rate)) = rates.first() else {
        return Err(ScheduleError::NoUpdates { what: "the list of logged rates".into() });
    };
    let mut segments = Vec::new();
    let line = |updates: u64, from: f64, to: f64| Segment {
        updates: Steps(updates),
        from,
        to,
        shape: Shape::Linear,
    };
    match past {
        Past::Logged => {
            let rising = rates.get(1).filter(|&&(_, next)| next > rate);
            let from = rising.map_or(rate, |&(step, next)| {
                (rate - (next - rate) / (step - first) as f64 * first as f64).max(0.0)
            });
            segments.push(line(first, from, rate));
        }
        Past::Stated(0) | Past::Assumed(0) => segments.push(line(first, rate, rate)),
        Past::Stated(warmup) | Past::Assumed(warmup) => {
            if warmup > first {
                return Err(ScheduleError::TooLong { warmup, anneal: 0, total: first });
            }
            segments.push(line(warmup, 0.0, rate));
            if first > warmup {
                segments.push(line(first - warmup, rate, rate));
            }
        }
    }
    // Extend the current line as long as every row lies on it.
    let mut start = 0;
    while start + 1 < rates.len() {
        let (from_step, from) = rates[start];
        let slope = |end: usize| (rates[end].1 - from) / (rates[end].0 - from_step) as f64;
        let mut end = start + 1;
        let wanted = slope(end);
        while end + 1 < rates.len() {
            let (step, rate) = rates[end + 1];
            let expected = from + wanted * (step - from_step) as f64;
            if (expected - rate).abs() > 1e-9 * rate.abs().max(from.abs()) {
                break;
            }
            end += 1;
        }
        segments.push(line(rates[end].0 - from_step, from, rates[end].1));
        start = end;
    }
    let covered: u64 = segments.iter().map(|segment| segment.updates.0).sum();
    if covered < total {
        let last = segments[segments.len() - 1].to;
        segments.push(line(total - covered, last, last));
    }
    Piecewise::new(segments).map(Schedule::Piecewise)
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

/// A name of the schedule for a table.
#[must_use]
pub fn family(schedule: &Schedule) -> String {
    match schedule {
        Schedule::Wsd(wsd) => {
            let after_warmup = wsd.total.0 - wsd.warmup.0;
            if wsd.anneal.0 == 0 {
                "constant".to_owned()
            } else if wsd.anneal.0 == after_warmup {
                wsd.shape.to_string()
            } else {
                format!("wsd {}", wsd.shape)
            }
        }
        Schedule::Piecewise(piecewise) => match piecewise.segments() {
            [rise, fall] if rise.from < rise.to && fall.from > fall.to => {
                format!("{}, {} warm-up", fall.shape, rise.shape)
            }
            [rise, flat, fall] if rise.from < rise.to && flat.from == flat.to && fall.from > fall.to => {
                format!("wsd {}, {} warm-up", fall.shape, rise.shape)
            }
            segments => format!("{} pieces", segments.len()),
        },
        Schedule::Sampled(_) => "sampled".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logged_rates_are_met_at_every_row() {
        let rates: Vec<(u64, f64)> = (1..=50)
            .map(|k| (20 * k, if k < 10 { 1e-4 * k as f64 } else { 1e-3 / (k - 9) as f64 }))
            .collect();
        let schedule = through_rows(&rates, Past::Logged, 1000).unwrap();
        assert_eq!(schedule.total().0, 1000);
        assert!(residual(&schedule, &rates).unwrap() < 1e-12);
        assert!((schedule.lr(10) - 5e-5).abs() < 1e-12);
    }

    #[test]
    fn a_constant_stretch_is_one_segment() {
        let rates: Vec<(u64, f64)> = (1..=100).map(|k| (10 * k, 3e-4)).collect();
        let schedule = through_rows(&rates, Past::Logged, 1000).unwrap();
        assert_eq!(schedule.segments().unwrap().len(), 2);
    }

    #[test]
    fn a_missing_past_is_a_warm_up_and_the_first_rate() {
        let rates = [(2176, 3e-4), (2304, 3e-4)];
        let schedule = through_rows(&rates, Past::Assumed(2160), 2304).unwrap();
        assert_eq!(schedule.lr(2160), 3e-4);
        assert_eq!(schedule.lr(1080), 1.5e-4);
        assert!(through_rows(&rates, Past::Stated(3000), 2304).is_err());
    }

    #[test]
    fn a_log_that_begins_at_its_interval_misses_nothing() {
        assert!(!misses_its_past(&[128, 256, 384]));
        assert!(!misses_its_past(&[1, 11, 21]));
        assert!(misses_its_past(&[2160, 2288, 2416]));
    }
}
