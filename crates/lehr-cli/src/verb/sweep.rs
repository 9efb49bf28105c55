//! `lehr sweep`: plans, runs, resumes, shows and exports sweeps of small runs.

mod adopt;
mod export;
pub mod show;

use crate::failure::Failure;
use crate::output::Output;
use crate::watch::{self, Watch};
use lehr_app::Desk;
use lehr_app::sweep::{Execution, JobRequest, Place, SweepRequest, SweepStatusAnswer};
use std::path::PathBuf;
use std::sync::Arc;

/// Trains a plan of many small runs, each shared beginning once, and keeps their curves in a run store.
///
/// All annealing runs of one model, peak rate, batch and seed branch from one constant-rate trunk; a branch has, bit for
/// bit, the losses of the run trained under its whole schedule from the start. What it costs, with and without
/// sharing, is said before it starts. It may be killed at any moment: `lehr sweep resume` goes on from there.
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:
  lehr sweep plan.toml --dry-run            what it costs, with and without sharing
  lehr sweep plan.toml --dir sweep          trains it
  lehr sweep resume sweep                   goes on after an interruption
  lehr sweep status sweep                   how far it is
  lehr sweep export sweep -o store          the curves; then: lehr fit store"
)]
pub struct Args {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    new: New,
}

/// A sweep that is begun, or shown only.
#[derive(Debug, clap::Args)]
struct New {
    /// The plan (TOML; docs/formats/sweep.md).
    #[arg(required = true, value_name = "PLAN")]
    plan: Option<PathBuf>,
    /// Folder of the sweep; default: the plan's name with `.sweep`.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Shows the jobs and what they cost, and stops.
    #[arg(long)]
    dry_run: bool,
    /// Threads of each job. Losses are the same, bit for bit, for one number of threads.
    #[arg(long, value_name = "N", default_value_t = 1)]
    lanes: usize,
    /// Does not time the models: no hours are shown where the plan states no speed.
    #[arg(long)]
    no_measure: bool,
    #[command(flatten)]
    how: How,
}

/// How jobs are carried out.
#[derive(Debug, Clone, clap::Args)]
struct How {
    /// Jobs at a time; default: as many as the cores can serve.
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    /// Where jobs run.
    #[arg(long, value_enum, default_value_t = On::Local)]
    executor: On,
    /// With `--executor slurm`: an option for `sbatch`, such as `--partition=short` (repeat).
    #[arg(long, value_name = "OPTION", allow_hyphen_values = true)]
    slurm_option: Vec<String>,
    /// With `--executor k8s-job-files`, which needs it: the image of the jobs, with `lehr` on its path.
    #[arg(long, value_name = "IMAGE")]
    k8s_image: Option<String>,
    /// With `--executor k8s-job-files`, which needs it: the PersistentVolumeClaim that holds the sweep's folder.
    #[arg(long, value_name = "CLAIM")]
    k8s_claim: Option<String>,
    /// With `--executor k8s-job-files`: where the claim is mounted, a folder that holds the sweep's; default: the sweep's folder
    /// itself.
    #[arg(long, value_name = "PATH")]
    k8s_mount: Option<PathBuf>,
    /// With `--executor ray`: address of the cluster; default: the one that Ray finds, or one that it starts on this machine.
    #[arg(long, value_name = "ADDRESS")]
    ray_address: Option<String>,
    /// With `--executor ray`: an interpreter of Python that has lehr and ray; default: the one that runs this command, or `python3`.
    #[arg(long, value_name = "FILE")]
    python: Option<PathBuf>,
    /// Goes on with a sweep that another processor or version of the program began, although it rounds otherwise.
    #[arg(long)]
    other_arithmetic: bool,
    /// With `--executor slurm` or `ray`: writes the batch scripts or the list of jobs, and starts nothing.
    #[arg(long)]
    write_only: bool,
}

