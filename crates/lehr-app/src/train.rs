//! One small run, from its configuration to its curve in a run store.

mod failure;
pub mod material;
mod outline;

pub use outline::{Counts, Floor, Outline, TrainPlanAnswer};

use crate::answer::Answer;
use crate::desk::Desk;
use crate::documents::Document;
use crate::failure::Failure;
use crate::files::file_source;
use crate::observer::Event;
use crate::store::Replacement;
use crate::writing::{check_target, write_file};
use lehr::{Caveat, CaveatKind, Schedule};
use lehr_io::Note;
use lehr_io::run_store::POINTS;
use lehr_train::config_file::{ModelChoice, at_line};
use lehr_train::expert_tokens::{self, ExpertTokens};
use lehr_train::session::{Advance, Existing, Plan, Session, branch_point};
use lehr_train::sweep::Record;
use lehr_train::{Corpus, CpuTrainer, RunConfig, TrainError, TrainFile, Trainer};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What is said instead of what the configuration says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changes {
    /// A preset.
    pub preset: Option<String>,
    /// Tokens in a sequence.
    pub context: Option<u64>,
    /// Text files, folders, JSON lines, Parquet, token files; empty: as the configuration says.
    pub data: Vec<String>,
    /// Key or column that holds the text.
    pub column: Option<String>,
    /// A tokenizer.json.
    pub tokenizer: Option<String>,
    /// Folder where tokens are kept.
    pub cache: Option<String>,
    /// Sequences per update.
    pub batch: Option<u64>,
    /// The schedule as text.
    pub schedule: Option<String>,
    /// Seed.
    pub seed: Option<u64>,
    /// Updates between two validations.
    pub validate_every: Option<u64>,
}

/// A run: what it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RunRequest {
    /// The configuration (TOML); `None`: the defaults.
    pub config: Option<PathBuf>,
    /// What is said instead of it.
    pub changes: Changes,
    /// Threads; `None`: all cores.
    pub threads: Option<usize>,
    /// Its name; `None`: made of model, schedule and seed.
    pub name: Option<String>,
}

/// Where a branch begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Branch {
    /// The snapshot.
    pub snapshot: PathBuf,
    /// Name of the run that it is of.
    pub trunk: String,
}

/// What to do where the run was begun before and not finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Begun {
    /// Refuses to train.
    #[default]
    Refuse,
    /// Goes on from the last snapshot.
    Resume,
    /// Throws away what there is.
    Restart,
}

impl From<Begun> for Existing {
    fn from(begun: Begun) -> Self {
        match begun {
            Begun::Refuse => Self::Refuse,
            Begun::Resume => Self::Resume,
            Begun::Restart => Self::Restart,
        }
    }
}

/// A run to train, and where to keep its curve.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainRequest {
    /// The run.
    pub run: RunRequest,
    /// Directory of the run store; made if it is not there.
    pub store: PathBuf,
    /// Put the run in the place of one of the same name in the store.
    pub replace: bool,
    /// File for the tokens that each expert got between validations (CSV).
    pub experts: Option<PathBuf>,
    /// What to do where it was begun before.
    pub begun: Begun,
    /// Folder of snapshots that are kept, `RUN-at-UPDATE.safetensors`; one is written after the last update, too.
    pub snapshots: Option<PathBuf>,
    /// Keep a snapshot after every so many updates.
    pub snapshot_every: Option<u64>,
    /// Begin from a snapshot of another run of the same model, data, batch and seed.
    pub branch: Option<Branch>,
    /// Seconds between two renewals of the snapshot that resuming goes on from.
    pub save_seconds: f64,
}

/// Where a run diverged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Divergence {
    /// The first update that could not be done.
    pub update: u64,
    /// What was not finite, or more than thrice that of guessing: `loss`, `gradient norm` or `validation loss`.
    pub quantity: &'static str,
}

/// A run that was trained.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct TrainAnswer {
    /// The run store.
    pub store: String,
    /// What was trained.
    pub outline: Outline,
    /// Updates done; fewer than the horizon where the run diverged.
    pub completed: u64,
    /// The update after which this call went on, where it resumed a run.
    pub resumed_at: Option<u64>,
    /// Where it diverged, if it did.
    pub diverged: Option<Divergence>,
    /// Seconds that this call trained.
    pub seconds: f64,
    /// Tokens a second in this call, validations included.
    pub tokens_per_second: Option<f64>,
    /// Loss of the last update's batch, nats per token.
    pub training_loss: Option<f64>,
    /// Last validation loss, nats per token.
    pub validation_loss: Option<f64>,
    /// Of a mixture of experts: tokens of every expert over the whole run, `[layer][expert]`; else empty.
    pub expert_tokens: Vec<Vec<u64>>,
    /// What to beware of: data that repeat, divergence (blocking).
    pub caveats: Vec<Caveat>,
    /// Every update.
    #[serde(skip)]
    pub records: Vec<Record>,
}

