//! The forecast of a running job, with and without the correction by what it shows, on runs that the fit did not see.

use crate::support::{atlas, load, named, those};
use lehr::fit::{Fit, FitOptions, fit, left_out};
use lehr::forecast::{Setting, forecast};
use lehr::live::{Live, StartOptions, no_improvement};
use lehr::measured::measured_optima;
use lehr::{Curve, RunMeta, Steps};
use std::collections::BTreeSet;

/// One forecast of a final loss: relative errors and half-widths, without and with the correction.
#[derive(Debug, Clone, Copy)]
pub struct Judged {
    law: f64,
    law_half: f64,
    corrected: f64,
    half: f64,
    /// The law's half-width were it made of left-out runs' last errors alone, without those along their later halves.
    of_finals: f64,
    share: f64,
    loss: f64,
}

/// The run with the rows of its trunk before its own, as the job's log would hold them.
fn whole(curves: &[Curve], run: &Curve) -> Curve {
    let trunk = run.meta().branch.as_ref().and_then(|branch| {
        curves.iter().find(|curve| curve.meta().id == branch.trunk).map(|trunk| (trunk, branch.at.0))
    });
    let Some((trunk, at)) = trunk else { return run.clone() };
    let first = run.step()[0];
    let before = trunk.step().iter().zip(trunk.loss()).filter(|(t, _)| **t < first && **t <= at);
    let (mut step, mut loss): (Vec<u64>, Vec<f64>) = before.map(|(t, l)| (*t, *l)).unzip();
    step.extend_from_slice(run.step());
    loss.extend_from_slice(run.loss());
    Curve::new(run.meta().clone(), run.schedule().clone(), step, loss).unwrap()
}

/// What is known of a run when a share of it is done.
fn until(run: &Curve, share: f64) -> Option<Curve> {
    let (last, _) = run.last();
    run.retain(|_, t, _| t as f64 <= share * last as f64)
}

pub fn row(name: &str, left_out: &str, share: f64, judged: &[Judged]) {
    let n = judged.len().max(1) as f64;
    let mut sizes: Vec<f64> = judged.iter().map(|j| j.corrected.abs()).collect();
    sizes.sort_by(f64::total_cmp);
    let median = sizes.get(sizes.len() / 2).copied().unwrap_or_default();
    let mean = |value: &dyn Fn(&Judged) -> f64| judged.iter().map(value).sum::<f64>() / n;
    let rms = |value: &dyn Fn(&Judged) -> f64| mean(&|j| value(j).powi(2)).sqrt();
    let inside = |error: &dyn Fn(&Judged) -> f64, half: &dyn Fn(&Judged) -> f64| {
        judged.iter().filter(|j| error(j).abs() <= half(j)).count()
    };
    println!(
        "| {name} | {left_out} | {:.0} % | {} | {:.1} / {:.1} | {:.1} / {:.1} | {:.2} % | {:.2} | {} ({:.0} %) | {} ({:.0} %) | {} ({:.0} %) | ±{:.2} / ±{:.2} / ±{:.2} % |",
        100.0 * share,
        judged.len(),
        1e3 * mean(&|j| j.law.abs() * j.loss),
        1e3 * mean(&|j| j.corrected.abs() * j.loss),
        1e3 * rms(&|j| j.law * j.loss),
        1e3 * rms(&|j| j.corrected * j.loss),
        100.0 * median,
        mean(&|j| j.share),
        inside(&|j| j.law, &|j| j.law_half),
        100.0 * inside(&|j| j.law, &|j| j.law_half) as f64 / n,
        inside(&|j| j.corrected, &|j| j.half),
        100.0 * inside(&|j| j.corrected, &|j| j.half) as f64 / n,
        inside(&|j| j.law, &|j| j.of_finals),
        100.0 * inside(&|j| j.law, &|j| j.of_finals) as f64 / n,
        100.0 * mean(&|j| j.law_half),
        100.0 * mean(&|j| j.half),
        100.0 * mean(&|j| j.of_finals),
    );
}

