//! What goes wrong in training and in sweeps, with the way out.

use crate::failure::Failure;
use lehr_train::TrainError;
use lehr_train::sweep::{PlanError, SweepError};

impl From<TrainError> for Failure {
    fn from(error: TrainError) -> Self {
        let key = matches!(error, TrainError::Config { .. });
        let failure = Self::new(error);
        if key { failure.hint("docs/formats/train.schema.json describes every key") } else { failure }
    }
}

impl From<SweepError> for Failure {
    fn from(error: SweepError) -> Self {
        if matches!(error, SweepError::Option { .. }) {
            return Self::usage(error);
        }
        let busy = matches!(error, SweepError::Busy { .. });
        let failure = Self::new(&error);
        if busy { failure.hint("wait for it, or look with `lehr sweep status DIR`") } else { failure }
    }
}

impl From<PlanError> for Failure {
    fn from(error: PlanError) -> Self {
        Self::new(error).hint("docs/formats/sweep.md describes every key of a plan")
    }
}
