//! The Rust side of `cargo xtask bench-scipy`: fits and features timed on public curves, printed as JSON.

use lehr::features::{AsmtDefinition, Momentum};
use lehr::fit::{Dataset, FitOptions, Objective, Plan, Scratch, fit_point, solver, starts};
use lehr::law::{self, Law, Scale};
use lehr::schedule::Sampled;
use lehr::{Curve, FeatureDefinition, Params, RunFeatures, RunMeta, Schedule};
use serde_json::{Value, json};
use std::io;
use std::path::Path;
use std::time::Instant;

/// Updates of warm-up in the public curves, which begin after it.
const WARMUP: usize = 2160;

/// Runs one measurement and prints its result.
pub fn side(arguments: &[&str]) -> io::Result<()> {
    let wrong = || io::Error::other("expected: fit LAW FOLDER RUN… | objective LAW FOLDER RUN… | features");
    let value = match arguments {
        ["fit", law, folder, runs @ ..] => fit(find(law)?, &curves(Path::new(folder), runs)?)?,
        ["objective", law, folder, runs @ ..] => objective(find(law)?, &curves(Path::new(folder), runs)?)?,
        ["features"] => features(),
        _ => return Err(wrong()),
    };
    println!("{value}");
    Ok(())
}

fn find(name: &str) -> io::Result<&'static dyn Law> {
    law::by_name(name).ok_or_else(|| io::Error::other(format!("no law '{name}'")))
}

/// `25M/cosine_24000` and so on; the rate is linear between logged rows and from 0 over the warm-up.
fn curves(folder: &Path, runs: &[&str]) -> io::Result<Vec<Curve>> {
    let mut curves = Vec::new();
    for run in runs {
        let text = std::fs::read_to_string(folder.join(format!("{run}.csv")))?;
        let rows: Vec<[f64; 3]> = text
            .lines()
            .skip(1)
            .map(|line| {
                let cell = |i: usize| line.split(',').nth(i).and_then(|c| c.parse().ok()).unwrap_or(f64::NAN);
                [cell(0), cell(1), cell(2)]
            })
            .collect();
        let mut rates: Vec<f64> = (1..=WARMUP).map(|t| rows[0][1] * t as f64 / WARMUP as f64).collect();
        let (mut step, mut rate) = (WARMUP as f64, rows[0][1]);
        for [to, lr, _] in &rows {
            for t in rates.len() + 1..=*to as usize {
                rates.push(rate + (lr - rate) * (t as f64 - step) / (to - step));
            }
            (step, rate) = (*to, *lr);
        }
        let size = if run.starts_with("25M") { 25_000_000 } else { 100_000_000 };
        let mut meta = RunMeta::named(*run);
        meta.params = Some(Params(size));
        let sampled = Sampled::new(rates).map_err(io::Error::other)?;
        let steps = rows.iter().map(|row| row[0] as u64).collect();
        let losses = rows.iter().map(|row| row[2]).collect();
        curves.push(Curve::new(meta, Schedule::Sampled(sampled), steps, losses).map_err(io::Error::other)?);
    }
    Ok(curves)
}

/// Least and median seconds of `run`, repeated for about `budget` seconds.
pub fn seconds(budget: f64, mut run: impl FnMut()) -> (f64, f64) {
    let begun = Instant::now();
    let mut each = Vec::new();
    while each.len() < 5 || (begun.elapsed().as_secs_f64() < budget && each.len() < 100_000) {
        let start = Instant::now();
        run();
        each.push(start.elapsed().as_secs_f64());
    }
    each.sort_by(f64::total_cmp);
    (each[0], each[each.len() / 2])
}

