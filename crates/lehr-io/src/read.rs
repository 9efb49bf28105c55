//! Sources → runs, one at a time.

mod branch;
mod finals;
mod finish;
mod jobs;
mod rates;
mod smoothing;
mod tables;
mod together;
mod unsmooth;

use crate::error::ReadError;
use crate::health::Health;
use crate::import::{Group, group};
use crate::manifest::{Manifest, Rise};
use crate::mapping::{MapOverrides, Mapping};
use crate::name;
use crate::note::Note;
use crate::rebuild::ScheduleOrigin;
use crate::rows::RawRun;
use crate::run_store::{self, OpenStore, StoreManifest};
use crate::source::Source;
use crate::table;
use crate::unit::LossUnit;
use finish::{Context, FirstStep, finish};
use lehr::{But, Caveat, Cell, Curve, LossKind, Schedule};
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::io::Read;
use std::sync::Arc;

pub use rates::{LoggedRates, logged_rates};

/// Which losses are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SplitChoice {
    /// Validation where a run has it, else what there is.
    #[default]
    Auto,
    /// Training losses only.
    Train,
    /// Validation losses only.
    Validation,
}

/// What the user wants of the reading.
#[derive(Debug, Clone, Default)]
pub struct ReadOptions {
    /// Columns by role.
    pub map: MapOverrides,
    /// Only runs whose name fits one of these patterns, and none of those that begin with `!`; without patterns: all.
    pub runs: Vec<String>,
    /// Which losses.
    pub split: SplitChoice,
    /// Warm-up updates, where the log does not begin early enough to show them.
    pub warmup: Option<u64>,
    /// N of every run, whatever the source says.
    pub params: Option<u64>,
    /// Column of the manifest that holds N.
    pub params_column: Option<String>,
    /// Tokens per update, where the source does not say.
    pub tokens_per_step: Option<u64>,
    /// Samples (sequences) per update, for logs that count samples alone.
    pub samples_per_step: Option<u64>,
    /// The schedule of every run, whatever was logged.
    pub schedule: Option<Schedule>,
    /// The rate that a logged 1 stands for, where rates are multiples of a peak.
    pub lr_scale: Option<f64>,
    /// What a training loss stands for, whatever the source says.
    pub loss_kind: Option<LossKind>,
    /// The unit of every loss, whatever the source says.
    pub unit: Option<LossUnit>,
    /// Leave rows out whose loss is NaN, infinite, zero or negative.
    pub drop_nan: bool,
    /// Keep the last row of each update, also where rows look like several runs.
    pub stitch: bool,
    /// Keep at most so many points a run, evenly over the updates, the last one always.
    pub max_points: Option<usize>,
    /// A manifest for all sources, besides those found next to them.
    pub manifest: Option<Source>,
}

/// A run, ready to be fitted, and what there is to say about it.
#[derive(Debug, Clone)]
pub struct LoadedRun {
    /// The curve.
    pub curve: Curve,
    /// The file it came from.
    pub file: String,
    /// What the file is: `CSV`, `Parquet`, `W&B run file`, …
    pub format: String,
    /// The columns, where it was a table.
    pub mapping: Option<Mapping>,
    /// How the schedule is known.
    pub schedule: ScheduleOrigin,
    /// Spikes, divergence, noise (of all points, before `max_points`).
    pub health: Health,
    /// What to beware of.
    pub caveats: Vec<Caveat>,
    /// What was done.
    pub notes: Vec<Note>,
}

/// How far the reading is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Files begun.
    pub files: usize,
    /// Files in all.
    pub of_files: usize,
    /// Runs finished.
    pub runs: usize,
}

/// What concerns no single run.
#[derive(Debug, Clone, Default)]
pub struct Summary {
    /// Runs visited.
    pub runs: usize,
    /// Files passed over, runs of a manifest without rows, …
    pub notes: Vec<Note>,
    /// What is to beware of in the runs taken together.
    pub caveats: Vec<Caveat>,
    /// The mapping of each kind of table: an example file, its format, the columns, how many files share it.
    pub mappings: Vec<(String, String, Mapping, usize)>,
}

