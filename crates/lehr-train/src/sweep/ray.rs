//! Carries out a sweep as tasks of a Ray cluster: makes the list of jobs and lets `python -m lehr.ray` hand them over.
//!
//! ```text
//! DIR/ray/jobs.json          what is left, each job with the trunk it waits for, and what a job takes
//! PYTHON -m lehr.ray --events DIR    one task a job; lines of JSON on its standard output, ends with its standard input
//! ```
//! How far the sweep is, the folder says; the interpreter only tells what the folder cannot.

use crate::sweep::cluster::{forgive, left, one_node, prepare, whole_path};
use crate::sweep::error::{SweepError, at};
use crate::sweep::folder::{Folder, Lock, write_whole};
use crate::sweep::local::{Event, Executor};
use crate::sweep::progress::{Progress, State};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// Version of the list of jobs.
pub const RAY_JOBS_FORMAT: &str = "lehr.ray-jobs/1";
/// Longest time that the interpreter may take to end its tasks when it is told to stop.
const GRACE: Duration = Duration::from_secs(60);
/// Time between two looks at the folder.
const LOOK: Duration = Duration::from_secs(1);
/// Asks an interpreter which packages it has, without loading them.
const PROBE: &str = "import importlib.metadata as m, json\n\
def v(name):\n    try: return m.version(name)\n    except m.PackageNotFoundError: return None\n\
print(json.dumps({name: v(name) for name in ('lehr', 'ray')}))";

/// One task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RayJob {
    /// Name of the job.
    pub job: String,
    /// The job that it waits for, where that one is left, too.
    pub trunk: Option<String>,
}

/// `ray/jobs.json`: what is left of a sweep.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RayJobs {
    /// [`RAY_JOBS_FORMAT`].
    pub format: String,
    /// Threads of each job, and processors that its task takes.
    pub lanes: usize,
    /// GPUs that each task takes; `None`: none.
    pub gpus: Option<u32>,
    /// Whether a trainer of the user's own trains: its worker counts failures itself.
    pub trainer: bool,
    /// Trunks and runs that stand alone, then the branches.
    pub jobs: Vec<RayJob>,
}

/// Hands the jobs to Ray and follows them.
pub struct RayExecutor<'a> {
    /// An interpreter of Python that has lehr and Ray.
    pub python: PathBuf,
    /// Address of the cluster; `None`: `RAY_ADDRESS`, else the cluster of this machine, else one that is started for the sweep.
    pub address: Option<String>,
    /// Whether the jobs are handed over; else the list is only written.
    pub start: bool,
    /// Time between two looks at the interpreter.
    pub poll: Duration,
    /// Jobs at a time that are assumed for the time left, until the cluster says how many it can do.
    pub slots: usize,
    /// Version of the Python package that fits this program.
    pub version: &'a str,
    /// Asked at every look: whether to stop. The tasks are then ended, and what they did is kept.
    pub stop: &'a (dyn Fn() -> bool + 'a),
}

/// A line of the interpreter.
#[derive(Debug, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Said {
    /// The tasks are handed over.
    Ready {
        /// Jobs at a time.
        slots: usize,
        /// What to know about the cluster.
        #[serde(default)]
        note: Option<String>,
    },
    /// A job was given up.
    Failed {
        /// The job.
        job: String,
        /// What its last worker said.
        problem: String,
    },
}

/// Versions of the packages that an interpreter has.
#[derive(Debug, Deserialize)]
struct Packages {
    lehr: Option<String>,
    ray: Option<String>,
}

