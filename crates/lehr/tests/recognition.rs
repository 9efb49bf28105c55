//! Schedules read back from logged rows: generated ones, and the public curves where they are present.

use lehr::schedule::{Family, RecogniseError, RecogniseOptions, Recognised, recognise};
use lehr::{Schedule, Shape, Steps, WsdSpec};
use proptest::prelude::*;

fn rows(schedule: &Schedule, stride: u64) -> Vec<(u64, f64)> {
    let rates = schedule.rates();
    let total = schedule.total().0;
    let mut steps: Vec<u64> = (1..=total / stride).map(|i| i * stride).collect();
    if steps.last() != Some(&total) {
        steps.push(total);
    }
    steps.into_iter().map(|t| (t, rates[t as usize - 1])).collect()
}

fn found(rows: &[(u64, f64)], options: &RecogniseOptions) -> Recognised {
    recognise(rows, options).unwrap_or_else(|error| panic!("{error}"))
}

fn read(text: &str) -> Schedule {
    text.parse().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn a_random_wsd_is_found_again_from_sparse_rows(
        peak in 1_u32..400, total in 1200_u64..6000, warmup in 60_u64..200, anneal in 0.08_f64..0.6,
        shape in prop_oneof![Just(Shape::Linear), Just(Shape::Cosine), Just(Shape::OneMinusSqrt), Just(Shape::Exponential), Just(Shape::Geometric)],
        stride in 1_u64..25, last in prop_oneof![Just(0.0), Just(0.1), Just(0.25)],
    ) {
        let peak_lr = f64::from(peak) * 1e-5;
        let last = if shape == Shape::Geometric && last == 0.0 { 0.1 } else { last };
        let anneal = Steps((anneal * total as f64) as u64);
        let truth = WsdSpec {
            peak_lr, total: Steps(total), warmup: Steps(warmup), anneal, shape,
            final_lr: (last * peak_lr * 1e9).round() / 1e9, ..WsdSpec::default()
        };
        let schedule = Schedule::Wsd(truth.clone().checked().unwrap());
        let options = RecogniseOptions { total: Some(Steps(total)), ..RecogniseOptions::default() };
        let result = found(&rows(&schedule, stride), &options);
        prop_assert!(result.exact, "{} -> {} ({:?})", schedule, result.schedule, result.residual);
        let Schedule::Wsd(wsd) = &result.schedule else { panic!("{} -> {}", schedule, result.schedule) };
        prop_assert_eq!((wsd.warmup, wsd.anneal, wsd.total, wsd.shape), (truth.warmup, truth.anneal, truth.total, truth.shape));
        prop_assert!((wsd.final_lr - truth.final_lr).abs() <= 1e-9 * peak_lr);
        prop_assert!((wsd.peak_lr - truth.peak_lr).abs() <= 1e-12 * peak_lr);
    }

    #[test]
    fn any_ascending_rows_give_a_schedule_that_passes_near_them(
        gaps in proptest::collection::vec((1_u64..40, 0.0..1.0), 1..40),
    ) {
        let mut step = 0;
        let rows: Vec<(u64, f64)> = gaps.iter().map(|&(gap, rate)| { step += gap; (step, rate) }).collect();
        match recognise(&rows, &RecogniseOptions::default()) {
            Ok(result) => {
                prop_assert!(result.schedule.total().0 >= step);
                prop_assert!(result.residual.max <= 1e-3 + 1e-9, "{:?} {}", result.residual, result.schedule);
            }
            Err(error) => prop_assert_eq!(error, RecogniseError::AllZero),
        }
    }
}

#[test]
fn every_family_is_found_again() {
    for (text, family) in [
        ("constant:peak=3e-4,total=5000,warmup=500", Family::Constant),
        ("cosine:peak=3e-4,total=5000,warmup=500,final=3e-5", Family::Cosine),
        ("linear:peak=3e-4,total=5000,warmup=500,final=0", Family::LinearToZero),
        ("wsd:peak=3e-4,total=5000,warmup=500,ratio=0.2,shape=1-sqrt,final=0", Family::Wsd),
        ("wsd:peak=3e-4,total=5000,warmup=500,ratio=0.2,shape=power:3,final=0", Family::Wsd),
        ("wsd:peak=3e-4,total=5000,warmup=500,ratio=0.2,shape=inverse,final=3e-5", Family::Wsd),
        ("wsd:peak=3e-4,total=5000,warmup=500,ratio=0.2,shape=linear,final=0,start=3e-6", Family::Wsd),
        ("wsd-s:peak=3e-4,warmup=500,cycles=1500+500/2000+500,rerise=100,final=3e-5", Family::WsdS),
    ] {
        for stride in [1, 20, 50] {
            let truth = read(text);
            let result = found(&rows(&truth, stride), &RecogniseOptions::default());
            assert_eq!(
                result.family, family,
                "{text} every {stride}: {} {:?}",
                result.schedule, result.notes
            );
            assert!(result.exact, "{text} every {stride}: {} {:?}", result.schedule, result.residual);
            assert_eq!(result.schedule.to_string(), truth.to_string(), "every {stride}");
        }
    }
}