/// Reads every run of the sources and hands it to `visit`; only one run (of a table sorted by run) is held at a time.
///
/// Manifests (`manifest.csv`, `.tsv`, `.toml`) speak for the runs of their directory and those below it. Where there is no log
/// that one speaks for, its rows with a final loss and a schedule are runs themselves, of one point each. A file that
/// was [found](Source::found) rather than named and is no log is passed over with a note.
///
/// # Errors
/// [`ReadError`] for the first fault of a log, for names that no run has, and when there is no run at all; and what
/// `visit` returns.
pub fn for_each_run<E: From<ReadError>>(
    sources: &[Source],
    options: &ReadOptions,
    progress: &mut dyn FnMut(Progress),
    visit: &mut dyn FnMut(LoadedRun) -> Result<(), E>,
) -> Result<Summary, E> {
    let mut reading = Reading::new(sources, options)?;
    let mut done = Progress { of_files: reading.logs.len(), ..Progress::default() };
    let mut skipped = Vec::new();
    for at in 0..reading.logs.len() {
        done.files = at + 1;
        progress(done);
        if reading.jobs.is_later(at) {
            continue;
        }
        let parts = reading.parts(at);
        let source = &parts[0].sources[0];
        let name = reading.names[at].clone();
        let context = reading.context(at)?;
        let mut failed = None;
        let result = jobs::read(&parts, &name, &context, &mut |raw, mapping, format| match reading
            .take(raw, mapping, format, &context, at)
        {
            Ok(Some(run)) => {
                done.runs += 1;
                progress(done);
                visit(run).map_err(|error| {
                    failed = Some(error);
                    stop()
                })
            }
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        });
        if let Some(error) = failed {
            return Err(error);
        }
        match result {
            Ok(()) => {}
            Err(error) if source.found() && error.is_not_a_log() => {
                // A table that lacks something says more than a file that is no log at all.
                let place = if matches!(error, ReadError::Unrecognised { .. }) { skipped.len() } else { 0 };
                reading.summary.notes.push(Note::new("skipped-file", "passed over", error.to_string()));
                skipped.insert(place, error);
            }
            Err(error) => return Err(error.into()),
        }
    }
    for (raw, mapping, format, at) in std::mem::take(&mut reading.waiting) {
        let context = reading.context(at)?;
        match reading.complete(raw, mapping.as_ref(), &format, &context, at) {
            Ok(Some(run)) => {
                done.runs += 1;
                progress(done);
                visit(run)?;
            }
            Ok(None) => {}
            Err(error) if reading.logs[at].sources[0].found() && error.is_not_a_log() => {
                reading.summary.notes.push(Note::new("skipped-file", "passed over", error.to_string()));
                skipped.insert(0, error);
            }
            Err(error) => return Err(error.into()),
        }
    }
    for run in reading.finals()? {
        done.runs += 1;
        progress(done);
        visit(run)?;
    }
    reading.finish(done, skipped).map_err(E::from)
}

/// An error that only carries the visitor's own error out, or says that there was nothing at all.
fn stop() -> ReadError {
    ReadError::NoRun { looked: String::new(), skipped: Vec::new(), hints: Vec::new() }
}

struct Reading<'a> {
    options: &'a ReadOptions,
    logs: Vec<Arc<Group>>,
    names: Vec<String>,
    jobs: jobs::Jobs,
    /// By directory.
    manifests: BTreeMap<String, Arc<Manifest>>,
    given: Option<Arc<Manifest>>,
    /// How warm-ups rise, by directory of the manifest and word for the schedule.
    rises: BTreeMap<String, Arc<BTreeMap<String, Rise>>>,
    /// First update of the earliest log of a directory, looked for when it is first asked for.
    first_steps: BTreeMap<String, FirstStep<'a>>,
    /// File of each run's name.
    seen: BTreeMap<String, String>,
    unmatched: Vec<String>,
    /// Runs that wait for the run that they left.
    waiting: Vec<(RawRun, Option<Mapping>, String, usize)>,
    trunks: Vec<branch::Trunk>,
    /// Name of the run that has these points: digest, number.
    points: BTreeMap<(u64, usize), String>,
    in_manifest: BTreeSet<(String, String)>,
    said: BTreeSet<(String, String)>,
    together: together::Together,
    summary: Summary,
}

