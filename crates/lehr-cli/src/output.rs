//! Data to stdout, talk to stderr.

use crate::failure::Failure;
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

/// Whether a file can be made at this path, before any work is done for it.
pub fn check_target(path: Option<&std::path::Path>) -> Result<(), Failure> {
    let Some(path) = path else { return Ok(()) };
    if path.is_dir() {
        return Err(
            Failure::usage(format_args!("{} is a directory", path.display())).hint("name a file to write")
        );
    }
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() && !parent.is_dir() => {
            Err(Failure::new(format_args!("{}: there is no directory {}", path.display(), parent.display()))
                .hint("make it first, or name another"))
        }
        _ => Ok(()),
    }
}

/// Writes a file whole or not at all: beside it first, then renamed.
pub fn write_file(path: &std::path::Path, bytes: &[u8]) -> Result<(), Failure> {
    let at = |error: std::io::Error| Failure::new(format_args!("{}: {error}", path.display()));
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    if name.is_empty() {
        return Err(Failure::usage(format_args!("{} is not the name of a file", path.display())));
    }
    name.push(format!(".{}.tmp", std::process::id()));
    let beside = path.with_file_name(name);
    let written = std::fs::write(&beside, bytes).and_then(|()| std::fs::rename(&beside, path));
    if written.is_err() {
        // What was begun is of no use to anyone; the first error is the one to tell.
        drop(std::fs::remove_file(&beside));
    }
    written.map_err(at)
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
