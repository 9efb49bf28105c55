//! What was found in logs, written as a manifest for the user to correct.

use super::{InspectAnswer, RunLine};
use lehr::{Arch, ParamCount, Schedule};
use std::fmt::Write as _;

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
            // Writing to a string cannot fail.
            let _ = write!(text, "\n[runs.{}]\n", quoted(&run.id));
            for (key, value) in entries(run) {
                let _ = writeln!(text, "{key} = {value}");
            }
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

/// A text as TOML writes it.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
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
fn entries(run: &RunLine) -> Vec<(&'static str, String)> {
    let mut entries = vec![("arch", quoted(run.arch.family().name()))];
    if let Arch::Moe { experts, top_k } = &run.arch {
        entries.push(("experts", experts.to_string()));
        entries.push(("top_k", top_k.to_string()));
    }
    let (params, active) = match run.counted {
        ParamCount::NonEmbedding => ("params_non_embedding", "active_params_non_embedding"),
        ParamCount::Total => ("params_total", "active_params"),
        ParamCount::Unstated => ("params", "active_params"),
    };
    let mut add = |key, value: Option<String>| entries.extend(value.map(|value| (key, value)));
    add(params, run.params.map(|n| n.to_string()));
    add(active, run.active_params.map(|n| n.to_string()));
    add("tokens_per_step", run.tokens_per_step.map(|n| n.to_string()));
    add("dataset", run.dataset.as_deref().map(quoted));
    add("schedule", statable(&run.whole).as_deref().map(quoted));
    add("branch_from", run.branch.as_ref().map(|branch| quoted(&branch.trunk)));
    add("branch_at_step", run.branch.as_ref().map(|branch| branch.at.0.to_string()));
    add("final_loss", run.final_loss.map(|loss| loss.to_string()));
    entries
}
