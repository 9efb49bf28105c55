//! JSON lines, and the scanner that reads one JSON document as flat names and values.
//!
//! The scanner takes what Python writes: `NaN`, `Infinity` and `-Infinity` are numbers here.

use super::delimited::LONGEST_LINE;
use super::{Cell, TableEnd, Visit, Want, shortened};
use crate::error::{Place, ReadError};
use crate::source::Source;
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};

/// A leaf of a JSON document.
#[derive(Debug, Clone, PartialEq)]
pub enum Leaf<'a> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, NaN and infinities included.
    Number(f64),
    /// A string.
    Text(Cow<'a, str>),
}

/// Where a JSON document is broken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("column {}: found {found}; expected {expected}", .at + 1)]
pub struct JsonError {
    /// Byte offset in the document.
    pub at: usize,
    /// What stands there.
    pub found: String,
    /// What should.
    pub expected: &'static str,
}

/// Deepest nesting that is followed.
const DEEPEST: usize = 64;

struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// Visits every leaf of a document under its path; names and indices are joined with `/`.
///
/// # Errors
/// [`JsonError`] with the place of the first fault; leaves before it have been visited.
///
/// # Examples
/// ```
/// use lehr_io::table::json::{Leaf, flatten};
/// let mut seen = Vec::new();
/// flatten(br#"{"step": 10, "train": {"loss": NaN}}"#, &mut |path, leaf| {
///     if let Leaf::Number(value) = leaf {
///         seen.push((path.to_owned(), value.is_nan()));
///     }
/// })?;
/// assert_eq!(seen, [("step".to_owned(), false), ("train/loss".to_owned(), true)]);
/// # Ok::<(), lehr_io::table::json::JsonError>(())
/// ```
pub fn flatten<'a>(bytes: &'a [u8], visit: &mut dyn FnMut(&str, Leaf<'a>)) -> Result<(), JsonError> {
    let mut scanner = Scanner { bytes, at: 0 };
    let mut path = String::new();
    scanner.value(&mut path, 0, visit)?;
    scanner.space();
    if scanner.at < bytes.len() { Err(scanner.error("the end of the document")) } else { Ok(()) }
}

impl<'a> Scanner<'a> {
    fn error(&self, expected: &'static str) -> JsonError {
        let rest = &self.bytes[self.at.min(self.bytes.len())..];
        let found = if rest.is_empty() {
            "the end".to_owned()
        } else {
            shortened(&String::from_utf8_lossy(&rest[..rest.len().min(20)]))
        };
        JsonError { at: self.at, found, expected }
    }

    fn space(&mut self) {
        while self.bytes.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
    }

    fn take(&mut self, literal: &[u8]) -> bool {
        let found = self.bytes[self.at..].starts_with(literal);
        if found {
            self.at += literal.len();
        }
        found
    }

