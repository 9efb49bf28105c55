//! Training losses of single batches are judged in bins, with the scatter of their points beside it.

use crate::support::{gauss, random};
use lehr::fit::{FitOptions, Metrics, fit};
use lehr::law::NoiseRelaxation;
use lehr::validate::{LeaveOut, compare, measure_coverage, splits};
use lehr::{Curve, Law, LossKind, RunMeta, Schedule, Split, law};

/// Standard deviation of a batch's loss, nats.
const SCATTER: f64 = 0.04;

fn run(id: &str, schedule: &str, split: Split, seed: u64) -> Curve {
    let schedule: Schedule = schedule.parse().unwrap();
    let total = schedule.total().0;
    let step: Vec<u64> = (1..=2000).map(|i| i * total / 2000).collect();
    let mut rng = random(seed);
    let smooth = |t: u64| {
        let s = schedule.sum(lehr::Steps(t)) + 0.05;
        2.6 + 0.5 * s.powf(-0.4) + 40.0 * schedule.lr(t)
    };
    let loss = step.iter().map(|&t| smooth(t) + SCATTER * gauss(&mut rng)).collect();
    let meta = RunMeta { split, loss_kind: LossKind::Instant, ..RunMeta::named(id) };
    Curve::new(meta, schedule, step, loss).unwrap()
}

fn runs(split: Split) -> Vec<Curve> {
    [
        "constant:peak=1e-3,total=20000,warmup=200",
        "wsd:peak=1e-3,total=20000,warmup=200,ratio=0.2",
        "cosine:peak=1e-3,total=20000,warmup=200",
    ]
    .iter()
    .enumerate()
    .map(|(i, schedule)| run(&format!("run{i}"), schedule, split, i as u64))
    .collect()
}

#[test]
fn the_error_in_bins_is_far_below_the_scatter_and_the_raw_error_is_at_it() {
    let options = FitOptions { starts: 4, ..FitOptions::default() };
    let fitted = fit(&NoiseRelaxation, &runs(Split::Train), &options).unwrap();
    let Metrics { mape, binned: Some(binned), noise: Some(noise), .. } = fitted.metrics else {
        panic!("{:?}", fitted.metrics)
    };
    // Gauss noise of 40 mnat about losses near 3: 1.1 % on average.
    let expected = SCATTER * (2.0 / std::f64::consts::PI).sqrt() / 3.0;
    assert!((noise / expected - 1.0).abs() < 0.1, "{noise} against {expected}");
    assert!((mape / noise - 1.0).abs() < 0.1, "{mape} against {noise}");
    assert!(binned < noise / 4.0, "{binned} against {noise}");
    assert_eq!(fitted.metrics.judged(), binned);
    // Held-out losses are judged as they are.
    let of_validation = fit(&NoiseRelaxation, &runs(Split::Validation), &options).unwrap().metrics;
    assert!(of_validation.binned.is_none() && of_validation.judged() == of_validation.mape);
}

#[test]
fn laws_are_ranked_by_what_bins_say() {
    let curves = runs(Split::Train);
    let options = FitOptions { starts: 2, ..FitOptions::default() };
    let laws: Vec<&'static dyn Law> = vec![law::by_name("exponential-memory").unwrap(), &NoiseRelaxation];
    let ranked = compare(&laws, &curves, &splits(&curves, LeaveOut::Run).unwrap(), &options);
    let held_out = |i: usize| ranked[i].1.validation.as_ref().unwrap().test;
    assert!(held_out(0).judged() <= held_out(1).judged());
    assert!(held_out(0).binned.is_some());
}

#[test]
fn the_scatter_of_batches_is_no_error_of_the_law_and_no_part_of_an_interval() {
    let mut curves = runs(Split::Train);
    // A second run of one configuration: its last batch differs, the runs do not.
    curves.push(run("twin", "constant:peak=1e-3,total=20000,warmup=200", Split::Train, 9));
    let options = FitOptions { starts: 4, ..FitOptions::default() };
    let fitted = fit(&NoiseRelaxation, &curves, &options).unwrap();
    let codes: Vec<&str> = fitted.caveats.iter().map(|caveat| caveat.code()).collect();
    assert!(!codes.contains(&"poor-fit") && !codes.contains(&"same-configuration-differs"), "{codes:?}");
    // The interval is of the expected loss: narrower than the scatter of one batch alone would make it.
    let half = fitted.uncertainty.half_width(options.level);
    assert!(half < lehr::quantile::normal(options.level) * SCATTER / 3.0 / 1.5, "{half}");
    let found =
        measure_coverage(&NoiseRelaxation, &curves, &splits(&curves, LeaveOut::Run).unwrap(), &options)
            .unwrap();
    assert_eq!((found.finals, found.points), (4, 20), "the means of fifths are counted: {found:?}");
}
