//! Files of framed records, read as they grow: TensorBoard event files and W&B run files.
//!
//! Whoever follows such a file gives a [`FramedTail`] the bytes from [`FramedTail::at`] on and gets the records that are whole, cut down to
//! the numbers that can play a role; [`FramedTail::join`] makes a file of the same format of them, which the importers read as any other.
//!
//! ```text
//! bytes from `at` on ──take──▶ whole records: kept numbers, `at` moves on
//!                              the last record, if it has no end yet, waits: its bytes are wanted again
//! ```

use super::protobuf::{Value, fields};
use super::{tensorboard, wandb};
use crate::mapping::{MapOverrides, is_wanted};
use crate::source::components;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

/// More names than any tracker writes; a guard against broken files.
const MOST_NAMES: usize = 100_000;
/// Components of a path that may name a column.
const DEEPEST: usize = 5;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Format {
    Events,
    Wandb,
}

/// What a whole record holds that is needed.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Records of the same names have the same kind; `None`: what stands once, as a configuration, and must not be thinned out.
    pub kind: Option<u64>,
    /// The record's message.
    pub bytes: Vec<u8>,
}

/// A file that no importer would read to its end: who follows it gives the whole file to the importer, which says why.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Broken;

/// Where the reading of a file of framed records stands.
#[derive(Debug, Clone)]
pub struct FramedTail {
    format: Format,
    /// Folders above the file, the nearest last: some writers put a column's name there.
    folders: Vec<String>,
    map: MapOverrides,
    at: u64,
    /// Bytes of a record that are passed over.
    skip: u64,
    /// Pieces of a record of several pieces.
    pieces: Vec<u8>,
    inside: bool,
    /// Whether the values of a name can play a role.
    names: HashMap<String, bool>,
    /// Whether there was a record.
    any: bool,
}

impl FramedTail {
    /// The tail of a file at its beginning, if its first bytes are those of such a file.
    ///
    /// # Examples
    /// ```
    /// use lehr_io::{MapOverrides, import::framed::FramedTail};
    /// let map = MapOverrides::default();
    /// assert!(FramedTail::of("run-a.wandb", b":W&B\xe1\xbe\x00", &map).is_some());
    /// assert!(FramedTail::of("log.csv", b"step,lr,loss\n", &map).is_none());
    /// ```
    #[must_use]
    pub fn of(name: &str, head: &[u8], map: &MapOverrides) -> Option<Self> {
        let format = if head.starts_with(wandb::MAGIC) {
            Format::Wandb
        } else if tensorboard::length_of(head).is_some() {
            Format::Events
        } else {
            return None;
        };
        let mut folders: Vec<String> = components(name).map(str::to_owned).collect();
        folders.pop();
        folders.drain(..folders.len().saturating_sub(DEEPEST));
        Some(Self {
            format,
            folders,
            map: map.clone(),
            at: 0,
            skip: 0,
            pieces: Vec::new(),
            inside: false,
            names: HashMap::new(),
            any: false,
        })
    }

    /// The place of the first byte that is wanted next.
    #[must_use]
    pub fn at(&self) -> u64 {
        self.at
    }

    /// Takes bytes that begin at [`Self::at`]; gives what they hold to `keep`, and moves on past what is whole. Says how many bytes were taken.
    ///
    /// # Errors
    /// [`Broken`] at a fault; the place stays before it.
    pub fn take(&mut self, bytes: &[u8], keep: &mut dyn FnMut(Record)) -> Result<usize, Broken> {
        let mut taken = 0;
        loop {
            let passed = self.skip.min((bytes.len() - taken) as u64);
            self.skip -= passed;
            self.at += passed;
            taken += passed as usize;
            let rest = &bytes[taken..];
            let step = match self.format {
                Format::Events => self.event(rest, keep)?,
                Format::Wandb => self.piece(rest, keep)?,
            };
            if step == 0 && self.skip == 0 || rest.is_empty() {
                return Ok(taken);
            }
            taken += step;
            self.at += step as u64;
        }
    }

