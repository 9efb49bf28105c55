//! `lehr plan`: which further runs are worth their price.

use crate::support::{RUNS, at, lehr, root};
use std::sync::OnceLock;

const TARGET: [&str; 6] = ["--peak-lr", "2e-3", "--steps", "80k", "--draws", "4"];

/// A fit of two runs: they leave the ratio open.
fn few() -> &'static str {
    static FEW: OnceLock<String> = OnceLock::new();
    FEW.get_or_init(|| {
        let few = at("few.json");
        let runs = "*2e-3-T10000-constant,*2e-3-T10000-r0.1";
        lehr(&["fit", RUNS, "--run", runs, "--starts", "2", "-o", &few]).expect(0);
        few
    })
}

fn plan(more: &[&str]) -> Vec<String> {
    let (few, target) = (few(), TARGET);
    let words = ["plan", few].into_iter().chain(target).chain(more.iter().copied());
    words.map(str::to_owned).collect()
}

#[test]
fn runs_are_chosen_within_the_budget_and_the_sweep_of_them_runs_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("next.toml");
    let file = file.to_str().unwrap();
    let words =
        plan(&["--budget", "30kupdates", "-o", file, "--model", "dense-0.03m", "--batch", "2", "--json"]);
    let found = lehr(&words).expect(0).json();
    let runs = found["runs"].as_array().unwrap();
    assert!(!runs.is_empty());
    let last = runs.last().unwrap();
    assert!(last["updates_so_far"].as_u64().unwrap() <= 30_000, "{last}");
    assert!(last["regret"].as_f64().unwrap() < found["regret"].as_f64().unwrap());
    // The sweep has the runs and the updates that the plan promised.
    let stop = runs.len();
    let sweep = lehr(&["sweep", file, "--dry-run", "--no-measure", "--json"]).expect(0).json();
    let jobs = &sweep["counts"];
    assert_eq!(jobs["branches"].as_u64().unwrap() + jobs["alone"].as_u64().unwrap(), stop as u64, "{sweep}");
    assert_eq!(sweep["shared"]["updates"], runs[stop - 1]["updates_so_far"], "{sweep}");
}

#[test]
fn a_picture_shows_regret_against_cost() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("plan.svg");
    lehr(&plan(&["--plot", file.to_str().unwrap()])).expect(0);
    let svg = std::fs::read_to_string(&file).unwrap();
    assert!(svg.contains("expected regret (mnat)") && svg.contains("all candidates"), "{svg}");
}

#[test]
fn without_a_fit_it_says_what_it_assumed() {
    let words = [
        "plan",
        "--params",
        "124M",
        "--tokens-per-step",
        "500k",
        "--budget",
        "2e19flops",
        "--throughput",
        "250k@124M",
    ];
    let words = [&words[..], &TARGET].concat();
    let answer = lehr(&words).expect(0);
    assert!(
        answer.err.contains("no run is at hand: the coefficients of the noise-relaxation law"),
        "{}",
        answer.err
    );
    assert!(answer.out.contains(" h "), "{}", answer.out);
    let found = lehr(&[&words[..], &["--json"]].concat()).expect(0).json();
    let last = found["runs"].as_array().unwrap().last().unwrap();
    let (operations, hours) = (
        last["price_so_far"]["operations"].as_f64().unwrap(),
        last["price_so_far"]["hours"].as_f64().unwrap(),
    );
    assert!(operations <= 2e19);
    // 250,000 tokens a second at 124M parameters are 1.86·10¹⁴ operations a second.
    assert!((hours * 3600.0 * 1.86e14 / operations - 1.0).abs() < 1e-9);
}

#[test]
fn questions_that_do_not_fit_together_are_refused_with_a_way_out() {
    let refused = |more: &[&str], said: &str| {
        let words = [&["plan", few()][..], &TARGET, more].concat();
        let answer = lehr(&words);
        assert!(answer.code != 0 && answer.err.contains(said), "{words:?}: {} {}", answer.code, answer.err);
    };
    refused(&["--budget", "400"], "'400' is not an amount with its unit such as 2e19flops");
    refused(&["--budget", "400h"], "--throughput");
    refused(&["--checkpoints", "nobody"], "'nobody' names no constant-rate run of the fit");
    refused(&["--horizons", "10"], "every horizon is too short for the warm-up");
    refused(&["--horizons", "2500", "--ratios", "0.1", "-o", "x.toml"], "there is no sweep to plan");
    refused(&["-o", "plan.json"], "end the name in .toml");
    refused(&["--ratios", "1.5"], "not a share between 0 and 1");
    assert!(!root().join("plan.json").exists());
}
