//! Recommendations: which share of the horizon to spend annealing, and what another share costs.

use crate::caveat::{Caveat, CaveatKind};
use crate::features::RunFeatures;
use crate::fit::Fit;
use crate::fit::resample::Method;
use crate::forecast::{Estimate, ForecastError, Reach, Ready, Setting, caveats, spread_of, unseen};
use crate::schedule::{Schedule, ScheduleError, Shape, WsdSpec};
use crate::units::Steps;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

mod free;
mod interval;
mod joint;
mod open;
mod worth;

use interval::Differences;

pub use free::{FreeSchedule, optimise_free_schedule};
pub use joint::{Budget, Joint, JointOptions, JointPoint, optimise_jointly};

/// The run to recommend for: everything but the annealing ratio.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// Peak rate.
    pub peak_lr: f64,
    /// Horizon.
    pub total: Steps,
    /// Warm-up updates.
    pub warmup: Steps,
    /// How the rate falls.
    pub shape: Shape,
    /// Final rate.
    pub final_lr: f64,
    /// Size, batch, architecture.
    pub setting: Setting,
}

/// Limits and tolerance.
#[derive(Debug, Clone, PartialEq)]
pub struct RecommendOptions {
    /// Smallest and largest ratio considered.
    pub range: (f64, f64),
    /// Largest number of annealing updates.
    pub max_anneal_steps: Option<u64>,
    /// Updates that are done already at the peak rate: no more than the rest can be annealed.
    pub from_step: Option<u64>,
    /// Ratios within this many nats of the best are tied with it.
    pub tolerance: f64,
    /// Number of ratios tried.
    pub grid: usize,
}

impl Default for RecommendOptions {
    fn default() -> Self {
        Self { range: (0.0, 1.0), max_anneal_steps: None, from_step: None, tolerance: 2e-3, grid: 101 }
    }
}

/// One ratio and its predicted loss.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RatioLoss {
    /// Annealing ratio.
    pub ratio: f64,
    /// Loss at the horizon, nats per token: that predicted for the recommended ratio, plus what this one costs against it.
    pub loss: f64,
    /// Standard deviation over the refits of the loss difference to the recommended ratio, nats.
    pub difference_sd: f64,
    /// What the law's own difference was seen to overstate, taken off here as from the costs of rules, nats: the law itself
    /// predicts `loss + offset`.
    pub offset: f64,
    /// Half-width of the interval of the cost, nats.
    pub half_width: f64,
}

/// A common rule and what it costs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Rule {
    /// The schedule in words.
    pub schedule: String,
    /// Its annealing ratio; `None` where the rate falls over the whole run.
    pub ratio: Option<f64>,
    /// Loss at the horizon, nats per token: that predicted for the recommended ratio, plus the regret.
    pub loss: f64,
    /// Loss above that at the recommended ratio, nats: the predicted difference less what the law was seen to
    /// overstate of such differences; below 0: the two are tied.
    pub regret: f64,
    /// Its interval, nats per token.
    #[cfg_attr(feature = "schema", schemars(with = "crate::schema::Interval"))]
    pub regret_interval: (f64, f64),
    /// Updates beyond the horizon that it needs to end at the recommended loss, of which 0 also stands for a regret below 0; `None`
    /// where twice the horizon is not enough.
    pub equal_updates: Option<u64>,
    /// What of it no run fitted has: its shape, its final rate.
    pub caveats: Vec<Caveat>,
}

/// The recommended ratio and what to know about it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recommendation {
    /// r*, the ratio with the lowest predicted loss.
    pub ratio: f64,
    /// Interval of r*, from refits with runs left out and what they got wrong about measured differences.
    pub interval: (f64, f64),
    /// Ratios whose predicted loss is within the tolerance of the lowest.
    pub plateau: (f64, f64),
    /// The tolerance, nats.
    pub tolerance: f64,
    /// Predicted loss at r*.
    pub loss: Estimate,
    /// Last update of the stable phase: where annealing starts.
    pub start_step: u64,
    /// Annealing updates.
    pub anneal_steps: u64,
    /// Tokens of the whole run, if the batch is known.
    pub tokens: Option<u64>,
    /// Predicted loss against the ratio.
    pub curve: Vec<RatioLoss>,
    /// Common rules and their regret.
    pub rules: BTreeMap<String, Rule>,
    /// Level of the intervals.
    pub level: crate::Level,
    /// What to know before using it.
    pub caveats: Vec<Caveat>,
}

