//! Logs of trainers and trackers, one file a source.
//!
//! An [`Importer`] claims files by their content and turns those of one run into a [`Log`]: rows with named columns, and
//! what the source knows besides. From there on a log is read like a table, so that mapping, stitching, splitting and
//! checking are the same for all.

pub mod deepspeed;
pub mod facts;
pub mod framed;
pub mod hf_trainer;
pub mod json_records;
pub mod megatron;
pub mod metric_table;
pub mod mlflow_files;
pub mod nanogpt;
pub mod nanotron;
mod protobuf;
pub mod sparse;
#[cfg(feature = "sqlite")]
mod sqlite;
mod sqlite_files;
pub mod tensorboard;
pub mod tensorboard_csv;
pub mod torchtitan;
#[cfg(feature = "sqlite")]
pub mod tracker_db;
#[cfg(not(feature = "sqlite"))]
#[path = "import/no_tracker_db.rs"]
pub mod tracker_db;
pub mod wandb;
pub mod wandb_csv;

use crate::error::ReadError;
use crate::mapping::{MapOverrides, Mapping};
use crate::rows::RawRun;
use crate::source::{Compression, Source};
use crate::table::{self, Format, TableEnd, Visit, Want};

/// Rows with named columns.
pub trait Log {
    /// What it is, for people: `CSV`, `W&B run file`.
    fn kind(&self) -> String;
    /// Whether places are lines.
    fn has_lines(&self) -> bool;
    /// The run's name, where the source has a better one than its path.
    fn run_name(&self) -> Option<String> {
        None
    }
    /// Names of the columns.
    ///
    /// # Errors
    /// [`ReadError`] for a file that cannot be read.
    fn columns(&self) -> Result<Vec<String>, ReadError>;
    /// Visits every row with the columns of `select`, in that order.
    ///
    /// # Errors
    /// [`ReadError`] for a fault of the file, and what the visitor returns.
    fn for_each_row(&self, select: &[(&str, Want)], visit: &mut Visit<'_>) -> Result<TableEnd, ReadError>;
    /// Adds what the source knows besides its rows.
    ///
    /// # Errors
    /// [`ReadError`] for facts that cannot be understood.
    fn describe(&self, _mapping: &Mapping, _raw: &mut RawRun) -> Result<(), ReadError> {
        Ok(())
    }
}

/// A reader of one kind of log.
pub trait Importer: Sync {
    /// Its name, for people.
    fn name(&self) -> &'static str;
    /// Whether a file is of this kind; if so, the key that files of one run share: its own path where a run is one file.
    fn claim(&self, source: &Source, head: &[u8]) -> Option<String>;
    /// What a file covers, for trainers that begin a new file when a run goes on; `None`: files stand alone.
    fn span(&self, _source: &Source, _map: &MapOverrides) -> Option<Span> {
        None
    }
    /// Opens the files of one run.
    ///
    /// # Errors
    /// [`ReadError`] for a broken file.
    fn open(&self, sources: &[Source], map: &MapOverrides) -> Result<Box<dyn Log>, ReadError>;
}

/// What one file of a run covers.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    /// First and last update.
    pub updates: (u64, u64),
    /// Updates between rows.
    pub stride: u64,
    /// The horizon.
    pub total: Option<u64>,
    /// First and last rate.
    pub rates: (f64, f64),
    /// Samples an update, at the first and the last row.
    pub batch: (Option<f64>, Option<f64>),
    /// First and last loss.
    pub losses: (f64, f64),
}

impl Span {
    /// Whether `later` goes on where this file ends: next update, rate, batch, horizon and loss.
    fn goes_on_in(&self, later: &Self) -> bool {
        let close = |a: f64, b: f64, share: f64| (a - b).abs() <= share * a.abs().max(b.abs());
        let begins_late = later.updates.0 > 2 * later.stride;
        let next = later.updates.0 > self.updates.0
            && later.updates.1 > self.updates.1
            && later.updates.0 <= self.updates.1.saturating_add(2 * self.stride.max(later.stride));
        let batch = match (self.batch.1, later.batch.0) {
            (Some(a), Some(b)) => close(a, b, 0.02),
            _ => true,
        };
        begins_late
            && next
            && self.total == later.total
            && batch
            && close(self.rates.1, later.rates.0, 0.05)
            && close(self.losses.1, later.losses.0, 0.05)
    }
}

/// Joins files of one directory that go on in each other, where each goes on in one other at most.
fn join_jobs(groups: Vec<Group>) -> Vec<Group> {
    let map = MapOverrides::default();
    let mut directories = std::collections::BTreeMap::<(usize, String), usize>::new();
    let kind = |group: &Group| {
        let importer = group.importer?;
        let at = IMPORTERS.iter().position(|known| known.name() == importer.name())?;
        Some((at, group.sources.first()?.folder().to_owned()))
    };
    for group in &groups {
        if let Some(kind) = kind(group) {
            *directories.entry(kind).or_default() += 1;
        }
    }
    let spans: Vec<Option<Span>> = groups
        .iter()
        .map(|group| {
            let alone = kind(group).and_then(|kind| directories.get(&kind).copied()).unwrap_or(0) < 2;
            let (importer, [source]) = (group.importer?, group.sources.as_slice()) else { return None };
            if alone { None } else { importer.span(source, &map) }
        })
        .collect();
    let follows = |a: usize, b: usize| {
        a != b
            && kind(&groups[a]) == kind(&groups[b])
            && matches!((&spans[a], &spans[b]), (Some(a), Some(b)) if a.goes_on_in(b))
    };
    let all = 0..groups.len();
    let mut next: Vec<Option<usize>> = vec![None; groups.len()];
    let mut has_before = vec![false; groups.len()];
    for a in all.clone() {
        let after: Vec<usize> = all.clone().filter(|&b| follows(a, b)).collect();
        if let [b] = after.as_slice()
            && all.clone().filter(|&other| follows(other, *b)).count() == 1
        {
            next[a] = Some(*b);
            has_before[*b] = true;
        }
    }
    let mut left: Vec<Option<Group>> = groups.into_iter().map(Some).collect();
    let mut joined = Vec::with_capacity(left.len());
    for start in 0..left.len() {
        if has_before[start] {
            continue;
        }
        let Some(mut group) = left[start].take() else { continue };
        let mut at = start;
        while let Some(following) = next[at] {
            if let Some(more) = left[following].take() {
                group.sources.extend(more.sources);
            }
            at = following;
        }
        joined.push(group);
    }
    joined
}

