//! What was found in logs, written as a manifest for the user to correct.

use super::{InspectAnswer, RunLine};
use lehr::{Arch, ParamCount, Schedule};
use std::fmt::Write as _;
use toml::{Table, Value};

/// A schedule of more stretches than this is left to the logged rates.
const MOST_STRETCHES: usize = 12;

impl InspectAnswer {
    /// The runs as `manifest.toml`: read beside the logs it says what they said without it, and each line of it can be corrected.
    ///
    /// # Source
    /// The format is described in `docs/formats/manifest.md`.
    #[must_use]
    pub fn manifest(&self) -> String {
        let mut text = String::from(
            "# What lehr found in the logs beside this file. Correct what is wrong, add what is missing, remove what the logs say better.\n\
             # docs/formats/manifest.md describes every key; what all runs share may stand once below [defaults].\n",
        );
        for run in &self.runs {
            let named = Table::from_iter([(run.id.clone(), Value::Table(entries(run)))]);
            let runs = Table::from_iter([("runs".to_owned(), Value::Table(named))]);
            // Writing to a string cannot fail.
            let _ = write!(text, "\n{runs}");
            if statable(&run.whole).is_none() {
                let _ = writeln!(
                    text,
                    "# schedule: read from the logged rates ({}, {} updates, peak rate {:e})",
                    run.schedule.family, run.total_steps, run.peak_lr
                );
            }
        }
        text
    }
}

/// The schedule as text, where it is short enough to be stated.
fn statable(schedule: &Schedule) -> Option<String> {
    match schedule {
        Schedule::Sampled(_) => None,
        _ if schedule.phases().len() > MOST_STRETCHES => None,
        _ => Some(schedule.to_string()),
    }
}

/// The keys of a run and their values.
fn entries(run: &RunLine) -> Table {
    let mut entries = Table::new();
    let mut add = |key: &str, value: Option<Value>| {
        entries.extend(value.map(|value| (key.to_owned(), value)));
    };
    // Counts beyond TOML's whole numbers are none that a run has.
    let count = |n: u64| i64::try_from(n).ok().map(Value::Integer);
    let text = |text: &str| Some(Value::String(text.to_owned()));
    add("arch", text(run.arch.family().name()));
    if let Arch::Moe { experts, top_k } = run.arch {
        add("experts", count(experts.into()));
        add("top_k", count(top_k.into()));
    }
    let (params, active) = match run.counted {
        ParamCount::NonEmbedding => ("params_non_embedding", "active_params_non_embedding"),
        ParamCount::Total => ("params_total", "active_params"),
        ParamCount::Unstated => ("params", "active_params"),
    };
    add(params, run.params.and_then(count));
    add(active, run.active_params.and_then(count));
    add("tokens_per_step", run.tokens_per_step.and_then(count));
    add("dataset", run.dataset.as_deref().and_then(text));
    add("schedule", statable(&run.whole).as_deref().and_then(text));
    add("branch_from", run.branch.as_ref().and_then(|branch| text(&branch.trunk)));
    add("branch_at_step", run.branch.as_ref().and_then(|branch| count(branch.at.0)));
    add("final_loss", run.final_loss.map(Value::Float));
    entries
}
