//! Weights & Biases run files: `run-<id>.wandb`, as written offline and online.
//!
//! # Format
//! ```text
//! file   = ":W&B" 0xBEE1 (u16 LE) version 0 (u8), then blocks of 32768 bytes (the header counts into the first)
//! block  = records; fewer than 7 bytes left are padding
//! record = crc32 (u32 LE, IEEE, of type and data) · length (u16 LE) · type (u8: full 1, first 2, middle 3, last 4) · data
//! ```
//! The joined data of first … last, or of full, is a protobuf `Record`: history 2, config 5, run 17. A history has items
//! (1) of key (1), nested key (2) and value as JSON (16).

use super::protobuf::{Value, fields};
use super::sparse::Sparse;
use super::{Importer, Log};
use crate::error::{Place, ReadError};
use crate::mapping::MapOverrides;
use crate::source::Source;
use std::io::{BufReader, Read};

/// Reads `.wandb` files.
#[derive(Debug)]
pub struct WandbFile;

pub(super) const MAGIC: &[u8; 4] = b":W&B";
pub(super) const BLOCK: usize = 32_768;
pub(super) const HEADER: usize = 7;
/// A record longer than this is none of W&B's.
pub(super) const LONGEST: usize = 256 << 20;

impl Importer for WandbFile {
    fn name(&self) -> &'static str {
        "W&B run file"
    }

    fn claim(&self, source: &Source, head: &[u8]) -> Option<String> {
        head.starts_with(MAGIC).then(|| job(source).unwrap_or_else(|| source.name().to_owned()))
    }

    fn open(&self, sources: &[Source], map: &MapOverrides) -> Result<Box<dyn Log>, ReadError> {
        let mut log = Sparse::new(self.name(), false, map);
        // Folders carry the time of their beginning; the link to the latest is a copy.
        let mut sources: Vec<&Source> = sources.iter().collect();
        if sources.iter().any(|source| !is_link(source)) {
            sources.retain(|source| !is_link(source));
        }
        sources.sort_by(|a, b| a.name().cmp(b.name()));
        if let [first, _, ..] = sources.as_slice() {
            log.facts.notes.push((
                "jobs-joined",
                format!("{} folders hold the run of one id ({}): one run", sources.len(), first.file_name()),
            ));
        }
        for source in sources {
            read(source, &mut log)?;
        }
        Ok(Box::new(log))
    }
}

/// The first bytes of a file: magic words and version.
pub(super) const fn header() -> [u8; HEADER] {
    [b':', b'W', b'&', b'B', 0xE1, 0xBE, 0]
}

/// Writes a record behind others, in pieces that keep within their blocks.
pub(super) fn frame(mut record: &[u8], file: &mut Vec<u8>) {
    let mut first = true;
    loop {
        let mut left = BLOCK - file.len() % BLOCK;
        if left < HEADER {
            file.resize(file.len() + left, 0);
            left = BLOCK;
        }
        let (piece, rest) = record.split_at(record.len().min(left - HEADER));
        let kind = match (first, rest.is_empty()) {
            (true, true) => 1,
            (true, false) => 2,
            (false, false) => 3,
            (false, true) => 4,
        };
        let mut crc = crc32fast::Hasher::new();
        crc.update(&[kind]);
        crc.update(piece);
        file.extend_from_slice(&crc.finalize().to_le_bytes());
        // A piece is shorter than a block.
        file.extend_from_slice(&(piece.len() as u16).to_le_bytes());
        file.push(kind);
        file.extend_from_slice(piece);
        (record, first) = (rest, false);
        if record.is_empty() {
            return;
        }
    }
}

/// The folder of a job: `run-20260101_000000-id`, `offline-run-…`, or the link to the latest.
fn folder(source: &Source) -> Option<&str> {
    let directory = source.directory();
    let folder = directory.rsplit(['/', '\\']).next()?;
    ["run-", "offline-run-", "latest-run"].iter().any(|start| folder.starts_with(start)).then_some(folder)
}

fn is_link(source: &Source) -> bool {
    folder(source) == Some("latest-run")
}

/// What the files of one run id share: the folder above their jobs' and the file's own name.
fn job(source: &Source) -> Option<String> {
    let folder = folder(source)?;
    let above = &source.directory()[..source.directory().len() - folder.len()];
    let name = source.file_name();
    name.starts_with("run-").then(|| format!("{above}{name}"))
}

fn broken(source: &Source, at: u64, problem: impl Into<String>) -> ReadError {
    ReadError::Broken { file: source.name().to_owned(), place: Place::Byte(at), problem: problem.into() }
}

