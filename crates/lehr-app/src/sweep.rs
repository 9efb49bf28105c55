//! Sweeps of small runs: planned, begun, carried out, looked at, exported.
//!
//! ```text
//! plan.toml ─plan_sweep─▶ what it costs
//!           ─begin_sweep─▶ folder ─run_sweep─▶ status ─export_sweep─▶ run store
//!                                   │ one process a job, which asks run_job
//! ```

pub mod adopt;
pub mod export;
mod job;
mod outside;
pub mod plan;
pub mod status;

pub use adopt::{AdoptRequest, Adopted, Kept, SweepAdoptAnswer};
pub use export::{LeftOut, SweepExportAnswer, SweepExportRequest, Which};
pub use plan::{BegunSweep, PlannedJob, SweepPlanAnswer, SweepRequest};
pub use status::SweepStatusAnswer;

use crate::answer::Answer;
use crate::desk::Desk;
use crate::failure::Failure;
use crate::observer::Event;
use lehr_train::sweep::local::Executor;
use lehr_train::sweep::{
    Folder, Job, KubernetesExecutor, LocalExecutor, Progress, RayExecutor, Readiness, SlurmExecutor, State,
    SweepError, fingerprint, readiness, work_until, worker,
};
use lehr_train::{Corpus, CpuTrainer, RunConfig, TrainError, Trainer};
use outside::Outside;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Time between two looks at the workers.
const POLL: Duration = Duration::from_millis(50);

/// A program that asks [`Desk::run_job`]: it is called with these arguments, `--detached` on a cluster, the sweep's folder
/// and a job's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerProgram {
    /// The program; on a cluster, at a path that every node has.
    pub program: PathBuf,
    /// The words that make it a worker: `sweep worker`.
    pub arguments: Vec<String>,
}

/// Where jobs run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Place {
    /// As processes of this machine.
    #[default]
    Here,
    /// As job arrays of a Slurm cluster; the question is answered when they are submitted.
    Slurm {
        /// Options for `sbatch`, such as `--partition=short`.
        options: Vec<String>,
        /// Writes the batch scripts and does not submit them.
        write_only: bool,
    },
    /// As Jobs of a Kubernetes cluster, whose manifests are written; the user creates them.
    Kubernetes {
        /// The image, with `lehr` on its path.
        image: String,
        /// The claim of a volume that all nodes can mount.
        claim: String,
        /// Where it is mounted; `None`: at the sweep's folder.
        mount: Option<PathBuf>,
    },
    /// As tasks of a Ray cluster; the question is answered when they have ended.
    Ray {
        /// An interpreter of Python that has lehr and Ray.
        python: PathBuf,
        /// Address of the cluster; `None`: what Ray finds, or starts on this machine.
        address: Option<String>,
        /// Writes the list of jobs and starts nothing.
        write_only: bool,
    },
}

/// How jobs are carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Execution {
    /// Who does a job.
    pub worker: WorkerProgram,
    /// Jobs at a time; `None`: as many as the cores can serve.
    pub jobs: Option<usize>,
    /// Where.
    pub place: Place,
    /// Goes on with a sweep that another processor or version of the program began, although it rounds otherwise.
    pub other_arithmetic: bool,
}

impl Execution {
    /// On this machine, as many jobs at a time as the cores can serve.
    #[must_use]
    pub fn here(worker: WorkerProgram) -> Self {
        Self { worker, jobs: None, place: Place::Here, other_arithmetic: false }
    }
}

/// One job of a sweep, for its worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobRequest {
    /// Folder of the sweep.
    pub dir: PathBuf,
    /// Name of the job, or `#N` for the N-th (from 0).
    pub job: String,
    /// Goes on when standard input ends, and writes a failure down itself.
    pub detached: bool,
    /// Says by failures what is to become of the job: of kind [`Again`](crate::FailureKind::Again) while its trunk is not that far,
    /// while another process does it and when the observer stops it, and any other where it is given up.
    pub exit_codes: bool,
}