impl Document for TrainAnswer {
    const SCHEMA: &'static str = "lehr.train/1";
}

impl TrainAnswer {
    /// Mean training loss over the last twentieth of the updates, and how many they are: one batch is noisy.
    #[must_use]
    pub fn last_training_loss(&self) -> Option<(f64, usize)> {
        let count = self.records.len().div_ceil(20);
        let last = self.records.get(self.records.len() - count..)?;
        (count > 0).then(|| (last.iter().map(|record| record.loss).sum::<f64>() / count as f64, count))
    }
}

/// The configuration's file with the changes in it, the schedule, and the file's name and text.
type Settings = (TrainFile, Schedule, Option<(String, String)>);

/// A name that tells runs of different settings apart.
fn default_name(file: &TrainFile, config: &RunConfig, schedule: &Schedule) -> String {
    let model = match &file.model {
        ModelChoice::Preset(name) => name.clone(),
        ModelChoice::Keys(keys) => match &keys.preset {
            Some(name) => name.clone(),
            None => format!("d{}-l{}", config.model.width, config.model.layers),
        },
    };
    let kind = schedule.to_string().split(':').next().unwrap_or("schedule").to_owned();
    let ratio = match schedule {
        Schedule::Wsd(wsd) if kind == "wsd" => format!("-r{}", (wsd.ratio() * 1e4).round() / 1e4),
        _ => String::new(),
    };
    let (peak, total) = (schedule.peak_lr(), schedule.total());
    format!("{model}-b{}-{kind}-p{peak}-T{total}{ratio}-s{}", config.batch, config.seed)
}

/// Refuses a store that has a run of that name, before anything is trained.
fn check_store(store: &Path, run: &str, replace: bool, notes: &mut Vec<Note>) -> Result<(), Failure> {
    let held = Replacement::begin(store, notes)?;
    let there = held.before().is_some_and(|manifest| manifest.runs.contains_key(run));
    if there && !replace {
        return Err(Failure::new(format_args!("{}: it has a run '{run}' already", store.display()))
            .hint("[[run]] names another, [[replace]] puts the new one in its place"));
    }
    Ok(())
}

/// Tokens of every expert over the whole run, `[layer][expert]`.
fn totals(rows: &[ExpertTokens]) -> Vec<Vec<u64>> {
    let mut totals: Vec<Vec<u64>> = Vec::new();
    for row in rows {
        totals.resize(totals.len().max(row.layer + 1), Vec::new());
        let layer = &mut totals[row.layer];
        layer.resize(layer.len().max(row.expert + 1), 0);
        layer[row.expert] += row.tokens;
    }
    totals
}

/// Writes the tokens that each expert got as CSV.
pub(crate) fn write_experts(file: &Path, runs: &[(String, Vec<ExpertTokens>)]) -> Result<(), Failure> {
    write_file(file, expert_tokens::csv(runs).as_bytes())
}

/// Adds the run's curves to the store.
fn keep(store: &Path, session: &mut Session, replace: bool) -> Result<(), Failure> {
    let (validation, training) = session.curves()?;
    let run = &session.plan().run;
    let replacement = Replacement::begin(store, &mut Vec::new())?;
    let before = replacement.before();
    if !replace && before.is_some_and(|manifest| manifest.runs.contains_key(run)) {
        return Err(Failure::new(format_args!("{}: it has a run '{run}' by now", store.display()))
            .hint("[[resume]] with [[replace]] puts this one in its place; nothing is trained again"));
    }
    let mut writer = replacement.writer()?;
    match (&validation, &training) {
        (Some(validation), training) => writer.push_both(validation, training.as_ref(), "lehr train")?,
        (None, Some(training)) => writer.push(training, "lehr train")?,
        (None, None) => {
            return Err(Failure::new(format_args!(
                "run '{run}' diverged at its first update: there is no point to keep"
            ))
            .hint("a lower peak rate or a longer warm-up"));
        }
    }
    if let Some(manifest) = before {
        let old = file_source(&store.join(POINTS), 1, false)?;
        writer.copy(&old, manifest, &|id| id != run)?;
    }
    replacement.commit(writer)
}