fn read(source: &Source, log: &mut Sparse) -> Result<(), ReadError> {
    let mut reader =
        BufReader::with_capacity(BLOCK * 8, source.open().map_err(ReadError::io(source.name()))?);
    let mut block = vec![0; BLOCK];
    let mut record: Vec<u8> = Vec::new();
    let mut inside = false;
    let mut base = 0_u64;
    let mut records = 0_u64;
    loop {
        let length = fill(&mut reader, &mut block).map_err(ReadError::io(source.name()))?;
        if length == 0 {
            break;
        }
        let bytes = &block[..length];
        let mut at = 0;
        if base == 0 {
            if length < HEADER || bytes[4..6] != 0xBEE1_u16.to_le_bytes() || bytes[6] != 0 {
                return Err(broken(
                    source,
                    4,
                    "expected the magic number BEE1 and version 0 of a W&B run file",
                ));
            }
            at = HEADER;
        }
        while length - at >= HEADER {
            let offset = base + at as u64;
            let crc = u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
            let size = usize::from(u16::from_le_bytes([bytes[at + 4], bytes[at + 5]]));
            let kind = bytes[at + 6];
            if kind == 0 && size == 0 && crc == 0 {
                // Zeros that a writer set aside and never used.
                at = length;
                break;
            }
            let Some(data) = bytes.get(at + HEADER..at + HEADER + size) else {
                if length < BLOCK {
                    log.facts.cut_off = Some(records + 1);
                    return Ok(());
                }
                return Err(broken(
                    source,
                    offset,
                    format!("a record of {size} bytes crosses the end of its block"),
                ));
            };
            if crc32fast::hash(&bytes[at + 6..at + HEADER + size]) != crc {
                return Err(broken(source, offset, "the checksum of the record is wrong"));
            }
            at += HEADER + size;
            match (kind, inside) {
                (1, false) => {
                    records += 1;
                    message(source, log, data, offset, records)?;
                }
                (2, false) => {
                    record.clear();
                    record.extend_from_slice(data);
                    inside = true;
                }
                (3 | 4, true) => {
                    if record.len() + data.len() > LONGEST {
                        return Err(broken(
                            source,
                            offset,
                            format!("a record is longer than {} MiB", LONGEST >> 20),
                        ));
                    }
                    record.extend_from_slice(data);
                    if kind == 4 {
                        inside = false;
                        records += 1;
                        message(source, log, &record, offset, records)?;
                    }
                }
                _ => {
                    return Err(broken(
                        source,
                        offset,
                        format!("a piece of type {kind} stands where none belongs"),
                    ));
                }
            }
        }
        if length < BLOCK {
            if length - at > 0 {
                log.facts.cut_off = Some(records + 1);
            }
            break;
        }
        base += BLOCK as u64;
    }
    if inside {
        log.facts.cut_off = Some(records + 1);
    }
    Ok(())
}

fn fill(reader: &mut impl Read, block: &mut [u8]) -> std::io::Result<usize> {
    let mut length = 0;
    while length < block.len() {
        match reader.read(&mut block[length..])? {
            0 => break,
            n => length += n,
        }
    }
    Ok(length)
}

fn message(source: &Source, log: &mut Sparse, bytes: &[u8], at: u64, row: u64) -> Result<(), ReadError> {
    let fault = |_| broken(source, at, "the record is no message of W&B's");
    for field in fields(bytes) {
        match field.map_err(fault)? {
            (2, Value::Bytes(history)) => {
                log.row(row);
                for (place, item) in fields(history).enumerate() {
                    if let (1, Value::Bytes(item)) = item.map_err(fault)? {
                        // Nearly every row has the same keys in the same order, which says at once whether they are wanted.
                        let (slot, value) = if let Some((name, value)) = plain_item(item)
                            && let Some(slot) = log.wants_again(place, name)
                        {
                            (slot, value)
                        } else {
                            let (name, value) = item_of(item).ok_or_else(|| fault(0))?;
                            (log.wants_at(place, &name), value)
                        };
                        if let Some(slot) = slot
                            && let Some(number) = number(value)
                        {
                            log.put_at(slot, number);
                        }
                    }
                }
            }
            (5, Value::Bytes(config)) => config_of(log, config).ok_or_else(|| fault(0))?,
            (17, Value::Bytes(run)) => {
                let (mut id, mut shown) = (None, None);
                for field in fields(run) {
                    match field.map_err(fault)? {
                        (1, value) => id = value.text(),
                        (4, Value::Bytes(config)) => config_of(log, config).ok_or_else(|| fault(0))?,
                        (8, value) => shown = value.text().filter(|name| !name.is_empty()),
                        _ => {}
                    }
                }
                log.facts.name = shown.or(id).map(str::to_owned).or_else(|| log.facts.name.take());
            }
            _ => {}
        }
    }
    Ok(())
}

/// Name and JSON value of an item that has one key and one value, both shorter than 128 bytes.
fn plain_item(item: &[u8]) -> Option<(&[u8], &[u8])> {
    // Field 1 (key) or 2 (nested key) of bytes.
    let ([0x0a | 0x12, length], rest) = item.split_first_chunk::<2>()? else { return None };
    let length = *length;
    let (name, rest) = rest.split_at_checked(usize::from(length))?;
    // Field 16 of bytes, in two bytes.
    let value = rest.strip_prefix(&[0x82, 0x01])?;
    let (&size, value) = value.split_first()?;
    (length < 128 && length > 0 && size < 128 && usize::from(size) == value.len()).then_some((name, value))
}

