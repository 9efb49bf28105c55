//! `lehr reproduce`: one experiment from nothing to a report: train, export, analyse, write.

mod batches;
mod findings;
mod laws;
mod ratios;
mod validation;

use crate::failure::Failure;
use crate::output::{Output, data, say, write_file};
use crate::verb::sweep;
use findings::Findings;
use lehr::{Caveat, Curve};
use lehr_app::Reading;
use lehr_train::sweep::{Folder, State};
use serde::Serialize;
use std::path::{Path, PathBuf};

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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
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

/// Size of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
enum Size {
    /// Seconds; too small to mean anything.
    Tiny,
    /// Minutes on two cores.
    Small,
    /// Hours on two cores: more sizes, longer horizons.
    Medium,
}

/// The name of a value on the command line.
fn name(value: &impl clap::ValueEnum) -> String {
    value.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}

/// The plan of an experiment.
fn plan(experiment: Experiment, size: Size) -> &'static str {
    match (experiment, size) {
        (Experiment::Ratios, Size::Tiny) => include_str!("reproduce/plans/ratios-tiny.toml"),
        (Experiment::Ratios, Size::Small) => include_str!("reproduce/plans/ratios-small.toml"),
        (Experiment::Ratios, Size::Medium) => include_str!("reproduce/plans/ratios-medium.toml"),
        (Experiment::Laws, Size::Tiny) => include_str!("reproduce/plans/laws-tiny.toml"),
        (Experiment::Laws, Size::Small) => include_str!("reproduce/plans/laws-small.toml"),
        (Experiment::Laws, Size::Medium) => include_str!("reproduce/plans/laws-medium.toml"),
        (Experiment::Shapes, Size::Tiny) => include_str!("reproduce/plans/shapes-tiny.toml"),
        (Experiment::Shapes, Size::Small) => include_str!("reproduce/plans/shapes-small.toml"),
        (Experiment::Shapes, Size::Medium) => include_str!("reproduce/plans/shapes-medium.toml"),
        (Experiment::Batches, Size::Tiny) => include_str!("reproduce/plans/batches-tiny.toml"),
        (Experiment::Batches, Size::Small) => include_str!("reproduce/plans/batches-small.toml"),
        (Experiment::Batches, Size::Medium) => include_str!("reproduce/plans/batches-medium.toml"),
    }
}

/// What was trained for a report.
#[derive(Debug, Clone, Serialize)]
struct Trained {
    /// Folder of the sweep.
    sweep: String,
    jobs: usize,
    updates: u64,
    /// Sum over the jobs that are done, each on one core.
    seconds: f64,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Document<'a> {
    experiment: Experiment,
    size: Option<Size>,
    dir: String,
    store: String,
    report: String,
    pictures: &'a [String],
    runs: usize,
    trained: Option<Trained>,
    summary: &'a [String],
    commands: &'a [String],
    caveats: &'a [Caveat],
    #[serde(flatten)]
    results: serde_json::Map<String, serde_json::Value>,
}

