//! Files that a user asked for: written whole or not at all, and never in the place of what is no plain file.
//!
//! ```text
//! target          what is done
//! nothing there   written beside, on the disk, then renamed
//! plain file      the same; the mode stays; refused where nobody may write to it
//! link            its target is meant; the link stays (a target that is not there is made)
//! pipe, device    written through
//! /dev/stdout …   written through: what is open there goes on being open
//! folder          refused
//! ```
//!
//! Nothing here knows the command line; errors say what to do in [`OutFileError::hint`].

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Links that are followed before they count as a circle; the system's own limit.
const MOST_LINKS: usize = 40;

/// Unfinished files of this process, which an interruption removes.
static UNFINISHED: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Why a file is not written.
#[derive(Debug, thiserror::Error)]
pub enum OutFileError {
    /// The path names no file.
    #[error("{path} is not the name of a file", path = path.display())]
    NoName {
        /// The path.
        path: PathBuf,
    },
    /// The path is a folder.
    #[error("{path} is a directory", path = path.display())]
    Folder {
        /// The path.
        path: PathBuf,
    },
    /// The folder that would hold the file is not there.
    #[error("{path}: there is no directory {folder}", path = path.display(), folder = folder.display())]
    NoFolder {
        /// The path.
        path: PathBuf,
        /// The folder.
        folder: PathBuf,
    },
    /// The file is there and may not be written to.
    #[error("{path} is read-only", path = path.display())]
    ReadOnly {
        /// The path.
        path: PathBuf,
    },
    /// Links that lead to each other.
    #[error("{path}: its links lead in a circle", path = path.display())]
    Circle {
        /// The path.
        path: PathBuf,
    },
    /// What the system said.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The path.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
}

impl OutFileError {
    /// What to do about it, where there is a way out.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Folder { .. } | Self::NoName { .. } => Some("name a file to write"),
            Self::NoFolder { .. } => Some("make it first, or name another"),
            Self::ReadOnly { .. } => Some("allow writing to it (chmod u+w), or name another"),
            Self::Circle { .. } => Some("name a file to write, or mend the links"),
            Self::Io { .. } => None,
        }
    }

    /// Whether the command line is at fault rather than the files.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Folder { .. } | Self::NoName { .. })
    }

    /// Whether the reader at the other end of a pipe went away.
    #[must_use]
    pub fn is_closed_pipe(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::BrokenPipe)
    }
}

/// What a path leads to.
#[derive(Debug)]
enum Target {
    /// Nothing is there yet.
    New(PathBuf),
    /// A plain file.
    Plain(PathBuf, Metadata),
    /// Something that is written through.
    Through(PathBuf),
    /// What this process has as its standard output.
    Stdout,
}

fn io_at(path: &Path) -> impl Fn(io::Error) -> OutFileError + '_ {
    move |source| OutFileError::Io { path: path.to_path_buf(), source }
}

/// Whether a path is one of the names for what a process has open (`/dev/stdout`, `/proc/self/fd/1`).
fn names_an_open_file(path: &Path) -> bool {
    ["/proc", "/dev/fd", "/dev/stdout", "/dev/stderr"].iter().any(|start| path.starts_with(start))
}

/// Whether a file is what standard output writes to.
#[cfg(unix)]
fn is_stdout(meta: &Metadata) -> bool {
    use std::os::fd::AsFd;
    use std::os::unix::fs::MetadataExt;
    let Ok(own) = io::stdout().as_fd().try_clone_to_owned() else { return false };
    File::from(own).metadata().is_ok_and(|own| (own.dev(), own.ino()) == (meta.dev(), meta.ino()))
}

#[cfg(not(unix))]
fn is_stdout(_: &Metadata) -> bool {
    false
}

/// Follows links to what is meant.
fn look(path: &Path) -> Result<Target, OutFileError> {
    let mut at = path.to_path_buf();
    let mut through = names_an_open_file(&at);
    for _ in 0..MOST_LINKS {
        let meta = match std::fs::symlink_metadata(&at) {
            Ok(meta) => meta,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return new_file(path, at),
            Err(error) => return Err(io_at(path)(error)),
        };
        if !meta.is_symlink() {
            return there(path, at, meta, through);
        }
        if through && let Ok(meta) = std::fs::metadata(&at) {
            // The links of /proc may lead to what has no name any more: the system follows them itself.
            return if is_stdout(&meta) { Ok(Target::Stdout) } else { there(path, at, meta, true) };
        }
        let to = std::fs::read_link(&at).map_err(io_at(path))?;
        at = at.parent().unwrap_or(Path::new("")).join(to);
        through = through || names_an_open_file(&at);
    }
    Err(OutFileError::Circle { path: path.to_path_buf() })
}

