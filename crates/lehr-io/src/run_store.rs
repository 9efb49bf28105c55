//! The run store: one Parquet file of points and one readable manifest.
//!
//! The format is described in `docs/formats/run-store.md`. A store is read like any table with a manifest next to it;
//! this module writes it. Both files carry a generation. The points' file, which is replaced first, holds a copy of the
//! manifest, so that a writer that dies between the two replacements loses nothing.

mod copy;

use crate::error::ReadError;
use crate::source::Source;
use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema};
use copy::Rows;
use lehr::{Curve, LossKind, RunMeta, Schedule, Split};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;

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

fn broken(source: &Source, error: &dyn std::fmt::Display) -> ReadError {
    ReadError::Broken {
        file: source.name().to_owned(),
        place: crate::error::Place::File,
        problem: format!("not a readable Parquet file: {error}"),
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

/// A value of a file's metadata.
fn value_of(points: &Source, key: &str) -> Result<Option<String>, ReadError> {
    // Parquet's own types say enough; the schema that Arrow writes beside them is not followed: a broken one panics there.
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let builder = ParquetRecordBatchReaderBuilder::try_new_with_options(points.clone(), options)
        .map_err(|error| broken(points, &error))?;
    let pairs = builder.metadata().file_metadata().key_value_metadata();
    Ok(pairs.and_then(|pairs| pairs.iter().find(|pair| pair.key == key)?.value.clone()))
}

/// Writes a store's points, run after run, and its manifest at the end.
#[derive(Debug)]
pub struct StoreWriter<W: Write + Send> {
    store: String,
    points: ArrowWriter<W>,
    schema: Arc<Schema>,
    manifest: StoreManifest,
}

impl<W: Write + Send> StoreWriter<W> {
    /// Begins a store named `store` in errors.
    ///
    /// # Errors
    /// [`ReadError::Store`] when the output cannot be written.
    pub fn new(store: &str, output: W, generation: u64) -> Result<Self, ReadError> {
        let schema = Arc::new(Schema::new(vec![
            Field::new("run_id", DataType::Utf8, false),
            Field::new("split", DataType::Utf8, true),
            Field::new("step", DataType::Int64, false),
            Field::new("lr", DataType::Float64, false),
            Field::new("loss", DataType::Float64, false),
        ]));
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_column_dictionary_enabled("step".into(), false)
            .set_column_encoding("step".into(), Encoding::DELTA_BINARY_PACKED)
            .set_column_dictionary_enabled("loss".into(), false)
            .build();
        let points = ArrowWriter::try_new(output, schema.clone(), Some(properties))
            .map_err(|error| cannot_write(store, &error))?;
        Ok(Self { store: store.to_owned(), points, schema, manifest: StoreManifest::new(generation) })
    }

    /// Names of the runs written so far.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.manifest.runs.keys().map(String::as_str)
    }

    /// Carries over the runs of another store whose names `keep` accepts, row by row: whatever program wrote the rows
    /// last, and in whatever row groups and order. Runs come out sorted as the format says.
    ///
    /// Rows that are sorted by run are held one run at a time; others are held all at once.
    ///
    /// # Errors
    /// [`ReadError`]: the other store cannot be read, lacks a column, a value or the rows of a run that its manifest names;
    /// or a name is there already.
    pub fn copy(
        &mut self,
        points: &Source,
        manifest: &StoreManifest,
        keep: &dyn Fn(&str) -> bool,
    ) -> Result<(), ReadError> {
        let copied = copy::rows(points, keep, &mut |run, split, rows| {
            if self.manifest.runs.contains_key(run) {
                return Err(already_there(&self.store, run));
            }
            self.write_rows(run, split, rows)
        })?;
        for (name, run) in manifest.runs.iter().filter(|(name, _)| keep(name)) {
            let Some(&points) = copied.get(name.as_str()) else {
                return Err(ReadError::Store {
                    store: self.store.clone(),
                    problem: format!("{MANIFEST} names the run '{name}', of which {POINTS} has no row"),
                    hint: "restore the file that has its rows, or remove the run's tables from the manifest",
                });
            };
            self.add(name, StoredRun { points, ..run.clone() })?;
        }
        Ok(())
    }

    /// Adds a run, which came from `source`.
    ///
    /// # Errors
    /// [`ReadError::Store`]: a run of that name is there already, or the output cannot be written.
    pub fn push(&mut self, curve: &Curve, source: &str) -> Result<(), ReadError> {
        self.push_both(curve, None, source)
    }

    /// Adds a run of which there are training losses besides the curve: the same run, `training`'s points. A reader takes
    /// the one or the other.
    ///
    /// # Errors
    /// [`ReadError::Store`] as [`StoreWriter::push`], and when `training` is not of the same run or not of training losses.
    pub fn push_both(
        &mut self,
        curve: &Curve,
        training: Option<&Curve>,
        source: &str,
    ) -> Result<(), ReadError> {
        let meta = curve.meta().clone();
        let id = meta.id.clone();
        if let Some(training) = training
            && (training.meta().id != id
                || training.meta().split != Split::Train
                || meta.split == Split::Train
                || training.schedule() != curve.schedule())
        {
            return Err(ReadError::Store {
                store: self.store.clone(),
                problem: format!("the training losses given for run '{id}' are not of that run"),
                hint: "give curves of one run, of two splits",
            });
        }
        let rows = curve.step().len() + training.map_or(0, |training| training.step().len());
        let stored = StoredRun {
            source: source.to_owned(),
            points: rows as u64,
            meta,
            training: training.map(|training| training.meta().loss_kind),
            schedule: curve.schedule().clone(),
        };
        self.add(&id, stored)?;
        self.rows(curve)?;
        training.map_or(Ok(()), |training| self.rows(training))
    }

    /// Writes a curve's points as a row group.
    fn rows(&mut self, curve: &Curve) -> Result<(), ReadError> {
        let id = curve.meta().id.clone();
        let split = match curve.meta().split {
            Split::Train => Some("train"),
            Split::Validation => Some("val"),
            Split::Unstated => None,
        };
        let rows = Rows {
            step: curve.step().iter().map(|&step| step as i64).collect(),
            lr: rates_at(curve),
            loss: curve.loss().to_vec(),
        };
        self.write_rows(&id, split, rows)
    }

    /// Writes rows of one run and split as a row group.
    fn write_rows(&mut self, id: &str, split: Option<&str>, rows: Rows) -> Result<(), ReadError> {
        let n = rows.step.len();
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from(vec![id; n])),
            Arc::new(StringArray::from(vec![split; n])),
            Arc::new(Int64Array::from(rows.step)),
            Arc::new(Float64Array::from(rows.lr)),
            Arc::new(Float64Array::from(rows.loss)),
        ];
        RecordBatch::try_new(self.schema.clone(), columns)
            .map_err(parquet::errors::ParquetError::from)
            .and_then(|batch| self.points.write(&batch))
            .map_err(|error| cannot_write(&self.store, &error))?;
        self.flush()
    }

    fn add(&mut self, name: &str, run: StoredRun) -> Result<(), ReadError> {
        if self.manifest.runs.insert(name.to_owned(), run).is_some() {
            return Err(already_there(&self.store, name));
        }
        Ok(())
    }

    /// Ends the row group, so that a reader can take one run alone.
    fn flush(&mut self) -> Result<(), ReadError> {
        self.points.flush().map_err(|error| cannot_write(&self.store, &error))
    }

    /// Ends the points' file and gives back its output together with the manifest's text.
    ///
    /// # Errors
    /// [`ReadError::Store`] when the output cannot be written.
    pub fn finish(mut self) -> Result<(W, String), ReadError> {
        let text =
            toml::to_string_pretty(&self.manifest).map_err(|error| cannot_write(&self.store, &error))?;
        let text = format!(
            "# Runs of a lehr run store; the points are in {POINTS}. Metadata may be edited here by hand.\n{text}"
        );
        for (key, value) in
            [(MANIFEST_KEY, text.clone()), (GENERATION_KEY, self.manifest.generation.to_string())]
        {
            self.points.append_key_value_metadata(KeyValue::new(key.to_owned(), value));
        }
        let output = self.points.into_inner().map_err(|error| cannot_write(&self.store, &error))?;
        Ok((output, text))
    }
}

fn already_there(store: &str, name: &str) -> ReadError {
    ReadError::Store {
        store: store.to_owned(),
        problem: format!("it has a run '{name}' already"),
        hint: "[[replace]] puts the new run in its place; [[run]] GLOB leaves it out",
    }
}

fn cannot_write(store: &str, error: &dyn std::fmt::Display) -> ReadError {
    ReadError::Store {
        store: store.to_owned(),
        problem: format!("cannot be written: {error}"),
        hint: "the store is as it was before",
    }
}

/// The rate of each point's update.
fn rates_at(curve: &Curve) -> Vec<f64> {
    let schedule = curve.schedule();
    let Some(segments) = schedule.segments() else {
        return curve.step().iter().map(|&step| schedule.lr(step)).collect();
    };
    let (mut before, mut k) = (0, 0);
    curve
        .step()
        .iter()
        .map(|&step| {
            while step > before + segments[k].updates.0 {
                before += segments[k].updates.0;
                k += 1;
            }
            segments[k].lr(step - before)
        })
        .collect()
}
