//! Peak rate, batch and annealing ratio chosen together.

use crate::answer::Answer;
use crate::desk::Desk;
use crate::documents::Document;
use crate::failure::Failure;
use crate::tables::{Tabular, number, sheet};
use crate::target::{updates, warmup};
use lehr::budget::Length;
use lehr::fit::Fit;
use lehr::forecast::{Estimate, Setting};
use lehr::recommend::{Budget, JointOptions, JointPoint, RecommendOptions, Target, optimise_jointly};
use lehr::{Caveat, Shape, Steps, Tokens};
use lehr_report::{Cell, Column, Table};
use serde::Serialize;

/// What to choose, and within what.
#[derive(Debug, Clone)]
pub struct JointRequest {
    /// The fit.
    pub fit: Fit,
    /// What stays the same while rate and batch are varied: updates, tokens, or compute.
    pub length: Length,
    /// The peak rate, where it is not to be chosen.
    pub peak_lr: Option<f64>,
    /// Smallest and largest peak rate; `None`: those of the runs fitted.
    pub peak_lr_range: Option<(f64, f64)>,
    /// Whether the batch is to be chosen.
    pub batch: bool,
    /// Smallest and largest batch, tokens; `None`: those of the runs fitted.
    pub batch_range: Option<(u64, u64)>,
    /// Warm-up updates; `None`: as in the runs fitted.
    pub warmup: Option<u64>,
    /// How the rate falls.
    pub shape: Shape,
    /// Final rate.
    pub final_lr: f64,
    /// What else the run is.
    pub setting: Setting,
    /// Limits of the ratio.
    pub options: RecommendOptions,
}

/// The peak rate that is stated, where it is not among what is to be chosen.
///
/// # Errors
/// [`Failure`] where it is neither stated nor chosen, or both.
pub fn stated_rate(stated: Option<f64>, chosen: bool) -> Result<Option<f64>, Failure> {
    match (stated, chosen) {
        (None, false) => Err(Failure::usage(
            "the peak rate is missing: [[peak_lr]] states it, [[optimise]] peak-lr chooses it",
        )),
        (Some(_), true) => Err(Failure::usage("[[peak_lr]] is stated, and [[optimise]] is to choose it")
            .hint("[[peak_lr_range]] says within what")),
        (stated, _) => Ok(stated),
    }
}

/// The best choice and what ties with it.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct JointAnswer {
    /// The choice with the lowest forecast loss.
    pub best: JointPoint,
    /// Tokens of the whole run, where the batch is known.
    pub tokens: Option<u64>,
    /// Interval of the ratio at that peak rate and batch.
    #[schemars(with = "lehr::schema::Interval")]
    pub ratio_interval: (f64, f64),
    /// The loss of `best`, with its interval.
    pub loss: Estimate,
    /// Last update before the annealing.
    pub start_step: u64,
    /// Length of the annealing, updates.
    pub anneal_steps: u64,
    /// Every choice tried whose loss is within the tolerance of the lowest, by batch, then by peak rate.
    pub plateau: Vec<JointPoint>,
    /// Tolerance of the plateau, nats per token.
    pub tolerance: f64,
    /// What stays the same while rate and batch are varied.
    pub fixed: Budget,
    /// Smallest and largest peak rate considered.
    #[schemars(with = "lehr::schema::Interval")]
    pub peak_lr_range: (f64, f64),
    /// Smallest and largest batch considered, tokens; `None` where no batch is known.
    #[schemars(with = "Option<lehr::schema::WholeInterval>")]
    pub batch_range: Option<(u64, u64)>,
    /// Level of the intervals.
    pub level: f64,
    /// What to know before using it.
    pub caveats: Vec<Caveat>,
}

impl Document for JointAnswer {
    const SCHEMA: &'static str = "lehr.recommend-joint/2";
}

