//! The campaign through the library: many cases in one process, which is watched and started anew where it dies.

use super::case::{Case, Finding, kept};
use super::inside_case::{InsideCase, Points};
use super::minimise::shorter;
use lehr::fit::{Fit, FitOptions, fit};
use lehr::forecast::{Setting, default_points, forecast};
use lehr::recommend::{RecommendOptions, Target, recommend_ratio};
use lehr::schedule::{RecogniseOptions, recognise};
use lehr::{Curve, Params, RunMeta, Schedule, Steps};
use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use xtask::root;

/// Time that one case may take in the development profile, besides what a busy machine takes from it.
const LONGEST: Duration = Duration::from_secs(10);
/// Processor time that one case may take, both threads together, where the system says what was taken.
const PROCESSOR_SECONDS: f64 = 20.0;
/// Addresses that the process may take, KiB.
const ADDRESSES: u64 = 1_600_000;
/// Updates beyond which schedules are parsed, but not written out.
const WRITTEN_OUT: u64 = 300_000;

/// Where the last panic happened.
static PANICKED_AT: Mutex<String> = Mutex::new(String::new());

/// Whether a value's debug text holds what is no number.
fn no_number(value: &dyn std::fmt::Debug) -> Option<&'static str> {
    let text = format!("{value:?}");
    let mut words = text.split(|c: char| !(c.is_alphanumeric() || c == '_'));
    words.find_map(|word| match word {
        "NaN" => Some("NaN"),
        "inf" => Some("inf"),
        _ => None,
    })
}

/// The fit of the simulated runs, made once.
fn simulated() -> Result<&'static Fit, String> {
    static FIT: OnceLock<Result<Fit, String>> = OnceLock::new();
    let made = FIT.get_or_init(|| {
        let place = root().join("fixtures/runs");
        let source = |name: &str| {
            let bytes = std::fs::read(place.join(name)).map_err(|error| format!("{name}: {error}"))?;
            Ok::<_, String>(lehr_io::Source::bytes(format!("runs/{name}"), bytes))
        };
        let sources = [source("curves.csv")?, source("manifest.csv")?];
        let mut curves = Vec::new();
        let mut take = |run: lehr_io::LoadedRun| {
            curves.push(run.curve);
            Ok(())
        };
        lehr_io::for_each_run::<lehr_io::ReadError>(&sources, &Default::default(), &mut |_| {}, &mut take)
            .map_err(|error| error.to_string())?;
        let law = lehr::law::by_name("noise-relaxation").ok_or("there is no noise-relaxation law")?;
        let options = FitOptions { starts: 2, ..FitOptions::default() };
        fit(law, &curves, &options).map_err(|error| error.to_string())
    });
    made.as_ref().map_err(Clone::clone)
}

/// The rule that a case breaks, if it breaks one.
fn breach(case: &InsideCase) -> Option<String> {
    match case {
        InsideCase::Recognise { rows, stated } => {
            let of = |key: &str| stated.iter().find(|(name, _)| name == key).map(|(_, value)| *value);
            let steps = |key| of(key).map(|value| Steps(value as u64));
            let options = RecogniseOptions {
                total: steps("total"),
                warmup: steps("warmup"),
                warmup_lr: of("warmup_lr"),
                peak_lr: of("peak_lr"),
                offset: of("offset").map(|value| value as i64),
                ..RecogniseOptions::default()
            };
            let found = recognise(rows, &options).ok()?;
            if let Some(word) = no_number(&(&found.residual, &found.tolerance)) {
                return Some(format!("recognise: {word} in the residual"));
            }
            if found.residual.rms > found.residual.max * (1.0 + 1e-9) {
                return Some("recognise: rms above the maximum".to_owned());
            }
            // Rounding of f64 itself, over the few operations of a schedule.
            if found.exact && found.residual.max > found.tolerance.max(1e-12) * 1.01 {
                return Some("recognise: exact, but further away than rounding".to_owned());
            }
            if let Some(total) = options.total
                && found.schedule.total() != total
            {
                return Some("recognise: another horizon than the stated one".to_owned());
            }
            let last = rows.last().map_or(0, |row| row.0);
            let beyond =
                i128::from(last) + i128::from(found.offset) > i128::from(found.schedule.total().0) + 1;
            (beyond && found.offset >= 0).then(|| "recognise: rows beyond the horizon".to_owned())
        }
        InsideCase::Schedule { text, target, from } => {
            let schedule: Schedule = text.parse().ok()?;
            if let Some(word) = no_number(&(schedule.peak_lr(), &schedule)) {
                return Some(format!("schedule: {word} accepted"));
            }
            if schedule.total().0 > WRITTEN_OUT {
                return None;
            }
            if schedule.rates().iter().any(|rate| !(rate.is_finite() && *rate >= 0.0)) {
                return Some("schedule: a rate that is none".to_owned());
            }
            let options = lehr_io::export::ExportOptions { from_step: from.map(Steps) };
            let made = lehr_io::export::export(target, &schedule, &options).ok()?;
            no_number(&(&made.promised_rates, &made.deviation)).map(|word| format!("export {target}: {word}"))
        }
        InsideCase::Answer { peak, total, warmup, shape, last, params, range } => {
            let fit = match simulated() {
                Ok(fit) => fit,
                Err(error) => return Some(format!("the simulated runs cannot be fitted: {error}")),
            };
            let target = Target {
                peak_lr: *peak,
                total: Steps(*total),
                warmup: Steps(*warmup),
                shape: shape.parse().ok()?,
                final_lr: *last,
                setting: Setting { params: params.map(Params), ..Setting::default() },
            };
            let options = RecommendOptions { range: *range, grid: 21, ..RecommendOptions::default() };
            let recommended = recommend_ratio(fit, &target, &options).ok();
            if let Some(answer) = &recommended
                && !answer.caveats.iter().any(lehr::Caveat::blocking)
                && let Some(word) = no_number(answer)
            {
                return Some(format!("recommend: {word}"));
            }
            let schedule = target.schedule(Steps(total / 5)).ok()?;
            let points = default_points(*total, 20);
            let answer = forecast(fit, &schedule, &target.setting, &points).ok()?;
            let blocked = answer.caveats.iter().any(lehr::Caveat::blocking);
            no_number(&answer).filter(|_| !blocked).map(|word| format!("forecast: {word}"))
        }
        InsideCase::Fit { law, runs } => {
            let law = lehr::law::by_name(law)?;
            let curve = |(i, (text, points)): (usize, &(String, Points))| {
                let schedule: Schedule = text.parse().ok()?;
                let (step, loss) = points.iter().copied().unzip();
                Curve::new(RunMeta::named(format!("run-{i}")), schedule, step, loss).ok()
            };
            let curves: Option<Vec<Curve>> = runs.iter().enumerate().map(curve).collect();
            let options = FitOptions { starts: 1, ..FitOptions::default() };
            let answer = fit(law, &curves?, &options).ok()?;
            if answer.caveats.iter().any(lehr::Caveat::blocking) {
                return None;
            }
            let judged = (&answer.coefficients, &answer.metrics, &answer.runs, &answer.caveats);
            no_number(&judged).map(|word| format!("fit {}: {word}", law.name()))
        }
    }
}

