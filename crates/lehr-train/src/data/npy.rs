//! NumPy's `.npy` format: the header, read and written.

use super::input::broken;
use super::token_file::Width;
use crate::error::TrainError;
use std::fmt::Display;

const MAGIC: &[u8; 6] = b"\x93NUMPY";

/// No header of one axis of numbers is nearly as long.
pub(crate) const MOST_HEADER_BYTES: usize = (1 << 16) + 12;

/// What a `.npy` file says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Header {
    /// Where the numbers begin.
    pub offset: usize,
    /// How many there are.
    pub len: u64,
    /// How one is stored.
    pub width: Width,
}

impl Header {
    /// Parses and checks the header of a file of `whole` bytes, of which these are the first [`MOST_HEADER_BYTES`], or all.
    pub(crate) fn parse(file: &str, bytes: &[u8], whole: u64) -> Result<Self, TrainError> {
        let error = |at: &dyn Display, problem: String, expected: &str| {
            Err(broken(format_args!("{file}: byte {at}"), problem, expected))
        };
        if !bytes.starts_with(MAGIC) {
            return error(&0, "not the mark of a .npy file".into(), "a file written by numpy.save");
        }
        let (length, start) = match (bytes.get(6), bytes.get(8..10), bytes.get(8..12)) {
            (Some(1), Some(&[a, b]), _) => (usize::from(u16::from_le_bytes([a, b])), 10),
            (Some(2 | 3), _, Some(&[a, b, c, d])) => (u32::from_le_bytes([a, b, c, d]) as usize, 12),
            (Some(version), ..) if !(1..=3).contains(version) => {
                return error(&6, format!("version {version}"), "version 1, 2 or 3 of the format");
            }
            _ => return error(&bytes.len(), "the header is cut off".into(), "a whole file; write it again"),
        };
        let offset = start + length;
        if offset > MOST_HEADER_BYTES && offset as u64 <= whole {
            return error(
                &8,
                format!("a header of {length} bytes"),
                "a header of at most 65,536 bytes, as numpy.save writes for one axis",
            );
        }
        let Some(text) = bytes.get(start..offset).map(String::from_utf8_lossy) else {
            return error(&bytes.len(), "the header is cut off".into(), "a whole file; write it again");
        };
        let Some(descr) = entry(&text, "descr") else {
            return error(&start, format!("no 'descr' in {text:?}"), "a header written by numpy.save");
        };
        let kind = descr.split('\'').nth(1).unwrap_or(descr);
        let width = match kind {
            "|u1" | "u1" | "<u1" => Width::U8,
            "<u2" => Width::U16,
            "<u4" => Width::U32,
            "<i4" => Width::I32,
            "<i8" => Width::I64,
            other => {
                return error(
                    &start,
                    format!("numbers of type {other}"),
                    "u1, <u2, <u4, <i4 or <i8; save tokens.astype('<u2') or '<u4'",
                );
            }
        };
        let shape = entry(&text, "shape")
            .and_then(|value| value.strip_prefix('('))
            .and_then(|value| value.split_once(')'))
            .map(|(inside, _)| {
                inside.split(',').map(str::trim).filter(|axis| !axis.is_empty()).collect::<Vec<_>>()
            });
        let Some(shape) = shape else {
            return error(&start, format!("no 'shape' in {text:?}"), "a header written by numpy.save");
        };
        let len = match shape.as_slice() {
            [axis] => match axis.parse::<u64>() {
                Ok(len) => len,
                Err(_) => return error(&start, format!("a shape of ({axis},)"), "a whole number"),
            },
            axes => {
                return error(&start, format!("{} axes", axes.len()), "one axis; save tokens.reshape(-1)");
            }
        };
        let width_bytes = match width {
            Width::U8 => 1,
            Width::U16 => 2,
            Width::U32 | Width::I32 => 4,
            Width::I64 => 8,
        };
        let found = whole - offset as u64;
        if len.checked_mul(width_bytes) != Some(found) {
            return error(
                &offset,
                format!("{found} bytes of numbers follow"),
                &format!(
                    "{len} numbers of {width_bytes} bytes; the file is cut off or has something behind it"
                ),
            );
        }
        if len == 0 {
            return error(&offset, "the array is empty".into(), "tokens; leave the file out");
        }
        Ok(Self { offset, len, width })
    }
}

