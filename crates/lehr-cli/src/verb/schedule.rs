//! `lehr schedule`: what a schedule does at every update, and which schedule a log followed.

use crate::export::{ExportArgs, talk, targets};
use crate::failure::Failure;
use crate::load::read_map;
use crate::output::{Output, table, write_file};
use clap::{ArgGroup, Args as ClapArgs};
use lehr::schedule::RecogniseOptions;
use lehr::{Schedule, Steps};
use lehr_app::Reading;
use lehr_app::export::{self, ExportAnswer};
use lehr_app::schedule::{self, ScheduleAnswer};
use lehr_app::{Answer, documents};
use lehr_io::export::Export;
use std::fmt::Write as _;
use std::path::PathBuf;

/// Arguments of `lehr schedule`.
#[derive(Debug, ClapArgs)]
#[command(
    group = ArgGroup::new("source").required(true).multiple(false),
    after_help = format!("Numbers accept k, M and B. A value may be 'wsd:…' for --spec or KEY=VALUE,… for a family.\n\nExamples:\n  \
        lehr schedule --wsd peak=3e-4,total=24k,warmup=2160,ratio=0.2,shape=1-sqrt\n  \
        lehr schedule --cosine peak=3e-4,total=24k,warmup=2160,final=10% --rates > rates.csv\n  \
        lehr schedule --two-stage peak=3e-4,drop=0.9e-4,at=8000,total=16k,warmup=2160 --json\n  \
        lehr schedule --from-log log.csv --warmup 2160\n  \
        lehr schedule --wsd peak=3e-4,total=1000,warmup=100,ratio=0.2 --export torch > schedule.py\n\n{}", targets())
)]
pub struct Args {
    /// Warm-up, stable, annealing: peak, total, warmup, ratio (or anneal, in updates), shape, final, start.
    #[arg(long, value_name = "KEY=VALUE,…", group = "source")]
    wsd: Option<String>,
    /// Half a cosine: peak, total, warmup, final, start.
    #[arg(long, value_name = "KEY=VALUE,…", group = "source")]
    cosine: Option<String>,
    /// One rate: peak, total, warmup, start.
    #[arg(long, value_name = "KEY=VALUE,…", group = "source")]
    constant: Option<String>,
    /// A straight line to 0, or to final: peak, total, warmup, final, start.
    #[arg(long, value_name = "KEY=VALUE,…", group = "source")]
    linear: Option<String>,
    /// Two constant rates: peak, drop, at, total, warmup.
    #[arg(long, value_name = "KEY=VALUE,…", group = "source")]
    two_stage: Option<String>,
    /// Several constant rates: rates=a/b/c, ends=i/j, total, warmup.
    #[arg(long, value_name = "KEY=VALUE,…", group = "source")]
    multi_stage: Option<String>,
    /// Several annealings: peak, warmup, cycles=STABLE+ANNEAL/…, rerise, shape, final.
    #[arg(long, value_name = "KEY=VALUE,…", group = "source")]
    wsd_s: Option<String>,
    /// Segments: UPDATES@RATE or UPDATES@FROM..TO~SHAPE, joined by ','.
    #[arg(long, value_name = "SEGMENT,…", group = "source")]
    piecewise: Option<String>,
    /// A schedule with its family in front: 'wsd:peak=…'.
    #[arg(long, value_name = "KIND:…", group = "source")]
    spec: Option<String>,
    /// Recognise the schedule that a run followed, from a log of any kind that is read; losses are not needed.
    #[arg(long, value_name = "PATH", group = "source")]
    from_log: Option<PathBuf>,
    /// With --from-log: the run, where the log holds several; a pattern with `*`, `?` and `[abc]`.
    #[arg(long, value_name = "GLOB", requires = "from_log")]
    run: Vec<String>,
    /// With --from-log: takes a column for a role: step=COLUMN or lr=COLUMN.
    #[arg(long, value_name = "ROLE=COLUMN", requires = "from_log")]
    map: Vec<String>,
    /// With --from-log: warm-up updates, where the log begins after them.
    #[arg(long, value_name = "UPDATES", value_parser = crate::load::count, requires = "from_log")]
    warmup: Option<u64>,
    /// With --from-log: the horizon, where the log ends before it.
    #[arg(long, value_name = "UPDATES", value_parser = crate::load::count, requires = "from_log")]
    total: Option<u64>,
    /// With --from-log: the peak rate, where the log begins during the annealing.
    #[arg(long, value_name = "RATE", requires = "from_log")]
    peak: Option<f64>,
    /// With --from-log: a row's rate is that of update step + OFFSET.
    #[arg(long, value_name = "OFFSET", requires = "from_log", allow_hyphen_values = true)]
    offset: Option<i64>,
    /// Print the rate of every update as CSV (step,lr).
    #[arg(long)]
    rates: bool,
    #[command(flatten)]
    export: ExportArgs,
    /// Write to FILE instead of stdout: .csv holds the rates, .json the description.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Runs the verb.
pub fn run(args: Args, output: &Output) -> Result<(), Failure> {
    args.export.check()?;
    if args.export.from_step.is_some() && args.export.export.is_empty() {
        return Err(Failure::usage(
            "[[from_step]] says what to resume for an [[export]], and none is asked for",
        ));
    }
    let answer = source(&args, output)?;
    for note in answer.notes.iter().filter(|_| !output.json) {
        output.say(format_args!("note: {}", note.message));
    }
    let schedule = &answer.value.schedule;
    let as_rows = args.output.as_deref().is_some_and(|path| path.extension().is_some_and(|end| end == "csv"));
    if args.rates || as_rows || !args.export.export.is_empty() {
        output.desk().check_horizon(schedule.total().0)?;
    }
    if args.export.export_dir.is_some() {
        return args.export.write_all(schedule, output);
    }
    if let Some(request) = args.export.request() {
        return write_export(&request.make(schedule)?, &args, output);
    }
    if let Some(path) = &args.output {
        let text = match path.extension().and_then(|extension| extension.to_str()) {
            Some("csv") => schedule::csv(schedule),
            Some("json") => documents::text(&answer.value)?,
            _ => {
                return Err(Failure::usage(format_args!("'{}' says no format", path.display()))
                    .hint("end the name in .csv (the rate of every update) or .json (the description)"));
            }
        };
        write_file(path, text.as_bytes())?;
        return if output.json { output.answer(&answer.value) } else { Ok(()) };
    }
    if output.json {
        let rates = args.rates.then(|| schedule.rates());
        return output.answer(&ScheduleAnswer { rates, ..answer.value });
    }
    if args.rates {
        return output.data(&schedule::csv(schedule));
    }
    output.data(&human(&answer.value))
}

/// The configuration alone goes to stdout or the file; what the trainer will really do goes to stderr.
fn write_export(made: &Export, args: &Args, output: &Output) -> Result<(), Failure> {
    if !output.json {
        talk(made, output);
    }
    if let Some(path) = &args.output {
        write_file(path, export::bytes(made))?;
    }
    match (output.json, &args.output) {
        (true, _) => output.answer(&ExportAnswer::from(made)),
        (false, Some(_)) => Ok(()),
        (false, None) => output.bytes(export::bytes(made)),
    }
}

fn source(args: &Args, output: &Output) -> Result<Answer<ScheduleAnswer>, Failure> {
    if let Some(path) = &args.from_log {
        let options = RecogniseOptions {
            total: args.total.map(Steps),
            warmup: args.warmup.map(Steps),
            peak_lr: args.peak,
            offset: args.offset,
            ..RecogniseOptions::default()
        };
        let mut reading = Reading::of([path]);
        reading.options.runs.clone_from(&args.run);
        reading.options.map = read_map(&args.map)?;
        return output.desk().recognise(&reading, &options);
    }
    let families = [
        ("wsd:", &args.wsd),
        ("cosine:", &args.cosine),
        ("constant:", &args.constant),
        ("linear:", &args.linear),
        ("two-stage:", &args.two_stage),
        ("multi-stage:", &args.multi_stage),
        ("wsd-s:", &args.wsd_s),
        ("piecewise:", &args.piecewise),
        ("", &args.spec),
    ];
    let given = families.iter().find_map(|(kind, text)| text.as_ref().map(|text| format!("{kind}{text}")));
    // The argument group lets no command line through without a source.
    let text = given.ok_or_else(|| {
        Failure::usage("no schedule was given")
            .hint("for example --wsd peak=3e-4,total=24k,warmup=2k,ratio=0.2")
    })?;
    let schedule: Schedule = text.parse().map_err(Failure::usage)?;
    Ok(Answer::plain(ScheduleAnswer::of(schedule, None)))
}

fn human(answer: &ScheduleAnswer) -> String {
    let schedule = &answer.schedule;
    let total = schedule.total();
    let mut phases = table(["phase", "first", "last", "updates", "rate from", "to", "shape", "Σ η"]);
    let spans = schedule.phases();
    for span in spans.iter().take(40) {
        phases.add_row([
            span.phase.to_string(),
            span.first.to_string(),
            span.last.to_string(),
            span.updates().to_string(),
            format!("{:.4e}", span.first_lr),
            format!("{:.4e}", span.last_lr),
            span.shape
                .filter(|_| span.first_lr != span.last_lr)
                .map_or_else(|| "–".into(), |shape| shape.to_string()),
            format!("{:.6}", span.sum),
        ]);
    }
    let mut text = format!("{}\n\n{phases}\n", schedule.describe());
    if spans.len() > 40 {
        let _ = writeln!(text, "… and {} phases more (--json lists all)", spans.len() - 40);
    }
    let _ = writeln!(
        text,
        "\nforward effect S = Σ η = {:.6} over {total} updates; first rate {:.4e}, last rate {:.4e}",
        schedule.sum(total),
        schedule.lr(1),
        schedule.lr(total.0)
    );
    if let Some(found) = &answer.recognised {
        let _ = writeln!(
            text,
            "recognised with max |Δlr|/peak {:.2e}, rms {:.2e}{}",
            found.residual.max,
            found.residual.rms,
            if found.exact { " (no more than the log's rounding)" } else { "" }
        );
    }
    let line = schedule.to_string();
    if line.len() <= 400 {
        let _ = writeln!(text, "as text: {line}");
    }
    text
}
