//! What a plan chooses among: cells, trunks and branches, and where their losses are looked at.

use super::belief::{AtHand, Belief, Noise, Posterior, schedule_of};
use super::field::{Field, spaced};
use super::{PlanOptions, RunPlanError};
use crate::fit::{Fit, RunFit};
use crate::forecast::annealed;
use crate::recommend::Target;
use crate::schedule::{Schedule, WsdSpec};
use crate::units::{Params, Steps};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// Ratios at which the target is looked at, even on the root scale.
const RATIOS: usize = 17;
/// Smallest ratio that is looked at.
const LEAST_RATIO: f64 = 0.005;
/// Points of a trunk, evenly on the log scale.
const TRUNK_POINTS: usize = 8;
/// Shares of an annealing at which its loss is measured.
const BRANCH_POINTS: [f64; 3] = [0.35, 0.7, 1.0];
/// Points of each run at hand.
const HELD_POINTS: usize = 6;
/// Most points of all runs at hand; with more runs, fewer of each, and then an even selection of runs.
const MOST_HELD: usize = 480;
/// Most candidates.
const MOST_CANDIDATES: usize = 600;

/// What shares a trunk.
pub(super) struct Cell {
    pub params: Option<Params>,
    pub peak_lr: f64,
    /// The run at hand whose checkpoints it branches from.
    pub checkpoint: Option<String>,
    /// Updates to which the trunk is there.
    pub there: u64,
    /// The trunk's places with their updates; those before `there` are at hand already.
    pub trunk: Vec<(u64, usize)>,
}

/// A branch that can be chosen.
pub(super) struct Branch {
    pub cell: usize,
    pub total: u64,
    pub anneal: u64,
    pub ratio: f64,
    pub sites: Range<usize>,
}

/// Everything before the first choice.
pub(super) struct Set<'a> {
    pub belief: Belief<'a>,
    pub posterior: Posterior,
    pub noise: Noise,
    pub field: Field,
    pub held: Range<usize>,
    pub target_sites: Range<usize>,
    pub ratios: Vec<f64>,
    pub cells: Vec<Cell>,
    pub branches: Vec<Branch>,
}

fn wsd(target: &Target, peak_lr: f64, total: u64, anneal: u64) -> Result<Schedule, RunPlanError> {
    let spec = WsdSpec {
        peak_lr,
        total: Steps(total),
        warmup: target.warmup,
        anneal: Steps(anneal),
        shape: target.shape,
        // The final rate keeps its share of the peak.
        final_lr: target.final_lr * (peak_lr / target.peak_lr),
        ..WsdSpec::default()
    };
    Ok(spec.checked().map(Schedule::Wsd)?)
}

fn check(options: &PlanOptions) -> Result<(), RunPlanError> {
    let refuse = |what, found, expected| Err(RunPlanError::Option { what, found, expected });
    let candidates = &options.candidates;
    if let Some(&found) = candidates.ratio.iter().find(|r| !(**r > 0.0 && **r <= 1.0)) {
        return refuse("a candidate's ratio", found, "a share of the horizon above 0 and at most 1");
    }
    if let Some(&found) = candidates.peak_lr.iter().find(|rate| !(**rate > 0.0 && rate.is_finite())) {
        return refuse("a candidate's peak rate", found, "a rate above 0");
    }
    if candidates.params.contains(&Some(Params(0))) {
        return refuse("a candidate's size", 0.0, "at least 1 parameter");
    }
    if let Some(found) = options.budget.filter(|budget| !(*budget > 0.0 && budget.is_finite())) {
        return refuse("the budget", found, "an amount above 0");
    }
    if options.draws == 0 {
        return refuse("the number of draws", 0.0, "at least 1");
    }
    let found =
        candidates.params.len() * candidates.peak_lr.len() * candidates.total.len() * candidates.ratio.len();
    if found > MOST_CANDIDATES {
        return Err(RunPlanError::TooMany { found, most: MOST_CANDIDATES });
    }
    Ok(())
}

