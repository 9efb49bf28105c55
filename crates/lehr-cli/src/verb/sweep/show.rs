//! Tables, JSON and live lines of a sweep.

use crate::failure::Failure;
use crate::output::{Output, data, say, table};
use indicatif::{ProgressBar, ProgressStyle};
use lehr_train::sweep::estimate::{Cost, JobCounts, Speed};
use lehr_train::sweep::folder::Settings;
use lehr_train::sweep::local::Event;
use lehr_train::sweep::{Estimate, Folder, JobProgress, Kind, Progress, State};
use serde::Serialize;
use std::fmt::Write;
use std::io::IsTerminal;
use std::path::Path;
use std::time::{Duration, Instant};

/// Time in words, two units at most.
fn duration(seconds: f64) -> String {
    let s = seconds.round().max(0.0) as u64;
    match s {
        0..60 => format!("{s} s"),
        60..3600 => format!("{} min {:02} s", s / 60, s % 60),
        3600..86_400 => format!("{} h {:02} min", s / 3600, s % 3600 / 60),
        _ => format!("{} d {:02} h", s / 86_400, s % 86_400 / 3600),
    }
}

/// Bytes in words.
fn bytes(count: u64) -> String {
    match count {
        0..1_000_000 => format!("{:.1} kB", count as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", count as f64 / 1e6),
        _ => format!("{:.2} GB", count as f64 / 1e9),
    }
}

/// What it costs, with and without sharing.
pub fn estimate_table(estimate: &Estimate) -> String {
    let mut costs = table(["", "runs", "updates", "tokens", "FLOPs", "time"]);
    let time = |cost: &Cost| cost.hours.map_or("?".to_owned(), |hours| duration(3600.0 * hours));
    let rows = [("trunks and branches", &estimate.shared), ("every run from the start", &estimate.unshared)];
    for (name, cost) in rows {
        costs.add_row([
            name.to_owned(),
            cost.runs.to_string(),
            cost.updates.to_string(),
            format!("{:.3e}", cost.tokens as f64),
            format!("{:.3e}", cost.flops),
            time(cost),
        ]);
    }
    let JobCounts { trunks, branches, alone } = estimate.jobs;
    let mut text = costs.to_string();
    let _ = write!(
        text,
        "\n\n{trunks} trunks, {branches} branches, {alone} runs alone; sharing saves a factor of {:.2} in FLOPs\n{} jobs at a time, at most {} of snapshots at one time",
        estimate.saving,
        estimate.slots,
        bytes(estimate.peak_snapshot_bytes)
    );
    for speed in &estimate.speeds {
        let _ = write!(
            text,
            "\n{}, batch {}: {:.0} tokens/s a job",
            speed.model, speed.batch, speed.tokens_per_second
        );
    }
    text
}

/// One job of a plan, for JSON.
#[derive(Serialize)]
struct PlannedJob<'a> {
    id: &'a str,
    kind: &'static str,
    model: &'a str,
    peak_lr: f64,
    batch: u32,
    seed: u64,
    trunk: Option<&'a str>,
    first: u64,
    last: u64,
    tokens: u64,
    snapshots: &'a [u64],
    schedule: &'a lehr::Schedule,
}

/// What `--dry-run --json` prints.
#[derive(Serialize)]
struct PlanDocument<'a> {
    dir: String,
    dataset: &'a str,
    lanes: usize,
    slots: usize,
    counts: JobCounts,
    shared: Cost,
    unshared: Cost,
    saving: f64,
    peak_snapshot_bytes: u64,
    speeds: &'a [Speed],
    jobs: Vec<PlannedJob<'a>>,
    caveats: &'a [lehr::Caveat],
}

/// The plan of a sweep.
pub fn plan(
    dir: &Path,
    settings: &Settings,
    estimate: &Estimate,
    caveats: &[lehr::Caveat],
    output: &Output,
) -> Result<(), Failure> {
    let jobs: Vec<PlannedJob<'_>> = settings
        .graph
        .jobs
        .iter()
        .map(|job| {
            let (kind, snapshots) = match &job.kind {
                Kind::Trunk { snapshots, .. } => ("trunk", snapshots.as_slice()),
                Kind::Branch { .. } => ("branch", [].as_slice()),
                Kind::Alone => ("alone", [].as_slice()),
            };
            PlannedJob {
                id: &job.id,
                kind,
                model: &job.model,
                peak_lr: job.schedule.peak_lr(),
                batch: job.config.batch,
                seed: job.config.seed,
                trunk: job.trunk(),
                first: job.first() + 1,
                last: job.last(),
                tokens: job.updates() * job.tokens_per_update(),
                snapshots,
                schedule: &job.schedule,
            }
        })
        .collect();
    if output.json {
        return output.document(
            "lehr.sweep-plan/1",
            &PlanDocument {
                dir: dir.display().to_string(),
                dataset: &settings.dataset,
                lanes: settings.lanes,
                slots: estimate.slots,
                counts: estimate.jobs,
                shared: estimate.shared,
                unshared: estimate.unshared,
                saving: estimate.saving,
                peak_snapshot_bytes: estimate.peak_snapshot_bytes,
                speeds: &estimate.speeds,
                jobs,
                caveats,
            },
        );
    }
    let mut list = table(["job", "", "updates"]);
    for job in &jobs {
        let name = if job.kind == "branch" { format!("  {}", job.id) } else { job.id.to_owned() };
        list.add_row([name, job.kind.to_owned(), format!("{} … {}", job.first, job.last)]);
    }
    data(&format!("{list}\n\n{}", estimate_table(estimate)))
}

