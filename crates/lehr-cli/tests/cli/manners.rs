//! Data to stdout, talk to stderr, no colours into files, quiet when the reader leaves.

use crate::support::{RUNS, at, command, lehr};
use std::io::{BufRead, BufReader};
use std::process::Stdio;

/// One command line a verb.
fn one_of_each() -> Vec<Vec<String>> {
    let fit = at("fit.json");
    let lines: [&[&str]; 8] = [
        &["inspect", RUNS],
        &["fit", RUNS, "--starts", "2"],
        &["validate", RUNS, "--train", "*T10000*", "--starts", "2"],
        &["forecast", &fit, "--peak-lr", "1e-3", "--steps", "40k"],
        &["recommend", &fit, "--peak-lr", "1e-3", "--steps", "40k"],
        &["transfer", RUNS],
        &["schedule", "--wsd", "peak=3e-4,total=24k,ratio=0.2"],
        &["laws"],
    ];
    lines.iter().map(|line| line.iter().map(|&word| word.to_owned()).collect()).collect()
}

#[test]
fn stdout_holds_data_and_stderr_talk() {
    for line in one_of_each() {
        let answer = lehr(&line).expect(0);
        for word in ["note:", "caveat:", "error:", "hint:", "wrote "] {
            assert!(!answer.out.contains(word), "{line:?} says '{word}' on stdout: {}", answer.out);
        }
        assert!(!answer.out.is_empty(), "{line:?} says nothing");
        let json = lehr(&[&line[..], &["--json".to_owned()]].concat()).expect(0);
        assert!(json.json().is_object(), "{line:?}");
        assert!(json.json()["schema"].as_str().unwrap().starts_with("lehr."), "{line:?}");
    }
}

#[test]
fn nothing_is_coloured_outside_a_terminal() {
    let mut lines = one_of_each();
    lines.push(vec!["fit".to_owned(), "nowhere".to_owned()]);
    for line in lines {
        for colour in [None, Some("1")] {
            let mut command = command();
            if let Some(value) = colour {
                command.env("NO_COLOR", value);
            }
            let output = command.args(&line).output().unwrap();
            assert!(!output.stdout.contains(&0x1b), "{line:?}: escape codes on stdout");
            assert!(!output.stderr.contains(&0x1b), "{line:?}: escape codes on stderr");
        }
    }
}

#[test]
fn a_reader_that_leaves_early_is_no_failure() {
    let mut child = command()
        .args(["schedule", "--wsd", "peak=3e-4,total=1M,ratio=0.2", "--rates"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    reader.read_line(&mut line).unwrap();
    drop(reader);
    let output = child.wait_with_output().unwrap();
    assert_eq!(line, "step,lr\n");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn counts_accept_k_and_m_and_b() {
    let fit = at("fit.json");
    let of = |steps: &str| {
        lehr(&["forecast", &fit, "--peak-lr", "1e-3", "--steps", steps, "--warmup", "0.3k", "--json"])
            .expect(0)
            .json()["schedule"]
            .clone()
    };
    assert_eq!(of("20000"), of("20k"));
    assert_eq!(of("20_000"), of("0.02M"));
    assert_eq!(of("2e4"), of("0.00002B"));
}

#[test]
fn the_same_command_gives_the_same_bytes_whatever_the_threads() {
    let fit =
        |threads: &str| lehr(&["fit", RUNS, "--starts", "4", "--threads", threads, "--json"]).expect(0).out;
    let one = fit("1");
    assert_eq!(one, fit("2"));
    assert_eq!(one, fit("1"));
}

#[test]
fn what_json_prints_of_a_fit_is_a_fit() {
    let file = at("from-stdout.json");
    std::fs::write(&file, lehr(&["fit", RUNS, "--starts", "4", "--json"]).expect(0).out).unwrap();
    let target = ["--peak-lr", "1e-3", "--steps", "20k", "--json"];
    let printed = lehr(&[&["forecast", &file][..], &target].concat()).expect(0).json();
    let written = lehr(&[&["forecast", &at("fit.json")][..], &target].concat()).expect(0).json();
    assert_eq!(printed, written);
}

#[test]
fn a_fit_of_final_losses_can_be_read_again() {
    let words = ["forecast", &at("blind.json"), "--peak-lr", "1e-3", "--steps", "20k", "--accept-caveats"];
    lehr(&words).expect(0);
}

#[test]
fn an_unknown_option_is_answered_with_the_verbs_that_take_it() {
    let answer = lehr(&["fit", RUNS, "--anneal-steps", "5"]).expect(2);
    assert!(answer.err.contains("'--anneal-steps' is an option of `lehr forecast`"), "{}", answer.err);
    assert!(!answer.err.contains("as a value"), "{}", answer.err);
    let nowhere = lehr(&["fit", RUNS, "--no-such-flag"]).expect(2);
    assert!(!nowhere.err.contains("tip:"), "{}", nowhere.err);
}

#[test]
fn a_number_of_three_hundred_digits_is_written_with_its_exponent() {
    let answer = lehr(&["forecast", &at("fit.json"), "--peak-lr", "1e-300", "--steps", "20k"]).expect(2);
    assert!(answer.err.contains("the peak rate is 1e-300; expected a rate between"), "{}", answer.err);
}
