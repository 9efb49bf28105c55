//! The campaign through the command: mutated fixtures, verbs, options; one process each, with limits.

use super::case::{Case, CommandCase, Finding, kept};
use super::dice::Dice;
use super::minimise::minimised;
use super::mutate::mutated;
use super::options::{Takes, line};
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use xtask::root;

/// Seconds of processor time that any answer may take, in the development profile, two threads together.
const CPU_SECONDS: u64 = 20;
/// Addresses that a process may take, KiB: 1 GiB of memory and what threads reserve without using it.
const ADDRESSES: u64 = 1_600_000;
/// Wall time after which a process that waits for something is ended.
const PATIENCE: Duration = Duration::from_secs(120);
/// Files above this are no subjects: their mutations are seldom seen.
const LARGEST: u64 = 1 << 16;
/// Processes at a time.
const AT_A_TIME: usize = 2;

/// How a process ended, and what it said.
struct Answer {
    code: Option<i32>,
    signal: Option<i32>,
    out: Vec<u8>,
    err: String,
    waited: bool,
}

/// A file to harm, and what takes it.
struct Subject {
    name: String,
    bytes: Vec<u8>,
    takes: Takes,
}

const PLAN: &str = "validate_every = 10\nwarmup = 5\n[models.tiny]\nvocabulary = 32\ncontext = 8\nwidth = 8\nlayers = 1\nheads = 2\nhidden = 16\nexperts = { count = 4, top_k = 2, hidden = 8 }\n[data]\nvalidation_sequences = 4\n[[grid]]\nmodels = ['tiny']\npeak_lr = [1e-2]\ntotal = [60, 100]\nratio = [0.1, 0.35]\nshape = ['1-sqrt', 'power:2']\nfamily = ['wsd', 'cosine', 'constant']\nbatch = [2]\nseed = [1]\n";
const TRAIN: &str = "batch = 2\nseed = 1\nvalidate_every = 5\n[model]\nvocabulary = 32\ncontext = 8\nwidth = 8\nlayers = 1\nheads = 2\nhidden = 16\n[data]\nvalidation_sequences = 4\n[schedule]\nspec = 'wsd:peak=1e-2,total=30,warmup=5,ratio=0.2'\n";

/// Files below a folder that are not too large.
fn collect(folder: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)?.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            collect(&path, found)?;
        } else if std::fs::metadata(&path)?.len() <= LARGEST {
            found.push(path);
        }
    }
    Ok(())
}

