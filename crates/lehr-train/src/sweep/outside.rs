//! A trainer that is not lehr's: the command that the plan names, and what its logs said, kept as a journal.
//!
//! ```text
//! [trainer] command = "python train.py --job {job}"    one process a job, told everything by its job file
//!           logs = "logs/{name}.jsonl"                 what it logs; read back when it ends
//! ```
//! Checkpoints are the trainer's. lehr names the places where they are to be, waits for those of branch points, and removes
//! what it named itself once no branch needs it.

use crate::sweep::error::{SweepError, at};
use crate::sweep::folder::Folder;
use crate::sweep::graph::Job;
use crate::sweep::journal::{Journal, Record, Seal};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The trainer of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TrainerPlan {
    /// A shell command, run in the plan's folder: `{job}` is the path of the job file, `{name}` the name of the job, `{dir}` the
    /// sweep's folder.
    pub command: String,
    /// Where it logs, relative to the plan's folder; `{name}` and `{dir}` as in `command`. Any source that lehr imports.
    pub logs: String,
    /// Which column of the logs holds what, as `--map` says it: `["loss=train/loss", "val_loss=eval/loss"]`.
    #[serde(default)]
    pub map: Vec<String>,
    /// Failures in a row after which a job is given up, at least 1.
    #[serde(default = "default_attempts")]
    pub attempts: u32,
    /// Configurations of these trainers are put into the job file, as `lehr schedule --export` writes them.
    #[serde(default)]
    pub exports: Vec<String>,
    /// GPUs of each job, for clusters.
    #[serde(default)]
    pub gpus: Option<u32>,
    /// Nodes of each job, for clusters.
    #[serde(default)]
    pub nodes: Option<u32>,
    /// Anything else for the trainer: handed on in the job file as it is.
    #[serde(default)]
    pub settings: BTreeMap<String, serde_json::Value>,
}

fn default_attempts() -> u32 {
    3
}

/// The trainer of a sweep, with the folder that its paths are relative to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OutsideTrainer {
    /// What the plan says.
    #[serde(flatten)]
    pub plan: TrainerPlan,
    /// The plan's folder.
    pub beside: PathBuf,
}

/// What a trainer says by its exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// All updates are done, every checkpoint asked for is there.
    Done,
    /// The run diverged: a result.
    Diverged,
    /// It was interrupted (preempted, out of time) and wants to go on from its last checkpoint. No failure.
    Again,
    /// Anything else.
    Failed,
}

/// The exit code of a run that diverged.
pub const DIVERGED: i32 = 10;
/// The exit code of a run that wants to be started again (`EX_TEMPFAIL`).
pub const AGAIN: i32 = 75;

impl Verdict {
    /// What an exit code says; `None` is a signal.
    #[must_use]
    pub fn of(code: Option<i32>) -> Self {
        match code {
            Some(0) => Self::Done,
            Some(DIVERGED) => Self::Diverged,
            Some(AGAIN) => Self::Again,
            _ => Self::Failed,
        }
    }
}

/// A word as a shell takes it literally.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

impl OutsideTrainer {
    /// The command of a job for a shell.
    #[must_use]
    pub fn command(&self, folder: &Folder, job: &Job) -> String {
        let place = |path: &Path| quoted(&absolute(path).to_string_lossy());
        self.plan
            .command
            .replace("{job}", &place(&folder.job_file(&job.id)))
            .replace("{name}", &quoted(&job.id))
            .replace("{dir}", &place(folder.path()))
    }

    /// Where a job logs.
    #[must_use]
    pub fn logs(&self, folder: &Folder, id: &str) -> PathBuf {
        let dir = absolute(folder.path());
        self.beside.join(self.plan.logs.replace("{name}", id).replace("{dir}", &dir.to_string_lossy()))
    }
}

/// The path from the root; as it is where the system does not say.
pub(crate) fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())
}

/// What was logged of a job: losses by update.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Logged {
    /// Training losses.
    pub training: BTreeMap<u64, f64>,
    /// Validation losses.
    pub validation: BTreeMap<u64, f64>,
}

impl Logged {
    /// The last update that has a loss.
    #[must_use]
    pub fn last(&self) -> Option<u64> {
        let last = |losses: &BTreeMap<u64, f64>| losses.keys().next_back().copied();
        last(&self.training).max(last(&self.validation))
    }
}

/// Writes the journal of a job from its logs: a record of every update from its first to `last`, NaN where nothing was
/// logged. Losses of updates before the job's first one are those of its trunk and are left out.
///
/// # Errors
/// [`SweepError::Train`] when it cannot be written.
pub fn keep(folder: &Folder, job: &Job, logged: &Logged, last: u64) -> Result<Seal, SweepError> {
    let path = folder.points(&job.id);
    // A name of a job may hold a dot: what is added stands behind all of it.
    let beside = path.with_file_name(format!("{}.new", job.id));
    // Written whole beside it, so that a killed worker leaves the old one or the new one.
    drop(std::fs::remove_file(&beside));
    let Some(mut journal) = Journal::without_experts(&beside)? else {
        return Err(SweepError::Folder {
            place: beside,
            problem: "it cannot be cut to no record".to_owned(),
            expected: "a file that can be written".to_owned(),
        });
    };
    for update in job.first() + 1..=last {
        let record = Record {
            update,
            loss: logged.training.get(&update).copied().unwrap_or(f64::NAN),
            gradient_norm: f64::NAN,
            validation: logged.validation.get(&update).copied(),
            balance_loss: None,
            z_loss: None,
            sequence_gradient_norm: None,
        };
        journal.push(&record, &[])?;
    }
    journal.sync()?;
    std::fs::rename(&beside, &path).map_err(at(&path, "write"))?;
    Ok(journal.seal())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_say_how_a_run_ended() {
        let said = [Some(0), Some(10), Some(75), Some(1), None].map(Verdict::of);
        assert_eq!(
            said,
            [Verdict::Done, Verdict::Diverged, Verdict::Again, Verdict::Failed, Verdict::Failed]
        );
    }

    #[test]
    fn words_are_quoted_for_the_shell() {
        assert_eq!(quoted("it's here"), "'it'\\''s here'");
    }
}
