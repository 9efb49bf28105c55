//! The part of the objective that every point pays: residual, criterion and gradient, over whole slices.

use super::dataset::PreparedRun;
use super::options::{Criterion, Residual};
use crate::vector_math::{ln_in_place, vectorised};

/// Whether observation i of the run is predicted by evaluation point i alone.
pub(super) fn is_plain(run: &PreparedRun) -> bool {
    run.features.points() == run.loss.len()
        && run.samples.len() == run.loss.len()
        && run.samples.iter().enumerate().all(|(i, &j)| i == j as usize)
}

/// Σ ρ(r_i) over the points of a plain run; with a Jacobian, `by_theta` grows by `weight`·Σ ρ′(r_i)·∂r_i/∂θ.
///
/// `loss` holds the predictions and comes back as the values ρ(r_i); `factor` is a buffer.
pub(super) fn accumulate(
    residual: Residual,
    criterion: Criterion,
    target: &[f64],
    weight: f64,
    loss: &mut [f64],
    factor: &mut Vec<f64>,
    jacobian: Option<(&[f64], &mut [f64])>,
) -> f64 {
    factor.clear();
    factor.extend_from_slice(loss);
    if residual == Residual::Log {
        ln_in_place(loss);
    }
    let clip = match criterion {
        Criterion::Huber { delta } => delta.get(),
        Criterion::Squares => f64::INFINITY,
    };
    let log = residual == Residual::Log;
    let sum = vectorised(
        #[inline(always)]
        || residuals(log, clip, weight, target, loss, factor),
    );
    if let Some((jacobian, by_theta)) = jacobian {
        vectorised(
            #[inline(always)]
            || match by_theta.len() {
                5 => add_rows::<5>(factor, jacobian, by_theta),
                6 => add_rows::<6>(factor, jacobian, by_theta),
                7 => add_rows::<7>(factor, jacobian, by_theta),
                8 => add_rows::<8>(factor, jacobian, by_theta),
                9 => add_rows::<9>(factor, jacobian, by_theta),
                20 => add_rows::<20>(factor, jacobian, by_theta),
                n => {
                    for (factor, row) in factor.iter().zip(jacobian.chunks_exact(n)) {
                        for (by, d) in by_theta.iter_mut().zip(row) {
                            *by += factor * d;
                        }
                    }
                }
            },
        );
    }
    sum
}

/// ρ(r) in place of `loss`, weighted slopes in place of the predictions in `factor`; Σ ρ.
#[inline(always)]
fn residuals(log: bool, clip: f64, weight: f64, target: &[f64], loss: &mut [f64], factor: &mut [f64]) -> f64 {
    let mut lanes = [0.0; 4];
    for ((l, f), t) in loss.iter_mut().zip(factor.iter_mut()).zip(target) {
        let r = *l - t;
        let clipped = r.clamp(-clip, clip);
        // ½r² inside, δ(|r| − ½δ) beyond.
        *l = clipped * (r - 0.5 * clipped);
        *f = if log { weight * clipped / *f } else { weight * clipped };
    }
    let chunks = loss.chunks_exact(4);
    let rest = chunks.remainder();
    for chunk in chunks {
        for (lane, rho) in lanes.iter_mut().zip(chunk) {
            *lane += rho;
        }
    }
    (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]) + rest.iter().sum::<f64>()
}

#[inline(always)]
fn add_rows<const N: usize>(factor: &[f64], jacobian: &[f64], by_theta: &mut [f64]) {
    let mut sum = [0.0; N];
    for (factor, row) in factor.iter().zip(jacobian.chunks_exact(N)) {
        for j in 0..N {
            sum[j] += factor * row[j];
        }
    }
    for (by, s) in by_theta.iter_mut().zip(sum) {
        *by += s;
    }
}

/// Sums over the points of a run that the Gauss–Newton matrix needs, by θ (not yet by the solver's scale).
pub(super) struct Normal<'a> {
    /// Indices of the free coefficients.
    pub free: &'a [usize],
    /// Σ weight·ρ′·∂r/∂θ, one entry a free coefficient.
    pub gradient: &'a mut [f64],
    /// Σ weight·ρ′/r·∂r/∂θ_a·∂r/∂θ_b, row by row, one row a free coefficient.
    pub matrix: &'a mut [f64],
}

/// As [`accumulate`], for the normal equations; `n` coefficients a row of the Jacobian. Σ ρ(r_i).
pub(super) fn accumulate_normal(
    residual: Residual,
    criterion: Criterion,
    target: &[f64],
    weight: f64,
    loss: &mut [f64],
    factor: &mut Vec<f64>,
    jacobian: &[f64],
    n: usize,
    normal: &mut Normal,
) -> f64 {
    factor.clear();
    factor.extend_from_slice(loss);
    let log = residual == Residual::Log;
    if log {
        ln_in_place(loss);
    }
    let clip = match criterion {
        Criterion::Huber { delta } => delta.get(),
        Criterion::Squares => f64::INFINITY,
    };
    let mut sum = 0.0;
    for ((l, f), t) in loss.iter_mut().zip(factor.iter_mut()).zip(target) {
        let r = *l - t;
        let clipped = r.clamp(-clip, clip);
        sum += clipped * (r - 0.5 * clipped);
        let slope = if log { 1.0 / *f } else { 1.0 };
        // Slope of ρ, and its weight in iteratively reweighted least squares.
        *f = weight * clipped * slope;
        *l = weight * slope * slope * if r.abs() > clip { clip / r.abs() } else { 1.0 };
    }
    vectorised(
        #[inline(always)]
        || match normal.free.len() {
            3 => add_normal::<3>(factor, loss, jacobian, n, normal),
            4 => add_normal::<4>(factor, loss, jacobian, n, normal),
            5 => add_normal::<5>(factor, loss, jacobian, n, normal),
            6 => add_normal::<6>(factor, loss, jacobian, n, normal),
            7 => add_normal::<7>(factor, loss, jacobian, n, normal),
            8 => add_normal::<8>(factor, loss, jacobian, n, normal),
            9 => add_normal::<9>(factor, loss, jacobian, n, normal),
            10 => add_normal::<10>(factor, loss, jacobian, n, normal),
            11 => add_normal::<11>(factor, loss, jacobian, n, normal),
            k => {
                for ((f, w), row) in factor.iter().zip(loss.iter()).zip(jacobian.chunks_exact(n)) {
                    for a in 0..k {
                        let g = row[normal.free[a]];
                        normal.gradient[a] += f * g;
                        for b in 0..k {
                            normal.matrix[a * k + b] += w * g * row[normal.free[b]];
                        }
                    }
                }
            }
        },
    );
    sum
}

#[inline(always)]
fn add_normal<const K: usize>(
    factor: &[f64],
    weights: &[f64],
    jacobian: &[f64],
    n: usize,
    normal: &mut Normal,
) {
    let mut free = [0; K];
    free.copy_from_slice(normal.free);
    let mut gradient = [0.0; K];
    let mut matrix = [[0.0; K]; K];
    for ((f, w), row) in factor.iter().zip(weights).zip(jacobian.chunks_exact(n)) {
        let g = free.map(|i| row[i]);
        for a in 0..K {
            gradient[a] += f * g[a];
            let by = w * g[a];
            for b in 0..K {
                matrix[a][b] += by * g[b];
            }
        }
    }
    for a in 0..K {
        normal.gradient[a] += gradient[a];
        for b in 0..K {
            normal.matrix[a * K + b] += matrix[a][b];
        }
    }
}
