//! `lehr inspect`: what is in these logs.

use crate::failure::Failure;
use crate::load::LoadArgs;
use crate::output::{Output, table};
use lehr::Caveat;
use lehr::units::short_count;
use lehr_app::inspect::RunLine;

/// Shows runs, schedules and faults of logs.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lehr inspect runs/                       every log below a directory
  lehr inspect 'runs/*.csv' --run 'wsd*'   only runs of these names
  lehr inspect log.csv --map loss=ce,lr=eta,step=it
  lehr inspect runs/ --json | jq '.runs[].id'")]
pub struct Args {
    #[command(flatten)]
    load: LoadArgs,
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
        run.arch.to_owned(),
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

/// Runs the verb.
pub fn run(args: Args, output: &Output) -> Result<(), Failure> {
    let answer = output.desk().inspect(&args.load.reading()?)?;
    output.notes(&answer.notes);
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
    output.data(&shown.to_string())?;
    for ids in &answer.value.twins {
        output.data(&format!("same configuration: {}", ids.join(", ")))?;
    }
    let runs = answer.value.runs.len();
    output.data(&format!(
        "{runs} run{}; logged and rebuilt rates differ by at most {:.2e} of the peak",
        if runs == 1 { "" } else { "s" },
        answer.value.worst_residual()
    ))?;
    let caveats: Vec<Caveat> =
        answer.caveats.iter().chain(answer.value.runs.iter().flat_map(|run| &run.caveats)).cloned().collect();
    output.say_caveats(&caveats);
    Ok(())
}
