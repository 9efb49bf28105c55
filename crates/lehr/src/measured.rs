//! The optimal annealing ratio measured from runs that differ in it alone: no law involved.

use crate::curve::Curve;
use crate::fit::resample::quantile;
use crate::fit::starts::normal;
use crate::schedule::{Schedule, Wsd};
use nalgebra::{Matrix3, Vector3};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The measured optimum of one cell: runs that share everything but the annealing ratio.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MeasuredOptimum {
    /// Peak rate of the cell.
    pub peak_lr: f64,
    /// Horizon of the cell, updates.
    pub total: u64,
    /// N / 10⁸, if known.
    pub n8: Option<f64>,
    /// `dense` or `moe`.
    pub arch: String,
    /// Data set, if stated.
    pub dataset: Option<String>,
    /// Split of the losses.
    pub split: String,
    /// Shape of the annealing.
    pub shape: String,
    /// The measured points (ratio, final loss), ascending.
    pub points: Vec<(f64, f64)>,
    /// The ratio with the lowest loss on the quadratic in √r.
    pub ratio: f64,
    /// Its 90 % interval.
    pub interval: (f64, f64),
    /// The lowest loss on the quadratic, nats.
    pub loss: f64,
    /// Coefficients (c₀, c₁, c₂) of c₀ + c₁√r + c₂r.
    pub quadratic: [f64; 3],
    /// Root mean square misfit of the quadratic, nats.
    pub misfit: f64,
    /// Standard deviation of a run's final loss that was used, nats.
    pub noise: f64,
    /// Whether the optimum lies at the smallest or largest ratio measured, so that it is only a limit.
    pub at_edge: bool,
}

impl MeasuredOptimum {
    /// The quadratic's loss at a ratio, cut to the range measured, minus its lowest loss, nats.
    #[must_use]
    pub fn regret(&self, ratio: f64) -> f64 {
        let (first, last) = (self.points[0].0, self.points[self.points.len() - 1].0);
        value(&self.quadratic, ratio.clamp(first, last)) - self.loss
    }
}

/// The final loss of a run: the one its source states apart, else its last point if that is at the horizon.
#[must_use]
pub fn final_loss(curve: &Curve) -> Option<f64> {
    let (last, loss) = curve.last();
    curve.meta().final_loss.or((last == curve.schedule().total().0).then_some(loss))
}

/// The standard deviation of a run's final loss from twins: pairs of runs with the same schedule, size, data and
/// batch. `None` without twins. Nats.
#[must_use]
pub fn twin_noise(curves: &[Curve]) -> Option<f64> {
    let mut groups: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for curve in curves {
        if let (Schedule::Wsd(wsd), Some(loss)) = (curve.schedule(), final_loss(curve)) {
            let meta = curve.meta();
            let key = format!("{wsd:?} {:?} {:?} {:?}", meta.params, meta.dataset, meta.tokens_per_step);
            groups.entry(key).or_default().push(loss);
        }
    }
    let (mut squares, mut degrees) = (0.0, 0.0);
    for losses in groups.values().filter(|losses| losses.len() > 1) {
        let mean = losses.iter().sum::<f64>() / losses.len() as f64;
        squares += losses.iter().map(|l| (l - mean).powi(2)).sum::<f64>();
        degrees += losses.len() as f64 - 1.0;
    }
    (degrees > 0.0).then(|| (squares / degrees).sqrt())
}

fn value(c: &[f64; 3], ratio: f64) -> f64 {
    c[0] + c[1] * ratio.sqrt() + c[2] * ratio
}

/// Least squares of loss on 1, √r, r.
fn quadratic(points: &[(f64, f64)]) -> Option<[f64; 3]> {
    let mut matrix = Matrix3::<f64>::zeros();
    let mut right = Vector3::<f64>::zeros();
    for &(ratio, loss) in points {
        let row = Vector3::new(1.0, ratio.sqrt(), ratio);
        matrix += row * row.transpose();
        right += row * loss;
    }
    let solution = matrix.cholesky()?.solve(&right);
    Some([solution[0], solution[1], solution[2]])
}

/// The ratio of the lowest value within the range measured, and whether it is an edge.
fn minimum(c: &[f64; 3], first: f64, last: f64) -> (f64, bool) {
    let vertex = if c[2] > 0.0 { (-c[1] / (2.0 * c[2])).max(0.0).powi(2) } else { f64::NAN };
    if vertex > first && vertex < last {
        (vertex, false)
    } else if value(c, first) <= value(c, last) {
        (first, true)
    } else {
        (last, true)
    }
}

