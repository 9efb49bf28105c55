//! `lehr inspect`: what is in these logs.

use crate::failure::Failure;
use crate::load::{LoadArgs, for_each_run};
use crate::output::{self, Output, table};
use lehr_io::{Health, LoadedRun, Mapping, Note, ScheduleOrigin};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};

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

/// One run as `--json` prints it.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    id: String,
    file: String,
    format: String,
    mapping: Option<Mapping>,
    arch: &'static str,
    params: Option<u64>,
    active_params: Option<u64>,
    params_counted: lehr::ParamCount,
    tokens_per_step: Option<u64>,
    dataset: Option<String>,
    split: lehr::Split,
    loss_kind: lehr::LossKind,
    points: usize,
    first_step: u64,
    last_step: u64,
    total_steps: u64,
    peak_lr: f64,
    warmup: Option<u64>,
    ratio: Option<f64>,
    final_lr: f64,
    schedule: ScheduleOrigin,
    branch: Option<lehr::BranchPoint>,
    last_loss: f64,
    final_loss: Option<f64>,
    noise: Option<f64>,
    spikes: Vec<u64>,
    diverged: Option<u64>,
    caveats: Vec<lehr::Caveat>,
    notes: Vec<Note>,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Document {
    runs: Vec<Row>,
    twins: Vec<Vec<String>>,
    notes: Vec<Note>,
}

impl Row {
    pub(super) fn of(run: LoadedRun) -> Self {
        let LoadedRun { curve, file, format, mapping, schedule, health, caveats, notes } = run;
        let Health { spikes, diverged, noise } = health;
        let meta = curve.meta();
        let whole = curve.schedule();
        let (warmup, ratio) = (whole.warmup().map(|warmup| warmup.0), whole.ratio());
        let (last_step, last_loss) = curve.last();
        Self {
            id: meta.id.clone(),
            file,
            format,
            mapping,
            arch: meta.arch.family(),
            params: meta.params.map(|n| n.0),
            active_params: meta.active_params.map(|n| n.0),
            params_counted: meta.counted,
            tokens_per_step: meta.tokens_per_step.map(|n| n.0),
            dataset: meta.dataset.clone(),
            split: meta.split,
            loss_kind: meta.loss_kind,
            points: curve.step().len(),
            first_step: curve.step()[0],
            last_step,
            total_steps: whole.total().0,
            peak_lr: whole.peak_lr(),
            warmup,
            ratio,
            final_lr: whole.lr(whole.total().0),
            schedule,
            branch: meta.branch.clone(),
            last_loss,
            final_loss: meta.final_loss,
            noise,
            spikes,
            diverged,
            caveats,
            notes,
        }
    }

    fn cells(&self) -> [String; 14] {
        let marks = {
            let mut marks = Vec::new();
            if !self.spikes.is_empty() {
                marks.push(format!("{} spikes", self.spikes.len()));
            }
            if self.diverged.is_some() {
                marks.push("diverged".to_owned());
            }
            for caveat in &self.caveats {
                if !matches!(caveat.code.as_str(), "spikes" | "diverged") {
                    marks.push(caveat.code.clone());
                }
            }
            marks.join(", ")
        };
        [
            self.id.clone(),
            self.arch.to_owned(),
            self.params.map_or("?".to_owned(), short),
            split(self.split).to_owned(),
            self.points.to_string(),
            format!("{}–{}", self.first_step, self.last_step),
            self.total_steps.to_string(),
            self.schedule.family.clone(),
            self.peak_lr.to_string(),
            self.ratio.map_or("–".to_owned(), |ratio| format!("{ratio:.3}")),
            format!("{:.4}", self.last_loss),
            self.final_loss.map_or("–".to_owned(), |loss| format!("{loss:.4}")),
            self.noise.map_or("–".to_owned(), |noise| format!("{:.1}", 1e3 * noise)),
            marks,
        ]
    }
}

fn split(split: lehr::Split) -> &'static str {
    match split {
        lehr::Split::Train => "train",
        lehr::Split::Validation => "val",
        lehr::Split::Unstated => "?",
    }
}

/// A count with its unit: 85.0M.
fn short(n: u64) -> String {
    let n = n as f64;
    match n {
        n if n >= 1e9 => format!("{:.2}B", n / 1e9),
        n if n >= 1e6 => format!("{:.1}M", n / 1e6),
        n if n >= 1e3 => format!("{:.1}k", n / 1e3),
        n => n.to_string(),
    }
}

pub fn run(args: Args, output: &Output) -> Result<(), Failure> {
    let mut rows = Vec::new();
    let mut known: BTreeMap<(u64, u64), (usize, Vec<String>)> = BTreeMap::new();
    let summary = for_each_run(&args.load, None, output, &mut |run| {
        let key = twin_key(&run)?;
        let place = known.len();
        known.entry(key).or_insert((place, Vec::new())).1.push(run.curve.meta().id.clone());
        rows.push(Row::of(run));
        Ok(())
    })?;
    let mut twins: Vec<(usize, Vec<String>)> = known.into_values().filter(|(_, ids)| ids.len() > 1).collect();
    twins.sort();
    let twins: Vec<Vec<String>> = twins.into_iter().map(|(_, ids)| ids).collect();
    if output.json {
        let of_runs: BTreeSet<(&str, &str)> =
            rows.iter().flat_map(|row| &row.notes).map(|n| (n.about.as_str(), n.message.as_str())).collect();
        let notes = summary
            .notes
            .into_iter()
            .filter(|note| !of_runs.contains(&(note.about.as_str(), note.message.as_str())))
            .collect();
        return output.document("lehr.inspect/1", &Document { runs: rows, twins, notes });
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
    for row in &rows {
        shown.add_row(row.cells());
    }
    output::data(&shown.to_string())?;
    for ids in &twins {
        output::data(&format!("same configuration: {}", ids.join(", ")))?;
    }
    let worst = rows.iter().filter_map(|row| row.schedule.residual).fold(0.0, f64::max);
    output::data(&format!(
        "{} run{}; logged and rebuilt rates differ by at most {:.2e} of the peak",
        rows.len(),
        if rows.len() == 1 { "" } else { "s" },
        worst
    ))
}

/// What makes two runs twins, as a digest: neither a run's points nor its schedule need be held for it.
fn twin_key(run: &LoadedRun) -> Result<(u64, u64), Failure> {
    let meta = run.curve.meta();
    let text = serde_json::to_string(&(
        run.curve.schedule(),
        &meta.arch,
        meta.params,
        meta.active_params,
        meta.tokens_per_step,
        &meta.dataset,
        meta.split,
    ))
    .map_err(Failure::new)?;
    // Two digests of 64 bits: runs that differ have the same with a probability of 10⁻³⁰ a pair.
    let digest = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        (salt, &text).hash(&mut hasher);
        hasher.finish()
    };
    Ok((digest(0), digest(1)))
}