/// A run held against the fit that did not see it: forecasts by share, and alarms over its course.
pub struct Replay {
    pub judged: Vec<Option<Judged>>,
    /// Looks at which the band was left, of all looks.
    band: usize,
    rising: usize,
    diverged: usize,
    looks: usize,
    updates: u64,
    id: String,
    /// Of each sickness the share of the run after its beginning at which it was seen, if it was.
    seen: Vec<Option<f64>>,
}

/// What is done to the second half of a run, by the share of it that has passed.
const SICKNESSES: [(&str, fn(f64) -> f64); 4] = [
    ("0.5 % too high from the middle on", |_| 1.005),
    ("1 % too high from the middle on", |_| 1.01),
    ("rising by 2 % until the end", |x| 1.0 + 0.02 * x),
    ("a jump by 20 %", |_| 1.2),
];

/// When a watch sees that a run is sick from its middle on.
fn sick(fit: &Fit, job: &Curve, harm: fn(f64) -> f64) -> Option<f64> {
    let (last, _) = job.last();
    let after = |t: u64| (t as f64 / last as f64 - 0.5) / 0.5;
    let losses = job.step().iter().zip(job.loss());
    let losses =
        losses.map(|(&t, loss)| if after(t) > 0.0 { loss * harm(after(t)) } else { *loss }).collect();
    let ill = Curve::new(job.meta().clone(), job.schedule().clone(), job.step().to_vec(), losses).unwrap();
    (11..=20)
        .map(|twentieth| f64::from(twentieth) / 20.0)
        .find(|share| {
            let Some(seen) = until(&ill, *share) else { return false };
            let band = Live::new(fit, &seen, &Setting::default()).ok().and_then(|live| live.band(last));
            band.is_some_and(|band| band.left)
                || no_improvement(&seen).is_some()
                || !left_out(std::slice::from_ref(&seen), &FitOptions::default()).is_empty()
        })
        .map(|share| (share - 0.5) / 0.5)
}

/// Shares of a run at which it is forecast.
pub const SHARES: [f64; 6] = [0.3, 0.4, 0.5, 0.6, 0.7, 0.8];

fn fitted(curves: &[Curve], out: &BTreeSet<&str>) -> Fit {
    let train: Vec<Curve> = curves.iter().filter(|c| !out.contains(c.meta().id.as_str())).cloned().collect();
    let options = FitOptions { starts: 3, ..FitOptions::default() };
    fit(named("noise-relaxation"), &train, &options).unwrap()
}

pub fn replay(curves: &[Curve], out: &BTreeSet<&str>, run: &Curve) -> Replay {
    let fit = fitted(curves, out);
    let job = whole(curves, run);
    let (last, _) = job.last();
    let mut replay = Replay {
        judged: SHARES.iter().map(|&share| judge(&fit, &job, share)).collect(),
        band: 0,
        rising: 0,
        diverged: 0,
        looks: 0,
        updates: last,
        id: run.meta().id.clone(),
        seen: SICKNESSES.iter().map(|(_, harm)| sick(&fit, &job, *harm)).collect(),
    };
    // A look at every twentieth, as a watch would.
    for twentieth in 2..=20 {
        let Some(seen) = until(&job, f64::from(twentieth) / 20.0) else { continue };
        let Ok(live) = Live::new(&fit, &seen, &Setting::default()) else { continue };
        replay.looks += 1;
        replay.band += usize::from(live.band(last).is_some_and(|band| band.left));
        replay.rising += usize::from(no_improvement(&seen).is_some());
        replay.diverged +=
            usize::from(!left_out(std::slice::from_ref(&seen), &FitOptions::default()).is_empty());
    }
    replay
}

