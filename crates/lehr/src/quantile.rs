//! Quantiles that intervals are built from: one place, so that a table, a picture and a fit cannot disagree.

use crate::Level;
use statrs::distribution::{ContinuousCDF, Normal};

/// The two-sided quantile of Student's t with `degrees` of freedom (at least 1): |t| exceeds it with probability
/// 1 − level. Used wherever a standard deviation was estimated from few values.
///
/// # Examples
/// ```
/// assert!((lehr::quantile::student(lehr::Level::USUAL, 4.0) - 2.132).abs() < 1e-3);
/// ```
#[must_use]
pub fn student(level: Level, degrees: f64) -> f64 {
    crate::fit::resample::student(level, degrees)
}

/// The two-sided quantile of the normal distribution: |z| exceeds it with probability 1 − level. Used where the
/// standard deviation is known.
///
/// # Examples
/// ```
/// assert!((lehr::quantile::normal(lehr::Level::USUAL) - 1.644_854).abs() < 1e-6);
/// ```
#[must_use]
pub fn normal(level: Level) -> f64 {
    Normal::standard().inverse_cdf(0.5 + 0.5 * level.get())
}
