//! Learning-rate schedules: which rate each update uses.
//!
//! Update t runs from 1 to T. `lr(t)` is the rate that update t uses; `lr(T)` is the final rate.

mod edit;
mod families;
mod phase;
mod recognise;
mod shape;
mod sum;
mod text;

pub use phase::{Family, Phase, PhaseSpan};
pub use recognise::{RecogniseError, RecogniseOptions, Recognised, Residual, recognise};
pub use shape::{Shape, ShapeError};
pub use text::ScheduleTextError;

use crate::units::{AnnealingRatio, RatioError, Steps};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The longest horizon that is taken for a schedule rather than for a slip of the keyboard.
const MOST_UPDATES: u64 = 1_000_000_000;

/// A learning-rate schedule: data, so that it can be stored, compared and exported.
///
/// Deserialising checks the numbers as the constructors do. The text form (`Display`, `FromStr`) is described in
/// `docs/formats/schedule-text.md`.
///
/// # Examples
/// ```
/// use lehr::{AnnealingRatio, Schedule, Shape, Steps};
/// let wsd = Schedule::wsd(3e-4, Steps(1000), Steps(100), AnnealingRatio::new(0.2)?, Shape::Linear, 0.0)?;
/// assert_eq!(wsd.lr(50), 1.5e-4);
/// assert_eq!(wsd.lr(1000), 0.0);
/// assert_eq!("wsd:peak=3e-4,total=1k,warmup=100,ratio=0.2".parse::<Schedule>()?, wsd);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Schedule {
    /// Linear warm-up, constant rate, annealing. Constant, cosine and linear-to-zero are cases of it.
    Wsd(Wsd),
    /// Any sequence of segments: two-stage, multi-stage, several decays with re-rises.
    Piecewise(Piecewise),
    /// Any vector of rates, one an update.
    Sampled(Sampled),
}

/// Warm-up, stable phase, annealing (warm-up–stable–decay).
///
/// # Formula
/// ```text
/// lr(t) = η_w + (η_max − η_w)·t/W                    1 ≤ t ≤ W
///       = η_max                                      W < t ≤ T − D
///       = η_f + (η_max − η_f)·f((t − (T−D))/D)       T − D < t ≤ T        f: the shape, f(0) = 1, f(1) = 0
/// ```
/// W warm-up, D = r·T annealing updates, T horizon (updates); η_w `warmup_lr` (0 by default), η_max `peak_lr`, η_f `final_lr`.
///
/// # Source
/// Wang et al., Scaling and Transferability of Annealing Strategies, 2026, eq. 12.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RawWsd")]
pub struct Wsd {
    /// Rate of the stable phase.
    pub peak_lr: f64,
    /// Horizon T.
    pub total: Steps,
    /// Warm-up updates W.
    pub warmup: Steps,
    /// Rate that the warm-up line starts from, at "update 0".
    pub warmup_lr: f64,
    /// Annealing updates D.
    pub anneal: Steps,
    /// How the rate falls.
    pub shape: Shape,
    /// Rate of update T (the stable rate goes on when D = 0).
    pub final_lr: f64,
}

/// A stretch of updates over which the rate moves from `from` (exclusive) to `to` (reached at its last update).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Segment {
    /// Length in updates, at least 1.
    pub updates: Steps,
    /// Rate just before the segment's first update.
    pub from: f64,
    /// Rate of the segment's last update.
    pub to: f64,
    /// How the rate moves between them.
    pub shape: Shape,
}

/// A sequence of segments; a jump stands where one segment's `to` differs from the next one's `from`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RawPiecewise")]
pub struct Piecewise {
    segments: Vec<Segment>,
}

/// A rate for every update.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RawSampled")]
pub struct Sampled {
    rates: Arc<[f64]>,
}

/// As stored: the fields of [`Wsd`] before they are checked.
#[derive(Deserialize)]
struct RawWsd {
    peak_lr: f64,
    total: Steps,
    warmup: Steps,
    #[serde(default)]
    warmup_lr: f64,
    anneal: Steps,
    shape: Shape,
    final_lr: f64,
}