    /// A file of the same format, of these records.
    #[must_use]
    pub fn join<'a>(&self, records: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
        match self.format {
            Format::Events => {
                let mut file = Vec::new();
                records.for_each(|event| tensorboard::frame(event, &mut file));
                file
            }
            Format::Wandb => {
                let mut file = wandb::header().to_vec();
                records.for_each(|record| wandb::frame(record, &mut file));
                file
            }
        }
    }

    /// One event, if it is whole: the bytes that it takes.
    fn event(&mut self, bytes: &[u8], keep: &mut dyn FnMut(Record)) -> Result<usize, Broken> {
        if bytes.len() < 12 {
            return Ok(0);
        }
        let length = tensorboard::length_of(bytes).ok_or(Broken)?;
        if length > tensorboard::LONGEST {
            return Err(Broken);
        }
        let whole = 12 + length + 4;
        if length > tensorboard::HELD {
            // No scalars alone; the importer passes over it, too.
            self.skip = whole;
            return Ok(0);
        }
        let Some(data) = bytes.get(12..whole as usize) else { return Ok(0) };
        let (event, crc) = data.split_at(length as usize);
        if tensorboard::masked(event).to_le_bytes() != crc {
            return Err(Broken);
        }
        if let Some(record) = self.scalars(event).ok_or(Broken)? {
            keep(record);
        }
        Ok(whole as usize)
    }

    /// The event without what is no scalar of a name that is kept; `Some(None)`: nothing is left.
    fn scalars(&mut self, event: &[u8]) -> Option<Option<Record>> {
        let first = !std::mem::replace(&mut self.any, true);
        let (mut kept, mut names) = (Vec::new(), DefaultHasher::new());
        let (mut any, mut wanted) = (false, false);
        for field in fields(event) {
            match field.ok()? {
                (1, Value::Fixed64(bits)) => {
                    kept.push(1 << 3 | 1);
                    kept.extend_from_slice(&bits.to_le_bytes());
                }
                (2, Value::Varint(step)) => {
                    kept.push(2 << 3);
                    varint(step, &mut kept);
                }
                (5, Value::Bytes(summary)) => {
                    let mut values = Vec::new();
                    for field in fields(summary) {
                        let (1, Value::Bytes(value)) = field.ok()? else { continue };
                        let (tag, is_scalar) = tensorboard::tag_of(value)?;
                        if !is_scalar {
                            continue;
                        }
                        let need = self.need(tag);
                        if need == Need::Always {
                            tag.hash(&mut names);
                            wanted = true;
                        }
                        if need != Need::Never {
                            any = true;
                            bytes_field(1, value, &mut values);
                        }
                    }
                    bytes_field(5, &values, &mut kept);
                }
                // The version of the file, which stands in its first record.
                (3, Value::Bytes(version)) if first => bytes_field(3, version, &mut kept),
                _ => {}
            }
        }
        // The first record makes an event file of a file without a scalar, too.
        let kind = wanted.then(|| names.finish());
        Some((any || first).then_some(Record { kind, bytes: kept }))
    }

    /// One piece of a record, or what lies between records: the bytes that it takes.
    fn piece(&mut self, bytes: &[u8], keep: &mut dyn FnMut(Record)) -> Result<usize, Broken> {
        if self.at == 0 {
            let Some(header) = bytes.get(..wandb::HEADER) else { return Ok(0) };
            return if header == wandb::header() { Ok(wandb::HEADER) } else { Err(Broken) };
        }
        // What is left of the block; fewer bytes than a header are padding.
        let left = wandb::BLOCK - (self.at % wandb::BLOCK as u64) as usize;
        if left < wandb::HEADER {
            return Ok(if bytes.len() >= left { left } else { 0 });
        }
        let Some(header) = bytes.get(..wandb::HEADER) else { return Ok(0) };
        let (crc, size) = (&header[..4], usize::from(u16::from_le_bytes([header[4], header[5]])));
        let kind = header[6];
        if header == [0; wandb::HEADER] {
            // Zeros that a writer set aside: passed over once the block is full.
            return Ok(if bytes.len() >= left { left } else { 0 });
        }
        if wandb::HEADER + size > left {
            return Err(Broken);
        }
        let Some(data) = bytes.get(wandb::HEADER..wandb::HEADER + size) else { return Ok(0) };
        if crc32fast::hash(&bytes[6..wandb::HEADER + size]).to_le_bytes() != crc {
            return Err(Broken);
        }
        match (kind, self.inside) {
            (1, false) => self.needed(data, keep).ok_or(Broken)?,
            (2, false) => {
                self.pieces.clear();
                self.pieces.extend_from_slice(data);
                self.inside = true;
            }
            (3 | 4, true) if self.pieces.len() + data.len() <= wandb::LONGEST => {
                let whole = if kind == 4 {
                    let mut all = std::mem::take(&mut self.pieces);
                    all.extend_from_slice(data);
                    Some(all)
                } else {
                    self.pieces.extend_from_slice(data);
                    None
                };
                if let Some(all) = whole {
                    self.inside = false;
                    self.needed(&all, keep).ok_or(Broken)?;
                }
            }
            _ => return Err(Broken),
        }
        Ok(wandb::HEADER + size)
    }

    /// Keeps what of a message of W&B's is needed.
    fn needed(&mut self, message: &[u8], keep: &mut dyn FnMut(Record)) -> Option<()> {
        let (mut kept, mut names) = (Vec::new(), DefaultHasher::new());
        let (mut any, mut wanted, mut always) = (false, false, false);
        for field in fields(message) {
            match field.ok()? {
                (2, Value::Bytes(history)) => {
                    let mut items = Vec::new();
                    for field in fields(history) {
                        let (1, Value::Bytes(item)) = field.ok()? else { continue };
                        let (name, value) = wandb::item_of(item)?;
                        let need = self.need(&name);
                        if need == Need::Always && wandb::number(value).is_some() {
                            name.hash(&mut names);
                            wanted = true;
                        }
                        // A name counts where its value is no number, too.
                        if need == Need::Once || need == Need::Always && wandb::number(value).is_some() {
                            any = true;
                            bytes_field(1, item, &mut items);
                        }
                    }
                    bytes_field(2, &items, &mut kept);
                }
                (number @ (5 | 17), Value::Bytes(settings)) => {
                    always = true;
                    bytes_field(number, settings, &mut kept);
                }
                _ => {}
            }
        }
        let kind = (wanted && !always).then(|| names.finish());
        if any || always {
            keep(Record { kind, bytes: kept });
        }
        Some(())
    }

    /// Whether the values of a name are needed: those that can play a role, and the first of every other name, so that messages list all names.
    fn need(&mut self, name: &str) -> Need {
        if let Some(wanted) = self.names.get(name) {
            return if *wanted { Need::Always } else { Need::Never };
        }
        if self.names.len() >= MOST_NAMES {
            return Need::Never;
        }
        let mut wanted = is_wanted(name, &self.map);
        if self.format == Format::Events && !wanted {
            // Writers of several event files put a split or the whole name into the folders above.
            let above = self.folders.last().map(|folder| format!("{folder}/{name}"));
            wanted = above.is_some_and(|name| is_wanted(&name, &self.map))
                || (0..self.folders.len()).any(|i| is_wanted(&self.folders[i..].join("/"), &self.map));
        }
        self.names.insert(name.to_owned(), wanted);
        if wanted { Need::Always } else { Need::Once }
    }
}

/// How far the values of a name are needed.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Need {
    Always,
    /// This value alone, for the name.
    Once,
    Never,
}

fn varint(mut value: u64, to: &mut Vec<u8>) {
    while value > 127 {
        to.push((value & 127 | 128) as u8);
        value >>= 7;
    }
    to.push(value as u8);
}

/// A field of bytes.
fn bytes_field(number: u32, bytes: &[u8], to: &mut Vec<u8>) {
    varint(u64::from(number << 3 | 2), to);
    varint(bytes.len() as u64, to);
    to.extend_from_slice(bytes);
}
