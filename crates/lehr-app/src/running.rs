//! A running job: where it stands, when to anneal, its forecast corrected by what it shows.

use crate::answer::{Answer, add_caveats};
use crate::desk::Desk;
use crate::documents::Document;
use crate::export::{self, ExportAnswer, ExportRequest};
use crate::failure::Failure;
use crate::pictures::{self, Picture};
use crate::reading::Reading;
use lehr::Level;
use lehr::fit::Fit;
use lehr::forecast::{Estimate, Forecast, Setting, default_points};
use lehr::live::{AnnealRow, Carry, Ending, Live, LiveError, LongerBudget, Standing, StartOptions, Starts};
use lehr::{Caveat, Curve, Schedule, Shape};
use lehr_io::Note;
use lehr_io::export::Export;
use serde::Serialize;
use std::fmt::Write as _;

/// The job, and the fit to hold against it.
#[derive(Debug, Clone)]
pub struct Job {
    /// The fit.
    pub fit: Fit,
    /// The job's log: one run.
    pub reading: Reading,
    /// What the job is, where its log does not say.
    pub setting: Setting,
    /// Horizon in updates; `None`: as its log says.
    pub total: Option<u64>,
    /// How the rate will fall.
    pub shape: Shape,
    /// Final rate.
    pub final_lr: f64,
}

/// When should this job begin to anneal?
#[derive(Debug, Clone)]
pub struct RunningRequest {
    /// The job.
    pub job: Job,
    /// Lengths of annealing to tabulate; empty: shares of what is left.
    pub anneal_steps: Vec<u64>,
    /// Starts to look at besides the best.
    pub anneal_from: Vec<u64>,
    /// Starts within this many nats of the best are tied with it.
    pub tolerance: f64,
    /// Also write a trainer's configuration of the best start.
    pub export: Option<ExportRequest>,
}

/// Where a job stands and when it should begin to anneal.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
pub struct RunningAnswer {
    /// Where the job stands, and whether the law knows it.
    pub standing: Standing,
    /// Horizon T, updates.
    pub steps: u64,
    /// The best start of the annealing.
    pub starts: Starts,
    /// The law alone at the horizon, with the best start.
    pub law: Estimate,
    /// How much of the job's offset is carried to the horizon.
    pub carry: Carry,
    /// The end of the job as its log plans it, where the plan goes beyond its last update.
    pub planned: Option<Ending>,
    /// Annealing over D updates now, and as late as the horizon allows.
    pub anneal: Vec<AnnealRow>,
    /// The starts named by `[[anneal_from]]`, each to the horizon.
    pub from: Vec<Ending>,
    /// 1.1, 1.25, 1.5 and 2 times the horizon, each with its best start.
    pub longer: Vec<LongerBudget>,
    /// Level of the intervals.
    pub level: f64,
    /// What to know before using it.
    pub caveats: Vec<Caveat>,
    /// The trainer's configuration; with `[[export]]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub export: Option<ExportAnswer>,
    /// The schedule with the best start.
    #[serde(skip)]
    pub schedule: Schedule,
    /// The job's points.
    #[serde(skip)]
    pub curve: Curve,
    /// The forecast with the best start.
    #[serde(skip)]
    pub forecast: Forecast,
    /// The export as the library gives it.
    #[serde(skip)]
    pub made: Option<Export>,
}

impl Document for RunningAnswer {
    const SCHEMA: &'static str = "lehr.running/1";
}

impl RunningAnswer {
    /// The job, its corrected forecast and the schedule with the best start, drawn.
    #[must_use]
    pub fn picture(&self, fit: &Fit) -> Picture {
        pictures::forecast(fit, &self.schedule, &self.forecast, std::slice::from_ref(&self.curve))
    }
}

/// What loss will this job reach?
#[derive(Debug, Clone)]
pub struct RunningForecastRequest {
    /// The job.
    pub job: Job,
    /// Last update before the annealing.
    pub anneal_from: Option<u64>,
    /// Updates spent annealing.
    pub anneal_steps: Option<u64>,
    /// Annealing ratio, where neither start nor length is given.
    pub ratio: Option<f64>,
    /// Updates to forecast at; empty: spread over the run.
    pub at: Vec<u64>,
    /// Level of the interval; `None`: that of the fit.
    pub level: Option<Level>,
}

/// The forecast of a running job.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
pub struct RunningForecastAnswer {
    /// The job's schedule with what follows, as text.
    pub schedule: String,
    /// Where the job stands.
    pub standing: Standing,
    /// Updates at which the loss is forecast, ascending.
    pub update: Vec<u64>,
    /// Rate of each.
    pub lr: Vec<f64>,
    /// Corrected loss at each, nats per token.
    pub loss: Vec<f64>,
    /// Lower end of the interval at each, nats per token.
    pub lower: Vec<f64>,
    /// Upper end of the interval at each, nats per token.
    pub upper: Vec<f64>,
    /// The last of the lists: the loss at the last update asked for, with its interval.
    #[serde(rename = "final")]
    pub last: Estimate,
    /// By the law alone, at the last of them.
    pub law: Estimate,
    /// How much of the job's offset is carried there.
    pub carry: Carry,
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
    /// The job's points.
    #[serde(skip)]
    pub curve: Curve,
}

