//! One run with a state on the disk, so that it may be interrupted at any moment.
//!
//! ```text
//! folder/run.json           what is trained
//! folder/points.journal     one record an update
//! folder/last.safetensors   a snapshot that is renewed every so often
//! folder/lock               held while a process trains
//! ```
//! The journal is put on the disk before every snapshot. A session that is taken up again loads the snapshot, cuts the
//! journal to it, and trains on to the same losses, bit for bit.

use crate::error::TrainError;
use crate::expert_tokens::{self, ExpertTokens};
use crate::run_config::RunConfig;
use crate::sweep::SweepError;
use crate::sweep::journal::{self, Journal, Record, read};
use crate::trainer::Trainer;
use lehr::{BranchPoint, Curve, RunMeta, Schedule, Split, Steps};
use serde::{Deserialize, Serialize};
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What a session trains.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The run's name.
    pub run: String,
    /// Model, optimiser, data, batch, seed.
    pub config: RunConfig,
    /// The rates of all updates, also of those before a branch point.
    pub schedule: Schedule,
    /// Threads among which a batch is divided; part of what decides the last bits of the losses.
    pub lanes: usize,
    /// Name of the data.
    pub dataset: String,
    /// The trunk whose snapshot the run begins from, and the updates that it had done.
    pub branch: Option<BranchPoint>,
}

impl Plan {
    /// Updates done before the first one of this run.
    #[must_use]
    pub fn first(&self) -> u64 {
        self.branch.as_ref().map_or(0, |branch| branch.at.0)
    }

    /// Whether there is a validation after this update: every `validate_every`, and after the last.
    #[must_use]
    pub fn validates_at(&self, update: u64) -> bool {
        self.config.validates_at(update, self.schedule.total().0)
    }

    /// The run's metadata, of losses of a split.
    #[must_use]
    pub fn meta(&self, split: Split) -> RunMeta {
        self.config.meta(&self.run, &self.dataset, self.branch.clone(), split)
    }
}

/// What to do with a state that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// Refuse to begin.
    Refuse,
    /// Go on from it; begin if there is none.
    Resume,
    /// Throw it away.
    Restart,
}

/// What an advance came to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Advance {
    /// An update was done.
    Done(Record),
    /// The run diverged at an update; its weights are those before it.
    Diverged {
        /// The update.
        update: u64,
        /// `loss`, `gradient norm` or `validation loss`.
        quantity: &'static str,
    },
    /// All updates were done before.
    End,
}

/// A run in training.
pub struct Session {
    folder: PathBuf,
    plan: Plan,
    rates: Vec<f64>,
    trainer: Box<dyn Trainer>,
    journal: Journal,
    saved: Instant,
    /// Time between two renewals of the snapshot.
    pause: Duration,
    _lock: File,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("folder", &self.folder).finish_non_exhaustive()
    }
}