impl RayExecutor<'_> {
    /// What is left of a sweep.
    ///
    /// # Errors
    /// [`SweepError`] when a state cannot be read, or a job spans several nodes.
    pub fn jobs(folder: &Folder) -> Result<RayJobs, SweepError> {
        one_node(folder, "a task of Ray")?;
        let left = left(folder)?;
        let waits = |trunk: &&str| left.iter().any(|job| job.id == *trunk);
        let jobs = left
            .iter()
            .map(|job| RayJob { job: job.id.clone(), trunk: job.trunk().filter(waits).map(str::to_owned) });
        Ok(RayJobs {
            format: RAY_JOBS_FORMAT.to_owned(),
            lanes: folder.settings.lanes,
            gpus: folder.settings.trainer.as_ref().and_then(|trainer| trainer.plan.gpus),
            trainer: folder.settings.trainer.is_some(),
            jobs: jobs.collect(),
        })
    }

    /// Refuses an interpreter that has not what it takes.
    fn check(&self) -> Result<(), SweepError> {
        let python = self.python.display();
        let wrong = |problem: String, todo: String| {
            Err(SweepError::Option {
                option: "python",
                found: python.to_string(),
                expected: format!("an interpreter with lehr {} and ray: {problem}; {todo}", self.version),
            })
        };
        let output = match Command::new(&self.python).args(["-c", PROBE]).stdin(Stdio::null()).output() {
            Ok(output) => output,
            Err(error) => {
                return wrong(format!("it cannot be started ({error})"), "name one that is there".to_owned());
            }
        };
        let said = String::from_utf8_lossy(&output.stdout);
        let found: Packages = match serde_json::from_str(said.trim()) {
            Ok(found) if output.status.success() => found,
            _ => {
                let error = String::from_utf8_lossy(&output.stderr);
                let last = error.lines().last().unwrap_or("it said nothing").to_owned();
                return wrong(format!("it does not say what it has ({last})"), "name another".to_owned());
            }
        };
        match (&found.lehr, &found.ray) {
            (None, _) => wrong(
                "it has no package lehr".to_owned(),
                format!("install it with `{python} -m pip install lehr`, or name another interpreter"),
            ),
            (Some(lehr), _) if lehr != self.version => wrong(
                format!("it has lehr {lehr}"),
                "install the same version on every node, or name another interpreter".to_owned(),
            ),
            (_, None) => wrong(
                "it has no package ray".to_owned(),
                format!("install it with `{python} -m pip install ray`, or name another interpreter"),
            ),
            _ => Ok(()),
        }
    }

    /// Starts the interpreter; what it says of Ray goes to `log`.
    fn spawn(&self, folder: &Folder, log: &Path) -> Result<Child, SweepError> {
        let log = File::options().create(true).append(true).open(log).map_err(at(log, "open"))?;
        let mut command = Command::new(&self.python);
        command.args(["-m", "lehr.ray", "--events"]);
        if let Some(address) = &self.address {
            command.args(["--address", address]);
        }
        command.arg("--").arg(whole_path(folder.path())?);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log);
        own_group(&mut command);
        command.spawn().map_err(SweepError::Start)
    }

    /// Follows the sweep until the interpreter ends.
    fn follow(
        &self,
        folder: &Folder,
        child: &mut Child,
        log: &Path,
        known: &mut BTreeMap<String, &'static str>,
        observe: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), SweepError> {
        let lines = lines(child);
        let mut slots = self.slots;
        let mut looked: Option<Instant> = None;
        loop {
            if (self.stop)() {
                return Err(SweepError::Stopped);
            }
            let ended = child.try_wait().map_err(SweepError::Start)?;
            // What it said last is all there once it has ended and the other side is closed.
            let wait = if ended.is_some() { LOOK } else { self.poll };
            loop {
                match lines.recv_timeout(wait) {
                    Ok(line) => hear(folder, &line, &mut slots, observe)?,
                    Err(RecvTimeoutError::Timeout) => break,
                    Err(RecvTimeoutError::Disconnected) => {
                        // It will say nothing more, and may still be at work.
                        std::thread::sleep(self.poll);
                        break;
                    }
                }
            }
            if looked.is_none_or(|looked| looked.elapsed() >= LOOK) || ended.is_some() {
                let progress = Progress::of(folder, slots)?;
                tell(folder, &progress, known, observe)?;
                observe(Event::Progress(&progress));
                looked = Some(Instant::now());
            }
            match ended {
                None => {}
                Some(status) if status.success() => return Ok(()),
                Some(status) => return Err(broken(log, &status.to_string())),
            }
        }
    }
}

/// The interpreter ended before its time.
fn broken(log: &Path, status: &str) -> SweepError {
    let said = std::fs::read(log).unwrap_or_default();
    let said = String::from_utf8_lossy(&said);
    let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
    SweepError::Folder {
        place: log.to_path_buf(),
        problem: format!("lehr.ray ended early ({status}): {}", last.trim_start_matches("error: ")),
        expected: "tasks that end; mend what it says there, and `lehr sweep resume` goes on".to_owned(),
    }
}

