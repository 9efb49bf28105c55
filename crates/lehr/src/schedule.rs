//! Learning-rate schedules: which rate each update uses.
//!
//! Update t runs from 1 to T. `lr(t)` is the rate that update t uses; `lr(T)` is the final rate.

mod edit;
mod error;
mod families;
mod phase;
mod rates;
mod recognise;
mod segment;
mod shape;
mod sum;
mod text;
mod wsd;

pub use error::ScheduleError;
pub use phase::{Annealing, Family, Phase, PhaseSpan};
pub use rates::Rates;
pub(crate) use rates::running_sums;
pub use recognise::{RecogniseError, RecogniseOptions, Recognised, Residual, recognise};
pub use segment::Segment;
pub use shape::{Shape, ShapeError};
pub use text::ScheduleTextError;
pub(crate) use text::number;
pub use wsd::{Wsd, WsdSpec};

use crate::units::Steps;
use error::{check_rate, check_sampled, check_updates};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::sync::Arc;

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
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Schedule {
    /// Linear warm-up, constant rate, annealing. Constant, cosine and linear-to-zero are cases of it.
    Wsd(Wsd),
    /// Any sequence of segments: two-stage, multi-stage, several decays with re-rises.
    Piecewise(Piecewise),
    /// Any vector of rates, one an update.
    Sampled(Sampled),
}

/// A sequence of segments; a jump stands where one segment's `to` differs from the next one's `from`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(try_from = "RawPiecewise")]
pub struct Piecewise {
    /// The segments, in their order.
    segments: Vec<Segment>,
}

/// A rate for every update.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(try_from = "RawSampled")]
pub struct Sampled {
    /// The rate of every update, that of update 1 first.
    rates: Arc<[f64]>,
}

#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
struct RawPiecewise {
    segments: Vec<Segment>,
}

#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
struct RawSampled {
    rates: Vec<f64>,
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
            check_updates(format!("the curve that segment {} begins", i + 1), segment.whole.0)?;
            if segment.whole < segment.updates {
                return Err(ScheduleError::Stages {
                    what: format!(
                        "segment {} has {} updates of a curve of {}; expected no more than the curve has",
                        i + 1,
                        segment.updates,
                        segment.whole
                    ),
                });
            }
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
        check_sampled("the vector of rates", rates.len() as u64)?;
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

    /// The segments without a copy where there is a list of them; `None` for a sampled schedule.
    pub(crate) fn parts(&self) -> Option<Cow<'_, [Segment]>> {
        match self {
            Self::Wsd(wsd) => Some(Cow::Owned(wsd.segments())),
            Self::Piecewise(piecewise) => Some(Cow::Borrowed(&piecewise.segments)),
            Self::Sampled(_) => None,
        }
    }

    /// The schedule as segments; `None` for a sampled one.
    #[must_use]
    pub fn segments(&self) -> Option<Vec<Segment>> {
        match self {
            Self::Wsd(wsd) => Some(wsd.segments()),
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
                let parts = self.parts().unwrap_or_default();
                let mut before = 0;
                for segment in parts.iter() {
                    if t <= before + segment.updates.0 {
                        return segment.lr(t - before);
                    }
                    before += segment.updates.0;
                }
                unreachable!("the segments cover 1 … T")
            }
        }
    }

    /// The rates of updates 1 … T; index t − 1 holds update t. One number an update: for the rates of a few updates of
    /// a long schedule take [`Rates`].
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
                .fold(0.0, |peak, segment| segment.lr(1).max(segment.last_lr()).max(peak)),
            Self::Sampled(sampled) => sampled.rates.iter().copied().fold(0.0, f64::max),
        }
    }
}