/// Adds the runs at hand; the places of trunks by group are shared by their branches.
fn add_held(field: &mut Field, belief: &Belief<'_>, fit: Option<&Fit>) -> Result<Range<usize>, RunPlanError> {
    let first = field.len();
    let runs: &[RunFit] = fit.map_or(&[], |fit| &fit.runs);
    let stride = runs.len().div_ceil(MOST_HELD / 2).max(1);
    let points = (MOST_HELD / runs.len().div_ceil(stride).max(1)).clamp(2, HELD_POINTS);
    let groups = groups(runs);
    // Of a trunk and its branches the stable part is measured once: on the member that stays longest at the peak.
    let mut longest: BTreeMap<&str, (u64, usize)> = BTreeMap::new();
    for (i, run) in runs.iter().enumerate() {
        let stable = run.last_update - (run.annealing_share * run.last_update as f64) as u64;
        let held = longest.entry(run.group.as_str()).or_insert((stable, i));
        if stable > held.0 {
            *held = (stable, i);
        }
    }
    let warmup_factor = fit.map_or(1.3, |fit| fit.options.warmup_factor);
    for (i, run) in runs.iter().enumerate().step_by(stride) {
        let schedule = schedule_of(run)?;
        let last = schedule.total().0;
        let anneal = (run.annealing_share * last as f64).round() as u64;
        let begin = ((run.warmup.saturating_sub(1) as f64 * warmup_factor).ceil() as u64 + 1)
            .max(last / 50)
            .min(last);
        let mut updates = Vec::new();
        let annealed_points = if anneal > 0 { points.div_ceil(2) } else { 0 };
        if longest.get(run.group.as_str()).is_some_and(|(_, at)| *at == i) && last > anneal {
            updates.extend(spaced(begin.min(last - anneal), last - anneal, points - annealed_points / 2));
        }
        for k in 1..=annealed_points {
            updates.push(last - anneal + anneal * k as u64 / annealed_points as u64);
        }
        updates.retain(|t| *t >= 1 && *t <= last);
        updates.sort_unstable();
        updates.dedup();
        if updates.is_empty() {
            updates.push(last);
        }
        let params = if belief.sized { run.params } else { None };
        let tokens = run.tokens_per_step.or(belief.tokens);
        let group = groups.get(run.group.as_str()).copied();
        field.add(&schedule, &updates, params, tokens, &belief.definition, group);
    }
    Ok(first..field.len())
}

fn groups(runs: &[RunFit]) -> BTreeMap<&str, usize> {
    let names: BTreeSet<&str> = runs.iter().map(|run| run.group.as_str()).collect();
    names.into_iter().enumerate().map(|(i, name)| (name, i)).collect()
}

/// The cells of the candidates: fresh trunks, and checkpoints at hand of the same size and rate.
fn cells(
    options: &PlanOptions,
    belief: &Belief<'_>,
    fit: Option<&Fit>,
) -> Result<Vec<(Cell, usize)>, RunPlanError> {
    let runs: &[RunFit] = fit.map_or(&[], |fit| &fit.runs);
    let groups = groups(runs);
    let mut out = Vec::new();
    for name in &options.checkpoints {
        let run = runs
            .iter()
            .find(|run| run.id == *name && !annealed(run))
            .ok_or_else(|| RunPlanError::Checkpoint(name.clone()))?;
        let group = groups.get(run.group.as_str()).copied().unwrap_or(0);
        let cell = Cell {
            params: if belief.sized { run.params } else { None },
            peak_lr: run.peak_lr,
            checkpoint: Some(run.id.clone()),
            there: run.last_update,
            trunk: Vec::new(),
        };
        out.push((cell, group));
    }
    let mut next = groups.len();
    for &params in &options.candidates.params {
        for &peak_lr in &options.candidates.peak_lr {
            let params = if belief.sized { params } else { None };
            let same = |(cell, _): &(Cell, usize)| {
                cell.params == params && (cell.peak_lr / peak_lr - 1.0).abs() < 1e-3
            };
            if out.iter().any(same) {
                continue;
            }
            out.push((Cell { params, peak_lr, checkpoint: None, there: 0, trunk: Vec::new() }, next));
            next += 1;
        }
    }
    Ok(out)
}