    fn value(
        &mut self,
        path: &mut String,
        depth: usize,
        visit: &mut dyn FnMut(&str, Leaf<'a>),
    ) -> Result<(), JsonError> {
        if depth > DEEPEST {
            return Err(self.error("at most 64 levels of nesting"));
        }
        self.space();
        match self.bytes.get(self.at) {
            Some(b'{') => self.object(path, depth, visit),
            Some(b'[') => self.array(path, depth, visit),
            Some(b'"') => {
                let text = self.string()?;
                visit(path, Leaf::Text(text));
                Ok(())
            }
            Some(_) => {
                let leaf = self.scalar()?;
                visit(path, leaf);
                Ok(())
            }
            None => Err(self.error("a value")),
        }
    }

    fn object(
        &mut self,
        path: &mut String,
        depth: usize,
        visit: &mut dyn FnMut(&str, Leaf<'a>),
    ) -> Result<(), JsonError> {
        self.at += 1;
        self.space();
        if self.take(b"}") {
            return Ok(());
        }
        let length = path.len();
        loop {
            self.space();
            if self.bytes.get(self.at) != Some(&b'"') {
                return Err(self.error("a name in double quotes"));
            }
            let name = self.string()?;
            self.space();
            if !self.take(b":") {
                return Err(self.error("':'"));
            }
            if length > 0 {
                path.push('/');
            }
            path.push_str(&name);
            self.value(path, depth + 1, visit)?;
            path.truncate(length);
            self.space();
            if self.take(b"}") {
                return Ok(());
            }
            if !self.take(b",") {
                return Err(self.error("',' or '}'"));
            }
        }
    }

    fn array(
        &mut self,
        path: &mut String,
        depth: usize,
        visit: &mut dyn FnMut(&str, Leaf<'a>),
    ) -> Result<(), JsonError> {
        self.at += 1;
        self.space();
        if self.take(b"]") {
            return Ok(());
        }
        let length = path.len();
        for index in 0_u64.. {
            if length > 0 {
                path.push('/');
            }
            path.push_str(&index.to_string());
            self.value(path, depth + 1, visit)?;
            path.truncate(length);
            self.space();
            if self.take(b"]") {
                break;
            }
            if !self.take(b",") {
                return Err(self.error("',' or ']'"));
            }
        }
        Ok(())
    }

    fn scalar(&mut self) -> Result<Leaf<'a>, JsonError> {
        if self.bytes.get(self.at).is_some_and(u8::is_ascii_digit) {
            return self.number();
        }
        for (literal, leaf) in [
            (&b"null"[..], Leaf::Null),
            (b"true", Leaf::Bool(true)),
            (b"false", Leaf::Bool(false)),
            (b"NaN", Leaf::Number(f64::NAN)),
            (b"Infinity", Leaf::Number(f64::INFINITY)),
            (b"-Infinity", Leaf::Number(f64::NEG_INFINITY)),
        ] {
            if self.take(literal) {
                return Ok(leaf);
            }
        }
        self.number()
    }

    fn number(&mut self) -> Result<Leaf<'a>, JsonError> {
        let start = self.at;
        while self
            .bytes
            .get(self.at)
            .is_some_and(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'))
        {
            self.at += 1;
        }
        let text = std::str::from_utf8(&self.bytes[start..self.at]).unwrap_or_default();
        match text.parse() {
            Ok(number) => Ok(Leaf::Number(number)),
            Err(_) => {
                self.at = start;
                Err(self.error("a value"))
            }
        }
    }

    fn string(&mut self) -> Result<Cow<'a, str>, JsonError> {
        let start = self.at + 1;
        let rest = self.bytes.get(start..).unwrap_or_default();
        let Some(length) = memchr::memchr2(b'"', b'\\', rest) else {
            return Err(self.error("a string that ends with a double quote"));
        };
        if rest[length] == b'"' {
            let text = std::str::from_utf8(&rest[..length]).map_err(|_| self.error("text in UTF-8"))?;
            self.at = start + length + 1;
            return Ok(Cow::Borrowed(text));
        }
        // With escapes: find the end, then let serde_json undo them.
        let mut end = start + length;
        loop {
            match self.bytes.get(end) {
                Some(b'"') => break,
                Some(b'\\') => end += 2,
                Some(_) => end += 1,
                None => return Err(self.error("a string that ends with a double quote")),
            }
        }
        let text: String = serde_json::from_slice(&self.bytes[self.at..=end])
            .map_err(|_| self.error("a string with valid escapes"))?;
        self.at = end + 1;
        Ok(Cow::Owned(text))
    }
}

/// Visits every line that is not blank; says whether the last one ended with a line end.
pub(crate) fn for_each_line(
    source: &Source,
    visit: &mut dyn FnMut(u64, &[u8], bool) -> Result<bool, ReadError>,
) -> Result<(), ReadError> {
    let file = source.name();
    let mut reader = BufReader::with_capacity(1 << 18, source.open().map_err(ReadError::io(file))?);
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        let read = reader
            .by_ref()
            .take(LONGEST_LINE as u64 + 1)
            .read_until(b'\n', &mut line)
            .map_err(ReadError::io(file))?;
        if read == 0 {
            break;
        }
        if line.len() > LONGEST_LINE {
            return Err(ReadError::Broken {
                file: file.to_owned(),
                place: Place::Line(number),
                problem: format!("the line is longer than {} MiB", LONGEST_LINE >> 20),
            });
        }
        let complete = line.ends_with(b"\n");
        let text = line.trim_ascii();
        if !text.is_empty() && !visit(number, text, complete)? {
            break;
        }
    }
    Ok(())
}

