//! One job of a sweep, in a process of its own.
//!
//! A worker may be killed at any moment. What it leaves is always consistent:
//!
//! 1. every update is a record of the job's journal;
//! 2. before a snapshot is written (whole or not at all), the journal is put on the disk, so it reaches at least as far;
//! 3. a worker that begins again loads the newest snapshot, cuts the journal to it, and trains the rest to the same bits;
//! 4. how the job ended is written (whole or not at all) after the journal's last record is on the disk.

use crate::error::TrainError;
use crate::run_config::RunConfig;
use crate::sweep::error::{SweepError, at};
use crate::sweep::folder::{Folder, Lock, remove};
use crate::sweep::graph::{Graph, Job, Kind};
use crate::sweep::integrity::{broken_seal, first_missing};
use crate::sweep::journal::{Journal, advance};
use crate::sweep::progress::State;
use crate::trainer::Trainer;
use std::path::Path;
use std::time::{Duration, Instant};

/// Makes an engine for a configuration with so many threads.
pub type MakeTrainer<'a> = dyn Fn(&RunConfig, usize) -> Result<Box<dyn Trainer>, TrainError> + Sync + 'a;

/// How a job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All updates are done.
    Done,
    /// The run, or its trunk before the branch point, diverged; that is a result.
    Diverged,
}

/// How long a worker waits for a lock that another process may just be looking at.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often other processes see what was trained.
const SHOWN_EVERY: Duration = Duration::from_millis(300);

/// Does a job, or what is left of it; a job that has ended is left alone.
///
/// # Errors
/// [`SweepError::Busy`] when another process does this job; [`SweepError::Folder`] when there is no such job or its
/// trunk's snapshot is missing; [`SweepError::Train`] when a model cannot be made, trained or saved.
pub fn work(
    folder: &Folder,
    id: &str,
    make: &MakeTrainer<'_>,
    say: &dyn Fn(&str),
) -> Result<Outcome, SweepError> {
    work_until(folder, id, make, say, &|| false)
}

/// As [`work`], and asks before every update whether to stop: then a snapshot is left first.
///
/// # Errors
/// As [`work`]; [`SweepError::Stopped`] when it was told to stop before the end.
pub fn work_until(
    folder: &Folder,
    id: &str,
    make: &MakeTrainer<'_>,
    say: &dyn Fn(&str),
    stop: &dyn Fn() -> bool,
) -> Result<Outcome, SweepError> {
    let job = folder.job(id)?;
    let lock = folder.job_lock(id);
    let _held = Lock::take(&lock, &lock, PATIENCE)?;
    match folder.state(id)? {
        State::Done { .. } => return Ok(Outcome::Done),
        State::Diverged { .. } => return Ok(Outcome::Diverged),
        _ => {}
    }
    if let Some(state) = inherited(folder, job)? {
        folder.set_state(id, &state)?;
        return Ok(Outcome::Diverged);
    }
    let snapshots = folder.snapshots(id);
    std::fs::create_dir_all(&snapshots).map_err(at(&snapshots, "make"))?;
    folder.drop_unfinished(job)?;
    let (trainer, journal) = begin(folder, job, make, say)?;
    train(folder, job, trainer, journal, stop)
}

/// The state of a branch whose trunk diverged before the branch point.
///
/// # Errors
/// [`SweepError`] when the trunk's state cannot be read.
pub fn inherited(folder: &Folder, job: &Job) -> Result<Option<State>, SweepError> {
    let Kind::Branch { trunk, at } = &job.kind else { return Ok(None) };
    Ok(match folder.state(trunk)? {
        State::Diverged { update, quantity, .. } if update <= *at => {
            Some(State::Diverged { update, quantity, trunk: Some(trunk.clone()), seal: None })
        }
        _ => None,
    })
}

/// The engine as it must be before the job's first update.
fn fresh(folder: &Folder, job: &Job, make: &MakeTrainer<'_>) -> Result<Box<dyn Trainer>, SweepError> {
    let mut trainer = make(&job.config, folder.settings.lanes)?;
    if let Kind::Branch { trunk, at } = &job.kind {
        let snapshot = folder.snapshot_at(trunk, *at);
        if !snapshot.exists() {
            return Err(SweepError::Folder {
                place: snapshot,
                problem: "the snapshot to branch from is not there".to_owned(),
                expected: "the trunk to have reached this update; `lehr sweep resume` runs jobs in order"
                    .to_owned(),
            });
        }
        let loaded = trainer
            .load(&snapshot)
            .map_err(SweepError::from)
            .and_then(|()| check_completed(trainer.as_ref(), &snapshot, *at..=*at));
        if let Err(error) = loaded {
            return Err(give_up(&snapshot, error)?);
        }
    }
    Ok(trainer)
}

