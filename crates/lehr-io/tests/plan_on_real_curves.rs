//! Runs chosen by `plan` against random ones and against a whole grid, on public curves: the table of `docs/results/plan.md`.
//!
//! `cargo test --workspace --test plan_on_real_curves -- --ignored --nocapture`.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a measurement: a broken expectation must stop it, the table is its output"
)]

#[path = "accuracy/support.rs"]
#[expect(dead_code, reason = "what the tables of accuracy need besides")]
mod support;

use lehr::fit::{Fit, FitOptions, fit};
use lehr::forecast::Setting;
use lehr::law::NoiseRelaxation;
use lehr::measured::{MeasuredOptimum, measured_optima};
use lehr::plan::{Aim, AtHand, Candidates, Money, PlanOptions, plan_runs};
use lehr::recommend::{RecommendOptions, Target, recommend_ratio};
use lehr::{Curve, Schedule, Shape, Steps};
use std::collections::BTreeMap;

/// Share of the whole grid's updates that may be spent.
const SHARE: f64 = 0.35;
/// Random choices a start.
const RANDOM: u64 = 3;

/// A run of the grid: index of its rate, index of its ratio.
type Cell = (usize, usize);

/// A grid of short runs of one model, and a longer horizon at which the best ratio was measured.
struct World {
    curves: Vec<Curve>,
    rates: Vec<f64>,
    ratios: Vec<f64>,
    short: u64,
    long: u64,
    warmup: u64,
}

impl World {
    fn trunk(&self, rate: usize, upto: u64) -> Curve {
        let same = |c: &&Curve| {
            c.schedule().ratio().unwrap_or(0.0) == 0.0 && near(c.schedule().peak_lr(), self.rates[rate])
        };
        // The trunk that the branches name.
        let named = self.run((rate, 1)).meta().branch.as_ref().map(|branch| branch.trunk.clone());
        let found = self.curves.iter().filter(same).find(|c| Some(&c.meta().id) == named.as_ref());
        let found = found.or_else(|| self.curves.iter().find(same)).unwrap();
        found.retain(|_, t, _| t <= upto).unwrap()
    }

    fn run(&self, (rate, ratio): Cell) -> &Curve {
        self.curves
            .iter()
            .find(|c| {
                let Schedule::Wsd(wsd) = c.schedule() else { return false };
                wsd.total.0 == self.short
                    && wsd.shape == Shape::Linear
                    && near(wsd.peak_lr, self.rates[rate])
                    && (wsd.ratio() - self.ratios[ratio]).abs() < 0.01
            })
            .unwrap()
    }

    /// The curves of some runs, each rate's trunk up to its latest branch point.
    fn data(&self, runs: &[Cell]) -> Vec<Curve> {
        let mut out = Vec::new();
        for (rate, upto) in self.trunks(runs) {
            out.push(self.trunk(rate, upto));
        }
        out.extend(runs.iter().map(|run| self.run(*run).clone()));
        out
    }

    fn branch_point(&self, (_, ratio): Cell) -> u64 {
        self.short - (self.ratios[ratio] * self.short as f64).round() as u64
    }

    fn trunks(&self, runs: &[Cell]) -> BTreeMap<usize, u64> {
        let mut out: BTreeMap<usize, u64> = BTreeMap::new();
        for run in runs {
            let held = out.entry(run.0).or_default();
            *held = (*held).max(self.branch_point(*run));
        }
        out
    }

    /// Updates trained for some runs, trunks once.
    fn cost(&self, runs: &[Cell]) -> u64 {
        self.trunks(runs).values().sum::<u64>()
            + runs.iter().map(|run| self.short - self.branch_point(*run)).sum::<u64>()
    }

    fn all(&self) -> Vec<Cell> {
        (0..self.rates.len()).flat_map(|i| (0..self.ratios.len()).map(move |j| (i, j))).collect()
    }

    fn fitted(&self, runs: &[Cell]) -> Fit {
        let options = FitOptions { starts: 6, ..FitOptions::default() };
        fit(&NoiseRelaxation, &self.data(runs), &options).unwrap()
    }
}

fn near(a: f64, b: f64) -> bool {
    (a / b - 1.0).abs() < 1e-3
}

#[derive(Default, Clone)]
struct Score {
    regrets: Vec<f64>,
    width: f64,
    cost: f64,
    inside: f64,
    promised: f64,
}

impl Score {
    fn add(
        &mut self,
        world: &World,
        runs: &[Cell],
        target: &Target,
        measured: &MeasuredOptimum,
        before: u64,
    ) {
        let fit = world.fitted(runs);
        let options = RecommendOptions { grid: 61, ..RecommendOptions::default() };
        let found = recommend_ratio(&fit, target, &options).unwrap();
        self.regrets.push(measured.regret(found.ratio));
        self.width += found.interval.1.sqrt() - found.interval.0.sqrt();
        self.inside +=
            f64::from(u8::from(found.interval.0 <= measured.ratio && measured.ratio <= found.interval.1));
        self.cost += (world.cost(runs) - before) as f64;
    }

