//! Transfer: how the optimal annealing ratio moves with the peak rate and the horizon, and whether it stays put
//! across sizes, data sets, splits and architectures.

mod carry;

pub use carry::{ArchitectureGap, Carried, Larger, architecture_gap, carry_over};

use crate::caveat::{Caveat, CaveatKind};
use crate::curve::ArchFamily;
use crate::fit::resample::student;
use crate::measured::MeasuredOptimum;
use crate::quantile::normal;
use crate::units::Params;
use nalgebra::{DMatrix, DVector};
use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, StudentsT};
use statrs::function::erf::erfc;
use std::collections::BTreeSet;

/// What the best ratio may depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Variable {
    /// The peak rate, in units of 10⁻³.
    #[serde(rename = "peak_lr")]
    PeakLr,
    /// The horizon, in units of 10⁴ updates.
    #[serde(rename = "total")]
    Horizon,
    /// N, in units of 10⁸ parameters.
    #[serde(rename = "params")]
    Params,
}

/// Every variable.
pub const ALL_VARIABLES: [Variable; 3] = [Variable::PeakLr, Variable::Horizon, Variable::Params];

impl Variable {
    /// The symbol of formulas: η, T, N.
    #[must_use]
    pub fn symbol(self) -> &'static str {
        match self {
            Self::PeakLr => "η",
            Self::Horizon => "T",
            Self::Params => "N",
        }
    }

    /// What a power law raises: the symbol over its unit.
    #[must_use]
    pub fn term(self) -> &'static str {
        match self {
            Self::PeakLr => "(η/10⁻³)",
            Self::Horizon => "(T/10⁴)",
            Self::Params => "(N/10⁸)",
        }
    }
}

impl std::fmt::Display for Variable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::PeakLr => "peak rate",
            Self::Horizon => "horizon",
            Self::Params => "N",
        })
    }
}

/// Several variables in words, joined by "and".
fn in_words(variables: &[Variable]) -> String {
    variables.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ")
}

/// One optimum that enters a transfer law, measured or derived from a law.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Optimum {
    /// Peak rate.
    pub peak_lr: f64,
    /// Horizon, updates.
    pub total: f64,
    /// N, if known.
    pub params: Option<Params>,
    /// Family of the architecture.
    pub arch: ArchFamily,
    /// Data set, or `unstated`.
    pub dataset: String,
    /// Split of the losses.
    pub split: String,
    /// The ratio.
    pub ratio: f64,
    /// Standard deviation of the ratio's logarithm; 0 where it is not known.
    pub ln_sd: f64,
    /// Whether the ratio is the smallest or largest that was looked at, so that the optimum lies there or beyond.
    pub limit: Option<Limit>,
}

/// On which side of a ratio an optimum lies that was not reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// At the ratio or below.
    AtMost,
    /// At the ratio or above.
    AtLeast,
}

impl From<&MeasuredOptimum> for Optimum {
    fn from(m: &MeasuredOptimum) -> Self {
        Self {
            peak_lr: m.peak_lr,
            total: m.total as f64,
            params: m.params,
            arch: m.arch,
            dataset: m.dataset.clone().unwrap_or_else(|| "unstated".to_owned()),
            split: m.split.clone(),
            ratio: m.ratio,
            // Intervals of measured optima are at 90 %.
            ln_sd: (m.interval.1 / m.interval.0).ln() / (2.0 * normal(crate::Level::USUAL)),
            limit: m.at_edge.then(|| if m.ratio > m.points[0].0 { Limit::AtLeast } else { Limit::AtMost }),
        }
    }
}

impl Optimum {
    /// The interval of the ratio, R·exp(± z·s) with s the standard deviation of ln R and z the normal quantile, cut at
    /// 1; `None` where s is not known.
    #[must_use]
    pub fn interval(&self, level: crate::Level) -> Option<(f64, f64)> {
        let half = normal(level) * self.ln_sd;
        (self.ln_sd > 0.0).then(|| (self.ratio * (-half).exp(), (self.ratio * half.exp()).min(1.0)))
    }
}

/// One exponent of a power law with its interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Exponent {
    /// The exponent.
    pub value: f64,
    /// Standard error.
    pub se: f64,
    /// Interval at the level asked for.
    #[cfg_attr(feature = "schema", schemars(with = "crate::schema::Interval"))]
    pub interval: (f64, f64),
}

