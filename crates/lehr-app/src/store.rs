//! Writing a run store: one writer at a time, both files replaced as a whole.

use crate::failure::Failure;
use crate::files::file_source;
use crate::out_file::Unfinished;
use lehr_io::Note;
use lehr_io::run_store::{FORMAT, MANIFEST, POINTS, StoreManifest, StoreWriter, unfinished};
use std::fs::{File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Holds the store against a second writer until it is dropped; the system lets go of it when a process dies.
fn lock(store: &Path) -> Result<File, Failure> {
    let path = store.join(".lock");
    let file = File::options().create(true).append(true).open(&path).map_err(Failure::at(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(Failure::new(format_args!("{}: another lehr is writing to this store", store.display()))
                .hint("wait until it is done and try again"))
        }
        Err(TryLockError::Error(error)) => Err(Failure::at(&path)(error)),
    }
}

/// The store as it is: its manifest, if there is a store.
fn existing(store: &Path, notes: &mut Vec<Note>) -> Result<Option<StoreManifest>, Failure> {
    let name = store.to_string_lossy();
    let manifest_path = store.join(MANIFEST);
    let manifest = match std::fs::read_to_string(&manifest_path) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(Failure::at(&manifest_path)(error)),
    };
    let points_path = store.join(POINTS);
    let points = points_path.exists().then(|| file_source(&points_path, 1, false)).transpose()?;
    let current = StoreManifest::current(&name, manifest.as_deref(), points.as_ref())?;
    match current {
        Some((manifest, is_copy)) => {
            if is_copy {
                notes.push(Note::new(
                    "manifest-behind",
                    name.as_ref(),
                    "the manifest was behind an interrupted write and is brought up to date",
                ));
            }
            if points.is_none() && !manifest.runs.is_empty() {
                return Err(Failure::new(format_args!(
                    "{name}: {POINTS} is missing, but the manifest names {} runs",
                    manifest.runs.len()
                ))
                .hint("restore the file, or write to a new store"));
            }
            Ok(Some(manifest))
        }
        None if manifest.is_some() || points.is_some() => Err(Failure::new(format_args!(
            "{name} holds files that are no run store: {MANIFEST} does not say format = \"{FORMAT}\""
        ))
        .hint("name another directory for the store")),
        None => Ok(None),
    }
}

/// Puts bytes that are on the disk in the place of a file.
fn commit(file: &File, temporary: &Path, path: &Path) -> Result<(), Failure> {
    file.sync_all().map_err(Failure::at(temporary))?;
    std::fs::rename(temporary, path).map_err(Failure::at(path))?;
    // The new name itself must reach the disk too; not every system lets a directory be opened.
    if let Some(directory) = path.parent().and_then(|parent| File::open(parent).ok()) {
        directory.sync_all().map_err(Failure::at(path))?;
    }
    Ok(())
}

/// A store that is being replaced; it is as it was until [`Replacement::commit`].
#[derive(Debug)]
pub struct Replacement {
    store: PathBuf,
    before: Option<StoreManifest>,
    temporary: Unfinished,
    _held: File,
}

impl Replacement {
    /// Makes the store's directory and keeps other writers out of it.
    ///
    /// # Errors
    /// [`Failure`] if another process writes to it, or if the directory holds something else.
    pub fn begin(store: &Path, notes: &mut Vec<Note>) -> Result<Self, Failure> {
        std::fs::create_dir_all(store).map_err(Failure::at(store))?;
        let held = lock(store)?;
        let before = existing(store, notes)?;
        let temporary = Unfinished::new(store.join(unfinished(POINTS)));
        Ok(Self { store: store.to_path_buf(), before, temporary, _held: held })
    }

    /// The store as it is, if there is one.
    #[must_use]
    pub fn before(&self) -> Option<&StoreManifest> {
        self.before.as_ref()
    }

    /// A writer of the next generation.
    ///
    /// # Errors
    /// [`Failure`] if the file cannot be made.
    pub fn writer(&self) -> Result<StoreWriter<File>, Failure> {
        let file = File::create(self.temporary.path()).map_err(Failure::at(self.temporary.path()))?;
        let generation = self.before.as_ref().map_or(1, |manifest| manifest.generation + 1);
        Ok(StoreWriter::new(&self.store.to_string_lossy(), file, generation)?)
    }

    /// Puts what was written in the store's place.
    ///
    /// # Errors
    /// [`Failure`] if the disk does not take it; the store is then as it was.
    pub fn commit(self, writer: StoreWriter<File>) -> Result<(), Failure> {
        let (file, manifest) = writer.finish()?;
        commit(&file, self.temporary.path(), &self.store.join(POINTS))?;
        let beside = Unfinished::new(self.store.join(unfinished(MANIFEST)));
        let mut file = File::create(beside.path()).map_err(Failure::at(beside.path()))?;
        file.write_all(manifest.as_bytes()).map_err(Failure::at(beside.path()))?;
        commit(&file, beside.path(), &self.store.join(MANIFEST))
    }
}
