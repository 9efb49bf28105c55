//! Runs chosen by `plan` against random ones and against a whole grid, on public curves: the table of `docs/results/plan.md`.
//!
//! `cargo test --release --test plan_on_real_curves -- --ignored --nocapture`

#![allow(clippy::unwrap_used, reason = "a broken measurement should say where it broke")]

use lehr::fit::{Fit, FitOptions, fit};
use lehr::forecast::Setting;
use lehr::law::NoiseRelaxation;
use lehr::measured::{MeasuredOptimum, measured_optima};
use lehr::plan::{Aim, AtHand, Candidates, Money, PlanOptions, plan_runs};
use lehr::recommend::{RecommendOptions, Target, recommend_ratio};
use lehr::{Curve, Schedule, Shape, Steps};
use lehr_app::{Desk, Files, Reading};
use std::collections::BTreeMap;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/curves/slimpajama-124m");
const RATES: [f64; 3] = [5e-4, 1e-3, 2e-3];
const RATIOS: [f64; 6] = [0.1, 0.2, 0.4, 0.6, 0.8, 0.9];
const SHORT: u64 = 15_000;
const LONG: u64 = 25_000;
/// Share of the whole grid's updates that may be spent.
const SHARE: f64 = 0.35;
/// Random choices a start.
const RANDOM: u64 = 3;

/// A run of the grid: index of its rate, index of its ratio.
type Cell = (usize, usize);

struct World {
    curves: Vec<Curve>,
}

impl World {
    fn trunk(&self, rate: usize, upto: u64) -> Curve {
        let same = |c: &&Curve| {
            c.schedule().ratio().unwrap_or(0.0) == 0.0 && near(c.schedule().peak_lr(), RATES[rate])
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
                wsd.total.0 == SHORT
                    && wsd.shape == Shape::Linear
                    && near(wsd.peak_lr, RATES[rate])
                    && (wsd.ratio() - RATIOS[ratio]).abs() < 0.01
            })
            .unwrap()
    }

    /// The curves of some runs, each rate's trunk up to its latest branch point.
    fn data(&self, runs: &[Cell]) -> Vec<Curve> {
        let mut out = Vec::new();
        for (rate, upto) in trunks(runs) {
            out.push(self.trunk(rate, upto));
        }
        out.extend(runs.iter().map(|run| self.run(*run).clone()));
        out
    }
}

fn near(a: f64, b: f64) -> bool {
    (a / b - 1.0).abs() < 1e-3
}

fn branch_point((_, ratio): Cell) -> u64 {
    SHORT - (RATIOS[ratio] * SHORT as f64).round() as u64
}

fn trunks(runs: &[Cell]) -> BTreeMap<usize, u64> {
    let mut out: BTreeMap<usize, u64> = BTreeMap::new();
    for run in runs {
        let held = out.entry(run.0).or_default();
        *held = (*held).max(branch_point(*run));
    }
    out
}

/// Updates trained for some runs, trunks once.
fn cost(runs: &[Cell]) -> u64 {
    trunks(runs).values().sum::<u64>() + runs.iter().map(|run| SHORT - branch_point(*run)).sum::<u64>()
}

fn fitted(world: &World, runs: &[Cell]) -> Fit {
    let options = FitOptions { starts: 6, ..FitOptions::default() };
    fit(&NoiseRelaxation, &world.data(runs), &options).unwrap()
}

