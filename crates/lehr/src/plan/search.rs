//! The greedy search: the run that buys most for its price, again and again.

use super::belief::{AtHand, Belief, Noise, schedule_of};
use super::field::{Field, spaced};
use super::price::{Money, Price};
use super::regret::Samples;
use super::{Aim, ChosenRun, PlanOptions, RunPlan, RunPlanError, WholeGrid};
use crate::fit::{Fit, RunFit};
use crate::forecast::annealed;
use crate::quantile;
use crate::recommend::Target;
use crate::schedule::{Schedule, WsdSpec};
use crate::units::{Params, Steps};
use nalgebra::DMatrix;
use rayon::prelude::*;
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
/// A run that lowers what is left by less than this share is none.
const LEAST_GAIN: f64 = 5e-3;
/// By how much the target is lengthened to learn what its loss gains by it.
const LONGER: f64 = 1.05;

/// What shares a trunk.
struct Cell {
    params: Option<Params>,
    peak_lr: f64,
    /// The run at hand whose checkpoints it branches from.
    checkpoint: Option<String>,
    /// Updates to which the trunk is there.
    there: u64,
    /// The trunk's places with their updates; those before `there` are at hand already.
    trunk: Vec<(u64, usize)>,
}

/// A branch that can be chosen.
struct Branch {
    cell: usize,
    total: u64,
    anneal: u64,
    ratio: f64,
    sites: Range<usize>,
}

/// One draw of the coefficients: what is expected of the target and of the candidates.
#[derive(Clone)]
struct Draw {
    /// Target losses, nats.
    loss: Vec<f64>,
    /// Covariance of targets and candidates given what was chosen, relative.
    covariance: DMatrix<f64>,
    /// Covariance of the target losses before any choice, nats.
    first: DMatrix<f64>,
}

impl Draw {
    /// The covariance of the target losses, nats.
    fn of_target(&self, relative: &DMatrix<f64>) -> DMatrix<f64> {
        let n = self.loss.len();
        DMatrix::from_fn(n, n, |i, j| relative[(i, j)] * self.loss[i] * self.loss[j])
    }

    /// By how much measuring `sites` lowers the covariance of the targets, relative; and the weights by which everything
    /// else moves (rows L⁻¹·cov).
    fn gain(&self, sites: &[usize], all: bool) -> Option<DMatrix<f64>> {
        let columns = if all { self.covariance.ncols() } else { self.loss.len() };
        let own = DMatrix::from_fn(sites.len(), sites.len(), |i, j| self.covariance[(sites[i], sites[j])]);
        let cross = DMatrix::from_fn(sites.len(), columns, |i, j| self.covariance[(sites[i], j)]);
        let factor = own.cholesky()?;
        factor.l_dirty().solve_lower_triangular(&cross)
    }
}

/// Expected regret and the half-width of the forecast's interval, nats.
#[derive(Debug, Clone, Copy)]
struct Outlook {
    regret: f64,
    half_width: f64,
}

struct Search<'a> {
    target_sites: Range<usize>,
    cells: Vec<Cell>,
    branches: Vec<Branch>,
    draws: Vec<Draw>,
    samples: Samples,
    /// Index of the ratio that is best by what is at hand.
    best: usize,
    aim: Aim,
    quantile: f64,
    money: &'a Money,
}

/// Everything before the first choice.
struct Set<'a> {
    belief: Belief<'a>,
    noise: Noise,
    field: Field,
    held: Range<usize>,
    target_sites: Range<usize>,
    ratios: Vec<f64>,
    cells: Vec<Cell>,
    branches: Vec<Branch>,
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
    if !(options.level > 0.0 && options.level < 1.0) {
        return refuse("the level", options.level, "a number between 0 and 1, such as 0.9");
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
        let begin = ((run.warmup as f64 * warmup_factor).ceil() as u64 + 1).max(last / 50).min(last);
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

fn lay_out<'a>(at_hand: AtHand<'a>, target: &Target, options: &PlanOptions) -> Result<Set<'a>, RunPlanError> {
    check(options)?;
    let fit = match at_hand {
        AtHand::Fit(fit) => Some(fit),
        AtHand::Nothing(_) => None,
    };
    let noise = options.noise.unwrap_or_else(|| fit.map_or_else(Noise::default, Noise::of)).check()?;
    let belief = Belief::new(at_hand, target, &options.candidates)?;
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
    Ok(Set { belief, noise, field, held, target_sites, ratios, cells: all, branches })
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

