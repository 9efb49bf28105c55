//! Whether the journals of a sweep still hold what was trained.
//!
//! How a job ended is written down together with a [`Seal`] of its journal. A journal that is cut off, lost or changed by a
//! single bit is told by it; the job then counts as not finished, is not exported, and is trained again to the same bits.

use crate::expert_tokens;
use crate::sweep::error::{SweepError, at};
use crate::sweep::folder::Folder;
use crate::sweep::graph::{Job, Kind};
use crate::sweep::journal::{RECORD, Seal, read};
use crate::sweep::progress::State;
use std::path::Path;

/// Records that the journal of a finished job must have; `None` where it need not have any.
fn wanted(job: &Job, state: &State) -> Option<u64> {
    match state {
        State::Done { .. } => Some(job.updates()),
        State::Diverged { update, trunk: None, .. } => {
            Some(update.saturating_sub(1).saturating_sub(job.first()))
        }
        _ => None,
    }
}

/// Length of a file; 0 where it is gone.
fn length(file: &Path) -> Result<u64, SweepError> {
    match std::fs::metadata(file) {
        Ok(meta) => Ok(meta.len()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(at(file, "read")(error)),
    }
}

/// What is wrong with the length of a finished job's journal, if anything is.
///
/// # Errors
/// [`SweepError::Train`] when the system does not say how long a file is.
pub fn wrong_length(folder: &Folder, job: &Job, state: &State) -> Result<Option<String>, SweepError> {
    let Some(records) = wanted(job, state) else { return Ok(None) };
    let journal = folder.points(&job.id);
    // A trainer of the user's own does not say which expert got how many tokens.
    let outside = folder.settings.trainer.is_some();
    let width = if outside { 0 } else { expert_tokens::width(&job.config.model) as u64 };
    let beside = expert_tokens::file_beside(&journal);
    for (file, record) in [(&journal, RECORD), (&beside, 4 * width)] {
        let (found, expected) = (length(file)?, records * record);
        if record > 0 && found != expected {
            return Ok(Some(format!("{} has {found} bytes; expected {expected}", file.display())));
        }
    }
    Ok(None)
}

/// What is wrong with a finished job's journal, if anything is: its length, the order of its updates, its checksum.
///
/// # Errors
/// [`SweepError::Train`] when it cannot be read.
pub fn damage(folder: &Folder, job: &Job, state: &State) -> Result<Option<String>, SweepError> {
    if let Some(problem) = wrong_length(folder, job, state)? {
        return Ok(Some(problem));
    }
    if let Some(seal) = state.seal()
        && let Some(problem) = broken_seal(folder, job, &seal)?
    {
        return Ok(Some(problem));
    }
    match wanted(job, state).map(|_| read(&folder.points(&job.id), job.first())) {
        Some(Err(error @ SweepError::Folder { .. })) => Ok(Some(error.to_string())),
        Some(Err(error)) => Err(error),
        _ => Ok(None),
    }
}

/// In what a journal differs from what was sealed, if in anything. What was added after the sealing is not looked at.
///
/// # Errors
/// [`SweepError::Train`] when it cannot be read.
pub fn broken_seal(folder: &Folder, job: &Job, seal: &Seal) -> Result<Option<String>, SweepError> {
    let file = folder.points(&job.id);
    let width = seal.experts_crc32.map_or(0, |_| expert_tokens::width(&job.config.model));
    Ok(match Seal::of(&file, seal.records, width)? {
        Some(found) if found == *seal => None,
        Some(_) => Some(format!(
            "the checksum of the first {} records of {} is not the one they were written with",
            seal.records,
            file.display()
        )),
        None => {
            Some(format!("{} has fewer than the {} records that were trained", file.display(), seal.records))
        }
    })
}

/// Why the whole curve of a finished run cannot be told, if it cannot: its journal or its trunk's is damaged, or its trunk
/// is being trained again.
///
/// # Errors
/// [`SweepError`] when a state or journal cannot be read.
pub fn incomplete(folder: &Folder, job: &Job) -> Result<Option<String>, SweepError> {
    if let Some(problem) = damage(folder, job, &folder.state(&job.id)?)? {
        return Ok(Some(format!("damaged: {problem}; `lehr sweep resume` trains it again")));
    }
    let Kind::Branch { trunk, at } = &job.kind else { return Ok(None) };
    let of = folder.job(trunk)?;
    let state = folder.state(trunk)?;
    if let Some(problem) = damage(folder, of, &state)? {
        return Ok(Some(format!("damaged trunk: {problem}; `lehr sweep resume` trains it again")));
    }
    let there = length(&folder.points(trunk))? / RECORD;
    Ok((there < *at).then(|| {
        format!("damaged trunk: {trunk} has {there} of the {at} updates they share; `lehr sweep resume` trains the rest")
    }))
}

/// Opens every finished job again whose journal is damaged, and every trunk whose snapshot a branch still needs and does
/// not find. Only for who keeps other executors away.
///
/// # Errors
/// [`SweepError`] when a state or journal cannot be read, or a state not be written.
pub fn reopen(folder: &Folder, tell: &mut dyn FnMut(&Job, String)) -> Result<(), SweepError> {
    for job in &folder.graph().jobs {
        let state = folder.state(&job.id)?;
        if state.is_final()
            && let Some(problem) = damage(folder, job, &state)?
        {
            // Its journal cannot be trusted: nothing of it is sealed any more.
            folder.set_state(&job.id, &State::Waiting)?;
            tell(job, format!("its journal is damaged: {problem}; it is trained again"));
        }
    }
    Ok(())
}

/// The earliest update after which a branch that is not finished needs a snapshot of this trunk that is not there.
///
/// # Errors
/// [`SweepError`] when a state cannot be read.
pub fn first_missing(folder: &Folder, trunk: &Job) -> Result<Option<u64>, SweepError> {
    let mut first: Option<u64> = None;
    for (branch, at) in folder.graph().branches(&trunk.id) {
        if !folder.snapshot_at(&trunk.id, at).exists() && !folder.state(&branch.id)?.is_final() {
            first = Some(first.map_or(at, |first| first.min(at)));
        }
    }
    Ok(first)
}
