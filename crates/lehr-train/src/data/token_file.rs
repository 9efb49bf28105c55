//! Tokens in a file, read in places.

use super::input::{broken, cannot};
use crate::error::TrainError;
use rayon::prelude::*;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// How one token is stored. Multi-byte ones are little-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Width {
    U8,
    U16,
    U32,
    I32,
    I64,
}

impl Width {
    fn bytes(self) -> usize {
        match self {
            Self::U8 => 1,
            Self::U16 => 2,
            Self::U32 | Self::I32 => 4,
            Self::I64 => 8,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::U8 => "8-bit tokens",
            Self::U16 => "16-bit tokens",
            Self::U32 => "32-bit tokens",
            Self::I32 => "signed 32-bit tokens",
            Self::I64 => "signed 64-bit tokens",
        }
    }
}

/// A file of tokens. It stays open: another file put in its place changes nothing.
#[derive(Debug)]
pub(crate) struct TokenFile {
    path: PathBuf,
    file: Opened,
    offset: usize,
    len: u64,
    width: Width,
}

/// An open file that is read in places.
#[derive(Debug)]
struct Opened {
    file: File,
    /// Length and time of the last change when it was opened.
    len: u64,
    changed: Option<SystemTime>,
}

impl Opened {
    fn new(path: &Path) -> Result<Self, TrainError> {
        let file = File::open(path).map_err(cannot("read", path))?;
        let meta = file.metadata().map_err(cannot("read", path))?;
        if meta.len() == 0 {
            return Err(broken(path.display(), "the file is empty", "text or tokens; leave the file out"));
        }
        Ok(Self { file, len: meta.len(), changed: meta.modified().ok() })
    }

    /// The first bytes, or all of a shorter file.
    fn head(&self, path: &Path, most: usize) -> Result<Vec<u8>, TrainError> {
        let mut head = vec![0; self.len.min(most as u64) as usize];
        self.read(path, 0, &mut head)?;
        Ok(head)
    }

    /// Fills a buffer with the bytes from `from`.
    fn read(&self, path: &Path, from: u64, out: &mut [u8]) -> Result<(), TrainError> {
        let read = read_exact_at(&self.file, out, from);
        let meta = self.file.metadata().map_err(cannot("read", path))?;
        // A run must see the same tokens from its first update to its last.
        if meta.len() != self.len || meta.modified().ok() != self.changed {
            return Err(broken(
                path.display(),
                if meta.len() == self.len {
                    "the file was written to while it was in use".to_owned()
                } else {
                    format!("the file had {} bytes when it was opened and has {} now", self.len, meta.len())
                },
                "a file that stays as it is; restore it, and begin again or resume from a snapshot",
            ));
        }
        read.map_err(cannot("read", path))
    }
}

#[cfg(unix)]
fn read_exact_at(file: &File, out: &mut [u8], from: u64) -> std::io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, out, from)
}

#[cfg(windows)]
fn read_exact_at(file: &File, mut out: &mut [u8], mut from: u64) -> std::io::Result<()> {
    while !out.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, out, from)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            read => {
                from += read as u64;
                out = &mut out[read..];
            }
        }
    }
    Ok(())
}

/// First word of llm.c's files of 16-bit (GPT-2) and 32-bit (Llama 3) tokens: a header of 256 such words.
const LLM_C_HEADERS: [(u32, Width); 2] = [(20_240_520, Width::U16), (20_240_801, Width::U32)];
const LLM_C_HEADER_BYTES: usize = 1024;

