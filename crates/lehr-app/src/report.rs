//! Everything about a fit and a target in one document: what a report is made of.

pub mod grid;
pub mod lines;

use crate::answer::{Answer, add_caveats};
use crate::compare::{CompareAnswer, CompareRequest};
use crate::desk::Desk;
use crate::documents::Document;
use crate::failure::Failure;
use crate::fit::{FitRequest, held_points, to_file};
use crate::forecast::{ForecastAnswer, ForecastRequest};
use crate::pictures::{self, Drawing};
use crate::reading::Reading;
use crate::recommend::{RecommendAnswer, RecommendRequest};
use crate::target::Plan;
use crate::transfer::{TransferAnswer, TransferRequest};
use crate::validate::Splitting;
use grid::Grid;
use lehr::fit::{Fit, FitOptions, LeftOut, RunFit};
use lehr::forecast::Setting;
use lehr::recommend::RecommendOptions;
use lehr::{Caveat, Curve, Law, Shape, Steps};
use lehr_io::Note;
use lines::{CoefficientLine, InputFile, Snippet};
use serde::Serialize;
use std::collections::BTreeSet;
use std::sync::Arc;

/// What a report is about.
#[derive(Debug, Clone)]
pub struct ReportRequest {
    /// A fit; `None`: the law is fitted to the runs.
    pub fit: Option<Fit>,
    /// Runs: to fit, or to show beside a fit.
    pub reading: Option<Reading>,
    /// The law, where it is fitted.
    pub law: &'static dyn Law,
    /// How to fit it.
    pub options: FitOptions,
    /// Peak rate of the target; `None`: that of the longest run fitted.
    pub peak_lr: Option<f64>,
    /// Horizon of the target in updates; `None`: twice that of the longest run fitted.
    pub total: Option<u64>,
    /// Warm-up updates; `None`: as in the runs fitted.
    pub warmup: Option<u64>,
    /// How the rate falls.
    pub shape: Shape,
    /// Final rate.
    pub final_lr: f64,
    /// What else the run is.
    pub setting: Setting,
    /// Whether to hold all laws against each other on runs held out; needs runs.
    pub compare: bool,
    /// The command, or whatever asked, for the record.
    pub command: String,
    /// Files that were read before (the fit's), for the record.
    pub inputs: Vec<InputFile>,
}

/// The target of a report.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct ReportTarget {
    /// Peak rate of the target.
    pub peak_lr: f64,
    /// Horizon in updates.
    pub steps: u64,
    /// Warm-up updates.
    pub warmup: u64,
    /// How the rate falls.
    pub shape: Shape,
    /// Final rate.
    pub final_lr: f64,
    /// Parameters N, if stated.
    pub params: Option<u64>,
    /// Tokens per update, if stated.
    pub tokens_per_step: Option<u64>,
}

/// The law of a report.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct ReportLaw {
    /// Name of the law fitted.
    pub name: String,
    /// Equation in plain text.
    pub equation: String,
    /// Coefficients.
    pub coefficients: Vec<CoefficientLine>,
}

/// Where a report's numbers come from.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Provenance {
    /// Version of lehr.
    pub version: String,
    /// The command, or whatever asked.
    pub command: String,
    /// Files read, with their hashes.
    pub inputs: Vec<InputFile>,
}

/// Everything about a fit and a target.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
pub struct ReportAnswer {
    /// The run that the report is about.
    pub target: ReportTarget,
    /// The recommended ratio and what others cost, without `schema`.
    pub recommend: RecommendAnswer,
    /// The forecast at the recommended ratio, without `schema`.
    pub forecast: ForecastAnswer,
    /// The law with its coefficients.
    pub law: ReportLaw,
    /// The runs fitted.
    pub runs: Vec<RunFit>,
    /// Runs given that were not fitted, and why.
    pub left_out: Vec<LeftOut>,
    /// How the best ratio moves, where runs are given and cells have four ratios; without `schema`.
    pub transfer: Option<TransferAnswer>,
    /// All laws on runs held out, where at least four runs are given that do not share noise; without `schema`.
    pub compare: Option<CompareAnswer>,
    /// The recommended schedule for every trainer.
    pub exports: Vec<Snippet>,
    /// Answers around the target.
    pub grid: Grid,
    /// What was done with the data, and what is missing from the report and why.
    pub notes: Vec<Note>,
    /// Where the numbers come from.
    pub provenance: Provenance,
    /// What to know before using it, blocking ones first.
    pub caveats: Vec<Caveat>,
    /// The fit.
    #[serde(skip)]
    pub fit: Fit,
    /// The runs, if any were given.
    #[serde(skip)]
    pub curves: Vec<Curve>,
}

impl Document for ReportAnswer {
    const SCHEMA: &'static str = "lehr.report/2";
}

/// A figure of a report.
#[derive(Debug)]
pub struct ReportFigure {
    /// File name without its ending.
    pub name: &'static str,
    /// The drawing.
    pub drawing: Drawing,
}