pub(super) fn lay_out<'a>(
    at_hand: AtHand<'a>,
    target: &Target,
    options: &PlanOptions,
) -> Result<Set<'a>, RunPlanError> {
    check(options)?;
    let fit = match at_hand {
        AtHand::Fit(fit) => Some(fit),
        AtHand::Nothing(_) => None,
    };
    let noise = options.noise.unwrap_or_else(|| fit.map_or_else(Noise::default, Noise::of)).check()?;
    let mut belief = Belief::new(at_hand, target, &options.candidates)?;
    let mut field = Field::default();
    // The target at every ratio.
    let total = target.total.0;
    let most = (total - target.warmup.0.min(total)) as f64 / total as f64;
    let (low, high) = (LEAST_RATIO.min(most).sqrt(), most.sqrt());
    let mut anneals: Vec<u64> = (0..RATIOS)
        .map(|i| (low + (high - low) * i as f64 / (RATIOS - 1) as f64).powi(2))
        .map(|ratio| ((ratio * total as f64).round() as u64).clamp(1, total - target.warmup.0.min(total - 1)))
        .collect();
    anneals.dedup();
    let params = if belief.sized { target.setting.params.or(options.candidates.params[0]) } else { None };
    for &anneal in &anneals {
        let schedule = target.schedule(Steps(anneal))?;
        field.add(&schedule, &[total], params, belief.tokens, &belief.definition, None);
    }
    let target_sites = 0..field.len();
    let ratios = anneals.iter().map(|anneal| *anneal as f64 / total as f64).collect();
    let held = add_held(&mut field, &belief, fit)?;
    let (mut all, mut branches) = (Vec::new(), Vec::new());
    for (mut cell, group) in cells(options, &belief, fit)? {
        let mut runs = candidates(target, options);
        // A second run of the same is another question: how much seeds differ.
        runs.retain(|&(total, anneal, _)| !fit.is_some_and(|fit| has(fit, &cell, total, anneal)));
        let latest = runs.iter().map(|&(total, anneal, _)| total - anneal).max().unwrap_or(0);
        let first = (target.warmup.0 * 13 / 10 + 1).max(latest / 40);
        if latest > first {
            let schedule = wsd(target, cell.peak_lr, latest, 0)?;
            let points = spaced(first, latest, TRUNK_POINTS);
            let sites =
                field.add(&schedule, &points, cell.params, belief.tokens, &belief.definition, Some(group));
            cell.trunk = points.into_iter().zip(sites).filter(|(t, _)| *t > cell.there).collect();
        }
        for (total, anneal, ratio) in runs {
            let schedule = wsd(target, cell.peak_lr, total, anneal)?;
            let mut points: Vec<u64> = BRANCH_POINTS
                .iter()
                .map(|share| total - anneal + ((share * anneal as f64).round() as u64).max(1))
                .map(|t| t.min(total))
                .collect();
            points.dedup();
            let sites =
                field.add(&schedule, &points, cell.params, belief.tokens, &belief.definition, Some(group));
            branches.push(Branch { cell: all.len(), total, anneal, ratio, sites });
        }
        all.push(cell);
    }
    if branches.is_empty() {
        return Err(RunPlanError::NoCandidate { warmup: target.warmup.0 });
    }
    let posterior = belief.settle(&field, held.clone(), &noise)?;
    Ok(Set { belief, posterior, noise, field, held, target_sites, ratios, cells: all, branches })
}

/// Whether the fit has the run already.
fn has(fit: &Fit, cell: &Cell, total: u64, anneal: u64) -> bool {
    let leaves = (total - anneal) as f64;
    fit.runs.iter().any(|run| {
        // Logs may end a little before their horizon.
        let left = (1.0 - run.annealing_share) * run.last_update as f64;
        (cell.params.is_none() || run.params == cell.params)
            && (run.peak_lr / cell.peak_lr - 1.0).abs() < 1e-3
            && annealed(run)
            && run.total == total
            && (left - leaves).abs() <= 0.01 * total as f64
    })
}

/// Horizon, annealing updates and ratio of the branches that every cell can have.
fn candidates(target: &Target, options: &PlanOptions) -> Vec<(u64, u64, f64)> {
    let mut out = Vec::new();
    for &total in &options.candidates.total {
        for &ratio in &options.candidates.ratio {
            let anneal = ((ratio * total as f64).round() as u64).max(1);
            // A branch leaves a stable phase.
            if total.checked_sub(anneal).is_some_and(|leaves| leaves > target.warmup.0) {
                out.push((total, anneal, ratio));
            }
        }
    }
    out
}
