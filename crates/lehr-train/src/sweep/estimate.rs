//! What a sweep costs: updates, tokens, arithmetic, hours and disk, with and without sharing.

use crate::config::ModelConfig;
use crate::sweep::error::SweepError;
use crate::sweep::graph::{Graph, Job, Kind};
use crate::sweep::progress::JobProgress;
use crate::sweep::worker::MakeTrainer;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// Floating-point operations of one token's forward and backward pass.
///
/// # Formula
/// ```text
/// 6·(N_active + V·d) + 6·L·T·d        N_active without embedding and head; V·d the head; causal attention over T tokens
/// ```
/// N_active, V vocabulary, d width, L layers, T context.
#[must_use]
pub fn flops_per_token(model: &ModelConfig) -> f64 {
    let (d, vocabulary) = (f64::from(model.width), f64::from(model.vocabulary));
    let attention = f64::from(model.layers) * f64::from(model.context) * d;
    6.0 * (model.parameters().active as f64 + vocabulary * d) + 6.0 * attention
}

/// Seconds that one update of a model with a batch takes, alone on its threads.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Speeds {
    models: Vec<Speed>,
}

/// Speed of one model with one batch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Speed {
    /// Name of the model in the plan.
    pub model: String,
    /// Sequences per update.
    pub batch: u32,
    /// Updates that were timed.
    pub updates: u64,
    /// Seconds that they took.
    pub seconds: f64,
    /// Tokens a second of one job.
    pub tokens_per_second: f64,
}

impl Speeds {
    /// Speeds one by one.
    #[must_use]
    pub fn models(&self) -> &[Speed] {
        &self.models
    }

    fn find(&self, job: &Job) -> Option<&Speed> {
        self.models.iter().find(|speed| speed.model == job.model && speed.batch == job.config.batch)
    }

    /// Seconds per update of a job.
    #[must_use]
    pub fn seconds_per_update(&self, job: &Job) -> Option<f64> {
        self.find(job).map(|speed| job.tokens_per_update() as f64 / speed.tokens_per_second)
    }

    /// Adds updates that were timed.
    pub fn spend(&mut self, job: &Job, updates: u64, seconds: f64) {
        if updates == 0 || seconds <= 0.0 {
            return;
        }
        let at = self.models.iter().position(|s| s.model == job.model && s.batch == job.config.batch);
        let at = at.unwrap_or_else(|| {
            self.models.push(Speed {
                model: job.model.clone(),
                batch: job.config.batch,
                updates: 0,
                seconds: 0.0,
                tokens_per_second: 0.0,
            });
            self.models.len() - 1
        });
        let speed = &mut self.models[at];
        speed.updates += updates;
        speed.seconds += seconds;
        speed.tokens_per_second = (speed.updates * job.tokens_per_update()) as f64 / speed.seconds;
    }

    /// Takes the other's speeds where it has some.
    pub fn prefer(&mut self, other: &Self) {
        self.models.retain(|mine| {
            !other.models.iter().any(|theirs| (&mine.model, mine.batch) == (&theirs.model, theirs.batch))
        });
        self.models.extend(other.models.iter().cloned());
    }
}

/// Times a few updates of every model and batch whose speed is not stated, one after the other.
///
/// # Errors
/// [`SweepError::Train`] when a model cannot be made or trained.
pub fn measure_speeds(
    graph: &Graph,
    stated: &BTreeMap<String, f64>,
    make: &MakeTrainer<'_>,
    lanes: usize,
    at_least: Duration,
) -> Result<Speeds, SweepError> {
    let mut speeds = Speeds::default();
    for job in &graph.jobs {
        if speeds.find(job).is_some() {
            continue;
        }
        if let Some(&tokens_per_second) = stated.get(&job.model) {
            let updates = 1;
            let seconds = job.tokens_per_update() as f64 / tokens_per_second;
            speeds.spend(job, updates, seconds);
            continue;
        }
        let mut trainer = make(&job.config, lanes)?;
        // Any rate takes as long; with this one nothing can diverge.
        let rate = 0.0;
        // The first update touches memory for the first time.
        trainer.update(rate)?;
        let since = Instant::now();
        let mut updates = 0;
        while updates < 2 || since.elapsed() < at_least {
            trainer.update(rate)?;
            updates += 1;
        }
        speeds.spend(job, updates, since.elapsed().as_secs_f64().max(1e-9));
    }
    Ok(speeds)
}

