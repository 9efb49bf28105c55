//! Parquet.

use super::{Cell, TableEnd, Visit, Want};
use crate::error::{Place, ReadError};
use crate::source::Source;
use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, types};
use arrow_schema::DataType;
use lehr::guard::caught;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};

fn builder(source: &Source) -> Result<ParquetRecordBatchReaderBuilder<Source>, ReadError> {
    if source.compression().is_some() {
        return Err(ReadError::Refused {
            file: source.name().to_owned(),
            why: "a compressed Parquet file; Parquet is read in places, not from beginning to end".to_owned(),
            hint: "expand it (gzip -d, zstd -d); Parquet compresses its columns itself".to_owned(),
        });
    }
    // Parquet's own types say enough; the schema that Arrow writes beside them is not followed: a broken one panics there.
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    caught(|| ParquetRecordBatchReaderBuilder::try_new_with_options(source.clone(), options))
        .map_err(|panic| broken(source, &panic))?
        .map_err(|error| broken(source, &error))
}

fn broken(source: &Source, error: &dyn std::fmt::Display) -> ReadError {
    ReadError::Broken {
        file: source.name().to_owned(),
        place: Place::File,
        problem: format!("not a readable Parquet file: {error}"),
    }
}

pub(crate) fn columns(source: &Source) -> Result<Vec<String>, ReadError> {
    Ok(builder(source)?.schema().fields().iter().map(|field| field.name().clone()).collect())
}

/// A column of a batch, brought to numbers or text.
enum Column {
    Numbers(Vec<Option<f64>>),
    Texts(Vec<Option<String>>),
    Absent,
}

fn numbers(array: &ArrayRef) -> Option<Vec<Option<f64>>> {
    macro_rules! as_f64 {
        ($type:ty) => {
            array.as_primitive::<$type>().iter().map(|value| value.map(|value| value as f64)).collect()
        };
    }
    Some(match array.data_type() {
        DataType::Int8 => as_f64!(types::Int8Type),
        DataType::Int16 => as_f64!(types::Int16Type),
        DataType::Int32 => as_f64!(types::Int32Type),
        DataType::Int64 => as_f64!(types::Int64Type),
        DataType::UInt8 => as_f64!(types::UInt8Type),
        DataType::UInt16 => as_f64!(types::UInt16Type),
        DataType::UInt32 => as_f64!(types::UInt32Type),
        DataType::UInt64 => as_f64!(types::UInt64Type),
        DataType::Float32 => as_f64!(types::Float32Type),
        DataType::Float64 => as_f64!(types::Float64Type),
        DataType::Float16 => {
            array.as_primitive::<types::Float16Type>().iter().map(|value| value.map(f64::from)).collect()
        }
        DataType::Null => vec![None; array.len()],
        _ => return None,
    })
}

fn texts(array: &ArrayRef) -> Option<Vec<Option<String>>> {
    let own = |value: Option<&str>| value.map(str::to_owned);
    Some(match array.data_type() {
        DataType::Utf8 => array.as_string::<i32>().iter().map(own).collect(),
        DataType::LargeUtf8 => array.as_string::<i64>().iter().map(own).collect(),
        DataType::Utf8View => array.as_string_view().iter().map(own).collect(),
        DataType::Boolean => {
            array.as_boolean().iter().map(|value| value.map(|value| value.to_string())).collect()
        }
        DataType::Dictionary(_, _) => {
            let dictionary = array.as_any_dictionary_opt()?;
            let values = texts(dictionary.values())?;
            if values.is_empty() {
                return Some(vec![None; array.len()]);
            }
            dictionary
                .normalized_keys()
                .into_iter()
                .enumerate()
                .map(|(i, key)| if array.is_null(i) { None } else { values[key].clone() })
                .collect()
        }
        _ => numbers(array)?.into_iter().map(|value| value.map(|value| value.to_string())).collect(),
    })
}

pub(crate) fn for_each_row(
    source: &Source,
    select: &[(&str, Want)],
    visit: &mut Visit<'_>,
) -> Result<TableEnd, ReadError> {
    let builder = builder(source)?;
    let roots: Vec<usize> = builder
        .schema()
        .fields()
        .iter()
        .enumerate()
        .filter(|(_, field)| select.iter().any(|(name, _)| name == field.name()))
        .map(|(i, _)| i)
        .collect();
    let mask = ProjectionMask::roots(builder.parquet_schema(), roots);
    let mut reader = caught(|| builder.with_projection(mask).with_batch_size(8192).build())
        .map_err(|panic| broken(source, &panic))?
        .map_err(|error| broken(source, &error))?;
    let mut row = 0;
    // Pages may contradict each other in ways that the reader takes for impossible.
    while let Some(batch) = caught(|| reader.next()).map_err(|panic| broken(source, &panic))? {
        let batch = batch.map_err(|error| broken(source, &error))?;
        let mut columns = Vec::with_capacity(select.len());
        for (name, want) in select {
            let Some(array) = batch.column_by_name(name) else {
                columns.push(Column::Absent);
                continue;
            };
            let column = match want {
                Want::Number => numbers(array).map(Column::Numbers),
                Want::Perhaps => Some(numbers(array).map_or(Column::Absent, Column::Numbers)),
                Want::Text => texts(array).map(Column::Texts),
            };
            columns.push(column.ok_or_else(|| ReadError::Value {
                file: source.name().to_owned(),
                place: Place::File,
                what: format!("column '{name}'"),
                found: format!("of type {}", array.data_type()),
                expected: if *want == Want::Number { "numbers" } else { "text" }.to_owned(),
            })?);
        }
        for i in 0..batch.num_rows() {
            row += 1;
            let cells: smallvec::SmallVec<[Cell<'_>; 8]> = columns
                .iter()
                .map(|column| match column {
                    Column::Numbers(values) => values[i].map_or(Cell::Missing, Cell::Number),
                    Column::Texts(values) => values[i].as_deref().map_or(Cell::Missing, Cell::Text),
                    Column::Absent => Cell::Missing,
                })
                .collect();
            if !visit(Place::Row(row), &cells)? {
                return Ok(TableEnd::default());
            }
        }
    }
    Ok(TableEnd::default())
}
