//! Forecasts: the loss at every update under any schedule, with an interval and what to know about it.

use crate::ArchFamily;
use crate::caveat::{Caveat, CaveatKind};
use crate::features::RunFeatures;
use crate::fit::{Fit, resample};
use crate::law::{Coefficient, Law};
use crate::schedule::Schedule;
use crate::units::{Params, Tokens};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

mod reach;

pub use reach::{Axis, Widened, limits};
pub(crate) use reach::{Reach, annealed};

/// A loss with its interval, nats per token.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Estimate {
    /// Forecast loss, nats per token.
    pub value: f64,
    /// Lower end of the interval, nats per token.
    pub lower: f64,
    /// Upper end of the interval, nats per token.
    pub upper: f64,
}

impl Estimate {
    /// Whether both ends of the interval are numbers.
    #[must_use]
    pub fn is_bounded(&self) -> bool {
        self.lower.is_finite() && self.upper.is_finite()
    }
}

/// A forecast curve.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Forecast {
    /// Updates, ascending.
    pub update: Vec<u64>,
    /// Forecast loss at each, nats per token.
    pub loss: Vec<f64>,
    /// Lower end of the interval at each.
    pub lower: Vec<f64>,
    /// Upper end of the interval at each.
    pub upper: Vec<f64>,
    /// The loss at the last update asked for.
    pub r#final: Estimate,
    /// Level of the intervals.
    pub level: crate::Level,
    /// Why the interval of the last loss is wider than inside the data, largest first; empty inside.
    pub widened: Vec<Widened>,
    /// What to know before using it.
    pub caveats: Vec<Caveat>,
}

impl Forecast {
    /// The forecast as an answer.
    ///
    /// # Errors
    /// [`ForecastError::NoInterval`] for the first update whose interval has no end. Searches, which forecast without refits, do
    /// not ask for it.
    pub fn bounded(self) -> Result<Self, ForecastError> {
        match (0..self.update.len()).find(|&i| !(self.lower[i].is_finite() && self.upper[i].is_finite())) {
            Some(i) => Err(ForecastError::NoInterval { update: self.update[i] }),
            None => Ok(self),
        }
    }
}

/// What the forecast run is, besides its schedule.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Setting {
    /// N, counted as in the fit. `None`: that of the runs fitted, if they have one.
    pub params: Option<Params>,
    /// Batch in tokens. `None`: the most frequent one of the runs fitted.
    pub tokens_per_step: Option<Tokens>,
    /// `dense` or `moe`, if it is to be checked against the runs fitted.
    pub arch: Option<ArchFamily>,
}

/// Why there is no forecast.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ForecastError {
    /// The fit is of a law that this version does not have.
    #[error(
        "the fit is of the law '{0}', which this version does not know; `lehr laws` lists those it knows"
    )]
    UnknownLaw(String),
    /// The fit does not fit its law: made by another version or edited.
    #[error("the fit has {found} coefficients, but the {law} law has {expected}; fit again")]
    Coefficients {
        /// Name of the law.
        law: String,
        /// Coefficients found.
        found: usize,
        /// Coefficients expected.
        expected: usize,
    },
    /// The fit contradicts itself: made by another version or edited.
    #[error("the fit does not hold together: {0}; fit again")]
    Inconsistent(String),
    /// The runs fitted differ in size and none was given.
    #[error("the runs fitted have {0} sizes: say which N to forecast with [[params]]")]
    NoParams(usize),
    /// N is 0.
    #[error("a model of 0 parameters has no loss: give an N of at least 1")]
    ZeroParams,
    /// No update was asked for, or one outside the schedule.
    #[error("update {update} is not in 1 … {total}, the updates of the schedule")]
    Outside {
        /// The update.
        update: u64,
        /// Horizon.
        total: u64,
    },
    /// The law gave no finite, positive loss.
    #[error("the fitted law gives the loss {} at update {update}: it cannot describe this schedule", crate::schedule::number(*value))]
    NotFinite {
        /// The value.
        value: f64,
        /// The update.
        update: u64,
    },
    /// The refits part so far that an interval has no end.
    #[error(
        "the loss at update {update} has no interval: without some of its runs, the law gives no loss that could bound it"
    )]
    NoInterval {
        /// The update.
        update: u64,
    },
}