fn judge(fit: &Fit, job: &Curve, share: f64) -> Option<Judged> {
    let (last, measured) = job.last();
    let plan = job.schedule().truncate(Steps(last)).unwrap();
    let seen = until(job, share)?;
    let live = Live::new(fit, &seen, &Setting::default()).ok()?;
    let found = live.forecast(&plan, &[last]).unwrap();
    let corrected = found.forecast.r#final;
    let mut finals = fit.uncertainty.clone();
    finals.held_out.iter_mut().for_each(|run| run.curve_error = 0.0);
    let narrower = finals.half_width(fit.options.level) / fit.uncertainty.half_width(fit.options.level);
    Some(Judged {
        law: (found.law.value / measured).ln(),
        law_half: (found.law.upper / found.law.value).ln(),
        corrected: (corrected.value / measured).ln(),
        half: (corrected.upper / corrected.value).ln(),
        of_finals: (found.law.upper / found.law.value).ln() * narrower,
        share: found.carry.share,
        loss: measured,
    })
}

#[test]
#[ignore = "minutes; reads public curves"]
fn replays_of_running_jobs() {
    println!(
        "| curves | left out | done | runs | mean error, law / corrected, mnat | rms, mnat | median, corrected | carried | inside, law | inside, corrected | inside, law of last errors | half-widths |\n|---|---|---|---|---|---|---|---|---|---|---|---|"
    );
    let mut all: Vec<Vec<Judged>> = vec![Vec::new(); SHARES.len()];
    let mut replays = Vec::new();
    for name in
        ["multi-power-law/25M", "multi-power-law/100M", "slimpajama-sizes", "olmo-ladder", "slimpajama-124m"]
    {
        let Some(curves) = load(name) else { continue };
        let branched = curves.iter().any(|curve| curve.meta().branch.is_some());
        for by_rate in if branched { vec![false, true] } else { vec![false] } {
            // Of the largest set every second run, and every fifth where a whole rate is left out.
            let stride = match (branched, by_rate) {
                (false, _) => 1,
                (true, false) => 2,
                (true, true) => 5,
            };
            let found: Vec<Replay> = curves
                .iter()
                .step_by(stride)
                .map(|run| {
                    let meta = run.meta();
                    let out: BTreeSet<&str> = curves
                        .iter()
                        .filter(|other| {
                            let same = other.meta().id == meta.id
                                || meta.branch.as_ref().is_some_and(|b| b.trunk == other.meta().id);
                            let rate = (other.schedule().peak_lr() / run.schedule().peak_lr() - 1.0).abs();
                            same || by_rate && rate < 0.01
                        })
                        .map(|other| other.meta().id.as_str())
                        .collect();
                    replay(&curves, &out, run)
                })
                .collect();
            let left_out = if by_rate { "its peak rate" } else { "run and trunk" };
            for (i, share) in SHARES.iter().enumerate() {
                let judged: Vec<Judged> = found.iter().filter_map(|run| run.judged[i]).collect();
                row(name, left_out, *share, &judged);
                if !by_rate {
                    all[i].extend(judged);
                }
            }
            alarms(name, left_out, &found);
            if !by_rate {
                replays.extend(found);
            }
        }
    }
    for (share, judged) in SHARES.iter().zip(&all) {
        row("**all**", "run and trunk", *share, judged);
    }
    alarms("**all**", "run and trunk", &replays);
    sicknesses(&replays);
}

/// How many runs that were made sick were seen to be, and how soon.
pub fn sicknesses(replays: &[Replay]) {
    println!(
        "| sick from the middle on | runs | seen | after, median share of the second half |\n|---|---|---|---|"
    );
    for (i, (name, _)) in SICKNESSES.iter().enumerate() {
        let mut after: Vec<f64> = replays.iter().filter_map(|replay| replay.seen[i]).collect();
        after.sort_by(f64::total_cmp);
        let median = after.get(after.len() / 2).copied().unwrap_or(f64::NAN);
        println!("| {name} | {} | {} | {:.0} % |", replays.len(), after.len(), 100.0 * median);
    }
}

