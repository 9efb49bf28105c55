//! What can go wrong while a model is configured, fed or trained.

use std::path::PathBuf;

/// Why there is no training result.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// A key of a configuration is outside its range.
    #[error("{key} is {found}; expected {expected}")]
    Config {
        /// The key, dotted as in TOML.
        key: String,
        /// What was found.
        found: String,
        /// The allowed values.
        expected: String,
    },
    /// Training data that cannot be used.
    #[error("{place}: {problem}; expected {expected}")]
    Data {
        /// File, and line or byte where that is known.
        place: String,
        /// What was found.
        problem: String,
        /// What is needed, and what to do.
        expected: String,
    },
    /// A snapshot that cannot be resumed from.
    #[error("{file}: {problem}; expected {expected}", file = file.display())]
    Snapshot {
        /// The snapshot.
        file: PathBuf,
        /// What was found.
        problem: String,
        /// What is needed, and what to do.
        expected: String,
    },
    /// The loss or the gradient is not finite any more, or the loss above 3·ln V, thrice that of guessing. A sweep records this as a result and goes on.
    #[error("the run diverged at update {update}: {quantity} is {value}")]
    Diverged {
        /// The update (1 … T).
        update: u64,
        /// `loss` or `gradient norm`.
        quantity: &'static str,
        /// Its value.
        value: f64,
    },
    /// A file cannot be read or written.
    #[error("{file}: cannot {action}: {source}", file = file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// `read`, `write`, …
        action: &'static str,
        /// What the operating system said.
        source: std::io::Error,
    },
}

impl TrainError {
    /// A key outside its range.
    pub fn config(key: impl Into<String>, found: impl ToString, expected: impl Into<String>) -> Self {
        Self::Config { key: key.into(), found: found.to_string(), expected: expected.into() }
    }
}
