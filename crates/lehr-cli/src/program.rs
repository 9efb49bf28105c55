//! How this command is started again, for the workers of a sweep.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::OnceLock;

/// A program and the words before the command's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// The file to start; `None`: the one that runs now.
    pub file: Option<PathBuf>,
    /// Words between the program and the verb: `-m lehr` where an interpreter is started.
    pub words: Vec<String>,
}

static STARTED: OnceLock<Program> = OnceLock::new();
static WORDS: OnceLock<Vec<OsString>> = OnceLock::new();

impl Program {
    /// The program that runs now, without words before the verb.
    #[must_use]
    pub fn this() -> Self {
        Self { file: None, words: Vec::new() }
    }

    /// The first one given counts: a process has one command.
    pub(crate) fn remember(program: Self) {
        STARTED.get_or_init(|| program);
    }

    /// The words of the command line, the program's name not among them; the first ones given count.
    pub(crate) fn remember_words(words: &[OsString]) {
        WORDS.get_or_init(|| words.iter().skip(1).cloned().collect());
    }

    /// The words that were remembered.
    pub(crate) fn given_words() -> &'static [OsString] {
        WORDS.get().map_or(&[], Vec::as_slice)
    }

    /// What was remembered.
    #[cfg(feature = "train")]
    pub(crate) fn started() -> Self {
        STARTED.get().cloned().unwrap_or_else(Self::this)
    }
}
