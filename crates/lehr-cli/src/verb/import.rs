//! `lehr import`: logs → run store.

use crate::failure::Failure;
use crate::load::{LoadArgs, add_caveats, file_source, for_each_run};
use crate::output::{Output, say};
use lehr_io::run_store::{FORMAT, MANIFEST, POINTS, StoreManifest, StoreWriter};
use serde::Serialize;
use std::fs::{File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

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

/// A failure that names a path.
fn at(path: &Path) -> impl Fn(std::io::Error) -> Failure {
    let path = path.to_path_buf();
    move |error| Failure::new(format_args!("{}: {error}", path.display()))
}

/// Holds the store against a second writer until it is dropped; the system lets go of it when a process dies.
fn lock(store: &Path) -> Result<File, Failure> {
    let path = store.join(".lock");
    let file = File::options().create(true).append(true).open(&path).map_err(at(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(Failure::new(format_args!("{}: another lehr is writing to this store", store.display()))
                .hint("wait until it is done and try again"))
        }
        Err(TryLockError::Error(error)) => Err(at(&path)(error)),
    }
}

/// The store as it is: its manifest, if there is a store.
fn existing(store: &Path) -> Result<Option<StoreManifest>, Failure> {
    let name = store.to_string_lossy();
    let manifest_path = store.join(MANIFEST);
    let manifest = match std::fs::read_to_string(&manifest_path) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(at(&manifest_path)(error)),
    };
    let points_path = store.join(POINTS);
    let points = points_path.exists().then(|| file_source(&points_path, 1, false)).transpose()?;
    let current = StoreManifest::current(&name, manifest.as_deref(), points.as_ref())?;
    match current {
        Some((manifest, is_copy)) => {
            if is_copy {
                say(format_args!(
                    "note: {name}: the manifest was behind an interrupted write and is brought up to date"
                ));
            }
            if points.is_none() && !manifest.runs.is_empty() {
                return Err(Failure::new(format_args!(
                    "{name}: {POINTS} is missing, but the manifest names {} runs",
                    manifest.runs.len()
                ))
                .hint("restore the file, or write to a new store"));
            }
            Ok(Some(manifest))
        }
        None if manifest.is_some() || points.is_some() => Err(Failure::new(format_args!(
            "{name} holds files that are no run store: {MANIFEST} does not say format = \"{FORMAT}\""
        ))
        .hint("name another directory for the store")),
        None => Ok(None),
    }
}

/// Puts bytes that are on the disk in the place of a file.
fn commit(file: &File, temporary: &Path, path: &Path) -> Result<(), Failure> {
    file.sync_all().map_err(at(temporary))?;
    std::fs::rename(temporary, path).map_err(at(path))?;
    // The new name itself must reach the disk too; not every system lets a directory be opened.
    if let Some(directory) = path.parent().and_then(|parent| File::open(parent).ok()) {
        directory.sync_all().map_err(at(path))?;
    }
    Ok(())
}

/// Removes an unfinished file, whatever happens.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        // It is gone already where the write succeeded.
        drop(std::fs::remove_file(&self.0));
    }
}

pub fn run(args: Args, output: &Output) -> Result<(), Failure> {
    let store = args.output.as_path();
    std::fs::create_dir_all(store).map_err(at(store))?;
    let _held = lock(store)?;
    let before = existing(store)?;
    let name = store.to_string_lossy().into_owned();
    let generation = before.as_ref().map_or(1, |manifest| manifest.generation + 1);
    let temporary = Temporary(store.join(format!("{POINTS}.new")));
    let file = File::create(&temporary.0).map_err(at(&temporary.0))?;
    let mut writer = StoreWriter::new(&name, file, generation)?;
    let (mut added, mut replaced, mut points, mut caveats) = (Vec::new(), Vec::new(), 0, Vec::new());
    let summary = for_each_run(&args.load, None, output, &mut |run| {
        let id = run.curve.meta().id.clone();
        let there = before.as_ref().is_some_and(|manifest| manifest.runs.contains_key(&id));
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
    if let Some(manifest) = &before {
        let old = file_source(&store.join(POINTS), 1, false)?;
        writer.copy(&old, manifest, &|id| !replaced.iter().any(|new| new == id))?;
    }
    let runs = writer.names().count();
    let (file, manifest) = writer.finish()?;
    commit(&file, &temporary.0, &store.join(POINTS))?;
    let beside = Temporary(store.join(format!("{MANIFEST}.new")));
    let mut file = File::create(&beside.0).map_err(at(&beside.0))?;
    file.write_all(manifest.as_bytes()).map_err(at(&beside.0))?;
    commit(&file, &beside.0, &store.join(MANIFEST))?;
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
