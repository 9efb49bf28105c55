//! Batch size: do runs that differ in batch agree by updates or by tokens, and where is the batch large enough?

use crate::curve::Curve;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// How well runs of different batch sizes fall onto one curve, by updates and by tokens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Collapse {
    /// Batch sizes in tokens, ascending.
    pub batches: Vec<u64>,
    /// Root mean square difference of the losses at equal updates, nats.
    pub by_updates: f64,
    /// Root mean square difference of the losses at equal tokens, nats.
    pub by_tokens: f64,
    /// by_updates/(by_updates + by_tokens): 0 updates decide, 1 tokens decide.
    pub statistic: f64,
    /// Runs compared.
    pub runs: usize,
}

/// The smallest batch that does not cost updates, as a function of the loss: B_opt = λ_B/L^α_B (tokens).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CriticalBatch {
    /// λ_B of B_opt = λ_B/L^α_B, tokens.
    pub lambda: f64,
    /// α_B.
    pub alpha: f64,
    /// The pairs it was fitted to: (loss in nats, batch in tokens).
    pub points: Vec<(f64, f64)>,
    /// Root mean square misfit of ln B.
    pub rms: f64,
}

/// Why batches cannot be compared.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum BatchError {
    /// Fewer than two batch sizes.
    #[error(
        "the runs have {0} batch sizes; comparing needs at least two (tokens per step, stated in the manifest)"
    )]
    OneBatch(usize),
    /// No two runs of different batch share updates or tokens.
    #[error("runs of different batch do not overlap in updates and in tokens: nothing can be compared")]
    NoOverlap,
    /// Too few losses at which batches can be compared.
    #[error("only {0} losses are reached by at least three batch sizes; B_opt(L) needs two")]
    TooFewLevels(usize),
    /// No gradient noise was measured, or it cannot be told.
    #[error(
        "{samples} measurements of the gradient noise with {sequences} sequences a batch; it takes one and two at least (`noise_every` in the plan)"
    )]
    NoNoise {
        /// Measurements.
        samples: usize,
        /// Sequences of a batch.
        sequences: u64,
    },
}

fn batch(curve: &Curve) -> Option<f64> {
    curve.meta().tokens_per_step.map(|b| b.0 as f64)
}

/// Loss of a curve at an update, linear between its points; `None` outside them.
fn loss_at(curve: &Curve, update: f64) -> Option<f64> {
    let step = curve.step();
    let i = step.partition_point(|&t| (t as f64) < update);
    if i == step.len() {
        return None;
    }
    if step[i] as f64 == update {
        return Some(curve.loss()[i]);
    }
    if i == 0 {
        return None;
    }
    let share = (update - step[i - 1] as f64) / (step[i] - step[i - 1]) as f64;
    Some(curve.loss()[i - 1] + share * (curve.loss()[i] - curve.loss()[i - 1]))
}

