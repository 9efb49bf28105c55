//! A job that is running: where it stands, when to anneal, what it will reach.

use crate::support::{RUNS, at, conversation, lehr, masked};
use serde_json::Value;

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

fn recommended(words: &[&str]) -> Value {
    let (fit, job) = (at("small.json"), at("job.csv"));
    lehr(&[&["recommend", &fit, "--running", &job, "--json"][..], words].concat()).expect(0).json()
}

#[test]
fn a_running_job_is_told_where_it_stands_and_when_to_anneal() {
    let (fit, job) = (at("small.json"), at("job.csv"));
    let answer =
        lehr(&["recommend", &fit, "--running", &job, "--steps", "20k", "--anneal-from", "12k"]).expect(0);
    insta::assert_snapshot!("running-recommend", masked(&answer.out));
    let found = recommended(&["--steps", "20k"]);
    let standing = &found["standing"];
    assert_eq!((&standing["update"], &standing["annealing"]), (&9_000.into(), &false.into()));
    assert_eq!((&standing["inside"], &standing["fitted"]), (&true.into(), &false.into()));
    // The simulation's run-to-run noise is about 1 mnat.
    assert!(number(&standing["residual"]).abs() < 3e-3, "{standing}");
    // The best ratio of the simulation at this rate and horizon is 0.44 … 0.5, so that 9,000 … 11,200 is the best start.
    let start = number(&found["starts"]["start"]);
    assert!((9_000.0..=12_000.0).contains(&start), "{start}");
    let curve = found["starts"]["curve"].as_array().unwrap();
    assert_eq!((&curve[0]["start"], &curve[curve.len() - 1]["start"]), (&9_000.into(), &20_000.into()));
    let lowest = curve.iter().map(|point| number(&point["loss"])).fold(f64::INFINITY, f64::min);
    assert!((lowest - number(&found["starts"]["loss"]["value"])).abs() < 2e-4);
    // A longer budget reaches a lower loss and anneals later.
    let longer = found["longer"].as_array().unwrap();
    assert_eq!(longer[3]["total"], 40_000);
    assert!(longer.windows(2).all(|two| number(&two[0]["gain"]) < number(&two[1]["gain"])
        && number(&two[0]["start"]) < number(&two[1]["start"])));
}

#[test]
fn annealing_now_and_later_are_held_against_each_other() {
    let found = recommended(&["--steps", "20k", "--anneal-steps", "1k,11k"]);
    let rows = found["anneal"].as_array().unwrap();
    assert_eq!((&rows[0]["now"]["start"], &rows[0]["now"]["end"]), (&9_000.into(), &10_000.into()));
    assert_eq!((&rows[0]["wait"]["start"], &rows[0]["wait"]["end"]), (&19_000.into(), &20_000.into()));
    let loss = |ending: &Value| number(&ending["loss"]["value"]);
    let gain = loss(&rows[0]["now"]) - loss(&rows[0]["wait"]);
    assert!((number(&rows[0]["gain"]) - gain).abs() < 1e-12 && gain > 0.02, "{gain}");
    assert_eq!((&rows[1]["now"]["end"], &rows[1]["wait"]), (&20_000.into(), &Value::Null));
}

#[test]
fn the_forecast_of_a_job_is_the_law_moved_by_the_share_of_its_offset_that_lasts() {
    let (fit, job) = (at("small.json"), at("job.csv"));
    let found =
        lehr(&["forecast", &fit, "--running", &job, "--anneal-steps", "5k", "--json"]).expect(0).json();
    assert_eq!(found["update"].as_array().unwrap().last().unwrap(), 14_000);
    let share = number(&found["carry"]["share"]);
    assert!((0.0..=1.0).contains(&share) && number(&found["carry"]["runs"]) >= 5.0, "{share}");
    let moved =
        number(&found["law"]["value"]) * (share * number(&found["standing"]["offset"]["value"])).exp();
    assert!((number(&found["final"]["loss"]) - moved).abs() < 1e-9);
    // The interval never widens by more than the offset's own uncertainty.
    let width = |low: &Value, high: &Value| (number(high) / number(low)).ln();
    let (law, corrected) = (
        width(&found["law"]["lower"], &found["law"]["upper"]),
        width(&found["final"]["lower"], &found["final"]["upper"]),
    );
    assert!(corrected < 1.3 * law, "{corrected} {law}");
}

#[test]
fn a_job_that_the_law_does_not_know_blocks() {
    let log = std::fs::read_to_string(at("job.csv")).unwrap();
    let moved: String = log
        .lines()
        .map(|line| {
            let Some((start, loss)) = line.rsplit_once(',') else { return format!("{line}\n") };
            loss.parse::<f64>()
                .map_or_else(|_| format!("{line}\n"), |loss| format!("{start},{:.6}\n", loss + 0.1))
        })
        .collect();
    std::fs::write(at("moved.csv"), moved).unwrap();
    let words = ["recommend", &at("small.json"), "--running", &at("moved.csv"), "--steps", "20k", "--json"];
    let found = lehr(&words).expect(3).json();
    assert_eq!(found["standing"]["inside"], false);
    assert!((number(&found["standing"]["residual"]) - 0.1).abs() < 3e-3);
    let codes: Vec<&Value> = found["caveats"].as_array().unwrap().iter().map(|c| &c["code"]).collect();
    assert!(codes.contains(&&"job-unknown-to-law".into()), "{codes:?}");
}

#[test]
fn a_plan_that_cannot_follow_is_refused_with_what_to_do() {
    let lines = [
        "recommend DIR/small.json --running DIR/job.csv",
        "recommend DIR/small.json --running DIR/job.csv --steps 8k",
        "recommend DIR/small.json --running DIR/job.csv --steps 20k --anneal-steps 12k",
        "recommend DIR/small.json --running DIR/job.csv --steps 20k --peak-lr 1e-3",
        "recommend DIR/small.json --running DIR/empty.csv --steps 20k",
        "recommend DIR/small.json --steps 20k --peak-lr 1e-3 --anneal-steps 3k",
        "recommend DIR/blind.json --running DIR/job.csv --steps 20k",
        "forecast DIR/small.json --running DIR/job.csv --anneal-from 8k --steps 20k",
        "forecast DIR/small.json --running DIR/job.csv --anneal-from 12k --anneal-steps 3k --steps 20k",
        "forecast DIR/small.json --running DIR/job.csv --steps 20k --ratio 0.9",
        "forecast DIR/small.json --peak-lr 1e-3 --steps 20k --anneal-from 21k",
    ];
    insta::assert_snapshot!("running-errors", conversation(&lines));
    let several = lehr(&["recommend", &at("small.json"), "--running", RUNS, "--steps", "20k"]).expect(2);
    assert!(several.err.contains("25 runs were found there"), "{}", several.err);
    let job = ["--running", RUNS, "--run", "*peak2e-3-T20000-constant", "--steps", "30k"];
    lehr(&[&["recommend", &at("small.json")][..], &job].concat()).expect(0);
}
