//! Fits a law to curves, with everything needed to judge and to use the result.

pub mod begin;
mod caveats;
pub mod dataset;
mod describe;
pub mod differences;
mod evaluate;
mod fitter;
pub mod horizon;
pub mod identifiability;
mod made;
pub mod metrics;
pub mod objective;
pub mod options;
mod point;
mod pointwise;
pub mod profile;
pub mod resample;
pub mod solver;
mod sound;
pub mod starts;
mod suspect;
mod usual;

pub use begin::{Begin, BeginSearch, find_begin};
pub use dataset::{Dataset, PreparedRun};
pub use differences::DifferenceError;
pub use evaluate::{evaluate, evaluate_along};
pub use fitter::{Fitted, Fitter};
pub use identifiability::{Identifiability, Undetermined};
pub use made::{Input, Made};
pub use metrics::Metrics;
pub use objective::{Objective, Plan, PlanError, Scratch};
pub use options::{Criterion, FitOptions, OptionError, Residual, Weighting};
pub use point::{PointFit, fit_point};
pub use resample::{Refit, Uncertainty};
pub use solver::{Outcome, Stop};
pub use sound::{LeftOut, Unsound, left_out, level_breaks};

use crate::caveat::Caveat;
use crate::curve::{Arch, Curve, ParamCount, Split};
use crate::features::FeatureDefinition;
use crate::forecast::ForecastError;
use crate::law::{self, Law, LawRegistry, OwnLaw};
use crate::units::{Params, Tokens};
use describe::{describe, median_size, report_coefficients, typical_error};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Version of the serialised form of [`Fit`].
pub const FIT_FORMAT: u32 = 5;

/// A fitted law: its coefficients, what they were fitted on, how well, and how sure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Fit {
    /// Version of this form.
    pub format: u32,
    /// Name of the law.
    pub law: String,
    /// The coefficients, in the law's order.
    pub coefficients: Vec<CoefficientFit>,
    /// What was minimised over which points.
    pub options: FitOptions,
    /// How the features were computed.
    pub definition: FeatureDefinition,
    /// How the solver fared.
    pub solution: Solution,
    /// Mean errors over the runs fitted.
    pub metrics: Metrics,
    /// The runs fitted.
    pub runs: Vec<RunFit>,
    /// Runs given that were not fitted, and why.
    pub left_out: Vec<LeftOut>,
    /// Which coefficients the data determine.
    pub identifiability: Identifiability,
    /// Refits with runs left out or resampled.
    pub uncertainty: Uncertainty,
    /// What to know before using it.
    pub caveats: Vec<Caveat>,
    /// How its file was made; only in the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made: Option<Made>,
    /// The law, where it is none of the crate's; its file holds the name alone ([`Fit::resolve`]).
    #[serde(skip)]
    pub own_law: Option<OwnLaw>,
}

/// One fitted coefficient.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CoefficientFit {
    /// Name.
    pub name: String,
    /// Value, in the unit that the law states.
    pub value: f64,
    /// Interval at the fit's level; `None` for a fixed coefficient or without refits.
    #[cfg_attr(feature = "schema", schemars(with = "Option<crate::schema::Interval>"))]
    pub interval: Option<(f64, f64)>,
    /// Whether it was estimated.
    pub free: bool,
    /// Whether a prior was on it.
    pub prior: bool,
    /// The bound it ran into.
    pub at_bound: Option<Bound>,
}

/// A side of a coefficient's range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// The smallest value.
    Lower,
    /// The largest value.
    Upper,
}

/// How the solver fared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Solution {
    /// The objective at the optimum.
    pub objective: f64,
    /// Why the best start stopped.
    pub stop: Stop,
    /// Number of starts.
    pub starts: usize,
    /// Starts that came within 1 % of the best objective.
    pub starts_agreeing: usize,
    /// Evaluations of objective and gradient over all starts.
    pub evaluations: u64,
    /// Observations fitted.
    pub observations: usize,
}

/// One run of a fit: what it was and how well the law describes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RunFit {
    /// Name.
    pub id: String,
    /// Group that shares noise: the trunk whose noise the run shares, or the run itself.
    pub group: String,
    /// Architecture.
    pub arch: Arch,
    /// N as the law uses it.
    pub params: Option<Params>,
    /// What N counts.
    pub counted: ParamCount,
    /// Batch in tokens.
    pub tokens_per_step: Option<Tokens>,
    /// Data set.
    pub dataset: Option<String>,
    /// Which data the loss was measured on.
    pub split: Split,
    /// Largest rate.
    pub peak_lr: f64,
    /// Warm-up W in updates: the first update at the peak rate, 1 where there is no warm-up.
    pub warmup: u64,
    /// Last measured update.
    pub last_update: u64,
    /// Share of the measured updates after the rate left its peak for good.
    pub annealing_share: f64,
    /// How the rate falls: a shape, `none`, `piecewise` or `sampled`.
    pub fall: String,
    /// Rate of the last update of its schedule.
    pub final_lr: f64,
    /// Horizon of its schedule.
    pub total: u64,
    /// Errors over all its points after the warm-up.
    pub metrics: Metrics,
    /// Signed relative error (L̂ − L)/L at the last point, of single batches by the mean over the last fifth of the updates, a fraction.
    pub final_error: f64,
}

