//! What can be explored: the fit that the server was started with, and those made of files dropped onto the page.

use super::Start;
use lehr::Curve;
use lehr::fit::{Fit, FitOptions};
use lehr_app::report::lines::hashed;
use lehr_app::{Failure, Files, Reading};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Most fits held besides the first; the oldest goes.
const MOST_ITEMS: usize = 24;
/// Most trays of dropped files; the oldest goes.
const MOST_TRAYS: usize = 8;
/// Most files a tray.
pub(super) const MOST_FILES: usize = 256;
/// Name of the fit that the server was started with.
pub(super) const FIRST: &str = "start";

/// A fit with its runs.
#[derive(Debug)]
pub(crate) struct Item {
    pub id: String,
    pub name: String,
    pub fit: Arc<Fit>,
    pub curves: Vec<Curve>,
    pub reading: Option<Reading>,
    pub files: Files,
    pub options: FitOptions,
}

/// Files that were dropped and are not fitted yet.
#[derive(Debug, Default)]
struct Tray {
    files: BTreeMap<String, Vec<u8>>,
}

#[derive(Debug, Default)]
struct Inside {
    items: VecDeque<Arc<Item>>,
    trays: VecDeque<(String, Tray)>,
    /// Trays made so far: their names.
    made: u64,
}

/// Fits and trays, a bounded number of each.
#[derive(Debug)]
pub(crate) struct Shelf {
    first: Arc<Item>,
    inside: Mutex<Inside>,
}

impl Shelf {
    pub fn new(start: Start) -> Self {
        let Start { name, fit, curves, reading, files, options } = start;
        let first = Item { id: FIRST.to_owned(), name, fit: Arc::new(fit), curves, reading, files, options };
        Self { first: Arc::new(first), inside: Mutex::default() }
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The fit of that name; `None`: the first.
    pub fn item(&self, id: Option<&str>) -> Result<Arc<Item>, Failure> {
        match id {
            None | Some(FIRST) => Ok(Arc::clone(&self.first)),
            Some(id) => self.inside().items.iter().find(|item| item.id == id).cloned().ok_or_else(|| {
                Failure::new(format_args!("no fit '{id}' is held here")).hint(
                    "the server holds the last fits only, and none after a restart: drop the files again",
                )
            }),
        }
    }

    /// Puts a fit onto the shelf; the same fit has the same name.
    pub fn put(&self, item: Item) -> Result<Arc<Item>, Failure> {
        let text = lehr_app::fit::to_file(&item.fit)?;
        let id = hashed("fit", text.as_bytes()).sha256[..16].to_owned();
        let item = Arc::new(Item { id, ..item });
        let mut inside = self.inside();
        inside.items.retain(|other| other.id != item.id);
        inside.items.push_back(Arc::clone(&item));
        if inside.items.len() > MOST_ITEMS {
            inside.items.pop_front();
        }
        Ok(item)
    }

    /// Whether a tray is held.
    pub fn holds(&self, tray: &str) -> bool {
        self.inside().trays.iter().any(|(other, _)| other == tray)
    }

    /// Puts a file into a tray (a new one where none is named) and returns the tray's name.
    pub fn drop_file(
        &self,
        tray: Option<&str>,
        name: &str,
        bytes: Vec<u8>,
        most: usize,
    ) -> Result<String, Failure> {
        let name = plain_name(name)?;
        let mut inside = self.inside();
        let id = match tray {
            Some(id) if inside.trays.iter().any(|(other, _)| other == id) => id.to_owned(),
            Some(id) => {
                return Err(
                    Failure::new(format_args!("no tray '{id}' is held here")).hint("drop the files again")
                );
            }
            None => {
                inside.made += 1;
                let id = format!("tray{}", inside.made);
                inside.trays.push_back((id.clone(), Tray::default()));
                if inside.trays.len() > MOST_TRAYS {
                    inside.trays.pop_front();
                }
                id
            }
        };
        let held: usize = inside.trays.iter().flat_map(|(_, tray)| tray.files.values()).map(Vec::len).sum();
        if held + bytes.len() > most {
            return Err(Failure::new(format_args!("more than {} MiB of files", most >> 20))
                .hint("start the server with the paths of large logs instead"));
        }
        let Some((_, tray)) = inside.trays.iter_mut().find(|(other, _)| *other == id) else {
            return Err(Failure::new("the tray is gone"));
        };
        if tray.files.len() >= MOST_FILES {
            return Err(Failure::new(format_args!("more than {MOST_FILES} files at once")));
        }
        tray.files.insert(name, bytes);
        Ok(id)
    }

    /// The files of a tray, which is then empty.
    pub fn take_tray(&self, id: &str) -> Result<Files, Failure> {
        let mut inside = self.inside();
        let at = inside.trays.iter().position(|(other, _)| other == id);
        match at.and_then(|at| inside.trays.remove(at)) {
            Some((_, tray)) if !tray.files.is_empty() => Ok(Files::memory(tray.files)),
            _ => Err(Failure::new(format_args!("no tray '{id}' is held here")).hint("drop the files again")),
        }
    }
}

/// A name without anything that a path could mean; folders stay as they tell runs apart.
fn plain_name(name: &str) -> Result<String, Failure> {
    let parts: Vec<&str> = name.split(['/', '\\']).filter(|part| !part.is_empty()).collect();
    let wrong = parts.is_empty()
        || name.len() > 1024
        || parts.iter().any(|part| *part == "." || *part == ".." || part.chars().any(char::is_control));
    if wrong {
        return Err(Failure::usage("the file has no plain name")
            .hint("a name is at most 1024 bytes, without `..` and control characters"));
    }
    Ok(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_dropped_files_lead_nowhere() {
        assert_eq!(plain_name("runs/a.csv"), Ok("runs/a.csv".to_owned()));
        assert_eq!(plain_name("/etc/passwd"), Ok("etc/passwd".to_owned()));
        for wrong in ["", "/", "..", "a/../b", "a\\..\\b", "a\0b", &"x".repeat(2000)] {
            assert!(plain_name(wrong).is_err(), "{wrong}");
        }
    }
}
