//! Carrying a measured ratio over: to longer horizons, to larger models, between architectures, and what it costs there.

use super::{Optimum, TransferError, Variable, power_law, varying};
use crate::curve::ArchFamily;
use crate::fit::resample::student;
use crate::measured::MeasuredOptimum;
use crate::units::Params;
use serde::{Deserialize, Serialize};

/// In which direction a ratio is carried over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Larger {
    /// From shorter horizons to the longest.
    Horizon,
    /// From smaller models to the largest.
    Size,
}

/// A ratio predicted from smaller cells, held against a larger cell's own measurement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Carried {
    /// Peak rate of the larger cell.
    pub peak_lr: f64,
    /// Its horizon, updates.
    pub total: u64,
    /// Its N, if known.
    pub params: Option<Params>,
    /// The ratio that a power law of the smaller cells predicts.
    pub predicted: f64,
    /// Its 90 % interval, misfit of the law included.
    #[cfg_attr(feature = "schema", schemars(with = "crate::schema::Interval"))]
    pub interval: (f64, f64),
    /// The ratio measured.
    pub measured: f64,
    /// What the predicted ratio costs on the larger cell's measured losses, nats.
    pub regret: f64,
}

/// Fits the power law of R to all cells but the largest and predicts the ratio of the largest, which is then judged by
/// what it costs on the losses measured there.
///
/// The law has those of `variables` that the smaller cells vary. Of optima at the edge
/// of their cell only the side enters the law; larger cells are judged with or without.
///
/// # Errors
/// [`TransferError::OneLevel`] when all cells are equally large; otherwise as [`power_law`].
pub fn carry_over(
    cells: &[MeasuredOptimum],
    larger: Larger,
    variables: &[Variable],
    level: crate::Level,
) -> Result<Vec<Carried>, TransferError> {
    let size = |cell: &MeasuredOptimum| match larger {
        Larger::Horizon => cell.total as f64,
        Larger::Size => cell.params.map_or(0.0, |n| n.0 as f64),
    };
    let largest = cells.iter().map(size).fold(0.0, f64::max);
    let (large, small): (Vec<_>, Vec<_>) = cells.iter().partition(|cell| size(cell) == largest);
    if small.is_empty() || large.is_empty() {
        return Err(TransferError::OneLevel(match larger {
            Larger::Horizon => "horizon",
            Larger::Size => "N",
        }));
    }
    let optima: Vec<Optimum> = small.iter().map(|&cell| cell.into()).collect();
    let law = power_law(
        &optima,
        &varying(&optima.iter().filter(|o| o.limit.is_none()).collect::<Vec<_>>(), variables),
        level,
    )?;
    Ok(large
        .into_iter()
        .filter_map(|cell| {
            let (predicted, interval) = law.predict(cell.peak_lr, cell.total as f64, cell.params, level)?;
            Some(Carried {
                peak_lr: cell.peak_lr,
                total: cell.total,
                params: cell.params,
                predicted,
                interval,
                measured: cell.ratio,
                regret: cell.regret(predicted),
            })
        })
        .collect())
}

/// How the ratios of mixtures of experts differ from those of dense models at the same cells.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ArchitectureGap {
    /// Pairs of cells with both optima inside what was measured.
    pub pairs: usize,
    /// Geometric mean of R(mixture of experts)/R(dense) over the pairs.
    pub factor: f64,
    /// Its 90 % interval, from the spread over pairs; `None` with one pair.
    #[cfg_attr(feature = "schema", schemars(with = "Option<crate::schema::Interval>"))]
    pub interval: Option<(f64, f64)>,
    /// Mean cost of the dense ratio on the losses of the mixture of experts, nats (every pair of cells).
    pub mean_regret: f64,
    /// Largest such cost, nats.
    pub largest_regret: f64,
}

