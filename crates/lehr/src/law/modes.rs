//! A power-law memory as a sum of exponentials: what makes the memory laws cost O(T·K) instead of O(T²).

use crate::vector_math::exp_in_place;

/// Most modes ever used.
pub(super) const MAX_MODES: usize = 64;
/// Step of the sum in log v. Smaller is more accurate and needs more modes; the error falls as e^(−π²/h).
pub(super) const DEFAULT_STEP: f64 = 0.8;
/// log v of the fastest mode.
const LN_FASTEST: f64 = 6.0;
/// The slowest mode has forgotten at most this share at the end of the run; slower ones are lumped as "never".
const SLOWEST_LOSS: f64 = 1e-3;

/// The nodes and weights of an exponential sum for y^-β, y from about e⁻⁵ to `longest`.
///
/// # Formula
/// ```text
/// y^-β = 1/Γ(β)·∫ v^(β−1) e^(−v·y) dv ≈ Σ_j w_j e^(−v_j·y) + w_∞,   v_j = e^(j·h),  w_j = v_j^β/n
/// ```
/// n makes the sum 1 at y = 1, which replaces Γ(β). w_∞ collects the modes that are too slow to forget anything.
pub(super) struct Modes {
    /// Number of modes K.
    pub count: usize,
    /// v_j, falling.
    pub speed: [f64; MAX_MODES],
    /// w_j.
    pub weight: [f64; MAX_MODES],
    /// ∂w_j/∂β.
    pub weight_by: [f64; MAX_MODES],
    /// w_∞.
    pub lasting: f64,
    /// ∂w_∞/∂β.
    pub lasting_by: f64,
}

impl Modes {
    /// The modes for exponent `beta` and arguments up to `longest` at step `h`.
    pub fn new(beta: f64, longest: f64, h: f64) -> Self {
        let last = (LN_FASTEST / h).ceil();
        let first = ((SLOWEST_LOSS / (1.0 + longest)).ln() / h).floor();
        let count = if first.is_finite() { ((last - first) as usize + 1).min(MAX_MODES) } else { MAX_MODES };
        let mut modes = Self {
            count,
            speed: [0.0; MAX_MODES],
            weight: [0.0; MAX_MODES],
            weight_by: [0.0; MAX_MODES],
            lasting: 0.0,
            lasting_by: 0.0,
        };
        let ln_speed = |j: usize| (last - j as f64) * h;
        let mut at_one = [0.0; MAX_MODES];
        for j in 0..count {
            modes.speed[j] = ln_speed(j);
            modes.weight[j] = beta * ln_speed(j);
        }
        exp_in_place(&mut modes.speed[..count]);
        exp_in_place(&mut modes.weight[..count]);
        for (a, v) in at_one.iter_mut().zip(&modes.speed[..count]) {
            *a = -v;
        }
        exp_in_place(&mut at_one[..count]);
        // Σ_{i ≥ 1} (v_slowest·e^(−i·h))^β, and its derivative by β.
        let ratio = (beta * h).exp();
        let ln_slowest = ln_speed(count - 1);
        modes.lasting = (beta * ln_slowest).exp() / (ratio - 1.0);
        modes.lasting_by = modes.lasting * (ln_slowest - h * ratio / (ratio - 1.0));
        let (mut norm, mut norm_by) = (modes.lasting, modes.lasting_by);
        for j in 0..count {
            norm += modes.weight[j] * at_one[j];
            norm_by += modes.weight[j] * at_one[j] * ln_speed(j);
        }
        let (inverse, ln_norm_by) = (1.0 / norm, norm_by / norm);
        for j in 0..count {
            modes.weight[j] *= inverse;
            modes.weight_by[j] = modes.weight[j] * (ln_speed(j) - ln_norm_by);
        }
        modes.lasting *= inverse;
        modes.lasting_by = modes.lasting_by * inverse - modes.lasting * ln_norm_by;
        modes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_of_exponentials_is_the_power() {
        // The error grows with β: the trapezium rule's is 2|Γ(β + 2πi/h)|/Γ(β).
        for (beta, tolerance) in [(0.1, 3e-5), (0.5, 6e-5), (0.9, 1.2e-4), (2.0, 1e-3)] {
            let modes = Modes::new(beta, 1e4, DEFAULT_STEP);
            for i in 0..=40 {
                let y = 10f64.powf(-1.5 + 5.5 * f64::from(i) / 40.0);
                let sum: f64 = modes.lasting
                    + (0..modes.count).map(|j| modes.weight[j] * (-modes.speed[j] * y).exp()).sum::<f64>();
                let error = (sum - y.powf(-beta)).abs();
                // Relative below 1, where the power is large; absolute above, where it is a share of the whole.
                assert!(
                    error < tolerance * y.powf(-beta).max(1.0),
                    "β = {beta}, y = {y}: {error:e} of {:e}",
                    y.powf(-beta)
                );
            }
        }
    }
}
