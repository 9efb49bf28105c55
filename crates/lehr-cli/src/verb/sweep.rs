//! `lehr sweep`: plans, runs, resumes, shows and exports sweeps of small runs.

pub mod export;
mod show;

use crate::failure::Failure;
use crate::output::{Output, data, say};
use lehr_train::sweep::estimate::Speeds;
use lehr_train::sweep::folder::Settings;
use lehr_train::sweep::local::{Event, Executor};
use lehr_train::sweep::plan::PlanFile;
use lehr_train::sweep::{
    Folder, Graph, LocalExecutor, Progress, SlurmExecutor, State, SweepError, estimate, fingerprint,
    measure_speeds, work, worker,
};
use lehr_train::{Batches, Corpus, CpuTrainer, RunConfig, TrainError, Trainer};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

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
    /// Goes on with a sweep that another processor or version of the program began, although it rounds otherwise.
    #[arg(long)]
    other_arithmetic: bool,
    /// With `--executor slurm`: writes the batch scripts and does not submit them.
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
    },
}

/// The engine of this machine for a configuration.
fn engine(config: &RunConfig, lanes: usize) -> Result<Box<dyn Trainer>, TrainError> {
    let corpus = Corpus::for_run(config)?;
    Ok(Box::new(CpuTrainer::new(config, Arc::new(corpus), lanes)?))
}

/// Runs the verb.
pub fn run(args: Args, output: &Output) -> Result<(), Failure> {
    match args.action {
        Some(Action::Resume { dir, how }) => execute(&Folder::open(&dir)?, &how, output),
        Some(Action::Status { dir, jobs, all }) => {
            let folder = Folder::open(&dir)?;
            let progress = Progress::verified(&folder, slots(jobs, folder.settings.lanes)?)?;
            show::status(&folder, &progress, all, output)
        }
        Some(Action::Export(args)) => export::run(&args, output),
        Some(Action::Worker { dir, job, detached }) => do_job(&dir, &job, detached),
        None => begin(args.new, output),
    }
}

/// Jobs at a time.
fn slots(jobs: Option<usize>, lanes: usize) -> Result<usize, Failure> {
    match jobs {
        Some(0) => Err(Failure::usage("--jobs 0 runs nothing; expected at least 1")),
        Some(jobs) => Ok(jobs),
        None => Ok((std::thread::available_parallelism().map_or(1, usize::from) / lanes).max(1)),
    }
}

/// The plan with absolute paths: workers may be started anywhere.
fn read_plan(path: &Path) -> Result<(PlanFile, String), Failure> {
    let at = |error: std::io::Error| Failure::new(format_args!("{}: {error}", path.display()));
    let text = std::fs::read_to_string(path).map_err(at)?;
    let mut plan = PlanFile::parse(&path.to_string_lossy(), &text)?;
    let beside = std::path::absolute(path).map_err(at)?;
    let beside = beside.parent().unwrap_or(Path::new("/")).to_path_buf();
    let full = |text: &mut String| *text = beside.join(&*text).to_string_lossy().into_owned();
    plan.plan.data.paths.iter_mut().for_each(full);
    plan.plan.data.tokenizer.iter_mut().for_each(full);
    plan.plan.data.cache.iter_mut().for_each(full);
    Ok((plan, text))
}

/// An error about a key, with the plan's line.
fn in_plan(plan: &PlanFile, error: TrainError) -> Failure {
    match error {
        TrainError::Config { key, found, expected } => plan.wrong(&key, found, expected).into(),
        other => SweepError::from(other).into(),
    }
}

fn begin(args: New, output: &Output) -> Result<(), Failure> {
    let how = args.how.clone();
    match open(args, output)? {
        Some(folder) => execute(&folder, &how, output),
        None => Ok(()),
    }
}

/// Trains a plan in a folder, or what is left of it, without a word on stdout; the folder and how far it came.
pub fn train(
    plan: &Path,
    dir: &Path,
    jobs: Option<usize>,
    output: &Output,
) -> Result<(Folder, Progress), Failure> {
    let how = How {
        jobs,
        executor: On::Local,
        slurm_option: Vec::new(),
        other_arithmetic: false,
        write_only: false,
    };
    let new = New {
        plan: Some(plan.to_path_buf()),
        dir: Some(dir.to_path_buf()),
        dry_run: false,
        lanes: 1,
        no_measure: false,
        how: how.clone(),
    };
    let Some(folder) = open(new, output)? else { return Err(Failure::new("no sweep was begun")) };
    let progress = run_locally(&folder, &how)?;
    check_failed(&folder, &progress)?;
    Ok((folder, progress))
}

