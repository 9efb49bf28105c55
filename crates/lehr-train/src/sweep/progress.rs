//! How far a sweep is.

use crate::sweep::error::SweepError;
use crate::sweep::estimate::{Speeds, estimate_rest};
use crate::sweep::folder::{Folder, Lock};
use crate::sweep::graph::{Job, Kind};
use crate::sweep::integrity;
use crate::sweep::journal::{Seal, records_in};
use serde::{Deserialize, Serialize};

/// What is written down about a job. `Waiting` also stands for one that was interrupted: its snapshots say how far it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// Not finished.
    #[default]
    Waiting,
    /// Not finished, with time spent up to its last snapshot.
    Begun {
        /// Updates that the seconds were spent on.
        updates: u64,
        /// Seconds of training.
        seconds: f64,
        /// What the journal held then.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seal: Option<Seal>,
    },
    /// All updates are done.
    Done {
        /// Updates that the seconds were spent on.
        updates: u64,
        /// Seconds of training.
        seconds: f64,
        /// What the journal holds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seal: Option<Seal>,
    },
    /// The loss or its gradient was not finite any more, or the loss above 3·ln V, thrice that of guessing: a result.
    Diverged {
        /// The update at which it happened, of the run or of its trunk.
        update: u64,
        /// What was.
        quantity: String,
        /// The trunk, when it happened before the branch point.
        #[serde(default)]
        trunk: Option<String>,
        /// What the journal holds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seal: Option<Seal>,
    },
    /// It cannot be trained; `lehr sweep resume` tries again.
    Failed {
        /// Why.
        problem: String,
    },
}

impl State {
    /// Whether there is nothing left to do.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Done { .. } | Self::Diverged { .. })
    }

    /// Updates and seconds spent on them, so far.
    #[must_use]
    pub fn spent(&self) -> (u64, f64) {
        match self {
            Self::Begun { updates, seconds, .. } | Self::Done { updates, seconds, .. } => {
                (*updates, *seconds)
            }
            _ => (0, 0.0),
        }
    }

    /// What the journal held when this was written.
    #[must_use]
    pub fn seal(&self) -> Option<Seal> {
        match self {
            Self::Begun { seal, .. } | Self::Done { seal, .. } | Self::Diverged { seal, .. } => *seal,
            _ => None,
        }
    }

    /// The job as one that is to be trained again, with the time that was spent on it.
    #[must_use]
    pub fn reopened(&self) -> Self {
        match self.spent() {
            (0, _) => Self::Waiting,
            (updates, seconds) => Self::Begun { updates, seconds, seal: self.seal() },
        }
    }
}

/// How far one job is.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct JobProgress {
    /// Name of the job.
    pub id: String,
    /// `trunk`, `branch` or `alone`.
    pub kind: &'static str,
    /// `waiting`, `running`, `done`, `diverged`, `failed` or `damaged`.
    pub state: &'static str,
    /// Updates done by the trunk before the job begins.
    pub first: u64,
    /// Updates done, those of the trunk included.
    pub completed: u64,
    /// Horizon T, updates.
    pub total: u64,
    /// The last training loss of a running job, nats per token.
    pub loss: Option<f64>,
    /// Why it failed, how it diverged, or what is wrong with its journal.
    pub problem: Option<String>,
}

impl JobProgress {
    /// Whether nothing is left to do.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(self.state, "done" | "diverged")
    }
}

/// How far a sweep is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Progress {
    /// Whether an executor is at work.
    pub active: bool,
    /// The jobs in the order of the graph.
    pub jobs: Vec<JobProgress>,
    /// Updates that are done.
    pub updates_done: u64,
    /// Updates of all jobs; what diverged counts as far as it came.
    pub updates: u64,
    /// Seconds until the end with so many jobs at a time, where the speeds are known.
    pub seconds_left: Option<f64>,
    /// Bytes of the snapshots that are there.
    pub snapshot_bytes: u64,
}

