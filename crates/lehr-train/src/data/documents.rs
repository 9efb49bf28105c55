//! Documents inside text files, JSON lines and Parquet columns, piece by piece.

#[cfg_attr(not(feature = "parquet"), path = "documents/no_columns.rs")]
#[cfg_attr(feature = "parquet", path = "documents/columns.rs")]
mod columns;

use super::input::{Input, Kind, broken, cannot};
use crate::error::TrainError;
use flate2::read::MultiGzDecoder;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

/// The key or column that is read where none is named.
const COLUMN: &str = "text";

/// A text longer than this is passed on in pieces that end with a line where there is one. Part of what decides the tokens.
pub(super) const PIECE: usize = 1 << 20;

/// A document, or a piece of one.
#[derive(Debug)]
pub(crate) struct Piece {
    /// File, and line or byte, for errors.
    pub place: String,
    /// The text.
    pub bytes: Vec<u8>,
    /// Whether the document ends here.
    pub last: bool,
}

/// Where pieces go.
pub(crate) type Visit<'a> = dyn FnMut(Piece) -> Result<(), TrainError> + 'a;

/// A text with a zero byte in it.
pub(super) fn binary(path: &Path, at: u64) -> TrainError {
    broken(
        format_args!("{}: byte {at}", path.display()),
        "a zero byte, as in binary files",
        "text; leave the file out, or name it .bin, .npy or .parquet if it is one",
    )
}

/// Passes the documents of a file to `visit`, in order.
pub(crate) fn for_each(input: &Input, column: Option<&str>, visit: &mut Visit<'_>) -> Result<(), TrainError> {
    let path = input.path.as_path();
    let open = || File::open(path).map_err(cannot("read", path));
    match (input.kind, input.gzip) {
        (Kind::Text, false) => texts(path, open()?, visit),
        (Kind::Text, true) => texts(path, MultiGzDecoder::new(BufReader::new(open()?)), visit),
        (Kind::JsonLines, false) => {
            json_lines(path, BufReader::new(open()?), column.unwrap_or(COLUMN), visit)
        }
        (Kind::JsonLines, true) => {
            let reader = BufReader::new(MultiGzDecoder::new(BufReader::new(open()?)));
            json_lines(path, reader, column.unwrap_or(COLUMN), visit)
        }
        (Kind::Parquet, _) => columns::texts(path, open()?, column.unwrap_or(COLUMN), visit),
        (Kind::Bin | Kind::Npy, _) => Err(broken(path.display(), input.kind.name(), "documents")),
    }
}

fn texts(path: &Path, mut reader: impl Read, visit: &mut Visit<'_>) -> Result<(), TrainError> {
    let mut kept = Vec::new();
    let mut at = 0_u64;
    loop {
        let before = kept.len();
        let read = (&mut reader)
            .take(PIECE as u64)
            .read_to_end(&mut kept)
            .map_err(|error| unreadable(path, at + before as u64, error))?;
        if let Some(zero) = kept[before..].iter().position(|byte| *byte == 0) {
            return Err(binary(path, at + (before + zero) as u64));
        }
        let last = read < PIECE;
        if last && at == 0 && kept.is_empty() {
            return Err(broken(path.display(), "the file is empty", "text; leave the file out"));
        }
        let cut = match kept.iter().rposition(|byte| *byte == b'\n') {
            _ if last => kept.len(),
            Some(newline) => newline + 1,
            None => continue,
        };
        let rest = kept.split_off(cut);
        visit(Piece { place: format!("{}: byte {at}", path.display()), bytes: kept, last })?;
        if last {
            return Ok(());
        }
        at += cut as u64;
        kept = rest;
    }
}

/// A read that failed at a byte of the (decompressed) text: a broken archive is the data's fault, not the system's.
fn unreadable(path: &Path, at: u64, error: std::io::Error) -> TrainError {
    use std::io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
    match error.kind() {
        InvalidData | InvalidInput | UnexpectedEof => broken(
            format_args!("{}: after byte {at} of the decompressed text", path.display()),
            error.to_string(),
            "a whole gzip file; copy it again, and try gzip --test on it",
        ),
        _ => TrainError::File { file: path.to_path_buf(), action: "read", source: error },
    }
}

fn json_lines(
    path: &Path,
    mut reader: impl BufRead,
    key: &str,
    visit: &mut Visit<'_>,
) -> Result<(), TrainError> {
    let (mut line, mut at, mut found) = (0_u64, 0_u64, false);
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        let read = reader.read_until(b'\n', &mut bytes).map_err(|error| unreadable(path, at, error))?;
        if read == 0 {
            break;
        }
        line += 1;
        at += read as u64;
        if bytes.trim_ascii().is_empty() {
            continue;
        }
        let place = format!("{}:{line}", path.display());
        let value: serde_json::Value = serde_json::from_slice(&bytes)
            .map_err(|error| broken(&place, format!("not JSON: {error}"), "one JSON object a line"))?;
        let Some(object) = value.as_object() else {
            return Err(broken(
                &place,
                "no object",
                format!("one JSON object with the key \"{key}\" a line"),
            ));
        };
        let text = match object.get(key) {
            Some(serde_json::Value::String(text)) => text.clone().into_bytes(),
            Some(other) => {
                let shown: String = other.to_string().chars().take(40).collect();
                return Err(broken(
                    &place,
                    format!("\"{key}\" is {shown}"),
                    "text in quotes; data.column names another key",
                ));
            }
            None => {
                let keys = object.keys().take(12).cloned().collect::<Vec<_>>().join(", ");
                return Err(broken(
                    &place,
                    format!("no key \"{key}\" (there are: {keys})"),
                    "the key that holds the text; data.column names it",
                ));
            }
        };
        found = true;
        visit(Piece { place, bytes: text, last: true })?;
    }
    if found {
        Ok(())
    } else {
        Err(broken(path.display(), "no line holds anything", "one JSON object a line"))
    }
}
