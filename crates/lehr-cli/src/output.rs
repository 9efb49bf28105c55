//! Data to stdout, what is said beside it to stderr.

use crate::failure::{self, Failure};
use comfy_table::{ContentLineStyle, LineStyle, TableStyle};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use lehr::Caveat;
use lehr_app::documents::{self, Document};
use lehr_app::failure::{flag, worded};
use lehr_app::pictures::{Drawing, Picture};
use lehr_app::{Answer, Desk, Event, Files, Observer, writing};
use lehr_io::Note;
use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

pub use lehr_app::writing::{check_picture, check_target, write_file};

/// Caveats and notes of one kind that are said one by one.
const MOST_OF_A_KIND: usize = 3;

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

/// How the user wants to be answered.
#[derive(Debug, Clone)]
pub struct Output {
    /// One JSON document instead of tables.
    pub json: bool,
    accept_caveats: bool,
    out: Channel,
    err: Channel,
}

/// Writes a line to stderr.
pub fn say(text: impl std::fmt::Display) {
    Output::new(false, false).say(text);
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
        Self { json, accept_caveats, out: Channel::Stdout, err: Channel::Stderr }
    }

    /// Keeps what is written instead of writing it; blocking caveats are accepted.
    pub fn kept() -> Self {
        let keep = || Channel::Kept(Arc::default());
        Self { json: false, accept_caveats: true, out: keep(), err: keep() }
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
        let text = documents::text(document)?;
        failure::answered();
        self.data(&text)
    }

    /// Prints one JSON document on one line, as one of many.
    pub fn line(&self, document: &impl Document) -> Result<(), Failure> {
        let text = documents::value(document)?.to_string();
        failure::answered();
        self.data(&text)
    }

    /// The picture drawn for the terminal, coloured only where stdout is one.
    pub fn drawing(&self, picture: &Picture) -> Option<String> {
        let style = lehr_report::TerminalStyle {
            colour: self.out.is_terminal() && std::env::var_os("NO_COLOR").is_none(),
            ..lehr_report::TerminalStyle::default()
        };
        (!self.json).then(|| picture.terminal(&style))
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

    /// Says notes on stderr (not with `--json`); of more than three of one kind, the first and how many more.
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
            let shown = if notes.len() > MOST_OF_A_KIND { 1 } else { notes.len() };
            for note in &notes[..shown] {
                self.say(format_args!("note: {note}"));
            }
            if notes.len() > shown {
                self.say(format_args!(
                    "note: … and {} more such notes ({code}; `lehr inspect --json` has all)",
                    notes.len() - shown
                ));
            }
        }
    }

    /// The end of every answer: its caveats, see [`Output::caveats`].
    pub fn close<T>(&self, answer: &Answer<T>) -> Result<(), Failure> {
        self.caveats(&answer.caveats)
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
                    self.say(format_args!("{word}: {}", caveat.message));
                }
            }
            for (code, count) in seen.into_iter().filter(|(_, count)| *count > MOST_OF_A_KIND) {
                self.say(format_args!(
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
