//! The function that a fit minimises, its gradient and its Gauss–Newton matrix.

use super::dataset::{Dataset, PreparedRun};
use super::options::{Criterion, FitOptions, Residual, Weighting};
use super::pointwise;
use crate::law::{Law, Role, Scale};
use nalgebra::{DMatrix, DVector};

/// Factor on the mean Huber loss, so that the objective is of order one (residuals of 10⁻³ give ½).
pub const MEAN_SCALE: f64 = 1e6;

/// What is done with each coefficient, on the solver's scale z (z = θ or ln θ).
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// θ with the fixed values in place; free entries hold the centre of the starts.
    pub theta: Vec<f64>,
    /// Indices of the free coefficients.
    pub free: Vec<usize>,
    /// Lower bounds of the free coefficients, z.
    pub lower: Vec<f64>,
    /// Upper bounds of the free coefficients, z.
    pub upper: Vec<f64>,
    /// Scales of the free coefficients.
    pub scale: Vec<Scale>,
    /// Prior mean and standard deviation of the free coefficients, z.
    pub prior: Vec<Option<(f64, f64)>>,
    /// The roles that led to this.
    pub roles: Vec<Role>,
}

/// Why options and law do not fit together.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PlanError {
    /// A coefficient that the law does not have.
    #[error("the {law} law has no coefficient '{name}'; it has {known}")]
    Unknown {
        /// Name of the law.
        law: &'static str,
        /// The name given.
        name: String,
        /// The names there are.
        known: String,
    },
    /// A fixed value, bound or prior that the coefficient cannot take.
    #[error(
        "coefficient '{name}' of the {law} law cannot be {what} {value}; its range is {lower} to {upper}"
    )]
    Value {
        /// Name of the law.
        law: &'static str,
        /// The coefficient.
        name: String,
        /// `fixed at`, `bounded by`, …
        what: &'static str,
        /// The value.
        value: f64,
        /// Smallest allowed.
        lower: f64,
        /// Largest allowed.
        upper: f64,
    },
    /// Everything is fixed.
    #[error("every coefficient of the {law} law is fixed: there is nothing to fit")]
    NothingFree {
        /// Name of the law.
        law: &'static str,
    },
}

