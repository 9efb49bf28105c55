//! The run to forecast or to recommend for.

use crate::failure::Failure;
use lehr::budget::{Length, LengthError};
use lehr::fit::Fit;
use lehr::forecast::Setting;
use lehr::{AnnealingRatio, Schedule, Shape, Steps, Tokens, WsdSpec};
use lehr_io::Note;

/// The plan of a target run: its schedule, or what a warm-up–stable–decay schedule is made of.
#[derive(Debug, Clone)]
pub enum Plan {
    /// A schedule.
    Schedule(Schedule),
    /// Peak rate, horizon and annealing.
    Wsd {
        /// Peak rate.
        peak_lr: f64,
        /// Horizon in updates.
        total: u64,
        /// Warm-up updates; `None`: as in the runs fitted.
        warmup: Option<u64>,
        /// What falls.
        annealing: Annealing,
        /// Final rate.
        final_lr: f64,
    },
}

/// How a target anneals.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Annealing {
    /// Over a share of the horizon, in a shape.
    Share(f64, Shape),
    /// Over so many updates, in a shape.
    Updates(u64, Shape),
    /// A cosine over the whole run after the warm-up.
    WholeCosine,
}

impl Plan {
    /// The schedule, with the warm-up of the runs fitted where none is stated (noted).
    ///
    /// # Errors
    /// [`Failure`] for values that make no schedule.
    pub fn schedule(&self, fit: &Fit, notes: &mut Vec<Note>) -> Result<Schedule, Failure> {
        match self {
            Self::Schedule(schedule) => Ok(schedule.clone()),
            Self::Wsd { peak_lr, total, warmup: given, annealing, final_lr } => {
                let warmup = warmup(*given, fit, *total, notes);
                let (anneal, shape) = match *annealing {
                    Annealing::Updates(anneal, shape) => (anneal, shape),
                    Annealing::WholeCosine => (total.saturating_sub(warmup.0), Shape::Cosine),
                    Annealing::Share(ratio, shape) => {
                        let ratio = AnnealingRatio::new(ratio).map_err(Failure::usage)?;
                        ((ratio.get() * *total as f64).round() as u64, shape)
                    }
                };
                WsdSpec {
                    peak_lr: *peak_lr,
                    total: Steps(*total),
                    warmup,
                    anneal: Steps(anneal),
                    shape,
                    final_lr: *final_lr,
                    ..WsdSpec::default()
                }
                .checked()
                .map(Schedule::Wsd)
                .map_err(Failure::usage)
            }
        }
    }
}

/// The warm-up of a target: as given, else the median of those of the runs fitted, at most half the horizon (noted).
pub fn warmup(given: Option<u64>, fit: &Fit, total: u64, notes: &mut Vec<Note>) -> Steps {
    if let Some(given) = given {
        return Steps(given);
    }
    let usual = fit.usual_warmup().0;
    let half = total / 2;
    let message = if usual > half {
        format!(
            "{half} updates, half the horizon, because that of the runs fitted ({usual}) leaves too little ([[warmup]] says otherwise)"
        )
    } else {
        format!("{usual} updates, as in the runs fitted ([[warmup]] says otherwise)")
    };
    notes.push(Note::new("usual-warmup", "warm-up", message));
    Steps(usual.min(half))
}

/// The updates of a run of that length: N and the batch are those of the setting, else those of the runs fitted where they have one.
///
/// # Errors
/// [`Failure`] for tokens without a batch, compute without N, and less than one update.
pub fn updates(fit: &Fit, length: Length, setting: &Setting) -> Result<u64, Failure> {
    let mut sizes: Vec<_> = fit.runs.iter().map(|run| run.params).collect();
    sizes.sort_unstable();
    sizes.dedup();
    let only = if sizes.len() == 1 { sizes[0] } else { None };
    let batch = setting
        .tokens_per_step
        .or_else(|| fit.definition.reference_batch.map(|batch| Tokens(batch.round() as u64)));
    length.updates(setting.params.or(only), batch).map(|updates| updates.0).map_err(|error| {
        let failure = Failure::usage(error);
        match error {
            LengthError::NoBatch(_) => {
                failure.hint("state it with [[tokens_per_step]]; the runs fitted do not say it")
            }
            LengthError::NoParams => failure.hint("state it with [[params]]"),
            LengthError::TooShort { .. } => failure,
        }
    })
}
