//! Schedules as configurations of the trainers that people use.
//!
//! Trainers differ in what they count (updates done or update number), where their warm-up line starts, whether the
//! annealing ends with the last update or after it, and in what a ratio is a share of. So no argument is copied: each
//! target has a model of its scheduler code, the arguments are chosen so that the *rates* come closest to the wanted
//! ones, and the result states how far they are.
//!
//! The models are compared, update by update, with rates recorded from the trainers' own code
//! (`fixtures/reference/exports`, recorded by `tools/record_exports.py`).

mod axolotl;
mod csv;
mod deepspeed;
mod hf;
mod json;
mod levanter;
mod lightning;
mod lingua;
mod llama_factory;
mod llm_foundry;
mod maxtext;
mod megatron;
mod megatron_bridge;
mod nanochat;
mod nanotron;
mod nemo;
mod npy;
mod olmo_core;
mod optax;
mod plan;
mod registry;
mod solve;
mod torch;
mod torchtitan;

pub use registry::{EXPORTERS, Evidence, Exporter, find, guide_table, names};

use lehr::{Schedule, Steps};
use plan::Plan;
use registry::Write;
use serde::Serialize;

/// What the user has besides the schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ExportOptions {
    /// Updates that the checkpoint to resume from has done; the exporter then cares about later updates only.
    pub from_step: Option<Steps>,
}

/// How far the trainer's rates are from the wanted ones, over the updates that are still to be done.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Deviation {
    /// Largest |Δlr|, a rate.
    pub max: f64,
    /// The update at which it occurs; 0 if there is no difference.
    pub at: u64,
    /// Σ |Δlr| (rate · updates).
    pub sum: f64,
    /// `max` over the peak rate, a share.
    pub max_of_peak: f64,
    /// `sum` over Σ lr: the share of the forward effect that differs.
    pub sum_of_total: f64,
}

/// What is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Contents {
    /// A configuration, a snippet, a table.
    Text(String),
    /// A binary file.
    Bytes(Vec<u8>),
}

/// A schedule in a trainer's terms.
#[derive(Debug, Clone, PartialEq)]
pub struct Export {
    /// The target's name.
    pub target: &'static str,
    /// A file name that suits the contents.
    pub file_name: &'static str,
    /// The configuration.
    pub contents: Contents,
    /// The rates that the trainer will use; index t − 1 holds update t.
    pub promised_rates: Vec<f64>,
    /// Their distance from the wanted ones.
    pub deviation: Deviation,
    /// What loads the checkpoint to resume from, in the trainer's own words; CHECKPOINTS and the like stand for a folder.
    pub load: Option<String>,
    /// What the trainer really does, and what to do on resuming.
    pub notes: Vec<String>,
    /// Whether rates recorded from the trainer's own code back the promise; `false`: from documentation, not executed.
    pub executed: bool,
}

/// Why a schedule has no configuration for a target.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ExportError {
    /// No such target.
    #[error("'{0}' is no export target; expected one of {list}", list = names().collect::<Vec<_>>().join(", "))]
    Target(String),
    /// The trainer has no scheduler of this form.
    #[error(
        "{target} cannot express a {family} schedule ({why}); 'torch', 'optax', 'csv', 'json' and 'npy' take any schedule"
    )]
    Inexpressible {
        /// The target.
        target: &'static str,
        /// The schedule's family.
        family: String,
        /// What stands in the way.
        why: &'static str,
    },
    /// The checkpoint is past what it should branch from.
    #[error("cannot resume from update {from}: {why}")]
    FromStep {
        /// The checkpoint's update.
        from: u64,
        /// What is wrong with it.
        why: String,
    },
}

/// What a target's file is asked.
#[derive(Clone, Copy)]
struct Request<'a> {
    schedule: &'a Schedule,
    /// The schedule's rates; index t − 1 holds update t.
    wanted: &'a [f64],
    /// Updates already done.
    from: u64,
}

/// What a target's file hands back: the rest of [`Export`] follows from it.
struct Draft {
    file_name: &'static str,
    contents: Contents,
    rates: Vec<f64>,
    notes: Vec<String>,
    /// `false` where this very configuration is beyond what was executed.
    executed: bool,
}

impl Draft {
    fn text(file_name: &'static str, text: String, rates: Vec<f64>) -> Self {
        Self { file_name, contents: Contents::Text(text), rates, notes: Vec::new(), executed: true }
    }

    fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }
}

