//! `lehr import`: logs → run store.

use crate::failure::Failure;
use crate::load::{LoadArgs, add_caveats, file_source, for_each_run};
use crate::output::{Output, say};
use crate::store::Replacement;
use lehr_io::run_store::POINTS;
use serde::Serialize;
use std::collections::BTreeSet;
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

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Document {
    store: String,
    added: Vec<String>,
    replaced: Vec<String>,
    runs: usize,
    points: u64,
    notes: Vec<lehr_io::Note>,
    caveats: Vec<lehr::Caveat>,
}

pub fn run(args: Args, output: &Output) -> Result<(), Failure> {
    let store = args.output.as_path();
    let name = store.to_string_lossy().into_owned();
    let replacement = Replacement::begin(store)?;
    let mut writer = replacement.writer()?;
    let before = replacement.before();
    let (mut added, mut replaced, mut points, mut caveats) = (Vec::new(), Vec::new(), 0, Vec::new());
    let summary = for_each_run(&args.load, None, output, &mut |run| {
        let id = run.curve.meta().id.clone();
        let there = before.is_some_and(|manifest| manifest.runs.contains_key(&id));
        if there && !args.replace {
            return Err(Failure::new(format_args!("{name}: it has a run '{id}' already"))
                .hint("--replace puts the new run in its place; --run GLOB leaves it out"));
        }
        writer.push(&run.curve, &run.file)?;
        points += run.curve.step().len() as u64;
        add_caveats(&mut caveats, run.caveats);
        if there {
            replaced.push(id)
        } else {
            added.push(id)
        }
        Ok(())
    })?;
    if let Some(manifest) = before {
        let old = file_source(&store.join(POINTS), 1, false)?;
        // Rows may be there of a run that the manifest does not name: they are replaced, too, or refused.
        let new: BTreeSet<&str> = added.iter().chain(&replaced).map(String::as_str).collect();
        writer.copy(&old, manifest, &|id| !args.replace || !new.contains(id))?;
    }
    let runs = writer.names().count();
    replacement.commit(writer)?;
    if output.json {
        return output.document(
            "lehr.import/1",
            &Document { store: name, added, replaced, runs, points, notes: summary.notes, caveats },
        );
    }
    for caveat in &caveats {
        say(format_args!("caveat: {}", caveat.message));
    }
    crate::output::data(&format!(
        "{name}: {} run{} added, {} replaced, {points} points; {runs} runs in all",
        added.len(),
        if added.len() == 1 { "" } else { "s" },
        replaced.len()
    ))
}
