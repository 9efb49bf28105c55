//! Texts in a column of a Parquet file.

use super::{Piece, Visit};
use crate::data::input::broken;
use crate::error::TrainError;
use lehr::guard::caught;
use parquet::basic::ConvertedType;
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{ByteArray, ByteArrayType};
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
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
    // Pages may contradict each other in ways that the reader takes for impossible.
    macro_rules! guarded {
        ($ask:expr) => {
            caught(|| $ask).map_err(|panic| unreadable(&panic))?.map_err(|error| unreadable(&error))
        };
    }
    let reader = guarded!(SerializedFileReader::new(file))?;
    let schema = reader.metadata().file_metadata().schema_descr();
    let fields = schema.root_schema().get_fields();
    let Some(root) = fields.iter().position(|field| field.name() == column) else {
        let names = fields.iter().take(12).map(|field| field.name()).collect::<Vec<_>>().join(", ");
        return Err(broken(
            path.display(),
            format!("no column \"{column}\" (there are: {names})"),
            "the column that holds the text; data.column names it",
        ));
    };
    let leaf = (0..schema.num_columns())
        .find(|&leaf| fields[root].is_primitive() && schema.get_column_root_idx(leaf) == root)
        .map(|leaf| (leaf, schema.column(leaf)))
        .filter(|(_, of)| {
            of.max_rep_level() == 0
                && matches!(of.converted_type(), ConvertedType::UTF8 | ConvertedType::JSON)
        });
    let Some((leaf, of)) = leaf else {
        let kind = if fields[root].is_primitive() {
            fields[root].get_physical_type().to_string()
        } else {
            "group".to_owned()
        };
        return Err(broken(
            path.display(),
            format!("column \"{column}\" is of type {kind}"),
            "a column of text; data.column names another",
        ));
    };
    let full = (of.max_def_level() > 0).then_some(of.max_def_level());
    let mut row = 0_u64;
    for group in 0..reader.num_row_groups() {
        let group = guarded!(reader.get_row_group(group))?;
        let ColumnReader::ByteArrayColumnReader(mut texts) = guarded!(group.get_column_reader(leaf))? else {
            return Err(unreadable(&"text that is not kept as bytes"));
        };
        loop {
            let found = guarded!(some(&mut texts, full))?;
            if found.is_empty() {
                break;
            }
            for text in found {
                row += 1;
                let place = format!("{}: row {row}", path.display());
                let Some(text) = text else {
                    return Err(broken(
                        &place,
                        format!("\"{column}\" is null"),
                        "text; drop the rows without",
                    ));
                };
                if let Err(error) = text.as_utf8() {
                    return Err(broken(
                        &place,
                        format!("\"{column}\" is no UTF-8 ({error})"),
                        "text in UTF-8",
                    ));
                }
                visit(Piece { place, bytes: text.data().to_vec(), last: true })?;
            }
        }
    }
    if row == 0 {
        Err(broken(path.display(), "the table is empty", "rows; leave the file out"))
    } else {
        Ok(())
    }
}

/// The next texts of a column, none at its end; `full` is the level of a text that is there.
fn some(
    reader: &mut ColumnReaderImpl<ByteArrayType>,
    full: Option<i16>,
) -> Result<Vec<Option<ByteArray>>, ParquetError> {
    let (mut levels, mut texts) = (Vec::new(), Vec::new());
    reader.read_records(1024, full.map(|_| &mut levels), None, &mut texts)?;
    let mut texts = texts.into_iter();
    Ok(match full {
        None => texts.map(Some).collect(),
        Some(full) => {
            levels.into_iter().map(|level| if level < full { None } else { texts.next() }).collect()
        }
    })
}