/// Resamples for the interval of an optimum.
const RESAMPLES: u64 = 500;

/// Measures the optimum in every cell with at least four ratios; shorter cells are left out. Cells come in order
/// of architecture, data set, split, N, peak rate and horizon.
///
/// # Formula
/// loss = c₀ + c₁√r + c₂r by least squares (a quadratic in r itself misfits real cells by 1–4 mnat); r* = (c₁/2c₂)²
/// within the ratios measured. The interval holds the central 90 % of r* over 500 resamples in which every loss gets
/// Gauss noise of the twins' standard deviation, or of the misfit where that is larger or there are no twins.
#[must_use]
pub fn measured_optima(curves: &[Curve]) -> Vec<MeasuredOptimum> {
    let noise = twin_noise(curves);
    let mut cells: BTreeMap<String, Vec<(&Curve, &Wsd, f64)>> = BTreeMap::new();
    for curve in curves {
        let Schedule::Wsd(wsd) = curve.schedule() else { continue };
        // Whole-run cosine schedules are another family: their ratio is not a choice.
        if wsd.anneal.0 == 0 || wsd.anneal.0 + wsd.warmup.0 >= wsd.total.0 {
            continue;
        }
        let Some(loss) = final_loss(curve) else { continue };
        let meta = curve.meta();
        let key = format!(
            "{} {:?} {:?} {:?} {:?} | {:.5e} {:08} {} {:.3e} {} {}",
            meta.arch.family(),
            meta.law_params(),
            meta.dataset,
            meta.split,
            meta.tokens_per_step,
            wsd.peak_lr,
            wsd.total.0,
            wsd.shape,
            wsd.final_lr,
            wsd.warmup.0,
            meta.final_loss.is_some()
        );
        cells.entry(key).or_default().push((curve, wsd, loss));
    }
    let mut optima: Vec<MeasuredOptimum> = cells
        .into_values()
        .filter_map(|runs| {
            let mut points: Vec<(f64, f64)> =
                runs.iter().map(|(_, wsd, loss)| (wsd.ratio(), *loss)).collect();
            points.sort_by(|a, b| a.0.total_cmp(&b.0));
            let mut distinct: Vec<f64> = points.iter().map(|p| p.0).collect();
            distinct.dedup_by(|a, b| (*a - *b).abs() < 1e-6);
            if distinct.len() < 4 {
                return None;
            }
            let c = quadratic(&points)?;
            let (first, last) = (points[0].0, points[points.len() - 1].0);
            let (ratio, at_edge) = minimum(&c, first, last);
            let squares: f64 = points.iter().map(|&(r, l)| (l - value(&c, r)).powi(2)).sum();
            let misfit = (squares / points.len() as f64).sqrt();
            let spread = (squares / (points.len() as f64 - 3.0).max(1.0)).sqrt();
            let sigma = noise.unwrap_or(spread).max(spread);
            let mut optima: Vec<f64> = (0..RESAMPLES)
                .filter_map(|i| {
                    let mut rng = ChaCha8Rng::seed_from_u64(7);
                    rng.set_stream(i);
                    let noisy: Vec<(f64, f64)> =
                        points.iter().map(|&(r, _)| (r, value(&c, r) + sigma * normal(&mut rng))).collect();
                    quadratic(&noisy).map(|c| minimum(&c, first, last).0)
                })
                .collect();
            optima.sort_by(f64::total_cmp);
            let (curve, wsd, _) = runs[0];
            let meta = curve.meta();
            Some(MeasuredOptimum {
                peak_lr: wsd.peak_lr,
                total: wsd.total.0,
                n8: meta.law_params().map(|n| n.0 as f64 / 1e8),
                arch: meta.arch.family().to_owned(),
                dataset: meta.dataset.clone(),
                split: format!("{:?}", meta.split).to_lowercase(),
                shape: wsd.shape.to_string(),
                ratio,
                interval: (quantile(&optima, 0.05), quantile(&optima, 0.95)),
                loss: value(&c, ratio),
                quadratic: c,
                misfit,
                noise: sigma,
                at_edge,
                points,
            })
        })
        .collect();
    optima.sort_by(|a, b| {
        (&a.arch, &a.dataset, &a.split)
            .cmp(&(&b.arch, &b.dataset, &b.split))
            .then(a.n8.unwrap_or(0.0).total_cmp(&b.n8.unwrap_or(0.0)))
            .then(a.peak_lr.total_cmp(&b.peak_lr))
            .then(a.total.cmp(&b.total))
    });
    optima
}
