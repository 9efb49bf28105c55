//! How far a forecast leaves the runs fitted: what that adds to its interval, and where it is refused.

use super::{Ready, Setting};
use crate::caveat::{Caveat, CaveatKind};
use crate::fit::RunFit;
use crate::schedule::Schedule;
use serde::{Deserialize, Serialize};

/// The limits beyond which a forecast is blocked, with their reasons. They are factors by which the target may lie
/// outside what was fitted.
pub mod limits {
    /// Batch, from runs of one batch: the exponents of the batch are then assumed. Measured on 1,404 public runs, the
    /// error is 1.2–1.7 % at twice the batch, 2–3 % at four times and up to 4.7 % at eight times.
    pub const BATCH_FROM_ONE: f64 = 4.0;
    /// Peak rate: from five public rates, a rate four times the highest is where the saturation of the rate alone decides,
    /// and where runs begin to diverge, which no law sees.
    pub const PEAK_LR: f64 = 4.0;
    /// N: from 14–85M the loss of a model 30 times larger lies anywhere in 3 %, by the assumed floor L₀ alone.
    pub const SIZE: f64 = 30.0;
    /// Horizon: the longest horizon on which the law was ever held against a measurement is 10 times the longest fitted.
    pub const HORIZON: f64 = 10.0;
    /// A target this much outside counts as outside; below, it is the same value written differently.
    pub const SAME: f64 = 1.01;
}

/// Relative error a doubling of the batch adds, in quadrature, to a forecast from one batch; at level 0.9.
const BATCH_PER_DOUBLING: f64 = 0.012;
/// Standard deviation of α_N about its fitted value that few sizes leave: that of the prior which two or three need.
const SIZE_EXPONENT_SD: f64 = 0.1;
/// Standard deviations on either side in an interval of level 0.9.
const NINE_TENTHS: f64 = 1.645;
/// Share of the interval that a doubling of the horizon beyond twice the longest fitted run adds.
const HORIZON_PER_DOUBLING: f64 = 1.0;
/// Horizons up to this multiple of the longest fitted run need no widening beyond the spread of the refits.
const HORIZON_FREE: f64 = 2.0;

/// In what a target lies outside the runs fitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Axis {
    /// N.
    Size,
    /// The number of updates.
    Horizon,
    /// The peak rate.
    PeakLr,
    /// Tokens an update.
    Batch,
}

/// One reason for which an interval is wider than inside the data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Widened {
    /// In what the target lies outside.
    pub axis: Axis,
    /// How far: the target over the nearest value fitted, or its inverse, whichever is above 1.
    pub factor: f64,
    /// Whether the target lies above what was fitted.
    pub above: bool,
    /// Relative half-width that this adds to the interval of the last loss: what it would be less without it.
    pub adds: f64,
}

impl Widened {
    /// Why the interval is wider, in words: `because N is 3.6 × the largest fitted`.
    #[must_use]
    pub fn reason(&self) -> String {
        let (what, most, least) = match self.axis {
            Axis::Size => ("N", "largest", "smallest"),
            Axis::Horizon => ("the horizon", "longest", "shortest"),
            Axis::PeakLr => ("the peak rate", "highest", "lowest"),
            Axis::Batch => ("the batch", "largest", "smallest"),
        };
        if self.above {
            format!("because {what} is {:.1} × the {most} fitted", self.factor)
        } else {
            format!("because {what} is 1/{:.1} of the {least} fitted", self.factor)
        }
    }
}

/// What adds less than this share to an interval is not said.
const WORTH_SAYING: f64 = 0.05;

/// The sentence that says how wide the interval of the last loss is and what makes it so; `None` inside the data.
pub(crate) fn say_widened(half: f64, widened: &[Widened]) -> Option<Caveat> {
    let reasons: Vec<String> = widened
        .iter()
        .filter(|w| w.adds >= WORTH_SAYING * half)
        .map(|w| format!("±{:.2} % {}", 100.0 * w.adds, w.reason()))
        .collect();
    (!reasons.is_empty()).then(|| CaveatKind::IntervalWidened { half_width: half, reasons }.into())
}

/// How far a target lies outside the runs fitted, as factors of at least 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Reach {
    size: Outside,
    horizon: Outside,
    peak_lr: Outside,
    batch: Outside,
    /// Whether the fit knows one batch only.
    one_batch: bool,
    /// Relative half-width of what the sizes fitted leave open about the floor of another size.
    floor: f64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Outside {
    factor: f64,
    above: bool,
    low: f64,
    high: f64,
}

