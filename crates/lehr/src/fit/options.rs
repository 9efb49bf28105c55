//! What a fit minimises and over which points.

use super::begin::BeginSearch;
use crate::features::FeatureDefinition;
use crate::{HuberDelta, Level};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// On which scale residuals are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Residual {
    /// ln L̂ − ln L: relative errors.
    #[default]
    Log,
    /// L̂ − L, nats: what the starting paper's code uses.
    Raw,
}

/// What is made of one residual.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Criterion {
    /// Huber's: ½r² up to δ, δ(|r| − ½δ) beyond.
    Huber {
        /// δ, in the residual's unit.
        delta: HuberDelta,
    },
    /// ½r².
    Squares,
}

impl Default for Criterion {
    fn default() -> Self {
        Self::Huber { delta: HuberDelta::USUAL }
    }
}

impl Criterion {
    /// (ρ(r), ρ′(r), ρ′(r)/r): value, slope and the weight of iteratively reweighted least squares.
    #[must_use]
    pub fn evaluate(self, r: f64) -> (f64, f64, f64) {
        match self {
            Self::Huber { delta } if r.abs() > delta.get() => {
                let delta = delta.get();
                (delta * (r.abs() - 0.5 * delta), delta * r.signum(), delta / r.abs())
            }
            _ => (0.5 * r * r, r, 1.0),
        }
    }
}

/// How points are weighted against each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Weighting {
    /// Every curve counts the same, however many points it has: the mean over curves of the mean over points.
    #[default]
    EqualCurves,
    /// Every point counts the same, as in the starting paper's code.
    EqualPoints,
}

/// Default weight of a prior's squared deviation.
pub const PRIOR_WEIGHT: f64 = 0.015;
/// Objective (10⁶ × mean Huber loss) at which priors have their full weight: that of good fits to real curves.
pub const USUAL_OBJECTIVE: f64 = 0.25;

/// Everything that decides a fit besides the law and the curves. Stored with the fit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct FitOptions {
    /// Scale of the residuals.
    pub residual: Residual,
    /// What is made of one residual.
    pub criterion: Criterion,
    /// Weights of the points.
    pub weighting: Weighting,
    /// Points kept a curve, uniform in updates plus the last; `None`: all.
    pub points_per_curve: Option<usize>,
    /// Points before this multiple of the warm-up are left out.
    pub warmup_factor: f64,
    /// Points before this share of a run's own last update are left out too; what early points say is what a law gets
    /// wrong at much longer horizons ([`super::horizon`]).
    pub first_share: f64,
    /// Choose `first_share` by what forecasts the longest runs from the shorter ones ([`super::horizon::choose_start`]); where
    /// horizons do not differ, it stays as it is. A fit stores the share that was chosen.
    pub choose_first_share: bool,
    /// Points before this update are left out too.
    pub first_update: u64,
    /// Whether `first_update` is looked for in the data, and when ([`super::begin::find_begin`]). A fit stores the update
    /// that was found.
    pub begin: BeginSearch,
    /// Number of starts of the solver.
    pub starts: usize,
    /// Runs that are fitted although they diverged or never learned (names, `*` and `?` allowed).
    pub keep: Vec<String>,
    /// Seed of the random starts and of the bootstrap.
    pub seed: u64,
    /// Coefficients that were held, by name.
    pub fixed: BTreeMap<String, f64>,
    /// Coefficients freed although the law would hold them on these data.
    pub freed: Vec<String>,
    /// Bounds that replace the law's, lower and upper by name.
    #[cfg_attr(feature = "schema", schemars(with = "BTreeMap<String, crate::schema::Interval>"))]
    pub bounds: BTreeMap<String, (f64, f64)>,
    /// Gaussian priors (mean on the coefficient's scale, standard deviation on the solver's) that replace the
    /// law's, by name.
    pub priors: BTreeMap<String, (f64, f64)>,
    /// Weight of a prior's squared deviation, in units of its standard deviation, against the objective. Lowered in
    /// proportion where the runs are described better than real curves usually are, so that good data are heard.
    pub prior_weight: f64,
    /// Feature definition that replaces the law's.
    pub definition: Option<FeatureDefinition>,
    /// Largest number of solver iterations a start.
    pub max_iterations: u64,
    /// Level of the intervals.
    pub level: Level,
}

/// Starts of a fit at most: more would fill the memory, and tell nothing.
const MOST_STARTS: usize = 100_000;

impl Default for FitOptions {
    fn default() -> Self {
        Self {
            residual: Residual::default(),
            criterion: Criterion::default(),
            weighting: Weighting::default(),
            points_per_curve: Some(48),
            warmup_factor: 1.3,
            first_share: 0.0,
            choose_first_share: false,
            first_update: 0,
            begin: BeginSearch::Never,
            starts: 16,
            keep: Vec::new(),
            seed: 0,
            fixed: BTreeMap::new(),
            freed: Vec::new(),
            bounds: BTreeMap::new(),
            priors: BTreeMap::new(),
            prior_weight: PRIOR_WEIGHT,
            definition: None,
            max_iterations: 400,
            level: Level::USUAL,
        }
    }
}

/// An option that no fit can be made with.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("the option {name} is {value}; expected {expected}")]
pub struct OptionError {
    /// Name of the option: the field of [`FitOptions`].
    pub name: &'static str,
    /// The value given.
    pub value: f64,
    /// What was expected.
    pub expected: &'static str,
}

impl FitOptions {
    /// Whether a fit can be made with these options. What names coefficients is checked against the law
    /// ([`Plan`](super::Plan)).
    ///
    /// # Errors
    /// [`OptionError`] for the first option that is not a number of its range.
    pub fn check(&self) -> Result<(), OptionError> {
        let refuse = |name, value, expected| Err(OptionError { name, value, expected });
        if !(self.warmup_factor >= 0.0 && self.warmup_factor.is_finite()) {
            return refuse("warmup_factor", self.warmup_factor, "a number of at least 0, such as 1.3");
        }
        if !(self.first_share >= 0.0 && self.first_share < 1.0) {
            return refuse("first_share", self.first_share, "a share of at least 0 and below 1");
        }
        if !(self.prior_weight >= 0.0 && self.prior_weight.is_finite()) {
            return refuse("prior_weight", self.prior_weight, "a number of at least 0, such as 0.015");
        }
        if self.starts == 0 {
            return refuse("starts", 0.0, "at least 1");
        }
        if self.starts > MOST_STARTS {
            return refuse("starts", self.starts as f64, "at most 100000");
        }
        if self.max_iterations == 0 {
            return refuse("max_iterations", 0.0, "at least 1");
        }
        if self.points_per_curve == Some(0) {
            return refuse("points_per_curve", 0.0, "at least 1");
        }
        Ok(())
    }

    /// The objective of the starting paper's code: Huber on raw residuals, summed over all logged points.
    #[must_use]
    pub fn published() -> Self {
        Self {
            residual: Residual::Raw,
            weighting: Weighting::EqualPoints,
            points_per_curve: None,
            warmup_factor: 0.0,
            ..Self::default()
        }
    }
}