#[derive(Deserialize)]
struct RawPiecewise {
    segments: Vec<Segment>,
}

#[derive(Deserialize)]
struct RawSampled {
    rates: Vec<f64>,
}

impl TryFrom<RawWsd> for Wsd {
    type Error = ScheduleError;

    fn try_from(raw: RawWsd) -> Result<Self, ScheduleError> {
        let RawWsd { peak_lr, total, warmup, warmup_lr, anneal, shape, final_lr } = raw;
        Self { peak_lr, total, warmup, warmup_lr, anneal, shape, final_lr }.checked()
    }
}

impl TryFrom<RawPiecewise> for Piecewise {
    type Error = ScheduleError;

    fn try_from(raw: RawPiecewise) -> Result<Self, ScheduleError> {
        Self::new(raw.segments)
    }
}

impl TryFrom<RawSampled> for Sampled {
    type Error = ScheduleError;

    fn try_from(raw: RawSampled) -> Result<Self, ScheduleError> {
        Self::new(raw.rates)
    }
}

/// Why numbers do not make a schedule.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ScheduleError {
    /// A horizon or segment without updates.
    #[error("a schedule needs at least one update; {what} has 0")]
    NoUpdates {
        /// Which part.
        what: String,
    },
    /// A horizon that no training reaches.
    #[error(
        "{what} has {updates} updates; at most {MOST_UPDATES} are allowed (is the number one of tokens or samples?)"
    )]
    TooManyUpdates {
        /// Which part.
        what: String,
        /// Its length.
        updates: u64,
    },
    /// The warm-up falls.
    #[error("the warm-up starts at {warmup_lr}, above the peak rate {peak_lr}; a warm-up rises")]
    WarmupAbovePeak {
        /// Rate that the warm-up starts from.
        warmup_lr: f64,
        /// Peak rate.
        peak_lr: f64,
    },
    /// Rates and the updates at which they change do not belong together.
    #[error("{what}")]
    Stages {
        /// What was found, what was expected.
        what: String,
    },
    /// An update outside the horizon.
    #[error("update {update} is not in 1 … {total}")]
    Outside {
        /// The update asked for.
        update: u64,
        /// The horizon.
        total: u64,
    },
    /// A rate is negative, NaN or infinite, or a peak is 0.
    #[error("{what} is {value}; expected {expected}")]
    Rate {
        /// Which rate.
        what: String,
        /// Its value.
        value: f64,
        /// The allowed range in words.
        expected: &'static str,
    },
    /// Warm-up and annealing together are longer than the horizon.
    #[error(
        "warm-up ({warmup}) and annealing ({anneal}) need {} updates, but the horizon is {total}; shorten one or lengthen the horizon",
        warmup + anneal
    )]
    TooLong {
        /// Warm-up updates.
        warmup: u64,
        /// Annealing updates.
        anneal: u64,
        /// Horizon.
        total: u64,
    },
    /// The final rate is above the peak.
    #[error("final rate {final_lr} is above the peak rate {peak_lr}; annealing falls")]
    FinalAbovePeak {
        /// Final rate.
        final_lr: f64,
        /// Peak rate.
        peak_lr: f64,
    },
    /// The shape cannot reach the final rate.
    #[error("the {shape} shape cannot end at {final_lr}: {why}")]
    Shape {
        /// Name of the shape.
        shape: String,
        /// Final rate.
        final_lr: f64,
        /// What would be needed.
        why: &'static str,
    },
    /// The ratio is out of range.
    #[error(transparent)]
    Ratio(#[from] RatioError),
}

pub(crate) fn check_rate(what: impl Into<String>, value: f64) -> Result<(), ScheduleError> {
    if value.is_finite() && value >= 0.0 {
        Ok(())
    } else {
        Err(ScheduleError::Rate { what: what.into(), value, expected: "a finite rate of at least 0" })
    }
}

