//! What development tasks share: where the workspace is, and commands that must succeed.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// The workspace's root.
#[must_use]
pub fn root() -> PathBuf {
    // The manifest's folder is <root>/xtask.
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}

/// Runs a command and fails with its name when it does.
///
/// # Errors
/// When it cannot be started, or ends with another status than 0.
pub fn run(command: &mut Command) -> io::Result<()> {
    let name = format!("{command:?}");
    let status = command.status().map_err(|e| io::Error::other(format!("cannot start {name}: {e}")))?;
    if status.success() { Ok(()) } else { Err(io::Error::other(format!("{name} ended with {status}"))) }
}

/// The exit code of a task; its error is said on stderr.
#[must_use]
pub fn finish(outcome: io::Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
