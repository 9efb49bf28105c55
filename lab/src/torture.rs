//! `cargo xtask torture`: hostile inputs, made from a seed, through the command and through the library.
//!
//! ```text
//! fixtures/hostile ──replay──┐
//! fixtures ──mutate──▶ files × verbs × options ──▶ lehr (a process each, limited) ──▶ rules of an answer
//! seed ──▶ rows, schedules, targets, curves ─────▶ library (a process for many)    ──▶ rules of an answer
//!                                                                     a breach ──minimise──▶ fixtures/hostile/NAME
//! ```
//! The same seed makes the same inputs on every machine; how many of them fit into the minutes depends on the machine.

mod case;
mod command;
mod dice;
mod inside;
mod inside_case;
mod minimise;
mod mutate;
mod options;

use case::Finding;
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};
use xtask::{root, run};

/// What was asked for.
struct Wanted {
    minutes: f64,
    seed: u64,
    /// Most inputs of each campaign: the same ones on every machine, where the minutes suffice.
    inputs: u64,
    campaigns: (bool, bool),
    keep: bool,
    /// The command; none: it is built.
    lehr: Option<PathBuf>,
}

fn parse(words: &[&str]) -> io::Result<Wanted> {
    let mut wanted =
        Wanted { minutes: 5.0, seed: 1, inputs: u64::MAX, campaigns: (true, true), keep: true, lehr: None };
    let mut words = words.iter();
    let wrong = |text: String| io::Error::other(text);
    while let Some(&word) = words.next() {
        let mut value = || words.next().ok_or_else(|| wrong(format!("{word} needs a value")));
        match word {
            "--minutes" => {
                let text = value()?;
                let minutes: f64 =
                    text.parse().map_err(|_| wrong(format!("--minutes {text} is no number")))?;
                if !(minutes > 0.0 && minutes <= 1e5) {
                    return Err(wrong(format!("--minutes is {text}; expected more than 0")));
                }
                wanted.minutes = minutes;
            }
            "--seed" => {
                let text = value()?;
                wanted.seed = text.parse().map_err(|_| wrong(format!("--seed {text} is no whole number")))?;
            }
            "--inputs" => {
                let text = value()?;
                wanted.inputs =
                    text.parse().map_err(|_| wrong(format!("--inputs {text} is no whole number")))?;
            }
            "--only" => match *value()? {
                "command" => wanted.campaigns = (true, false),
                "inside" => wanted.campaigns = (false, true),
                other => return Err(wrong(format!("--only {other}; expected command or inside"))),
            },
            "--lehr" => wanted.lehr = Some(std::path::absolute(value()?)?),
            "--no-fixtures" => wanted.keep = false,
            other => return Err(wrong(format!("torture does not know '{other}'"))),
        }
    }
    Ok(wanted)
}

/// Where findings are kept.
fn hostile() -> PathBuf {
    root().join("fixtures/hostile")
}

/// Builds the command.
fn build() -> io::Result<PathBuf> {
    run(Command::new(env!("CARGO")).args(["build", "--quiet", "--package", "lehr-cli"]).current_dir(root()))?;
    Ok(root().join("target/debug").join(if cfg!(windows) { "lehr.exe" } else { "lehr" }))
}

/// Runs the campaigns; fails when something was found.
pub fn torture(words: &[&str]) -> io::Result<()> {
    if let ["inside", rest @ ..] = words {
        return inside::serve(rest);
    }
    let wanted = parse(words)?;
    let lehr = match &wanted.lehr {
        Some(path) => path.clone(),
        None => build()?,
    };
    let begun = Instant::now();
    let mut findings = Vec::new();
    let replayed =
        command::replay(&lehr, &hostile(), &mut findings)? + inside::replay(&hostile(), &mut findings)?;
    println!("replayed {replayed} kept cases: {} findings", findings.len());
    let each = Duration::from_secs_f64(
        60.0 * wanted.minutes / if wanted.campaigns == (true, true) { 2.0 } else { 1.0 },
    );
    if wanted.campaigns.0 {
        let (count, codes, found) = command::campaign(&lehr, wanted.seed, each, wanted.inputs)?;
        let codes: Vec<String> = codes.iter().map(|(code, n)| format!("{n} ended with {code}")).collect();
        println!("command: {count} inputs ({}); {} findings", codes.join(", "), found.len());
        findings.extend(found);
    }
    if wanted.campaigns.1 {
        let (counts, found) = inside::campaign(wanted.seed, each, wanted.inputs)?;
        let counts: Vec<String> = counts.iter().map(|(kind, n)| format!("{n} {kind}")).collect();
        println!("library: {}; {} findings", counts.join(", "), found.len());
        findings.extend(found);
    }
    println!("torture took {:.0} s, seed {}", begun.elapsed().as_secs_f64(), wanted.seed);
    report(findings, wanted.keep)
}

/// Says each kind of finding once, keeps its smallest case, and fails when there is one.
fn report(findings: Vec<Finding>, keep: bool) -> io::Result<()> {
    let mut kinds: BTreeMap<String, (usize, Finding)> = BTreeMap::new();
    for finding in findings {
        let entry = kinds.entry(finding.kind.clone()).or_insert_with(|| (0, finding.clone()));
        entry.0 += 1;
        if finding.case.size() < entry.1.case.size() {
            entry.1 = finding;
        }
    }
    for (count, finding) in kinds.values() {
        println!("\nFOUND {count} × {}\n  {}", finding.kind, finding.case.shown());
        if let Some(said) = finding.said.lines().next() {
            println!("  said: {said}");
        }
        if keep {
            println!("  kept: {}", finding.case.keep(&hostile(), &finding.kind)?.display());
        }
    }
    if kinds.is_empty() {
        Ok(())
    } else {
        Err(io::Error::other(format!("{} kinds of findings; each is a fault to mend", kinds.len())))
    }
}
