//! One job by a trainer that is not lehr's: started, watched, started again, and its logs kept as the job's journal.

use crate::desk::Desk;
use crate::export::ExportRequest;
use crate::failure::Failure;
use crate::observer::Silent;
use crate::reading::Reading;
use lehr::Curve;
use lehr_io::{MapOverrides, ReadOptions, SplitChoice};
use lehr_train::sweep::folder::{Lock, remove, write_whole};
use lehr_train::sweep::outside::{Logged, OutsideTrainer, Verdict, keep};
use lehr_train::sweep::worker::inherited;
use lehr_train::sweep::{Folder, Job, JobFile, State, SweepError};
use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Time between two looks at the trainer.
const POLL: Duration = Duration::from_millis(40);
/// Shortest time between two readings of its logs; a reading that takes long is repeated after twenty times as long.
const READ_EVERY: Duration = Duration::from_millis(500);
/// How long a trainer that is told to end may take before it is killed.
const GRACE: Duration = Duration::from_secs(8);
/// How often in a row a trainer may ask to be started again without a single further update.
const MOST_AGAIN: u32 = 20;
/// Lines of the trainer's output in the report of a failure.
const TAIL: usize = 12;

/// The trainer of one job.
pub(super) struct Outside<'a> {
    pub desk: &'a Desk,
    pub folder: &'a Folder,
    pub trainer: &'a OutsideTrainer,
    pub job: &'a Job,
    pub say: &'a dyn Fn(&str),
    /// Set when the trainer is to end: who started the worker is gone.
    pub stop: Arc<AtomicBool>,
    /// On a cluster: a run that wants to be started again is left to the cluster.
    pub detached: bool,
    /// The observer may stop it: the trainer is told to end, and has as long as the cluster gives it.
    pub exit_codes: bool,
}

/// How an attempt ended.
enum Ended {
    By(ExitStatus),
    /// By itself, after it was told to end.
    Told(ExitStatus),
    Stopped,
}

/// The trainer ended because it was told to.
fn told_to_end() -> Failure {
    Failure::again("stopped as asked; the trainer was told to end")
}

/// Columns by role, from the plan.
fn map(trainer: &OutsideTrainer) -> Result<MapOverrides, Failure> {
    let mut map = MapOverrides::default();
    for text in &trainer.plan.map {
        map.add(text).map_err(|error| Failure::usage(format_args!("trainer.map: {error}")))?;
    }
    Ok(map)
}

