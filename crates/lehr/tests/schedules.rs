//! Schedules: exact rates, sums, phases, text and stored forms, refusals.

use lehr::schedule::{Family, Phase, ScheduleTextError};
use lehr::{AnnealingRatio, Schedule, ScheduleError, Segment, Shape, Steps, WsdSpec};
use proptest::prelude::*;

fn read(text: &str) -> Schedule {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn refused(text: &str) -> String {
    text.parse::<Schedule>().expect_err(text).to_string()
}

fn any_shape() -> impl Strategy<Value = Shape> {
    prop_oneof![
        Just(Shape::Linear),
        Just(Shape::Cosine),
        Just(Shape::OneMinusSqrt),
        Just(Shape::Exponential),
        Just(Shape::Geometric),
        Just(Shape::Inverse),
        prop_oneof![Just(1.0), Just(2.0), 0.3..4.0].prop_map(Shape::Power),
    ]
}

fn any_wsd() -> impl Strategy<Value = WsdSpec> {
    let rise = prop_oneof![3 => Just(Shape::Linear), 1 => Just(Shape::Cosine)];
    let lag = prop_oneof![3 => Just(0_u64), 1 => 1_u64..5];
    let numbers = (
        1e-6..1.0,
        8_u64..3000,
        0.0..=1.0,
        0.0..=1.0,
        any_shape(),
        prop_oneof![Just(0.0), 0.0..=1.0],
        0.0..=1.0,
    );
    (numbers, rise, lag).prop_map(|((peak_lr, total, w, d, shape, last, start), rise, late)| {
        let warmup = (w * total as f64 * 0.5) as u64;
        let anneal = (d * (total - warmup) as f64) as u64;
        let needs = matches!(shape, Shape::Geometric | Shape::Inverse);
        let final_lr = peak_lr * if needs && last == 0.0 { 0.1 } else { last };
        let (total, warmup, anneal) = (Steps(total), Steps(warmup), Steps(anneal));
        let unreached = Steps(late.min(anneal.0));
        let total = Steps(total.0 + late - unreached.0);
        let (warmup_lr, late) = (start * peak_lr, Steps(late));
        WsdSpec { peak_lr, total, warmup, warmup_lr, rise, anneal, shape, final_lr, late, unreached }
    })
}

fn any_schedule() -> impl Strategy<Value = Schedule> {
    let segment = (1_u64..200, 1e-6..1.0, 1e-6..1.0, any_shape())
        .prop_map(|(updates, from, to, shape)| Segment::new(Steps(updates), from, to, shape));
    prop_oneof![
        3 => any_wsd().prop_map(|wsd| Schedule::Wsd(wsd.checked().unwrap())),
        2 => proptest::collection::vec(segment, 1..6).prop_map(|list| Schedule::piecewise(list).unwrap()),
        1 => proptest::collection::vec(0.0..1.0, 1..300).prop_map(|rates| Schedule::sampled(rates).unwrap()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn rates_stay_between_the_ends_and_there_is_one_an_update(schedule in any_schedule()) {
        let rates = schedule.rates();
        prop_assert_eq!(rates.len() as u64, schedule.total().0);
        let peak = schedule.peak_lr();
        prop_assert!(rates.iter().all(|rate| (0.0..=peak * (1.0 + 1e-12)).contains(rate)));
        if let Some(segments) = schedule.segments() {
            let mut rates = rates.iter();
            for segment in segments {
                let (lo, hi) = (segment.from.min(segment.to), segment.from.max(segment.to));
                for rate in rates.by_ref().take(segment.updates.0 as usize) {
                    prop_assert!(*rate >= lo * (1.0 - 1e-12) && *rate <= hi * (1.0 + 1e-12));
                }
            }
        }
        for t in [1, schedule.total().0 / 2 + 1, schedule.total().0] {
            prop_assert_eq!(schedule.lr(t), rates[t as usize - 1]);
        }
    }

    #[test]
    fn the_closed_form_sum_is_the_sum_of_the_rates(schedule in any_schedule(), share in 0.0..=1.0) {
        let upto = (share * schedule.total().0 as f64) as u64;
        let direct: f64 = schedule.rates()[..upto as usize].iter().sum();
        let closed = schedule.sum(Steps(upto));
        // 3000 additions of the direct sum lose up to 3000 half ulps, far below 1e-12.
        prop_assert!((closed - direct).abs() <= 1e-12 * direct.abs(), "{} against {}", closed, direct);
        let phases: f64 = schedule.phases().iter().map(|span| span.sum).sum();
        let whole = schedule.sum(schedule.total());
        prop_assert!((phases - whole).abs() <= 1e-12 * whole);
    }

    #[test]
    fn annealing_never_rises_and_warm_up_never_falls(wsd in any_wsd()) {
        let wsd = wsd.checked().unwrap();
        let (warmup, start) = ((wsd.late.0 + wsd.warmup.0) as usize, wsd.anneal_start().0 as usize);
        let rates = Schedule::Wsd(wsd).rates();
        prop_assert!(rates[..warmup].windows(2).all(|pair| pair[1] >= pair[0]));
        prop_assert!(rates[start.saturating_sub(1)..].windows(2).all(|pair| pair[1] <= pair[0]));
    }

    #[test]
    fn text_and_stored_forms_read_back_as_the_same_schedule(schedule in any_schedule()) {
        let text = schedule.to_string();
        prop_assert_eq!(&text.parse::<Schedule>().map_err(|e| TestCaseError::fail(format!("{text}: {e}")))?, &schedule);
        let stored = serde_json::to_string(&schedule).unwrap();
        prop_assert_eq!(&serde_json::from_str::<Schedule>(&stored).unwrap(), &schedule);
    }

    #[test]
    fn a_cut_schedule_has_the_rates_of_the_whole(schedule in any_schedule(), share in 0.0..=1.0) {
        let upto = ((share * schedule.total().0 as f64) as u64).max(1);
        let cut = schedule.truncate(Steps(upto)).unwrap();
        prop_assert_eq!(cut.total(), Steps(upto));
        let peak = schedule.peak_lr();
        for (a, b) in cut.rates().iter().zip(schedule.rates()) {
            prop_assert!((a - b).abs() <= 1e-12 * peak, "{} against {}", a, b);
        }
        let longer = cut.extend(Steps(7)).unwrap();
        prop_assert_eq!(longer.total(), Steps(upto + 7));
        prop_assert_eq!(longer.lr(upto + 7), cut.lr(upto));
    }

    #[test]
    fn any_text_is_read_or_refused_without_a_panic(text in "[a-z-]{0,9}:[a-z0-9=.,@~x+/%-]{0,40}") {
        let _ = text.parse::<Schedule>();
    }
}

#[test]
fn warm_up_stable_and_annealing_have_the_rates_of_equation_12() {
    let wsd = read("wsd:peak=3e-4,total=1000,warmup=100,ratio=0.2,shape=power:2,final=3e-5");
    assert!((wsd.lr(1) - 3e-6).abs() < 1e-18);
    assert_eq!(wsd.lr(100), 3e-4);
    assert_eq!(wsd.lr(800), 3e-4);
    assert!((wsd.lr(900) - (3e-5 + 2.7e-4 * 0.25)).abs() < 1e-18);
    assert_eq!(wsd.lr(1000), 3e-5);
    let phases: Vec<_> = wsd.phases().iter().map(|span| (span.phase, span.first, span.last)).collect();
    assert_eq!(phases, [(Phase::WarmUp, 1, 100), (Phase::Stable, 101, 800), (Phase::Annealing, 801, 1000)]);
    assert_eq!(
        (wsd.phase(100), wsd.phase(101), wsd.phase(801)),
        (Phase::WarmUp, Phase::Stable, Phase::Annealing)
    );
}

#[test]
fn areas_under_the_shapes_are_those_of_the_books() {
    let area = |shape: &str| {
        let s = read(&format!("wsd:peak=1,total=100k,ratio=1,shape={shape},final=0"));
        s.sum(s.total()) / 1e5
    };
    // One update is 1e-5 of the width: rectangle rule, so 1e-5 is the error to expect.
    for (shape, wanted) in
        [("linear", 0.5), ("cosine", 0.5), ("exponential", 0.442_695), ("sqrt", 1.0 / 3.0), ("power:3", 0.25)]
    {
        assert!((area(shape) - wanted).abs() < 1e-5, "{shape}: {}", area(shape));
    }
}

#[test]
fn families_are_named_by_their_form() {
    for (text, family) in [
        ("constant:peak=1e-3,total=100,warmup=10", Family::Constant),
        ("cosine:peak=1e-3,total=100,warmup=10,final=1e-4", Family::Cosine),
        ("linear:peak=1e-3,total=100", Family::LinearToZero),
        ("wsd:peak=1e-3,total=100,ratio=0.2", Family::Wsd),
        ("two-stage:peak=3e-4,drop=0.9e-4,at=50,total=100,warmup=10", Family::TwoStage),
        ("multi-stage:rates=3e-4/2e-4/1e-4,ends=50/70,total=100,warmup=10", Family::MultiStage),
        ("wsd-s:peak=1e-3,warmup=10,cycles=50+10/60+20,rerise=5,final=1e-4", Family::WsdS),
        ("piecewise:10@0..1e-3~cosine,90@1e-3..0~cosine", Family::Cosine),
        ("piecewise:10@1e-3,10@1e-3..1e-4,10@5e-4", Family::Piecewise),
        ("sampled:1e-3x10,5e-4", Family::Sampled),
    ] {
        assert_eq!(read(text).family(), family, "{text}");
        assert!(read(text).describe().starts_with(&family.to_string()), "{}", read(text).describe());
    }
}

#[test]
fn other_spellings_and_suffixes_mean_the_same() {
    let wsd = read("wsd:peak=3e-4,total=24000,warmup=2160,anneal=4000,shape=1-sqrt,final=3e-5");
    for text in [
        "WSD:lr=3e-4,steps=24k,warmup_steps=2.16k,decay=4k,decay_type=minus_sqrt,min_lr=3e-5",
        "wsd: peak_lr=0.0003, total=24k, warmup=2160, cooldown=4k, shape=sqrt, final=10%",
        "wsd:peak=3e-4,total=0.024M,warmup=2160,warmdown=4000,shape=one_minus_sqrt,final=3e-5",
    ] {
        assert_eq!(read(text), wsd, "{text}");
    }
    assert_eq!(wsd.to_string(), "wsd:peak=3e-4,total=24000,warmup=2160,anneal=4000,shape=1-sqrt,final=3e-5");
}

#[test]
fn refusals_name_the_numbers() {
    for (text, words) in [
        (
            "wsd:peak=3e-4,total=1000,warmup=900,ratio=0.2",
            "warm-up (900) and annealing (200) need 1100 updates, but the horizon is 1000",
        ),
        ("wsd:peak=3e-4,total=0,ratio=0.2", "the horizon has 0"),
        ("wsd:peak=3e-4,total=2B,ratio=0.2", "at most 1000000000"),
        ("wsd:peak=0,total=10,ratio=0.2", "the peak rate is 0"),
        ("wsd:peak=-1,total=10,ratio=0.2", "peak=-1: expected a rate"),
        ("wsd:peak=1e-3,total=10,ratio=1.2", "ratio=1.2: expected a share of the horizon between 0 and 1"),
        ("wsd:peak=1e-3,total=10,ratio=0.2,final=2e-3", "final rate 0.002 is above the peak rate 0.001"),
        ("wsd:peak=1e-3,total=10,ratio=0.2,start=2e-3", "the warm-up starts at 0.002"),
        ("wsd:peak=1e-3,total=10,ratio=0.2,shape=geometric", "the geometric shape cannot end at 0"),
        ("wsd:peak=1e-3,total=10,ratio=0.2,shape=round", "shape=round: expected linear, cosine"),
        ("wsd:peak=1e-3,total=10,ratio=0.2,anneal=2", "given twice ('ratio' and 'anneal')"),
        ("wsd:peak=1e-3,total=10,ratio=0.2,ratio=0.3", "given twice"),
        ("wsd:peak=1e-3,total=10,anneal=0.2", "anneal=0.2: expected a whole number of updates"),
        ("wsd:peak=1e-3,total=10", "wsd needs 'ratio'"),
        ("wsd:peak=1e-3,total=10,ratio=0.2,epochs=3", "wsd has no 'epochs'; accepted: peak, total, warmup"),
        ("wsd:peak", "'peak' is not key=value"),
        ("cosine:peak=1e-3,total=10,warmup=11", "warm-up (11)"),
        ("two-stage:peak=1e-3,drop=1e-4,at=20,total=10", "stage ends must ascend"),
        ("multi-stage:rates=1e-3/1e-4,ends=5/6,total=10", "expected one end fewer than rates"),
        ("wsd-s:peak=1e-3,cycles=5+0", "the annealing of cycle 1 has 0"),
        ("piecewise:10@1e-3~round", "expected UPDATES@RATE"),
        ("piecewise:", "expected UPDATES@RATE"),
        ("sampled:1e-3,x", "expected rates joined by ','"),
        ("triangle:peak=1", "'triangle' is no schedule; expected one of wsd, constant"),
    ] {
        assert!(refused(text).contains(words), "{text}: {}", refused(text));
    }
    assert!(matches!("x".parse::<Schedule>(), Err(ScheduleTextError::Kind { .. })));
    assert!(matches!(Schedule::sampled(vec![]), Err(ScheduleError::NoUpdates { .. })));
    assert!(matches!(Schedule::sampled(vec![f64::NAN]), Err(ScheduleError::Rate { .. })));
    assert!(matches!(Schedule::piecewise(vec![]), Err(ScheduleError::NoUpdates { .. })));
    assert!(matches!(
        read("sampled:1x5").truncate(Steps(6)),
        Err(ScheduleError::Outside { update: 6, total: 5 })
    ));
    assert!(matches!(read("sampled:1x5").extend(Steps(0)), Err(ScheduleError::NoUpdates { .. })));
    let trunk = read("constant:peak=1e-3,total=100");
    assert!(trunk.anneal_from(Steps(50), Steps(10), Shape::Linear, 2e-3).is_err());
    assert!(
        Schedule::wsd(1e-3, Steps(10), Steps(0), AnnealingRatio::new(0.5).unwrap(), Shape::Power(-1.0), 0.0)
            .is_err()
    );
}

#[test]
fn a_stored_schedule_is_checked_when_it_is_read() {
    let good =
        serde_json::to_value(read("wsd:peak=1e-3,total=100,warmup=10,ratio=0.2,shape=power:2")).unwrap();
    assert_eq!(good["shape"], "power:2");
    assert_eq!(good["kind"], "wsd");
    for (key, value) in
        [("anneal", 95.into()), ("peak_lr", 0.0.into()), ("shape", "round".into()), ("final_lr", 1.0.into())]
    {
        let mut bad = good.clone();
        bad[key] = value;
        assert!(serde_json::from_value::<Schedule>(bad.clone()).is_err(), "{bad}");
    }
    for bad in [
        r#"{"kind":"sampled","rates":[]}"#,
        r#"{"kind":"sampled","rates":[-1.0]}"#,
        r#"{"kind":"piecewise","segments":[{"updates":0,"from":1.0,"to":1.0,"shape":"linear"}]}"#,
    ] {
        assert!(serde_json::from_str::<Schedule>(bad).is_err(), "{bad}");
    }
}
