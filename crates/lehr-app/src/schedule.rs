//! What a schedule does at every update, and which schedule a log followed.

use crate::answer::Answer;
use crate::desk::Desk;
use crate::documents::Document;
use crate::failure::Failure;
use crate::reading::Reading;
use lehr::schedule::{Family, PhaseSpan, RecogniseOptions, Recognised, Residual, recognise};
use lehr::{Schedule, Steps};
use lehr_io::Note;
use serde::Serialize;
use std::fmt::Write as _;

/// How a schedule was recognised.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
pub struct RecognisedFrom {
    /// Distance from the rows, relative to the peak rate.
    pub residual: Residual,
    /// Rounding of the rows, a share of the peak rate.
    pub tolerance: f64,
    /// Whether the residual is no more than rounding explains.
    pub exact: bool,
    /// A row's rate is that of update `step + offset`.
    pub offset: i64,
    /// First update that the log speaks of.
    pub known_from: Steps,
    /// Whether the warm-up was in the rows or was stated.
    pub warmup_known: bool,
    /// What was assumed.
    pub notes: Vec<String>,
}

/// A run of updates in one phase, and how many they are.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
pub struct PhaseLine {
    /// The span.
    #[serde(flatten)]
    pub span: PhaseSpan,
    /// Its length, updates.
    pub updates: u64,
}

/// A schedule, described.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
pub struct ScheduleAnswer {
    /// Its family.
    pub family: Family,
    /// The schedule as text (docs/formats/schedule-text.md).
    pub text: String,
    /// Horizon T.
    pub total: Steps,
    /// Largest rate.
    pub peak_lr: f64,
    /// Rate of update 1.
    pub first_lr: f64,
    /// Rate of update T.
    pub final_lr: f64,
    /// S = Σ η over the run (rate · updates).
    pub forward_effect: f64,
    /// Its phases: stretches of one kind.
    pub phases: Vec<PhaseLine>,
    /// The schedule as data.
    pub schedule: Schedule,
    /// The rate of every update; with `[[rates]]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rates: Option<Vec<f64>>,
    /// How it was recognised; with `[[from_log]]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recognised: Option<RecognisedFrom>,
}

impl Document for ScheduleAnswer {
    const SCHEMA: &'static str = "lehr.schedule/1";
}

impl ScheduleAnswer {
    /// Describes a schedule.
    #[must_use]
    pub fn of(schedule: Schedule, found: Option<Recognised>) -> Self {
        let total = schedule.total();
        Self {
            family: schedule.family(),
            text: schedule.to_string(),
            total,
            peak_lr: schedule.peak_lr(),
            first_lr: schedule.lr(1),
            final_lr: schedule.lr(total.0),
            forward_effect: schedule.sum(total),
            phases: schedule
                .phases()
                .into_iter()
                .map(|span| PhaseLine { updates: span.updates(), span })
                .collect(),
            schedule,
            rates: None,
            recognised: found.map(|found| RecognisedFrom {
                residual: found.residual,
                tolerance: found.tolerance,
                exact: found.exact,
                offset: found.offset,
                known_from: found.known_from,
                warmup_known: found.warmup_known,
                notes: found.notes,
            }),
        }
    }
}

/// The rate of every update as CSV (`step,lr`).
#[must_use]
pub fn csv(schedule: &Schedule) -> String {
    let mut text = String::from("step,lr\n");
    for (i, rate) in schedule.rates().into_iter().enumerate() {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{},{rate:e}", i + 1);
    }
    text
}

impl Desk {
    /// Recognises the schedule that a run of a log followed; the log may be of any kind that is read, with losses or without.
    ///
    /// # Errors
    /// [`Failure`] with file and line for rows that are none, where the rows show no schedule, and where the log holds several
    /// runs and none is chosen.
    pub fn recognise(
        &self,
        reading: &Reading,
        options: &RecogniseOptions,
    ) -> Result<Answer<ScheduleAnswer>, Failure> {
        let sources = self.files().sources(&reading.paths)?;
        let mut runs = lehr_io::logged_rates(&sources, &reading.options)?;
        let run = match (runs.pop(), runs.is_empty()) {
            (Some(run), true) => run,
            (last, _) => {
                let names: Vec<&str> = runs.iter().chain(&last).map(|run| run.run.as_str()).collect();
                return Err(Failure::new(format_args!(
                    "{} runs were read, and a schedule is of one: {}",
                    names.len(),
                    short_list(&names)
                ))
                .hint("choose one with [[run]]"));
            }
        };
        let options = RecogniseOptions {
            total: options.total.or(run.total.map(Steps)),
            offset: options.offset.or(run.own_update.then_some(0)),
            ..options.clone()
        };
        let found = recognise(&run.rates, &options)
            .map_err(|error| Failure::new(format_args!("{}: run '{}': {error}", run.file, run.run)))?;
        let mut notes = run.notes;
        notes.extend(found.notes.iter().map(|note| Note::new("recognised", run.run.clone(), note.clone())));
        let value = ScheduleAnswer::of(found.schedule.clone(), Some(found));
        Ok(Answer { value, caveats: Vec::new(), notes })
    }
}

/// The first names, and how many more there are.
fn short_list(names: &[&str]) -> String {
    const SHOWN: usize = 12;
    let more = names.len().saturating_sub(SHOWN);
    let shown = names.iter().take(SHOWN).map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ");
    if more == 0 { shown } else { format!("{shown} and {more} more") }
}
