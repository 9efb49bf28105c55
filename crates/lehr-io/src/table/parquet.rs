//! Parquet, read by its own types: the columns of a table are flat.

use super::{Cell, TableEnd, Visit, Want};
use crate::error::{Place, ReadError};
use crate::source::Source;
use lehr::guard::caught;
use parquet::basic::{ConvertedType, LogicalType, Repetition, Type as Physical};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{DataType, FixedLenByteArray};
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::schema::types::Type;

/// Rows that are decoded at a time.
const BATCH: usize = 8192;

/// Opens a file and reads what it says about itself.
pub(crate) fn open(source: &Source) -> Result<SerializedFileReader<Source>, ReadError> {
    if source.compression().is_some() {
        return Err(ReadError::Refused {
            file: source.name().to_owned(),
            why: "a compressed Parquet file; Parquet is read in places, not from beginning to end".to_owned(),
            hint: "expand it (gzip -d, zstd -d); Parquet compresses its columns itself".to_owned(),
        });
    }
    guarded(source, || SerializedFileReader::new(source.clone()))
}

/// What the Parquet reader says; a panic of it (pages may contradict each other in ways that it takes for impossible) is an
/// error, too.
fn guarded<T>(source: &Source, ask: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, ReadError> {
    caught(ask).map_err(|panic| broken(source, &panic))?.map_err(|error| broken(source, &error))
}

pub(crate) fn broken(source: &Source, error: &dyn std::fmt::Display) -> ReadError {
    ReadError::Broken {
        file: source.name().to_owned(),
        place: Place::File,
        problem: format!("not a readable Parquet file: {error}"),
    }
}

pub(crate) fn columns(source: &Source) -> Result<Vec<String>, ReadError> {
    let reader = open(source)?;
    let schema = reader.metadata().file_metadata().schema();
    Ok(schema.get_fields().iter().map(|field| field.name().to_owned()).collect())
}

/// What the values of a column are to a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Number,
    /// A number without a sign, kept in a type with one.
    Unsigned,
    Truth,
    Text,
    /// Always nothing.
    Nothing,
    /// A time, a decimal number, bytes, or a list, map or group.
    Other,
}

impl Kind {
    fn of(field: &Type) -> Self {
        if !field.is_primitive() || field.get_basic_info().repetition() == Repetition::REPEATED {
            return Self::Other;
        }
        let (logical, converted) =
            (field.get_basic_info().logical_type_ref(), field.get_basic_info().converted_type());
        if logical == Some(&LogicalType::Unknown) {
            return Self::Nothing;
        }
        match field.get_physical_type() {
            Physical::BOOLEAN => Self::Truth,
            Physical::FLOAT | Physical::DOUBLE => Self::Number,
            Physical::INT32 | Physical::INT64 => match (logical, converted) {
                (Some(LogicalType::Integer(kind)), _) if !kind.is_signed => Self::Unsigned,
                (
                    None,
                    ConvertedType::UINT_8
                    | ConvertedType::UINT_16
                    | ConvertedType::UINT_32
                    | ConvertedType::UINT_64,
                ) => Self::Unsigned,
                (Some(LogicalType::Integer(_)), _)
                | (
                    None,
                    ConvertedType::NONE
                    | ConvertedType::INT_8
                    | ConvertedType::INT_16
                    | ConvertedType::INT_32
                    | ConvertedType::INT_64,
                ) => Self::Number,
                _ => Self::Other,
            },
            Physical::BYTE_ARRAY => match (logical, converted) {
                (Some(LogicalType::String | LogicalType::Json), _)
                | (None, ConvertedType::UTF8 | ConvertedType::JSON) => Self::Text,
                _ => Self::Other,
            },
            Physical::FIXED_LEN_BYTE_ARRAY if logical == Some(&LogicalType::Float16) => Self::Number,
            Physical::FIXED_LEN_BYTE_ARRAY | Physical::INT96 => Self::Other,
        }
    }
}

