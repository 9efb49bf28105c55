//! What can go wrong in a sweep.

use crate::error::TrainError;
use crate::sweep::plan::PlanError;
use std::path::{Path, PathBuf};

/// Why a sweep, or one of its jobs, cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// The plan is wrong.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A model, its data or a file.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// Another process works on the same sweep or job.
    #[error("{what} is in use by another process{holder}", what = what.display())]
    Busy {
        /// The folder or job.
        what: PathBuf,
        /// Who holds it, if that is known.
        holder: String,
    },
    /// A folder or file of a sweep that is not as it must be.
    #[error("{place}: {problem}; expected {expected}", place = place.display())]
    Folder {
        /// The folder or file.
        place: PathBuf,
        /// What was found.
        problem: String,
        /// What was expected, and what to do.
        expected: String,
    },
    /// An option of an executor that cannot be used.
    #[error("[[{option}]] is '{found}'; expected {expected}")]
    Option {
        /// Its name, `like_this`.
        option: &'static str,
        /// What was given.
        found: String,
        /// What was expected, and what to do.
        expected: String,
    },
    /// Somebody asked to stop before the end.
    #[error("stopped as asked; what was trained is kept")]
    Stopped,
    /// A worker cannot be started.
    #[error("a worker cannot be started: {0}")]
    Start(std::io::Error),
}

/// Makes a [`TrainError::File`] of what the system said.
pub(crate) fn at<'a>(file: &'a Path, action: &'static str) -> impl Fn(std::io::Error) -> SweepError + 'a {
    move |source| SweepError::Train(TrainError::File { file: file.to_path_buf(), action, source })
}