/// A power law of the optimal ratio: R_opt = min(1, λ·Π x_j^α_j).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PowerLaw {
    /// Variables in order.
    pub variables: Vec<Variable>,
    /// λ: the ratio where every variable is 1.
    pub lambda: f64,
    /// Interval of λ.
    #[cfg_attr(feature = "schema", schemars(with = "crate::schema::Interval"))]
    pub lambda_interval: (f64, f64),
    /// Exponents, one a variable.
    pub exponents: Vec<Exponent>,
    /// Root mean square misfit of ln R.
    pub rms: f64,
    /// Optima inside what was measured.
    pub n: usize,
    /// Optima at the edge of what was measured, of which the side counts.
    pub limits: usize,
    /// Covariance of (ln λ, exponents), row by row.
    pub covariance: Vec<Vec<f64>>,
}

/// A question about stability with the statistic that answers it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Stability {
    /// What varies: `N`, `dataset`, `split`, `architecture`.
    pub across: String,
    /// The levels seen.
    pub levels: Vec<String>,
    /// Effect on ln R of going from the first level to the others (of a factor e in N), after peak rate and horizon.
    pub effect: Option<f64>,
    /// Student's t of the effect.
    pub t: Option<f64>,
    /// Two-sided p-value.
    pub p_value: Option<f64>,
    /// The answer in a sentence.
    pub verdict: String,
}

/// Why there is no transfer law.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum TransferError {
    /// Too few optima for the coefficients.
    #[error(
        "{optima} optima cannot determine a power law in {variables}: at least {needed} are needed (cells that differ in peak rate or horizon, four ratios each)"
    )]
    TooFew {
        /// Optima found.
        optima: usize,
        /// The variables.
        variables: String,
        /// Optima needed.
        needed: usize,
    },
    /// The optima do not differ in the variable.
    #[error("all optima have the same {0}: its exponent is not determined")]
    Constant(String),
    /// All cells are equally large.
    #[error("all cells have the same {0}: there is nothing larger to carry the ratio to")]
    OneLevel(&'static str),
    /// Dense optima do not speak of mixtures of experts, nor the other way round.
    #[error(
        "the optima are of {found} models and the target is {target}: ratios were never shown to carry over between architectures; give [[across_architectures]] to do it all the same"
    )]
    Architecture {
        /// Architecture of the optima.
        found: ArchFamily,
        /// Architecture of the target.
        target: ArchFamily,
    },
}

/// A column of the regression: its value for one optimum, if it has one.
type Regressor = Box<dyn Fn(&Optimum) -> Option<f64>>;

/// The logarithm of a variable in its unit; NaN where it is not known.
fn logarithm(variable: Variable, peak_lr: f64, total: f64, params: Option<Params>) -> f64 {
    match variable {
        Variable::PeakLr => (peak_lr / 1e-3).ln(),
        Variable::Horizon => (total / 1e4).ln(),
        Variable::Params => params.map_or(f64::NAN, |n| (n.0 as f64 / 1e8).ln()),
    }
}

fn design(optimum: &Optimum, variables: &[Variable]) -> Vec<f64> {
    variables.iter().map(|&v| logarithm(v, optimum.peak_lr, optimum.total, optimum.params)).collect()
}

/// Those of `variables` that are known of all optima and differ between some.
fn varying(optima: &[&Optimum], variables: &[Variable]) -> Vec<Variable> {
    let differs = |variable: &Variable| {
        let values: Vec<f64> = optima.iter().map(|o| design(o, &[*variable])[0]).collect();
        values.iter().all(|v| v.is_finite()) && values.iter().any(|v| (v - values[0]).abs() > 1e-6)
    };
    variables.iter().copied().filter(differs).collect()
}

/// What a regression found.
struct Regression {
    solution: DVector<f64>,
    covariance: DMatrix<f64>,
    /// Standard deviation of a value about the line.
    rms: f64,
    /// Degrees of freedom; a limit counts for as much as it says.
    degrees: f64,
}

/// The mean and the variance, in units of its own, of a normal value that is known to lie beyond `z` on that side.
fn beyond(limit: Limit, z: f64) -> (f64, f64) {
    let sign = match limit {
        Limit::AtMost => -1.0,
        Limit::AtLeast => 1.0,
    };
    // The share above u of a normal value, and its hazard; far out the hazard is u itself.
    let u = (sign * z).clamp(-30.0, 30.0);
    let share = 0.5 * erfc(u / std::f64::consts::SQRT_2);
    let hazard = (-0.5 * u * u).exp() / (2.0 * std::f64::consts::PI).sqrt() / share;
    (sign * hazard, (1.0 + u * hazard - hazard * hazard).clamp(0.0, 1.0))
}

