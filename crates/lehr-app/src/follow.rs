//! Logs that grow: a cursor a file, so that a poll reads what is new and no more.
//!
//! ```text
//! kind of file                        a poll reads
//! text of lines (CSV, JSON lines, …)  the lines that were completed since; the last line, if it has no end yet, waits
//! framed records (TensorBoard, W&B)   the records that were completed since; the last record, if it has no end yet, waits
//! anything else (databases)           nothing while size and time stay; the whole file when it is looked at
//! ```
//!
//! A file that is shorter than before, or begins otherwise, was rotated or written anew: it is read from its beginning; one of records
//! also where other bytes stand before the place that was reached. Of a long text the first lines, the last lines and an even choice
//! of blocks of lines are held, of records those with a number that can play a role, thinned name by name, so that memory stays
//! bounded. A file of records with a fault is read whole by whoever looks at it, and the fault is told as for any other.

mod records;

use crate::failure::Failure;
use crate::files::Files;
use lehr_io::{MapOverrides, Source};
use records::Records;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::{File, Metadata};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Bytes of one text that are held.
const HELD: usize = 512 << 10;
/// First lines that are always held: header and configuration.
const FIRST: u64 = 64;
/// Last lines that are always held.
const LAST: usize = 64;
/// Lines that are held or dropped together, so that most neighbours stay neighbours.
const BLOCK: u64 = 32;
/// Bytes read at a time.
const CHUNK: usize = 1 << 20;
/// Bytes by which a file is known again.
const HEAD: usize = 256;
/// Bytes before the place that was reached by which a file of records is known again: the last record's checksum is among them.
const BEFORE: u64 = 64;
/// Endings of files that are not lines of text, or whose text is one value.
const WHOLE: [&str; 14] = [
    "json", "parquet", "db", "sqlite", "sqlite3", "wandb", "gz", "zst", "zstd", "npy", "toml", "yaml",
    "arrow", "zip",
];

/// Where a poll stands with a file.
#[derive(Debug)]
struct Followed {
    /// Bytes of complete lines that were read.
    at: u64,
    length: u64,
    modified: Option<SystemTime>,
    /// The first bytes, to know the file again.
    head: Vec<u8>,
    /// The bytes before `at`, of a file of records.
    before: Vec<u8>,
    held: Held,
}

/// What is held of a file.
#[derive(Debug)]
enum Held {
    /// Nothing: it is read whole when it is looked at.
    Nothing,
    Lines(Lines),
    Records(Box<Records>),
}

impl Held {
    fn of(name: &str, head: &[u8], map: &MapOverrides) -> Self {
        match Records::of(name, head, map) {
            Some(records) => Self::Records(Box::new(records)),
            None if is_lines(name, head) => Self::Lines(Lines::default()),
            None => Self::Nothing,
        }
    }
}

/// Whether a line or a record is held at a stride: the first ones, and blocks by a hash of their number.
fn holds(number: u64, stride: u64) -> bool {
    let hash = (number / BLOCK).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
    number < FIRST || hash.is_multiple_of(stride.max(1))
}

/// Lines of a text, thinned.
#[derive(Debug, Default)]
struct Lines {
    seen: u64,
    bytes: usize,
    /// Blocks whose hash is no multiple of it are dropped.
    stride: u64,
    kept: BTreeMap<u64, Box<[u8]>>,
    last: VecDeque<(u64, Vec<u8>)>,
}

impl Lines {
    fn push(&mut self, line: &[u8]) {
        let number = self.seen;
        self.seen += 1;
        // The oldest line lends its memory to the newest.
        let mut room =
            if self.last.len() < LAST { Vec::new() } else { self.last.pop_front().unwrap_or_default().1 };
        room.clear();
        room.extend_from_slice(line);
        self.last.push_back((number, room));
        if holds(number, self.stride) {
            self.bytes += line.len();
            self.kept.insert(number, line.into());
        }
        if self.bytes > HELD {
            self.stride = self.stride.max(1) * 2;
            let kept = std::mem::take(&mut self.kept);
            self.kept = kept.into_iter().filter(|(number, _)| holds(*number, self.stride)).collect();
            self.bytes = self.kept.values().map(|line| line.len()).sum();
        }
    }

