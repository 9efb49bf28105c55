//! What a schedule does at every update, and which schedule a log followed.

use crate::answer::Answer;
use crate::desk::Desk;
use crate::documents::Document;
use crate::failure::Failure;
use lehr::schedule::{Family, PhaseSpan, RecogniseOptions, Recognised, Residual, recognise};
use lehr::{Schedule, Steps};
use lehr_io::Note;
use serde::Serialize;
use std::fmt::Write as _;
use std::path::Path;

/// How a schedule was recognised.
#[derive(Debug, Clone, Serialize)]
pub struct RecognisedFrom {
    /// Distance from the rows, relative to the peak rate.
    pub residual: Residual,
    /// Rounding of the rows relative to the peak rate.
    pub tolerance: f64,
    /// Whether the residual is no more than rounding explains.
    pub exact: bool,
    /// A row's rate is that of update `step + offset`.
    pub offset: i64,
    /// The first update that a row shows.
    pub known_from: Steps,
    /// Whether the warm-up was in the rows or was stated.
    pub warmup_known: bool,
    /// What was assumed.
    pub notes: Vec<String>,
}

/// A run of updates in one phase, and how many they are.
#[derive(Debug, Clone, Serialize)]
pub struct PhaseLine {
    /// The span.
    #[serde(flatten)]
    pub span: PhaseSpan,
    /// Number of updates.
    pub updates: u64,
}

/// A schedule, described.
#[derive(Debug, Clone, Serialize)]
pub struct ScheduleAnswer {
    /// Its family.
    pub family: Family,
    /// The schedule as text.
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
    /// Its phases.
    pub phases: Vec<PhaseLine>,
    /// The schedule itself.
    pub schedule: Schedule,
    /// The rate of every update, if asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rates: Option<Vec<f64>>,
    /// How it was recognised, if it was.
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
    /// Recognises the schedule that a log followed.
    ///
    /// # Errors
    /// [`Failure`] with file and line for rows that are none, and where the rows show no schedule.
    pub fn recognise(
        &self,
        log: &Path,
        options: &RecogniseOptions,
    ) -> Result<Answer<ScheduleAnswer>, Failure> {
        let rows = read_rates(&log.display().to_string(), &self.files().text(log)?)?;
        let found = recognise(&rows, options)
            .map_err(|error| Failure::new(format_args!("{}: {error}", log.display())))?;
        let about = log.display().to_string();
        let notes =
            found.notes.iter().map(|note| Note::new("recognised", about.clone(), note.clone())).collect();
        let value = ScheduleAnswer::of(found.schedule.clone(), Some(found));
        Ok(Answer { value, caveats: Vec::new(), notes })
    }
}

/// Rows of (step, lr) from CSV text with a header; `place` is the file's name, for errors.
fn read_rates(place: &str, text: &str) -> Result<Vec<(u64, f64)>, Failure> {
    let mut lines = text.lines().enumerate();
    let header: Vec<String> = lines
        .next()
        .map(|(_, line)| line.split(',').map(|name| name.trim().to_ascii_lowercase()).collect())
        .unwrap_or_default();
    let column = |names: &[&str]| {
        header.iter().position(|name| names.contains(&name.as_str())).ok_or_else(|| {
            Failure::new(format_args!(
                "{place}:1: no column '{}'; found: {}",
                names[0],
                if header.is_empty() { "nothing (the file is empty)".to_owned() } else { header.join(", ") }
            ))
            .hint(format_args!("accepted names: {}", names.join(", ")))
        })
    };
    let step = column(&["step", "update", "iteration", "iter", "global_step"])?;
    let lr = column(&["lr", "learning_rate", "learning-rate", "rate"])?;
    let mut rows = Vec::new();
    for (i, line) in lines.filter(|(_, line)| !line.trim().is_empty()) {
        let cells: Vec<&str> = line.split(',').map(str::trim).collect();
        let cell = |index: usize| cells.get(index).copied().unwrap_or_default();
        // A row without a rate (a validation row, say) is none of the schedule's.
        if cell(lr).is_empty() {
            continue;
        }
        let bad = |name: &str, found: &str, expected: &str| {
            Failure::new(format_args!("{place}:{}: {name} is '{found}'; expected {expected}", i + 1))
        };
        let t =
            cell(step).parse::<u64>().map_err(|_| bad("step", cell(step), "a whole number of updates"))?;
        let y = cell(lr).parse::<f64>().map_err(|_| bad("lr", cell(lr), "a rate"))?;
        rows.push((t, y));
    }
    Ok(rows)
}
