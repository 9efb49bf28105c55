//! Why numbers make no schedule, and the checks that say so.

use super::text::number;
use crate::bounds;
use crate::units::RatioError;

/// Why numbers do not make a schedule.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ScheduleError {
    /// A horizon or segment without updates.
    #[error("a schedule needs at least one update; {what} has 0")]
    NoUpdates {
        /// Which part.
        what: String,
    },
    /// A horizon that no training reaches.
    #[error(
        "{what} has {updates} updates; at most {} are allowed (is the number one of tokens or samples?)",
        bounds::UPDATES.most
    )]
    TooManyUpdates {
        /// Which part.
        what: String,
        /// Its length.
        updates: u64,
    },
    /// More rates than are kept one an update.
    #[error("{what} has {updates} updates, each with a rate of its own; at most {} are kept (segments have no such limit)", bounds::SAMPLED_UPDATES.most)]
    TooManySampled {
        /// Which part.
        what: String,
        /// Its length.
        updates: u64,
    },
    /// The lag of the trainer's scheduler and what it leaves unreached do not fit together.
    #[error(
        "{unreached} updates of the annealing are said to be unreached, but the scheduler is {late} late and anneals over {anneal}; expected at most the smaller of the two"
    )]
    Unreached {
        /// Updates of the annealing that the run does not reach.
        unreached: u64,
        /// Updates by which the scheduler is late.
        late: u64,
        /// Annealing updates.
        anneal: u64,
    },
    /// The warm-up falls.
    #[error("the warm-up starts at {}, above the peak rate {}; a warm-up rises", number(*warmup_lr), number(*peak_lr))]
    WarmupAbovePeak {
        /// Rate that the warm-up starts from.
        warmup_lr: f64,
        /// Peak rate.
        peak_lr: f64,
    },
    /// Rates and the updates at which they change do not belong together.
    #[error("{what}")]
    Stages {
        /// What was found, what was expected.
        what: String,
    },
    /// An update outside the horizon.
    #[error("update {update} is not in 1 … {total}")]
    Outside {
        /// The update asked for.
        update: u64,
        /// The horizon.
        total: u64,
    },
    /// A rate is negative, NaN or infinite, or a peak is 0.
    #[error("{what} is {}; expected {expected}", number(*value))]
    Rate {
        /// Which rate.
        what: String,
        /// Its value.
        value: f64,
        /// The allowed range in words.
        expected: &'static str,
    },
    /// Warm-up and annealing together are longer than the horizon.
    #[error(
        "warm-up ({warmup}) and annealing ({anneal}) need {} updates, but the horizon is {total}; shorten one or lengthen the horizon",
        u128::from(*warmup) + u128::from(*anneal)
    )]
    TooLong {
        /// Warm-up updates.
        warmup: u64,
        /// Annealing updates.
        anneal: u64,
        /// Horizon.
        total: u64,
    },
    /// The final rate is above the peak.
    #[error("final rate {} is above the peak rate {}; annealing falls", number(*final_lr), number(*peak_lr))]
    FinalAbovePeak {
        /// Final rate.
        final_lr: f64,
        /// Peak rate.
        peak_lr: f64,
    },
    /// The shape cannot reach the final rate.
    #[error("the {shape} shape cannot end at {}: {why}", number(*final_lr))]
    Shape {
        /// Name of the shape.
        shape: String,
        /// Final rate.
        final_lr: f64,
        /// What would be needed.
        why: &'static str,
    },
    /// The ratio is out of range.
    #[error(transparent)]
    Ratio(#[from] RatioError),
}

pub(crate) fn check_rate(what: impl Into<String>, value: f64) -> Result<(), ScheduleError> {
    if bounds::RATE.holds(value) {
        Ok(())
    } else {
        Err(ScheduleError::Rate { what: what.into(), value, expected: bounds::RATE.words })
    }
}

pub(crate) fn check_updates(what: impl Into<String>, updates: u64) -> Result<(), ScheduleError> {
    match updates {
        0 => Err(ScheduleError::NoUpdates { what: what.into() }),
        _ if bounds::UPDATES.holds(updates) => Ok(()),
        _ => Err(ScheduleError::TooManyUpdates { what: what.into(), updates }),
    }
}

pub(crate) fn check_sampled(what: impl Into<String>, updates: u64) -> Result<(), ScheduleError> {
    match updates {
        0 => Err(ScheduleError::NoUpdates { what: what.into() }),
        _ if bounds::SAMPLED_UPDATES.holds(updates) => Ok(()),
        _ => Err(ScheduleError::TooManySampled { what: what.into(), updates }),
    }
}