#[derive(Default, Clone, Copy)]
struct Score {
    n: f64,
    regret: f64,
    width: f64,
    error: f64,
    cost: f64,
    inside: f64,
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
        let fit = fitted(world, runs);
        let found =
            recommend_ratio(&fit, target, &RecommendOptions { grid: 61, ..RecommendOptions::default() })
                .unwrap();
        let (first, last) = (measured.points[0].0, measured.points[measured.points.len() - 1].0);
        let at = found.ratio.clamp(first, last);
        let loss = measured.loss + measured.regret(at);
        self.n += 1.0;
        self.regret += measured.regret(found.ratio);
        self.width += 0.5 * (found.loss.upper - found.loss.lower);
        self.error += (found.loss.value - loss).abs();
        self.inside += f64::from(u8::from((found.loss.lower..=found.loss.upper).contains(&loss)));
        self.cost += (cost(runs) - before) as f64;
    }

    fn row(&self, name: &str) {
        let mean = |v: f64| v / self.n;
        println!(
            "| {name} | {:.0} | {:.2} | {:.1} | {:.1} | {:.0} % |",
            mean(self.cost),
            1e3 * mean(self.regret),
            1e3 * mean(self.width),
            1e3 * mean(self.error),
            100.0 * mean(self.inside)
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

#[test]
#[ignore = "minutes: the measurement of docs/results/plan.md"]
fn chosen_runs_against_random_ones_and_the_whole_grid() {
    if !std::path::Path::new(FOLDER).exists() {
        println!("skipped: {FOLDER} is absent");
        return;
    }
    let curves = Desk::new(Files::Disk).runs(&Reading::of([FOLDER])).unwrap().curves;
    let optima = measured_optima(&curves);
    let world = World { curves };
    let all: Vec<Cell> = (0..RATES.len()).flat_map(|i| (0..RATIOS.len()).map(move |j| (i, j))).collect();
    let [mut first, mut random, mut grid] = [Score::default(); 3];
    let mut planned: BTreeMap<u32, Score> = BTreeMap::new();
    let (mut promised, mut starts) = (0.0, 0u64);
    let stride: usize = std::env::var("PLAN_STRIDE").ok().and_then(|s| s.parse().ok()).unwrap_or(1);
    for (at, &rate) in RATES.iter().enumerate() {
        let measured = optima
            .iter()
            .find(|o| near(o.peak_lr, rate) && o.total == LONG && o.shape == "linear")
            .unwrap_or_else(|| panic!("no measured optimum at {rate}"));
        let tokens = world.run((at, 1)).meta().tokens_per_step;
        let params = world.run((at, 1)).meta().law_params();
        let target = Target {
            peak_lr: rate,
            total: Steps(LONG),
            warmup: Steps(300),
            shape: Shape::Linear,
            final_lr: 0.0,
            setting: Setting { params, tokens_per_step: tokens, arch: None },
        };
        let money = Money { batch: tokens, sizes: params.is_some(), operations_per_second: None };
        for start in all.iter().copied().step_by(stride) {
            starts += 1;
            let begun = vec![start];
            let before = cost(&begun);
            let whole = cost(&all) - before;
            let fit = fitted(&world, &begun);
            let trunk = fit.runs.iter().find(|run| run.annealing_share < 0.02).unwrap().id.clone();
            for percent in [20, 35] {
                let budget = u64::from(percent) * whole / 100;
                let options = PlanOptions {
                    candidates: Candidates {
                        params: vec![params],
                        peak_lr: RATES.to_vec(),
                        total: vec![SHORT],
                        ratio: RATIOS.to_vec(),
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
                let plan = plan_runs(AtHand::Fit(&fit), &target, &money, &options).unwrap();
                let mut runs = begun.clone();
                runs.extend(plan.runs.iter().map(|run| {
                    let rate = RATES.iter().position(|r| near(*r, run.peak_lr)).unwrap();
                    (rate, RATIOS.iter().position(|r| *r == run.ratio).unwrap())
                }));
                planned.entry(percent).or_default().add(&world, &runs, &target, measured, before);
                if percent == 35 {
                    promised += plan.runs.last().map_or(plan.regret, |run| run.regret);
                }
            }
            let budget = (SHARE * whole as f64) as u64;
            for repeat in 0..RANDOM {
                let mut runs = begun.clone();
                for i in shuffled(all.len(), 1000 * starts + repeat) {
                    let run = all[i];
                    let more = [&runs[..], &[run]].concat();
                    if !runs.contains(&run) && cost(&more) - before <= budget {
                        runs = more;
                    }
                }
                random.add(&world, &runs, &target, measured, before);
            }
            first.add(&world, &begun, &target, measured, before);
        }
        grid.add(&world, &all, &target, measured, 0);
    }
    println!(
        "{starts} starts of two runs (a trunk and a branch); target: 25,000 updates at the same and at other rates\n"
    );
    println!("| runs | further updates | regret (mnat) | interval ± (mnat) | error (mnat) | inside |");
    println!("|---|--:|--:|--:|--:|--:|");
    first.row("none: the two at hand");
    random.row("random, 35 % of the grid");
    for (percent, score) in &planned {
        score.row(&format!("chosen by plan, {percent} % of the grid"));
    }
    grid.row("whole grid");
    println!("\npromised regret after the plan of 35 %: {:.2} mnat", 1e3 * promised / starts as f64);
}
