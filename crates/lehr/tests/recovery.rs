//! A fit finds the coefficients behind simulated curves that it did not generate (`fixtures/runs`).

use lehr::fit::{BeginSearch, FitOptions, evaluate, find_begin, fit, fit_point};
use lehr::forecast::Setting;
use lehr::recommend::{RecommendOptions, Target, recommend_ratio};
use lehr::{Curve, Params, RunMeta, Schedule, Shape, Steps, WsdSpec, law};
use std::collections::BTreeMap;

/// The simulated runs, their schedules rebuilt from what the manifest says.
fn curves() -> Vec<Curve> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/runs");
    let read = |name: &str| {
        std::fs::read_to_string(format!("{folder}/{name}")).expect("the fixture is part of the repository")
    };
    let mut points: BTreeMap<String, (Vec<u64>, Vec<f64>)> = BTreeMap::new();
    for line in read("curves.csv").lines().skip(1) {
        let cells: Vec<&str> = line.split(',').collect();
        let (step, loss) = points.entry(cells[0].to_owned()).or_default();
        step.push(cells[2].parse().expect("a step"));
        loss.push(cells[4].parse().expect("a loss"));
    }
    let manifest = read("manifest.csv");
    let mut lines = manifest.lines().map(|line| line.split(',').collect::<Vec<&str>>());
    let header = lines.next().expect("a header");
    let at = |name: &str| header.iter().position(|column| *column == name).expect("a column");
    lines
        .map(|cells| {
            let number = |name: &str| cells[at(name)].parse::<f64>().expect("a number");
            let id = cells[at("run_id")];
            let (total, warmup) = (number("total_steps") as u64, number("warmup_steps") as u64);
            let shape = if cells[at("shape")] == "cosine" { Shape::Cosine } else { Shape::Linear };
            let ratio = number("annealing_ratio");
            // A ratio of 1 stands for everything after the warm-up.
            let anneal = if ratio == 1.0 { total - warmup } else { (ratio * total as f64).round() as u64 };
            let wsd = WsdSpec {
                peak_lr: number("peak_lr"),
                total: Steps(total),
                warmup: Steps(warmup),
                anneal: Steps(anneal),
                shape,
                final_lr: number("final_lr"),
                ..WsdSpec::default()
            };
            let wsd = wsd.checked().expect("a schedule");
            let meta =
                RunMeta { params: Some(Params(number("params_non_embedding") as u64)), ..RunMeta::named(id) };
            let (step, loss) = points.remove(id).expect("every run has points");
            Curve::new(meta, Schedule::Wsd(wsd), step, loss).expect("a curve")
        })
        .collect()
}

fn noise_relaxation() -> &'static dyn law::Law {
    law::by_name("noise-relaxation").expect("the law exists")
}

/// Constant and r = 0.2 at both peaks, the short horizon: the cheap runs.
fn cheap(curves: &[Curve]) -> Vec<Curve> {
    let is_cheap = |id: &str| id.contains("-T10000-") && (id.ends_with("-constant") || id.ends_with("-r0.2"));
    curves.iter().filter(|curve| is_cheap(&curve.meta().id)).cloned().collect()
}

#[test]
fn the_coefficients_of_the_simulation_are_recovered() {
    let curves = curves();
    assert_eq!(curves.len(), 25);
    // Without priors: the data alone must speak.
    let free = ["e_c", "q", "delta", "p", "c"];
    let options =
        FitOptions { freed: free.iter().map(|&name| name.to_owned()).collect(), ..FitOptions::default() };
    let law = noise_relaxation();
    let found = fit_point(law, &curves, &options).expect("a fit");
    let value = |name: &str| {
        let at = law.coefficients().iter().position(|c| c.name == name).expect("a coefficient");
        found.theta[at]
    };
    // (name, truth, tolerance): run-to-run noise of 1 mnat moves the coefficients this much; twice what this seed does.
    let truth = [
        ("l0", 2.9, 0.02),
        ("a", 0.6, 0.02),
        ("alpha", 0.45, 0.01),
        ("b", 0.15, 0.015),
        ("kappa", 7.0, 0.6),
        ("s0", 0.1, 0.006),
        ("e_c", 0.8, 0.08),
        ("q", 0.5, 0.07),
        ("delta", -0.2, 0.06),
        ("p", 1.0, 0.06),
        ("c", 0.06, 0.006),
    ];
    for (name, wanted, tolerance) in truth {
        let got = value(name);
        assert!((got - wanted).abs() < tolerance, "{name}: fitted {got}, simulated {wanted}");
    }
}

