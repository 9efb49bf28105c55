//! A law under given coefficients against one curve.

use super::dataset::{self, PreparedRun};
use super::metrics::Metrics;
use super::options::FitOptions;
use super::suspect::scatter;
use crate::curve::Curve;
use crate::features::FeatureDefinition;
use crate::law::Law;

/// Errors of `theta` on one curve, over all its points after the warm-up (the last point alone for a law of final
/// losses): metrics, signed relative error at the end (of single batches: over the last fifth of the updates), and the signed log errors.
#[must_use]
pub fn evaluate(
    law: &dyn Law,
    theta: &[f64],
    curve: &Curve,
    definition: &FeatureDefinition,
    options: &FitOptions,
) -> (Metrics, f64, Vec<f64>) {
    let (run, predicted) = predicted_along(law, theta, curve, definition, options, false);
    let mut metrics = Metrics::of(&predicted, &run.loss);
    if dataset::is_single_batches(curve) && !law.final_only() {
        let (bins, of_bins) = predicted_along(law, theta, curve, definition, options, true);
        metrics.binned = Some(Metrics::of(&of_bins, &bins.loss).mape);
        let level = run.loss.iter().sum::<f64>() / run.loss.len() as f64;
        // Gauss noise of standard deviation σ is off by σ·√(2/π) on average.
        metrics.noise = scatter(&run.loss).map(|sd| sd * std::f64::consts::FRAC_2_PI.sqrt() / level);
    }
    let errors: Vec<f64> = predicted.iter().zip(&run.loss).map(|(p, m)| (p / m).ln()).collect();
    let last = predicted.len() - 1;
    let mut end = predicted[last] / run.loss[last] - 1.0;
    // One batch says little about the end of a run.
    let [.., last_fifth] = dataset::fifths(&run.step);
    if dataset::is_single_batches(curve)
        && let Some(mean) = dataset::mean_of_part(&errors[last_fifth])
    {
        end = mean.exp_m1();
        metrics.r#final = end.abs();
    }
    (metrics, end, errors)
}

/// Update, measured loss and loss under `theta` of every point of one curve after the warm-up (of its last point alone for
/// a law of final losses).
#[must_use]
pub fn evaluate_along(
    law: &dyn Law,
    theta: &[f64],
    curve: &Curve,
    definition: &FeatureDefinition,
    options: &FitOptions,
) -> Vec<(u64, f64, f64)> {
    let (run, predicted) = predicted_along(law, theta, curve, definition, options, false);
    run.step.iter().zip(&run.loss).zip(predicted).map(|((t, loss), p)| (*t, *loss, p)).collect()
}

fn predicted_along(
    law: &dyn Law,
    theta: &[f64],
    curve: &Curve,
    definition: &FeatureDefinition,
    options: &FitOptions,
    thin: bool,
) -> (PreparedRun, Vec<f64>) {
    let run = dataset::prepare(law, curve, definition, options, thin);
    let mut loss = vec![0.0; run.features.points()];
    law.predict(theta, &run.features, &mut loss);
    let mut predicted = Vec::new();
    run.observe(&loss, &mut predicted);
    (run, predicted)
}