impl Outside<'_> {
    /// Does the job, or what is left of it.
    pub fn work(&self) -> Result<(), Failure> {
        let held = self.lock()?;
        let state = self.folder.state(&self.job.id)?;
        if state.is_final() {
            return Ok(());
        }
        if let Some(state) = inherited(self.folder, self.job)? {
            return Ok(self.folder.set_state(&self.job.id, &state)?);
        }
        // An earlier worker may have been killed after its trainer had done everything.
        let logged = self.logged()?;
        if matches!(state, State::Begun { .. }) && self.complete(&logged).is_none() {
            (self.say)("the trainer of an earlier worker has done all updates");
            return self.done(&logged, 0.0);
        }
        self.prepare()?;
        self.attempts(&held, logged.last().unwrap_or(0))
    }

    /// The job's lock. A trainer that outlived its worker holds it too: it is waited for.
    fn lock(&self) -> Result<Lock, Failure> {
        let path = self.folder.job_lock(&self.job.id);
        let mut told = false;
        loop {
            match Lock::take(&path, &path, Duration::from_secs(2)) {
                Ok(lock) => return Ok(lock),
                Err(error @ SweepError::Busy { .. }) if self.exit_codes => return Err(Failure::again(error)),
                Err(SweepError::Busy { holder, .. }) if !self.stop.load(Ordering::SeqCst) => {
                    if !told {
                        (self.say)(&format!("waits for the trainer that an earlier worker started{holder}"));
                        told = true;
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Folders and the job file.
    fn prepare(&self) -> Result<(), Failure> {
        let log = self.trainer.logs(self.folder, &self.job.id);
        let folders = [Some(self.folder.scratch(&self.job.id)), log.parent().map(Path::to_path_buf)];
        for folder in folders.into_iter().flatten() {
            std::fs::create_dir_all(&folder).map_err(Failure::at(&folder))?;
        }
        let mut exports = BTreeMap::new();
        for name in &self.trainer.plan.exports {
            let made = ExportRequest { target: name.clone(), from_step: None }.make(&self.job.schedule)?;
            exports.insert(name.clone(), String::from_utf8_lossy(crate::export::bytes(&made)).into_owned());
        }
        JobFile::new(self.folder, self.trainer, self.job, exports)?.write(self.folder)?;
        Ok(())
    }

    fn attempts(&self, lock: &Lock, begun: u64) -> Result<(), Failure> {
        let (mut reached, mut failures, mut again) = (begun, 0, self.counted());
        loop {
            let since = Instant::now();
            let (status, told) = match self.attempt(lock)? {
                Ended::By(status) => (status, false),
                Ended::Told(status) => (status, true),
                Ended::Stopped => {
                    return Err(Failure::interrupted("stopped as asked; the trainer was told to end"));
                }
            };
            let logged = self.logged()?;
            let last = logged.last().unwrap_or(0);
            let progress = last > reached;
            reached = reached.max(last);
            let seconds = since.elapsed().as_secs_f64();
            let problem = match Verdict::of(status.code()) {
                Verdict::Done => match self.complete(&logged) {
                    None => return self.done(&logged, seconds),
                    Some(_) if told => return Err(told_to_end()),
                    Some(problem) => format!("its trainer ended with code 0, but {problem}"),
                },
                Verdict::Diverged => return self.diverged(&logged),
                // However it took being told to end, it is no failure of its own.
                _ if told => return Err(told_to_end()),
                Verdict::Again => {
                    again = self.count(if progress { 0 } else { again + 1 })?;
                    if again < MOST_AGAIN && self.detached {
                        return Err(Failure::again("the trainer asks to be started again"));
                    }
                    if again < MOST_AGAIN {
                        (self.say)("the trainer asks to be started again");
                        continue;
                    }
                    format!(
                        "its trainer asked {MOST_AGAIN} times to be started again without a further update"
                    )
                }
                Verdict::Failed => match status.code() {
                    Some(code) => format!("its trainer ended with code {code}"),
                    None => format!("its trainer was killed ({status})"),
                },
            };
            failures = if progress { 1 } else { failures + 1 };
            if failures >= self.trainer.plan.attempts.max(1) || again >= MOST_AGAIN {
                return self.failed(&problem, failures);
            }
            (self.say)(&format!("warning: {problem}; attempt {} follows", failures + 1));
        }
    }

    /// How often in a row workers before this one ended because their trainer asked to be started again without a further update.
    fn counted(&self) -> u32 {
        let text = std::fs::read_to_string(self.folder.again_file(&self.job.id)).unwrap_or_default();
        text.trim().parse().unwrap_or(0)
    }

    /// Keeps that number for the next worker.
    fn count(&self, again: u32) -> Result<u32, Failure> {
        let file = self.folder.again_file(&self.job.id);
        if again == 0 {
            remove(&file)?
        } else {
            write_whole(&file, again.to_string().as_bytes())?
        }
        Ok(again)
    }

    /// Runs the trainer once.
    fn attempt(&self, lock: &Lock) -> Result<Ended, Failure> {
        let output = self.folder.output(&self.job.id);
        let open = || File::options().create(true).append(true).open(&output).map_err(Failure::at(&output));
        let line = self.trainer.command(self.folder, self.job);
        let mut command = Command::new("sh");
        // The shell outlives a signal to the group, and passes on what the trainer exits with.
        command.args(["-c", &format!("trap : USR1 TERM\n{line}")]).current_dir(&self.trainer.beside);
        command.env("LEHR_JOB", self.folder.job_file(&self.job.id));
        // The lock as its standard input: as long as any process of the trainer lives, nobody else trains this job.
        command.stdin(lock.share().map_err(Failure::at(&output))?).stdout(open()?).stderr(open()?);
        own_group(&mut command);
        let mut child = command.spawn().map_err(|error| {
            Failure::new(format_args!("the trainer cannot be started: {error}"))
                .hint(format_args!("its command: {line}"))
        })?;
        // Whoever is told to end the job on a cluster tells the whole group.
        let group = self.folder.group_file(&self.job.id);
        write_whole(&group, child.id().to_string().as_bytes())?;
        let (mut read, mut pause) = (Instant::now(), READ_EVERY);
        let mut told = false;
        loop {
            if let Some(status) = child.try_wait()? {
                remove(&group)?;
                return Ok(if told { Ended::Told(status) } else { Ended::By(status) });
            }
            if self.exit_codes && !told && self.desk.observer().cancelled() {
                tell(&child, "-TERM");
                told = true;
            }
            if self.stop.load(Ordering::SeqCst) {
                end(&mut child);
                remove(&group)?;
                return Ok(Ended::Stopped);
            }
            if read.elapsed() >= pause {
                let since = Instant::now();
                // What cannot be read while it is being written is read later.
                if let Ok(logged) = self.logged() {
                    self.show(&logged)?;
                }
                pause = READ_EVERY.max(20 * since.elapsed());
                read = Instant::now();
            }
            std::thread::sleep(POLL);
        }
    }

    /// What the trainer has logged so far; nothing where there is no log yet.
    fn logged(&self) -> Result<Logged, Failure> {
        let path = self.trainer.logs(self.folder, &self.job.id);
        let mut logged = Logged::default();
        if !path.exists() || std::fs::metadata(&path).is_ok_and(|meta| meta.is_file() && meta.len() == 0) {
            return Ok(logged);
        }
        let map = map(self.trainer)?;
        // Whoever stops the job still wants to know how far it came.
        let desk = self.desk.clone().observed(Arc::new(Silent));
        let read = |split| {
            let options = ReadOptions {
                map: map.clone(),
                split,
                schedule: Some(self.job.schedule.clone()),
                params: Some(self.job.config.model.parameters().non_embedding),
                tokens_per_step: Some(self.job.tokens_per_update()),
                stitch: true,
                ..ReadOptions::default()
            };
            let reading = Reading { options, ..Reading::of([&path]) };
            desk.runs(&reading).map(|runs| runs.curves)
        };
        // A log may hold either loss or both; one that holds none is refused by the reading of what there is.
        let points = |curves: Vec<Curve>| -> BTreeMap<u64, f64> {
            curves
                .iter()
                .flat_map(|curve| curve.step().iter().copied().zip(curve.loss().iter().copied()))
                .filter(|(update, _)| *update > self.job.first())
                .collect()
        };
        let (training, validation) = (read(SplitChoice::Train), read(SplitChoice::Validation));
        if let (Err(error), Err(_)) = (&training, &validation) {
            return Err(error.clone());
        }
        logged.training = training.map(points).unwrap_or_default();
        logged.validation = validation.map(points).unwrap_or_default();
        Ok(logged)
    }

    /// Lets others see how far the job is.
    fn show(&self, logged: &Logged) -> Result<(), Failure> {
        let Some(last) = logged.last() else { return Ok(()) };
        keep(self.folder, self.job, logged, last.min(self.job.last()))?;
        Ok(())
    }

    /// What is missing of a job whose trainer says that it is done; `None`: nothing.
    fn complete(&self, logged: &Logged) -> Option<String> {
        let (last, wanted) = (logged.last(), self.job.last());
        if last != Some(wanted) {
            let log = self.trainer.logs(self.folder, &self.job.id);
            let found = last.map_or("holds no loss".to_owned(), |last| format!("ends at update {last}"));
            return Some(format!("its log {} {found}; expected a loss at update {wanted}", log.display()));
        }
        for (branch, at) in self.folder.graph().branches(&self.job.id) {
            let place = self.folder.snapshot_at(&self.job.id, at);
            let open = self.folder.state(&branch.id).is_ok_and(|state| !state.is_final());
            if open && !place.exists() {
                return Some(format!(
                    "{} is not there, the checkpoint after update {at} that '{}' resumes from",
                    place.display(),
                    branch.id
                ));
            }
        }
        None
    }

    fn done(&self, logged: &Logged, seconds: f64) -> Result<(), Failure> {
        let seal = Some(keep(self.folder, self.job, logged, self.job.last())?);
        let state = State::Done { updates: self.job.updates(), seconds, seal };
        self.count(0)?;
        self.folder.set_state(&self.job.id, &state)?;
        Ok(self.folder.clean_up(self.job)?)
    }

    fn diverged(&self, logged: &Logged) -> Result<(), Failure> {
        let last = logged.last().unwrap_or(self.job.first()).clamp(self.job.first(), self.job.last() - 1);
        let seal = Some(keep(self.folder, self.job, logged, last)?);
        let quantity = "loss".to_owned();
        let state = State::Diverged { update: last + 1, quantity, trunk: None, seal };
        self.count(0)?;
        self.folder.set_state(&self.job.id, &state)?;
        Ok(self.folder.clean_up(self.job)?)
    }

    /// Gives the job up, with the end of what its trainer said.
    fn failed(&self, problem: &str, failures: u32) -> Result<(), Failure> {
        let output = self.folder.output(&self.job.id);
        let said = std::fs::read(&output).unwrap_or_default();
        let said = String::from_utf8_lossy(&said);
        let lines: Vec<&str> = said.lines().collect();
        let tail = lines[lines.len().saturating_sub(TAIL)..].join("\n");
        let times = if failures == 1 { "once".to_owned() } else { format!("{failures} times in a row") };
        let problem = format!("{problem}; it failed {times}. The end of {}:\n{tail}", output.display());
        (self.say)(&format!("error: {problem}"));
        self.count(0)?;
        Ok(self.folder.set_state(&self.job.id, &State::Failed { problem })?)
    }
}

/// Lets the trainer and its children be a group of their own, so that all can be told to end.
#[cfg(unix)]
fn own_group(command: &mut Command) {
    use std::os::unix::process::CommandExt;
    command.process_group(0);
}

/// Other systems end the process alone.
#[cfg(not(unix))]
fn own_group(_: &mut Command) {}

/// Tells the trainer's whole group something.
fn tell(child: &Child, signal: &str) {
    let group = format!("-{}", child.id());
    // A group that has ended by itself cannot be told and need not be.
    drop(Command::new("kill").args([signal, "--", &group]).status());
}

/// Tells the trainer's whole group to end; kills it when it does not.
fn end(child: &mut Child) {
    tell(child, "-TERM");
    let since = Instant::now();
    while since.elapsed() < GRACE {
        if matches!(child.try_wait(), Ok(Some(_)) | Err(_)) {
            return;
        }
        std::thread::sleep(POLL);
    }
    tell(child, "-KILL");
    drop(child.kill());
    drop(child.wait());
}