/// A run whose data are open.
struct Opened {
    name: String,
    config: RunConfig,
    schedule: Schedule,
    corpus: Arc<Corpus>,
    lanes: usize,
    outline: Outline,
}

impl Desk {
    fn settings(&self, request: &RunRequest) -> Result<Settings, Failure> {
        let changes = &request.changes;
        let source = match &request.config {
            Some(path) => Some((path.display().to_string(), self.files().text(path)?)),
            None => None,
        };
        let mut file = match &source {
            Some((name, text)) => TrainFile::parse(name, text)?,
            None => TrainFile::default(),
        };
        let small = |name: &str, value: u64| {
            u32::try_from(value)
                .map_err(|_| Failure::usage(format_args!("[[{name}]] {value} is more than {}", u32::MAX)))
        };
        if let Some(preset) = &changes.preset {
            match &mut file.model {
                ModelChoice::Preset(name) => name.clone_from(preset),
                ModelChoice::Keys(keys) => keys.preset = Some(preset.clone()),
            }
        }
        if let Some(context) = changes.context {
            file.model.keys().context = Some(small("context", context)?);
        }
        if !changes.data.is_empty() {
            file.data.paths.clone_from(&changes.data);
        }
        for (to, from) in [
            (&mut file.data.column, &changes.column),
            (&mut file.data.tokenizer, &changes.tokenizer),
            (&mut file.data.cache, &changes.cache),
        ] {
            if from.is_some() {
                to.clone_from(from);
            }
        }
        if let Some(batch) = changes.batch {
            file.batch = small("batch", batch)?;
        }
        file.seed = changes.seed.unwrap_or(file.seed);
        file.validate_every = changes.validate_every.unwrap_or(file.validate_every);
        let text = changes.schedule.clone().or_else(|| file.schedule.clone()).ok_or_else(|| {
            Failure::usage("no schedule was given")
                .hint("for example [[wsd]] peak=3e-3,total=1000,warmup=50,ratio=0.2, or the key schedule of the configuration")
        })?;
        let schedule: Schedule = text.parse().map_err(Failure::usage)?;
        Ok((file, schedule, source))
    }

    fn open(&self, request: &RunRequest) -> Result<Opened, Failure> {
        let (file, schedule, source) = self.settings(request)?;
        let placed = |error: TrainError| match &source {
            Some((name, text)) => at_line(name, text, error),
            None => error,
        };
        self.check_horizon(schedule.total().0)?;
        let (config, corpus) =
            self.work("opening the data", || file.open().map_err(|error| Failure::from(placed(error))))?;
        let corpus = Arc::new(corpus);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let lanes = match request.threads {
            Some(0) => return Err(Failure::usage("[[threads]] 0 computes nothing; expected at least 1")),
            threads => threads.unwrap_or(cores).min(config.batch as usize),
        };
        let name = request.name.clone().unwrap_or_else(|| default_name(&file, &config, &schedule));
        if name.is_empty() || name.starts_with('.') || name.contains(['/', '\\']) {
            return Err(Failure::usage(format_args!("[[run]] '{name}' is no name"))
                .hint("a name without / and without a dot at its beginning"));
        }
        let outline = Outline::new(&name, &config, &schedule, &corpus, lanes)?;
        Ok(Opened { name, config, schedule, corpus, lanes, outline })
    }

    /// Says what a run would be and what it would cost, and leaves nothing.
    ///
    /// # Errors
    /// [`Failure`] with file and line for a configuration that is wrong, and for data that cannot be read.
    pub fn plan_training(&self, request: &RunRequest) -> Result<Answer<TrainPlanAnswer>, Failure> {
        let opened = self.open(request)?;
        let config = &opened.config;
        let outline = opened.outline;
        let outline = self.work("timing the model", || outline.timed(config))?;
        let caveats = opened.corpus.caveats(opened.schedule.total().0);
        Ok(Answer {
            value: TrainPlanAnswer { outline, caveats: caveats.clone() },
            caveats,
            notes: Vec::new(),
        })
    }