/// Work, and how long it takes.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, schemars::JsonSchema)]
#[schemars(rename = "SweepCost")]
pub struct Cost {
    /// Runs trained.
    pub runs: usize,
    /// Updates in all.
    pub updates: u64,
    /// Tokens in all.
    pub tokens: u64,
    /// Floating-point operations.
    pub flops: f64,
    /// Hours until the end, where the speeds are known.
    pub hours: Option<f64>,
}

/// How many jobs of each kind there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, schemars::JsonSchema)]
pub struct JobCounts {
    /// Constant-rate runs that others branch from, or that the plan asks for.
    pub trunks: usize,
    /// Annealing runs that resume from a trunk's snapshot.
    pub branches: usize,
    /// Runs that share nothing.
    pub alone: usize,
}

/// What a sweep costs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Estimate {
    /// How many jobs of each kind there are.
    pub jobs: JobCounts,
    /// As it will be trained.
    pub shared: Cost,
    /// If every run that the plan asks for were trained from the start.
    pub unshared: Cost,
    /// Unshared over shared updates, each weighted by its arithmetic.
    pub saving: f64,
    /// The most bytes of snapshots at one time.
    pub peak_snapshot_bytes: u64,
    /// Jobs at a time.
    pub slots: usize,
    /// Speeds that the hours rest on.
    pub speeds: Vec<Speed>,
}

/// Bytes of a snapshot: weights and two moments in 4 bytes each.
fn snapshot_bytes(model: &ModelConfig) -> u64 {
    12 * model.parameters().total
}

/// One job of a simulated execution.
struct Piece {
    /// Updates left.
    updates: u64,
    /// Seconds per update.
    pace: f64,
    started: Option<f64>,
    ended: Option<f64>,
}

/// Simulates the execution; returns its length in seconds and the most bytes of snapshots.
fn simulate(graph: &Graph, done: &[u64], finished: &[bool], paces: &[f64], slots: usize) -> (f64, u64) {
    let mut pieces: Vec<Piece> = graph
        .jobs
        .iter()
        .enumerate()
        .map(|(i, job)| Piece {
            updates: if finished[i] { 0 } else { job.last() - done[i] },
            pace: paces[i],
            started: finished[i].then_some(0.0),
            ended: finished[i].then_some(0.0),
        })
        .collect();
    let place: BTreeMap<&str, usize> =
        graph.jobs.iter().enumerate().map(|(i, job)| (job.id.as_str(), i)).collect();
    let trunk_of: Vec<Option<usize>> =
        graph.jobs.iter().map(|job| job.trunk().and_then(|trunk| place.get(trunk).copied())).collect();
    // When a trunk reaches an update, from when it started; `None` before it did.
    let reached = |pieces: &[Piece], trunk: usize, at: u64| {
        if done[trunk] >= at {
            return Some(0.0);
        }
        pieces[trunk].started.map(|start| start + (at - done[trunk]) as f64 * pieces[trunk].pace)
    };
    let (mut now, mut peak) = (0.0_f64, 0_u64);
    loop {
        let mut running: BTreeSet<usize> = (0..pieces.len())
            .filter(|&i| pieces[i].started.is_some() && pieces[i].ended.is_none_or(|end| end > now))
            .collect();
        while running.len() < slots {
            let waiting = |i: usize| pieces[i].started.is_none();
            let ready = |i: usize| {
                trunk_of[i]
                    .and_then(|trunk| reached(&pieces, trunk, graph.jobs[i].first()))
                    .is_some_and(|time| time <= now)
            };
            let Some(next) = graph.next(&waiting, &ready) else { break };
            pieces[next].started = Some(now);
            pieces[next].ended = Some(now + pieces[next].updates as f64 * pieces[next].pace);
            running.insert(next);
        }
        peak = peak.max(alive(graph, &pieces, &trunk_of, &reached, &running, now));
        let ends = running.iter().filter_map(|&i| pieces[i].ended).filter(|&end| end > now);
        let snapshots = (0..pieces.len())
            .filter(|&i| pieces[i].started.is_none())
            .filter_map(|i| reached(&pieces, trunk_of[i]?, graph.jobs[i].first()))
            .filter(|&time| time > now);
        match ends.chain(snapshots).min_by(f64::total_cmp) {
            Some(next) => now = next,
            None if pieces.iter().any(|piece| piece.started.is_none()) && !running.is_empty() => {
                // Jobs without any update end at once; go on with those that wait for them.
                continue;
            }
            None => return (now, peak),
        }
    }
}

