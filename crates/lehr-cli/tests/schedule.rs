//! `lehr schedule`: what it prints, what it refuses.

use assert_cmd::Command;
use serde_json::Value;

struct Answer {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

fn lehr(arguments: &[&str]) -> Answer {
    let output = Command::cargo_bin("lehr").unwrap().args(arguments).output().unwrap();
    Answer {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

const WSD: &str = "peak=3e-4,total=1000,warmup=100,ratio=0.2";

#[test]
fn the_table_shows_phases_sum_and_the_text_form() {
    let answer = lehr(&["schedule", "--wsd", WSD]);
    assert_eq!(answer.code, Some(0), "{}", answer.stderr);
    for words in [
        "annealing   801     1000   200",
        "forward effect S = Σ η = 0.255000 over 1000 updates",
        "as text: wsd:peak=3e-4,total=1000,warmup=100,ratio=0.2,shape=linear,final=0",
    ] {
        assert!(answer.stdout.contains(words), "{words}\n{}", answer.stdout);
    }
}

#[test]
fn json_describes_the_schedule_and_reads_back() {
    let answer = lehr(&["schedule", "--spec", &format!("wsd:{WSD}"), "--json"]);
    let value: Value = serde_json::from_str(&answer.stdout).unwrap();
    assert_eq!((&value["schema"], &value["family"]), (&"lehr.schedule/1".into(), &"wsd".into()));
    assert_eq!(value["phases"][2]["first"], 801);
    let schedule: lehr::Schedule = serde_json::from_value(value["schedule"].clone()).unwrap();
    assert_eq!(schedule.to_string(), value["text"].as_str().unwrap());
}

#[test]
fn rates_are_one_row_an_update_and_are_recognised_again() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rates.csv");
    let answer = lehr(&["schedule", "--wsd", WSD, "-o", file.to_str().unwrap()]);
    assert_eq!((answer.code, answer.stdout.as_str()), (Some(0), ""), "{}", answer.stderr);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), lehr(&["schedule", "--wsd", WSD, "--rates"]).stdout);
    let answer = lehr(&["schedule", "--from-log", file.to_str().unwrap(), "--json"]);
    let value: Value = serde_json::from_str(&answer.stdout).unwrap();
    assert_eq!(value["text"], "wsd:peak=3e-4,total=1000,warmup=100,ratio=0.2,shape=linear,final=0");
    assert_eq!(value["recognised"]["exact"], true);
}

#[test]
fn an_export_keeps_configuration_and_talk_apart() {
    let answer = lehr(&["schedule", "--wsd", WSD, "--export", "megatron"]);
    assert!(
        answer.stdout.starts_with("--lr 0.0003 \\\n--min-lr 0.0 \\\n--train-iters 1000 \\\n"),
        "{}",
        answer.stdout
    );
    assert!(answer.stderr.contains("lr-decay-iters is 999, not 1000"), "{}", answer.stderr);
    let answer = lehr(&["schedule", "--wsd", WSD, "--export", "nanochat", "--json"]);
    let value: Value = serde_json::from_str(&answer.stdout).unwrap();
    assert_eq!(value["executed"], false);
    assert_eq!(value["promised_rates"].as_array().unwrap().len(), 1000);
    assert!(value["deviation"]["max_of_peak"].as_f64().unwrap() < 0.01);
}

#[test]
fn every_refusal_says_what_was_found_and_expected() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log.csv");
    std::fs::write(&log, "step,lr\n1,1e-4\n2,fast\n").unwrap();
    let bare = folder.path().join("bare.csv");
    std::fs::write(&bare, "iteration,loss\n1,3.0\n").unwrap();
    let (log, bare) = (log.to_str().unwrap(), bare.to_str().unwrap());
    for (arguments, code, words) in [
        (
            vec!["--wsd", "peak=3e-4,total=1000,warmup=900,ratio=0.2"],
            2,
            "warm-up (900) and annealing (200) need 1100",
        ),
        (
            vec!["--wsd", "peak=3e-4,total=1000,ratio=0.2,epochs=3"],
            2,
            "wsd has no 'epochs'; accepted: peak, total",
        ),
        (vec!["--cosine", "peak=3e-4"], 2, "cosine needs 'total'"),
        (vec!["--spec", "triangle:peak=1"], 2, "'triangle' is no schedule"),
        (vec![], 2, "required arguments"),
        (
            vec!["--wsd", WSD, "--export", "tensorflow"],
            2,
            "'tensorflow' is no export target; expected one of torch",
        ),
        (
            vec!["--two-stage", "peak=3e-4,drop=1e-4,at=50,total=100", "--export", "hf"],
            1,
            "hf cannot express a two-stage",
        ),
        (vec!["--wsd", WSD, "--export", "hf", "--from-step", "900"], 1, "annealing starts after update 800"),
        (vec!["--wsd", WSD, "-o", "rates.xlsx"], 2, "'rates.xlsx' says no format"),
        (vec!["--from-log", log], 1, "log.csv:3: column 'lr' is 'fast'; expected a number"),
        (vec!["--from-log", bare], 1, "bare.csv: run 'bare' has no learning rate"),
        (vec!["--from-log", "/nowhere/log.csv"], 1, "/nowhere/log.csv: no such file"),
    ] {
        let answer = lehr(&[&["schedule"], arguments.as_slice()].concat());
        assert_eq!(answer.code, Some(code), "{arguments:?}: {}", answer.stderr);
        assert!(answer.stderr.contains(words), "{arguments:?}: {}", answer.stderr);
        assert_eq!(answer.stdout, "", "{arguments:?}");
    }
}
