//! The run store: one Parquet file of points and one readable manifest.
//!
//! The format is described in `docs/formats/run-store.md`. A store is read like any table with a manifest next to it;
//! this module writes it. Both files carry a generation. The points' file, which is replaced first, holds a copy of the
//! manifest, so that a writer that dies between the two replacements loses nothing.

use crate::error::ReadError;
use crate::source::Source;
use arrow_array::{Array, ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema};
use lehr::{Curve, LossKind, RunMeta, Schedule, Split};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
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

fn broken(source: &Source, error: &dyn std::fmt::Display) -> ReadError {
    ReadError::Broken {
        file: source.name().to_owned(),
        place: crate::error::Place::File,
        problem: format!("not a readable Parquet file: {error}"),
    }
}

/// The copy of the manifest inside a file of points.
fn embedded(points: &Source) -> Result<Option<String>, ReadError> {
    let builder =
        ParquetRecordBatchReaderBuilder::try_new(points.clone()).map_err(|error| broken(points, &error))?;
    let pairs = builder.metadata().file_metadata().key_value_metadata();
    Ok(pairs.and_then(|pairs| pairs.iter().find(|pair| pair.key == MANIFEST_KEY)?.value.clone()))
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

    /// Carries over the runs of another store whose names `keep` accepts.
    ///
    /// # Errors
    /// [`ReadError`]: the other store cannot be read, or a name is there already.
    pub fn copy(
        &mut self,
        points: &Source,
        manifest: &StoreManifest,
        keep: &dyn Fn(&str) -> bool,
    ) -> Result<(), ReadError> {
        use arrow_array::cast::AsArray;
        let groups = ParquetRecordBatchReaderBuilder::try_new(points.clone())
            .map_err(|error| broken(points, &error))?
            .metadata()
            .num_row_groups();
        for group in 0..groups {
            let reader = ParquetRecordBatchReaderBuilder::try_new(points.clone())
                .and_then(|builder| builder.with_row_groups(vec![group]).build())
                .map_err(|error| broken(points, &error))?;
            for batch in reader {
                let batch = batch.map_err(|error| broken(points, &error))?;
                let name = batch
                    .column_by_name("run_id")
                    .and_then(|column| column.as_string_opt::<i32>())
                    .filter(|names| !names.is_empty())
                    .map(|names| names.value(0).to_owned());
                let Some(name) = name else {
                    return Err(broken(points, &"it has no column 'run_id' of text"));
                };
                if keep(&name) {
                    self.points.write(&batch).map_err(|error| cannot_write(&self.store, &error))?;
                }
            }
            self.flush()?;
        }
        for (name, run) in manifest.runs.iter().filter(|(name, _)| keep(name)) {
            self.add(name, run.clone())?;
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
        let n = curve.step().len();
        let split = match curve.meta().split {
            Split::Train => Some("train"),
            Split::Validation => Some("val"),
            Split::Unstated => None,
        };
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from(vec![id.as_str(); n])),
            Arc::new(StringArray::from(vec![split; n])),
            Arc::new(curve.step().iter().map(|&step| step as i64).collect::<Int64Array>()),
            Arc::new(Float64Array::from(rates_at(curve))),
            Arc::new(Float64Array::from(curve.loss().to_vec())),
        ];
        RecordBatch::try_new(self.schema.clone(), columns)
            .map_err(parquet::errors::ParquetError::from)
            .and_then(|batch| self.points.write(&batch))
            .map_err(|error| cannot_write(&self.store, &error))?;
        self.flush()
    }

    fn add(&mut self, name: &str, run: StoredRun) -> Result<(), ReadError> {
        if self.manifest.runs.insert(name.to_owned(), run).is_some() {
            return Err(ReadError::Store {
                store: self.store.clone(),
                problem: format!("it has a run '{name}' already"),
                hint: "--replace puts the new run in its place; --run GLOB leaves it out",
            });
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