    /// Takes the complete lines: the bytes that they have.
    fn take(&mut self, bytes: &[u8]) -> usize {
        let mut start = 0;
        while let Some(end) = bytes[start..].iter().position(|byte| *byte == b'\n') {
            self.push(&bytes[start..=start + end]);
            start += end + 1;
        }
        start
    }

    fn text(&self) -> Vec<u8> {
        let mut all: BTreeMap<u64, &[u8]> = self.kept.iter().map(|(n, line)| (*n, &line[..])).collect();
        all.extend(self.last.iter().map(|(n, line)| (*n, &line[..])));
        all.into_values().flatten().copied().collect()
    }
}

/// Follows files.
#[derive(Debug, Default)]
pub struct Follower {
    files: BTreeMap<String, Followed>,
    /// Columns that the user named.
    map: MapOverrides,
    /// Bytes read since it was made.
    read: u64,
}

/// Whether a file is read line by line, from its name and first bytes.
fn is_lines(name: &str, head: &[u8]) -> bool {
    let ending = name.rsplit('/').next().and_then(|name| name.rsplit_once('.')).map(|(_, ending)| ending);
    let ending = ending.unwrap_or_default().to_ascii_lowercase();
    !WHOLE.contains(&ending.as_str()) && !name.contains("tfevents") && !head.contains(&0) && !head.is_empty()
}

impl Follower {
    /// A follower of logs whose columns the user named: what they name is held, whatever its name.
    #[must_use]
    pub fn with(map: MapOverrides) -> Self {
        Self { map, ..Self::default() }
    }

    /// Looks at the files behind the paths: whether anything changed since the last poll, and the sources to read.
    ///
    /// # Errors
    /// [`Failure`] for a path that is not there and a file that cannot be read.
    pub fn poll(&mut self, files: &Files, paths: &[PathBuf]) -> Result<bool, Failure> {
        let sources = files.sources(paths)?;
        let mut changed = false;
        let names: BTreeSet<&str> = sources.iter().map(Source::name).collect();
        let gone = self.files.len();
        self.files.retain(|name, _| names.contains(name.as_str()));
        changed |= self.files.len() != gone;
        for source in &sources {
            if matches!(files, Files::Disk) && Path::new(source.name()).is_file() {
                changed |= self.look(Path::new(source.name()))?;
            } else {
                // In memory, or at an address: whatever is there is read when it is looked at.
                changed = true;
            }
        }
        Ok(changed)
    }

    /// When a file was written last; of a folder, or of a file that is none on the disk, the latest file below it.
    #[must_use]
    pub fn written(&self, name: &str) -> Option<SystemTime> {
        match self.files.get(name) {
            Some(file) => file.modified,
            None => {
                let below = |other: &str| other.strip_prefix(name).is_some_and(|rest| rest.starts_with('/'));
                self.files
                    .iter()
                    .filter(|(other, _)| below(other))
                    .filter_map(|(_, file)| file.modified)
                    .max()
            }
        }
    }

    /// The sources as far as they were followed.
    ///
    /// # Errors
    /// As [`Follower::poll`].
    pub fn sources(&self, files: &Files, paths: &[PathBuf]) -> Result<Vec<Source>, Failure> {
        let sources = files.sources(paths)?;
        Ok(sources
            .into_iter()
            .map(|source| {
                let held = match self.files.get(source.name()).map(|file| &file.held) {
                    Some(Held::Lines(lines)) => Some(lines.text()),
                    Some(Held::Records(records)) => records.file(),
                    Some(Held::Nothing) | None => None,
                };
                match held {
                    Some(bytes) => source.with_bytes(bytes),
                    None => source,
                }
            })
            .collect())
    }

