//! Data to stdout, talk to stderr.

use crate::failure::Failure;
use comfy_table::{ContentLineStyle, LineStyle, TableStyle};
use lehr::Caveat;
use std::io::Write;

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

/// Writes a line of talk to stderr.
pub fn say(text: impl std::fmt::Display) {
    // Nothing can be said about a stderr that cannot be written.
    drop(writeln!(std::io::stderr().lock(), "{text}"));
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

    /// Says the caveats on stderr (they are in the JSON document otherwise) and fails with exit code 3 when one of
    /// them blocks and the user has not accepted that.
    pub fn caveats(&self, caveats: &[Caveat]) -> Result<(), Failure> {
        if !self.json {
            for caveat in caveats {
                say(format_args!(
                    "{}: {}",
                    if caveat.blocking { "CAVEAT" } else { "caveat" },
                    caveat.message
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
