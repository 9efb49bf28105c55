//! The share of the run to spend annealing, and what another share costs.

use crate::answer::Answer;
use crate::desk::Desk;
use crate::documents::Document;
use crate::export::{self, ExportAnswer, ExportRequest};
use crate::failure::Failure;
use crate::measured_runs::{self, MeasuredRun, MeasuredRuns};
use crate::pictures::{self, Picture};
use crate::reading::Reading;
use crate::target::warmup;
use lehr::fit::Fit;
use lehr::forecast::{Estimate, ForecastError, Setting};
use lehr::measured::MeasuredOptimum;
use lehr::recommend::{
    BestShape, FreeSchedule, RatioLoss, RecommendOptions, Recommendation, Rule, Target,
    optimise_free_schedule, optimise_shape, recommend_ratio,
};
use lehr::{Caveat, CaveatKind, Shape, Steps};
use lehr_io::export::Export;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What to recommend for.
#[derive(Debug, Clone)]
pub struct RecommendRequest {
    /// The fit.
    pub fit: Arc<Fit>,
    /// Peak rate.
    pub peak_lr: f64,
    /// Horizon in updates.
    pub total: u64,
    /// Warm-up updates; `None`: as in the runs fitted.
    pub warmup: Option<u64>,
    /// How the rate falls.
    pub shape: Shape,
    /// Final rate.
    pub final_lr: f64,
    /// What else the run is.
    pub setting: Setting,
    /// Limits of the search.
    pub options: RecommendOptions,
    /// Also find the best power of the shape.
    pub optimise_shape: bool,
    /// Also find the best non-increasing schedule.
    pub free_schedule: bool,
    /// Measured runs to compare with.
    pub measured: Option<Reading>,
    /// Also write a trainer's configuration.
    pub export: Option<ExportRequest>,
}

/// A measured optimum of the target's cell, and what the recommendation costs there.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
pub struct MeasuredRegret {
    /// The optimum measured in the cell.
    pub measured: MeasuredOptimum,
    /// Loss at the recommended ratio above the lowest, nats per token.
    pub regret: f64,
}

/// The run that was asked about, everything but the annealing ratio, and the fit that answered.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Asked {
    /// Peak rate.
    pub peak_lr: f64,
    /// Horizon T, updates.
    pub steps: u64,
    /// Warm-up updates.
    pub warmup: u64,
    /// How the rate falls.
    pub shape: String,
    /// Final rate.
    pub final_lr: f64,
    /// N, where it was stated.
    pub params: Option<u64>,
    /// Batch in tokens, where it was stated.
    pub tokens_per_step: Option<u64>,
    /// The law.
    pub law: String,
    /// Runs that it was fitted on.
    pub runs_fitted: usize,
}

impl Asked {
    fn of(fit: &Fit, target: &Target) -> Self {
        Self {
            peak_lr: target.peak_lr,
            steps: target.total.0,
            warmup: target.warmup.0,
            shape: target.shape.to_string(),
            final_lr: target.final_lr,
            params: target.setting.params.map(|n| n.0),
            tokens_per_step: target.setting.tokens_per_step.map(|tokens| tokens.0),
            law: fit.law.clone(),
            runs_fitted: fit.runs.len(),
        }
    }
}

/// A recommendation.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
pub struct RecommendAnswer {
    /// The run that was asked about, and the fit.
    pub asked: Asked,
    /// r*, the annealing ratio with the lowest forecast loss.
    pub ratio: f64,
    /// Interval of r*.
    #[schemars(with = "lehr::schema::Interval")]
    pub interval: (f64, f64),
    /// Ratios whose loss is within `tolerance` of the lowest.
    #[schemars(with = "lehr::schema::Interval")]
    pub plateau: (f64, f64),
    /// Tolerance of the plateau, nats per token.
    pub tolerance: f64,
    /// Forecast loss at r*, with its interval.
    pub loss: Estimate,
    /// Last update of the stable phase: annealing starts after it.
    pub start_step: u64,
    /// Length of the annealing, updates.
    pub anneal_steps: u64,
    /// Horizon T, updates.
    pub steps: u64,
    /// Tokens of the whole run, where the batch is known.
    pub tokens: Option<u64>,
    /// What common rules cost, by name: `10%`, `20%`, `40%`, `cosine`, `cosine-to-10%`, `linear-to-zero`; those
    /// that do not fit into the horizon are missing.
    pub rules: BTreeMap<String, Rule>,
    /// Forecast loss against the ratio.
    pub curve: Vec<RatioLoss>,
    /// Level of the intervals.
    pub level: f64,
    /// What to know before using it.
    pub caveats: Vec<Caveat>,
    /// The best power of the shape; with `[[optimise_shape]]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shape: Option<BestShape>,
    /// The best non-increasing schedule; with `[[free_schedule]]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub free_schedule: Option<FreeSchedule>,
    /// Measured optima of the target's cell; with `[[measured]]`, where those runs have this peak rate and horizon.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub measured: Vec<MeasuredRegret>,
    /// Measured runs of the target's peak rate, horizon, size and batch, beside their forecasts; with
    /// `[[measured]]`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub measured_runs: Vec<MeasuredRun>,
    /// The trainer's configuration; with `[[export]]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub export: Option<ExportAnswer>,
    /// The target.
    #[serde(skip)]
    pub target: Target,
    /// The recommendation as the library gives it.
    #[serde(skip)]
    pub found: Recommendation,
    /// The export as the library gives it.
    #[serde(skip)]
    pub made: Option<Export>,
}

