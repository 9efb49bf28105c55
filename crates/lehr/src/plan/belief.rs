//! What is believed of the coefficients and of the law's errors before any further run.

use super::field::Field;
use super::{RunPlanError, Target};
use crate::features::{FeatureDefinition, RunFeatures};
use crate::fit::starts::normal;
use crate::fit::{Fit, RunFit};
use crate::forecast::ForecastError;
use crate::law::{DataSummary, Law, Role, Scale};
use crate::schedule::{Schedule, Shape, WsdSpec};
use crate::units::{Params, Steps, Tokens};
use nalgebra::{DMatrix, DVector};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// What the choice starts from.
#[derive(Debug, Clone, Copy)]
pub enum AtHand<'a> {
    /// Runs that were fitted.
    Fit(&'a Fit),
    /// No run: the law, with coefficients as public runs have them.
    Nothing(&'a dyn Law),
}

/// Errors of the law and of single runs, relative to the loss (standard deviations).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Noise {
    /// What the law gets wrong about a run, alike for runs that are alike; a share of the loss.
    pub misfit: f64,
    /// What a trunk and its branches share: their seed.
    pub shared: f64,
    /// Of each measured point alone, a share of the loss.
    pub point: f64,
}

impl Default for Noise {
    /// As of public runs: the law errs by 0.2 % on the runs it did not see, twins differ by 0.05 %.
    fn default() -> Self {
        Self { misfit: 2e-3, shared: 5e-4, point: 2e-4 }
    }
}

/// A misfit below this is not told from noise.
const LEAST_MISFIT: f64 = 2e-4;
/// Runs left out from which the misfit is taken from them alone.
const ENOUGH_LEFT_OUT: usize = 3;

impl Noise {
    /// The errors that refits made at the end of the runs they did not see, the noise of a run taken out; the usual misfit
    /// where too few runs were left out.
    #[must_use]
    pub fn of(fit: &Fit) -> Self {
        let usual = Self::default();
        let held_out = &fit.uncertainty.held_out;
        let in_sample = fit.uncertainty.method == crate::fit::resample::Method::BlockBootstrap;
        if in_sample || held_out.len() < ENOUGH_LEFT_OUT {
            return usual;
        }
        let mut sizes: Vec<f64> = held_out.iter().map(|run| run.mean_error.abs()).collect();
        sizes.sort_by(f64::total_cmp);
        // The median of |x| is 0.674 standard deviations; of the mean size of correlated errors it is about that, too.
        let error = crate::fit::resample::quantile(&sizes, 0.5) / 0.674_5;
        let misfit = (error * error - usual.shared * usual.shared).max(LEAST_MISFIT * LEAST_MISFIT).sqrt();
        Self { misfit, ..usual }
    }

    pub(super) fn check(self) -> Result<Self, RunPlanError> {
        let positive = |what, found: f64| {
            if found > 0.0 && found < 1.0 {
                Ok(())
            } else {
                Err(RunPlanError::Option { what, found, expected: "a share of the loss above 0 and below 1" })
            }
        };
        positive("the misfit of the law", self.misfit)?;
        positive("the noise that a trunk and its branches share", self.shared)?;
        positive("the noise of a point", self.point)?;
        Ok(self)
    }
}

/// Coefficients of the noise-relaxation law over nine public sets of runs (`docs/results/plan.md`): name, mean, and twice
/// the standard deviation on the solver's scale (once that of L₀, which goes with the data): what is known before any run of
/// one's own.
const PUBLIC: [(&str, f64, f64); 10] = [
    ("l0", 2.7, 0.6),
    ("a", 0.49, 0.28),
    ("alpha", 0.53, 0.09),
    ("b", 0.2, 0.32),
    ("kappa", 45.0, 1.4),
    ("s0", 0.001, 2.0),
    ("e_c", 0.635, 0.75),
    ("q", 0.626, 0.13),
    ("delta", -0.26, 0.11),
    ("p", 1.27, 0.36),
];
/// Spread of a coefficient on a log scale that public runs say nothing of.
const LOG_SPREAD: f64 = 1.0;
/// Spread of a linear one, as a share of its range, at most 1.
const LINEAR_SPREAD: f64 = 0.15;

/// What public runs say of a law's coefficients.
fn public(law: &dyn Law) -> &'static [(&'static str, f64, f64)] {
    if law.name() == crate::law::NoiseRelaxation.name() { &PUBLIC } else { &[] }
}