/// Runs the verb.
pub fn run(args: Args, output: &Output) -> Result<(), Failure> {
    let experiment = name(&args.experiment);
    let size = args.store.is_none().then_some(args.size);
    let word = size.map_or_else(|| "store".to_owned(), |size| name(&size));
    let dir = args.dir.clone().unwrap_or_else(|| PathBuf::from(format!("reproduce-{experiment}-{word}")));
    let mut caveats = Vec::new();
    let mut commands = Vec::new();
    let (store, trained, sweep) = match &args.store {
        Some(store) if !store.exists() => {
            return Err(Failure::new(format_args!("{}: no such file or directory", store.display()))
                .hint("name a run store: `lehr import` and `lehr sweep export` write them"));
        }
        Some(store) => {
            commands.push(format!("lehr reproduce {experiment} --store {}", store.display()));
            make(&dir)?;
            (store.clone(), None, None)
        }
        None => {
            commands.push(format!("lehr reproduce {experiment} --size {word} --dir {}", dir.display()));
            let (store, trained, sweep) = train(&args, &dir, &mut commands, &mut caveats, output)?;
            (store, Some(trained), Some(sweep))
        }
    };
    let loaded = output.desk().runs(&Reading::of([store.clone()]).held(Some(1000)))?;
    output.notes(&loaded.notes);
    caveats.extend(loaded.caveats);
    let curves = loaded.curves;
    let bar = output.wait("analysing");
    let place = store.display().to_string();
    let found = match args.experiment {
        Experiment::Ratios => ratios::analyse(&curves, &place),
        Experiment::Laws => laws::transfer(&curves, &place),
        Experiment::Shapes => laws::shapes(&curves, &place),
        Experiment::Batches => batches::analyse(&curves, &place, sweep.as_ref()),
    };
    bar.finish_and_clear();
    let mut found = found?;
    if let (Experiment::Ratios, Some(sweep)) = (args.experiment, &sweep) {
        let plan = plan(args.experiment, args.size);
        validation::validate(&dir, plan, sweep, &curves, args.jobs, output, &mut found)?;
    }
    if size == Some(Size::Tiny) {
        caveats.push(Caveat::note(
            "tiny",
            "size tiny shows what comes out: models of a few thousand parameters, trained for a few updates, say nothing about language models",
        ));
    }
    caveats.append(&mut found.caveats);
    commands.append(&mut found.commands);
    let mut pictures = Vec::new();
    for (file, picture) in &found.pictures {
        let path = dir.join(file);
        crate::plot::write(&path, picture)?;
        pictures.push(path.display().to_string());
    }
    let report = dir.join("REPORT.md");
    let text = findings::markdown(&found, &curves, trained.as_ref(), &commands, &caveats);
    write_file(&report, text.as_bytes())?;
    if output.json {
        output.document(
            "lehr.reproduce/1",
            &Document {
                experiment: args.experiment,
                size,
                dir: dir.display().to_string(),
                store: place,
                report: report.display().to_string(),
                pictures: &pictures,
                runs: curves.len(),
                trained,
                summary: &found.summary,
                commands: &commands,
                caveats: &caveats,
                results: serde_json::Map::from_iter([(experiment, found.results)]),
            },
        )?;
        return output.caveats(&caveats);
    }
    data(&summary(&found, &curves, &report))?;
    output.caveats(&caveats)
}

/// What is said on stdout.
fn summary(found: &Findings, curves: &[Curve], report: &Path) -> String {
    let mut text = format!("{} ({} runs)\n\n", found.title, curves.len());
    for line in &found.summary {
        text.push_str(&format!("- {line}\n"));
    }
    text.push_str(&format!("\ntables and pictures: {}\n", report.display()));
    text
}

fn make(dir: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(dir).map_err(|error| Failure::new(format_args!("{}: {error}", dir.display())))
}

/// Trains the built-in plan, or what is left of it, and exports its runs.
fn train(
    args: &Args,
    dir: &Path,
    commands: &mut Vec<String>,
    caveats: &mut Vec<Caveat>,
    output: &Output,
) -> Result<(PathBuf, Trained, Folder), Failure> {
    let text = plan(args.experiment, args.size);
    let (file, folder, store) = (dir.join("plan.toml"), dir.join("sweep"), dir.join("store"));
    make(dir)?;
    write_plan(&file, text)?;
    let (sweep, progress) = sweep::train(&file, &folder, args.jobs, output)?;
    let written = sweep::export::everything(folder.clone(), store.clone())?;
    commands.push(format!("lehr sweep {} --dir {}", file.display(), folder.display()));
    commands.push(format!("lehr sweep export {} -o {}", folder.display(), store.display()));
    for run in &written.left_out {
        caveats.push(Caveat::note("run-left-out", format!("{} is left out: {}", run.id, run.why)));
    }
    let trained = Trained {
        sweep: folder.display().to_string(),
        jobs: progress.jobs.len(),
        updates: progress.updates_done,
        seconds: seconds(&sweep)?,
    };
    if !output.json {
        say(format_args!("trained {} jobs; analysing {} runs", trained.jobs, written.runs.len()));
    }
    Ok((store, trained, sweep))
}

/// Writes a plan, unless it is there; another one there is refused.
fn write_plan(file: &Path, text: &str) -> Result<(), Failure> {
    match std::fs::read_to_string(file) {
        Ok(there) if there == text => Ok(()),
        Ok(_) => Err(Failure::new(format_args!(
            "{}: this is the plan of another experiment, size or version",
            file.display()
        ))
        .hint("name another folder with --dir")),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => write_file(file, text.as_bytes()),
        Err(error) => Err(Failure::new(format_args!("{}: {error}", file.display()))),
    }
}

/// Time spent in the jobs of a sweep that are done.
fn seconds(folder: &Folder) -> Result<f64, Failure> {
    let mut sum = 0.0;
    for job in &folder.graph().jobs {
        sum += match folder.state(&job.id)? {
            State::Done { seconds, .. } => seconds,
            State::Waiting | State::Begun { .. } | State::Diverged { .. } | State::Failed { .. } => 0.0,
        };
    }
    Ok(sum)
}
