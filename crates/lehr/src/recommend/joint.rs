//! Peak rate, batch and annealing ratio chosen together.

use super::{RecommendError, RecommendOptions, Recommendation, Target, recommend_ratio};
use crate::caveat::{Caveat, CaveatKind};
use crate::fit::{Fit, Uncertainty};
use crate::units::{Steps, Tokens};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// What stays the same while the batch is varied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Budget {
    /// So many tokens in all (at one N: so much compute); a larger batch means fewer updates.
    Tokens(u64),
    /// So many updates; a larger batch means more tokens.
    Updates(u64),
}

/// Ranges within which the loss is minimised.
#[derive(Debug, Clone, PartialEq)]
pub struct JointOptions {
    /// Smallest and largest peak rate.
    pub peak_lr: (f64, f64),
    /// Smallest and largest batch, tokens; `None`: the target's own.
    pub batch: Option<(u64, u64)>,
    /// What stays the same while the batch is varied.
    pub budget: Budget,
    /// Limits of the ratio; its tolerance also defines the plateau.
    pub ratio: RecommendOptions,
}

/// One choice of all three and its predicted loss.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct JointPoint {
    /// Peak rate.
    pub peak_lr: f64,
    /// Batch, tokens; `None` where neither target nor fit states one.
    pub tokens_per_step: Option<u64>,
    /// Horizon, updates.
    pub total: u64,
    /// The best annealing ratio there.
    pub ratio: f64,
    /// Predicted loss at the horizon, nats per token.
    pub loss: f64,
}

/// The best choice, what ties with it, and what to know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Joint {
    /// The lowest predicted loss.
    pub best: JointPoint,
    /// Every choice within the tolerance of it, in the order of the batch, then of the peak rate.
    pub plateau: Vec<JointPoint>,
    /// The ratio's recommendation at the best choice, with its intervals and caveats.
    pub recommendation: Recommendation,
    /// What to know about the choice itself.
    pub caveats: Vec<Caveat>,
}

/// Rates tried over the range, spaced evenly on the log scale.
const RATES: usize = 17;
/// Batches tried over the range, spaced evenly on the log scale.
const BATCHES: usize = 9;

fn spaced(low: f64, high: f64, count: usize) -> Vec<f64> {
    if high <= low * (1.0 + 1e-9) {
        return vec![low];
    }
    (0..count).map(|i| low * (high / low).powf(i as f64 / (count - 1) as f64)).collect()
}

