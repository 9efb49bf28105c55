//! Exponentials of whole slices, written so that the compiler can use vector instructions.

/// Largest argument whose exponential is finite.
const OVERFLOW: f64 = 709.782_712_893_384;
/// Below this argument the exponential is taken as 0 (it would not be a normal number).
const UNDERFLOW: f64 = -708.0;
/// 1.5·2⁵²: adding and subtracting it rounds to an integer, which then stands in the low bits.
const ROUNDING: f64 = 6_755_399_441_055_744.0;
const LN2_HIGH: f64 = 0.693_147_180_369_123_8;
const LN2_LOW: f64 = 1.908_214_929_270_587_7e-10;

/// e^x, within 2 units in the last place of the correctly rounded value; 0 below −708, ∞ above 709.8, NaN for NaN.
///
/// # Formula
/// ```text
/// n = round(x/ln 2),  r = x − n·ln 2,  e^x = 2ⁿ·Σ_{k≤13} r^k/k!        |r| ≤ ½ ln 2
/// ```
#[inline(always)]
#[must_use]
pub(crate) fn exp(x: f64) -> f64 {
    let shifted = x.clamp(UNDERFLOW, OVERFLOW) * std::f64::consts::LOG2_E + ROUNDING;
    let n = shifted - ROUNDING;
    let r = (x - n * LN2_HIGH) - n * LN2_LOW;
    let r2 = r * r;
    let r4 = r2 * r2;
    // Estrin's scheme: short chains of dependent operations.
    let a = (1.0 / 2.0 + r * (1.0 / 6.0)) + r2 * (1.0 / 24.0 + r * (1.0 / 120.0));
    let b = (1.0 / 720.0 + r * (1.0 / 5040.0)) + r2 * (1.0 / 40_320.0 + r * (1.0 / 362_880.0));
    let c = (1.0 / 3_628_800.0 + r * (1.0 / 39_916_800.0))
        + r2 * (1.0 / 479_001_600.0 + r * (1.0 / 6_227_020_800.0));
    let p = 1.0 + (r + r2 * (a + r4 * (b + r4 * c)));
    // 2ⁿ in two factors, because 2¹⁰²⁴ is not a number while e^709.7 is.
    let bits = shifted.to_bits().wrapping_sub(ROUNDING.to_bits());
    let half = f64::from_bits(bits.wrapping_add(1022).wrapping_shl(52));
    let value = p * half * 2.0;
    let value = if x < UNDERFLOW { 0.0 } else { value };
    if x > OVERFLOW { f64::INFINITY } else { value }
}

/// ln x, within 2 units in the last place; NaN for x ≤ 0 and NaN, ∞ for ∞; x must not be subnormal.
///
/// # Formula
/// ```text
/// x = 2^k·m, √½ < m ≤ √2,  f = m − 1,  s = f/(2 + f):  ln x = k·ln 2 + 2s + (2/3)s³ + …
/// ```
/// with a minimax polynomial in s² and the terms arranged as f − (½f² − s·(½f² + R)).
#[inline(always)]
#[must_use]
pub(crate) fn ln(x: f64) -> f64 {
    const EXPONENT_ONE: u64 = 0x3ff0_0000_0000_0000;
    const MANTISSA: u64 = 0x000f_ffff_ffff_ffff;
    // 2⁵²: an integer below 2⁵² in its low bits is that integer added to it.
    const BASE: u64 = 0x4330_0000_0000_0000;
    let bits = x.to_bits();
    let m = f64::from_bits((bits & MANTISSA) | EXPONENT_ONE);
    let k = f64::from_bits((bits >> 52) | BASE) - (4_503_599_627_370_496.0 + 1023.0);
    let above = m > std::f64::consts::SQRT_2;
    let m = if above { 0.5 * m } else { m };
    let k = if above { k + 1.0 } else { k };
    let f = m - 1.0;
    let s = f / (2.0 + f);
    let z = s * s;
    let w = z * z;
    let even = w * (0.399_999_999_994_094_2 + w * (0.222_221_984_321_497_84 + w * 0.153_138_376_992_093_73));
    let odd = z
        * (0.666_666_666_666_673_5
            + w * (0.285_714_287_436_623_9 + w * (0.181_835_721_616_180_5 + w * 0.147_981_986_051_165_86)));
    let half = 0.5 * f * f;
    let value = k * LN2_HIGH - ((half - (s * (half + (even + odd)) + k * LN2_LOW)) - f);
    let value = if x > 0.0 { value } else { f64::NAN };
    if x == f64::INFINITY { x } else { value }
}

/// Runs `work` with the widest registers that the machine has. Same operations in the same order, so the same bits.
#[inline(always)]
pub(crate) fn vectorised<R>(work: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(work)
}

/// Replaces every x by e^x, as [`exp`], with the registers of the surrounding code.
#[inline(always)]
pub(crate) fn exp_each(values: &mut [f64]) {
    for x in values {
        *x = exp(*x);
    }
}

/// Replaces every x by e^x, as [`exp`].
#[inline]
pub(crate) fn exp_in_place(values: &mut [f64]) {
    vectorised(
        #[inline(always)]
        || exp_each(values),
    );
}

/// Replaces every x by ln x, as [`ln`].
#[inline]
pub(crate) fn ln_in_place(values: &mut [f64]) {
    vectorised(
        #[inline(always)]
        || {
            for x in values {
                *x = ln(*x);
            }
        },
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exponential_is_within_two_units_in_the_last_place() {
        let mut worst: f64 = 0.0;
        for i in -70_000..70_000 {
            let x = f64::from(i) * 0.0101 + 1e-7 * f64::from(i % 13);
            let wanted = x.exp();
            let unit = wanted * f64::EPSILON;
            worst = worst.max((exp(x) - wanted).abs() / unit);
        }
        assert!(worst <= 2.0, "worst error {worst} ulp");
    }

    #[test]
    fn the_exponential_has_the_usual_limits() {
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(-0.0), 1.0);
        assert_eq!(exp(f64::NEG_INFINITY), 0.0);
        assert_eq!(exp(-1000.0), 0.0);
        assert_eq!(exp(f64::INFINITY), f64::INFINITY);
        assert_eq!(exp(800.0), f64::INFINITY);
        assert!(exp(f64::NAN).is_nan());
        assert!(exp(709.7).is_finite());
    }

    #[test]
    fn a_slice_gets_the_same_bits_as_its_entries() {
        let mut values: Vec<f64> = (0..103).map(|i| -0.37 * f64::from(i) + 2.0).collect();
        let wanted: Vec<f64> = values.iter().map(|&x| exp(x)).collect();
        exp_in_place(&mut values);
        assert_eq!(values, wanted);
    }

    #[test]
    fn the_logarithm_is_within_two_units_in_the_last_place() {
        let mut worst: f64 = 0.0;
        for i in 1..200_000 {
            let x = 1e-4 * f64::from(i) * (1.0 + 1e-9 * f64::from(i % 17));
            for x in [x, x * 1e200, x * 1e-200, 1.0 + x * 1e-9] {
                let wanted = x.ln();
                worst =
                    worst.max((ln(x) - wanted).abs() / (wanted.abs() * f64::EPSILON).max(f64::MIN_POSITIVE));
            }
        }
        assert!(worst <= 2.0, "worst error {worst} ulp");
        assert_eq!(ln(1.0), 0.0);
        assert!(ln(0.0).is_nan() && ln(-1.0).is_nan() && ln(f64::NAN).is_nan());
        assert_eq!(ln(f64::INFINITY), f64::INFINITY);
    }
}