/// Why there is no recommendation.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RecommendError {
    /// The fit cannot forecast.
    #[error(transparent)]
    Forecast(#[from] ForecastError),
    /// The target is no schedule.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
    /// The limits leave no ratio.
    #[error(
        "no annealing ratio is left between {lower} and {upper} (warm-up, [[ratio_range]] and [[max_anneal_steps]] together)"
    )]
    EmptyRange {
        /// Lower limit.
        lower: f64,
        /// Upper limit.
        upper: f64,
    },
    /// Nothing is left to anneal.
    #[error("{done} updates are done already: a horizon of {total} leaves nothing to anneal")]
    Spent {
        /// Updates done.
        done: u64,
        /// Horizon.
        total: u64,
    },
    /// A range of the joint choice is empty.
    #[error("a range of peak rates or batches is empty: its ends must be above 0 and ascend")]
    Ranges,
    /// Tokens are fixed and the batch is not known.
    #[error(
        "a fixed number of tokens needs the batch: state the target's tokens per update, or a range of batches"
    )]
    NoBatch,
    /// A fit of final losses does not see the schedule.
    #[error(
        "the {0} law predicts final losses from N and the horizon alone: it does not see the schedule and cannot recommend a ratio"
    )]
    BlindLaw(String),
}

impl Target {
    /// The target's schedule at annealing length D.
    ///
    /// # Errors
    /// As [`WsdSpec::checked`].
    pub fn schedule(&self, anneal: Steps) -> Result<Schedule, ScheduleError> {
        WsdSpec {
            peak_lr: self.peak_lr,
            total: self.total,
            warmup: self.warmup,
            anneal,
            shape: self.shape,
            final_lr: self.final_lr,
            ..WsdSpec::default()
        }
        .checked()
        .map(Schedule::Wsd)
    }
}

/// Evaluates final losses of many schedules under θ and every refit.
pub(crate) struct Table {
    /// Features at the horizon, one a schedule.
    features: Vec<RunFeatures>,
}

impl Table {
    pub fn new(ready: &Ready, target: &Target, schedules: &[Schedule]) -> Self {
        let features = schedules
            .par_iter()
            .map(|s| ready.features(s, &[s.total().0], target.setting.tokens_per_step))
            .collect();
        Self { features }
    }

    pub fn losses(&self, ready: &Ready, theta: &[f64]) -> Vec<f64> {
        self.features.iter().map(|features| ready.predict(theta, features)[0]).collect()
    }
}

/// The lowest point of a curve given at ascending ratios, refined by a parabola in √r through its neighbours.
pub(crate) fn lowest(ratios: &[f64], losses: &[f64]) -> f64 {
    let best = (0..losses.len()).fold(0, |best, i| if losses[i] < losses[best] { i } else { best });
    if best == 0 || best + 1 == losses.len() {
        return ratios[best];
    }
    let x: Vec<f64> = (best - 1..=best + 1).map(|i| ratios[i].sqrt()).collect();
    let y = &losses[best - 1..=best + 1];
    let (d1, d2) = ((y[1] - y[0]) / (x[1] - x[0]), (y[2] - y[1]) / (x[2] - x[1]));
    let curvature = (d2 - d1) / (x[2] - x[0]);
    if curvature <= 0.0 {
        return ratios[best];
    }
    let vertex = 0.5 * (x[0] + x[1]) - d1 / (2.0 * curvature);
    vertex.clamp(x[0], x[2]).powi(2)
}