/// Weighted least squares in which some values are limits: maximum likelihood of the censored normal regression, by the
/// expectation–maximisation of its residuals. `None` where the columns do not determine the coefficients.
///
/// # Formula
/// ```text
/// y_i = x_i·β + σ/√w_i·ε;   of a limit c only y ≤ c (or y ≥ c) is known: it enters with its mean and variance given that
/// cov β = σ̂²·(Σ w_i·d_i·x_i·x_iᵀ)⁻¹,   d_i = 1, of a limit 1 − Var(ε | limit);   σ̂² with Σ d_i − k degrees
/// ```
///
/// # Source
/// Tobin, Estimation of Relationships for Limited Dependent Variables, 1958.
fn regress(rows: &[Vec<f64>], y: &[f64], w: &[f64], limits: &[Option<Limit>]) -> Option<Regression> {
    let (n, k) = (rows.len(), rows[0].len());
    let gram = |d: &[f64]| -> Option<DMatrix<f64>> {
        let x = DMatrix::from_fn(n, k, |i, j| rows[i][j] * (w[i] * d[i]).sqrt());
        let gram = x.transpose() * &x;
        (gram.clone().symmetric_eigenvalues().min() > 1e-10 * gram.trace()).then(|| gram.try_inverse())?
    };
    // What is inside what was measured must determine the coefficients alone.
    let inside: Vec<f64> = limits.iter().map(|limit| f64::from(u8::from(limit.is_none()))).collect();
    let start = gram(&inside)?;
    let solve = |inverse: &DMatrix<f64>, y: &[f64], d: &[f64]| {
        inverse * DVector::from_fn(k, |j, _| (0..n).map(|i| rows[i][j] * w[i] * d[i] * y[i]).sum::<f64>())
    };
    let fitted =
        |beta: &DVector<f64>, i: usize| -> f64 { rows[i].iter().zip(beta.iter()).map(|(a, b)| a * b).sum() };
    let mut solution = solve(&start, y, &inside);
    let squares = |beta: &DVector<f64>, y: &[f64], d: &[f64]| -> f64 {
        (0..n).map(|i| w[i] * d[i] * (y[i] - fitted(beta, i)).powi(2)).sum()
    };
    let count: f64 = inside.iter().sum();
    let mut variance = squares(&solution, y, &inside) / count;
    let (all, mut known) = (vec![1.0; n], inside.clone());
    let mut expected = y.to_vec();
    if limits.iter().any(Option::is_some) && variance > 0.0 {
        let inverse = gram(&all)?;
        for _ in 0..2000 {
            let mut unknown = 0.0;
            for i in 0..n {
                let Some(limit) = limits[i] else { continue };
                let sd = (variance / w[i]).sqrt();
                let centre = fitted(&solution, i);
                let (mean, share) = beyond(limit, (y[i] - centre) / sd);
                expected[i] = centre + sd * mean;
                known[i] = 1.0 - share;
                unknown += variance * share;
            }
            let next = solve(&inverse, &expected, &all);
            let moved = (&next - &solution).amax();
            solution = next;
            let renewed = (squares(&solution, &expected, &all) + unknown) / n as f64;
            let settled = moved < 1e-10 && (renewed / variance - 1.0).abs() < 1e-9;
            variance = renewed;
            if settled {
                break;
            }
        }
    }
    let informed: f64 = known.iter().sum();
    let degrees = (informed - k as f64).max(1.0);
    // Maximum likelihood divides by the number of values; an unbiased variance by the degrees of freedom.
    let covariance = gram(&known)? * (variance * informed / degrees);
    let plain: f64 =
        (0..n).filter(|&i| limits[i].is_none()).map(|i| (y[i] - fitted(&solution, i)).powi(2)).sum();
    Some(Regression { solution, covariance, rms: (plain / count).sqrt(), degrees })
}

/// Weights from the optima's own uncertainty, floored so that no single one decides.
fn weights(optima: &[&Optimum]) -> Vec<f64> {
    let mut sds: Vec<f64> = optima.iter().map(|o| o.ln_sd).filter(|s| *s > 0.0).collect();
    sds.sort_by(f64::total_cmp);
    let typical = sds.get(sds.len() / 2).copied().unwrap_or(1.0);
    optima
        .iter()
        .map(|o| {
            let sd = if o.ln_sd > 0.0 { o.ln_sd.max(typical) } else { typical };
            (typical / sd).powi(2)
        })
        .collect()
}

