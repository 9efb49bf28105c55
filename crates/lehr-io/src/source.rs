//! Something with a name that can be opened again and again: a file for the command, bytes for a test.

mod compressed;
#[cfg(feature = "parquet")]
mod in_places;

pub use compressed::Compression;
pub(crate) use compressed::ExpandError;

use bytes::Bytes;
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::sync::{Arc, Mutex, PoisonError};

/// A reader that can jump.
pub trait ReadSeek: Read + Seek + Send {}
impl<T: Read + Seek + Send> ReadSeek for T {}

type Open = dyn Fn() -> io::Result<Box<dyn ReadSeek>> + Send + Sync;

/// One input: its path (as errors name it), its length, and how to open it.
///
/// The crate itself opens no file; whoever makes the source says how.
#[derive(Clone)]
pub struct Source {
    name: String,
    /// Components of the path from the root on, where the working directory is known.
    full: Option<Arc<[String]>>,
    below: usize,
    found: bool,
    len: u64,
    open: Arc<Open>,
    compression: Option<Compression>,
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Source").field("name", &self.name).field("len", &self.len).finish_non_exhaustive()
    }
}

impl Source {
    /// A source at `name`, of `len` bytes, opened by `open`.
    ///
    /// `below` says how many of the path's last components lie below what the user named: 1 for a file that was named
    /// itself, more for one found inside a named directory (`found`). Run names are made of these components.
    pub fn new(
        name: impl Into<String>,
        len: u64,
        below: usize,
        found: bool,
        open: impl Fn() -> io::Result<Box<dyn ReadSeek>> + Send + Sync + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            full: None,
            below: below.max(1),
            found,
            len,
            open: Arc::new(open),
            compression: None,
        }
    }

    /// A source that holds its bytes.
    ///
    /// # Examples
    /// ```
    /// use lehr_io::Source;
    /// let source = Source::bytes("runs/a.csv", b"step,lr,loss\n1,0.1,2.5\n".to_vec());
    /// assert_eq!(source.name(), "runs/a.csv");
    /// ```
    #[must_use]
    pub fn bytes(name: impl Into<String>, bytes: Vec<u8>) -> Self {
        let bytes = Bytes::from(bytes);
        Self::new(name, bytes.len() as u64, 1, false, move || Ok(Box::new(Cursor::new(bytes.clone()))))
    }

    /// The same source with other bytes: those of it that were read already.
    #[must_use]
    pub fn with_bytes(self, bytes: Vec<u8>) -> Self {
        let bytes = Bytes::from(bytes);
        Self {
            len: bytes.len() as u64,
            open: Arc::new(move || Ok(Box::new(Cursor::new(bytes.clone())))),
            compression: None,
            ..self
        }
    }

    /// The same bytes under the path of the directory at `key`, one of the source's own: a run that is several files is
    /// named after it.
    pub(crate) fn named_after(&self, key: &str) -> Self {
        let gone = components(&self.name).count().saturating_sub(components(key).count());
        let full = match &self.full {
            Some(full) if gone == 0 => {
                let last = components(key).last().map(str::to_owned);
                Some(full[..full.len().saturating_sub(1)].iter().cloned().chain(last).collect())
            }
            Some(full) if full.len() > gone => Some(full[..full.len() - gone].into()),
            // The path of a directory without a name of its own: the file lends its name.
            _ if components(key).count() == 0 => Some(self.parts().into_iter().map(str::to_owned).collect()),
            _ => None,
        };
        Self { name: key.to_owned(), full, below: self.below.saturating_sub(gone).max(1), ..self.clone() }
    }

    /// The source with its whole path, as seen from the working directory: runs are then named alike however the
    /// path to them was written (`.`, `./x`, `..`, from the root).
    ///
    /// # Examples
    /// ```
    /// use lehr_io::Source;
    /// let source = Source::bytes("../b/x.csv", Vec::new()).under("/runs/a");
    /// assert_eq!(source.parts(), ["runs", "b", "x.csv"]);
    /// ```
    #[must_use]
    pub fn under(mut self, working_directory: &str) -> Self {
        let rooted = self.name.starts_with(['/', '\\']) || self.name.get(1..2) == Some(":");
        let start = if rooted { "" } else { working_directory };
        let mut full: Vec<String> = Vec::new();
        for part in components(start).chain(components(&self.name)) {
            if part == ".." {
                full.pop();
            } else {
                full.push(part.to_owned());
            }
        }
        self.full = (!full.is_empty()).then(|| full.into());
        self
    }

    /// The path as errors and notes name it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Length in bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there is no byte.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether the source was found inside a directory rather than named itself: then it may turn out to be
    /// something else than a log, which is said and passed over.
    #[must_use]
    pub fn found(&self) -> bool {
        self.found
    }

    /// Opens the source at its beginning.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(&self) -> io::Result<Box<dyn ReadSeek>> {
        (self.open)()
    }

    /// The same source, opened now and never again: whoever puts another file in its place does not change what is read.
    ///
    /// Its readers share what is open, each with a place of its own.
    ///
    /// # Errors
    /// What the system says.
    pub fn opened_once(&self) -> io::Result<Self> {
        let mut reader = self.open()?;
        let len = reader.seek(SeekFrom::End(0))?;
        let shared = Arc::new(Mutex::new(reader));
        let open: Arc<Open> = Arc::new(move || {
            Ok(Box::new(Shared { reader: Arc::clone(&shared), at: 0, len }) as Box<dyn ReadSeek>)
        });
        Ok(Self { len, open, ..self.clone() })
    }

    /// The first `n` bytes, or all of a shorter source.
    ///
    /// # Errors
    /// What the system says.
    pub fn head(&self, n: u64) -> io::Result<Vec<u8>> {
        let mut head = Vec::new();
        self.open()?.take(n).read_to_end(&mut head)?;
        Ok(head)
    }

    /// The path's components.
    #[must_use]
    pub fn parts(&self) -> Vec<&str> {
        match &self.full {
            Some(full) => full.iter().map(String::as_str).collect(),
            None => components(&self.name).collect(),
        }
    }

    /// How many of the last components lie below what the user named.
    #[must_use]
    pub fn below(&self) -> usize {
        self.below
    }

    /// The last component.
    #[must_use]
    pub fn file_name(&self) -> &str {
        match (components(&self.name).last(), &self.full) {
            (Some(last), _) => last,
            (None, Some(full)) => full.last().map_or("", String::as_str),
            (None, None) => "",
        }
    }

    /// The last component without the ending that says how it is compressed.
    #[must_use]
    pub fn plain_name(&self) -> &str {
        let name = self.file_name();
        match self.compression {
            None => name,
            Some(_) => [".gz", ".zst", ".zstd"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name),
        }
    }

    /// How the source is compressed, where it is expanded while it is read.
    #[must_use]
    pub fn compression(&self) -> Option<Compression> {
        self.compression
    }

    /// Everything before the last component; empty for a bare file name.
    #[must_use]
    pub fn directory(&self) -> &str {
        self.name.rfind(['/', '\\']).map_or("", |end| &self.name[..end])
    }

    /// The directory as a key that files of one run share: `.` for a bare file name.
    #[must_use]
    pub(crate) fn folder(&self) -> &str {
        match self.directory() {
            "" if self.name.starts_with('/') => "/",
            "" => ".",
            directory => directory,
        }
    }
}

/// The components of a path that say something.
pub(crate) fn components(path: &str) -> impl Iterator<Item = &str> {
    path.split(['/', '\\']).filter(|part| !part.is_empty() && *part != ".")
}

/// A place in a reader that several share.
struct Shared {
    reader: Arc<Mutex<Box<dyn ReadSeek>>>,
    at: u64,
    len: u64,
}

impl Read for Shared {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        reader.seek(SeekFrom::Start(self.at))?;
        let read = reader.read(buffer)?;
        self.at += read as u64;
        Ok(read)
    }
}

impl Seek for Shared {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let place = match to {
            SeekFrom::Start(place) => Some(place),
            SeekFrom::End(offset) => self.len.checked_add_signed(offset),
            SeekFrom::Current(offset) => self.at.checked_add_signed(offset),
        };
        self.at = place.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.at)
    }
}