/// A fit ready for evaluation: its law, θ and refits.
#[derive(Debug)]
pub(crate) struct Ready<'a> {
    pub fit: &'a Fit,
    pub law: &'a dyn Law,
    pub theta: Vec<f64>,
    pub params: Option<Params>,
}

/// Whether the parts of a fit agree with its law and with each other; what does not, in words.
fn check_parts(fit: &Fit, law: &dyn Law) -> Result<(), String> {
    for (found, expected) in fit.coefficients.iter().zip(law.coefficients()) {
        if found.name != expected.name {
            return Err(format!(
                "coefficient '{}' stands where the {} law has '{}'",
                found.name, fit.law, expected.name
            ));
        }
        if !found.value.is_finite() {
            return Err(format!("coefficient '{}' is {}", found.name, found.value));
        }
        let range = range_of(fit, expected);
        if !within(found.value, range, found.free) {
            return Err(out_of_range("coefficient", found.name.as_str(), found.value, range));
        }
    }
    let n = law.coefficients().len();
    if let Some(refit) = fit.uncertainty.refits.iter().find(|refit| refit.theta.len() != n) {
        return Err(format!("a refit has {} coefficients, the {} law {n}", refit.theta.len(), fit.law));
    }
    for refit in &fit.uncertainty.refits {
        for ((&value, coefficient), found) in
            refit.theta.iter().zip(law.coefficients()).zip(&fit.coefficients)
        {
            let range = range_of(fit, coefficient);
            if !within(value, range, found.free) {
                return Err(out_of_range("a refit's", coefficient.name, value, range));
            }
        }
    }
    if fit.runs.is_empty() {
        return Err("it names no run".to_owned());
    }
    Ok(())
}

/// The range of a coefficient in this fit: the law's, or the one its options put in place.
fn range_of(fit: &Fit, coefficient: &Coefficient) -> (f64, f64) {
    fit.options.bounds.get(coefficient.name).copied().unwrap_or((coefficient.lower, coefficient.upper))
}

/// Whether a value can come from a fit: inside the range to rounding if it was estimated. A value that was held may be
/// one that no fit would find (a factor of 0 switches a term off), but not one of another order than the range.
fn within(value: f64, (lower, upper): (f64, f64), free: bool) -> bool {
    let slack = 1e-6 * (upper - lower);
    if free {
        (lower - slack..=upper + slack).contains(&value)
    } else {
        value.is_finite() && value >= lower.min(0.0) - slack && value <= upper.max(0.0) * 10.0 + slack
    }
}

fn out_of_range(what: &str, name: &str, value: f64, (lower, upper): (f64, f64)) -> String {
    format!("{what} {name} is {value:e}, outside {lower} … {upper}, the range of the fit: it was edited")
}

impl<'a> Ready<'a> {
    pub fn new(fit: &'a Fit, params: Option<Params>) -> Result<Self, ForecastError> {
        let law = fit.law().ok_or_else(|| ForecastError::UnknownLaw(fit.law.clone()))?;
        let theta = fit.theta();
        if theta.len() != law.coefficients().len() {
            return Err(ForecastError::Coefficients {
                law: fit.law.clone(),
                found: theta.len(),
                expected: law.coefficients().len(),
            });
        }
        check_parts(fit, law).map_err(ForecastError::Inconsistent)?;
        if params == Some(Params(0)) {
            return Err(ForecastError::ZeroParams);
        }
        // A fit without N predicts the size it was fitted on, whatever N is called.
        let sizes: Option<BTreeSet<Params>> = fit.runs.iter().map(|run| run.params).collect();
        let params = match (sizes, params) {
            (None, _) => None,
            (Some(_), Some(params)) => Some(params),
            (Some(sizes), None) if sizes.len() > 1 => return Err(ForecastError::NoParams(sizes.len())),
            (Some(sizes), None) => sizes.into_iter().next(),
        };
        Ok(Self { fit, law, theta, params })
    }

    pub fn features(&self, schedule: &Schedule, points: &[u64], tokens: Option<Tokens>) -> RunFeatures {
        let tokens = tokens.or_else(|| self.batch());
        RunFeatures::new(schedule, points, self.params, tokens, &self.fit.definition)
    }

