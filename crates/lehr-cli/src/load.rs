//! PATH… → curves: the part of the command line that every verb reading logs shares.

use crate::failure::Failure;
use crate::output::{Output, say};
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use lehr::fit::dataset::condense;
use lehr::{Caveat, Curve, LossKind, Schedule, Steps};
use lehr_io::{
    LoadedRun, MapOverrides, Note, Progress, ReadError, ReadOptions, Source, SplitChoice, Summary,
};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Which logs to read, and how.
#[derive(Debug, Clone, Args)]
pub struct LoadArgs {
    /// Logs, tables, directories of them (searched to the bottom), run stores; patterns with * ? ** are expanded.
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Says which column holds what: loss, val_loss, lr, step, run, split, tokens, samples (repeat, or separate with
    /// commas).
    #[arg(long, value_name = "ROLE=COLUMN", value_delimiter = ',', help_heading = "Reading")]
    pub map: Vec<String>,
    /// Takes only runs whose name fits a pattern with * and ? (repeat, or separate with commas).
    #[arg(long, value_name = "GLOB", value_delimiter = ',', help_heading = "Reading")]
    pub run: Vec<String>,
    /// Takes these losses; default: validation where a run has it.
    #[arg(long, value_enum, help_heading = "Reading")]
    pub split: Option<SplitArg>,
    /// Warm-up updates of logs that begin after the warm-up.
    #[arg(long, value_name = "UPDATES", value_parser = count, help_heading = "Reading")]
    pub warmup: Option<u64>,
    /// Parameters N of every run, whatever the logs say (k M B are understood).
    #[arg(long, value_name = "N", value_parser = positive, help_heading = "Reading")]
    pub params: Option<u64>,
    /// Column of the manifest that holds N; default: without embeddings where the manifest has it.
    #[arg(long, value_name = "COLUMN", help_heading = "Reading")]
    pub params_column: Option<String>,
    /// Tokens per update, where the logs do not say (k M B are understood).
    #[arg(long, value_name = "TOKENS", value_parser = positive, help_heading = "Reading")]
    pub tokens_per_step: Option<u64>,
    /// Samples (sequences) per update, for logs that count samples and not updates.
    #[arg(long, value_name = "SAMPLES", value_parser = positive, help_heading = "Reading")]
    pub samples_per_step: Option<u64>,
    /// The schedule of every run, for logs without a learning rate: wsd:peak=3e-4,total=24k,warmup=2160,ratio=0.2 and the
    /// like (docs/formats/schedule-text.md).
    #[arg(long, value_name = "SCHEDULE", help_heading = "Reading")]
    pub stated_schedule: Option<String>,
    /// What a logged rate of 1 stands for, for logs that hold multiples of the peak rate.
    #[arg(long, value_name = "RATE", help_heading = "Reading")]
    pub lr_scale: Option<f64>,
    /// What a training loss stands for, whatever the source says: instant, mean:UPDATES or ema:DECAY.
    #[arg(long, value_name = "KIND", value_parser = loss_kind, help_heading = "Reading")]
    pub loss_kind: Option<LossKind>,
    /// A manifest (CSV or TOML) that describes the runs; one next to the logs is found without this.
    #[arg(long, value_name = "FILE", help_heading = "Reading")]
    pub manifest: Option<PathBuf>,
    /// Leaves rows out whose loss is NaN, infinite, zero or negative, instead of refusing them.
    #[arg(long, help_heading = "Reading")]
    pub drop_nan: bool,
    /// Keeps the last row of each update where rows look like several runs, instead of refusing them.
    #[arg(long, help_heading = "Reading")]
    pub stitch: bool,
}

/// Which losses to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SplitArg {
    /// Training losses.
    Train,
    /// Validation losses.
    #[value(alias = "validation")]
    Val,
}

/// Curves, and what there is to say about them.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The curves, in the order of the sources.
    pub curves: Vec<Curve>,
    /// What to beware of, of all runs.
    pub caveats: Vec<Caveat>,
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        let hint = error.hint();
        let failure = Self::new(error);
        match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

