//! `lehr watch`: running jobs, followed.

use crate::clock;
use crate::failure::Failure;
use crate::fit_args::FitArgs;
use crate::interrupt::ask_first;
use crate::load::{LoadArgs, positive};
use crate::output::{Output, table};
use crate::target::{final_rate, shape};
use lehr::forecast::Setting;
use lehr::live::StartOptions;
use lehr::{Params, Shape, Tokens};
use lehr_app::watch::{EventKind, JobStatus, SavedForecast, Watch, WatchAnswer, WatchEvent, WatchRequest};
use lehr_app::watch_score::ScoreAnswer;
use lehr_app::{Answer, Desk, FailureKind, laws, writing};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

/// Follows the logs of running jobs: what each will reach, when to anneal it, what has gone wrong.
///
/// Reads what is new of the logs, refits as points arrive, and says what has changed. Events are diverged, leaves-band,
/// no-improvement, spike, level-break, stalled, anneal-now and finished.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes with --once: 0 nothing named by --fail-on, 4 something named by --fail-on holds; else as everywhere.

Examples:
  lehr watch runs/ --fit fit.json --steps 50k
  lehr watch runs/ --fit fit.json --page
  lehr watch runs/ --on leaves-band 'notify-send {json}' --save forecasts.jsonl
  lehr watch job.csv --fit fit.json --once --fail-on diverged,leaves-band,no-improvement
  lehr watch runs/ --score forecasts.jsonl"
)]
pub struct Args {
    #[command(flatten)]
    load: LoadArgs,
    /// A fit of smaller or earlier runs; without one the runs watched are fitted themselves.
    #[arg(long, value_name = "FIT", help_heading = "Watching")]
    fit: Option<PathBuf>,
    /// Without --fit: the law; `lehr laws` describes them.
    #[arg(long, default_value = "noise-relaxation", help_heading = "Watching")]
    law: String,
    #[command(flatten)]
    fitting: FitArgs,
    /// Horizon of every job in updates (k M B are understood); default: as its log says.
    #[arg(long, value_name = "UPDATES", value_parser = positive, help_heading = "Watching")]
    steps: Option<u64>,
    /// Length of an annealing that begins now; default: a fifth of the updates done.
    #[arg(long, value_name = "UPDATES", value_parser = positive, help_heading = "Watching")]
    anneal_steps: Option<u64>,
    /// How the rate will fall.
    #[arg(long, value_name = "SHAPE", value_parser = shape, default_value = "linear", help_heading = "Watching")]
    shape: Shape,
    /// Final rate.
    #[arg(long, value_name = "RATE", value_parser = final_rate, default_value = "0", help_heading = "Watching")]
    final_lr: f64,
    /// Looks once and ends.
    #[arg(long, help_heading = "Watching")]
    once: bool,
    /// With --once: ends with exit code 4 if one of these events holds (separate with commas).
    #[arg(long, value_name = "EVENT,…", value_delimiter = ',', requires = "once", help_heading = "Watching")]
    fail_on: Vec<EventKind>,
    /// Runs a shell command at an event: {json} stands for the event, quoted; it is in LEHR_EVENT too (repeat for more).
    #[arg(long, value_names = ["EVENT", "COMMAND"], num_args = 2, help_heading = "Watching")]
    on: Vec<String>,
    /// Adds every forecast with its time to this file, one JSON object a line.
    #[arg(long, value_name = "FILE", help_heading = "Watching")]
    save: Option<PathBuf>,
    /// Holds the forecasts that --save kept against what the logs say now, and ends.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["once", "save", "on"], help_heading = "Watching")]
    score: Option<PathBuf>,
    /// A job that has not ended and whose log was not written for this many minutes is stalled.
    #[arg(long, value_name = "MINUTES", value_parser = positive, default_value = "30", help_heading = "Watching")]
    stalled_after: u64,
    #[cfg(feature = "serve")]
    #[command(flatten)]
    page: PageArgs,
    /// Seconds between two polls.
    #[arg(long, value_name = "SECONDS", value_parser = positive, default_value = "10", help_heading = "Watching")]
    every: u64,
}

/// The page of the jobs.
#[cfg(feature = "serve")]
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Page")]
struct PageArgs {
    /// Also serves a page of the jobs, /metrics for Prometheus, and /api/v1/watch.
    #[arg(long, conflicts_with_all = ["once", "score"])]
    page: bool,
    /// Port of the page; 0 takes any that is free.
    #[arg(long, value_name = "PORT", default_value_t = 7475, requires = "page")]
    port: u16,
    /// Address of the page; beyond this machine a token, part of the printed address, is asked for.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1", requires = "page")]
    listen: std::net::IpAddr,
    /// A name of this machine that browsers may use besides its addresses (may be repeated).
    #[arg(long, value_name = "NAME", requires = "page")]
    host_name: Vec<String>,
}

