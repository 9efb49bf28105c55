//! The state of a reading, and what is done with each run of it.

mod finals;

use super::finish::{Context, FirstStep, finish};
use super::{LoadedRun, Progress, ReadOptions, Summary, branch, jobs, tables, together};
use crate::error::ReadError;
use crate::import::{Group, group};
use crate::manifest::{Manifest, Rise};
use crate::mapping::Mapping;
use crate::name;
use crate::note::Note;
use crate::rows::RawRun;
use crate::run_store::{self, OpenStore, StoreManifest};
use crate::source::Source;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::io::Read;
use std::sync::Arc;

/// One reading of many sources: which runs were seen, what waits, what was said.
pub(super) struct Reading<'a> {
    pub options: &'a ReadOptions,
    pub logs: Vec<Arc<Group>>,
    pub names: Vec<String>,
    pub jobs: jobs::Jobs,
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
    pub waiting: Vec<(RawRun, Option<Mapping>, String, usize)>,
    trunks: Vec<branch::Trunk>,
    /// Name of the run that has these points: digest, number.
    points: BTreeMap<(u64, usize), String>,
    in_manifest: BTreeSet<(String, String)>,
    said: BTreeSet<(String, String)>,
    together: together::Together,
    pub summary: Summary,
}

impl<'a> Reading<'a> {
    pub fn new(sources: &[Source], options: &'a ReadOptions) -> Result<Self, ReadError> {
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
    pub fn parts(&self, at: usize) -> Vec<Arc<Group>> {
        std::iter::once(at).chain(self.jobs.after(at)).map(|at| Arc::clone(&self.logs[at])).collect()
    }

    /// The manifest that speaks for a source, and its directory: the one that was named, else the nearest.
    pub fn manifest_of(&self, source: &Source) -> Option<(String, Arc<Manifest>)> {
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

    pub fn context(&mut self, at: usize) -> Result<Context<'a>, ReadError> {
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
    pub fn take(
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
    pub fn complete(
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

    pub fn finish(mut self, done: Progress, mut skipped: Vec<ReadError>) -> Result<Summary, ReadError> {
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