impl<'a> Reading<'a> {
    fn new(sources: &[Source], options: &'a ReadOptions) -> Result<Self, ReadError> {
        // What a writer of stores has begun is no log, wherever it was found.
        let finished = sources.iter().filter(|source| !run_store::is_unfinished(source.file_name())).cloned();
        let (mut manifests, mut logs): (Vec<_>, Vec<_>) =
            finished.partition(|source| Manifest::is_named_so(source.file_name()));
        let mut by_directory = BTreeMap::new();
        let mut summary = Summary::default();
        for log in logs.iter_mut().filter(|log| log.file_name() == run_store::POINTS) {
            let of_store = |source: &Source| {
                source.directory() == log.directory() && source.file_name() == run_store::MANIFEST
            };
            let at = manifests.iter().position(of_store);
            let Some(store) = OpenStore::open(log, at.map(|at| &manifests[at]))? else { continue };
            let name = at.map_or_else(|| log.name().to_owned(), |at| manifests[at].name().to_owned());
            if store.is_copy {
                summary.notes.push(Note::new(
                    "manifest-behind",
                    &name,
                    "an interrupted write left it missing or behind the points; the copy inside points.parquet is used",
                ));
            }
            let read = Manifest::of_store(&name, store.manifest)?;
            by_directory.insert(log.directory().to_owned(), Arc::new(read));
            *log = store.points;
            if let Some(at) = at {
                manifests.remove(at);
            }
        }
        for source in &manifests {
            let read = match store_without_points(source)? {
                Some(store) => Manifest::of_store(source.name(), store)?,
                None => Manifest::read(source)?,
            };
            by_directory.insert(source.directory().to_owned(), Arc::new(read));
        }
        let logs: Vec<Arc<Group>> = group(logs)?.into_iter().map(Arc::new).collect();
        let named: Vec<Source> = logs.iter().map(|group| group.named.clone()).collect();
        let names = name::of_files(&named);
        let given = options.manifest.as_ref().map(Manifest::read).transpose()?.map(Arc::new);
        // A run that a manifest names is one of its own.
        let is_named = |name: &str| {
            let last = name.rsplit('/').next().unwrap_or(name);
            given
                .iter()
                .chain(by_directory.values())
                .any(|manifest| manifest.entries().iter().any(|entry| entry.id == name || entry.id == last))
        };
        let jobs = jobs::Jobs::find(&logs, &names, options, &is_named);
        let firsts = logs.iter().enumerate().filter(|(at, _)| !jobs.is_later(*at)).map(|(_, log)| log);
        let first_steps = FirstStep::by_directory(firsts, options);
        Ok(Self {
            options,
            names,
            jobs,
            manifests: by_directory,
            given,
            rises: BTreeMap::new(),
            first_steps,
            logs,
            seen: BTreeMap::new(),
            unmatched: Vec::new(),
            waiting: Vec::new(),
            trunks: Vec::new(),
            points: BTreeMap::new(),
            in_manifest: BTreeSet::new(),
            said: BTreeSet::new(),
            together: together::Together::default(),
            summary,
        })
    }

    /// The files of the run that begins with a log: itself, and those in which it goes on.
    fn parts(&self, at: usize) -> Vec<Arc<Group>> {
        std::iter::once(at).chain(self.jobs.after(at)).map(|at| Arc::clone(&self.logs[at])).collect()
    }

    /// The manifest that speaks for a source, and its directory: the one that was named, else the nearest.
    fn manifest_of(&self, source: &Source) -> Option<(String, Arc<Manifest>)> {
        match &self.given {
            Some(given) => Some((String::new(), given.clone())),
            None => self.nearest_manifest(source),
        }
    }