fn fit(law: &dyn Law, curves: &[Curve]) -> io::Result<Value> {
    let options = FitOptions { starts: 1, ..FitOptions::default() };
    let data = Dataset::new(law, curves, &options);
    let plan = Plan::new(law, &data, &options).map_err(io::Error::other)?;
    let objective = Objective::new(law, &data, &plan, &options);
    let start = starts::starts(law, &data, &plan, 1, 0).remove(0);
    let mut scratch = Scratch::default();
    let at_start = objective.value(&start, None, &mut scratch);
    let outcome = solver::lbfgsb(&objective, &start, 1000, &mut scratch);
    let (least, median) = seconds(1.0, || {
        std::hint::black_box(solver::lbfgsb(&objective, &start, 1000, &mut scratch));
    });
    let newton = solver::gauss_newton(&objective, &start, 1000, &mut scratch);
    let (newton_seconds, _) = seconds(1.0, || {
        std::hint::black_box(solver::gauss_newton(&objective, &start, 1000, &mut scratch));
    });
    let mut gradient = vec![0.0; start.len()];
    let (evaluation, _) = seconds(1.0, || {
        std::hint::black_box(objective.value(&start, Some(&mut gradient), &mut scratch));
    });
    let (whole, _) = seconds(1.0, || {
        std::hint::black_box(fit_point(law, curves, &options).ok());
    });
    let finished = fit_point(law, curves, &options).map_err(io::Error::other)?;
    let logs: Vec<bool> = plan.scale.iter().map(|s| *s == Scale::Log).collect();
    let points: Vec<Value> = data
        .runs
        .iter()
        .map(|run| json!({"id": run.id, "n8": run.features.n8, "step": run.step, "loss": run.loss}))
        .collect();
    Ok(json!({
        "law": law.name(),
        "coefficients": law.coefficients().iter().map(|c| c.name).collect::<Vec<_>>(),
        "theta": plan.theta,
        "free": plan.free,
        "log": logs,
        "lower": plan.lower,
        "upper": plan.upper,
        "start": start,
        "points": points,
        "objective_at_start": at_start,
        "objective": outcome.value,
        "evaluations": outcome.evaluations,
        "seconds": least,
        "seconds_median": median,
        "seconds_evaluation": evaluation,
        "seconds_newton": newton_seconds,
        "objective_newton": newton.value,
        "evaluations_newton": newton.evaluations,
        "seconds_fit_point": whole,
        "objective_fit_point": finished.solution.objective,
    }))
}

fn objective(law: &dyn Law, curves: &[Curve]) -> io::Result<Value> {
    let options = FitOptions::default();
    let data = Dataset::new(law, curves, &options);
    let plan = Plan::new(law, &data, &options).map_err(io::Error::other)?;
    let objective = Objective::new(law, &data, &plan, &options);
    let z = starts::starts(law, &data, &plan, 1, 0).remove(0);
    let mut scratch = Scratch::default();
    let mut gradient = vec![0.0; z.len()];
    let (least, median) = seconds(1.0, || {
        std::hint::black_box(objective.value(&z, Some(&mut gradient), &mut scratch));
    });
    let intervals: usize = data.runs.iter().map(|run| run.features.nodes.len()).sum();
    Ok(json!({
        "law": law.name(), "runs": curves.len(), "points": data.observations(), "intervals": intervals,
        "free": plan.free.len(), "seconds": least, "seconds_median": median,
    }))
}

/// S and M at every update of a schedule of 100,000 updates, and all features at 1000 points.
fn features() -> Value {
    let total = 100_000_usize;
    let rates: Vec<f64> = (1..=total)
        .map(|t| {
            let t = t as f64;
            if t <= 2000.0 {
                1e-3 * t / 2000.0
            } else if t <= 80_000.0 {
                1e-3
            } else {
                1e-3 * (100_000.0 - t) / 20_000.0
            }
        })
        .collect();
    let steps: Vec<f64> = (1..=total).map(|t| t as f64).collect();
    let (momentum, _) = seconds(1.0, || {
        std::hint::black_box(lehr::features::asmt(&steps, &rates, &AsmtDefinition::default()));
    });
    let points: Vec<u64> = (1..=1000).map(|i| i * 100).collect();
    let definition = FeatureDefinition {
        momentum: Momentum::Dense { stride: 1, warmup: true },
        ..FeatureDefinition::default()
    };
    let (all, _) = seconds(1.0, || {
        std::hint::black_box(RunFeatures::from_rates(&rates, 0.0, &points, None, None, &definition));
    });
    let run = RunFeatures::from_rates(&rates, 0.0, &points, None, None, &definition);
    json!({
        "seconds_momentum": momentum,
        "seconds_all": all,
        "final_forward_effect": run.forward_effect.last(),
        "final_momentum": run.momentum.last(),
    })
}
