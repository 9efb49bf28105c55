//! Replays of the atlas's runs as a watch would see them: the same as for the public curves, on small models and short runs.

use crate::running::{Judged, Replay, SHARES, alarms, mean_regrets, regrets, replay, row, sicknesses};
use crate::support::{atlas, those};
use lehr::Curve;
use std::collections::BTreeSet;

const TEXTS: [&str; 2] = ["source", "language"];

/// Of each model's runs, in the order of their names, every so many-th is replayed. A model has 16 runs a peak rate: a number without a
/// common divisor with that comes past every horizon and ratio.
const STRIDE: usize = 5;
/// The same where all runs of its peak rate are left out.
const STRIDE_BY_RATE: usize = 25;
/// Every so many-th cell of peak rate and horizon is told when to start.
const STRIDE_OF_CELLS: usize = 2;

/// The model that a run of the atlas is of: what stands before the rate in its name.
fn model(curve: &Curve) -> &str {
    curve.meta().id.split("-lr").next().unwrap_or_default()
}

fn models(curves: &[Curve]) -> BTreeSet<&str> {
    curves.iter().map(model).collect()
}

/// Every so many-th run of a model, each held against a fit of the model's others without its trunk, or without its peak rate.
fn replays(curves: &[Curve], stride: usize, by_rate: bool) -> Vec<Replay> {
    let one = |run: &Curve| {
        let meta = run.meta();
        let goes = |other: &&Curve| {
            let same = other.meta().id == meta.id
                || meta.branch.as_ref().is_some_and(|branch| branch.trunk == other.meta().id);
            let rate = (other.schedule().peak_lr() / run.schedule().peak_lr() - 1.0).abs();
            same || by_rate && rate < 0.01
        };
        let out: BTreeSet<&str> = curves.iter().filter(goes).map(|other| other.meta().id.as_str()).collect();
        replay(curves, &out, run)
    };
    curves.iter().step_by(stride).map(one).collect()
}

#[test]
#[ignore = "minutes"]
fn replays_of_the_atlas() {
    println!(
        "| curves | left out | done | runs | mean error, law / corrected, mnat | rms, mnat | median, corrected | carried | inside, law | inside, corrected | inside, law of last errors | half-widths |\n|---|---|---|---|---|---|---|---|---|---|---|---|"
    );
    for (by_rate, stride) in [(false, STRIDE), (true, STRIDE_BY_RATE)] {
        let left_out = if by_rate { "its peak rate" } else { "run and trunk" };
        let mut all = Vec::new();
        for text in TEXTS {
            let curves = atlas(text);
            let before = all.len();
            for name in models(&curves) {
                let of_model = those(&curves, |curve| model(curve) == name);
                let found = replays(&of_model, stride, by_rate);
                report(&format!("{text}, {name}"), left_out, &found);
                all.extend(found);
            }
            report(&format!("**{text}**"), left_out, &all[before..]);
        }
        report("**atlas**", left_out, &all);
        sicknesses(&all);
    }
}

/// The forecasts at 30, 50 and 70 %, and the alarms.
fn report(name: &str, left_out: &str, replays: &[Replay]) {
    for (i, share) in SHARES.iter().enumerate().filter(|(_, share)| [0.3, 0.5, 0.7].contains(share)) {
        let judged: Vec<Judged> = replays.iter().filter_map(|run| run.judged[i]).collect();
        row(name, left_out, *share, &judged);
    }
    alarms(name, left_out, replays);
}

#[test]
#[ignore = "minutes"]
fn the_regret_of_the_start_that_the_atlas_is_told() {
    println!(
        "| peak rate | horizon | done | told to start | best start measured | regret, mnat | regret of now, mnat |\n|---|---|---|---|---|---|---|"
    );
    let mut all = [Vec::new(), Vec::new(), Vec::new()];
    for text in TEXTS {
        let curves = atlas(text);
        for name in models(&curves) {
            // The grid itself: one batch, one seed, one shape.
            let grid = those(&curves, |curve| {
                let id = &curve.meta().id;
                model(curve) == name
                    && id.contains("-b8-s0-")
                    && (id.ends_with("-linear") || id.ends_with("-constant"))
            });
            let found = regrets(&grid, STRIDE_OF_CELLS);
            mean_regrets(&format!("{text}, {name}"), &found);
            all.iter_mut().zip(found).for_each(|(all, found)| all.extend(found));
        }
    }
    mean_regrets("atlas", &all);
}
