//! Caveats of the clean public runs: what stands at every one of them says nothing about any.

#![expect(clippy::print_stderr, reason = "a skip must be seen")]

use lehr::Shape;
use lehr::fit::FitOptions;
use lehr::forecast::Setting;
use lehr::recommend::RecommendOptions;
use lehr_app::fit::FitRequest;
use lehr_app::recommend::RecommendRequest;
use lehr_app::{Desk, Files, Reading, laws};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

fn curves(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/curves").join(name);
    if path.exists() {
        return Some(path);
    }
    eprintln!("skipped: {} is not there", path.display());
    None
}

#[test]
fn no_caveat_stands_at_every_clean_run() {
    for folder in ["multi-power-law/25M", "multi-power-law/100M", "slimpajama-124m", "slimpajama-sizes"] {
        let Some(path) = curves(folder) else { return };
        let mut runs = 0;
        let mut seen: BTreeMap<&'static str, usize> = BTreeMap::new();
        Desk::new(Files::Disk)
            .for_each_run(&Reading::of([path]), &mut |run| {
                runs += 1;
                for caveat in run.caveats {
                    *seen.entry(caveat.code()).or_default() += 1;
                }
                Ok(())
            })
            .expect("the runs are read");
        assert!(runs >= 9, "{folder}: {runs} runs");
        assert_eq!(seen, BTreeMap::new(), "{folder}: caveats of {runs} clean runs");
    }
}

#[test]
fn a_fit_of_clean_runs_of_one_size_says_only_what_is_one_and_not_that_it_is_clean() {
    let mut found = Vec::new();
    for (folder, runs) in [("multi-power-law/25M", "*"), ("slimpajama-124m", "*-T15000-*")] {
        let Some(path) = curves(folder) else { return };
        let mut reading = Reading::of([path]);
        reading.options.runs = vec![runs.to_owned()];
        let request = FitRequest {
            reading,
            law: laws::named("noise-relaxation").expect("the default law"),
            options: FitOptions { starts: 8, ..FitOptions::default() },
            profile: false,
            bootstrap: None,
        };
        let answer = Desk::new(Files::Disk).fit(&request).expect("a fit");
        let codes: Vec<&str> = answer.caveats.iter().map(lehr::Caveat::code).collect();
        found.push((folder, codes));
    }
    assert_eq!(
        found,
        [("multi-power-law/25M", vec!["one-peak-rate"]), ("slimpajama-124m", vec![])],
        "one peak rate is one; nothing else is wrong with either"
    );
}

/// Runs of `slimpajama-124m`, the codes that block a recommendation from them, and the ratio recommended.
fn recommended(runs: &[&str], peak_lr: f64, total: u64) -> Option<(Vec<&'static str>, f64)> {
    let mut reading = Reading::of([curves("slimpajama-124m")?]);
    reading.options.runs = runs.iter().map(|run| (*run).to_owned()).collect();
    let desk = Desk::new(Files::Disk);
    let fit = desk
        .fit(&FitRequest {
            reading,
            law: laws::named("noise-relaxation").expect("the default law"),
            options: FitOptions { starts: 8, ..FitOptions::default() },
            profile: false,
            bootstrap: None,
        })
        .expect("a fit")
        .value
        .fit;
    let request = RecommendRequest {
        fit: fit.into(),
        peak_lr,
        total,
        warmup: Some(300.min(total / 2)),
        shape: Shape::Linear,
        final_lr: 0.0,
        setting: Setting::default(),
        options: RecommendOptions::default(),
        optimise_shape: false,
        free_schedule: false,
        measured: None,
        export: None,
    };
    let answer = desk.recommend(&request).expect("a recommendation");
    let codes = answer.caveats.iter().filter(|caveat| caveat.blocking()).map(lehr::Caveat::code).collect();
    Some((codes, answer.value.ratio))
}

#[test]
fn what_blocks_is_what_the_answer_leaves_open() {
    let stable_and_cosines = ["cosine-lr0.001*", "*constant*lr0.001*"];
    let Some((codes, _)) = recommended(&stable_and_cosines, 1e-3, 15_000) else { return };
    assert_eq!(codes, ["ratio-open", "whole-run-annealing"]);
    // With one branch the ratio is right: 0.447 is measured.
    let with_branch = ["cosine-lr0.001*", "*constant*lr0.001*", "wsd-lr0.001-T15000-r0.2*"];
    let (codes, ratio) = recommended(&with_branch, 1e-3, 15_000).expect("the runs are there");
    assert_eq!(codes, [""; 0]);
    assert!((0.3..=0.6).contains(&ratio), "{ratio}");
    // A sweep of two rates, two horizons and several ratios is what the sweep guide asks for.
    let sweep = ["wsd-lr0.001*", "wsd-lr0.002*"];
    assert_eq!(recommended(&sweep, 1e-3, 25_000).expect("the runs are there").0, [""; 0]);
    // Far away, or shorter than what a fit looks at, nothing is known.
    let far = recommended(&["*-T15000*"], 0.5, 15_000).expect("the runs are there").0;
    assert!(far.contains(&"extrapolates-peak-rate"), "{far:?}");
    let short = recommended(&["*-T15000*"], 1e-3, 500).expect("the runs are there").0;
    assert_eq!(short, ["short-horizon"]);
}