/// A whole number, with k, M, B or T behind it if one likes.
///
/// # Errors
/// A sentence that clap shows, for anything else.
pub fn count(text: &str) -> Result<u64, String> {
    let trimmed = text.trim().replace('_', "");
    let (number, unit) = match trimmed.char_indices().last() {
        Some((at, 'k' | 'K')) => (&trimmed[..at], 1e3),
        Some((at, 'm' | 'M')) => (&trimmed[..at], 1e6),
        Some((at, 'b' | 'B' | 'g' | 'G')) => (&trimmed[..at], 1e9),
        Some((at, 't' | 'T')) => (&trimmed[..at], 1e12),
        _ => (trimmed.as_str(), 1.0),
    };
    let value = number
        .trim()
        .parse::<f64>()
        .map_err(|_| format!("'{text}' is not a number such as 25000, 1.3B or 400M"))?;
    let value = (value * unit * 1e3).round() / 1e3;
    if value >= 0.0 && value.fract() == 0.0 && value < 1e18 {
        Ok(value as u64)
    } else {
        Err(format!("'{text}' is not a whole number of at least 0"))
    }
}

/// A whole number of at least 1.
///
/// # Errors
/// As [`count`], and for 0.
pub fn positive(text: &str) -> Result<u64, String> {
    match count(text)? {
        0 => Err("0 is none; expected at least 1".to_owned()),
        value => Ok(value),
    }
}

fn stated(text: &str) -> Result<Schedule, Failure> {
    text.parse().map_err(|error| {
        Failure::usage(format_args!("--stated-schedule '{text}': {error}"))
            .hint("write FAMILY:KEY=VALUE,…, for instance wsd:peak=3e-4,total=24k,warmup=2160,ratio=0.2")
    })
}

/// What one loss stands for.
fn loss_kind(text: &str) -> Result<LossKind, String> {
    let wrong =
        || format!("'{text}' is none of instant, mean:UPDATES (at least 1) and ema:DECAY (between 0 and 1)");
    match text.split_once(':') {
        None if text == "instant" => Ok(LossKind::Instant),
        Some(("mean", updates)) => Ok(LossKind::IntervalMean(Steps(positive(updates).map_err(|_| wrong())?))),
        Some(("ema", decay)) => {
            let decay = decay.parse().ok().filter(|decay| *decay > 0.0 && *decay < 1.0);
            Ok(LossKind::Ema(decay.ok_or_else(wrong)?))
        }
        _ => Err(wrong()),
    }
}

impl LoadArgs {
    /// Paths alone, nothing mapped or chosen.
    #[must_use]
    pub fn of_paths(paths: Vec<PathBuf>) -> Self {
        Self {
            paths,
            map: Vec::new(),
            run: Vec::new(),
            split: None,
            warmup: None,
            params: None,
            params_column: None,
            tokens_per_step: None,
            samples_per_step: None,
            stated_schedule: None,
            lr_scale: None,
            loss_kind: None,
            manifest: None,
            drop_nan: false,
            stitch: false,
        }
    }

    /// The library's options.
    pub fn options(&self) -> Result<ReadOptions, Failure> {
        let mut map = MapOverrides::default();
        for text in &self.map {
            map.add(text).map_err(|error| {
                let hint = error.hint();
                Failure::usage(error).hint(hint.unwrap_or_default())
            })?;
        }
        Ok(ReadOptions {
            map,
            runs: self.run.clone(),
            split: match self.split {
                None => SplitChoice::Auto,
                Some(SplitArg::Train) => SplitChoice::Train,
                Some(SplitArg::Val) => SplitChoice::Validation,
            },
            warmup: self.warmup,
            params: self.params,
            params_column: self.params_column.clone(),
            tokens_per_step: self.tokens_per_step,
            samples_per_step: self.samples_per_step,
            schedule: self.stated_schedule.as_deref().map(stated).transpose()?,
            lr_scale: match self.lr_scale {
                Some(scale) if !(scale.is_finite() && scale > 0.0) => {
                    return Err(Failure::usage(format_args!(
                        "--lr-scale is {scale}; expected a finite rate above 0"
                    )));
                }
                scale => scale,
            },
            loss_kind: self.loss_kind,
            drop_nan: self.drop_nan,
            stitch: self.stitch,
            max_points: None,
            manifest: self.manifest.as_deref().map(|path| file_source(path, 1, false)).transpose()?,
        })
    }

