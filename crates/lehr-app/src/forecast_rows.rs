//! The loss at the end of each of several runs: sizes, peak rates, ratios, shapes.

use crate::answer::{Answer, Gathered, each_or};
use crate::desk::Desk;
use crate::documents::Document;
use crate::failure::Failure;
use crate::forecast::ForecastRequest;
use crate::tables::{Tabular, number, sheet};
use crate::target::{PlanSpec, updates};
use lehr::Level;
use lehr::budget::Length;
use lehr::fit::Fit;
use lehr::forecast::{Estimate, Setting};
use lehr::{Caveat, Params, Shape};
use lehr_report::{Cell, Column, Table};
use serde::Serialize;
use std::sync::Arc;

/// What to forecast: every combination of N, peak rate, annealing ratio and shape.
#[derive(Debug, Clone)]
pub struct ForecastRowsRequest {
    /// The fit.
    pub fit: Arc<Fit>,
    /// What else the runs are; its N holds where no sizes are named.
    pub setting: Setting,
    /// Level of the intervals; `None`: that of the fit.
    pub level: Option<Level>,
    /// What the schedules share; its own peak rate, horizon, ratio and shape are not used where rows have theirs.
    pub plan: PlanSpec,
    /// Horizon; `None`: that of the plan.
    pub length: Option<Length>,
    /// Sizes; empty: that of the runs fitted.
    pub params: Vec<Params>,
    /// Peak rates.
    pub peak_lrs: Vec<f64>,
    /// Annealing ratios; empty: as the plan has it.
    pub ratios: Vec<f64>,
    /// Shapes.
    pub shapes: Vec<Shape>,
}

/// One target and its loss at the end.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct ForecastRow {
    /// N; `None`: that of the runs fitted.
    pub params: Option<u64>,
    /// Peak rate.
    pub peak_lr: f64,
    /// The schedule as text.
    pub schedule: String,
    /// How the rate falls.
    pub shape: String,
    /// Annealing ratio; `None` where the schedule has none.
    pub ratio: Option<f64>,
    /// Horizon in updates.
    pub steps: u64,
    /// Loss at the end of the run, with its interval.
    #[serde(rename = "final")]
    pub last: Estimate,
}

/// Forecasts for several targets.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
pub struct ForecastRows {
    /// One a target: sizes, within them peak rates, within them ratios, within them shapes.
    pub rows: Vec<ForecastRow>,
    /// Level of the intervals.
    pub level: f64,
    /// What to beware of, of all rows.
    pub caveats: Vec<Caveat>,
}

impl Document for ForecastRows {
    const SCHEMA: &'static str = "lehr.forecast-rows/2";
}

impl Tabular for ForecastRows {
    fn table(&self) -> Result<Table, Failure> {
        let columns = [
            Column::new("N"),
            Column::new("peak rate"),
            Column::new("ratio"),
            Column::new("shape"),
            Column::with_unit("horizon", "updates"),
            Column::with_unit("loss", "nats per token"),
            Column::with_unit("loss, lower", "nats per token"),
            Column::with_unit("loss, upper", "nats per token"),
        ];
        let rows = self.rows.iter().map(|row| {
            vec![
                row.params.map_or(Cell::Empty, Cell::Count),
                Cell::Text(format!("{:e}", row.peak_lr)),
                row.ratio.map_or(Cell::Empty, |ratio| number(ratio, 3)),
                Cell::Text(row.shape.clone()),
                Cell::Count(row.steps),
                number(row.last.value, 4),
                number(row.last.lower, 4),
                number(row.last.upper, 4),
            ]
        });
        sheet(columns, rows)
    }
}

impl Desk {
    /// Forecasts the loss at the end of each of several runs.
    ///
    /// # Errors
    /// As [`Desk::forecast`]; a length in tokens or compute that is no number of updates.
    pub fn forecast_rows(&self, request: &ForecastRowsRequest) -> Result<Answer<ForecastRows>, Failure> {
        let ratios = each_or(&request.ratios, request.plan.ratio);
        let (mut rows, mut gathered) = (Vec::new(), Gathered::default());
        let mut level = request.level.unwrap_or(request.fit.options.level).get();
        for params in each_or(&request.params, request.setting.params) {
            for &peak_lr in &request.peak_lrs {
                for &ratio in &ratios {
                    for &shape in &request.shapes {
                        let setting = Setting { params, ..request.setting.clone() };
                        let total = (request.length)
                            .map(|length| updates(&request.fit, length, &setting))
                            .transpose()?
                            .or(request.plan.total);
                        let plan =
                            PlanSpec { peak_lr: Some(peak_lr), total, ratio, shape, ..request.plan.clone() };
                        let found = gathered.take(self.forecast(&ForecastRequest {
                            fit: request.fit.clone(),
                            plan: plan.plan()?,
                            setting,
                            // The end alone is asked for, where it is known before the plan is made.
                            at: total.into_iter().collect(),
                            level: request.level,
                            measured: None,
                        })?);
                        level = found.level;
                        rows.push(ForecastRow {
                            params: params.map(|n| n.0),
                            peak_lr,
                            steps: found.plan.total().0,
                            schedule: found.schedule,
                            shape: if request.plan.cosine { Shape::Cosine } else { shape }.to_string(),
                            ratio: found.plan.ratio(),
                            last: found.last,
                        });
                    }
                }
            }
        }
        Ok(gathered.answer(|caveats| ForecastRows { rows, level, caveats }))
    }
}
