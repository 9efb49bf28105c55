//! Something with a name that can be opened again and again: a file for the command, bytes for a test.

mod compressed;

pub use compressed::Compression;
pub(crate) use compressed::ExpandError;

use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};
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
        Self { name: name.into(), below: below.max(1), found, len, open: Arc::new(open), compression: None }
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

    /// The same bytes under the path of the directory at `key`, one of the source's own: a run that is several files is
    /// named after it.
    pub(crate) fn named_after(&self, key: &str) -> Self {
        let gone = self
            .parts()
            .len()
            .saturating_sub(key.split(['/', '\\']).filter(|part| !part.is_empty() && *part != ".").count());
        Self { name: key.to_owned(), below: self.below.saturating_sub(gone).max(1), ..self.clone() }
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
        self.name.split(['/', '\\']).filter(|part| !part.is_empty() && *part != ".").collect()
    }

    /// How many of the last components lie below what the user named.
    #[must_use]
    pub fn below(&self) -> usize {
        self.below
    }

    /// The last component.
    #[must_use]
    pub fn file_name(&self) -> &str {
        self.parts().last().copied().unwrap_or_default()
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

impl Length for Source {
    fn len(&self) -> u64 {
        self.len
    }
}

impl ChunkReader for Source {
    type T = io::BufReader<Box<dyn ReadSeek>>;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Self::T> {
        let mut reader = self.open().map_err(|error| ParquetError::External(Box::new(error)))?;
        reader.seek(SeekFrom::Start(start))?;
        Ok(io::BufReader::new(reader))
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        let mut reader = self.open().map_err(|error| ParquetError::External(Box::new(error)))?;
        reader.seek(SeekFrom::Start(start))?;
        let mut buffer = Vec::with_capacity(length.min(1 << 26));
        reader.take(length as u64).read_to_end(&mut buffer)?;
        if buffer.len() < length {
            return Err(ParquetError::EOF(format!(
                "expected {length} bytes at byte {start}, found {}",
                buffer.len()
            )));
        }
        Ok(buffer.into())
    }
}