/// Lines of the interpreter, as they come.
fn lines(child: &mut Child) -> Receiver<String> {
    let (send, receive) = channel();
    if let Some(output) = child.stdout.take() {
        std::thread::spawn(move || {
            let mut output = BufReader::new(output);
            let mut line = Vec::new();
            while matches!(output.read_until(b'\n', &mut line), Ok(length) if length > 0) {
                if send.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                    return;
                }
                line.clear();
            }
        });
    }
    receive
}

/// Takes in a line; what is no event of this version is passed over: Ray itself may print.
fn hear(
    folder: &Folder,
    line: &str,
    slots: &mut usize,
    observe: &mut dyn FnMut(Event<'_>),
) -> Result<(), SweepError> {
    match serde_json::from_str(line) {
        Ok(Said::Ready { slots: found, note }) => {
            *slots = found.max(1);
            if let Some(note) = note {
                observe(Event::Said(&note));
            }
        }
        Ok(Said::Failed { job, problem }) => {
            // A worker that gave its job up said so itself; one that was killed could not.
            if folder.graph().job(&job).is_some()
                && !Lock::is_held(&folder.job_lock(&job))
                && matches!(folder.state(&job)?, State::Waiting | State::Begun { .. })
            {
                folder.set_state(&job, &State::Failed { problem })?;
            }
        }
        Err(_) => {}
    }
    Ok(())
}

/// The state of every job.
fn known(progress: &Progress) -> BTreeMap<String, &'static str> {
    progress.jobs.iter().map(|job| (job.id.clone(), job.state)).collect()
}

/// Tells which jobs began and ended since the last look.
fn tell(
    folder: &Folder,
    progress: &Progress,
    known: &mut BTreeMap<String, &'static str>,
    observe: &mut dyn FnMut(Event<'_>),
) -> Result<(), SweepError> {
    for (job, seen) in folder.graph().jobs.iter().zip(&progress.jobs) {
        let before = known.insert(job.id.clone(), seen.state);
        match seen.state {
            same if before == Some(same) => {}
            "running" => observe(Event::Started(job)),
            "done" | "diverged" | "failed" => observe(Event::Ended(job, &folder.state(&job.id)?)),
            _ => {}
        }
    }
    Ok(())
}

/// Keeps the terminal's Ctrl-C from the interpreter, which ends with its standard input.
#[cfg(unix)]
fn own_group(command: &mut Command) {
    use std::os::unix::process::CommandExt;
    command.process_group(0);
}

/// Other systems have no such groups.
#[cfg(not(unix))]
fn own_group(_: &mut Command) {}

/// Ends the interpreter: first it is let to end its tasks, then it is killed.
fn end(child: &mut Child) {
    drop(child.stdin.take());
    let since = Instant::now();
    while since.elapsed() < GRACE && matches!(child.try_wait(), Ok(None)) {
        std::thread::sleep(Duration::from_millis(20));
    }
    // One that ended by itself cannot be killed and need not be.
    drop(child.kill());
    drop(child.wait());
}

impl Executor for RayExecutor<'_> {
    fn run(&self, folder: &Folder, observe: &mut dyn FnMut(Event<'_>)) -> Result<(), SweepError> {
        if self.start {
            self.check()?;
        }
        one_node(folder, "a task of Ray")?;
        let _held = folder.lock()?;
        prepare(folder, observe)?;
        forgive(folder)?;
        let place = folder.path().join("ray");
        std::fs::create_dir_all(&place).map_err(at(&place, "make"))?;
        let list = Self::jobs(folder)?;
        let file = place.join("jobs.json");
        let text = serde_json::to_vec_pretty(&list).map_err(|error| SweepError::Folder {
            place: file.clone(),
            problem: error.to_string(),
            expected: "values that JSON can hold".to_owned(),
        })?;
        write_whole(&file, &text)?;
        if !self.start {
            observe(Event::Submitted { script: &file, tasks: list.jobs.len(), number: None });
            return Ok(());
        }
        if list.jobs.is_empty() {
            observe(Event::Progress(&Progress::of(folder, self.slots)?));
            return Ok(());
        }
        let log = folder.log("ray");
        let mut known = known(&Progress::of(folder, self.slots)?);
        let mut child = self.spawn(folder, &log)?;
        let outcome = self.follow(folder, &mut child, &log, &mut known, observe);
        end(&mut child);
        outcome
    }
}
