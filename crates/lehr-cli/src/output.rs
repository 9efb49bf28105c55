//! Data to stdout, what is said beside it to stderr.

use crate::failure::{self, Failure};
use comfy_table::{ContentLineStyle, LineStyle, TableStyle};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use lehr::Caveat;
use lehr_app::documents::{self, Document};
use lehr_app::failure::{flag, worded};
use lehr_app::pictures::{Drawing, Picture};
use lehr_app::tables::{self, Tabular};
use lehr_app::{Answer, Desk, Event, Files, Observer, writing};
use lehr_io::Note;
use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

pub use lehr_app::writing::{check_picture, check_target, write_file};

/// Notes of one kind that are said one by one.
const MOST_OF_A_KIND: usize = 3;
/// Caveats that are said after an answer; the rest are counted.
const MOST_CAVEATS: usize = 5;

/// Where text goes: a stream of the process, or a buffer that keeps it.
#[derive(Debug, Clone)]
enum Channel {
    Stdout,
    Stderr,
    Kept(Arc<Mutex<Vec<u8>>>),
}

impl Channel {
    fn write(&self, bytes: &[u8]) -> std::io::Result<()> {
        match self {
            Self::Stdout => {
                let mut out = std::io::stdout().lock();
                out.write_all(bytes)?;
                out.flush()
            }
            Self::Stderr => std::io::stderr().lock().write_all(bytes),
            Self::Kept(kept) => {
                kept.lock().unwrap_or_else(std::sync::PoisonError::into_inner).extend_from_slice(bytes);
                Ok(())
            }
        }
    }

    fn is_terminal(&self) -> bool {
        match self {
            Self::Stdout => std::io::stdout().is_terminal(),
            Self::Stderr => std::io::stderr().is_terminal(),
            Self::Kept(_) => false,
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Kept(kept) => {
                let kept = kept.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                String::from_utf8_lossy(&kept).into_owned()
            }
            _ => String::new(),
        }
    }
}

/// Which blocking caveats do not end the command with exit code 3.
#[derive(Debug, Clone, Default)]
pub struct Accepted {
    /// All of them.
    pub all: bool,
    /// Those of these codes.
    pub codes: Vec<String>,
}

/// How the user wants to be answered.
#[derive(Debug, Clone)]
pub struct Output {
    /// One JSON document instead of tables.
    pub json: bool,
    /// Everything, instead of the answer and what is most important.
    pub verbose: bool,
    accepted: Accepted,
    out: Channel,
    err: Channel,
}

/// Writes a line to stderr.
#[cfg(feature = "train")]
pub fn say(text: impl std::fmt::Display) {
    Output::new(false, false, Accepted::default()).say(text);
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
        .set_content_arrangement(if std::io::stdout().is_terminal() {
            comfy_table::ContentArrangement::Dynamic
        } else {
            comfy_table::ContentArrangement::Disabled
        })
        .set_header(header.into_iter().map(Into::into).collect::<Vec<String>>());
    table
}

/// A table cut to the terminal: of the columns `least`, as many as it takes for rows to fit are left out, the first first, and named
/// below. Where the output is no terminal all are there.
pub fn narrowed(table: comfy_table::Table, least: &[usize]) -> String {
    match table.width() {
        Some(width) => cut(table, least, width.into()),
        None => table.to_string(),
    }
}

/// The table in so many characters a line.
fn cut(mut table: comfy_table::Table, least: &[usize], width: usize) -> String {
    table.set_content_arrangement(comfy_table::ContentArrangement::Disabled);
    let mut left_out: Vec<String> = Vec::new();
    let mut least = least.iter();
    while table.lines().any(|line| line.trim_end().chars().count() > width) {
        let Some(&index) = least.next() else {
            // Nothing more can go: cells are broken into lines.
            table.set_content_arrangement(comfy_table::ContentArrangement::Dynamic);
            break;
        };
        let name =
            table.header().and_then(|header| header.cell_iter().nth(index)).map(comfy_table::Cell::content);
        left_out.extend(name);
        if let Some(column) = table.column_mut(index) {
            column.set_constraint(comfy_table::ColumnConstraint::Hidden);
        }
    }
    if left_out.is_empty() {
        table.to_string()
    } else {
        format!(
            "{table}\nnot shown, for want of width: {} (a wider terminal, a file or --json has them)",
            left_out.join(", ")
        )
    }
}

/// A share as a percentage without digits: `90 %`.
pub fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

/// Two digits and a sign, without a negative zero.
pub fn signed(value: f64) -> String {
    let text = format!("{value:+.2}");
    if text == "-0.00" { "+0.00".to_owned() } else { text }
}

