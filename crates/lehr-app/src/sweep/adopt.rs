//! Runs that exist already take their cells of a sweep: only the missing ones are trained.

use super::plan::SweepRequest;
use crate::answer::Answer;
use crate::desk::Desk;
use crate::documents::Document;
use crate::failure::Failure;
use crate::reading::Reading;
use lehr::Curve;
use lehr_io::SplitChoice;
use lehr_train::sweep::outside::{Logged, keep};
use lehr_train::sweep::{Folder, Job, Kind, State};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Rates this close, as a share of the peak, are the same: logs are rounded.
const SAME_RATE: f64 = 2e-3;
/// Sizes this close, as a share, are the same: they are counted in several ways.
const SAME_SIZE: f64 = 0.1;

/// A checkpoint of a run that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Name of the run.
    pub run: String,
    /// Updates that it has done.
    pub update: u64,
    /// File or folder.
    pub path: PathBuf,
}

/// What to adopt.
#[derive(Debug, Clone)]
pub struct AdoptRequest {
    /// The plan, and the sweep's folder, which is made if it is not there.
    pub sweep: SweepRequest,
    /// The runs.
    pub runs: Reading,
    /// Checkpoints of constant runs, for branches that are still to be trained.
    pub checkpoints: Vec<Kept>,
}

/// One job whose run was there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Adopted {
    /// The job.
    pub job: String,
    /// The run that took its place.
    pub run: String,
    /// Updates that need not be trained.
    pub updates: u64,
    /// Updates after which a checkpoint is at hand for branches.
    pub checkpoints: Vec<u64>,
}

/// What was adopted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct SweepAdoptAnswer {
    /// The sweep's folder.
    pub dir: String,
    /// Jobs whose run was there.
    pub adopted: Vec<Adopted>,
    /// Runs that are no job of the plan.
    pub unused: Vec<String>,
    /// Jobs left to train.
    pub left: usize,
    /// Updates left to train.
    pub updates_left: u64,
}

impl Document for SweepAdoptAnswer {
    const SCHEMA: &'static str = "lehr.sweep-adopt/1";
}

/// Losses of one run in both splits.
struct Run {
    id: String,
    curves: Vec<Curve>,
    logged: Logged,
}

/// Whether a run is what the job asks for, up to the job's last update.
fn is(job: &Job, curve: &Curve) -> bool {
    let meta = curve.meta();
    let (wanted, found) = (job.schedule.rates(), curve.schedule().rates());
    let last = job.last() as usize;
    if found.len() < last || curve.last().0 < job.last() {
        return false;
    }
    let same = SAME_RATE * job.schedule.peak_lr();
    let rates = wanted.iter().zip(&found[..last]).all(|(a, b)| (a - b).abs() <= same);
    let count = job.config.model.parameters();
    let near = |n: u64, counted: u64| (n as f64 / counted as f64 - 1.0).abs() <= SAME_SIZE;
    let size = meta.params.is_none_or(|n| near(n.0, count.non_embedding) || near(n.0, count.total));
    let batch = meta.tokens_per_step.is_none_or(|tokens| tokens.0 == job.tokens_per_update());
    let seed = meta.seed.is_none_or(|seed| seed == job.config.seed);
    rates && size && batch && seed
}