#[test]
fn a_jump_between_rows_is_taken_at_the_later_one() {
    let truth = read("two-stage:peak=3e-4,drop=0.9e-4,at=2999,total=5000,warmup=500");
    let result = found(&rows(&truth, 100), &RecogniseOptions::default());
    assert_eq!((result.schedule, result.family), (truth, Family::TwoStage));
    let truth = read("multi-stage:rates=3e-4/1e-4/5e-5,ends=1999/2999,total=5000,warmup=500");
    let result = found(&rows(&truth, 100), &RecogniseOptions::default());
    assert_eq!((result.schedule, result.family), (truth, Family::MultiStage));
}

#[test]
fn a_floor_after_the_fall_is_kept() {
    let truth = read("piecewise:500@0..3e-4,3000@3e-4,1000@3e-4..3e-5~cosine,500@3e-5");
    let result = found(&rows(&truth, 50), &RecogniseOptions::default());
    assert!(result.exact, "{} {:?}", result.schedule, result.residual);
    assert_eq!(result.schedule.to_string(), truth.to_string());
}

#[test]
fn rounded_rates_are_recognised_within_their_rounding() {
    let truth = read("wsd:peak=3e-4,total=5000,warmup=500,ratio=0.2,shape=cosine,final=3e-5");
    let single: Vec<_> = rows(&truth, 50).into_iter().map(|(t, y)| (t, f64::from(y as f32))).collect();
    let result = found(&single, &RecogniseOptions::default());
    assert!(result.exact && (result.tolerance - 1.2e-7).abs() < 1e-9, "{result:?}");
    assert_eq!(result.schedule, truth);
    let few: Vec<_> =
        rows(&truth, 50).into_iter().map(|(t, y)| (t, format!("{y:.3e}").parse().unwrap())).collect();
    let result = found(&few, &RecogniseOptions { total: Some(Steps(5000)), ..RecogniseOptions::default() });
    assert!(result.exact, "{result:?}");
    let Schedule::Wsd(wsd) = &result.schedule else { panic!("{}", result.schedule) };
    assert_eq!((wsd.warmup, wsd.anneal, wsd.shape), (Steps(500), Steps(1000), Shape::Cosine));
}

#[test]
fn a_log_that_counts_from_0_is_noticed() {
    let truth = read("wsd:peak=3e-4,total=5000,warmup=500,ratio=0.2,shape=linear,final=0");
    let rates = truth.rates();
    for first in [0, 10] {
        let shifted: Vec<_> = (first / 10..500).map(|i| (10 * i, rates[10 * i as usize])).collect();
        let result = found(&shifted, &RecogniseOptions::default());
        assert_eq!(result.offset, 1, "{:?}", result.notes);
        let Schedule::Wsd(wsd) = &result.schedule else { panic!("{}", result.schedule) };
        assert_eq!((wsd.warmup, wsd.anneal_start()), (Steps(500), Steps(4000)), "{}", result.schedule);
        assert_eq!(result.schedule, truth);
    }
}

#[test]
fn a_warm_up_that_starts_with_a_rate_of_0_is_kept() {
    // lr(t) = peak·(t − 1)/W, as several trainers have it.
    let truth = read("piecewise:1@0,500@0..3e-4,3499@3e-4,1000@3e-4..0");
    let result = found(&rows(&truth, 10), &RecogniseOptions::default());
    assert!(result.exact, "{} {:?}", result.schedule, result.residual);
    assert_eq!(result.schedule.lr(1), 0.0);
}

#[test]
fn branch_rows_take_their_past_from_what_is_stated() {
    let truth = read("wsd:peak=5e-4,total=15000,warmup=300,ratio=0.2,shape=linear,final=0,start=5e-6");
    let branch: Vec<_> = rows(&truth, 50).into_iter().filter(|row| row.0 > 12_000).collect();
    let stated = RecogniseOptions {
        warmup: Some(Steps(300)),
        warmup_lr: Some(5e-6),
        peak_lr: Some(5e-4),
        ..RecogniseOptions::default()
    };
    let result = found(&branch, &stated);
    assert!(result.exact && result.warmup_known, "{} {:?}", result.schedule, result.residual);
    assert_eq!((result.schedule, result.known_from), (truth, Steps(12_050)));
    assert!(!found(&branch, &RecogniseOptions::default()).warmup_known);
}

