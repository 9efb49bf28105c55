//! The optimal annealing ratio measured from runs that differ in it alone: no law involved.

use crate::caveat::{Caveat, CaveatKind};
use crate::cell::{But, Cell};
use crate::curve::{ArchFamily, Curve};
use crate::fit::resample::quantile;
use crate::fit::starts::normal;
use crate::schedule::{Schedule, Wsd};
use crate::units::Params;
use nalgebra::{Matrix2, Vector2};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The measured optimum of one cell: runs that share everything but the annealing ratio.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MeasuredOptimum {
    /// Peak rate of the cell.
    pub peak_lr: f64,
    /// Horizon of the cell, updates.
    pub total: u64,
    /// N (the active ones of a mixture of experts), if known.
    pub params: Option<Params>,
    /// Family of the architecture.
    pub arch: ArchFamily,
    /// Data set, if stated.
    pub dataset: Option<String>,
    /// Split of the losses: `train`, `validation` or `unstated`.
    pub split: String,
    /// How the rate falls.
    pub shape: String,
    /// The measured points (ratio, final loss in nats), ascending. Where several seeds were measured, each loss is
    /// less what its seed's runs lie above the mean over the seeds.
    pub points: Vec<(f64, f64)>,
    /// Seeds measured; runs that state none count as one.
    pub seeds: usize,
    /// The ratio with the lowest loss on the quadratic in √r.
    pub ratio: f64,
    /// Its 90 % interval.
    #[cfg_attr(feature = "schema", schemars(with = "crate::schema::Interval"))]
    pub interval: (f64, f64),
    /// The lowest loss on the quadratic, nats.
    pub loss: f64,
    /// Coefficients (c₀, c₁, c₂) of c₀ + c₁√r + c₂r, nats.
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

/// A misfit of so many times the noise is no noise.
const FAR_ABOVE_NOISE: f64 = 3.0;
/// A misfit below this is none, whatever the noise, nats.
const SMALL_MISFIT: f64 = 4e-3;

/// Cells whose losses do not lie on one curve of the ratio: a misfit of thrice the noise of twins and of at least 4 mnat
/// (that of real cells is 0.3–3 mnat).
#[must_use]
pub fn misfit_caveats(optima: &[MeasuredOptimum], twin_noise: Option<f64>) -> Vec<Caveat> {
    optima
        .iter()
        .filter(|cell| cell.misfit > (FAR_ABOVE_NOISE * twin_noise.unwrap_or(0.0)).max(SMALL_MISFIT))
        .map(|cell| {
            let (peak_lr, total, misfit) = (cell.peak_lr, cell.total, cell.misfit);
            CaveatKind::OptimumMisfit { peak_lr, total, misfit, noise: twin_noise }.into()
        })
        .collect()
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
    let mut groups: BTreeMap<Cell, Vec<f64>> = BTreeMap::new();
    for curve in curves {
        if let (Schedule::Wsd(_), Some(loss)) = (curve.schedule(), final_loss(curve)) {
            groups.entry(Cell::of(curve, But::Nothing)).or_default().push(loss);
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

/// The standard deviation of a run's final loss once what all runs of its seed share is taken out, nats: what disturbs
/// the comparison of ratios, since the runs of one seed share their trunk. `None` unless runs that differ in the
/// annealing alone were repeated under two schedules or more with the same two seeds or more.
///
/// # Formula
/// Within a model, batch, peak rate and warm-up: loss(schedule, seed) = a_schedule + b_seed + ε by least squares;
/// σ² = Σε²/(n − schedules − seeds + 1), pooled.
#[must_use]
pub fn branch_noise(curves: &[Curve]) -> Option<f64> {
    // Family → runs as (schedule, seed, loss).
    let mut families: BTreeMap<Cell, Vec<(String, u64, f64)>> = BTreeMap::new();
    for curve in curves {
        let meta = curve.meta();
        if let (Schedule::Wsd(wsd), Some(loss), Some(seed)) = (curve.schedule(), final_loss(curve), meta.seed)
        {
            let cell = Cell::of(curve, But::Annealing);
            families.entry(cell).or_default().push((format!("{wsd:?}"), seed, loss));
        }
    }
    let (mut squares, mut degrees) = (0.0, 0.0);
    for runs in families.values_mut() {
        let schedules: Vec<String> = runs.iter().map(|run| run.0.clone()).collect();
        runs.retain(|run| schedules.iter().filter(|schedule| **schedule == run.0).count() > 1);
        let distinct =
            |of: &dyn Fn(&(String, u64, f64)) -> String| runs.iter().map(of).collect::<BTreeSet<_>>().len();
        let (rows, columns) = (distinct(&|run| run.0.clone()), distinct(&|run| run.1.to_string()));
        if rows < 2 || columns < 2 || runs.len() < rows + columns {
            continue;
        }
        let mut left: Vec<f64> = runs.iter().map(|run| run.2).collect();
        // Alternating projections converge to the least-squares residual of the two-way layout.
        for _ in 0..200 {
            take_means(&mut left, &runs.iter().map(|run| run.0.as_str()).collect::<Vec<_>>());
            take_means(&mut left, &runs.iter().map(|run| run.1).collect::<Vec<_>>());
        }
        squares += left.iter().map(|l| l * l).sum::<f64>();
        degrees += (runs.len() + 1 - rows - columns) as f64;
    }
    (degrees > 0.0).then(|| (squares / degrees).sqrt())
}

/// Takes from every value the mean of the values with its key; returns the means by key.
fn take_means<K: Ord + Copy>(values: &mut [f64], keys: &[K]) -> BTreeMap<K, f64> {
    let mut means: BTreeMap<K, (f64, f64)> = BTreeMap::new();
    for (&value, &key) in values.iter().zip(keys) {
        let entry = means.entry(key).or_default();
        *entry = (entry.0 + value, entry.1 + 1.0);
    }
    let means: BTreeMap<K, f64> = means.into_iter().map(|(key, (sum, n))| (key, sum / n)).collect();
    for (value, key) in values.iter_mut().zip(keys) {
        *value -= means[key];
    }
    means
}

fn value(c: &[f64; 3], ratio: f64) -> f64 {
    c[0] + c[1] * ratio.sqrt() + c[2] * ratio
}

/// A measured point: ratio, loss, seed.
type Point = (f64, f64, Option<u64>);

/// Least squares of loss on √r, r and an intercept for every seed; c₀ is the mean of the intercepts over the points.
/// Returns the coefficients and the seeds' offsets from c₀. `None` where the ratios within seeds do not determine them.
fn quadratic(points: &[Point]) -> Option<([f64; 3], BTreeMap<Option<u64>, f64>)> {
    let seeds: Vec<Option<u64>> = points.iter().map(|p| p.2).collect();
    let mut columns = [
        points.iter().map(|p| p.0.sqrt()).collect::<Vec<f64>>(),
        points.iter().map(|p| p.0).collect(),
        points.iter().map(|p| p.1).collect(),
    ];
    let means = columns.each_mut().map(|column| take_means(column, &seeds));
    let [root, ratio, loss] = &columns;
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
    let matrix = Matrix2::new(dot(root, root), dot(root, ratio), dot(root, ratio), dot(ratio, ratio));
    // √r and r are nearly collinear over few ratios, but never as nearly as rounding.
    if matrix.determinant() < 1e-9 * matrix[(0, 0)] * matrix[(1, 1)] {
        return None;
    }
    let solution = matrix.cholesky()?.solve(&Vector2::new(dot(root, loss), dot(ratio, loss)));
    let (c1, c2) = (solution[0], solution[1]);
    let intercepts: BTreeMap<Option<u64>, f64> = means[2]
        .iter()
        .map(|(seed, loss)| (*seed, loss - c1 * means[0][seed] - c2 * means[1][seed]))
        .collect();
    let c0 = seeds.iter().map(|seed| intercepts[seed]).sum::<f64>() / points.len() as f64;
    Some(([c0, c1, c2], intercepts.into_iter().map(|(seed, a)| (seed, a - c0)).collect()))
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
/// loss = c₀ + b_seed + c₁√r + c₂r by least squares (a quadratic in r itself misfits real cells by 1–4 mnat);
/// r* = (c₁/2c₂)² within the ratios measured. The interval holds the central 90 % of r* over 500 resamples in which
/// every loss gets Gauss noise: [`branch_noise`], else [`twin_noise`], or the misfit where that is larger or there are
/// no twins. The runs of one seed share their trunk and with it b_seed, which says nothing of the ratio. Where no seed
/// has enough ratios, seeds are pooled and the noise is that of twins.
#[must_use]
pub fn measured_optima(curves: &[Curve]) -> Vec<MeasuredOptimum> {
    let (noise, apart) = (twin_noise(curves), branch_noise(curves));
    let mut cells: BTreeMap<(Cell, bool), Vec<(&Curve, &Wsd, f64)>> = BTreeMap::new();
    for curve in curves {
        let Schedule::Wsd(wsd) = curve.schedule() else { continue };
        // Whole-run cosine schedules are another family: their ratio is not a choice.
        if wsd.anneal.0 == 0 || wsd.anneal.0 + wsd.warmup.0 >= wsd.total.0 {
            continue;
        }
        let Some(loss) = final_loss(curve) else { continue };
        // Losses stated apart are of another evaluation set than those of curves.
        let key = (Cell::of(curve, But::Ratio), curve.meta().final_loss.is_some());
        cells.entry(key).or_default().push((curve, wsd, loss));
    }
    let mut optima: Vec<MeasuredOptimum> = cells
        .into_values()
        .filter_map(|runs| {
            let mut points: Vec<Point> =
                runs.iter().map(|(curve, wsd, loss)| (wsd.ratio(), *loss, curve.meta().seed)).collect();
            points.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.2.cmp(&b.2)));
            let mut distinct: Vec<f64> = points.iter().map(|p| p.0).collect();
            distinct.dedup_by(|a, b| (*a - *b).abs() < 1e-6);
            if distinct.len() < 4 {
                return None;
            }
            let seeds = points.iter().map(|p| p.2).collect::<BTreeSet<_>>().len();
            let noise = if let Some((_, offsets)) = quadratic(&points) {
                for point in &mut points {
                    point.1 -= offsets[&point.2];
                }
                apart.or(noise)
            } else {
                points.iter_mut().for_each(|point| point.2 = None);
                noise
            };
            let (c, _) = quadratic(&points)?;
            let (first, last) = (points[0].0, points[points.len() - 1].0);
            let (ratio, at_edge) = minimum(&c, first, last);
            let squares: f64 = points.iter().map(|&(r, l, _)| (l - value(&c, r)).powi(2)).sum();
            let misfit = (squares / points.len() as f64).sqrt();
            let intercepts = points.iter().map(|p| p.2).collect::<BTreeSet<_>>().len();
            let degrees = points.len() as f64 - (intercepts + 2) as f64;
            let spread = (squares / degrees.max(1.0)).sqrt();
            let sigma = noise.unwrap_or(spread).max(spread);
            let mut optima: Vec<f64> = (0..RESAMPLES)
                .filter_map(|i| {
                    let mut rng = ChaCha8Rng::seed_from_u64(7);
                    rng.set_stream(i);
                    let noisy: Vec<Point> = points
                        .iter()
                        .map(|&(r, _, seed)| (r, value(&c, r) + sigma * normal(&mut rng), seed))
                        .collect();
                    quadratic(&noisy).map(|(c, _)| minimum(&c, first, last).0)
                })
                .collect();
            optima.sort_by(f64::total_cmp);
            let (curve, wsd, _) = runs[0];
            let meta = curve.meta();
            Some(MeasuredOptimum {
                peak_lr: wsd.peak_lr,
                total: wsd.total.0,
                params: meta.law_params(),
                arch: meta.arch.family(),
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
                points: points.into_iter().map(|(ratio, loss, _)| (ratio, loss)).collect(),
                seeds,
            })
        })
        .collect();
    optima.sort_by(|a, b| {
        (a.arch, &a.dataset, &a.split, a.params)
            .cmp(&(b.arch, &b.dataset, &b.split, b.params))
            .then(a.peak_lr.total_cmp(&b.peak_lr))
            .then(a.total.cmp(&b.total))
    });
    optima
}
