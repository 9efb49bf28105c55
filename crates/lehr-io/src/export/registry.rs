//! The targets of an export: one entry a target, one file an entry.

use super::plan::Plan;
use super::{Draft, ExportError, ExportOptions, Request};
use super::{
    axolotl, csv, deepspeed, hf, json, levanter, lightning, lingua, llama_factory, llm_foundry, maxtext,
    megatron, megatron_bridge, nanochat, nanotron, nemo, npy, olmo_core, optax, torch, torchtitan,
};
use crate::import::Importer;
use lehr::Schedule;

/// Every target, in the order in which they are listed. A new one is a file and a line here (and its `mod`).
pub static EXPORTERS: &[&Exporter] = &[
    &torch::EXPORTER,
    &hf::EXPORTER,
    &megatron::EXPORTER,
    &megatron_bridge::EXPORTER,
    &torchtitan::EXPORTER,
    &nanotron::EXPORTER,
    &olmo_core::EXPORTER,
    &levanter::EXPORTER,
    &maxtext::EXPORTER,
    &optax::EXPORTER,
    &llm_foundry::EXPORTER,
    &nemo::EXPORTER,
    &lingua::EXPORTER,
    &nanochat::EXPORTER,
    &axolotl::EXPORTER,
    &llama_factory::EXPORTER,
    &deepspeed::EXPORTER,
    &lightning::EXPORTER,
    &csv::EXPORTER,
    &json::EXPORTER,
    &npy::EXPORTER,
];

/// A target of an export: a trainer, a library or a file of rates.
#[non_exhaustive]
pub struct Exporter {
    /// Its name, as on the command line.
    pub name: &'static str,
    /// Other names that it answers to.
    pub aliases: &'static [&'static str],
    /// What it is called in prose.
    pub title: &'static str,
    /// The annealing shapes that it knows.
    pub shapes: &'static str,
    /// Where its rates differ from those asked for, in a few words; empty for nowhere of note.
    pub remark: &'static str,
    /// What backs the model of its scheduler.
    pub evidence: Evidence,
    /// How it goes on from a checkpoint of the trunk.
    pub resume: &'static str,
    /// What loads that checkpoint, `{step}` standing for its updates; empty for files of rates.
    pub load: &'static str,
    /// The reader of the logs that it writes, where there is one; other trainers' logs are read as tables or from
    /// their tracker.
    pub log: Option<&'static dyn Importer>,
    pub(super) write: Write,
}

/// What backs the model of a target's scheduler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Evidence {
    /// Rates recorded by running this code, compared at every update.
    Executed(&'static str),
    /// What is written is read back and compared.
    ReadBack,
    /// The trainer's documentation and source alone.
    Documentation,
}

impl std::fmt::Display for Evidence {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            Self::Executed(what) => what,
            Self::ReadBack => "read back",
            Self::Documentation => "from documentation, not executed",
        })
    }
}

/// How a target writes.
#[derive(Clone, Copy)]
pub(super) enum Write {
    /// It takes any schedule, or refuses by itself.
    Any(fn(&Request<'_>) -> Result<Draft, ExportError>),
    /// It knows a warm-up, a stable phase and an annealing.
    Phases(fn(&Plan<'_>) -> Result<Draft, ExportError>),
}

impl std::fmt::Debug for Exporter {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Exporter").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The names of all targets, as on the command line.
pub fn names() -> impl Iterator<Item = &'static str> {
    EXPORTERS.iter().map(|exporter| exporter.name)
}

/// The target of that name or alias.
#[must_use]
pub fn find(name: &str) -> Option<&'static Exporter> {
    EXPORTERS.iter().copied().find(|exporter| exporter.name == name || exporter.aliases.contains(&name))
}

/// The guide's table of targets, as Markdown: for each its names, the largest |Δlr| as a share of the peak rate of the
/// two schedules, its shapes, what backs it and whose logs are read.
///
/// # Errors
/// As [`Exporter::export`]: a schedule that some target cannot express.
pub fn guide_table(linear: &Schedule, one_minus_sqrt: &Schedule) -> Result<String, ExportError> {
    let mut text = String::from(
        "| target | also | deviation, linear | deviation, 1-sqrt | remark | shapes | executed | its logs are read |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    for exporter in EXPORTERS {
        let deviation = |schedule| {
            let share = exporter.export(schedule, &ExportOptions::default())?.deviation.max_of_peak;
            Ok::<_, ExportError>(percent(share))
        };
        let also: Vec<String> = exporter.aliases.iter().map(|alias| format!("`{alias}`")).collect();
        let title = match exporter.title {
            title if title == exporter.name => String::new(),
            title => format!(" ({title})"),
        };
        text += &format!(
            "| `{}`{title} | {} | {} | {} | {} | {} | {} | {} |\n",
            exporter.name,
            also.join(", "),
            deviation(linear)?,
            deviation(one_minus_sqrt)?,
            exporter.remark,
            exporter.shapes,
            exporter.evidence,
            exporter.log.map_or("", |log| log.name()),
        );
    }
    Ok(text)
}

/// A share in percent, to two digits.
fn percent(share: f64) -> String {
    let percent = 100.0 * share;
    if percent < 1e-7 {
        return "0".to_owned();
    }
    let digits = (1 - percent.log10().floor() as i32).clamp(0, 6) as usize;
    let text = format!("{percent:.digits$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text} %")
}
