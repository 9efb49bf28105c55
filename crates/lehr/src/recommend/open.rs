//! What a recommendation leaves open, and what the runs fitted cannot say about ratios.

use super::{RatioLoss, Target};
use crate::caveat::CaveatKind;
use crate::fit::{Fit, RunFit};

/// An annealing share of this much and less is none.
const NONE: f64 = 0.02;
/// An annealing share of this much and more is the whole run.
const WHOLE: f64 = 0.9;
/// Shares closer than this on the root scale are one ratio.
const SAME: f64 = 0.06;
/// A horizon of less than so many times the first update fitted is not described by the law.
const SHORTEST: u64 = 3;

/// How much lower than the recommended schedule another ratio might end, nats: the largest half-width less the cost.
///
/// # Formula
/// max over r of h(r) − (L(r) − L(r*)), L as in [`RatioLoss::loss`]; at least 0.
#[must_use]
pub(super) fn open_cost(curve: &[RatioLoss], best: f64) -> f64 {
    curve.iter().map(|point| point.half_width - (point.loss - best)).fold(0.0, f64::max)
}

/// Annealing shares of the runs that anneal.
fn annealed(fit: &Fit) -> Vec<f64> {
    fit.runs.iter().map(|run| run.annealing_share).filter(|share| *share > NONE).collect()
}

/// Whether runs anneal all along or not at all.
pub(super) fn whole_run_only(fit: &Fit) -> bool {
    let shares = annealed(fit);
    !shares.is_empty() && shares.iter().all(|share| *share >= WHOLE)
}

/// The caveats of a recommendation that come from what it leaves open and from which ratios were seen.
pub(super) fn caveats(
    fit: &Fit,
    target: &Target,
    ratio: f64,
    interval: (f64, f64),
    cost: f64,
    tolerance: f64,
) -> Vec<CaveatKind> {
    let mut out = Vec::new();
    if cost > CaveatKind::OPEN_COST || (cost > 2.0 * tolerance && interval.1 - interval.0 > 0.5) {
        out.push(CaveatKind::RatioOpen { ratio, lower: interval.0, upper: interval.1, cost });
    }
    let first = fit.first_update();
    if target.total.0 < SHORTEST * first {
        out.push(CaveatKind::ShortHorizon { horizon: target.total.0, first });
    }
    let shares = annealed(fit);
    if whole_run_only(fit) {
        out.push(CaveatKind::WholeRunAnnealing);
    } else if let Some(first) = shares.first()
        && fit.runs.len() >= 3
        && shares.iter().all(|share| (share.sqrt() - first.sqrt()).abs() < SAME)
        && (ratio.sqrt() - first.sqrt()).abs() >= SAME
    {
        out.push(CaveatKind::OneRatio { fitted: *first });
    }
    out.extend(size_with_rate(&fit.runs));
    out
}

/// Sizes and peak rates that were only changed together.
fn size_with_rate(runs: &[RunFit]) -> Option<CaveatKind> {
    let mut pairs: Vec<(u64, u64)> =
        runs.iter().filter_map(|run| Some((run.params?.0, run.peak_lr.to_bits()))).collect();
    pairs.sort_unstable();
    pairs.dedup();
    let distinct = |values: &mut Vec<u64>| {
        values.sort_unstable();
        values.dedup();
        values.len()
    };
    let sizes = distinct(&mut pairs.iter().map(|pair| pair.0).collect());
    let rates = distinct(&mut pairs.iter().map(|pair| pair.1).collect());
    (sizes > 1 && rates > 1 && pairs.len() == sizes.max(rates))
        .then_some(CaveatKind::SizeWithPeakRate { sizes: sizes as u64 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(loss: f64, half_width: f64) -> RatioLoss {
        RatioLoss { ratio: 0.5, loss, difference_sd: 0.0, offset: 0.0, half_width }
    }

    #[test]
    fn what_is_left_open_is_how_much_lower_another_ratio_might_end() {
        // 2 mnat worse with ±1 is certainly worse; 5 worse with ±9 might be 4 better.
        let curve = [point(3.002, 0.001), point(3.005, 0.009), point(3.0, 0.0)];
        assert!((open_cost(&curve, 3.0) - 0.004).abs() < 1e-12);
        assert_eq!(open_cost(&[point(3.0, 0.0), point(3.01, 0.005)], 3.0), 0.0);
    }
}