/// Makes the folder of a plan, or opens it; nothing of it for a dry run, which is shown.
fn open(args: New, output: &Output) -> Result<Option<Folder>, Failure> {
    let Some(path) = args.plan else { return Err(Failure::usage("no plan is given")) };
    if args.lanes == 0 {
        return Err(Failure::usage("--lanes 0 computes nothing; expected at least 1"));
    }
    let slots = slots(args.how.jobs, args.lanes)?;
    let (plan, text) = read_plan(&path)?;
    // One sequence at a time is enough to ask the data for their vocabulary.
    let vocabulary =
        Corpus::open(&plan.plan.data, 8, 1, 0).map_err(|error| in_plan(&plan, error))?.vocabulary();
    let graph = Graph::new(&plan, vocabulary)?;
    let dir = args.dir.unwrap_or_else(|| path.with_extension("sweep"));
    let (dataset, caveats) = look_at_data(&graph, &plan)?;
    let mut settings = Settings::new(graph, args.lanes, plan.plan.snapshot_seconds, dataset);
    if !args.dry_run {
        settings.arithmetic = fingerprint(&settings.graph, &engine, args.lanes)?;
    }
    // A sweep that is there already is recognised before time is spent on measuring.
    let folder = if args.dry_run { None } else { Some(Folder::create(&dir, settings.clone(), &text)?) };
    let known = folder.as_ref().map(Folder::speeds).transpose()?.unwrap_or_default();
    let speeds = if known.models().is_empty() {
        measure(&settings.graph, &plan.plan.speed, args.lanes, args.no_measure, output)?
    } else {
        known
    };
    if let Some(folder) = &folder {
        folder.set_speeds(&speeds)?;
    }
    let estimate = estimate(&settings.graph, &speeds, slots);
    if args.dry_run {
        show::plan(&dir, &settings, &estimate, &caveats, output)?;
        output.caveats(&caveats)?;
        return Ok(None);
    }
    if !output.json {
        say(show::estimate_table(&estimate));
    }
    output.caveats(&caveats)?;
    Ok(folder)
}

/// Opens the data of every model and batch: the data set's name, and what to know about the longest runs.
fn look_at_data(graph: &Graph, plan: &PlanFile) -> Result<(String, Vec<lehr::Caveat>), Failure> {
    let mut longest: BTreeMap<(u32, u32), &lehr_train::sweep::Job> = BTreeMap::new();
    for job in &graph.jobs {
        let held = longest.entry((job.config.model.context, job.config.batch)).or_insert(job);
        if job.last() > held.last() {
            *held = job;
        }
    }
    let (mut name, mut caveats) = (None, Vec::new());
    for job in longest.values() {
        let corpus = Corpus::for_run(&job.config).map_err(|error| in_plan(plan, error))?;
        name = name.or_else(|| Some(corpus.name().to_owned()));
        for caveat in corpus.caveats(job.last()) {
            caveats.push(lehr::Caveat { message: format!("{}: {}", job.id, caveat.message), ..caveat });
        }
    }
    // Readers take the training losses of a run that has fewer validations.
    const FEWEST: u64 = 5;
    let validations = |job: &&lehr_train::sweep::Job| {
        let every = job.config.validate_every;
        match every {
            0 => 1,
            every => job.last().div_ceil(every),
        }
    };
    let few: Vec<_> = graph.jobs.iter().filter(|job| validations(job) < FEWEST).collect();
    if let Some(job) = few.first() {
        caveats.push(lehr::Caveat::note(
            "few-validations",
            format!(
                "{} runs validate fewer than {FEWEST} times ('{}' {} times): other verbs will take their training losses; lower validate_every",
                few.len(),
                job.id,
                validations(job)
            ),
        ));
    }
    Ok((plan.plan.dataset.clone().or(name).unwrap_or_default(), caveats))
}

