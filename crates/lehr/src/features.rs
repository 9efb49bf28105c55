//! What the laws see of a run: forward effect S, annealing momentum M, nodes between which the rate is linear.
//!
//! Features are computed from the schedule (every update counts), never from logged rows, because the published
//! momentum depends on how often the log was written. [`Momentum::LoggedRows`] keeps the published behaviour as an
//! explicit option.

mod bound;
mod course;
mod momentum;
mod nodes;

pub use bound::bound_terms;
pub use momentum::{AsmtDefinition, asmt};
pub use nodes::Nodes;

use crate::schedule::{Rates, Schedule};
use crate::units::{Params, Tokens};
use course::{Course, Dense, Segmented};
use serde::{Deserialize, Serialize};

/// Which points the annealing momentum is computed over.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Momentum {
    /// Not computed: no law in use reads it.
    #[default]
    None,
    /// Every `stride`-th update of the dense schedule; 1 is every update.
    Dense {
        /// Updates between two rows.
        stride: u64,
        /// Whether the rise of the warm-up enters M (as a negative contribution).
        warmup: bool,
    },
    /// Only the rows at which the run was logged, for the momentum and for the forward effect S: what the published
    /// code does. The points given are the rows, so all logged rows must be given.
    LoggedRows,
}

/// How features are computed; stored with a fit so that two definitions cannot be mixed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FeatureDefinition {
    /// Rows of the annealing momentum.
    pub momentum: Momentum,
    /// Constants of the Adam-style momentum.
    pub asmt: AsmtDefinition,
    /// Whether the terms of the convex bound are computed (O(T) a point).
    pub bound: bool,
    /// B_ref: the batch in tokens against which laws with a batch term measure others. `None`: a fit puts the most
    /// frequent batch of its runs here.
    #[serde(default)]
    pub reference_batch: Option<f64>,
}

/// The features of one run at the points where its loss is wanted. P points, K node intervals.
#[derive(Debug, Clone, PartialEq)]
pub struct RunFeatures {
    /// N / 10⁸; 1 if the run's N is unknown.
    pub n8: f64,
    /// Tokens per update; NaN if unknown.
    pub tokens_per_step: f64,
    /// ln b, the natural logarithm of the tokens per update over B_ref; 0 if either is unknown.
    pub ln_batch: f64,
    /// The points' updates, ascending, \[P\].
    pub update: Vec<f64>,
    /// The rate that each point's update used, \[P\].
    pub lr: Vec<f64>,
    /// Forward effect S = Σ η up to each point (rate · updates), \[P\].
    pub forward_effect: Vec<f64>,
    /// Natural logarithm of `forward_effect`, \[P\]; −∞ where no rate was above 0 yet.
    pub ln_forward_effect: Vec<f64>,
    /// Annealing momentum M (ASMT) at each point, \[P\]; empty under [`Momentum::None`].
    pub momentum: Vec<f64>,
    /// The two sums of the convex bound at each point, \[P\]; empty unless asked for.
    pub bound: Vec<[f64; 2]>,
    /// Intervals over which the rate is linear, \[K\].
    pub nodes: Nodes,
    /// The run's warm-up ends here (updates): where the rate first reaches its largest value.
    pub warmup: f64,
}

impl RunFeatures {
    /// Computes the features of `schedule` at `points` (updates, strictly increasing, 1 ≤ t ≤ T).
    ///
    /// Time and memory grow with the points and with what the schedule bends, not with T, but for sampled schedules and for
    /// definitions that ask for every update ([`Momentum::Dense`], the convex bound).
    ///
    /// # Panics
    /// When a point is 0 or beyond the horizon: a [`crate::Curve`] has checked this.
    #[must_use]
    pub fn new(
        schedule: &Schedule,
        points: &[u64],
        params: Option<Params>,
        tokens_per_step: Option<Tokens>,
        definition: &FeatureDefinition,
    ) -> Self {
        let before = rate_before(schedule);
        let dense = matches!(definition.momentum, Momentum::Dense { .. }) || definition.bound;
        if dense || matches!(schedule, Schedule::Sampled(_)) {
            let rates = schedule.rates();
            return Self::from_rates(&rates, before, points, params, tokens_per_step, definition);
        }
        let course = Segmented::new(Rates::new(schedule), before);
        Self::of(&course, &[], points, params, tokens_per_step, definition)
    }

