//! Laws of the loss curve: L̂(θ; features).

mod chinchilla;
mod cmmt;
mod convex_bound;
mod derivatives;
mod exponential_memory;
mod forward_momentum;
mod fsl;
mod memoryless;
mod modes;
mod multi_power;
mod noise_relaxation;
mod registry;
mod relaxation;
mod terms;

pub use chinchilla::{Chinchilla, ChinchillaSteps};
pub use cmmt::Cmmt;
pub use convex_bound::ConvexBound;
pub use derivatives::central_differences;
pub use exponential_memory::ExponentialMemory;
pub use forward_momentum::ForwardMomentum;
pub use fsl::Fsl;
pub use memoryless::Memoryless;
pub use multi_power::{MultiPower, exact_gain};
pub use noise_relaxation::NoiseRelaxation;
pub use registry::{LawRegistry, OwnLaw, RegisterError};

use crate::features::{FeatureDefinition, RunFeatures};
use serde::{Deserialize, Serialize};
use std::fmt::Debug;

/// How the fit moves a coefficient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Scale {
    /// The solver moves the coefficient itself.
    Linear,
    /// The solver moves its natural logarithm; the coefficient is positive.
    Log,
}

/// One number that a fit estimates.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Coefficient {
    /// Name on the command line and in files: `alpha_s`.
    pub name: &'static str,
    /// Symbol in reports: `α_S`.
    pub symbol: &'static str,
    /// Unit in reports; empty if the number has none.
    pub unit: &'static str,
    /// Smallest value allowed.
    pub lower: f64,
    /// Largest value allowed.
    pub upper: f64,
    /// How the fit moves it.
    pub scale: Scale,
    /// Value used where it is not fitted, and centre of the starts.
    pub start: f64,
}

/// What a data set offers, from which a law decides which coefficients it can free.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DataSummary {
    /// Number of runs.
    pub runs: usize,
    /// Distinct peak rates, ascending.
    pub peak_lrs: Vec<f64>,
    /// Distinct N / 10⁸, ascending; empty if unknown for some run.
    pub sizes: Vec<f64>,
    /// Distinct batches in tokens among the runs that state one, ascending.
    pub batches: Vec<f64>,
    /// Smallest loss.
    pub min_loss: f64,
    /// Largest loss.
    pub max_loss: f64,
    /// Largest forward effect S (rate · updates).
    pub max_forward_effect: f64,
    /// First update of a curve of more than one point; infinite where only last losses are known.
    pub first_update: f64,
    /// Largest update.
    pub max_update: f64,
}

/// What the fit does with one coefficient.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Role {
    /// Estimated, from this start.
    Free {
        /// Centre of the starts.
        start: f64,
    },
    /// Estimated under a Gaussian prior on the solver's scale (so on log θ for [`Scale::Log`]).
    Prior {
        /// Prior mean, on the coefficient's own scale (not its logarithm).
        mean: f64,
        /// Prior standard deviation, on the solver's scale.
        sd: f64,
    },
    /// Held at this value.
    Fixed(f64),
}

/// A law of the loss curve with analytic derivatives.
pub trait Law: Debug + Send + Sync {
    /// Name on the command line and in files.
    fn name(&self) -> &'static str;
    /// Other names that are accepted.
    fn aliases(&self) -> &'static [&'static str] {
        &[]
    }
    /// The equation in one line of plain text.
    fn equation(&self) -> &'static str;
    /// Author, title, year, equation.
    fn source(&self) -> &'static str;
    /// What the law cannot do, one sentence each.
    fn limits(&self) -> &'static [&'static str];
    /// The coefficients, in the order of θ.
    fn coefficients(&self) -> &'static [Coefficient];
    /// Which coefficients these data can determine, in the order of θ.
    fn roles(&self, data: &DataSummary) -> Vec<Role>;
    /// Indices of coefficients in which the prediction is linear when the others are given (for variable projection).
    fn linear(&self) -> &'static [usize] {
        &[]
    }
    /// The features the law reads; stored with a fit.
    fn features(&self) -> FeatureDefinition {
        FeatureDefinition::default()
    }
    /// Whether only the last point of each run is fitted and predicted.
    fn final_only(&self) -> bool {
        false
    }
    /// Whether the law reads tokens per update, so that every run must state them.
    fn needs_tokens(&self) -> bool {
        false
    }
    /// Whether runs of different batch belong into one fit: the law has terms in the batch, or counts tokens.
    fn knows_batch(&self) -> bool {
        self.needs_tokens()
    }
    /// Predicted loss at every point of the run: `loss[i]`, i < `run.points()`.
    fn predict(&self, theta: &[f64], run: &RunFeatures, loss: &mut [f64]);
    /// As `predict`, with `∂loss[i]/∂θ[j]` at `jacobian[i * theta.len() + j]`.
    fn predict_with_jacobian(&self, theta: &[f64], run: &RunFeatures, loss: &mut [f64], jacobian: &mut [f64]);
}

/// A table entry.
pub(crate) const fn coefficient(
    name: &'static str,
    symbol: &'static str,
    unit: &'static str,
    lower: f64,
    upper: f64,
    scale: Scale,
    start: f64,
) -> Coefficient {
    Coefficient { name, symbol, unit, lower, upper, scale, start }
}

/// Starts of the floor and of the descent's factor, from the range of the losses.
pub(crate) fn descent_roles(data: &DataSummary, roles: &mut [Role], l0: usize, factor: usize) {
    roles[l0] = Role::Free { start: (data.min_loss - 0.12).max(0.1) };
    roles[factor] = Role::Free { start: ((data.max_loss - data.min_loss) / 2.0).clamp(0.02, 20.0) };
}

/// Roles of a term λ_N·N₈^-α_N: off below two sizes, α_N held at its start with two, under a prior with three, free
/// with four.
pub(crate) fn size_roles(data: &DataSummary, roles: &mut [Role], lambda_n: usize, alpha_n: usize) {
    let start = |role: Role| match role {
        Role::Free { start } | Role::Fixed(start) => start,
        Role::Prior { mean, .. } => mean,
    };
    match data.sizes.len() {
        0 | 1 => {
            roles[lambda_n] = Role::Fixed(0.0);
            roles[alpha_n] = Role::Fixed(start(roles[alpha_n]));
        }
        2 => roles[alpha_n] = Role::Fixed(start(roles[alpha_n])),
        3 => roles[alpha_n] = Role::Prior { mean: start(roles[alpha_n]), sd: 0.1 },
        _ => {}
    }
}

/// Every law, in the order of the documentation.
#[must_use]
pub fn all() -> Vec<&'static dyn Law> {
    vec![
        &NoiseRelaxation,
        &ExponentialMemory,
        &ForwardMomentum,
        &Cmmt,
        &MultiPower,
        &Fsl,
        &Memoryless,
        &ConvexBound,
        &Chinchilla,
        &ChinchillaSteps,
    ]
}

/// The law of the crate with that name or alias, case-insensitively. Laws from outside: [`LawRegistry`].
#[must_use]
pub fn by_name(name: &str) -> Option<&'static dyn Law> {
    let wanted = plain(name);
    all().into_iter().find(|law| answers_to(*law, &wanted))
}

/// A name as laws are looked up: in lower case, with hyphens.
fn plain(name: &str) -> String {
    name.to_ascii_lowercase().replace('_', "-")
}

/// Whether the law has this name or alias, given as [`plain`] gives it.
fn answers_to(law: &dyn Law, wanted: &str) -> bool {
    law.name() == wanted || law.aliases().contains(&wanted)
}
