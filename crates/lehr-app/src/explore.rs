//! What an explorer shows of one target: forecast, loss against ratio, and other schedules held against it.

use crate::answer::{Answer, add_caveats};
use crate::desk::Desk;
use crate::documents::Document;
use crate::failure::Failure;
use crate::forecast::{ForecastAnswer, ForecastRequest};
use crate::pictures::{self, Picture};
use crate::recommend::{RecommendAnswer, RecommendRequest};
use crate::target::Plan;
use lehr::fit::Fit;
use lehr::forecast::Estimate;
use lehr::{Caveat, Curve, Schedule, Steps};
use serde::Serialize;

/// Most schedules that are held against the target.
pub const MOST_PINS: usize = 6;

/// What to explore.
#[derive(Debug, Clone)]
pub struct ExploreRequest {
    /// The target, as for a recommendation.
    pub target: RecommendRequest,
    /// Annealing ratio; `None`: the recommended one.
    pub ratio: Option<f64>,
    /// Schedules to hold against it.
    pub pins: Vec<Schedule>,
}

/// A schedule held against the target.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
pub struct PinAnswer {
    /// The schedule as text.
    pub schedule: String,
    /// Its final loss with the interval.
    #[serde(rename = "final")]
    pub last: Estimate,
    /// Its final loss above that of the target, nats per token.
    pub difference: f64,
    /// Its losses.
    #[serde(skip)]
    pub forecast: ForecastAnswer,
}

/// One target, explored.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
pub struct ExploreAnswer {
    /// Annealing ratio of the forecast, of whole updates.
    pub ratio: f64,
    /// Updates before the annealing.
    pub start_step: u64,
    /// Updates spent annealing.
    pub anneal_steps: u64,
    /// Final loss above that at the recommended ratio, nats per token.
    pub cost: f64,
    /// The forecast.
    pub forecast: ForecastAnswer,
    /// The recommendation.
    pub recommend: RecommendAnswer,
    /// The schedules held against it.
    pub pins: Vec<PinAnswer>,
    /// What to beware of.
    pub caveats: Vec<Caveat>,
}

impl Document for ExploreAnswer {
    const SCHEMA: &'static str = "lehr.explore/2";
}

impl ExploreAnswer {
    /// Loss against ratio, with the ratio that is looked at where it is not the recommended one.
    #[must_use]
    pub fn ratio_picture(&self, fit: &Fit) -> Picture {
        let other = self.anneal_steps != self.recommend.anneal_steps;
        let chosen = other.then_some((self.ratio, self.forecast.last.value));
        pictures::recommendation_at(fit, &self.recommend.target, &self.recommend.found, &[], chosen)
    }

    /// The forecast with the measured runs and the schedules held against it.
    #[must_use]
    pub fn forecast_picture(&self, fit: &Fit, curves: &[Curve]) -> Picture {
        let pins: Vec<(&Schedule, &lehr::forecast::Forecast)> =
            self.pins.iter().map(|pin| (&pin.forecast.plan, &pin.forecast.forecast)).collect();
        pictures::forecast_beside(fit, &self.forecast.plan, &self.forecast.forecast, curves, &pins)
    }
}

impl Desk {
    /// Explores a target.
    ///
    /// # Errors
    /// As [`Desk::recommend`] and [`Desk::forecast`], and for more pins than [`MOST_PINS`].
    pub fn explore(&self, request: &ExploreRequest) -> Result<Answer<ExploreAnswer>, Failure> {
        if request.pins.len() > MOST_PINS {
            return Err(Failure::usage(format_args!(
                "{} schedules to hold against the target; expected at most {MOST_PINS}",
                request.pins.len()
            )));
        }
        let recommended = self.recommend(&request.target)?;
        self.explore_from(request, recommended)
    }

    /// The same from a recommendation for the same target that is there already.
    ///
    /// # Errors
    /// As [`Desk::forecast`].
    pub fn explore_from(
        &self,
        request: &ExploreRequest,
        recommended: Answer<RecommendAnswer>,
    ) -> Result<Answer<ExploreAnswer>, Failure> {
        let (recommend, mut notes) = (recommended.value, recommended.notes);
        let total = request.target.total;
        let anneal = match request.ratio {
            None => recommend.anneal_steps,
            Some(ratio) => (lehr::AnnealingRatio::new(ratio).map_err(Failure::usage)?.get() * total as f64)
                .round() as u64,
        };
        let schedule = recommend.target.schedule(Steps(anneal)).map_err(Failure::usage)?;
        let fit = &request.target.fit;
        let ask = |schedule: &Schedule| {
            self.forecast(&ForecastRequest {
                fit: fit.clone(),
                plan: Plan::Schedule(schedule.clone()),
                setting: request.target.setting.clone(),
                at: Vec::new(),
                level: None,
                measured: None,
            })
        };
        let forecast = ask(&schedule)?;
        notes.extend(forecast.notes);
        let forecast = forecast.value;
        let mut pins = Vec::new();
        for pin in &request.pins {
            let answer = ask(pin)?.value;
            pins.push(PinAnswer {
                schedule: answer.schedule.clone(),
                last: answer.last,
                difference: answer.last.value - forecast.last.value,
                forecast: answer,
            });
        }
        let mut caveats = recommend.caveats.clone();
        add_caveats(&mut caveats, forecast.caveats.iter().cloned());
        lehr::caveat::sort(&mut caveats);
        let value = ExploreAnswer {
            ratio: anneal as f64 / total as f64,
            start_step: total - anneal,
            anneal_steps: anneal,
            cost: forecast.last.value - recommend.loss.value,
            forecast,
            recommend,
            pins,
            caveats: caveats.clone(),
        };
        Ok(Answer { value, caveats, notes })
    }
}
