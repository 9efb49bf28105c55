//! One recommendation for each of several targets: sizes, peak rates, shapes.

use crate::answer::{Answer, Gathered, each_or};
use crate::desk::Desk;
use crate::documents::Document;
use crate::failure::Failure;
use crate::recommend::RecommendRequest;
use crate::tables::{Tabular, number, sheet};
use crate::target::updates;
use lehr::budget::Length;
use lehr::forecast::Estimate;
use lehr::{Caveat, Params, Shape};
use lehr_report::{Cell, Column, Table};
use serde::Serialize;

/// What to recommend for: every combination of N, peak rate and shape.
#[derive(Debug, Clone)]
pub struct RowsRequest {
    /// Everything that the targets share; its own N, peak rate, shape and horizon are not used.
    pub shared: RecommendRequest,
    /// Horizon.
    pub length: Length,
    /// Sizes; empty: that of the runs fitted.
    pub params: Vec<Params>,
    /// Peak rates.
    pub peak_lrs: Vec<f64>,
    /// Shapes.
    pub shapes: Vec<Shape>,
}

/// One target and its recommendation.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct RecommendRow {
    /// N; `None`: that of the runs fitted.
    pub params: Option<u64>,
    /// Peak rate.
    pub peak_lr: f64,
    /// How the rate falls.
    pub shape: String,
    /// Horizon T, updates.
    pub steps: u64,
    /// Tokens of the whole run, where the batch is known.
    pub tokens: Option<u64>,
    /// r*, the annealing ratio with the lowest forecast loss.
    pub ratio: f64,
    /// Interval of r*.
    #[schemars(with = "lehr::schema::Interval")]
    pub interval: (f64, f64),
    /// Ratios whose loss is within `tolerance` of the lowest.
    #[schemars(with = "lehr::schema::Interval")]
    pub plateau: (f64, f64),
    /// Last update before the annealing.
    pub start_step: u64,
    /// Length of the annealing, updates.
    pub anneal_steps: u64,
    /// Forecast loss at r*, with its interval.
    pub loss: Estimate,
}

/// Recommendations for several targets.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
pub struct RecommendRows {
    /// One a target: sizes, within them peak rates, within them shapes.
    pub rows: Vec<RecommendRow>,
    /// The tolerance of the plateaus, nats per token.
    pub tolerance: f64,
    /// Level of the intervals.
    pub level: f64,
    /// What to know before using any of them.
    pub caveats: Vec<Caveat>,
}

impl Document for RecommendRows {
    const SCHEMA: &'static str = "lehr.recommend-rows/2";
}

impl Tabular for RecommendRows {
    fn table(&self) -> Result<Table, Failure> {
        let columns = [
            Column::new("N"),
            Column::new("peak rate"),
            Column::new("shape"),
            Column::with_unit("horizon", "updates"),
            Column::new("ratio"),
            Column::new("ratio, lower"),
            Column::new("ratio, upper"),
            Column::new("annealing starts after"),
            Column::with_unit("loss", "nats per token"),
            Column::with_unit("loss, lower", "nats per token"),
            Column::with_unit("loss, upper", "nats per token"),
        ];
        let rows = self.rows.iter().map(|row| {
            vec![
                row.params.map_or(Cell::Empty, Cell::Count),
                Cell::Text(format!("{:e}", row.peak_lr)),
                Cell::Text(row.shape.clone()),
                Cell::Count(row.steps),
                number(row.ratio, 3),
                number(row.interval.0, 3),
                number(row.interval.1, 3),
                Cell::Count(row.start_step),
                number(row.loss.value, 4),
                number(row.loss.lower, 4),
                number(row.loss.upper, 4),
            ]
        });
        sheet(columns, rows)
    }
}

impl Desk {
    /// Recommends the annealing ratio of each of several runs.
    ///
    /// # Errors
    /// As [`Desk::recommend`]; a length in tokens or compute that is no number of updates.
    pub fn recommend_rows(&self, request: &RowsRequest) -> Result<Answer<RecommendRows>, Failure> {
        let (mut rows, mut gathered) = (Vec::new(), Gathered::default());
        let mut level = request.shared.fit.options.level.get();
        for params in each_or(&request.params, request.shared.setting.params) {
            for &peak_lr in &request.peak_lrs {
                for &shape in &request.shapes {
                    let mut one = request.shared.clone();
                    (one.peak_lr, one.shape) = (peak_lr, shape);
                    one.setting.params = params;
                    one.total = updates(&one.fit, request.length, &one.setting)?;
                    let found = gathered.take(self.recommend(&one)?);
                    level = found.level;
                    rows.push(RecommendRow {
                        params: params.map(|n| n.0),
                        peak_lr,
                        shape: shape.to_string(),
                        steps: found.steps,
                        tokens: found.tokens,
                        ratio: found.ratio,
                        interval: found.interval,
                        plateau: found.plateau,
                        start_step: found.start_step,
                        anneal_steps: found.anneal_steps,
                        loss: found.loss,
                    });
                }
            }
        }
        let tolerance = request.shared.options.tolerance;
        Ok(gathered.answer(|caveats| RecommendRows { rows, tolerance, level, caveats }))
    }
}
