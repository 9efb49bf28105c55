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
        Criterion::Huber { delta } => delta,
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
                16 => add_rows::<16>(factor, jacobian, by_theta),
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