/// Floor of one size, as a share of its lowest loss, over the public sets of one size each (0.90–0.93), and its spread.
const FLOOR_SHARE: f64 = 0.9;
const FLOOR_SPREAD: f64 = 0.08;
/// By how much all spreads are widened where runs are fitted: a fit does not know what coefficients usually are, so that the
/// ratio it recommends is as open as the runs alone leave it (`docs/results/plan.md` has other values).
const WIDER: f64 = 3.0;
/// Most Gauss–Newton steps.
const MOST_STEPS: usize = 40;

/// What the runs at hand say of the coefficients.
pub(super) struct Posterior {
    held: Range<usize>,
    /// ln L of the runs at hand, as the fit describes them.
    measured: DVector<f64>,
    /// Lower Cholesky factor of their errors' covariance.
    factor: DMatrix<f64>,
    /// The most plausible coefficients, z.
    mode: DVector<f64>,
}

/// Coefficients with what is known of them.
pub(super) struct Belief<'a> {
    pub law: &'a dyn Law,
    pub definition: FeatureDefinition,
    pub tokens: Option<Tokens>,
    /// Whether the law is told N.
    pub sized: bool,
    /// The most plausible coefficients.
    pub centre: Vec<f64>,
    /// Indices of those that runs can move.
    pub free: Vec<usize>,
    scale: Vec<Scale>,
    /// Range on the solver's scale.
    range: Vec<(f64, f64)>,
    /// What is expected before any run, on the solver's scale.
    mean: Vec<f64>,
    /// Standard deviations on the solver's scale before any run.
    pub prior: Vec<f64>,
}

/// What a set of runs looks like to a law.
struct Outline {
    peak_lrs: Vec<f64>,
    sizes: Vec<Params>,
    max_update: u64,
    min_loss: f64,
    max_loss: f64,
}

impl<'a> Belief<'a> {
    pub fn new(
        at_hand: AtHand<'a>,
        target: &Target,
        candidates: &super::Candidates,
    ) -> Result<Self, RunPlanError> {
        let (law, theta, definition, fit): (&dyn Law, Vec<f64>, FeatureDefinition, Option<&Fit>) =
            match at_hand {
                AtHand::Fit(fit) => {
                    // The checks of a forecast: coefficients and law belong together.
                    let ready = crate::forecast::Ready::new(fit, target.setting.params)?;
                    (ready.law, ready.theta, fit.definition, Some(fit))
                }
                AtHand::Nothing(law) => {
                    let usual = |c: &crate::law::Coefficient| {
                        public(law)
                            .iter()
                            .find(|(name, ..)| *name == c.name)
                            .map_or(c.start, |(_, mean, _)| *mean)
                    };
                    let theta = law.coefficients().iter().map(usual).collect();
                    (law, theta, law.features(), None)
                }
            };
        if law.final_only() {
            return Err(RunPlanError::BlindLaw(law.name().to_owned()));
        }
        let tokens = target.setting.tokens_per_step.or_else(|| {
            fit.and_then(|fit| {
                fit.definition
                    .reference_batch
                    .map(|batch| Tokens(batch.round() as u64))
                    .or_else(|| fit.runs.iter().find_map(|run| run.tokens_per_step))
            })
        });
        let definition = FeatureDefinition {
            reference_batch: definition.reference_batch.or_else(|| tokens.map(|t| t.0 as f64)),
            ..definition
        };
        let sized = fit.is_none_or(|fit| fit.runs.iter().all(|run| run.params.is_some()))
            && candidates.params.iter().all(Option::is_some)
            && target.setting.params.or(candidates.params[0]).is_some();
        let mut this = Self {
            law,
            definition,
            tokens,
            sized,
            centre: theta,
            free: Vec::new(),
            scale: Vec::new(),
            range: Vec::new(),
            mean: Vec::new(),
            prior: Vec::new(),
        };
        let outline = this.outline(fit, target, candidates)?;
        let summary = outline.summary(fit, candidates);
        let roles = law.roles(&summary);
        this.free(fit, &roles);
        Ok(this)
    }

