//! Texts in a column of a Parquet file.

use super::{Piece, Visit};
use crate::data::input::broken;
use crate::error::TrainError;
use arrow_array::Array;
use arrow_array::cast::AsArray;
use lehr::guard::caught;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::fs::File;
use std::path::Path;

/// Passes the texts of a column to `visit`, one document a row.
pub(super) fn texts(path: &Path, file: File, column: &str, visit: &mut Visit<'_>) -> Result<(), TrainError> {
    let unreadable = |error: &dyn std::fmt::Display| {
        broken(
            path.display(),
            format!("not a readable Parquet file: {error}"),
            "a whole Parquet file; copy it again",
        )
    };
    let builder = caught(|| ParquetRecordBatchReaderBuilder::try_new(file))
        .map_err(|panic| unreadable(&panic))?
        .map_err(|error| unreadable(&error))?;
    let fields = builder.schema().fields();
    let Some(index) = fields.iter().position(|field| field.name() == column) else {
        let names = fields.iter().take(12).map(|field| field.name().as_str()).collect::<Vec<_>>().join(", ");
        return Err(broken(
            path.display(),
            format!("no column \"{column}\" (there are: {names})"),
            "the column that holds the text; data.column names it",
        ));
    };
    let mask = ProjectionMask::roots(builder.parquet_schema(), [index]);
    let mut reader = caught(|| builder.with_projection(mask).with_batch_size(1024).build())
        .map_err(|panic| unreadable(&panic))?
        .map_err(|error| unreadable(&error))?;
    let mut row = 0_u64;
    while let Some(batch) = caught(|| reader.next()).map_err(|panic| unreadable(&panic))? {
        let batch = batch.map_err(|error| unreadable(&error))?;
        let array = batch.column(0);
        let found: Box<dyn Iterator<Item = Option<&str>>> = if let Some(texts) = array.as_string_opt::<i32>()
        {
            Box::new(texts.iter())
        } else if let Some(texts) = array.as_string_opt::<i64>() {
            Box::new(texts.iter())
        } else if let Some(texts) = array.as_string_view_opt() {
            Box::new(texts.iter())
        } else {
            return Err(broken(
                path.display(),
                format!("column \"{column}\" is of type {}", array.data_type()),
                "a column of text; data.column names another",
            ));
        };
        for text in found {
            row += 1;
            let place = format!("{}: row {row}", path.display());
            let Some(text) = text else {
                return Err(broken(&place, format!("\"{column}\" is null"), "text; drop the rows without"));
            };
            visit(Piece { place, bytes: text.as_bytes().to_vec(), last: true })?;
        }
    }
    if row == 0 {
        Err(broken(path.display(), "the table is empty", "rows; leave the file out"))
    } else {
        Ok(())
    }
}
