//! TensorBoard event files: `events.out.tfevents.*`; all of one directory are one run (restarts), and so are the folders
//! `train` and `validation` beside each other (Keras) and those that `add_scalars` makes below a run's folder.
//!
//! # Format
//! ```text
//! record = length (u64 LE) · masked crc32c of the length · data · masked crc32c of the data
//! mask   = ((crc >> 15) | (crc << 17)) + 0xa282ead8
//! ```
//! Data is a protobuf `Event`: wall time 1, step 2, summary 5; a summary has values (1) of tag (1), simple_value (2) and tensor (8); a
//! tensor has dtype (1), content (4), float_val (5) and double_val (6).

use self::parts::Naming;
use super::protobuf::{Value, fields};
use super::sparse::Sparse;
use super::{Importer, Log};
use crate::error::{Place, ReadError};
use crate::mapping::MapOverrides;
use crate::source::Source;
use std::io::Read;

pub(super) mod parts;

/// Reads TensorBoard event files.
#[derive(Debug)]
pub struct EventFiles;

/// Images and graphs can be large; nothing is larger than this.
pub(super) const LONGEST: u64 = 1 << 30;
/// A record up to this size is read whole; a larger one holds no scalars alone and is passed over.
pub(super) const HELD: u64 = 64 << 20;

impl Importer for EventFiles {
    fn name(&self) -> &'static str {
        "TensorBoard events"
    }

    fn claim(&self, source: &Source, head: &[u8]) -> Option<String> {
        let is_one = length_of(head.get(..12)?).is_some_and(|length| length < LONGEST);
        (is_one || source.file_name().contains(".tfevents.")).then(|| source.folder().to_owned())
    }

    fn open(&self, sources: &[Source], map: &MapOverrides) -> Result<Box<dyn Log>, ReadError> {
        let mut log = Sparse::new(self.name(), false, map);
        // Names carry the time of their beginning: the order of names is the order of restarts.
        let mut sources: Vec<&Source> = sources.iter().collect();
        sources.sort_by(|a, b| a.name().cmp(b.name()));
        let base = parts::base(&sources);
        for source in &sources {
            read(source, &Naming::of(source.folder(), &base), &mut log)?;
        }
        match sources.first() {
            Some(first) if map.is_empty() => parts::refuse_epochs(first, &log)?,
            _ => {}
        }
        Ok(Box::new(log))
    }
}

