//! Logs that grow: a cursor a file, so that a poll reads what is new and no more.
//!
//! ```text
//! kind of file                        a poll reads
//! text of lines (CSV, JSON lines, …)  the lines that were completed since; the last line, if it has no end yet, waits
//! anything else (events, databases)   nothing while size and time stay; the whole file when it is looked at
//! ```
//!
//! A file that is shorter than before, or begins otherwise, was rotated or written anew: it is read from its beginning. Of a
//! long text the first lines, the last lines and an even choice of blocks of lines are held, so that memory stays bounded.

use crate::failure::Failure;
use crate::files::Files;
use lehr_io::Source;
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
    /// `None`: no text of lines.
    text: Option<Lines>,
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
    fn holds(&self, line: u64) -> bool {
        let hash = (line / BLOCK).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        line < FIRST || hash.is_multiple_of(self.stride.max(1))
    }

    fn push(&mut self, line: &[u8]) {
        let number = self.seen;
        self.seen += 1;
        // The oldest line lends its memory to the newest.
        let mut room =
            if self.last.len() < LAST { Vec::new() } else { self.last.pop_front().unwrap_or_default().1 };
        room.clear();
        room.extend_from_slice(line);
        self.last.push_back((number, room));
        if self.holds(number) {
            self.bytes += line.len();
            self.kept.insert(number, line.into());
        }
        if self.bytes > HELD {
            self.stride = self.stride.max(1) * 2;
            let kept = std::mem::take(&mut self.kept);
            self.kept = kept.into_iter().filter(|(number, _)| self.holds(*number)).collect();
            self.bytes = self.kept.values().map(|line| line.len()).sum();
        }
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
            .map(|source| match self.files.get(source.name()).and_then(|file| file.text.as_ref()) {
                Some(lines) => source.with_bytes(lines.text()),
                None => source,
            })
            .collect())
    }

    /// Bytes read so far.
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
        let known = self.files.get(&name).is_some_and(|file| same(file, &meta, &head));
        if !known {
            let text = is_lines(&name, &head).then(Lines::default);
            let new = Followed { at: 0, length: 0, modified: None, head: Vec::new(), text };
            self.files.insert(name.clone(), new);
        }
        let Some(file) = self.files.get_mut(&name) else { return Ok(false) };
        file.head = head;
        (file.length, file.modified) = (meta.len(), modified);
        if let Some(lines) = &mut file.text {
            let (at, read) = follow(&mut opened, file.at, lines).map_err(Failure::at(path))?;
            file.at = at;
            self.read += read;
        }
        Ok(true)
    }
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

/// Reads complete lines from a place on: the place after the last of them, and the bytes read.
fn follow(file: &mut File, at: u64, lines: &mut Lines) -> std::io::Result<(u64, u64)> {
    file.seek(SeekFrom::Start(at))?;
    let (mut at, mut read) = (at, 0);
    let mut rest: Vec<u8> = Vec::new();
    let mut chunk = vec![0; CHUNK];
    loop {
        let filled = fill(file, &mut chunk)?;
        read += filled as u64;
        rest.extend_from_slice(&chunk[..filled]);
        let mut start = 0;
        while let Some(end) = rest[start..].iter().position(|byte| *byte == b'\n') {
            lines.push(&rest[start..=start + end]);
            start += end + 1;
        }
        at += start as u64;
        rest.drain(..start);
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
