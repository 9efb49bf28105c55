//! The offset of a job from its law, and how much of it left-out runs say will last.

use crate::fit::Fit;
use crate::fit::resample::{Method, conformal};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Parts into which a left-out run is cut, for its errors along the way.
pub const PARTS: usize = 20;
/// The share of the updates done over which an offset is averaged.
const WINDOW: f64 = 0.3;
/// Fewest annealed runs before they alone say what lasts to the end of an annealed run.
const FEWEST_ANNEALED: usize = 5;
/// Factor of the interval from which a job lies outside the runs fitted.
const OUTSIDE: f64 = 1.02;
/// Blocks of the window whose means give the offset's standard error.
const BLOCKS: usize = 4;

/// A job's offset: the mean of ln L − ln L̂ over the window.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Offset {
    /// Mean of ln L − ln L̂ over the window, relative (0.001 is 0.1 % of the loss).
    pub value: f64,
    /// Its standard error, from means of four blocks of the window.
    pub sd: f64,
}

/// What left-out runs say about an offset seen at a share f of the run.
///
/// # Formula
/// ```text
/// k = Σ oᵢ·eᵢ / ((n + 1)·(V + s²)),   V = Σ oᵢ²/n,   0 ≤ k ≤ 1
/// ρ = q(|eᵢ − k₋ᵢ·oᵢ|) / q(|eᵢ|) ≤ 1
/// outside the data: k → k/w, ρ → 1
/// ```
/// oᵢ, eᵢ: offset in the window that ends at f, and error at the end, of left-out run i (ln L − ln L̂ under the refit that
/// did not see it); n runs, to which one whose offset does not last is added; s: standard error of the job's own offset; w > 1: by
/// how much an interval is wider where the job lies outside the runs fitted, of which left-out runs say nothing; q: conformal quantile; k₋ᵢ: k without the runs that share noise with i.
/// Where the plan anneals and five left-out runs did, these alone count.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Carry {
    /// f: the share of the run that is done.
    pub fraction: f64,
    /// k: the share of the offset that is expected to last.
    pub share: f64,
    /// ρ: the share of the half-width that is left after the correction; 1: nothing is gained.
    pub left: f64,
    /// n: left-out runs that say so; 0: too few, nothing is carried.
    pub runs: usize,
}

impl Default for Carry {
    /// Nothing is carried.
    fn default() -> Self {
        Self { fraction: 0.0, share: 0.0, left: 1.0, runs: 0 }
    }
}

/// Means of signed errors over [`PARTS`] equal parts of the updates 1 … `last`; `None` where a part has no point.
#[must_use]
pub fn parts_of(step: &[u64], error: &[f64], last: u64) -> Vec<Option<f64>> {
    let mut sums = vec![(0.0, 0_u64); PARTS];
    for (&t, &e) in step.iter().zip(error) {
        let part = ((t.saturating_sub(1) as u128 * PARTS as u128) / last.max(1) as u128) as usize;
        if let Some(sum) = sums.get_mut(part.min(PARTS - 1)) {
            *sum = (sum.0 + e, sum.1 + 1);
        }
    }
    sums.into_iter().map(|(sum, n)| (n > 0).then(|| sum / n as f64)).collect()
}

/// The offset in the window that ends at the share `fraction` of a run, from the errors of its parts (ln L̂ − ln L).
fn offset_at(parts: &[Option<f64>], fraction: f64) -> Option<f64> {
    let centre = |j: usize| (j as f64 + 0.5) / PARTS as f64;
    let mut inside: Vec<f64> = (0..parts.len())
        .filter(|&j| centre(j) > (1.0 - WINDOW) * fraction && centre(j) <= fraction)
        .filter_map(|j| parts[j])
        .collect();
    if inside.is_empty() {
        // A window narrower than a part: the part in which it lies.
        let at = ((fraction * PARTS as f64) as usize).min(PARTS - 1);
        inside.extend(parts.get(at).copied().flatten());
    }
    (!inside.is_empty()).then(|| -inside.iter().sum::<f64>() / inside.len() as f64)
}

/// One point of a job beside its law: update, measured loss, loss by the law.
pub type Pair = (u64, f64, f64);