/// Removes a snapshot that cannot be loaded, so that its trunk makes it again; gives back why. Other errors than those of the
/// snapshot itself leave it there.
fn give_up(snapshot: &Path, error: SweepError) -> Result<SweepError, SweepError> {
    if !matches!(error, SweepError::Train(TrainError::Snapshot { .. })) {
        return Ok(error);
    }
    remove(snapshot)?;
    Ok(SweepError::Folder {
        place: snapshot.to_path_buf(),
        problem: format!("it was damaged and is removed ({error})"),
        expected: "a whole snapshot, which `lehr sweep resume` lets the trunk make again".to_owned(),
    })
}

fn check_completed(
    trainer: &dyn Trainer,
    snapshot: &Path,
    allowed: std::ops::RangeInclusive<u64>,
) -> Result<(), SweepError> {
    let completed = trainer.completed();
    if allowed.contains(&completed) {
        return Ok(());
    }
    Err(SweepError::Train(TrainError::Snapshot {
        file: snapshot.to_path_buf(),
        problem: format!("it is of update {completed}"),
        expected: format!("one of updates {} … {}", allowed.start(), allowed.end()),
    }))
}

/// The engine and the journal, as far as the newest snapshot goes.
fn begin(
    folder: &Folder,
    job: &Job,
    make: &MakeTrainer<'_>,
    say: &dyn Fn(&str),
) -> Result<(Box<dyn Trainer>, Journal), SweepError> {
    let journal = folder.points(&job.id);
    let mut newest: Option<Box<dyn Trainer>> = None;
    let sealed = folder.state(&job.id)?.seal();
    if let Some(problem) = sealed.map(|seal| broken_seal(folder, job, &seal)).transpose()?.flatten() {
        say(&format!("warning: {problem}; the job begins again"));
        return from_the_start(folder, job, make);
    }
    // A branch waits for a snapshot that was there once: only an older one leads to it.
    let before = first_missing(folder, job)?.unwrap_or(u64::MAX);
    let mut candidates = vec![folder.last_snapshot(&job.id)];
    let there = folder.snapshots_there(job);
    candidates
        .extend(there.into_iter().filter(|at| *at < before).rev().map(|at| folder.snapshot_at(&job.id, at)));
    for (i, snapshot) in candidates.into_iter().enumerate().filter(|(_, snapshot)| snapshot.exists()) {
        // The first is the newest for resuming, the others are in falling order: one that loads is enough.
        if i > 1 && newest.is_some() {
            break;
        }
        let mut trainer = make(&job.config, folder.settings.lanes)?;
        let loaded = trainer
            .load(&snapshot)
            .map_err(SweepError::from)
            .and_then(|()| check_completed(trainer.as_ref(), &snapshot, job.first()..=job.last()));
        match loaded {
            Ok(())
                if trainer.completed() < before
                    && newest.as_ref().is_none_or(|other| other.completed() < trainer.completed()) =>
            {
                newest = Some(trainer);
            }
            Ok(()) => {}
            Err(error) => {
                say(&format!("warning: {}; the job resumes from an older state", give_up(&snapshot, error)?));
            }
        }
    }
    if let Some(trainer) = newest {
        let completed = trainer.completed();
        match Journal::open(&journal, completed - job.first(), &job.config.model)? {
            Some(open) => {
                say(&format!("resumes after update {completed}"));
                return Ok((trainer, open));
            }
            None => say(&format!(
                "warning: {} ends before the snapshot of update {completed}; the job begins again",
                journal.display()
            )),
        }
    }
    from_the_start(folder, job, make)
}

/// The engine and an empty journal.
fn from_the_start(
    folder: &Folder,
    job: &Job,
    make: &MakeTrainer<'_>,
) -> Result<(Box<dyn Trainer>, Journal), SweepError> {
    let trainer = fresh(folder, job, make)?;
    let journal = folder.points(&job.id);
    match Journal::open(&journal, 0, &job.config.model)? {
        Some(open) => Ok((trainer, open)),
        None => Err(SweepError::Folder {
            place: journal,
            problem: "it cannot be cut to no record".to_owned(),
            expected: "a file that can be written".to_owned(),
        }),
    }
}

/// Time spent on a job, in all its processes.
struct Clock {
    updates: u64,
    seconds: f64,
    since: Instant,
}

impl Clock {
    fn spent(&self, updates: u64) -> (u64, f64) {
        (self.updates + updates, self.seconds + self.since.elapsed().as_secs_f64())
    }
}