/// The text behind a key of the header's dictionary.
fn entry<'a>(header: &'a str, key: &str) -> Option<&'a str> {
    ["'", "\""].iter().find_map(|quote| {
        let (_, rest) = header.split_once(&format!("{quote}{key}{quote}"))?;
        Some(rest.trim_start().strip_prefix(':')?.trim_start())
    })
}

/// Length of every header that [`header`] makes.
pub(crate) const HEADER_BYTES: usize = 128;

/// The header of `len` numbers of `bytes` bytes each, unsigned.
pub(crate) fn header(bytes: usize, len: u64) -> [u8; HEADER_BYTES] {
    let order = if bytes == 1 { '|' } else { '<' };
    let mut out = [b' '; HEADER_BYTES];
    out[..6].copy_from_slice(MAGIC);
    out[6..10].copy_from_slice(&[1, 0, (HEADER_BYTES - 10) as u8, 0]);
    let text = format!("{{'descr': '{order}u{bytes}', 'fortran_order': False, 'shape': ({len},), }}");
    out[10..10 + text.len()].copy_from_slice(text.as_bytes());
    out[HEADER_BYTES - 1] = b'\n';
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(header: &str, data: &[u8]) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend([1, 0]);
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.extend(data);
        bytes
    }

    #[test]
    fn a_written_header_is_read_back() {
        for (bytes, width) in [(1, Width::U8), (2, Width::U16), (4, Width::U32)] {
            let mut whole = header(bytes, 5).to_vec();
            whole.extend(vec![0; 5 * bytes]);
            assert_eq!(
                Header::parse("t", &whole, whole.len() as u64).unwrap(),
                Header { offset: HEADER_BYTES, len: 5, width }
            );
        }
    }

    #[test]
    fn broken_headers_say_where_and_what() {
        let good = "{'descr': '<u2', 'fortran_order': False, 'shape': (2,), }";
        let parse = |bytes: &[u8]| Header::parse("t", bytes, bytes.len() as u64);
        assert!(parse(&file(good, &[0; 4])).is_ok());
        let long = [MAGIC.as_slice(), &[2, 0, 0, 0, 2, 0], &[b' '; 1 << 17]].concat();
        let error =
            Header::parse("t", &long[..MOST_HEADER_BYTES], long.len() as u64).unwrap_err().to_string();
        assert!(error.contains("byte 8: a header of 131072 bytes"), "{error}");
        for (bytes, words) in [
            (b"not numpy".to_vec(), "t: byte 0: not the mark"),
            (b"\x93NUMPY\x07\x00".to_vec(), "byte 6: version 7"),
            (b"\x93NUMPY\x01\x00\xff".to_vec(), "cut off"),
            (b"\x93NUMPY\x01\x00\xff\xff".to_vec(), "cut off"),
            (file(good, &[0; 3]), "3 bytes of numbers follow; expected 2 numbers of 2 bytes"),
            (file(&good.replace("<u2", "<f4"), &[0; 8]), "type <f4"),
            (file(&good.replace("<u2", ">u2"), &[0; 4]), "type >u2"),
            (file(&good.replace("(2,)", "(1, 2)"), &[0; 4]), "2 axes; expected one axis"),
            (file(&good.replace("(2,)", "(x,)"), &[0; 4]), "shape of (x,)"),
            (file(&good.replace("(2,)", "(18446744073709551615,)"), &[0; 4]), "4 bytes of numbers follow"),
            (file(&good.replace("(2,)", "(0,)"), &[]), "array is empty"),
            (file("{'fortran_order': False}", &[]), "no 'descr'"),
            (file("{'descr': '<u2'}", &[]), "no 'shape'"),
        ] {
            let error = parse(&bytes).unwrap_err().to_string();
            assert!(error.contains(words), "{error} (wanted {words})");
        }
    }
}