impl Tabular for JointAnswer {
    fn table(&self) -> Result<Table, Failure> {
        let columns = [
            Column::new("peak rate"),
            Column::with_unit("batch", "tokens"),
            Column::with_unit("horizon", "updates"),
            Column::new("ratio"),
            Column::with_unit("loss", "nats per token"),
        ];
        let rows = self.plateau.iter().map(|point| {
            vec![
                Cell::Text(format!("{:.3e}", point.peak_lr)),
                point.tokens_per_step.map_or(Cell::Empty, Cell::Count),
                Cell::Count(point.total),
                number(point.ratio, 3),
                number(point.loss, 4),
            ]
        });
        sheet(columns, rows)
    }
}

/// The smallest and largest of numbers; `None` of none.
fn ends<T: Copy + PartialOrd>(values: impl Iterator<Item = T>) -> Option<(T, T)> {
    values.fold(None, |ends, value| {
        let (low, high) = ends.unwrap_or((value, value));
        Some((if value < low { value } else { low }, if value > high { value } else { high }))
    })
}

impl Desk {
    /// Chooses peak rate, batch and annealing ratio together.
    ///
    /// # Errors
    /// [`Failure`] for empty ranges, tokens without a batch, compute without N, and as [`Desk::recommend`].
    pub fn recommend_jointly(&self, request: &JointRequest) -> Result<Answer<JointAnswer>, Failure> {
        let fit = &request.fit;
        let missing = || Failure::usage("the fit names no run, so there are no ranges to take from it");
        let peak_lr = match (request.peak_lr, request.peak_lr_range) {
            (Some(rate), _) => (rate, rate),
            (None, Some(range)) => range,
            (None, None) => ends(fit.runs.iter().map(|run| run.peak_lr)).ok_or_else(missing)?,
        };
        let fitted = ends(fit.runs.iter().filter_map(|run| run.tokens_per_step).map(|batch| batch.0));
        let own = request.setting.tokens_per_step.map(|batch| (batch.0, batch.0));
        let batch = if request.batch {
            Some(request.batch_range.or(fitted).ok_or_else(|| {
                Failure::usage("the runs fitted do not say their batch").hint("state [[batch_range]]")
            })?)
        } else {
            own.or_else(|| {
                fit.definition.reference_batch.map(|batch| (batch.round() as u64, batch.round() as u64))
            })
        };
        // Compute and tokens are the same at one N: a batch of one token turns either into tokens.
        let budget = match request.length {
            Length::Updates(updates) => Budget::Updates(updates),
            length => {
                let one = Setting { tokens_per_step: Some(Tokens(1)), ..request.setting.clone() };
                Budget::Tokens(updates(fit, length, &one)?)
            }
        };
        let smallest = batch.map_or(1, |(low, _)| low.max(1));
        let longest = match budget {
            Budget::Updates(updates) => updates,
            Budget::Tokens(tokens) => tokens / smallest,
        };
        self.check_horizon(longest)?;
        let mut notes = Vec::new();
        let target = Target {
            peak_lr: peak_lr.0,
            total: Steps(longest.max(1)),
            warmup: warmup(request.warmup, fit, longest.max(1), &mut notes),
            shape: request.shape,
            final_lr: request.final_lr,
            setting: request.setting.clone(),
        };
        let options = JointOptions { peak_lr, batch, budget, ratio: request.options.clone() };
        let found = self.work("searching", || Ok(optimise_jointly(fit, &target, &options)?))?;
        let chosen = found.recommendation;
        let mut caveats = found.caveats;
        caveats.extend(chosen.caveats);
        lehr::caveat::sort(&mut caveats);
        let value = JointAnswer {
            best: found.best,
            tokens: chosen.tokens,
            ratio_interval: chosen.interval,
            loss: chosen.loss,
            start_step: chosen.start_step,
            anneal_steps: chosen.anneal_steps,
            plateau: found.plateau,
            tolerance: chosen.tolerance,
            fixed: budget,
            peak_lr_range: peak_lr,
            batch_range: batch,
            level: chosen.level.get(),
            caveats: caveats.clone(),
        };
        Ok(Answer { value, caveats, notes })
    }
}
