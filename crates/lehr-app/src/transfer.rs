//! How the optimal ratio moves with peak rate and horizon, and whether it stays put elsewhere.

use crate::answer::Answer;
use crate::desk::Desk;
use crate::documents::Document;
use crate::failure::Failure;
use crate::pictures::{self, Picture};
use crate::reading::{Reading, Runs};
use lehr::Level;
use lehr::batch::{Collapse, CriticalBatch, collapse, critical_batch};
use lehr::fit::Fit;
use lehr::measured::{MeasuredOptimum, branch_noise, measured_optima, misfit_caveats, twin_noise};
use lehr::recommend::{RecommendOptions, Target, recommend_ratio};
use lehr::transfer::{
    Limit, Optimum, PowerLaw, Stability, Variable, check_architecture, power_law, stability,
};
use lehr::{ArchFamily, Caveat, Curve, Params, Shape, Steps};
use serde::{Serialize, Serializer};

/// Last losses and coarse curves are all that is needed.
const HELD: Option<usize> = Some(1000);

/// The sets of variables of the power laws, in the order of [`OptimaSource::laws`].
pub const VARIABLES: [&[Variable]; 4] = [
    &[Variable::PeakLr],
    &[Variable::Horizon],
    &[Variable::PeakLr, Variable::Horizon],
    &[Variable::PeakLr, Variable::Horizon, Variable::Params],
];

/// The run to predict a ratio for.
#[derive(Debug, Clone, PartialEq)]
pub struct TransferTarget {
    /// Peak rate.
    pub peak_lr: f64,
    /// Horizon in updates.
    pub total: u64,
    /// Parameters N (active ones of a mixture of experts), where the law is to depend on them.
    pub params: Option<u64>,
}

/// What to ask of the runs.
#[derive(Debug, Clone)]
pub struct TransferRequest {
    /// The runs.
    pub reading: Reading,
    /// A fit whose optima are derived at the same cells.
    pub fit: Option<Fit>,
    /// Predict for this run.
    pub target: Option<TransferTarget>,
    /// Architecture of the target; `None`: that of the runs.
    pub arch: Option<ArchFamily>,
    /// Use optima of one architecture for a target of another all the same.
    pub across_architectures: bool,
    /// Level of the intervals.
    pub level: Level,
}

fn held<S: Serializer>(laws: &[Result<PowerLaw, String>], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(laws.iter().flatten())
}

/// Optima from one source, and the power laws through them.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
pub struct OptimaSource {
    /// `measured`, or `law` for optima derived from the fit.
    pub source: &'static str,
    /// The optima.
    pub optima: Vec<Optimum>,
    /// Of optima that a fit derives: what each costs on the measured losses of its cell, nats per token.
    pub regrets: Vec<f64>,
    /// Those of R(η), R(T), R(η, T) and R(η, T, N) that the optima determine.
    #[serde(serialize_with = "held")]
    #[schemars(with = "Vec<PowerLaw>")]
    pub laws: Vec<Result<PowerLaw, String>>,
}

impl OptimaSource {
    fn new(source: &'static str, optima: Vec<Optimum>, level: Level) -> Self {
        let laws =
            VARIABLES.iter().map(|v| power_law(&optima, v, level).map_err(|e| e.to_string())).collect();
        Self { source, optima, regrets: Vec::new(), laws }
    }
}

/// A ratio predicted by a power law.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Prediction {
    /// Peak rate of the target.
    pub peak_lr: f64,
    /// Horizon of the target, updates.
    pub steps: u64,
    /// Predicted annealing ratio.
    pub ratio: f64,
    /// Its interval, misfit of the law included.
    #[schemars(with = "lehr::schema::Interval")]
    pub interval: (f64, f64),
}

/// What batch sizes show.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
pub struct Batches {
    /// Whether updates or tokens decide, where runs differ in batch.
    pub collapse: Option<Collapse>,
    /// B_opt as a power of the loss, where three batches reach the same losses.
    pub critical: Option<CriticalBatch>,
}

/// How the optimal ratio moves.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
pub struct TransferAnswer {
    /// Standard deviation of a final loss, from twins, nats.
    pub twin_noise: Option<f64>,
    /// The same without what all runs of a seed share, nats.
    pub branch_noise: Option<f64>,
    /// Measured optima, one a cell.
    pub measured: Vec<MeasuredOptimum>,
    /// Optima by where they come from, with their power laws.
    pub sources: Vec<OptimaSource>,
    /// Whether the ratio stays put across N, data set, split and architecture.
    pub stability: Vec<Stability>,
    /// The ratio of the target; with `[[peak_lr]]` and `[[steps]]`.
    pub prediction: Option<Prediction>,
    /// What the runs say about the batch.
    pub batch: Batches,
    /// What to know before using it.
    pub caveats: Vec<Caveat>,
}

impl Document for TransferAnswer {
    const SCHEMA: &'static str = "lehr.transfer/2";
}