fn broken(file: &str, line: u64, error: &JsonError) -> ReadError {
    ReadError::Broken {
        file: file.to_owned(),
        place: Place::Line(line),
        problem: format!("not a JSON object: {error}"),
    }
}

/// How far into a file names are collected.
const NAMES_WITHIN: usize = 8 << 20;

pub(crate) fn columns(source: &Source) -> Result<Vec<String>, ReadError> {
    let mut names = Vec::new();
    let mut seen = BTreeSet::new();
    let mut read = 0;
    for_each_line(source, &mut |number, line, complete| {
        read += line.len();
        let result = flatten(line, &mut |path, _| {
            if !seen.contains(path) {
                seen.insert(path.to_owned());
                names.push(path.to_owned());
            }
        });
        match result {
            Err(error) if complete => Err(broken(source.name(), number, &error)),
            _ => Ok(read < NAMES_WITHIN && seen.len() < 10_000),
        }
    })?;
    if read == 0 { Err(ReadError::Empty { file: source.name().to_owned() }) } else { Ok(names) }
}

enum Held {
    Missing,
    Number(f64),
    Text(String),
}

pub(crate) fn for_each_row(
    source: &Source,
    select: &[(&str, Want)],
    visit: &mut Visit<'_>,
) -> Result<TableEnd, ReadError> {
    let file = source.name();
    let mut end = TableEnd::default();
    let mut held: Vec<Held> = Vec::new();
    for_each_line(source, &mut |number, line, complete| {
        held.clear();
        held.extend(select.iter().map(|_| Held::Missing));
        let mut wrong = None;
        let result = flatten(line, &mut |path, leaf| {
            for (i, (name, want)) in select.iter().enumerate() {
                if *name != path {
                    continue;
                }
                held[i] = match (want, &leaf) {
                    (_, Leaf::Null) => Held::Missing,
                    (Want::Number | Want::Perhaps, Leaf::Number(value)) => Held::Number(*value),
                    (Want::Perhaps, Leaf::Text(text)) => {
                        text.trim().parse().map_or(Held::Missing, Held::Number)
                    }
                    (Want::Perhaps, Leaf::Bool(_)) => Held::Missing,
                    // Writers without NaN in their JSON write it as text.
                    (Want::Number, Leaf::Text(text)) => match text.trim().parse() {
                        Ok(value) => Held::Number(value),
                        Err(_) => {
                            wrong.get_or_insert((i, shortened(text)));
                            Held::Missing
                        }
                    },
                    (Want::Number, Leaf::Bool(value)) => {
                        wrong.get_or_insert((i, value.to_string()));
                        Held::Missing
                    }
                    (Want::Text, Leaf::Number(value)) => Held::Text(value.to_string()),
                    (Want::Text, Leaf::Bool(value)) => Held::Text(value.to_string()),
                    (Want::Text, Leaf::Text(text)) => Held::Text(text.clone().into_owned()),
                };
            }
        });
        if let Err(error) = result {
            if complete {
                return Err(broken(file, number, &error));
            }
            end.cut_off = Some(number);
            return Ok(false);
        }
        if let Some((i, found)) = wrong {
            return Err(ReadError::Value {
                file: file.to_owned(),
                place: Place::Line(number),
                what: format!("'{}'", select[i].0),
                found,
                expected: "a number".to_owned(),
            });
        }
        let cells: smallvec::SmallVec<[Cell<'_>; 8]> = held
            .iter()
            .map(|value| match value {
                Held::Missing => Cell::Missing,
                Held::Number(value) => Cell::Number(*value),
                Held::Text(text) => Cell::Text(text),
            })
            .collect();
        visit(Place::Line(number), &cells)
    })?;
    Ok(end)
}
