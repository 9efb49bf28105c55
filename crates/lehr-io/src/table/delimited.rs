//! CSV and TSV.
//!
//! Lines without quotes are cut at the delimiters where they lie; from the first line with a quote or a lone carriage
//! return on, the crate `csv` reads.

mod lines;

use super::{Cell, TableEnd, Visit, Want, shortened};
use crate::error::{Place, ReadError};
use crate::source::Source;
use csv::{ByteRecord, Reader, ReaderBuilder};
use lines::{Lines, Next};
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
            return Err(too_long());
        }
        Ok(n)
    }
}

fn too_long() -> std::io::Error {
    std::io::Error::new(
        std::io::ErrorKind::InvalidData,
        format!("a line is longer than {} MiB; expected a table with one row a line", LONGEST_LINE >> 20),
    )
}

fn csv_reader<R: Read>(reader: R, delimiter: u8) -> Reader<LineLimit<R>> {
    ReaderBuilder::new()
        .delimiter(delimiter)
        .has_headers(false)
        .flexible(true)
        .buffer_capacity(1 << 18)
        .from_reader(LineLimit::new(reader))
}

pub(crate) fn columns(source: &Source, delimiter: u8) -> Result<Vec<String>, ReadError> {
    let file = source.name();
    let inner = source.open().map_err(ReadError::io(file))?;
    let mut reader = csv_reader(inner, delimiter);
    let mut header = ByteRecord::new();
    if !reader.read_byte_record(&mut header).map_err(broken(file, 0))? {
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
    Ok(names)
}

fn broken(file: &str, done: u64) -> impl Fn(csv::Error) -> ReadError {
    let file = file.to_owned();
    move |error| {
        let place = error.position().map_or(Place::File, |position| Place::Line(done + position.line()));
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

/// Whether a cell's text stands for "no value".
pub(crate) fn is_missing(text: &str) -> bool {
    matches!(text, "" | "null" | "None" | "NA" | "N/A" | "<NA>" | "-")
}

/// What is to be read of each row.
struct Wanted<'a> {
    file: &'a str,
    names: &'a [String],
    select: &'a [(&'a str, Want)],
    /// Column of each.
    index: Vec<Option<usize>>,
}

type Cells<'a> = smallvec::SmallVec<[Cell<'a>; 8]>;

impl Wanted<'_> {
    /// The cells wanted of a row whose cells `of` gives.
    fn cells<'c>(&self, line: u64, of: impl Fn(usize) -> &'c [u8]) -> Result<Cells<'c>, ReadError> {
        let mut cells = Cells::new();
        for ((name, want), index) in self.select.iter().zip(&self.index) {
            let bytes = index.map_or(&b""[..], |i| of(i).trim_ascii());
            let value = |found: String, expected: &str| ReadError::Value {
                file: self.file.to_owned(),
                place: Place::Line(line),
                what: format!("column '{name}'"),
                found,
                expected: expected.to_owned(),
            };
            let Ok(text) = std::str::from_utf8(bytes) else {
                return Err(value(shortened(&String::from_utf8_lossy(bytes)), "text in UTF-8"));
            };
            cells.push(match want {
                Want::Number => match text.parse() {
                    Ok(number) => Cell::Number(number),
                    Err(_) if is_missing(text) => Cell::Missing,
                    Err(_) => return Err(value(shortened(text), "a number")),
                },
                Want::Perhaps => text.parse().map_or(Cell::Missing, Cell::Number),
                Want::Text if is_missing(text) => Cell::Missing,
                Want::Text => Cell::Text(text),
            });
        }
        Ok(cells)
    }

    fn ragged(&self, line: u64, found: usize) -> ReadError {
        ReadError::Ragged { file: self.file.to_owned(), line, found, expected: self.names.len() }
    }
}