/// What `status --json` prints.
#[derive(Serialize)]
struct StatusDocument<'a> {
    dir: String,
    active: bool,
    waiting: usize,
    running: usize,
    done: usize,
    diverged: usize,
    failed: usize,
    damaged: usize,
    updates_done: u64,
    updates: u64,
    seconds_left: Option<f64>,
    snapshot_bytes: u64,
    jobs: &'a [JobProgress],
}

/// One line about all jobs.
fn summary(progress: &Progress) -> String {
    let mut parts = Vec::new();
    for state in ["done", "running", "waiting", "diverged", "failed", "damaged"] {
        match progress.count(state) {
            0 if state != "done" => {}
            count => parts.push(format!("{count} {state}")),
        }
    }
    let share = 100.0 * progress.updates_done as f64 / progress.updates.max(1) as f64;
    let left = match progress.seconds_left {
        Some(seconds) if progress.updates_done < progress.updates => {
            format!(", about {} left", duration(seconds))
        }
        _ => String::new(),
    };
    format!(
        "{} of {} jobs: {}; {} of {} updates ({share:.1} %){left}",
        progress.count("done") + progress.count("diverged"),
        progress.jobs.len(),
        parts.join(", "),
        progress.updates_done,
        progress.updates
    )
}

/// A table of the jobs that `keep` accepts.
fn job_table(progress: &Progress, keep: impl Fn(&JobProgress) -> bool) -> Option<String> {
    let mut list = table(["job", "", "updates", "loss", ""]);
    let mut rows = 0;
    for job in progress.jobs.iter().filter(|job| keep(job)) {
        list.add_row([
            job.id.clone(),
            job.state.to_owned(),
            format!("{} / {}", job.completed, job.total),
            job.loss.map_or(String::new(), |loss| format!("{loss:.4}")),
            job.problem.clone().unwrap_or_default(),
        ]);
        rows += 1;
    }
    (rows > 0).then(|| list.to_string())
}

/// How far a sweep is.
pub fn status(folder: &Folder, progress: &Progress, all: bool, output: &Output) -> Result<(), Failure> {
    if output.json {
        return output.document(
            "lehr.sweep-status/1",
            &StatusDocument {
                dir: folder.path().display().to_string(),
                active: progress.active,
                waiting: progress.count("waiting"),
                running: progress.count("running"),
                done: progress.count("done"),
                diverged: progress.count("diverged"),
                failed: progress.count("failed"),
                damaged: progress.count("damaged"),
                updates_done: progress.updates_done,
                updates: progress.updates,
                seconds_left: progress.seconds_left,
                snapshot_bytes: progress.snapshot_bytes,
                jobs: &progress.jobs,
            },
        );
    }
    let mut text = String::new();
    if let Some(list) =
        job_table(progress, |job| all || matches!(job.state, "running" | "diverged" | "failed" | "damaged"))
    {
        text = format!("{list}\n\n");
    }
    let _ = write!(text, "{}: {}", folder.path().display(), summary(progress));
    if progress.snapshot_bytes > 0 {
        let _ = write!(text, "; {} of snapshots", bytes(progress.snapshot_bytes));
    }
    data(&text)
}

/// Says what was handed to a cluster.
pub fn submitted(event: &Event<'_>) {
    if let Event::Submitted { script, tasks, number } = event {
        let done = number.map_or("written".to_owned(), |number| format!("submitted as job {number}"));
        say(format_args!("{}: {tasks} tasks, {done}", script.display()));
    }
}

/// What is said while a sweep runs: a table that changes, on a terminal; else a line now and then.
pub struct Live<'a> {
    folder: &'a Folder,
    bar: Option<ProgressBar>,
    told: Option<Instant>,
}

impl<'a> Live<'a> {
    /// For a sweep.
    pub fn new(folder: &'a Folder) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{msg}") {
                bar.set_style(style);
            }
            bar
        });
        Self { folder, bar, told: None }
    }

    /// Shows an event.
    pub fn tell(&mut self, event: &Event<'_>) {
        match event {
            Event::Progress(progress) => match &self.bar {
                Some(bar) => {
                    let running = job_table(progress, |job| job.state == "running").unwrap_or_default();
                    bar.set_message(format!("{running}\n\n{}", summary(progress)));
                    bar.tick();
                }
                None if self.told.is_none_or(|told| told.elapsed() > Duration::from_secs(30)) => {
                    say(format_args!("{}: {}", self.folder.path().display(), summary(progress)));
                    self.told = Some(Instant::now());
                }
                None => {}
            },
            Event::Started(job) if self.bar.is_none() => say(format_args!("start {}", job.id)),
            Event::Started(_) => {}
            Event::Ended(job, state) => {
                let line = match state {
                    State::Done { seconds, .. } => format!("done {} in {}", job.id, duration(*seconds)),
                    State::Diverged { update, quantity, .. } => {
                        format!("diverged {}: {quantity} out of bounds at update {update}", job.id)
                    }
                    State::Failed { problem } => format!("failed {}: {problem}", job.id),
                    State::Waiting | State::Begun { .. } => return,
                };
                self.line(&line, matches!(state, State::Done { .. }));
            }
            Event::Submitted { .. } => submitted(event),
            Event::Again(job, why) => self.line(&format!("again {}: {why}", job.id), false),
        }
    }

    /// A line that stays; what is usual is left out on a terminal.
    fn line(&self, text: &str, usual: bool) {
        match &self.bar {
            Some(bar) if !usual => bar.suspend(|| say(text)),
            Some(_) => {}
            None => say(text),
        }
    }

    /// Ends the table.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