pub(super) fn search(
    at_hand: AtHand<'_>,
    target: &Target,
    money: &Money,
    options: &PlanOptions,
) -> Result<RunPlan, RunPlanError> {
    let set = lay_out(at_hand, target, options)?;
    let (law, runs_at_hand) = match at_hand {
        AtHand::Fit(fit) => (fit.law.clone(), fit.runs.len()),
        AtHand::Nothing(law) => (law.name().to_owned(), 0),
    };
    let thetas = set.belief.draws(&set.field, set.held.clone(), &set.noise, options.draws, options.seed)?;
    let samples = Samples::new(set.target_sites.len(), options.seed);
    let draws: Vec<Draw> = thetas
        .par_iter()
        .map(|theta| draw(&set, theta))
        .collect::<Option<_>>()
        .ok_or(RunPlanError::Singular)?;
    let (losses, _) = set.field.rows(&set.belief, &set.belief.centre).ok_or(RunPlanError::Singular)?;
    let own = &losses[set.target_sites.clone()];
    let best = (0..own.len()).fold(0, |best, i| if own[i] < own[best] { i } else { best });
    let (ratio, loss) = (set.ratios[best], own[best].exp());
    let params = if set.belief.sized { target.setting.params.or(options.candidates.params[0]) } else { None };
    // What a longer target gains an update: the price of a nat.
    let nats_per_amount = {
        let longer = (target.total.0 as f64 * LONGER).round() as u64;
        let more = Target { total: Steps(longer), ..target.clone() };
        let mut field = Field::default();
        let anneal = Steps((ratio * longer as f64).round() as u64);
        let definition = &set.belief.definition;
        field.add(&more.schedule(anneal)?, &[longer], params, set.belief.tokens, definition, None);
        let (at, _) = field.rows(&set.belief, &set.belief.centre).ok_or(RunPlanError::Singular)?;
        (loss - at[0].exp()).max(1e-12) / money.price(longer - target.total.0, params).amount.max(1e-300)
    };
    let noise = set.noise;
    let mut search = Search {
        target_sites: set.target_sites,
        cells: set.cells,
        branches: set.branches,
        draws,
        samples,
        best,
        aim: options.aim,
        quantile: quantile::normal(options.level),
        money,
    };
    let before = search.outlook(&search.draws);
    let grid = search.whole_grid()?;
    let (runs, stop_after) = search.greedy(before, nats_per_amount, options)?;
    Ok(RunPlan {
        law,
        runs_at_hand,
        ratio,
        loss,
        regret: before.regret,
        half_width: before.half_width,
        runs,
        stop_after,
        grid,
        noise,
        unit: money.unit(),
        level: options.level,
        draws: options.draws,
    })
}

/// What is expected under one draw, given the runs at hand.
fn draw(set: &Set<'_>, theta: &[f64]) -> Option<Draw> {
    let (losses, rows) = set.field.rows(&set.belief, theta)?;
    let (held, targets) = (set.held.clone(), set.target_sites.len());
    // Targets first, then candidates.
    let others: Vec<usize> = (0..targets).chain(held.end..set.field.len()).collect();
    let mut weighted = rows.clone();
    for (j, sd) in set.belief.prior.iter().enumerate() {
        weighted.column_mut(j).scale_mut(*sd);
    }
    let part = |of: &dyn Fn(usize) -> usize, n: usize| {
        DMatrix::from_fn(n, weighted.ncols(), |i, j| weighted[(of(i), j)])
    };
    let (a, h) = (part(&|i| others[i], others.len()), part(&|i| held.start + i, held.len()));
    let mut covariance = &a * a.transpose();
    for i in 0..others.len() {
        for j in 0..others.len() {
            covariance[(i, j)] += set.field.error_covariance(&set.noise, others[i], others[j]);
        }
    }
    if !held.is_empty() {
        let mut own = &h * h.transpose();
        let mut cross = &h * a.transpose();
        for i in 0..held.len() {
            for j in 0..held.len() {
                own[(i, j)] += set.field.error_covariance(&set.noise, held.start + i, held.start + j);
            }
            for (j, &other) in others.iter().enumerate() {
                cross[(i, j)] += set.field.error_covariance(&set.noise, held.start + i, other);
            }
        }
        let weights = own.cholesky()?.l_dirty().solve_lower_triangular(&cross)?;
        covariance -= weights.transpose() * weights;
    }
    let loss: Vec<f64> = losses[..targets].iter().map(|l| l.exp()).collect();
    let mut draw = Draw { loss, covariance, first: DMatrix::zeros(0, 0) };
    let relative = draw.covariance.view((0, 0), (targets, targets)).into_owned();
    draw.first = draw.of_target(&relative);
    Some(draw)
}

