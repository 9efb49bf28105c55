//! `lehr sweep adopt`: runs that exist already take their cells.

use crate::failure::Failure;
use crate::load::LoadArgs;
use crate::output::{Output, updates};
use lehr_app::Desk;
use lehr_app::sweep::{AdoptRequest, Kept, SweepAdoptAnswer, SweepRequest};
use std::fmt::Write as _;
use std::path::PathBuf;

/// What to adopt.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The plan (TOML, with `trainer`; docs/formats/sweep.md).
    #[arg(value_name = "PLAN")]
    plan: PathBuf,
    #[command(flatten)]
    load: LoadArgs,
    /// Folder of the sweep, which is made if it is not there; default: the plan's name with `.sweep`.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// A checkpoint of a constant run, for branches that are still to be trained (repeat).
    #[arg(long, value_name = "RUN@UPDATE=PATH", value_parser = kept)]
    checkpoint: Vec<Kept>,
}

/// A checkpoint as `RUN@UPDATE=PATH`.
fn kept(text: &str) -> Result<Kept, String> {
    let parts = text.split_once('=').and_then(|(head, path)| {
        let (run, update) = head.rsplit_once('@')?;
        let update = crate::load::positive(update).ok()?;
        (!run.is_empty() && !path.is_empty()).then(|| Kept {
            run: run.to_owned(),
            update,
            path: PathBuf::from(path),
        })
    });
    parts.ok_or_else(|| {
        format!("'{text}' is not of the form RUN@UPDATE=PATH such as trunk@40000=ckpt/step-40000")
    })
}

/// Adopts runs.
pub fn run(args: Args, desk: &Desk, output: &Output) -> Result<(), Failure> {
    let request = AdoptRequest {
        sweep: SweepRequest { measure: false, ..SweepRequest::new(&args.plan, args.dir) },
        runs: args.load.reading()?,
        checkpoints: args.checkpoint,
    };
    let answer = desk.adopt_sweep(&request)?;
    output.notes(&answer.notes);
    if output.json {
        output.answer(&answer.value)?
    } else {
        output.data(&text(&answer.value))?
    }
    output.close(&answer)
}

fn text(found: &SweepAdoptAnswer) -> String {
    let mut out = String::new();
    for adopted in &found.adopted {
        let _ = write!(out, "{} is run '{}'", adopted.job, adopted.run);
        if !adopted.checkpoints.is_empty() {
            let points: Vec<String> = adopted.checkpoints.iter().map(|at| updates(*at)).collect();
            let _ = write!(out, ", with checkpoints after {}", points.join(", "));
        }
        out.push('\n');
    }
    for run in &found.unused {
        let _ = writeln!(out, "'{run}' is no job of the plan");
    }
    let _ = writeln!(
        out,
        "{} jobs adopted; {} left to train, {} updates: lehr sweep resume {}",
        found.adopted.len(),
        found.left,
        updates(found.updates_left),
        found.dir
    );
    out
}