pub(crate) fn for_each_row(
    source: &Source,
    delimiter: u8,
    select: &[(&str, Want)],
    visit: &mut Visit<'_>,
) -> Result<TableEnd, ReadError> {
    let names = columns(source, delimiter)?;
    let file = source.name();
    let index = select.iter().map(|(wanted, _)| names.iter().position(|name| name == wanted)).collect();
    let wanted = Wanted { file, names: &names, select, index };
    let mut lines = Lines::new(source.open().map_err(ReadError::io(file))?);
    let mut ends: smallvec::SmallVec<[usize; 32]> = smallvec::SmallVec::new();
    let mut is_header = true;
    loop {
        let line = match lines.next().map_err(ReadError::io(file))? {
            Next::Line(line) => line,
            Next::Special => {
                let done = lines.done();
                return quoted(csv_reader(lines.rest(), delimiter), &wanted, done, is_header, visit);
            }
            Next::End => return Ok(TableEnd::default()),
        };
        if std::mem::take(&mut is_header) {
            continue;
        }
        ends.clear();
        ends.extend(memchr::memchr_iter(delimiter, line.bytes));
        ends.push(line.bytes.len());
        if ends.len() != names.len() {
            if ends.len() == 1 && line.bytes.trim_ascii().is_empty() {
                continue;
            }
            // A row that a running job is still writing: the file ends inside it.
            if ends.len() < names.len() && !line.complete {
                return Ok(TableEnd { cut_off: Some(line.number) });
            }
            return Err(wanted.ragged(line.number, ends.len()));
        }
        let cells = wanted.cells(line.number, |i| {
            let from = if i == 0 { 0 } else { ends[i - 1] + 1 };
            &line.bytes[from..ends[i]]
        })?;
        if !visit(Place::Line(line.number), &cells)? {
            return Ok(TableEnd::default());
        }
    }
}

/// Reads on with quotes understood, after `done` lines.
fn quoted<R: Read>(
    mut reader: Reader<LineLimit<R>>,
    wanted: &Wanted<'_>,
    done: u64,
    mut is_header: bool,
    visit: &mut Visit<'_>,
) -> Result<TableEnd, ReadError> {
    let broken = |error| broken(wanted.file, done)(error);
    let mut record = ByteRecord::new();
    let mut end = TableEnd::default();
    while reader.read_byte_record(&mut record).map_err(broken)? {
        let line = done + record.position().map_or(0, csv::Position::line);
        if std::mem::take(&mut is_header) {
            continue;
        }
        if record.len() != wanted.names.len() {
            if record.len() == 1 && record[0].trim_ascii().is_empty() {
                continue;
            }
            let found = record.len();
            if found < wanted.names.len()
                && !reader.read_byte_record(&mut record).map_err(broken)?
                && reader.get_ref().last != b'\n'
            {
                end.cut_off = Some(line);
                return Ok(end);
            }
            return Err(wanted.ragged(line, found));
        }
        if !visit(Place::Line(line), &wanted.cells(line, |i| &record[i])?)? {
            break;
        }
    }
    Ok(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str) -> Vec<(u64, f64, String)> {
        let source = Source::bytes("a.csv", text.into());
        let mut rows = Vec::new();
        let select = [("loss", Want::Number), ("note", Want::Text)];
        for_each_row(&source, b',', &select, &mut |place, cells| {
            let Place::Line(line) = place else { return Ok(false) };
            rows.push((
                line,
                cells[0].number().unwrap_or(f64::NAN),
                cells[1].text().unwrap_or("–").to_owned(),
            ));
            Ok(true)
        })
        .unwrap();
        rows
    }

    #[test]
    fn quotes_anywhere_leave_lines_and_cells_as_they_are() {
        let plain = rows("step,loss,note\n1,2,a\n\n2,3,b\r\n3,4,\n");
        let row = |line, loss, note: &str| (line, loss, note.to_owned());
        assert_eq!(plain, [row(2, 2.0, "a"), row(4, 3.0, "b"), row(5, 4.0, "–")]);
        let quoted = rows("step,loss,note\n1,2,a\n\n2,3,\"b, c\nd\"\n3,4,\n");
        assert_eq!(quoted, [row(2, 2.0, "a"), row(4, 3.0, "b, c\nd"), row(6, 4.0, "–")]);
        assert_eq!(rows("\"step\",\"loss\",note\n1,2,a\n"), [row(2, 2.0, "a")]);
    }

    #[test]
    fn a_line_longer_than_the_buffer_is_still_one() {
        let long = "x".repeat(1 << 20);
        let rows = rows(&format!("step,loss,note\n1,2,{long}\n2,3,b"));
        assert_eq!((rows[0].2.len(), rows[1].1), (1 << 20, 3.0));
    }
}