impl Outside {
    fn of(value: Option<f64>, seen: impl Iterator<Item = f64>) -> Self {
        let (low, high) = seen.fold((f64::INFINITY, 0.0_f64), |(low, high), v| (low.min(v), high.max(v)));
        match value {
            Some(value) if high > 0.0 && value > 0.0 => {
                let (up, down) = (value / high, low / value);
                Self { factor: up.max(down).max(1.0), above: up >= down, low, high }
            }
            _ => Self { factor: 1.0, above: true, low, high },
        }
    }

    fn is_outside(&self) -> bool {
        self.factor > limits::SAME
    }
}

/// Whether the run annealed: its rate left the peak before its last measured update.
pub(crate) fn annealed(run: &RunFit) -> bool {
    run.annealing_share > 0.02
}

/// What the sizes fitted leave open about the floor at a size that is none of them, as a share of the loss.
///
/// Two sizes show a difference of floors, not how it goes on: α_N decides that, and one that is a little off fits them as well.
///
/// # Formula
/// ```text
/// d(α) = (N_o^-α − N_i^-α)/(N_f^-α − N_i^-α)·(E·N_f^-α_N − E·N_i^-α_N)
/// f = ½·|d(α_N + 1.645·0.1) − d(α_N − 1.645·0.1)|/L
/// ```
/// N_o: the target; N_i, N_f: the fitted size at its end and the farthest one, whose difference of floors stays; L: the
/// last loss forecast. 0 for laws without such a term.
fn open_floor(ready: &Ready, schedule: &Schedule, setting: &Setting, size: &Outside) -> f64 {
    let coefficients = ready.law.coefficients();
    let at = |names: &[&str]| coefficients.iter().position(|c| names.contains(&c.name));
    let (Some(scale), Some(exponent)) = (at(&["e", "lambda_n"]), at(&["alpha_n"])) else {
        return 0.0;
    };
    let Some(params) = ready.params else { return 0.0 };
    let same = |fitted: f64| (params.0 as f64 / fitted).ln().abs() <= limits::SAME.ln();
    let is_fitted = ready.fit.runs.iter().filter_map(|run| run.params).any(|n| same(n.0 as f64));
    if is_fitted || size.high <= size.low * limits::SAME {
        return 0.0;
    }
    let below = size.is_outside() && !size.above;
    let (near, far) = if below { (size.low, size.high) } else { (size.high, size.low) };
    let power = |n: f64, alpha: f64| (n / 1e8).powf(-alpha);
    let fitted = ready.theta[exponent];
    let difference = ready.theta[scale] * (power(far, fitted) - power(near, fitted));
    let beyond = |alpha: f64| {
        let alpha = alpha.clamp(coefficients[exponent].lower, coefficients[exponent].upper);
        let share =
            (power(params.0 as f64, alpha) - power(near, alpha)) / (power(far, alpha) - power(near, alpha));
        share * difference
    };
    let reach = NINE_TENTHS * SIZE_EXPONENT_SD;
    let last = ready.features(schedule, &[schedule.total().0], setting.tokens_per_step);
    let loss = ready.predict(&ready.theta, &last)[0];
    let open = 0.5 * (beyond(fitted + reach) - beyond(fitted - reach)).abs() / loss;
    if open.is_finite() { open } else { 0.0 }
}

impl Reach {
    pub fn new(ready: &Ready, schedule: &Schedule, setting: &Setting) -> Self {
        let runs = &ready.fit.runs;
        let total = schedule.total().0 as f64;
        // An annealed target is as far as the longest annealed run is short of it: constant runs do not show what
        // annealing brings late.
        let falls = schedule.lr(schedule.total().0) < 0.98 * schedule.peak_lr();
        let longest = |annealed_only: bool| {
            runs.iter()
                .filter(|run| !annealed_only || annealed(run))
                .map(|run| run.last_update as f64)
                .fold(0.0, f64::max)
        };
        let mut horizon = longest(falls);
        if horizon == 0.0 {
            horizon = longest(false);
        }
        let batch = setting.tokens_per_step.map(|b| b.0 as f64);
        let batches: Vec<f64> =
            runs.iter().filter_map(|run| run.tokens_per_step).map(|b| b.0 as f64).collect();
        let batch = Outside::of(batch, batches.iter().copied());
        let size = Outside::of(
            ready.params.map(|n| n.0 as f64),
            runs.iter().filter_map(|run| run.params).map(|n| n.0 as f64),
        );
        Self {
            size,
            floor: open_floor(ready, schedule, setting, &size),
            // A shorter horizon than any fitted is inside: runs pass through it.
            horizon: Outside::of(Some(total.max(horizon)), std::iter::once(horizon)),
            peak_lr: Outside::of(Some(schedule.peak_lr()), runs.iter().map(|run| run.peak_lr)),
            one_batch: batch.high <= batch.low * limits::SAME,
            batch,
        }
    }