/// Where jobs run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum On {
    /// As processes of this machine.
    Local,
    /// As job arrays of a Slurm cluster; the command returns when they are submitted.
    Slurm,
    /// As Jobs of a Kubernetes cluster: their manifests are written to the sweep's folder `k8s`, to be created with `kubectl`.
    K8sJobFiles,
    /// As tasks of a Ray cluster; the command returns when they have ended.
    Ray,
}

impl On {
    /// As it is written on the command line.
    fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Slurm => "slurm",
            Self::K8sJobFiles => "k8s-job-files",
            Self::Ray => "ray",
        }
    }
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Goes on with a sweep where it stopped; tries failed jobs again.
    #[command(after_help = "Example:\n  lehr sweep resume plan.sweep --jobs 2")]
    Resume {
        /// Folder of the sweep.
        dir: PathBuf,
        #[command(flatten)]
        how: How,
    },
    /// Shows how far a sweep is.
    #[command(after_help = "Example:\n  lehr sweep status plan.sweep --json")]
    Status {
        /// Folder of the sweep.
        dir: PathBuf,
        /// Jobs at a time, for the time left; default: as many as the cores can serve.
        #[arg(long, value_name = "N")]
        jobs: Option<usize>,
        /// Lists every job, not only those that run, failed or diverged.
        #[arg(long)]
        all: bool,
    },
    /// Writes the runs of a sweep to a run store; of a sweep under way, those that are finished.
    Export(export::Args),
    /// Lets runs that exist already take their cells of a sweep with a trainer of your own; only the missing ones are trained.
    #[command(
        after_help = "Example:\n  lehr sweep adopt plan.toml runs/ --checkpoint trunk@40000=checkpoints/step-40000 --dir sweep"
    )]
    Adopt(Box<adopt::Args>),
    /// Does a job file with lehr's own engine, as a trainer of your own would (docs/formats/job.md).
    #[command(after_help = "Example:\n  command = \"lehr sweep job {job}\"       under [trainer] in a plan")]
    Job {
        /// The job file.
        file: PathBuf,
    },
    /// Does one job: what an executor starts.
    #[command(hide = true)]
    Worker {
        /// Folder of the sweep.
        dir: PathBuf,
        /// Name of the job, or `#N` for the N-th (from 0).
        job: String,
        /// Goes on when standard input ends.
        #[arg(long)]
        detached: bool,
        /// Says by its exit code what is to become of the job, and ends with SIGTERM after a snapshot.
        #[arg(long)]
        exit_codes: bool,
    },
}

impl How {
    /// Refuses options of an executor that is not asked for.
    fn check(&self) -> Result<(), Failure> {
        use On::{K8sJobFiles, Ray, Slurm};
        let given: [(&str, bool, &[On]); 7] = [
            ("slurm_option", !self.slurm_option.is_empty(), &[Slurm]),
            ("k8s_image", self.k8s_image.is_some(), &[K8sJobFiles]),
            ("k8s_claim", self.k8s_claim.is_some(), &[K8sJobFiles]),
            ("k8s_mount", self.k8s_mount.is_some(), &[K8sJobFiles]),
            ("ray_address", self.ray_address.is_some(), &[Ray]),
            ("python", self.python.is_some(), &[Ray]),
            ("write_only", self.write_only, &[Slurm, Ray]),
        ];
        match given.iter().find(|(_, given, of)| *given && !of.contains(&self.executor)) {
            None => Ok(()),
            Some((option, _, of)) => {
                let names: Vec<String> = of.iter().map(|on| format!("[[executor]] {}", on.name())).collect();
                let found = self.executor.name();
                Err(Failure::usage(format_args!(
                    "[[{option}]] is given and [[executor]] is {found}; expected {}",
                    names.join(" or ")
                )))
            }
        }
    }