impl Document for RunningForecastAnswer {
    const SCHEMA: &'static str = "lehr.running-forecast/2";
}

impl RunningForecastAnswer {
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

    /// The job and its corrected forecast, drawn.
    #[must_use]
    pub fn picture(&self, fit: &Fit) -> Picture {
        pictures::forecast(fit, &self.plan, &self.forecast, std::slice::from_ref(&self.curve))
    }
}

impl From<LiveError> for Failure {
    fn from(error: LiveError) -> Self {
        match error {
            LiveError::Forecast(error) => error.into(),
            LiveError::BlindLaw(_) => {
                Self::new(error).hint("fit a law that sees the schedule: [[law]] noise-relaxation")
            }
            LiveError::TooEarly { .. } => Self::new(error).hint("ask again when it has got there"),
            LiveError::Spent { .. } => Self::usage(error).hint("state a later horizon with [[steps]]"),
            LiveError::Start { .. } => Self::usage(error)
                .hint("[[anneal_from]] and [[anneal_steps]] must lie within what is left of the job"),
            LiveError::Schedule(_) => Self::usage(error),
        }
    }
}

/// The one run of a reading.
fn only(curves: Vec<Curve>) -> Result<Curve, Failure> {
    let names: Vec<&str> = curves.iter().map(|curve| curve.meta().id.as_str()).collect();
    if names.len() != 1 {
        let shown = names.iter().take(4).copied().collect::<Vec<_>>().join(", ");
        let more = if names.len() > 4 { ", …" } else { "" };
        return Err(Failure::usage(format_args!(
            "[[running]] is one job, and {} runs were found there: {shown}{more}",
            names.len()
        ))
        .hint("name one with [[run]]"));
    }
    curves.into_iter().next().ok_or_else(|| Failure::usage("[[running]] holds no run"))
}

impl Desk {
    /// Reads the job and finds its horizon.
    fn job(&self, job: &Job, notes: &mut Vec<Note>) -> Result<(Curve, Vec<Caveat>), Failure> {
        let runs = self.runs(&job.reading)?;
        notes.extend(runs.notes);
        Ok((only(runs.curves)?, runs.caveats))
    }

    /// The horizon: as stated, or what the log planned beyond its last update.
    fn horizon(&self, job: &Job, curve: &Curve, notes: &mut Vec<Note>) -> Result<u64, Failure> {
        let (last, _) = curve.last();
        let planned = curve.schedule().total().0;
        let total = match job.total {
            Some(total) => total,
            None if planned > last => {
                notes.push(Note::new(
                    "planned-horizon",
                    curve.meta().id.clone(),
                    format!("horizon {planned} updates, as its log says ([[steps]] says otherwise)"),
                ));
                planned
            }
            None => {
                return Err(Failure::usage(format_args!(
                    "the log of '{}' ends at update {last} and does not say how long the job is to run",
                    curve.meta().id
                ))
                .hint("state the horizon in updates with [[steps]]"));
            }
        };
        self.check_horizon(total)?;
        Ok(total)
    }

    /// Says where a running job stands and when it should begin to anneal.
    ///
    /// # Errors
    /// [`Failure`] for logs that hold no run or several, jobs before the end of their warm-up or past the horizon, and schedules that are
    /// none.
    pub fn running(&self, request: &RunningRequest) -> Result<Answer<RunningAnswer>, Failure> {
        let job = &request.job;
        if !(request.tolerance.is_finite() && request.tolerance >= 0.0) {
            return Err(Failure::usage(format_args!(
                "[[tolerance]] {} is not a number of at least 0",
                request.tolerance * 1e3
            )));
        }
        let mut notes = Vec::new();
        let (curve, found) = self.job(job, &mut notes)?;
        let total = self.horizon(job, &curve, &mut notes)?;
        let options = StartOptions {
            shape: job.shape,
            final_lr: job.final_lr,
            tolerance: request.tolerance,
            ..StartOptions::default()
        };
        let value = self.work("searching", || {
            let live = Live::new(&job.fit, &curve, &job.setting)?;
            let starts = live.starts(total, &options)?;
            let schedule = live.continued(total, starts.anneal, options.shape, options.final_lr)?;
            let points = default_points(total, 160);
            let first = job.fit.first_update();
            let points: Vec<u64> = points.into_iter().filter(|&t| t >= first || t == total).collect();
            let ending = live.forecast(&schedule, &points)?;
            let from = request
                .anneal_from
                .iter()
                .map(|&start| {
                    let anneal = total.checked_sub(start).ok_or_else(|| LiveError::Start {
                        id: curve.meta().id.clone(),
                        start,
                        last: curve.last().0,
                        total,
                    })?;
                    let plan = live.continued(total, anneal, options.shape, options.final_lr)?;
                    let loss = live.forecast(&plan, &[total])?.forecast.r#final;
                    Ok(Ending { start, end: total, loss })
                })
                .collect::<Result<_, LiveError>>()?;
            let plan = curve.schedule();
            let planned = if plan.total().0 > curve.last().0 {
                let end = plan.total().0;
                let loss = live.forecast(plan, &[end])?.forecast.r#final;
                Some(Ending { start: curve.last().0, end, loss })
            } else {
                None
            };
            let export_request = request.export.as_ref().map(|export| ExportRequest {
                from_step: export.from_step.or(Some(curve.last().0)),
                ..export.clone()
            });
            let made = export_request.map(|export| export.make(&schedule)).transpose()?;
            let export = match &made {
                Some(made) => Some(ExportAnswer {
                    loss_cost: Some(export::cost(made, &job.fit, live.setting(), &schedule)?),
                    ..ExportAnswer::from(made)
                }),
                None => None,
            };
            let mut caveats = ending.forecast.caveats.clone();
            add_caveats(&mut caveats, found.into_iter().chain(self.changed_inputs(&job.fit)));
            Ok(RunningAnswer {
                standing: live.standing().clone(),
                steps: total,
                law: ending.law,
                carry: ending.carry,
                planned,
                anneal: live.anneal_table(total, &request.anneal_steps, &options)?,
                from,
                longer: live.longer_budgets(&starts, &options)?,
                level: job.fit.options.level.get(),
                caveats,
                export,
                starts,
                schedule,
                forecast: ending.forecast,
                made,
                curve: curve.clone(),
            })
        })?;
        let caveats = value.caveats.clone();
        Ok(Answer { value, caveats, notes })
    }