/// Most runs that are drawn beside their law one by one; more are an even selection.
const MOST_RUNS_DRAWN: usize = 12;
/// Most runs whose residuals are drawn: the worst. The table of runs has all.
const MOST_RESIDUALS: usize = 24;

impl ReportAnswer {
    /// The figures, in the order of the report.
    #[must_use]
    pub fn figures(&self) -> Vec<ReportFigure> {
        let mut figures =
            vec![ReportFigure { name: "forecast", drawing: self.forecast.picture(&self.fit).into() }];
        let law = self.fit.law();
        if let Some(law) = law.filter(|_| !self.curves.is_empty()) {
            let every = self.curves.len().div_ceil(MOST_RUNS_DRAWN);
            let some: Vec<Curve> = self.curves.iter().step_by(every).cloned().collect();
            figures.push(ReportFigure {
                name: "runs",
                drawing: pictures::curves(&self.fit, law, &some, self.curves.len()),
            });
        }
        figures.push(ReportFigure { name: "ratio", drawing: self.recommend.picture(&self.fit).into() });
        if let Some(transfer) = &self.transfer {
            figures.push(ReportFigure { name: "transfer", drawing: transfer.picture().into() });
        }
        if let Some(law) = law.filter(|_| !self.curves.is_empty()) {
            figures.push(ReportFigure {
                name: "residuals",
                drawing: pictures::worst_residuals(&self.fit, law, &self.curves, MOST_RESIDUALS),
            });
        }
        if let Some(compare) = &self.compare {
            figures.push(ReportFigure { name: "laws", drawing: pictures::comparison(&compare.contenders) });
        }
        figures
    }
}

/// The runs to fit where laws are compared: every second group of runs that share noise, in the order of names.
fn half(fit: &Fit) -> Option<Splitting> {
    let groups: BTreeSet<&str> = fit.runs.iter().map(|run| run.group.as_str()).collect();
    let kept: BTreeSet<&str> = groups.iter().copied().step_by(2).collect();
    let named = |wanted: bool| {
        let runs = fit.runs.iter().filter(|run| kept.contains(run.group.as_str()) == wanted);
        runs.map(|run| run.id.clone()).collect::<Vec<String>>()
    };
    (groups.len() >= 4).then(|| Splitting::Named { train: named(true), test: named(false) })
}

impl Desk {
    /// Answers everything that a report holds.
    ///
    /// # Errors
    /// [`Failure`] for logs that cannot be read, fits that fail, and targets that make no schedule.
    pub fn report(&self, request: &ReportRequest) -> Result<Answer<ReportAnswer>, Failure> {
        let mut notes = Vec::new();
        let mut inputs = request.inputs.clone();
        if let Some(reading) = &request.reading {
            for source in self.files().sources(&reading.paths)? {
                self.check_cancelled()?;
                inputs.push(lines::hashed_source(&source)?);
            }
        }
        let held = request.reading.clone().map(|reading| reading.held(held_points(&request.options)));
        let (fit, curves, more) = match (&request.fit, &held) {
            (Some(fit), None) => (fit.clone(), Vec::new(), Vec::new()),
            (Some(fit), Some(reading)) => {
                let runs = self.runs(reading)?;
                (fit.clone(), runs.curves, runs.notes)
            }
            (None, Some(reading)) => {
                let fitted = self.fit(&FitRequest {
                    reading: reading.clone(),
                    law: request.law,
                    options: request.options.clone(),
                    profile: false,
                    bootstrap: None,
                })?;
                (fitted.value.fit, fitted.value.curves, fitted.notes)
            }
            (None, None) => {
                return Err(
                    Failure::usage("a report needs a fit or runs").hint("name fit.json, or logs of runs")
                );
            }
        };
        notes.extend(more);
        let fit = Arc::new(fit);
        let law = fit.law().ok_or_else(|| {
            Failure::new(format_args!(
                "the fit is of the law '{}', which this version does not know",
                fit.law
            ))
        })?;
        if request.fit.is_some() && inputs.is_empty() {
            inputs.push(lines::hashed("fit", to_file(&fit)?.as_bytes()));
        }
        let (peak_lr, total) = self.usual_target(&fit, request, &mut notes)?;
        let recommended = self.recommend(&RecommendRequest {
            fit: fit.clone(),
            peak_lr,
            total,
            warmup: request.warmup,
            shape: request.shape,
            final_lr: request.final_lr,
            setting: request.setting.clone(),
            options: RecommendOptions::default(),
            optimise_shape: false,
            free_schedule: false,
            measured: None,
            export: None,
        })?;
        notes.extend(recommended.notes);
        let mut recommend = recommended.value;
        let measured = crate::measured_runs::beside(&fit, &recommend.target, &recommend.found, &curves);
        recommend.measured = measured.optima;
        recommend.measured_runs = measured.runs;
        let target = recommend.target.clone();
        let schedule = target.schedule(Steps(recommend.found.anneal_steps)).map_err(Failure::usage)?;
        let forecast = self.forecast(&ForecastRequest {
            fit: fit.clone(),
            plan: Plan::Schedule(schedule.clone()),
            setting: request.setting.clone(),
            at: Vec::new(),
            level: None,
            measured: None,
        })?;
        let forecast = ForecastAnswer { measured: curves.clone(), ..forecast.value };
        let transfer = self.transfer_of(&held, &fit, &mut notes);
        let compare = self.compare_of(&held, &fit, request, &mut notes);
        self.check_cancelled()?;
        let grid = self.grid(&fit, &target)?;
        let exports = self.work("exporting", || Ok(lines::snippets(&fit, &target.setting, &schedule)))?;
        let mut caveats = recommend.caveats.clone();
        add_caveats(&mut caveats, forecast.caveats.iter().cloned());
        add_caveats(&mut caveats, fit.caveats.iter().cloned());
        lehr::caveat::sort(&mut caveats);
        let value = ReportAnswer {
            target: ReportTarget {
                peak_lr,
                steps: total,
                warmup: target.warmup.0,
                shape: target.shape,
                final_lr: target.final_lr,
                params: target.setting.params.map(|n| n.0),
                tokens_per_step: target.setting.tokens_per_step.map(|n| n.0),
            },
            law: ReportLaw {
                name: fit.law.clone(),
                equation: law.equation().to_owned(),
                coefficients: lines::coefficients(&fit, law),
            },
            runs: fit.runs.clone(),
            left_out: fit.left_out.clone(),
            recommend,
            forecast,
            transfer,
            compare,
            exports,
            grid,
            notes: notes.clone(),
            provenance: Provenance {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                command: request.command.clone(),
                inputs,
            },
            caveats: caveats.clone(),
            fit: Arc::unwrap_or_clone(fit),
            curves,
        };
        Ok(Answer { value, caveats, notes })
    }