    fn execution(self) -> Result<Execution, Failure> {
        self.check()?;
        let needed = |option: &str, value: Option<String>, what: &str| {
            value.ok_or_else(|| {
                Failure::usage(format_args!("[[executor]] k8s-job-files needs [[{option}]]: {what}"))
            })
        };
        let place = match self.executor {
            On::Local => Place::Here,
            On::Slurm => Place::Slurm { options: self.slurm_option, write_only: self.write_only },
            On::K8sJobFiles => Place::Kubernetes {
                image: needed("k8s_image", self.k8s_image, "the image of the jobs, with lehr on its path")?,
                claim: needed(
                    "k8s_claim",
                    self.k8s_claim,
                    "the claim of the volume that holds the sweep's folder",
                )?,
                mount: self.k8s_mount,
            },
            On::Ray => Place::Ray {
                python: self.python.or_else(watch::interpreter).unwrap_or_else(|| PathBuf::from("python3")),
                address: self.ray_address,
                write_only: self.write_only,
            },
        };
        Ok(Execution {
            worker: watch::worker()?,
            jobs: self.jobs,
            place,
            other_arithmetic: self.other_arithmetic,
        })
    }
}

/// Runs the verb.
pub fn run(args: Args, output: &Output) -> Result<(), Failure> {
    let watch = Watch::new(output);
    let watch = match &args.action {
        Some(Action::Job { .. } | Action::Worker { exit_codes: true, .. }) => watch.until_told()?,
        _ => watch,
    };
    let desk = output.desk().observed(Arc::new(watch));
    match args.action {
        Some(Action::Resume { dir, how }) => {
            let execution = how.execution()?;
            let answer = desk.resume_sweep(&dir, &execution)?;
            close(&answer.value, &execution, output)
        }
        Some(Action::Status { dir, jobs, all }) => {
            let answer = desk.sweep_status(&dir, jobs)?;
            say_status(&answer.value, all, output)
        }
        Some(Action::Export(args)) => export::run(args, output),
        Some(Action::Adopt(args)) => adopt::run(*args, &desk, output),
        Some(Action::Job { file }) => desk.do_job(&file),
        Some(Action::Worker { dir, job, detached, exit_codes }) => {
            desk.run_job(&JobRequest { dir, job, detached, exit_codes })
        }
        None => begin(args.new, &desk, output),
    }
}

fn begin(args: New, desk: &Desk, output: &Output) -> Result<(), Failure> {
    let Some(plan) = args.plan else { return Err(Failure::usage("no plan is given")) };
    let request = SweepRequest {
        plan,
        dir: args.dir,
        lanes: args.lanes,
        jobs: args.how.jobs,
        measure: !args.no_measure,
    };
    if args.dry_run {
        let answer = desk.plan_sweep(&request)?;
        if output.json {
            output.answer(&answer.value)?;
        } else {
            output.data(&show::plan(&answer.value))?;
        }
        return output.close(&answer);
    }
    let execution = args.how.execution()?;
    let begun = desk.begin_sweep(&request)?;
    if !output.json {
        output.say(show::estimate_table(&begun.value.estimate));
    }
    output.close(&begun)?;
    let answer = desk.run_sweep(&begun.value.folder, &execution)?;
    close(&answer.value, &execution, output)
}

fn say_status(status: &SweepStatusAnswer, all: bool, output: &Output) -> Result<(), Failure> {
    if output.json { output.answer(status) } else { output.data(&show::status(status, all)) }
}

/// Says how a sweep went, and what to do next.
fn close(status: &SweepStatusAnswer, execution: &Execution, output: &Output) -> Result<(), Failure> {
    say_status(status, false, output)?;
    let next = match &execution.place {
        Place::Here | Place::Ray { write_only: false, .. } => {
            status.check()?;
            status.next()
        }
        Place::Kubernetes { .. } => {
            let files = PathBuf::from(&status.dir).join("k8s");
            vec![
                format!("kubectl replace --force -f {}", files.display()),
                format!("lehr sweep status {}", status.dir),
            ]
        }
        _ => return Ok(()),
    };
    if !output.json {
        output.data(&format!("next: {}", next.join("; ")))?;
    }
    Ok(())
}
