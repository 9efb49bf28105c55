//! The runs of a plan as jobs: trunks, branches, and runs that stand alone.

use crate::run_config::RunConfig;
use crate::sweep::plan::{Family, PlanError, PlanFile};
use lehr::{AnnealingRatio, Schedule, ScheduleError, Shape, Steps};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// What a job shares with others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Kind {
    /// The constant-rate run of a cell; it leaves snapshots for its branches.
    Trunk {
        /// After which updates a snapshot is left, ascending.
        snapshots: Vec<u64>,
        /// Whether the plan asks for the constant run itself.
        requested: bool,
    },
    /// An annealing run that resumes from a trunk's snapshot.
    Branch {
        /// Name of the trunk's job.
        trunk: String,
        /// The last update that both share.
        at: u64,
    },
    /// A run that shares nothing.
    Alone,
}

/// One run of a sweep, and one process of its execution.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Name of the job and of its run in the run store.
    pub id: String,
    /// Name of the model in the plan.
    pub model: String,
    /// Trunk, branch or alone.
    #[serde(flatten)]
    pub kind: Kind,
    /// The rate of every update of the whole run.
    pub schedule: Schedule,
    /// Everything else that decides its losses.
    pub config: RunConfig,
}

impl Job {
    /// Updates that are done before this job begins.
    #[must_use]
    pub fn first(&self) -> u64 {
        match self.kind {
            Kind::Branch { at, .. } => at,
            _ => 0,
        }
    }

    /// The last update, T.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.schedule.total().0
    }

    /// Updates that this job does itself.
    #[must_use]
    pub fn updates(&self) -> u64 {
        self.last() - self.first()
    }

    /// Tokens per update.
    #[must_use]
    pub fn tokens_per_update(&self) -> u64 {
        u64::from(self.config.batch) * u64::from(self.config.model.context)
    }

    /// Whether the run validates after this update.
    #[must_use]
    pub fn validates_at(&self, update: u64) -> bool {
        self.config.validates_at(update, self.last())
    }

    /// The trunk's name, of a branch.
    #[must_use]
    pub fn trunk(&self) -> Option<&str> {
        match &self.kind {
            Kind::Branch { trunk, .. } => Some(trunk),
            _ => None,
        }
    }
}

/// The jobs of a sweep. A trunk stands before its branches, cells in the order of the plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Graph {
    /// The jobs.
    pub jobs: Vec<Job>,
}

/// What all runs that can share a trunk have in common.
struct Cell {
    name: String,
    model: String,
    config: RunConfig,
    peak_lr: f64,
    warmup: u64,
    constant: u64,
    branches: Vec<(String, Schedule, u64)>,
    alone: Vec<(String, Schedule)>,
}

/// The jobs that are needed besides those a grid names: how often the rates of trunk and branch agree, bit for bit.
fn agree(trunk: &Schedule, branch: &Schedule) -> u64 {
    trunk.rates().iter().zip(branch.rates()).take_while(|(a, b)| a.to_bits() == b.to_bits()).count() as u64
}

impl Graph {
    /// Plans the jobs: one trunk a cell (model, peak rate, warm-up, batch, seed), one branch an annealing run.
    ///
    /// The trunk goes to the latest branch point, or further where the plan asks for a constant run. A run whose
    /// annealing begins with the warm-up's end or before shares nothing worth a snapshot and stands alone.
    ///
    /// `vocabulary` is the data's, used where a model states none.
    ///
    /// # Errors
    /// [`PlanError::Value`]: a model that is not there or out of range; numbers that make no schedule; an annealing of no
    /// update; a branch whose rates differ from its trunk's before the branch point.
    pub fn new(plan: &PlanFile, vocabulary: u32) -> Result<Self, PlanError> {
        let models = plan.models(vocabulary)?;
        let mut cells: Vec<Cell> = Vec::new();
        let mut by_name: BTreeMap<String, usize> = BTreeMap::new();
        let mut names = BTreeSet::new();
        for (i, grid) in plan.plan.grid.iter().enumerate() {
            let warmup = grid.warmup.unwrap_or(plan.plan.warmup);
            let share = grid.final_share.unwrap_or(plan.plan.final_share);
            for model in &grid.models {
                for &batch in &grid.batch {
                    for &seed in &grid.seed {
                        for &peak_lr in &grid.peak_lr {
                            let name = format!("{model}-lr{peak_lr:e}-b{batch}-s{seed}-w{warmup}");
                            let at = *by_name.entry(name.clone()).or_insert_with(|| {
                                cells.push(Cell {
                                    name,
                                    model: model.clone(),
                                    config: RunConfig {
                                        model: models[model].clone(),
                                        optimiser: plan.plan.optimiser.clone(),
                                        data: plan.plan.data.clone(),
                                        batch,
                                        seed,
                                        validate_every: plan.plan.validate_every,
                                        noise_every: plan.plan.noise_every,
                                    },
                                    peak_lr,
                                    warmup,
                                    constant: 0,
                                    branches: Vec::new(),
                                    alone: Vec::new(),
                                });
                                cells.len() - 1
                            });
                            let wrong = |key: &str, found: String, error: &dyn std::fmt::Display| {
                                plan.wrong(&format!("grid[{i}].{key}"), found, error.to_string())
                            };
                            cells[at].add(grid, share, &mut names, &wrong)?;
                        }
                    }
                }
            }
        }
        let mut jobs = Vec::new();
        for cell in cells {
            cell.into_jobs(&mut jobs).map_err(|(run, problem)| {
                plan.wrong("grid", format!("the source of run '{run}'"), problem)
            })?;
        }
        Ok(Self { jobs })
    }

