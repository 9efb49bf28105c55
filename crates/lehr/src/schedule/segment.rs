//! A stretch of updates over which the rate moves along one shape.

use super::Shape;
use crate::units::Steps;
use serde::{Deserialize, Serialize};

/// A stretch of updates over which the rate moves from `from` (exclusive) toward `to`.
///
/// A segment may be the beginning of a longer curve (`whole` above `updates`): then it ends before `to` is reached.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(from = "RawSegment", into = "RawSegment")]
pub struct Segment {
    /// Length in updates, at least 1.
    pub updates: Steps,
    /// Rate just before the segment's first update.
    pub from: f64,
    /// Rate of the curve's last update, which is the segment's own where it is whole.
    pub to: f64,
    /// How the rate moves between them.
    pub shape: Shape,
    /// Length of the curve whose first `updates` the segment is; at least `updates`.
    pub whole: Steps,
}

/// As stored: a segment that says nothing of a longer curve is whole.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
struct RawSegment {
    /// Length in updates.
    updates: Steps,
    /// Rate just before its first update.
    from: f64,
    /// Rate of the curve's last update, which is the segment's own where it is whole.
    to: f64,
    /// How the rate moves.
    shape: Shape,
    /// Length in updates of the curve whose beginning it is, where that is longer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    whole: Option<Steps>,
}

impl From<Segment> for RawSegment {
    fn from(segment: Segment) -> Self {
        let Segment { updates, from, to, shape, whole } = segment;
        Self { updates, from, to, shape, whole: (whole != updates).then_some(whole) }
    }
}

impl From<RawSegment> for Segment {
    fn from(raw: RawSegment) -> Self {
        let RawSegment { updates, from, to, shape, whole } = raw;
        Self { updates, from, to, shape, whole: whole.unwrap_or(updates) }
    }
}

impl Segment {
    /// A whole segment; [`super::Piecewise::new`] checks its numbers.
    #[must_use]
    pub fn new(updates: Steps, from: f64, to: f64, shape: Shape) -> Self {
        Self { updates, from, to, shape, whole: updates }
    }

    /// The same rate for a number of updates.
    #[must_use]
    pub fn flat(updates: Steps, rate: f64) -> Self {
        Self::new(updates, rate, rate, Shape::Linear)
    }

    /// The rate of the segment's k-th update, 1 ≤ k ≤ `updates`.
    #[must_use]
    pub fn lr(&self, k: u64) -> f64 {
        if k == self.whole.0 {
            return self.to;
        }
        self.shape.between(self.from, self.to, k as f64 / self.whole.0 as f64)
    }

    /// The rate of its last update.
    #[must_use]
    pub fn last_lr(&self) -> f64 {
        self.lr(self.updates.0)
    }

    /// Its first `m` updates: a whole segment where a part of the curve has the same shape again, else the beginning of
    /// the longer one.
    #[must_use]
    pub fn head(&self, m: Steps) -> Self {
        let same = match self.shape {
            Shape::Linear | Shape::Geometric | Shape::Inverse => true,
            Shape::Power(beta) => beta == 1.0,
            Shape::Cosine | Shape::OneMinusSqrt | Shape::Exponential => false,
        };
        if same || self.from == self.to {
            Self::new(m, self.from, self.lr(m.0), self.shape)
        } else {
            Self { updates: m, ..*self }
        }
    }
}