    fn row(&self, name: &str) {
        let n = self.regrets.len() as f64;
        let mut sorted = self.regrets.clone();
        sorted.sort_by(f64::total_cmp);
        println!(
            "| {name} | {:.0} | {:.2} | {} | {:.2} | {:.0} % | {} |",
            self.cost / n,
            1e3 * sorted.iter().sum::<f64>() / n,
            // Of fewer than ten there is no such quantile.
            if sorted.len() < 10 {
                "–".to_owned()
            } else {
                format!("{:.2}", 1e3 * sorted[(sorted.len() - 1) * 9 / 10])
            },
            self.width / n,
            100.0 * self.inside / n,
            if self.promised > 0.0 { format!("{:.2}", 1e3 * self.promised / n) } else { "–".to_owned() },
        );
    }
}

/// Numbers 0 … n−1 in an order that depends on the seed alone.
fn shuffled(n: usize, seed: u64) -> Vec<usize> {
    let key = |i: usize| {
        let mut x =
            seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (i as u64 + 1).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        for _ in 0..3 {
            x ^= x >> 31;
            x = x.wrapping_mul(0x94d0_49bb_1331_11eb);
        }
        x
    };
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by_key(|i| key(*i));
    order
}

/// All runs, those at the target's peak rate first, then those at the nearest; of each rate the second ratio, the last
/// but one, then the rest.
fn spread(world: &World, target: &Target) -> Vec<Cell> {
    let mut rates: Vec<usize> = (0..world.rates.len()).collect();
    let distance = |i: &usize| (world.rates[*i] / target.peak_lr).ln().abs();
    rates.sort_by(|a, b| distance(a).total_cmp(&distance(b)));
    let last = world.ratios.len() - 1;
    let mut ratios = vec![1, last - 1, 0, last];
    ratios.extend(2..last - 1);
    rates.iter().flat_map(|&rate| ratios.iter().map(move |&ratio| (rate, ratio))).collect()
}

/// What every way of choosing runs came to.
#[derive(Default)]
struct Scores {
    first: Score,
    random: Score,
    by_rule: Score,
    planned: BTreeMap<u32, Score>,
    grid: Score,
    /// Starts, and those at which the plan of 35 % lost more than the random choices on average.
    starts: u64,
    worse: u64,
}

impl Scores {
    /// Every `stride`-th start of a trunk and a branch, for a target at each rate; the first start is number `offset`.
    fn add(&mut self, world: &World, offset: usize, stride: usize) {
        let optima = measured_optima(&world.curves);
        let all = world.all();
        for (at, &rate) in world.rates.iter().enumerate() {
            let measured = optima
                .iter()
                .find(|o| near(o.peak_lr, rate) && o.total == world.long && o.shape == "linear")
                .unwrap_or_else(|| panic!("no measured optimum at {rate}"));
            let meta = world.run((at, 1)).meta();
            let (tokens, params) = (meta.tokens_per_step, meta.law_params());
            let target = Target {
                peak_lr: rate,
                total: Steps(world.long),
                warmup: Steps(world.warmup),
                shape: Shape::Linear,
                final_lr: 0.0,
                setting: Setting { params, tokens_per_step: tokens, arch: None },
            };
            for start in all.iter().copied().skip((offset + at) % stride).step_by(stride) {
                self.start(world, start, &target, measured);
            }
            self.grid.add(world, &all, &target, measured, 0);
        }
    }