/// The engine of this machine for a configuration.
fn engine(config: &RunConfig, lanes: usize) -> Result<Box<dyn Trainer>, TrainError> {
    let corpus = Corpus::for_run(config)?;
    Ok(Box::new(CpuTrainer::new(config, Arc::new(corpus), lanes)?))
}

/// Jobs at a time.
fn slots(jobs: Option<usize>, lanes: usize) -> Result<usize, Failure> {
    match jobs {
        Some(0) => Err(Failure::usage("[[jobs]] 0 runs nothing; expected at least 1")),
        Some(jobs) => Ok(jobs),
        None => Ok((std::thread::available_parallelism().map_or(1, usize::from) / lanes.max(1)).max(1)),
    }
}

/// Refuses to mix bits of different machines or programs unnoticed.
fn check_arithmetic(folder: &Folder, execution: &Execution) -> Result<(), Failure> {
    let began = &folder.settings.arithmetic;
    if began.is_empty() || execution.other_arithmetic {
        return Ok(());
    }
    let here = fingerprint(folder.graph(), &engine, folder.settings.lanes)?;
    if here == *began {
        return Ok(());
    }
    Err(Failure::new(format_args!(
        "{}: this program on this machine rounds otherwise than the one that began the sweep",
        folder.path().display()
    ))
    .hint("finish it where it was begun, or give [[other_arithmetic]]: branches then equal runs trained from the start up to rounding only"))
}

impl Desk {
    /// Goes on with the sweep of a folder where it stopped; tries failed jobs again.
    ///
    /// # Errors
    /// As [`Desk::run_sweep`], and for a folder that holds no sweep.
    pub fn resume_sweep(
        &self,
        dir: &Path,
        execution: &Execution,
    ) -> Result<Answer<SweepStatusAnswer>, Failure> {
        self.run_sweep(&Folder::open(dir)?, execution)
    }

    /// Carries out what is left of a sweep, and says how it went. Jobs that fail are no failure of the question:
    /// [`SweepStatusAnswer::check`] says of them.
    ///
    /// # Errors
    /// [`Failure`] when another process carries the sweep out, when this machine rounds otherwise, when no worker can be
    /// started, and of kind [`Interrupted`](crate::FailureKind::Interrupted) when the observer stops it.
    pub fn run_sweep(
        &self,
        folder: &Folder,
        execution: &Execution,
    ) -> Result<Answer<SweepStatusAnswer>, Failure> {
        let slots = slots(execution.jobs, folder.settings.lanes)?;
        check_arithmetic(folder, execution)?;
        let outcome = match &execution.place {
            Place::Slurm { options, write_only } => {
                let executor = SlurmExecutor {
                    program: execution.worker.program.clone(),
                    arguments: execution.worker.arguments.clone(),
                    options: options.clone(),
                    submit: !write_only,
                };
                self.follow(folder, &executor)
            }
            Place::Kubernetes { image, claim, mount } => {
                let executor =
                    KubernetesExecutor { image: image.clone(), claim: claim.clone(), mount: mount.clone() };
                for path in executor.outside_of_claim(folder)? {
                    let line = format!(
                        "note: {} is not on the claim; the image must hold it, or [[k8s_mount]] name a folder above both",
                        path.display()
                    );
                    self.observer().hear(Event::Said(&line));
                }
                self.follow(folder, &executor)
            }
            Place::Ray { python, address, write_only } => {
                let stop = || self.observer().cancelled();
                let executor = RayExecutor {
                    python: python.clone(),
                    address: address.clone(),
                    start: !write_only,
                    poll: POLL,
                    slots,
                    version: env!("CARGO_PKG_VERSION"),
                    stop: &stop,
                };
                self.follow(folder, &executor)
            }
            Place::Here => {
                let command = |job: &str| {
                    let mut command = Command::new(&execution.worker.program);
                    command.args(&execution.worker.arguments).arg(folder.path()).arg(job);
                    // The engine takes its own threads; nothing else in a worker may take the whole machine.
                    command.env("RAYON_NUM_THREADS", folder.settings.lanes.to_string());
                    command
                };
                let stop = || self.observer().cancelled();
                let executor = LocalExecutor { slots, command: &command, poll: POLL, stop: &stop };
                self.follow(folder, &executor)
            }
        };
        outcome.map_err(|error| match error {
            SweepError::Stopped => Failure::interrupted(error)
                .hint(format_args!("`lehr sweep resume {}` goes on from there", folder.path().display())),
            error => error.into(),
        })?;
        Ok(Answer::plain(SweepStatusAnswer::new(folder, Progress::of(folder, slots)?)))
    }

