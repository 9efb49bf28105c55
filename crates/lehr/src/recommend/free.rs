//! The best non-increasing schedule: how much is left above the best WSD.

use super::{RecommendError, Recommendation, Target};
use crate::fit::Fit;
use crate::forecast::{Ready, spread_of};
use crate::schedule::{Piecewise, Schedule, Segment, Shape};
use crate::units::Steps;
use serde::{Deserialize, Serialize};

/// The best non-increasing, piecewise-linear schedule found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FreeSchedule {
    /// The best non-increasing schedule found.
    pub schedule: Schedule,
    /// Predicted loss, nats per token.
    pub loss: f64,
    /// Loss below the recommended WSD schedule, nats.
    pub gain: f64,
    /// Standard deviation of the gain over the refits, nats.
    pub gain_sd: f64,
    /// Sweeps until no knot could be moved to advantage.
    pub sweeps: usize,
}

/// Knots of the schedule after the warm-up.
const KNOTS: usize = 24;
/// Most sweeps over the knots.
const MOST_SWEEPS: usize = 60;

/// Optimises the rates at 24 knots after the warm-up, non-increasing and linear between, at most the peak rate and at
/// least the final rate, by pattern search from the recommended schedule. Knots are denser toward the end.
///
/// A local optimum: the schedule found is never worse than the recommended one.
///
/// # Errors
/// As [`super::recommend_ratio`].
pub fn optimise_free_schedule(
    fit: &Fit,
    target: &Target,
    recommended: &Recommendation,
) -> Result<FreeSchedule, RecommendError> {
    let ready = Ready::new(fit, target.setting.params)?;
    let (warmup, total) = (target.warmup.0, target.total.0);
    let start = target.schedule(Steps(recommended.anneal_steps))?;
    let mut knots: Vec<u64> = (1..=KNOTS)
        .map(|k| {
            let x = k as f64 / KNOTS as f64;
            // Denser toward the end: 1 − (1 − x)^1.5.
            warmup + ((total - warmup) as f64 * (1.0 - (1.0 - x).powf(1.5))).round() as u64
        })
        .collect();
    knots.dedup();
    knots.retain(|&t| t > warmup && t <= total);
    let mut level: Vec<f64> = knots.iter().map(|&t| start.lr(t)).collect();
    let build = |level: &[f64]| -> Result<Schedule, RecommendError> {
        let mut segments = Vec::with_capacity(knots.len() + 1);
        if warmup > 0 {
            segments.push(Segment::new(target.warmup, 0.0, target.peak_lr, Shape::Linear));
        }
        let (mut at, mut from) = (warmup, target.peak_lr);
        for (&t, &to) in knots.iter().zip(level) {
            match segments.last_mut() {
                // One segment where the rate stands still.
                Some(last) if last.from == from && last.to == from && from == to && at > warmup => {
                    last.updates.0 += t - at;
                    last.whole = last.updates;
                }
                _ => segments.push(Segment::new(Steps(t - at), from, to, Shape::Linear)),
            }
            (at, from) = (t, to);
        }
        Ok(Schedule::Piecewise(Piecewise::new(segments)?))
    };
    let loss_of = |level: &[f64]| -> Result<f64, RecommendError> {
        let schedule = build(level)?;
        Ok(ready.predict(&ready.theta, &ready.features(&schedule, &[total], target.setting.tokens_per_step))
            [0])
    };
    let mut loss = loss_of(&level)?;
    let mut step: Vec<f64> = vec![0.25 * target.peak_lr; level.len()];
    let mut sweeps = 0;
    while sweeps < MOST_SWEEPS && step.iter().any(|&s| s > 1e-3 * target.peak_lr) {
        sweeps += 1;
        for k in 0..level.len() {
            let mut moved = false;
            for direction in [1.0, -1.0] {
                let mut trial = level.clone();
                trial[k] = (level[k] + direction * step[k]).clamp(target.final_lr, target.peak_lr);
                // Neighbours give way, so that the schedule stays non-increasing.
                for j in 0..k {
                    trial[j] = trial[j].max(trial[k]);
                }
                for j in k + 1..trial.len() {
                    trial[j] = trial[j].min(trial[k]);
                }
                if trial == level {
                    continue;
                }
                let trial_loss = loss_of(&trial)?;
                if trial_loss < loss - 1e-9 {
                    (loss, level, moved) = (trial_loss, trial, true);
                    break;
                }
            }
            step[k] *= if moved { 1.3 } else { 0.5 };
        }
    }
    let schedule = build(&level)?;
    let (schedule, loss) = if loss <= recommended.loss.value {
        (schedule, loss)
    } else {
        (start.clone(), recommended.loss.value)
    };
    let features = [&start, &schedule].map(|s| ready.features(s, &[total], target.setting.tokens_per_step));
    let gain_sd = spread_of(
        fit,
        fit.uncertainty
            .refits
            .iter()
            .map(|r| ready.predict(&r.theta, &features[0])[0] - ready.predict(&r.theta, &features[1])[0]),
    );
    Ok(FreeSchedule {
        gain: recommended.loss.value - loss,
        schedule,
        loss,
        gain_sd: gain_sd.min(10.0),
        sweeps,
    })
}
