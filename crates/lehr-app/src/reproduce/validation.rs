//! The validating runs of `lehr reproduce ratios`: the largest model (or longest horizon) trained at the ratio that the
//! smaller cells predict, which no run before had.

use super::findings::{Block, Findings, Table, mnat};
use super::ratios::{Target, targets};
use super::{HELD, Results, make, write_plan};
use crate::desk::Desk;
use crate::failure::Failure;
use crate::reading::Reading;
use crate::sweep::{Execution, SweepExportRequest};
use lehr::measured::final_loss;
use lehr::{ArchFamily, Curve, Params};
use lehr_train::sweep::plan::PlanFile;
use lehr_train::sweep::{Folder, Grid, Job};
use serde::Serialize;
use std::path::Path;

/// A prediction and the run that was trained to judge it.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Validated {
    /// `dense` or `moe`.
    pub arch: ArchFamily,
    /// Model of the plan.
    pub model: String,
    /// What the prediction was carried over: `size` or `horizon`.
    pub across: &'static str,
    /// Peak rate of the cell.
    pub peak_lr: f64,
    /// Its horizon in updates.
    pub total: u64,
    /// Ratio predicted from the smaller cells, and trained.
    pub predicted: f64,
    /// Ratio measured from the cell's other runs.
    pub measured: f64,
    /// Final loss of the validating run, trained at the predicted ratio, nats.
    pub loss: f64,
    /// Lowest loss of the quadratic through the cell's other runs, nats.
    pub lowest: f64,
    /// The best other run: its ratio and its final loss in nats.
    pub best: (f64, f64),
    /// `loss − lowest`, nats.
    pub cost: f64,
}

/// The cell's job, which says how the validating run is to be trained.
fn job_of<'a>(folder: &'a Folder, target: &Target) -> Option<&'a Job> {
    folder.graph().jobs.iter().find(|job| {
        let parameters = job.config.model.parameters();
        job.last() == target.cell.total
            && (job.schedule.peak_lr() / target.cell.peak_lr - 1.0).abs() < 1e-9
            && target.cell.params == Some(Params(parameters.active))
            && target.cell.arch
                == if job.config.model.experts.is_some() { ArchFamily::Moe } else { ArchFamily::Dense }
    })
}

/// Trains every architecture's validating run in `dir/validation` (or reads it, where it is there) and adds what it
/// says to the findings.
pub fn validate(
    desk: &Desk,
    dir: &Path,
    plan: &str,
    sweep: &Folder,
    curves: &[Curve],
    execution: &Execution,
    found: &mut Findings,
) -> Result<(), Failure> {
    let targets: Vec<(Target, &Job)> = targets(curves)
        .into_iter()
        .filter_map(|target| job_of(sweep, &target).map(|job| (target, job)))
        .collect();
    if targets.is_empty() {
        return Ok(());
    }
    let mut file = PlanFile::parse("plan.toml", plan)?.plan;
    file.grid = targets
        .iter()
        .map(|(target, job)| Grid {
            models: vec![job.model.clone()],
            peak_lr: vec![target.cell.peak_lr],
            total: vec![target.cell.total],
            // Four digits of a share are finer than an update is long, and can be read.
            ratio: vec![(target.predicted * 1e4).round() / 1e4],
            shape: vec![lehr::Shape::Linear],
            family: vec![lehr_train::sweep::Family::Wsd],
            batch: vec![job.config.batch],
            seed: vec![job.config.seed],
            warmup: None,
            final_share: None,
        })
        .collect();
    let text = toml::to_string(&file).map_err(Failure::new)?;
    let place = dir.join("validation");
    make(&place)?;
    let (path, folder, store) = (place.join("plan.toml"), place.join("sweep"), place.join("store"));
    write_plan(&path, &text)?;
    desk.train_plan(&path, &folder, execution)?;
    desk.export_sweep(&SweepExportRequest::everything(&folder, &store))?;
    let runs = desk.runs(&Reading::of([store]).held(Some(HELD)))?.curves;
    let validated: Vec<Validated> = targets
        .iter()
        .filter_map(|(target, job)| {
            let cell = &target.cell;
            let run = runs.iter().find(|run| {
                run.meta().arch.family() == cell.arch
                    && run.schedule().total().0 == cell.total
                    && run.meta().law_params().map(|n| n.0) == Some(job.config.model.parameters().active)
            })?;
            let loss = final_loss(run)?;
            let best = *cell.points.iter().min_by(|a, b| a.1.total_cmp(&b.1))?;
            Some(Validated {
                arch: cell.arch,
                model: job.model.clone(),
                across: target.across,
                peak_lr: cell.peak_lr,
                total: cell.total,
                predicted: target.predicted,
                measured: cell.ratio,
                loss,
                lowest: cell.loss,
                best,
                cost: loss - cell.loss,
            })
        })
        .collect();
    write(&validated, found);
    if let Results::Ratios(results) = &mut found.results {
        results.validation = Some(validated);
    }
    found.commands.push(format!("lehr sweep {} --dir {}", path.display(), folder.display()));
    Ok(())
}

fn write(validated: &[Validated], found: &mut Findings) {
    found.blocks.push(Block::Heading("Validating runs".to_owned()));
    found.blocks.push(Block::Text(
        "Trained after the laws were fitted, at the ratio that they predict from the smaller cells alone, with the seed of the cell's other runs."
            .to_owned(),
    ));
    let mut table = Table::new([
        "model",
        "carried over",
        "peak rate",
        "updates",
        "predicted r",
        "its loss",
        "measured r",
        "lowest loss",
        "best other run",
        "costs mnat",
    ]);
    for v in validated {
        table.row([
            v.model.clone(),
            v.across.to_owned(),
            format!("{:e}", v.peak_lr),
            v.total.to_string(),
            format!("{:.3}", v.predicted),
            format!("{:.4}", v.loss),
            format!("{:.3}", v.measured),
            format!("{:.4}", v.lowest),
            format!("{:.4} at r = {:.2}", v.best.1, v.best.0),
            mnat(v.cost),
        ]);
        found.summary.push(format!(
            "{} ({}), validating run: trained at the ratio {:.3} that the smaller cells predict, it ends at {:.4}, {} mnat from the lowest loss of the quadratic through its cell's other runs; the best of those has {:.4}",
            v.model, v.arch, v.predicted, v.loss, mnat(v.cost), v.best.1
        ));
    }
    found.blocks.push(Block::Table(table));
}