/// Recommends the annealing ratio.
///
/// # Formula
/// r* minimises L̂(T; r) over a grid, refined by a parabola in √r. The cost of r against r* is
/// ```text
/// L̂(r) − L̂(r*) ∓ m·d·L̂ ± max(t·s_J, k·L̂·h(d)),  d = |√r − √r*|  (− for r < r*)
/// ```
/// m and h: what refits got wrong about differences between measured schedules ([`crate::fit::differences::DifferenceModel`]),
/// s_J the jackknife standard deviation of the difference over the refits, k ≥ 1 for a target outside the data. The
/// interval of r* holds the ratios around the lowest of L̂ + m·√r·L̂ whose slope in √r cannot be told from 0, r* itself, and
/// r* ± t·s_J on the √r scale; it is cut to the range allowed.
///
/// # Errors
/// [`RecommendError`], one variant a reason.
pub fn recommend_ratio(
    fit: &Fit,
    target: &Target,
    options: &RecommendOptions,
) -> Result<Recommendation, RecommendError> {
    let ready = Ready::new(fit, target.setting.params)?;
    if ready.law.final_only() {
        return Err(RecommendError::BlindLaw(fit.law.clone()));
    }
    let total = target.total.0;
    // Refuses a target that is no schedule at any ratio.
    target.schedule(Steps(0))?;
    let room = total.saturating_sub(target.warmup.0);
    let done = options.from_step.unwrap_or(0);
    if done >= total {
        return Err(RecommendError::Spent { done, total });
    }
    let most = options.max_anneal_steps.unwrap_or(room).min(room).min(total - done);
    let (lower, upper) = (options.range.0.max(0.0), options.range.1.min(most as f64 / total as f64).min(1.0));
    if lower > upper || lower.is_nan() || upper.is_nan() {
        return Err(RecommendError::EmptyRange { lower, upper });
    }
    let n = options.grid.max(5);
    let mut anneals: Vec<u64> = (0..n)
        .map(|i| ((lower + (upper - lower) * i as f64 / (n - 1) as f64) * total as f64).round() as u64)
        .map(|d| d.min(most))
        .collect();
    anneals.dedup();
    let schedules: Vec<Schedule> =
        anneals.iter().map(|&d| target.schedule(Steps(d))).collect::<Result<_, _>>()?;
    let ratios: Vec<f64> = anneals.iter().map(|&d| d as f64 / total as f64).collect();
    let table = Table::new(&ready, target, &schedules);
    let losses = table.losses(&ready, &ready.theta);
    if let Some(loss) = losses.iter().find(|l| !(l.is_finite() && **l > 0.0)) {
        return Err(ForecastError::NotFinite { value: *loss, update: total }.into());
    }
    let refits: Vec<Vec<f64>> =
        fit.uncertainty.refits.par_iter().map(|refit| table.losses(&ready, &refit.theta)).collect();

    let start_step = total - ((lowest(&ratios, &losses) * total as f64).round() as u64).min(most);
    let ratio = (total - start_step) as f64 / total as f64;
    let recommended = target.schedule(Steps(total - start_step))?;
    let reach = Reach::new(&ready, &recommended, &target.setting);
    let level = fit.options.level;
    let roots = spread_of(fit, refits.iter().map(|losses| lowest(&ratios, losses).sqrt()));
    let differences = Differences::new(fit, &reach, &recommended);
    let interval = differences.ratios(&ratios, &losses, ratio, roots, (lower, upper));

    // The recommended schedule itself and the common rules, on the same footing.
    let mut named = vec![("recommended".to_owned(), "recommended".to_owned(), recommended)];
    named.extend(rules(target));
    let rule_schedules: Vec<Schedule> = named.iter().map(|(.., s)| s.clone()).collect();
    let rule_table = Table::new(&ready, target, &rule_schedules);
    let rule_losses = rule_table.losses(&ready, &ready.theta);
    if let Some(loss) = rule_losses.iter().find(|l| !(l.is_finite() && **l > 0.0)) {
        return Err(ForecastError::NotFinite { value: *loss, update: total }.into());
    }
    let rule_refits: Vec<Vec<f64>> =
        fit.uncertainty.refits.iter().map(|refit| rule_table.losses(&ready, &refit.theta)).collect();
    let best = rule_losses[0];
    let schedule_of: Vec<&Schedule> = rule_schedules.iter().collect();
    let rules = named
        .iter()
        .enumerate()
        .skip(1)
        .map(|(i, (name, schedule, _))| {
            let sd = spread_of(fit, rule_refits.iter().map(|losses| losses[i] - losses[0]));
            let (offset, half) = differences.to(&rule_schedules[i], rule_losses[i], sd);
            let regret = rule_losses[i] - best - offset;
            (
                name.clone(),
                Rule {
                    schedule: schedule.clone(),
                    ratio: name.strip_suffix('%').and_then(|p| p.parse::<f64>().ok()).map(|p| p / 100.0),
                    loss: best + regret,
                    regret,
                    regret_interval: (regret - half, regret + half),
                    equal_updates: worth::equal_updates(&ready, target, name, best + offset),
                    caveats: unseen(fit, schedule_of[i]).into_iter().map(Caveat::from).collect(),
                },
            )
        })
        .collect();
    let curve: Vec<RatioLoss> = (0..ratios.len())
        .map(|i| {
            let spread = spread_of(fit, refits.iter().zip(&rule_refits).map(|(l, r)| l[i] - r[0]));
            let (offset, half_width) = differences.to(&schedules[i], losses[i], spread);
            RatioLoss {
                ratio: ratios[i],
                loss: losses[i] - offset,
                difference_sd: spread.min(10.0),
                offset,
                half_width,
            }
        })
        .collect();
    let lowest_loss = losses.iter().copied().fold(best, f64::min);
    let tied = |i: &usize| losses[*i] <= lowest_loss + options.tolerance;
    let first = (0..ratios.len()).find(tied).map_or(ratio, |i| ratios[i]).min(ratio);
    let last = (0..ratios.len()).rev().find(tied).map_or(ratio, |i| ratios[i]).max(ratio);
    let spread = spread_of(fit, rule_refits.iter().map(|losses| losses[0].ln()));
    let half = reach.half_width(fit.uncertainty.half_width(level).max(ready.refit_half_width(spread)));
    let mut caveats = caveats(&ready, &named[0].2, &target.setting);
    if fit.uncertainty.method == Method::BlockBootstrap {
        caveats.push(CaveatKind::FewRuns { runs: fit.runs.len() as u64, ratio }.into());
    }
    if ratio >= upper - 1e-9 || ratio <= lower + 1e-9 {
        caveats.push(CaveatKind::RatioAtLimit { ratio, lowest: lower, highest: upper }.into());
    }
    let cost = open::open_cost(&curve, best);
    // Runs that show no ratio, or too few to leave one out, say nothing about where the best one lies.
    let blind = fit.uncertainty.method == Method::BlockBootstrap || open::whole_run_only(fit);
    let interval = if blind { (lower.min(ratio), upper.max(ratio)) } else { interval };
    let open = open::caveats(fit, target, ratio, interval, cost, options.tolerance);
    caveats.extend(open.into_iter().map(Caveat::from));
    crate::caveat::sort(&mut caveats);
    let tokens = target.setting.tokens_per_step.or_else(|| ready.batch());
    Ok(Recommendation {
        ratio,
        interval,
        plateau: (first, last),
        tolerance: options.tolerance,
        loss: Estimate { value: best, lower: best * (-half).exp(), upper: best * half.exp() },
        start_step,
        anneal_steps: total - start_step,
        tokens: tokens.map(|b| b.0.saturating_mul(total)),
        curve,
        rules,
        level,
        caveats,
    })
}

