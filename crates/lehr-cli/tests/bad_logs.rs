//! What a user gets for each broken log: the snapshot is the whole answer.

use assert_cmd::Command;
use std::path::Path;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

fn answer(arguments: &[&str]) -> String {
    let output = Command::cargo_bin("lehr").unwrap().current_dir(ROOT).args(arguments).output().unwrap();
    format!(
        "$ lehr {}\nexit code {}\n--- stderr\n{}--- stdout\n{}",
        arguments.join(" "),
        output.status.code().unwrap(),
        String::from_utf8(output.stderr).unwrap(),
        String::from_utf8(output.stdout)
            .unwrap()
            .lines()
            .map(|line| format!("{}\n", line.trim_end()))
            .collect::<String>(),
    )
}

#[test]
fn every_broken_log_gets_the_answer_a_user_needs() {
    let directory = Path::new(ROOT).join("fixtures/logs");
    let mut names: Vec<String> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("bad-"))
        .collect();
    names.sort();
    assert!(names.len() >= 40, "{names:?}");
    for name in names {
        insta::assert_snapshot!(
            name.replace('.', "-"),
            answer(&["inspect", &format!("fixtures/logs/{name}")])
        );
    }
}

#[test]
fn repairs_are_made_where_the_user_asks_for_them() {
    for (name, arguments) in [
        ("asked-drop-nan", &["inspect", "fixtures/logs/bad-nan.csv", "--drop-nan"][..]),
        ("asked-drop-nan-tail", &["inspect", "fixtures/logs/bad-nan-tail.csv", "--drop-nan"]),
        ("asked-stitch", &["inspect", "fixtures/logs/bad-alternating.csv", "--stitch"]),
        ("asked-map", &["inspect", "fixtures/logs/bad-no-step.csv", "--map", "step=when"]),
        ("asked-samples", &["inspect", "fixtures/logs/bad-samples-only.csv", "--samples-per-step", "10"]),
        (
            "asked-schedule",
            &[
                "inspect",
                "fixtures/logs/torchtitan.log",
                "--stated-schedule",
                "wsd:peak=1e-3,total=100,warmup=10,anneal=20,shape=linear,final=0",
            ],
        ),
        ("asked-lr-scale", &["inspect", "fixtures/logs/nanochat", "--lr-scale", "1e-3"]),
        ("asked-loss-kind", &["inspect", "fixtures/logs/bad-cut-off.csv", "--loss-kind", "ema:0.99"]),
    ] {
        insta::assert_snapshot!(name, answer(arguments));
    }
}

#[test]
fn wrong_options_are_named() {
    for (name, arguments) in [
        ("option-map-role", &["inspect", "fixtures/logs/bad-restart.csv", "--map", "colour=red"][..]),
        ("option-map-column", &["inspect", "fixtures/logs/bad-restart.csv", "--map", "loss=ce"]),
        ("option-run", &["inspect", "fixtures/logs/bad-restart.csv", "--run", "wsd*"]),
        ("option-split", &["inspect", "fixtures/logs/bad-restart.csv", "--split", "val"]),
        (
            "option-stated-schedule",
            &["inspect", "fixtures/logs/torchtitan.log", "--stated-schedule", "wsd:peak=fast"],
        ),
        ("option-loss-kind", &["inspect", "fixtures/logs/bad-restart.csv", "--loss-kind", "ema:2"]),
        ("option-lr-scale", &["inspect", "fixtures/logs/nanochat", "--lr-scale", "0"]),
        ("option-path", &["inspect", "fixtures/logs/none.csv"]),
        ("option-glob", &["inspect", "fixtures/logs/none*.csv"]),
    ] {
        insta::assert_snapshot!(name, answer(arguments));
    }
}