pub(crate) fn check_updates(what: impl Into<String>, updates: u64) -> Result<(), ScheduleError> {
    match updates {
        0 => Err(ScheduleError::NoUpdates { what: what.into() }),
        1..=MOST_UPDATES => Ok(()),
        _ => Err(ScheduleError::TooManyUpdates { what: what.into(), updates }),
    }
}

impl Wsd {
    /// Checks the numbers and makes the schedule; D = round(r·T).
    ///
    /// # Errors
    /// [`ScheduleError`]: a zero horizon, a peak of 0, a negative or non-finite rate, a final rate above the peak,
    /// warm-up plus annealing longer than the horizon, a geometric shape that ends at 0.
    pub fn new(
        peak_lr: f64,
        total: Steps,
        warmup: Steps,
        ratio: AnnealingRatio,
        shape: Shape,
        final_lr: f64,
    ) -> Result<Self, ScheduleError> {
        let anneal = Steps((ratio.get() * total.0 as f64).round() as u64);
        Self { peak_lr, total, warmup, warmup_lr: 0.0, anneal, shape, final_lr }.checked()
    }

    /// The schedule if its numbers are consistent, for values assembled field by field.
    ///
    /// # Errors
    /// As [`Wsd::new`].
    pub fn checked(self) -> Result<Self, ScheduleError> {
        check_updates("the horizon", self.total.0)?;
        check_rate("the peak rate", self.peak_lr)?;
        if self.peak_lr == 0.0 {
            return Err(ScheduleError::Rate {
                what: "the peak rate".into(),
                value: 0.0,
                expected: "a finite rate above 0",
            });
        }
        check_rate("the final rate", self.final_lr)?;
        check_rate("the warm-up's first rate", self.warmup_lr)?;
        if self.warmup_lr > self.peak_lr {
            return Err(ScheduleError::WarmupAbovePeak { warmup_lr: self.warmup_lr, peak_lr: self.peak_lr });
        }
        if self.final_lr > self.peak_lr {
            return Err(ScheduleError::FinalAbovePeak { final_lr: self.final_lr, peak_lr: self.peak_lr });
        }
        if self.warmup.0.saturating_add(self.anneal.0) > self.total.0 {
            return Err(ScheduleError::TooLong {
                warmup: self.warmup.0,
                anneal: self.anneal.0,
                total: self.total.0,
            });
        }
        if self.anneal.0 > 0 {
            self.shape.check(self.peak_lr, self.final_lr)?;
        }
        Ok(self)
    }

    /// r = D/T.
    #[must_use]
    pub fn ratio(&self) -> f64 {
        self.anneal.0 as f64 / self.total.0 as f64
    }

    /// The last update of the stable phase, T − D: the checkpoint to branch from.
    #[must_use]
    pub fn anneal_start(&self) -> Steps {
        Steps(self.total.0 - self.anneal.0)
    }
}

impl Piecewise {
    /// Checks the segments and makes the schedule.
    ///
    /// # Errors
    /// [`ScheduleError`]: no segment, an empty segment, a bad rate, a shape that cannot connect its two rates.
    pub fn new(segments: Vec<Segment>) -> Result<Self, ScheduleError> {
        if segments.is_empty() {
            return Err(ScheduleError::NoUpdates { what: "the list of segments".into() });
        }
        for (i, segment) in segments.iter().enumerate() {
            check_updates(format!("segment {}", i + 1), segment.updates.0)?;
            check_rate(format!("segment {}'s first rate", i + 1), segment.from)?;
            check_rate(format!("segment {}'s last rate", i + 1), segment.to)?;
            segment.shape.check(segment.from, segment.to)?;
        }
        let total = segments.iter().fold(0_u64, |sum, segment| sum.saturating_add(segment.updates.0));
        check_updates("the whole schedule", total)?;
        Ok(Self { segments })
    }

    /// The segments in order.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }
}