    fn start(&mut self, world: &World, start: Cell, target: &Target, measured: &MeasuredOptimum) {
        self.starts += 1;
        let all = world.all();
        let begun = vec![start];
        let before = world.cost(&begun);
        let whole = world.cost(&all) - before;
        let fit = world.fitted(&begun);
        let trunk = fit.runs.iter().find(|run| run.annealing_share < 0.02).unwrap().id.clone();
        let (params, batch) = (target.setting.params, target.setting.tokens_per_step);
        let money = Money { batch, sizes: params.is_some(), operations_per_second: None };
        for percent in [20, 35] {
            let budget = u64::from(percent) * whole / 100;
            let options = PlanOptions {
                candidates: Candidates {
                    params: vec![params],
                    peak_lr: world.rates.clone(),
                    total: vec![world.short],
                    ratio: world.ratios.clone(),
                },
                checkpoints: vec![trunk.clone()],
                budget: Some(budget as f64 * money.price(1, params).amount),
                most_runs: 40,
                aim: Aim::Ratio,
                noise: None,
                draws: 8,
                seed: 0,
                level: lehr::Level::USUAL,
            };
            let plan = plan_runs(AtHand::Fit(&fit), target, &money, &options).unwrap();
            let mut runs = begun.clone();
            runs.extend(plan.runs.iter().map(|run| {
                let rate = world.rates.iter().position(|r| near(*r, run.peak_lr)).unwrap();
                (rate, world.ratios.iter().position(|r| *r == run.ratio).unwrap())
            }));
            let score = self.planned.entry(percent).or_default();
            score.add(world, &runs, target, measured, before);
            score.promised += plan.runs.last().map_or(plan.regret, |run| run.regret);
            if std::env::var("PLAN_VERBOSE").is_ok() {
                println!(
                    "{percent} %: target {}, start {start:?}, chosen {:?}, regret {:.2}, promised {:.2}",
                    target.peak_lr,
                    &runs[1..],
                    1e3 * score.regrets[score.regrets.len() - 1],
                    1e3 * plan.runs.last().map_or(plan.regret, |run| run.regret),
                );
            }
        }
        let budget = (SHARE * whole as f64) as u64;
        let mut by_chance = 0.0;
        for repeat in 0..RANDOM {
            let mut runs = begun.clone();
            for i in shuffled(all.len(), 1000 * self.starts + repeat) {
                let run = all[i];
                let more = [&runs[..], &[run]].concat();
                if !runs.contains(&run) && world.cost(&more) - before <= budget {
                    runs = more;
                }
            }
            self.random.add(world, &runs, target, measured, before);
            by_chance += self.random.regrets[self.random.regrets.len() - 1] / RANDOM as f64;
        }
        let mut runs = begun.clone();
        for run in spread(world, target) {
            let more = [&runs[..], &[run]].concat();
            if !runs.contains(&run) && world.cost(&more) - before <= budget {
                runs = more;
            }
        }
        self.by_rule.add(world, &runs, target, measured, before);
        let own = self.planned.get(&35).and_then(|score| score.regrets.last()).copied().unwrap_or(0.0);
        self.worse += u64::from(own > by_chance);
        self.first.add(world, &begun, target, measured, before);
    }

    fn print(&self, what: &str) {
        println!("\n{what}: {} starts of two runs (a trunk and a branch)\n", self.starts);
        println!(
            "| runs | further updates | regret, mean (mnat) | its 90 % quantile | width of √r* | r* inside | promised |"
        );
        println!("|---|--:|--:|--:|--:|--:|--:|");
        self.first.row("none: the two at hand");
        self.random.row("random, 35 % of the grid");
        self.by_rule.row("a rule of thumb, 35 %: the target's rate, then the nearest, ratios spread");
        for (percent, score) in &self.planned {
            score.row(&format!("chosen by plan, {percent} % of the grid"));
        }
        self.grid.row("whole grid");
        println!(
            "\nthe plan of 35 % lost more than random ones of its start in {} of {}",
            self.worse, self.starts
        );
    }
}

fn stride(usual: usize) -> usize {
    std::env::var("PLAN_STRIDE").ok().and_then(|s| s.parse().ok()).unwrap_or(usual)
}

#[test]
#[ignore = "minutes: the measurement of docs/results/plan.md"]
fn chosen_runs_against_random_ones_and_the_whole_grid() {
    let Some(curves) = support::load("slimpajama-124m") else { return };
    let world = World {
        curves,
        rates: vec![5e-4, 1e-3, 2e-3],
        ratios: vec![0.1, 0.2, 0.4, 0.6, 0.8, 0.9],
        short: 15_000,
        long: 25_000,
        warmup: 300,
    };
    let mut scores = Scores::default();
    scores.add(&world, 0, stride(1));
    scores.print("124M, 15,000 → 25,000 updates");
}

/// `PLAN_ATLAS` chooses the text (`source`, where anything in a plan may be chosen by the outcome, or `language`).
#[test]
#[ignore = "minutes: the measurement of docs/results/plan.md"]
fn chosen_runs_on_small_models() {
    let text = std::env::var("PLAN_ATLAS").unwrap_or_else(|_| "source".to_owned());
    let curves = support::atlas(&text);
    let ratios =
        if text == "source" { vec![0.1, 0.2, 0.4, 0.6, 0.8] } else { vec![0.05, 0.1, 0.2, 0.4, 0.7] };
    let mut scores = Scores::default();
    for (i, model) in
        ["dense-0.1m", "dense-0.2m", "dense-0.4m", "moe-8x0.03m", "moe-8x0.1m"].iter().enumerate()
    {
        let own = |c: &&Curve| {
            let id = &c.meta().id;
            id.starts_with(&format!("{model}-lr"))
                && id.contains("-b8-s0-")
                && (id.ends_with("-linear") || id.ends_with("constant"))
        };
        let world = World {
            curves: curves.iter().filter(own).cloned().collect(),
            rates: vec![2e-3, 4e-3, 8e-3],
            ratios: ratios.clone(),
            short: 800,
            long: 1600,
            warmup: 40,
        };
        scores.add(&world, i, stride(5));
    }
    scores.print(&format!("small models on {text}, 800 → 1600 updates"));
}
