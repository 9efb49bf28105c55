//! The run store: one Parquet file of points and one readable manifest.
//!
//! The format is described in `docs/formats/run-store.md`. A store is read like any table with a manifest next to it;
//! this module writes it. Both files carry a generation. The points' file, which is replaced first, holds a copy of the
//! manifest, so that a writer that dies between the two replacements loses nothing.

#[cfg(feature = "parquet")]
mod copy;
#[cfg(feature = "parquet")]
mod write;
#[cfg(not(feature = "parquet"))]
#[path = "run_store/no_write.rs"]
mod write;

use crate::error::ReadError;
use crate::source::Source;
use lehr::{LossKind, RunMeta, Schedule};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use write::value_of;

pub use write::StoreWriter;

/// File of the points.
pub const POINTS: &str = "points.parquet";
/// File of the manifest.
pub const MANIFEST: &str = "manifest.toml";
/// The word by which a manifest says that it belongs to a store.
pub const FORMAT: &str = "lehr-run-store";
/// Version of the format that is written and read.
pub const VERSION: u32 = 1;

/// Name of what is being written and will take the place of `file`; readers pass over it.
#[must_use]
pub fn unfinished(file: &str) -> String {
    format!(".{file}.new")
}

/// Whether a file of this name is what a writer of stores has begun and not finished.
#[must_use]
pub fn is_unfinished(file_name: &str) -> bool {
    let plain = file_name.strip_prefix('.').unwrap_or(file_name);
    plain.strip_suffix(".new").is_some_and(|file| file == POINTS || file == MANIFEST)
}

const MANIFEST_KEY: &str = "lehr.manifest";
const GENERATION_KEY: &str = "lehr.generation";

/// What the manifest says about one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoredRun {
    /// Where the run was imported from.
    pub source: String,
    /// Number of points.
    pub points: u64,
    /// Metadata.
    pub meta: RunMeta,
    /// What one training loss stands for, where the store holds training losses besides those that `meta` describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub training: Option<LossKind>,
    /// The schedule of the whole run.
    pub schedule: Schedule,
}

/// The manifest of a store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoreManifest {
    /// [`FORMAT`].
    pub format: String,
    /// [`VERSION`].
    pub version: u32,
    /// Counts the writes; the points' file holds the same number.
    pub generation: u64,
    /// Runs by name.
    #[serde(default)]
    pub runs: BTreeMap<String, StoredRun>,
}

impl StoreManifest {
    /// A manifest without runs.
    #[must_use]
    pub fn new(generation: u64) -> Self {
        Self { format: FORMAT.to_owned(), version: VERSION, generation, runs: BTreeMap::new() }
    }

    /// Reads the manifest's text; `None` when it is another kind of manifest.
    ///
    /// # Errors
    /// [`ReadError::Store`] for a broken one or one of a newer version.
    pub fn parse(store: &str, text: &str) -> Result<Option<Self>, ReadError> {
        /// Enough to tell what it is.
        #[derive(Deserialize)]
        struct Head {
            format: Option<String>,
            version: Option<u32>,
        }
        let Ok(head) = toml::from_str::<Head>(text) else { return Ok(None) };
        if head.format.as_deref() != Some(FORMAT) {
            return Ok(None);
        }
        let error = |problem: String, hint| ReadError::Store { store: store.to_owned(), problem, hint };
        if head.version != Some(VERSION) {
            let found = head.version.map_or("none".to_owned(), |version| version.to_string());
            return Err(error(
                format!("the store's version is {found}; expected {VERSION}"),
                "read it with the lehr that wrote it, or with a newer one",
            ));
        }
        toml::from_str(text).map(Some).map_err(|broken: toml::de::Error| {
            let line = broken.span().map_or(1, |span| 1 + text[..span.start].matches('\n').count());
            error(
                format!("{MANIFEST}:{line}: {}", broken.message()),
                "undo the last edit; points.parquet holds a copy of the manifest",
            )
        })
    }

    /// The manifest of a store as a reader must see it: of the manifest's file and the copy inside the points' file, the
    /// one of the later generation. The second value says whether it is the copy.
    ///
    /// # Errors
    /// [`ReadError::Store`] as [`StoreManifest::parse`]; [`ReadError::Broken`] when the points cannot be read.
    pub fn current(
        store: &str,
        manifest: Option<&str>,
        points: Option<&Source>,
    ) -> Result<Option<(Self, bool)>, ReadError> {
        let written = manifest.map(|text| Self::parse(store, text)).transpose()?.flatten();
        let Some(points) = points else { return Ok(written.map(|manifest| (manifest, false))) };
        let copy = match embedded(points)? {
            Some(text) => Self::parse(store, &text)?,
            None => None,
        };
        Ok(match (written, copy) {
            (Some(written), Some(copy)) if copy.generation > written.generation => Some((copy, true)),
            (None, Some(copy)) => Some((copy, true)),
            (written, _) => written.map(|manifest| (manifest, false)),
        })
    }
}

/// What a reader needs of a store, all of one generation.
#[derive(Debug)]
pub(crate) struct OpenStore {
    /// The points, opened once: a writer that puts other ones in their place does not change them.
    pub points: Source,
    /// What is to be said about the runs.
    pub manifest: StoreManifest,
    /// Whether that is the copy inside the points' file, because the manifest's file is missing or behind.
    pub is_copy: bool,
}

impl OpenStore {
    /// Opens the store of which these are the files; `None` where they are none.
    ///
    /// A writer replaces the points first and the manifest after. A manifest that is ahead of the points was therefore
    /// read after a replacement that the points were opened before: both are opened again.
    ///
    /// # Errors
    /// [`ReadError::Io`] when a file cannot be opened, [`ReadError::Store`] as [`StoreManifest::parse`],
    /// [`ReadError::Broken`] when the points cannot be read.
    pub(crate) fn open(points: &Source, manifest: Option<&Source>) -> Result<Option<Self>, ReadError> {
        /// More replacements than that while a store is opened are no accident: then the manifest was put there by hand.
        const ATTEMPTS: usize = 8;
        let store = points.directory();
        for attempt in 1.. {
            let points = points.opened_once().map_err(ReadError::io(points.name()))?;
            let text = manifest.map(read_text).transpose()?.flatten();
            let written =
                text.as_deref().map(|text| StoreManifest::parse(store, text)).transpose()?.flatten();
            if text.is_some() && written.is_none() {
                return Ok(None);
            }
            let Some((manifest, is_copy)) = StoreManifest::current(store, text.as_deref(), Some(&points))?
            else {
                return Ok(None);
            };
            let ahead =
                !is_copy && generation(&points)?.is_some_and(|of_points| manifest.generation > of_points);
            if !ahead || attempt == ATTEMPTS {
                return Ok(Some(Self { points, manifest, is_copy }));
            }
        }
        Ok(None)
    }
}

/// The text of a manifest; `None` where it is gone.
fn read_text(source: &Source) -> Result<Option<String>, ReadError> {
    use std::io::Read;
    let mut text = String::new();
    let read = source.open().and_then(|mut reader| reader.read_to_string(&mut text));
    match read {
        Ok(_) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(ReadError::io(source.name())(error)),
    }
}

/// The copy of the manifest inside a file of points.
fn embedded(points: &Source) -> Result<Option<String>, ReadError> {
    value_of(points, MANIFEST_KEY)
}

/// The generation of a file of points; `None` where another program wrote it without.
fn generation(points: &Source) -> Result<Option<u64>, ReadError> {
    Ok(value_of(points, GENERATION_KEY)?.and_then(|text| text.parse().ok()))
}