    /// The nearest manifest at or above a source, and its directory.
    fn nearest_manifest(&self, source: &Source) -> Option<(String, Arc<Manifest>)> {
        let mut directory = source.directory();
        loop {
            if let Some(manifest) = self.manifests.get(directory) {
                return Some((directory.to_owned(), manifest.clone()));
            }
            match directory.rfind(['/', '\\']) {
                Some(end) => directory = &directory[..end],
                None if directory.is_empty() => return None,
                None => directory = "",
            }
        }
    }

    fn context(&mut self, at: usize) -> Result<Context<'a>, ReadError> {
        let source = &self.logs[at].named;
        let manifest = self.manifest_of(source);
        let rises = match &manifest {
            Some((directory, manifest)) => match self.rises.get(directory) {
                Some(rises) => Arc::clone(rises),
                None => {
                    let logs: Vec<&Group> = self
                        .logs
                        .iter()
                        .map(Arc::as_ref)
                        .filter(|log| log.named.directory().starts_with(directory.as_str()))
                        .collect();
                    let rises = Arc::new(tables::rises(&logs, manifest, self.options)?);
                    self.rises.insert(directory.clone(), Arc::clone(&rises));
                    rises
                }
            },
            None => Arc::default(),
        };
        Ok(Context {
            options: self.options,
            manifest: manifest.map(|(_, manifest)| manifest),
            rises,
            first_step: self.first_steps.get(self.logs[at].named.directory()).cloned().unwrap_or_default(),
            has_beginning: self.jobs.has_beginning(),
        })
    }

    /// Names, filters and finishes one run.
    fn take(
        &mut self,
        mut raw: RawRun,
        mapping: Option<&Mapping>,
        format: &str,
        context: &Context<'_>,
        at: usize,
    ) -> Result<Option<LoadedRun>, ReadError> {
        if let Some(first) = self.seen.get(&raw.id).cloned() {
            // The same name in another file: its directory or file tells it apart.
            let prefixed = if raw.id == self.names[at] {
                format!("{}#2", raw.id)
            } else {
                format!("{}/{}", self.names[at], raw.id)
            };
            if self.seen.contains_key(&prefixed) {
                return Err(ReadError::DuplicateRun { id: raw.id, first, second: raw.file });
            }
            raw.notes
                .push(("renamed", format!("named '{prefixed}', because {first} has a run '{}' too", raw.id)));
            raw.id.clone_from(&prefixed);
            raw.meta.id = prefixed;
        }
        self.seen.insert(raw.id.clone(), raw.file.clone());
        if !name::is_wanted(&self.options.runs, &raw.id) {
            self.unmatched.push(raw.id);
            return Ok(None);
        }
        if let Some(mapping) = mapping {
            match self
                .summary
                .mappings
                .iter_mut()
                .find(|(_, kind, known, _)| kind == format && known == mapping)
            {
                Some((file, _, _, count)) => *count += usize::from(*file != raw.file),
                None => self.summary.mappings.push((raw.file.clone(), format.to_owned(), mapping.clone(), 1)),
            }
        }
        if let Some(entry) = context.manifest.as_ref().and_then(|manifest| manifest.get(&raw.id)) {
            self.in_manifest.insert((self.logs[at].named.directory().to_owned(), entry.id.clone()));
        }
        if branch::awaits_trunk(&raw, context)? {
            self.waiting.push((raw, mapping.cloned(), format.to_owned(), at));
            return Ok(None);
        }
        self.complete(raw, mapping, format, context, at)
    }

    /// Finishes a run that has its name.
    fn complete(
        &mut self,
        mut raw: RawRun,
        mapping: Option<&Mapping>,
        format: &str,
        context: &Context<'_>,
        at: usize,
    ) -> Result<Option<LoadedRun>, ReadError> {
        if branch::awaits_trunk(&raw, context)? {
            let entry = context.manifest.as_ref().and_then(|manifest| manifest.get(&raw.id));
            let stated = entry.map(crate::manifest::Entry::branch).transpose()?.flatten();
            branch::attach(&mut raw, stated, &self.trunks)?;
        }
        let mut run = finish(raw, &self.logs[at].named, context)?;
        self.trunks.push(branch::Trunk::of(&run.curve));
        if let Some(first) = self.same_points(&run) {
            self.summary.notes.push(Note::new(
                "same-points",
                run.curve.meta().id.clone(),
                format!("holds the same points as '{first}', bit by bit: one run, counted once"),
            ));
            return Ok(None);
        }
        self.together.add(&run);
        run.mapping = mapping.cloned();
        format.clone_into(&mut run.format);
        // What concerns a directory is said once.
        run.notes.retain(|note| self.said.insert((note.about.clone(), note.message.clone())));
        Ok(Some(run))
    }

    /// A run with exactly these points, rates and numbers; the run is remembered where there is none.
    fn same_points(&mut self, run: &LoadedRun) -> Option<String> {
        /// Fewer points may agree by chance of rounding.
        const ENOUGH: usize = 8;
        let curve = &run.curve;
        if curve.step().len() < ENOUGH {
            return None;
        }
        let mut hasher = std::hash::DefaultHasher::new();
        curve.step().hash(&mut hasher);
        curve.loss().iter().for_each(|loss| loss.to_bits().hash(&mut hasher));
        curve.schedule().peak_lr().to_bits().hash(&mut hasher);
        let key = (hasher.finish(), curve.step().len());
        if let Some(first) = self.points.get(&key) {
            return Some(first.clone());
        }
        self.points.insert(key, curve.meta().id.clone());
        None
    }

    fn finish(mut self, done: Progress, mut skipped: Vec<ReadError>) -> Result<Summary, ReadError> {
        if done.runs == 0 {
            if !self.unmatched.is_empty() {
                return Err(ReadError::NoMatch {
                    patterns: self.options.runs.clone(),
                    names: self.unmatched,
                });
            }
            let looked = match self.logs.as_slice() {
                [] => "what was named".to_owned(),
                [one] => one.named.name().to_owned(),
                [first, ..] => format!("{} files, {} the first", self.logs.len(), first.named.name()),
            };
            // One file that is a log with a fault: its own error says more, and what helps.
            if let [first, rest @ ..] = skipped.as_slice()
                && !matches!(first, ReadError::Unrecognised { .. })
                && rest.iter().all(|error| matches!(error, ReadError::Unrecognised { .. }))
            {
                return Err(skipped.swap_remove(0));
            }
            return Err(ReadError::no_run(looked, &skipped));
        }
        for pattern in &self.options.runs {
            let name = pattern.strip_prefix('!').unwrap_or(pattern);
            if !self.seen.keys().any(|id| lehr::names_run(name, id)) {
                self.summary.notes.push(Note::new(
                    "pattern-without-run",
                    pattern.as_str(),
                    "no run has this name",
                ));
            }
        }
        if self.options.runs.is_empty() {
            for (directory, manifest) in &self.manifests {
                let without: Vec<&str> = manifest
                    .entries()
                    .iter()
                    .map(|entry| entry.id.as_str())
                    .filter(|id| {
                        !self.in_manifest.iter().any(|(at, seen)| at.starts_with(directory) && seen == id)
                    })
                    .collect();
                if let Some(first) = without.first() {
                    self.summary.notes.push(Note::new(
                        "manifest-without-rows",
                        if directory.is_empty() { "manifest" } else { directory },
                        format!("{} runs of the manifest have no rows ('{first}' …)", without.len()),
                    ));
                }
            }
        }
        self.summary.caveats = self.together.caveats();
        self.summary.runs = done.runs;
        Ok(self.summary)
    }
}