/// Name and JSON value of an item.
pub(super) fn item_of(item: &[u8]) -> Option<(std::borrow::Cow<'_, str>, &[u8])> {
    let (mut key, mut nested, mut value) = ("", smallvec::SmallVec::<[&str; 4]>::new(), &b""[..]);
    for field in fields(item) {
        match field.ok()? {
            (1, found) => key = found.text()?,
            (2, found) => nested.push(found.text()?),
            (16, found) => value = found.bytes()?,
            _ => {}
        }
    }
    let name = match nested.as_slice() {
        _ if !key.is_empty() => key.into(),
        [one] => (*one).into(),
        several => several.join("/").into(),
    };
    Some((name, value))
}

/// A JSON number; W&B writes NaN and infinities bare or in quotes.
pub(super) fn number(json: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(json).ok()?.trim();
    match text.as_bytes().first()? {
        b'0'..=b'9' | b'-' => text.parse().ok(),
        b'N' | b'I' => text.parse().ok(),
        b'"' => match text.trim_matches('"') {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            _ => None,
        },
        _ => None,
    }
}

fn config_of(log: &mut Sparse, config: &[u8]) -> Option<()> {
    use crate::table::json::{Leaf, flatten};
    for field in fields(config) {
        if let (1, Value::Bytes(item)) = field.ok()? {
            let (name, value) = item_of(item)?;
            // W&B's own notes about the environment.
            if name.starts_with("_wandb") {
                continue;
            }
            // A value that is no JSON is no setting of interest.
            drop(flatten(value, &mut |path, leaf| {
                let path = if path.is_empty() { name.to_string() } else { format!("{name}/{path}") };
                let value = match leaf {
                    Leaf::Number(value) => value.to_string(),
                    Leaf::Text(text) => text.into_owned(),
                    Leaf::Bool(value) => value.to_string(),
                    Leaf::Null => return,
                };
                log.facts.config.insert(path, value);
            }));
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(tag: &[u8], data: &[u8]) -> Vec<u8> {
        let mut bytes = tag.to_vec();
        let mut length = data.len();
        while length > 127 {
            bytes.push((length & 127 | 128) as u8);
            length >>= 7;
        }
        bytes.push(length as u8);
        bytes.extend_from_slice(data);
        bytes
    }

    #[test]
    fn the_short_way_through_an_item_agrees_with_the_long_one() {
        let (key, nested, value) = (&[0x0a][..], &[0x12][..], &[0x82, 0x01][..]);
        let long = "x".repeat(200);
        let plain = [
            [field(key, b"train/loss"), field(value, b"2.5")].concat(),
            [field(nested, b"loss"), field(value, b"\"NaN\"")].concat(),
            [field(nested, b"loss"), field(value, b"")].concat(),
        ];
        for item in &plain {
            let (name, found) = plain_item(item).unwrap();
            let (wanted, value) = item_of(item).unwrap();
            assert_eq!((name, found), (wanted.as_bytes(), value));
        }
        let other = [
            [field(nested, b"train"), field(nested, b"loss"), field(value, b"2.5")].concat(),
            [field(key, long.as_bytes()), field(value, b"1")].concat(),
            [field(key, b"a"), field(value, long.as_bytes())].concat(),
            [field(value, b"1"), field(key, b"a")].concat(),
            [field(key, b""), field(nested, b"a"), field(value, b"1")].concat(),
            field(key, b"a"),
            Vec::new(),
        ];
        for item in &other {
            assert_eq!(plain_item(item), None, "{item:?}");
        }
        assert_eq!(item_of(&other[0]).unwrap().0, "train/loss");
        // Whatever the bytes: what the short way finds, the long way finds, too.
        let mut state = 1_u64;
        let mut taken = 0;
        for _ in 0..200_000 {
            let mut random = |below: u64| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 33) % below
            };
            let mut item = plain[random(3) as usize].clone();
            for _ in 0..random(4) {
                let at = random(item.len() as u64) as usize;
                match random(3) {
                    0 => item[at] = random(256) as u8,
                    1 => item.insert(at, random(256) as u8),
                    _ => drop(item.remove(at)),
                }
            }
            if let Some((name, value)) = plain_item(&item)
                && std::str::from_utf8(name).is_ok()
            {
                let (wanted, found) = item_of(&item).unwrap();
                assert_eq!((wanted.as_bytes(), found), (name, value), "{item:?}");
                taken += 1;
            }
        }
        assert!(taken > 10_000, "{taken}");
        // A length that reaches beyond the end.
        assert_eq!(plain_item(&[0x0a, 9, b'a']), None);
    }
}
