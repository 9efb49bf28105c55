//! Which files belong to an SQLite database, by their names and first bytes.
//!
//! # Source
//! "Database File Format", sqlite.org/fileformat2.html, sections 1.3 and 4.

use crate::source::Source;

/// What every database begins with.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";
const JOURNAL: [u8; 8] = [0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7];
/// What the index of a write-ahead log begins with.
const INDEX_VERSION: u32 = 3_007_000;
/// What a file is to a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Database,
    /// Committed pages that are not in the database yet.
    WriteAheadLog,
    /// Pages to be put back after an interruption.
    Journal,
    /// Nothing that is needed for reading.
    Index,
}

/// What a file is by its first bytes, and the path of its database.
pub(super) fn part_of<'a>(source: &'a Source, head: &[u8]) -> Option<(Part, &'a str)> {
    if head.starts_with(MAGIC) {
        return Some((Part::Database, source.name()));
    }
    let number = |bytes: &[u8]| Some(u32::from_be_bytes(bytes.get(..4)?.try_into().ok()?));
    if let Some(name) = source.name().strip_suffix("-wal") {
        // An empty one is left where everything has been put in place.
        let is_one = head.is_empty() || number(head).is_some_and(|magic| magic & !1 == 0x377f_0682);
        return is_one.then_some((Part::WriteAheadLog, name));
    }
    if let Some(name) = source.name().strip_suffix("-shm") {
        let is_one =
            number(head).is_some_and(|version| [version, version.swap_bytes()].contains(&INDEX_VERSION));
        return is_one.then_some((Part::Index, name));
    }
    let name = source.name().strip_suffix("-journal")?;
    match head {
        head if head.starts_with(&JOURNAL) => Some((Part::Journal, name)),
        // Done with: emptied, or its header overwritten.
        head if head.iter().take(JOURNAL.len()).all(|&byte| byte == 0) => Some((Part::Index, name)),
        _ => None,
    }
}