/// Compares every pair of runs of different batch at 32 places of their overlap.
///
/// Only runs that share N, peak rate and schedule shape should be given: everything else would count as a difference
/// of the batch.
///
/// # Errors
/// [`BatchError::OneBatch`], [`BatchError::NoOverlap`].
pub fn collapse(curves: &[Curve]) -> Result<Collapse, BatchError> {
    let batches: BTreeSet<u64> =
        curves.iter().filter_map(|c| c.meta().tokens_per_step).map(|b| b.0).collect();
    if batches.len() < 2 {
        return Err(BatchError::OneBatch(batches.len()));
    }
    let compare = |unit: &dyn Fn(f64) -> f64| {
        let (mut squares, mut n) = (0.0, 0.0);
        for (i, a) in curves.iter().enumerate() {
            for b in &curves[i + 1..] {
                let (Some(batch_a), Some(batch_b)) = (batch(a), batch(b)) else { continue };
                if batch_a == batch_b {
                    continue;
                }
                let (scale_a, scale_b) = (unit(batch_a), unit(batch_b));
                let first = (a.step()[0] as f64 * scale_a).max(b.step()[0] as f64 * scale_b);
                let last = (a.last().0 as f64 * scale_a).min(b.last().0 as f64 * scale_b);
                for k in 0..32 {
                    // The early fifth is all descent: it would drown the rest.
                    let at = first + (last - first) * (0.2 + 0.8 * f64::from(k) / 31.0);
                    if let (Some(x), Some(y)) = (loss_at(a, at / scale_a), loss_at(b, at / scale_b)) {
                        squares += (x - y) * (x - y);
                        n += 1.0;
                    }
                }
            }
        }
        if n > 0.0 { Some((squares / n).sqrt()) } else { None }
    };
    let by_updates = compare(&|_| 1.0).ok_or(BatchError::NoOverlap)?;
    let by_tokens = compare(&|batch| batch).ok_or(BatchError::NoOverlap)?;
    Ok(Collapse {
        batches: batches.into_iter().collect(),
        statistic: by_updates / (by_updates + by_tokens).max(1e-12),
        by_updates,
        by_tokens,
        runs: curves.len(),
    })
}

/// Fits B_opt(L): at each of up to twelve losses that at least three batches reach, the updates needed follow
/// S = S_min·(1 + B_c/B); B_opt is the batch B_c at which twice the fewest updates are needed.
///
/// # Formula
/// 1/B regressed on S at fixed loss: S = S_min + (S_min·B_c)/B, then ln B_c = ln λ_B − α_B ln L over the losses.
///
/// # Errors
/// [`BatchError::OneBatch`], [`BatchError::TooFewLevels`].
///
/// # Source
/// McCandlish et al., An Empirical Model of Large-Batch Training, 2018, eq. 2.7; Wang et al., 2026: B_opt = λ_B/L^α_B.
pub fn critical_batch(curves: &[Curve]) -> Result<CriticalBatch, BatchError> {
    let batches: BTreeSet<u64> =
        curves.iter().filter_map(|c| c.meta().tokens_per_step).map(|b| b.0).collect();
    if batches.len() < 2 {
        return Err(BatchError::OneBatch(batches.len()));
    }
    let reach = |curve: &Curve, loss: f64| -> Option<f64> {
        let i = curve.loss().iter().position(|&l| l <= loss)?;
        if i == 0 {
            return None;
        }
        let (a, b) = (curve.loss()[i - 1], curve.loss()[i]);
        let share = (a - loss) / (a - b);
        Some(curve.step()[i - 1] as f64 + share * (curve.step()[i] - curve.step()[i - 1]) as f64)
    };
    let low =
        curves.iter().map(|c| c.loss().iter().copied().fold(f64::INFINITY, f64::min)).fold(0.0, f64::max);
    let high = curves.iter().map(|c| c.loss()[0]).fold(f64::INFINITY, f64::min);
    let mut points = Vec::new();
    for k in 0..12 {
        let loss = low + (high - low) * 0.5 * f64::from(k) / 11.0;
        let reached: Vec<(f64, f64)> =
            curves.iter().filter_map(|c| Some((1.0 / batch(c)?, reach(c, loss)?))).collect();
        let distinct: BTreeSet<u64> = reached.iter().map(|(inverse, _)| inverse.to_bits()).collect();
        if distinct.len() < 3 {
            continue;
        }
        let n = reached.len() as f64;
        let (mx, my) =
            (reached.iter().map(|p| p.0).sum::<f64>() / n, reached.iter().map(|p| p.1).sum::<f64>() / n);
        let covariance: f64 = reached.iter().map(|p| (p.0 - mx) * (p.1 - my)).sum();
        let variance: f64 = reached.iter().map(|p| (p.0 - mx).powi(2)).sum();
        let slope = covariance / variance;
        let fewest = my - slope * mx;
        if slope > 0.0 && fewest > 0.0 {
            points.push((loss, slope / fewest));
        }
    }
    if points.len() < 2 {
        return Err(BatchError::TooFewLevels(points.len()));
    }
    let n = points.len() as f64;
    let (mx, my) =
        (points.iter().map(|p| p.0.ln()).sum::<f64>() / n, points.iter().map(|p| p.1.ln()).sum::<f64>() / n);
    let covariance: f64 = points.iter().map(|p| (p.0.ln() - mx) * (p.1.ln() - my)).sum();
    let variance: f64 = points.iter().map(|p| (p.0.ln() - mx).powi(2)).sum();
    let slope = covariance / variance;
    let constant = my - slope * mx;
    let squares: f64 = points.iter().map(|p| (p.1.ln() - constant - slope * p.0.ln()).powi(2)).sum();
    Ok(CriticalBatch { lambda: constant.exp(), alpha: -slope, points, rms: (squares / n).sqrt() })
}

