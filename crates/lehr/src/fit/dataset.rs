//! Curves made ready for a fit: points chosen, features computed, weights set.

use super::options::{FitOptions, Residual, Weighting};
use crate::curve::{Curve, LossKind, Split};
use crate::features::{FeatureDefinition, Momentum, RunFeatures};
use crate::law::{DataSummary, Law};
use crate::schedule::Rates;
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// One run made ready.
#[derive(Debug, Clone)]
pub struct PreparedRun {
    /// Name of the run.
    pub id: String,
    /// Name of the group that shares its noise (a trunk and its branches).
    pub group: String,
    /// Features at the evaluation points; shared between the data of a fit and those of its refits.
    pub features: Arc<RunFeatures>,
    /// For observation i the evaluation points `samples[starts[i]..starts[i + 1]]`, whose mean predicts it.
    pub samples: Vec<u32>,
    /// Offsets into `samples`, one more than observations.
    pub starts: Vec<u32>,
    /// Observed losses, nats.
    pub loss: Vec<f64>,
    /// Observed losses on the residual's scale.
    pub target: Vec<f64>,
    /// Update of each observation (its last one when it is a mean).
    pub step: Vec<u64>,
    /// Weight of every observation of the run.
    pub weight: f64,
}

/// All runs of a fit.
#[derive(Debug, Clone)]
pub struct Dataset {
    /// The runs, in the order given.
    pub runs: Vec<PreparedRun>,
    /// What they offer.
    pub summary: DataSummary,
    /// The definition their features follow.
    pub definition: FeatureDefinition,
}

impl PreparedRun {
    /// Number of observations.
    #[must_use]
    pub fn observations(&self) -> usize {
        self.loss.len()
    }

    /// Predicted loss of every observation from the losses at the evaluation points.
    pub fn observe(&self, predicted: &[f64], out: &mut Vec<f64>) {
        out.clear();
        for i in 0..self.observations() {
            let range = self.starts[i] as usize..self.starts[i + 1] as usize;
            let n = range.len() as f64;
            out.push(self.samples[range].iter().map(|&j| predicted[j as usize]).sum::<f64>() / n);
        }
    }
}

/// The first update whose point takes part: after the warm-up times a factor, after the share of the run and after the
/// update stated.
fn first_update(curve: &Curve, options: &FitOptions) -> f64 {
    let rates = Rates::new(curve.schedule());
    let warmup = rates.first_at_least(rates.peak() * (1.0 - 1e-9)).unwrap_or(0);
    let (last, _) = curve.last();
    (warmup as f64 * options.warmup_factor)
        .max(options.first_update as f64)
        .max(last as f64 * options.first_share)
}

/// The first update that would take part of a curve none of whose points does; `None` for a curve that has one.
#[must_use]
pub fn without_points(curve: &Curve, options: &FitOptions) -> Option<u64> {
    let first = first_update(curve, options);
    ((curve.last().0 as f64) < first).then(|| first.ceil() as u64)
}

/// Which rows of a curve take part, before any thinning; its last row alone if it ends too early (a fit refuses such a
/// curve, a judgement of one takes what there is).
#[must_use]
pub fn usable(curve: &Curve, options: &FitOptions) -> Vec<usize> {
    let first = first_update(curve, options);
    let kept: Vec<usize> = (0..curve.step().len()).filter(|&i| curve.step()[i] as f64 >= first).collect();
    if kept.is_empty() { vec![curve.step().len() - 1] } else { kept }
}

/// Whether every point is the loss of one training batch: noisy, and averaged in bins.
#[must_use]
pub fn is_single_batches(curve: &Curve) -> bool {
    curve.meta().split == Split::Train && curve.meta().loss_kind == LossKind::Instant
}

/// The points of a run, dealt by update into five equal parts of its length; parts may be empty.
///
/// Single batches are judged by the means of these: long enough that their scatter is averaged out, short enough that the
/// end is told from the rest.
#[must_use]
pub fn fifths(steps: &[u64]) -> [Range<usize>; 5] {
    let last = steps.last().copied().unwrap_or(0) as f64;
    let until = |k: usize| steps.partition_point(|&t| t as f64 <= last * k as f64 / 5.0);
    [0, 1, 2, 3, 4].map(|k| if k == 0 { 0 } else { until(k) }..until(k + 1))
}

/// Mean error over a part of a run; `None` under four points, whose scatter says too little.
#[must_use]
pub fn mean_of_part(errors: &[f64]) -> Option<f64> {
    (errors.len() >= 4).then(|| errors.iter().sum::<f64>() / errors.len() as f64)
}

