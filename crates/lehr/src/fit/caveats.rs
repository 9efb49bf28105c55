//! What a reader must know before using a fit.

use super::{Bound, Fit, PointFit, RunFit, Stop, Unsound};
use crate::caveat::Caveat;
use crate::curve::{Curve, LossKind, ParamCount, Split};
use crate::law::Law;
use std::collections::BTreeSet;

/// Everything about the data and the solution that sets limits to the fit.
pub(super) fn caveats(law: &dyn Law, fit: &Fit, point: &PointFit, curves: &[Curve]) -> Vec<Caveat> {
    let mut out = Vec::new();
    let summary = &point.data.summary;
    for run in &fit.left_out {
        let how = match run.reason {
            Unsound::Diverged => "diverged: it ends at {loss}, far above the {against} it had reached",
            Unsound::Stalled => "never learned: it ends at {loss} where the other runs are at {against}",
        };
        let how = how
            .replace("{loss}", &format!("{:.3}", run.loss))
            .replace("{against}", &format!("{:.3}", run.against));
        out.push(Caveat::note(
            "left-out",
            format!("run '{}' is left out because it {how}; --keep '{}' takes it in", run.id, run.id),
        ));
    }
    if fit.solution.stop == Stop::IterationLimit {
        out.push(Caveat::blocking(
            "not-converged",
            format!(
                "the solver stopped at its iteration limit ({}); raise --max-iterations",
                fit.options.max_iterations
            ),
        ));
    }
    if fit.solution.starts >= 8 && fit.solution.starts_agreeing * 8 < fit.solution.starts {
        out.push(Caveat::note(
            "starts-disagree",
            format!(
                "only {} of {} starts came within 1 % of the best objective; raise --starts to be sure of it",
                fit.solution.starts_agreeing, fit.solution.starts
            ),
        ));
    }
    for coefficient in fit.coefficients.iter().filter(|c| c.at_bound.is_some()) {
        out.push(Caveat::note(
            "at-bound",
            format!(
                "coefficient {} = {:.4} is at its {} bound: the data would move it further; widen it with --bound {}=…",
                coefficient.name,
                coefficient.value,
                if coefficient.at_bound == Some(Bound::Lower) { "lower" } else { "upper" },
                coefficient.name
            ),
        ));
    }
    for item in &fit.identifiability.undetermined {
        let traded = if item.traded_with.is_empty() {
            String::new()
        } else {
            format!(" (it can be traded against {})", item.traded_with.join(", "))
        };
        if item.prior {
            out.push(Caveat::note(
                "prior-dominated",
                format!("coefficient {} comes from its prior, not from these data{traded}", item.name),
            ));
        } else {
            out.push(Caveat::blocking(
                "not-identifiable",
                format!(
                    "these data do not determine coefficient {}{traded}; add runs that differ in schedule, horizon, peak rate or size, or hold it with --fix {}=…",
                    item.name, item.name
                ),
            ));
        }
    }
    if summary.peak_lrs.len() == 1 {
        out.push(Caveat::note(
            "one-peak-rate",
            format!(
                "all runs have the peak rate {}: how the loss depends on it comes from priors; one short run at twice or half of it would settle that",
                summary.peak_lrs[0]
            ),
        ));
    }
    if summary.sizes.len() == 1 {
        out.push(Caveat::note("one-size", "all runs have one size: nothing is known about other N (λ_N and α_N are not identifiable; the term is part of L₀)"));
    } else if summary.sizes.len() > 1 && summary.sizes.len() < 4 {
        out.push(Caveat::note(
            "few-sizes",
            format!("{} sizes do not determine L₀ and the exponent of N together: the exponent is assumed; four sizes would determine both", summary.sizes.len()),
        ));
    } else if summary.sizes.is_empty() {
        out.push(Caveat::note(
            "no-size",
            "the number of parameters of some run is unknown: no term in N is fitted",
        ));
    }
    if !law.final_only() && fit.runs.iter().all(|run| run.annealing_share < 0.01) {
        out.push(Caveat::blocking(
            "no-annealing",
            "no run anneals: nothing is known about what annealing brings",
        ));
    } else if fit.runs.iter().all(|run| run.annealing_share > 0.9) {
        out.push(Caveat::blocking(
            "no-stable-run",
            "every run anneals all along, which leaves descent and annealing hard to tell apart: add one run with a constant rate",
        ));
    }
    mixture(law, fit, curves, &mut out);
    out
}

/// Losses that must not be mixed: other evaluation sets, splits, batch sizes, architectures, parameter counts. What a run
/// does not state does not differ from what others state.
fn mixture(law: &dyn Law, fit: &Fit, curves: &[Curve], out: &mut Vec<Caveat>) {
    let distinct = |f: &dyn Fn(&RunFit) -> Option<String>| -> BTreeSet<String> {
        fit.runs.iter().filter_map(f).collect()
    };
    let list = |set: &BTreeSet<String>| set.iter().cloned().collect::<Vec<_>>().join(", ");
    let mut blocking = |code: &str, what: &str, set: BTreeSet<String>| {
        if set.len() > 1 {
            out.push(Caveat::blocking(
                code,
                format!(
                    "the runs mix {what} ({}): one law cannot describe both; choose with --run or --split",
                    list(&set)
                ),
            ));
        }
    };
    blocking(
        "mixed-splits",
        "losses of different splits",
        distinct(&|r| (r.split != Split::Unstated).then(|| format!("{:?}", r.split).to_lowercase())),
    );
    blocking("mixed-datasets", "losses on different data sets", distinct(&|r| r.dataset.clone()));
    blocking("mixed-architectures", "architectures", distinct(&|r| Some(r.arch.family().to_owned())));
    blocking(
        "mixed-counts",
        "conventions of counting parameters",
        distinct(&|r| {
            (r.params.is_some() && r.counted != ParamCount::Unstated)
                .then(|| format!("{:?}", r.counted).to_lowercase())
        }),
    );
    let batches = distinct(&|r| r.tokens_per_step.map(|b| b.0.to_string()));
    if batches.len() > 1 && !law.knows_batch() {
        out.push(Caveat::note(
            "mixed-batches",
            format!(
                "the runs differ in batch size ({} tokens): the {} law knows updates, not tokens",
                list(&batches),
                law.name()
            ),
        ));
    }
    if let Some(curve) = curves.iter().find(|c| matches!(c.meta().loss_kind, LossKind::Ema(_))) {
        out.push(Caveat::note(
            "smoothed-loss",
            format!("the losses of '{}' are a moving average: it lags behind the loss, most of all during annealing", curve.meta().id),
        ));
    }
}