    /// Carries a sweep out and lets the observer hear of it.
    fn follow(&self, folder: &Folder, executor: &dyn Executor) -> Result<(), SweepError> {
        let path = folder.path();
        let outcome = executor.run(folder, &mut |event| {
            self.observer().hear(Event::Sweep { folder: path, event: &event });
        });
        self.observer().hear(Event::SweepEnded);
        outcome
    }

    /// Does one job of a sweep, in the process that asks: it ends with its standard input, unless it is detached.
    ///
    /// # Errors
    /// [`Failure`] for a job that there is not, that another process does, or that cannot be trained.
    pub fn run_job(&self, request: &JobRequest) -> Result<(), Failure> {
        let folder = Folder::open(&request.dir)?;
        let stop = Arc::new(AtomicBool::new(false));
        match (request.detached, &folder.settings.trainer) {
            (true, _) => {}
            (false, None) => worker::end_with_executor(),
            // The trainer is told to end first.
            (false, Some(_)) => {
                let stop = Arc::clone(&stop);
                worker::when_executor_ends(move || stop.store(true, Ordering::SeqCst));
            }
        }
        let job = &request.job;
        let jobs = &folder.graph().jobs;
        let id = match job.strip_prefix('#').map(str::parse::<usize>) {
            None => job.clone(),
            Some(at) => match at.ok().and_then(|at| jobs.get(at)) {
                Some(job) => job.id.clone(),
                None => {
                    return Err(Failure::usage(format_args!(
                        "the sweep has no job {job}; expected #0 … #{}",
                        jobs.len().saturating_sub(1)
                    )));
                }
            },
        };
        let say = |line: &str| self.observer().hear(Event::Said(line));
        if request.exit_codes {
            self.wait_its_turn(&folder, folder.job(&id)?)?;
        }
        if let Some(trainer) = &folder.settings.trainer {
            let job = folder.job(&id)?;
            let outside = Outside {
                desk: self,
                folder: &folder,
                trainer,
                job,
                say: &say,
                stop,
                detached: request.detached,
                exit_codes: request.exit_codes,
            };
            outside.work()?;
            return match folder.state(&id)? {
                State::Failed { problem } if request.exit_codes => Err(Failure::new(problem)),
                _ => Ok(()),
            };
        }
        let stop = || request.exit_codes && self.observer().cancelled();
        match work_until(&folder, &id, &engine, &say, &stop) {
            Ok(_) => Ok(()),
            Err(error @ (SweepError::Stopped | SweepError::Busy { .. })) if request.exit_codes => {
                Err(Failure::again(error))
            }
            Err(error) => {
                // Without an executor nobody else writes the failure down.
                if request.detached && !matches!(error, SweepError::Busy { .. }) {
                    folder.set_state(&id, &State::Failed { problem: error.to_string() })?;
                }
                Err(error.into())
            }
        }
    }

    /// Ends the question where the job's trunk has not left what the job resumes from.
    fn wait_its_turn(&self, folder: &Folder, job: &Job) -> Result<(), Failure> {
        match readiness(folder, job)? {
            Readiness::Ready => Ok(()),
            Readiness::Later { trunk, place } => Err(Failure::again(format_args!(
                "{} is not there yet: '{trunk}' is not that far",
                place.display()
            ))),
            Readiness::Never { trunk, place } => Err(Failure::new(format_args!(
                "{} is not there, and '{trunk}', which was to leave it, has ended",
                place.display()
            ))
            .hint(format_args!("`lehr sweep resume {}` lets it be made", folder.path().display()))),
        }
    }
}