/// How many clean runs were called sick, once or more.
pub fn alarms(name: &str, left_out: &str, replays: &[Replay]) {
    let runs = |of: &dyn Fn(&Replay) -> usize| replays.iter().filter(|r| of(r) > 0).count();
    let names = |of: &dyn Fn(&Replay) -> usize| -> Vec<&str> {
        replays.iter().filter(|r| of(r) > 0).map(|r| r.id.as_str()).collect()
    };
    let updates: u64 = replays.iter().map(|r| r.updates).sum();
    let any = runs(&|r| r.band) + runs(&|r| r.rising) + runs(&|r| r.diverged);
    println!(
        "ALARMS | {name} | {left_out} | {} runs | {} looks | {updates} updates | {:.4} a thousand updates | leaves-band in {} | no-improvement in {} | diverged in {} | {:?} {:?} {:?}",
        replays.len(),
        replays.iter().map(|r| r.looks).sum::<usize>(),
        1e3 * any as f64 / updates.max(1) as f64,
        runs(&|r| r.band),
        runs(&|r| r.rising),
        runs(&|r| r.diverged),
        names(&|r| r.band),
        names(&|r| r.rising),
        names(&|r| r.diverged),
    );
}

/// Why intervals are too wide for a run whose siblings were fitted: they are made of errors on runs none of whose siblings were. The same runs with errors on
/// runs whose siblings were fitted, too.
#[test]
#[ignore = "minutes; reads public curves"]
fn intervals_from_groups_and_from_single_runs_left_out() {
    println!("| curves | runs | left out for the scores | inside | half-width |\n|---|---|---|---|---|");
    let mut sets = Vec::new();
    for (name, stride) in [("slimpajama-124m", 2), ("slimpajama-sizes", 1)] {
        sets.extend(load(name).map(|curves| (name.to_owned(), curves, stride)));
    }
    let language = atlas("language");
    for model in ["dense-0.1m-", "moe-8x0.03m-"] {
        let runs = those(&language, |curve| curve.meta().id.starts_with(model));
        sets.push((format!("language, {}", model.trim_end_matches('-')), runs, 10));
    }
    for (name, curves, stride) in sets {
        // Without the word of a trunk every run is a group of its own.
        let apart: Vec<Curve> = curves
            .iter()
            .map(|curve| {
                let meta = RunMeta { branch: None, ..curve.meta().clone() };
                curve.clone().with_meta(meta)
            })
            .collect();
        let mut inside = [0, 0];
        let mut half = [0.0, 0.0];
        let mut runs = 0;
        for run in curves.iter().step_by(stride) {
            let meta = run.meta();
            let trunk = meta.branch.as_ref().map(|branch| branch.trunk.as_str());
            let out: BTreeSet<&str> = [meta.id.as_str()].into_iter().chain(trunk).collect();
            let (last, measured) = run.last();
            let plan = run.schedule().truncate(Steps(last)).unwrap();
            let setting = Setting {
                params: meta.law_params(),
                tokens_per_step: meta.tokens_per_step,
                ..Setting::default()
            };
            runs += 1;
            for (i, curves) in [&curves, &apart].into_iter().enumerate() {
                let found = forecast(&fitted(curves, &out), &plan, &setting, &[last]).unwrap().r#final;
                inside[i] += usize::from((found.lower..=found.upper).contains(&measured));
                half[i] += 100.0 * (found.upper / found.value).ln();
            }
        }
        for (what, inside, half) in [("groups", inside[0], half[0]), ("single runs", inside[1], half[1])] {
            let n = f64::from(runs);
            println!(
                "| {name} | {runs} | {what} | {inside} ({:.0} %) | ±{:.2} % |",
                100.0 * inside as f64 / n,
                half / n
            );
        }
    }
}

/// The regret of starting when told, measured on runs that differ in their ratio alone.
#[test]
#[ignore = "minutes; reads public curves"]
fn the_regret_of_the_start_that_a_running_job_is_told() {
    let Some(curves) = load("slimpajama-124m") else { return };
    println!(
        "| peak rate | horizon | done | told to start | best start measured | regret, mnat | regret of now, mnat |\n|---|---|---|---|---|---|---|"
    );
    mean_regrets("slimpajama-124m", &regrets(&curves, 1));
}

