//! How often the intervals hold what was left out, axis by axis.

use crate::support::{load, named, steplaw, those};
use lehr::fit::{FitOptions, fit};
use lehr::forecast::Setting;
use lehr::measured::{MeasuredOptimum, measured_optima};
use lehr::recommend::{RecommendOptions, Target, recommend_ratio};
use lehr::validate::{LeaveOut, measure_coverage, names_run, splits};
use lehr::{Curve, Shape, Steps};

#[test]
#[ignore = "minutes; reads public curves"]
fn every_axis() {
    let options = FitOptions { starts: 4, ..FitOptions::default() };
    println!("| curves | left out | finals inside | all points inside | half-width |\n|---|---|---|---|---|");
    let mut sets = Vec::new();
    for name in ["slimpajama-124m", "slimpajama-sizes", "olmo-ladder"] {
        sets.extend(load(name).map(|curves| (name, curves)));
    }
    if let Some(curves) = steplaw() {
        // Every seventh run: the coverage of finals needs no more.
        let mut i = 0;
        let some = those(&curves, |_| true)
            .into_iter()
            .filter(|_| {
                i += 1;
                i % 7 == 0
            })
            .collect();
        sets.push(("steplaw-dense, every seventh", some));
    }
    for (name, curves) in &sets {
        for what in [LeaveOut::Size, LeaveOut::Batch, LeaveOut::Horizon, LeaveOut::PeakRate] {
            let Ok(found) = splits(curves, what) else { continue };
            if found.len() > 30 {
                println!("| {name} | {what:?}: {} levels, left out | | | |", found.len());
                continue;
            }
            match measure_coverage(named("noise-relaxation"), curves, &found, &options) {
                Ok(c) => println!(
                    "| {name} | {what:?} | {} of {} ({:.0} %) | {:.1} % | ±{:.2} % |",
                    c.finals_inside,
                    c.finals,
                    100.0 * c.finals_inside as f64 / c.finals.max(1) as f64,
                    100.0 * c.points_inside as f64 / c.points.max(1) as f64,
                    100.0 * c.mean_half_width
                ),
                Err(error) => println!("| {name} | {what:?}: {error} | | | |"),
            }
        }
    }
}

/// Intervals of a rule's cost and of r* that hold what was measured, over the cells of `test`.
struct Costs {
    rules: usize,
    rules_inside: usize,
    ratios: usize,
    ratios_inside: usize,
    half_width: f64,
    bias: f64,
}

fn costs(train: &[Curve], cells: &[MeasuredOptimum], options: &FitOptions) -> Costs {
    let fit = fit(named("noise-relaxation"), train, options).unwrap();
    let mut out =
        Costs { rules: 0, rules_inside: 0, ratios: 0, ratios_inside: 0, half_width: 0.0, bias: 0.0 };
    for cell in cells {
        let target = Target {
            peak_lr: cell.peak_lr,
            total: Steps(cell.total),
            warmup: Steps(300),
            shape: Shape::Linear,
            final_lr: 0.0,
            setting: Setting::default(),
        };
        let found = recommend_ratio(&fit, &target, &RecommendOptions::default()).unwrap();
        for (name, ratio) in [("10%", 0.1), ("20%", 0.2), ("40%", 0.4)] {
            let (first, last) = (cell.points[0].0, cell.points[cell.points.len() - 1].0);
            if ratio < first - 1e-6 || ratio > last + 1e-6 {
                continue;
            }
            let measured = cell.regret(ratio);
            let rule = &found.rules[name];
            let (low, high) = rule.regret_interval;
            out.rules += 1;
            out.rules_inside += usize::from(low <= measured && measured <= high);
            out.half_width += 0.5e3 * (high - low);
            out.bias += 1e3 * (rule.regret - measured);
        }
        out.ratios += 1;
        out.ratios_inside +=
            usize::from(found.interval.0 <= cell.ratio + 1e-9 && cell.ratio <= found.interval.1 + 1e-9);
    }
    out.half_width /= out.rules.max(1) as f64;
    out.bias /= out.rules.max(1) as f64;
    out
}

#[test]
#[ignore = "minutes; reads public curves"]
fn costs_and_ratios() {
    let Some(all) = load("slimpajama-124m") else { return };
    let cells = measured_optima(&all);
    let options = FitOptions { starts: 4, ..FitOptions::default() };
    println!("{} cells with a measured optimum", cells.len());
    println!(
        "| fitted | cells | costs inside | ratios inside | half-width | bias |\n|---|---|---|---|---|---|"
    );
    let is = |c: &Curve, patterns: &[&str]| patterns.iter().any(|p| names_run(p, &c.meta().id));
    let row = |name: &str, train: &[Curve], cells: &[MeasuredOptimum]| {
        let found = costs(train, cells, &options);
        println!(
            "| {name} | {} | {} of {} | {} of {} | ±{:.1} mnat | {:+.1} mnat |",
            cells.len(),
            found.rules_inside,
            found.rules,
            found.ratios_inside,
            found.ratios,
            found.half_width,
            found.bias
        );
        found
    };
    let mut total = (0, 0, 0, 0);
    let mut count = |c: Costs| {
        total = (total.0 + c.rules_inside, total.1 + c.rules, total.2 + c.ratios_inside, total.3 + c.ratios);
    };
    count(row("all runs (in-sample)", &all, &cells));
    count(row("constant and r = 0.2", &those(&all, |c| is(c, &["trunk*", "*-r0.2-linear*"])), &cells));
    count(row(
        "constant, r = 0.2 and 0.4",
        &those(&all, |c| is(c, &["trunk*", "*-r0.2-linear*", "*-r0.4-linear*"])),
        &cells,
    ));
    let long: Vec<MeasuredOptimum> = cells.iter().filter(|c| c.total > 15_000).cloned().collect();
    count(row(
        "T = 15k and trunks → 25k",
        &those(&all, |c| is(c, &["trunk*"]) || c.schedule().total().0 <= 15_000),
        &long,
    ));
    for cell in &cells {
        let others = those(&all, |c| (c.schedule().peak_lr() / cell.peak_lr - 1.0).abs() > 0.01);
        count(row(&format!("without peak {:e}", cell.peak_lr), &others, std::slice::from_ref(cell)));
    }
    println!("costs {} of {}, ratios {} of {}", total.0, total.1, total.2, total.3);
}
