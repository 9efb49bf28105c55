//! How far a prediction is from a measured curve.

use serde::{Deserialize, Serialize};

/// Errors of one curve over its points after the warm-up, or their means over curves.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Metrics {
    /// Coefficient of determination, 1 − Σ(L̂−L)²/Σ(L−L̄)²; `None` (`null` in JSON) where the losses have no spread to
    /// explain, as those of a single point.
    pub r2: Option<f64>,
    /// Mean |L̂ − L|, nats.
    pub mae: f64,
    /// Root of the mean (L̂ − L)², nats.
    pub rmse: f64,
    /// Mean |L̂ − L|/L, a fraction (PredE).
    pub mape: f64,
    /// Largest |L̂ − L|/L, a fraction (WorstE).
    pub worst: f64,
    /// |L̂ − L|/L at the last point, of single batches by the mean over the last fifth of the updates, a fraction.
    pub r#final: f64,
    /// Of training losses of single batches: mean |L̂ − L|/L with both averaged over the bins that fits use, a fraction; `None`
    /// for other losses, whose points are judged as they are.
    #[serde(default)]
    pub binned: Option<f64>,
    /// Of training losses of single batches: mean |ε|/L of the scatter ε of one point about a smooth curve, a fraction. No law can
    /// bring `mape` below it.
    #[serde(default)]
    pub noise: Option<f64>,
}

impl Metrics {
    /// The error by which laws are judged: that of bins where points are single batches, else that of points.
    #[must_use]
    pub fn judged(&self) -> f64 {
        self.binned.unwrap_or(self.mape)
    }

    /// Errors of predicted against measured losses, both nats, equally long and not empty.
    #[must_use]
    pub fn of(predicted: &[f64], measured: &[f64]) -> Self {
        let n = measured.len() as f64;
        let mean = measured.iter().sum::<f64>() / n;
        let (mut absolute, mut squares, mut relative, mut worst, mut spread) = (0.0, 0.0, 0.0, 0.0_f64, 0.0);
        let mut last = 0.0;
        for (&p, &m) in predicted.iter().zip(measured) {
            let error = (p - m).abs();
            absolute += error;
            squares += error * error;
            relative += error / m;
            worst = worst.max(error / m);
            spread += (m - mean) * (m - mean);
            last = error / m;
        }
        Self {
            r2: Some(1.0 - squares / spread).filter(|r2| spread > 0.0 && r2.is_finite()),
            mae: absolute / n,
            rmse: (squares / n).sqrt(),
            mape: relative / n,
            worst,
            r#final: last,
            binned: None,
            noise: None,
        }
    }

    /// The mean of every figure over curves; R² over the curves that have one. `None` without curves.
    #[must_use]
    pub fn mean(curves: &[Self]) -> Option<Self> {
        if curves.is_empty() {
            return None;
        }
        let n = curves.len() as f64;
        let mean = |f: fn(&Self) -> f64| curves.iter().map(f).sum::<f64>() / n;
        let over =
            |values: Vec<f64>| (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64);
        // Where some curves are of single batches and some are not, the mean of what each is judged by.
        let binned = curves.iter().any(|m| m.binned.is_some()).then(|| mean(Self::judged));
        Some(Self {
            r2: over(curves.iter().filter_map(|m| m.r2).collect()),
            mae: mean(|m| m.mae),
            rmse: mean(|m| m.rmse),
            mape: mean(|m| m.mape),
            worst: mean(|m| m.worst),
            r#final: mean(|m| m.r#final),
            binned,
            noise: over(curves.iter().filter_map(|m| m.noise).collect()),
        })
    }
}