/// Fits R_opt = λ·Π x^α over the variables, by weighted least squares of ln R. Optima at the
/// edge of their cell are limits: of them only the side counts (censored regression).
///
/// # Errors
/// [`TransferError::TooFew`], [`TransferError::Constant`].
///
/// # Source
/// Wang et al., 2026: R_opt = λ_η·η_max^α_η and R_opt = λ_T·T^α_T; the joint law is ours.
pub fn power_law(
    optima: &[Optimum],
    variables: &[Variable],
    level: crate::Level,
) -> Result<PowerLaw, TransferError> {
    let used: Vec<&Optimum> = optima.iter().filter(|o| o.ratio > 0.0).collect();
    let inside: Vec<&Optimum> = used.iter().copied().filter(|o| o.limit.is_none()).collect();
    let needed = variables.len() + 1;
    if inside.len() < needed {
        return Err(TransferError::TooFew { optima: inside.len(), variables: in_words(variables), needed });
    }
    let determined = varying(&inside, variables);
    if let Some(constant) = variables.iter().find(|variable| !determined.contains(variable)) {
        return Err(TransferError::Constant(constant.to_string()));
    }
    let rows: Vec<Vec<f64>> =
        used.iter().map(|o| std::iter::once(1.0).chain(design(o, variables)).collect()).collect();
    let y: Vec<f64> = used.iter().map(|o| o.ratio.ln()).collect();
    let limits: Vec<Option<Limit>> = used.iter().map(|o| o.limit).collect();
    let Regression { solution, covariance, rms, degrees } = regress(&rows, &y, &weights(&used), &limits)
        .ok_or_else(|| TransferError::Constant(in_words(variables)))?;
    let t = student(level, degrees);
    let exponent = |j: usize| {
        let (value, se) = (solution[j], covariance[(j, j)].max(0.0).sqrt());
        Exponent { value, se, interval: (value - t * se, value + t * se) }
    };
    let constant = exponent(0);
    Ok(PowerLaw {
        variables: variables.to_vec(),
        lambda: constant.value.exp(),
        lambda_interval: (constant.interval.0.exp(), constant.interval.1.exp()),
        exponents: (1..needed).map(exponent).collect(),
        rms,
        n: inside.len(),
        limits: used.len() - inside.len(),
        covariance: (0..needed).map(|i| (0..needed).map(|j| covariance[(i, j)]).collect()).collect(),
    })
}

impl PowerLaw {
    /// The ratio with its interval at each value of `variable` (a rate, updates, parameters), for a law in that variable
    /// alone, as the line of a picture; `None` for a law in another variable or in several, of which one value cannot tell
    /// the ratio.
    #[must_use]
    pub fn along(
        &self,
        variable: Variable,
        values: &[f64],
        level: crate::Level,
    ) -> Option<Vec<(f64, (f64, f64))>> {
        if self.variables != [variable] {
            return None;
        }
        // The other variables do not enter: NaN would show if they did.
        let at = |&value: &f64| match variable {
            Variable::PeakLr => self.predict(value, f64::NAN, None, level),
            Variable::Horizon => self.predict(f64::NAN, value, None, level),
            Variable::Params => self.predict(f64::NAN, f64::NAN, Some(Params(value.round() as u64)), level),
        };
        values.iter().map(at).collect()
    }

    /// The ratio for a target with its interval (that of a new optimum: misfit included), capped at 1; `None`
    /// where the law has N as a variable and none is given.
    #[must_use]
    pub fn predict(
        &self,
        peak_lr: f64,
        total: f64,
        params: Option<Params>,
        level: crate::Level,
    ) -> Option<(f64, (f64, f64))> {
        let x: Vec<f64> = std::iter::once(1.0)
            .chain(self.variables.iter().map(|&v| logarithm(v, peak_lr, total, params)))
            .collect();
        if x.iter().any(|x| x.is_nan()) {
            return None;
        }
        let theta: Vec<f64> =
            std::iter::once(self.lambda.ln()).chain(self.exponents.iter().map(|e| e.value)).collect();
        let ln: f64 = x.iter().zip(&theta).map(|(a, b)| a * b).sum();
        let mut variance = self.rms * self.rms;
        for (i, a) in x.iter().enumerate() {
            for (j, b) in x.iter().enumerate() {
                variance += a * b * self.covariance[i][j];
            }
        }
        let half = student(level, self.n.saturating_sub(self.variables.len() + 1).max(1) as f64)
            * variance.max(0.0).sqrt();
        Some((ln.exp().min(1.0), ((ln - half).exp().min(1.0), (ln + half).exp().min(1.0))))
    }
}

