//! Batch sizes at equal tokens: do updates or tokens decide, and which batch is large enough?

use super::findings::{Block, Findings, Table, mnat};
use crate::failure::Failure;
use lehr::batch::{Collapse, CriticalBatch, collapse, critical_batch};
use lehr::measured::final_loss;
use lehr::schedule::Family;
use lehr::{Caveat, Curve, Schedule};
use lehr_report::{ComparisonEntry, ComparisonPicture};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

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

/// Compares runs that differ in batch and horizon alone.
pub fn analyse(curves: &[Curve], store: &str) -> Result<Findings, Failure> {
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
            .hint("give runs of several batch sizes; the tokens of an update must be stated (`--tokens-per-step`, manifest)"));
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
            rows.push(json!({ "tokens_per_step": batch, "updates": total, "final_loss": last }));
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
            Err(error) => caveats.push(Caveat::note("no-collapse", format!("{name}: {error}"))),
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
            Err(error) => caveats.push(Caveat::note("no-critical-batch", format!("{name}: {error}"))),
        }
        results.push(json!({
            "shared": name,
            "runs": rows,
            "collapse": found.ok(),
            "critical": critical.ok(),
        }));
    }
    caveats.push(Caveat::note(
        "one-peak-rate",
        "all batch sizes of a group have the same peak rate; where the best rate grows with the batch, large batches are put at a disadvantage",
    ));
    let file = "batches.svg".to_owned();
    let mut pictures: Vec<(String, crate::plot::Picture)> = Vec::new();
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
        results: json!({ "groups": results }),
    })
}