    /// The files behind the paths, in order of their names within each path.
    pub fn sources(&self) -> Result<Vec<Source>, Failure> {
        let mut sources = Vec::new();
        let mut seen = BTreeSet::new();
        let mut add = |path: &Path, below: usize, found: bool| -> Result<(), Failure> {
            if seen.insert(path.to_path_buf()) {
                sources.push(file_source(path, below, found)?);
            }
            Ok(())
        };
        let mut remote = Vec::new();
        for path in &self.paths {
            if let Some(found) = addressed(&path.to_string_lossy())? {
                remote.extend(found);
                continue;
            }
            for path in expand(path)? {
                if path.is_dir() {
                    let mut inside = Vec::new();
                    walk(&path, 1, &mut inside)?;
                    for (inside, depth) in inside {
                        add(&inside, depth, true)?;
                    }
                } else {
                    add(&path, 1, false)?;
                    // A manifest next to a named log speaks for it, and what a database keeps beside it belongs to it.
                    let name = path.file_name().unwrap_or_default().to_string_lossy();
                    for name in ["manifest.csv", "manifest.tsv", "manifest.toml"]
                        .map(str::to_owned)
                        .into_iter()
                        .chain(["-wal", "-journal"].map(|end| format!("{name}{end}")))
                    {
                        let beside = path.with_file_name(name);
                        if beside.is_file() && beside != path {
                            add(&beside, 1, true)?;
                        }
                    }
                }
            }
        }
        sources.extend(remote);
        Ok(sources)
    }
}

/// What lies at the address of an object store or web server; `None`: a path of the file system.
#[cfg(feature = "remote")]
fn addressed(path: &str) -> Result<Option<Vec<Source>>, Failure> {
    if !lehr_io::remote::is_address(path) {
        return Ok(None);
    }
    let settings: Vec<(String, String)> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| ["AWS_", "GOOGLE_", "AZURE_"].iter().any(|start| name.starts_with(start)))
        .collect();
    lehr_io::remote::sources(path, &settings).map(Some).map_err(|error| {
        Failure::from(error).hint("credentials and endpoints are taken from AWS_…, GOOGLE_… and AZURE_… in the environment; docs/formats/logs.md")
    })
}

/// What lies at an address: refused, since the feature is not built in.
#[cfg(not(feature = "remote"))]
fn addressed(path: &str) -> Result<Option<Vec<Source>>, Failure> {
    const SCHEMES: [&str; 9] = ["s3", "s3a", "gs", "gcs", "az", "azure", "abfs", "http", "https"];
    match path.split_once("://") {
        Some((scheme, _)) if SCHEMES.contains(&scheme) => Err(Failure::new(format_args!(
            "{path}: this lehr was built without reading from remote addresses"
        ))
        .hint("build it with `cargo build --release --features remote`, or copy the logs here")),
        _ => Ok(None),
    }
}

/// The paths that a pattern names, sorted; a path without a pattern as it is.
fn expand(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    if path.exists() {
        return Ok(vec![path.to_path_buf()]);
    }
    let text = path.to_string_lossy();
    if !text.contains(['*', '?', '[']) {
        return Err(Failure::new(format_args!("{text}: no such file or directory")));
    }
    let paths = glob::glob(&text)
        .map_err(|error| Failure::usage(format_args!("the pattern '{text}' is wrong: {error}")))?;
    let found: Vec<PathBuf> = paths.filter_map(Result::ok).collect();
    if found.is_empty() {
        return Err(Failure::new(format_args!("nothing fits the pattern '{text}'")));
    }
    Ok(found)
}

/// Files below a directory with their depth, sorted by name; hidden ones left out.
fn walk(directory: &Path, depth: usize, found: &mut Vec<(PathBuf, usize)>) -> Result<(), Failure> {
    /// Deeper than any log; a guard against directories that contain themselves.
    const DEEPEST: usize = 32;
    let at = |error: std::io::Error| Failure::new(format_args!("{}: {error}", directory.display()));
    let mut entries = std::fs::read_dir(directory).map_err(at)?.collect::<Result<Vec<_>, _>>().map_err(at)?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        if path.is_dir() {
            if depth < DEEPEST {
                walk(&path, depth + 1, found)?;
            }
        } else if path.is_file() {
            found.push((path, depth));
        }
    }
    Ok(())
}

/// A file as a source of the library.
pub fn file_source(path: &Path, below: usize, found: bool) -> Result<Source, Failure> {
    let length = std::fs::metadata(path)
        .map_err(|error| Failure::new(format_args!("{}: {error}", path.display())))?
        .len();
    let owned = path.to_path_buf();
    Ok(Source::new(path.to_string_lossy(), length, below, found, move || Ok(Box::new(File::open(&owned)?))))
}