/// A number of updates with its thousands apart: `50,000`.
pub fn updates(count: u64) -> String {
    let digits = count.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

impl Output {
    /// As the global flags say.
    pub fn new(json: bool, verbose: bool, accepted: Accepted) -> Self {
        Self { json, verbose, accepted, out: Channel::Stdout, err: Channel::Stderr }
    }

    /// Keeps what is written instead of writing it; blocking caveats are accepted.
    pub fn kept() -> Self {
        let keep = || Channel::Kept(Arc::default());
        let accepted = Accepted { all: true, codes: Vec::new() };
        Self { json: false, verbose: false, accepted, out: keep(), err: keep() }
    }

    /// What was kept of data and of what was said.
    pub fn texts(&self) -> (String, String) {
        (self.out.text(), self.err.text())
    }

    /// Writes data, with a line end.
    pub fn data(&self, text: &str) -> Result<(), Failure> {
        self.bytes(text.as_bytes())?;
        if text.ends_with('\n') { Ok(()) } else { self.bytes(b"\n") }
    }

    /// Writes data as it is.
    pub fn bytes(&self, data: &[u8]) -> Result<(), Failure> {
        Ok(self.out.write(data)?)
    }

    /// Writes a line beside the data, its options worded as flags.
    pub fn say(&self, text: impl std::fmt::Display) {
        let line = worded(&text.to_string(), flag) + "\n";
        // Nothing can be said about a stderr that cannot be written.
        drop(self.err.write(line.as_bytes()));
    }

    /// A desk that reads the disk and shows its progress on a terminal.
    pub fn desk(&self) -> Desk {
        let desk = Desk::new(Files::Disk);
        match self.err {
            Channel::Kept(_) => desk,
            _ => desk.observed(Arc::new(Bar::default())),
        }
    }

    /// Prints one JSON document, its name and version first.
    pub fn answer(&self, document: &impl Document) -> Result<(), Failure> {
        let text = worded(&documents::text(document)?, flag);
        failure::answered();
        self.data(&text)
    }

    /// Prints one JSON document on one line, as one of many.
    pub fn line(&self, document: &impl Document) -> Result<(), Failure> {
        let text = worded(&documents::value(document)?.to_string(), flag);
        failure::answered();
        self.data(&text)
    }

    /// The picture drawn for the terminal, where stdout is one and details are wanted.
    pub fn drawing(&self, picture: &Picture) -> Option<String> {
        let style = lehr_report::TerminalStyle {
            colour: self.out.is_terminal() && std::env::var_os("NO_COLOR").is_none(),
            ..lehr_report::TerminalStyle::default()
        };
        (!self.json && self.verbose && self.out.is_terminal()).then(|| picture.terminal(&style))
    }

    /// Writes a picture into a file and says so.
    pub fn draw(&self, path: &Path, drawing: impl Into<Drawing>) -> Result<(), Failure> {
        writing::write_drawing(path, &drawing.into())?;
        self.say(format_args!("wrote {}", path.display()));
        Ok(())
    }

    /// Writes a file and says so.
    pub fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), Failure> {
        write_file(path, bytes)?;
        self.say(format_args!("wrote {}", path.display()));
        Ok(())
    }

    /// Says a note on stderr (not with `--json`).
    pub fn note(&self, text: impl std::fmt::Display) {
        if !self.json {
            self.say(format_args!("note: {text}"));
        }
    }

    /// Says notes on stderr (not with `--json`); of more than three of one kind without `-v`, the first and how many
    /// more.
    pub fn notes(&self, notes: &[Note]) {
        if self.json {
            return;
        }
        let (mappings, others): (Vec<&Note>, Vec<&Note>) = notes.iter().partition(|n| n.code == "mapping");
        for note in mappings {
            self.say(format_args!("note: {note}"));
        }
        let mut by_code: BTreeMap<&str, Vec<&Note>> = BTreeMap::new();
        for note in others {
            by_code.entry(&note.code).or_default().push(note);
        }
        for (code, notes) in by_code {
            let shown = if notes.len() > MOST_OF_A_KIND && !self.verbose { 1 } else { notes.len() };
            for note in &notes[..shown] {
                self.say(format_args!("note: {note}"));
            }
            if notes.len() > shown {
                self.say(format_args!(
                    "note: … and {} more such notes ({code}; -v shows all)",
                    notes.len() - shown
                ));
            }
        }
    }

    /// The beginning of an answer: its notes, and its table in a file where one is wanted.
    pub fn begin<D: Document + Tabular>(
        &self,
        answer: &Answer<D>,
        file: Option<&Path>,
    ) -> Result<(), Failure> {
        self.notes(&answer.notes);
        match file {
            Some(path) => self.write(path, tables::contents(path, &answer.value)?.as_bytes()),
            None => Ok(()),
        }
    }

    /// The end of every answer: its caveats, see [`Output::caveats`].
    pub fn close<T>(&self, answer: &Answer<T>) -> Result<(), Failure> {
        self.caveats(&answer.caveats)
    }

    /// Says the caveats on stderr (they are in the JSON document otherwise), the most important first, and fails with exit
    /// code 3 when one of them blocks and the user has not accepted that.
    pub fn caveats(&self, caveats: &[Caveat]) -> Result<(), Failure> {
        let mut refused: Vec<&str> = caveats
            .iter()
            .filter(|caveat| caveat.blocking() && !self.accepted.all)
            .map(Caveat::code)
            .filter(|code| !self.accepted.codes.iter().any(|accepted| accepted == code))
            .collect();
        refused.sort_unstable();
        refused.dedup();
        self.say_caveats(caveats);
        if refused.is_empty() { Ok(()) } else { Err(Failure::caveats(&refused)) }
    }

    /// Says caveats without judging them: each on a line, the most important first, five at most and the rest counted.
    pub fn say_caveats(&self, caveats: &[Caveat]) {
        if self.json {
            return;
        }
        let mut sorted = caveats.to_vec();
        lehr::caveat::sort(&mut sorted);
        let lines = caveat_lines(&sorted, self.verbose);
        for line in lines {
            self.say(line);
        }
    }
}

