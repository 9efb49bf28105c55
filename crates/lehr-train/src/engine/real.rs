//! The number type of the engine: `f32` trains, `f64` checks gradients.

use super::matmul::{Into, View, ViewMut};
use std::fmt::Debug;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Div, Mul, MulAssign, Neg, Sub, SubAssign};

/// A floating-point number that the engine can compute with.
pub trait Real:
    Copy
    + Debug
    + Default
    + PartialOrd
    + Send
    + Sync
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + AddAssign
    + SubAssign
    + MulAssign
    + Sum
    + 'static
{
    /// 0.
    const ZERO: Self;
    /// 1.
    const ONE: Self;
    /// The nearest number to `value`.
    fn of(value: f64) -> Self;
    /// The same number as `f64`.
    fn to_f64(self) -> f64;
    /// e^self, written without branches so that loops over it become vector instructions.
    fn exp(self) -> Self;
    /// √self.
    fn sqrt(self) -> Self;
    /// The product of non-empty matrices whose shapes fit; see [`super::matmul::matmul`].
    fn product(out: ViewMut<'_, Self>, how: Into, scale: Self, left: View<'_, Self>, right: View<'_, Self>);
    /// The larger of two numbers; written so that a NaN on the left is dropped.
    fn larger(self, other: Self) -> Self;
}

impl Real for f32 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;

    #[inline(always)]
    fn of(value: f64) -> Self {
        value as f32
    }

    #[inline(always)]
    fn to_f64(self) -> f64 {
        f64::from(self)
    }

    /// Within 2 units in the last place on −87 … 88; below it goes to about 10⁻³⁸, above it stays at e^88.
    ///
    /// # Formula
    /// ```text
    /// n = round(x/ln 2),  r = x − n·ln 2,  e^x = 2ⁿ·Σ_{k≤7} rᵏ/k!        |r| ≤ ½ ln 2
    /// ```
    #[inline(always)]
    fn exp(self) -> Self {
        const ROUNDING: f32 = 12_582_912.0; // 1.5·2²³
        const LN2_HIGH: f32 = 0.693_359_4;
        const LN2_LOW: f32 = -2.121_944_4e-4;
        let x = if self > 88.0 { 88.0 } else { self };
        let x = if x < -87.0 { -87.0 } else { x };
        let shifted = x * std::f32::consts::LOG2_E + ROUNDING;
        let n = shifted - ROUNDING;
        let r = (x - n * LN2_HIGH) - n * LN2_LOW;
        let r2 = r * r;
        let low = 1.0 + r;
        let mid = 0.5 + r * (1.0 / 6.0);
        let high = (1.0 / 24.0 + r * (1.0 / 120.0)) + r2 * (1.0 / 720.0 + r * (1.0 / 5040.0));
        let p = low + r2 * (mid + r2 * high);
        let bits = shifted.to_bits().wrapping_sub(ROUNDING.to_bits());
        p * f32::from_bits(bits.wrapping_add(127).wrapping_shl(23))
    }

    #[inline(always)]
    fn sqrt(self) -> Self {
        self.sqrt()
    }

    fn product(out: ViewMut<'_, Self>, how: Into, scale: Self, left: View<'_, Self>, right: View<'_, Self>) {
        super::matmul::fast(out, how, scale, left, right);
    }

    #[inline(always)]
    fn larger(self, other: Self) -> Self {
        if self > other { self } else { other }
    }
}

impl Real for f64 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;

    #[inline(always)]
    fn of(value: f64) -> Self {
        value
    }

    #[inline(always)]
    fn to_f64(self) -> f64 {
        self
    }

    #[inline(always)]
    fn exp(self) -> Self {
        self.exp()
    }

    #[inline(always)]
    fn sqrt(self) -> Self {
        self.sqrt()
    }

    fn product(out: ViewMut<'_, Self>, how: Into, scale: Self, left: View<'_, Self>, right: View<'_, Self>) {
        super::matmul::plain(out, how, scale, left, right);
    }

    #[inline(always)]
    fn larger(self, other: Self) -> Self {
        if self > other { self } else { other }
    }
}