/// Writes `schedule` for the target of that name or alias ([`EXPORTERS`]).
///
/// # Errors
/// [`ExportError`]: an unknown target; a schedule that is no warm-up, stable phase and annealing for a trainer that
/// knows only that; a checkpoint beyond the horizon or inside the annealing.
///
/// # Examples
/// ```
/// use lehr_io::export::{ExportOptions, export};
/// let schedule: lehr::Schedule = "wsd:peak=3e-4,total=1000,warmup=100,ratio=0.2".parse()?;
/// let flags = export("megatron", &schedule, &ExportOptions::default())?;
/// assert!(flags.deviation.max_of_peak < 1e-12);
/// assert_eq!(flags.promised_rates.len(), 1000);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn export(target: &str, schedule: &Schedule, options: &ExportOptions) -> Result<Export, ExportError> {
    find(target).ok_or_else(|| ExportError::Target(target.to_owned()))?.export(schedule, options)
}

impl Exporter {
    /// Writes `schedule` for this target.
    ///
    /// # Errors
    /// As [`export`], but for the unknown target.
    pub fn export(&self, schedule: &Schedule, options: &ExportOptions) -> Result<Export, ExportError> {
        check_from_step(schedule, options)?;
        let wanted = schedule.rates();
        let from = options.from_step.map_or(0, |from| from.0);
        let draft = match self.write {
            Write::Any(write) => write(&Request { schedule, wanted: &wanted, from })?,
            Write::Phases(write) => write(&Plan::new(self.name, schedule, &wanted, from)?)?,
        };
        let executed = draft.executed && !matches!(self.evidence, Evidence::Documentation);
        let deviation = deviation(&draft.rates, &wanted, from);
        let mut notes = vec![general(&draft.rates, &deviation)];
        notes.extend(draft.notes);
        if from > 0 {
            notes.push(format!("resuming after update {from}: {}", self.resume));
        }
        let load = (from > 0 && !self.load.is_empty()).then(|| {
            self.load.replace("{step}", &from.to_string()).replace("{step10}", &format!("{from:010}"))
        });
        if let Some(load) = &load {
            notes.push(format!("to load the checkpoint: {load}"));
        }
        if !executed {
            notes.push(
                "from documentation, not executed: no package registry carries this trainer's scheduler"
                    .to_owned(),
            );
        }
        Ok(Export {
            target: self.name,
            file_name: draft.file_name,
            contents: draft.contents,
            promised_rates: draft.rates,
            deviation,
            load,
            notes,
            executed,
        })
    }
}

fn check_from_step(schedule: &Schedule, options: &ExportOptions) -> Result<(), ExportError> {
    let Some(from) = options.from_step else { return Ok(()) };
    let total = schedule.total();
    if from >= total {
        let why = format!(
            "the schedule ends with update {total}; lengthen it or resume from an earlier checkpoint"
        );
        return Err(ExportError::FromStep { from: from.0, why });
    }
    if let Schedule::Wsd(wsd) = schedule
        && wsd.anneal.0 > 0
        && from > wsd.anneal_start()
    {
        let why = format!(
            "annealing starts after update {}; resume from a checkpoint of the stable phase at or before it",
            wsd.anneal_start()
        );
        return Err(ExportError::FromStep { from: from.0, why });
    }
    Ok(())
}

fn deviation(rates: &[f64], wanted: &[f64], from: u64) -> Deviation {
    let peak = wanted.iter().copied().fold(0.0, f64::max);
    let (mut max, mut at, mut sum, mut total) = (0.0, 0, 0.0, 0.0);
    for (i, (rate, want)) in rates.iter().zip(wanted).enumerate().skip(from as usize) {
        let difference = (rate - want).abs();
        if difference > max {
            (max, at) = (difference, i as u64 + 1);
        }
        sum += difference;
        total += want;
    }
    let share = |value: f64, of: f64| if of > 0.0 { value / of } else { 0.0 };
    Deviation { max, at, sum, max_of_peak: share(max, peak), sum_of_total: share(sum, total) }
}

/// What every reader wants to know first: the first and last rate, and how far the whole is from what was asked.
fn general(rates: &[f64], deviation: &Deviation) -> String {
    let first = rates.first().copied().unwrap_or_default();
    let last = rates.last().copied().unwrap_or_default();
    let distance = if deviation.max_of_peak < 1e-9 {
        "the rates are those asked for".to_owned()
    } else {
        format!(
            "largest difference from the rates asked for {:.3e} ({:.3} % of the peak) at update {}, summed {:.3e} ({:.4} % of Σ lr)",
            deviation.max,
            100.0 * deviation.max_of_peak,
            deviation.at,
            deviation.sum,
            100.0 * deviation.sum_of_total
        )
    };
    format!("first rate {first:e}, rate of the last update {last:e}; {distance}")
}
