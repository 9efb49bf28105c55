//! Tables and live lines of a sweep.

use crate::output::{say, table};
use indicatif::{ProgressBar, ProgressStyle};
use lehr_app::sweep::{SweepPlanAnswer, SweepStatusAnswer};
use lehr_train::sweep::estimate::{Cost, JobCounts};
use lehr_train::sweep::local::Event;
use lehr_train::sweep::{Estimate, JobProgress, Progress, State};
use std::fmt::Write;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
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

/// The jobs of a plan and what they cost.
pub fn plan(plan: &SweepPlanAnswer) -> String {
    let mut list = table(["job", "", "updates"]);
    for job in &plan.jobs {
        let name = if job.kind == "branch" { format!("  {}", job.id) } else { job.id.clone() };
        list.add_row([name, job.kind.to_owned(), format!("{} … {}", job.first, job.last)]);
    }
    format!("{list}\n\n{}", estimate_table(&plan.estimate))
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
pub fn status(status: &SweepStatusAnswer, all: bool) -> String {
    let progress = &status.progress;
    let mut text = String::new();
    if let Some(list) =
        job_table(progress, |job| all || matches!(job.state, "running" | "diverged" | "failed" | "damaged"))
    {
        text = format!("{list}\n\n");
    }
    let _ = write!(text, "{}: {}", status.dir, summary(progress));
    if progress.snapshot_bytes > 0 {
        let _ = write!(text, "; {} of snapshots", bytes(progress.snapshot_bytes));
    }
    text
}

/// Says what was handed to a cluster.
fn submitted(event: &Event<'_>) {
    if let Event::Submitted { script, tasks, number } = event {
        let done = number.map_or("written".to_owned(), |number| format!("submitted as job {number}"));
        say(format_args!("{}: {tasks} tasks, {done}", script.display()));
    }
}

/// What is said while a sweep runs: a table that changes, on a terminal; else a line now and then.
pub struct Live {
    folder: PathBuf,
    bar: Option<ProgressBar>,
    told: Option<Instant>,
}

impl Live {
    /// For the sweep of a folder.
    pub fn new(folder: &Path) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{msg}") {
                bar.set_style(style);
            }
            bar
        });
        Self { folder: folder.to_path_buf(), bar, told: None }
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
                    say(format_args!("{}: {}", self.folder.display(), summary(progress)));
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
            Event::Said(line) => self.line(&format!("note: {line}"), false),
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