/// Shares of a horizon at which a start is told.
pub const TOLD: [f64; 3] = [0.3, 0.5, 0.7];

/// By share: the regret of the start that was told and of starting at once, a pair for every `stride`-th cell. Prints a row for each.
pub fn regrets(curves: &[Curve], stride: usize) -> [Vec<(f64, f64)>; 3] {
    let mut regrets = [Vec::new(), Vec::new(), Vec::new()];
    for cell in measured_optima(curves).into_iter().step_by(stride) {
        let of_cell = |c: &Curve| {
            (c.schedule().peak_lr() / cell.peak_lr - 1.0).abs() < 1e-3 && c.schedule().total().0 == cell.total
        };
        let trunk = curves
            .iter()
            .filter(|c| {
                c.meta().branch.is_none() && (c.schedule().peak_lr() / cell.peak_lr - 1.0).abs() < 1e-3
            })
            .find(|c| c.schedule().lr(c.last().0) >= 0.98 * cell.peak_lr);
        let Some(trunk) = trunk else { continue };
        let out: BTreeSet<&str> = curves
            .iter()
            .filter(|c| of_cell(c) || c.meta().id == trunk.meta().id)
            .map(|c| c.meta().id.as_str())
            .collect();
        let fit = fitted(curves, &out);
        for (i, share) in TOLD.into_iter().enumerate() {
            let at = share * cell.total as f64;
            let Some(seen) = trunk.retain(|_, t, _| t as f64 <= at) else { continue };
            let Ok(live) = Live::new(&fit, &seen, &Setting::default()) else { continue };
            let starts = live.starts(cell.total, &StartOptions::default()).unwrap();
            // Only what is left can be chosen; only ratios between those measured can be judged.
            let (first, last) = (cell.points[0].0, cell.points[cell.points.len() - 1].0);
            let most = (1.0 - seen.last().0 as f64 / cell.total as f64).min(last);
            let best = cell.ratio.min(most);
            // Below the smallest ratio measured: between it and the trunk itself at the horizon, linear in √r.
            let held =
                trunk.step().iter().position(|t| *t == cell.total).map(|i| trunk.loss()[i] - cell.loss);
            let judged = |ratio: f64| {
                let regret = cell.regret(ratio.clamp(first, most));
                let regret = match held {
                    Some(held) if ratio < first => held + (ratio / first).sqrt() * (regret - held),
                    _ => regret,
                };
                // The trunk is one of those measured: where next to nothing should be annealed it is the best.
                regret - held.map_or(cell.regret(best), |held| held.min(cell.regret(best)))
            };
            let (regret, now) = (judged(starts.ratio), judged(most));
            println!(
                "| {:e} | {} | {:.0} % | {} | {:.0} | {:.1} | {:.1} |",
                cell.peak_lr,
                cell.total,
                100.0 * share,
                starts.start,
                cell.total as f64 * (1.0 - best),
                1e3 * regret,
                1e3 * now
            );
            regrets[i].push((regret, now));
        }
    }
    regrets
}

/// The means over cells.
pub fn mean_regrets(name: &str, regrets: &[Vec<(f64, f64)>; 3]) {
    for (share, regrets) in TOLD.iter().zip(regrets) {
        let n = regrets.len().max(1) as f64;
        let mean = regrets.iter().map(|(told, _)| told).sum::<f64>() / n;
        let now = regrets.iter().map(|(_, now)| now).sum::<f64>() / n;
        let most = regrets.iter().map(|(told, _)| *told).fold(0.0, f64::max);
        println!(
            "{name}, done {:.0} %: {} cells, regret {:.1} mnat on average, {:.1} at most; of now {:.1} on average",
            100.0 * share,
            regrets.len(),
            1e3 * mean,
            1e3 * most,
            1e3 * now
        );
    }
}