/// Prepares one curve; `thin` says whether points may be left out or averaged.
#[must_use]
pub fn prepare(
    law: &dyn Law,
    curve: &Curve,
    definition: &FeatureDefinition,
    options: &FitOptions,
    thin: bool,
) -> PreparedRun {
    let meta = curve.meta();
    let logged_rows = definition.momentum == Momentum::LoggedRows;
    let rows = usable(curve, options);
    let wanted = if thin && !logged_rows { options.points_per_curve } else { None };
    let chosen: Vec<Vec<usize>> = if law.final_only() {
        vec![vec![curve.step().len() - 1]]
    } else {
        match wanted {
            Some(n) if n < rows.len() => {
                if is_single_batches(curve) {
                    bins(curve, &rows, n)
                } else {
                    thinned(curve, &rows, n)
                }
            }
            _ => rows.into_iter().map(|i| vec![i]).collect(),
        }
    };
    let interval = match meta.loss_kind {
        LossKind::IntervalMean(k) if k.0 > 1 => k.0,
        _ => 1,
    };
    // Updates at which the law is evaluated for each observation.
    let updates: Vec<Vec<u64>> = chosen
        .iter()
        .map(|rows| {
            if interval > 1 {
                let end = curve.step()[rows[rows.len() - 1]];
                let start = end.saturating_sub(interval);
                let parts = interval.min(5);
                (0..parts).map(|j| (start + (2 * j + 1) * (end - start) / (2 * parts)).max(1)).collect()
            } else {
                let parts = rows.len().min(4);
                (0..parts).map(|j| curve.step()[rows[(2 * j + 1) * rows.len() / (2 * parts)]]).collect()
            }
        })
        .collect();
    let mut points: Vec<u64> =
        if logged_rows { curve.step().to_vec() } else { updates.iter().flatten().copied().collect() };
    points.sort_unstable();
    points.dedup();
    let features = Arc::new(RunFeatures::new(
        curve.schedule(),
        &points,
        meta.law_params(),
        meta.tokens_per_step,
        definition,
    ));
    let mut samples = Vec::new();
    let mut starts = vec![0];
    for updates in &updates {
        // Every update is among the points: they were collected from the same list.
        samples.extend(updates.iter().map(|t| points.partition_point(|p| p < t) as u32));
        starts.push(samples.len() as u32);
    }
    let loss: Vec<f64> = chosen
        .iter()
        .map(|rows| rows.iter().map(|&i| curve.loss()[i]).sum::<f64>() / rows.len() as f64)
        .collect();
    let target = match options.residual {
        Residual::Log => loss.iter().map(|l| l.ln()).collect(),
        Residual::Raw => loss.clone(),
    };
    let step = chosen.iter().map(|rows| curve.step()[rows[rows.len() - 1]]).collect();
    PreparedRun {
        id: meta.id.clone(),
        group: meta.noise_group().to_owned(),
        features,
        samples,
        starts,
        loss,
        target,
        step,
        weight: 1.0,
    }
}

/// Rows nearest to n updates spaced uniformly, the last row included.
fn thinned(curve: &Curve, rows: &[usize], n: usize) -> Vec<Vec<usize>> {
    let first = curve.step()[rows[0]] as f64;
    let last = curve.step()[rows[rows.len() - 1]] as f64;
    let mut chosen = Vec::with_capacity(n);
    let mut at = 0;
    for j in 0..n {
        let wanted = first + (last - first) * j as f64 / (n.max(2) - 1) as f64;
        while at + 1 < rows.len()
            && (curve.step()[rows[at + 1]] as f64 - wanted).abs()
                <= (curve.step()[rows[at]] as f64 - wanted).abs()
        {
            at += 1;
        }
        if chosen.last() != Some(&vec![rows[at]]) {
            chosen.push(vec![rows[at]]);
        }
    }
    chosen
}

/// n bins of neighbouring rows, cut where the rate jumps: single-batch losses are averaged inside them.
fn bins(curve: &Curve, rows: &[usize], n: usize) -> Vec<Vec<usize>> {
    let rates = Rates::new(curve.schedule());
    let peak = rates.peak();
    let jump = |a: u64, b: u64| (a..b).any(|t| (rates.at(t + 1) - rates.at(t)).abs() > 0.05 * peak);
    let mut out: Vec<Vec<usize>> = Vec::with_capacity(n);
    let mut bin = usize::MAX;
    for (position, &row) in rows.iter().enumerate() {
        let wanted = position * n / rows.len();
        let cut = out
            .last()
            .and_then(|rows| rows.last())
            .is_none_or(|&before| wanted != bin || jump(curve.step()[before], curve.step()[row]));
        if cut {
            out.push(vec![row]);
            bin = wanted;
        } else if let Some(last) = out.last_mut() {
            last.push(row);
        }
    }
    out
}