/// Squared gradient norms at one update, of the same batch at the same weights.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GradientSample {
    /// Loss there, nats.
    pub loss: f64,
    /// |g_B|²: of the whole batch's mean gradient.
    pub batch: f64,
    /// |g_1|²: mean over the batch's sequences of each one's own.
    pub sequence: f64,
}

/// The gradient-noise scale over one stretch of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct NoiseScale {
    /// Mean loss of the stretch, nats.
    pub loss: f64,
    /// B_noise = tr Σ/|G|², tokens; `None` where noise hides the true gradient: the batch is too small to show |G|²
    /// above it.
    pub tokens: Option<f64>,
    /// tr Σ: variance of one sequence's gradient.
    pub variance: f64,
    /// |G|²: square of the true gradient's norm, as estimated; below 0 where noise hides it.
    pub signal: f64,
    /// Measurements in the stretch.
    pub samples: usize,
}

/// The gradient-noise scale along a run, in up to `stretches` stretches of as many measurements each as divide evenly: the batch at which
/// noise and signal of the gradient are equal.
///
/// # Formula
/// ```text
/// |G|² = mean (B·|g_B|² − |g_1|²)/(B − 1),   tr Σ = mean (|g_1|² − |g_B|²)·B/(B − 1),   B_noise = c·tr Σ/|G|²
/// B: sequences of a batch, at least 2;  c: tokens of a sequence
/// ```
/// Numerator and denominator are unbiased and are averaged apart; their ratio is not unbiased, but nearly so over many
/// measurements.
///
/// # Errors
/// [`BatchError::NoNoise`] without measurements or with a batch of one sequence.
///
/// # Source
/// McCandlish et al., An Empirical Model of Large-Batch Training, 2018, eq. 2.8 (the simple noise scale) and appendix A.1.
pub fn noise_scale(
    samples: &[GradientSample],
    sequences: u64,
    context: u64,
    stretches: usize,
) -> Result<Vec<NoiseScale>, BatchError> {
    if samples.is_empty() || sequences < 2 || stretches == 0 {
        return Err(BatchError::NoNoise { samples: samples.len(), sequences });
    }
    let b = sequences as f64;
    let count = stretches.min(samples.len());
    let scale = |stretch: &[GradientSample]| {
        let n = stretch.len() as f64;
        let mean = |f: &dyn Fn(&GradientSample) -> f64| stretch.iter().map(f).sum::<f64>() / n;
        let signal = mean(&|s| (b * s.batch - s.sequence) / (b - 1.0));
        let variance = mean(&|s| (s.sequence - s.batch) * b / (b - 1.0));
        NoiseScale {
            loss: mean(&|s| s.loss),
            tokens: (signal > 0.0).then(|| context as f64 * variance / signal),
            variance,
            signal,
            samples: stretch.len(),
        }
    };
    let from = |stretch: usize| stretch * samples.len() / count;
    Ok((0..count).map(|k| scale(&samples[from(k)..from(k + 1)])).collect())
}
