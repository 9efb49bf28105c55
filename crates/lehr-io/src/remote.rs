//! Objects in stores and on web servers as sources: `s3://`, `gs://`, `az://`, `https://` (feature `remote`).
//!
//! An object is read in pieces that grow from 64 KiB to 8 MiB, so that looking at a head costs little and reading a large
//! log few requests; nothing is written to the disk. Every piece is asked for under the object's tag: one that is replaced
//! while it is read gives an error, not a mixture of both.

use crate::error::ReadError;
use crate::source::{ReadSeek, Source};
use bytes::Bytes;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectMeta, ObjectStore, parse_url_opts};
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;
use tokio::runtime::{Builder, Runtime};
use url::Url;

const SCHEMES: [&str; 11] =
    ["s3", "s3a", "gs", "az", "azure", "adl", "abfs", "abfss", "http", "https", "gcs"];
const FIRST_PIECE: u64 = 64 << 10;
const LARGEST_PIECE: u64 = 8 << 20;
/// Deeper than any log.
const DEEPEST: usize = 32;
/// What belongs to a named object and lies beside it.
const BESIDE: [&str; 3] = ["manifest.csv", "manifest.tsv", "manifest.toml"];

/// Whether a path is the address of an object rather than a file.
///
/// # Examples
/// ```
/// assert!(lehr_io::remote::is_address("s3://bucket/runs/"));
/// assert!(!lehr_io::remote::is_address("runs/a.csv"));
/// ```
#[must_use]
pub fn is_address(path: &str) -> bool {
    path.split_once("://").is_some_and(|(scheme, _)| SCHEMES.contains(&scheme))
}

/// A store and how to wait for it.
struct Store {
    store: Box<dyn ObjectStore>,
    runtime: Runtime,
    /// `s3://bucket`, without a slash at its end.
    root: String,
    /// Whether names below a name can be listed.
    lists: bool,
}

fn refused(address: &str, error: &dyn std::fmt::Display) -> ReadError {
    ReadError::Io { file: address.to_owned(), error: io::Error::other(error.to_string()) }
}

/// The sources behind an address: the object itself, or every object below that name, hidden ones left out.
///
/// `settings` are names and values such as `AWS_ENDPOINT_URL`, `AWS_REGION`, `GOOGLE_SERVICE_ACCOUNT` or
/// `AZURE_STORAGE_ACCOUNT_NAME`, in any case; unknown ones are passed over. An `http(s)` address names one object.
///
/// # Errors
/// [`ReadError::Io`] for an address that cannot be understood, a store that does not answer, and a name with nothing at or
/// below it.
pub fn sources(address: &str, settings: &[(String, String)]) -> Result<Vec<Source>, ReadError> {
    let fail = |error: &dyn std::fmt::Display| refused(address, error);
    let wanted =
        address.strip_prefix("gcs://").map_or_else(|| address.to_owned(), |rest| format!("gs://{rest}"));
    let url = Url::parse(&wanted).map_err(|error| fail(&error))?;
    let is_web = matches!(url.scheme(), "http" | "https");
    if is_web && url.query().is_some() {
        return Err(fail(
            &"addresses with a query (signed ones) are not read; download the file and name that",
        ));
    }
    let settings = settings.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone()));
    // Whoever writes http:// means it.
    let plain = (url.scheme() == "http").then(|| ("allow_http".to_owned(), "true".to_owned()));
    let settings = settings.chain(plain);
    let (store, path) = parse_url_opts(&url, settings).map_err(|error| fail(&error))?;
    let runtime = Builder::new_current_thread().enable_all().build().map_err(|error| fail(&error))?;
    let root = address.trim_end_matches('/');
    let root = root.strip_suffix(path.as_ref()).unwrap_or(root).trim_end_matches('/').to_owned();
    let store = Arc::new(Store { store, runtime, root, lists: !is_web });
    let head = GetOptions { head: true, ..GetOptions::default() };
    if !address.ends_with('/') && !path.as_ref().is_empty() {
        match store.runtime.block_on(store.store.get_opts(&path, head.clone())) {
            Ok(found) => {
                let mut sources = vec![store.source(found.meta, 1, false)];
                for beside in store.beside(&path) {
                    if let Ok(found) = store.runtime.block_on(store.store.get_opts(&beside, head.clone())) {
                        sources.push(store.source(found.meta, 1, true));
                    }
                }
                return Ok(sources);
            }
            Err(object_store::Error::NotFound { .. }) if store.lists => {}
            Err(error) => return Err(fail(&error)),
        }
    }
    let mut found = Vec::new();
    if store.lists {
        store.walk(&path, 1, &mut found).map_err(|error| fail(&error))?;
    }
    if found.is_empty() {
        return Err(fail(&"nothing is there, neither an object of that name nor one below it"));
    }
    Ok(found)
}

