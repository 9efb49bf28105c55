//! Causal attention of one micro-batch, head by head and in blocks of rows, so that the upper triangle costs little.

use super::matmul::{Into, View, ViewMut, matmul};
use super::real::{Real, dot, exponentials, vectorised};

/// Rows of a block. Keys after a block's last row are never touched.
const BLOCK: usize = 64;

/// The shape of one attention.
#[derive(Debug, Clone, Copy)]
pub struct Heads {
    /// Tokens of a sequence, T.
    pub context: usize,
    /// Number of heads, H.
    pub heads: usize,
    /// Width of a head, h.
    pub head: usize,
    /// Factor of the scores.
    pub scale: f64,
}

impl Heads {
    fn width(&self) -> usize {
        self.heads * self.head
    }
}

/// Turns scores into probabilities: row i of the block keeps columns 0 … `first` + i, the others become 0.
fn causal_softmax<R: Real>(scores: &mut [R], context: usize, first: usize, rows: usize) {
    vectorised(
        #[inline(always)]
        || {
            for (i, row) in scores.chunks_mut(context).take(rows).enumerate() {
                let (seen, hidden) = row[..(first + rows)].split_at_mut(first + i + 1);
                hidden.fill(R::ZERO);
                let (_, sum) = exponentials(seen);
                let inverse = R::ONE / sum;
                for value in seen {
                    *value *= inverse;
                }
            }
        },
    );
}

/// Attention forward.
///
/// # Formula
/// ```text
/// P = softmax(scale·Q·Kᵀ, causal),   O = P·V
/// qkv: M × 3d, a row holds q, k, v of all heads;  out: M × d;  probabilities: sequences × H × T × T
/// ```
pub fn forward<R: Real>(shape: Heads, qkv: &[R], probabilities: &mut [R], out: &mut [R]) {
    let Heads { context, heads, head, scale } = shape;
    let d = shape.width();
    let sequences = out.len() / (context * d);
    for sequence in 0..sequences {
        let qkv = &qkv[sequence * context * 3 * d..][..context * 3 * d];
        let out = &mut out[sequence * context * d..][..context * d];
        for h in 0..heads {
            let p = &mut probabilities[(sequence * heads + h) * context * context..][..context * context];
            let (keys, values) = (&qkv[d + h * head..], &qkv[2 * d + h * head..]);
            for first in (0..context).step_by(BLOCK) {
                let rows = BLOCK.min(context - first);
                let seen = first + rows;
                let p = &mut p[first * context..][..rows * context];
                matmul(
                    ViewMut::strided(p, rows, seen, context),
                    Into::Replace,
                    R::of(scale),
                    View::strided(&qkv[first * 3 * d + h * head..], rows, head, 3 * d),
                    View::strided(keys, seen, head, 3 * d).t(),
                );
                causal_softmax(p, context, first, rows);
                matmul(
                    ViewMut::strided(&mut out[first * d + h * head..], rows, head, d),
                    Into::Replace,
                    R::ONE,
                    View::strided(p, rows, seen, context),
                    View::strided(values, seen, head, 3 * d),
                );
            }
        }
    }
}

/// Attention backward: writes `dqkv` from the gradient of the output.
///
/// `scores` is scratch of at least 64 × T.
///
/// # Formula
/// ```text
/// dV = Pᵀ·dO,  dP = dO·Vᵀ,  dS = P∘(dP − rowsum(dO∘O)),  dQ = scale·dS·K,  dK = scale·dSᵀ·Q
/// ```
pub fn backward<R: Real>(
    shape: Heads,
    qkv: &[R],
    probabilities: &[R],
    out: &[R],
    dout: &[R],
    dqkv: &mut [R],
    scores: &mut [R],
) {
    let Heads { context, heads, head, scale } = shape;
    let d = shape.width();
    let scale = R::of(scale);
    let sequences = out.len() / (context * d);
    dqkv.fill(R::ZERO);
    for sequence in 0..sequences {
        let qkv = &qkv[sequence * context * 3 * d..][..context * 3 * d];
        let dqkv = &mut dqkv[sequence * context * 3 * d..][..context * 3 * d];
        let out = &out[sequence * context * d..][..context * d];
        let dout = &dout[sequence * context * d..][..context * d];
        for h in 0..heads {
            let p = &probabilities[(sequence * heads + h) * context * context..][..context * context];
            for first in (0..context).step_by(BLOCK) {
                let rows = BLOCK.min(context - first);
                let seen = first + rows;
                let p = &p[first * context..][..rows * context];
                let block = View::strided(p, rows, seen, context);
                let dblock = View::strided(&dout[first * d + h * head..], rows, head, d);
                let values = View::strided(&qkv[2 * d + h * head..], seen, head, 3 * d);
                matmul(
                    ViewMut::strided(&mut dqkv[2 * d + h * head..], seen, head, 3 * d),
                    Into::Add,
                    R::ONE,
                    block.t(),
                    dblock,
                );
                matmul(
                    ViewMut::strided(scores, rows, seen, context),
                    Into::Replace,
                    R::ONE,
                    dblock,
                    values.t(),
                );
                vectorised(
                    #[inline(always)]
                    || {
                        for i in 0..rows {
                            let at = (first + i) * d + h * head;
                            let pull = dot(&dout[at..at + head], &out[at..at + head]);
                            let row = scores[i * context..][..seen].iter_mut().zip(&p[i * context..][..seen]);
                            for (value, &p) in row {
                                *value = p * (*value - pull);
                            }
                        }
                    },
                );
                let dscores = View::strided(scores, rows, seen, context);
                matmul(
                    ViewMut::strided(&mut dqkv[first * 3 * d + h * head..], rows, head, 3 * d),
                    Into::Replace,
                    scale,
                    dscores,
                    View::strided(&qkv[d + h * head..], seen, head, 3 * d),
                );
                matmul(
                    ViewMut::strided(&mut dqkv[d + h * head..], seen, head, 3 * d),
                    Into::Add,
                    scale,
                    dscores.t(),
                    View::strided(&qkv[first * 3 * d + h * head..], rows, head, 3 * d),
                );
            }
        }
    }
}
