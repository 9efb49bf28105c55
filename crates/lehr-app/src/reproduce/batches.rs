//! Batch sizes at equal tokens: do updates or tokens decide, and which batch is large enough?

use super::Results;
use super::findings::{Block, Findings, Table, mnat};
use crate::failure::Failure;
use lehr::batch::{
    Collapse, CriticalBatch, GradientSample, NoiseScale, collapse, critical_batch, noise_scale,
};
use lehr::measured::final_loss;
use lehr::schedule::Family;
use lehr::{CaveatKind, Curve, Schedule};
use lehr_report::{ComparisonEntry, ComparisonPicture};
use lehr_train::sweep::{Folder, curves};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// One run of a batch size.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct BatchRun {
    /// Batch: tokens of an update.
    pub tokens_per_step: u64,
    /// Horizon in updates.
    pub updates: u64,
    /// Final loss, nats per token.
    pub final_loss: Option<f64>,
}

/// The gradient-noise scale along one run.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct RunNoise {
    /// Batch of the run: tokens of an update.
    pub tokens_per_step: u64,
    /// Stretches along the run, up to six.
    pub stretches: Vec<NoiseScale>,
}

/// Runs that differ in batch and horizon alone.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct BatchGroup {
    /// Gradient-noise scale by run; empty with `[[store]]`.
    pub noise: Vec<RunNoise>,
    /// What the runs of the group share.
    pub shared: String,
    /// The runs, ascending in the batch.
    pub runs: Vec<BatchRun>,
    /// Updates or tokens?
    pub collapse: Option<Collapse>,
    /// B_opt(L).
    pub critical: Option<CriticalBatch>,
}

/// What the experiment `batches` found.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct BatchesFound {
    /// One a set of runs that share all but batch and horizon.
    pub groups: Vec<BatchGroup>,
}

/// What runs that are compared share, in words.
fn shared(curve: &Curve) -> String {
    let meta = curve.meta();
    let schedule = match (curve.schedule(), curve.schedule().family()) {
        (Schedule::Wsd(wsd), Family::Wsd) => format!("{} annealing over {:.2}", wsd.shape, wsd.ratio()),
        (_, family) => family.to_string(),
    };
    format!(
        "{}, {} active parameters, {}, peak {:e}, {schedule}",
        meta.arch.family(),
        meta.law_params().map_or_else(|| "unknown".to_owned(), |n| n.0.to_string()),
        meta.dataset.as_deref().unwrap_or("unstated data"),
        curve.schedule().peak_lr(),
    )
}

/// Stretches of a run over which its gradient noise is averaged.
const STRETCHES: usize = 6;

/// The gradient-noise scale along a run of a sweep; `None` where none was measured.
fn noise(folder: &Folder, run: &Curve) -> Result<Option<Vec<NoiseScale>>, Failure> {
    let job = folder.job(&run.meta().id)?;
    let samples: Vec<GradientSample> = curves::records(folder, job)?
        .iter()
        .filter_map(|record| {
            Some(GradientSample {
                loss: record.loss,
                batch: record.gradient_norm.powi(2),
                sequence: record.sequence_gradient_norm?.powi(2),
            })
        })
        .collect();
    Ok(noise_scale(&samples, job.config.batch.into(), job.config.model.context.into(), STRETCHES).ok())
}

