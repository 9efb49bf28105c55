//! `lehr reproduce`: one experiment from nothing to a report.

use crate::failure::Failure;
use crate::output::Output;
use crate::watch::{self, Watch};
use lehr_app::reproduce::{self, Origin, ReproduceRequest};
use std::path::PathBuf;
use std::sync::Arc;

/// Runs a built-in experiment, from nothing to a report with tables and pictures.
///
/// Trains the runs of a built-in plan on a synthetic language (nothing is downloaded) as `lehr sweep` does, exports
/// their curves, analyses them, and writes REPORT.md. It may be killed at any moment: the same command goes on from
/// there, and never trains finished runs again. With --store it analyses runs that are there already.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lehr reproduce ratios                        minutes on two cores
  lehr reproduce laws --size tiny --dir try    seconds: shows what comes out, and no more
  lehr reproduce shapes --store store          runs of your own, from lehr import or lehr sweep export")]
pub struct Args {
    /// The experiment.
    #[arg(value_enum)]
    experiment: Experiment,
    /// Size of the built-in plan.
    #[arg(long, value_enum, default_value_t = Size::Small, conflicts_with = "store")]
    size: Size,
    /// Folder of the report; default: `reproduce-EXPERIMENT-SIZE`, with --store `reproduce-EXPERIMENT-store`.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Runs trained at a time; default: as many as the cores can serve.
    #[arg(long, value_name = "N", conflicts_with = "store")]
    jobs: Option<usize>,
    /// Trains nothing and analyses the runs of this run store (or other logs).
    #[arg(long, value_name = "STORE")]
    store: Option<PathBuf>,
}

/// What can be reproduced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Experiment {
    /// The best annealing ratio measured against peak rate, horizon and N, dense and mixture of experts.
    Ratios,
    /// Every law: fitted on cosine runs and judged on warm-up–stable–decay runs, and the other way round.
    Laws,
    /// Laws fitted on linear annealing, judged on other shapes.
    Shapes,
    /// Batch sizes at equal tokens: do updates or tokens decide, and which batch is large enough?
    Batches,
}

impl From<Experiment> for reproduce::Experiment {
    fn from(experiment: Experiment) -> Self {
        match experiment {
            Experiment::Ratios => Self::Ratios,
            Experiment::Laws => Self::Laws,
            Experiment::Shapes => Self::Shapes,
            Experiment::Batches => Self::Batches,
        }
    }
}

/// Size of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Size {
    /// Seconds; too small to mean anything.
    Tiny,
    /// Minutes on two cores.
    Small,
    /// Hours on two cores: more sizes, longer horizons.
    Medium,
}

impl From<Size> for reproduce::Size {
    fn from(size: Size) -> Self {
        match size {
            Size::Tiny => Self::Tiny,
            Size::Small => Self::Small,
            Size::Medium => Self::Medium,
        }
    }
}

/// Runs the verb.
pub fn run(args: Args, output: &Output) -> Result<(), Failure> {
    let origin = match args.store {
        Some(store) => Origin::Store(store),
        None => Origin::Plan { size: args.size.into(), jobs: args.jobs, worker: watch::worker()? },
    };
    let request = ReproduceRequest { experiment: args.experiment.into(), origin, dir: args.dir };
    let answer = output.desk().observed(Arc::new(Watch::new(output))).reproduce(&request)?;
    output.notes(&answer.notes);
    let found = &answer.value;
    if output.json {
        output.answer(found)?;
        return output.close(&answer);
    }
    let mut text = format!("{} ({} runs)\n\n", found.title, found.runs);
    for line in &found.summary {
        text.push_str(&format!("- {line}\n"));
    }
    text.push_str(&format!("\ntables and pictures: {}\n", found.report));
    output.data(&text)?;
    output.close(&answer)
}