    /// Peak rate and horizon of the target: those asked for, else after the longest run fitted (noted).
    pub(crate) fn usual_target(
        &self,
        fit: &Fit,
        request: &ReportRequest,
        notes: &mut Vec<Note>,
    ) -> Result<(f64, u64), Failure> {
        let usual = usual_target(fit);
        let missing = || {
            Failure::usage("the fit names no runs: the target must be stated")
                .hint("state [[peak_lr]] and [[steps]]")
        };
        let peak_lr = match request.peak_lr {
            Some(rate) => rate,
            None => {
                let rate = usual.ok_or_else(missing)?.0;
                notes.push(Note::new(
                    "usual-target",
                    "peak rate",
                    format!("{rate}, that of the longest run fitted ([[peak_lr]] says otherwise)"),
                ));
                rate
            }
        };
        let total = match request.total {
            Some(total) => total,
            None => {
                let total = usual.ok_or_else(missing)?.1.min(self.limits().horizon);
                notes.push(Note::new(
                    "usual-target",
                    "horizon",
                    format!("{total} updates, twice the longest run fitted ([[steps]] says otherwise)"),
                ));
                total
            }
        };
        Ok((peak_lr, total))
    }

    fn transfer_of(
        &self,
        reading: &Option<Reading>,
        fit: &Fit,
        notes: &mut Vec<Note>,
    ) -> Option<TransferAnswer> {
        let reading = reading.clone()?;
        let request = TransferRequest {
            reading,
            fit: None,
            target: None,
            arch: None,
            across_architectures: false,
            level: fit.options.level,
        };
        match self.transfer(&request) {
            Ok(answer) => Some(answer.value),
            Err(failure) => {
                notes.push(Note::new(
                    "left-out-of-report",
                    "optima against peak rate and horizon",
                    failure.message(),
                ));
                None
            }
        }
    }

    fn compare_of(
        &self,
        reading: &Option<Reading>,
        fit: &Fit,
        request: &ReportRequest,
        notes: &mut Vec<Note>,
    ) -> Option<CompareAnswer> {
        let reading = reading.clone().filter(|_| request.compare)?;
        let compared = match half(fit) {
            None => Err(Failure::new("fewer than four runs that do not share noise: none can be held out")),
            Some(splitting) => self.compare(&CompareRequest {
                reading,
                laws: lehr::law::all(),
                options: fit.options.clone(),
                splitting,
            }),
        };
        match compared {
            Ok(answer) => Some(answer.value),
            Err(failure) => {
                notes.push(Note::new("left-out-of-report", "laws on runs held out", failure.message()));
                None
            }
        }
    }
}

/// Peak rate of the longest run fitted, and twice its length.
#[must_use]
pub fn usual_target(fit: &Fit) -> Option<(f64, u64)> {
    let longest = fit.runs.iter().max_by_key(|run| run.last_update)?;
    Some((longest.peak_lr, longest.last_update.saturating_mul(2)))
}