    /// Rates, sizes, lengths and losses of what is at hand, of the target and of the candidates.
    fn outline(
        &self,
        fit: Option<&Fit>,
        target: &Target,
        candidates: &super::Candidates,
    ) -> Result<Outline, RunPlanError> {
        let runs: &[RunFit] = fit.map_or(&[], |fit| &fit.runs);
        let mut peak_lrs: Vec<f64> = runs.iter().map(|run| run.peak_lr).collect();
        peak_lrs.extend(candidates.peak_lr.iter().copied().chain([target.peak_lr]));
        let mut sizes: Vec<Params> = if self.sized {
            let fitted = runs.iter().filter_map(|run| run.params);
            fitted.chain(candidates.params.iter().copied().flatten()).chain(target.setting.params).collect()
        } else {
            Vec::new()
        };
        sizes.sort_unstable();
        sizes.dedup();
        let max_update = runs.iter().map(|run| run.last_update).chain([target.total.0]).max().unwrap_or(1);
        // Losses as the law sees them at the first and last update that matter.
        let schedule = target.schedule(Steps(0))?;
        let early = (target.total.0 / 20).max(target.warmup.0 + 1).min(target.total.0);
        let mut points = vec![early, target.total.0];
        points.dedup();
        let params = if self.sized { target.setting.params.or(candidates.params[0]) } else { None };
        let features = RunFeatures::new(&schedule, &points, params, self.tokens, &self.definition);
        let mut loss = vec![0.0; points.len()];
        self.law.predict(&self.centre, &features, &mut loss);
        let (min_loss, max_loss) =
            loss.iter().fold((f64::INFINITY, 0.0_f64), |(low, high), &l| (low.min(l), high.max(l)));
        if !(min_loss.is_finite() && min_loss > 0.0) {
            return Err(ForecastError::NotFinite { value: min_loss, update: target.total.0 }.into());
        }
        Ok(Outline { peak_lrs, sizes, max_update, min_loss, max_loss })
    }

    /// Frees what runs can determine, around the fitted values.
    fn free(&mut self, fit: Option<&Fit>, roles: &[Role]) {
        let coefficients = self.law.coefficients();
        let floor = coefficients.iter().position(|c| c.name == "l0");
        for (i, (role, c)) in roles.iter().zip(coefficients).enumerate() {
            let own = fit.and_then(|fit| fit.options.priors.get(c.name)).copied();
            let usual = public(self.law).iter().find(|(name, ..)| *name == c.name);
            let held = fit.is_some_and(|fit| fit.options.fixed.contains_key(c.name));
            let sd = match role {
                Role::Fixed(_) => None,
                Role::Prior { sd, .. } => Some(own.map_or(*sd, |prior| prior.1)),
                Role::Free { .. } => Some(own.or(usual.map(|(_, mean, sd)| (*mean, *sd))).map_or_else(
                    || match c.scale {
                        Scale::Log => LOG_SPREAD,
                        Scale::Linear => (LINEAR_SPREAD * (c.upper - c.lower)).min(1.0),
                    },
                    |(_, sd)| sd,
                )),
            };
            let Some(sd) = sd.filter(|_| !held) else { continue };
            // A term that the fit switched off and that further runs can see begins at its usual value; the floor gives way,
            // so that losses of the size fitted stay.
            if c.scale == Scale::Log && self.centre[i] <= 0.0 {
                self.centre[i] = c.start;
                if let Some(floor) = floor.filter(|_| c.name != "s0") {
                    let lowered = self.centre[floor] - c.start;
                    self.centre[floor] = lowered.max(coefficients[floor].lower * 2.0);
                }
            }
            let (lower, upper) =
                fit.and_then(|fit| fit.options.bounds.get(c.name).copied()).unwrap_or((c.lower, c.upper));
            let z = |value: f64| if c.scale == Scale::Log { value.ln() } else { value };
            // The runs at hand say where the coefficients of the fit lie only as far as they determine them.
            let mean = own.map(|prior| prior.0).or(usual.map(|(_, mean, _)| *mean)).unwrap_or(match *role {
                Role::Prior { mean, .. } => mean,
                _ => self.centre[i],
            });
            self.free.push(i);
            self.mean.push(z(mean.clamp(lower, upper)));
            self.scale.push(c.scale);
            self.range.push((z(lower), z(upper)));
            self.prior.push(if fit.is_some() { WIDER * sd } else { sd });
        }
    }

    /// ∂θ_j/∂z_j of the j-th free coefficient.
    pub fn chain(&self, theta: &[f64], j: usize) -> f64 {
        match self.scale[j] {
            Scale::Log => theta[self.free[j]],
            Scale::Linear => 1.0,
        }
    }

    /// The coefficients at z, inside their ranges.
    fn at(&self, z: &DVector<f64>) -> Vec<f64> {
        let mut theta = self.centre.clone();
        for (j, &i) in self.free.iter().enumerate() {
            let (lower, upper) = self.range[j];
            let z = z[j].clamp(lower, upper);
            theta[i] = if self.scale[j] == Scale::Log { z.exp() } else { z };
        }
        theta
    }

