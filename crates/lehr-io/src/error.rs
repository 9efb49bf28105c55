//! Why an input could not be read, where, and what to do about it.

use crate::source::ExpandError;
use lehr::schedule::RecogniseError;
use lehr::{CurveError, ScheduleError};

/// Where in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The whole file.
    File,
    /// A line of a text file, from 1.
    Line(u64),
    /// A row of a table without lines, from 1.
    Row(u64),
    /// A byte offset, from 0.
    Byte(u64),
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File => Ok(()),
            Self::Line(line) => write!(f, ":{line}"),
            Self::Row(row) => write!(f, ", row {row}"),
            Self::Byte(byte) => write!(f, ", byte {byte}"),
        }
    }
}

/// Why an input could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The system refused.
    #[error("{file}: {error}")]
    Io {
        /// The file.
        file: String,
        /// What the system says.
        error: std::io::Error,
    },
    /// Compressed data that cannot be expanded.
    #[error("{file}: {problem}")]
    Compressed {
        /// The file.
        file: String,
        /// What is wrong.
        problem: String,
        /// The way out.
        hint: &'static str,
    },
    /// Not one byte.
    #[error("{file} is empty")]
    Empty {
        /// The file.
        file: String,
    },
    /// A table without rows.
    #[error("{file} has a header but no row")]
    NoRows {
        /// The file.
        file: String,
    },
    /// A table whose first line holds numbers only.
    #[error(
        "{file}:1: the first line holds numbers only ({found}); expected a header that names the columns"
    )]
    NoHeader {
        /// The file.
        file: String,
        /// The line, shortened.
        found: String,
    },
    /// The content is of no known kind.
    #[error("{file} is not a log that can be read: found {found}; expected {expected}")]
    Unrecognised {
        /// The file.
        file: String,
        /// What it begins with.
        found: String,
        /// What is read.
        expected: &'static str,
    },
    /// No column plays a role that is needed.
    #[error("{file} has no column for the {role}; its columns are {}", quoted(.columns))]
    MissingColumn {
        /// The file.
        file: String,
        /// Step, loss, …
        role: &'static str,
        /// What the file has.
        columns: Vec<String>,
    },
    /// `[[map]]` names a column that is not there.
    #[error("{file} has no column '{name}', which the mapping names for {role}; its columns are {}", quoted(.columns))]
    UnknownColumn {
        /// The file.
        file: String,
        /// The role.
        role: &'static str,
        /// The name given.
        name: String,
        /// What the file has.
        columns: Vec<String>,
    },
    /// A `[[map]]` that cannot be understood.
    #[error("the mapping '{text}' cannot be understood: {why}")]
    Map {
        /// What was given.
        text: String,
        /// What is wrong.
        why: String,
    },
    /// A log that counts something else than updates, and it is not known how many of them an update takes.
    #[error(
        "{file}: the column '{column}' counts {what}, not updates, and the {what} of one update are not known"
    )]
    Axis {
        /// The file.
        file: String,
        /// The column.
        column: String,
        /// Tokens or samples.
        what: &'static str,
        /// The option that says it.
        option: &'static str,
    },
    /// A value of the wrong kind.
    #[error("{file}{place}: {what} is {found}; expected {expected}")]
    Value {
        /// The file.
        file: String,
        /// Where.
        place: Place,
        /// Column or field.
        what: String,
        /// What was found.
        found: String,
        /// What was expected.
        expected: String,
    },
    /// A row with more or fewer cells than the header.
    #[error("{file}:{line}: the row has {found} cells; the header has {expected}")]
    Ragged {
        /// The file.
        file: String,
        /// The line.
        line: u64,
        /// Cells found.
        found: usize,
        /// Cells expected.
        expected: usize,
    },
    /// The structure of the file is broken.
    #[error("{file}{place}: {problem}")]
    Broken {
        /// The file.
        file: String,
        /// Where.
        place: Place,
        /// What is wrong, found and expected.
        problem: String,
    },
    /// A loss that is NaN, infinite, zero or negative.
    #[error(
        "{file}{place}: run '{run}': the loss at update {step} is {loss} ({count} such rows); expected a finite number above 0"
    )]
    Loss {
        /// The file.
        file: String,
        /// The first one.
        place: Place,
        /// The run.
        run: String,
        /// Its update.
        step: u64,
        /// The value.
        loss: f64,
        /// How many there are.
        count: usize,
    },
    /// Rows that look like more than one run.
    #[error("{file}{place}: run '{run}': {problem}")]
    MixedRuns {
        /// The file.
        file: String,
        /// Where.
        place: Place,
        /// The run.
        run: String,
        /// What was found.
        problem: String,
    },
    /// No learning rate anywhere.
    #[error(
        "{file}: run '{run}' has no learning rate: no column holds it and no manifest gives its schedule"
    )]
    NoRate {
        /// The file.
        file: String,
        /// The run.
        run: String,
    },
    /// Values that must not be fitted.
    #[error("{file}: {why}")]
    Refused {
        /// The file.
        file: String,
        /// Why.
        why: String,
        /// The way out.
        hint: String,
    },
    /// A run has no point of the wanted split.
    #[error("{file}: run '{run}' has no {split} loss; it has {has}")]
    NoSplit {
        /// The file.
        file: String,
        /// The run.
        run: String,
        /// What was asked for.
        split: &'static str,
        /// What there is.
        has: String,
    },
    /// The points do not make a curve.
    #[error("{file}: {error}")]
    Curve {
        /// The file.
        file: String,
        /// Why.
        error: CurveError,
    },
    /// The numbers do not make a schedule.
    #[error("{file}: run '{run}': {error}")]
    Schedule {
        /// The file.
        file: String,
        /// The run.
        run: String,
        /// Why.
        error: ScheduleError,
    },
    /// The logged rates give no schedule.
    #[error("{file}: run '{run}': {error}")]
    Recognise {
        /// The file.
        file: String,
        /// The run.
        run: String,
        /// Why.
        error: RecogniseError,
    },
    /// A run without a single loss.
    #[error("{file}: run '{run}' has no loss after its first update")]
    NoPoint {
        /// The file.
        file: String,
        /// The run.
        run: String,
    },
    /// Two runs of one name.
    #[error("two runs are named '{id}': one in {first}, one in {second}")]
    DuplicateRun {
        /// The name.
        id: String,
        /// File of the first.
        first: String,
        /// File of the second.
        second: String,
    },
    /// Nothing to read.
    #[error("no run was found in {looked}{}", because(.skipped))]
    NoRun {
        /// Where it was looked for.
        looked: String,
        /// Why files were passed over.
        skipped: Vec<String>,
        /// What would help with them, each once.
        hints: Vec<String>,
    },
    /// No run of that name.
    #[error("no run is named {}; there are {}", quoted(.patterns), quoted(.names))]
    NoMatch {
        /// What was asked for.
        patterns: Vec<String>,
        /// What there is.
        names: Vec<String>,
    },
    /// The run store refuses.
    #[error("{store}: {problem}")]
    Store {
        /// The store.
        store: String,
        /// Why.
        problem: String,
        /// The way out.
        hint: &'static str,
    },
}

