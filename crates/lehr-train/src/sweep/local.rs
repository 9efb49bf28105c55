//! Runs the jobs of a sweep as processes on this machine.

use crate::sweep::error::{SweepError, at};
use crate::sweep::folder::{Folder, Lock};
use crate::sweep::graph::{Job, Kind};
use crate::sweep::integrity::reopen;
use crate::sweep::journal::records_in;
use crate::sweep::progress::{Progress, State};
use crate::sweep::worker::inherited;
use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Attempts without any progress after which a job counts as failed.
const ATTEMPTS: u32 = 4;

/// What an executor tells while it works.
#[derive(Debug)]
pub enum Event<'a> {
    /// How far the sweep is, about once a second.
    Progress(&'a Progress),
    /// A job was started, or goes on.
    Started(&'a Job),
    /// A job has ended for good.
    Ended(&'a Job, &'a State),
    /// A line about the machines that the jobs run on.
    Said(&'a str),
    /// The job will be started again: its worker died, or what it left is damaged.
    Again(&'a Job, String),
    /// Jobs were written for a cluster, and handed over where there is a number.
    Submitted {
        /// The batch script, list or folder that was written.
        script: &'a Path,
        /// Number of jobs in it.
        tasks: usize,
        /// The cluster's number of it.
        number: Option<&'a str>,
    },
}

/// Carries out the jobs of a sweep.
pub trait Executor {
    /// Brings the sweep as far as it can be brought.
    ///
    /// # Errors
    /// [`SweepError::Busy`] when another executor is at work; [`SweepError::Stopped`] when it was told to stop before the
    /// end; [`SweepError`] when the folder cannot be used or no
    /// worker can be started. Jobs that fail are no error: their state says so.
    fn run(&self, folder: &Folder, observe: &mut dyn FnMut(Event<'_>)) -> Result<(), SweepError>;
}

/// Starts one process a job, `slots` at a time.
pub struct LocalExecutor<'a> {
    /// Jobs at a time.
    pub slots: usize,
    /// The command that does a job of this name. It must call [`work`](crate::sweep::work), and
    /// [`end_with_executor`](crate::sweep::worker::end_with_executor) before.
    pub command: &'a dyn Fn(&str) -> Command,
    /// Time between two looks at the workers.
    pub poll: Duration,
    /// Asked at every look: whether to stop. The workers are then ended, and what they did is kept.
    pub stop: &'a (dyn Fn() -> bool + 'a),
}

/// A job in the executor's eyes.
struct Seat {
    state: State,
    child: Option<Child>,
    attempts: u32,
    /// Most updates that were ever in its journal.
    best: u64,
    /// How often a finished trunk was opened again for a snapshot.
    reopened: u32,
}

impl Executor for LocalExecutor<'_> {
    fn run(&self, folder: &Folder, observe: &mut dyn FnMut(Event<'_>)) -> Result<(), SweepError> {
        let _held = folder.lock()?;
        tidy(folder)?;
        reopen(folder, &mut |job, problem| observe(Event::Again(job, problem)))?;
        let graph = folder.graph();
        let mut seats = Vec::with_capacity(graph.jobs.len());
        for job in &graph.jobs {
            let state = match folder.state(&job.id)? {
                // What failed is tried again.
                State::Failed { .. } => State::Waiting,
                state => state,
            };
            let best = records_in(&folder.points(&job.id));
            seats.push(Seat { state, child: None, attempts: 0, best, reopened: 0 });
        }
        // A worker may have been killed between its last word and its last deed.
        for (job, _) in graph.jobs.iter().zip(&seats).filter(|(_, seat)| seat.state.is_final()) {
            folder.clean_up(job)?;
        }
        let mut told: Option<Instant> = None;
        loop {
            if (self.stop)() {
                seats.iter_mut().filter_map(|seat| seat.child.take()).for_each(end);
                return Err(SweepError::Stopped);
            }
            let mut changed = false;
            for (seat, job) in seats.iter_mut().zip(&graph.jobs) {
                changed |= self.reap(folder, job, seat, observe)?;
            }
            changed |= settle(folder, &mut seats, observe)?;
            changed |= self.fill(folder, &mut seats, observe)?;
            let busy = seats.iter().any(|seat| seat.child.is_some());
            if told.is_none_or(|told| told.elapsed() >= Duration::from_secs(1)) || !busy {
                observe(Event::Progress(&Progress::of(folder, self.slots)?));
                told = Some(Instant::now());
            }
            if !busy && !changed {
                return Ok(());
            }
            if !changed {
                std::thread::sleep(self.poll);
            }
        }
    }
}

/// Longest time that a worker may take to end when nobody holds its standard input any more.
const GRACE: Duration = Duration::from_secs(10);

/// Ends a worker and waits until its locks are free: first it is let to end what it started, then it is killed, which may
/// happen at any moment.
fn end(mut child: Child) {
    drop(child.stdin.take());
    let since = Instant::now();
    while since.elapsed() < GRACE && matches!(child.try_wait(), Ok(None)) {
        std::thread::sleep(Duration::from_millis(10));
    }
    // One that ended by itself cannot be killed and need not be.
    drop(child.kill());
    drop(child.wait());
}

impl LocalExecutor<'_> {
    /// Starts as many jobs as there are free slots.
    fn fill(
        &self,
        folder: &Folder,
        seats: &mut [Seat],
        observe: &mut dyn FnMut(Event<'_>),
    ) -> Result<bool, SweepError> {
        let graph = folder.graph();
        let mut changed = false;
        while seats.iter().filter(|seat| seat.child.is_some()).count() < self.slots {
            let waiting = |i: usize| {
                let seat: &Seat = &seats[i];
                seat.child.is_none() && matches!(seat.state, State::Waiting | State::Begun { .. })
            };
            let ready = |i: usize| match &graph.jobs[i].kind {
                Kind::Branch { trunk, at } => {
                    // A branch that was interrupted goes on from its own snapshot, too.
                    folder.snapshot_at(trunk, *at).exists()
                }
                _ => true,
            };
            let Some(next) = graph.next(&waiting, &ready) else { break };
            let job = &graph.jobs[next];
            let log = folder.log(&job.id);
            let log = File::options().create(true).append(true).open(&log).map_err(at(&log, "open"))?;
            let child = (self.command)(&job.id)
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(log)
                .spawn()
                .map_err(SweepError::Start)?;
            seats[next].child = Some(child);
            observe(Event::Started(job));
            changed = true;
        }
        Ok(changed)
    }

    /// Looks whether a job's worker has ended, and how.
    fn reap(
        &self,
        folder: &Folder,
        job: &Job,
        seat: &mut Seat,
        observe: &mut dyn FnMut(Event<'_>),
    ) -> Result<bool, SweepError> {
        let Some(child) = &mut seat.child else { return Ok(false) };
        let Some(status) = child.try_wait().map_err(SweepError::Start)? else { return Ok(false) };
        seat.child = None;
        seat.state = folder.state(&job.id)?;
        if seat.state.is_final() {
            folder.clean_up(job)?;
            observe(Event::Ended(job, &seat.state));
            return Ok(true);
        }
        // A worker that gave its job up says so itself.
        if matches!(seat.state, State::Failed { .. }) {
            observe(Event::Ended(job, &seat.state));
            return Ok(true);
        }
        let written = records_in(&folder.points(&job.id));
        seat.attempts = if written > seat.best { 1 } else { seat.attempts + 1 };
        seat.best = seat.best.max(written);
        let problem = why(folder, job, status);
        if seat.attempts < ATTEMPTS {
            observe(Event::Again(job, problem));
        } else {
            fail(folder, job, seat, problem, observe)?;
        }
        Ok(true)
    }
}

fn fail(
    folder: &Folder,
    job: &Job,
    seat: &mut Seat,
    problem: String,
    observe: &mut dyn FnMut(Event<'_>),
) -> Result<(), SweepError> {
    seat.state = State::Failed { problem };
    folder.set_state(&job.id, &seat.state)?;
    observe(Event::Ended(job, &seat.state));
    Ok(())
}

/// Ends branches that can never begin, because their trunk diverged before, and opens a trunk again whose snapshot is lost.
fn settle(
    folder: &Folder,
    seats: &mut [Seat],
    observe: &mut dyn FnMut(Event<'_>),
) -> Result<bool, SweepError> {
    let graph = folder.graph();
    let mut changed = false;
    for i in 0..seats.len() {
        let Kind::Branch { trunk, at } = &graph.jobs[i].kind else { continue };
        if seats[i].child.is_some() || !matches!(seats[i].state, State::Waiting | State::Begun { .. }) {
            continue;
        }
        let Some(of) = graph.jobs.iter().position(|job| job.id == *trunk) else { continue };
        if !seats[of].state.is_final() {
            continue;
        }
        let job = &graph.jobs[i];
        if let Some(state) = inherited(folder, job)? {
            folder.set_state(&job.id, &state)?;
            seats[i].state = state;
            observe(Event::Ended(job, &seats[i].state));
            changed = true;
        } else if !folder.snapshot_at(trunk, *at).exists() {
            let snapshot = folder.snapshot_at(trunk, *at);
            if seats[of].reopened < ATTEMPTS {
                seats[of].reopened += 1;
                seats[of].attempts = 0;
                seats[of].state = seats[of].state.reopened();
                folder.set_state(trunk, &seats[of].state)?;
                let problem =
                    format!("{}, which '{}' needs, is gone; it is trained again", snapshot.display(), job.id);
                observe(Event::Again(&graph.jobs[of], problem));
            } else {
                let problem = format!(
                    "its trunk was trained {ATTEMPTS} times more for {}, which is still not there; look for what removes it, or for a disk without room",
                    snapshot.display()
                );
                fail(folder, job, &mut seats[i], problem, observe)?;
            }
            changed = true;
        }
    }
    Ok(changed)
}

/// Why a worker ended without an answer: its signal or code, and the last line it said.
fn why(folder: &Folder, job: &Job, status: ExitStatus) -> String {
    let said = std::fs::read_to_string(folder.log(&job.id)).unwrap_or_default();
    let last = said.lines().rev().find(|line| line.starts_with("error:"));
    match (status.code(), last) {
        (Some(code), Some(line)) => format!("its worker ended with code {code}: {line}"),
        (Some(code), None) => format!("its worker ended with code {code}"),
        (None, _) => format!("its worker was killed ({status})"),
    }
}

/// Removes what killed processes had begun to write.
fn tidy(folder: &Folder) -> Result<(), SweepError> {
    let jobs = folder.path().join("jobs");
    for inside in [folder.path(), jobs.as_path()] {
        for entry in std::fs::read_dir(inside).map_err(at(inside, "read"))?.flatten() {
            let name = entry.file_name();
            let unfinished = name.to_string_lossy().ends_with(".new");
            // A worker that outlived its executor for a moment may still be writing: its lock says so.
            let held = name
                .to_string_lossy()
                .split(".json.")
                .next()
                .is_some_and(|job| Lock::is_held(&folder.job_lock(job)));
            if unfinished && !held {
                crate::sweep::folder::remove(&entry.path())?;
            }
        }
    }
    Ok(())
}
