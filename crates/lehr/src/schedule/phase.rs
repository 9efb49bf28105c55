//! The phases of a schedule and the name of its family.

use super::{Schedule, Segment, Shape};
use crate::units::Steps;
use serde::Serialize;

/// What the rate does at an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PhaseSpan {
    /// What the rate does.
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
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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

/// The one stretch over which the rate falls.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Annealing {
    /// The last update before it.
    pub after: Steps,
    /// Its length D; a run may end before it does.
    pub updates: Steps,
    /// How the rate falls.
    pub shape: Shape,
    /// The rate that it ends at.
    pub final_lr: f64,
    /// Updates after it, at its last rate.
    pub tail: Steps,
}

/// How many segments at the beginning wait at the rate that the warm-up rises from.
fn lead(segments: &[Segment]) -> usize {
    match segments {
        [wait, rise, ..] if wait.from == wait.to && rise.from == wait.to && rise.to > rise.from => 1,
        _ => 0,
    }
}

/// How many segments lead up to the peak, and what comes after them.
fn opening(segments: &[Segment]) -> (usize, &[Segment]) {
    let lead = lead(segments);
    let risen = lead + segments[lead..].iter().take_while(|segment| segment.to > segment.from).count();
    (risen, &segments[risen..])
}

/// The fall of a schedule that stays, falls once and stays, without jumps.
fn only_fall(rest: &[Segment]) -> Option<&Segment> {
    let jumps = rest.windows(2).any(|pair| pair[0].last_lr() != pair[1].from);
    let mut falling = rest.iter().filter(|segment| segment.from > segment.to);
    let fall = falling.next()?;
    (falling.next().is_none() && !jumps && rest.iter().all(|segment| segment.to <= segment.from))
        .then_some(fall)
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
        let lead = lead(&segments);
        for (i, segment) in segments.iter().enumerate() {
            // A jump down to a lower constant rate is a fall for what comes after it.
            fallen |= segment.from < rate;
            rate = segment.last_lr();
            let (first, last) = (before + 1, before + segment.updates.0);
            let phase = named(direction(segment.from, segment.to), &mut fallen);
            spans.push(PhaseSpan {
                phase: if i < lead { Phase::WarmUp } else { phase },
                first,
                last,
                first_lr: segment.lr(1),
                last_lr: rate,
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
        let Some(segments) = self.parts() else { return Family::Sampled };
        let (_, rest) = opening(&segments);
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
            && falling
                .windows(2)
                .all(|pair| pair[0].shape == pair[1].shape && pair[1].from > pair[0].last_lr())
        {
            return Family::WsdS;
        }
        let Some(fall) = only_fall(rest) else { return Family::Piecewise };
        match (flat(&&rest[0]), fall.shape, fall.to) {
            (false, Shape::Cosine, _) => Family::Cosine,
            (false, Shape::Linear, 0.0) => Family::LinearToZero,
            _ => Family::Wsd,
        }
    }

    /// Warm-up updates W, without those at the beginning that only wait for it; `None` where no family names them
    /// (piecewise and sampled schedules).
    #[must_use]
    pub fn warmup(&self) -> Option<Steps> {
        if let Self::Wsd(wsd) = self {
            return Some(wsd.warmup);
        }
        let segments = self.parts().filter(|_| self.family() != Family::Piecewise)?;
        let rising = &segments[lead(&segments)..opening(&segments).0];
        Some(Steps(rising.iter().map(|segment| segment.updates.0).sum()))
    }

    /// The one annealing of the schedule; `None` where there is none or more than one.
    #[must_use]
    pub fn annealing(&self) -> Option<Annealing> {
        let segments = self.parts()?;
        let (risen, rest) = opening(&segments);
        let fall = only_fall(rest)?;
        let at = rest.iter().position(|segment| segment.from > segment.to)?;
        let before = segments[..risen + at].iter().map(|segment| segment.updates.0).sum();
        let after = rest[at + 1..].iter().map(|segment| segment.updates.0).sum();
        Some(Annealing {
            after: Steps(before),
            updates: fall.whole,
            shape: fall.shape,
            final_lr: fall.to,
            tail: Steps(after),
        })
    }

    /// The annealing ratio r = D/T of a schedule with one annealing, 0 for a constant rate; `None` for others.
    #[must_use]
    pub fn ratio(&self) -> Option<f64> {
        if let Self::Wsd(wsd) = self {
            return Some(wsd.ratio());
        }
        match self.annealing() {
            Some(annealing) => Some(annealing.updates.0 as f64 / self.total().0 as f64),
            None => (self.family() == Family::Constant).then_some(0.0),
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
            let mut line =
                format!("{family}, {total} updates in {spans} phases, rate {first} → {last}, peak {peak}");
            if let Some(Annealing { after, updates, shape, final_lr, tail }) = self.annealing() {
                line += &format!(
                    "; {shape} annealing over {updates} updates from update {after} to {}",
                    number(final_lr)
                );
                if tail.0 > 0 {
                    line += &format!(", then {tail} updates at that rate");
                }
            }
            return line;
        };
        let mut line = format!("{family}, {total} updates, peak {}", number(wsd.peak_lr));
        if wsd.warmup > Steps(0) {
            line += &format!(", {} of {} warm-up", wsd.warmup, wsd.rise);
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
        if wsd.late > Steps(0) {
            line += &format!(
                "; the scheduler is {} update{} late{}",
                wsd.late,
                if wsd.late.0 == 1 { "" } else { "s" },
                if wsd.unreached.0 > 0 { ", so that its last rate is not used" } else { "" }
            );
        }
        line
    }
}