    /// The job of that name.
    #[must_use]
    pub fn job(&self, id: &str) -> Option<&Job> {
        self.jobs.iter().find(|job| job.id == id)
    }

    /// Branches of a trunk, in order.
    pub fn branches<'a>(&'a self, trunk: &'a str) -> impl Iterator<Item = (&'a Job, u64)> {
        self.jobs.iter().filter_map(move |job| match &job.kind {
            Kind::Branch { trunk: of, at } if of == trunk => Some((job, *at)),
            _ => None,
        })
    }

    /// The next job to start: a branch whose snapshot is there before anything new, so that few snapshots are alive and
    /// whole cells get done; else the first trunk or run that stands alone, in the plan's order.
    ///
    /// `waiting(i)`: job i is not started and not finished; `ready(i)`: branch i's snapshot is there.
    #[must_use]
    pub fn next(&self, waiting: &dyn Fn(usize) -> bool, ready: &dyn Fn(usize) -> bool) -> Option<usize> {
        let is_branch = |i: usize| matches!(self.jobs[i].kind, Kind::Branch { .. });
        let all = || (0..self.jobs.len()).filter(|&i| waiting(i));
        all().find(|&i| is_branch(i) && ready(i)).or_else(|| all().find(|&i| !is_branch(i)))
    }
}

impl Cell {
    fn add(
        &mut self,
        grid: &crate::sweep::plan::Grid,
        share: f64,
        names: &mut BTreeSet<String>,
        wrong: &dyn Fn(&str, String, &dyn std::fmt::Display) -> PlanError,
    ) -> Result<(), PlanError> {
        let (peak, warmup) = (self.peak_lr, Steps(self.warmup));
        let end = if share == 0.0 { String::new() } else { format!("-f{share}") };
        let schedule_error = |error: ScheduleError, total: u64| wrong("total", total.to_string(), &error);
        for &total in &grid.total {
            for family in &grid.family {
                match family {
                    Family::Constant => self.constant = self.constant.max(total),
                    Family::Cosine | Family::Linear => {
                        let (word, shape) = match family {
                            Family::Cosine => ("cosine", Shape::Cosine),
                            _ => ("line", Shape::Linear),
                        };
                        let ratio = 1.0 - self.warmup as f64 / total as f64;
                        let schedule =
                            AnnealingRatio::new(ratio).map_err(ScheduleError::from).and_then(|ratio| {
                                Schedule::wsd(peak, Steps(total), warmup, ratio, shape, share * peak)
                            });
                        let schedule = schedule.map_err(|error| schedule_error(error, total))?;
                        let id = format!("{}-T{total}-{word}{end}", self.name);
                        if names.insert(id.clone()) {
                            self.alone.push((id, schedule));
                        }
                    }
                    Family::Wsd => {
                        for &ratio in &grid.ratio {
                            for &shape in &grid.shape {
                                let checked = AnnealingRatio::new(ratio)
                                    .map_err(ScheduleError::from)
                                    .and_then(|r| {
                                        Schedule::wsd(peak, Steps(total), warmup, r, shape, share * peak)
                                    })
                                    .map_err(|error| {
                                        wrong(
                                            "ratio",
                                            format!("{ratio} (T = {total}, {shape})"),
                                            &format_args!("another ratio, total, shape or warm-up: {error}"),
                                        )
                                    })?;
                                let Schedule::Wsd(wsd) = &checked else { continue };
                                if wsd.anneal.0 == 0 {
                                    return Err(wrong(
                                        "ratio",
                                        format!("{ratio} (T = {total})"),
                                        &"a ratio that anneals over at least one update",
                                    ));
                                }
                                let at = wsd.anneal_start().0;
                                let word = shape.to_string().replace(':', "");
                                let id = format!("{}-T{total}-r{ratio}-{word}{end}", self.name);
                                if names.insert(id.clone()) {
                                    if at > self.warmup {
                                        self.branches.push((id, checked, at));
                                    } else {
                                        self.alone.push((id, checked));
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// The jobs of the cell, its trunk first.
    fn into_jobs(mut self, jobs: &mut Vec<Job>) -> Result<(), (String, String)> {
        // A branch that resumes earlier runs earlier; ties stay in the plan's order.
        self.branches.sort_by_key(|(_, _, at)| *at);
        let snapshots: BTreeSet<u64> = self.branches.iter().map(|(_, _, at)| *at).collect();
        let until = snapshots.last().copied().unwrap_or(0).max(self.constant);
        let trunk = format!("{}-constant", self.name);
        let job = |id: String, kind: Kind, schedule: Schedule| Job {
            id,
            model: self.model.clone(),
            kind,
            schedule,
            config: self.config.clone(),
        };
        if until > 0 {
            let schedule = Schedule::constant(self.peak_lr, Steps(until), Steps(self.warmup))
                .map_err(|error| (trunk.clone(), error.to_string()))?;
            for (id, branch, at) in &self.branches {
                let shared = agree(&schedule, branch);
                if shared < *at {
                    return Err((
                        id.clone(),
                        format!(
                            "rates equal to its trunk's up to update {at}; they differ at update {}",
                            shared + 1
                        ),
                    ));
                }
            }
            let kind =
                Kind::Trunk { snapshots: snapshots.into_iter().collect(), requested: self.constant > 0 };
            jobs.push(job(trunk.clone(), kind, schedule));
        }
        for (id, schedule, at) in &self.branches {
            jobs.push(job(id.clone(), Kind::Branch { trunk: trunk.clone(), at: *at }, schedule.clone()));
        }
        for (id, schedule) in &self.alone {
            jobs.push(job(id.clone(), Kind::Alone, schedule.clone()));
        }
        Ok(())
    }
}