/// Every importer, the most particular first.
pub const IMPORTERS: [&dyn Importer; 17] = [
    &wandb::WandbFile,
    &tensorboard::EventFiles,
    &tracker_db::Databases,
    &hf_trainer::TrainerState,
    &mlflow_files::FileStore,
    &wandb_csv::CsvExport,
    &tensorboard_csv::CsvDownload,
    &deepspeed::CsvMonitor,
    &nanotron::Stdout,
    &megatron::Stdout,
    &torchtitan::Stdout,
    &nanogpt::Text,
    &metric_table::MetricTable,
    &json_records::Records,
    &json_records::MetricLines,
    &json_records::Prefixed,
    &mlflow_files::Params,
];

/// Files of one run, and who reads them; `None`: a table.
pub(crate) struct Group {
    pub(crate) importer: Option<&'static dyn Importer>,
    pub(crate) sources: Vec<Source>,
    /// The path that the run is named after.
    pub(crate) named: Source,
}

/// How much of a text log is searched for its first line of metrics.
const TEXT_HEAD: u64 = 2 << 20;

/// Puts the files of each run together.
pub(crate) fn group(logs: Vec<Source>) -> Result<Vec<Group>, ReadError> {
    let mut groups: Vec<Group> = Vec::new();
    let mut keys = std::collections::BTreeMap::<(usize, String), usize>::new();
    for source in logs {
        let (source, head) = opened(source)?;
        let claimed = IMPORTERS
            .iter()
            .enumerate()
            .find_map(|(i, importer)| importer.claim(&source, &head).map(|key| (i, *importer, key)));
        match claimed {
            None => {
                let named = source.clone();
                groups.push(Group { importer: None, sources: vec![source], named });
            }
            Some((i, importer, key)) => match keys.get(&(i, key.clone())) {
                Some(&at) => groups[at].sources.push(source),
                None => {
                    let named = if key == source.name() { source.clone() } else { source.named_after(&key) };
                    keys.insert((i, key), groups.len());
                    groups.push(Group { importer: Some(importer), sources: vec![source], named });
                }
            },
        }
    }
    // What only accompanies other files is no run of its own.
    let parameters: Vec<Source> = groups
        .iter()
        .filter(|group| group.importer.is_some_and(|importer| importer.name() == mlflow_files::PARAMS))
        .flat_map(|group| group.sources.clone())
        .collect();
    groups.retain(|group| group.importer.is_none_or(|importer| importer.name() != mlflow_files::PARAMS));
    for group in
        groups.iter_mut().filter(|group| group.importer.is_some_and(|i| i.name() == mlflow_files::METRICS))
    {
        let directory = format!("{}/", group.named.name());
        group
            .sources
            .extend(parameters.iter().filter(|source| source.name().starts_with(&directory)).cloned());
    }
    Ok(join_jobs(tensorboard_csv::join(tensorboard::parts::join(groups))))
}

/// A source, expanded where it is compressed, and its head.
fn opened(source: Source) -> Result<(Source, Vec<u8>), ReadError> {
    let head = head_of(&source)?;
    match Compression::of(&head) {
        None => Ok((source, head)),
        Some(compression) => {
            let source = source.expanded(compression);
            let head = head_of(&source)?;
            Ok((source, head))
        }
    }
}

fn head_of(source: &Source) -> Result<Vec<u8>, ReadError> {
    let name = source.plain_name().to_lowercase();
    let text = [".log", ".txt", ".out", ".err"].iter().any(|end| name.ends_with(end));
    source.head(if text { TEXT_HEAD } else { table::HEAD }).map_err(ReadError::io(source.name()))
}

/// A plain table as a log.
pub(crate) struct TableLog {
    pub(crate) source: Source,
    pub(crate) format: Format,
}

impl Log for TableLog {
    fn kind(&self) -> String {
        self.format.to_string()
    }

    fn has_lines(&self) -> bool {
        self.format != Format::Parquet
    }

    fn columns(&self) -> Result<Vec<String>, ReadError> {
        table::columns(&self.source, self.format)
    }

    fn for_each_row(&self, select: &[(&str, Want)], visit: &mut Visit<'_>) -> Result<TableEnd, ReadError> {
        table::for_each_row(&self.source, self.format, select, visit)
    }

    fn describe(&self, mapping: &Mapping, raw: &mut RawRun) -> Result<(), ReadError> {
        sparse::by_names(mapping, &[], raw);
        Ok(())
    }
}
