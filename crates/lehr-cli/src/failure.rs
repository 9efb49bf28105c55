//! How a question without an answer ends the command: `error:`, `hint:`, the exit code.

use anstyle::{AnsiColor, Style};
use lehr_app::FailureKind;
use lehr_app::documents::{self, Document};
use lehr_app::failure::{flag, worded};
use serde::Serialize;
use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};

pub use lehr_app::Failure;

/// Whether a JSON document is on stdout already: there is room for one.
static ANSWERED: AtomicBool = AtomicBool::new(false);

/// Remembers that a document is printed; an error that follows is said on stderr alone.
pub fn answered() {
    ANSWERED.store(true, Ordering::Relaxed);
}

/// What `--json` prints of a failure.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub struct ErrorAnswer {
    /// Exit code of the process.
    exit_code: u8,
    /// What is wrong: file, line, what was found, what was expected.
    error: String,
    /// What to do.
    hint: Option<String>,
}

impl Document for ErrorAnswer {
    const SCHEMA: &'static str = "lehr.error/1";
}

/// Writes the failure to stderr, its options worded as flags, and, with `json` and no document there, as one to stdout;
/// gives the exit code.
pub fn report(failure: &Failure, json: bool) -> u8 {
    let code = match failure.kind() {
        FailureKind::Quiet => return 0,
        FailureKind::Request => 2,
        FailureKind::Caveat => 3,
        FailureKind::Condition => 4,
        FailureKind::Diverged => 10,
        FailureKind::Again => 75,
        FailureKind::Interrupted => 130,
        _ => 1,
    };
    let error = worded(failure.message(), flag);
    let hint = failure.remedy().map(|remedy| worded(remedy, flag));
    if json && !ANSWERED.load(Ordering::Relaxed) {
        let document = ErrorAnswer { exit_code: code, error: error.clone(), hint: hint.clone() };
        // Where stdout cannot be written, stderr and the exit code say it.
        if let Ok(text) = documents::text(&document) {
            drop(std::io::stdout().lock().write_all(text.as_bytes()));
        }
    }
    let paint = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let (red, cyan) = if paint {
        (AnsiColor::Red.on_default().bold(), AnsiColor::Cyan.on_default().bold())
    } else {
        (Style::new(), Style::new())
    };
    let mut err = std::io::stderr().lock();
    // Nothing can be said about a stderr that cannot be written.
    drop(writeln!(err, "{red}error:{red:#} {error}"));
    if let Some(hint) = hint {
        drop(writeln!(err, "{cyan}hint:{cyan:#} {hint}"));
    }
    code
}
