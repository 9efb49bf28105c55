//! How often the intervals of costs, of r* and plateaus hold what was measured.

use crate::support::{atlas, load, named, params, those};
use lehr::fit::{FitOptions, fit};
use lehr::forecast::Setting;
use lehr::measured::{MeasuredOptimum, measured_optima};
use lehr::names_run;
use lehr::recommend::{RecommendOptions, Target, recommend_ratio};
use lehr::{Curve, Schedule, Shape, Steps};
use std::ops::AddAssign;

/// Cells whose quadratic misses the measured losses by more say little about their optimum, nats.
const MISFIT: f64 = 4e-3;
/// Ratios whose costs are compared, where they lie within those measured.
const RATIOS: [f64; 5] = [0.1, 0.2, 0.4, 0.6, 0.8];

/// What was promised about cells with a measured optimum, and how much of it held.
#[derive(Debug, Clone, Copy, Default)]
struct Promises {
    cells: usize,
    costs: usize,
    costs_inside: usize,
    cost_width: f64,
    cost_bias: f64,
    ratios_inside: usize,
    ratio_width: f64,
    plateaus_inside: usize,
    plateau_end: f64,
    regret: f64,
    corrected: f64,
}

impl AddAssign for Promises {
    fn add_assign(&mut self, other: Self) {
        self.cells += other.cells;
        self.costs += other.costs;
        self.costs_inside += other.costs_inside;
        self.cost_width += other.cost_width;
        self.cost_bias += other.cost_bias;
        self.ratios_inside += other.ratios_inside;
        self.ratio_width += other.ratio_width;
        self.plateaus_inside += other.plateaus_inside;
        self.plateau_end = self.plateau_end.max(other.plateau_end);
        self.regret += other.regret;
        self.corrected += other.corrected;
    }
}

impl Promises {
    fn share(part: usize, whole: usize) -> f64 {
        100.0 * part as f64 / whole.max(1) as f64
    }

    fn print(&self, name: &str) {
        let (cells, costs) = (self.cells.max(1) as f64, self.costs.max(1) as f64);
        println!(
            "| {name} | {} | {} of {} ({:.0} %) | ±{:.1} | {:+.1} | {} ({:.0} %) | {:.2} | {} ({:.0} %) | {:.1} | {:.2} | {:.2} |",
            self.cells,
            self.costs_inside,
            self.costs,
            Self::share(self.costs_inside, self.costs),
            1e3 * self.cost_width / costs,
            1e3 * self.cost_bias / costs,
            self.ratios_inside,
            Self::share(self.ratios_inside, self.cells),
            self.ratio_width / cells,
            self.plateaus_inside,
            Self::share(self.plateaus_inside, self.cells),
            1e3 * self.plateau_end,
            1e3 * self.regret / cells,
            1e3 * self.corrected / cells,
        );
    }
}

fn heading(title: &str) {
    println!(
        "\n{title}\n| fitted | cells | costs inside | half-width, mnat | bias, mnat | r* inside | width of √r* | optimum in the plateau | dearest plateau end, mnat | regret of r*, mnat | of the lowest cost |\n|---|---|---|---|---|---|---|---|---|---|---|"
    );
}

/// Fits on some runs and holds the recommendation of every cell against its measured optimum.
fn hold(train: &[Curve], cells: &[MeasuredOptimum], warmup: u64) -> [Promises; 2] {
    let options = FitOptions { starts: 4, ..FitOptions::default() };
    let fit = fit(named("noise-relaxation"), train, &options).unwrap();
    let mut halves = [Promises::default(); 2];
    for (i, cell) in cells.iter().enumerate().filter(|(_, cell)| !cell.at_edge && cell.misfit < MISFIT) {
        let target = Target {
            peak_lr: cell.peak_lr,
            total: Steps(cell.total),
            warmup: Steps(warmup),
            shape: Shape::Linear,
            final_lr: 0.0,
            setting: Setting::default(),
        };
        let found = recommend_ratio(&fit, &target, &RecommendOptions::default()).unwrap();
        let mut out = Promises { cells: 1, ..Promises::default() };
        let (first, last) = (cell.points[0].0, cell.points[cell.points.len() - 1].0);
        for ratio in RATIOS.into_iter().filter(|r| (first - 1e-6..=last + 1e-6).contains(r)) {
            let point = found
                .curve
                .iter()
                .min_by(|a, b| (a.ratio - ratio).abs().total_cmp(&(b.ratio - ratio).abs()))
                .unwrap();
            let measured = cell.regret(point.ratio);
            let cost = point.loss - found.loss.value;
            out.costs += 1;
            out.costs_inside += usize::from((cost - measured).abs() <= point.half_width);
            out.cost_width += point.half_width;
            out.cost_bias += cost - measured;
        }
        let holds = |(low, high): (f64, f64)| low <= cell.ratio + 1e-9 && cell.ratio <= high + 1e-9;
        out.ratios_inside = usize::from(holds(found.interval));
        out.ratio_width = found.interval.1.sqrt() - found.interval.0.sqrt();
        out.plateaus_inside = usize::from(holds(found.plateau));
        let end = |ratio: f64| cell.regret(ratio.clamp(first, last));
        out.plateau_end = end(found.plateau.0).max(end(found.plateau.1));
        out.regret = cell.regret(found.ratio);
        // The minimum of the corrected curve, which the recommendation could be and is not.
        let least = found.curve.iter().min_by(|a, b| a.loss.total_cmp(&b.loss)).unwrap();
        out.corrected = cell.regret(least.ratio);
        halves[i % 2] += out;
    }
    halves
}

