//! What a fit says of its runs and coefficients.

use super::{Bound, CoefficientFit, Metrics, PointFit, RunFit, Uncertainty, resample};
use crate::curve::Curve;
use crate::law::{Law, Role, Scale};
use crate::schedule::{Rates, Schedule};

/// A robust standard deviation of the log errors: 1.48 times their median size, the mean over runs. The few points
/// right after the warm-up, which every law misses, do not decide it.
pub(super) fn typical_error(evaluated: &[(Metrics, f64, f64)]) -> f64 {
    1.4826 * evaluated.iter().map(|(.., median)| median).sum::<f64>() / evaluated.len() as f64
}

pub(super) fn median_size(errors: &[f64]) -> f64 {
    let mut sizes: Vec<f64> = errors.iter().map(|e| e.abs()).collect();
    sizes.sort_by(f64::total_cmp);
    resample::quantile(&sizes, 0.5)
}

pub(super) fn describe(curve: &Curve, metrics: Metrics, final_error: f64) -> RunFit {
    let meta = curve.meta();
    let rates = Rates::new(curve.schedule());
    let (last, _) = curve.last();
    let peak = rates.largest(1, last);
    let at_peak = peak * (1.0 - 1e-6);
    let warmup = rates.first_at_least(at_peak).unwrap_or(1);
    let left = rates.last_at_least(at_peak, last).unwrap_or(1);
    RunFit {
        id: meta.id.clone(),
        group: meta.noise_group().to_owned(),
        arch: meta.arch.clone(),
        params: meta.law_params(),
        counted: meta.counted,
        tokens_per_step: meta.tokens_per_step,
        dataset: meta.dataset.clone(),
        split: meta.split,
        peak_lr: curve.schedule().peak_lr(),
        warmup,
        last_update: last,
        annealing_share: (last - left) as f64 / last as f64,
        fall: match curve.schedule() {
            Schedule::Wsd(wsd) if wsd.anneal.0 == 0 || left == last => "none".to_owned(),
            Schedule::Wsd(wsd) => wsd.shape.to_string(),
            Schedule::Piecewise(_) if left == last => "none".to_owned(),
            Schedule::Piecewise(_) => "piecewise".to_owned(),
            Schedule::Sampled(_) => "sampled".to_owned(),
        },
        final_lr: rates.at(rates.total()),
        total: rates.total(),
        metrics,
        final_error,
    }
}

pub(super) fn report_coefficients(
    law: &dyn Law,
    point: &PointFit,
    uncertainty: &Uncertainty,
    level: crate::Level,
) -> Vec<CoefficientFit> {
    law.coefficients()
        .iter()
        .enumerate()
        .map(|(i, c)| {
            let position = point.plan.free.iter().position(|&j| j == i);
            let at_bound = position.and_then(|k| {
                let (z, lower, upper) = (point.z[k], point.plan.lower[k], point.plan.upper[k]);
                let near = 1e-6 * (upper - lower);
                if z - lower <= near {
                    Some(Bound::Lower)
                } else if upper - z <= near {
                    Some(Bound::Upper)
                } else {
                    None
                }
            });
            CoefficientFit {
                name: c.name.to_owned(),
                value: point.theta[i],
                interval: position.and_then(|_| {
                    uncertainty.interval(level, c.scale == Scale::Log, point.theta[i], |theta| theta[i])
                }),
                free: position.is_some(),
                prior: matches!(point.plan.roles[i], Role::Prior { .. }),
                at_bound,
            }
        })
        .collect()
}
