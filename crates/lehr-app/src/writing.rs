//! Writing what was asked for into files.

use crate::failure::Failure;
use lehr_report::{PictureFormat, PictureStyle, write_picture};
use std::path::Path;

/// Whether a file can be made at this path, before any work is done for it.
///
/// # Errors
/// [`Failure`] for a directory, and for a path in a directory that is not there.
pub fn check_target(path: Option<&Path>) -> Result<(), Failure> {
    let Some(path) = path else { return Ok(()) };
    if path.is_dir() {
        return Err(
            Failure::usage(format_args!("{} is a directory", path.display())).hint("name a file to write")
        );
    }
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() && !parent.is_dir() => {
            Err(Failure::new(format_args!("{}: there is no directory {}", path.display(), parent.display()))
                .hint("make it first, or name another"))
        }
        _ => Ok(()),
    }
}

/// Whether a picture can be written there: a known format, a directory that exists.
///
/// # Errors
/// As [`check_target`], and for an ending that is no format of pictures.
pub fn check_picture(path: Option<&Path>) -> Result<(), Failure> {
    if let Some(path) = path {
        PictureFormat::from_name(&path.to_string_lossy()).map_err(Failure::usage)?;
    }
    check_target(path)
}

/// Writes a file whole or not at all: beside it first, then renamed.
///
/// # Errors
/// [`Failure`] that names the path.
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    if name.is_empty() {
        return Err(Failure::usage(format_args!("{} is not the name of a file", path.display())));
    }
    name.push(format!(".{}.tmp", std::process::id()));
    let beside = path.with_file_name(name);
    let written = std::fs::write(&beside, bytes).and_then(|()| std::fs::rename(&beside, path));
    if written.is_err() {
        // What was begun is of no use to anyone; the first error is the one to tell.
        drop(std::fs::remove_file(&beside));
    }
    written.map_err(Failure::at(path))
}

/// Writes a picture in the format that the file's name asks for, in the height that it wants.
///
/// # Errors
/// [`Failure`] for an ending that is no format, and as [`write_file`].
pub fn write_drawing(path: &Path, picture: &crate::pictures::Drawing) -> Result<(), Failure> {
    let style = match picture.height {
        Some(height) => PictureStyle { height, ..PictureStyle::default() },
        None => PictureStyle::default(),
    };
    let bytes =
        write_picture(picture.picture.as_ref(), &path.to_string_lossy(), &style).map_err(Failure::usage)?;
    write_file(path, &bytes)
}
