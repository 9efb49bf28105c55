//! What a desk may read: the disk, or bytes in memory; paths → sources.

use crate::failure::Failure;
use lehr_io::Source;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Deeper than any log; a guard against directories that contain themselves.
const DEEPEST: usize = 32;

/// Manifests that speak for a log beside them.
const MANIFESTS: [&str; 3] = ["manifest.csv", "manifest.tsv", "manifest.toml"];

/// What may be read.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Files {
    /// The file system, and remote addresses where the feature `remote` is built in.
    Disk,
    /// Nothing but these files, by path: what was dropped onto a page, a test's data.
    Memory(Arc<BTreeMap<String, Arc<[u8]>>>),
}

impl Files {
    /// Files in memory.
    pub fn memory<N: Into<String>>(files: impl IntoIterator<Item = (N, Vec<u8>)>) -> Self {
        Self::Memory(Arc::new(
            files.into_iter().map(|(name, bytes)| (name.into(), Arc::from(bytes))).collect(),
        ))
    }

    /// The whole text of a file.
    ///
    /// # Errors
    /// [`Failure`] that names the path, also where the bytes are no UTF-8.
    pub fn text(&self, path: &Path) -> Result<String, Failure> {
        match self {
            Self::Disk => {
                if path.is_dir() {
                    return Err(Failure::new(format_args!(
                        "{}: this is a directory; expected a file",
                        path.display()
                    )));
                }
                std::fs::read_to_string(path).map_err(Failure::at(path))
            }
            Self::Memory(files) => {
                let name = path.to_string_lossy();
                let bytes = files
                    .get(name.as_ref())
                    .ok_or_else(|| Failure::new(format_args!("{name}: no such file or directory")))?;
                String::from_utf8(bytes.to_vec())
                    .map_err(|error| Failure::new(format_args!("{name}: {error}")))
            }
        }
    }

    /// One file as a source.
    ///
    /// # Errors
    /// [`Failure`] if it is not there.
    pub fn source(&self, path: &Path) -> Result<Source, Failure> {
        match self {
            Self::Disk => file_source(path, 1, false),
            Self::Memory(files) => {
                let name = path.to_string_lossy();
                let bytes = files
                    .get(name.as_ref())
                    .ok_or_else(|| Failure::new(format_args!("{name}: no such file or directory")))?;
                Ok(Source::bytes(name.as_ref(), bytes.to_vec()))
            }
        }
    }

    /// The files behind the paths, in order of their names within each path: directories are searched to the bottom,
    /// patterns expanded, a manifest or write-ahead log beside a named log comes with it. A file that is reached twice,
    /// by whatever path or link, is read once.
    ///
    /// # Errors
    /// [`Failure`] for a path that is not there and a pattern that nothing fits.
    pub fn sources(&self, paths: &[PathBuf]) -> Result<Vec<Source>, Failure> {
        match self {
            Self::Disk => on_disk(paths),
            Self::Memory(files) => in_memory(files, paths),
        }
    }
}

fn in_memory(files: &BTreeMap<String, Arc<[u8]>>, paths: &[PathBuf]) -> Result<Vec<Source>, Failure> {
    let mut sources = Vec::new();
    let mut seen = BTreeSet::new();
    for path in paths {
        let name = path.to_string_lossy();
        let inside = if name == "." { String::new() } else { format!("{}/", name.trim_end_matches('/')) };
        let mut any = false;
        for (file, bytes) in files.iter() {
            let below = file.strip_prefix(&inside);
            if *file != name && below.is_none() {
                continue;
            }
            any = true;
            if seen.insert(file.clone()) {
                let depth = if *file == name { 1 } else { below.map_or(1, |rest| rest.split('/').count()) };
                let bytes = Arc::clone(bytes);
                sources.push(Source::new(
                    file.clone(),
                    bytes.len() as u64,
                    depth,
                    *file != name,
                    move || Ok(Box::new(std::io::Cursor::new(Arc::clone(&bytes)))),
                ));
            }
        }
        if !any {
            return Err(Failure::new(format_args!("{name}: no such file or directory")));
        }
    }
    Ok(sources)
}

/// The sources as they are found, each file once.
#[derive(Default)]
struct Found {
    sources: Vec<Source>,
    seen: BTreeSet<PathBuf>,
}

impl Found {
    fn add(&mut self, path: &Path, below: usize, found: bool) -> Result<(), Failure> {
        // Two paths to one file (a link, `./x` and `x`) are one file.
        let real = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
        if self.seen.insert(real) {
            self.sources.push(file_source(path, below, found)?);
        }
        Ok(())
    }
}