/// The rules of thumb that fit into the target's horizon: name, words, schedule.
fn rules(target: &Target) -> Vec<(String, String, Schedule)> {
    let total = target.total.0;
    let room = Steps(total - target.warmup.0);
    let mut out = Vec::new();
    for percent in [10_u64, 20, 40] {
        if let Ok(schedule) = target.schedule(Steps(total * percent / 100)) {
            out.push((
                format!("{percent}%"),
                format!("{} over the last {percent} %", target.shape),
                schedule,
            ));
        }
    }
    let mut whole = |name: &str, words: &str, shape, final_lr| {
        let target = Target { shape, final_lr, ..target.clone() };
        if let Ok(schedule) = target.schedule(room) {
            out.push((name.to_owned(), words.to_owned(), schedule));
        }
    };
    whole("cosine", "cosine over the whole run to the final rate", Shape::Cosine, target.final_lr);
    whole(
        "cosine-to-10%",
        "cosine over the whole run to a tenth of the peak",
        Shape::Cosine,
        0.1 * target.peak_lr,
    );
    whole("linear-to-zero", "linear over the whole run to zero", Shape::Linear, 0.0);
    out
}

/// The best power β of the shape (1 − x)^β together with its ratio.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct BestShape {
    /// β of the shape (1 − x)^β; 1 is linear.
    pub beta: f64,
    /// The ratio that goes with it.
    pub ratio: f64,
    /// Predicted loss, nats per token.
    pub loss: f64,
    /// Loss below the best with the target's own shape, nats.
    pub gain: f64,
    /// Standard deviation of the gain over the refits, nats.
    pub gain_sd: f64,
}

/// Optimises the power β of the shape along with the ratio, over β from ½ to 4.
///
/// # Errors
/// As [`recommend_ratio`].
pub fn optimise_shape(
    fit: &Fit,
    target: &Target,
    options: &RecommendOptions,
    recommended: &Recommendation,
) -> Result<BestShape, RecommendError> {
    let ready = Ready::new(fit, target.setting.params)?;
    let betas: Vec<f64> = (0..=18).map(|i| 0.5 * 8.0_f64.powf(f64::from(i) / 18.0)).collect();
    let coarse = RecommendOptions { grid: 41, ..options.clone() };
    let lean = Fit {
        uncertainty: crate::fit::Uncertainty { refits: Vec::new(), ..fit.uncertainty.clone() },
        ..fit.clone()
    };
    let mut best: Option<(f64, Recommendation)> = None;
    for beta in betas {
        let shaped = Target { shape: Shape::Power(beta), ..target.clone() };
        let found = recommend_ratio(&lean, &shaped, &coarse)?;
        if best.as_ref().is_none_or(|(_, b)| found.loss.value < b.loss.value) {
            best = Some((beta, found));
        }
    }
    let Some((beta, found)) = best else {
        return Err(RecommendError::EmptyRange { lower: options.range.0, upper: options.range.1 });
    };
    let shaped = Target { shape: Shape::Power(beta), ..target.clone() };
    let pair =
        [target.schedule(Steps(recommended.anneal_steps))?, shaped.schedule(Steps(found.anneal_steps))?];
    let table = Table::new(&ready, target, &pair);
    let sd = spread_of(
        fit,
        fit.uncertainty.refits.iter().map(|refit| {
            let losses = table.losses(&ready, &refit.theta);
            losses[0] - losses[1]
        }),
    );
    Ok(BestShape {
        beta,
        ratio: found.ratio,
        loss: found.loss.value,
        gain: recommended.loss.value - found.loss.value,
        gain_sd: sd.min(10.0),
    })
}
