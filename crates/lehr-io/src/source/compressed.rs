//! Compressed sources: gzip and Zstandard, expanded while they are read.
//!
//! Nothing is written and only a window is held, so that a log of any size can be read. What expands beyond all measure (a
//! "zip bomb") is refused.

use super::{ReadSeek, Source};
use std::io::{self, BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// How a source is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// gzip, of one or several members.
    Gzip,
    /// Zstandard, of one or several frames.
    Zstd,
}

/// So much is expanded whatever the ratio.
const FREE: u64 = 64 << 20;
/// Beyond that, at most so many bytes a compressed byte: ten times what logs reach.
const MOST: u64 = 200;
/// The largest window of Zstandard that is held, as a power of two.
const WINDOW: u32 = 27;
/// A guess of the expanded length, for what needs only its order of magnitude.
const TYPICAL: u64 = 6;

impl Compression {
    /// What the first bytes say; `None`: not compressed in a known way.
    ///
    /// # Examples
    /// ```
    /// use lehr_io::source::Compression;
    /// assert_eq!(Compression::of(b"\x1f\x8b\x08\x00"), Some(Compression::Gzip));
    /// assert_eq!(Compression::of(b"step,lr,loss"), None);
    /// ```
    #[must_use]
    pub fn of(head: &[u8]) -> Option<Self> {
        match head {
            [0x1f, 0x8b, 8, ..] => Some(Self::Gzip),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Self::Zstd),
            _ => None,
        }
    }
}

/// Why compressed data could not be expanded; travels inside an [`io::Error`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ExpandError {
    #[error("it expands to more than {MOST} times its size ({} MiB from {} KiB); expected a log", .expanded >> 20, .read >> 10)]
    Bomb { expanded: u64, read: u64 },
    #[error("the compressed data break off after {} expanded bytes", .0)]
    CutOff(u64),
    #[error("the compressed data are broken after {0} expanded bytes: {1}")]
    Broken(u64, String),
}

impl ExpandError {
    /// What to do about it.
    pub(crate) fn hint(&self) -> &'static str {
        match self {
            Self::Bomb { .. } => {
                "if it is a log, expand it yourself (gzip -d, zstd -d) and read what comes out: plain files have no such limit"
            }
            Self::CutOff(_) => {
                "a job may be writing it: wait, or save what is there (gzip -dc FILE > log) and read that"
            }
            Self::Broken(..) => "restore the file from where it was written",
        }
    }
}

/// Counts the bytes that the decoder takes.
struct Counted<R> {
    inner: R,
    read: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.read.fetch_add(n as u64, Relaxed);
        Ok(n)
    }
}

struct Expanded {
    decoder: Box<dyn Read + Send>,
    read: Arc<AtomicU64>,
    expanded: u64,
}

impl Read for Expanded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let told = |error| io::Error::new(ErrorKind::InvalidData, error);
        let n = self.decoder.read(buffer).map_err(|error| match error.kind() {
            ErrorKind::Interrupted => error,
            ErrorKind::UnexpectedEof => told(ExpandError::CutOff(self.expanded)),
            _ if error.to_string().contains("incomplete frame") => told(ExpandError::CutOff(self.expanded)),
            _ => told(ExpandError::Broken(self.expanded, error.to_string())),
        })?;
        self.expanded += n as u64;
        if self.expanded > FREE && self.expanded / MOST > self.read.load(Relaxed) {
            return Err(told(ExpandError::Bomb { expanded: self.expanded, read: self.read.load(Relaxed) }));
        }
        Ok(n)
    }
}

impl Seek for Expanded {
    fn seek(&mut self, _to: SeekFrom) -> io::Result<u64> {
        Err(io::Error::new(ErrorKind::Unsupported, "a compressed file is read from its beginning to its end"))
    }
}

impl Source {
    /// The same source, expanded while it is read.
    #[must_use]
    pub(crate) fn expanded(&self, compression: Compression) -> Self {
        let inner = self.clone();
        let open = move || -> io::Result<Box<dyn ReadSeek>> {
            let read = Arc::new(AtomicU64::new(0));
            let counted = Counted { inner: inner.open()?, read: Arc::clone(&read) };
            let decoder: Box<dyn Read + Send> = match compression {
                Compression::Gzip => {
                    Box::new(flate2::bufread::MultiGzDecoder::new(BufReader::with_capacity(1 << 16, counted)))
                }
                Compression::Zstd => {
                    let mut decoder = zstd::Decoder::new(counted)?;
                    decoder.window_log_max(WINDOW)?;
                    Box::new(decoder)
                }
            };
            Ok(Box::new(Expanded { decoder, read, expanded: 0 }))
        };
        Self {
            len: self.len.saturating_mul(TYPICAL),
            open: Arc::new(open),
            compression: Some(compression),
            ..self.clone()
        }
    }
}
