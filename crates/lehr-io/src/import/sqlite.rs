//! SQLite files, read without touching them.
//!
//! The file is read into memory, and with it the write-ahead log beside it: a running job keeps its last rows there. No
//! lock is taken, nothing is written, no file of SQLite's own is made next to the user's.
//!
//! # Format
//! ```text
//! write-ahead log = header (32 bytes), then frames
//! header = 0x377f0682 or …83 · version · page size · sequence · salt 1 · salt 2 · checksum 1 · checksum 2   (u32 BE)
//! frame  = page number · pages after commit (0: no commit) · salt 1 · salt 2 · checksum 1 · checksum 2 · page
//! ```
//! Checksums run on from frame to frame; their words are little-endian for …82, big-endian for …83. Frames count up to the
//! last one that is whole, has the header's salts and is followed by (or is) a commit.
//!
//! # Source
//! "Database File Format", sqlite.org/fileformat2.html, sections 1.3 and 4.

use super::sqlite_files::{Part, part_of};
use crate::error::{Place, ReadError};
use crate::source::Source;
use rusqlite::{Connection, MAIN_DB, config::DbConfig};
use std::io::Read;

/// The largest database, with its log, that is read into memory.
const LARGEST: u64 = 2 << 30;
const WAL_HEADER: usize = 32;
const FRAME_HEADER: usize = 24;

fn broken(file: &str, problem: impl std::fmt::Display) -> ReadError {
    ReadError::Broken { file: file.to_owned(), place: Place::File, problem: problem.to_string() }
}

/// What SQLite says about a file.
pub(super) fn refused(file: &str) -> impl Fn(rusqlite::Error) -> ReadError {
    move |error| broken(file, format_args!("not a readable SQLite database: {error}"))
}

/// A database in memory, and the number of bytes that it has.
pub(super) fn open(sources: &[Source]) -> Result<(Connection, u64), ReadError> {
    let (mut database, mut log) = (None, None);
    for source in sources {
        let head = source.head(16).map_err(ReadError::io(source.name()))?;
        match part_of(source, &head) {
            Some((Part::Database, _)) => database = Some(source),
            Some((Part::WriteAheadLog, _)) => log = Some(source),
            Some((Part::Journal, name)) => {
                return Err(ReadError::Refused {
                    file: name.to_owned(),
                    why: format!(
                        "a transaction is open or was interrupted: {} holds pages to be put back",
                        source.name()
                    ),
                    hint: format!(
                        "wait for the writer, or make a copy: sqlite3 '{name}' \".backup copy.db\""
                    ),
                });
            }
            Some((Part::Index, _)) | None => {}
        }
    }
    let Some(database) = database else {
        let name = sources.first().map_or("", Source::name);
        return Err(broken(name, "a write-ahead log without its database; expected both in one directory"));
    };
    let name = database.name();
    // A writer may be at work: the log's salts and the database's count of changes tell whether both reads saw one state.
    let salts = |source: Option<&Source>| match source {
        Some(log) => log.head(WAL_HEADER as u64).map_err(ReadError::io(log.name())),
        None => Ok(Vec::new()),
    };
    let before = (salts(log)?, database.head(28).map_err(ReadError::io(name))?);
    let mut image = whole(database)?;
    let frames = log.map(whole).transpose()?.unwrap_or_default();
    let after = (salts(log)?, database.head(28).map_err(ReadError::io(name))?);
    if before != after {
        return Err(ReadError::Refused {
            file: name.to_owned(),
            why: "it was changed while it was read".to_owned(),
            hint: format!("run the command again, or read a copy: sqlite3 '{name}' \".backup copy.db\""),
        });
    }
    if image.len() < 100 {
        return Err(broken(name, format_args!("{} bytes; a database has at least 512", image.len())));
    }
    replay(log.map_or(name, Source::name), &mut image, &frames)?;
    // The log is part of the image now; marked as a database without one, it opens from memory.
    image[18] = 1;
    image[19] = 1;
    let error = refused(name);
    let mut connection = Connection::open_in_memory().map_err(&error)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true).map_err(&error)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false).map_err(&error)?;
    let length = image.len();
    connection.deserialize_read_exact(MAIN_DB, image.as_slice(), length, true).map_err(&error)?;
    connection.pragma_update(None, "cell_size_check", true).map_err(&error)?;
    Ok((connection, length as u64))
}

