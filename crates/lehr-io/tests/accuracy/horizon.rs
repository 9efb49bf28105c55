//! Horizons that were not fitted: slimpajama-124m and olmo-ladder.

use crate::support::{heading, held_out, levels, load, mean, named, params, those};
use lehr::fit::horizon::{SHARES, choose_start};
use lehr::fit::{Criterion, FitOptions, PointFit, evaluate, fit_point};
use lehr::names_run;

#[test]
#[ignore = "minutes; reads public curves"]
fn the_published_split() {
    heading("multi-power-law: cosine_24000, constant_24000, wsdcon_9 → the other six");
    for size in ["25M", "100M"] {
        let Some(all) = load(&format!("multi-power-law/{size}")) else { return };
        let fitted = |c: &lehr::Curve| {
            ["*cosine_24000", "*constant_24000", "*wsdcon_9"].iter().any(|p| names_run(p, &c.meta().id))
        };
        let (train, test) = (those(&all, fitted), those(&all, |c| !fitted(c)));
        let found = held_out(size, named("noise-relaxation"), &train, &test, &FitOptions::default());
        assert!(found.mape < 0.1, "{found:?}");
    }
}

#[test]
#[ignore = "minutes; reads public curves"]
fn other_ratios_and_horizons_at_one_size() {
    let Some(all) = load("slimpajama-124m") else { return };
    let law = named("noise-relaxation");
    heading("slimpajama-124m");
    for (name, options) in [
        ("defaults", FitOptions::default()),
        ("y free", FitOptions { freed: vec!["y".into()], ..FitOptions::default() }),
        // Two tries at the rest: a sharper criterion, and no point before 8 % of the shortest horizon.
        (
            "δ = 3e-4",
            FitOptions {
                criterion: Criterion::Huber { delta: lehr::HuberDelta::new(3e-4).unwrap() },
                ..FitOptions::default()
            },
        ),
        ("from update 1200", FitOptions { first_update: 1200, ..FitOptions::default() }),
    ] {
        let fitted = |c: &lehr::Curve| {
            ["trunk*", "*-r0.2-linear*"].iter().any(|pattern| names_run(pattern, &c.meta().id))
        };
        let (train, test) = (those(&all, fitted), those(&all, |c| !fitted(c)));
        held_out(&format!("constant and r = 0.2 → rest, {name}"), law, &train, &test, &options);
        let short = |c: &lehr::Curve| c.meta().id.contains("trunk") || c.schedule().total().0 <= 15_000;
        let train = those(&all, short);
        let test = those(&all, |c| !short(c) && c.meta().id.contains("wsd"));
        held_out(&format!("T = 15k and trunks → 25k, {name}"), law, &train, &test, &options);
    }
}

/// The multiple of 20 tokens a parameter that a run of the ladder was trained for.
fn multiple(curve: &lehr::Curve) -> f64 {
    let name = curve.meta().id.rsplit('/').next().unwrap().to_owned();
    name.split('-').find_map(|part| part.strip_suffix("xC")).unwrap().parse().unwrap()
}

#[test]
#[ignore = "minutes; reads public curves"]
fn ten_times_the_horizon_at_one_size() {
    let Some(all) = load("olmo-ladder") else { return };
    for n in levels(&all, params) {
        let of_size = those(&all, |c| params(c) == n);
        let train = those(&of_size, |c| multiple(c) <= 2.0);
        let test = those(&of_size, |c| multiple(c) > 2.0);
        heading(&format!("olmo-ladder, N = {n}: 0.5–2× → 5× and 10×"));
        held_out("finals", named("chinchilla-steps"), &train, &test, &FitOptions::default());
        let law = named("noise-relaxation");
        for share in SHARES {
            let options = FitOptions { first_share: share, ..FitOptions::default() };
            held_out(&format!("from {share} of each run"), law, &train, &test, &options);
        }
        let choice = choose_start(law, &train, &FitOptions::default()).unwrap().unwrap();
        println!("{choice:.4?}");
        let chosen = FitOptions { choose_first_share: true, ..FitOptions::default() };
        held_out("chosen within the training runs", law, &train, &test, &chosen);
        // Two tries: a law whose early part is free, and the mean of both laws' forecasts.
        let early = FitOptions { freed: vec!["s0".into()], ..FitOptions::default() };
        held_out("s0 free, all points", law, &train, &test, &early);
        let steps = named("chinchilla-steps");
        let options = FitOptions::default();
        let (one, other) =
            (fit_point(law, &train, &chosen).unwrap(), fit_point(steps, &train, &options).unwrap());
        let errors: Vec<f64> = test
            .iter()
            .map(|curve| {
                let end = |law, point: &PointFit| {
                    evaluate(law, &point.theta, curve, &point.data.definition, &options).1
                };
                50.0 * (end(law, &one) + end(steps, &other))
            })
            .collect();
        println!(
            "| mean of both forecasts | | {} → {} | | {:.3} % | {:+.3} % | | |",
            train.len(),
            test.len(),
            mean(errors.iter().map(|e| e.abs())),
            mean(errors.iter().copied())
        );
    }
}
