//! `lehr train` as a person meets it: a curve in a store, interruptions, branches, divergence, refusals.

use crate::support::{command, lehr, masked};
use serde_json::Value;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// A run of a second.
pub const TINY: &str = "batch = 4\nvalidate_every = 8\nschedule = 'wsd:peak=3e-3,total=24,warmup=4,ratio=0.25'\n\
                        [model]\npreset = 'dense-0.03m'\ncontext = 16\n[data]\nvalidation_sequences = 8\n";

/// A folder with the tiny run's configuration.
fn place() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("tiny.toml"), TINY).unwrap();
    folder
}

/// `lehr train tiny.toml --threads 1 -o store …` in the folder.
fn words(folder: &Path, more: &[&str]) -> Vec<String> {
    let at = |name: &str| folder.join(name).to_string_lossy().into_owned();
    let start =
        ["train".to_owned(), at("tiny.toml"), "--threads".into(), "1".into(), "-o".into(), at("store")];
    start.into_iter().chain(more.iter().map(|word| word.replace("DIR", &at("")))).collect()
}

/// What `lehr inspect` says of the store's runs, of one split.
fn runs(folder: &Path, split: &str, name: &str) -> Vec<Value> {
    let store = folder.join("store").to_string_lossy().into_owned();
    lehr(&["inspect", &store, "--split", split, "--run", name, "--json"]).expect(0).json()["runs"]
        .as_array()
        .unwrap()
        .clone()
}

#[test]
fn a_run_becomes_two_curves_that_other_verbs_read() {
    let folder = place();
    let answer = lehr(&words(folder.path(), &["--run", "tiny", "--seed", "7"])).expect(0);
    assert!(answer.out.contains("tiny: 24 of 24 updates"), "{}", answer.out);
    assert!(answer.out.contains("the language's entropy is"), "{}", answer.out);
    assert!(masked(&answer.err).contains("validation # rate # #k tokens/s"), "{}", answer.err);
    for (split, name, points) in [("val", "validation", 3), ("train", "train", 24)] {
        let found = runs(folder.path(), split, "*");
        let run = &found[0];
        assert_eq!((found.len(), run["id"].as_str()), (1, Some("tiny")), "{split}");
        assert_eq!((run["split"].as_str(), run["points"].as_u64()), (Some(name), Some(points)), "{split}");
        assert_eq!((run["params"].as_u64(), run["counted"].as_str()), (Some(29_856), Some("non_embedding")));
        assert_eq!(
            (run["tokens_per_step"].as_u64(), run["dataset"].as_str()),
            (Some(64), Some("synthetic-0"))
        );
        assert_eq!((run["total_steps"].as_u64(), run["ratio"].as_f64()), (Some(24), Some(0.25)));
        assert_eq!(run["loss_kind"].as_str(), Some("instant"));
    }
    assert!(!folder.path().join("store/.train/tiny").exists(), "a finished run leaves no state");
    let store = folder.path().join("store").to_string_lossy().into_owned();
    lehr(&["fit", &store, "--split", "train", "--law", "memoryless", "--accept-caveats", "--starts", "2"])
        .expect(0);
}