impl Desk {
    /// Makes the folder of a plan, or opens it, and fills the cells of runs that exist.
    ///
    /// # Errors
    /// As [`Desk::begin_sweep`]; for a plan that lehr's own engine trains; for logs that cannot be read; for a checkpoint that
    /// is not there, or of a run that is no trunk.
    pub fn adopt_sweep(&self, request: &AdoptRequest) -> Result<Answer<SweepAdoptAnswer>, Failure> {
        let begun = self.begin_sweep(&request.sweep)?;
        let folder = &begun.value.folder;
        if folder.settings.trainer.is_none() {
            return Err(Failure::usage(
                "runs of another program cannot stand in a sweep of lehr's own engine, whose runs equal one another bit for bit",
            )
            .hint("name your trainer in the plan: [trainer], docs/formats/sweep.md"));
        }
        let (runs, notes) = self.both_splits(&request.runs)?;
        let _held = folder.lock()?;
        let mut adopted = Vec::new();
        let mut used: Vec<&str> = Vec::new();
        for job in &folder.graph().jobs {
            let fitting = runs.iter().filter(|run| run.curves.iter().any(|curve| is(job, curve)));
            // A branch holds its trunk's updates, too: the run of the same name or length comes first.
            let exact = |run: &&Run| run.curves.iter().any(|curve| curve.schedule().total().0 == job.last());
            let Some(run) = fitting.max_by_key(|run| (run.id == job.id, exact(run))) else { continue };
            used.push(&run.id);
            if folder.state(&job.id)?.is_final() {
                continue;
            }
            let mut logged = run.logged.clone();
            for losses in [&mut logged.training, &mut logged.validation] {
                losses.retain(|update, _| (job.first() + 1..=job.last()).contains(update));
            }
            let seal = Some(keep(folder, job, &logged, job.last())?);
            folder.set_state(&job.id, &State::Done { updates: 0, seconds: 0.0, seal })?;
            let updates = job.updates();
            adopted.push(Adopted {
                job: job.id.clone(),
                run: run.id.clone(),
                updates,
                checkpoints: Vec::new(),
            });
        }
        for kept in &request.checkpoints {
            let named = |adopted: &&mut Adopted| adopted.run == kept.run || adopted.job == kept.run;
            let place = adopted.iter_mut().find(named).ok_or_else(|| {
                Failure::usage(format_args!("[[checkpoint]] {}: no run of that name is adopted", kept.run))
            })?;
            link(folder, folder.job(&place.job)?, kept)?;
            place.checkpoints.push(kept.update);
        }
        let (mut left, mut updates_left) = (0, 0);
        for job in &folder.graph().jobs {
            if !folder.state(&job.id)?.is_final() {
                left += 1;
                updates_left += job.updates();
            }
        }
        let unused = runs.iter().filter(|run| !used.contains(&run.id.as_str()));
        let value = SweepAdoptAnswer {
            dir: folder.path().display().to_string(),
            unused: unused.map(|run| run.id.clone()).collect(),
            adopted,
            left,
            updates_left,
        };
        Ok(Answer { value, caveats: begun.caveats, notes })
    }

    /// The runs, each with what it has of both splits.
    fn both_splits(&self, reading: &Reading) -> Result<(Vec<Run>, Vec<lehr_io::Note>), Failure> {
        let mut runs: BTreeMap<String, Run> = BTreeMap::new();
        let mut notes = Vec::new();
        let mut refused = Vec::new();
        for split in [SplitChoice::Train, SplitChoice::Validation] {
            let mut one = reading.clone();
            one.options.split = split;
            match self.runs(&one) {
                Ok(found) => {
                    for curve in found.curves {
                        let id = curve.meta().id.clone();
                        let run = runs.entry(id.clone()).or_insert_with(|| Run {
                            id,
                            curves: Vec::new(),
                            logged: Logged::default(),
                        });
                        let losses = curve.step().iter().copied().zip(curve.loss().iter().copied());
                        match split {
                            SplitChoice::Validation => run.logged.validation.extend(losses),
                            _ => run.logged.training.extend(losses),
                        }
                        run.curves.push(curve);
                    }
                    if notes.is_empty() {
                        notes = found.notes;
                    }
                }
                Err(failure) => refused.push(failure),
            }
        }
        match refused.pop() {
            // Neither split can be read.
            Some(failure) if runs.is_empty() => Err(failure),
            _ => Ok((runs.into_values().collect(), notes)),
        }
    }
}

/// Lets a checkpoint stand where branches look for it: a link, which is removed when no branch needs it; what it leads to stays.
fn link(folder: &Folder, job: &Job, kept: &Kept) -> Result<(), Failure> {
    let wrong =
        |why: String| Failure::usage(format_args!("[[checkpoint]] {}@{}: {why}", kept.run, kept.update));
    let Kind::Trunk { snapshots, .. } = &job.kind else {
        return Err(wrong(format!("'{}' is no trunk", job.id)));
    };
    if !snapshots.contains(&kept.update) {
        let points: Vec<String> = snapshots.iter().map(u64::to_string).collect();
        return Err(wrong(format!("branches leave after updates {}", points.join(", "))));
    }
    let there = std::path::absolute(&kept.path).map_err(Failure::at(&kept.path))?;
    if !there.exists() {
        return Err(wrong(format!("{} is not there", kept.path.display())));
    }
    let place = folder.snapshot_at(&job.id, kept.update);
    if let Some(parent) = place.parent() {
        std::fs::create_dir_all(parent).map_err(Failure::at(parent))?;
    }
    symlink(&there, &place).map_err(Failure::at(&place))
}

#[cfg(unix)]
fn symlink(there: &Path, place: &Path) -> std::io::Result<()> {
    match std::os::unix::fs::symlink(there, place) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

#[cfg(not(unix))]
fn symlink(_: &Path, _: &Path) -> std::io::Result<()> {
    Err(std::io::Error::new(std::io::ErrorKind::Unsupported, "this system has no links for checkpoints"))
}