fn train(
    folder: &Folder,
    job: &Job,
    mut trainer: Box<dyn Trainer>,
    mut journal: Journal,
    stop: &dyn Fn() -> bool,
) -> Result<Outcome, SweepError> {
    let rates = job.schedule.rates();
    let begun = trainer.completed();
    let (updates, seconds) = folder.state(&job.id)?.spent();
    let clock = Clock { updates, seconds, since: Instant::now() };
    // What was sealed before may have been cut off since.
    folder.set_state(&job.id, &State::Begun { updates, seconds, seal: Some(journal.seal()) })?;
    let pause = Duration::from_secs_f64(folder.settings.snapshot_seconds);
    let (mut saved, mut shown) = (Instant::now(), Instant::now());
    for update in begun + 1..=job.last() {
        if stop() {
            if trainer.completed() > job.first() {
                journal.sync()?;
                trainer.save(&folder.last_snapshot(&job.id))?;
                let (updates, seconds) = clock.spent(update - 1 - begun);
                folder.set_state(&job.id, &State::Begun { updates, seconds, seal: Some(journal.seal()) })?;
            }
            return Err(SweepError::Stopped);
        }
        let record = match advance(trainer.as_mut(), &job.config, rates[update as usize - 1], job.last()) {
            Ok(record) => record,
            Err(TrainError::Diverged { quantity, .. }) => {
                journal.sync()?;
                let quantity = quantity.to_owned();
                let seal = Some(journal.seal());
                folder.set_state(&job.id, &State::Diverged { update, quantity, trunk: None, seal })?;
                return end(folder, job, Outcome::Diverged);
            }
            Err(error) => return Err(error.into()),
        };
        journal.push(&record, &trainer.expert_counts())?;
        let branch_point = match &job.kind {
            Kind::Trunk { snapshots, .. } => snapshots.binary_search(&update).is_ok(),
            _ => false,
        };
        let keep = branch_point && is_awaited(folder, job, update)?;
        let resume_point = update < job.last() && saved.elapsed() >= pause;
        if keep || resume_point {
            journal.sync()?;
            let file = if keep { folder.snapshot_at(&job.id, update) } else { folder.last_snapshot(&job.id) };
            trainer.save(&file)?;
            let (updates, seconds) = clock.spent(update - begun);
            folder.set_state(&job.id, &State::Begun { updates, seconds, seal: Some(journal.seal()) })?;
            saved = Instant::now();
        } else if shown.elapsed() >= SHOWN_EVERY {
            journal.show()?;
            shown = Instant::now();
        }
    }
    journal.sync()?;
    let (updates, seconds) = clock.spent(job.last() - begun);
    folder.set_state(&job.id, &State::Done { updates, seconds, seal: Some(journal.seal()) })?;
    end(folder, job, Outcome::Done)
}

/// Whether a branch still needs the trunk's snapshot after this update.
fn is_awaited(folder: &Folder, job: &Job, update: u64) -> Result<bool, SweepError> {
    for (branch, at) in folder.graph().branches(&job.id) {
        if at == update && !folder.state(&branch.id)?.is_final() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Removes the snapshots that nobody needs any more.
fn end(folder: &Folder, job: &Job, outcome: Outcome) -> Result<Outcome, SweepError> {
    folder.clean_up(job)?;
    Ok(outcome)
}

/// The bits that this program computes on this machine for the smallest model of a sweep: losses and gradient norms of two
/// updates.
///
/// Another processor or another version of the engine may round otherwise; then a sweep that it continues would no longer
/// hold runs that equal one another bit for bit where they must.
///
/// # Errors
/// [`SweepError::Train`] when the model cannot be made or trained.
pub fn fingerprint(graph: &Graph, make: &MakeTrainer<'_>, lanes: usize) -> Result<String, SweepError> {
    let size = |job: &&Job| job.config.model.parameters().total * job.tokens_per_update();
    let Some(job) = graph.jobs.iter().min_by_key(size) else { return Ok(String::new()) };
    let mut trainer = make(&job.config, lanes)?;
    let mut bits = Vec::new();
    for _ in 0..2 {
        // Not the job's own rate, with which it may diverge at once.
        let report = trainer.update(1e-3)?;
        for value in [report.loss, report.gradient_norm] {
            bits.push(format!("{:016x}", value.to_bits()));
        }
    }
    Ok(bits.join("-"))
}

/// Calls back when this process' standard input ends: when the executor that holds the other side is gone.
pub fn when_executor_ends(then: impl FnOnce() + Send + 'static) {
    std::thread::spawn(|| {
        // Nobody writes there: reading returns when the other side is closed.
        drop(std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink()));
        then();
    });
}

/// Ends this process when its standard input ends: when the executor that holds the other side is gone.
///
/// Nothing is lost by it, see the module's rules.
pub fn end_with_executor() {
    when_executor_ends(|| std::process::exit(143));
}
