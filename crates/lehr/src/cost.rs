//! What other rates than those asked for cost.

use crate::fit::Fit;
use crate::forecast::{ForecastError, Ready, Setting, spread_of};
use crate::quantile::student;
use crate::schedule::{Schedule, ScheduleError};
use serde::{Deserialize, Serialize};

/// A difference of two final losses.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// The difference, nats per token; positive where the other rates end higher.
    pub value: f64,
    /// Its interval at the level of the fit.
    pub interval: (f64, f64),
}

/// Why a cost cannot be told.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CostError {
    /// The fit cannot forecast.
    #[error(transparent)]
    Forecast(#[from] ForecastError),
    /// The rates are no schedule.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
    /// The rates are of another number of updates.
    #[error("{found} rates were given for a schedule of {expected} updates; give one rate an update")]
    Length {
        /// Rates given.
        found: usize,
        /// Updates of the schedule.
        expected: u64,
    },
}

/// The final loss under `rates` (one an update) minus that under `wanted`, by the fit: what a trainer's own rates cost
/// against the rates asked for.
///
/// # Formula
/// ```text
/// c = L̂(rates) − L̂(wanted);   interval c ± t·s, s the spread of c over the refits, t Student's t
/// ```
/// Both enter as plain rates, so that nothing but the rates differs.
///
/// # Errors
/// [`CostError`], one variant a reason.
pub fn cost_of_rates(
    fit: &Fit,
    wanted: &Schedule,
    rates: &[f64],
    setting: &Setting,
) -> Result<Cost, CostError> {
    let total = wanted.total().0;
    if rates.len() as u64 != total {
        return Err(CostError::Length { found: rates.len(), expected: total });
    }
    let ready = Ready::new(fit, setting.params)?;
    let features = |rates: Vec<f64>| -> Result<_, CostError> {
        Ok(ready.features(&Schedule::sampled(rates)?, &[total], setting.tokens_per_step))
    };
    let (other, asked) = (features(rates.to_vec())?, features(wanted.rates())?);
    let difference = |theta: &[f64]| -> Result<f64, CostError> {
        let (a, b) = (ready.predict(theta, &other)[0], ready.predict(theta, &asked)[0]);
        match [a, b].into_iter().find(|loss| !(loss.is_finite() && *loss > 0.0)) {
            Some(value) => Err(ForecastError::NotFinite { value, update: total }.into()),
            None => Ok(a - b),
        }
    };
    let value = difference(&ready.theta)?;
    let refits = fit.uncertainty.refits.iter().filter_map(|refit| difference(&refit.theta).ok());
    let half = student(fit.options.level, fit.uncertainty.degrees()) * spread_of(fit, refits).min(10.0);
    Ok(Cost { value, interval: (value - half, value + half) })
}