#[test]
fn cheap_runs_forecast_the_long_ones_and_their_best_ratio() {
    let curves = curves();
    let training = cheap(&curves);
    assert_eq!(training.len(), 4);
    let law = noise_relaxation();
    let fit = fit(law, &training, &FitOptions::default()).expect("a fit");
    let theta: Vec<f64> = fit.coefficients.iter().map(|c| c.value).collect();
    let long: Vec<&Curve> = curves.iter().filter(|curve| curve.meta().id.contains("-T20000-")).collect();
    assert_eq!(long.len(), 12);
    for curve in long {
        let (metrics, end, _) = evaluate(law, &theta, curve, &fit.definition, &fit.options);
        // Run-to-run noise of 1 mnat is 0.03 % of the loss, in this run and in the four that were fitted; doubling the
        // horizon magnifies the latter.
        let id = &curve.meta().id;
        assert!(
            metrics.mape < 1e-3 && end.abs() < 2e-3,
            "{id}: mean error {}, at the end {end}",
            metrics.mape
        );
    }
    // The best ratios without noise, as `cargo xtask simulate-fixture --optima` prints them.
    for (peak_lr, best) in [(5e-4, 0.24), (2e-3, 0.50)] {
        let target = Target {
            peak_lr,
            total: Steps(20_000),
            warmup: Steps(300),
            shape: Shape::Linear,
            final_lr: 0.0,
            setting: Setting { params: Some(Params(18_874_368)), ..Setting::default() },
        };
        let found = recommend_ratio(&fit, &target, &RecommendOptions::default()).expect("a recommendation");
        assert!(
            (found.ratio - best).abs() < 0.05,
            "peak {peak_lr}: recommended {}, best {best}",
            found.ratio
        );
        assert!(
            found.plateau.0 < best && best < found.plateau.1,
            "peak {peak_lr}: plateau {:?}",
            found.plateau
        );
    }
}

/// The curves, with a slow start that no rate shows: the schedules begin at their peak, and the loss comes down late.
fn with_a_hidden_start(curves: &[Curve]) -> Vec<Curve> {
    curves
        .iter()
        .map(|curve| {
            let Schedule::Wsd(wsd) = curve.schedule() else { panic!("the simulated runs are WSD") };
            let hidden = WsdSpec { warmup: Steps(0), ..WsdSpec::from(wsd.clone()) };
            let loss = curve.step().iter().zip(curve.loss());
            let loss = loss.map(|(&t, loss)| loss + 0.8 * (-(t as f64) / 250.0).exp()).collect();
            let schedule = Schedule::Wsd(hidden.checked().expect("a schedule"));
            Curve::new(curve.meta().clone(), schedule, curve.step().to_vec(), loss).expect("a curve")
        })
        .collect()
}

#[test]
fn fitting_begins_where_errors_have_no_trend() {
    let law = noise_relaxation();
    let all = curves();
    let cheap = cheap(&all);
    let search = FitOptions { begin: BeginSearch::WithoutWarmup, starts: 4, ..FitOptions::default() };
    // Runs that show their warm-up: nothing is looked for.
    assert_eq!(find_begin(law, &cheap, &search).expect("fits"), None);
    let hidden = with_a_hidden_start(&cheap);
    // Nor does a rate that falls from its first update on show one, whose rate is a hair below the peak.
    let falling: Vec<Curve> =
        all.iter().filter(|curve| curve.meta().id.ends_with("-T10000-cosine")).cloned().collect();
    let falling = [hidden.clone(), with_a_hidden_start(&falling)].concat();
    assert!(find_begin(law, &falling, &search).expect("fits").is_some());
    let found = find_begin(law, &hidden, &search).expect("fits").expect("no run shows a warm-up");
    // After 1,500 updates 2 mnat of it are left, after 2,500 nothing.
    assert!((900..=2500).contains(&found.first_update), "{found:?}");
    assert!(found.before > 3.0 * found.after, "{found:?}");
    // The fit begins there, says so, and forecasts the other runs as well as one of the undisturbed runs from there does.
    let others: Vec<Curve> =
        all.iter().filter(|curve| !cheap.iter().any(|c| c.meta().id == curve.meta().id)).cloned().collect();
    let error = |curves: &[Curve], options: &FitOptions| {
        let point = fit_point(law, curves, options).expect("a fit");
        let of = |curve: &Curve| {
            evaluate(law, &point.theta, curve, &point.data.definition, &point.options).1.abs()
        };
        others.iter().map(of).sum::<f64>() / others.len() as f64
    };
    let plain = FitOptions { starts: 4, ..FitOptions::default() };
    let from_there = FitOptions { first_update: found.first_update, ..plain.clone() };
    let (clean, without, with) =
        (error(&cheap, &from_there), error(&hidden, &plain), error(&hidden, &search));
    println!(
        "mean error of last losses: undisturbed {clean:.2e}, from update 0 {without:.2e}, found {with:.2e}"
    );
    assert!(with < 1.5 * clean + 2e-4, "{with} against {clean}");
    assert!(without > 2.0 * with, "{without} against {with}");
    let fitted = fit(law, &hidden, &search).expect("a fit");
    assert_eq!(fitted.options.first_update, found.first_update);
    assert!(fitted.caveats.iter().any(|caveat| caveat.code() == "begin-found"), "{:?}", fitted.caveats);
}
