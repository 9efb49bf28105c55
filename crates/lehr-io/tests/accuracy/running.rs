//! The forecast of a running job, with and without the correction by what it shows, on runs that the fit did not see.

use crate::support::{load, named};
use lehr::fit::{FitOptions, fit};
use lehr::forecast::Setting;
use lehr::live::Live;
use lehr::{Curve, Steps};
use std::collections::BTreeSet;

/// One forecast of a final loss: relative errors and half-widths, without and with the correction.
#[derive(Debug, Clone, Copy)]
struct Judged {
    law: f64,
    law_half: f64,
    corrected: f64,
    half: f64,
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

fn judge(curves: &[Curve], out: &BTreeSet<&str>, run: &Curve, shares: &[f64]) -> Vec<Option<Judged>> {
    let train: Vec<Curve> = curves.iter().filter(|c| !out.contains(c.meta().id.as_str())).cloned().collect();
    let options = FitOptions { starts: 3, ..FitOptions::default() };
    let fit = fit(named("noise-relaxation"), &train, &options).unwrap();
    let job = whole(curves, run);
    let (last, measured) = job.last();
    let plan = job.schedule().truncate(Steps(last)).unwrap();
    shares
        .iter()
        .map(|&share| {
            let seen = until(&job, share)?;
            let live = Live::new(&fit, &seen, &Setting::default()).ok()?;
            let found = live.forecast(&plan, &[last]).unwrap();
            let corrected = found.forecast.r#final;
            Some(Judged {
                law: (found.law.value / measured).ln(),
                law_half: (found.law.upper / found.law.value).ln(),
                corrected: (corrected.value / measured).ln(),
                half: (corrected.upper / corrected.value).ln(),
                share: found.carry.share,
                loss: measured,
            })
        })
        .collect()
}

fn row(name: &str, left_out: &str, share: f64, judged: &[Judged]) {
    let n = judged.len().max(1) as f64;
    let mean = |value: &dyn Fn(&Judged) -> f64| judged.iter().map(value).sum::<f64>() / n;
    let rms = |value: &dyn Fn(&Judged) -> f64| mean(&|j| value(j).powi(2)).sqrt();
    let inside = |error: &dyn Fn(&Judged) -> f64, half: &dyn Fn(&Judged) -> f64| {
        judged.iter().filter(|j| error(j).abs() <= half(j)).count()
    };
    println!(
        "| {name} | {left_out} | {:.0} % | {} | {:.1} / {:.1} | {:.1} / {:.1} | {:.2} | {} ({:.0} %) | {} ({:.0} %) | ±{:.2} / ±{:.2} % |",
        100.0 * share,
        judged.len(),
        1e3 * mean(&|j| j.law.abs() * j.loss),
        1e3 * mean(&|j| j.corrected.abs() * j.loss),
        1e3 * rms(&|j| j.law * j.loss),
        1e3 * rms(&|j| j.corrected * j.loss),
        mean(&|j| j.share),
        inside(&|j| j.law, &|j| j.law_half),
        100.0 * inside(&|j| j.law, &|j| j.law_half) as f64 / n,
        inside(&|j| j.corrected, &|j| j.half),
        100.0 * inside(&|j| j.corrected, &|j| j.half) as f64 / n,
        100.0 * mean(&|j| j.law_half),
        100.0 * mean(&|j| j.half),
    );
}

#[test]
#[ignore = "minutes; reads public curves"]
fn the_correction_by_a_running_job() {
    let shares = [0.4, 0.6, 0.8];
    println!(
        "| curves | left out | done | runs | mean error, law / corrected, mnat | rms, mnat | carried | inside, law | inside, corrected | half-width |\n|---|---|---|---|---|---|---|---|---|---|"
    );
    let mut all: Vec<Vec<Judged>> = vec![Vec::new(); shares.len()];
    for name in
        ["multi-power-law/25M", "multi-power-law/100M", "slimpajama-124m", "slimpajama-sizes", "olmo-ladder"]
    {
        let Some(curves) = load(name) else { continue };
        let branched = curves.iter().any(|curve| curve.meta().branch.is_some());
        for by_rate in if branched { vec![false, true] } else { vec![false] } {
            let judged: Vec<Vec<Option<Judged>>> = curves
                .iter()
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
                    judge(&curves, &out, run, &shares)
                })
                .collect();
            let left_out = if by_rate { "its peak rate" } else { "the run and its trunk" };
            for (i, share) in shares.iter().enumerate() {
                let found: Vec<Judged> = judged.iter().filter_map(|run| run[i]).collect();
                row(name, left_out, *share, &found);
                all[i].extend(found);
            }
        }
    }
    for (share, judged) in shares.iter().zip(&all) {
        row("**all**", "", *share, judged);
    }
}