/// Processor time that this process has taken, seconds; `None` where the system does not say.
fn processor_seconds() -> Option<f64> {
    /// Of the kernel's interface, on every machine (`USER_HZ`).
    const TICKS_A_SECOND: f64 = 100.0;
    let text = std::fs::read_to_string("/proc/self/stat").ok()?;
    // Behind the name in brackets: state, ten numbers, then user and system time.
    let mut fields = text.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    Some((ticks()? + ticks()?) / TICKS_A_SECOND)
}

/// What a case breaks; a panic is caught and named by its place.
fn judged(case: &InsideCase) -> Option<String> {
    catch_unwind(AssertUnwindSafe(|| breach(case))).unwrap_or_else(|_| {
        let place = PANICKED_AT.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Some(format!("panic at {place}"))
    })
}

/// The watched process: `SEED FROM` makes cases without end, `text` reads them from stdin; a line before and after each.
pub fn serve(words: &[&str]) -> io::Result<()> {
    std::panic::set_hook(Box::new(|info| {
        let place =
            info.location().map_or_else(String::new, |place| format!("{}:{}", place.file(), place.line()));
        *PANICKED_AT.lock().unwrap_or_else(PoisonError::into_inner) = place;
    }));
    let mut out = io::stdout().lock();
    let mut answer = |name: &str, case: &InsideCase| -> io::Result<()> {
        writeln!(out, "BEGIN {name}")?;
        out.flush()?;
        // The fit that answers are made from is no part of the first of them.
        if matches!(case, InsideCase::Answer { .. }) {
            drop(simulated());
        }
        let before = processor_seconds();
        let found = judged(case);
        let slow = before
            .zip(processor_seconds())
            .filter(|(before, after)| after - before > PROCESSOR_SECONDS)
            .map(|_| format!("more than 10 s on two threads: {}", case.kind()));
        match found.or(slow) {
            Some(kind) => writeln!(out, "FOUND {kind}")?,
            None => writeln!(out, "GOOD")?,
        }
        out.flush()
    };
    match words {
        ["text"] => {
            for line in io::stdin().lock().lines() {
                let line = line?;
                let case = InsideCase::from_text(&line).ok_or_else(|| io::Error::other("no case"))?;
                answer("text", &case)?;
            }
            Ok(())
        }
        [seed, from] => {
            let number = |text: &str| text.parse::<u64>().map_err(io::Error::other);
            let seed = number(seed)?;
            for index in number(from)?.. {
                answer(&index.to_string(), &InsideCase::make(seed, index))?;
            }
            Ok(())
        }
        _ => Err(io::Error::other("usage: torture inside SEED FROM, or torture inside text")),
    }
}

/// A watched process and the lines it says.
struct Watched {
    child: Child,
    lines: Receiver<String>,
}

