//! A schedule as a trainer's configuration, and what it costs by a fit.

use crate::documents::Document;
use crate::failure::Failure;
use lehr::cost::{CostError, cost_of_rates};
use lehr::fit::Fit;
use lehr::forecast::Setting;
use lehr::{Schedule, Steps};
use lehr_io::export::{Contents, Deviation, Export, ExportOptions, export};
use serde::Serialize;

/// Which trainer's configuration to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportRequest {
    /// Name of the target.
    pub target: String,
    /// Updates that the checkpoint to resume from has done.
    pub from_step: Option<u64>,
}

impl ExportRequest {
    /// The configuration for a schedule.
    ///
    /// # Errors
    /// [`Failure`] for an unknown target and for a schedule that it cannot express.
    pub fn make(&self, schedule: &Schedule) -> Result<Export, Failure> {
        Ok(export(&self.target, schedule, &ExportOptions { from_step: self.from_step.map(Steps) })?)
    }
}

/// A configuration as a document.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
pub struct ExportAnswer {
    /// The trainer, as `[[export]]` takes it.
    pub target: &'static str,
    /// The configuration; `None` where it is binary.
    pub text: Option<String>,
    /// The name such a file usually has.
    pub file_name: &'static str,
    /// What loads the checkpoint that `[[from_step]]` names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load: Option<String>,
    /// How far the trainer's rates are from the wanted ones.
    pub deviation: Deviation,
    /// What the trainer will really do.
    pub notes: Vec<String>,
    /// Whether rates recorded from the trainer's own code back the promise.
    pub executed: bool,
    /// The rate that the trainer will use at every update.
    pub promised_rates: Vec<f64>,
    /// By the fit: the final loss under the trainer's rates minus that under the rates asked for, nats per token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss_cost: Option<f64>,
}

impl Document for ExportAnswer {
    const SCHEMA: &'static str = "lehr.export/1";
}

impl From<&Export> for ExportAnswer {
    fn from(made: &Export) -> Self {
        Self {
            target: made.target,
            text: match &made.contents {
                Contents::Text(text) => Some(text.clone()),
                Contents::Bytes(_) => None,
            },
            file_name: made.file_name,
            load: made.load.clone(),
            deviation: made.deviation,
            notes: made.notes.clone(),
            executed: made.executed,
            promised_rates: made.promised_rates.clone(),
            loss_cost: None,
        }
    }
}

/// Every target with what it is called in prose, in the order in which they are listed.
pub fn targets() -> impl Iterator<Item = (&'static str, &'static str)> {
    lehr_io::export::EXPORTERS.iter().map(|exporter| (exporter.name, exporter.title))
}

/// The bytes of the configuration.
#[must_use]
pub fn bytes(made: &Export) -> &[u8] {
    match &made.contents {
        Contents::Text(text) => text.as_bytes(),
        Contents::Bytes(bytes) => bytes,
    }
}

/// The final loss under the trainer's rates minus that under the rates asked for, by the fit (nats per token).
///
/// # Errors
/// [`Failure`] where the fit can forecast neither.
pub fn cost(made: &Export, fit: &Fit, setting: &Setting, wanted: &Schedule) -> Result<f64, Failure> {
    match cost_of_rates(fit, wanted, &made.promised_rates, setting) {
        Ok(cost) => Ok(cost.value),
        Err(CostError::Forecast(error)) => Err(error.into()),
        Err(error) => Err(Failure::new(error)),
    }
}