    /// Bytes read so far, without the first 256 of each file that has changed, by which it is known again.
    #[must_use]
    pub fn bytes_read(&self) -> u64 {
        self.read
    }

    fn look(&mut self, path: &Path) -> Result<bool, Failure> {
        let name = path.to_string_lossy().into_owned();
        let meta = std::fs::metadata(path).map_err(Failure::at(path))?;
        let modified = meta.modified().ok();
        if let Some(file) = self.files.get(&name)
            && file.length == meta.len()
            && file.modified == modified
        {
            return Ok(false);
        }
        let mut opened = File::open(path).map_err(Failure::at(path))?;
        let mut head = vec![0; HEAD];
        let filled = fill(&mut opened, &mut head).map_err(Failure::at(path))?;
        head.truncate(filled);
        let mut known = false;
        if let Some(file) = self.files.get(&name) {
            // Bytes before the place are compared, and counted: they were read.
            known = same(file, &meta, &head);
            if known && !file.before.is_empty() {
                let before = bytes_before(&mut opened, file.at).map_err(Failure::at(path))?;
                self.read += before.len() as u64;
                known = before == file.before;
            }
            // A file that was too short to tell what it is.
            known &= file.at > 0 || !matches!(file.held, Held::Nothing);
        }
        if !known {
            let held = Held::of(&name, &head, &self.map);
            let new =
                Followed { at: 0, length: 0, modified: None, head: Vec::new(), before: Vec::new(), held };
            self.files.insert(name.clone(), new);
        }
        let Some(file) = self.files.get_mut(&name) else { return Ok(false) };
        file.head = head;
        (file.length, file.modified) = (meta.len(), modified);
        let (at, read) = match &mut file.held {
            Held::Nothing => return Ok(true),
            Held::Lines(lines) => {
                let take = |bytes: &[u8]| Some(lines.take(bytes));
                follow(&mut opened, file.at, take).map_err(Failure::at(path))?
            }
            Held::Records(records) => {
                let take = |bytes: &[u8]| records.take(bytes).ok();
                let (_, read) = follow(&mut opened, file.at, take).map_err(Failure::at(path))?;
                (records.at(), read)
            }
        };
        file.at = at;
        self.read += read;
        if matches!(file.held, Held::Records(_)) {
            file.before = bytes_before(&mut opened, at).map_err(Failure::at(path))?;
            self.read += file.before.len() as u64;
        }
        Ok(true)
    }
}

/// The last bytes before a place.
fn bytes_before(file: &mut File, at: u64) -> std::io::Result<Vec<u8>> {
    let from = at.saturating_sub(BEFORE);
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = vec![0; (at - from) as usize];
    let filled = fill(file, &mut bytes)?;
    bytes.truncate(filled);
    Ok(bytes)
}

/// Whether a file goes on from what was read of it.
fn same(file: &Followed, meta: &Metadata, head: &[u8]) -> bool {
    meta.len() > file.length && head.starts_with(&file.head)
}

/// Reads as much as there is into a buffer.
fn fill(from: &mut impl Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match from.read(&mut buffer[filled..])? {
            0 => break,
            read => filled += read,
        }
    }
    Ok(filled)
}