impl Document for RecommendAnswer {
    const SCHEMA: &'static str = "lehr.recommend/2";
}

impl RecommendAnswer {
    /// Ratio, forecast loss and half-width of the interval of its difference to the best, as CSV.
    #[must_use]
    pub fn csv(&self) -> String {
        let lines = self.curve.iter().map(|p| format!("{},{:.6},{:.6}\n", p.ratio, p.loss, p.half_width));
        format!("ratio,loss,difference_half_width\n{}", lines.collect::<String>())
    }

    /// Loss against ratio, drawn.
    #[must_use]
    pub fn picture(&self, fit: &Fit) -> Picture {
        pictures::recommendation(fit, &self.target, &self.found, &self.measured_runs)
    }
}

impl Desk {
    /// Recommends the annealing ratio of a run.
    ///
    /// # Errors
    /// [`Failure`] for targets that make no schedule, laws that do not see one, and a trainer that cannot express it.
    pub fn recommend(&self, request: &RecommendRequest) -> Result<Answer<RecommendAnswer>, Failure> {
        let fit = &request.fit;
        let options = &request.options;
        if !(options.tolerance.is_finite() && options.tolerance >= 0.0) {
            return Err(Failure::usage(format_args!(
                "[[tolerance]] {} is not a number of at least 0",
                options.tolerance * 1e3
            )));
        }
        self.check_horizon(request.total)?;
        let mut notes = Vec::new();
        let target = Target {
            peak_lr: request.peak_lr,
            total: Steps(request.total),
            warmup: warmup(request.warmup, fit, request.total, &mut notes),
            shape: request.shape,
            final_lr: request.final_lr,
            setting: request.setting.clone(),
        };
        let found = self.work("searching", || Ok(recommend_ratio(fit, &target, options)?))?;
        if !found.loss.is_bounded() {
            return Err(ForecastError::NoInterval { update: request.total }.into());
        }
        let shape = if request.optimise_shape {
            Some(self.work("searching", || Ok(optimise_shape(fit, &target, options, &found)?))?)
        } else {
            None
        };
        let free_schedule = if request.free_schedule {
            Some(self.work("searching", || Ok(optimise_free_schedule(fit, &target, &found)?))?)
        } else {
            None
        };
        let measured = match &request.measured {
            None => MeasuredRuns::default(),
            Some(reading) => {
                let runs = self.runs(reading)?;
                notes.extend(runs.notes);
                self.work("forecasting", || Ok(measured_runs::beside(fit, &target, &found, &runs.curves)))?
            }
        };
        notes.extend(measured.notes);
        let best = target.schedule(Steps(found.anneal_steps)).map_err(Failure::usage)?;
        let made = request.export.as_ref().map(|export| export.make(&best)).transpose()?;
        let export = match &made {
            Some(made) => Some(ExportAnswer {
                loss_cost: Some(export::cost(made, fit, &target.setting, &best)?),
                ..ExportAnswer::from(made)
            }),
            None => None,
        };
        let mut caveats = found.caveats.clone();
        caveats.extend(self.changed_inputs(fit));
        if free_schedule.is_some() || shape.is_some() {
            caveats.push(CaveatKind::FreeShape.into());
        }
        let value = RecommendAnswer {
            asked: Asked::of(fit, &target),
            ratio: found.ratio,
            interval: found.interval,
            plateau: found.plateau,
            tolerance: found.tolerance,
            loss: found.loss,
            start_step: found.start_step,
            anneal_steps: found.anneal_steps,
            steps: request.total,
            tokens: found.tokens,
            rules: found.rules.clone(),
            curve: found.curve.clone(),
            level: found.level.get(),
            caveats: caveats.clone(),
            shape,
            free_schedule,
            measured: measured.optima,
            measured_runs: measured.runs,
            export,
            target,
            found,
            made,
        };
        Ok(Answer { value, caveats, notes })
    }
}
