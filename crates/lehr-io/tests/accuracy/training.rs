//! Forecasts from training losses of single batches beside those from validation losses of the same runs.

use crate::support::{heading, load_split, mean, named, those};
use lehr::fit::{FitOptions, fit};
use lehr::forecast::{Setting, forecast};
use lehr::recommend::{RecommendOptions, Target, recommend_ratio};
use lehr::{Shape, Steps};
use lehr_io::SplitChoice;

#[test]
#[ignore = "a minute; reads public curves"]
fn training_and_validation_losses_forecast_the_same() {
    let (Some(validation), Some(training)) = (
        load_split("slimpajama-124m", SplitChoice::Validation),
        load_split("slimpajama-124m", SplitChoice::Train),
    ) else {
        return;
    };
    let short = |c: &lehr::Curve| c.meta().id.contains("trunk") || c.schedule().total().0 <= 15_000;
    let options = FitOptions::default();
    let of =
        |curves: &[lehr::Curve]| fit(named("noise-relaxation"), &those(curves, short), &options).unwrap();
    let (by_validation, by_training) = (of(&validation), of(&training));
    heading("slimpajama-124m, T = 15k and trunks → 25k");
    println!(
        "misfit of runs fitted: validation {:.3} %, training {:.3} % of bins (raw {:.2} %, noise {:.2} %)",
        100.0 * by_validation.metrics.judged(),
        100.0 * by_training.metrics.judged(),
        100.0 * by_training.metrics.mape,
        100.0 * by_training.metrics.noise.unwrap(),
    );
    println!("\n| run | validation | training | difference, mnat |\n|---|---|---|---|");
    let setting = Setting::default();
    let (mut differences, mut half_widths, mut half_of_validation) = (Vec::new(), Vec::new(), Vec::new());
    for curve in those(&validation, |c| !short(c) && c.meta().id.contains("wsd")) {
        let total = curve.schedule().total().0;
        let a = forecast(&by_validation, curve.schedule(), &setting, &[total]).unwrap().r#final;
        let b = forecast(&by_training, curve.schedule(), &setting, &[total]).unwrap().r#final;
        println!(
            "| {} | {:.4} ({:.4} … {:.4}) | {:.4} ({:.4} … {:.4}) | {:.1} |",
            curve.meta().id,
            a.value,
            a.lower,
            a.upper,
            b.value,
            b.lower,
            b.upper,
            1e3 * (b.value - a.value)
        );
        differences.push(b.value - a.value);
        half_widths.push(0.5 * (b.upper - b.lower));
        half_of_validation.push(0.5 * (a.upper - a.lower));
    }
    // The texts differ: the training losses lie higher by the same amount everywhere. That amount, measured on the second
    // half of the runs fitted:
    let mut offsets = Vec::new();
    for curve in those(&validation, short) {
        let Some(other) = training.iter().find(|c| c.meta().id == curve.meta().id) else { continue };
        let from = curve.last().0 / 2;
        let late = |c: &lehr::Curve| {
            let points = c.step().iter().zip(c.loss()).filter(|(t, _)| **t > from);
            mean(points.map(|(_, loss)| *loss))
        };
        offsets.push(late(other) - late(&curve));
    }
    let offset = mean(offsets.iter().copied());
    let inside = differences
        .iter()
        .zip(half_widths.iter().zip(&half_of_validation))
        .filter(|(difference, (a, b))| (*difference - offset).abs() <= a.hypot(**b))
        .count();
    println!(
        "\noffset of training losses on the runs fitted: {:.1} mnat; of the forecasts: {:.1} mnat; {inside} of {} differences, less the first, lie within both intervals",
        1e3 * offset,
        1e3 * mean(differences.iter().copied()),
        differences.len()
    );
    println!("\n| peak rate | best ratio by validation | by training |\n|---|---|---|");
    for peak_lr in [5e-4, 1e-3, 2e-3] {
        let target = Target {
            peak_lr,
            total: Steps(25_000),
            warmup: Steps(300),
            shape: Shape::Linear,
            final_lr: 0.0,
            setting: setting.clone(),
        };
        let best = |fit| {
            let found = recommend_ratio(fit, &target, &RecommendOptions::default()).unwrap();
            format!("{:.3} ({:.3} … {:.3})", found.ratio, found.interval.0, found.interval.1)
        };
        println!("| {peak_lr} | {} | {} |", best(&by_validation), best(&by_training));
    }
    assert!(inside as f64 >= 0.85 * differences.len() as f64, "{inside}");
}
