//! CSV and TSV.

use super::{Cell, TableEnd, Visit, Want, shortened};
use crate::error::{Place, ReadError};
use crate::source::Source;
use csv::{ByteRecord, Reader, ReaderBuilder};
use std::io::Read;

/// A line longer than this is no table.
pub(crate) const LONGEST_LINE: usize = 16 << 20;

/// Counts bytes since the last line end, so that a file without line ends cannot fill the memory.
pub(crate) struct LineLimit<R> {
    inner: R,
    since: usize,
    /// The last byte read.
    last: u8,
}

impl<R> LineLimit<R> {
    pub(crate) fn new(inner: R) -> Self {
        Self { inner, since: 0, last: b'\n' }
    }
}

impl<R: Read> Read for LineLimit<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let n = self.inner.read(buffer)?;
        let read = &buffer[..n];
        if let Some(&last) = read.last() {
            self.last = last;
        }
        match memchr::memrchr(b'\n', read) {
            Some(at) => self.since = n - at - 1,
            None => self.since += n,
        }
        if self.since > LONGEST_LINE {
            return Err(std::io::Error::new(
                std::io::ErrorKind::InvalidData,
                format!(
                    "a line is longer than {} MiB; expected a table with one row a line",
                    LONGEST_LINE >> 20
                ),
            ));
        }
        Ok(n)
    }
}

type Csv = Reader<LineLimit<Box<dyn crate::source::ReadSeek>>>;

fn open(source: &Source, delimiter: u8) -> Result<(Csv, Vec<String>), ReadError> {
    let file = source.name();
    let inner = source.open().map_err(ReadError::io(file))?;
    let mut reader = ReaderBuilder::new()
        .delimiter(delimiter)
        .has_headers(false)
        .flexible(true)
        .buffer_capacity(1 << 18)
        .from_reader(LineLimit::new(inner));
    let mut header = ByteRecord::new();
    if !reader.read_byte_record(&mut header).map_err(broken(file))? {
        return Err(ReadError::Empty { file: file.to_owned() });
    }
    let mut names = Vec::with_capacity(header.len());
    for (i, name) in header.iter().enumerate() {
        let name = if i == 0 { name.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(name) } else { name };
        names.push(String::from_utf8_lossy(name).trim().to_owned());
    }
    if names.iter().all(|name| name.parse::<f64>().is_ok()) {
        return Err(ReadError::NoHeader { file: file.to_owned(), found: shortened(&names.join(",")) });
    }
    Ok((reader, names))
}

fn broken(file: &str) -> impl Fn(csv::Error) -> ReadError {
    let file = file.to_owned();
    move |error| {
        let place = error.position().map_or(Place::File, |position| Place::Line(position.line()));
        let problem = error.to_string();
        match error.into_kind() {
            csv::ErrorKind::Io(error)
                if error.kind() == std::io::ErrorKind::InvalidData
                    && error.get_ref().is_some_and(|inner| inner.is::<crate::source::ExpandError>()) =>
            {
                ReadError::io(&file)(error)
            }
            _ => ReadError::Broken { file: file.clone(), place, problem },
        }
    }
}

pub(crate) fn columns(source: &Source, delimiter: u8) -> Result<Vec<String>, ReadError> {
    Ok(open(source, delimiter)?.1)
}

/// Whether a cell's text stands for "no value".
pub(crate) fn is_missing(text: &str) -> bool {
    matches!(text, "" | "null" | "None" | "NA" | "N/A" | "<NA>" | "-")
}

pub(crate) fn for_each_row(
    source: &Source,
    delimiter: u8,
    select: &[(&str, Want)],
    visit: &mut Visit<'_>,
) -> Result<TableEnd, ReadError> {
    let (mut reader, names) = open(source, delimiter)?;
    let file = source.name();
    let index: Vec<Option<usize>> =
        select.iter().map(|(wanted, _)| names.iter().position(|name| name == wanted)).collect();
    let mut record = ByteRecord::new();
    let mut end = TableEnd::default();
    loop {
        let more = reader.read_byte_record(&mut record).map_err(broken(file))?;
        if !more {
            return Ok(end);
        }
        let line = record.position().map_or(0, csv::Position::line);
        if record.len() != names.len() {
            if record.len() == 1 && record[0].trim_ascii().is_empty() {
                continue;
            }
            let found = record.len();
            // A row that a running job is still writing: the file ends inside it.
            if found < names.len()
                && !reader.read_byte_record(&mut record).map_err(broken(file))?
                && reader.get_ref().last != b'\n'
            {
                end.cut_off = Some(line);
                return Ok(end);
            }
            return Err(ReadError::Ragged { file: file.to_owned(), line, found, expected: names.len() });
        }
        let mut cells: smallvec::SmallVec<[Cell<'_>; 8]> = smallvec::SmallVec::new();
        for ((name, want), index) in select.iter().zip(&index) {
            let bytes = index.map_or(&b""[..], |i| record[i].trim_ascii());
            let value = |found: String, expected: &str| ReadError::Value {
                file: file.to_owned(),
                place: Place::Line(line),
                what: format!("column '{name}'"),
                found,
                expected: expected.to_owned(),
            };
            let Ok(text) = std::str::from_utf8(bytes) else {
                return Err(value(shortened(&String::from_utf8_lossy(bytes)), "text in UTF-8"));
            };
            cells.push(if is_missing(text) {
                Cell::Missing
            } else {
                match want {
                    Want::Text => Cell::Text(text),
                    Want::Number => match text.parse() {
                        Ok(number) => Cell::Number(number),
                        Err(_) => return Err(value(shortened(text), "a number")),
                    },
                }
            });
        }
        if !visit(Place::Line(line), &cells)? {
            return Ok(end);
        }
    }
}