fn on_disk(paths: &[PathBuf]) -> Result<Vec<Source>, Failure> {
    let mut found = Found::default();
    let mut remote = Vec::new();
    for path in paths {
        if let Some(sources) = addressed(&path.to_string_lossy())? {
            remote.extend(sources);
            continue;
        }
        let named = path;
        for path in expand(named)? {
            // What a pattern finds was no more named than what lies in a folder.
            let by_pattern = path != *named;
            if path.is_dir() {
                let mut inside = Vec::new();
                let mut above = BTreeSet::new();
                walk(&path, 1, &mut above, &mut inside)?;
                // Files under their own names come before links to them.
                inside.sort_by(|a, b| (a.2, &a.0).cmp(&(b.2, &b.0)));
                let kept = std::mem::take(&mut inside);
                let before = found.sources.len();
                for (inside, depth, _) in kept {
                    found.add(&inside, depth, true)?;
                }
                found.sources[before..].sort_by(|a, b| Path::new(a.name()).cmp(Path::new(b.name())));
            } else {
                found.add(&path, 1, by_pattern)?;
                // A manifest next to a named log speaks for it, and what a database keeps beside it belongs to it.
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                for name in MANIFESTS
                    .map(str::to_owned)
                    .into_iter()
                    .chain(["-wal", "-journal"].map(|end| format!("{name}{end}")))
                {
                    let beside = path.with_file_name(name);
                    if beside.is_file() && beside != path {
                        found.add(&beside, 1, true)?;
                    }
                }
            }
        }
    }
    found.sources.extend(remote);
    Ok(found.sources)
}

/// What lies at the address of an object store or web server; `None`: a path of the file system.
#[cfg(feature = "remote")]
fn addressed(path: &str) -> Result<Option<Vec<Source>>, Failure> {
    if !lehr_io::remote::is_address(path) {
        return Ok(None);
    }
    let settings: Vec<(String, String)> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| ["AWS_", "GOOGLE_", "AZURE_"].iter().any(|start| name.starts_with(start)))
        .collect();
    lehr_io::remote::sources(path, &settings).map(Some).map_err(|error| {
        Failure::from(error).hint("credentials and endpoints are taken from AWS_…, GOOGLE_… and AZURE_… in the environment; docs/formats/logs.md")
    })
}

/// What lies at an address: refused, since the feature is not built in.
#[cfg(not(feature = "remote"))]
fn addressed(path: &str) -> Result<Option<Vec<Source>>, Failure> {
    const SCHEMES: [&str; 9] = ["s3", "s3a", "gs", "gcs", "az", "azure", "abfs", "http", "https"];
    match path.split_once("://") {
        Some((scheme, _)) if SCHEMES.contains(&scheme) => Err(Failure::new(format_args!(
            "{path}: this lehr was built without reading from remote addresses"
        ))
        .hint("build it with `cargo build --release --features remote`, or copy the logs here")),
        _ => Ok(None),
    }
}

/// The paths that a pattern names, sorted; a path without a pattern as it is.
fn expand(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    if path.exists() {
        return Ok(vec![path.to_path_buf()]);
    }
    let text = path.to_string_lossy();
    if !text.contains(['*', '?', '[']) {
        return Err(Failure::new(format_args!("{text}: no such file or directory")).within(text));
    }
    // As in a folder, hidden files are not meant.
    let options = glob::MatchOptions { require_literal_leading_dot: true, ..glob::MatchOptions::new() };
    let paths = glob::glob_with(&text, options)
        .map_err(|error| Failure::usage(format_args!("the pattern '{text}' is wrong: {error}")))?;
    let found: Vec<PathBuf> = paths.filter_map(Result::ok).collect();
    if found.is_empty() {
        return Err(Failure::new(format_args!("nothing fits the pattern '{text}'")));
    }
    Ok(found)
}

/// Files below a directory with their depth and whether a link led to them; hidden ones left out. A directory that
/// contains itself is entered once.
fn walk(
    directory: &Path,
    depth: usize,
    above: &mut BTreeSet<PathBuf>,
    found: &mut Vec<(PathBuf, usize, bool)>,
) -> Result<(), Failure> {
    let at = Failure::at(directory);
    let real = std::fs::canonicalize(directory).map_err(&at)?;
    if !above.insert(real.clone()) {
        return Ok(());
    }
    let mut entries =
        std::fs::read_dir(directory).map_err(&at)?.collect::<Result<Vec<_>, _>>().map_err(&at)?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        let link = entry.file_type().is_ok_and(|kind| kind.is_symlink());
        if path.is_dir() {
            if depth < DEEPEST {
                let from = found.len();
                walk(&path, depth + 1, above, found)?;
                found[from..].iter_mut().for_each(|file| file.2 |= link);
            }
        } else if path.is_file() {
            found.push((path, depth, link));
        }
    }
    above.remove(&real);
    Ok(())
}

/// A file as a source of the library.
///
/// `below` and `found` are as in [`Source::new`].
///
/// # Errors
/// [`Failure`] if it is not there.
pub fn file_source(path: &Path, below: usize, found: bool) -> Result<Source, Failure> {
    let length = std::fs::metadata(path).map_err(Failure::at(path))?.len();
    let owned = path.to_path_buf();
    let source =
        Source::new(path.to_string_lossy(), length, below, found, move || Ok(Box::new(File::open(&owned)?)));
    // `.` and a bare name are named after the directory they lie in, as the same file by its whole path is.
    Ok(match std::env::current_dir() {
        Ok(here) => source.under(&here.to_string_lossy()),
        Err(_) => source,
    })
}