#[cfg(feature = "serve")]
impl PageArgs {
    /// Serves the page, if it is wanted.
    fn serve(self, output: &Output) -> Result<Option<lehr_page::serve::Monitor>, Failure> {
        if !self.page {
            return Ok(None);
        }
        let monitor = lehr_page::serve::Monitor::default();
        let options = lehr_page::serve::ServeOptions {
            address: self.listen,
            port: self.port,
            hosts: self.host_name,
            ..lehr_page::serve::ServeOptions::default()
        };
        let url = lehr_page::serve::watch(&monitor, &options)?;
        output.say(format_args!("open {url}  (Ctrl-C ends it)"));
        Ok(Some(monitor))
    }
}

/// A look may take this share of the time at most: after one that took d, the next waits for 19 d.
const PAUSE: u32 = 19;

/// Runs the verb.
pub fn run(args: Args, output: &Output) -> Result<(), Failure> {
    let desk = args.fitting.desk(output)?;
    let reading = args.load.reading()?;
    if let Some(saved) = &args.score {
        let answer = desk.score(saved, &reading)?;
        return show_score(&answer, output);
    }
    let on = commands(&args.on)?;
    let fit = args.fit.as_deref().map(|path| desk.read_fit(path)).transpose()?;
    let level = fit.as_ref().map_or(args.fitting.options()?.level, |fit| fit.options.level);
    let request = WatchRequest {
        law: laws::named(&args.law)?,
        options: args.fitting.options()?,
        total: args.steps,
        anneal_steps: args.anneal_steps,
        setting: Setting {
            params: args.load.params.map(Params),
            tokens_per_step: args.load.tokens_per_step.map(Tokens),
            arch: None,
        },
        start: StartOptions { shape: args.shape, final_lr: args.final_lr, ..StartOptions::default() },
        stalled_after: Duration::from_secs(args.stalled_after.saturating_mul(60)),
        fit,
        reading,
    };
    let mut watch = Watch::new(request);
    #[cfg(feature = "serve")]
    let page = args.page.serve(output)?;
    let mut look = |watch: &mut Watch| -> Result<Answer<WatchAnswer>, Failure> {
        let now = SystemTime::now();
        let answer = watch.look(&desk, now)?;
        #[cfg(feature = "serve")]
        if let Some(page) = &page {
            let seconds = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64();
            page.tell(&answer.value, &clock::now(), seconds)?;
        }
        if let Some(path) = &args.save {
            let saved = answer.value.saved(&clock::now(), level);
            let lines: Result<Vec<String>, Failure> = saved.iter().map(SavedForecast::line).collect();
            writing::append(path, &lines?.concat())?;
        }
        for event in &answer.value.events {
            tell(event, &on, output)?;
        }
        Ok(answer)
    };
    if args.once {
        watch.poll(&desk)?;
        let answer = look(&mut watch)?;
        output.notes(&answer.notes);
        if output.json {
            output.answer(&answer.value)?;
        } else {
            output.data(&text(&answer.value))?;
        }
        let held = answer.value.events.iter().find(|event| args.fail_on.contains(&event.event));
        return match held {
            Some(event) => Err(Failure::condition(format_args!(
                "{}: {} at update {}: {}",
                event.event.name(),
                event.job,
                event.update,
                event.message
            ))),
            None => output.close(&answer),
        };
    }
    follow(&mut watch, &desk, Duration::from_secs(args.every), &mut look, output)
}

/// Polls until Ctrl-C.
fn follow(
    watch: &mut Watch,
    desk: &Desk,
    every: Duration,
    look: &mut dyn FnMut(&mut Watch) -> Result<Answer<WatchAnswer>, Failure>,
    output: &Output,
) -> Result<(), Failure> {
    let asked = ask_first();
    let mut not_before = Instant::now();
    let mut waiting = false;
    let mut said = String::new();
    let mut trouble = String::new();
    while !asked.load(Ordering::SeqCst) {
        match watch.poll(desk) {
            Ok(changed) => waiting |= changed,
            Err(failure) => complain(&failure, &mut trouble, output),
        }
        if waiting && Instant::now() >= not_before {
            let begun = Instant::now();
            let looked = look(watch);
            not_before = Instant::now() + begun.elapsed() * PAUSE;
            waiting = false;
            let answer = match looked {
                Ok(answer) => answer,
                Err(failure) if matches!(failure.kind(), FailureKind::Quiet | FailureKind::Interrupted) => {
                    return Err(failure);
                }
                Err(failure) => {
                    complain(&failure, &mut trouble, output);
                    rest(every, asked);
                    continue;
                }
            };
            trouble.clear();
            if said.is_empty() {
                output.notes(&answer.notes);
                // Whoever watches is told; nothing ends here because of it.
                drop(output.caveats(&answer.caveats));
            }
            if output.json {
                output.line(&answer.value)?;
            } else {
                let now = text(&answer.value);
                if now != said {
                    output.data(&format!("{}\n{now}", clock::now()))?;
                    said = now;
                }
            }
        }
        rest(every, asked);
    }
    Ok(())
}

/// Waits, but not for longer than it is wanted.
fn rest(time: Duration, asked: &AtomicBool) {
    let until = Instant::now() + time;
    while Instant::now() < until && !asked.load(Ordering::SeqCst) {
        std::thread::sleep(Duration::from_millis(100).min(time));
    }
}