impl Store {
    /// Objects below a name with their depth, sorted by name.
    fn walk(
        self: &Arc<Self>,
        below: &Path,
        depth: usize,
        found: &mut Vec<Source>,
    ) -> object_store::Result<()> {
        let prefix = (!below.as_ref().is_empty()).then_some(below);
        let listed = self.runtime.block_on(self.store.list_with_delimiter(prefix))?;
        let shown = |path: &Path| path.filename().is_some_and(|name| !name.starts_with('.'));
        let mut names: Vec<(Path, Option<ObjectMeta>)> =
            listed.common_prefixes.into_iter().map(|prefix| (prefix, None)).collect();
        names.extend(listed.objects.into_iter().map(|object| (object.location.clone(), Some(object))));
        names.sort_by(|a, b| a.0.cmp(&b.0));
        for (name, object) in names.into_iter().filter(|(name, _)| shown(name)) {
            match object {
                Some(object) => found.push(self.source(object, depth, true)),
                None if depth < DEEPEST => self.walk(&name, depth + 1, found)?,
                None => {}
            }
        }
        Ok(())
    }

    fn beside(&self, path: &Path) -> Vec<Path> {
        let Some(name) = path.filename().filter(|_| self.lists) else { return Vec::new() };
        let directory = path.as_ref().strip_suffix(name).unwrap_or_default();
        let database = ["-wal", "-journal"].map(|end| format!("{name}{end}"));
        let is_database = name.to_lowercase().ends_with(".db");
        BESIDE
            .into_iter()
            .map(str::to_owned)
            .chain(database.into_iter().filter(|_| is_database))
            .filter(|beside| beside != name)
            .map(|beside| Path::from(format!("{directory}{beside}")))
            .collect()
    }

    fn source(self: &Arc<Self>, object: ObjectMeta, below: usize, found: bool) -> Source {
        let (name, length) = (format!("{}/{}", self.root, object.location), object.size);
        let store = Arc::clone(self);
        let object = Arc::new(object);
        Source::new(name, length, below, found, move || {
            Ok(Box::new(Reader {
                store: Arc::clone(&store),
                object: Arc::clone(&object),
                at: 0,
                piece: Bytes::new(),
                from: 0,
                next: FIRST_PIECE,
            }) as Box<dyn ReadSeek>)
        })
    }
}

struct Reader {
    store: Arc<Store>,
    object: Arc<ObjectMeta>,
    at: u64,
    /// What is held, and where it begins.
    piece: Bytes,
    from: u64,
    /// Length of the next piece.
    next: u64,
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at >= self.object.size || buffer.is_empty() {
            return Ok(0);
        }
        if self.at < self.from || self.at >= self.from + self.piece.len() as u64 {
            let end = self.object.size.min(self.at.saturating_add(self.next));
            let options = GetOptions {
                range: Some(GetRange::Bounded(self.at..end)),
                if_match: self.object.e_tag.clone(),
                ..GetOptions::default()
            };
            let store = &self.store.store;
            self.piece = self
                .store
                .runtime
                .block_on(async { store.get_opts(&self.object.location, options).await?.bytes().await })
                .map_err(|error| match error {
                    object_store::Error::Precondition { .. } => {
                        io::Error::other("the object was replaced while it was read; run the command again")
                    }
                    error => io::Error::other(error),
                })?;
            self.from = self.at;
            self.next = (2 * self.next).min(LARGEST_PIECE);
            if self.piece.is_empty() {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the store sent nothing"));
            }
        }
        let held = &self.piece[(self.at - self.from) as usize..];
        let n = held.len().min(buffer.len());
        buffer[..n].copy_from_slice(&held[..n]);
        self.at += n as u64;
        Ok(n)
    }
}

impl Seek for Reader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.object.size.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = target
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "a place before the beginning"))?;
        Ok(self.at)
    }
}