fn cannot(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> TrainError {
    let file = path.to_path_buf();
    move |source| TrainError::File { file, action, source }
}

/// The part of a sweep's error that a journal can give.
fn plain(error: SweepError) -> TrainError {
    match error {
        SweepError::Train(error) => error,
        SweepError::Folder { place, problem, expected } => {
            TrainError::Snapshot { file: place, problem, expected }
        }
        other => TrainError::Data {
            place: "the session".to_owned(),
            problem: other.to_string(),
            expected: "a journal that can be read and written".to_owned(),
        },
    }
}

const RUN: &str = "run.json";
const JOURNAL: &str = "points.journal";
const LAST: &str = "last.safetensors";

impl Session {
    /// Takes up or begins a session in `folder`. `trainer` is freshly made, or loaded from the trunk's snapshot where the plan
    /// is a branch.
    ///
    /// # Errors
    /// [`TrainError::Snapshot`] when another process trains there, when there is a state and `existing` refuses, or when the
    /// state is of another plan or broken; [`TrainError::File`].
    pub fn begin(
        folder: &Path,
        plan: Plan,
        mut trainer: Box<dyn Trainer>,
        existing: Existing,
    ) -> Result<Self, TrainError> {
        std::fs::create_dir_all(folder).map_err(cannot("make", folder))?;
        let lock = lock(&folder.join("lock"))?;
        let (run, journal, last) = (folder.join(RUN), folder.join(JOURNAL), folder.join(LAST));
        let wrong = |file: &Path, problem: String, expected: &str| TrainError::Snapshot {
            file: file.to_path_buf(),
            problem,
            expected: expected.to_owned(),
        };
        if run.exists() {
            match existing {
                Existing::Refuse => {
                    let problem = format!("run '{}' was begun and not finished", plan.run);
                    return Err(wrong(&run, problem, "a decision: go on with it, or begin again"));
                }
                Existing::Resume => {
                    let text = std::fs::read_to_string(&run).map_err(cannot("read", &run))?;
                    let before: Plan = serde_json::from_str(&text).map_err(|error| {
                        wrong(&run, error.to_string(), "the file as it was written; begin again")
                    })?;
                    if let Some(key) = difference(&before, &plan) {
                        let problem = format!("the run that was begun has another {key}");
                        return Err(wrong(
                            &run,
                            problem,
                            "the configuration it was begun with; or begin again",
                        ));
                    }
                    if last.exists() {
                        trainer.load(&last)?;
                    }
                }
                Existing::Restart => {
                    for file in [&run, &journal, &expert_tokens::file_beside(&journal), &last]
                        .into_iter()
                        .filter(|file| file.exists())
                    {
                        std::fs::remove_file(file).map_err(cannot("remove", file))?;
                    }
                }
            }
        }
        let (first, total) = (plan.first(), plan.schedule.total().0);
        let done = trainer.completed();
        if !(first..=total).contains(&done) {
            let problem = format!("it is of update {done}");
            return Err(wrong(&last, problem, &format!("one of updates {first} … {total}")));
        }
        let text = serde_json::to_vec_pretty(&plan)
            .map_err(|error| wrong(&run, error.to_string(), "plain numbers"))?;
        crate::engine::snapshot::write_atomically(&run, &text)?;
        let journal =
            Journal::open(&journal, done - first, &plan.config.model).map_err(plain)?.ok_or_else(|| {
                wrong(
                    &journal,
                    "it ends before the snapshot".to_owned(),
                    "a record of every update; begin again",
                )
            })?;
        Ok(Self {
            folder: folder.to_path_buf(),
            rates: plan.schedule.rates(),
            plan,
            trainer,
            journal,
            saved: Instant::now(),
            pause: Duration::from_secs(60),
            _lock: lock,
        })
    }

    /// Renews the snapshot so often, not every minute.
    #[must_use]
    pub fn with_pause(self, pause: Duration) -> Self {
        Self { pause, ..self }
    }

    /// What is trained.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Updates done, those before a branch point included.
    #[must_use]
    pub fn completed(&self) -> u64 {
        self.trainer.completed()
    }

    /// Rate of an update, 1 … T.
    #[must_use]
    pub fn rate(&self, update: u64) -> f64 {
        self.rates[update as usize - 1]
    }

    /// Does the next update, with the validation behind it if there is one.
    ///
    /// # Errors
    /// [`TrainError`] when data cannot be read or the state cannot be written.
    pub fn advance(&mut self) -> Result<Advance, TrainError> {
        let update = self.completed() + 1;
        if update > self.plan.schedule.total().0 {
            return Ok(Advance::End);
        }
        // A run that diverges leaves its last snapshot, from which it can be looked at.
        let (config, total, rate) = (&self.plan.config, self.plan.schedule.total().0, self.rate(update));
        let record = match journal::advance(self.trainer.as_mut(), config, rate, total) {
            Ok(record) => record,
            Err(TrainError::Diverged { update, quantity, .. }) => {
                return Ok(Advance::Diverged { update, quantity });
            }
            Err(error) => return Err(error),
        };
        self.journal.push(&record, &self.trainer.expert_counts()).map_err(plain)?;
        if self.saved.elapsed() >= self.pause {
            self.save()?;
        }
        Ok(Advance::Done(record))
    }

    /// Renews the snapshot from which the session is taken up again.
    ///
    /// # Errors
    /// [`TrainError::File`].
    pub fn save(&mut self) -> Result<(), TrainError> {
        self.journal.sync().map_err(plain)?;
        self.trainer.save(&self.folder.join(LAST))?;
        self.saved = Instant::now();
        Ok(())
    }

    /// Writes a snapshot of the user's, to branch from.
    ///
    /// # Errors
    /// [`TrainError::File`].
    pub fn save_to(&self, file: &Path) -> Result<(), TrainError> {
        self.trainer.save(file)
    }

    /// Everything measured so far.
    ///
    /// # Errors
    /// [`TrainError`] when the journal cannot be read.
    pub fn records(&mut self) -> Result<Vec<Record>, TrainError> {
        self.journal.sync().map_err(plain)?;
        read(&self.folder.join(JOURNAL), self.plan.first()).map_err(plain)
    }

    /// Of a mixture of experts, the tokens that each expert got between validations, from the session's first update on.
    ///
    /// # Errors
    /// [`TrainError`] when they cannot be read.
    pub fn expert_tokens(&mut self) -> Result<Vec<ExpertTokens>, TrainError> {
        self.journal.sync().map_err(plain)?;
        let (config, first) = (&self.plan.config, self.plan.first());
        let width = expert_tokens::width(&config.model);
        let records = expert_tokens::read(&self.folder.join(JOURNAL), width).map_err(plain)?;
        let total = self.plan.schedule.total().0;
        Ok(expert_tokens::by_validation(&records, config, first, total))
    }

    /// The curves of validation and training losses; `None` where there is no point.
    ///
    /// A training loss stands at the update whose batch it was measured on (before that update changed the weights), a
    /// validation loss at the number of updates done.
    ///
    /// # Errors
    /// [`TrainError`] when the journal cannot be read.
    pub fn curves(&mut self) -> Result<(Option<Curve>, Option<Curve>), TrainError> {
        let records = self.records()?;
        let curve = |split, points: Vec<(u64, f64)>| {
            if points.is_empty() {
                return Ok(None);
            }
            let (step, loss) = points.into_iter().unzip();
            let curve = Curve::new(self.plan.meta(split), self.plan.schedule.clone(), step, loss);
            curve.map(Some).map_err(|error| TrainError::Snapshot {
                file: self.folder.join(JOURNAL),
                problem: error.to_string(),
                expected: "losses above 0".to_owned(),
            })
        };
        let validation =
            records.iter().filter_map(|record| Some((record.update, record.validation?))).collect();
        let training = records.iter().map(|record| (record.update, record.loss)).collect();
        Ok((curve(Split::Validation, validation)?, curve(Split::Train, training)?))
    }

    /// Removes the state: the curves are kept elsewhere now.
    ///
    /// # Errors
    /// [`TrainError::File`].
    pub fn remove(self) -> Result<(), TrainError> {
        std::fs::remove_dir_all(&self.folder).map_err(cannot("remove", &self.folder))
    }
}

/// The first part in which two plans differ.
fn difference(before: &Plan, now: &Plan) -> Option<&'static str> {
    let (a, b) = (&before.config, &now.config);
    [
        ("name", before.run != now.run),
        ("model", a.model != b.model),
        ("optimiser", a.optimiser != b.optimiser),
        ("data", a.data != b.data),
        ("batch", a.batch != b.batch),
        ("seed", a.seed != b.seed),
        ("validate_every", a.validate_every != b.validate_every),
        ("schedule", before.schedule != now.schedule),
        ("number of threads", before.lanes != now.lanes),
        ("branch point", before.branch != now.branch),
    ]
    .into_iter()
    .find_map(|(key, differs)| differs.then_some(key))
}

fn lock(path: &Path) -> Result<File, TrainError> {
    let file = File::options().create(true).append(true).open(path).map_err(cannot("open", path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(TrainError::Snapshot {
            file: path.to_path_buf(),
            problem: "another process trains this run".to_owned(),
            expected: "one process a run; wait for it, or name another run".to_owned(),
        }),
        Err(TryLockError::Error(source)) => Err(cannot("lock", path)(source)),
    }
}

/// The update and name of a trunk's snapshot: what it is to branch from it.
#[must_use]
pub fn branch_point(trunk: impl Into<String>, at: u64) -> BranchPoint {
    BranchPoint { trunk: trunk.into(), at: Steps(at) }
}
