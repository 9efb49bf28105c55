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
    /// 1-sqrt       b·m + (a−b)·(m − P(½, 1, m)/√n)             P(s, x, m) = Σ_{i<m} (x + i)^s
    /// power:β      b·m + (a−b)·P(β, n−m, m)/n^β
    /// inverse      P(−1, …)/|1/b − 1/a|·n over the rates' own scale
    /// ```
    /// a, b in rate; the sum in rate · updates. P is summed term by term where its terms are few or steep and by
    /// Euler and Maclaurin's formula beyond, so that the cost does not grow with m.
    ///
    /// # Panics
    /// When `m` is above the segment's length, like an index.
    #[must_use]
    pub fn sum(&self, m: u64) -> f64 {
        assert!(m <= self.updates.0, "{m} updates asked of a segment of {}", self.updates);
        let (a, b, n, count) = (self.from, self.to, self.whole.0 as f64, m as f64);
        if a == b || m == 0 {
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
            Shape::OneMinusSqrt => count - powers(0.5, 1.0, m, n),
            Shape::Power(beta) => powers(beta, (self.whole.0 - m) as f64, m, n),
            Shape::Inverse => {
                // 1/η = 1/a + k·d, so that η = (1/|d|)/u with u = |1/(a·d) + k|.
                let d = (1.0 / b - 1.0 / a) / n;
                let start = 1.0 / (a * d);
                let (nearest, scale) = (if d > 0.0 { start + 1.0 } else { -(start + count) }, 1.0 / d.abs());
                return if scale.is_finite() && nearest.is_finite() && nearest > 0.0 {
                    scale * powers(-1.0, nearest, m, 1.0)
                } else {
                    // Rates so close together that their reciprocals do not differ.
                    0.5 * (a + b) * count
                };
            }
        };
        b * count + (a - b) * weight
    }
}

/// Σ_{k=1}^m e^{kg}, accurate for g near 0.
fn geometric_sum(g: f64, m: f64) -> f64 {
    if g == 0.0 || m == 0.0 { m } else { g.exp() * (m * g).exp_m1() / g.exp_m1() }
}

/// Σ_{i=0}^{m−1} ((x + i)/n)^s for x ≥ 0 (above 0 for s < 0).
///
/// # Formula
/// Term by term up to x + i = 64 + 8|s|, then Euler and Maclaurin:
/// ```text
/// Σ_{u=p}^{q} f = ∫_p^q f + (f(p) + f(q))/2 + Σ_k B_2k/(2k)!·(f^(2k−1)(q) − f^(2k−1)(p))     k = 1 … 4
/// ```
/// whose rest is below 10⁻¹⁵ of the sum there.
fn powers(s: f64, x: f64, m: u64, n: f64) -> f64 {
    let smooth = 64.0 + 8.0 * s.abs();
    let direct = if x >= smooth { 0 } else { ((smooth - x).ceil() as u64).min(m) };
    let steep = compensated((0..direct).map(|i| ((x + i as f64) / n).powf(s)));
    let left = m - direct;
    if left <= 64 {
        return steep + compensated((direct..m).map(|i| ((x + i as f64) / n).powf(s)));
    }
    let (p, q) = (x + direct as f64, x + (m - 1) as f64);
    let f = |u: f64| (u / n).powf(s);
    let integral = if s == -1.0 { n * ((q - p) / p).ln_1p() } else { (q * f(q) - p * f(p)) / (s + 1.0) };
    // f^(k)(u) = s(s−1)…(s−k+1)·f(u)/u^k
    let odd =
        |u: f64, order: i32| (0..order).map(|k| s - f64::from(k)).product::<f64>() * f(u) / u.powi(order);
    let correction: f64 = [(1, 1.0 / 12.0), (3, -1.0 / 720.0), (5, 1.0 / 30_240.0), (7, -1.0 / 1_209_600.0)]
        .into_iter()
        .map(|(order, share)| share * (odd(q, order) - odd(p, order)))
        .sum();
    steep + integral + 0.5 * (f(p) + f(q)) + correction
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
        let parts = self.parts().unwrap_or_default();
        compensated(parts.iter().map(|segment| {
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