/// A type in Parquet's words, as `INT64 (TIMESTAMP(MICROS,true))`.
fn words(field: &Type) -> String {
    if !field.is_primitive() {
        return "group (a list, a map or several columns)".to_owned();
    }
    let mut text = Vec::new();
    parquet::schema::printer::print_schema(&mut text, field);
    let text = String::from_utf8_lossy(&text);
    let text = text.trim_end().trim_end_matches(';').replacen(&format!(" {}", field.name()), "", 1);
    let repeated = text.strip_prefix("REPEATED ").map(|rest| format!("list of {rest}"));
    repeated.unwrap_or_else(|| text.split_once(' ').map_or("", |(_, rest)| rest).to_owned())
}

/// A column that is read.
struct Column<'a> {
    /// The column's name.
    name: &'a str,
    /// Its place among the file's columns of values.
    leaf: usize,
    kind: Kind,
    /// The level of a value that is there, for a column that may lack values.
    full: Option<i16>,
    /// Whether text is wanted.
    as_text: bool,
}

impl<'a> Column<'a> {
    /// The column of that name, brought to what is wanted of it; `None`: nothing of it is wanted or there.
    fn find(
        source: &Source,
        reader: &SerializedFileReader<Source>,
        (name, want): (&'a str, Want),
    ) -> Result<Option<Self>, ReadError> {
        let schema = reader.metadata().file_metadata().schema_descr();
        let fields = schema.root_schema().get_fields();
        let Some(root) = fields.iter().position(|field| field.name() == name) else { return Ok(None) };
        let kind = Kind::of(&fields[root]);
        let fits = match want {
            Want::Number | Want::Perhaps => matches!(kind, Kind::Number | Kind::Unsigned | Kind::Nothing),
            Want::Text => kind != Kind::Other,
        };
        let leaf = (0..schema.num_columns()).find(|&leaf| schema.get_column_root_idx(leaf) == root);
        match leaf {
            Some(leaf) if fits => {
                let levels = schema.column(leaf).max_def_level();
                let full = (levels > 0).then_some(levels);
                Ok(Some(Self { name, leaf, kind, full, as_text: want == Want::Text }))
            }
            _ if want == Want::Perhaps => Ok(None),
            _ => Err(ReadError::Value {
                file: source.name().to_owned(),
                place: Place::File,
                what: format!("column '{name}'"),
                found: format!("of type {}", words(&fields[root])),
                expected: if want == Want::Number { "numbers" } else { "text" }.to_owned(),
            }),
        }
    }

    /// The next `rows` values.
    fn read(&self, reader: &mut ColumnReader, rows: usize) -> Result<Values, ParquetError> {
        let full = self.full;
        let unsigned = self.kind == Kind::Unsigned;
        let numbers = match reader {
            ColumnReader::ByteArrayColumnReader(reader) => {
                return take(reader, full, rows, |value| Ok(value.as_utf8()?.to_owned())).map(Values::Texts);
            }
            ColumnReader::BoolColumnReader(reader) => {
                return take(reader, full, rows, |value| Ok(value.to_string())).map(Values::Texts);
            }
            ColumnReader::Int32ColumnReader(reader) if unsigned => {
                take(reader, full, rows, |value| Ok(f64::from(value as u32)))?
            }
            ColumnReader::Int64ColumnReader(reader) if unsigned => {
                take(reader, full, rows, |value| Ok(value as u64 as f64))?
            }
            ColumnReader::Int32ColumnReader(reader) => {
                take(reader, full, rows, |value| Ok(f64::from(value)))?
            }
            ColumnReader::Int64ColumnReader(reader) => take(reader, full, rows, |value| Ok(value as f64))?,
            ColumnReader::FloatColumnReader(reader) => {
                take(reader, full, rows, |value| Ok(f64::from(value)))?
            }
            ColumnReader::DoubleColumnReader(reader) => take(reader, full, rows, Ok)?,
            ColumnReader::FixedLenByteArrayColumnReader(reader) => take(reader, full, rows, half)?,
            ColumnReader::Int96ColumnReader(_) => {
                return Err(ParquetError::NYI("numbers of 96 bits".to_owned()));
            }
        };
        if self.kind == Kind::Nothing {
            return Ok(Values::Numbers(vec![None; rows]));
        }
        Ok(if self.as_text {
            Values::Texts(numbers.into_iter().map(|value| value.map(|value| value.to_string())).collect())
        } else {
            Values::Numbers(numbers)
        })
    }
}

/// A number of two bytes.
fn half(value: FixedLenByteArray) -> Result<f64, ParquetError> {
    let bytes = <[u8; 2]>::try_from(value.data())
        .map_err(|_| ParquetError::General(format!("a FLOAT16 of {} bytes", value.len())))?;
    Ok(f64::from(half::f16::from_le_bytes(bytes)))
}

/// Values of a column: a row each, `None` where there is none.
enum Values {
    Numbers(Vec<Option<f64>>),
    Texts(Vec<Option<String>>),
}

/// The next `rows` values of a column, brought to another type; `full` is the level of a value that is there.
fn take<T: DataType, V>(
    reader: &mut ColumnReaderImpl<T>,
    full: Option<i16>,
    rows: usize,
    bring: impl Fn(T::T) -> Result<V, ParquetError>,
) -> Result<Vec<Option<V>>, ParquetError> {
    let (mut levels, mut values, mut read) = (Vec::new(), Vec::new(), 0);
    while read < rows {
        let (records, ..) = reader.read_records(rows - read, full.map(|_| &mut levels), None, &mut values)?;
        if records == 0 {
            return Err(ParquetError::EOF(format!("a column ends {} rows before the others", rows - read)));
        }
        read += records;
    }
    let mut values = values.into_iter().map(bring);
    let Some(full) = full else { return values.map(|value| value.map(Some)).collect() };
    levels
        .into_iter()
        .map(|level| {
            if level < full {
                return Ok(None);
            }
            values
                .next()
                .unwrap_or_else(|| Err(ParquetError::EOF("fewer values than levels".to_owned())))
                .map(Some)
        })
        .collect()
}

pub(crate) fn for_each_row(
    source: &Source,
    select: &[(&str, Want)],
    visit: &mut Visit<'_>,
) -> Result<TableEnd, ReadError> {
    let reader = open(source)?;
    let columns =
        select.iter().map(|&want| Column::find(source, &reader, want)).collect::<Result<Vec<_>, _>>()?;
    let mut row = 0;
    for group in 0..reader.num_row_groups() {
        let group = guarded(source, || reader.get_row_group(group))?;
        let mut readers = columns
            .iter()
            .map(|column| {
                column
                    .as_ref()
                    .map(|column| guarded(source, || group.get_column_reader(column.leaf)))
                    .transpose()
            })
            .collect::<Result<Vec<_>, _>>()?;
        let mut left = usize::try_from(group.metadata().num_rows()).unwrap_or(0);
        while left > 0 {
            let rows = left.min(BATCH);
            left -= rows;
            let mut values = Vec::with_capacity(columns.len());
            for (column, reader) in columns.iter().zip(&mut readers) {
                values.push(match (column, reader) {
                    (Some(column), Some(reader)) => Some(
                        guarded(source, || column.read(reader, rows))
                            .map_err(|error| named(error, column))?,
                    ),
                    _ => None,
                });
            }
            for i in 0..rows {
                row += 1;
                let cells: smallvec::SmallVec<[Cell<'_>; 8]> = values
                    .iter()
                    .map(|values| match values {
                        Some(Values::Numbers(values)) => values[i].map_or(Cell::Missing, Cell::Number),
                        Some(Values::Texts(values)) => values[i].as_deref().map_or(Cell::Missing, Cell::Text),
                        None => Cell::Missing,
                    })
                    .collect();
                if !visit(Place::Row(row), &cells)? {
                    return Ok(TableEnd::default());
                }
            }
        }
    }
    Ok(TableEnd::default())
}

/// An error with the name of the column in which it lies.
fn named(error: ReadError, column: &Column<'_>) -> ReadError {
    match error {
        ReadError::Broken { file, place, problem } => {
            ReadError::Broken { file, place, problem: format!("{problem} (column '{}')", column.name) }
        }
        other => other,
    }
}