    /// Forecasts a running job, corrected by what it shows.
    ///
    /// # Errors
    /// As [`Desk::running`].
    pub fn forecast_running(
        &self,
        request: &RunningForecastRequest,
    ) -> Result<Answer<RunningForecastAnswer>, Failure> {
        let mut fit = request.job.fit.clone();
        if let Some(level) = request.level {
            fit.options.level = level;
        }
        let job = &request.job;
        let mut notes = Vec::new();
        let (curve, found) = self.job(job, &mut notes)?;
        let (last, _) = curve.last();
        let value = self.work("forecasting", || {
            let live = Live::new(&fit, &curve, &job.setting)?;
            let plan = match (request.anneal_from, request.anneal_steps, request.ratio) {
                // The plan that the log itself states.
                (None, None, None) if job.total.is_none() && curve.schedule().total().0 > last => {
                    curve.schedule().clone()
                }
                (Some(from), Some(anneal), _) => {
                    let total = from.saturating_add(anneal);
                    if job.total.is_some_and(|stated| stated != total) {
                        return Err(Failure::usage(format_args!(
                            "annealing from {from} over {anneal} updates ends at {total}, not at [[steps]] {}",
                            job.total.unwrap_or_default()
                        ))
                        .hint("give two of [[steps]], [[anneal_from]] and [[anneal_steps]]"));
                    }
                    live.continued(total, anneal, job.shape, job.final_lr)?
                }
                (None, Some(anneal), _) if job.total.is_none() => {
                    live.continued(last.saturating_add(anneal), anneal, job.shape, job.final_lr)?
                }
                (from, anneal, ratio) => {
                    let total = self.horizon(job, &curve, &mut notes)?;
                    let anneal = match (from, anneal) {
                        (Some(from), _) => total.checked_sub(from).ok_or_else(|| LiveError::Start {
                            id: curve.meta().id.clone(),
                            start: from,
                            last,
                            total,
                        })?,
                        (None, Some(anneal)) => anneal,
                        (None, None) => {
                            let ratio = lehr::AnnealingRatio::new(ratio.unwrap_or(0.2)).map_err(Failure::usage)?;
                            (ratio.get() * total as f64).round() as u64
                        }
                    };
                    live.continued(total, anneal, job.shape, job.final_lr)?
                }
            };
            let total = plan.total().0;
            self.check_horizon(total)?;
            let mut points =
                if request.at.is_empty() { default_points(total, 160) } else { request.at.clone() };
            points.sort_unstable();
            points.dedup();
            if request.at.is_empty() {
                let first = fit.first_update();
                points.retain(|&t| t >= first || t == total);
            }
            let made = live.forecast(&plan, &points)?;
            let forecast = made.forecast;
            let mut caveats = forecast.caveats.clone();
            add_caveats(&mut caveats, found.into_iter().chain(self.changed_inputs(&fit)));
            Ok(RunningForecastAnswer {
                schedule: plan.to_string(),
                standing: live.standing().clone(),
                lr: forecast.update.iter().map(|&t| plan.lr(t)).collect(),
                update: forecast.update.clone(),
                loss: forecast.loss.clone(),
                lower: forecast.lower.clone(),
                upper: forecast.upper.clone(),
                last: forecast.r#final,
                law: made.law,
                carry: made.carry,
                level: forecast.level.get(),
                caveats,
                plan,
                forecast,
                curve: curve.clone(),
            })
        })?;
        let caveats = value.caveats.clone();
        Ok(Answer { value, caveats, notes })
    }
}
