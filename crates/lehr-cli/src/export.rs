//! A schedule as a trainer's configuration: the configuration to stdout or a file, what the trainer will do to stderr.

use crate::output::Output;
use lehr_app::export::ExportRequest;
use lehr_io::export::{Export, names};

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
    /// The library's request, if a configuration was asked for.
    pub fn request(&self) -> Option<ExportRequest> {
        let target = self.export.clone()?;
        Some(ExportRequest { target, from_step: self.from_step })
    }
}

/// Says what the trainer will really do.
pub fn talk(made: &Export, output: &Output) {
    let status = if made.executed { "" } else { " (from documentation, not executed)" };
    for (i, note) in made.notes.iter().enumerate() {
        if i == 0 {
            output.say(format_args!("{}{status}: {note}", made.target));
        } else {
            output.say(format_args!("note: {note}"));
        }
    }
}