impl Progress {
    /// Looks at the folder; `slots` jobs at a time are assumed for the time left. Of journals only the length is looked at.
    ///
    /// # Errors
    /// [`SweepError`] when a state cannot be read.
    pub fn of(folder: &Folder, slots: usize) -> Result<Self, SweepError> {
        Self::with(folder, slots, &integrity::wrong_length)
    }

    /// As [`Progress::of`], and reads every journal of a finished job to tell whether it holds what it must.
    ///
    /// # Errors
    /// [`SweepError`] when a state or journal cannot be read.
    pub fn verified(folder: &Folder, slots: usize) -> Result<Self, SweepError> {
        Self::with(folder, slots, &integrity::damage)
    }

    fn with(
        folder: &Folder,
        slots: usize,
        damage: &dyn Fn(&Folder, &Job, &State) -> Result<Option<String>, SweepError>,
    ) -> Result<Self, SweepError> {
        let graph = folder.graph();
        let mut jobs = Vec::with_capacity(graph.jobs.len());
        let mut speeds = folder.speeds()?;
        let mut spent = Speeds::default();
        for job in &graph.jobs {
            let state = folder.state(&job.id)?;
            let (updates, seconds) = state.spent();
            spent.spend(job, updates, seconds);
            let journal = folder.points(&job.id);
            let written = (job.first() + records_in(&journal)).min(job.last());
            let kind = match job.kind {
                Kind::Trunk { .. } => "trunk",
                Kind::Branch { .. } => "branch",
                Kind::Alone => "alone",
            };
            let damaged = if state.is_final() { damage(folder, job, &state)? } else { None };
            let (word, completed, problem) = match &state {
                // It is trained again from its beginning.
                _ if damaged.is_some() => ("damaged", job.first(), damaged),
                State::Done { .. } => ("done", job.last(), None),
                State::Diverged { update, quantity, trunk, .. } => {
                    let whose = trunk.as_ref().map_or(String::new(), |trunk| format!(" in {trunk}"));
                    let problem = format!("{quantity} out of bounds at update {update}{whose}");
                    ("diverged", (update - 1).max(job.first()), Some(problem))
                }
                State::Failed { problem } => ("failed", written, Some(problem.clone())),
                State::Waiting | State::Begun { .. } => {
                    let running = Lock::is_held(&folder.job_lock(&job.id));
                    (if running { "running" } else { "waiting" }, written, None)
                }
            };
            jobs.push(JobProgress {
                id: job.id.clone(),
                kind,
                state: word,
                first: job.first(),
                completed,
                total: job.last(),
                loss: if word == "running" { last_loss(&journal) } else { None },
                problem,
            });
        }
        speeds.prefer(&spent);
        let updates_done: u64 = jobs.iter().map(|job| job.completed - job.first).sum();
        let left = |job: &JobProgress| if job.is_final() { 0 } else { job.total - job.completed };
        let updates = updates_done + jobs.iter().map(left).sum::<u64>();
        Ok(Self {
            active: Lock::is_held(&folder.path().join("lock")),
            updates_done,
            updates,
            seconds_left: estimate_rest(graph, &jobs, &speeds, slots),
            jobs,
            snapshot_bytes: folder.snapshot_bytes(),
        })
    }

    /// Number of jobs in a state.
    #[must_use]
    pub fn count(&self, state: &str) -> usize {
        self.jobs.iter().filter(|job| job.state == state).count()
    }
}

/// The loss of the last whole record of a journal.
fn last_loss(journal: &std::path::Path) -> Option<f64> {
    use std::io::{Read, Seek, SeekFrom};
    let records = records_in(journal).checked_sub(1)?;
    let mut file = std::fs::File::open(journal).ok()?;
    file.seek(SeekFrom::Start(records * crate::sweep::journal::RECORD + 8)).ok()?;
    let mut bytes = [0; 8];
    file.read_exact(&mut bytes).ok()?;
    Some(f64::from_le_bytes(bytes)).filter(|loss| loss.is_finite())
}