/// `'a', 'b' and 'c'`, cut after a dozen.
fn quoted(names: &[String]) -> String {
    const SHOWN: usize = 12;
    let mut text = names.iter().take(SHOWN).map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN {
        text.push_str(&format!(" and {} more", names.len() - SHOWN));
    }
    if text.is_empty() { "none".to_owned() } else { text }
}

fn because(skipped: &[String]) -> String {
    match skipped {
        [] => String::new(),
        [one] => format!(": {one}"),
        [first, rest @ ..] => format!(": {first} (and {} more files passed over)", rest.len()),
    }
}

/// Where a fault is and what it is, as far as an error knows that.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fault {
    /// The file or store.
    pub file: Option<String>,
    /// Its line, from 1.
    pub line: Option<u64>,
    /// What is there.
    pub found: Option<String>,
    /// What should be there.
    pub expected: Option<String>,
}

impl ReadError {
    /// File, line, found and expected, for whoever shows them apart.
    #[must_use]
    pub fn fault(&self) -> Fault {
        const LOSS: &str = "a finite number above 0";
        let (file, place, found, expected) = match self {
            Self::Value { file, place, found, expected, .. } => {
                (file, *place, Some(found.clone()), Some(expected.clone()))
            }
            Self::Loss { file, place, loss, .. } => {
                (file, *place, Some(loss.to_string()), Some(LOSS.to_owned()))
            }
            Self::Ragged { file, line, found, expected } => {
                (file, Place::Line(*line), Some(format!("{found} cells")), Some(format!("{expected} cells")))
            }
            Self::NoHeader { file, found } => (
                file,
                Place::Line(1),
                Some(found.clone()),
                Some("a header that names the columns".to_owned()),
            ),
            Self::Unrecognised { file, found, expected } => {
                (file, Place::File, Some(found.clone()), Some((*expected).to_owned()))
            }
            Self::MissingColumn { file, role, columns } => {
                (file, Place::File, Some(quoted(columns)), Some(format!("a column for the {role}")))
            }
            Self::UnknownColumn { file, name, columns, .. } => {
                (file, Place::File, Some(quoted(columns)), Some(format!("a column '{name}'")))
            }
            Self::NoSplit { file, split, has, .. } => {
                (file, Place::File, Some(has.clone()), Some((*split).to_owned()))
            }
            Self::Broken { file, place, .. } | Self::MixedRuns { file, place, .. } => {
                (file, *place, None, None)
            }
            Self::Io { file, .. }
            | Self::Compressed { file, .. }
            | Self::Empty { file }
            | Self::NoRows { file }
            | Self::Axis { file, .. }
            | Self::NoRate { file, .. }
            | Self::Refused { file, .. }
            | Self::Curve { file, .. }
            | Self::Schedule { file, .. }
            | Self::Recognise { file, .. }
            | Self::NoPoint { file, .. }
            | Self::DuplicateRun { second: file, .. }
            | Self::Store { store: file, .. } => (file, Place::File, None, None),
            Self::Map { .. } | Self::NoRun { .. } | Self::NoMatch { .. } => return Fault::default(),
        };
        let line = match place {
            Place::Line(line) => Some(line),
            Place::File | Place::Row(_) | Place::Byte(_) => None,
        };
        Fault { file: Some(file.clone()), line, found, expected }
    }

