//! Precomputed answers between which a page interpolates, and how far the interpolation is from the law.

use crate::desk::Desk;
use crate::failure::Failure;
use lehr::fit::Fit;
use lehr::forecast::forecast;
use lehr::recommend::Target;
use lehr::{Steps, forecast::Estimate};
use rayon::prelude::*;
use serde::Serialize;

/// Ratios, peak rates and horizons of the grid.
const SIZE: (usize, usize, usize) = (29, 9, 9);
/// The grid reaches from the target by this factor in peak rate and horizon, both ways.
const REACH: f64 = 4.0;

/// Final losses over annealing ratio, peak rate and horizon.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Grid {
    /// Annealing ratios, even in √r.
    pub ratio: Vec<f64>,
    /// Peak rates, even in the logarithm.
    pub peak_lr: Vec<f64>,
    /// Horizons in updates, even in the logarithm.
    pub steps: Vec<u64>,
    /// Final losses, ratio slowest, horizon fastest, nats per token.
    pub loss: Vec<f64>,
    /// Lower ends of their intervals, nats per token.
    pub lower: Vec<f64>,
    /// Upper ends of their intervals, nats per token.
    pub upper: Vec<f64>,
    /// How far interpolation between these answers is from the law.
    pub error: GridError,
}

/// The interpolation held against the law where it is worst placed: in the middle of every cell.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, schemars::JsonSchema)]
pub struct GridError {
    /// Cells in whose middle interpolation and law were compared: all.
    pub cells: usize,
    /// Median |interpolated − law| of the final loss, nats per token.
    pub median: f64,
    /// The largest such difference, nats per token.
    pub largest: f64,
}

/// `n` values even in the logarithm.
fn even(from: f64, to: f64, n: usize) -> Vec<f64> {
    (0..n).map(|i| from * (to / from).powf(i as f64 / (n - 1) as f64)).collect()
}

/// Four-point Lagrange weights of the nodes around `x`; outside of the nodes, those of the end.
fn weights(nodes: &[f64], x: f64) -> (usize, [f64; 4]) {
    let x = x.clamp(nodes[0], nodes[nodes.len() - 1]);
    let cell = nodes.partition_point(|&node| node <= x).saturating_sub(1);
    let from = cell.saturating_sub(1).min(nodes.len() - 4);
    let near = &nodes[from..from + 4];
    let mut weights = [1.0; 4];
    for (i, weight) in weights.iter_mut().enumerate() {
        for j in (0..4).filter(|&j| j != i) {
            *weight *= (x - near[j]) / (near[i] - near[j]);
        }
    }
    (from, weights)
}

impl Grid {
    /// The three axes as they are interpolated in: √r, ln η, ln T.
    fn axes(&self) -> [Vec<f64>; 3] {
        [
            self.ratio.iter().map(|r| r.sqrt()).collect(),
            self.peak_lr.iter().map(|rate| rate.ln()).collect(),
            self.steps.iter().map(|&steps| (steps as f64).ln()).collect(),
        ]
    }

    /// The loss and its interval between the nodes.
    ///
    /// # Formula
    /// Lagrange's cubic through the four nearest nodes of each axis, in √r, ln η and ln T; outside of the grid, its edge.
    #[must_use]
    pub fn at(&self, ratio: f64, peak_lr: f64, steps: f64) -> Estimate {
        let axes = self.axes();
        let places = [ratio.max(0.0).sqrt(), peak_lr.ln(), steps.ln()];
        let found: Vec<(usize, [f64; 4])> =
            axes.iter().zip(places).map(|(axis, x)| weights(axis, x)).collect();
        let (np, ns) = (self.peak_lr.len(), self.steps.len());
        let mut sums = [0.0; 3];
        for i in 0..4 {
            for j in 0..4 {
                for k in 0..4 {
                    let weight = found[0].1[i] * found[1].1[j] * found[2].1[k];
                    let at = ((found[0].0 + i) * np + found[1].0 + j) * ns + found[2].0 + k;
                    for (sum, values) in sums.iter_mut().zip([&self.loss, &self.lower, &self.upper]) {
                        *sum += weight * values[at];
                    }
                }
            }
        }
        Estimate { value: sums[0], lower: sums[1], upper: sums[2] }
    }
}

