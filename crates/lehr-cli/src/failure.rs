//! Why the command ends without success, what to do about it, and the exit code.

use anstyle::{AnsiColor, Style};
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether a JSON document is on stdout already: there is room for one.
static ANSWERED: AtomicBool = AtomicBool::new(false);

/// Remembers that a document is printed; an error that follows is said on stderr alone.
pub fn answered() {
    ANSWERED.store(true, Ordering::Relaxed);
}

/// The end of a run that did not succeed: `error:` and, where there is a way out, `hint:`.
#[derive(Debug)]
pub struct Failure {
    code: u8,
    message: String,
    hint: Option<String>,
}

impl Failure {
    /// Exit code 1: there is no answer.
    pub fn new(message: impl std::fmt::Display) -> Self {
        Self { code: 1, message: message.to_string(), hint: None }
    }

    /// Exit code 2: the command line does not fit together.
    pub fn usage(message: impl std::fmt::Display) -> Self {
        Self { code: 2, message: message.to_string(), hint: None }
    }

    /// Exit code 3: an answer was printed, with a blocking caveat.
    pub fn caveat(message: impl std::fmt::Display) -> Self {
        Self {
            code: 3,
            message: message.to_string(),
            hint: Some("add --accept-caveats to use the answer all the same".to_owned()),
        }
    }

    /// Exit code 130: the user ended it, as Ctrl-C does.
    pub fn interrupted(message: impl std::fmt::Display) -> Self {
        Self { code: 130, message: message.to_string(), hint: None }
    }

    /// Exit code 0 without a word: the reader of our output went away.
    pub fn quiet() -> Self {
        Self { code: 0, message: String::new(), hint: None }
    }

    /// Adds what to do about it.
    pub fn hint(mut self, hint: impl std::fmt::Display) -> Self {
        self.hint = Some(hint.to_string());
        self
    }

    /// The document that `--json` prints for it.
    fn document(&self) -> serde_json::Value {
        serde_json::json!({
            "schema": "lehr.error/1",
            "exit_code": self.code,
            "error": self.message,
            "hint": self.hint,
        })
    }

    /// Writes the message to stderr and, with `json` and no document there, as one to stdout; gives the exit code.
    pub fn report(self, json: bool) -> ExitCode {
        if json && self.code != 0 && !ANSWERED.load(Ordering::Relaxed) {
            // Where stdout cannot be written, stderr and the exit code say it.
            drop(writeln!(std::io::stdout().lock(), "{:#}", self.document()));
        }
        if self.code != 0 {
            let paint = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            let (red, cyan) = if paint {
                (AnsiColor::Red.on_default().bold(), AnsiColor::Cyan.on_default().bold())
            } else {
                (Style::new(), Style::new())
            };
            let mut err = std::io::stderr().lock();
            // Nothing can be said about a stderr that cannot be written.
            drop(writeln!(err, "{red}error:{red:#} {}", self.message));
            if let Some(hint) = self.hint {
                drop(writeln!(err, "{cyan}hint:{cyan:#} {hint}"));
            }
        }
        ExitCode::from(self.code)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe { Self::quiet() } else { Self::new(error) }
    }
}