fn measure(
    graph: &Graph,
    stated: &BTreeMap<String, f64>,
    lanes: usize,
    skip: bool,
    output: &Output,
) -> Result<Speeds, Failure> {
    let all_stated = graph.jobs.iter().all(|job| stated.contains_key(&job.model));
    if skip && !all_stated {
        return Ok(Speeds::default());
    }
    let wait = output.wait("timing the models");
    let speeds = measure_speeds(graph, stated, &engine, lanes, Duration::from_millis(700));
    wait.finish_and_clear();
    Ok(speeds?)
}

/// Refuses to mix bits of different machines or programs unnoticed.
fn check_arithmetic(folder: &Folder, how: &How) -> Result<(), Failure> {
    let began = &folder.settings.arithmetic;
    if began.is_empty() || how.other_arithmetic {
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
    .hint("finish it where it was begun, or give --other-arithmetic: branches then equal runs trained from the start up to rounding only"))
}

/// Carries out what is left of a sweep, and says how it went.
fn execute(folder: &Folder, how: &How, output: &Output) -> Result<(), Failure> {
    if how.executor == On::Slurm {
        let slots = slots(how.jobs, folder.settings.lanes)?;
        check_arithmetic(folder, how)?;
        let options = how.slurm_option.clone();
        let executor = SlurmExecutor { program: program()?, options, submit: !how.write_only };
        executor.run(folder, &mut |event| show::submitted(&event))?;
        return show::status(folder, &Progress::of(folder, slots)?, false, output);
    }
    let progress = run_locally(folder, how)?;
    show::status(folder, &progress, false, output)?;
    check_failed(folder, &progress)?;
    if !output.json {
        data(&format!(
            "next: lehr sweep export {} -o STORE; lehr fit STORE -o fit.json",
            folder.path().display()
        ))?;
    }
    Ok(())
}

/// This program, for workers.
fn program() -> Result<PathBuf, Failure> {
    std::env::current_exe()
        .map_err(|error| Failure::new(format_args!("cannot tell which program this is: {error}")))
}

/// Carries out what is left of a sweep as processes of this machine.
fn run_locally(folder: &Folder, how: &How) -> Result<Progress, Failure> {
    let program = program()?;
    let slots = slots(how.jobs, folder.settings.lanes)?;
    check_arithmetic(folder, how)?;
    let command = |job: &str| {
        let mut command = Command::new(&program);
        command.args(["sweep", "worker"]).arg(folder.path()).arg(job);
        // The engine takes its own threads; nothing else in a worker may take the whole machine.
        command.env("RAYON_NUM_THREADS", folder.settings.lanes.to_string());
        command
    };
    let executor = LocalExecutor { slots, command: &command, poll: Duration::from_millis(50) };
    let mut live = show::Live::new(folder);
    let outcome = executor.run(folder, &mut |event: Event<'_>| live.tell(&event));
    live.finish();
    outcome?;
    Ok(Progress::of(folder, slots)?)
}

/// Fails when jobs failed.
fn check_failed(folder: &Folder, progress: &Progress) -> Result<(), Failure> {
    let failed = progress.count("failed");
    let waiting = progress.count("waiting");
    if failed == 0 {
        return Ok(());
    }
    Err(Failure::new(format_args!("{failed} jobs failed and {waiting} wait for them; the others are done"))
        .hint(format_args!(
            "their logs are in {}; `lehr sweep resume {}` tries them again",
            folder.path().join("log").display(),
            folder.path().display()
        )))
}

fn do_job(dir: &Path, job: &str, detached: bool) -> Result<(), Failure> {
    if !detached {
        worker::end_with_executor();
    }
    let folder = Folder::open(dir)?;
    let id = match job.strip_prefix('#').map(str::parse::<usize>) {
        None => job.to_owned(),
        Some(Ok(at)) if at < folder.graph().jobs.len() => folder.graph().jobs[at].id.clone(),
        Some(_) => return Err(Failure::usage(format_args!("the sweep has no job {job}"))),
    };
    let outcome = work(&folder, &id, &engine, &|line| say(line));
    match outcome {
        Ok(_) => Ok(()),
        Err(error) => {
            // Without an executor nobody else writes the failure down.
            if detached && !matches!(error, SweepError::Busy { .. }) {
                folder.set_state(&id, &State::Failed { problem: error.to_string() })?;
            }
            Err(error.into())
        }
    }
}
