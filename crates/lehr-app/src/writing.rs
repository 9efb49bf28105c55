//! Writing what was asked for into files.

use crate::failure::Failure;
use crate::out_file::{self, OutFileError};
use lehr_report::{PictureFormat, PictureStyle, write_picture};
use std::path::Path;

/// Whether a file can be written at this path, before any work is done for it.
///
/// # Errors
/// [`Failure`] for a directory, for a path in a directory that is not there, and for a read-only file.
pub fn check_target(path: Option<&Path>) -> Result<(), Failure> {
    path.map_or(Ok(()), |path| Ok(out_file::check(path)?))
}

/// Whether a picture can be written there: a known format, a directory that exists.
///
/// # Errors
/// As [`check_target`], for an ending that is no format of pictures, and for one that this build does not draw.
pub fn check_picture(path: Option<&Path>) -> Result<(), Failure> {
    if let Some(path) = path {
        let format = PictureFormat::from_name(&path.to_string_lossy()).map_err(Failure::usage)?;
        format.available().map_err(|error| {
            Failure::usage(error).hint("draw .svg, or build lehr with the feature: --features png (or full)")
        })?;
    }
    check_target(path)
}

/// Writes a file: plain ones whole or not at all, pipes, devices and links through (see [`out_file`]).
///
/// # Errors
/// [`Failure`] that names the path; a plain file is then as it was.
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    Ok(out_file::write(path, bytes)?)
}

impl From<OutFileError> for Failure {
    fn from(error: OutFileError) -> Self {
        if error.is_closed_pipe() {
            return Self::quiet();
        }
        let hint = error.hint();
        let failure = if error.is_usage() { Self::usage(&error) } else { Self::new(&error) };
        match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
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

/// Adds text to the end of a file, which is made if it is not there.
///
/// # Errors
/// [`Failure`] that names the path.
pub fn append(path: &Path, text: &str) -> Result<(), Failure> {
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.create(true).append(true).open(path).map_err(Failure::at(path))?;
    std::io::Write::write_all(&mut file, text.as_bytes()).map_err(Failure::at(path))
}

/// Makes a folder, and those above it, if it is not there.
///
/// # Errors
/// [`Failure`] that names the path.
pub fn make_folder(path: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(path).map_err(Failure::at(path))
}