    /// As [`RunFeatures::new`] for rates that are already dense; `before` is the rate just before update 1.
    #[must_use]
    pub fn from_rates(
        rates: &[f64],
        before: f64,
        points: &[u64],
        params: Option<Params>,
        tokens_per_step: Option<Tokens>,
        definition: &FeatureDefinition,
    ) -> Self {
        Self::of(&Dense::new(rates, before), rates, points, params, tokens_per_step, definition)
    }

    /// `rates`: one an update, for a definition that asks for them.
    fn of(
        course: &impl Course,
        rates: &[f64],
        points: &[u64],
        params: Option<Params>,
        tokens_per_step: Option<Tokens>,
        definition: &FeatureDefinition,
    ) -> Self {
        let total = course.total();
        let inside = points.last().is_none_or(|&t| t <= total) && points.first() != Some(&0);
        assert!(inside && points.is_sorted_by(|a, b| a < b), "points must lie in 1 … T and ascend");
        let mut forward_effect: Vec<f64> = points.iter().map(|&t| course.sum(t)).collect();
        let lr: Vec<f64> = points.iter().map(|&t| course.at(t)).collect();
        let peak = course.largest(0, total, 0.0);
        let reached = course.first_at(peak);
        if definition.momentum == Momentum::LoggedRows {
            // As published: the rate of a row stands for all updates since the row before.
            let (mut sum, mut last) = (0.0, 0);
            for ((s, &t), &rate) in forward_effect.iter_mut().zip(points).zip(&lr) {
                sum += rate * (t - last) as f64;
                (*s, last) = (sum, t);
            }
        }
        let momentum = match definition.momentum {
            Momentum::None => Vec::new(),
            Momentum::Dense { stride, warmup: counted } => {
                let skipped = if counted { 0 } else { reached as usize - 1 };
                momentum::dense(rates, points, stride, skipped, &definition.asmt)
            }
            Momentum::LoggedRows => {
                let step: Vec<f64> = points.iter().map(|&t| t as f64).collect();
                asmt(&step, &lr, &definition.asmt)
            }
        };
        Self {
            n8: params.map_or(1.0, |n| n.0 as f64 / 1e8),
            tokens_per_step: tokens_per_step.map_or(f64::NAN, |b| b.0 as f64),
            ln_batch: match (tokens_per_step, definition.reference_batch) {
                // A batch equal to B_ref gives exactly 0.
                (Some(batch), Some(reference)) if batch.0 as f64 != reference => {
                    (batch.0 as f64 / reference).ln()
                }
                _ => 0.0,
            },
            update: points.iter().map(|&t| t as f64).collect(),
            lr,
            ln_forward_effect: forward_effect.iter().map(|s| s.ln()).collect(),
            forward_effect,
            momentum,
            bound: if definition.bound { bound_terms(rates, points) } else { Vec::new() },
            nodes: Nodes::of(course, points, peak, reached),
            warmup: reached as f64,
        }
    }

    /// Number of points P.
    #[must_use]
    pub fn points(&self) -> usize {
        self.update.len()
    }
}

/// The rate just before update 1: where the warm-up starts.
fn rate_before(schedule: &Schedule) -> f64 {
    match schedule {
        Schedule::Wsd(wsd) if wsd.warmup.0 > 0 => wsd.warmup_lr,
        Schedule::Piecewise(piecewise) => piecewise.segments()[0].from,
        _ => schedule.lr(1),
    }
}
