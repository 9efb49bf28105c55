//! Logs → run store.

use crate::answer::{Answer, add_caveats};
use crate::desk::Desk;
use crate::documents::Document;
use crate::failure::Failure;
use crate::files::file_source;
use crate::reading::Reading;
use crate::store::Replacement;
use lehr::Caveat;
use lehr_io::Note;
use lehr_io::run_store::POINTS;
use serde::Serialize;
use std::collections::BTreeSet;
use std::path::PathBuf;

/// What to keep where.
#[derive(Debug, Clone)]
pub struct ImportRequest {
    /// The logs.
    pub reading: Reading,
    /// Directory of the run store; made if it is not there.
    pub store: PathBuf,
    /// Put a run in the place of one of the same name, instead of refusing it.
    pub replace: bool,
}

/// What was kept.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
pub struct ImportAnswer {
    /// Directory of the run store.
    pub store: String,
    /// Runs that are new in it.
    pub added: Vec<String>,
    /// Runs that took the place of one of the same name.
    pub replaced: Vec<String>,
    /// Runs in the store now.
    pub runs: usize,
    /// Points that were added.
    pub points: u64,
    /// What was done with the data or passed over.
    pub notes: Vec<Note>,
    /// What to beware of in the runs.
    pub caveats: Vec<Caveat>,
}

impl Document for ImportAnswer {
    const SCHEMA: &'static str = "lehr.import/1";
}

impl Desk {
    /// Reads logs once and keeps their runs in a run store. An interruption leaves the store as it was.
    ///
    /// # Errors
    /// [`Failure`] for logs that cannot be read, runs that are there already, and a store that cannot be written.
    pub fn import(&self, request: &ImportRequest) -> Result<Answer<ImportAnswer>, Failure> {
        let store = request.store.as_path();
        let name = store.to_string_lossy().into_owned();
        let mut notes = Vec::new();
        let replacement = Replacement::begin(store, &mut notes)?;
        let mut writer = replacement.writer()?;
        let before = replacement.before();
        let (mut added, mut replaced, mut points, mut caveats) = (Vec::new(), Vec::new(), 0, Vec::new());
        let summary = self.for_each_run(&request.reading, &mut |run| {
            let id = run.curve.meta().id.clone();
            let there = before.is_some_and(|manifest| manifest.runs.contains_key(&id));
            if there && !request.replace {
                return Err(Failure::new(format_args!("{name}: it has a run '{id}' already"))
                    .hint("[[replace]] puts the new run in its place; [[run]] GLOB leaves it out"));
            }
            writer.push(&run.curve, &run.file)?;
            points += run.curve.step().len() as u64;
            add_caveats(&mut caveats, run.caveats);
            if there {
                replaced.push(id);
            } else {
                added.push(id);
            }
            Ok(())
        })?;
        if let Some(manifest) = before {
            let old = file_source(&store.join(POINTS), 1, false)?;
            // Rows may be there of a run that the manifest does not name: they are replaced, too, or refused.
            let new: BTreeSet<&str> = added.iter().chain(&replaced).map(String::as_str).collect();
            writer.copy(&old, manifest, &|id| !request.replace || !new.contains(id))?;
        }
        let runs = writer.names().count();
        replacement.commit(writer)?;
        notes.extend(summary.notes);
        let of_data = notes.iter().filter(|note| note.code != "mapping").cloned().collect();
        let value = ImportAnswer {
            store: name,
            added,
            replaced,
            runs,
            points,
            notes: of_data,
            caveats: caveats.clone(),
        };
        Ok(Answer { value, caveats, notes })
    }
}
