//! What a reader must know before using a number.

use serde::{Deserialize, Serialize};

/// One thing a reader must know before using a number. A caveat is a value, never a log line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caveat {
    /// Stable identifier in kebab-case, for machines: `extrapolates-horizon`, `not-identifiable`, …
    pub code: String,
    /// Whether the answer should not be used before a person has looked at this.
    pub blocking: bool,
    /// The sentence for a person, with the numbers in it.
    pub message: String,
}

impl Caveat {
    /// A caveat that a reader should know.
    #[must_use]
    pub fn note(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), blocking: false, message: message.into() }
    }

    /// A caveat that must be accepted before the answer is used (exit code 3 of the command).
    #[must_use]
    pub fn blocking(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), blocking: true, message: message.into() }
    }
}
