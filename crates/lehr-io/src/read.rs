//! Sources → runs, one at a time.

mod branch;
mod finish;
mod format;
mod jobs;
mod rates;
mod reading;
mod smoothing;
mod tables;
mod together;
mod unsmooth;

use crate::error::ReadError;
use crate::health::Health;
use crate::mapping::{MapOverrides, Mapping};
use crate::note::Note;
use crate::rebuild::ScheduleOrigin;
use crate::source::Source;
use crate::unit::LossUnit;
use lehr::{But, Caveat, Cell, Curve, LossKind, Schedule};
use reading::Reading;
use std::collections::BTreeMap;

pub use rates::{LoggedRates, logged_rates};

/// Which losses are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SplitChoice {
    /// Validation where a run has it, else what there is.
    #[default]
    Auto,
    /// Training losses only.
    Train,
    /// Validation losses only.
    Validation,
}

/// What the user wants of the reading.
#[derive(Debug, Clone, Default)]
pub struct ReadOptions {
    /// Columns by role.
    pub map: MapOverrides,
    /// Only runs whose name fits one of these patterns, and none of those that begin with `!`; without patterns: all.
    pub runs: Vec<String>,
    /// Which losses.
    pub split: SplitChoice,
    /// Warm-up updates, where the log does not begin early enough to show them.
    pub warmup: Option<u64>,
    /// N of every run, whatever the source says.
    pub params: Option<u64>,
    /// Column of the manifest that holds N.
    pub params_column: Option<String>,
    /// Tokens per update, where the source does not say.
    pub tokens_per_step: Option<u64>,
    /// Samples (sequences) per update, for logs that count samples alone.
    pub samples_per_step: Option<u64>,
    /// The schedule of every run, whatever was logged.
    pub schedule: Option<Schedule>,
    /// The rate that a logged 1 stands for, where rates are multiples of a peak.
    pub lr_scale: Option<f64>,
    /// What a training loss stands for, whatever the source says.
    pub loss_kind: Option<LossKind>,
    /// The unit of every loss, whatever the source says.
    pub unit: Option<LossUnit>,
    /// Leave rows out whose loss is NaN, infinite, zero or negative.
    pub drop_nan: bool,
    /// Keep the last row of each update, also where rows look like several runs.
    pub stitch: bool,
    /// Keep at most so many points a run, evenly over the updates, the last one always.
    pub max_points: Option<usize>,
    /// A manifest for all sources, besides those found next to them.
    pub manifest: Option<Source>,
}

/// A run, ready to be fitted, and what there is to say about it.
#[derive(Debug, Clone)]
pub struct LoadedRun {
    /// The curve.
    pub curve: Curve,
    /// The file it came from.
    pub file: String,
    /// What the file is: `CSV`, `Parquet`, `W&B run file`, …
    pub format: String,
    /// The columns, where it was a table.
    pub mapping: Option<Mapping>,
    /// How the schedule is known.
    pub schedule: ScheduleOrigin,
    /// Spikes, divergence, noise (of all points, before `max_points`).
    pub health: Health,
    /// What to beware of.
    pub caveats: Vec<Caveat>,
    /// What was done.
    pub notes: Vec<Note>,
}

/// How far the reading is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Files begun.
    pub files: usize,
    /// Files in all.
    pub of_files: usize,
    /// Runs finished.
    pub runs: usize,
}

/// What concerns no single run.
#[derive(Debug, Clone, Default)]
pub struct Summary {
    /// Runs visited.
    pub runs: usize,
    /// Files passed over, runs of a manifest without rows, …
    pub notes: Vec<Note>,
    /// What is to beware of in the runs taken together.
    pub caveats: Vec<Caveat>,
    /// The mapping of each kind of table: an example file, its format, the columns, how many files share it.
    pub mappings: Vec<(String, String, Mapping, usize)>,
}

