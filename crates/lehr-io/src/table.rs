//! Tables of rows and named columns: CSV, TSV, JSON lines, Parquet.

pub(crate) mod delimited;
pub mod json;
#[cfg(feature = "parquet")]
pub(crate) mod parquet;
#[cfg(not(feature = "parquet"))]
#[path = "table/no_parquet.rs"]
pub(crate) mod parquet;

use crate::error::{Place, ReadError};
use crate::source::Source;

/// How a table is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Cells separated by this byte, names in the first line.
    Delimited(u8),
    /// One JSON object a line.
    JsonLines,
    /// Apache Parquet.
    Parquet,
}

impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Delimited(b'\t') => "TSV",
            Self::Delimited(_) => "CSV",
            Self::JsonLines => "JSON lines",
            Self::Parquet => "Parquet",
        })
    }
}

/// What is wanted of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// A number; anything else is an error.
    Number,
    /// A number; anything else counts as nothing there.
    Perhaps,
    /// Text; numbers are written out.
    Text,
}

/// One value of a row.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell<'a> {
    /// Nothing there.
    Missing,
    /// A number, NaN and infinities included.
    Number(f64),
    /// Text.
    Text(&'a str),
}

impl Cell<'_> {
    /// The number, if it is one.
    #[must_use]
    pub fn number(&self) -> Option<f64> {
        if let Self::Number(value) = self { Some(*value) } else { None }
    }

    /// The text, if it is one.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }
}

/// A visitor of rows; `Ok(false)` ends the reading.
pub type Visit<'a> = dyn FnMut(Place, &[Cell<'_>]) -> Result<bool, ReadError> + 'a;

/// What the reading itself has to say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TableEnd {
    /// A last row that was cut off while it was written, and left out: its line.
    pub cut_off: Option<u64>,
}

/// Bytes looked at to tell what a file is.
pub const HEAD: u64 = 8 << 10;

/// Tells the format by the first bytes; `None`: no table.
#[must_use]
pub fn sniff(head: &[u8]) -> Option<Format> {
    if head.starts_with(b"PAR1") {
        return Some(Format::Parquet);
    }
    let head = head.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(head);
    let line = head.split(|&byte| byte == b'\n').find(|line| !line.trim_ascii().is_empty())?;
    if line.contains(&0) || std::str::from_utf8(line).is_err_and(|error| error.error_len().is_some()) {
        return None;
    }
    if line.trim_ascii().starts_with(b"{") {
        return Some(Format::JsonLines);
    }
    let count = |byte| line.iter().filter(|&&found| found == byte).count();
    [b'\t', b',', b';'].into_iter().find(|&byte| count(byte) > 0).map(Format::Delimited)
}

/// The names of the table's columns.
///
/// # Errors
/// [`ReadError`]: the file cannot be read, is empty, has no header, or its structure is broken.
pub fn columns(source: &Source, format: Format) -> Result<Vec<String>, ReadError> {
    match format {
        Format::Delimited(delimiter) => delimited::columns(source, delimiter),
        Format::JsonLines => json::columns(source),
        Format::Parquet => parquet::columns(source),
    }
}

/// Visits every row; `select` names the columns wanted, in the order in which the visitor gets them.
///
/// # Errors
/// [`ReadError`]: as [`columns`], a value of the wrong kind, a row with too many or too few cells, and what the
/// visitor returns.
pub fn for_each_row(
    source: &Source,
    format: Format,
    select: &[(&str, Want)],
    visit: &mut Visit<'_>,
) -> Result<TableEnd, ReadError> {
    match format {
        Format::Delimited(delimiter) => delimited::for_each_row(source, delimiter, select, visit),
        Format::JsonLines => json::for_each_row(source, select, visit),
        Format::Parquet => parquet::for_each_row(source, select, visit),
    }
}

/// A text shortened for an error message.
pub(crate) fn shortened(text: &str) -> String {
    const SHOWN: usize = 60;
    let clean: String = text.chars().map(|c| if c.is_control() { '·' } else { c }).take(SHOWN).collect();
    if text.chars().count() > SHOWN { format!("'{clean}…'") } else { format!("'{clean}'") }
}