    /// The batch of a target that states none: the reference batch of the fit.
    pub fn batch(&self) -> Option<Tokens> {
        self.fit
            .definition
            .reference_batch
            .map(|batch| Tokens(batch.round() as u64))
            .or_else(|| self.fit.runs.iter().find_map(|run| run.tokens_per_step))
    }

    /// The batch taken for a target that states none, where the runs fitted have several and the law sees it.
    fn assumed_batch(&self) -> Option<u64> {
        let batches: BTreeSet<u64> =
            self.fit.runs.iter().filter_map(|run| run.tokens_per_step).map(|b| b.0).collect();
        (batches.len() > 1 && self.law.knows_batch()).then(|| self.batch()).flatten().map(|b| b.0)
    }

    pub fn predict(&self, theta: &[f64], features: &RunFeatures) -> Vec<f64> {
        let mut loss = vec![0.0; features.points()];
        self.law.predict(theta, features, &mut loss);
        loss
    }

    /// Relative half-width from the refits alone (jackknife or bootstrap), with the noise of a single run.
    pub fn refit_half_width(&self, spread: f64) -> f64 {
        let runs = &self.fit.runs;
        let noise =
            (runs.iter().map(|run| run.final_error.powi(2)).sum::<f64>() / runs.len().max(1) as f64).sqrt();
        resample::student(self.fit.options.level, self.fit.uncertainty.degrees())
            * (spread * spread + noise * noise).sqrt()
    }
}