#[test]
fn a_killed_run_goes_on_to_the_same_bits() {
    let folder = place();
    let long = ["--schedule", "wsd:peak=3e-3,total=600,warmup=4,ratio=0.25", "--save-seconds", "0.02"];
    lehr(&words(folder.path(), &[&long[..], &["--run", "whole"]].concat())).expect(0);
    let cut = words(folder.path(), &[&long[..], &["--run", "cut"]].concat());
    let mut child = command().args(&cut).stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    let snapshot = folder.path().join("store/.train/cut/last.safetensors");
    let since = Instant::now();
    while !snapshot.exists() {
        assert!(since.elapsed() < Duration::from_secs(120), "no snapshot");
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    // Not by accident: going on is asked for, and with the same settings.
    let answer = lehr(&cut).expect(1);
    assert!(
        answer.err.contains("was begun and not finished") && answer.err.contains("--resume"),
        "{}",
        answer.err
    );
    let other = [&cut[..], &["--resume".to_owned(), "--seed".into(), "9".into()]].concat();
    let answer = lehr(&other).expect(1);
    assert!(answer.err.contains("another seed"), "{}", answer.err);
    let answer = lehr(&[&cut[..], &["--resume".to_owned(), "--json".into()]].concat()).expect(0).json();
    let resumed = answer["resumed_at"].as_u64().unwrap();
    assert!(resumed > 0 && resumed < 600, "{resumed}");
    for split in ["train", "val"] {
        // Together they are one run, since their points are equal: each by its name.
        assert_eq!(runs(folder.path(), split, "*").len(), 1);
        let (whole, resumed) = (runs(folder.path(), split, "whole"), runs(folder.path(), split, "cut"));
        for key in ["points", "last_loss", "noise", "first_step", "last_step"] {
            assert_eq!(whole[0][key], resumed[0][key], "{split}: {key}");
        }
    }
}

#[cfg(unix)]
#[test]
fn ctrl_c_keeps_what_was_trained() {
    let folder = place();
    let long = ["--schedule", "wsd:peak=3e-3,total=2000,warmup=4,ratio=0.25", "--run", "long"];
    let long = words(folder.path(), &long);
    let mut child = command().args(&long).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let journal = folder.path().join("store/.train/long/points.journal");
    let since = Instant::now();
    while !journal.exists() {
        assert!(since.elapsed() < Duration::from_secs(120), "not begun");
        std::thread::sleep(Duration::from_millis(2));
    }
    std::thread::sleep(Duration::from_millis(200));
    let sent = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let mut said = String::new();
    std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut said).unwrap();
    assert!(said.contains("of 2000 updates are kept") && said.contains("--resume"), "{said}");
    // No snapshot was due within its first minute: the interruption wrote one.
    let document = lehr(&[&long[..], &["--resume".to_owned(), "--json".into()]].concat()).expect(0).json();
    assert!(document["resumed_at"].as_u64().unwrap() > 0, "{document}");
    assert_eq!(document["completed"].as_u64(), Some(2000));
}

#[test]
fn a_branch_ends_where_the_whole_run_ends() {
    let folder = place();
    let trunk =
        ["--constant", "peak=3e-3,total=18,warmup=4", "--run", "trunk", "--snapshots", "DIRsnapshots"];
    lehr(&words(folder.path(), &[&trunk[..], &["--snapshot-every", "9"]].concat())).expect(0);
    let at = "DIRsnapshots/trunk-at-18.safetensors";
    assert!(folder.path().join("snapshots/trunk-at-9.safetensors").exists());
    lehr(&words(folder.path(), &["--run", "branch", "--from", at, "--trunk", "trunk"])).expect(0);
    lehr(&words(folder.path(), &["--run", "whole"])).expect(0);
    let found = runs(folder.path(), "train", "*");
    let by_name = |name: &str| found.iter().find(|run| run["id"] == name).unwrap();
    let (branch, whole) = (by_name("branch"), by_name("whole"));
    assert_eq!((branch["first_step"].as_u64(), branch["points"].as_u64()), (Some(19), Some(6)));
    assert_eq!(branch["branch"], serde_json::json!({ "trunk": "trunk", "at": 18 }));
    assert_eq!(branch["last_loss"], whole["last_loss"]);
}

#[test]
fn a_diverged_run_keeps_its_points_and_says_so_with_its_exit_code() {
    let folder = place();
    let hot = ["--schedule", "piecewise:5@1e-3,19@1000", "--run", "hot"];
    let answer = lehr(&words(folder.path(), &hot)).expect(3);
    assert!(
        answer.err.contains("the run diverged at update") && answer.err.contains("of 24"),
        "{}",
        answer.err
    );
    let found = runs(folder.path(), "train", "*");
    let points = found[0]["points"].as_u64().unwrap();
    assert!((5..24).contains(&points), "{points}");
    lehr(&words(folder.path(), &[&hot[..], &["--replace", "--accept-caveats"]].concat())).expect(0);
}