impl Watched {
    fn start(words: &[&str]) -> io::Result<Self> {
        let limits = format!("ulimit -v {ADDRESSES} -c 0; exec \"$0\" torture inside \"$@\"");
        let mut child = Command::new("bash")
            .args(["-c", &limits])
            .arg(std::env::current_exe()?)
            .args(words)
            .env("RAYON_NUM_THREADS", "2")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let out = child.stdout.take().ok_or_else(|| io::Error::other("no pipe"))?;
        let (say, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if say.send(line).is_err() {
                    break;
                }
            }
        });
        Ok(Self { child, lines })
    }

    /// What became of the case that was begun.
    fn verdict(&mut self, case: &InsideCase) -> Result<Option<String>, String> {
        // The first forecast waits for the fit it is made from; a busy machine gives a case a part of its time.
        let patience = if matches!(case, InsideCase::Answer { .. }) { 24 * LONGEST } else { 12 * LONGEST };
        match self.lines.recv_timeout(patience) {
            Ok(line) => Ok(line.strip_prefix("FOUND ").map(str::to_owned)),
            Err(RecvTimeoutError::Timeout) => Err(format!("waits for ever: {}", case.kind())),
            Err(RecvTimeoutError::Disconnected) => {
                Err(format!("the process died (memory or a signal): {}", case.kind()))
            }
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // It ends with its pipe where it has not ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// What one case breaks, in a process of its own.
fn alone(case: &InsideCase) -> io::Result<Option<String>> {
    let mut watched = Watched::start(&["text"])?;
    if let Some(mut input) = watched.child.stdin.take() {
        writeln!(input, "{}", case.to_text())?;
    }
    if watched.lines.recv_timeout(LONGEST).is_err() {
        return Ok(Some("the process did not begin".to_owned()));
    }
    Ok(watched.verdict(case).unwrap_or_else(Some))
}

/// A smaller case that breaks the same rule: fewer rows, less stated.
fn smaller(case: InsideCase, kind: &str) -> io::Result<InsideCase> {
    let InsideCase::Recognise { rows, stated } = case else { return Ok(case) };
    // Cases that take half a minute each are left as they are.
    if kind.starts_with("more than") {
        return Ok(InsideCase::Recognise { rows, stated });
    }
    let same = |case: &InsideCase| Ok(alone(case)?.as_deref() == Some(kind));
    let mut attempts = 80;
    let stated = shorter(&stated, &mut attempts, &mut |fewer| {
        same(&InsideCase::Recognise { rows: rows.clone(), stated: fewer.to_vec() })
    })?;
    let rows = shorter(&rows, &mut attempts, &mut |fewer| {
        same(&InsideCase::Recognise { rows: fewer.to_vec(), stated: stated.clone() })
    })?;
    Ok(InsideCase::Recognise { rows, stated })
}

/// Runs the kept cases of the library again; how many there are.
pub fn replay(hostile: &Path, findings: &mut Vec<Finding>) -> io::Result<usize> {
    let mut count = 0;
    for case in kept(hostile)? {
        if let Case::Inside(case) = case {
            if let Some(kind) = alone(&case)? {
                findings.push(Finding { kind, said: String::new(), case: Case::Inside(case) });
            }
            count += 1;
        }
    }
    Ok(count)
}

/// Runs cases until the time is over: how many of each kind, and what was found.
pub fn campaign(
    seed: u64,
    time: Duration,
    inputs: u64,
) -> io::Result<(BTreeMap<&'static str, u64>, Vec<Finding>)> {
    let begun = Instant::now();
    let (mut counts, mut found): (BTreeMap<&'static str, u64>, Vec<(String, InsideCase)>) =
        Default::default();
    let mut index = 0_u64;
    while begun.elapsed() < time && index < inputs {
        let mut watched = Watched::start(&[&seed.to_string(), &index.to_string()])?;
        while begun.elapsed() < time && index < inputs {
            match watched.lines.recv_timeout(LONGEST) {
                Ok(line) if line == format!("BEGIN {index}") => {}
                other => {
                    return Err(io::Error::other(format!(
                        "the watched process says {other:?} before case {index}"
                    )));
                }
            }
            let case = InsideCase::make(seed, index);
            let verdict = watched.verdict(&case);
            index += 1;
            *counts.entry(case.kind()).or_default() += 1;
            match verdict {
                Ok(kind) => found.extend(kind.map(|kind| (kind, case))),
                Err(kind) => {
                    found.push((kind, case));
                    break;
                }
            }
        }
    }
    let mut findings: Vec<Finding> = Vec::new();
    for (kind, case) in found {
        let known = findings.iter().any(|finding| finding.kind == kind);
        let case = if known { case } else { smaller(case, &kind)? };
        findings.push(Finding { kind, said: String::new(), case: Case::Inside(case) });
    }
    Ok((counts, findings))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rules_tell_good_answers_from_bad_ones() {
        let rows = (1..=40).map(|k| (10 * k, 1e-3)).collect();
        assert_eq!(judged(&InsideCase::Recognise { rows, stated: Vec::new() }), None);
        assert_eq!(no_number(&[1.0, f64::NAN]), Some("NaN"));
        assert_eq!(no_number(&Some(f64::NEG_INFINITY)), Some("inf"));
        assert_eq!(no_number(&("info", "NaNo", 1e300)), None);
    }
}
