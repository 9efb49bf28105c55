//! Shapes as straight lines: for known end rates, the share p of the way done is linear in the update.

use super::Row;
use crate::schedule::Shape;

/// A row as share of the way done, with the weight of its rate's error.
#[derive(Debug, Clone, Copy)]
pub(super) struct Share {
    pub t: f64,
    pub p: f64,
    pub weight: f64,
}

/// The share of the way from `from` to `to` at which the shape has the rate `y`, and (dη/dp)² there.
///
/// # Formula
/// With u = (y − to)/(from − to): linear p = 1 − u, cosine p = acos(2u − 1)/π, 1-sqrt p = (1 − u)², exponential
/// p = −log₂((u + 1)/2), power p = 1 − u^{1/β}; geometric p = ln(y/from)/ln(to/from), inverse
/// p = (1/y − 1/from)/(1/to − 1/from).
fn share(shape: Shape, from: f64, to: f64, y: f64) -> (f64, f64) {
    use std::f64::consts::{LN_2, PI};
    let span = from - to;
    let u = (y - to) / span;
    let (p, slope) = match shape {
        Shape::Linear => (1.0 - u, span),
        Shape::Cosine => {
            let p = (2.0 * u - 1.0).clamp(-1.0, 1.0).acos() / PI;
            (p, span * 0.5 * PI * (PI * p).sin())
        }
        Shape::OneMinusSqrt => {
            let p = (1.0 - u) * (1.0 - u);
            (p, span * 0.5 / (1.0 - u).max(1e-6))
        }
        Shape::Exponential => (-((u + 1.0) / 2.0).log2(), span * LN_2 * (u + 1.0)),
        Shape::Power(beta) => {
            let rest = u.powf(1.0 / beta);
            (1.0 - rest, span * beta * rest.powf(beta - 1.0))
        }
        Shape::Geometric => {
            let whole = (to / from).ln();
            ((y / from).ln() / whole, y * whole)
        }
        Shape::Inverse => {
            let whole = 1.0 / to - 1.0 / from;
            ((1.0 / y - 1.0 / from) / whole, y * y * whole)
        }
    };
    (p, slope * slope)
}

/// The rows strictly between the two rates as shares of the way.
pub(super) fn shares(rows: &[Row], shape: Shape, from: f64, to: f64, margin: f64) -> Vec<Share> {
    let (low, high) = (from.min(to) + margin, from.max(to) - margin);
    rows.iter()
        .filter(|row| row.y > low && row.y < high)
        .map(|row| {
            let (p, weight) = share(shape, from, to, row.y);
            Share { t: row.t as f64, p, weight }
        })
        .filter(|share| share.p.is_finite() && share.weight.is_finite() && share.weight > 0.0)
        .collect()
}

/// Which ends of the line are given.
#[derive(Debug, Clone, Copy)]
pub(super) enum Given {
    Nothing,
    Start(f64),
    End(f64),
}

/// The weighted least-squares line p = (t − start)/(end − start): its ends and the mean squared error of the rates.
pub(super) fn solve(shares: &[Share], given: Given) -> Option<(f64, f64, f64)> {
    let weight: f64 = shares.iter().map(|s| s.weight).sum();
    if shares.is_empty() || !(weight.is_finite() && weight > 0.0) {
        return None;
    }
    let (start, slope) = match given {
        Given::Nothing => {
            let (mut mt, mut mp) = (0.0, 0.0);
            for s in shares {
                mt += s.weight / weight * s.t;
                mp += s.weight / weight * s.p;
            }
            let (mut up, mut down) = (0.0, 0.0);
            for s in shares {
                up += s.weight * (s.p - mp) * (s.t - mt);
                down += s.weight * (s.t - mt) * (s.t - mt);
            }
            let slope = up / down;
            (mt - mp / slope, slope)
        }
        Given::Start(start) => {
            let (mut up, mut down) = (0.0, 0.0);
            for s in shares {
                up += s.weight * s.p * (s.t - start);
                down += s.weight * (s.t - start) * (s.t - start);
            }
            (start, up / down)
        }
        Given::End(end) => {
            let (mut up, mut down) = (0.0, 0.0);
            for s in shares {
                up += s.weight * (1.0 - s.p) * (end - s.t);
                down += s.weight * (end - s.t) * (end - s.t);
            }
            let slope = up / down;
            (end - 1.0 / slope, slope)
        }
    };
    let end = start + 1.0 / slope;
    if !(slope > 0.0 && start.is_finite() && end.is_finite()) {
        return None;
    }
    let squares: f64 = shares.iter().map(|s| s.weight * (s.p - slope * (s.t - start)).powi(2)).sum();
    let count = shares.len() as f64;
    (squares.is_finite()).then_some((start, end, squares / count))
}

/// At most `most` rows, evenly over their indices, both ends among them.
pub(super) fn sample(rows: &[Row], most: usize) -> Vec<Row> {
    let n = rows.len();
    if n <= most || most < 2 {
        return rows.to_vec();
    }
    (0..most).map(|i| rows[i * (n - 1) / (most - 1)]).collect()
}

/// The point of the least cost in `low` … `high`: a grid, then golden section around its best point.
pub(super) fn least(low: f64, high: f64, grid: usize, mut cost: impl FnMut(f64) -> f64) -> (f64, f64) {
    const SHARE: f64 = 0.618_033_988_749_894_9;
    let mut judge = |x: f64| {
        let value = cost(x);
        if value.is_nan() { f64::INFINITY } else { value }
    };
    if low >= high {
        return (low, judge(low));
    }
    let at = |i: usize| low + (high - low) * i as f64 / grid as f64;
    let costs: Vec<f64> = (0..=grid).map(|i| judge(at(i))).collect();
    let best = (0..=grid).min_by(|&a, &b| costs[a].total_cmp(&costs[b])).unwrap_or(0);
    let (mut a, mut b) = (at(best.saturating_sub(1)), at((best + 1).min(grid)));
    let (mut c, mut d) = (b - SHARE * (b - a), a + SHARE * (b - a));
    let (mut at_c, mut at_d) = (judge(c), judge(d));
    for _ in 0..50 {
        if at_c <= at_d {
            (b, d, at_d) = (d, c, at_c);
            c = b - SHARE * (b - a);
            at_c = judge(c);
        } else {
            (a, c, at_c) = (c, d, at_d);
            d = a + SHARE * (b - a);
            at_d = judge(d);
        }
    }
    [(c, at_c), (d, at_d), (at(best), costs[best])]
        .into_iter()
        .min_by(|a, b| a.1.total_cmp(&b.1))
        .unwrap_or((low, f64::INFINITY))
}

/// A real number as a whole one within bounds.
pub(super) fn whole(value: f64, low: u64, high: u64) -> u64 {
    // A conversion from a float saturates; NaN gives 0.
    (value.round().max(0.0) as u64).min(high).max(low)
}