#[test]
fn bad_rows_are_refused_with_their_numbers() {
    let options = RecogniseOptions::default();
    assert_eq!(recognise(&[], &options), Err(RecogniseError::Empty));
    assert_eq!(recognise(&[(5, 1.0), (5, 1.0)], &options), Err(RecogniseError::Order { step: 5, next: 5 }));
    assert_eq!(recognise(&[(5, -1.0)], &options), Err(RecogniseError::Rate { step: 5, value: -1.0 }));
    assert_eq!(recognise(&[(5, 0.0)], &options), Err(RecogniseError::AllZero));
    let stated = RecogniseOptions { total: Some(Steps(4)), ..RecogniseOptions::default() };
    assert_eq!(recognise(&[(5, 1.0)], &stated), Err(RecogniseError::BeyondTotal { total: 4, last: 5 }));
    let shifted = RecogniseOptions { offset: Some(-5), ..RecogniseOptions::default() };
    assert_eq!(recognise(&[(5, 1.0)], &shifted), Err(RecogniseError::BeforeFirst { step: 5, offset: -5 }));
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the test reads public curves that are no part of the project")]
fn the_public_multi_power_law_schedules_are_recognised() {
    let root =
        std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/curves/multi-power-law"));
    if !root.exists() {
        println!("skipped: {} is absent", root.display());
        return;
    }
    let expected = [
        ("constant_24000", 24000, Family::Constant, "constant:peak=3e-4,total=24000,warmup=2160"),
        ("constant_72000", 72000, Family::Constant, "constant:peak=3e-4,total=72000,warmup=2160"),
        ("cosine_24000", 24000, Family::Cosine, "cosine:peak=3e-4,total=24000,warmup=2160,final=3e-5"),
        ("cosine_72000", 72000, Family::Cosine, "cosine:peak=3e-4,total=72000,warmup=2160,final=3e-5"),
        (
            "wsd_20000_24000",
            24000,
            Family::Wsd,
            "wsd:peak=3e-4,total=24000,warmup=2160,anneal=4000,shape=geometric,final=3e-5",
        ),
        (
            "wsdld_20000_24000",
            24000,
            Family::Wsd,
            "wsd:peak=3e-4,total=24000,warmup=2160,anneal=4000,shape=linear,final=3e-5",
        ),
        ("wsdcon_3", 16000, Family::TwoStage, "3e-5"),
        ("wsdcon_9", 16000, Family::TwoStage, "9e-5"),
        ("wsdcon_18", 16000, Family::TwoStage, "1.8e-4"),
    ];
    for size in ["25M", "100M"] {
        for (name, total, family, text) in expected {
            let file = std::fs::read_to_string(root.join(size).join(format!("{name}.csv"))).unwrap();
            let logged: Vec<(u64, f64)> = file
                .lines()
                .skip(1)
                .map(|line| {
                    let mut cells = line.split(',');
                    (cells.next().unwrap().parse().unwrap(), cells.next().unwrap().parse().unwrap())
                })
                .collect();
            for total in [None, Some(Steps(total))] {
                let options =
                    RecogniseOptions { warmup: Some(Steps(2160)), total, ..RecogniseOptions::default() };
                let result = found(&logged, &options);
                println!("{size}/{name} {total:?}: {} max {:.1e}", result.schedule, result.residual.max);
                assert_eq!(result.family, family, "{size}/{name}: {} {:?}", result.schedule, result.notes);
                assert!(
                    result.residual.max < 1e-9,
                    "{size}/{name}: {} {:?}",
                    result.schedule,
                    result.residual
                );
                // A constant rate shows no horizon of its own.
                if total.is_some() || !matches!(family, Family::Constant | Family::TwoStage) {
                    assert!(result.schedule.to_string().contains(text), "{size}/{name}: {}", result.schedule);
                }
            }
        }
    }
}

#[test]
fn round_numbers_are_not_taken_for_coarse_rounding() {
    let truth: Schedule =
        "wsd:peak=1e-3,total=1000,warmup=100,anneal=200,shape=linear,final=0".parse().unwrap();
    let rows: Vec<(u64, f64)> = (1..=100).map(|k| (10 * k, (truth.lr(10 * k) * 1e9).round() / 1e9)).collect();
    let found = recognise(&rows, &RecogniseOptions::default()).unwrap();
    assert_eq!(found.schedule, truth, "{:?}", found.notes);
}

#[test]
fn a_warm_up_logged_with_nine_digits_begins_at_zero_and_not_one_update_late() {
    for (text, rows) in [
        ("constant:peak=2e-3,total=20000,warmup=300", 90),
        ("wsd:peak=2e-3,total=10000,warmup=300,anneal=2000,shape=linear,final=0", 100),
    ] {
        let truth: Schedule = text.parse().unwrap();
        let logged = |t: u64| format!("{:.8e}", truth.lr(t)).parse::<f64>().unwrap();
        let rows: Vec<(u64, f64)> = (1..=rows).map(|k| (100 * k, logged(100 * k))).collect();
        let found = recognise(&rows, &RecogniseOptions::default()).unwrap();
        assert_eq!(found.family, truth.family(), "{found:?}");
        assert_eq!(found.schedule.lr(1), truth.lr(1), "{found:?}");
        assert!(found.notes.iter().all(|note| !note.contains("rate of 0")), "{found:?}");
    }
}
