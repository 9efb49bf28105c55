//! The terms that several laws share: descent along S and the size term.

use crate::features::RunFeatures;
use crate::vector_math::exp_in_place;

/// Points handled at a time, so that exponentials are taken over whole slices without an allocation.
pub(super) const CHUNK: usize = 64;

/// λ_N·N₈^-α_N, with its derivatives by λ_N and α_N.
#[derive(Debug, Clone, Copy)]
pub(super) struct SizeTerm {
    /// λ_N·N₈^-α_N.
    pub value: f64,
    /// Derivative by λ_N.
    pub by_lambda: f64,
    /// Derivative by α_N.
    pub by_alpha: f64,
}

/// The size term of a run.
pub(super) fn size_term(lambda: f64, alpha: f64, run: &RunFeatures) -> SizeTerm {
    if run.n8 == 1.0 {
        return SizeTerm { value: lambda, by_lambda: 1.0, by_alpha: 0.0 };
    }
    let ln_n = run.n8.ln();
    let unit = (-alpha * ln_n).exp();
    SizeTerm { value: lambda * unit, by_lambda: unit, by_alpha: -lambda * unit * ln_n }
}

/// Hands (first point, S^-α for up to [`CHUNK`] points) to `each`, chunk by chunk.
#[inline(always)]
pub(super) fn descent(alpha: f64, run: &RunFeatures, mut each: impl FnMut(usize, &[f64])) {
    let mut unit = [0.0; CHUNK];
    let mut first = 0;
    for chunk in run.ln_forward_effect.chunks(CHUNK) {
        let unit = &mut unit[..chunk.len()];
        for (u, ln_s) in unit.iter_mut().zip(chunk) {
            *u = -alpha * ln_s;
        }
        exp_in_place(unit);
        each(first, unit);
        first += chunk.len();
    }
}
