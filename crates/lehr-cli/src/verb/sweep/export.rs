//! `lehr sweep export`: the curves of a sweep as a run store.

use crate::failure::Failure;
use crate::output::Output;
use lehr_app::sweep::{SweepExportAnswer, SweepExportRequest};
use lehr_io::run_store::{MANIFEST, POINTS};
use std::path::PathBuf;

/// Writes the finished runs of a sweep to a run store, which every verb reads.
///
/// A branch's curve begins with its trunk's points, as if it had been trained from the start. Validation and training
/// losses are kept side by side; readers take validation losses unless told otherwise (`--split train`). In a store that
/// is there, runs of the sweep are written anew and other runs stay.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lehr sweep export plan.sweep -o store
  lehr sweep export plan.sweep -o store --thin 20      means over 20 updates of training losses
  lehr sweep export plan.sweep -o store --split val    no training losses")]
pub struct Args {
    /// Folder of the sweep.
    dir: PathBuf,
    /// Directory of the run store; made if it is not there.
    #[arg(short, long, value_name = "STORE")]
    output: PathBuf,
    /// Which losses to write.
    #[arg(long, value_enum, default_value_t = Which::Both)]
    split: Which,
    /// Writes means over so many updates instead of every training loss.
    #[arg(long, value_name = "UPDATES", value_parser = crate::load::positive)]
    thin: Option<u64>,
    /// Takes only runs whose name fits a pattern with `*`, `?` and `[abc]` (repeat, or separate with commas).
    #[arg(long, value_name = "GLOB", value_delimiter = ',')]
    run: Vec<String>,
    /// Writes the tokens that each expert of the mixtures got between validations (CSV: run, step, layer, expert, tokens).
    #[arg(long, value_name = "FILE")]
    experts: Option<PathBuf>,
    /// Writes diverged runs, too, up to where they diverged.
    #[arg(long)]
    diverged: bool,
}

/// Which losses to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Which {
    /// Validation and training losses.
    Both,
    /// Training losses.
    Train,
    /// Validation losses.
    #[value(alias = "validation")]
    Val,
}

impl From<Which> for lehr_app::sweep::Which {
    fn from(which: Which) -> Self {
        match which {
            Which::Both => Self::Both,
            Which::Train => Self::Training,
            Which::Val => Self::Validation,
        }
    }
}

/// Runs the verb.
pub fn run(args: Args, output: &Output) -> Result<(), Failure> {
    let request = SweepExportRequest {
        dir: args.dir,
        store: args.output,
        which: args.split.into(),
        thin: args.thin,
        runs: args.run,
        experts: args.experts,
        diverged: args.diverged,
    };
    let answer = output.desk().export_sweep(&request)?;
    if let Some(file) = &request.experts {
        output.say(format_args!("wrote {}", file.display()));
    }
    output.notes(&answer.notes);
    if output.json {
        return output.answer(&answer.value);
    }
    let SweepExportAnswer { store, runs, points, left_out } = &answer.value;
    for run in left_out.iter().filter(|run| run.ended) {
        let way = if run.why.starts_with("diverged") { " ([[diverged]] writes it)" } else { "" };
        output.say(format_args!("note: {} left out: {}{way}", run.id, run.why));
    }
    output.data(&format!(
        "{store}: {} runs, {points} points ({POINTS}, {MANIFEST}); {} runs left out",
        runs.len(),
        left_out.len()
    ))
}
