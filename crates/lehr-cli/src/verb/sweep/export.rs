//! `lehr sweep export`: the curves of a sweep as a run store.

use crate::failure::Failure;
use crate::load::file_source;
use crate::output::{Output, check_target, data, say};
use crate::store::Replacement;
use crate::verb::train::write_experts;
use lehr::{Curve, Split};
use lehr_io::run_store::{MANIFEST, POINTS};
use lehr_train::sweep::integrity::incomplete;
use lehr_train::sweep::{Folder, Job, State, SweepError, Thinning, curve};
use serde::Serialize;
use std::path::PathBuf;

/// Writes the finished runs of a sweep to a run store, which every verb reads.
///
/// A branch's curve begins with its trunk's points, as if it had been trained from the start. Validation and training
/// losses are kept side by side; readers take validation losses unless told otherwise (`--split train`). In a store that
/// is there, runs of the sweep are written anew and other runs stay.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lehr sweep export plan.sweep -o store
  lehr sweep export plan.sweep -o store --thin 20      means over 20 updates of training losses
  lehr sweep export plan.sweep -o store --split val    no training losses")]
pub struct Args {
    /// Folder of the sweep.
    dir: PathBuf,
    /// Directory of the run store; made if it is not there.
    #[arg(short, long, value_name = "STORE")]
    output: PathBuf,
    /// Which losses to write.
    #[arg(long, value_enum, default_value_t = Which::Both)]
    split: Which,
    /// Writes means over so many updates instead of every training loss.
    #[arg(long, value_name = "UPDATES", value_parser = crate::load::positive)]
    thin: Option<u64>,
    /// Takes only runs whose name fits a pattern with * and ? (repeat, or separate with commas).
    #[arg(long, value_name = "GLOB", value_delimiter = ',')]
    run: Vec<String>,
    /// Writes the tokens that each expert of the mixtures got between validations (CSV: run, step, layer, expert, tokens).
    #[arg(long, value_name = "FILE")]
    experts: Option<PathBuf>,
    /// Writes diverged runs, too, up to where they diverged.
    #[arg(long)]
    diverged: bool,
}

/// Which losses to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Which {
    /// Validation and training losses.
    Both,
    /// Training losses.
    Train,
    /// Validation losses.
    #[value(alias = "validation")]
    Val,
}

/// A run that is not written.
#[derive(Debug, Serialize)]
pub struct LeftOut {
    /// Name of the run.
    pub id: String,
    /// Why it is not written.
    pub why: String,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
pub struct Document {
    /// The store.
    pub store: String,
    /// Names of the runs written.
    pub runs: Vec<String>,
    /// Points written.
    pub points: u64,
    /// Runs that are not written.
    pub left_out: Vec<LeftOut>,
}

/// Why a job's run is not written, if it is not.
fn reason(args: &Args, job: &Job, state: &State) -> Option<String> {
    if !args.run.is_empty() && !args.run.iter().any(|pattern| lehr_io::matches(pattern, &job.id)) {
        return Some("--run leaves it out".to_owned());
    }
    match state {
        State::Done { .. } => None,
        State::Diverged { .. } if args.diverged => None,
        State::Diverged { update, quantity, .. } => {
            Some(format!("diverged: {quantity} out of bounds at update {update} (--diverged writes it)"))
        }
        State::Failed { problem } => Some(format!("failed: {problem}")),
        State::Waiting | State::Begun { .. } => Some("not finished".to_owned()),
    }
}

/// The curve to write, and training losses beside it.
fn curves(args: &Args, folder: &Folder, job: &Job) -> Result<Option<(Curve, Option<Curve>)>, SweepError> {
    let thinning = args.thin.map_or(Thinning::All, Thinning::Means);
    let training = match args.split {
        Which::Val => None,
        _ => curve(folder, job, Split::Train, thinning)?,
    };
    let validation = match args.split {
        Which::Train => None,
        _ => curve(folder, job, Split::Validation, thinning)?,
    };
    Ok(match (validation, training) {
        (Some(validation), training) => Some((validation, training)),
        (None, Some(training)) => Some((training, None)),
        (None, None) => None,
    })
}

/// Writes all finished runs of a sweep to a store, with validation and training losses.
pub fn everything(dir: PathBuf, store: PathBuf) -> Result<Document, Failure> {
    write(&Args {
        dir,
        output: store,
        split: Which::Both,
        thin: None,
        run: Vec::new(),
        experts: None,
        diverged: false,
    })
}

/// Runs the verb.
pub fn run(args: &Args, output: &Output) -> Result<(), Failure> {
    let written = write(args)?;
    if output.json {
        return output.document("lehr.sweep-export/1", &written);
    }
    let Document { store, runs, points, left_out } = written;
    let said = |why: &str| ["diverged", "failed", "damaged"].iter().any(|word| why.starts_with(word));
    for run in left_out.iter().filter(|run| said(&run.why)) {
        say(format_args!("note: {} left out: {}", run.id, run.why));
    }
    data(&format!(
        "{store}: {} runs, {points} points ({POINTS}, {MANIFEST}); {} runs left out",
        runs.len(),
        left_out.len()
    ))
}

/// Writes the store.
fn write(args: &Args) -> Result<Document, Failure> {
    check_target(args.experts.as_deref())?;
    let folder = Folder::open(&args.dir)?;
    let name = args.output.to_string_lossy().into_owned();
    let replacement = Replacement::begin(&args.output)?;
    let mut writer = replacement.writer()?;
    let (mut runs, mut points, mut left_out) = (Vec::new(), 0, Vec::new());
    for job in &folder.graph().jobs {
        let why = match reason(args, job, &folder.state(&job.id)?) {
            None => incomplete(&folder, job)?,
            why => why,
        };
        let curves = if why.is_none() { curves(args, &folder, job)? } else { None };
        let Some((curve, training)) = curves else {
            let why = why.unwrap_or_else(|| "it has no point".to_owned());
            left_out.push(LeftOut { id: job.id.clone(), why });
            continue;
        };
        writer.push_both(&curve, training.as_ref(), &format!("{}#{}", args.dir.display(), job.id))?;
        points += (curve.step().len() + training.map_or(0, |training| training.step().len())) as u64;
        runs.push(job.id.clone());
    }
    if runs.is_empty() {
        return Err(Failure::new(format_args!("{}: no run of the sweep can be written", args.dir.display()))
            .hint("`lehr sweep status DIR --all` says how far each is"));
    }
    if let Some(before) = replacement.before() {
        let old = file_source(&args.output.join(POINTS), 1, false)?;
        writer.copy(&old, before, &|id| folder.graph().job(id).is_none())?;
    }
    replacement.commit(writer)?;
    if let Some(file) = &args.experts {
        let mut tokens = Vec::new();
        for id in &runs {
            tokens.push((id.clone(), lehr_train::sweep::curves::expert_tokens(&folder, folder.job(id)?)?));
        }
        write_experts(file, &tokens)?;
    }
    Ok(Document { store: name, runs, points, left_out })
}