pub(super) fn masked(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// The length that a record states, if its checksum is right.
pub(super) fn length_of(record: &[u8]) -> Option<u64> {
    let (length, rest) = record.split_first_chunk::<8>()?;
    (rest.get(..4)? == masked(length).to_le_bytes()).then(|| u64::from_le_bytes(*length))
}

/// Writes an event as a record.
pub(super) fn frame(event: &[u8], to: &mut Vec<u8>) {
    let length = (event.len() as u64).to_le_bytes();
    to.extend_from_slice(&length);
    to.extend_from_slice(&masked(&length).to_le_bytes());
    to.extend_from_slice(event);
    to.extend_from_slice(&masked(event).to_le_bytes());
}

/// Bytes read ahead: what lies between `start` and `end` is there.
struct Window<R> {
    reader: R,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl<R: Read> Window<R> {
    fn new(reader: R) -> Self {
        Self { reader, buffer: vec![0; 1 << 18], start: 0, end: 0 }
    }

    /// The next `n` bytes, or fewer at the end; they stay until [`Self::pass`].
    fn peek(&mut self, n: usize) -> std::io::Result<&[u8]> {
        if self.end - self.start < n {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
            while self.end < n {
                if self.end == self.buffer.len() {
                    // Doubled as data arrive, never at the word of a length alone.
                    self.buffer.resize(2 * self.buffer.len(), 0);
                }
                match self.reader.read(&mut self.buffer[self.end..])? {
                    0 => break,
                    read => self.end += read,
                }
            }
        }
        Ok(&self.buffer[self.start..self.end.min(self.start + n)])
    }

    fn pass(&mut self, n: usize) {
        self.start = (self.start + n).min(self.end);
    }

    /// Passes over bytes without holding them; says how many there were.
    fn skip(&mut self, n: u64) -> std::io::Result<u64> {
        let held = ((self.end - self.start) as u64).min(n);
        self.pass(held as usize);
        Ok(held + std::io::copy(&mut self.reader.by_ref().take(n - held), &mut std::io::sink())?)
    }
}

fn read(source: &Source, naming: &Naming, log: &mut Sparse) -> Result<(), ReadError> {
    let io = |error| ReadError::io(source.name())(error);
    let mut window = Window::new(source.open().map_err(io)?);
    let mut at = 0_u64;
    for record in 1.. {
        let broken = |problem: String| ReadError::Broken {
            file: source.name().to_owned(),
            place: Place::Byte(at),
            problem,
        };
        let head = window.peek(12).map_err(io)?;
        if head.is_empty() {
            return Ok(());
        }
        if head.len() < 12 {
            log.facts.cut_off = Some(record);
            return Ok(());
        }
        let length = u64::from_le_bytes(head[..8].try_into().unwrap_or_default());
        if masked(&head[..8]).to_le_bytes() != head[8..] {
            return Err(broken(
                "the checksum of the record's length is wrong; expected a TensorBoard event".to_owned(),
            ));
        }
        if length > LONGEST {
            return Err(broken(format!("the record is {length} bytes long; expected at most {LONGEST}")));
        }
        let whole = 12 + length + 4;
        if length > HELD {
            if window.skip(whole).map_err(io)? < whole {
                log.facts.cut_off = Some(record);
                return Ok(());
            }
            at += whole;
            continue;
        }
        let data = window.peek(whole as usize).map_err(io)?;
        if (data.len() as u64) < whole {
            // A live writer is in the middle of this record.
            log.facts.cut_off = Some(record);
            return Ok(());
        }
        let (event, crc) = data[12..].split_at(length as usize);
        if masked(event).to_le_bytes() != crc {
            return Err(broken("the checksum of the record is wrong".to_owned()));
        }
        if message(log, naming, event, record).is_none() {
            return Err(broken("the record is no TensorBoard event".to_owned()));
        }
        window.pass(whole as usize);
        at += whole;
    }
    Ok(())
}

fn message(log: &mut Sparse, naming: &Naming, event: &[u8], record: u64) -> Option<()> {
    let (mut step, mut time) = (0, f64::NAN);
    let mut summary = None;
    for field in fields(event) {
        match field.ok()? {
            (1, Value::Fixed64(bits)) => time = f64::from_bits(bits),
            (2, Value::Varint(value)) => step = value,
            (5, Value::Bytes(bytes)) => summary = Some(bytes),
            _ => {}
        }
    }
    let Some(summary) = summary else { return Some(()) };
    // A negative step marks what belongs to no step.
    if step > i64::MAX as u64 {
        return Some(());
    }
    let mut begun = false;
    for field in fields(summary) {
        let (1, Value::Bytes(value)) = field.ok()? else { continue };
        let (mut tag, mut number) = ("", None);
        for field in fields(value) {
            match field.ok()? {
                (1, found) => tag = found.text()?,
                (2, Value::Fixed32(bits)) => number = Some(f64::from(f32::from_bits(bits))),
                (8, Value::Bytes(tensor)) => number = scalar(tensor)?,
                _ => {}
            }
        }
        if let (Some(number), Some(slot)) = (number, log.wants(&naming.column(tag))) {
            if !begun {
                log.row_at(record, time);
                log.put("step", step as f64);
                begun = true;
            }
            log.put_at(slot, number);
        }
    }
    Some(())
}

/// The tag of a value of a summary, and whether the value is one number.
pub(super) fn tag_of(value: &[u8]) -> Option<(&str, bool)> {
    let (mut tag, mut is_scalar) = ("", false);
    for field in fields(value) {
        match field.ok()? {
            (1, found) => tag = found.text()?,
            (2, Value::Fixed32(_)) => is_scalar = true,
            (8, Value::Bytes(tensor)) => is_scalar = scalar(tensor)?.is_some(),
            _ => {}
        }
    }
    Some((tag, is_scalar))
}

/// The one number of a scalar tensor; `Some(None)` for any other tensor.
fn scalar(tensor: &[u8]) -> Option<Option<f64>> {
    let (mut dtype, mut content, mut value) = (0, &b""[..], None);
    for field in fields(tensor) {
        match field.ok()? {
            (1, Value::Varint(found)) => dtype = found,
            (4, Value::Bytes(found)) => content = found,
            (5, Value::Bytes(packed)) if packed.len() == 4 => value = float(packed),
            (5, Value::Fixed32(bits)) => value = Some(f64::from(f32::from_bits(bits))),
            (6, Value::Bytes(packed)) if packed.len() == 8 => value = double(packed),
            (6, Value::Fixed64(bits)) => value = Some(f64::from_bits(bits)),
            _ => {}
        }
    }
    Some(value.or_else(|| match (dtype, content.len()) {
        (1, 4) => float(content),
        (2, 8) => double(content),
        _ => None,
    }))
}

fn float(bytes: &[u8]) -> Option<f64> {
    Some(f64::from(f32::from_le_bytes(bytes.try_into().ok()?)))
}

fn double(bytes: &[u8]) -> Option<f64> {
    Some(f64::from_le_bytes(bytes.try_into().ok()?))
}
