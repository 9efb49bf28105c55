//! Fits that answer a question about logs: made once, read again as long as logs, options and program are the same.

use crate::answer::Answer;
use crate::desk::Desk;
use crate::failure::Failure;
use crate::fit::{FitRequest, held_points, to_file};
use crate::writing::write_file;
use lehr::fit::{FIT_FORMAT, Fit};
use lehr_io::Note;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::io::Read;
use std::path::{Path, PathBuf};

/// Where fits are kept, and by which program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FitCache {
    /// The folder; it is made when the first fit is kept.
    pub folder: PathBuf,
    /// What tells one build of the program from another: a fit is not read by a build that did not make it.
    pub program: String,
}

/// A fit as it is kept: the notes of the reading come with it.
#[derive(Deserialize)]
struct Kept {
    fit: Fit,
    notes: Vec<Note>,
}

/// Whether a path names a fit rather than logs: a JSON document with a format and a law.
fn is_fit(text: &str) -> bool {
    #[derive(Deserialize)]
    struct Head {
        #[serde(rename = "format")]
        _format: u64,
        #[serde(rename = "law")]
        _law: String,
    }
    serde_json::from_str::<Head>(text).is_ok()
}

impl Desk {
    /// Whether the only path is a fit file rather than a log: its name ends in `.json` and it holds a fit, or what is no log
    /// either.
    ///
    /// # Errors
    /// [`Failure`] if the path is not there.
    pub fn names_a_fit(&self, paths: &[PathBuf]) -> Result<bool, Failure> {
        let [path] = paths else { return Ok(false) };
        self.is_a_fit(path)
    }

    /// Whether a path is a fit file: its name ends in `.json` and it holds a fit.
    ///
    /// # Errors
    /// [`Failure`] if the path is not there.
    pub(crate) fn is_a_fit(&self, path: &Path) -> Result<bool, Failure> {
        if !path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("json")) {
            return Ok(false);
        }
        let source = self.files().source(path)?;
        let head = source.head(4096).map_err(Failure::at(path))?;
        // A log in JSON begins with a record or a list of them; a fit is one object that names its format first.
        let text = String::from_utf8_lossy(&head);
        Ok(is_fit_head(&text) || self.files().text(path).is_ok_and(|text| is_fit(&text)))
    }

    /// The fit of logs: a kept one where nothing that it depends on has changed, else a new one, which is kept.
    ///
    /// A kept fit is found by the SHA-256 of the bytes of every file read, their names, the options of reading and fitting,
    /// the law, and the program; so it is never older than what it was made of.
    ///
    /// # Errors
    /// As [`Desk::fit`]. A folder that cannot be written is a note.
    pub fn fit_of_logs(
        &self,
        request: &FitRequest,
        cache: Option<&FitCache>,
    ) -> Result<Answer<Fit>, Failure> {
        let Some(cache) = cache else {
            return Ok(self.fit(request)?.map(|answer| answer.fit));
        };
        let key = self.key(request, cache)?;
        let path = cache.folder.join(format!("{key}.json"));
        let folder = cache.folder.display().to_string();
        if let Ok(text) = std::fs::read_to_string(&path)
            && let Ok(Kept { fit, mut notes }) = serde_json::from_str(&text)
        {
            notes.push(Note::new(
                "kept-fit",
                folder,
                "the fit of these logs, kept there from before ([[no_cache]] fits anew)",
            ));
            let caveats = fit.caveats.clone();
            return Ok(Answer { value: fit, caveats, notes });
        }
        let mut answer = self.fit(request)?.map(|answer| answer.fit);
        answer.notes.push(match keep(&path, &answer) {
            Ok(()) => Note::new(
                "kept-fit",
                folder,
                "the fit is kept there and read again while logs, options and program are the same",
            ),
            Err(failure) => Note::new("kept-fit", folder, format!("the fit is not kept: {failure}")),
        });
        Ok(answer)
    }

    /// What a fit depends on, as a name.
    fn key(&self, request: &FitRequest, cache: &FitCache) -> Result<String, Failure> {
        let reading = &request.reading;
        let mut hash = Sha256::new();
        let mut add = |name: &str, bytes: &[u8]| {
            hash.update((name.len() as u64).to_le_bytes());
            hash.update(name.as_bytes());
            hash.update((bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        };
        add("program", cache.program.as_bytes());
        add("format", &FIT_FORMAT.to_le_bytes());
        add("law", request.law.name().as_bytes());
        add("options", serde_json::to_string(&request.options)?.as_bytes());
        add("held", format!("{:?}", held_points(&request.options)).as_bytes());
        // A manifest in the options is a source; its bytes are added below.
        let manifest = reading.options.manifest.clone();
        let options = lehr_io::ReadOptions { manifest: None, ..reading.options.clone() };
        add("reading", format!("{options:?}").as_bytes());
        let named = reading.manifest.as_deref().map(|path| self.files().source(path)).transpose()?;
        let sources = self.files().sources(&reading.paths)?;
        for source in named.iter().chain(&manifest).chain(&sources) {
            self.check_cancelled()?;
            add("file", source.name().as_bytes());
            let mut of_file = Sha256::new();
            let mut reader = source.open().map_err(Failure::at(Path::new(source.name())))?;
            let mut buffer = vec![0; 1 << 16];
            loop {
                let n = reader.read(&mut buffer).map_err(Failure::at(Path::new(source.name())))?;
                if n == 0 {
                    break;
                }
                of_file.update(&buffer[..n]);
            }
            add("bytes", &of_file.finalize());
        }
        Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

fn is_fit_head(text: &str) -> bool {
    let compact: String = text.chars().filter(|c| !c.is_whitespace()).take(64).collect();
    compact.starts_with("{\"format\":") || compact.starts_with("{\"schema\":\"lehr.fit")
}

fn keep(path: &Path, answer: &Answer<Fit>) -> Result<(), Failure> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(Failure::at(folder))?;
    }
    let text = format!(
        "{{\"fit\":{},\"notes\":{}}}\n",
        to_file(&answer.value)?,
        serde_json::to_string(&answer.notes)?
    );
    write_file(path, text.as_bytes())
}