/// The final loss at a ratio, rate and horizon by the law.
fn exact(fit: &Fit, target: &Target, ratio: f64, peak_lr: f64, steps: u64) -> Result<Estimate, Failure> {
    let target = Target { peak_lr, total: Steps(steps), ..target.clone() };
    let room = steps.saturating_sub(target.warmup.0);
    let anneal = ((ratio * steps as f64).round() as u64).min(room);
    let schedule = target.schedule(Steps(anneal)).map_err(Failure::usage)?;
    Ok(forecast(fit, &schedule, &target.setting, &[steps])?.r#final)
}

impl Desk {
    /// Computes the grid around a target.
    ///
    /// # Errors
    /// [`Failure`] for laws that give no finite loss somewhere in it.
    pub fn grid(&self, fit: &Fit, target: &Target) -> Result<Grid, Failure> {
        let total = target.total.0 as f64;
        let most = (total * REACH).min(self.limits().horizon as f64);
        // Shorter horizons than four warm-ups are no runs.
        let least = (total / REACH).max(4.0 * target.warmup.0 as f64).max(16.0).min(total);
        let steps: Vec<u64> = even(least, most.max(total), SIZE.2).iter().map(|t| t.round() as u64).collect();
        let peak_lr = even(target.peak_lr / REACH, target.peak_lr * REACH, SIZE.1);
        // A final rate above a peak rate is no annealing.
        let peak_lr = if peak_lr[0] <= target.final_lr {
            even(target.final_lr * 1.05, target.peak_lr * REACH, SIZE.1)
        } else {
            peak_lr
        };
        let longest = 1.0 - target.warmup.0 as f64 / steps[0] as f64;
        let ratio: Vec<f64> =
            (0..SIZE.0).map(|i| longest * (i as f64 / (SIZE.0 - 1) as f64).powi(2)).collect();
        let cells: Vec<(f64, f64, u64)> = ratio
            .iter()
            .flat_map(|&r| {
                peak_lr.iter().flat_map({
                    let steps = &steps;
                    move |&rate| steps.iter().map(move |&t| (r, rate, t))
                })
            })
            .collect();
        let middle = |a: f64, b: f64| 0.5 * (a + b);
        let middles: Vec<(f64, f64, u64)> = ratio
            .windows(2)
            .flat_map(|r| {
                let r = middle(r[0].sqrt(), r[1].sqrt()).powi(2);
                let steps = &steps;
                peak_lr.windows(2).flat_map(move |rate| {
                    let rate = (rate[0] * rate[1]).sqrt();
                    steps
                        .windows(2)
                        .map(move |t| (r, rate, (t[0] as f64 * t[1] as f64).sqrt().round() as u64))
                })
            })
            .collect();
        self.work("precomputing", || {
            let all = |places: &[(f64, f64, u64)]| -> Result<Vec<Estimate>, Failure> {
                places.par_iter().map(|&(r, rate, t)| exact(fit, target, r, rate, t)).collect()
            };
            let nodes = all(&cells)?;
            let checks = all(&middles)?;
            let mut grid = Grid {
                ratio,
                peak_lr,
                steps,
                loss: nodes.iter().map(|e| e.value).collect(),
                lower: nodes.iter().map(|e| e.lower).collect(),
                upper: nodes.iter().map(|e| e.upper).collect(),
                error: GridError { cells: middles.len(), median: 0.0, largest: 0.0 },
            };
            let mut errors: Vec<f64> = middles
                .iter()
                .zip(&checks)
                .map(|(&(r, rate, t), exact)| (grid.at(r, rate, t as f64).value - exact.value).abs())
                .collect();
            errors.sort_by(f64::total_cmp);
            grid.error.median = errors.get(errors.len() / 2).copied().unwrap_or(0.0);
            grid.error.largest = errors.last().copied().unwrap_or(0.0);
            Ok(grid)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cubic_is_interpolated_exactly() {
        let value =
            |r: f64, rate: f64, t: f64| 2.0 + r.sqrt().powi(3) - 0.3 * rate.ln() + 0.01 * t.ln().powi(2);
        let mut grid = Grid {
            ratio: (0..6).map(|i| (f64::from(i) / 5.0).powi(2)).collect(),
            peak_lr: even(1e-4, 1e-2, 5),
            steps: vec![100, 200, 400, 800, 1600],
            loss: Vec::new(),
            lower: Vec::new(),
            upper: Vec::new(),
            error: GridError { cells: 0, median: 0.0, largest: 0.0 },
        };
        for &r in &grid.ratio {
            for &rate in &grid.peak_lr {
                grid.loss.extend(grid.steps.iter().map(|&t| value(r, rate, t as f64)));
            }
        }
        grid.lower = grid.loss.iter().map(|l| l - 0.1).collect();
        grid.upper = grid.loss.iter().map(|l| l + 0.2).collect();
        for (r, rate, t) in
            [(0.0, 1e-4, 100.0), (0.37, 7e-4, 333.0), (1.0, 1e-2, 1600.0), (0.02, 5e-3, 1500.0)]
        {
            let found = grid.at(r, rate, t);
            let wanted = value(r, rate, t);
            // Rounding alone.
            assert!((found.value - wanted).abs() < 1e-12, "{r} {rate} {t}: {} and {wanted}", found.value);
            assert!((found.lower - wanted + 0.1).abs() < 1e-12 && (found.upper - wanted - 0.2).abs() < 1e-12);
        }
    }
}
