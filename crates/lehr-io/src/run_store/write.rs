//! Writes a store's points and manifest, and reads what the points' file says about itself.

use super::copy::{self, Rows};
use super::{GENERATION_KEY, MANIFEST, MANIFEST_KEY, POINTS, StoreManifest, StoredRun};
use crate::error::ReadError;
use crate::source::Source;
use crate::table::parquet;
use ::parquet::basic::{Compression, Encoding, ZstdLevel};
use ::parquet::data_type::{ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use ::parquet::errors::ParquetError;
use ::parquet::file::metadata::KeyValue;
use ::parquet::file::properties::WriterProperties;
use ::parquet::file::reader::FileReader;
use ::parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use ::parquet::schema::parser::parse_message_type;
use lehr::{Curve, Split};
use std::io::Write;
use std::sync::Arc;

/// The columns of the points.
const SCHEMA: &str = "message points {
    required binary run_id (string);
    optional binary split (string);
    required int64 step;
    required double lr;
    required double loss;
}";

/// Rows of a row group at most.
const GROUP: usize = 1 << 20;

/// A value of a file's metadata.
pub(super) fn value_of(points: &Source, key: &str) -> Result<Option<String>, ReadError> {
    let reader = parquet::open(points)?;
    let pairs = reader.metadata().file_metadata().key_value_metadata();
    Ok(pairs.and_then(|pairs| pairs.iter().find(|pair| pair.key == key)?.value.clone()))
}

/// Writes a store's points, run after run, and its manifest at the end.
#[derive(Debug)]
pub struct StoreWriter<W: Write + Send> {
    store: String,
    points: SerializedFileWriter<W>,
    manifest: StoreManifest,
}

impl<W: Write + Send> StoreWriter<W> {
    /// Begins a store named `store` in errors.
    ///
    /// # Errors
    /// [`ReadError::Store`] when the output cannot be written.
    pub fn new(store: &str, output: W, generation: u64) -> Result<Self, ReadError> {
        let schema = parse_message_type(SCHEMA).map_err(|error| cannot_write(store, &error))?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_column_dictionary_enabled("step".into(), false)
            .set_column_encoding("step".into(), Encoding::DELTA_BINARY_PACKED)
            .set_column_dictionary_enabled("loss".into(), false)
            .build();
        let points = SerializedFileWriter::new(output, Arc::new(schema), Arc::new(properties))
            .map_err(|error| cannot_write(store, &error))?;
        Ok(Self { store: store.to_owned(), points, manifest: StoreManifest::new(generation) })
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

    /// Writes rows of one run and split as row groups of their own, so that a reader can take one run alone.
    fn write_rows(&mut self, id: &str, split: Option<&str>, rows: Rows) -> Result<(), ReadError> {
        let parts = rows.step.chunks(GROUP).zip(rows.lr.chunks(GROUP)).zip(rows.loss.chunks(GROUP));
        for ((step, lr), loss) in parts {
            self.write_group(id, split, step, lr, loss).map_err(|error| cannot_write(&self.store, &error))?;
        }
        Ok(())
    }

    fn write_group(
        &mut self,
        id: &str,
        split: Option<&str>,
        step: &[i64],
        lr: &[f64],
        loss: &[f64],
    ) -> Result<(), ParquetError> {
        let n = step.len();
        let mut group = self.points.next_row_group()?;
        column::<W, ByteArrayType>(&mut group, &vec![ByteArray::from(id); n], None)?;
        let (splits, there) = split.map_or((Vec::new(), 0), |split| (vec![ByteArray::from(split); n], 1));
        column::<W, ByteArrayType>(&mut group, &splits, Some(&vec![there; n]))?;
        column::<W, Int64Type>(&mut group, step, None)?;
        column::<W, DoubleType>(&mut group, lr, None)?;
        column::<W, DoubleType>(&mut group, loss, None)?;
        group.close()?;
        Ok(())
    }

    fn add(&mut self, name: &str, run: StoredRun) -> Result<(), ReadError> {
        if self.manifest.runs.insert(name.to_owned(), run).is_some() {
            return Err(already_there(&self.store, name));
        }
        Ok(())
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

/// Writes the next column of a row group; `levels` are 1 where a value of an optional column is there.
fn column<W: Write + Send, T: DataType>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    values: &[T::T],
    levels: Option<&[i16]>,
) -> Result<(), ParquetError> {
    let mut writer = group
        .next_column()?
        .ok_or_else(|| ParquetError::General("more columns than the schema has".to_owned()))?;
    writer.typed::<T>().write_batch(values, levels, None)?;
    writer.close()
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