    /// z of coefficients.
    fn z_of(&self, theta: &[f64]) -> DVector<f64> {
        let of = |(&i, scale): (&usize, &Scale)| if *scale == Scale::Log { theta[i].ln() } else { theta[i] };
        DVector::from_iterator(self.free.len(), self.free.iter().zip(&self.scale).map(of))
    }

    /// Moves the centre to the most plausible coefficients: those that say of the runs at hand what the fit says, up to
    /// what a law gets wrong, and are otherwise as coefficients usually are. A fit of two runs follows them with
    /// coefficients that may lie anywhere where the runs do not determine them.
    pub fn settle(
        &mut self,
        field: &Field,
        held: Range<usize>,
        noise: &Noise,
    ) -> Result<Posterior, RunPlanError> {
        let mean = DVector::from_column_slice(&self.mean);
        if held.is_empty() {
            self.centre = self.at(&mean);
            return Ok(Posterior {
                held,
                measured: DVector::zeros(0),
                factor: DMatrix::zeros(0, 0),
                mode: mean,
            });
        }
        let (measured, _) = field.rows_of(held.clone(), self, &self.centre).ok_or(RunPlanError::Singular)?;
        let errors = DMatrix::from_fn(held.len(), held.len(), |i, j| {
            field.error_covariance(noise, held.start + i, held.start + j)
        });
        let factor = errors.cholesky().ok_or(RunPlanError::Singular)?.unpack();
        let lowest = measured.iter().copied().fold(f64::INFINITY, f64::min).exp();
        self.floor(lowest);
        let mean = DVector::from_column_slice(&self.mean);
        let fitted = self.z_of(&self.centre);
        let posterior =
            Posterior { held, measured: DVector::from_vec(measured), factor, mode: fitted.clone() };
        let found = [&fitted, &mean]
            .iter()
            .filter_map(|start| self.nearest(field, &posterior, &posterior.measured, &mean, start))
            .min_by(|a, b| a.1.total_cmp(&b.1));
        let mode = found.map_or(fitted, |(z, _)| z);
        self.centre = self.at(&mode);
        Ok(Posterior { mode, ..posterior })
    }

    /// Of one size, the floor lies a little below the lowest loss: that is what its size and text make it.
    fn floor(&mut self, lowest: f64) {
        let coefficients = self.law.coefficients();
        let position = |name: &str| self.free.iter().position(|&i| coefficients[i].name == name);
        if let (Some(at), None, false) = (position("l0"), position("e"), public(self.law).is_empty()) {
            self.mean[at] = (FLOOR_SHARE * lowest).clamp(self.range[at].0, self.range[at].1);
            self.prior[at] = WIDER * FLOOR_SPREAD * lowest;
        }
    }

    /// The coefficients nearest to `mean` and to the losses measured, by damped Gauss–Newton steps: z and half the squared
    /// distance. `None` where the law gives no loss at the start.
    fn nearest(
        &self,
        field: &Field,
        posterior: &Posterior,
        measured: &DVector<f64>,
        mean: &DVector<f64>,
        start: &DVector<f64>,
    ) -> Option<(DVector<f64>, f64)> {
        let k = self.free.len();
        let weight = DVector::from_iterator(k, self.prior.iter().map(|sd| 1.0 / (sd * sd)));
        let evaluate = |z: &DVector<f64>| {
            let (losses, rows) = field.rows_of(posterior.held.clone(), self, &self.at(z))?;
            let residual =
                posterior.factor.solve_lower_triangular(&(DVector::from_vec(losses) - measured))?;
            let off = z - mean;
            let value = 0.5 * (residual.norm_squared() + off.component_mul(&off).dot(&weight));
            value.is_finite().then_some((value, residual, rows, off))
        };
        let mut z = start.clone();
        let (mut value, mut residual, mut rows, mut off) = evaluate(&z)?;
        let mut damping = 1e-3;
        for _ in 0..MOST_STEPS {
            let rows_weighted = posterior.factor.solve_lower_triangular(&rows)?;
            let gradient = rows_weighted.transpose() * &residual + off.component_mul(&weight);
            let matrix = rows_weighted.transpose() * rows_weighted + DMatrix::from_diagonal(&weight);
            let mut moved = false;
            while damping < 1e6 {
                let mut damped = matrix.clone();
                for j in 0..k {
                    damped[(j, j)] *= 1.0 + damping;
                }
                let step = damped.cholesky()?.solve(&gradient);
                let mut next = &z - step;
                for j in 0..k {
                    next[j] = next[j].clamp(self.range[j].0, self.range[j].1);
                }
                if let Some(found) = evaluate(&next).filter(|found| found.0 < value) {
                    moved = value - found.0 > 1e-7 * (1.0 + value);
                    (value, residual, rows, off) = found;
                    z = next;
                    damping *= 0.2;
                    break;
                }
                damping *= 6.0;
            }
            if !moved {
                break;
            }
        }
        Some((z, value))
    }

