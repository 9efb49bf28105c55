//! The output head: logits, softmax, cross-entropy and their gradient in one pass over rows, never all logits at once.

use super::matmul::{Into, View, ViewMut, matmul};
use super::real::{Real, exponentials, vectorised};

/// Largest number of logits held at a time.
const LOGITS: usize = 1 << 18;

/// Rows whose logits are held at a time.
#[must_use]
pub fn rows_at_once(vocabulary: usize, rows: usize) -> usize {
    (LOGITS / vocabulary).clamp(16, 1024).min(rows)
}

/// Turns one row of logits into softmax minus the one-hot target, times `scale`; gives the cross-entropy.
#[inline(always)]
fn cross_entropy<R: Real>(logits: &mut [R], target: usize, scale: R) -> f64 {
    let at_target = logits[target];
    let (peak, sum) = exponentials(logits);
    let factor = scale / sum;
    for value in logits.iter_mut() {
        *value *= factor;
    }
    logits[target] -= scale;
    sum.to_f64().ln() + (peak - at_target).to_f64()
}

/// What the head works on.
#[derive(Debug, Clone, Copy)]
pub struct Head<'a, R> {
    /// Vocabulary V.
    pub vocabulary: usize,
    /// Width d.
    pub width: usize,
    /// V × d.
    pub weights: &'a [R],
    /// Factor of the logits.
    pub scale: f64,
}

/// Sum of the cross-entropies (nats) of `targets` given the normed states `x`, M × d.
///
/// With `gradient`, also writes d/dx of share·Σ to `dx` and adds d/dW to `dweights`.
///
/// # Formula
/// ```text
/// z = scale·W·x,  ℓ = ln Σ e^z − z_target,  dz = share·(softmax(z) − onehot),  dx = scale·dz·W,  dW += scale·dzᵀ·x
/// ```
pub fn loss<R: Real>(
    head: Head<'_, R>,
    x: &[R],
    targets: &[u32],
    logits: &mut [R],
    gradient: Option<(f64, &mut [R], &mut [R])>,
) -> f64 {
    let Head { vocabulary, width, weights, scale } = head;
    let scale = R::of(scale);
    let rows_at_once = rows_at_once(vocabulary, targets.len());
    let weights = View::new(weights, vocabulary, width);
    let (share, mut outputs) = match gradient {
        Some((share, dx, dweights)) => (R::of(share), Some((dx, dweights))),
        None => (R::ZERO, None),
    };
    let mut total = 0.0;
    for (chunk, targets) in targets.chunks(rows_at_once).enumerate() {
        let rows = targets.len();
        let at = chunk * rows_at_once * width;
        let x = View::new(&x[at..], rows, width);
        let logits = &mut logits[..rows * vocabulary];
        matmul(ViewMut::new(logits, rows, vocabulary), Into::Replace, scale, x, weights.t());
        total += vectorised(
            #[inline(always)]
            || {
                let rows = logits.chunks_exact_mut(vocabulary).zip(targets);
                rows.map(|(row, &target)| cross_entropy(row, target as usize, share)).sum::<f64>()
            },
        );
        if let Some((dx, dweights)) = &mut outputs {
            let dlogits = View::new(logits, rows, vocabulary);
            matmul(ViewMut::new(&mut dx[at..], rows, width), Into::Replace, scale, dlogits, weights);
            matmul(ViewMut::new(dweights, vocabulary, width), Into::Add, scale, dlogits.t(), x);
        }
    }
    total
}
