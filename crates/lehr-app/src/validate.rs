//! Fits on some runs, judged on runs that the fit did not see.

use crate::answer::Answer;
use crate::desk::Desk;
use crate::documents::Document;
use crate::failure::Failure;
use crate::fit::held_points;
use crate::reading::{Reading, Runs};
use lehr::fit::FitOptions;
use lehr::validate::{
    Coverage, LeaveOut, SplitOf, Validation, measure_coverage, split_by_name, splits, validate,
};
use lehr::{Caveat, Curve, Law};
use serde::Serialize;

/// How runs are split into fitted and judged ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Splitting {
    /// By name or pattern.
    Named {
        /// Runs to fit.
        train: Vec<String>,
        /// Runs to judge; empty: all that are not fitted.
        test: Vec<String>,
    },
    /// One value at a time is left out.
    LeaveOut(LeaveOut),
}

impl Splitting {
    /// The splits of these curves.
    ///
    /// # Errors
    /// [`Failure`] for patterns that no run fits and values that do not vary.
    pub fn splits(&self, curves: &[Curve]) -> Result<Vec<SplitOf>, Failure> {
        match self {
            Self::Named { train, test } => Ok(vec![split_by_name(curves, train, test)?]),
            Self::LeaveOut(what) => Ok(splits(curves, *what)?),
        }
    }
}

/// Which law to judge on which runs.
#[derive(Debug, Clone)]
pub struct ValidateRequest {
    /// The runs.
    pub reading: Reading,
    /// The law.
    pub law: &'static dyn Law,
    /// How to fit it.
    pub options: FitOptions,
    /// How to split the runs.
    pub splitting: Splitting,
    /// Also ask how often the intervals hold the losses held out.
    pub coverage: bool,
}

/// Errors on runs held out.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
pub struct ValidateAnswer {
    /// The errors.
    #[serde(flatten)]
    pub validation: Validation,
    /// How often the intervals hold what they did not see; with `[[coverage]]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub coverage: Option<Coverage>,
    /// What to beware of in the runs.
    pub caveats: Vec<Caveat>,
    /// How many splits there were.
    #[serde(skip)]
    pub splits: usize,
}

impl Document for ValidateAnswer {
    const SCHEMA: &'static str = "lehr.validate/2";
}

impl Desk {
    /// Judges a law on runs that its fit did not see.
    ///
    /// # Errors
    /// [`Failure`] for logs that cannot be read, splits that are empty and fits that fail.
    pub fn validate(&self, request: &ValidateRequest) -> Result<Answer<ValidateAnswer>, Failure> {
        let runs = self.runs(&request.reading.clone().held(held_points(&request.options)))?;
        self.validate_runs(runs, request)
    }

    /// Judges a law on runs that are read already; the request's reading is not used.
    ///
    /// # Errors
    /// As [`Desk::validate`], but for reading.
    pub fn validate_runs(
        &self,
        runs: Runs,
        request: &ValidateRequest,
    ) -> Result<Answer<ValidateAnswer>, Failure> {
        let options = &request.options;
        crate::fit::check_kept(options, &runs.curves)?;
        let runs = runs.held(held_points(options));
        let judge = || -> Result<ValidateAnswer, Failure> {
            let splits = request.splitting.splits(&runs.curves)?;
            let law = request.law;
            let validation =
                self.work("validating", || Ok(validate(law, &runs.curves, &splits, options)?))?;
            let coverage = if request.coverage {
                Some(self.work("validating", || Ok(measure_coverage(law, &runs.curves, &splits, options)?))?)
            } else {
                None
            };
            let caveats = runs.caveats.clone();
            Ok(ValidateAnswer { validation, coverage, caveats, splits: splits.len() })
        };
        let value = judge().map_err(|failure| failure.noting(&runs.notes))?;
        Ok(Answer { value, caveats: runs.caveats, notes: runs.notes })
    }
}