fn ratio_of(curve: &Curve) -> Option<u64> {
    match curve.schedule() {
        Schedule::Wsd(wsd) if wsd.anneal.0 == 0 => Some(0),
        Schedule::Wsd(wsd) if wsd.shape == Shape::Linear => Some((wsd.ratio() * 100.0).round() as u64),
        _ => None,
    }
}

/// The training sets that a user might have, of runs of one size: name, runs, cells to judge.
fn training_sets(
    own: &[Curve],
    cells: &[MeasuredOptimum],
    long: u64,
) -> Vec<(String, Vec<Curve>, Vec<MeasuredOptimum>)> {
    let with = |ratios: &[u64]| those(own, |c| ratio_of(c).is_some_and(|r| ratios.contains(&r)));
    let far: Vec<MeasuredOptimum> = cells.iter().filter(|c| c.total >= long).cloned().collect();
    let short = |c: &Curve| ratio_of(c) == Some(0) || c.schedule().total().0 < long;
    let mut sets = vec![
        ("all runs (in-sample)".to_owned(), own.to_vec(), cells.to_vec()),
        ("constant and r = 0.2".to_owned(), with(&[0, 20]), cells.to_vec()),
        ("constant, r = 0.2 and 0.4".to_owned(), with(&[0, 20, 40]), cells.to_vec()),
        ("shorter horizons".to_owned(), those(own, short), far.clone()),
        ("shorter horizons, r = 0.2".to_owned(), those(&with(&[0, 20]), short), far),
    ];
    let mut peaks: Vec<f64> = cells.iter().map(|c| c.peak_lr).collect();
    peaks.sort_by(f64::total_cmp);
    peaks.dedup();
    for peak in peaks {
        let at = |rate: f64| (rate / peak - 1.0).abs() < 0.01;
        sets.push((
            "one peak rate left out".to_owned(),
            those(own, |c| !at(c.schedule().peak_lr())),
            cells.iter().filter(|c| at(c.peak_lr)).cloned().collect(),
        ));
    }
    sets
}

/// Measures every training set, prints a table and returns the two halves of the cells.
fn table(title: &str, sizes: &[Vec<Curve>], long: u64, warmup: u64) -> [Promises; 2] {
    let mut rows: Vec<(String, [Promises; 2])> = Vec::new();
    for own in sizes {
        let cells: Vec<MeasuredOptimum> =
            measured_optima(own).into_iter().filter(|c| c.shape == "linear").collect();
        for (name, train, cells) in training_sets(own, &cells, long) {
            let halves = hold(&train, &cells, warmup);
            if !rows.iter().any(|row| row.0 == name) {
                rows.push((name.clone(), [Promises::default(); 2]));
            }
            let row = rows.iter_mut().find(|row| row.0 == name).unwrap();
            row.1[0] += halves[0];
            row.1[1] += halves[1];
        }
    }
    heading(title);
    let mut total = [Promises::default(); 2];
    for (name, [even, odd]) in rows {
        even.print(&format!("{name}, even cells"));
        odd.print(&format!("{name}, odd cells"));
        total[0] += even;
        total[1] += odd;
    }
    total[0].print("**all, even cells**");
    total[1].print("**all, odd cells**");
    total
}

#[test]
#[ignore = "minutes; reads public curves"]
fn costs_and_ratios_of_public_runs() {
    let Some(all) = load("slimpajama-124m") else { return };
    let [_, odd] = table("slimpajama-124m", &[all], 25_000, 300);
    assert!(odd.costs_inside * 100 >= 85 * odd.costs, "{odd:?}");
    assert!(odd.ratios_inside * 100 >= 80 * odd.cells, "{odd:?}");
}

#[test]
#[ignore = "minutes"]
fn costs_and_ratios_of_the_atlas() {
    let mut odd = Promises::default();
    for text in ["source", "language"] {
        let all = atlas(text);
        let all = those(&all, |c| names_run("*-b8-s0-*", &c.meta().id));
        let key = |c: &Curve| (c.meta().arch.family(), params(c));
        let mut sizes: Vec<_> = all.iter().map(key).collect();
        sizes.sort_unstable();
        sizes.dedup();
        let sizes: Vec<Vec<Curve>> =
            sizes.into_iter().map(|size| those(&all, |c| key(c) == size && ratio_of(c).is_some())).collect();
        let [_, own] = table(&format!("atlas, {text}"), &sizes, 1600, 40);
        odd += own;
    }
    assert!(odd.costs_inside * 100 >= 85 * odd.costs, "{odd:?}");
    assert!(odd.ratios_inside * 100 >= 85 * odd.cells, "{odd:?}");
}