/// What is harmed: every small fixture, a small table of several runs, a fit, a plan, a configuration.
fn subjects(lehr: &Path, place: &Path) -> io::Result<Vec<Subject>> {
    let mut paths = Vec::new();
    collect(&root().join("fixtures/logs"), &mut paths)?;
    let mut subjects = Vec::new();
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        subjects.push(Subject { name, bytes: std::fs::read(&path)?, takes: Takes::Log });
    }
    // Of the simulated runs every fortieth row: what fits are made of.
    let curves = std::fs::read_to_string(root().join("fixtures/runs/curves.csv"))?;
    let mut table: String = curves.lines().take(1).map(|line| format!("{line}\n")).collect();
    for line in curves.lines().skip(1).step_by(40) {
        table.push_str(line);
        table.push('\n');
    }
    let path = place.join("table.csv");
    std::fs::write(&path, &table)?;
    for _ in 0..12 {
        // As often as many fixtures together: it is the one that everything can be done with.
        subjects.push(Subject {
            name: "table.csv".to_owned(),
            bytes: table.clone().into_bytes(),
            takes: Takes::Log,
        });
    }
    let fit = place.join("fit.json");
    let made = Command::new(lehr)
        .args(["fit", "--starts", "2", "--accept-caveats", "-o"])
        .arg(&fit)
        .arg(root().join("fixtures/runs"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()?;
    if !made.success() {
        return Err(io::Error::other("fixtures/runs cannot be fitted"));
    }
    let fit = std::fs::read(&fit)?;
    for _ in 0..subjects.len() / 3 {
        subjects.push(Subject { name: "fit.json".to_owned(), bytes: fit.clone(), takes: Takes::Fit });
    }
    for _ in 0..subjects.len() / 10 {
        subjects.push(Subject { name: "plan.toml".to_owned(), bytes: PLAN.into(), takes: Takes::Plan });
        subjects.push(Subject { name: "train.toml".to_owned(), bytes: TRAIN.into(), takes: Takes::Plan });
        subjects.push(Subject { name: "none".to_owned(), bytes: Vec::new(), takes: Takes::Text });
    }
    Ok(subjects)
}

/// Case `index` of a seed.
fn case(subjects: &[Subject], seed: u64, index: u64) -> CommandCase {
    let mut dice = Dice::new(seed, index);
    let subject = &subjects[dice.below(subjects.len())];
    let bytes = if dice.one_in(4) { subject.bytes.clone() } else { mutated(&mut dice, &subject.bytes) };
    CommandCase { words: line(&mut dice, subject.takes), name: subject.name.clone(), bytes }
}

/// A folder that is removed when this is dropped.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("lehr-torture-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // A folder that stays in the temporary one is no fault of lehr's.
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// Runs a case in a folder that is empty before and after.
fn answer(lehr: &Path, case: &CommandCase, place: &Path) -> io::Result<Answer> {
    let inside = place.join("inside");
    drop(std::fs::remove_dir_all(place));
    std::fs::create_dir_all(&inside)?;
    let file = inside.join(&case.name);
    std::fs::write(&file, &case.bytes)?;
    let words = case.words.iter().map(|word| {
        word.replace("{file}", &file.to_string_lossy()).replace("{folder}", &place.to_string_lossy())
    });
    let limits = format!("ulimit -t {CPU_SECONDS} -v {ADDRESSES} -c 0; exec \"$0\" \"$@\"");
    let (out, err) = (place.join("stdout"), place.join("stderr"));
    let mut child = Command::new("bash")
        .args(["-c", &limits])
        .arg(lehr)
        .args(words)
        .current_dir(place)
        .env("RAYON_NUM_THREADS", "2")
        .env("HOME", place)
        .stdin(Stdio::null())
        .stdout(File::create(&out)?)
        .stderr(File::create(&err)?)
        .spawn()?;
    let begun = Instant::now();
    let (status, waited) = loop {
        if let Some(status) = child.try_wait()? {
            break (status, false);
        }
        if begun.elapsed() > PATIENCE {
            child.kill()?;
            break (child.wait()?, true);
        }
        std::thread::sleep(Duration::from_millis(if begun.elapsed().as_millis() < 200 { 2 } else { 20 }));
    };
    #[cfg(unix)]
    let signal = std::os::unix::process::ExitStatusExt::signal(&status);
    #[cfg(not(unix))]
    let signal = None;
    let err = String::from_utf8_lossy(&std::fs::read(&err)?).into_owned();
    Ok(Answer { code: status.code(), signal, out: std::fs::read(&out)?, err, waited })
}

/// Words of a text that stand for what is no number; the name of the file, which an answer repeats, is no answer.
fn no_number<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let stem = name.split_once('.').map_or(name, |(stem, _)| stem);
    text.split([' ', '\t', '\n', '\'', '"', '/'])
        .filter(|word| !word.starts_with(stem))
        .flat_map(|word| word.split(|c: char| !(c.is_alphanumeric() || c == '_')))
        .find(|word| matches!(*word, "NaN" | "inf" | "Infinity" | "nan"))
}

/// The rule that an answer breaks, if it breaks one.
fn breach(case: &CommandCase, answer: &Answer) -> Option<String> {
    if let Some((_, rest)) = answer.err.split_once("panicked at ") {
        let place: String = rest.chars().take_while(|&c| c != '\n').collect();
        return Some(format!("panic at {}", place.trim_end_matches(':')));
    }
    if answer.waited {
        return Some(format!("waits for ever: {}", case.words[0]));
    }
    if answer.err.contains("memory allocation of") {
        return Some(format!("more than 1 GiB of memory: {}", case.words[0]));
    }
    if let Some(signal) = answer.signal {
        let what =
            if matches!(signal, 9 | 24) { "more than 10 s on two threads" } else { "ended by a signal" };
        return Some(format!("{what}: {} ({signal})", case.words[0]));
    }
    let code = answer.code.unwrap_or(-1);
    if !(0..=3).contains(&code) {
        return Some(format!("exit code {code}: {}", case.words[0]));
    }
    if code != 0 && answer.err.trim().is_empty() {
        return Some(format!("exit code {code} without a word: {}", case.words[0]));
    }
    let out = String::from_utf8_lossy(&answer.out);
    if case.words.iter().any(|word| word == "--json") {
        let Ok(value) = serde_json::from_str::<serde_json::Value>(&out) else {
            return Some(format!(
                "--json, exit code {code}, and stdout is no JSON document: {}",
                case.words[0]
            ));
        };
        let schema = value["schema"].as_str().unwrap_or_default();
        if matches!(code, 1 | 2) != (schema == "lehr.error/1") {
            return Some(format!(
                "--json, exit code {code}, and the document is '{schema}': {}",
                case.words[0]
            ));
        }
    } else if code == 0
        && let Some(word) = no_number(&out, &case.name)
    {
        return Some(format!("'{word}' in an answer: {}", case.words[0]));
    }
    None
}

