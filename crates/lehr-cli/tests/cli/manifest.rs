//! `lehr inspect --write-manifest`: what was found, as a manifest that says the same.

use crate::support::{RUNS, at, lehr};
use serde_json::Value;

/// What a manifest can state of a run.
const STATED: [&str; 10] = [
    "id",
    "arch",
    "params",
    "counted",
    "tokens_per_step",
    "dataset",
    "total_steps",
    "warmup",
    "ratio",
    "final_lr",
];

fn stated(document: &Value) -> Vec<Vec<Value>> {
    let runs = document["runs"].as_array().unwrap();
    runs.iter().map(|run| STATED.iter().map(|key| run[*key].clone()).collect()).collect()
}

#[test]
fn a_written_manifest_says_of_the_logs_what_they_said_without_it() {
    let file = at("found.toml");
    let without = lehr(&["inspect", RUNS, "--write-manifest", &file, "--json"]).expect(0).json();
    let with = lehr(&["inspect", RUNS, "--manifest", &file, "--json"]).expect(0).json();
    assert_eq!(stated(&with), stated(&without));
    for run in with["runs"].as_array().unwrap() {
        assert_eq!(run["schedule"]["known"], "manifest", "{run}");
        assert!(run["schedule"]["residual"].as_f64().unwrap() < 1e-3, "{run}");
    }
    // It is the user's from now on.
    let again = lehr(&["inspect", RUNS, "--write-manifest", &file]).expect(1);
    assert!(again.err.contains("there is a manifest already"), "{}", again.err);
    let other = lehr(&["inspect", RUNS, "--write-manifest", &at("found.csv")]).expect(2);
    assert!(other.err.contains("does not end in .toml"), "{}", other.err);
}

#[test]
fn a_schedule_in_one_text_is_read_from_a_manifest_and_refused_by_name_where_it_is_none() {
    let file = at("text.toml");
    let run = "sim-peak5e-4-T10000-cosine";
    let wanted = "cosine:peak=5e-4,total=10000,warmup=100";
    std::fs::write(&file, format!("[runs.\"{run}\"]\nschedule = \"{wanted}\"\n")).unwrap();
    let document = lehr(&["inspect", RUNS, "--run", run, "--manifest", &file, "--json"]).expect(0).json();
    assert_eq!(document["runs"][0]["schedule"]["known"], "manifest");
    assert_eq!(document["runs"][0]["warmup"], 100);
    std::fs::write(&file, format!("[runs.\"{run}\"]\nschedule = \"wsd:peak=often\"\n")).unwrap();
    let answer = lehr(&["inspect", RUNS, "--run", run, "--manifest", &file]).expect(1);
    assert!(answer.err.contains("text.toml") && answer.err.contains("a schedule as text"), "{}", answer.err);
}