/// Why there is no fit.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum FitError {
    /// No curve was given.
    #[error("no curve to fit")]
    NoCurves,
    /// An option is outside its range.
    #[error(transparent)]
    Option(#[from] OptionError),
    /// Two curves share a name.
    #[error("two curves are named '{0}'; names must be unique")]
    DuplicateName(String),
    /// Options and law do not fit together.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The law counts tokens and a run does not say how many an update has.
    #[error("the {law} law counts tokens, and run '{run}' does not say how many an update has")]
    NoTokens {
        /// Name of the law.
        law: &'static str,
        /// Name of the run.
        run: String,
    },
    /// Fewer observations than free coefficients.
    #[error(
        "{observations} observations cannot determine {free} coefficients; add runs or points, or fix coefficients"
    )]
    TooFewObservations {
        /// Observations.
        observations: usize,
        /// Free coefficients.
        free: usize,
    },
    /// A run ends before the first update that takes part.
    #[error(
        "run '{run}' ends at update {last} and has no point from update {first} on, where fitting begins (after its warm-up, or where you said)"
    )]
    NoPoints {
        /// Name of the run.
        run: String,
        /// Its last update.
        last: u64,
        /// First update that takes part.
        first: u64,
    },
    /// Every run is left out.
    #[error(
        "no run of the {0} can be fitted: each diverged, never learned, changed its level or ended too early; name the runs to fit all the same as kept"
    )]
    AllUnsound(usize),
    /// No start gave a finite objective.
    #[error("the {law} law has no finite objective on these curves from any of {starts} starts")]
    NoSolution {
        /// Name of the law.
        law: &'static str,
        /// Number of starts.
        starts: usize,
    },
}

/// Fits the law and its uncertainty. A [`Fitter`] keeps what further questions need, and takes laws from outside.
///
/// # Errors
/// [`FitError`], one variant a reason. A poor fit is no error: it is an answer with caveats.
pub fn fit(law: &dyn Law, curves: &[Curve], options: &FitOptions) -> Result<Fit, FitError> {
    with_point(law, curves, options).map(|(fit, ..)| fit)
}

/// The fit, its optimum and the runs that were fitted.
fn with_point(
    law: &dyn Law,
    curves: &[Curve],
    options: &FitOptions,
) -> Result<(Fit, PointFit, Vec<Curve>), FitError> {
    options.check()?;
    let left_out = left_out(curves, options);
    let kept = sound::kept(curves, &left_out);
    if kept.is_empty() && !curves.is_empty() {
        return Err(FitError::AllUnsound(left_out.len()));
    }
    let curves = kept.as_slice();
    let point = fit_point(law, curves, options)?;
    let options = &point.options;
    let definition = point.data.definition;
    let evaluated: Vec<(Metrics, f64, f64)> = curves
        .par_iter()
        .map(|curve| {
            let (metrics, end, errors) = evaluate(law, &point.theta, curve, &definition, options);
            (metrics, end, median_size(&errors))
        })
        .collect();
    let runs: Vec<RunFit> = curves
        .iter()
        .zip(&evaluated)
        .map(|(curve, (metrics, end, _))| describe(curve, *metrics, *end))
        .collect();
    let all: Vec<Metrics> = evaluated.iter().map(|(metrics, ..)| *metrics).collect();
    let Some(metrics) = Metrics::mean(&all) else { return Err(FitError::NoCurves) };
    let objective = Objective::new(law, &point.data, &point.plan, options);
    let misfit = typical_error(&evaluated);
    let scale = match options.weighting {
        Weighting::EqualCurves => objective::MEAN_SCALE,
        Weighting::EqualPoints => point.data.observations() as f64,
    };
    let identifiability = identifiability::judge(
        &objective,
        law.coefficients(),
        &point.z,
        curves.len(),
        misfit,
        scale,
        &mut Scratch::default(),
    );
    let uncertainty = resample::resample(law, curves, &point, options);
    let coefficients = report_coefficients(law, &point, &uncertainty, options.level);
    let mut fit = Fit {
        format: FIT_FORMAT,
        law: law.name().to_owned(),
        coefficients,
        options: options.clone(),
        definition,
        solution: point.solution.clone(),
        metrics,
        runs,
        left_out,
        identifiability,
        uncertainty,
        caveats: Vec::new(),
        made: None,
        own_law: None,
    };
    fit.caveats = caveats::caveats(law, &fit, &point, curves);
    Ok((fit, point, kept))
}

impl Fit {
    /// The law that was fitted: the one it holds, or the crate's of that name; `None` if neither is there.
    #[must_use]
    pub fn law(&self) -> Option<&dyn Law> {
        match &self.own_law {
            Some(own) => Some(own.0.as_ref()),
            None => law::by_name(&self.law).map(|law| law as &dyn Law),
        }
    }

    /// The same with its law looked up by name, for a fit that was read from a file.
    ///
    /// # Errors
    /// [`ForecastError::UnknownLaw`] for a law that the registry does not have.
    pub fn resolve(mut self, registry: &LawRegistry) -> Result<Self, ForecastError> {
        if law::by_name(&self.law).is_none() {
            let own =
                registry.own_by_name(&self.law).ok_or_else(|| ForecastError::UnknownLaw(self.law.clone()))?;
            self.own_law = Some(OwnLaw(Arc::clone(own)));
        }
        Ok(self)
    }

    /// θ in the law's order.
    #[must_use]
    pub fn theta(&self) -> Vec<f64> {
        self.coefficients.iter().map(|c| c.value).collect()
    }

    /// Number of coefficients that were estimated.
    #[must_use]
    pub fn n_coefficients(&self) -> usize {
        self.coefficients.iter().filter(|c| c.free).count()
    }
}