/// Pairs every cell of a mixture of experts with the dense cell of the same peak rate, horizon, shape, data and split whose N
/// is nearest (within a factor of 1.5; active parameters), and compares the optima.
///
/// # Formula
/// d = ln R_moe − ln R_dense a pair; factor = exp(mean d), interval exp(mean d ± t·s/√n), t Student's with n − 1 degrees.
#[must_use]
pub fn architecture_gap(cells: &[MeasuredOptimum], level: crate::Level) -> Option<ArchitectureGap> {
    let apart = |a: &MeasuredOptimum, b: &MeasuredOptimum| match (a.params, b.params) {
        (Some(a), Some(b)) => (a.0 as f64 / b.0 as f64).ln().abs(),
        (None, None) => 0.0,
        _ => f64::INFINITY,
    };
    let alike = |a: &MeasuredOptimum, b: &MeasuredOptimum| {
        (a.peak_lr / b.peak_lr - 1.0).abs() < 1e-6
            && a.total == b.total
            && a.shape == b.shape
            && a.dataset == b.dataset
            && a.split == b.split
    };
    let pairs: Vec<(&MeasuredOptimum, &MeasuredOptimum)> = cells
        .iter()
        .filter(|moe| moe.arch == ArchFamily::Moe)
        .filter_map(|moe| {
            cells
                .iter()
                .filter(|dense| {
                    dense.arch == ArchFamily::Dense && alike(moe, dense) && apart(moe, dense) < 1.5_f64.ln()
                })
                .min_by(|a, b| apart(moe, a).total_cmp(&apart(moe, b)))
                .map(|dense| (moe, dense))
        })
        .collect();
    let regrets: Vec<f64> = pairs.iter().map(|(moe, dense)| moe.regret(dense.ratio)).collect();
    let differences: Vec<f64> = pairs
        .iter()
        .filter(|(moe, dense)| !moe.at_edge && !dense.at_edge)
        .map(|(moe, dense)| (moe.ratio / dense.ratio).ln())
        .collect();
    if differences.is_empty() {
        return None;
    }
    let n = differences.len() as f64;
    let mean = differences.iter().sum::<f64>() / n;
    let squares: f64 = differences.iter().map(|d| (d - mean).powi(2)).sum();
    let half = (n > 1.0).then(|| student(level, n - 1.0) * (squares / (n - 1.0) / n).sqrt());
    Some(ArchitectureGap {
        pairs: differences.len(),
        factor: mean.exp(),
        interval: half.map(|half| ((mean - half).exp(), (mean + half).exp())),
        mean_regret: regrets.iter().sum::<f64>() / regrets.len() as f64,
        largest_regret: regrets.iter().copied().fold(0.0, f64::max),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transfer::ALL_VARIABLES;

    /// A cell whose loss is 1 + (√r − √best)², measured at five ratios.
    fn cell(arch: ArchFamily, peak_lr: f64, total: u64, best: f64) -> MeasuredOptimum {
        let quadratic = [1.0 + best, -2.0 * best.sqrt(), 1.0];
        let loss = |r: f64| quadratic[0] + quadratic[1] * r.sqrt() + quadratic[2] * r;
        MeasuredOptimum {
            peak_lr,
            total,
            params: Some(Params(1_000_000)),
            arch,
            dataset: None,
            split: "validation".to_owned(),
            shape: "linear".to_owned(),
            points: [0.1, 0.2, 0.4, 0.6, 0.9].map(|r| (r, loss(r))).to_vec(),
            ratio: best,
            interval: (0.9 * best, 1.1 * best),
            loss: 1.0,
            quadratic,
            misfit: 1e-4,
            noise: 1e-4,
            at_edge: false,
            seeds: 1,
        }
    }

    fn law(peak_lr: f64, total: u64) -> f64 {
        0.4 * (peak_lr / 1e-3).powf(0.3) * (total as f64 / 1e4).powf(-0.1)
    }

    #[test]
    fn a_ratio_that_follows_a_power_law_is_carried_to_the_longest_horizon_at_no_cost() {
        let mut cells = Vec::new();
        for peak_lr in [5e-4, 1e-3, 2e-3] {
            for total in [5000, 10_000, 40_000] {
                cells.push(cell(ArchFamily::Dense, peak_lr, total, law(peak_lr, total)));
            }
        }
        let carried = carry_over(&cells, Larger::Horizon, &ALL_VARIABLES, crate::Level::USUAL).unwrap();
        assert_eq!(carried.len(), 3);
        for c in &carried {
            assert_eq!(c.total, 40_000);
            assert!((c.predicted - c.measured).abs() < 1e-9 && c.regret.abs() < 1e-12, "{c:?}");
        }
        assert_eq!(
            carry_over(&cells, Larger::Size, &[Variable::PeakLr], crate::Level::USUAL),
            Err(TransferError::OneLevel("N"))
        );
    }

    #[test]
    fn the_gap_between_architectures_is_the_mean_over_pairs_and_costs_what_the_cell_says() {
        let mut cells = Vec::new();
        for peak_lr in [5e-4, 1e-3, 2e-3] {
            cells.push(cell(ArchFamily::Dense, peak_lr, 5000, 0.3));
            cells.push(cell(ArchFamily::Moe, peak_lr, 5000, 0.36));
        }
        // A horizon of one architecture alone has no pair.
        cells.push(cell(ArchFamily::Dense, 1e-3, 80_000, 0.9));
        let gap = architecture_gap(&cells, crate::Level::USUAL).unwrap();
        assert_eq!(gap.pairs, 3);
        assert!((gap.factor - 1.2).abs() < 1e-9, "{gap:?}");
        let cost = (0.36_f64.sqrt() - 0.3_f64.sqrt()).powi(2);
        assert!((gap.mean_regret - cost).abs() < 1e-12 && (gap.largest_regret - cost).abs() < 1e-12);
        assert!(architecture_gap(&cells[6..], crate::Level::USUAL).is_none());
    }
}