/// Whether R_opt stays put across N, data set, split and architecture once peak rate and horizon are accounted for:
/// the starting paper's four observations.
///
/// # Formula
/// ln R = a + α_η ln η + α_T ln T + α_N ln N₈ + e·z by weighted least squares, z = ln N₈ (then the third term is not there)
/// or one indicator of the levels; variables that do not vary, or N where it is not known of every optimum, are left
/// out. Of optima at the edge of their cell only the side counts. The test is Student's t of e.
#[must_use]
pub fn stability(optima: &[Optimum]) -> Vec<Stability> {
    let levels = |f: &dyn Fn(&Optimum) -> String| -> Vec<String> {
        optima.iter().map(f).collect::<BTreeSet<_>>().into_iter().collect()
    };
    let size =
        |o: &Optimum| o.params.map_or_else(|| "unknown".to_owned(), |n| crate::units::short_count(n.0));
    let questions: Vec<(&str, Vec<String>, Regressor)> = vec![
        ("N", levels(&size), Box::new(|o: &Optimum| o.params.map(|n| (n.0 as f64 / 1e8).ln()))),
        ("dataset", levels(&|o| o.dataset.clone()), indicator(optima, |o| o.dataset.clone())),
        ("split", levels(&|o| o.split.clone()), indicator(optima, |o| o.split.clone())),
        ("architecture", levels(&|o| o.arch.to_string()), indicator(optima, |o| o.arch.to_string())),
    ];
    questions
        .into_iter()
        .map(|(across, levels, z)| {
            let mut answer = Stability {
                across: across.to_owned(),
                effect: None,
                t: None,
                p_value: None,
                verdict: String::new(),
                levels,
            };
            if answer.levels.len() < 2 {
                answer.verdict = format!("not tested: one level only ({})", answer.levels.join(", "));
                return answer;
            }
            let used: Vec<&Optimum> = optima.iter().filter(|o| z(o).is_some() && o.ratio > 0.0).collect();
            let inside: Vec<&Optimum> = used.iter().copied().filter(|o| o.limit.is_none()).collect();
            let candidates: &[Variable] =
                if across == "N" { &[Variable::PeakLr, Variable::Horizon] } else { &ALL_VARIABLES };
            let varying = varying(&inside, candidates);
            let rows: Vec<Vec<f64>> = used
                .iter()
                .map(|o| std::iter::once(1.0).chain(design(o, &varying)).chain(z(o)).collect())
                .collect();
            let y: Vec<f64> = used.iter().map(|o| o.ratio.ln()).collect();
            let columns = varying.len() + 2;
            if inside.len() < columns + 1 {
                answer.verdict = format!("not tested: {} optima are too few", inside.len());
                return answer;
            }
            let limits: Vec<Option<Limit>> = used.iter().map(|o| o.limit).collect();
            match regress(&rows, &y, &weights(&used), &limits) {
                Some(Regression { solution, covariance, degrees, .. }) => {
                    let effect = solution[columns - 1];
                    let se = covariance[(columns - 1, columns - 1)].max(1e-30).sqrt();
                    let t = effect / se;
                    let p = StudentsT::new(0.0, 1.0, degrees)
                        .map_or(f64::NAN, |dist| 2.0 * (1.0 - dist.cdf(t.abs())));
                    answer.effect = Some(effect);
                    answer.t = Some(t);
                    answer.p_value = Some(p);
                    answer.verdict = if p < 0.05 {
                        format!("moves: ln R changes by {effect:+.3} (t = {t:.2}, p = {p:.3})")
                    } else {
                        format!("no change seen: {effect:+.3} ± {se:.3} in ln R (t = {t:.2}, p = {p:.3})")
                    };
                }
                None => {
                    answer.verdict =
                        "not tested: it varies only together with peak rate, horizon or N".to_owned();
                }
            }
            answer
        })
        .collect()
}

/// 0 for the first level, 1 for all others.
fn indicator(optima: &[Optimum], level: impl Fn(&Optimum) -> String + 'static) -> Regressor {
    let first = optima.iter().map(&level).min().unwrap_or_default();
    Box::new(move |o| Some(if level(o) == first { 0.0 } else { 1.0 }))
}

/// Checks that optima of one architecture are used for a target of the same.
///
/// # Errors
/// [`TransferError::Architecture`] unless `across` allows it; then a caveat says so.
pub fn check_architecture(
    optima: &[Optimum],
    target: ArchFamily,
    across: bool,
) -> Result<Option<Caveat>, TransferError> {
    match optima.iter().find(|o| o.arch != target) {
        None => Ok(None),
        Some(other) if across => {
            Ok(Some(CaveatKind::AcrossArchitectures { found: other.arch, target }.into()))
        }
        Some(other) => Err(TransferError::Architecture { found: other.arch, target }),
    }
}
