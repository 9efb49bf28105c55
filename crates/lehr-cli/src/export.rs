//! A schedule as a trainer's configuration: the configuration to stdout or a file, what the trainer will do to stderr.

use crate::failure::Failure;
use crate::output::say;
use lehr::{Schedule, Steps};
use lehr_io::export::{Contents, Export, ExportError, ExportOptions, export, names};
use serde_json::{Value, json};

/// `--export` and what belongs to it.
#[derive(Debug, clap::Args)]
pub struct ExportArgs {
    /// Print the configuration of a trainer that follows the schedule: torch, hf, megatron, … (listed below).
    #[arg(long, value_name = "TARGET", help_heading = "Export")]
    pub export: Option<String>,
    /// With --export: resume from a checkpoint that has done UPDATES updates.
    #[arg(long, value_name = "UPDATES", value_parser = crate::load::count, requires = "export", help_heading = "Export")]
    pub from_step: Option<u64>,
}

/// The list of targets, for the end of a verb's help.
pub fn targets() -> String {
    let names: Vec<&str> = names().collect();
    let lines: Vec<String> = names.chunks(9).map(|names| names.join(" ")).collect();
    format!("Export targets: {}", lines.join("\n  "))
}

impl ExportArgs {
    /// The configuration, if one was asked for.
    pub fn make(&self, schedule: &Schedule) -> Result<Option<Export>, Failure> {
        let Some(target) = &self.export else { return Ok(None) };
        let options = ExportOptions { from_step: self.from_step.map(Steps) };
        export(target, schedule, &options).map(Some).map_err(|error| match error {
            ExportError::Target(_) => Failure::usage(error),
            ExportError::Inexpressible { .. } => Failure::new(error)
                .hint("--export torch gives a LambdaLR that most trainers accept in place of their own"),
            ExportError::FromStep { .. } => Failure::new(error),
        })
    }
}

/// The bytes of the configuration.
pub fn bytes(made: &Export) -> &[u8] {
    match &made.contents {
        Contents::Text(text) => text.as_bytes(),
        Contents::Bytes(bytes) => bytes,
    }
}

/// Says what the trainer will really do.
pub fn talk(made: &Export) {
    let status = if made.executed { "" } else { " (from documentation, not executed)" };
    for (i, note) in made.notes.iter().enumerate() {
        if i == 0 {
            say(format_args!("{}{status}: {note}", made.target));
        } else {
            say(format_args!("note: {note}"));
        }
    }
}

/// The export as a JSON object.
pub fn value(made: &Export) -> Value {
    let text = match &made.contents {
        Contents::Text(text) => Some(text),
        Contents::Bytes(_) => None,
    };
    json!({
        "target": made.target,
        "text": text,
        "file_name": made.file_name,
        "deviation": made.deviation,
        "notes": made.notes,
        "executed": made.executed,
        "promised_rates": made.promised_rates,
    })
}