impl Plan {
    /// Merges the law's roles on these data with the user's options.
    ///
    /// # Errors
    /// [`PlanError`]: an unknown coefficient, a value outside its range, nothing left to fit.
    pub fn new(law: &dyn Law, data: &Dataset, options: &FitOptions) -> Result<Self, PlanError> {
        let coefficients = law.coefficients();
        let index = |name: &str| {
            coefficients.iter().position(|c| c.name == name).ok_or_else(|| PlanError::Unknown {
                law: law.name(),
                name: name.to_owned(),
                known: coefficients.iter().map(|c| c.name).collect::<Vec<_>>().join(", "),
            })
        };
        let mut roles = law.roles(&data.summary);
        let mut bounds: Vec<(f64, f64)> = coefficients.iter().map(|c| (c.lower, c.upper)).collect();
        let refuse = |i: usize, what: &'static str, value: f64| PlanError::Value {
            law: law.name(),
            name: coefficients[i].name.to_owned(),
            what,
            value,
            lower: coefficients[i].lower,
            upper: coefficients[i].upper,
        };
        for name in &options.freed {
            let i = index(name)?;
            if matches!(roles[i], Role::Fixed(_)) {
                roles[i] = Role::Free { start: coefficients[i].start };
            }
        }
        for (name, &(mean, sd)) in &options.priors {
            let i = index(name)?;
            if !(sd > 0.0 && mean.is_finite()) || (coefficients[i].scale == Scale::Log && mean <= 0.0) {
                return Err(refuse(i, "given a prior at", mean));
            }
            roles[i] = Role::Prior { mean, sd };
        }
        for (name, &(lower, upper)) in &options.bounds {
            let i = index(name)?;
            let positive = coefficients[i].scale == Scale::Linear || lower > 0.0;
            if !(lower < upper && lower.is_finite() && upper.is_finite() && positive) {
                return Err(refuse(i, "bounded by", lower));
            }
            bounds[i] = (lower, upper);
        }
        for (name, &value) in &options.fixed {
            let i = index(name)?;
            if !value.is_finite() || (coefficients[i].scale == Scale::Log && value < 0.0) {
                return Err(refuse(i, "fixed at", value));
            }
            roles[i] = Role::Fixed(value);
        }
        let mut plan = Self {
            theta: Vec::new(),
            free: Vec::new(),
            lower: Vec::new(),
            upper: Vec::new(),
            scale: Vec::new(),
            prior: Vec::new(),
            roles: roles.clone(),
        };
        for (i, role) in roles.iter().enumerate() {
            let scale = coefficients[i].scale;
            let z = |value: f64| if scale == Scale::Log { value.ln() } else { value };
            let (lower, upper) = bounds[i];
            let start = match *role {
                Role::Fixed(value) => {
                    plan.theta.push(value);
                    continue;
                }
                Role::Free { start } => start,
                Role::Prior { mean, .. } => mean,
            };
            plan.theta.push(start.clamp(lower, upper));
            plan.free.push(i);
            plan.lower.push(z(lower));
            plan.upper.push(z(upper));
            plan.scale.push(scale);
            plan.prior.push(match *role {
                Role::Prior { mean, sd } => Some((z(mean), sd)),
                _ => None,
            });
        }
        if plan.free.is_empty() {
            return Err(PlanError::NothingFree { law: law.name() });
        }
        Ok(plan)
    }

    /// θ → z of the free coefficients.
    #[must_use]
    pub fn to_z(&self, theta: &[f64]) -> Vec<f64> {
        self.free
            .iter()
            .zip(&self.scale)
            .map(|(&i, scale)| if *scale == Scale::Log { theta[i].ln() } else { theta[i] })
            .collect()
    }

    /// z → θ, fixed values in place.
    pub fn to_theta(&self, z: &[f64], theta: &mut [f64]) {
        theta.copy_from_slice(&self.theta);
        for ((&i, scale), &z) in self.free.iter().zip(&self.scale).zip(z) {
            theta[i] = if *scale == Scale::Log { z.exp() } else { z };
        }
    }

    /// The same plan with the free coefficient at `position` (in `free`) held at z.
    #[must_use]
    pub fn holding(&self, position: usize, z: f64) -> Self {
        let mut plan = self.clone();
        let i = plan.free.remove(position);
        plan.lower.remove(position);
        plan.upper.remove(position);
        let scale = plan.scale.remove(position);
        plan.prior.remove(position);
        plan.theta[i] = if scale == Scale::Log { z.exp() } else { z };
        plan.roles[i] = Role::Fixed(plan.theta[i]);
        plan
    }
}

/// The objective over one data set.
///
/// # Formula
/// ```text
/// F(z) = 10⁶·mean over curves of mean over points of ρ(r) + w·Σ ((z_j − μ_j)/σ_j)²      equal curves
///      = Σ ρ(r) + 10⁻⁶·w·Σ ((z_j − μ_j)/σ_j)²                                            equal points
/// ```
/// r: residual on the chosen scale; ρ: Huber or ½r²; μ, σ, w: priors on the solver's scale and their weight.
#[derive(Debug)]
pub struct Objective<'a> {
    law: &'a dyn Law,
    data: &'a Dataset,
    plan: &'a Plan,
    residual: Residual,
    criterion: Criterion,
    scale: f64,
    prior_weight: f64,
}

/// Buffers of one thread.
#[derive(Debug, Default, Clone)]
pub struct Scratch {
    theta: Vec<f64>,
    loss: Vec<f64>,
    jacobian: Vec<f64>,
    row: Vec<f64>,
    factor: Vec<f64>,
    by_theta: Vec<f64>,
}

/// Value given where the law cannot be evaluated (not finite, or a loss that is not positive).
pub const INFEASIBLE: f64 = 1e12;

/// The points of the law that make up one measured loss, and the share of each.
fn samples_of(run: &PreparedRun, i: usize) -> (&[u32], f64) {
    let samples = &run.samples[run.starts[i] as usize..run.starts[i + 1] as usize];
    (samples, 1.0 / samples.len() as f64)
}

