//! Σ η in closed form where there is one.

use super::{Schedule, Segment, Shape};
use crate::units::Steps;
use std::f64::consts::{LN_2, PI};

impl Segment {
    /// Σ of the rates of the segment's first `m` updates.
    ///
    /// # Formula
    /// ```text
    /// n updates from a to b, k = 1 … m:
    /// constant     a·m
    /// linear       b·m + (a−b)·(m − m(m+1)/2n)                 power:1 the same
    /// power:2      b·m + (a−b)·(Q(n−1) − Q(n−m−1))/n²          Q(j) = j(j+1)(2j+1)/6
    /// cosine       b·m + (a−b)·(m + C)/2                       C = sin(mθ/2)·cos((m+1)θ/2)/sin(θ/2), θ = π/n
    /// exponential  b·m + (a−b)·(2G(2^(−1/n)) − m)              G(q) = q(1 − q^m)/(1 − q)
    /// geometric    a·G((b/a)^(1/n))
    /// 1-sqrt, inverse, other powers: summed directly, compensated
    /// ```
    /// a, b in rate; the sum in rate · updates.
    ///
    /// # Panics
    /// When `m` is above the segment's length, like an index.
    #[must_use]
    pub fn sum(&self, m: u64) -> f64 {
        assert!(m <= self.updates.0, "{m} updates asked of a segment of {}", self.updates);
        let (a, b, n, count) = (self.from, self.to, self.updates.0 as f64, m as f64);
        if a == b {
            return a * count;
        }
        let weight = match self.shape {
            Shape::Linear => count - count * (count + 1.0) / (2.0 * n),
            Shape::Power(1.0) => count - count * (count + 1.0) / (2.0 * n),
            Shape::Power(2.0) => {
                let squares = |j: f64| j * (j + 1.0) * (2.0 * j + 1.0) / 6.0;
                (squares(n - 1.0) - squares(n - count - 1.0)) / (n * n)
            }
            Shape::Cosine => {
                let half = PI / n / 2.0;
                let cosines = (count * half).sin() * ((count + 1.0) * half).cos() / half.sin();
                (count + cosines) / 2.0
            }
            Shape::Exponential => 2.0 * geometric_sum(-LN_2 / n, count) - count,
            Shape::Geometric => return a * geometric_sum((b / a).ln() / n, count),
            Shape::OneMinusSqrt | Shape::Inverse | Shape::Power(_) => {
                return compensated((1..=m).map(|k| self.lr(k)));
            }
        };
        b * count + (a - b) * weight
    }
}

/// Σ_{k=1}^m e^{kg}, accurate for g near 0.
fn geometric_sum(g: f64, m: f64) -> f64 {
    if g == 0.0 { m } else { g.exp() * (m * g).exp_m1() / g.exp_m1() }
}

/// Neumaier's sum.
fn compensated(values: impl Iterator<Item = f64>) -> f64 {
    let (mut sum, mut lost) = (0.0_f64, 0.0);
    for value in values {
        let next = sum + value;
        lost += if sum.abs() >= value.abs() { (sum - next) + value } else { (value - next) + sum };
        sum = next;
    }
    sum + lost
}

impl Schedule {
    /// Forward effect: Σ η over updates 1 … `upto`, closed form a segment ([`Segment::sum`]), compensated sum for a
    /// sampled schedule. Unit: rate · updates.
    ///
    /// # Panics
    /// When `upto` is beyond the horizon, like an index.
    ///
    /// # Examples
    /// ```
    /// use lehr::{AnnealingRatio, Schedule, Shape, Steps};
    /// let r = AnnealingRatio::new(0.2)?;
    /// let wsd = Schedule::wsd(1.0, Steps(1000), Steps(100), r, Shape::Linear, 0.0)?;
    /// assert_eq!(wsd.sum(Steps(1000)), 50.5 + 700.0 + 99.5);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn sum(&self, upto: Steps) -> f64 {
        assert!(upto <= self.total(), "update {upto} is beyond the horizon {}", self.total());
        if let Self::Sampled(sampled) = self {
            return compensated(sampled.rates()[..upto.0 as usize].iter().copied());
        }
        let mut left = upto.0;
        compensated(self.segments().into_iter().flatten().map(|segment| {
            let taken = segment.updates.0.min(left);
            left -= taken;
            segment.sum(taken)
        }))
    }

    /// Σ η over updates `first` … `last`, both included.
    ///
    /// # Panics
    /// When `first` is 0, above `last`, or `last` is beyond the horizon, like a slice.
    #[must_use]
    pub fn sum_between(&self, first: u64, last: u64) -> f64 {
        assert!(first >= 1 && first <= last, "updates {first} … {last} are no range");
        self.sum(Steps(last)) - self.sum(Steps(first - 1))
    }
}