/// Bytes of snapshots that are there: one to resume each running job, and those that branches still wait for.
fn alive(
    graph: &Graph,
    pieces: &[Piece],
    trunk_of: &[Option<usize>],
    reached: &dyn Fn(&[Piece], usize, u64) -> Option<f64>,
    running: &BTreeSet<usize>,
    now: f64,
) -> u64 {
    let mut kept: BTreeSet<(usize, u64)> = BTreeSet::new();
    for (i, job) in graph.jobs.iter().enumerate() {
        if let Some(trunk) = trunk_of[i] {
            let there = reached(pieces, trunk, job.first()).is_some_and(|time| time <= now);
            if there && pieces[i].ended.is_none_or(|end| end > now) {
                kept.insert((trunk, job.first()));
            }
        }
    }
    let bytes = |i: usize| snapshot_bytes(&graph.jobs[i].config.model);
    kept.iter().map(|&(trunk, _)| bytes(trunk)).sum::<u64>() + running.iter().map(|&i| bytes(i)).sum::<u64>()
}

/// Seconds per update of all jobs, if all are known.
fn paces(graph: &Graph, speeds: &Speeds) -> Option<Vec<f64>> {
    graph.jobs.iter().map(|job| speeds.seconds_per_update(job)).collect()
}

/// What the sweep costs with `slots` jobs at a time.
///
/// The hours are of a simulated execution at the speeds given; a machine whose jobs slow one another down takes longer.
#[must_use]
pub fn estimate(graph: &Graph, speeds: &Speeds, slots: usize) -> Estimate {
    let mut jobs = JobCounts::default();
    let (mut shared, mut unshared) = (Cost::default(), Cost::default());
    let mut alone = Vec::new();
    for job in &graph.jobs {
        let per_update = flops_per_token(&job.config.model) * job.tokens_per_update() as f64;
        let add = |cost: &mut Cost, updates: u64| {
            cost.runs += 1;
            cost.updates += updates;
            cost.tokens += updates * job.tokens_per_update();
            cost.flops += updates as f64 * per_update;
        };
        add(&mut shared, job.updates());
        let (count, asked) = match job.kind {
            Kind::Trunk { requested, .. } => (&mut jobs.trunks, requested),
            Kind::Branch { .. } => (&mut jobs.branches, true),
            Kind::Alone => (&mut jobs.alone, true),
        };
        *count += 1;
        if asked {
            add(&mut unshared, job.last());
            alone.push(Job { kind: Kind::Alone, ..job.clone() });
        }
    }
    let nothing = |graph: &Graph| {
        (graph.jobs.iter().map(Job::first).collect::<Vec<_>>(), vec![false; graph.jobs.len()])
    };
    let known = paces(graph, speeds);
    // Without speeds the order of events is that of equal ones: good enough for the disk.
    let assumed = known.clone().unwrap_or_else(|| {
        graph
            .jobs
            .iter()
            .map(|job| flops_per_token(&job.config.model) * job.tokens_per_update() as f64)
            .collect()
    });
    let (done, finished) = nothing(graph);
    let (seconds, peak_snapshot_bytes) = simulate(graph, &done, &finished, &assumed, slots);
    if known.is_some() {
        shared.hours = Some(seconds / 3600.0);
        let alone = Graph { jobs: alone };
        let (done, finished) = nothing(&alone);
        unshared.hours =
            paces(&alone, speeds).map(|paces| simulate(&alone, &done, &finished, &paces, slots).0 / 3600.0);
    }
    Estimate {
        jobs,
        saving: unshared.flops / shared.flops,
        shared,
        unshared,
        peak_snapshot_bytes,
        slots,
        speeds: speeds.models.clone(),
    }
}

/// Seconds until the end of a sweep that is under way.
#[must_use]
pub fn estimate_rest(graph: &Graph, progress: &[JobProgress], speeds: &Speeds, slots: usize) -> Option<f64> {
    let finished: Vec<bool> = progress.iter().map(|job| job.is_final() || job.state == "failed").collect();
    let done: Vec<u64> = progress.iter().map(|job| job.completed).collect();
    // What is finished needs no speed.
    let paces: Option<Vec<f64>> = graph
        .jobs
        .iter()
        .zip(&finished)
        .map(|(job, finished)| speeds.seconds_per_update(job).or(finished.then_some(0.0)))
        .collect();
    paces.map(|paces| simulate(graph, &done, &finished, &paces, slots).0)
}