/// Lines that say sorted caveats: those of one kind after the first are counted with it, and of what is left five are shown.
fn caveat_lines(caveats: &[Caveat], verbose: bool) -> Vec<String> {
    let mut kinds: Vec<(&Caveat, usize)> = Vec::new();
    for caveat in caveats {
        match kinds.iter_mut().find(|(first, _)| !verbose && first.code() == caveat.code()) {
            Some((_, more)) => *more += 1,
            None => kinds.push((caveat, 0)),
        }
    }
    let shown = if verbose { kinds.len() } else { kinds.len().min(MOST_CAVEATS) };
    let mut lines: Vec<String> = kinds[..shown]
        .iter()
        .map(|(caveat, more)| {
            let word = if caveat.blocking() { "CAVEAT" } else { "caveat" };
            let mut line = format!("{word}: {caveat}");
            if *more > 0 {
                line.push_str(&format!(" (and {more} more of this kind)"));
            }
            if let Some(remedy) = caveat.remedy() {
                line.push_str(&format!("; {remedy}"));
            }
            line
        })
        .collect();
    let left = kinds.len() - shown;
    if left > 0 {
        lines.push(format!("caveat: … and {left} more, of less importance (-v shows all)"));
    }
    lines
}

/// Shows progress on stderr: a bar while files are read, a spinner while something is computed; after a second, on a
/// terminal only.
#[derive(Default)]
pub struct Bar(Mutex<Option<(ProgressBar, Instant)>>);

impl Observer for Bar {
    fn hear(&self, event: Event<'_>) {
        if !std::io::stderr().is_terminal() {
            return;
        }
        let mut now = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match event {
            Event::Reading { files, of_files, runs } => {
                let (bar, since) = now.get_or_insert_with(|| {
                    (ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden()), Instant::now())
                });
                if bar.is_hidden() {
                    if since.elapsed() < Duration::from_secs(1) {
                        return;
                    }
                    bar.set_draw_target(ProgressDrawTarget::stderr());
                    if let Ok(style) =
                        ProgressStyle::with_template("reading {bar:30} {pos}/{len} files, {msg}")
                    {
                        bar.set_style(style);
                    }
                }
                bar.set_length(of_files as u64);
                bar.set_position(files as u64);
                bar.set_message(format!("{runs} runs"));
            }
            Event::Begun(what) => {
                let bar = ProgressBar::new_spinner().with_message(what);
                bar.enable_steady_tick(Duration::from_secs(1));
                *now = Some((bar, Instant::now()));
            }
            Event::Done => {
                if let Some((bar, _)) = now.take() {
                    bar.finish_and_clear();
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_narrow_terminal_gets_whole_words_and_hears_which_columns_it_does_not_get() {
        let wide = || {
            let mut rows = table(["run", "points", "noise", "last loss"]);
            rows.add_row(["a-run-with-a-long-name", "4096", "0.5", "3.0885"]);
            rows
        };
        let least = [2, 1];
        assert_eq!(cut(wide(), &least, 80), wide().to_string());
        let narrow = cut(wide(), &least, 42);
        assert!(narrow.contains("a-run-with-a-long-name") && narrow.contains("3.0885"), "{narrow}");
        assert!(!narrow.contains("4096") && !narrow.contains("0.5"), "{narrow}");
        assert!(narrow.ends_with(
            "not shown, for want of width: noise, points (a wider terminal, a file or --json has them)"
        ));
        assert!(narrow.lines().take(3).all(|line| line.trim_end().chars().count() <= 42), "{narrow}");
    }
}
