//! The phases of a schedule and the name of its family.

use super::{Schedule, Segment, Shape};
use crate::units::Steps;
use serde::Serialize;

/// What the rate does at an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// It rises, for the first time.
    WarmUp,
    /// It stays.
    Stable,
    /// It falls.
    Annealing,
    /// It rises again after a fall.
    Rerise,
}

impl std::fmt::Display for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::WarmUp => "warm-up",
            Self::Stable => "stable",
            Self::Annealing => "annealing",
            Self::Rerise => "re-rise",
        })
    }
}

/// A run of updates in one phase.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PhaseSpan {
    /// The phase.
    pub phase: Phase,
    /// First update.
    pub first: u64,
    /// Last update.
    pub last: u64,
    /// Rate of the first update.
    pub first_lr: f64,
    /// Rate of the last update.
    pub last_lr: f64,
    /// How the rate moves; `None` for a sampled schedule.
    pub shape: Option<Shape>,
    /// Σ η over the span (rate · updates).
    pub sum: f64,
}

impl PhaseSpan {
    /// Number of updates.
    #[must_use]
    pub fn updates(&self) -> u64 {
        self.last - self.first + 1
    }
}

/// The name of a kind of schedule, for reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// One rate after the warm-up.
    Constant,
    /// Half a cosine after the warm-up.
    Cosine,
    /// A straight line to 0 after the warm-up.
    LinearToZero,
    /// Stable phase and one annealing.
    Wsd,
    /// Two constant rates.
    TwoStage,
    /// Three or more constant rates.
    MultiStage,
    /// Several annealings with re-rises.
    WsdS,
    /// Segments that fit no other name.
    Piecewise,
    /// A vector of rates.
    Sampled,
}

impl std::fmt::Display for Family {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Constant => "constant",
            Self::Cosine => "cosine",
            Self::LinearToZero => "linear-to-zero",
            Self::Wsd => "wsd",
            Self::TwoStage => "two-stage",
            Self::MultiStage => "multi-stage",
            Self::WsdS => "wsd-s",
            Self::Piecewise => "piecewise",
            Self::Sampled => "sampled",
        })
    }
}

fn direction(from: f64, to: f64) -> std::cmp::Ordering {
    to.total_cmp(&from)
}

fn named(direction: std::cmp::Ordering, fallen: &mut bool) -> Phase {
    match direction {
        std::cmp::Ordering::Equal => Phase::Stable,
        std::cmp::Ordering::Less => {
            *fallen = true;
            Phase::Annealing
        }
        std::cmp::Ordering::Greater if *fallen => Phase::Rerise,
        std::cmp::Ordering::Greater => Phase::WarmUp,
    }
}

impl Schedule {
    /// The phases in order; they cover 1 … T. One span a segment, and for a sampled schedule one a run of equal direction.
    #[must_use]
    pub fn phases(&self) -> Vec<PhaseSpan> {
        let (mut spans, mut fallen) = (Vec::new(), false);
        let Some(segments) = self.segments() else {
            let rates = self.rates();
            let at = |i: usize| {
                let i = i.max(1).min(rates.len() - 1);
                if i == 0 { std::cmp::Ordering::Equal } else { direction(rates[i - 1], rates[i]) }
            };
            let mut start = 0;
            for i in 1..=rates.len() {
                if i == rates.len() || at(i) != at(start) {
                    let (first, last) = (start as u64 + 1, i as u64);
                    spans.push(PhaseSpan {
                        phase: named(at(start), &mut fallen),
                        first,
                        last,
                        first_lr: rates[start],
                        last_lr: rates[i - 1],
                        shape: None,
                        sum: self.sum_between(first, last),
                    });
                    start = i;
                }
            }
            return spans;
        };
        let mut before = 0;
        let mut rate = segments[0].from;
        for segment in &segments {
            // A jump down to a lower constant rate is a fall for what comes after it.
            fallen |= segment.from < rate;
            rate = segment.to;
            let (first, last) = (before + 1, before + segment.updates.0);
            spans.push(PhaseSpan {
                phase: named(direction(segment.from, segment.to), &mut fallen),
                first,
                last,
                first_lr: segment.lr(1),
                last_lr: segment.to,
                shape: Some(segment.shape),
                sum: segment.sum(segment.updates.0),
            });
            before = last;
        }
        spans
    }

    /// The phase of update t.
    ///
    /// # Panics
    /// When t is not in 1 … T, like an index.
    #[must_use]
    pub fn phase(&self, t: u64) -> Phase {
        assert!(t >= 1 && t <= self.total().0, "update {t} is not in 1 … {}", self.total());
        self.phases().into_iter().find(|span| t <= span.last).map_or(Phase::Stable, |span| span.phase)
    }

    /// The name of the schedule's kind.
    #[must_use]
    pub fn family(&self) -> Family {
        let Some(segments) = self.segments() else { return Family::Sampled };
        let warmups = segments.iter().take_while(|s| s.to > s.from).count();
        let rest = &segments[warmups..];
        let jumps = rest.windows(2).any(|pair| pair[0].to != pair[1].from);
        let flat = |segment: &&Segment| segment.from == segment.to;
        let falls = |segment: &&Segment| segment.from > segment.to;
        let falling: Vec<&Segment> = rest.iter().filter(falls).collect();
        if rest.iter().all(|segment| flat(&segment)) {
            let mut rates: Vec<f64> = rest.iter().map(|segment| segment.to).collect();
            rates.dedup();
            return match rates.len() {
                0 | 1 => Family::Constant,
                2 => Family::TwoStage,
                _ => Family::MultiStage,
            };
        }
        if falling.len() > 1
            && falling.windows(2).all(|pair| pair[0].shape == pair[1].shape && pair[1].from > pair[0].to)
        {
            return Family::WsdS;
        }
        if falling.len() != 1 || jumps || rest.iter().any(|s| s.to > s.from) {
            return Family::Piecewise;
        }
        match (rest.len(), falling[0].shape, falling[0].to) {
            (1, Shape::Cosine, _) => Family::Cosine,
            (1, Shape::Linear, 0.0) => Family::LinearToZero,
            _ => Family::Wsd,
        }
    }

    /// One line for a person: family, horizon, rates, where annealing starts.
    #[must_use]
    pub fn describe(&self) -> String {
        use super::text::number;
        let total = self.total();
        let family = self.family();
        let Self::Wsd(wsd) = self else {
            let spans = self.phases().len();
            let (first, last) = (number(self.lr(1)), number(self.lr(total.0)));
            let peak = number(self.peak_lr());
            return format!(
                "{family}, {total} updates in {spans} phases, rate {first} → {last}, peak {peak}"
            );
        };
        let mut line = format!("{family}, {total} updates, peak {}", number(wsd.peak_lr));
        if wsd.warmup > Steps(0) {
            line += &format!(", {} of linear warm-up", wsd.warmup);
        }
        if wsd.anneal > Steps(0) {
            line += &format!(
                ", {} annealing over the last {} (r = {:.4}) to {}",
                wsd.shape,
                wsd.anneal,
                wsd.ratio(),
                number(wsd.final_lr)
            );
        }
        line
    }
}
