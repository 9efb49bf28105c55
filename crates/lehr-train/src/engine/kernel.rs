//! The elementwise and rowwise parts of a block: normalisation, SwiGLU, rotary positions.
//!
//! M is the number of tokens of a micro-batch, d the width, f the inner width.

use super::real::{LANES, Real, dot, fold, vectorised};

/// RMSNorm: `out[t] = x[t]·gain/rms(x[t])`; `inverse[t]` keeps 1/rms.
///
/// # Formula
/// ```text
/// y_i = g_i·x_i·ρ,   ρ = 1/√(Σ x_i²/d + ε)         x, y: M × d;  g: d;  ρ: M
/// ```
pub fn norm<R: Real>(x: &[R], gain: &[R], epsilon: R, out: &mut [R], inverse: &mut [R]) {
    let d = gain.len();
    let share = R::of(1.0 / d as f64);
    vectorised(
        #[inline(always)]
        || {
            for ((x, out), inverse) in x.chunks_exact(d).zip(out.chunks_exact_mut(d)).zip(inverse) {
                let rho = R::ONE / (dot(x, x) * share + epsilon).sqrt();
                *inverse = rho;
                for ((out, &x), &gain) in out.iter_mut().zip(x).zip(gain) {
                    *out = x * rho * gain;
                }
            }
        },
    );
}

/// Adds the gradient of [`norm`] to `dx` and `dgain`.
///
/// # Formula
/// ```text
/// dx_i += ρ·g_i·dy_i − x_i·ρ³/d·Σ_j g_j·dy_j·x_j,      dg_i += Σ_t dy_i·x_i·ρ
/// ```
pub fn norm_backward<R: Real>(x: &[R], gain: &[R], inverse: &[R], dy: &[R], dx: &mut [R], dgain: &mut [R]) {
    let d = gain.len();
    let share = R::of(1.0 / d as f64);
    vectorised(
        #[inline(always)]
        || {
            let rows = x.chunks_exact(d).zip(dy.chunks_exact(d)).zip(dx.chunks_exact_mut(d)).zip(inverse);
            for (((x, dy), dx), &rho) in rows {
                let mut sums = [R::ZERO; LANES];
                let mut rest = R::ZERO;
                let wide = d - d % LANES;
                for at in (0..wide).step_by(LANES) {
                    let (x, dy, gain) = (&x[at..at + LANES], &dy[at..at + LANES], &gain[at..at + LANES]);
                    for i in 0..LANES {
                        sums[i] += x[i] * dy[i] * gain[i];
                    }
                }
                for i in wide..d {
                    rest += x[i] * dy[i] * gain[i];
                }
                let pull = (fold(sums) + rest) * rho * rho * rho * share;
                for ((((dx, &x), &dy), &gain), dgain) in
                    dx.iter_mut().zip(x).zip(dy).zip(gain).zip(dgain.iter_mut())
                {
                    *dgain += dy * x * rho;
                    *dx += rho * gain * dy - x * pull;
                }
            }
        },
    );
}

/// SwiGLU: `out = silu(gate)·up`, where a row of `gate_up` holds f gates and then f ups.
///
/// # Formula
/// ```text
/// a = g·σ(g)·u,   σ(g) = 1/(1 + e^−g)         gate_up: M × 2f;  a: M × f
/// ```
pub fn swiglu<R: Real>(gate_up: &[R], f: usize, out: &mut [R]) {
    vectorised(
        #[inline(always)]
        || {
            for (row, out) in gate_up.chunks_exact(2 * f).zip(out.chunks_exact_mut(f)) {
                let (gate, up) = row.split_at(f);
                for ((out, &g), &u) in out.iter_mut().zip(gate).zip(up) {
                    *out = g / (R::ONE + (-g).exp()) * u;
                }
            }
        },
    );
}

#[inline(always)]
fn swiglu_slopes<R: Real>(g: R, u: R, da: R) -> (R, R) {
    let sigma = R::ONE / (R::ONE + (-g).exp());
    let silu = g * sigma;
    (da * u * (sigma + silu * (R::ONE - sigma)), da * silu)
}

/// Replaces `gate_up` by its gradient, given the gradient of [`swiglu`]'s output.
///
/// # Formula
/// ```text
/// dg = da·u·σ·(1 + g·(1 − σ)),   du = da·g·σ
/// ```
pub fn swiglu_backward<R: Real>(gate_up: &mut [R], f: usize, da: &[R]) {
    vectorised(
        #[inline(always)]
        || {
            for (row, da) in gate_up.chunks_exact_mut(2 * f).zip(da.chunks_exact(f)) {
                let (gate, up) = row.split_at_mut(f);
                let (gates, gate) = gate.as_chunks_mut::<LANES>();
                let (ups, up) = up.as_chunks_mut::<LANES>();
                let (das, da) = da.as_chunks::<LANES>();
                // Two slices that change at once are vectorised only by way of arrays of their own.
                for ((gate, up), da) in gates.iter_mut().zip(ups).zip(das) {
                    let (mut dg, mut du) = (*gate, *up);
                    for i in 0..LANES {
                        (dg[i], du[i]) = swiglu_slopes(dg[i], du[i], da[i]);
                    }
                    (*gate, *up) = (dg, du);
                }
                for ((g, u), &da) in gate.iter_mut().zip(up).zip(da) {
                    (*g, *u) = swiglu_slopes(*g, *u, da);
                }
            }
        },
    );
}

/// Cosines and sines of the rotary angles, each T × h/2 for heads of width h.
///
/// # Formula
/// ```text
/// angle(t, i) = t·θ^(−2i/h),   0 ≤ t < T, 0 ≤ i < h/2
/// ```
pub fn rotary_table<R: Real>(context: usize, head: usize, theta: f64) -> (Vec<R>, Vec<R>) {
    let angle = |t: usize, i: usize| t as f64 * theta.powf(-2.0 * i as f64 / head as f64);
    let table = |value: fn(f64) -> f64| {
        (0..context).flat_map(|t| (0..head / 2).map(move |i| R::of(value(angle(t, i))))).collect()
    };
    (table(f64::cos), table(f64::sin))
}

/// Rotates the first `rotated` heads of every row by its position's angles (`inverse`: back).
///
/// Row t of sequence s stands at `rows[(s·T + t)·stride..]`; element i of a head pairs with element i + h/2.
pub fn rotate<R: Real>(
    rows: &mut [R],
    stride: usize,
    rotated: usize,
    head: usize,
    (cosine, sine): (&[R], &[R]),
    inverse: bool,
) {
    let half = head / 2;
    let context = cosine.len() / half;
    let sign = if inverse { -R::ONE } else { R::ONE };
    vectorised(
        #[inline(always)]
        || {
            for (m, row) in rows.chunks_exact_mut(stride).enumerate() {
                let t = m % context;
                let (cosine, sine) = (&cosine[t * half..][..half], &sine[t * half..][..half]);
                for head in row[..rotated * head].chunks_exact_mut(head) {
                    let (a, b) = head.split_at_mut(half);
                    for (((a, b), &c), &s) in a.iter_mut().zip(b).zip(cosine).zip(sine) {
                        let s = sign * s;
                        let x = *a * c - *b * s;
                        *b = *a * s + *b * c;
                        *a = x;
                    }
                }
            }
        },
    );
}

/// `to += from`.
pub fn add<R: Real>(to: &mut [R], from: &[R]) {
    vectorised(
        #[inline(always)]
        || {
            for (to, &from) in to.iter_mut().zip(from) {
                *to += from;
            }
        },
    );
}