impl Sampled {
    /// Checks the rates and makes the schedule; `rates[t − 1]` is the rate of update t.
    ///
    /// # Errors
    /// [`ScheduleError`]: no rate, a negative or non-finite rate.
    pub fn new(rates: Vec<f64>) -> Result<Self, ScheduleError> {
        if rates.is_empty() {
            return Err(ScheduleError::NoUpdates { what: "the vector of rates".into() });
        }
        for (i, &rate) in rates.iter().enumerate() {
            check_rate(format!("the rate of update {}", i + 1), rate)?;
        }
        Ok(Self { rates: rates.into() })
    }

    /// The rates; index t − 1 holds update t.
    #[must_use]
    pub fn rates(&self) -> &[f64] {
        &self.rates
    }
}

impl Segment {
    /// The rate of the segment's k-th update, 1 ≤ k ≤ `updates`.
    #[must_use]
    pub fn lr(&self, k: u64) -> f64 {
        if k == self.updates.0 {
            return self.to;
        }
        self.shape.between(self.from, self.to, k as f64 / self.updates.0 as f64)
    }
}

impl Schedule {
    /// Horizon T.
    #[must_use]
    pub fn total(&self) -> Steps {
        match self {
            Self::Wsd(wsd) => wsd.total,
            Self::Piecewise(piecewise) => Steps(piecewise.segments.iter().map(|s| s.updates.0).sum()),
            Self::Sampled(sampled) => Steps(sampled.rates.len() as u64),
        }
    }

    /// The schedule as segments; `None` for a sampled one.
    #[must_use]
    pub fn segments(&self) -> Option<Vec<Segment>> {
        match self {
            Self::Wsd(wsd) => {
                let mut segments = Vec::with_capacity(3);
                let mut push = |updates, from, to, shape| {
                    if updates > 0 {
                        segments.push(Segment { updates: Steps(updates), from, to, shape });
                    }
                };
                push(wsd.warmup.0, wsd.warmup_lr, wsd.peak_lr, Shape::Linear);
                push(wsd.total.0 - wsd.warmup.0 - wsd.anneal.0, wsd.peak_lr, wsd.peak_lr, Shape::Linear);
                push(wsd.anneal.0, wsd.peak_lr, wsd.final_lr, wsd.shape);
                Some(segments)
            }
            Self::Piecewise(piecewise) => Some(piecewise.segments.clone()),
            Self::Sampled(_) => None,
        }
    }

    /// The rate that update t uses.
    ///
    /// # Panics
    /// When t is not in 1 … T, like an index.
    #[must_use]
    pub fn lr(&self, t: u64) -> f64 {
        assert!(t >= 1 && t <= self.total().0, "update {t} is not in 1 … {}", self.total());
        match self {
            Self::Sampled(sampled) => sampled.rates[t as usize - 1],
            _ => {
                let mut before = 0;
                for segment in self.segments().into_iter().flatten() {
                    if t <= before + segment.updates.0 {
                        return segment.lr(t - before);
                    }
                    before += segment.updates.0;
                }
                unreachable!("the segments cover 1 … T")
            }
        }
    }

    /// The rates of updates 1 … T; index t − 1 holds update t.
    #[must_use]
    pub fn rates(&self) -> Vec<f64> {
        match self {
            Self::Sampled(sampled) => sampled.rates.to_vec(),
            _ => self
                .segments()
                .into_iter()
                .flatten()
                .flat_map(|segment| (1..=segment.updates.0).map(move |k| segment.lr(k)))
                .collect(),
        }
    }

    /// The largest rate.
    #[must_use]
    pub fn peak_lr(&self) -> f64 {
        match self {
            Self::Wsd(wsd) => wsd.peak_lr,
            Self::Piecewise(piecewise) => piecewise
                .segments
                .iter()
                .fold(0.0, |peak, segment| segment.lr(1).max(segment.lr(segment.updates.0)).max(peak)),
            Self::Sampled(sampled) => sampled.rates.iter().copied().fold(0.0, f64::max),
        }
    }
}
