//! The `lehr` command as a program of its own.

use lehr_cli::{Program, command};
use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args_os().collect();
    ExitCode::from(command(&words, Program::this()))
}