fn new_file(path: &Path, at: PathBuf) -> Result<Target, OutFileError> {
    if at.file_name().is_none() || path.as_os_str().as_encoded_bytes().ends_with(b"/") {
        return Err(OutFileError::NoName { path: path.to_path_buf() });
    }
    match at.parent() {
        Some(folder) if !folder.as_os_str().is_empty() && !folder.is_dir() => {
            Err(OutFileError::NoFolder { path: path.to_path_buf(), folder: folder.to_path_buf() })
        }
        _ => Ok(Target::New(at)),
    }
}

fn there(path: &Path, at: PathBuf, meta: Metadata, through: bool) -> Result<Target, OutFileError> {
    if meta.is_dir() {
        return Err(OutFileError::Folder { path: path.to_path_buf() });
    }
    if !meta.is_file() || through {
        return Ok(Target::Through(at));
    }
    // Who may do everything may write to a file that nobody may write to; its owner asked that nobody does.
    if meta.permissions().readonly() {
        return Err(OutFileError::ReadOnly { path: path.to_path_buf() });
    }
    match OpenOptions::new().append(true).open(&at) {
        Ok(_) => Ok(Target::Plain(at, meta)),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
            ) =>
        {
            Err(OutFileError::ReadOnly { path: path.to_path_buf() })
        }
        Err(error) => Err(io_at(path)(error)),
    }
}

/// Whether a file can be written at this path, before any work is done for it. Pipes and devices are not opened.
///
/// # Errors
/// [`OutFileError`], as [`write()`] would.
pub fn check(path: &Path) -> Result<(), OutFileError> {
    look(path).map(drop)
}

/// Writes a file: over plain files whole or not at all, through everything else.
///
/// # Errors
/// [`OutFileError`]; then a plain file is as it was.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), OutFileError> {
    match look(path)? {
        Target::New(at) => replace(path, &at, bytes, None),
        Target::Plain(at, meta) => replace(path, &at, bytes, Some(&meta)),
        // Pipes and devices have nothing that could be cut.
        Target::Through(at) => OpenOptions::new()
            .write(true)
            .truncate(true)
            .open(&at)
            .and_then(|mut file| file.write_all(bytes).and_then(|()| file.flush()))
            .map_err(io_at(path)),
        Target::Stdout => {
            let mut out = io::stdout().lock();
            out.write_all(bytes).and_then(|()| out.flush()).map_err(io_at(path))
        }
    }
}

/// Puts bytes in the place of a plain file, or where nothing is.
fn replace(path: &Path, at: &Path, bytes: &[u8], before: Option<&Metadata>) -> Result<(), OutFileError> {
    let mut name = at.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{}.tmp", std::process::id()));
    let beside = Unfinished::new(at.with_file_name(name));
    // What a killed process of the same number has left is of no use to anyone.
    drop(std::fs::remove_file(beside.path()));
    let written = OpenOptions::new().write(true).create_new(true).open(beside.path()).and_then(|mut file| {
        file.write_all(bytes)?;
        if let Some(before) = before {
            file.set_permissions(before.permissions())?;
            keep_owner(&file, before);
        }
        file.sync_all()?;
        std::fs::rename(beside.path(), at)
    });
    match (written, before) {
        // The folder lets no other file be made, but the file itself may be written.
        (Err(error), Some(_)) if error.kind() == io::ErrorKind::PermissionDenied => {
            std::fs::write(at, bytes).map_err(io_at(path))
        }
        (written, _) => written.map_err(io_at(path)),
    }
}

/// Gives a file the owner of the one it replaces, where that is allowed.
#[cfg(unix)]
fn keep_owner(file: &File, before: &Metadata) {
    use std::os::unix::fs::MetadataExt;
    if let Ok(now) = file.metadata()
        && (now.uid(), now.gid()) != (before.uid(), before.gid())
    {
        // Only the administrator may give files away; for everyone else the writer owns what is written.
        drop(std::os::unix::fs::fchown(file, Some(before.uid()), Some(before.gid())));
    }
}

#[cfg(not(unix))]
fn keep_owner(_: &File, _: &Metadata) {}

/// A file that is removed when this is dropped, and when the process is interrupted: one that is not finished.
#[derive(Debug)]
pub struct Unfinished(PathBuf);