/// Minimises the predicted loss over peak rate, batch and annealing ratio.
///
/// Every pair of 17 rates and 9 batches gets its best ratio; the best pair is refined once between its neighbours. A law
/// whose progress grows with the rate without end (all but noise relaxation) always chooses the largest rate allowed.
///
/// # Errors
/// As [`recommend_ratio`]; [`RecommendError::Ranges`] where a range is empty or not positive.
pub fn optimise_jointly(fit: &Fit, target: &Target, options: &JointOptions) -> Result<Joint, RecommendError> {
    let own = target.setting.tokens_per_step.map(|b| b.0);
    let (low, high) = options.peak_lr;
    let batch = options.batch.or(own.map(|b| (b, b)));
    if !(low > 0.0 && low <= high && high.is_finite()) || batch.is_some_and(|(a, b)| a == 0 || a > b) {
        return Err(RecommendError::Ranges);
    }
    if batch.is_none() && matches!(options.budget, Budget::Tokens(_)) {
        return Err(RecommendError::NoBatch);
    }
    // The ratio alone is wanted at most points: refits are for the best one.
    let lean =
        Fit { uncertainty: Uncertainty { refits: Vec::new(), ..fit.uncertainty.clone() }, ..fit.clone() };
    let at = |peak_lr: f64, batch: Option<u64>| {
        let total = match (options.budget, batch) {
            (Budget::Tokens(tokens), Some(batch)) => (tokens / batch).max(1),
            (Budget::Updates(updates), _) => updates,
            (Budget::Tokens(_), None) => target.total.0,
        };
        let setting =
            crate::forecast::Setting { tokens_per_step: batch.map(Tokens), ..target.setting.clone() };
        Target {
            peak_lr,
            total: Steps(total),
            warmup: Steps(target.warmup.0.min(total / 2)),
            final_lr: target.final_lr.min(peak_lr),
            setting,
            ..target.clone()
        }
    };
    let coarse = RecommendOptions { grid: 41, ..options.ratio.clone() };
    let solve = |pairs: Vec<(f64, Option<u64>)>| -> Result<Vec<JointPoint>, RecommendError> {
        pairs
            .into_par_iter()
            .map(|(peak_lr, batch)| {
                let target = at(peak_lr, batch);
                let found = recommend_ratio(&lean, &target, &coarse)?;
                Ok(JointPoint {
                    peak_lr,
                    tokens_per_step: batch,
                    total: target.total.0,
                    ratio: found.ratio,
                    loss: found.loss.value,
                })
            })
            .collect()
    };
    let batches = |low: f64, high: f64, count: usize| -> Vec<Option<u64>> {
        let mut out: Vec<Option<u64>> =
            spaced(low, high, count).into_iter().map(|b| Some(b.round() as u64)).collect();
        out.dedup();
        out
    };
    let all = batch.map_or(vec![None], |(a, b)| batches(a as f64, b as f64, BATCHES));
    let rates = spaced(low, high, RATES);
    let pairs = all.iter().flat_map(|&batch| rates.iter().map(move |&rate| (rate, batch))).collect();
    let mut points = solve(pairs)?;
    let lowest = |points: &[JointPoint]| points.iter().copied().min_by(|a, b| a.loss.total_cmp(&b.loss));
    let Some(found) = lowest(&points) else { return Err(RecommendError::Ranges) };
    // Once more between the neighbours of the best.
    let step = (high / low).powf(1.0 / (RATES - 1) as f64);
    let near = spaced((found.peak_lr / step).max(low), (found.peak_lr * step).min(high), 5);
    let near_batches = match (batch, found.tokens_per_step) {
        (Some((a, b)), Some(chosen)) => {
            let step = (b as f64 / a as f64).powf(1.0 / (BATCHES - 1) as f64);
            batches((chosen as f64 / step).max(a as f64), (chosen as f64 * step).min(b as f64), 5)
        }
        _ => vec![found.tokens_per_step],
    };
    points.extend(solve(near_batches.iter().flat_map(|&b| near.iter().map(move |&r| (r, b))).collect())?);
    let Some(best) = lowest(&points) else { return Err(RecommendError::Ranges) };
    let recommendation = recommend_ratio(fit, &at(best.peak_lr, best.tokens_per_step), &options.ratio)?;
    let mut plateau: Vec<JointPoint> =
        points.into_iter().filter(|p| p.loss <= best.loss + options.ratio.tolerance).collect();
    plateau.sort_by(|a, b| a.tokens_per_step.cmp(&b.tokens_per_step).then(a.peak_lr.total_cmp(&b.peak_lr)));
    plateau.dedup_by(|a, b| a.tokens_per_step == b.tokens_per_step && a.peak_lr == b.peak_lr);
    let mut caveats = Vec::new();
    let mut edge = |what: &str, value: f64, low: f64, high: f64| {
        if high > low && (value <= low * (1.0 + 1e-9) || value >= high * (1.0 - 1e-9)) {
            let what = what.to_owned();
            caveats.push(CaveatKind::RangeLimit { what, value, lowest: low, highest: high }.into());
        }
    };
    edge("peak rate", best.peak_lr, low, high);
    if let (Some((a, b)), Some(chosen)) = (batch, best.tokens_per_step) {
        edge("batch", chosen as f64, a as f64, b as f64);
    }
    Ok(Joint { best, plateau, recommendation, caveats })
}