impl<'a> Objective<'a> {
    /// Residual of one measured loss against what the law predicts at its points, and its slope in the prediction.
    fn residual_of(&self, run: &PreparedRun, i: usize, loss: &[f64]) -> (f64, f64) {
        let (samples, share) = samples_of(run, i);
        let predicted = samples.iter().map(|&j| loss[j as usize]).sum::<f64>() * share;
        match self.residual {
            Residual::Log => (predicted.ln() - run.target[i], 1.0 / predicted),
            Residual::Raw => (predicted - run.target[i], 1.0),
        }
    }

    /// Puts the parts together.
    #[must_use]
    pub fn new(law: &'a dyn Law, data: &'a Dataset, plan: &'a Plan, options: &FitOptions) -> Self {
        let equal_curves = options.weighting == Weighting::EqualCurves;
        Self {
            law,
            data,
            plan,
            residual: options.residual,
            criterion: options.criterion,
            scale: if equal_curves { MEAN_SCALE } else { 1.0 },
            prior_weight: if equal_curves { options.prior_weight } else { options.prior_weight * 1e-6 },
        }
    }

    /// The plan in use.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        self.plan
    }

    /// F(z) and, where asked for, its gradient.
    pub fn value(&self, z: &[f64], gradient: Option<&mut [f64]>, scratch: &mut Scratch) -> f64 {
        let n = self.plan.theta.len();
        scratch.theta.resize(n, 0.0);
        let mut theta = std::mem::take(&mut scratch.theta);
        self.plan.to_theta(z, &mut theta);
        let mut value = 0.0;
        let with_gradient = gradient.is_some();
        scratch.by_theta.clear();
        scratch.by_theta.resize(n, 0.0);
        for run in &self.data.runs {
            let points = run.features.points();
            scratch.loss.resize(points, 0.0);
            if with_gradient {
                scratch.jacobian.resize(points * n, 0.0);
                self.law.predict_with_jacobian(
                    &theta,
                    &run.features,
                    &mut scratch.loss,
                    &mut scratch.jacobian,
                );
            } else {
                self.law.predict(&theta, &run.features, &mut scratch.loss);
            }
            if pointwise::is_plain(run) {
                let jacobian =
                    with_gradient.then(|| (&scratch.jacobian[..points * n], scratch.by_theta.as_mut_slice()));
                let sum = pointwise::accumulate(
                    self.residual,
                    self.criterion,
                    &run.target,
                    run.weight,
                    &mut scratch.loss[..points],
                    &mut scratch.factor,
                    jacobian,
                );
                value += run.weight * sum;
                continue;
            }
            let mut sum = 0.0;
            for i in 0..run.loss.len() {
                let (samples, share) = samples_of(run, i);
                let (r, slope) = self.residual_of(run, i, &scratch.loss);
                let (rho, psi, _) = self.criterion.evaluate(r);
                sum += rho;
                if with_gradient {
                    let factor = run.weight * psi * slope * share;
                    for &j in samples {
                        let row = &scratch.jacobian[j as usize * n..(j as usize + 1) * n];
                        for (by, d) in scratch.by_theta.iter_mut().zip(row) {
                            *by += factor * d;
                        }
                    }
                }
            }
            value += run.weight * sum;
        }
        value *= self.scale;
        if let Some(gradient) = gradient {
            for (k, &i) in self.plan.free.iter().enumerate() {
                let chain = if self.plan.scale[k] == Scale::Log { theta[i] } else { 1.0 };
                gradient[k] = self.scale * scratch.by_theta[i] * chain;
            }
            value += self.priors(z, Some(&mut *gradient));
            if !value.is_finite() || gradient.iter().any(|g| !g.is_finite()) {
                gradient.fill(0.0);
                value = INFEASIBLE;
            }
        } else {
            value += self.priors(z, None);
        }
        scratch.theta = theta;
        if value.is_finite() { value } else { INFEASIBLE }
    }

    /// The part of F(z) that the data make, priors left out.
    pub fn data_value(&self, z: &[f64], scratch: &mut Scratch) -> f64 {
        self.value(z, None, scratch) - self.priors(z, None)
    }

    fn priors(&self, z: &[f64], mut gradient: Option<&mut [f64]>) -> f64 {
        let mut value = 0.0;
        for (k, prior) in self.plan.prior.iter().enumerate() {
            if let Some((mean, sd)) = *prior {
                let d = (z[k] - mean) / sd;
                value += self.prior_weight * d * d;
                if let Some(gradient) = gradient.as_deref_mut() {
                    gradient[k] += 2.0 * self.prior_weight * d / sd;
                }
            }
        }
        value
    }

    /// F(z), its gradient and the Gauss–Newton matrix of the reweighted residuals; the priors' part is added last so
    /// that it can be told apart by passing `priors = false`.
    pub fn normal_equations(
        &self,
        z: &[f64],
        priors: bool,
        scratch: &mut Scratch,
    ) -> (f64, DVector<f64>, DMatrix<f64>) {
        let n = self.plan.theta.len();
        let k = self.plan.free.len();
        scratch.theta.resize(n, 0.0);
        let mut theta = std::mem::take(&mut scratch.theta);
        self.plan.to_theta(z, &mut theta);
        let chain: Vec<f64> = self
            .plan
            .free
            .iter()
            .zip(&self.plan.scale)
            .map(|(&i, scale)| if *scale == Scale::Log { theta[i] } else { 1.0 })
            .collect();
        let mut value = 0.0;
        let mut gradient = vec![0.0; k];
        let mut matrix = vec![0.0; k * k];
        // The same by θ, for runs whose points are predicted one by one.
        let mut by_theta = vec![0.0; k];
        let mut by_theta_twice = vec![0.0; k * k];
        scratch.row.resize(k, 0.0);
        for run in &self.data.runs {
            let points = run.features.points();
            scratch.loss.resize(points, 0.0);
            scratch.jacobian.resize(points * n, 0.0);
            self.law.predict_with_jacobian(&theta, &run.features, &mut scratch.loss, &mut scratch.jacobian);
            if pointwise::is_plain(run) {
                let mut normal = pointwise::Normal {
                    free: &self.plan.free,
                    gradient: &mut by_theta,
                    matrix: &mut by_theta_twice,
                };
                let sum = pointwise::accumulate_normal(
                    self.residual,
                    self.criterion,
                    &run.target,
                    run.weight,
                    &mut scratch.loss[..points],
                    &mut scratch.factor,
                    &scratch.jacobian[..points * n],
                    n,
                    &mut normal,
                );
                value += run.weight * sum;
                continue;
            }
            for i in 0..run.loss.len() {
                let (samples, share) = samples_of(run, i);
                let (r, slope) = self.residual_of(run, i, &scratch.loss);
                let (rho, psi, weight) = self.criterion.evaluate(r);
                value += run.weight * rho;
                scratch.row.fill(0.0);
                for &j in samples {
                    let row = &scratch.jacobian[j as usize * n..(j as usize + 1) * n];
                    for (g, (&i, &chain)) in scratch.row.iter_mut().zip(self.plan.free.iter().zip(&chain)) {
                        *g += row[i] * chain * slope * share;
                    }
                }
                for a in 0..k {
                    let g = scratch.row[a];
                    gradient[a] += run.weight * psi * g;
                    let factor = run.weight * weight * g;
                    for b in 0..=a {
                        matrix[a * k + b] += factor * scratch.row[b];
                    }
                }
            }
        }
        for a in 0..k {
            gradient[a] += by_theta[a] * chain[a];
            for b in 0..=a {
                matrix[a * k + b] += by_theta_twice[a * k + b] * chain[a] * chain[b];
            }
        }
        scratch.theta = theta;
        value *= self.scale;
        for g in &mut gradient {
            *g *= self.scale;
        }
        let mut matrix = DMatrix::from_fn(k, k, |a, b| self.scale * matrix[a.max(b) * k + a.min(b)]);
        if priors {
            value += self.priors(z, Some(&mut gradient));
            for (j, prior) in self.plan.prior.iter().enumerate() {
                if let Some((_, sd)) = prior {
                    matrix[(j, j)] += 2.0 * self.prior_weight / (sd * sd);
                }
            }
        }
        (value, DVector::from_vec(gradient), matrix)
    }
}
