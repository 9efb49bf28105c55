//! `lehr schedule`: what a schedule does at every update, and which schedule a log followed.

use crate::failure::Failure;
use crate::output::{self, Output, say, table};
use clap::{ArgGroup, Args as ClapArgs};
use lehr::schedule::{RecogniseOptions, Recognised, recognise};
use lehr::units::parse_count;
use lehr::{Schedule, Steps};
use lehr_io::export::{Contents, ExportError, ExportOptions, export};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Arguments of `lehr schedule`.
#[derive(Debug, ClapArgs)]
#[command(
    group = ArgGroup::new("source").required(true).multiple(false),
    after_help = "Numbers accept k, M and B. A value may be 'wsd:…' for --spec or KEY=VALUE,… for a family.\n\nExamples:\n  \
        lehr schedule --wsd peak=3e-4,total=24k,warmup=2160,ratio=0.2,shape=1-sqrt\n  \
        lehr schedule --cosine peak=3e-4,total=24k,warmup=2160,final=10% --rates > rates.csv\n  \
        lehr schedule --two-stage peak=3e-4,drop=0.9e-4,at=8000,total=16k,warmup=2160 --json\n  \
        lehr schedule --from-log log.csv --warmup 2160\n  \
        lehr schedule --wsd peak=3e-4,total=1000,warmup=100,ratio=0.2 --export torch > schedule.py\n\n\
        Export targets: torch hf megatron megatron-bridge torchtitan nanotron olmo-core levanter maxtext optax\n  \
        llm-foundry nemo lingua nanochat axolotl llama-factory deepspeed csv json npy"
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
    /// Recognise the schedule from a CSV file with the columns step and lr.
    #[arg(long, value_name = "FILE", group = "source")]
    from_log: Option<PathBuf>,
    /// With --from-log: warm-up updates, where the log begins after them.
    #[arg(long, value_name = "UPDATES", value_parser = updates, requires = "from_log")]
    warmup: Option<u64>,
    /// With --from-log: the horizon, where the log ends before it.
    #[arg(long, value_name = "UPDATES", value_parser = updates, requires = "from_log")]
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
    /// Print the configuration of a trainer that follows the schedule: torch, hf, megatron, …
    #[arg(long, value_name = "TARGET", conflicts_with = "rates")]
    export: Option<String>,
    /// With --export: resume from a checkpoint that has done UPDATES updates.
    #[arg(long, value_name = "UPDATES", value_parser = updates, requires = "export")]
    from_step: Option<u64>,
    /// Write to FILE instead of stdout: .csv holds the rates, .json the description.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

fn updates(text: &str) -> Result<u64, String> {
    parse_count(text).map_err(|error| error.to_string())
}

/// Runs the verb.
pub fn run(args: Args, output: &Output) -> Result<(), Failure> {
    let (schedule, recognised) = source(&args)?;
    if let Some(found) = &recognised
        && !output.json
    {
        for note in &found.notes {
            say(format_args!("note: {note}"));
        }
    }
    if let Some(target) = &args.export {
        return write_export(target, &schedule, &args, output);
    }
    let description = || describe(&schedule, recognised.as_ref());
    if let Some(path) = &args.output {
        let text = match path.extension().and_then(|extension| extension.to_str()) {
            Some("csv") => csv(&schedule),
            Some("json") => serde_json::to_string_pretty(&description()).map_err(Failure::new)? + "\n",
            _ => {
                return Err(Failure::usage(format_args!("'{}' says no format", path.display()))
                    .hint("end the name in .csv (the rate of every update) or .json (the description)"));
            }
        };
        return std::fs::write(path, text)
            .map_err(|error| Failure::new(format_args!("cannot write '{}': {error}", path.display())));
    }
    if args.rates {
        return output::data(&csv(&schedule));
    }
    if output.json {
        return output.json(&description());
    }
    output::data(&human(&schedule, recognised.as_ref()))
}

/// The configuration alone goes to stdout or the file; what the trainer will really do goes to stderr.
fn write_export(target: &str, schedule: &Schedule, args: &Args, output: &Output) -> Result<(), Failure> {
    let options = ExportOptions { from_step: args.from_step.map(Steps) };
    let made = export(target, schedule, &options).map_err(|error| match error {
        ExportError::Target(_) => Failure::usage(error),
        ExportError::Inexpressible { .. } => Failure::new(error)
            .hint("--export torch gives a LambdaLR that most trainers accept in place of their own"),
        ExportError::FromStep { .. } => Failure::new(error),
    })?;
    let (text, bytes) = match &made.contents {
        Contents::Text(text) => (Some(text.as_str()), text.as_bytes()),
        Contents::Bytes(bytes) => (None, bytes.as_slice()),
    };
    if !output.json {
        let status = if made.executed { "" } else { " (from documentation, not executed)" };
        say(format_args!("{target}{status}: {}", made.notes[0]));
        for note in made.notes.iter().skip(1) {
            say(format_args!("note: {note}"));
        }
    }
    if let Some(path) = &args.output {
        std::fs::write(path, bytes)
            .map_err(|error| Failure::new(format_args!("cannot write '{}': {error}", path.display())))?;
        if !output.json {
            return Ok(());
        }
    }
    if output.json {
        return output.json(&json!({
            "schema": "lehr.export/1",
            "target": made.target,
            "text": text,
            "file_name": made.file_name,
            "deviation": made.deviation,
            "notes": made.notes,
            "executed": made.executed,
            "promised_rates": made.promised_rates,
        }));
    }
    output::bytes(bytes)
}