    /// Trains a run and keeps its curve. It may be killed at any moment: resuming goes on to the same bits.
    ///
    /// # Errors
    /// As [`Desk::plan_training`]; for a store that has such a run or cannot be written; of kind
    /// [`Interrupted`](crate::FailureKind::Interrupted) when the observer stops it, after a snapshot.
    pub fn train(&self, request: &TrainRequest) -> Result<Answer<TrainAnswer>, Failure> {
        let opened = self.open(&request.run)?;
        let mut notes = Vec::new();
        check_store(&request.store, &opened.name, request.replace, &mut notes)?;
        check_target(request.experts.as_deref())?;
        let pause = Duration::try_from_secs_f64(request.save_seconds).map_err(|error| {
            Failure::usage(format_args!("[[save_seconds]] {}: {error}", request.save_seconds))
        })?;
        let Opened { name, config, schedule, corpus, lanes, outline } = opened;
        let mut trainer = CpuTrainer::new(&config, corpus.clone(), lanes)?;
        if let Some(branch) = &request.branch {
            trainer.load(&branch.snapshot)?;
        }
        let branch = request.branch.as_ref().map(|branch| branch_point(&branch.trunk, trainer.completed()));
        let dataset = corpus.name().to_owned();
        let plan = Plan { run: name, config, schedule, lanes, dataset, branch };
        let first = plan.first();
        let folder = request.store.join(".train").join(&plan.run);
        let session = Session::begin(&folder, plan, Box::new(trainer), request.begun.into());
        let mut session = session
            .map_err(|error| {
                let failure = Failure::from(error);
                if request.begun == Begun::Refuse && folder.join("run.json").exists() {
                    failure.hint("[[resume]] goes on with it, [[restart]] begins again")
                } else {
                    failure
                }
            })?
            .with_pause(pause);
        let begun = session.completed();
        let resumed_at = (begun > first).then_some(begun);
        if let Some(update) = resumed_at {
            self.observer().hear(Event::Said(&format!("resumes after update {update}")));
        }
        let since = Instant::now();
        let rates: Vec<f64> = (1..=outline.updates).map(|update| session.rate(update)).collect();
        self.observer().hear(Event::TrainingBegun { outline: &outline, rates: &rates });
        let advanced = self.advance(request, &mut session);
        self.observer().hear(Event::TrainingEnded);
        let diverged = advanced?;
        let seconds = since.elapsed().as_secs_f64();
        let completed = session.completed();
        let records = session.records()?;
        let experts = session.expert_tokens()?;
        if let Some(file) = &request.experts {
            write_experts(file, &[(outline.run.clone(), experts.clone())])?;
        }
        // If the store cannot be written, resuming finds everything trained.
        session.save()?;
        keep(&request.store, &mut session, request.replace)?;
        let mut caveats = corpus.caveats(outline.updates);
        if let Some(divergence) = &diverged {
            caveats.push(
                CaveatKind::TrainingDiverged {
                    update: divergence.update,
                    of: outline.updates,
                    quantity: divergence.quantity.to_string(),
                    points: records.len() as u64,
                }
                .into(),
            );
        }
        session.remove()?;
        let value = TrainAnswer {
            store: request.store.display().to_string(),
            completed,
            resumed_at,
            diverged,
            seconds,
            tokens_per_second: (completed > begun)
                .then(|| (completed - begun) as f64 * outline.tokens_per_update as f64 / seconds),
            training_loss: records.last().map(|record| record.loss),
            validation_loss: records.iter().rev().find_map(|record| record.validation),
            expert_tokens: totals(&experts),
            outline,
            caveats: caveats.clone(),
            records,
        };
        Ok(Answer { value, caveats, notes })
    }

    /// Trains to the end, or to where the run diverges.
    fn advance(&self, request: &TrainRequest, session: &mut Session) -> Result<Option<Divergence>, Failure> {
        if let Some(folder) = &request.snapshots {
            std::fs::create_dir_all(folder).map_err(Failure::at(folder))?;
        }
        let total = session.plan().schedule.total().0;
        loop {
            if self.observer().cancelled() {
                session.save()?;
                return Err(Failure::interrupted(format_args!(
                    "interrupted; {} of {total} updates are kept",
                    session.completed()
                ))
                .hint("the same with [[resume]] goes on from there"));
            }
            match session.advance()? {
                Advance::End => return Ok(None),
                Advance::Diverged { update, quantity } => return Ok(Some(Divergence { update, quantity })),
                Advance::Done(record) => {
                    let rate = session.rate(record.update);
                    self.observer().hear(Event::Trained { record: &record, rate });
                    let due = request.snapshot_every.is_some_and(|every| record.update.is_multiple_of(every));
                    if let Some(folder) = &request.snapshots
                        && (due || record.update == total)
                    {
                        let name = format!("{}-at-{}.safetensors", session.plan().run, record.update);
                        session.save_to(&folder.join(name))?;
                    }
                }
            }
        }
    }
}
