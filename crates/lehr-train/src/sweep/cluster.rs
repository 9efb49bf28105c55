//! What all executors share that hand jobs to a cluster: the folder made ready, and whether a job may begin.

use crate::sweep::error::{SweepError, at};
use crate::sweep::folder::Folder;
use crate::sweep::graph::{Job, Kind};
use crate::sweep::integrity::{first_missing, reopen};
use crate::sweep::local::Event;
use crate::sweep::outside::absolute;
use crate::sweep::progress::State;
use crate::sweep::worker::inherited;
use std::path::{Component, Path, PathBuf};

/// Opens again what is damaged, and every trunk whose snapshot a branch needs and does not find; ends the branches of trunks that
/// diverged before. Only for who keeps other executors away.
///
/// # Errors
/// [`SweepError`] when a state or journal cannot be read, or a state not be written.
pub(crate) fn prepare(folder: &Folder, observe: &mut dyn FnMut(Event<'_>)) -> Result<(), SweepError> {
    reopen(folder, &mut |job, problem| observe(Event::Again(job, problem)))?;
    for trunk in &folder.graph().jobs {
        let state = folder.state(&trunk.id)?;
        if state.is_final()
            && let Some(at) = first_missing(folder, trunk)?
        {
            // Branches from beyond a divergence end with it, below.
            if matches!(&state, State::Diverged { update, .. } if *update <= at) {
                continue;
            }
            folder.set_state(&trunk.id, &state.reopened())?;
            let problem =
                format!("{} is gone; it is trained again", folder.snapshot_at(&trunk.id, at).display());
            observe(Event::Again(trunk, problem));
        }
    }
    for job in &folder.graph().jobs {
        if let (false, Some(state)) = (folder.state(&job.id)?.is_final(), inherited(folder, job)?) {
            folder.set_state(&job.id, &state)?;
        }
    }
    Ok(())
}

/// Lets jobs that failed be tried again: they wait, like those that were never begun.
///
/// # Errors
/// [`SweepError`] when a state cannot be read or written.
pub(crate) fn forgive(folder: &Folder) -> Result<(), SweepError> {
    for job in &folder.graph().jobs {
        if matches!(folder.state(&job.id)?, State::Failed { .. }) {
            folder.set_state(&job.id, &State::Waiting)?;
        }
    }
    Ok(())
}

/// What is left of a sweep: trunks and runs that stand alone first, then the branches, each in the plan's order.
///
/// # Errors
/// [`SweepError`] when a state cannot be read.
pub fn left(folder: &Folder) -> Result<Vec<&Job>, SweepError> {
    let mut jobs = Vec::new();
    for branches in [false, true] {
        for job in &folder.graph().jobs {
            if branches == job.trunk().is_some() && !folder.state(&job.id)?.is_final() {
                jobs.push(job);
            }
        }
    }
    Ok(jobs)
}

/// Refuses a trainer that spans several nodes, where a job is one process on one node.
pub(crate) fn one_node(folder: &Folder, whose: &str) -> Result<(), SweepError> {
    match folder.settings.trainer.as_ref().and_then(|trainer| trainer.plan.nodes) {
        Some(nodes) if nodes > 1 => Err(SweepError::Folder {
            place: folder.path().to_path_buf(),
            problem: format!("trainer.nodes of its plan is {nodes}, and {whose} runs on one node"),
            expected: "a trainer of one node, or the executor slurm".to_owned(),
        }),
        _ => Ok(()),
    }
}

/// Whether a job may begin, where nobody starts the jobs in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    /// It may, or has ended.
    Ready,
    /// Its trunk is not that far.
    Later {
        /// The trunk's job.
        trunk: String,
        /// The checkpoint that the branch resumes from.
        place: PathBuf,
    },
    /// Its trunk was given up, or ended without the checkpoint.
    Never {
        /// The trunk's job.
        trunk: String,
        /// The checkpoint that the branch resumes from.
        place: PathBuf,
    },
}

/// Looks whether the checkpoint that a job resumes from is there.
///
/// # Errors
/// [`SweepError`] when a state cannot be read.
pub fn readiness(folder: &Folder, job: &Job) -> Result<Readiness, SweepError> {
    let Kind::Branch { trunk, at } = &job.kind else { return Ok(Readiness::Ready) };
    // In this order: a trunk that ends between the two looks has left the checkpoint before.
    let of = folder.state(trunk)?;
    let place = folder.snapshot_at(trunk, *at);
    if place.exists() || folder.state(&job.id)?.is_final() || inherited(folder, job)?.is_some() {
        return Ok(Readiness::Ready);
    }
    let trunk = trunk.clone();
    Ok(match of {
        State::Waiting | State::Begun { .. } => Readiness::Later { trunk, place },
        State::Done { .. } | State::Diverged { .. } | State::Failed { .. } => {
            Readiness::Never { trunk, place }
        }
    })
}

/// A path from the root, without `.` and `..` and without a slash at the end, as text. Links stay as they are, unless `..` has to be
/// resolved: other machines may have them, too.
///
/// # Errors
/// [`SweepError::Folder`] when it is no UTF-8: what is written for a cluster is. [`SweepError::Train`] when `..` leads nowhere.
pub(crate) fn whole_path(path: &Path) -> Result<String, SweepError> {
    let up = path.components().any(|part| part == Component::ParentDir);
    let whole = if up { std::fs::canonicalize(path).map_err(at(path, "resolve"))? } else { absolute(path) };
    match whole.components().collect::<PathBuf>().to_str() {
        Some(text) => Ok(text.to_owned()),
        None => Err(SweepError::Folder {
            place: path.to_path_buf(),
            problem: "its path is no UTF-8".to_owned(),
            expected: "a path that a text file can hold; rename the folder".to_owned(),
        }),
    }
}
