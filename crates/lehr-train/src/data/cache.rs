//! Tokens made once and kept, under a name that is a hash of everything that decides them.

use super::documents::{self, Piece};
use super::input::{Input, cannot};
use super::npy;
use super::token_file::TokenFile;
use super::tokeniser::Tokeniser;
use crate::error::TrainError;
use rayon::prelude::*;
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Changes whenever the same input gives other tokens.
const VERSION: &str = "lehr tokens 1";

/// Bytes of text that are tokenised in parallel before they are written.
const BATCH: usize = 16 << 20;

/// Where tokens are kept if the user names no folder: the user's cache folder, or the system's temporary one.
pub(crate) fn folder() -> PathBuf {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("XDG_CACHE_HOME")
        .or_else(|| set("HOME").map(|home| home.join(".cache")))
        .unwrap_or_else(std::env::temp_dir)
        .join("lehr")
        .join("tokens")
}

/// What turns text into tokens.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Coding<'a> {
    /// Every byte is a token; documents are separated by a zero byte, which no text contains.
    Bytes,
    /// A tokenizer.
    Tokens(&'a Tokeniser),
}

impl Coding<'_> {
    fn end_of_text(self) -> Option<u32> {
        match self {
            Self::Bytes => Some(0),
            Self::Tokens(tokeniser) => tokeniser.end_of_text,
        }
    }

    fn token_bytes(self) -> usize {
        match self {
            Self::Bytes => 1,
            Self::Tokens(tokeniser) if tokeniser.vocabulary <= 1 << 16 => 2,
            Self::Tokens(_) => 4,
        }
    }

    fn encode(self, piece: &Piece) -> Result<Vec<u32>, TrainError> {
        let mut tokens = match self {
            Self::Bytes => piece.bytes.iter().map(|byte| u32::from(*byte)).collect(),
            Self::Tokens(tokeniser) => tokeniser.encode(&piece.place, &piece.bytes)?,
        };
        if piece.last {
            tokens.extend(self.end_of_text());
        }
        Ok(tokens)
    }
}

/// The tokens of a file, from the cache or made now.
pub(crate) fn tokens(
    input: &Input,
    column: Option<&str>,
    coding: Coding<'_>,
    folder: &Path,
) -> Result<TokenFile, TrainError> {
    let file = folder.join(format!("{}.npy", key(input, column, coding)?));
    // A file of this name that is cut off was not made by this program, which renames whole ones: it is made again.
    if let Ok(made) = TokenFile::npy(&file) {
        return Ok(made);
    }
    make(input, column, coding, folder, &file)?;
    TokenFile::npy(&file)
}

fn key(input: &Input, column: Option<&str>, coding: Coding<'_>) -> Result<String, TrainError> {
    let mut hash = Sha256::new();
    let mut part = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    part(VERSION.as_bytes());
    part(input.kind.name().as_bytes());
    part(column.unwrap_or_default().as_bytes());
    match coding {
        Coding::Bytes => part(b"bytes"),
        Coding::Tokens(tokeniser) => part(&tokeniser.hash),
    }
    let mut file = File::open(&input.path).map_err(cannot("read", &input.path))?;
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer).map_err(cannot("read", &input.path))? {
            0 => break,
            read => hash.update(&buffer[..read]),
        }
    }
    Ok(hash.finalize()[..20].iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Removes an unfinished file, whatever happens.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        // It is gone already where the write succeeded.
        drop(fs::remove_file(&self.0));
    }
}

fn make(
    input: &Input,
    column: Option<&str>,
    coding: Coding<'_>,
    folder: &Path,
    file: &Path,
) -> Result<(), TrainError> {
    fs::create_dir_all(folder).map_err(cannot("make", folder))?;
    // Another process may make the same file at the same time: each writes one of its own, and the last rename wins.
    let temporary = Temporary(file.with_extension(format!("{}.new", std::process::id())));
    let path = temporary.0.as_path();
    let mut output = BufWriter::new(File::create(path).map_err(cannot("write", path))?);
    let bytes = coding.token_bytes();
    output.write_all(&npy::header(bytes, 0)).map_err(cannot("write", path))?;
    let mut len = 0_u64;
    let mut flush = |pieces: &mut Vec<Piece>| -> Result<(), TrainError> {
        let encoded: Vec<Result<Vec<u32>, TrainError>> =
            pieces.par_iter().map(|piece| coding.encode(piece)).collect();
        pieces.clear();
        for tokens in encoded {
            let tokens = tokens?;
            len += tokens.len() as u64;
            for token in tokens {
                output.write_all(&token.to_le_bytes()[..bytes]).map_err(cannot("write", path))?;
            }
        }
        Ok(())
    };
    let (mut pieces, mut held) = (Vec::new(), 0);
    documents::for_each(input, column, &mut |piece| {
        held += piece.bytes.len();
        pieces.push(piece);
        if held >= BATCH {
            held = 0;
            flush(&mut pieces)?;
        }
        Ok(())
    })?;
    flush(&mut pieces)?;
    output.seek(SeekFrom::Start(0)).map_err(cannot("write", path))?;
    output.write_all(&npy::header(bytes, len)).map_err(cannot("write", path))?;
    let output = output.into_inner().map_err(|error| cannot("write", path)(error.into_error()))?;
    output.sync_all().map_err(cannot("write", path))?;
    fs::rename(path, file).map_err(cannot("write", file))
}