    /// What to do about it, where there is a way out.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Io { .. } | Self::Schedule { .. } | Self::Recognise { .. } => return None,
            Self::Empty { .. } | Self::NoRows { .. } => "the run may have ended before its first log line".into(),
            Self::NoHeader { .. } => "put a first line such as 'step,lr,loss' before the numbers".into(),
            Self::Unrecognised { .. } => "`lehr import --help` lists what is read".into(),
            Self::MissingColumn { role, .. } => {
                format!("say which column it is: [[map]] '{role}=NAME'", role = role.replace(' ', "_"))
            }
            Self::UnknownColumn { .. } => "names are compared letter by letter".into(),
            Self::Map { .. } => {
                "write ROLE=COLUMN; the roles are step, loss, val_loss, lr, run, split, tokens and samples".into()
            }
            Self::Curve { error: CurveError::Outside { .. }, .. } => {
                "the horizon that the log or its manifest states is shorter than the points; correct it".into()
            }
            Self::NoPoint { .. } => "leave the run out with [[run]], or map another column with [[map]] loss=NAME".into(),
            Self::Value { what, .. } if what.starts_with("run '") => {
                "correct the manifest; docs/formats/manifest.md describes it".into()
            }
            Self::Broken { file, .. } if file.contains("manifest") => {
                "correct the manifest; docs/formats/manifest.md describes it".into()
            }
            Self::Value { .. } => "correct the value, or map another column with [[map]] ROLE=COLUMN".into(),
            Self::Ragged { .. } => "the file may be cut off or have been edited; restore the row or delete it".into(),
            Self::Curve { .. } => return None,
            Self::Broken { .. } => "the file may be cut off; restore it from where it was written".into(),
            Self::Loss { .. } => "[[drop_nan]] leaves these rows out; the run then carries a caveat".into(),
            Self::MixedRuns { .. } => {
                "name the column that tells runs apart with [[map]] run=NAME, or training from validation with [[map]] split=NAME, or keep the last row of each update with [[stitch]]"
                    .into()
            }
            Self::NoRate { .. } => {
                "map its column with [[map]] lr=NAME, or say the schedule: [[stated_schedule]] wsd:peak=…,total=…,warmup=…,ratio=… for all runs, a manifest (docs/formats/manifest.md) for each".into()
            }
            Self::NoSplit { .. } => "leave [[split]] out to take what there is".into(),
            Self::DuplicateRun { .. } => "load them apart, or rename one".into(),
            Self::NoRun { hints, .. } if !hints.is_empty() => hints.join("; or "),
            Self::NoRun { .. } => "name a log, a table, a directory of them, or a run store".into(),
            Self::NoMatch { .. } => "[[run]] takes names and patterns with *, ? and [abc]; !PATTERN takes all but those".into(),
            Self::Refused { hint, .. } => hint.clone(),
            Self::Axis { option, .. } => {
                format!("say how many with {option} N, or name a column of updates with [[map]] step=NAME")
            }
            Self::Compressed { hint, .. } => (*hint).to_owned(),
            Self::Store { hint, .. } => (*hint).to_owned(),
        })
    }

    /// Whether the file may be no log at all: tables of something else lie beside many logs.
    fn is_of_something_else(&self) -> bool {
        matches!(
            self,
            Self::Unrecognised { .. }
                | Self::Empty { .. }
                | Self::MissingColumn { .. }
                | Self::NoHeader { .. }
                | Self::Ragged { .. }
        )
    }

    /// There is no run: why the files were passed over, and what would help each kind.
    pub(crate) fn no_run(looked: String, skipped: &[Self]) -> Self {
        /// More ways out than this are not read.
        const SHOWN: usize = 3;
        let of = |is_wanted: fn(&Self) -> bool| {
            let mut hints: Vec<String> = Vec::new();
            for hint in skipped.iter().filter(|error| is_wanted(error)).filter_map(Self::hint) {
                if hints.len() < SHOWN && !hints.contains(&hint) {
                    hints.push(hint);
                }
            }
            hints
        };
        let mut hints = of(|error| !error.is_of_something_else());
        if hints.is_empty() {
            hints = of(|error| matches!(error, Self::MissingColumn { .. }));
        }
        Self::NoRun { looked, skipped: skipped.iter().map(ToString::to_string).collect(), hints }
    }

    /// A file of a kind that only builds with a feature read; `what` with its article.
    #[must_use]
    pub fn without_feature(file: &str, what: &str, feature: &str) -> Self {
        Self::Refused {
            file: file.to_owned(),
            why: format!("{what}; this lehr was built without the feature `{feature}`"),
            hint: format!("build lehr with it: --features {feature} (or full)"),
        }
    }

    /// Whether the file is no log at all, rather than a log with a fault: then one found inside a directory is passed
    /// over with a note.
    #[must_use]
    pub fn is_not_a_log(&self) -> bool {
        let unusable = matches!(
            self,
            Self::Axis { .. }
                | Self::UnknownColumn { .. }
                | Self::Refused { .. }
                | Self::NoRows { .. }
                | Self::NoPoint { .. }
                | Self::NoRate { .. }
                | Self::Compressed { .. }
        );
        unusable
            || self.is_of_something_else()
            || matches!(self, Self::Broken { file, .. } if !file.contains("manifest"))
    }

    pub(crate) fn io(file: &str) -> impl FnOnce(std::io::Error) -> Self {
        let file = file.to_owned();
        move |error| match error.get_ref().and_then(|inner| inner.downcast_ref::<ExpandError>()) {
            Some(expand) => Self::Compressed { problem: expand.to_string(), hint: expand.hint(), file },
            None => Self::Io { file, error },
        }
    }
}