/// Says what is wrong with the logs, once: a file that is written or rotated just now is whole the next time.
fn complain(failure: &Failure, before: &mut String, output: &Output) {
    let message = failure.to_string();
    if *before != message {
        output.say(format_args!("note: {message}; trying again"));
        *before = message;
    }
}

/// What to run at which event.
fn commands(words: &[String]) -> Result<Vec<(EventKind, String)>, Failure> {
    words
        .chunks(2)
        .map(|pair| match pair {
            [event, command] => Ok((event.parse().map_err(Failure::usage)?, command.clone())),
            _ => Err(Failure::usage("[[on]] takes an event and a command")),
        })
        .collect()
}

/// Says an event and runs what was asked for.
fn tell(event: &WatchEvent, on: &[(EventKind, String)], output: &Output) -> Result<(), Failure> {
    if !output.json {
        let WatchEvent { job, update, message, .. } = event;
        output.say(format_args!("{}: {job} at update {update}: {message}", event.event.name()));
    }
    let json = event.json()?;
    // A shell's single quotes hold everything but themselves.
    let quoted = format!("'{}'", json.replace('\'', r"'\''"));
    for (_, command) in on.iter().filter(|(kind, _)| *kind == event.event) {
        let command = command.replace("{json}", &quoted);
        let ended = Command::new("sh")
            .args(["-c", &command])
            .env("LEHR_EVENT", &json)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status();
        match ended {
            Ok(status) if status.success() => {}
            Ok(status) => {
                output.say(format_args!("note: the command at {} ended with {status}", event.event.name()))
            }
            Err(error) => {
                output.say(format_args!("note: the command at {} did not start: {error}", event.event.name()))
            }
        }
    }
    Ok(())
}

/// A table of the jobs.
fn text(found: &WatchAnswer) -> String {
    let mut rows = table([
        "job",
        "update",
        "of",
        "loss",
        "off mnat",
        "will end at",
        "best start",
        "now costs mnat",
        "annealing now",
        "",
    ]);
    for job in &found.jobs {
        rows.add_row([
            job.id.clone(),
            job.update.to_string(),
            job.steps.map_or_else(|| "?".to_owned(), |steps| steps.to_string()),
            format!("{:.4}", job.loss),
            job.standing.as_ref().map_or_else(String::new, |standing| {
                format!("{:+.1}{}", 1e3 * standing.residual, if standing.inside { "" } else { " OUTSIDE" })
            }),
            job.forecast
                .map_or_else(String::new, |f| format!("{:.4} ({:.4} … {:.4})", f.value, f.lower, f.upper)),
            job.start.map_or_else(String::new, |start| start.to_string()),
            job.cost_of_now.map_or_else(String::new, |cost| format!("{:.1}", 1e3 * cost)),
            job.anneal_now
                .as_ref()
                .map_or_else(String::new, |now| format!("{:.4} at {}", now.loss.value, now.end)),
            state(job),
        ]);
    }
    let source = if found.given { "the fit given" } else { "the runs watched" };
    let from = if found.runs == 0 {
        "no law fits yet".to_owned()
    } else {
        format!("law {}, from {source} ({} runs)", found.law, found.runs)
    };
    format!("{rows}\n{from}\n")
}

/// What is wrong with a job, in a few words.
fn state(job: &JobStatus) -> String {
    let mut out = Vec::new();
    if job.diverged.is_some() {
        out.push("diverged".to_owned());
    }
    if job.band.is_some_and(|band| band.left) {
        out.push("left its band".to_owned());
    }
    if job.no_improvement.is_some() {
        out.push("no improvement".to_owned());
    }
    if !job.spikes.is_empty() {
        let many = job.spikes.len();
        out.push(format!("{many} spike{}", if many == 1 { "" } else { "s" }));
    }
    if job.level_break.is_some() {
        out.push("level break".to_owned());
    }
    if let Some(seconds) = job.stalled {
        out.push(format!("stalled for {} min", seconds / 60));
    }
    if job.finished {
        out.push("finished".to_owned());
    }
    out.extend(job.problem.clone());
    out.join(", ")
}

fn show_score(answer: &Answer<ScoreAnswer>, output: &Output) -> Result<(), Failure> {
    output.notes(&answer.notes);
    if output.json {
        output.answer(&answer.value)?;
        return output.close(answer);
    }
    let found = &answer.value;
    let mut rows = table(["done", "forecasts", "jobs", "inside", "mean error mnat", "bias mnat"]);
    for share in &found.shares {
        rows.add_row([
            format!("{:.0}–{:.0} %", 100.0 * share.from, 100.0 * share.to),
            share.forecasts.to_string(),
            share.jobs.to_string(),
            format!("{} ({:.0} %)", share.inside, 100.0 * share.inside as f64 / share.forecasts as f64),
            format!("{:.1}", 1e3 * share.mean_error),
            format!("{:+.1}", 1e3 * share.bias),
        ]);
    }
    output.data(&format!(
        "{rows}\n{} forecasts judged, {} still open\n",
        found.forecasts.len(),
        found.open
    ))?;
    output.close(answer)
}
