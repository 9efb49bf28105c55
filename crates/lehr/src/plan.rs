//! Which further runs are worth their price: runs chosen for what they tell about the target's best ratio.
//!
//! ```text
//! fit (or a law's priors) ─Belief─▶ coefficients that are plausible
//! grid of trunks and branches ─Field─▶ observations, each with its derivatives
//!                     └──▶ covariance of everything ─search─▶ runs in order, regret and interval after each
//! ```
//! Branches share their trunk: what a trunk has been trained to already costs nothing again.

mod belief;
mod draw;
mod field;
mod price;
mod regret;
mod search;
mod setup;

pub use belief::{AtHand, Noise};
pub use price::{Budget, BudgetError, Money, Price, Throughput, Unit};

use crate::fit::Fit;
use crate::forecast::ForecastError;
use crate::recommend::Target;
use crate::schedule::ScheduleError;
use crate::units::Params;
use serde::{Deserialize, Serialize};

/// What the runs are chosen for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Aim {
    /// A small expected regret of the recommended ratio.
    #[default]
    Ratio,
    /// A narrow interval of the forecast at the recommended ratio.
    Forecast,
}

/// The runs that may be chosen: all combinations.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidates {
    /// Sizes; `None` where the law sees none.
    pub params: Vec<Option<Params>>,
    /// Peak rates.
    pub peak_lr: Vec<f64>,
    /// Horizons, updates.
    pub total: Vec<u64>,
    /// Annealing ratios.
    pub ratio: Vec<f64>,
}

/// Candidates, budget and how the search is done.
#[derive(Debug, Clone, PartialEq)]
pub struct PlanOptions {
    /// The runs that may be chosen.
    pub candidates: Candidates,
    /// Constant-rate runs of the fit whose checkpoints are kept: a branch off one of them costs its annealing alone.
    pub checkpoints: Vec<String>,
    /// Most that the runs may cost, in the unit of [`Money`]; `None`: as long as runs are worth their price.
    pub budget: Option<f64>,
    /// Most runs.
    pub most_runs: usize,
    /// What they are chosen for.
    pub aim: Aim,
    /// Errors of the law and of single runs; `None`: from the fit.
    pub noise: Option<Noise>,
    /// Draws of the coefficients that everything is averaged over.
    pub draws: usize,
    /// Seed of the draws.
    pub seed: u64,
    /// Level of the intervals.
    pub level: crate::Level,
}

/// Why no runs can be chosen.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RunPlanError {
    /// The fit cannot forecast.
    #[error(transparent)]
    Forecast(#[from] ForecastError),
    /// The target or a candidate is no schedule.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
    /// The law does not see the schedule.
    #[error("the {0} law predicts final losses alone: it does not see the schedule and cannot choose runs")]
    BlindLaw(String),
    /// No combination is a schedule.
    #[error(
        "no candidate is left: every horizon is too short for the warm-up of {warmup} updates and every ratio"
    )]
    NoCandidate {
        /// Warm-up updates.
        warmup: u64,
    },
    /// Too many combinations.
    #[error("{found} candidates are more than {most}; name fewer peak rates, horizons, ratios or sizes")]
    TooMany {
        /// Combinations.
        found: usize,
        /// Most allowed.
        most: usize,
    },
    /// A checkpoint of a run that the fit does not have, or that anneals.
    #[error("'{0}' is no constant-rate run of the fit; its checkpoints cannot be branched from")]
    Checkpoint(String),
    /// An option outside its range.
    #[error("{what} is {found}; expected {expected}")]
    Option {
        /// Which one.
        what: &'static str,
        /// Its value.
        found: f64,
        /// The range.
        expected: &'static str,
    },
    /// The covariance of the runs at hand is not positive definite.
    #[error(
        "the runs at hand contradict each other so far that nothing can be expected of further ones; fit again"
    )]
    Singular,
}

/// One run that was chosen, in the order of choice.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ChosenRun {
    /// N.
    pub params: Option<u64>,
    /// Peak rate.
    pub peak_lr: f64,
    /// Horizon, updates.
    pub total: u64,
    /// Annealing ratio.
    pub ratio: f64,
    /// Length of its annealing, updates.
    pub anneal_steps: u64,
    /// The run at hand whose checkpoint it resumes, if it does.
    pub checkpoint: Option<String>,
    /// Updates trained for its trunk; 0 where the trunk is there already.
    pub trunk_updates: u64,
    /// Updates trained for it in all.
    pub updates: u64,
    /// What they cost.
    pub price: Price,
    /// Updates trained for this run and those before it.
    pub updates_so_far: u64,
    /// What those cost.
    pub price_so_far: Price,
    /// Expected regret of the recommended ratio before it, nats.
    pub regret_before: f64,
    /// Expected regret after it, nats.
    pub regret: f64,
    /// Half-width of the interval of the forecast before it, nats.
    pub half_width_before: f64,
    /// Half-width after it, nats.
    pub half_width: f64,
    /// What training the target longer would cost for the same gain, in the unit of [`Money`].
    pub worth: f64,
    /// Whether it costs no more than that.
    pub pays: bool,
}

