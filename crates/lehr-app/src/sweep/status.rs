//! How far a sweep is.

use super::slots;
use crate::answer::Answer;
use crate::desk::Desk;
use crate::documents::Document;
use crate::failure::Failure;
use lehr_train::sweep::{Folder, JobProgress, Kind, Progress};
use serde::Serialize;
use std::collections::BTreeSet;
use std::path::Path;

/// How far a sweep is.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct SweepStatusAnswer {
    /// Folder of the sweep.
    pub dir: String,
    /// Whether a process carries it out.
    pub active: bool,
    /// Jobs that are not begun or were interrupted.
    pub waiting: usize,
    /// Jobs that a worker does now.
    pub running: usize,
    /// Jobs that are done.
    pub done: usize,
    /// Jobs whose run, or its trunk, diverged.
    pub diverged: usize,
    /// Jobs that cannot be trained.
    pub failed: usize,
    /// Finished jobs whose journal no longer holds what was trained; resuming trains them again.
    pub damaged: usize,
    /// Updates done by all jobs.
    pub updates_done: u64,
    /// Updates of all jobs; of diverged ones, those done.
    pub updates: u64,
    /// Seconds until the end, where the speeds are known.
    pub seconds_left: Option<f64>,
    /// Bytes of the snapshots that are there.
    pub snapshot_bytes: u64,
    /// The jobs, in the order of the plan.
    pub jobs: Vec<JobProgress>,
    /// The progress as the library gives it.
    #[serde(skip)]
    pub progress: Progress,
    /// Cells that runs with a stable phase belong to: the same run but for its ratio.
    #[serde(skip)]
    pub cells: usize,
}

impl Document for SweepStatusAnswer {
    const SCHEMA: &'static str = "lehr.sweep-status/1";
}

/// Cells of the branches: model, peak rate, horizon, batch.
fn cells(folder: &Folder) -> usize {
    let cells: BTreeSet<(&str, u64, u64, u32)> = folder
        .graph()
        .jobs
        .iter()
        .filter(|job| matches!(job.kind, Kind::Branch { .. }))
        .map(|job| (job.model.as_str(), job.schedule.peak_lr().to_bits(), job.last(), job.config.batch))
        .collect();
    cells.len()
}

impl SweepStatusAnswer {
    pub(super) fn new(folder: &Folder, progress: Progress) -> Self {
        Self {
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
            jobs: progress.jobs.clone(),
            progress,
            cells: cells(folder),
        }
    }

    /// Fails when jobs failed.
    ///
    /// # Errors
    /// [`Failure`] that says where their logs are.
    pub fn check(&self) -> Result<(), Failure> {
        if self.failed == 0 {
            return Ok(());
        }
        Err(Failure::new(format_args!(
            "{} jobs failed and {} wait for them; the others are done",
            self.failed, self.waiting
        ))
        .hint(format_args!(
            "their logs are in {}; `lehr sweep resume {}` tries them again",
            Path::new(&self.dir).join("log").display(),
            self.dir
        )))
    }

    /// Commands that go on from a sweep that is done and end with 0 on such a sweep as this: a law is fitted where the
    /// runs vary the rate or the horizon; one cell alone determines none, but can be looked at.
    #[must_use]
    pub fn next(&self) -> Vec<String> {
        let export = format!("lehr sweep export {} -o STORE", self.dir);
        let then = if self.cells > 1 { "lehr fit STORE -o fit.json" } else { "lehr inspect STORE" };
        vec![export, then.to_owned()]
    }
}

impl Desk {
    /// Says how far a sweep is, also while another process carries it out; `jobs` at a time, for the time left.
    ///
    /// # Errors
    /// [`Failure`] for a folder that holds no sweep.
    pub fn sweep_status(
        &self,
        dir: &Path,
        jobs: Option<usize>,
    ) -> Result<Answer<SweepStatusAnswer>, Failure> {
        let folder = Folder::open(dir)?;
        let progress = Progress::verified(&folder, slots(jobs, folder.settings.lanes)?)?;
        Ok(Answer::plain(SweepStatusAnswer::new(&folder, progress)))
    }
}
