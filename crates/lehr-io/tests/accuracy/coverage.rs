//! How often the intervals hold what was left out, axis by axis.

use crate::support::{load, named, steplaw, those};
use lehr::fit::FitOptions;
use lehr::validate::{LeaveOut, measure_coverage, splits};

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