/// Reads every run of the sources and hands it to `visit`; only one run (of a table sorted by run) is held at a time.
///
/// Manifests (`manifest.csv`, `.tsv`, `.toml`) speak for the runs of their directory and those below it. Where there is no log
/// that one speaks for, its rows with a final loss and a schedule are runs themselves, of one point each. A file that
/// was [found](Source::found) rather than named and is no log is passed over with a note.
///
/// # Errors
/// [`ReadError`] for the first fault of a log, for names that no run has, and when there is no run at all; and what
/// `visit` returns.
pub fn for_each_run<E: From<ReadError>>(
    sources: &[Source],
    options: &ReadOptions,
    progress: &mut dyn FnMut(Progress),
    visit: &mut dyn FnMut(LoadedRun) -> Result<(), E>,
) -> Result<Summary, E> {
    let mut reading = Reading::new(sources, options)?;
    let mut done = Progress { of_files: reading.logs.len(), ..Progress::default() };
    let mut skipped = Vec::new();
    for at in 0..reading.logs.len() {
        done.files = at + 1;
        progress(done);
        if reading.jobs.is_later(at) {
            continue;
        }
        let parts = reading.parts(at);
        let source = &parts[0].sources[0];
        let name = reading.names[at].clone();
        let context = reading.context(at)?;
        let mut failed = None;
        let result = jobs::read(&parts, &name, &context, &mut |raw, mapping, format| match reading
            .take(raw, mapping, format, &context, at)
        {
            Ok(Some(run)) => {
                done.runs += 1;
                progress(done);
                visit(run).map_err(|error| {
                    failed = Some(error);
                    stop()
                })
            }
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        });
        if let Some(error) = failed {
            return Err(error);
        }
        match result {
            Ok(()) => {}
            Err(error) if source.found() && error.is_not_a_log() => {
                // A table that lacks something says more than a file that is no log at all.
                let place = if matches!(error, ReadError::Unrecognised { .. }) { skipped.len() } else { 0 };
                reading.summary.notes.push(Note::new("skipped-file", "passed over", error.to_string()));
                skipped.insert(place, error);
            }
            Err(error) => return Err(error.into()),
        }
    }
    for (raw, mapping, format, at) in std::mem::take(&mut reading.waiting) {
        let context = reading.context(at)?;
        match reading.complete(raw, mapping.as_ref(), &format, &context, at) {
            Ok(Some(run)) => {
                done.runs += 1;
                progress(done);
                visit(run)?;
            }
            Ok(None) => {}
            Err(error) if reading.logs[at].sources[0].found() && error.is_not_a_log() => {
                reading.summary.notes.push(Note::new("skipped-file", "passed over", error.to_string()));
                skipped.insert(0, error);
            }
            Err(error) => return Err(error.into()),
        }
    }
    for run in reading.finals()? {
        done.runs += 1;
        progress(done);
        visit(run)?;
    }
    reading.finish(done, skipped).map_err(E::from)
}

/// An error that only carries the visitor's own error out, or says that there was nothing at all.
fn stop() -> ReadError {
    ReadError::NoRun { looked: String::new(), skipped: Vec::new(), hints: Vec::new() }
}

/// Groups of runs of one configuration: same schedule, size, batch, data and split. Their difference is the noise floor.
#[must_use]
pub fn twins(curves: &[Curve]) -> Vec<Vec<String>> {
    let mut groups: Vec<(Cell, Vec<String>)> = Vec::new();
    let mut known = BTreeMap::new();
    for curve in curves {
        let cell = Cell::of(curve, But::Nothing);
        let at = *known.entry(cell.clone()).or_insert(groups.len());
        if at == groups.len() {
            groups.push((cell, Vec::new()));
        }
        groups[at].1.push(curve.meta().id.clone());
    }
    groups.into_iter().map(|(_, ids)| ids).filter(|ids| ids.len() > 1).collect()
}

pub(crate) use tables::whole;
