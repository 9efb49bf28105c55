//! Places where a loss is or could be measured, with their derivatives and their covariance.

use super::belief::{Belief, Noise};
use crate::features::{FeatureDefinition, RunFeatures};
use crate::fit::differences::annealing_share;
use crate::schedule::{Rates, Schedule};
use crate::units::{Params, Tokens};
use nalgebra::DMatrix;
use std::ops::Range;

/// Lengths over which what a law gets wrong changes: in √(annealing share), ln t, ln η and ln N.
const LENGTHS: [f64; 4] = [0.35, 1.1, 0.9, 1.4];

/// One place.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Site {
    /// Runs of one group share their noise; `None`: a loss without noise, as a forecast means it.
    group: Option<usize>,
    position: [f64; 4],
}

/// Places along one schedule.
#[derive(Debug)]
struct Along {
    features: RunFeatures,
    sites: Range<usize>,
}

/// All places.
#[derive(Debug, Default)]
pub(super) struct Field {
    along: Vec<Along>,
    sites: Vec<Site>,
}

impl Field {
    /// Adds places after the updates `points` (ascending, 1 … T) of a run.
    pub fn add(
        &mut self,
        schedule: &Schedule,
        points: &[u64],
        params: Option<Params>,
        tokens: Option<Tokens>,
        definition: &FeatureDefinition,
        group: Option<usize>,
    ) -> Range<usize> {
        let rates = Rates::new(schedule);
        let (ln_rate, ln_size) = (schedule.peak_lr().ln(), params.map_or(0.0, |n| (n.0.max(1) as f64).ln()));
        let first = self.sites.len();
        self.sites.extend(points.iter().map(|&t| Site {
            group,
            position: [annealing_share(&rates, t).sqrt(), (t as f64).ln(), ln_rate, ln_size],
        }));
        let sites = first..self.sites.len();
        let features = RunFeatures::new(schedule, points, params, tokens, definition);
        self.along.push(Along { features, sites: sites.clone() });
        sites
    }

    /// Number of places.
    pub fn len(&self) -> usize {
        self.sites.len()
    }

    /// ln L and its derivatives by the free coefficients, on the solver's scale, at every place. `None` where the law gives
    /// no loss.
    pub fn rows(&self, belief: &Belief<'_>, theta: &[f64]) -> Option<(Vec<f64>, DMatrix<f64>)> {
        self.rows_of(0..self.sites.len(), belief, theta)
    }

    /// The same at some places; the range begins and ends with schedules that were added.
    pub fn rows_of(
        &self,
        places: Range<usize>,
        belief: &Belief<'_>,
        theta: &[f64],
    ) -> Option<(Vec<f64>, DMatrix<f64>)> {
        let (n, k) = (theta.len(), belief.free.len());
        let mut rows = DMatrix::zeros(places.len(), k);
        let mut losses = vec![0.0; places.len()];
        let within = |along: &&Along| places.start <= along.sites.start && along.sites.end <= places.end;
        for along in self.along.iter().filter(within) {
            let points = along.features.points();
            let (mut loss, mut jacobian) = (vec![0.0; points], vec![0.0; points * n]);
            belief.law.predict_with_jacobian(theta, &along.features, &mut loss, &mut jacobian);
            for (i, site) in along.sites.clone().enumerate() {
                let site = site - places.start;
                if !(loss[i].is_finite() && loss[i] > 0.0) {
                    return None;
                }
                losses[site] = loss[i].ln();
                for (j, &at) in belief.free.iter().enumerate() {
                    let slope = jacobian[i * n + at] * belief.chain(theta, j) / loss[i];
                    if !slope.is_finite() {
                        return None;
                    }
                    rows[(site, j)] = slope;
                }
            }
        }
        Some((losses, rows))
    }

    /// The covariance of errors between two places: what the law gets wrong, and, of measured losses, noise.
    pub fn error_covariance(&self, noise: &Noise, i: usize, j: usize) -> f64 {
        let (a, b) = (&self.sites[i], &self.sites[j]);
        let squares: f64 = a
            .position
            .iter()
            .zip(&b.position)
            .zip(LENGTHS)
            .map(|((x, y), length)| ((x - y) / length).powi(2))
            .sum();
        let d = (3.0 * squares).sqrt();
        let mut covariance = noise.misfit * noise.misfit * (1.0 + d) * (-d).exp();
        if a.group.is_some() && a.group == b.group {
            covariance += noise.shared * noise.shared;
            if i == j {
                covariance += noise.point * noise.point;
            }
        }
        covariance
    }
}

/// `count` updates from `first` to `last`, evenly on the log scale.
pub(super) fn spaced(first: u64, last: u64, count: usize) -> Vec<u64> {
    let (low, high) = ((first.max(1) as f64).ln(), (last.max(first).max(1) as f64).ln());
    let mut out: Vec<u64> = (0..count)
        .map(|i| (low + (high - low) * i as f64 / (count.max(2) - 1) as f64).exp().round() as u64)
        .map(|t| t.clamp(1, last.max(1)))
        .collect();
    out.dedup();
    out
}