    /// Draws from what the runs at hand leave open, in pairs of opposite sign; the centre alone where one draw is asked
    /// for. Each draw is the most plausible set of coefficients for losses and expectations that are moved by their own
    /// errors: exact for a law that is linear, and close to the runs where it is not.
    pub fn draws(
        &self,
        field: &Field,
        posterior: &Posterior,
        count: usize,
        seed: u64,
    ) -> Result<Vec<Vec<f64>>, RunPlanError> {
        let k = self.free.len();
        field.rows(self, &self.centre).ok_or(RunPlanError::Singular)?;
        if count <= 1 {
            return Ok(vec![self.centre.clone()]);
        }
        let mean = DVector::from_column_slice(&self.mean);
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(3_000_001);
        let mut moves = Vec::with_capacity(count);
        while moves.len() < count {
            let prior = DVector::from_fn(k, |j, _| self.prior[j] * normal(&mut rng));
            let errors = DVector::from_fn(posterior.held.len(), |_, _| normal(&mut rng));
            moves.extend([1.0, -1.0].map(|sign| (sign * &prior, sign * &errors)));
        }
        moves.truncate(count);
        let drawn = moves.into_par_iter().map(|(prior, errors)| {
            let moved = &mean + prior;
            let z = if posterior.held.is_empty() {
                moved
            } else {
                let measured = &posterior.measured + &posterior.factor * errors;
                let found = self.nearest(field, posterior, &measured, &moved, &posterior.mode);
                found.map_or_else(|| posterior.mode.clone(), |(z, _)| z)
            };
            // Nearer to the centre until the law gives losses everywhere; at the centre it does.
            let mut share = 1.0;
            loop {
                let theta = self.at(&(&posterior.mode + share * (&z - &posterior.mode)));
                if field.rows(self, &theta).is_some() || share < 1e-3 {
                    return theta;
                }
                share *= 0.5;
            }
        });
        Ok(drawn.collect())
    }
}

impl Outline {
    fn summary(&self, fit: Option<&Fit>, candidates: &super::Candidates) -> DataSummary {
        let distinct = |mut values: Vec<f64>| {
            values.sort_by(f64::total_cmp);
            values.dedup_by(|a, b| (*a - *b).abs() <= 1e-3 * b.abs());
            values
        };
        let batches = fit.map_or_else(Vec::new, |fit| {
            fit.runs.iter().filter_map(|run| run.tokens_per_step).map(|b| b.0 as f64).collect()
        });
        DataSummary {
            runs: fit.map_or(0, |fit| fit.runs.len()) + candidates.total.len() * candidates.ratio.len(),
            max_forward_effect: self.peak_lrs.iter().copied().fold(0.0, f64::max) * self.max_update as f64,
            peak_lrs: distinct(self.peak_lrs.clone()),
            sizes: distinct(self.sizes.iter().map(|n| n.0 as f64 / 1e8).collect()),
            batches: distinct(batches),
            min_loss: self.min_loss,
            max_loss: self.max_loss,
            first_update: 1.0,
            max_update: self.max_update as f64,
        }
    }
}

/// The schedule of a run that was fitted, as far as the fit tells it: warm-up, peak rate, and the fall over its share of
/// the updates. What fell in a way that has no name is taken as a straight line.
pub(super) fn schedule_of(run: &RunFit) -> Result<Schedule, RunPlanError> {
    let last = run.last_update.max(2);
    let warmup = run.warmup.min(last - 1);
    let anneal = ((run.annealing_share * last as f64).round() as u64).min(last - warmup);
    let shape = run.fall.parse::<Shape>().unwrap_or(Shape::Linear);
    let final_lr = if anneal == 0 { 0.0 } else { run.final_lr.clamp(0.0, run.peak_lr) };
    let spec = WsdSpec {
        peak_lr: run.peak_lr,
        total: Steps(last),
        warmup: Steps(warmup),
        anneal: Steps(anneal),
        shape,
        final_lr,
        ..WsdSpec::default()
    };
    let straight = WsdSpec { shape: Shape::Linear, ..spec.clone() };
    Ok(spec.checked().or_else(|_| straight.checked()).map(Schedule::Wsd)?)
}
