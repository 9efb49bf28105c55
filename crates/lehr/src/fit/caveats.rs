//! What a reader must know before using a fit.

use super::{BeginSearch, Bound, Fit, PointFit, RunFit, Stop, Unsound};
use crate::caveat::{Caveat, CaveatKind};
use crate::curve::{Curve, LossKind, ParamCount, Split};
use crate::law::Law;
use std::collections::BTreeSet;

/// Everything about the data and the solution that sets limits to the fit, the most important first.
pub(super) fn caveats(law: &dyn Law, fit: &Fit, point: &PointFit, curves: &[Curve]) -> Vec<Caveat> {
    let mut out = Vec::new();
    let summary = &point.data.summary;
    for run in &fit.left_out {
        let (id, loss, against) = (run.id.clone(), run.loss, run.against);
        out.push(match run.reason {
            Unsound::Diverged => CaveatKind::LeftOut { run: id, diverged: true, loss, against },
            Unsound::Stalled => CaveatKind::LeftOut { run: id, diverged: false, loss, against },
            Unsound::LevelBroken => CaveatKind::LeftOutBreak { run: id, before: against, after: loss },
            Unsound::TooShort => continue,
        });
    }
    let short: Vec<&str> = fit
        .left_out
        .iter()
        .filter(|run| run.reason == Unsound::TooShort)
        .map(|run| run.id.as_str())
        .collect();
    if let Some(first) = short.first() {
        out.push(CaveatKind::LeftOutShort { runs: short.len() as u64, first: (*first).to_owned() });
    }
    if point.options.begin != BeginSearch::Never && point.options.first_update > 0 {
        out.push(CaveatKind::BeginFound { update: point.options.first_update });
    }
    if fit.solution.stop == Stop::IterationLimit {
        out.push(CaveatKind::NotConverged { iterations: fit.options.max_iterations });
    }
    // Starts fall into the valleys of the objective as they like; a best solution that two of them found is one.
    if fit.solution.starts >= 8 && fit.solution.starts_agreeing < 2 {
        out.push(CaveatKind::StartsDisagree { starts: fit.solution.starts as u64 });
    }
    // A law's own bounds are where its terms vanish or lose their meaning: there is nothing to widen.
    for coefficient in &fit.coefficients {
        if let Some(bound) = coefficient.at_bound
            && fit.options.bounds.contains_key(&coefficient.name)
        {
            out.push(CaveatKind::AtBound {
                coefficient: coefficient.name.clone(),
                value: coefficient.value,
                lower: bound == Bound::Lower,
            });
        }
    }
    let open: Vec<String> = fit
        .identifiability
        .undetermined
        .iter()
        .filter(|item| !item.prior)
        .map(|item| item.name.clone())
        .collect();
    if !open.is_empty() {
        out.push(CaveatKind::NotIdentifiable { coefficients: open });
    }
    if summary.peak_lrs.len() == 1 {
        out.push(CaveatKind::OnePeakRate { peak_lr: summary.peak_lrs[0] });
    }
    if (2..4).contains(&summary.sizes.len()) {
        out.push(CaveatKind::FewSizes { sizes: summary.sizes.len() as u64 });
    }
    if !law.final_only() && fit.runs.iter().all(|run| run.annealing_share < 0.01) {
        out.push(CaveatKind::NoAnnealing);
    } else if fit.runs.iter().all(|run| run.annealing_share > 0.9) {
        out.push(CaveatKind::NoStableRun);
    }
    mixture(law, fit, curves, &mut out);
    out.extend(super::suspect::caveats(fit, curves));
    let mut out: Vec<Caveat> = out.into_iter().map(Caveat::from).collect();
    crate::caveat::sort(&mut out);
    out
}

/// Losses that must not be mixed: other evaluation sets, splits, batch sizes, architectures, parameter counts. What a run
/// does not state does not differ from what others state.
fn mixture(law: &dyn Law, fit: &Fit, curves: &[Curve], out: &mut Vec<CaveatKind>) {
    let distinct = |f: &dyn Fn(&RunFit) -> Option<String>| -> Vec<String> {
        fit.runs.iter().filter_map(f).collect::<BTreeSet<String>>().into_iter().collect()
    };
    let several = |found: Vec<String>| (found.len() > 1).then_some(found);
    let splits = distinct(&|r| (r.split != Split::Unstated).then(|| format!("{:?}", r.split).to_lowercase()));
    out.extend(several(splits).map(|found| CaveatKind::MixedSplits { found }));
    let datasets = distinct(&|r| r.dataset.clone());
    out.extend(several(datasets).map(|found| CaveatKind::MixedDatasets { found }));
    let architectures = distinct(&|r| Some(r.arch.family().to_string()));
    out.extend(several(architectures).map(|found| CaveatKind::MixedArchitectures { found }));
    let counts = distinct(&|r| {
        (r.params.is_some() && r.counted != ParamCount::Unstated)
            .then(|| format!("{:?}", r.counted).to_lowercase())
    });
    out.extend(several(counts).map(|found| CaveatKind::MixedCounts { found }));
    let batches = distinct(&|r| r.tokens_per_step.map(|b| b.0.to_string()));
    if !law.knows_batch() {
        out.extend(
            several(batches).map(|found| CaveatKind::MixedBatches { found, law: law.name().to_owned() }),
        );
    }
    let smoothed = curves.iter().find_map(|curve| match curve.meta().loss_kind {
        LossKind::Ema(decay) => Some(CaveatKind::smoothed(curve, decay)),
        _ => None,
    });
    out.extend(smoothed);
}
