//! The greedy search: the run that buys most for its price, again and again.

use super::belief::AtHand;
use super::draw::{Draw, draw};
use super::field::Field;
use super::price::{Money, Price};
use super::regret::Samples;
use super::setup::{Branch, Cell, lay_out};
use super::{Aim, ChosenRun, PlanOptions, RunPlan, RunPlanError, WholeGrid};
use crate::quantile;
use crate::recommend::Target;
use crate::units::Steps;
use nalgebra::DMatrix;
use rayon::prelude::*;
use std::collections::BTreeSet;
use std::ops::Range;

/// A run that lowers what is left by less than this share is none.
const LEAST_GAIN: f64 = 5e-3;
/// By how much the target is lengthened to learn what its loss gains by it.
const LONGER: f64 = 1.05;

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
    let thetas = set.belief.draws(&set.field, &set.posterior, options.draws, options.seed)?;
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