/// The job's offset over its window, and the points of the window.
pub(super) fn of_job(fit: &Fit, along: &[Pair], last: u64) -> (Offset, Vec<Pair>) {
    let from = (1.0 - WINDOW) * last as f64;
    let mut window: Vec<Pair> = along.iter().filter(|(t, ..)| *t as f64 > from).copied().collect();
    if window.is_empty() {
        window.extend(along.last());
    }
    let errors: Vec<f64> = window.iter().map(|(_, loss, predicted)| (loss / predicted).ln()).collect();
    let n = errors.len();
    let value = errors.iter().sum::<f64>() / n.max(1) as f64;
    let sd = if n >= 2 * BLOCKS {
        let means: Vec<f64> = (0..BLOCKS)
            .map(|b| {
                let block = &errors[b * n / BLOCKS..(b + 1) * n / BLOCKS];
                block.iter().sum::<f64>() / block.len() as f64
            })
            .collect();
        let squares: f64 = means.iter().map(|m| (m - value).powi(2)).sum();
        (squares / (BLOCKS * (BLOCKS - 1)) as f64).sqrt()
    } else {
        // Too few points to see their spread: that of the runs fitted (1.25 × mean size).
        1.25 * fit.metrics.mape / (n.max(1) as f64).sqrt()
    };
    (Offset { value, sd }, window)
}

/// See [`Carry`].
pub(super) fn carry(fit: &Fit, fraction: f64, anneals: bool, sd: f64, outside: f64) -> Carry {
    let none = Carry { fraction, ..Carry::default() };
    // In-sample residuals say nothing about what lasts in an unseen run.
    if fit.uncertainty.method == Method::BlockBootstrap {
        return none;
    }
    let described: BTreeMap<&str, (&str, bool)> = fit
        .runs
        .iter()
        .map(|run| (run.id.as_str(), (run.group.as_str(), crate::forecast::annealed(run))))
        .collect();
    let mut seen: Vec<(&str, f64, f64)> = Vec::new();
    let mut annealed = Vec::new();
    for run in &fit.uncertainty.held_out {
        let Some(&(group, falls)) = described.get(run.id.as_str()) else { continue };
        let Some(offset) = offset_at(&run.along, fraction) else { continue };
        seen.push((group, offset, -run.final_error));
        if falls {
            annealed.push((group, offset, -run.final_error));
        }
    }
    if anneals && annealed.len() >= FEWEST_ANNEALED {
        seen = annealed;
    }
    if seen.len() < 2 {
        return none;
    }
    let share_of = |without: Option<&str>, sd: f64| {
        let rest = || seen.iter().filter(|(group, ..)| Some(*group) != without);
        let n = rest().count() as f64;
        let product: f64 = rest().map(|(_, o, e)| o * e).sum();
        let squares: f64 = rest().map(|(_, o, _)| o * o).sum();
        let scale = (n + 1.0) * (squares / n.max(1.0) + sd * sd);
        if scale > 0.0 { (product / scale).clamp(0.0, 1.0) } else { 0.0 }
    };
    let errors: Vec<f64> = seen.iter().map(|(.., e)| *e).collect();
    let left: Vec<f64> = seen.iter().map(|(group, o, e)| e - share_of(Some(group), 0.0) * o).collect();
    let (before, after) = (conformal(&errors, fit.options.level), conformal(&left, fit.options.level));
    Carry {
        fraction,
        share: share_of(None, sd) / outside.max(1.0),
        left: if before > 0.0 && outside < OUTSIDE { (after / before).min(1.0) } else { 1.0 },
        runs: seen.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_hold_the_mean_error_of_their_updates_and_say_where_there_is_none() {
        let parts = parts_of(&[1, 5, 6, 100], &[0.5, 1.5, 3.0, 4.0], 100);
        assert_eq!((parts[0], parts[1], parts[2], parts[19]), (Some(1.0), Some(3.0), None, Some(4.0)));
    }

    #[test]
    fn the_offset_of_a_left_out_run_is_the_mean_of_its_last_parts_before_the_fraction() {
        let parts: Vec<Option<f64>> = (0..PARTS).map(|j| Some(j as f64)).collect();
        // The window of 0.4 is 0.28 … 0.4: parts 6 and 7 (centres 0.325 and 0.375).
        assert_eq!(offset_at(&parts, 0.4), Some(-6.5));
        // Narrower than a part: the part that holds it.
        assert_eq!(offset_at(&parts, 0.06), Some(-1.0));
        assert_eq!(offset_at(&[None; PARTS], 0.4), None);
    }
}
