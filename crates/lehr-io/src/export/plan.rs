//! Warm-up, stable phase and annealing: all that most trainers know.

use super::ExportError;
use lehr::{Schedule, Segment, Shape};

/// A schedule of that form, with the rates it stands for.
pub(super) struct Plan<'a> {
    /// Rate of the stable phase.
    pub peak: f64,
    /// Horizon T.
    pub total: u64,
    /// Warm-up updates W.
    pub warmup: u64,
    /// Annealing updates D.
    pub anneal: u64,
    /// How the rate falls.
    pub shape: Shape,
    /// Rate of update T.
    pub last: f64,
    /// The rates asked for.
    pub wanted: &'a [f64],
    /// Updates already done.
    pub from: u64,
}

impl<'a> Plan<'a> {
    pub fn new(
        target: &'static str,
        schedule: &Schedule,
        wanted: &'a [f64],
        from: u64,
    ) -> Result<Self, ExportError> {
        let refused = |why| ExportError::Inexpressible { target, family: schedule.family().to_string(), why };
        let segments = schedule.segments().ok_or_else(|| refused("it knows no table of rates"))?;
        let mut rest = segments.as_slice();
        let mut warmup = 0;
        while let [first, others @ ..] = rest
            && first.to >= first.from
            && (first.to > first.from || others.first().is_some_and(|next| next.to > next.from))
        {
            (warmup, rest) = (warmup + first.updates.0, others);
        }
        let peak = rest.first().map_or_else(|| segments[segments.len() - 1].to, |segment| segment.from);
        while let [Segment { from, to, .. }, others @ ..] = rest
            && from == to
            && *from == peak
        {
            rest = others;
        }
        let (anneal, shape, last) = match rest {
            [] => (0, Shape::Linear, peak),
            [fall] if fall.from == peak && fall.to <= peak => (fall.updates.0, fall.shape, fall.last_lr()),
            _ => return Err(refused("it knows one warm-up, one stable phase and one annealing")),
        };
        if peak == 0.0 {
            return Err(refused("its peak rate is 0"));
        }
        Ok(Self { peak, total: schedule.total().0, warmup, anneal, shape, last, wanted, from })
    }

    /// Final rate over peak rate, exactly as a product with the peak should give it back.
    pub fn floor(&self) -> f64 {
        self.last / self.peak
    }

    /// The rates of updates 1 … T from a function of the updates done before, n = t − 1.
    pub fn by_done(&self, rate: impl Fn(i64) -> f64) -> Vec<f64> {
        (0..self.total as i64).map(rate).collect()
    }
}

/// The factor between 1 and 0 of a shape that has no floor of its own.
pub(super) fn factor(shape: Shape, p: f64) -> f64 {
    shape.between(1.0, 0.0, p)
}

/// A number as every configuration language reads it: no exponent (YAML 1.1 takes `3e-4` for text).
pub(super) fn plain(value: f64) -> String {
    if value == value.trunc() && value.abs() < 1e15 { format!("{value:.1}") } else { format!("{value}") }
}

/// The value to twelve digits, for arguments that people read.
pub(super) fn short(value: f64) -> f64 {
    format!("{value:.11e}").parse().unwrap_or(value)
}

/// A share of `whole` that a trainer's `int(whole · share)` turns back into `part`.
pub(super) fn truncated_share(part: i64, whole: u64) -> f64 {
    let exact = part as f64 / whole as f64;
    if (exact * whole as f64).floor() == part as f64 { exact } else { (part as f64 + 0.5) / whole as f64 }
}

/// A share of `whole` that a trainer's `round(whole · share)` turns back into `part`.
pub(super) fn share(part: i64, whole: i64) -> f64 {
    part as f64 / whole as f64
}

/// Says that a shape is not the one asked for.
pub(super) fn shape_note(wanted: Shape, used: Shape, trainer: &str) -> Option<String> {
    (wanted != used).then(|| format!("{trainer} has no {wanted} annealing: {used} is the nearest it has"))
}