impl Unfinished {
    /// Remembers a path at which a file will be made.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner).push(path.clone());
        Self(path)
    }

    /// The path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // It is gone already where it was renamed.
        drop(std::fs::remove_file(&self.0));
        UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner).retain(|path| *path != self.0);
    }
}

/// Removes what this process has begun to write, before it ends at an interruption.
pub fn remove_unfinished() {
    for path in UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
        drop(std::fs::remove_file(path));
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
    use std::process::Command;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    /// Names in a folder: nothing may be left beside what was written.
    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_plain_file_is_replaced_and_keeps_its_mode() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.json");
        write(&file, b"one").unwrap();
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o640)).unwrap();
        write(&file, b"another").unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), b"another");
        assert_eq!((mode(&file), names(folder.path())), (0o640, vec!["a.json".to_owned()]));
    }

    #[test]
    fn a_read_only_file_is_refused_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("kept.csv");
        std::fs::write(&file, "kept").unwrap();
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o400)).unwrap();
        for error in [check(&file).unwrap_err(), write(&file, b"new").unwrap_err()] {
            assert!(matches!(error, OutFileError::ReadOnly { .. }), "{error}");
            assert!(error.hint().unwrap().contains("chmod"));
        }
        assert_eq!((std::fs::read(&file).unwrap(), mode(&file)), (b"kept".to_vec(), 0o400));
        assert_eq!(names(folder.path()), ["kept.csv"]);
    }

    #[test]
    fn a_link_stays_and_its_target_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("deep")).unwrap();
        std::fs::write(at("deep/file"), "old").unwrap();
        symlink("deep/file", at("near")).unwrap();
        symlink("near", at("far")).unwrap();
        symlink("deep/new", at("dangling")).unwrap();
        write(&at("far"), b"new").unwrap();
        write(&at("dangling"), b"made").unwrap();
        assert_eq!(std::fs::read(at("deep/file")).unwrap(), b"new");
        assert_eq!(std::fs::read(at("deep/new")).unwrap(), b"made");
        for link in ["near", "far", "dangling"] {
            assert!(std::fs::symlink_metadata(at(link)).unwrap().is_symlink(), "{link}");
        }
        assert_eq!(names(&at("deep")), ["file", "new"]);
        symlink("b", at("a")).unwrap();
        symlink("a", at("b")).unwrap();
        assert!(matches!(write(&at("a"), b"").unwrap_err(), OutFileError::Circle { .. }));
    }

    #[test]
    fn a_pipe_is_written_through() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        // Looking does not wait for a reader.
        check(&pipe).unwrap();
        let reader = {
            let pipe = pipe.clone();
            std::thread::spawn(move || std::fs::read(pipe).unwrap())
        };
        write(&pipe, b"through").unwrap();
        assert_eq!(reader.join().unwrap(), b"through");
        assert!(std::fs::symlink_metadata(&pipe).unwrap().file_type().is_fifo());
    }

    #[test]
    fn a_device_is_written_through() {
        let folder = tempfile::tempdir().unwrap();
        let (null, full) = (folder.path().join("null"), folder.path().join("full"));
        for (node, minor) in [(&null, "3"), (&full, "7")] {
            let made = Command::new("mknod").arg(node).args(["c", "1", minor]).output();
            if !made.is_ok_and(|made| made.status.success()) || write(&null, b"").is_err() {
                eprintln!("skipped: no device can be made here (mknod needs an administrator)");
                return;
            }
        }
        write(&null, b"gone").unwrap();
        let error = write(&full, b"no room").unwrap_err();
        assert!(
            matches!(&error, OutFileError::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull),
            "{error}"
        );
        for node in [&null, &full] {
            assert!(std::fs::symlink_metadata(node).unwrap().file_type().is_char_device());
        }
        assert_eq!(names(folder.path()), ["full", "null"]);
    }

    #[test]
    fn folders_and_missing_folders_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let error = check(folder.path()).unwrap_err();
        assert!(error.is_usage() && error.to_string().ends_with("is a directory"), "{error}");
        let error = check(&folder.path().join("none/file")).unwrap_err();
        assert!(matches!(error, OutFileError::NoFolder { .. }), "{error}");
        let error = check(&folder.path().join("file/")).unwrap_err();
        assert!(matches!(error, OutFileError::NoName { .. }), "{error}");
    }

    #[test]
    fn what_is_unfinished_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("half");
        let unfinished = Unfinished::new(path.clone());
        std::fs::write(unfinished.path(), "ha").unwrap();
        drop(unfinished);
        assert!(!path.exists());
    }
}
