//! Runs the command and shows what it said.

use assert_cmd::cargo::cargo_bin;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The simulated runs, as every test names them: relative to the root of the repository.
pub const RUNS: &str = "fixtures/runs";

/// What one call of the command answered.
pub struct Answer {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Answer {
    /// The document that `--json` printed.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out)
            .unwrap_or_else(|error| panic!("stdout is no JSON ({error}): {}\n{}", self.out, self.err))
    }

    /// The answer, if the exit code is the one expected.
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "exit code; stdout: {}\nstderr: {}", self.out, self.err);
        self
    }
}

pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The command at the root of the repository, without anything in the environment that changes what it prints.
pub fn command() -> Command {
    let mut command = Command::new(cargo_bin("lehr"));
    command.current_dir(root()).env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE").env_remove("COLUMNS");
    command
}

pub fn lehr<S: AsRef<std::ffi::OsStr>>(arguments: &[S]) -> Answer {
    lehr_in(&root(), arguments)
}

/// What the command answers in another folder.
pub fn lehr_in<S: AsRef<std::ffi::OsStr>>(folder: &Path, arguments: &[S]) -> Answer {
    let output = command().current_dir(folder).args(arguments).output().unwrap();
    Answer {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// The log of a constant simulated run of 20,000 updates, up to an update.
fn job(upto: u64) -> String {
    let rows = std::fs::read_to_string(root().join("fixtures/runs/curves.csv")).unwrap();
    let mut log = String::from("step,lr,loss\n");
    for row in rows.lines().filter_map(|row| row.strip_prefix("sim-peak2e-3-T20000-constant,val,")) {
        if row.split(',').next().unwrap().parse::<u64>().unwrap() <= upto {
            log += row;
            log.push('\n');
        }
    }
    log
}

/// A folder with files that many tests need: `fit.json`, `blind.json` (a law of final losses), broken fits.
pub fn folder() -> &'static Path {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    FOLDER
        .get_or_init(|| {
            let folder = tempfile::tempdir().unwrap();
            let at = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
            lehr(&["fit", RUNS, "--starts", "4", "-o", &at("fit.json")]).expect(0);
            let small = ["fit", RUNS, "--run", "*T10000*", "--starts", "4", "-o"];
            lehr(&[&small[..], &[&at("small.json")]].concat()).expect(0);
            let blind = ["fit", RUNS, "--law", "chinchilla-steps", "--accept-caveats", "-o"];
            lehr(&[&blind[..], &[&at("blind.json")]].concat()).expect(0);
            let fit: Value = serde_json::from_str(&std::fs::read_to_string(at("fit.json")).unwrap()).unwrap();
            let edited = |name: &str, edit: &dyn Fn(&mut Value)| {
                let mut value = fit.clone();
                edit(&mut value);
                std::fs::write(at(name), serde_json::to_string_pretty(&value).unwrap()).unwrap();
            };
            edited("other-format.json", &|v| v["format"] = 9.into());
            edited("no-format.json", &|v| drop(v.as_object_mut().unwrap().remove("format")));
            edited("no-law.json", &|v| drop(v.as_object_mut().unwrap().remove("law")));
            edited("unknown-law.json", &|v| v["law"] = "crystal-ball".into());
            edited("other-law.json", &|v| v["law"] = "cmmt".into());
            edited("one-short.json", &|v| drop(v["coefficients"].as_array_mut().unwrap().pop()));
            edited("renamed.json", &|v| v["coefficients"][2]["name"] = "beta".into());
            edited("text-value.json", &|v| v["coefficients"][2]["value"] = "large".into());
            edited("short-refit.json", &|v| {
                drop(v["uncertainty"]["refits"][0]["theta"].as_array_mut().unwrap().pop());
            });
            edited("no-runs.json", &|v| v["runs"] = Value::Array(Vec::new()));
            edited("wrong-level.json", &|v| v["options"]["level"] = 7.into());
            // Cut right after a key, so that the place does not hang on the digits of a number.
            let whole = std::fs::read_to_string(at("fit.json")).unwrap();
            let (key, _) = whole.match_indices("\"value\":").nth(4).unwrap();
            std::fs::write(at("cut.json"), &whole[..key + 8]).unwrap();
            std::fs::write(at("table.csv"), "step,lr,loss\n1,1e-3,4.0\n2,1e-3,3.9\n").unwrap();
            std::fs::write(at("empty.csv"), "").unwrap();
            std::fs::write(at("job.csv"), job(9_000)).unwrap();
            std::fs::create_dir(folder.path().join("hollow")).unwrap();
            folder
        })
        .path()
}

/// A file of [`folder`] as an argument.
pub fn at(name: &str) -> String {
    folder().join(name).to_string_lossy().into_owned()
}

/// Command lines with their exit codes and what they said on stderr, as one text to snapshot. `DIR` in a command line
/// stands for [`folder`].
pub fn conversation(lines: &[&str]) -> String {
    let mut text = String::new();
    for line in lines {
        let words: Vec<String> = words(line).into_iter().map(|word| word.replace("DIR", &at(""))).collect();
        let answer = lehr(&words);
        let said = answer.err.replace(&at(""), "DIR").replace("//", "/");
        text.push_str(&format!("$ lehr {line}\n{}[exit {}]\n\n", said, answer.code));
    }
    text
}

/// Words as a shell would split them, single quotes respected.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '\'' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            c => {
                if let Some(word) = words.last_mut() {
                    word.push(c);
                }
            }
        }
    }
    words
}

/// A text with every number (and its sign) as `#` and runs of blanks and rules shortened: what it says, whatever the last
/// digit.
pub fn masked(text: &str) -> String {
    let mut out = String::new();
    let mut in_number = false;
    let mut last = '\n';
    for c in text.chars() {
        let starts = c.is_ascii_digit() && !last.is_alphabetic() && last != '_';
        let exponent = last == 'e' && (c == '-' || c == '+');
        let goes_on = in_number && (c.is_ascii_digit() || c == '.' || c == 'e' || exponent);
        if starts || goes_on {
            if !in_number {
                if out.ends_with(" +") || out.ends_with(" -") {
                    out.pop();
                }
                out.push('#');
            }
            in_number = true;
        } else {
            in_number = false;
            let repeated = (c == ' ' || c == '─') && last == c;
            if !repeated {
                out.push(c);
            }
        }
        last = c;
    }
    out.lines().map(str::trim_end).collect::<Vec<_>>().join("\n") + "\n"
}