impl Search<'_> {
    /// The outlook under some draws whose covariance is that after the choice.
    fn outlook(&self, draws: &[Draw]) -> Outlook {
        let n = self.target_sites.len();
        let parts: Vec<Outlook> = draws
            .par_iter()
            .map(|draw| {
                let relative = draw.covariance.view((0, 0), (n, n)).into_owned();
                self.outlook_of(draw, &draw.of_target(&relative))
            })
            .collect();
        mean(&parts)
    }

    /// The outlook of one draw if the target losses have this covariance, nats.
    fn outlook_of(&self, draw: &Draw, after: &DMatrix<f64>) -> Outlook {
        let learnt = &draw.first - after;
        Outlook {
            regret: self.samples.regret(&draw.loss, &learnt, after),
            half_width: self.quantile * after[(self.best, self.best)].max(0.0).sqrt(),
        }
    }

    /// What choosing a branch trains: the updates of its trunk, and the places that are measured, as indices into the
    /// covariance.
    fn trained(&self, branch: &Branch) -> (u64, Vec<usize>) {
        let cell = &self.cells[branch.cell];
        let leaves = branch.total - branch.anneal;
        let trunk = leaves.saturating_sub(cell.there);
        let on_trunk = cell.trunk.iter().filter(|(t, _)| *t > cell.there && *t <= leaves).map(|(_, i)| *i);
        let sites = on_trunk.chain(branch.sites.clone()).map(|site| self.column(site)).collect();
        (trunk, sites)
    }

    /// Where a place stands in the covariance: the runs at hand, which stand between targets and candidates in the field,
    /// are not in it.
    fn column(&self, site: usize) -> usize {
        site - (self.branches.last().map_or(0, |last| last.sites.end) - self.draws[0].covariance.nrows())
    }

    fn price(&self, branch: &Branch, trunk: u64) -> Price {
        self.money.price(trunk + branch.anneal, self.cells[branch.cell].params)
    }

    /// All candidates at once.
    fn whole_grid(&self) -> Result<WholeGrid, RunPlanError> {
        let mut updates = 0;
        let mut price = Price { operations: Some(0.0), hours: Some(0.0), ..Price::default() };
        let mut sites = BTreeSet::new();
        for (i, cell) in self.cells.iter().enumerate() {
            let own: Vec<&Branch> = self.branches.iter().filter(|branch| branch.cell == i).collect();
            let latest = own.iter().map(|branch| branch.total - branch.anneal).max().unwrap_or(0);
            let of_cell = latest.saturating_sub(cell.there) + own.iter().map(|b| b.anneal).sum::<u64>();
            updates += of_cell;
            price = price.plus(self.money.price(of_cell, cell.params));
            sites.extend(cell.trunk.iter().map(|(_, site)| self.column(*site)));
            sites.extend(own.iter().flat_map(|branch| branch.sites.clone()).map(|site| self.column(site)));
        }
        let sites: Vec<usize> = sites.into_iter().collect();
        let parts: Option<Vec<Outlook>> = self
            .draws
            .par_iter()
            .map(|draw| Some(self.outlook_of(draw, &self.after(draw, &sites)?)))
            .collect();
        let outlook = mean(&parts.ok_or(RunPlanError::Singular)?);
        Ok(WholeGrid {
            runs: self.branches.len(),
            updates,
            price,
            regret: outlook.regret,
            half_width: outlook.half_width,
        })
    }

    /// The covariance of the target losses after measuring `sites`, nats.
    fn after(&self, draw: &Draw, sites: &[usize]) -> Option<DMatrix<f64>> {
        let n = self.target_sites.len();
        let gain = draw.gain(sites, false)?;
        let relative = draw.covariance.view((0, 0), (n, n)) - gain.transpose() * &gain;
        Some(draw.of_target(&relative))
    }

    fn greedy(
        &mut self,
        before: Outlook,
        nats_per_amount: f64,
        options: &PlanOptions,
    ) -> Result<(Vec<ChosenRun>, usize), RunPlanError> {
        let mut now = before;
        let (mut runs, mut spent): (Vec<ChosenRun>, Price) =
            (Vec::new(), Price { operations: Some(0.0), hours: Some(0.0), ..Price::default() });
        let mut updates_so_far = 0;
        let mut taken = BTreeSet::new();
        while runs.len() < options.most_runs {
            let left = options.budget.map_or(f64::INFINITY, |budget| budget - spent.amount);
            let open: Vec<usize> = (0..self.branches.len()).filter(|i| !taken.contains(i)).collect();
            let outlooks: Vec<Option<(Outlook, f64)>> = open
                .par_iter()
                .map(|&i| {
                    let (trunk, sites) = self.trained(&self.branches[i]);
                    let price = self.price(&self.branches[i], trunk).amount;
                    if price > left {
                        return Some((Outlook { regret: f64::INFINITY, half_width: f64::INFINITY }, price));
                    }
                    let parts: Option<Vec<Outlook>> = self
                        .draws
                        .iter()
                        .map(|draw| Some(self.outlook_of(draw, &self.after(draw, &sites)?)))
                        .collect();
                    parts.map(|parts| (mean(&parts), price))
                })
                .collect();
            let mut chosen: Option<(usize, Outlook, f64)> = None;
            for (&i, outlook) in open.iter().zip(outlooks) {
                let (outlook, price) = outlook.ok_or(RunPlanError::Singular)?;
                let score = self.gained(now, outlook) / price.max(1e-300);
                let least = LEAST_GAIN * self.value(now);
                if self.gained(now, outlook) > least && chosen.as_ref().is_none_or(|(.., best)| score > *best)
                {
                    chosen = Some((i, outlook, score));
                }
            }
            let Some((i, outlook, _)) = chosen else { break };
            let (trunk, sites) = self.trained(&self.branches[i]);
            self.measure(&sites)?;
            let branch = &self.branches[i];
            let cell = &self.cells[branch.cell];
            let (updates, price) = (trunk + branch.anneal, self.price(branch, trunk));
            spent = spent.plus(price);
            updates_so_far += updates;
            let worth = self.gained(now, outlook) / nats_per_amount;
            runs.push(ChosenRun {
                params: cell.params.map(|n| n.0),
                peak_lr: cell.peak_lr,
                total: branch.total,
                ratio: branch.ratio,
                anneal_steps: branch.anneal,
                checkpoint: cell.checkpoint.clone(),
                trunk_updates: trunk,
                updates,
                price,
                updates_so_far,
                price_so_far: spent,
                regret_before: now.regret,
                regret: outlook.regret,
                half_width_before: now.half_width,
                half_width: outlook.half_width,
                worth,
                pays: worth >= price.amount,
            });
            let (cell, leaves) = (branch.cell, branch.total - branch.anneal);
            self.cells[cell].there = self.cells[cell].there.max(leaves);
            taken.insert(i);
            now = outlook;
            // Without a budget the plan ends where nothing more pays.
            let idle = runs.iter().rev().take_while(|run| !run.pays).count();
            if options.budget.is_none() && idle >= 3 {
                break;
            }
        }
        // A run that does not pay by itself may prepare one that does: the trunk of later branches.
        let stop_after = stop(&runs);
        Ok((runs, stop_after))
    }

    /// What is to become small, nats.
    fn value(&self, outlook: Outlook) -> f64 {
        match self.aim {
            Aim::Ratio => outlook.regret,
            Aim::Forecast => outlook.half_width,
        }
    }

    /// What is gained from one outlook to the next, nats.
    fn gained(&self, now: Outlook, then: Outlook) -> f64 {
        self.value(now) - self.value(then)
    }

    /// Takes the places as measured in every draw.
    fn measure(&mut self, sites: &[usize]) -> Result<(), RunPlanError> {
        self.draws.par_iter_mut().try_for_each(|draw| {
            let gain = draw.gain(sites, true).ok_or(RunPlanError::Singular)?;
            draw.covariance -= gain.transpose() * &gain;
            // What is measured keeps a variance of rounding, so that nothing becomes indefinite.
            for i in 0..draw.covariance.nrows() {
                draw.covariance[(i, i)] = draw.covariance[(i, i)].max(1e-14);
            }
            Ok(())
        })
    }
}

/// After how many runs to stop: the longest beginning that is, together with every end of it, worth its price.
fn stop(runs: &[ChosenRun]) -> usize {
    let (mut net, mut best, mut at) = (0.0, 0.0, 0);
    for (i, run) in runs.iter().enumerate() {
        net += run.worth - run.price.amount;
        if net > best {
            (best, at) = (net, i + 1);
        }
    }
    at
}

fn mean(parts: &[Outlook]) -> Outlook {
    let n = parts.len() as f64;
    Outlook {
        regret: parts.iter().map(|part| part.regret).sum::<f64>() / n,
        half_width: parts.iter().map(|part| part.half_width).sum::<f64>() / n,
    }
}
