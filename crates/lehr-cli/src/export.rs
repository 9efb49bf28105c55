//! A schedule as a trainer's configuration: the configuration to stdout or a file, what the trainer will do to stderr.

use crate::failure::Failure;
use crate::output::Output;
use lehr::Schedule;
use lehr_app::export::{ExportRequest, bytes};
use lehr_app::writing::make_folder;
use lehr_io::export::{Export, names};
use std::path::PathBuf;

/// `--export` and what belongs to it.
#[derive(Debug, clap::Args)]
pub struct ExportArgs {
    /// Print the configuration of a trainer that follows the schedule: torch, hf, megatron, … Several, separated by commas, are
    /// written into --export-dir.
    #[arg(long, value_name = "TARGET,…", value_delimiter = ',', help_heading = "Export")]
    pub export: Vec<String>,
    /// Writes each configuration into this folder, under the name that suits it.
    #[arg(long, value_name = "DIR", requires = "export", help_heading = "Export")]
    pub export_dir: Option<PathBuf>,
    /// Resumes from a checkpoint that has done UPDATES updates; `recommend` then leaves no ratio that begins before it.
    #[arg(long, value_name = "UPDATES", value_parser = crate::load::count, help_heading = "Export")]
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
        let target = self.export.first().filter(|_| self.export_dir.is_none())?.clone();
        Some(ExportRequest { target, from_step: self.from_step })
    }

    /// Refuses several targets without a folder to write them to.
    pub fn check(&self) -> Result<(), Failure> {
        if self.export.len() > 1 && self.export_dir.is_none() {
            return Err(Failure::usage(format_args!(
                "stdout holds one configuration, and {} were asked for",
                self.export.len()
            ))
            .hint("name a folder for them with [[export_dir]]"));
        }
        Ok(())
    }

    /// Writes the configurations into the folder, if one was named.
    pub fn write_all(&self, schedule: &Schedule, output: &Output) -> Result<(), Failure> {
        let Some(folder) = &self.export_dir else { return Ok(()) };
        make_folder(folder)?;
        for target in &self.export {
            let request = ExportRequest { target: target.clone(), from_step: self.from_step };
            let made = request.make(schedule)?;
            if !output.json {
                talk(&made, output);
            }
            // Two targets may suggest one name.
            let name = if self.export.len() > 1 {
                format!("{}-{}", made.target, made.file_name)
            } else {
                made.file_name.to_owned()
            };
            output.write(&folder.join(name), bytes(&made))?;
        }
        Ok(())
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
