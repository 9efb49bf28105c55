//! Recognition under the conventions and the accidents of real logs: rounding, shifts by one update, stray rows, numbers
//! that no one trains with.

use lehr::schedule::{Family, RecogniseError, RecogniseOptions, Recognised, recognise};
use lehr::{Schedule, Shape, Steps};
use proptest::prelude::*;
use std::time::{Duration, Instant};

fn read(text: &str) -> Schedule {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn found(rows: &[(u64, f64)], options: &RecogniseOptions) -> Recognised {
    recognise(rows, options).unwrap_or_else(|error| panic!("{error}"))
}

fn plain() -> RecogniseOptions {
    RecogniseOptions::default()
}

/// The rate as a log prints it, with so many digits behind the first.
fn printed(rate: f64, digits: usize) -> f64 {
    format!("{rate:.digits$e}").parse().unwrap()
}

#[test]
fn cosines_printed_with_four_and_five_digits_are_found() {
    for (text, digits, ratio) in [
        ("cosine:peak=3e-4,total=20000,warmup=1000,final=0", 3, 0.95),
        ("cosine:peak=3e-4,total=20000,warmup=1000,final=3e-5", 4, 0.95),
        ("cosine:peak=3e-4,total=20000,warmup=1000,final=3e-5", 5, 0.95),
        ("wsd:peak=3e-4,total=20000,warmup=1000,anneal=4000,shape=cosine,final=3e-5", 3, 0.2),
    ] {
        let truth = read(text);
        let rows: Vec<_> = (1..=2000).map(|k| (10 * k, printed(truth.lr(10 * k), digits))).collect();
        let result = found(&rows, &plain());
        assert_eq!(result.schedule.to_string(), truth.to_string(), "{digits}: {:?}", result.notes);
        assert!(result.exact, "{text} {digits}: {:?}", result.residual);
        assert_eq!((result.schedule.ratio(), result.schedule.warmup()), (Some(ratio), Some(Steps(1000))));
    }
}

#[test]
fn a_trainer_that_logs_the_rate_of_the_next_update_is_noticed() {
    // As Megatron-LM prints them: after update s the rate of update s + 1, and that of T + 1 is the final one.
    let truth = read("wsd:peak=1e-3,total=1000,warmup=100,ratio=0.2");
    for stride in [1, 10] {
        let rows: Vec<_> = (1..=1000 / stride)
            .map(|k| (k * stride, printed(truth.lr((k * stride + 1).min(1000)), 6)))
            .collect();
        for total in [None, Some(Steps(1000))] {
            let result = found(&rows, &RecogniseOptions { total, ..plain() });
            assert_eq!(result.schedule, truth, "every {stride}, {total:?}: {:?}", result.notes);
            assert_eq!((result.offset, result.exact), (1, true), "every {stride}: {:?}", result.residual);
        }
    }
}

#[test]
fn a_trainer_that_uses_the_rate_of_the_update_before_keeps_its_family() {
    for text in [
        "wsd:peak=1e-3,total=1000,warmup=100,ratio=0.2,late=1,unreached=1",
        "cosine:peak=1e-3,total=1000,warmup=100,late=1,unreached=1",
        "constant:peak=1e-3,total=1000,warmup=100,late=1",
    ] {
        let truth = read(text);
        for stride in [1, 10] {
            let rows: Vec<_> = (1..=1000 / stride).map(|k| (k * stride, truth.lr(k * stride))).collect();
            let result = found(&rows, &plain());
            assert_eq!(result.schedule, truth, "every {stride}: {:?}", result.notes);
            assert_eq!(result.schedule.warmup(), Some(Steps(100)));
            assert!(result.exact, "{:?}", result.residual);
        }
    }
}

#[test]
fn steps_that_are_one_less_than_their_stride_count_from_0() {
    let truth = read("wsd:peak=1e-3,total=2000,warmup=100,ratio=0.2");
    let rows: Vec<_> = (1..=40).map(|k| (50 * k - 1, truth.lr(50 * k))).collect();
    let result = found(&rows, &plain());
    assert_eq!((result.schedule, result.offset), (truth, 1));
}

#[test]
fn a_cosine_with_a_cosine_warm_up_is_a_cosine() {
    // torch's OneCycleLR(max_lr=1e-3, total_steps=1000, pct_start=0.3): 1e-3/25 at step 0, the peak at step 299.
    let wave = |from: f64, to: f64, p: f64| to + (from - to) * (1.0 + (std::f64::consts::PI * p).cos()) / 2.0;
    let rate = |step: u64| match step {
        0..=299 => wave(4e-5, 1e-3, step as f64 / 299.0),
        _ => wave(1e-3, 4e-9, (step - 299) as f64 / 700.0),
    };
    for stride in [1, 10] {
        let rows: Vec<_> = (1..=1000 / stride).map(|k| (k * stride, rate(k * stride - 1))).collect();
        let result = found(&rows, &plain());
        assert_eq!(result.family, Family::Cosine, "{} {:?}", result.schedule, result.notes);
        assert!(result.exact, "every {stride}: {} {:?}", result.schedule, result.residual);
        let Schedule::Wsd(wsd) = &result.schedule else { panic!("{}", result.schedule) };
        assert_eq!(
            (wsd.rise, wsd.warmup, wsd.anneal, wsd.late),
            (Shape::Cosine, Steps(299), Steps(700), Steps(1))
        );
        assert!((wsd.warmup_lr - 4e-5).abs() < 1e-12, "{}", wsd.warmup_lr);
    }
}

#[test]
fn a_cosine_that_ends_early_keeps_its_name() {
    let truth = read("piecewise:100@0..1e-3,800@1e-3..1e-4~cosine,300@1e-4");
    let rows: Vec<_> = (1..=120).map(|k| (10 * k, truth.lr(10 * k))).collect();
    let result = found(&rows, &plain());
    assert_eq!((result.family, result.schedule.to_string()), (Family::Cosine, truth.to_string()));
    let annealing = result.schedule.annealing().unwrap();
    assert_eq!((annealing.shape, annealing.updates, annealing.tail), (Shape::Cosine, Steps(800), Steps(300)));
    assert!(
        result.schedule.describe().contains("cosine annealing over 800 updates"),
        "{}",
        result.schedule.describe()
    );
}

#[test]
fn a_rate_of_0_in_the_last_row_of_a_trunk_is_a_stray_row() {
    let truth = read("constant:peak=1e-3,total=10000,warmup=500");
    let mut rows: Vec<_> = (1..=100).map(|k| (100 * k, truth.lr(100 * k))).collect();
    rows[99].1 = 0.0;
    let result = found(&rows, &RecogniseOptions { total: Some(Steps(10_000)), ..plain() });
    assert_eq!((&result.schedule, &result.left_out), (&truth, &vec![10_000]));
    // An annealing of several rows is none.
    let annealed = read("wsd:peak=1e-3,total=10000,warmup=500,ratio=0.05");
    let rows: Vec<_> = (1..=100).map(|k| (100 * k, annealed.lr(100 * k))).collect();
    let result = found(&rows, &plain());
    assert_eq!((result.schedule, result.left_out), (annealed, vec![]));
}

#[test]
fn rates_that_single_precision_bent_are_written_as_a_person_would() {
    let rows: Vec<_> = (1..=100).map(|k| (10 * k, 0.000_999_999_989_723)).collect();
    assert_eq!(found(&rows, &plain()).schedule.peak_lr(), 1e-3);
    // A rate that is really that exact stays.
    let rows: Vec<_> = (1..=100).map(|k| (10 * k, 0.000_999_123_456)).collect();
    assert_eq!(found(&rows, &plain()).schedule.peak_lr(), 0.000_999_123_456);
}

#[test]
fn hostile_rows_are_answered_or_refused_at_once() {
    let years: Vec<(u64, f64)> = vec![
        (7, 0.000_368_421_052_631_578_96),
        (14, 0.000_736_842_105_263_157_9),
        (800_000_021, 0.000_989_764_970_626_247_3),
        (800_000_028, 0.000_806_052_991_273_831_3),
        (800_000_035, 0.000_474_675_415_580_643_7),
        (800_000_042, 0.000_155_516_540_462_166_56),
        (800_000_049, 2.565_338_304_052_422_7e-6),
    ];
    let wild: Vec<(u64, f64)> = vec![
        (140, 10.0),
        (144, 0.012_078),
        (146, 0.012_052),
        (198, 0.011_507),
        (200, 0.011_491),
        (202, 0.011_474),
        (204, 0.011_458),
        (206, 0.011_442),
        (208, 0.011_426),
    ];
    let late: Vec<(u64, f64)> = (0..30).map(|k| (20 + k, 1e-3 * (1.0 - k as f64 / 30.0))).collect();
    let began = Instant::now();
    for rows in [&years, &wild, &late] {
        for warmup in [None, Some(Steps(500)), Some(Steps(1_000_000_000))] {
            let options = RecogniseOptions { warmup, ..plain() };
            if let Ok(result) = recognise(rows, &options) {
                assert!(result.residual.max.is_finite() && result.residual.rms.is_finite());
            }
        }
    }
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    let beyond = RecogniseOptions { total: Some(Steps(u64::MAX)), ..plain() };
    assert!(matches!(recognise(&late, &beyond), Err(RecogniseError::Option(_))));
    let far = [(1, 1e-3), (u64::MAX, 1e-3)];
    assert_eq!(recognise(&far, &plain()), Err(RecogniseError::TooFar { step: u64::MAX }));
}

#[test]
fn a_long_log_without_a_family_costs_no_more_than_its_rows() {
    let rows: Vec<(u64, f64)> =
        (1..=200_000_u64).map(|k| (1000 * k, 1e-3 * (1.5 + (k as f64 * 0.7).sin()))).collect();
    let began = Instant::now();
    let result = found(&rows, &plain());
    assert_eq!(result.family, Family::Piecewise);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

fn any_options() -> impl Strategy<Value = RecogniseOptions> {
    let count = prop_oneof![0_u64..3000, 0_u64..=u64::MAX, Just(1_000_000_000)];
    let rate = prop_oneof![0.0..2e-3, Just(f64::NAN), Just(-1.0), Just(1e300), Just(0.0)];
    let offset = prop_oneof![-3_i64..4, Just(i64::MIN), Just(i64::MAX), -100_i64..100];
    (
        proptest::option::of(count.clone()),
        proptest::option::of(count),
        proptest::option::of(rate.clone()),
        proptest::option::of(rate),
        proptest::option::of(offset),
        prop_oneof![3 => Just(1e-3), 1 => Just(0.5), 1 => Just(f64::NAN), 1 => Just(0.0)],
    )
        .prop_map(|(total, warmup, warmup_lr, peak_lr, offset, accept)| RecogniseOptions {
            total: total.map(Steps),
            warmup: warmup.map(Steps),
            warmup_lr,
            peak_lr,
            offset,
            accept,
        })
}

fn any_rows() -> impl Strategy<Value = Vec<(u64, f64)>> {
    let gap = prop_oneof![4 => 1_u64..60, 1 => 1_u64..400_000_000];
    let rate = prop_oneof![
        2 => 0.0..1e-3,
        2 => (0_u32..6).prop_map(|k| f64::from(k) * 2e-4),
        1 => prop_oneof![Just(0.0), Just(1e-30), Just(1e3), Just(1e-310), Just(10.0)],
    ];
    (prop_oneof![Just(0_u64), 0_u64..300], proptest::collection::vec((gap, rate), 1..50), any::<bool>())
        .prop_map(|(first, gaps, sorted)| {
            let mut step = first;
            let mut rows: Vec<(u64, f64)> = Vec::new();
            for (gap, rate) in gaps {
                rows.push((step, rate));
                step = step.saturating_add(gap);
            }
            if sorted {
                // A fall that may follow a shape.
                let mut rates: Vec<f64> = rows.iter().map(|row| row.1).collect();
                rates.sort_by(|a, b| b.total_cmp(a));
                rows.iter_mut().zip(rates).for_each(|(row, rate)| row.1 = rate);
            }
            rows
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn any_rows_and_options_are_answered_or_refused(rows in any_rows(), options in any_options()) {
        let began = Instant::now();
        match recognise(&rows, &options) {
            Ok(result) => {
                prop_assert!(result.residual.max.is_finite() && result.residual.rms.is_finite());
                prop_assert!(result.residual.rms <= result.residual.max * (1.0 + 1e-9));
                if let Some(total) = options.total {
                    prop_assert_eq!(result.schedule.total(), total);
                }
                prop_assert!(result.schedule.lr(1).is_finite());
                prop_assert!(result.schedule.sum(result.schedule.total()).is_finite());
            }
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
        prop_assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn printed_and_shifted_rows_give_the_schedule_back(
        peak in 1_u32..100, total in 20_u64..120, warmup in 2_u64..8, anneal in 0.1_f64..0.7,
        shape in prop_oneof![Just(Shape::Linear), Just(Shape::Cosine), Just(Shape::OneMinusSqrt)],
        digits in 5_usize..9, stride in prop_oneof![Just(1_u64), Just(5), Just(10)], next in any::<bool>(),
    ) {
        let (total, warmup) = (100 * total, 50 * warmup);
        let anneal = ((anneal * total as f64) as u64 / 10) * 10;
        let peak = f64::from(peak) * 1e-5;
        let truth = read(&format!("wsd:peak={peak:e},total={total},warmup={warmup},anneal={anneal},shape={shape},final=0"));
        let shift = u64::from(next);
        let rows: Vec<_> = (1..=total / stride)
            .map(|k| (k * stride, printed(truth.lr((k * stride + shift).min(total)), digits)))
            .collect();
        let result = found(&rows, &RecogniseOptions { total: Some(Steps(total)), ..plain() });
        let Schedule::Wsd(wsd) = &result.schedule else {
            return Err(TestCaseError::fail(format!("{truth} -> {} {:?}", result.schedule, result.notes)));
        };
        let apart = wsd.anneal.0.abs_diff(anneal) + wsd.warmup.0.abs_diff(warmup);
        // Seven digits fix every update; fewer leave room for one or two.
        prop_assert!(apart <= if digits >= 7 { 1 } else { 3 }, "{} -> {} {:?}", truth, result.schedule, result.notes);
        prop_assert_eq!(wsd.shape, shape);
    }
}

#[test]
fn a_column_of_few_digits_keeps_its_family() {
    let truth = read("wsd:peak=3e-4,total=20000,warmup=1000,ratio=0.2");
    // `%.2e` and `%.6f`: half a unit is 1.7 ‰ of the peak, more than what counts as recognised in a finer column.
    let decimals = |rate: f64| format!("{rate:.6}").parse().unwrap();
    for (name, print) in [("%.2e", &(|rate| printed(rate, 2)) as &dyn Fn(f64) -> f64), ("%.6f", &decimals)] {
        for stride in [10, 100] {
            let rows: Vec<_> =
                (1..=20_000 / stride).map(|k| (k * stride, print(truth.lr(k * stride)))).collect();
            let result = found(&rows, &plain());
            let Schedule::Wsd(wsd) = &result.schedule else { panic!("{name}: {:?}", result.notes) };
            assert_eq!(
                (wsd.total, wsd.warmup, wsd.shape),
                (Steps(20_000), Steps(1_000), Shape::Linear),
                "{name}"
            );
            // Two hundredths of a per cent of the run: what the column leaves open.
            assert!(wsd.anneal.0.abs_diff(4_000) <= 4, "{name}, every {stride}: {}", wsd.anneal.0);
        }
    }
}

#[test]
fn a_peak_that_the_rounding_would_swallow_stays_a_peak() {
    let rows = [(0, 0.0), (2754, 2.597e-3), (5508, 5.195e-3), (11_016, 1.039e-2), (60_588, 9.996e-3)];
    let result = found(&rows, &RecogniseOptions { peak_lr: Some(3.506_681_469e-6), ..plain() });
    assert!(result.residual.max.is_finite() && result.tolerance.is_finite(), "{result:?}");
}

/// The rate as a log prints it, with so many decimals.
fn fixed(rate: f64, decimals: usize) -> f64 {
    format!("{rate:.decimals$}").parse().unwrap()
}

#[test]
fn dense_rows_of_coarsely_rounded_rates_keep_their_family() {
    // Half a unit of five decimals is 1.7 % of the peak: rows at one rate follow one another, and the first at the peak
    // stands before the warm-up's end.
    for (text, decimals) in [
        ("cosine:peak=3e-4,total=20000,warmup=1000,final=0", 6),
        ("cosine:peak=3e-4,total=20000,warmup=1000,final=0", 5),
        ("wsd:peak=5e-4,total=9000,warmup=450,ratio=0.95", 5),
        ("constant:peak=3e-4,total=10000,warmup=500", 5),
    ] {
        let truth = read(text);
        for stride in [1, 10] {
            let rows: Vec<_> = (1..=truth.total().0 / stride)
                .map(|k| (k * stride, fixed(truth.lr(k * stride), decimals)))
                .collect();
            let result = found(&rows, &plain());
            assert_eq!(result.family, truth.family(), "{text}, {decimals} decimals: {:?}", result.notes);
            assert_eq!(result.schedule.warmup(), truth.warmup(), "{text}, {decimals} decimals");
            assert_eq!(result.schedule.total(), truth.total(), "{text}, {decimals} decimals");
        }
    }
}

#[test]
fn rows_rounded_in_two_ways_keep_their_family() {
    let truth = read("cosine:peak=3e-4,total=6000,warmup=300,final=3e-5");
    let rows: Vec<_> =
        (1..=600).map(|k| (10 * k, printed(truth.lr(10 * k), if k % 2 == 0 { 3 } else { 6 }))).collect();
    let result = found(&rows, &plain());
    assert_eq!(result.schedule, truth, "{:?}", result.notes);
    // A resumed run whose second part prints fewer digits.
    let rows: Vec<_> =
        (1..=600).map(|k| (10 * k, printed(truth.lr(10 * k), if k > 300 { 2 } else { 8 }))).collect();
    assert_eq!(found(&rows, &plain()).family, Family::Cosine);
}

#[test]
fn a_shift_by_one_update_is_found_in_rounded_rows_in_its_direction() {
    let truth = read("cosine:peak=2e-4,total=5000,warmup=250,final=2e-5");
    for stride in [1, 5, 10] {
        let steps = || (1..=5000 / stride).map(move |k| k * stride);
        let next: Vec<_> = steps().map(|t| (t, printed(truth.lr((t + 1).min(5000)), 3))).collect();
        let result = found(&next, &plain());
        assert_eq!(
            (result.offset, result.schedule.warmup()),
            (1, Some(Steps(250))),
            "every {stride}: {:?}",
            result.notes
        );
        let before: Vec<_> =
            steps().map(|t| (t, if t == 1 { 0.0 } else { fixed(truth.lr(t - 1), 7) })).collect();
        let result = found(&before, &plain());
        let Schedule::Wsd(wsd) = &result.schedule else { panic!("every {stride}: {:?}", result.notes) };
        assert_eq!((result.offset, wsd.late, wsd.warmup), (0, Steps(1), Steps(250)), "every {stride}");
    }
}

#[test]
fn a_log_stopped_early_keeps_its_horizon_where_its_rates_have_three_digits() {
    let truth = read("cosine:peak=3e-4,total=20000,warmup=1000,final=3e-5");
    let rows: Vec<_> = (1..=1200).map(|k| (10 * k, printed(truth.lr(10 * k), 2))).collect();
    let result = found(&rows, &plain());
    assert_eq!(
        (result.family, result.schedule.total()),
        (Family::Cosine, Steps(20_000)),
        "{:?}",
        result.notes
    );
}

#[test]
fn a_shift_that_no_warm_up_shows_is_tried_where_nothing_else_explains_the_rows() {
    // Rounded to six decimals, the warm-up's line leaves several updates open; its rows at every update do not.
    let truth = read("cosine:peak=3e-4,total=5000,warmup=200,final=0");
    let rows: Vec<_> = (1..=5000).map(|t| (t, fixed(truth.lr((t + 1).min(5000)), 6))).collect();
    let result = found(&rows, &plain());
    assert_eq!(
        (result.family, result.schedule.warmup()),
        (Family::Cosine, Some(Steps(200))),
        "{:?}",
        result.notes
    );
}
