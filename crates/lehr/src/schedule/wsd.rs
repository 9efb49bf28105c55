//! Warm-up, stable phase, annealing.

use super::error::{check_rate, check_updates};
use super::{ScheduleError, Segment, Shape};
use crate::bounds;
use crate::units::{AnnealingRatio, Steps};
use serde::{Deserialize, Serialize};

/// The numbers of a [`Wsd`] before they are checked; [`WsdSpec::checked`] makes the schedule.
///
/// # Examples
/// ```
/// use lehr::{Shape, Steps, WsdSpec};
/// let spec = WsdSpec {
///     peak_lr: 3e-4,
///     total: Steps(1000),
///     warmup: Steps(100),
///     anneal: Steps(200),
///     shape: Shape::OneMinusSqrt,
///     ..WsdSpec::default()
/// };
/// assert_eq!(spec.checked()?.ratio(), 0.2);
/// let spec = WsdSpec { peak_lr: 3e-4, warmup: Steps(9), anneal: Steps(9), total: Steps(10), ..WsdSpec::default() };
/// assert!(spec.checked().is_err());
/// # Ok::<(), lehr::ScheduleError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct WsdSpec {
    /// Rate of the stable phase.
    pub peak_lr: f64,
    /// Horizon T, updates.
    pub total: Steps,
    /// Warm-up updates W.
    pub warmup: Steps,
    /// Rate that the warm-up starts from, at "update 0".
    #[serde(default)]
    pub warmup_lr: f64,
    /// How the rate rises: a straight line as a rule.
    #[serde(default, skip_serializing_if = "is_linear")]
    pub rise: Shape,
    /// Annealing updates D.
    pub anneal: Steps,
    /// How the rate falls.
    pub shape: Shape,
    /// Rate that the annealing ends at: that of update T unless some of it stays unreached (the stable rate goes on
    /// when D = 0).
    pub final_lr: f64,
    /// How many updates the trainer's scheduler is late: update t uses the rate that the scheduler names for t − `late`,
    /// and the first `late` updates use its first rate.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub late: Steps,
    /// How many of the scheduler's last updates the run does not reach for that, at most `late`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unreached: Steps,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
fn is_zero(steps: &Steps) -> bool {
    steps.0 == 0
}

fn is_linear(shape: &Shape) -> bool {
    *shape == Shape::Linear
}

/// Warm-up, stable phase, annealing (warm-up–stable–decay): the numbers of a [`WsdSpec`], checked.
///
/// # Formula
/// ```text
/// lr(t) = η_w + (η_max − η_w)·t/W                    1 ≤ t ≤ W
///       = η_max                                      W < t ≤ T − D
///       = η_f + (η_max − η_f)·f((t − (T−D))/D)       T − D < t ≤ T        f: the shape, f(0) = 1, f(1) = 0
/// ```
/// W warm-up, D = r·T annealing updates, T horizon (updates); η_w `warmup_lr` (0 by default), η_max `peak_lr`, η_f `final_lr`.
/// With a scheduler that is L updates late, update t uses lr(t − L), and update t ≤ L uses lr(0) (η_w, or η_max without
/// a warm-up); of its horizon T − L + U updates the last U are not reached.
///
/// # Source
/// Wang et al., Scaling and Transferability of Annealing Strategies, 2026, eq. 12.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(try_from = "WsdSpec", into = "WsdSpec")]
pub struct Wsd(WsdSpec);

impl std::ops::Deref for Wsd {
    type Target = WsdSpec;

    fn deref(&self) -> &WsdSpec {
        &self.0
    }
}

impl From<Wsd> for WsdSpec {
    fn from(wsd: Wsd) -> Self {
        wsd.0
    }
}

impl TryFrom<WsdSpec> for Wsd {
    type Error = ScheduleError;

    fn try_from(spec: WsdSpec) -> Result<Self, ScheduleError> {
        spec.checked()
    }
}