/// Reads from a place on: the place after the last line or record that was taken, and the bytes read. `take` says how many bytes are done
/// with, or that the file has a fault.
fn follow(
    file: &mut File,
    at: u64,
    mut take: impl FnMut(&[u8]) -> Option<usize>,
) -> std::io::Result<(u64, u64)> {
    file.seek(SeekFrom::Start(at))?;
    let (mut at, mut read) = (at, 0);
    let mut rest: Vec<u8> = Vec::new();
    let mut chunk = vec![0; CHUNK];
    loop {
        let filled = fill(file, &mut chunk)?;
        read += filled as u64;
        rest.extend_from_slice(&chunk[..filled]);
        let Some(taken) = take(&rest) else { return Ok((at, read)) };
        at += taken as u64;
        rest.drain(..taken);
        if filled < chunk.len() {
            return Ok((at, read));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn text(follower: &Follower, path: &Path) -> String {
        let sources = follower.sources(&Files::Disk, &[path.to_path_buf()]).unwrap();
        let mut text = String::new();
        sources[0].open().unwrap().read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn a_poll_reads_what_is_new_and_waits_for_the_end_of_a_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.csv");
        let paths = [path.clone()];
        std::fs::write(&path, "step,loss\n1,3.5\n2,3.").unwrap();
        let mut follower = Follower::default();
        assert!(follower.poll(&Files::Disk, &paths).unwrap());
        assert_eq!(text(&follower, &path), "step,loss\n1,3.5\n");
        assert!(!follower.poll(&Files::Disk, &paths).unwrap());
        let before = follower.bytes_read();
        let mut file = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"4\n3,3.3\n").unwrap();
        drop(file);
        assert!(follower.poll(&Files::Disk, &paths).unwrap());
        assert_eq!(text(&follower, &path), "step,loss\n1,3.5\n2,3.4\n3,3.3\n");
        // The cut line again, and what came after it.
        assert_eq!(follower.bytes_read() - before, "2,3.4\n3,3.3\n".len() as u64);
    }

    #[test]
    fn a_rotated_file_is_read_from_its_beginning() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.csv");
        let paths = [path.clone()];
        let mut follower = Follower::default();
        std::fs::write(&path, "step,loss\n1,3.5\n2,3.4\n").unwrap();
        follower.poll(&Files::Disk, &paths).unwrap();
        std::fs::write(&path, "step,loss\n7,3.1\n").unwrap();
        assert!(follower.poll(&Files::Disk, &paths).unwrap());
        assert_eq!(text(&follower, &path), "step,loss\n7,3.1\n");
        // Longer than before, but another file.
        std::fs::write(&path, "iter,loss\n8,3.0\n9,2.9\n10,2.8\n").unwrap();
        assert!(follower.poll(&Files::Disk, &paths).unwrap());
        assert_eq!(text(&follower, &path), "iter,loss\n8,3.0\n9,2.9\n10,2.8\n");
    }

    #[test]
    fn a_file_that_was_empty_at_first_is_followed_line_by_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.csv");
        let paths = [path.clone()];
        let mut follower = Follower::default();
        std::fs::write(&path, "").unwrap();
        follower.poll(&Files::Disk, &paths).unwrap();
        std::fs::write(&path, "step,loss\n1,3.5\n2,3.").unwrap();
        assert!(follower.poll(&Files::Disk, &paths).unwrap());
        assert_eq!(text(&follower, &path), "step,loss\n1,3.5\n");
        assert!(follower.bytes_read() > 0);
    }

    #[test]
    fn of_a_long_text_the_ends_and_an_even_choice_are_held() {
        let mut lines = Lines::default();
        for i in 0..400_000_u64 {
            lines.push(format!("{i},3.0\n").as_bytes());
        }
        let text = String::from_utf8(lines.text()).unwrap();
        assert!(text.len() < HELD + 2_000, "{}", text.len());
        let numbers: Vec<u64> =
            text.lines().map(|line| line.split(',').next().unwrap().parse().unwrap()).collect();
        assert!(numbers[..64].iter().copied().eq(0..64));
        assert!(numbers[numbers.len() - 64..].iter().copied().eq(399_936..400_000));
        assert!(numbers.is_sorted_by(|a, b| a < b));
        // Every twentieth has its share.
        for part in 0..20 {
            let inside = numbers.iter().filter(|n| **n / 20_000 == part).count();
            assert!(inside * 20 * 2 > numbers.len() && inside * 20 < numbers.len() * 2, "{part}: {inside}");
        }
    }
}
