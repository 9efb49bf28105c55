//! `lehr inspect`: what is in these logs.

use crate::failure::Failure;
use crate::load::LoadArgs;
use crate::output::{Output, check_target, narrowed, table, write_file};
use lehr::Caveat;
use lehr::units::short_count;
use lehr_app::inspect::RunLine;
use std::path::{Path, PathBuf};

/// Shows runs, schedules and faults of logs.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lehr inspect runs/                       every log below a directory
  lehr inspect 'runs/*.csv' --run 'wsd*'   only runs of these names
  lehr inspect log.csv --map loss=ce,lr=eta,step=it
  lehr inspect runs/ --write-manifest runs/manifest.toml
  lehr inspect runs/ --json | jq '.runs[].id'")]
pub struct Args {
    #[command(flatten)]
    load: LoadArgs,
    /// Writes what was found as a manifest (TOML) for you to correct; beside the logs, as manifest.toml, it is found by itself.
    #[arg(long, value_name = "FILE")]
    write_manifest: Option<PathBuf>,
}

/// A row of the table.
fn cells(run: &RunLine) -> [String; 14] {
    let marks = {
        let mut marks = Vec::new();
        if !run.spikes.is_empty() {
            marks.push(format!("{} spikes", run.spikes.len()));
        }
        if run.diverged.is_some() {
            marks.push("diverged".to_owned());
        }
        for caveat in &run.caveats {
            if !matches!(caveat.code(), "spikes" | "diverged") {
                marks.push(caveat.code().to_owned());
            }
        }
        marks.join(", ")
    };
    [
        run.id.clone(),
        run.arch.family().to_string(),
        run.params.map_or("?".to_owned(), short_count),
        split(run.split).to_owned(),
        run.points.to_string(),
        format!("{}–{}", run.first_step, run.last_step),
        run.total_steps.to_string(),
        run.schedule.family.clone(),
        rate(run.peak_lr),
        run.ratio.map_or("–".to_owned(), |ratio| format!("{ratio:.3}")),
        format!("{:.4}", run.last_loss),
        run.final_loss.map_or("–".to_owned(), |loss| format!("{loss:.4}")),
        run.noise.map_or("–".to_owned(), |noise| format!("{:.1}", 1e3 * noise)),
        marks,
    ]
}

fn split(split: lehr::Split) -> &'static str {
    match split {
        lehr::Split::Train => "train",
        lehr::Split::Validation => "val",
        lehr::Split::Unstated => "?",
    }
}

/// A rate as a person would write it: six digits at most, small ones with an exponent.
fn rate(rate: f64) -> String {
    let short = format!("{rate:.5e}").parse().unwrap_or(rate);
    if short == 0.0 || short >= 1e-3 { short.to_string() } else { format!("{short:e}") }
}

/// Columns that a narrow terminal does without, the first first: stated final, noise, points, split, architecture, updates, T, N, peak
/// rate.
const LEAST: [usize; 9] = [11, 12, 4, 3, 1, 5, 6, 2, 8];

/// Stated and last losses that differ by less than this, in nats, need no word.
const APART: f64 = 5e-3;

/// Whether a manifest can be written there; one that is there is the user's, and stays.
fn check_manifest(path: &Path) -> Result<(), Failure> {
    if path.extension().is_none_or(|end| end != "toml") {
        return Err(Failure::usage(format_args!(
            "[[write_manifest]] '{}' does not end in .toml",
            path.display()
        ))
        .hint("name it manifest.toml, beside the logs"));
    }
    if path.exists() {
        return Err(Failure::new(format_args!("{}: there is a manifest already", path.display()))
            .hint("write to another name and take over what you want, or move the old one away"));
    }
    check_target(Some(path))
}

/// Runs the verb.
pub fn run(args: Args, output: &Output) -> Result<(), Failure> {
    if let Some(path) = &args.write_manifest {
        check_manifest(path)?;
    }
    let answer = output.desk().inspect(&args.load.reading()?)?;
    output.notes(&answer.notes);
    if let Some(path) = &args.write_manifest {
        write_file(path, answer.value.manifest().as_bytes())?;
        output
            .say(format_args!("note: {} says what was found; correct it and inspect again", path.display()));
    }
    if output.json {
        return output.answer(&answer.value);
    }
    let mut shown = table([
        "run",
        "arch",
        "N",
        "split",
        "points",
        "updates",
        "T",
        "schedule",
        "peak LR",
        "r",
        "last loss",
        "stated final",
        "noise/mnat",
        "caveats",
    ]);
    for run in &answer.value.runs {
        shown.add_row(cells(run));
    }
    output.data(&narrowed(shown, &LEAST))?;
    for ids in &answer.value.twins {
        output.data(&format!("same configuration: {}", ids.join(", ")))?;
    }
    let runs = answer.value.runs.len();
    output.data(&format!(
        "{runs} run{}; logged and rebuilt rates differ by at most {:.2e} of the peak",
        if runs == 1 { "" } else { "s" },
        answer.value.worst_residual()
    ))?;
    if let Some(apart) = answer.value.stated_apart().filter(|apart| apart.abs() > APART) {
        output.data(&format!(
            "stated final losses lie {:+.1} mnat (10⁻³ nats per token) off the last ones of the curves (median), as those of another evaluation set do: fits use the curves, measured optima the stated ones",
            1e3 * apart
        ))?;
    }
    let caveats: Vec<Caveat> =
        answer.caveats.iter().chain(answer.value.runs.iter().flat_map(|run| &run.caveats)).cloned().collect();
    output.say_caveats(&caveats);
    Ok(())
}