#[test]
fn a_dry_run_counts_and_leaves_nothing() {
    let folder = place();
    let answer = lehr(&words(folder.path(), &["--dry-run"])).expect(0);
    assert!(answer.out.contains("29,856") && answer.out.contains("1,536 in all"), "{}", answer.out);
    assert!(answer.out.contains("FLOP") && answer.out.contains("about "), "{}", answer.out);
    assert!(!folder.path().join("store").exists());
}

#[test]
fn mistakes_are_told_before_anything_is_trained() {
    let folder = place();
    std::fs::write(
        folder.path().join("wrong.toml"),
        "batch = 4\n[model]\npreset = 'dense-0.03m'\nwidth = 12\n",
    )
    .unwrap();
    std::fs::write(folder.path().join("short.txt"), "too short").unwrap();
    lehr(&words(folder.path(), &["--run", "there"])).expect(0);
    let wrong = folder.path().join("wrong.toml").to_string_lossy().into_owned();
    let rates = ["--constant", "peak=1e-3,total=5", "-o", "unused"];
    let cases: Vec<(Vec<String>, i32, &str)> = vec![
        (words(folder.path(), &["--run", "there"]), 1, "it has a run 'there' already"),
        (words(folder.path(), &["--preset", "dense-7b"]), 1, "'dense-7b'; expected one of dense-0.03m"),
        (words(folder.path(), &["--data", "DIRshort.txt"]), 1, "10 tokens, which are 0 sequences of 16"),
        (words(folder.path(), &["--data", "DIRabsent.txt"]), 1, "cannot read"),
        (words(folder.path(), &["--run", "a/b"]), 2, "is no name"),
        (words(folder.path(), &["--schedule", "wsd:peak=x"]), 2, "peak"),
        (words(folder.path(), &["--from", "DIRtiny.toml", "--trunk", "t"]), 1, "tiny.toml"),
        (words(folder.path(), &["--from", "DIRtiny.toml"]), 2, "--trunk"),
        (
            [&["train", &wrong][..], &rates].concat().iter().map(|w| (*w).to_owned()).collect(),
            1,
            "wrong.toml:4: model.width is 12; expected a multiple of 8",
        ),
        (["train", "-o", "unused"].map(str::to_owned).to_vec(), 2, "no schedule was given"),
        (["train", "--constant", "peak=1e-3,total=5"].map(str::to_owned).to_vec(), 2, "--output"),
    ];
    for (words, code, said) in cases {
        let answer = lehr(&words).expect(code);
        assert!(answer.err.contains(said), "{words:?}: {}\n(wanted {said})", answer.err);
    }
}

#[test]
fn every_token_of_a_mixture_of_experts_is_counted() {
    let folder = place();
    let file = folder.path().join("experts.csv");
    let named = file.to_string_lossy().into_owned();
    let more = ["--preset", "moe-8x0.03m", "--context", "16", "--run", "moe", "--experts", &named];
    let document = lehr(&words(folder.path(), &[&more[..], &["--json"]].concat())).expect(0).json();
    let layers = document["expert_tokens"].as_array().unwrap();
    // 24 updates of 4 × 16 tokens, each to two experts.
    let totals: Vec<u64> = layers
        .iter()
        .map(|layer| layer.as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).sum())
        .collect();
    assert!(!totals.is_empty() && totals.iter().all(|&n| n == 24 * 64 * 2), "{totals:?}");
    let text = std::fs::read_to_string(&file).unwrap();
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!(rows[0], ["run", "step", "layer", "expert", "tokens"]);
    // Three validations.
    assert_eq!(rows.len(), 1 + 3 * totals.len() * 8);
    for step in ["8", "16", "24"] {
        let of = rows.iter().filter(|row| row[0] == "moe" && row[1] == step && row[2] == "0");
        assert_eq!(of.map(|row| row[4].parse::<u64>().unwrap()).sum::<u64>(), 8 * 64 * 2, "{step}");
    }
    let dense = lehr(&words(folder.path(), &["--run", "dense", "--json"])).expect(0).json();
    assert_eq!(dense["expert_tokens"], Value::Array(Vec::new()));
}