impl TransferAnswer {
    /// Optimal ratios against peak rate and horizon, drawn.
    #[must_use]
    pub fn picture(&self) -> Picture {
        pictures::transfer(
            &self.sources.iter().map(|s| (s.source, &s.optima[..], &s.laws[..])).collect::<Vec<_>>(),
        )
    }
}

/// The optima that a fit derives at the measured cells, and what each costs there.
fn derived(fit: &Fit, measured: &[MeasuredOptimum], level: Level) -> Result<OptimaSource, Failure> {
    let (mut optima, mut regrets) = (Vec::new(), Vec::new());
    for cell in measured {
        let target = Target {
            peak_lr: cell.peak_lr,
            total: Steps(cell.total),
            warmup: Steps(fit.usual_warmup().0.min(cell.total / 2)),
            shape: cell.shape.parse::<Shape>().map_err(Failure::new)?,
            final_lr: 0.0,
            setting: lehr::forecast::Setting { params: cell.params, ..Default::default() },
        };
        let found = recommend_ratio(fit, &target, &RecommendOptions::default()).map_err(Failure::new)?;
        regrets.push(cell.regret(found.ratio));
        optima.push(Optimum {
            ratio: found.ratio,
            ln_sd: (found.interval.1 / found.interval.0.max(1e-3)).ln() / 3.29,
            limit: (found.ratio > 0.99).then_some(Limit::AtLeast),
            ..Optimum::from(cell)
        });
    }
    Ok(OptimaSource { regrets, ..OptimaSource::new("law", optima, level) })
}

impl Desk {
    /// Says how the optimal annealing ratio moves with peak rate, horizon and size.
    ///
    /// # Errors
    /// [`Failure`] if no cell has four ratios, and where a prediction is asked for that no law gives.
    pub fn transfer(&self, request: &TransferRequest) -> Result<Answer<TransferAnswer>, Failure> {
        let runs = self.runs(&request.reading.clone().held(HELD))?;
        self.transfer_runs(runs, request)
    }

    /// The same of runs that are read already; the request's reading is not used.
    ///
    /// # Errors
    /// As [`Desk::transfer`], but for reading.
    pub fn transfer_runs(
        &self,
        runs: Runs,
        request: &TransferRequest,
    ) -> Result<Answer<TransferAnswer>, Failure> {
        let runs = runs.held(HELD);
        let value = self
            .work("searching", || transfer(&runs.curves, request))
            .map_err(|failure| failure.noting(&runs.notes))?;
        let caveats = value.caveats.clone();
        Ok(Answer { value, caveats, notes: runs.notes })
    }
}

fn transfer(curves: &[Curve], request: &TransferRequest) -> Result<TransferAnswer, Failure> {
    let level = request.level;
    let measured = measured_optima(curves);
    let mut sources = Vec::new();
    if !measured.is_empty() {
        sources.push(OptimaSource::new("measured", measured.iter().map(Optimum::from).collect(), level));
    }
    if let Some(fit) = &request.fit {
        sources.push(derived(fit, &measured, level)?);
    }
    if sources.iter().all(|s| s.optima.is_empty()) {
        return Err(Failure::new("no cell has four or more annealing ratios: no optimum can be measured").hint(
            "give runs that share peak rate, horizon, shape, size and data and differ in the ratio; `lehr recommend` derives an optimum from a fit",
        ));
    }
    let first = &sources[0];
    let mut caveats = misfit_caveats(&measured, twin_noise(curves));
    let mut prediction = None;
    if let Some(target) = &request.target {
        let arch = request.arch.unwrap_or(first.optima[0].arch);
        let caveat =
            check_architecture(&first.optima, arch, request.across_architectures).map_err(Failure::new)?;
        caveats.extend(caveat);
        let [by_rate, by_horizon, jointly, with_size] = &first.laws[..] else { unreachable!("one law each") };
        let params = target.params.map(Params);
        let law = match params {
            Some(_) => with_size.as_ref().map_err(|error| {
                Failure::new(format_args!("[[target_params]] asks for a law of the ratio in N: {error}"))
                    .hint("leave [[target_params]] out, or give cells of several sizes")
            })?,
            None => jointly.as_ref().or(by_rate.as_ref()).or(by_horizon.as_ref()).map_err(Failure::new)?,
        };
        prediction =
            law.predict(target.peak_lr, target.total as f64, params, level).map(|(ratio, interval)| {
                Prediction { peak_lr: target.peak_lr, steps: target.total, ratio, interval }
            });
    }
    Ok(TransferAnswer {
        twin_noise: twin_noise(curves),
        branch_noise: branch_noise(curves),
        stability: stability(&first.optima),
        measured,
        sources,
        prediction,
        batch: Batches { collapse: collapse(curves).ok(), critical: critical_batch(curves).ok() },
        caveats,
    })
}