/// What is expected of all candidates together.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct WholeGrid {
    /// Candidates.
    pub runs: usize,
    /// Updates of all of them, trunks trained once.
    pub updates: u64,
    /// What they cost.
    pub price: Price,
    /// Expected regret after all of them, nats.
    pub regret: f64,
    /// Half-width of the interval of the forecast after all of them, nats.
    pub half_width: f64,
}

/// The runs chosen and what they are expected to bring.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunPlan {
    /// Law.
    pub law: String,
    /// Runs fitted; 0: chosen from priors alone.
    pub runs_at_hand: usize,
    /// The ratio that is best by what is at hand.
    pub ratio: f64,
    /// The loss forecast there, nats.
    pub loss: f64,
    /// Expected regret of that ratio before any further run, nats.
    pub regret: f64,
    /// Half-width of the interval of the forecast before any further run, nats.
    pub half_width: f64,
    /// The runs, in the order of choice.
    pub runs: Vec<ChosenRun>,
    /// How many of them are worth their price: after so many, stop.
    pub stop_after: usize,
    /// All candidates together.
    pub grid: WholeGrid,
    /// Errors that were assumed of the law and of single runs, relative.
    pub noise: Noise,
    /// The unit of prices.
    pub unit: Unit,
    /// Level of the intervals.
    pub level: crate::Level,
    /// Draws that were averaged over.
    pub draws: usize,
}

/// Chooses the runs that most lower the expected regret (or the interval of the forecast) for what they cost, one after
/// another.
///
/// # Formula
/// ```text
/// ln L(x) = ln f(θ; x) + m(x) + g_trunk + e,   θ ~ N(θ̂, Σ₀),   m ~ GP(0, σ_m²·(1 + √3·d)·e^(−√3·d)),   g ~ N(0, σ_g²),   e ~ N(0, σ_e²)
/// d² = (Δ√a/0.35)² + (Δln t/1.1)² + (Δln η/0.9)² + (Δln N/1.4)²
/// regret(D) = E[L(r̂) − min_r L(r)],   r̂ = argmin L̄_D,   L̄_D ~ N(L, cov L − cov(L | D)),   L ~ N(L̄_D, cov(L | D))
/// ```
/// f is linearised at each of `draws` coefficients drawn from the posterior of what is at hand. Σ₀: the law's priors, and
/// the spread of coefficients over public runs where the law has none. m is what the law gets wrong, alike for runs that
/// are alike: a second run at the same place says little new. a annealing share so far, t update, η peak rate; g is
/// shared by a trunk and its branches. L̄_D is what further runs D will lead one to expect, r̂ the ratio
/// chosen then. A step takes the run of the largest gain over price. A run pays while training the
/// target longer would buy the same gain for no less: gain/|dL/dT| updates of the target.
///
/// # Errors
/// [`RunPlanError`], one variant a reason.
///
/// # Source
/// Chaloner and Verdinelli, Bayesian Experimental Design: A Review, 1995 (averaging a linearised criterion over the
/// prior); Frazier, Powell and Dayanik, The Knowledge-Gradient Policy for Correlated Normal Beliefs, 2009 (the regret).
pub fn plan_runs(
    at_hand: AtHand<'_>,
    target: &Target,
    money: &Money,
    options: &PlanOptions,
) -> Result<RunPlan, RunPlanError> {
    search::search(at_hand, target, money, options)
}

impl Candidates {
    /// Runs for a target: its own peak rate, horizons from a thirty-second to a half of it, six ratios, and the sizes of
    /// the runs fitted (its own without any).
    #[must_use]
    pub fn usual(fit: Option<&Fit>, target: &Target) -> Self {
        let mut params: Vec<Option<Params>> =
            fit.map_or_else(Vec::new, |fit| fit.runs.iter().map(|run| run.params).collect());
        if params.iter().any(Option::is_none) {
            params = vec![None];
        }
        params.sort_unstable();
        params.dedup();
        if params.is_empty() {
            params.push(target.setting.params);
        }
        // The largest sizes are the nearest to the target.
        let params = params.split_off(params.len().saturating_sub(3));
        let horizon = target.total.0;
        let mut total: Vec<u64> = [32, 16, 8, 4, 2].iter().map(|part| horizon / part).collect();
        total.retain(|total| *total > 2 * target.warmup.0.max(10));
        if total.is_empty() {
            total.push(horizon);
        }
        Self { params, peak_lr: vec![target.peak_lr], total, ratio: vec![0.05, 0.1, 0.2, 0.35, 0.5, 0.75] }
    }
}

#[cfg(test)]
mod tests;
