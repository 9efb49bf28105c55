//! Chosen runs as the plan of a sweep.

use super::SweepModel;
use crate::failure::Failure;
use lehr::plan::{ChosenRun, RunPlan};
use lehr::recommend::Target;
use lehr_io::Note;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// A preset is taken for a size up to this factor from it.
#[cfg(feature = "train")]
const NEAR: f64 = 1.25;

/// Context of a model and its parameters without embedding and head, where it is a preset.
#[cfg(feature = "train")]
fn preset(name: &str) -> Option<(u32, u64)> {
    let model = lehr_train::preset::preset(name).ok()?;
    Some((model.context, model.parameters().active))
}

/// Without the engine there are no presets.
#[cfg(not(feature = "train"))]
fn preset(_: &str) -> Option<(u32, u64)> {
    None
}

/// The dense preset nearest to N.
#[cfg(feature = "train")]
fn nearest(params: u64) -> Option<(String, u64)> {
    let distance = |n: u64| (n as f64 / params as f64).ln().abs();
    lehr_train::preset::presets()
        .into_iter()
        .filter(|(name, _)| name.starts_with("dense-"))
        .map(|(name, model)| (name, model.parameters().active))
        .min_by(|a, b| distance(a.1).total_cmp(&distance(b.1)))
        .filter(|(_, n)| distance(*n) <= NEAR.ln())
}

/// Without the engine there are no presets.
#[cfg(not(feature = "train"))]
fn nearest(_: u64) -> Option<(String, u64)> {
    None
}

/// The model of every size.
fn models(
    runs: &[ChosenRun],
    model: &SweepModel,
    notes: &mut Vec<Note>,
) -> Result<BTreeMap<Option<u64>, String>, Failure> {
    let sizes: BTreeSet<Option<u64>> = runs.iter().map(|run| run.params).collect();
    if !model.models.is_empty() {
        if model.models.len() != sizes.len() {
            return Err(Failure::usage(format_args!(
                "[[model]] names {} models for the {} sizes of the runs chosen ({})",
                model.models.len(),
                sizes.len(),
                sizes
                    .iter()
                    .map(|n| n.map_or("unknown".to_owned(), |n| n.to_string()))
                    .collect::<Vec<_>>()
                    .join(", ")
            )));
        }
        return Ok(sizes.into_iter().zip(model.models.iter().cloned()).collect());
    }
    sizes
        .into_iter()
        .map(|size| {
            let found = size.and_then(nearest);
            let (name, n) = found.ok_or_else(|| {
                let size = size.map_or("a model of unknown size".to_owned(), |n| format!("{n} parameters"));
                Failure::usage(format_args!("no preset is near {size}: the plan of a sweep needs its model"))
                    .hint("name it with [[model]]: a preset, or a table that you add to [models]")
            })?;
            notes.push(Note::new(
                "preset",
                name.clone(),
                format!("stands for {} parameters; it has {n} without embedding and head ([[model]] names another)", size.unwrap_or(0)),
            ));
            Ok((size, name))
        })
        .collect()
}

/// The plan: one grid for every size, peak rate and horizon; of all runs that the budget allows, without one of those up
/// to the stop.
pub(super) fn text(
    plan: &RunPlan,
    budget: bool,
    target: &Target,
    model: &SweepModel,
    notes: &mut Vec<Note>,
) -> Result<String, Failure> {
    let runs = if budget { &plan.runs[..] } else { &plan.runs[..plan.stop_after] };
    if runs.is_empty() {
        let failure = Failure::new(if plan.runs.is_empty() {
            "no further run lowers the expected regret: there is no sweep to plan"
        } else {
            "no further run is worth its price: there is no sweep to plan"
        });
        return Err(if plan.runs.is_empty() {
            failure
        } else {
            failure.hint("a [[budget]] is spent all the same")
        });
    }
    let models = models(runs, model, notes)?;
    let tokens = target.setting.tokens_per_step.map(|batch| batch.0);
    let mut grids: BTreeMap<(Option<u64>, u64, u64), BTreeSet<u64>> = BTreeMap::new();
    for run in runs {
        let key = (run.params, run.peak_lr.to_bits(), run.total);
        grids.entry(key).or_default().insert(run.ratio.to_bits());
    }
    let last = &runs[runs.len() - 1];
    let mut out = format!(
        "# Written by lehr plan: {} runs, {} updates with shared trunks.\n\
         # Expected regret of the recommended ratio: {:.2} mnat before, {:.2} after.\n",
        runs.len(),
        last.updates_so_far,
        1e3 * plan.regret,
        1e3 * last.regret
    );
    let shortest = runs.iter().map(|run| run.total).min().unwrap_or(1);
    // Half a dozen validations in the shortest run and in every annealing.
    let finest = runs.iter().map(|run| run.anneal_steps / 3).min().unwrap_or(1);
    let every = finest.min(shortest / 8).clamp(1, 500);
    let _ = write!(out, "validate_every = {every}\nwarmup = {}\n", target.warmup.0);
    if target.final_lr > 0.0 {
        let _ = writeln!(out, "final_share = {}", target.final_lr / target.peak_lr);
    }
    let checkpoints: BTreeSet<&str> = runs.iter().filter_map(|run| run.checkpoint.as_deref()).collect();
    for name in &checkpoints {
        let _ = writeln!(out, "# Branches off the checkpoints of '{name}', which the sweep must be given.");
    }
    for ((size, rate, total), ratios) in grids {
        let name = &models[&size];
        let batch = model.batch.or_else(|| {
            let (context, _) = preset(name)?;
            let sequences = (tokens? as f64 / f64::from(context)).round();
            Some((sequences as u32).max(1))
        });
        let batch = batch.ok_or_else(|| {
            Failure::usage(format_args!("the sequences an update of the model '{name}' are not known"))
                .hint("state them with [[batch]]; of a preset, [[tokens_per_step]] is enough")
        })?;
        let ratios: Vec<String> = ratios.into_iter().map(|bits| f64::from_bits(bits).to_string()).collect();
        let _ = write!(
            out,
            "\n[[grid]]\nmodels = [\"{name}\"]\npeak_lr = [{:e}]\ntotal = [{total}]\nratio = [{}]\nshape = [\"{}\"]\nbatch = [{batch}]\n",
            f64::from_bits(rate),
            ratios.join(", "),
            target.shape
        );
    }
    Ok(out)
}