/// What a case breaks.
fn found(lehr: &Path, case: &CommandCase, place: &Path) -> io::Result<(Option<i32>, Option<Finding>)> {
    let answer = answer(lehr, case, place)?;
    let finding = breach(case, &answer).map(|kind| Finding {
        kind,
        said: answer.err.clone(),
        case: Case::Command(case.clone()),
    });
    Ok((answer.code, finding))
}

/// Runs the kept cases of the command again; how many there are.
pub fn replay(lehr: &Path, hostile: &Path, findings: &mut Vec<Finding>) -> io::Result<usize> {
    let place = Place::new("replay")?;
    let mut count = 0;
    for case in kept(hostile)? {
        if let Case::Command(case) = case {
            findings.extend(found(lehr, &case, &place.0)?.1);
            count += 1;
        }
    }
    Ok(count)
}

/// What a campaign came to: inputs, how often each exit code, findings.
pub type Outcome = (u64, BTreeMap<i32, u64>, Vec<Finding>);

/// Runs cases until the time is over.
pub fn campaign(lehr: &Path, seed: u64, time: Duration, inputs: u64) -> io::Result<Outcome> {
    let place = Place::new("subjects")?;
    let subjects = subjects(lehr, &place.0)?;
    let next = AtomicU64::new(0);
    let codes: Mutex<BTreeMap<i32, u64>> = Mutex::new(BTreeMap::new());
    // One case a kind is made small, and all are counted.
    let findings: Mutex<Vec<Finding>> = Mutex::new(Vec::new());
    let begun = Instant::now();
    let worker = |thread: usize| -> io::Result<()> {
        let place = Place::new(&format!("command-{thread}"))?;
        while begun.elapsed() < time {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= inputs {
                break;
            }
            let case = case(&subjects, seed, index);
            let (code, finding) = found(lehr, &case, &place.0)?;
            let lock = |_| io::Error::other("another thread of the campaign failed");
            *codes.lock().map_err(|_| lock(()))?.entry(code.unwrap_or(-1)).or_default() += 1;
            let Some(mut finding) = finding else { continue };
            let known = findings.lock().map_err(|_| lock(()))?.iter().any(|other| other.kind == finding.kind);
            if !known {
                let kind = finding.kind.clone();
                let small = minimised(&case, &mut |smaller| {
                    let again = found(lehr, smaller, &place.0)?.1;
                    Ok(again.is_some_and(|again| again.kind == kind))
                })?;
                finding.case = Case::Command(small);
            }
            findings.lock().map_err(|_| lock(()))?.push(finding);
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..AT_A_TIME).map(|thread| scope.spawn(move || worker(thread))).collect();
        threads.into_iter().try_for_each(|thread| {
            thread.join().map_err(|_| io::Error::other("a thread of the campaign panicked"))?
        })
    })?;
    let codes = codes.into_inner().map_err(|_| io::Error::other("a thread of the campaign panicked"))?;
    let findings =
        findings.into_inner().map_err(|_| io::Error::other("a thread of the campaign panicked"))?;
    Ok((codes.values().sum(), codes, findings))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breach_of(words: &[&str], code: i32, out: &str, err: &str) -> Option<String> {
        let words = words.iter().map(|&word| word.to_owned()).collect();
        let case = CommandCase { words, name: "none".to_owned(), bytes: Vec::new() };
        let answer =
            Answer { code: Some(code), signal: None, out: out.into(), err: err.to_owned(), waited: false };
        breach(&case, &answer)
    }

    #[test]
    fn the_rules_tell_good_answers_from_bad_ones() {
        let error = "{\"schema\": \"lehr.error/1\", \"error\": \"x\"}";
        assert_eq!(breach_of(&["fit"], 0, "loss 3.1, info, nano", ""), None);
        assert_eq!(breach_of(&["fit", "--json"], 1, error, "error: x"), None);
        assert_eq!(no_number("note: CSV inside/bad-nan-tail.csv: 'loss'", "bad-nan-tail.csv"), None);
        assert_eq!(no_number("bad-nan-tail.csv (NaN)", "bad-nan-tail.csv"), Some("NaN"));
        for (words, code, out, err) in [
            (&["fit"][..], 0, "loss inf", ""),
            (&["fit"], 0, "R² NaN", ""),
            (&["fit"], 1, "", ""),
            (&["fit"], 4, "", "error: x"),
            (&["fit"], 101, "", "thread 'main' panicked at a.rs:1:2:\nx"),
            (&["fit", "--json"], 1, "", "error: x"),
            (&["fit", "--json"], 0, error, ""),
            (&["fit", "--json"], 0, "{}{}", ""),
        ] {
            assert!(breach_of(words, code, out, err).is_some(), "{words:?} {code} {out} {err}");
        }
    }
}
