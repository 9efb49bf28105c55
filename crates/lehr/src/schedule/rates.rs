//! Rates and sums of single updates, without a number for every one.

use super::{Schedule, Segment};

/// A schedule prepared for many questions: the rate of an update, Σ η up to one, the largest rate of a range.
///
/// Memory grows with the segments of the schedule, not with its horizon; a sampled schedule takes one sum a rate.
/// Questions about segments take O(log segments), the largest rate of a range O(segments of the range).
///
/// # Examples
/// ```
/// use lehr::schedule::{Rates, Schedule};
/// let schedule: Schedule = "wsd:peak=1e-3,total=1B,warmup=1k,ratio=0.2,shape=1-sqrt".parse()?;
/// let rates = Rates::new(&schedule);
/// assert_eq!((rates.at(1_000), rates.at(1_000_000_000), rates.peak()), (1e-3, 0.0, 1e-3));
/// assert!((rates.sum(500_000_000) - 499_999.5005).abs() < 1e-6);
/// # Ok::<(), lehr::schedule::ScheduleTextError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Rates<'a> {
    total: u64,
    course: Course<'a>,
}

#[derive(Debug, Clone)]
enum Course<'a> {
    Pieces(Vec<Piece>),
    Sampled { rates: &'a [f64], sums: Vec<f64> },
}

/// A segment with what lies before it.
#[derive(Debug, Clone, Copy)]
struct Piece {
    before: u64,
    sum: f64,
    segment: Segment,
}

/// Σ η of the first k updates at index k, from 0 to T.
pub(crate) fn running_sums(rates: &[f64]) -> Vec<f64> {
    let mut sums = Vec::with_capacity(rates.len() + 1);
    let mut sum = 0.0;
    sums.push(0.0);
    sums.extend(rates.iter().map(|rate| {
        sum += rate;
        sum
    }));
    sums
}

impl<'a> Rates<'a> {
    /// Prepares the schedule.
    #[must_use]
    pub fn new(schedule: &'a Schedule) -> Self {
        let total = schedule.total().0;
        let course = match schedule {
            Schedule::Sampled(sampled) => {
                Course::Sampled { rates: sampled.rates(), sums: running_sums(sampled.rates()) }
            }
            _ => {
                let (mut before, mut sum) = (0, 0.0);
                let parts = schedule.parts().unwrap_or_default();
                let pieces = parts.iter().map(|&segment| {
                    let piece = Piece { before, sum, segment };
                    before += segment.updates.0;
                    sum += segment.sum(segment.updates.0);
                    piece
                });
                Course::Pieces(pieces.collect())
            }
        };
        Self { total, course }
    }

    /// Horizon T.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The rate of update t.
    ///
    /// # Panics
    /// When t is not in 1 … T, like an index.
    #[must_use]
    pub fn at(&self, t: u64) -> f64 {
        assert!(t >= 1 && t <= self.total, "update {t} is not in 1 … {}", self.total);
        match &self.course {
            Course::Sampled { rates, .. } => rates[t as usize - 1],
            Course::Pieces(pieces) => {
                let piece = &pieces[Self::index(pieces, t)];
                piece.segment.lr(t - piece.before)
            }
        }
    }

    /// Forward effect: Σ η over updates 1 … t (rate · updates), 0 for t = 0.
    ///
    /// # Panics
    /// When t is beyond the horizon, like an index.
    #[must_use]
    pub fn sum(&self, t: u64) -> f64 {
        assert!(t <= self.total, "update {t} is beyond the horizon {}", self.total);
        match &self.course {
            Course::Sampled { sums, .. } => sums[t as usize],
            Course::Pieces(_) if t == 0 => 0.0,
            Course::Pieces(pieces) => {
                let piece = &pieces[Self::index(pieces, t)];
                piece.sum + piece.segment.sum(t - piece.before)
            }
        }
    }

    /// The largest rate of updates `first` … `last`, both included; 0 where the range is empty.
    ///
    /// # Panics
    /// When the range leaves 1 … T, like a slice.
    #[must_use]
    pub fn largest(&self, first: u64, last: u64) -> f64 {
        if first > last {
            return 0.0;
        }
        assert!(first >= 1 && last <= self.total, "updates {first} … {last} leave 1 … {}", self.total);
        match &self.course {
            Course::Sampled { rates, .. } => {
                rates[first as usize - 1..last as usize].iter().copied().fold(0.0, f64::max)
            }
            Course::Pieces(pieces) => pieces[Self::index(pieces, first)..=Self::index(pieces, last)]
                .iter()
                .map(|piece| {
                    let from = first.max(piece.before + 1) - piece.before;
                    let upto = last.min(piece.before + piece.segment.updates.0) - piece.before;
                    // A segment goes one way.
                    piece.segment.lr(from).max(piece.segment.lr(upto))
                })
                .fold(0.0, f64::max),
        }
    }

    /// The largest rate.
    #[must_use]
    pub fn peak(&self) -> f64 {
        self.largest(1, self.total)
    }

    /// The first update whose rate is at least `rate`; `None` if none is.
    #[must_use]
    pub fn first_at_least(&self, rate: f64) -> Option<u64> {
        match &self.course {
            Course::Sampled { rates, .. } => rates.iter().position(|&r| r >= rate).map(|i| i as u64 + 1),
            Course::Pieces(pieces) => pieces.iter().find_map(|piece| {
                let segment = &piece.segment;
                let last = segment.updates.0;
                if segment.lr(1) >= rate {
                    return Some(piece.before + 1);
                }
                if segment.lr(last) < rate {
                    return None;
                }
                let (mut low, mut high) = (1, last);
                while high - low > 1 {
                    let middle = low + (high - low) / 2;
                    if segment.lr(middle) >= rate { high = middle } else { low = middle }
                }
                Some(piece.before + high)
            }),
        }
    }

    /// The last of updates 1 … `upto` whose rate is at least `rate`; `None` if none is.
    ///
    /// # Panics
    /// When `upto` is beyond the horizon, like a slice.
    #[must_use]
    pub fn last_at_least(&self, rate: f64, upto: u64) -> Option<u64> {
        assert!(upto <= self.total, "update {upto} is beyond the horizon {}", self.total);
        match &self.course {
            Course::Sampled { rates, .. } => {
                rates[..upto as usize].iter().rposition(|&r| r >= rate).map(|i| i as u64 + 1)
            }
            Course::Pieces(pieces) => {
                pieces.iter().rev().skip_while(|piece| piece.before >= upto).find_map(|piece| {
                    let segment = &piece.segment;
                    let last = segment.updates.0.min(upto - piece.before);
                    if segment.lr(last) >= rate {
                        return Some(piece.before + last);
                    }
                    if segment.lr(1) < rate {
                        return None;
                    }
                    let (mut high, mut low) = (1, last);
                    while low - high > 1 {
                        let middle = high + (low - high) / 2;
                        if segment.lr(middle) >= rate { high = middle } else { low = middle }
                    }
                    Some(piece.before + high)
                })
            }
        }
    }

    /// The last update of the segment that holds update t; of a sampled schedule t itself.
    pub(crate) fn segment_end(&self, t: u64) -> u64 {
        match &self.course {
            Course::Sampled { .. } => t,
            Course::Pieces(pieces) => {
                let piece = &pieces[Self::index(pieces, t)];
                piece.before + piece.segment.updates.0
            }
        }
    }

    /// The piece that holds update t.
    fn index(pieces: &[Piece], t: u64) -> usize {
        pieces.partition_point(|piece| piece.before < t).saturating_sub(1)
    }
}