/// The manifest of a run store whose points are not there; `None` for any other manifest.
fn store_without_points(source: &Source) -> Result<Option<StoreManifest>, ReadError> {
    if source.file_name() != run_store::MANIFEST {
        return Ok(None);
    }
    let mut text = String::new();
    source
        .open()
        .and_then(|mut reader| reader.read_to_string(&mut text))
        .map_err(ReadError::io(source.name()))?;
    StoreManifest::parse(source.directory(), &text)
}

/// Groups of runs of one configuration: same schedule, size, batch, data and split. Their difference is the noise floor.
#[must_use]
pub fn twins(curves: &[Curve]) -> Vec<Vec<String>> {
    let mut groups: Vec<(Cell, Vec<String>)> = Vec::new();
    let mut known = BTreeMap::new();
    for curve in curves {
        let cell = Cell::of(curve, But::Nothing);
        let at = *known.entry(cell.clone()).or_insert(groups.len());
        if at == groups.len() {
            groups.push((cell, Vec::new()));
        }
        groups[at].1.push(curve.meta().id.clone());
    }
    groups.into_iter().map(|(_, ids)| ids).filter(|ids| ids.len() > 1).collect()
}

pub(crate) use tables::whole;

/// Archives that are not expanded.
fn archive(head: &[u8]) -> Option<&'static str> {
    Some(match head {
        [b'P', b'K', 3, 4, ..] => "a zip archive (unpack it first)",
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => {
            "an xz file (xz -d first; gzip and Zstandard are expanded while reading)"
        }
        [b'B', b'Z', b'h', b'1'..=b'9', ..] => {
            "a bzip2 file (bzip2 -d first; gzip and Zstandard are expanded while reading)"
        }
        _ if head.get(257..262) == Some(b"ustar") => "a tar archive (unpack it first)",
        _ => return None,
    })
}