/// A progress bar on stderr that appears after a second, on a terminal only.
struct Bar {
    bar: ProgressBar,
    since: Instant,
}

impl Bar {
    fn new() -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        Self { bar, since: Instant::now() }
    }

    fn show(&mut self, progress: Progress) {
        if self.bar.is_hidden() {
            if self.since.elapsed() < Duration::from_secs(1) || !std::io::stderr().is_terminal() {
                return;
            }
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
            if let Ok(style) = ProgressStyle::with_template("reading {bar:30} {pos}/{len} files, {msg}") {
                self.bar.set_style(style);
            }
        }
        self.bar.set_length(progress.of_files as u64);
        self.bar.set_position(progress.files as u64);
        self.bar.set_message(format!("{} runs", progress.runs));
    }
}

/// Reads run after run and hands each to `visit`, so that any number of runs fits into memory.
///
/// Notes are said on stderr at the end (not with `--json`), those of one kind together.
pub fn for_each_run(
    args: &LoadArgs,
    max_points: Option<usize>,
    output: &Output,
    visit: &mut dyn FnMut(LoadedRun) -> Result<(), Failure>,
) -> Result<Summary, Failure> {
    let options = ReadOptions { max_points, ..args.options()? };
    let sources = args.sources()?;
    let mut bar = Bar::new();
    let mut notes = Vec::new();
    let result = lehr_io::for_each_run(
        &sources,
        &options,
        &mut |progress| bar.show(progress),
        &mut |run: LoadedRun| {
            notes.extend(run.notes.iter().cloned());
            visit(run)
        },
    );
    bar.bar.finish_and_clear();
    let mut summary = result?;
    notes.append(&mut summary.notes);
    summary.notes = notes;
    if !output.json {
        say_mappings(&summary);
        say_notes(&summary.notes);
    }
    Ok(summary)
}

/// Reads all runs; notes go to stderr.
pub fn load(args: &LoadArgs, output: &Output) -> Result<Loaded, Failure> {
    load_condensed(args, None, output)
}

/// As [`load`], with at most about `held` points a run in memory (see [`lehr::fit::dataset::condense`]).
pub fn load_condensed(args: &LoadArgs, held: Option<usize>, output: &Output) -> Result<Loaded, Failure> {
    let mut condensed = 0_usize;
    let mut curves = Vec::new();
    let mut caveats = Vec::new();
    for_each_run(args, None, output, &mut |run| {
        add_caveats(&mut caveats, run.caveats);
        let rows = run.curve.step().len();
        let curve = match held {
            Some(most) => condense(run.curve, most),
            None => run.curve,
        };
        condensed += usize::from(curve.step().len() < rows);
        curves.push(curve);
        Ok(())
    })?;
    if condensed > 0 && !output.json {
        say(format_args!(
            "note: {condensed} run{} of more than {} points held as about that many: means of neighbouring training losses, every k-th other loss (--points all holds every row)",
            if condensed == 1 { "" } else { "s" },
            held.unwrap_or_default()
        ));
    }
    Ok(Loaded { curves, caveats })
}

/// Adds caveats; what concerns a whole directory comes with each of its runs and is kept once.
pub fn add_caveats(caveats: &mut Vec<Caveat>, more: Vec<Caveat>) {
    for caveat in more {
        if !caveats.contains(&caveat) {
            caveats.push(caveat);
        }
    }
}

fn say_mappings(summary: &Summary) {
    for (file, format, mapping, files) in &summary.mappings {
        let more = if *files > 1 { format!(" and {} more files", files - 1) } else { String::new() };
        say(format_args!("note: {format} {file}{more}: {mapping}"));
    }
}

/// Says notes on stderr; of more than three of one kind, the first and how many more.
fn say_notes(notes: &[Note]) {
    let mut by_code: BTreeMap<&str, Vec<&Note>> = BTreeMap::new();
    for note in notes {
        by_code.entry(&note.code).or_default().push(note);
    }
    for (code, notes) in by_code {
        let shown = if notes.len() > 3 { 1 } else { notes.len() };
        for note in &notes[..shown] {
            say(format_args!("note: {note}"));
        }
        if notes.len() > shown {
            say(format_args!(
                "note: … and {} more such notes ({code}; `lehr inspect --json` has all)",
                notes.len() - shown
            ));
        }
    }
}