impl WsdSpec {
    /// The schedule if its numbers are consistent.
    ///
    /// # Errors
    /// [`ScheduleError`]: a horizon of 0 or beyond [`bounds::UPDATES`], a peak outside [`bounds::PEAK_RATE`], a rate outside
    /// [`bounds::RATE`], a final or first rate above the peak, warm-up plus annealing longer than the horizon, a
    /// geometric shape that ends at 0, more of the annealing unreached than the scheduler is late.
    pub fn checked(self) -> Result<Wsd, ScheduleError> {
        let Self { peak_lr, total, warmup, warmup_lr, rise, anneal, shape, final_lr, late, unreached } = self;
        check_updates("the horizon", total.0)?;
        if !bounds::PEAK_RATE.holds(peak_lr) {
            return Err(ScheduleError::Rate {
                what: "the peak rate".into(),
                value: peak_lr,
                expected: bounds::PEAK_RATE.words,
            });
        }
        check_rate("the final rate", final_lr)?;
        check_rate("the warm-up's first rate", warmup_lr)?;
        if warmup_lr > peak_lr {
            return Err(ScheduleError::WarmupAbovePeak { warmup_lr, peak_lr });
        }
        if final_lr > peak_lr {
            return Err(ScheduleError::FinalAbovePeak { final_lr, peak_lr });
        }
        if unreached > late || unreached > anneal {
            return Err(ScheduleError::Unreached { unreached: unreached.0, late: late.0, anneal: anneal.0 });
        }
        let room = total.0 + unreached.0;
        if warmup.0.saturating_add(anneal.0).saturating_add(late.0) > room {
            return Err(ScheduleError::TooLong {
                warmup: warmup.0.saturating_add(late.0),
                anneal: anneal.0 - unreached.0,
                total: total.0,
            });
        }
        if warmup.0 > 0 {
            rise.check(warmup_lr, peak_lr)?;
        }
        if anneal.0 > 0 {
            shape.check(peak_lr, final_lr)?;
        }
        Ok(Wsd(self))
    }
}

impl Wsd {
    /// Checks the numbers and makes the schedule; D = round(r·T).
    ///
    /// # Errors
    /// As [`WsdSpec::checked`].
    pub fn new(
        peak_lr: f64,
        total: Steps,
        warmup: Steps,
        ratio: AnnealingRatio,
        shape: Shape,
        final_lr: f64,
    ) -> Result<Self, ScheduleError> {
        let anneal = Steps((ratio.get() * total.0 as f64).round() as u64);
        WsdSpec { peak_lr, total, warmup, anneal, shape, final_lr, ..WsdSpec::default() }.checked()
    }

    /// The numbers, to be changed and checked again.
    #[must_use]
    pub fn to_spec(&self) -> WsdSpec {
        self.0.clone()
    }

    /// The horizon that the trainer's scheduler knows: T unless it is late and the run reaches its end all the same.
    #[must_use]
    pub fn scheduled(&self) -> Steps {
        Steps(self.total.0 - self.late.0 + self.unreached.0)
    }

    /// r = D/T, T the scheduler's horizon.
    #[must_use]
    pub fn ratio(&self) -> f64 {
        self.anneal.0 as f64 / self.scheduled().0 as f64
    }

    /// The last update of the stable phase, T − D: the checkpoint to branch from.
    #[must_use]
    pub fn anneal_start(&self) -> Steps {
        Steps(self.total.0 + self.unreached.0 - self.anneal.0)
    }

    pub(super) fn segments(&self) -> Vec<Segment> {
        let mut segments = Vec::with_capacity(4);
        let mut push = |segment: Segment| {
            if segment.updates.0 > 0 {
                segments.push(segment);
            }
        };
        let first = if self.warmup.0 > 0 { self.warmup_lr } else { self.peak_lr };
        push(Segment::flat(self.late, first));
        push(Segment::new(self.warmup, self.warmup_lr, self.peak_lr, self.rise));
        let stable = self.anneal_start().0 - self.late.0 - self.warmup.0;
        push(Segment::flat(Steps(stable), self.peak_lr));
        let fall = Segment::new(self.anneal, self.peak_lr, self.final_lr, self.shape);
        push(Segment { updates: Steps(self.anneal.0 - self.unreached.0), ..fall });
        segments
    }
}