/// Compares runs that differ in batch and horizon alone; `sweep` is the sweep they are of, whose journals hold the gradient
/// norms.
pub fn analyse(curves: &[Curve], store: &str, sweep: Option<&Folder>) -> Result<Findings, Failure> {
    let mut groups: BTreeMap<String, Vec<Curve>> = BTreeMap::new();
    for curve in curves {
        groups.entry(shared(curve)).or_default().push(curve.clone());
    }
    let batches = |runs: &[Curve]| -> BTreeSet<u64> {
        runs.iter().filter_map(|run| run.meta().tokens_per_step.map(|b| b.0)).collect()
    };
    groups.retain(|_, runs| batches(runs).len() > 1);
    if groups.is_empty() {
        return Err(Failure::new("no two runs share model, data, peak rate and schedule and differ in the batch")
            .hint("give runs of several batch sizes; the tokens of an update must be stated ([[tokens_per_step]], manifest)"));
    }
    let (mut summary, mut blocks, mut caveats) = (Vec::new(), Vec::new(), Vec::new());
    let (mut bars, mut results) = (Vec::new(), Vec::new());
    for (name, mut runs) in groups {
        runs.sort_by_key(|run| (run.meta().tokens_per_step.map(|b| b.0), run.schedule().total().0));
        let found: Result<Collapse, _> = collapse(&runs);
        let critical: Result<CriticalBatch, _> = critical_batch(&runs);
        blocks.push(Block::Heading(name.clone()));
        let mut table = Table::new(["tokens an update", "updates", "tokens", "final loss"]);
        let mut rows = Vec::new();
        for run in &runs {
            let (batch, total) = (run.meta().tokens_per_step.map_or(0, |b| b.0), run.schedule().total().0);
            let last = final_loss(run);
            table.row([
                batch.to_string(),
                total.to_string(),
                (batch * total).to_string(),
                last.map_or_else(|| "–".to_owned(), |loss| format!("{loss:.4}")),
            ]);
            rows.push(BatchRun { tokens_per_step: batch, updates: total, final_loss: last });
        }
        blocks.push(Block::Table(table));
        match &found {
            Ok(c) => {
                let text = format!(
                    "losses differ by {} mnat at equal updates and by {} mnat at equal tokens; statistic {:.3} (0: updates decide, 1: tokens decide)",
                    mnat(c.by_updates),
                    mnat(c.by_tokens),
                    c.statistic
                );
                blocks.push(Block::Text(format!("Collapse: {text}.")));
                summary.push(format!("{name}: {text}"));
                for (unit, value) in [("equal updates", c.by_updates), ("equal tokens", c.by_tokens)] {
                    bars.push(ComparisonEntry {
                        name: format!("{name}: {unit}"),
                        value: value * 1e3,
                        interval: None,
                        note: None,
                    });
                }
            }
            Err(error) => {
                caveats.push(CaveatKind::NoCollapse { group: name.clone(), why: error.to_string() }.into())
            }
        }
        match &critical {
            Ok(c) => {
                let text = format!(
                    "B_opt(L) = {:.3e}/L^{:.2} tokens from {} losses, misfit of ln B {:.2}",
                    c.lambda,
                    c.alpha,
                    c.points.len(),
                    c.rms
                );
                blocks.push(Block::Text(format!("{text}:")));
                let mut table = Table::new(["loss", "B_opt, tokens"]);
                for (loss, batch) in &c.points {
                    table.row([format!("{loss:.4}"), format!("{batch:.0}")]);
                }
                blocks.push(Block::Table(table));
                summary.push(format!("{name}: {text}"));
            }
            Err(error) => caveats
                .push(CaveatKind::NoCriticalBatch { group: name.clone(), why: error.to_string() }.into()),
        }
        let (mut scales, mut begin, mut end) = (Vec::new(), Vec::new(), Vec::new());
        if let Some(folder) = sweep {
            let mut table = Table::new(["tokens an update", "loss", "B_noise, tokens", "measurements"]);
            for run in &runs {
                let Some(stretches) = noise(folder, run)? else { continue };
                let batch = run.meta().tokens_per_step.map_or(0, |b| b.0);
                for stretch in &stretches {
                    table.row([
                        batch.to_string(),
                        format!("{:.4}", stretch.loss),
                        stretch
                            .tokens
                            .map_or_else(|| "hidden by the noise".to_owned(), |b| format!("{b:.0}")),
                        stretch.samples.to_string(),
                    ]);
                }
                if let [first, .., last] = &stretches[..] {
                    begin.extend(first.tokens);
                    end.extend(last.tokens);
                }
                scales.push(RunNoise { tokens_per_step: batch, stretches });
            }
            if !begin.is_empty() && !end.is_empty() {
                let range = |of: &[f64]| {
                    let (low, high) = of.iter().fold((f64::MAX, 0.0_f64), |(l, h), &b| (l.min(b), h.max(b)));
                    format!("{low:.0} … {high:.0}")
                };
                summary.push(format!(
                    "{name}: gradient-noise scale of {} tokens in the first sixth of the runs, {} in the last",
                    range(&begin),
                    range(&end)
                ));
            }
            blocks.push(Block::Text(
                "Gradient-noise scale B_noise = tr Σ/|G|² along each run, from the gradients of whole batches and of their single sequences; batches much smaller than it lose little by being small:".to_owned(),
            ));
            blocks.push(Block::Table(table));
        }
        results.push(BatchGroup {
            noise: scales,
            shared: name,
            runs: rows,
            collapse: found.ok(),
            critical: critical.ok(),
        });
    }
    caveats.push(CaveatKind::RatesNotTuned.into());
    if sweep.is_none() {
        caveats.push(CaveatKind::NoGradientNoise.into());
    }
    let file = "batches.svg".to_owned();
    let mut pictures: Vec<(String, crate::pictures::Picture)> = Vec::new();
    if !bars.is_empty() {
        blocks.push(Block::Picture(
            file.clone(),
            "differences at equal updates and at equal tokens".to_owned(),
        ));
        pictures.push((
            file,
            Box::new(ComparisonPicture {
                title: "Losses of runs that differ in the batch".to_owned(),
                subtitle: None,
                caption: Some(
                    "root mean square over pairs of runs, at 32 places of what they share".to_owned(),
                ),
                metric: "difference (mnat)".to_owned(),
                coverage: 0.9,
                entries: bars,
            }),
        ));
    }
    Ok(Findings {
        title: "Batch sizes: updates or tokens?".to_owned(),
        question: "Runs of the same number of tokens in several batch sizes: do their losses fall onto one curve over updates or over tokens, and from which batch on does a larger one not save updates in proportion? At a loss that at least three batches reach, the updates S needed follow S = S_min·(1 + B_opt/B).".to_owned(),
        summary,
        blocks,
        pictures,
        caveats,
        commands: vec![format!("lehr transfer {store} --run 'GLOB'")],
        results: Results::Batches(BatchesFound { groups: results }),
    })
}