/// Forecasts the loss at `points` (updates, ascending) under `schedule`.
///
/// # Formula
/// ```text
/// interval = L̂·exp(±h),  h₀(t) = max(q, t₀.₉₅·√(s_J² + s²))
/// h = √((h₀·(1 + ln k_η + log₂ k_N + max(0, log₂(k_T/2))))² + (0.012·log₂ k_B)²) + f
/// ```
/// q: conformal quantile of the log errors that refits made on the runs they did not see (of each run the larger of
/// its final error and the 90 % quantile along its later half); s_J: jackknife standard deviation of ln L̂(t) over those
/// refits, which grows where the forecast leaves the data; s: root mean square final error of the runs fitted;
/// k_η, k_N, k_T, k_B ≥ 1: by how much the target's peak rate, N, horizon and batch lie outside the runs fitted. The term
/// in the batch is there with one batch only; f is what the sizes fitted leave open about the floor of an N that is none of them.
///
/// # Errors
/// [`ForecastError`], one variant a reason.
pub fn forecast(
    fit: &Fit,
    schedule: &Schedule,
    setting: &Setting,
    points: &[u64],
) -> Result<Forecast, ForecastError> {
    let total = schedule.total().0;
    if points.is_empty() {
        return Err(ForecastError::Outside { update: 0, total });
    }
    if let Some(&update) = points.iter().find(|&&t| t == 0 || t > total) {
        return Err(ForecastError::Outside { update, total });
    }
    let ready = Ready::new(fit, setting.params)?;
    let features = ready.features(schedule, points, setting.tokens_per_step);
    let loss = ready.predict(&ready.theta, &features);
    if let Some(i) = loss.iter().position(|l| !(l.is_finite() && *l > 0.0)) {
        return Err(ForecastError::NotFinite { value: loss[i], update: points[i] });
    }
    let refits: Vec<Vec<f64>> =
        fit.uncertainty.refits.iter().map(|refit| ready.predict(&refit.theta, &features)).collect();
    let level = fit.options.level;
    let score = fit.uncertainty.half_width(level);
    let reach = Reach::new(&ready, schedule, setting);
    let mut widened = Vec::new();
    let mut at = 0;
    let (mut lower, mut upper) = (Vec::with_capacity(points.len()), Vec::with_capacity(points.len()));
    for i in 0..points.len() {
        let spread = spread_of(fit, refits.iter().map(|loss| loss[i].ln()));
        let inside = score.max(ready.refit_half_width(spread));
        let half = reach.half_width(inside);
        if i + 1 == points.len() {
            widened = reach.widened(inside);
        }
        lower.push(loss[i] * (-half).exp());
        upper.push(loss[i] * half.exp());
        at = i;
    }
    let r#final = Estimate { value: loss[at], lower: lower[at], upper: upper[at] };
    let mut caveats = caveats(&ready, schedule, setting);
    caveats.extend(reach::say_widened((r#final.upper / r#final.value).ln(), &widened));
    Ok(Forecast { update: points.to_vec(), loss, lower, upper, r#final, level, widened, caveats })
}

/// The spread of numbers given one a refit.
pub(crate) fn spread_of(fit: &Fit, values: impl Iterator<Item = f64>) -> f64 {
    let values: Vec<f64> = values.filter(|v| v.is_finite()).collect();
    let n = values.len() as f64;
    if values.len() < 2 {
        return f64::INFINITY;
    }
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|v| (v - mean) * (v - mean)).sum();
    match fit.uncertainty.method {
        resample::Method::BlockBootstrap => (squares / (n - 1.0)).sqrt(),
        _ => (squares * (n - 1.0) / n).sqrt(),
    }
}

/// What of a schedule no run fitted has: its shape, its final rate.
pub(crate) fn unseen(fit: &Fit, schedule: &Schedule) -> Vec<CaveatKind> {
    let mut out = Vec::new();
    let Schedule::Wsd(wsd) = schedule else { return out };
    let runs = &fit.runs;
    if wsd.anneal.0 == 0 {
        return out;
    }
    let any = |fall: &str| runs.iter().any(|run| run.fall == fall);
    if !any(&wsd.shape.to_string()) && !any("piecewise") && !any("sampled") {
        let fitted: BTreeSet<&str> = runs.iter().map(|run| run.fall.as_str()).collect();
        out.push(CaveatKind::UnseenShape {
            shape: wsd.shape.to_string(),
            fitted: fitted.into_iter().map(str::to_owned).collect(),
        });
    }
    let share = schedule.lr(schedule.total().0) / schedule.peak_lr();
    let (lowest, highest) = runs
        .iter()
        .filter(|run| annealed(run))
        .map(|run| run.final_lr / run.peak_lr)
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), share| (low.min(share), high.max(share)));
    // A few percent of the peak rate change the last loss by less than its noise.
    if lowest <= highest && !(lowest - SAME_FINAL..=highest + SAME_FINAL).contains(&share) {
        out.push(CaveatKind::UnseenFinalRate { share, lowest, highest });
    }
    out
}

/// Final rates this close, as a share of the peak rate, are one.
const SAME_FINAL: f64 = 0.05;

/// Everything that sets this run apart from those fitted.
pub(crate) fn caveats(ready: &Ready, schedule: &Schedule, setting: &Setting) -> Vec<Caveat> {
    let fit = ready.fit;
    let runs = &fit.runs;
    let anneals = schedule.lr(schedule.total().0) < 0.98 * schedule.peak_lr();
    // What a fit says of annealing does not matter for a run that does not anneal.
    let mut out: Vec<Caveat> = fit
        .caveats
        .iter()
        .filter(|c| c.blocking() && (anneals || *c.kind() != CaveatKind::NoAnnealing))
        .cloned()
        .collect();
    out.extend(Reach::new(ready, schedule, setting).caveats(ready, schedule));
    let mut say = |kind: CaveatKind| out.push(kind.into());
    if ready.params.is_none() && setting.params.is_some() {
        say(CaveatKind::UnseenSize { factor: None, fitted: None });
    }
    for kind in unseen(fit, schedule) {
        say(kind);
    }
    if setting.tokens_per_step.is_none()
        && let Some(tokens) = ready.assumed_batch()
    {
        say(CaveatKind::AssumedBatch { tokens });
    }
    if let Some(target) = setting.arch
        && let Some(run) = runs.iter().find(|run| run.arch.family() != target)
    {
        say(CaveatKind::OtherArchitecture { found: run.arch.family(), target });
    }
    if fit.uncertainty.method == resample::Method::BlockBootstrap {
        say(CaveatKind::IntervalIsLowerBound);
    }
    out
}

/// About `count` updates to forecast at: uniform over the horizon, denser over its last fifth, ends included.
#[must_use]
pub fn default_points(total: u64, count: usize) -> Vec<u64> {
    let n = count.max(4) as u64;
    let main = (1..=n).map(|i| total * i / n);
    let late = (0..=n / 4).map(|i| total - total / 5 + total / 5 * i / (n / 4).max(1));
    let mut points: Vec<u64> = main.chain(late).chain([total]).filter(|&t| t >= 1).collect();
    points.sort_unstable();
    points.dedup();
    points
}