    /// The relative half-width outside the data from that inside.
    ///
    /// # Formula
    /// h = √((h₀·(1 + ln k_η + log₂ k_N + max(0, log₂(k_T/2))))² + (0.012·log₂ k_B)²) + f, the term in k_B only with one batch; f is
    /// what [`open_floor`] gives, which errs in one direction for all runs of a size and is added whole.
    pub fn half_width(&self, inside: f64) -> f64 {
        let times = 1.0
            + self.peak_lr.factor.ln()
            + self.size.factor.log2()
            + HORIZON_PER_DOUBLING * (self.horizon.factor / HORIZON_FREE).log2().max(0.0);
        let batch = if self.one_batch { BATCH_PER_DOUBLING * self.batch.factor.log2() } else { 0.0 };
        (inside * times).hypot(batch) + self.floor
    }

    /// Factor on the half-width of a difference between two schedules: as for a loss, but from the first doubling of the
    /// horizon on, because what annealing gains at longer horizons is underestimated there already. The batch changes both
    /// losses alike.
    pub fn difference_factor(&self) -> f64 {
        1.0 + self.peak_lr.factor.ln() + self.size.factor.log2() + self.horizon.factor.log2()
    }

    /// Why the half-width is wider than `inside`, largest first.
    pub fn widened(&self, inside: f64) -> Vec<Widened> {
        let whole = self.half_width(inside);
        let none = |outside: Outside| Outside { factor: 1.0, ..outside };
        let mut out: Vec<Widened> = [
            (Axis::Size, self.size, Self { size: none(self.size), floor: 0.0, ..*self }),
            (Axis::Horizon, self.horizon, Self { horizon: none(self.horizon), ..*self }),
            (Axis::PeakLr, self.peak_lr, Self { peak_lr: none(self.peak_lr), ..*self }),
            (Axis::Batch, self.batch, Self { batch: none(self.batch), ..*self }),
        ]
        .into_iter()
        .filter(|(_, outside, _)| outside.is_outside())
        .map(|(axis, outside, without)| Widened {
            axis,
            factor: outside.factor,
            above: outside.above,
            adds: whole - without.half_width(inside),
        })
        .filter(|widened| widened.adds > 0.0)
        .collect();
        out.sort_by(|a, b| b.adds.total_cmp(&a.adds));
        out
    }

    /// What the distance means for the reader; refusals where it is too large.
    pub fn caveats(&self, ready: &Ready, schedule: &Schedule) -> Vec<Caveat> {
        let mut out = Vec::new();
        let horizon = &self.horizon;
        if horizon.factor > 1.05 {
            out.push(CaveatKind::ExtrapolatesHorizon { factor: horizon.factor, longest: horizon.high });
        }
        let peak = &self.peak_lr;
        if peak.is_outside() {
            let (factor, peak_lr) = (peak.factor, schedule.peak_lr());
            out.push(if peak.high <= peak.low * 1.001 {
                CaveatKind::UnseenPeakRate { factor, peak_lr, fitted: peak.high }
            } else {
                CaveatKind::ExtrapolatesPeakRate { factor, peak_lr, lowest: peak.low, highest: peak.high }
            });
        }
        let size = &self.size;
        if size.is_outside() {
            out.push(if size.high <= size.low * 1.001 {
                CaveatKind::UnseenSize { factor: Some(size.factor), fitted: Some(size.high) }
            } else {
                CaveatKind::ExtrapolatesSize { factor: size.factor, smallest: size.low, largest: size.high }
            });
        }
        let batch = &self.batch;
        if batch.is_outside() {
            out.push(CaveatKind::UnseenBatch {
                factor: batch.factor,
                smallest: batch.low,
                largest: batch.high,
                blind_law: (!ready.law.knows_batch()).then(|| ready.law.name().to_owned()),
            });
        }
        out.extend(self.unstable_rate(ready, schedule));
        out.into_iter().map(Caveat::from).collect()
    }

    /// A rate at which runs diverged and none was stable.
    fn unstable_rate(&self, ready: &Ready, schedule: &Schedule) -> Option<CaveatKind> {
        let peak = schedule.peak_lr();
        let run = ready
            .fit
            .left_out
            .iter()
            .filter(|run| run.reason == crate::fit::Unsound::Diverged && run.peak_lr <= peak * limits::SAME)
            .max_by(|a, b| a.peak_lr.total_cmp(&b.peak_lr))?;
        (self.peak_lr.high * limits::SAME < peak.min(run.peak_lr))
            .then(|| CaveatKind::UnstablePeakRate { run: run.id.clone(), peak_lr: run.peak_lr })
    }
}
