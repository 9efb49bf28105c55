//! The loss at every update under a schedule.

use crate::answer::Answer;
use crate::desk::Desk;
use crate::documents::Document;
use crate::failure::Failure;
use crate::pictures::{self, Picture};
use crate::reading::Reading;
use crate::target::Plan;
use lehr::Level;
use lehr::fit::Fit;
use lehr::forecast::{Estimate, Forecast, Setting, default_points, forecast};
use lehr::{Caveat, Curve, Schedule};
use serde::Serialize;
use std::fmt::Write as _;
use std::sync::Arc;

/// What to forecast.
#[derive(Debug, Clone)]
pub struct ForecastRequest {
    /// The fit.
    pub fit: Arc<Fit>,
    /// The schedule.
    pub plan: Plan,
    /// What else the run is.
    pub setting: Setting,
    /// Updates to forecast at; empty: spread over the run, from where the fit begins to speak.
    pub at: Vec<u64>,
    /// Level of the interval; `None`: that of the fit.
    pub level: Option<Level>,
    /// Measured runs to show beside it.
    pub measured: Option<Reading>,
}

/// A forecast.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
pub struct ForecastAnswer {
    /// The schedule as text (docs/formats/schedule-text.md).
    pub schedule: String,
    /// Updates at which the loss is forecast, ascending.
    pub update: Vec<u64>,
    /// Rate of each.
    pub lr: Vec<f64>,
    /// Forecast loss at each, nats per token.
    pub loss: Vec<f64>,
    /// Lower end of the interval at each, nats per token.
    pub lower: Vec<f64>,
    /// Upper end of the interval at each, nats per token.
    pub upper: Vec<f64>,
    /// The last of the lists: the loss at the last update asked for, with its interval.
    #[serde(rename = "final")]
    pub last: Estimate,
    /// Level of the intervals.
    pub level: f64,
    /// What to know before using it.
    pub caveats: Vec<Caveat>,
    /// The schedule itself.
    #[serde(skip)]
    pub plan: Schedule,
    /// The forecast as the library gives it.
    #[serde(skip)]
    pub forecast: Forecast,
    /// The measured runs.
    #[serde(skip)]
    pub measured: Vec<Curve>,
}

impl Document for ForecastAnswer {
    const SCHEMA: &'static str = "lehr.forecast/2";
}

impl ForecastAnswer {
    /// Update, rate, loss and interval as CSV.
    #[must_use]
    pub fn csv(&self) -> String {
        let mut csv = String::from("update,lr,loss,lower,upper\n");
        for i in 0..self.update.len() {
            // Writing to a string cannot fail.
            let _ = writeln!(
                csv,
                "{},{:e},{:.6},{:.6},{:.6}",
                self.update[i], self.lr[i], self.loss[i], self.lower[i], self.upper[i]
            );
        }
        csv
    }

    /// The forecast with its schedule, drawn.
    #[must_use]
    pub fn picture(&self, fit: &Fit) -> Picture {
        pictures::forecast(fit, &self.plan, &self.forecast, &self.measured)
    }
}

/// A level of an interval.
///
/// # Errors
/// [`Failure`] for a number that is not between 0 and 1.
pub fn checked_level(level: f64) -> Result<Level, Failure> {
    Level::new(level).map_err(|_| Failure::usage(format_args!("[[level]] {level} is not between 0 and 1")))
}

impl Desk {
    /// Forecasts the loss of a run from its schedule.
    ///
    /// # Errors
    /// [`Failure`] for schedules that are none, updates outside them, laws that give no finite loss, and intervals without an end.
    pub fn forecast(&self, request: &ForecastRequest) -> Result<Answer<ForecastAnswer>, Failure> {
        let mut fit = Arc::clone(&request.fit);
        if let Some(level) = request.level {
            Arc::make_mut(&mut fit).options.level = level;
        }
        let mut notes = Vec::new();
        let plan = request.plan.schedule(&fit, &mut notes)?;
        let total = plan.total().0;
        self.check_horizon(total)?;
        let mut points = if request.at.is_empty() { default_points(total, 160) } else { request.at.clone() };
        points.sort_unstable();
        points.dedup();
        if request.at.is_empty() {
            let first = fit.first_update();
            points.retain(|&t| t >= first || t == total);
        }
        let found =
            self.work("forecasting", || Ok(forecast(&fit, &plan, &request.setting, &points)?.bounded()?))?;
        let measured = match &request.measured {
            None => Vec::new(),
            Some(reading) => {
                let runs = self.runs(reading)?;
                notes.extend(runs.notes);
                runs.curves
            }
        };
        let value = ForecastAnswer {
            schedule: plan.to_string(),
            lr: found.update.iter().map(|&t| plan.lr(t)).collect(),
            update: found.update.clone(),
            loss: found.loss.clone(),
            lower: found.lower.clone(),
            upper: found.upper.clone(),
            last: found.r#final,
            level: found.level.get(),
            caveats: found.caveats.iter().cloned().chain(self.changed_inputs(&fit)).collect(),
            plan,
            forecast: found,
            measured,
        };
        let caveats = value.caveats.clone();
        Ok(Answer { value, caveats, notes })
    }
}
