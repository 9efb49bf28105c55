//! Every law on the same split.

use crate::answer::Answer;
use crate::desk::Desk;
use crate::documents::Document;
use crate::failure::Failure;
use crate::fit::held_points;
use crate::reading::{Reading, Runs};
use crate::validate::Splitting;
use lehr::fit::{FitOptions, Metrics};
use lehr::validate::{Contender, compare};
use lehr::{Caveat, Law};
use serde::Serialize;

/// Which laws to compare on which runs.
#[derive(Debug, Clone)]
pub struct CompareRequest {
    /// The runs.
    pub reading: Reading,
    /// The laws.
    pub laws: Vec<&'static dyn Law>,
    /// How to fit them.
    pub options: FitOptions,
    /// How to split the runs.
    pub splitting: Splitting,
}

/// A law's line of a comparison.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
pub struct CompareLine {
    /// The law.
    pub law: String,
    /// Why it could not be fitted.
    pub error: Option<String>,
    /// Coefficients estimated.
    pub n_coefficients: Option<usize>,
    /// Errors on the runs fitted.
    pub train: Option<Metrics>,
    /// Errors on the runs held out.
    pub test: Option<Metrics>,
    /// Held-out MAPE above that of the best law, a fraction.
    pub margin: Option<f64>,
    /// Standard error of that difference, paired over runs.
    pub margin_se: Option<f64>,
}

impl CompareLine {
    /// The line of a contender.
    #[must_use]
    pub fn of(name: &str, contender: &Contender) -> Self {
        let validation = contender.validation.as_ref();
        Self {
            law: name.to_owned(),
            error: validation.err().cloned(),
            n_coefficients: validation.ok().map(|v| v.n_coefficients),
            train: validation.ok().map(|v| v.train),
            test: validation.ok().map(|v| v.test),
            margin: contender.margin.is_finite().then_some(contender.margin),
            margin_se: contender.margin_se.is_finite().then_some(contender.margin_se),
        }
    }
}

/// Laws in the order of their error on runs held out.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
pub struct CompareAnswer {
    /// The law with the smallest held-out `mape`.
    pub winner: String,
    /// All laws, the best first.
    pub laws: Vec<CompareLine>,
    /// What to beware of in the runs.
    pub caveats: Vec<Caveat>,
    /// As the library gives them.
    #[serde(skip)]
    pub contenders: Vec<(String, Contender)>,
}

impl Document for CompareAnswer {
    const SCHEMA: &'static str = "lehr.compare/1";
}

impl Desk {
    /// Compares laws by their error on runs that their fits did not see.
    ///
    /// # Errors
    /// [`Failure`] for logs that cannot be read, splits that are empty, and if no law can be fitted.
    pub fn compare(&self, request: &CompareRequest) -> Result<Answer<CompareAnswer>, Failure> {
        let runs = self.runs(&request.reading.clone().held(held_points(&request.options)))?;
        self.compare_runs(runs, request)
    }

    /// Compares laws on runs that are read already; the request's reading is not used.
    ///
    /// # Errors
    /// As [`Desk::compare`], but for reading.
    pub fn compare_runs(
        &self,
        runs: Runs,
        request: &CompareRequest,
    ) -> Result<Answer<CompareAnswer>, Failure> {
        let options = &request.options;
        crate::fit::check_kept(options, &runs.curves)?;
        let runs = runs.held(held_points(options));
        let noting = |failure: Failure| failure.noting(&runs.notes);
        let splits = request.splitting.splits(&runs.curves).map_err(noting)?;
        let contenders = self
            .work("comparing laws", || Ok(compare(&request.laws, &runs.curves, &splits, options)))
            .map_err(noting)?;
        let Some((winner, _)) = contenders.first() else {
            return Err(Failure::usage("no law is named; expected at least one"));
        };
        if contenders.iter().all(|(_, c)| c.validation.is_err()) {
            let reason = contenders[0].1.validation.as_ref().err().cloned().unwrap_or_default();
            return Err(noting(Failure::new(format_args!("no law could be fitted: {reason}"))));
        }
        let value = CompareAnswer {
            winner: winner.clone(),
            laws: contenders.iter().map(|(name, c)| CompareLine::of(name, c)).collect(),
            caveats: runs.caveats.clone(),
            contenders,
        };
        Ok(Answer { value, caveats: runs.caveats, notes: runs.notes })
    }
}