/// The curve with at most about `most` points, so that many long runs fit into memory while they are read.
///
/// Single-batch training losses are averaged in disjoint bins that no jump of the rate crosses and stand at the middle
/// row of their bin; other losses are kept at updates spread evenly. The first and the last row are kept as they are. A
/// curve that has no more than `most` points comes back unchanged.
#[must_use]
pub fn condense(curve: Curve, most: usize) -> Curve {
    let n = curve.step().len();
    let most = most.max(8);
    if n <= most {
        return curve;
    }
    let meta = curve.meta().clone();
    let inner: Vec<usize> = (1..n - 1).collect();
    let chosen = if meta.split == Split::Train && meta.loss_kind == LossKind::Instant {
        bins(&curve, &inner, most - 2)
    } else {
        thinned(&curve, &inner, most - 2)
    };
    let (mut step, mut loss) = (vec![curve.step()[0]], vec![curve.loss()[0]]);
    for rows in &chosen {
        step.push(curve.step()[rows[rows.len() / 2]]);
        loss.push(rows.iter().map(|&i| curve.loss()[i]).sum::<f64>() / rows.len() as f64);
    }
    step.push(curve.step()[n - 1]);
    loss.push(curve.loss()[n - 1]);
    // Rows in order and means of valid losses: the result obeys the rules that the curve obeyed.
    match Curve::new(meta, curve.schedule().clone(), step, loss) {
        Ok(condensed) => condensed,
        Err(_) => curve,
    }
}

impl Dataset {
    /// Prepares all curves, in parallel; the result does not depend on the number of threads.
    #[must_use]
    pub fn new(law: &dyn Law, curves: &[Curve], options: &FitOptions) -> Self {
        let mut definition = options.definition.unwrap_or_else(|| law.features());
        definition.reference_batch = definition.reference_batch.or_else(|| most_frequent_batch(curves));
        let mut runs: Vec<PreparedRun> =
            curves.par_iter().map(|curve| prepare(law, curve, &definition, options, true)).collect();
        set_weights(&mut runs, options.weighting);
        Self { runs, summary: summarise(curves), definition }
    }

    /// The same data without the runs for which `left_out` holds, weights renewed.
    #[must_use]
    pub fn without(&self, weighting: Weighting, left_out: impl Fn(usize, &PreparedRun) -> bool) -> Self {
        let mut runs: Vec<PreparedRun> = self
            .runs
            .iter()
            .enumerate()
            .filter(|(i, run)| !left_out(*i, run))
            .map(|(_, run)| run.clone())
            .collect();
        set_weights(&mut runs, weighting);
        Self { runs, summary: self.summary.clone(), definition: self.definition }
    }

    /// Every `stride`-th run, weights renewed.
    #[must_use]
    pub fn every(&self, weighting: Weighting, stride: usize) -> Self {
        self.without(weighting, |i, _| i % stride.max(1) != 0)
    }

    /// Number of observations.
    #[must_use]
    pub fn observations(&self) -> usize {
        self.runs.iter().map(PreparedRun::observations).sum()
    }
}

/// B_ref of a fit: the batch of most runs; the smallest of several that tie. `None` if no run states one.
fn most_frequent_batch(curves: &[Curve]) -> Option<f64> {
    let mut counts: BTreeMap<u64, usize> = BTreeMap::new();
    for batch in curves.iter().filter_map(|curve| curve.meta().tokens_per_step) {
        *counts.entry(batch.0).or_default() += 1;
    }
    let most = counts.values().copied().max()?;
    counts.into_iter().find(|&(_, count)| count == most).map(|(batch, _)| batch as f64)
}

fn set_weights(runs: &mut [PreparedRun], weighting: Weighting) {
    let curves = runs.len() as f64;
    for run in runs {
        run.weight = match weighting {
            Weighting::EqualCurves => 1.0 / (curves * run.loss.len() as f64),
            Weighting::EqualPoints => 1.0,
        };
    }
}

/// What a set of curves offers to a law.
#[must_use]
pub fn summarise(curves: &[Curve]) -> DataSummary {
    let distinct = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values.dedup_by(|a, b| (*a - *b).abs() <= 1e-3 * b.abs());
        values
    };
    let mut summary = DataSummary {
        runs: curves.len(),
        peak_lrs: distinct(curves.iter().map(|c| c.schedule().peak_lr()).collect()),
        min_loss: f64::INFINITY,
        first_update: f64::INFINITY,
        ..DataSummary::default()
    };
    let sizes: Option<Vec<f64>> =
        curves.iter().map(|c| c.meta().law_params().map(|n| n.0 as f64 / 1e8)).collect();
    summary.sizes = distinct(sizes.unwrap_or_default());
    summary.batches =
        distinct(curves.iter().filter_map(|c| c.meta().tokens_per_step).map(|b| b.0 as f64).collect());
    for curve in curves {
        let late = &curve.loss()[curve.loss().len() / 10..];
        for &loss in late {
            summary.min_loss = summary.min_loss.min(loss);
            summary.max_loss = summary.max_loss.max(loss);
        }
        if let [first, _, ..] = curve.step() {
            summary.first_update = summary.first_update.min(*first as f64);
        }
        let (last, _) = curve.last();
        summary.max_update = summary.max_update.max(last as f64);
        let sum = Rates::new(curve.schedule()).sum(last);
        summary.max_forward_effect = summary.max_forward_effect.max(sum);
    }
    summary
}