/// The first line with a Python dict of losses, as trainers print them between progress bars.
///
/// The prefix of a logger may stand before it.
fn printed_dict(head: &[u8]) -> Option<String> {
    let dict = head.split(|&byte| byte == b'\n' || byte == b'\r').find_map(|line| {
        let dict = &line[memchr::memmem::find(line, b"{'")?..];
        // A line of JSON or of a table may hold such a text in a cell.
        let is_json = line.trim_ascii_start().starts_with(b"{\"");
        let has = |name: &&str| memchr::memmem::find(dict, name.as_bytes()).is_some();
        (!is_json && ["'loss':", "'eval_loss':", "'learning_rate':"].iter().any(has)).then_some(dict)
    })?;
    Some(String::from_utf8_lossy(dict).into_owned())
}

/// What the file is, by its first bytes.
fn format_of(source: &Source) -> Result<table::Format, ReadError> {
    let file = source.name();
    let head = source.head(table::HEAD).map_err(ReadError::io(file))?;
    if head.iter().all(u8::is_ascii_whitespace) {
        return Err(ReadError::Empty { file: file.to_owned() });
    }
    if let Some(line) = printed_dict(&head) {
        let without = if ["'step':", "'global_step':"].iter().any(|name| line.contains(name)) {
            ""
        } else {
            " without steps"
        };
        return Err(ReadError::Refused {
            file: file.to_owned(),
            why: format!(
                "dicts of Python, printed by a trainer{without}: found {}; expected JSON or a table",
                table::shortened(&line)
            ),
            hint: "read trainer_state.json of the output directory (its newest checkpoint has one), or the run's tracker, which hold the step of each row; a script of your own can print json.dumps(…) of its rows".to_owned(),
        });
    }
    // A document found beside logs (settings, summaries) is not one of them; JSON lines are named so.
    let is_document = source.found() && source.plain_name().to_lowercase().ends_with(".json");
    table::sniff(&head).filter(|_| !is_document).ok_or_else(|| ReadError::Unrecognised {
        file: file.to_owned(),
        found: if let Some(archive) = archive(&head) {
            archive.to_owned()
        } else if head.contains(&0) || std::str::from_utf8(&head).is_err_and(|error| error.error_len().is_some()) {
            format!("binary data ({:02x?} …)", &head[..head.len().min(4)])
        } else {
            let text = String::from_utf8_lossy(&head);
            format!("the text {}", table::shortened(text.trim().lines().next().unwrap_or_default()))
        },
        expected: "CSV, TSV, JSON lines or Parquet with columns for step, loss and learning rate, or a log of a known trainer",
    })
}
