//! Logs of trainers and trackers, one file a source.
//!
//! An [`Importer`] claims files by their content and turns those of one run into a [`Log`]: rows with named columns, and
//! what the source knows besides. From there on a log is read like a table, so that mapping, stitching, splitting and
//! checking are the same for all.

pub mod deepspeed;
pub mod hf_trainer;
pub mod megatron;
pub mod mlflow_files;
pub mod nanotron;
mod protobuf;
pub mod sparse;
mod sqlite;
pub mod tensorboard;
pub mod torchtitan;
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
    /// Opens the files of one run.
    ///
    /// # Errors
    /// [`ReadError`] for a broken file.
    fn open(&self, sources: &[Source], map: &MapOverrides) -> Result<Box<dyn Log>, ReadError>;
}

/// Every importer, the most particular first.
pub const IMPORTERS: [&dyn Importer; 11] = [
    &wandb::WandbFile,
    &tensorboard::EventFiles,
    &tracker_db::Databases,
    &hf_trainer::TrainerState,
    &mlflow_files::FileStore,
    &wandb_csv::CsvExport,
    &deepspeed::CsvMonitor,
    &nanotron::Stdout,
    &megatron::Stdout,
    &torchtitan::Stdout,
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
                    let named = if key.is_empty() || key == source.name() {
                        source.clone()
                    } else {
                        source.named_after(&key)
                    };
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
    Ok(groups)
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
        sparse::by_names(mapping, raw);
        Ok(())
    }
}
