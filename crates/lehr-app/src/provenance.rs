//! Of which files a fit was made, and whether they have changed since.

use crate::desk::Desk;
use crate::failure::Failure;
use crate::files::Files;
use crate::reading::Reading;
use lehr::fit::{Fit, Input};
use lehr::{Caveat, CaveatKind};
use lehr_io::{Note, Source};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::io::Read;
use std::path::Path;

/// Bytes read at a time.
const CHUNK: usize = 1 << 16;
/// Bytes that are hashed at most to see whether files have changed; beyond, their lengths alone are compared, so that an answer is not
/// kept waiting.
const MOST_HASHED: u64 = 256 << 20;

fn sha256(source: &Source) -> std::io::Result<(u64, String)> {
    let mut reader = source.open()?;
    let mut hash = Sha256::new();
    let mut chunk = vec![0; CHUNK];
    let mut bytes = 0;
    loop {
        let read = reader.read(&mut chunk)?;
        if read == 0 {
            break;
        }
        bytes += read as u64;
        hash.update(&chunk[..read]);
    }
    let mut text = String::with_capacity(64);
    for byte in hash.finalize() {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    Ok((bytes, text))
}

impl Desk {
    /// Names, lengths and hashes of the files that a reading reads, in its order; without those that its notes say were passed over.
    ///
    /// # Errors
    /// [`Failure`] for a file that cannot be read.
    pub fn inputs(&self, reading: &Reading, notes: &[Note]) -> Result<Vec<Input>, Failure> {
        let mut sources = self.files().sources(&reading.paths)?;
        let skipped =
            |name: &str| notes.iter().any(|n| n.code == "skipped-file" && n.message.starts_with(name));
        sources.retain(|source| !skipped(source.name()));
        if let Some(manifest) = &reading.manifest {
            sources.push(self.files().source(manifest)?);
        }
        sources
            .iter()
            .map(|source| {
                self.check_cancelled()?;
                let (bytes, sha256) = sha256(source).map_err(Failure::at(Path::new(source.name())))?;
                Ok(Input { path: source.name().to_owned(), bytes, sha256 })
            })
            .collect()
    }

    /// A caveat where files of which a fit was made are there and are others by now.
    ///
    /// Files that are not there are no news: a fit travels without its logs.
    #[must_use]
    pub fn changed_inputs(&self, fit: &Fit) -> Option<Caveat> {
        let made = fit.made.as_ref()?;
        let all: u64 = made.inputs.iter().map(|input| input.bytes).sum();
        let changed: Vec<&str> = made
            .inputs
            .iter()
            .filter(|input| {
                let path = Path::new(&input.path);
                if matches!(self.files(), Files::Disk) && !path.is_file() {
                    return false;
                }
                let Ok(source) = self.files().source(path) else { return false };
                source.len() != input.bytes
                    || all <= MOST_HASHED && sha256(&source).is_ok_and(|(_, hash)| hash != input.sha256)
            })
            .map(|input| input.path.as_str())
            .collect();
        (!changed.is_empty()).then(|| {
            CaveatKind::InputsChanged {
                files: changed.iter().map(|name| (*name).to_owned()).collect(),
                of: made.inputs.len() as u64,
                since: made.date.clone(),
            }
            .into()
        })
    }
}
