//! AdamW over one vector of parameters, in chunks of fixed size, so that sums do not depend on the number of threads.

use super::layout::Tensor;
use super::real::{square_sum, vectorised};
use crate::config::OptimiserConfig;
use rayon::prelude::*;

/// Numbers in a chunk.
const CHUNK: usize = 1 << 14;

/// The optimiser's state.
#[derive(Debug, Clone)]
pub struct AdamW {
    config: OptimiserConfig,
    /// First moments.
    pub(super) first: Vec<f32>,
    /// Second moments.
    pub(super) second: Vec<f32>,
}

/// Adds the lanes' gradients into the first lane's, lane after lane, and gives the global norm of the sum.
#[must_use]
pub fn reduce(lanes: &mut [&mut [f32]]) -> f64 {
    let Some((sum, others)) = lanes.split_first_mut() else { return 0.0 };
    let others: &[&mut [f32]] = others;
    let squares = sum.par_chunks_mut(CHUNK).enumerate().map(|(i, sum)| {
        vectorised(
            #[inline(always)]
            || {
                for other in others {
                    for (sum, &value) in sum.iter_mut().zip(&other[i * CHUNK..]) {
                        *sum += value;
                    }
                }
                square_sum(sum)
            },
        )
    });
    // Collected in order: a parallel sum would depend on how the work was split.
    squares.collect::<Vec<f64>>().iter().sum::<f64>().sqrt()
}

impl AdamW {
    /// Zero moments for `parameters` numbers.
    #[must_use]
    pub fn new(config: &OptimiserConfig, parameters: usize) -> Self {
        Self { config: config.clone(), first: vec![0.0; parameters], second: vec![0.0; parameters] }
    }

    /// Update `t` (1 …) at rate `lr`; `norm` is the gradient's global norm.
    ///
    /// # Formula
    /// ```text
    /// g ← g·min(1, clip/(norm + 10⁻⁶)),   m ← β₁m + (1 − β₁)g,   v ← β₂v + (1 − β₂)g²
    /// θ ← θ·(1 − η·λ) − η·(m/(1 − β₁ᵗ)) / (√(v/(1 − β₂ᵗ)) + ε)        η = lr·(tensor's factor), λ only for matrices
    /// ```
    /// # Source
    /// Loshchilov and Hutter, "Decoupled weight decay regularization", 2019; the order of operations is PyTorch's.
    pub fn step(
        &mut self,
        tensors: &[Tensor],
        parameters: &mut [f32],
        gradient: &[f32],
        t: u64,
        lr: f64,
        norm: f64,
    ) {
        let OptimiserConfig { beta1, beta2, epsilon, weight_decay, clip } = self.config;
        let factor = if clip > 0.0 { (clip / (norm + 1e-6)).min(1.0) } else { 1.0 } as f32;
        let exponent = i32::try_from(t).unwrap_or(i32::MAX);
        let correction1 = 1.0 - beta1.powi(exponent);
        let correction2 = (1.0 - beta2.powi(exponent)).sqrt();
        let (beta1, rest1) = (beta1 as f32, (1.0 - beta1) as f32);
        let (beta2, rest2) = (beta2 as f32, (1.0 - beta2) as f32);
        let epsilon = epsilon as f32;
        let inverse2 = (1.0 / correction2) as f32;
        let mut rest = (parameters, gradient, self.first.as_mut_slice(), self.second.as_mut_slice());
        for tensor in tensors {
            let n = tensor.range.len();
            let (parameters, later_p) = rest.0.split_at_mut(n);
            let (gradient, later_g) = rest.1.split_at(n);
            let (first, later_m) = rest.2.split_at_mut(n);
            let (second, later_v) = rest.3.split_at_mut(n);
            rest = (later_p, later_g, later_m, later_v);
            let rate = lr * tensor.rate;
            let keep = if tensor.decay { 1.0 - rate * weight_decay } else { 1.0 } as f32;
            let step = (rate / correction1) as f32;
            let work = |p: &mut [f32], g: &[f32], m: &mut [f32], v: &mut [f32]| {
                vectorised(
                    #[inline(always)]
                    || {
                        for (((p, &g), m), v) in p.iter_mut().zip(g).zip(m).zip(v) {
                            let g = g * factor;
                            *m = beta1 * *m + rest1 * g;
                            *v = beta2 * *v + rest2 * g * g;
                            *p = *p * keep - step * *m / (v.sqrt() * inverse2 + epsilon);
                        }
                    },
                );
            };
            if n <= CHUNK {
                work(parameters, gradient, first, second);
                continue;
            }
            let chunks = parameters.par_chunks_mut(CHUNK).zip(gradient.par_chunks(CHUNK));
            let chunks = chunks.zip(first.par_chunks_mut(CHUNK)).zip(second.par_chunks_mut(CHUNK));
            chunks.for_each(|(((p, g), m), v)| work(p, g, m, v));
        }
    }
}