/// Number of partial sums of a reduction: wide enough to fill vector registers, and fixed, so that sums have one order.
pub(crate) const LANES: usize = 16;

/// Turns x into e^(x − max x) in place; gives the largest value and the sum, in a fixed order. `row` is not empty.
#[inline(always)]
pub(crate) fn exponentials<R: Real>(row: &mut [R]) -> (R, R) {
    let mut peaks = [row[0]; LANES];
    let (wide, rest) = row.as_chunks::<LANES>();
    for chunk in wide {
        for i in 0..LANES {
            peaks[i] = peaks[i].larger(chunk[i]);
        }
    }
    let mut peak = peaks[0];
    for &value in peaks.iter().chain(rest) {
        peak = peak.larger(value);
    }
    let mut sums = [R::ZERO; LANES];
    let (wide, rest) = row.as_chunks_mut::<LANES>();
    for chunk in wide {
        for i in 0..LANES {
            chunk[i] = (chunk[i] - peak).exp();
            sums[i] += chunk[i];
        }
    }
    let mut sum = fold(sums);
    for value in rest {
        *value = (*value - peak).exp();
        sum += *value;
    }
    (peak, sum)
}

/// Σ x² in `f64`, in a fixed order.
#[inline(always)]
pub(crate) fn square_sum(values: &[f32]) -> f64 {
    let mut partial = [0.0f64; 8];
    let (wide, rest) = values.as_chunks::<8>();
    for chunk in wide {
        for i in 0..8 {
            partial[i] += f64::from(chunk[i]) * f64::from(chunk[i]);
        }
    }
    partial.iter().sum::<f64>() + rest.iter().map(|&g| f64::from(g) * f64::from(g)).sum::<f64>()
}

/// Σ a·b in a fixed order.
#[inline(always)]
pub(crate) fn dot<R: Real>(a: &[R], b: &[R]) -> R {
    let mut sums = [R::ZERO; LANES];
    let (a_wide, a_rest) = a.as_chunks::<LANES>();
    let (b_wide, b_rest) = b.as_chunks::<LANES>();
    for (x, y) in a_wide.iter().zip(b_wide) {
        for i in 0..LANES {
            sums[i] += x[i] * y[i];
        }
    }
    let rest: R = a_rest.iter().zip(b_rest).map(|(&x, &y)| x * y).sum();
    fold(sums) + rest
}

/// Adds the partial sums pairwise.
#[inline(always)]
pub(crate) fn fold<R: Real>(mut sums: [R; LANES]) -> R {
    let mut width = LANES / 2;
    while width > 0 {
        for i in 0..width {
            sums[i] += sums[i + width];
        }
        width /= 2;
    }
    sums[0]
}

/// Runs `work` with the widest registers of the machine.
#[inline(always)]
pub(crate) fn vectorised<T>(work: impl FnOnce() -> T) -> T {
    pulp::Arch::new().dispatch(work)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_exponential_is_as_good_as_the_libraries() {
        let mut worst = 0.0f64;
        for i in -86_999..87_999 {
            let x = i as f32 * 1e-3;
            let exact = f64::from(x).exp();
            worst = worst.max((f64::from(Real::exp(x)) / exact - 1.0).abs());
        }
        // Two units in the last place of f32 are 2.4e-7.
        assert!(worst < 2.4e-7, "relative error {worst}");
        assert!(Real::exp(-1e30f32) < 2e-38);
        assert_eq!(Real::exp(0f32), 1.0);
    }

    #[test]
    fn a_dot_product_adds_every_element() {
        for n in [0, 1, 15, 16, 17, 100] {
            let a: Vec<f64> = (0..n).map(|i| i as f64 + 1.0).collect();
            let exact: f64 = a.iter().map(|x| x * x).sum();
            assert_eq!(dot(&a, &a), exact);
        }
    }
}
