//! Data to stdout, talk to stderr.

use crate::failure::{self, Failure};
use crate::out_file::{self, OutFileError};
use crate::plot::Picture;
use comfy_table::{ContentLineStyle, LineStyle, TableStyle};
use indicatif::ProgressBar;
use lehr::Caveat;
use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};

/// Caveats of one kind that are said one by one.
const MOST_OF_A_KIND: usize = 3;

/// How the user wants to be answered.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    /// One JSON document instead of tables.
    pub json: bool,
    accept_caveats: bool,
}

/// Writes data to stdout, with a line end.
pub fn data(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    if !text.ends_with('\n') {
        out.write_all(b"\n")?;
    }
    out.flush()?;
    Ok(())
}

/// Writes data to stdout as it is.
pub fn bytes(data: &[u8]) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(data)?;
    out.flush()?;
    Ok(())
}

/// Writes a line of talk to stderr.
pub fn say(text: impl std::fmt::Display) {
    // Nothing can be said about a stderr that cannot be written.
    drop(writeln!(std::io::stderr().lock(), "{text}"));
}

/// Whether a file can be written at this path, before any work is done for it.
pub fn check_target(path: Option<&std::path::Path>) -> Result<(), Failure> {
    path.map_or(Ok(()), |path| Ok(out_file::check(path)?))
}

/// Writes a file: plain ones whole or not at all, pipes, devices and links through (see [`out_file`]).
pub fn write_file(path: &std::path::Path, bytes: &[u8]) -> Result<(), Failure> {
    Ok(out_file::write(path, bytes)?)
}

impl From<OutFileError> for Failure {
    fn from(error: OutFileError) -> Self {
        if error.is_closed_pipe() {
            return Self::quiet();
        }
        let hint = error.hint();
        let failure = if error.is_usage() { Self::usage(&error) } else { Self::new(&error) };
        match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

/// An empty table in the house style: no vertical lines, one rule under the header.
pub fn table<I: IntoIterator<Item = S>, S: Into<String>>(header: I) -> comfy_table::Table {
    let mut table = comfy_table::Table::new();
    table
        .load_style(
            TableStyle::new()
                .header_separator(LineStyle::new('─', '─', '─', '─'))
                .content_lines(ContentLineStyle::new(' ', ' ', ' ')),
        )
        .set_content_arrangement(comfy_table::ContentArrangement::Disabled)
        .set_header(header.into_iter().map(Into::into).collect::<Vec<String>>());
    table
}

impl Output {
    /// As the global flags say.
    pub fn new(json: bool, accept_caveats: bool) -> Self {
        Self { json, accept_caveats }
    }

    /// Prints one JSON document.
    pub fn json(&self, value: &impl serde::Serialize) -> Result<(), Failure> {
        failure::answered();
        data(&serde_json::to_string_pretty(value).map_err(Failure::new)?)
    }

    /// Prints one JSON document with its name and version first: `{"schema": "lehr.forecast/1", …}`.
    pub fn document(&self, schema: &str, value: &impl serde::Serialize) -> Result<(), Failure> {
        let mut document = serde_json::Map::new();
        document.insert("schema".to_owned(), schema.into());
        match serde_json::to_value(value).map_err(Failure::new)? {
            serde_json::Value::Object(fields) => document.extend(fields),
            other => {
                document.insert("value".to_owned(), other);
            }
        }
        self.json(&document)
    }

    /// A spinner on stderr that appears after a second, on a terminal only.
    pub fn wait(&self, what: &'static str) -> ProgressBar {
        let bar = if std::io::stderr().is_terminal() {
            ProgressBar::new_spinner().with_message(what)
        } else {
            ProgressBar::hidden()
        };
        bar.enable_steady_tick(std::time::Duration::from_secs(1));
        bar
    }

    /// The picture drawn for the terminal, coloured only where stdout is one.
    pub fn drawing(&self, picture: &Picture) -> Option<String> {
        let terminal = std::io::stdout().is_terminal();
        let style = lehr_report::TerminalStyle {
            colour: terminal && std::env::var_os("NO_COLOR").is_none(),
            ..lehr_report::TerminalStyle::default()
        };
        (!self.json).then(|| picture.terminal(&style))
    }

    /// Says the caveats on stderr (they are in the JSON document otherwise) and fails with exit code 3 when one of
    /// them blocks and the user has not accepted that.
    pub fn caveats(&self, caveats: &[Caveat]) -> Result<(), Failure> {
        if !self.json {
            let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
            for caveat in caveats {
                let count = seen.entry(&caveat.code).or_default();
                *count += 1;
                if *count <= MOST_OF_A_KIND {
                    let word = if caveat.blocking { "CAVEAT" } else { "caveat" };
                    say(format_args!("{word}: {}", caveat.message));
                }
            }
            for (code, count) in seen.into_iter().filter(|(_, count)| *count > MOST_OF_A_KIND) {
                say(format_args!(
                    "caveat: … and {} more of the kind '{code}' (--json has all)",
                    count - MOST_OF_A_KIND
                ));
            }
        }
        match caveats.iter().find(|caveat| caveat.blocking) {
            Some(caveat) if !self.accept_caveats => {
                Err(Failure::caveat(format_args!("blocking caveat '{}': {}", caveat.code, caveat.message)))
            }
            _ => Ok(()),
        }
    }
}
