//! How a question without an answer ends the command: `error:`, `hint:`, the exit code.

use anstyle::{AnsiColor, Style};
use lehr_app::FailureKind;
use lehr_app::failure::{flag, worded};
use std::io::{IsTerminal, Write};
use std::process::ExitCode;

pub use lehr_app::Failure;

/// Writes the failure to stderr, its options worded as flags, and gives the exit code.
pub fn report(failure: &Failure) -> ExitCode {
    let code = match failure.kind() {
        FailureKind::Quiet => return ExitCode::SUCCESS,
        FailureKind::Request => 2,
        FailureKind::Caveat => 3,
        FailureKind::Interrupted => 130,
        _ => 1,
    };
    let paint = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let (red, cyan) = if paint {
        (AnsiColor::Red.on_default().bold(), AnsiColor::Cyan.on_default().bold())
    } else {
        (Style::new(), Style::new())
    };
    let mut err = std::io::stderr().lock();
    // Nothing can be said about a stderr that cannot be written.
    drop(writeln!(err, "{red}error:{red:#} {}", worded(failure.message(), flag)));
    if let Some(remedy) = failure.remedy() {
        drop(writeln!(err, "{cyan}hint:{cyan:#} {}", worded(remedy, flag)));
    }
    ExitCode::from(code)
}