fn word(bytes: &[u8], index: usize) -> Option<u32> {
    let bytes = bytes.get(4 * index..4 * index + 4)?;
    Some(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
}

impl TokenFile {
    /// The bytes of a text as tokens.
    pub(crate) fn text(path: &Path) -> Result<Self, TrainError> {
        let file = Opened::new(path)?;
        let head = file.head(path, 1 << 16)?;
        if let Some(at) = head.iter().position(|byte| *byte == 0) {
            return Err(super::documents::binary(path, at as u64));
        }
        let len = file.len;
        Ok(Self { path: path.to_path_buf(), file, offset: 0, len, width: Width::U8 })
    }

    /// A `.bin` file: 16-bit tokens (nanoGPT), or `stated` bits, or what llm.c's header says.
    pub(crate) fn bin(path: &Path, stated: Option<u32>) -> Result<Self, TrainError> {
        let file = Opened::new(path)?;
        let head = file.head(path, LLM_C_HEADER_BYTES)?;
        let stated = match stated {
            None => None,
            Some(16) => Some(Width::U16),
            Some(32) => Some(Width::U32),
            Some(other) => return Err(TrainError::config("data.bits", other, "16 or 32")),
        };
        let recognised = word(&head, 0)
            .and_then(|first| LLM_C_HEADERS.into_iter().find(|(magic, _)| *magic == first))
            .filter(|_| file.len > LLM_C_HEADER_BYTES as u64);
        let (width, offset, count) = match (recognised, stated) {
            (Some((_, width)), Some(stated)) if width != stated => {
                return Err(broken(
                    path.display(),
                    format!("the header says {}, the configuration {}", width.name(), stated.name()),
                    "data.bits that agrees, or none",
                ));
            }
            (Some((_, width)), _) => (width, LLM_C_HEADER_BYTES, word(&head, 2).map(u64::from)),
            (None, stated) => (stated.unwrap_or(Width::U16), 0, None),
        };
        let bytes = file.len - offset as u64;
        if !bytes.is_multiple_of(width.bytes() as u64) {
            return Err(broken(
                path.display(),
                format!("{bytes} bytes of tokens"),
                format!(
                    "a multiple of {} ({}); the file is cut off, or data.bits is wrong",
                    width.bytes(),
                    width.name()
                ),
            ));
        }
        let len = bytes / width.bytes() as u64;
        if let Some(count) = count
            && count != len
        {
            return Err(broken(
                path.display(),
                format!("the header promises {count} tokens and {len} follow"),
                "a whole file; write it again",
            ));
        }
        Ok(Self { path: path.to_path_buf(), file, offset, len, width })
    }

    /// A `.npy` file with one axis of whole numbers.
    pub(crate) fn npy(path: &Path) -> Result<Self, TrainError> {
        let file = Opened::new(path)?;
        let head = file.head(path, super::npy::MOST_HEADER_BYTES)?;
        let header = super::npy::Header::parse(&path.display().to_string(), &head, file.len)?;
        Ok(Self {
            path: path.to_path_buf(),
            offset: header.offset,
            len: header.len,
            width: header.width,
            file,
        })
    }

    /// Number of tokens.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    fn bytes(&self, from: u64, count: usize) -> Result<Vec<u8>, TrainError> {
        let width = self.width.bytes();
        let mut bytes = vec![0; count * width];
        self.file.read(&self.path, self.offset as u64 + from * width as u64, &mut bytes)?;
        Ok(bytes)
    }

    /// Writes the tokens from `from` to `out`, and checks that each is below `vocabulary`.
    pub(crate) fn read(&self, from: u64, out: &mut [u32], vocabulary: u32) -> Result<(), TrainError> {
        let bytes = self.bytes(from, out.len())?;
        // A token that does not fit 32 bits becomes the largest number, which no vocabulary allows.
        match self.width {
            Width::U8 => out.iter_mut().zip(&bytes).for_each(|(token, byte)| *token = (*byte).into()),
            Width::U16 => out
                .iter_mut()
                .zip(bytes.as_chunks::<2>().0)
                .for_each(|(token, bytes)| *token = u16::from_le_bytes(*bytes).into()),
            Width::U32 => out
                .iter_mut()
                .zip(bytes.as_chunks::<4>().0)
                .for_each(|(token, bytes)| *token = u32::from_le_bytes(*bytes)),
            Width::I32 => out.iter_mut().zip(bytes.as_chunks::<4>().0).for_each(|(token, bytes)| {
                *token = u32::try_from(i32::from_le_bytes(*bytes)).unwrap_or(u32::MAX)
            }),
            Width::I64 => out.iter_mut().zip(bytes.as_chunks::<8>().0).for_each(|(token, bytes)| {
                *token = u32::try_from(i64::from_le_bytes(*bytes)).unwrap_or(u32::MAX)
            }),
        }
        match out.iter().position(|token| *token >= vocabulary) {
            None => Ok(()),
            Some(at) => Err(broken(
                format_args!("{}: token {}", self.path.display(), from + at as u64),
                self.shown(from + at as u64)?,
                format!(
                    "a token below the vocabulary {vocabulary}; set the vocabulary, or data.bits for a .bin file"
                ),
            )),
        }
    }

    fn shown(&self, at: u64) -> Result<String, TrainError> {
        let bytes = self.bytes(at, 1)?;
        Ok(match (self.width, bytes.as_slice()) {
            (Width::I32, &[a, b, c, d]) => i32::from_le_bytes([a, b, c, d]).to_string(),
            (Width::I64, bytes) => bytes
                .as_chunks::<8>()
                .0
                .first()
                .map_or_else(String::new, |bytes| i64::from_le_bytes(*bytes).to_string()),
            (_, bytes) => {
                bytes.iter().rev().fold(0_u64, |value, byte| value << 8 | u64::from(*byte)).to_string()
            }
        })
    }

    /// The largest token, found by reading all of them in parallel.
    pub(crate) fn largest(&self) -> Result<u32, TrainError> {
        const BLOCK: u64 = 1 << 16;
        // In order, so that of several errors the first is reported.
        let blocks: Vec<Result<u32, TrainError>> = (0..self.len.div_ceil(BLOCK))
            .into_par_iter()
            .map(|block| {
                let from = block * BLOCK;
                let mut tokens = vec![0; BLOCK.min(self.len - from) as usize];
                self.read(from, &mut tokens, 1 << 20)?;
                Ok(tokens.into_iter().max().unwrap_or(0))
            })
            .collect();
        blocks.into_iter().try_fold(0, |largest, block| Ok(largest.max(block?)))
    }
}
