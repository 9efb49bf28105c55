//! `lehr import`: logs → run store.

use crate::failure::Failure;
use crate::load::LoadArgs;
use crate::output::Output;
use lehr_app::import::ImportRequest;
use std::path::PathBuf;

/// Reads logs once and keeps their runs in a run store, which every verb reads.
///
/// A run store is a directory with `points.parquet` and `manifest.toml`; it opens in pandas, polars and DuckDB. Runs are
/// added to a store that exists. Both files are replaced as a whole, so an interruption loses nothing.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lehr import runs/ -o store                      every log below a directory
  lehr import more.csv -o store --params 124M     adds to it
  lehr import runs/new -o store --replace         new rows of runs that are there already")]
pub struct Args {
    #[command(flatten)]
    load: LoadArgs,
    /// Directory of the run store; made if it is not there.
    #[arg(short, long, value_name = "STORE")]
    output: PathBuf,
    /// Puts a run in the place of one of the same name, instead of refusing it.
    #[arg(long)]
    replace: bool,
}

/// Runs the verb.
pub fn run(args: Args, output: &Output) -> Result<(), Failure> {
    let request = ImportRequest { reading: args.load.reading()?, store: args.output, replace: args.replace };
    let answer = output.desk().import(&request)?;
    output.notes(&answer.notes);
    if output.json {
        return output.answer(&answer.value);
    }
    for caveat in &answer.caveats {
        output.say(format_args!("caveat: {caveat}"));
    }
    let kept = &answer.value;
    output.data(&format!(
        "{}: {} run{} added, {} replaced, {} points; {} runs in all",
        kept.store,
        kept.added.len(),
        if kept.added.len() == 1 { "" } else { "s" },
        kept.replaced.len(),
        kept.points,
        kept.runs
    ))
}