fn source(args: &Args) -> Result<(Schedule, Option<Recognised>), Failure> {
    if let Some(path) = &args.from_log {
        let options = RecogniseOptions {
            total: args.total.map(Steps),
            warmup: args.warmup.map(Steps),
            peak_lr: args.peak,
            offset: args.offset,
            ..RecogniseOptions::default()
        };
        let found = recognise(&read_log(path)?, &options)
            .map_err(|error| Failure::new(format_args!("{}: {error}", path.display())))?;
        return Ok((found.schedule.clone(), Some(found)));
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
    text.parse().map(|schedule| (schedule, None)).map_err(Failure::usage)
}

/// Rows of (step, lr) from a CSV file with a header.
fn read_log(path: &Path) -> Result<Vec<(u64, f64)>, Failure> {
    let place = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::new(format_args!("cannot read '{place}': {error}")))?;
    let mut lines = text.lines().enumerate();
    let header: Vec<String> = lines
        .next()
        .map(|(_, line)| line.split(',').map(|name| name.trim().to_ascii_lowercase()).collect())
        .unwrap_or_default();
    let column = |names: &[&str]| {
        header.iter().position(|name| names.contains(&name.as_str())).ok_or_else(|| {
            Failure::new(format_args!(
                "{place}:1: no column '{}'; found: {}",
                names[0],
                if header.is_empty() { "nothing (the file is empty)".to_owned() } else { header.join(", ") }
            ))
            .hint(format_args!("accepted names: {}", names.join(", ")))
        })
    };
    let step = column(&["step", "update", "iteration", "iter", "global_step"])?;
    let lr = column(&["lr", "learning_rate", "learning-rate", "rate"])?;
    let mut rows = Vec::new();
    for (i, line) in lines.filter(|(_, line)| !line.trim().is_empty()) {
        let cells: Vec<&str> = line.split(',').map(str::trim).collect();
        let cell = |index: usize| cells.get(index).copied().unwrap_or_default();
        // A row without a rate (a validation row, say) is none of the schedule's.
        if cell(lr).is_empty() {
            continue;
        }
        let bad = |name: &str, found: &str, expected: &str| {
            Failure::new(format_args!("{place}:{}: {name} is '{found}'; expected {expected}", i + 1))
        };
        let t =
            cell(step).parse::<u64>().map_err(|_| bad("step", cell(step), "a whole number of updates"))?;
        let y = cell(lr).parse::<f64>().map_err(|_| bad("lr", cell(lr), "a rate"))?;
        rows.push((t, y));
    }
    Ok(rows)
}

fn csv(schedule: &Schedule) -> String {
    let mut text = String::from("step,lr\n");
    for (i, rate) in schedule.rates().into_iter().enumerate() {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{},{rate:e}", i + 1);
    }
    text
}

fn describe(schedule: &Schedule, recognised: Option<&Recognised>) -> Value {
    let total = schedule.total();
    let phases: Vec<Value> = schedule
        .phases()
        .iter()
        .map(|span| {
            json!({
                "phase": span.phase, "first": span.first, "last": span.last, "updates": span.updates(),
                "first_lr": span.first_lr, "last_lr": span.last_lr, "shape": span.shape, "sum": span.sum,
            })
        })
        .collect();
    let mut value = json!({
        "schema": "lehr.schedule/1",
        "family": schedule.family(),
        "text": schedule.to_string(),
        "total": total,
        "peak_lr": schedule.peak_lr(),
        "first_lr": schedule.lr(1),
        "final_lr": schedule.lr(total.0),
        "forward_effect": schedule.sum(total),
        "phases": phases,
        "schedule": schedule,
    });
    if let Some(found) = recognised {
        value["recognised"] = json!({
            "residual": found.residual, "tolerance": found.tolerance, "exact": found.exact, "offset": found.offset,
            "known_from": found.known_from, "warmup_known": found.warmup_known, "notes": found.notes,
        });
    }
    value
}

fn human(schedule: &Schedule, recognised: Option<&Recognised>) -> String {
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
    if let Some(found) = recognised {
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