fn whole(source: &Source) -> Result<Vec<u8>, ReadError> {
    let mut bytes = Vec::new();
    let read = source.open().and_then(|reader| reader.take(LARGEST + 1).read_to_end(&mut bytes));
    read.map_err(ReadError::io(source.name()))?;
    if bytes.len() as u64 > LARGEST {
        return Err(ReadError::Refused {
            file: source.name().to_owned(),
            why: format!("the database is larger than {} GiB and would be held in memory", LARGEST >> 30),
            hint: "write the runs that matter to CSV (mlflow: `mlflow runs list` and search_runs; trackio: to Parquet) and read that"
                .to_owned(),
        });
    }
    Ok(bytes)
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// The running checksum of the write-ahead log; `bytes` are whole pairs of words.
fn checksum(bytes: &[u8], big: bool, (mut a, mut b): (u32, u32)) -> (u32, u32) {
    for pair in bytes.chunks_exact(8) {
        let words = [word(pair, 0), word(pair, 4)].map(|word| if big { word } else { word.swap_bytes() });
        a = a.wrapping_add(words[0]).wrapping_add(b);
        b = b.wrapping_add(words[1]).wrapping_add(a);
    }
    (a, b)
}

/// Puts the committed pages of a write-ahead log into the database's image.
fn replay(file: &str, image: &mut Vec<u8>, log: &[u8]) -> Result<(), ReadError> {
    if log.len() < WAL_HEADER {
        return Ok(());
    }
    let big = word(log, 0) & 1 == 1;
    let mut sum = checksum(&log[..24], big, (0, 0));
    if sum != (word(log, 24), word(log, 28)) {
        return Err(broken(file, "the checksum of the write-ahead log's header is wrong"));
    }
    let page = word(log, 8) as usize;
    let own = match u16::from_be_bytes([image[16], image[17]]) {
        1 => 1 << 16,
        size => usize::from(size),
    };
    if !(512..=1 << 16).contains(&page) || !page.is_power_of_two() {
        return Err(broken(
            file,
            format_args!("pages of {page} bytes; expected a power of two from 512 to 65536"),
        ));
    }
    if page != own {
        return Err(broken(
            file,
            format_args!("the write-ahead log has pages of {page} bytes, its database of {own}"),
        ));
    }
    let (salts, mut frames, mut committed, mut pages) = (&log[16..24], Vec::new(), 0, 0);
    for (i, frame) in log[WAL_HEADER..].chunks_exact(FRAME_HEADER + page).enumerate() {
        sum = checksum(&frame[FRAME_HEADER..], big, checksum(&frame[..8], big, sum));
        let number = word(frame, 0) as usize;
        if &frame[8..16] != salts || sum != (word(frame, 16), word(frame, 20)) || number == 0 {
            break;
        }
        frames.push((number, &frame[FRAME_HEADER..]));
        if word(frame, 4) > 0 {
            committed = i + 1;
            pages = word(frame, 4) as usize;
        }
    }
    if committed == 0 {
        return Ok(());
    }
    // A database grows by the pages in its log, so its new size cannot be larger than both together.
    if pages > image.len() / page + committed {
        return Err(broken(
            file,
            format_args!("the write-ahead log states {pages} pages, more than there are"),
        ));
    }
    image.resize(pages * page, 0);
    for (number, data) in &frames[..committed] {
        if let Some(place) = image.get_mut((number - 1) * page..number * page) {
            place.copy_from_slice(data);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_no_bytes_are_an_error() {
        let mut log = vec![0; WAL_HEADER + FRAME_HEADER];
        log[..4].copy_from_slice(&0x377f_0683_u32.to_be_bytes());
        let (a, b) = checksum(&log[..24], true, (0, 0));
        log[24..28].copy_from_slice(&a.to_be_bytes());
        log[28..32].copy_from_slice(&b.to_be_bytes());
        let error = replay("a", &mut vec![0; 4096], &log).unwrap_err().to_string();
        assert!(error.contains("power of two"), "{error}");
    }

    #[test]
    fn a_log_of_another_page_size_is_an_error() {
        let mut image = vec![0; 4096];
        image[16..18].copy_from_slice(&4096_u16.to_be_bytes());
        let mut log = vec![0; WAL_HEADER];
        log[..4].copy_from_slice(&0x377f_0683_u32.to_be_bytes());
        log[8..12].copy_from_slice(&512_u32.to_be_bytes());
        assert!(replay("a", &mut image.clone(), &log).unwrap_err().to_string().contains("header"));
        let (a, b) = checksum(&log[..24], true, (0, 0));
        log[24..28].copy_from_slice(&a.to_be_bytes());
        log[28..].copy_from_slice(&b.to_be_bytes());
        assert!(replay("a", &mut image, &log).unwrap_err().to_string().contains("512"));
    }
}
