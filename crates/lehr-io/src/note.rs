//! What a reader did to the data, said aloud.

use serde::{Deserialize, Serialize};

/// One thing that a reader did or assumed: rows stitched, points appended, columns guessed.
///
/// A note is not a caveat: it says what happened, not that a number is doubtful.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Note {
    /// Stable identifier in kebab-case: `stitched`, `final-loss-appended`, `skipped-file`, …
    pub code: String,
    /// The run, file or directory it concerns.
    pub about: String,
    /// The sentence for a person.
    pub message: String,
}

impl Note {
    /// A note about a run or a file.
    #[must_use]
    pub fn new(code: &str, about: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), about: about.into(), message: message.into() }
    }
}

impl std::fmt::Display for Note {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.about, self.message)
    }
}
