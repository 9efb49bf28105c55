//! A job that is running: where it stands against a fit, its forecast corrected by what it shows, and when to anneal.
//!
//! ```text
//! Fit ─┐
//!      ├─▶ Live ─▶ Standing (does the law know this job?)
//! Curve┘      ├──▶ forecast (corrected by the job's offset)
//!             └──▶ starts, anneal table, longer budgets
//! ```

mod alarm;
mod offset;
mod starts;

pub use alarm::{BandTest, FALSE_ALARMS, NoImprovement, no_improvement};
pub use offset::{Carry, Offset, PARTS, Pair, parts_of};
pub use starts::{AnnealRow, Ending, LongerBudget, StartLoss, StartOptions, Starts};

use crate::caveat::{Caveat, CaveatKind};
use crate::curve::Curve;
use crate::fit::{Fit, dataset, evaluate_along};
use crate::forecast::{Estimate, Forecast, ForecastError, Reach, Ready, Setting, forecast};
use crate::quantile::student;
use crate::schedule::{Rates, Schedule, ScheduleError, Shape};
use crate::units::Steps;
use serde::{Deserialize, Serialize};

/// A rate below this share of the largest one so far: the job has begun to anneal.
const AT_PEAK: f64 = 0.98;

/// Why there is no answer about a running job.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum LiveError {
    /// The fit cannot forecast.
    #[error(transparent)]
    Forecast(#[from] ForecastError),
    /// What is to follow makes no schedule.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
    /// A fit of final losses does not see the schedule.
    #[error(
        "the {0} law predicts final losses from N and the horizon alone: it says nothing about a job in its middle"
    )]
    BlindLaw(String),
    /// The job has no point yet that a law can be held against.
    #[error(
        "job '{id}' has reached update {last}; the law can be held against it from update {first} on, after its warm-up"
    )]
    TooEarly {
        /// The job.
        id: String,
        /// Its last update.
        last: u64,
        /// The first update that counts.
        first: u64,
    },
    /// The horizon is already spent.
    #[error("job '{id}' has reached update {last}: a horizon of {total} updates leaves nothing to decide")]
    Spent {
        /// The job.
        id: String,
        /// Its last update.
        last: u64,
        /// The horizon.
        total: u64,
    },
    /// Annealing would begin before the last update or end after the horizon.
    #[error(
        "annealing from update {start} is not possible: job '{id}' has reached update {last} and the horizon is {total}"
    )]
    Start {
        /// The job.
        id: String,
        /// The start asked for.
        start: u64,
        /// The job's last update.
        last: u64,
        /// The horizon.
        total: u64,
    },
}

/// Where a job stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Standing {
    /// Name of the job.
    pub id: String,
    /// Its last measured update u.
    pub update: u64,
    /// The rate that update u used.
    pub lr: f64,
    /// Its largest rate so far.
    pub peak_lr: f64,
    /// Whether the rate has left its peak.
    pub annealing: bool,
    /// First update of the window over which the offset is the mean.
    pub window_from: u64,
    /// Points in the window.
    pub points: usize,
    /// Mean measured loss in the window, nats per token.
    pub measured: f64,
    /// Mean loss by the law at the same updates, nats per token.
    pub law: f64,
    /// `measured` − `law`, nats per token.
    pub residual: f64,
    /// Half-width of the law's interval at u, nats per token.
    pub half_width: f64,
    /// Whether the residual lies inside the interval: whether the law knows this job.
    pub inside: bool,
    /// The offset and what of it is expected to last.
    pub offset: Offset,
    /// Whether the fit was made with this job among its runs: its residual is then no evidence.
    pub fitted: bool,
}

/// A forecast of a running job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LiveForecast {
    /// The corrected forecast.
    pub forecast: Forecast,
    /// The law alone at the last update asked for.
    pub law: Estimate,
    /// How much of the offset is carried to the last update.
    pub carry: Carry,
}

/// A fit held against a running job.
#[derive(Debug)]
pub struct Live<'a> {
    fit: &'a Fit,
    ready: Ready<'a>,
    curve: &'a Curve,
    setting: Setting,
    standing: Standing,
    along: Vec<Pair>,
    /// Relative half-width of the law's interval at u.
    half_width: f64,
    /// By how much the job lies outside the data: the prior spread of its offset over that of a run inside.
    outside: f64,
}

impl<'a> Live<'a> {
    /// Holds a fit against the points that a job has so far.
    ///
    /// `setting` states N, batch and architecture where the curve does not. The curve's schedule is trusted up to its last
    /// point only.
    ///
    /// # Formula
    /// o = mean over the last 30 % of the updates done of ln L − ln L̂: the job's offset. Inside: |o| ≤ h(u), the half-width
    /// of the forecast's interval at u.
    ///
    /// # Errors
    /// [`LiveError`], one variant a reason.
    pub fn new(fit: &'a Fit, curve: &'a Curve, setting: &Setting) -> Result<Self, LiveError> {
        let meta = curve.meta();
        let setting = Setting {
            params: setting.params.or(meta.law_params()),
            tokens_per_step: setting.tokens_per_step.or(meta.tokens_per_step),
            arch: setting.arch,
        };
        let ready = Ready::new(fit, setting.params)?;
        if ready.law.final_only() {
            return Err(LiveError::BlindLaw(fit.law.clone()));
        }
        let (update, _) = curve.last();
        if let Some(first) = dataset::without_points(curve, &fit.options) {
            return Err(LiveError::TooEarly { id: meta.id.clone(), last: update, first });
        }
        let stated = crate::RunMeta {
            params: ready.params,
            active_params: None,
            tokens_per_step: setting.tokens_per_step.or_else(|| ready.batch()),
            ..meta.clone()
        };
        let judged = curve.clone().with_meta(stated);
        let along = evaluate_along(ready.law, &ready.theta, &judged, &fit.definition, &fit.options);
        let (offset, window) = offset::of_job(fit, &along, update);
        if let Some((t, _, predicted)) = window.iter().find(|(_, _, p)| !(p.is_finite() && *p > 0.0)) {
            return Err(ForecastError::NotFinite { value: *predicted, update: *t }.into());
        }
        let n = window.len() as f64;
        let measured = window.iter().map(|(_, loss, _)| loss).sum::<f64>() / n;
        let law = window.iter().map(|(.., predicted)| predicted).sum::<f64>() / n;
        let past = curve.schedule().truncate(Steps(update))?;
        let here = forecast(fit, &past, &setting, &[update])?.bounded()?;
        let half_width = (here.r#final.upper / here.r#final.value).ln();
        let peak_lr = Rates::new(&past).peak();
        let lr = past.lr(update);
        let score = fit.uncertainty.half_width(fit.options.level).clamp(1e-6, 1.0);
        let outside = Reach::new(&ready, &past, &setting).half_width(score) / score;
        let standing = Standing {
            id: meta.id.clone(),
            update,
            lr,
            peak_lr,
            annealing: lr < AT_PEAK * peak_lr,
            window_from: window.first().map_or(update, |(t, ..)| *t),
            points: window.len(),
            measured,
            law,
            residual: measured - law,
            half_width: half_width * law,
            inside: offset.value.abs() <= half_width,
            offset,
            fitted: fit.runs.iter().any(|run| run.id == meta.id),
        };
        Ok(Self { fit, ready, curve, setting, standing, along, half_width, outside })
    }

    /// Where the job stands.
    #[must_use]
    pub fn standing(&self) -> &Standing {
        &self.standing
    }

    /// What the job is, besides its schedule.
    #[must_use]
    pub fn setting(&self) -> &Setting {
        &self.setting
    }

    /// The job as it was, then its present rate held, then `anneal` updates down to `final_lr`, `total` updates in all.
    ///
    /// # Errors
    /// [`LiveError::Spent`], [`LiveError::Start`], [`LiveError::Schedule`].
    pub fn continued(
        &self,
        total: u64,
        anneal: u64,
        shape: Shape,
        final_lr: f64,
    ) -> Result<Schedule, LiveError> {
        let id = || self.standing.id.clone();
        let last = self.standing.update;
        if total <= last {
            return Err(LiveError::Spent { id: id(), last, total });
        }
        let Some(start) = total.checked_sub(anneal).filter(|start| *start >= last) else {
            return Err(LiveError::Start { id: id(), start: total.saturating_sub(anneal), last, total });
        };
        let mut schedule = self.curve.schedule().truncate(Steps(last))?;
        if start > last {
            schedule = schedule.extend(Steps(start - last))?;
        }
        if anneal > 0 {
            schedule = schedule.anneal_from(Steps(start), Steps(anneal), shape, final_lr)?;
        }
        Ok(schedule)
    }

    /// How much of the job's offset is expected at update `t`, under a plan that anneals or does not.
    ///
    /// # Formula
    /// [`Carry`]
    #[must_use]
    pub fn carry(&self, t: u64, anneals: bool) -> Carry {
        let fraction = (self.standing.update as f64 / t.max(1) as f64).min(1.0);
        offset::carry(self.fit, fraction, anneals, self.standing.offset.sd, self.outside)
    }

    /// Forecasts the job under `schedule` (which agrees with what the job did up to u), corrected by its offset.
    ///
    /// # Formula
    /// ```text
    /// ln L(t) = ln L̂(t) + k·o
    /// h_c(t) = √(h(t)² − (1 − ρ²)·min(h(u), h(t))² + (t_q·k·s)²)
    /// ```
    /// o the offset with standard error s, k and ρ as in [`Carry`], h the half-width of the law's own interval, t_q Student's quantile.
    ///
    /// # Errors
    /// [`LiveError::Forecast`].
    pub fn forecast(&self, schedule: &Schedule, points: &[u64]) -> Result<LiveForecast, LiveError> {
        let mut found = forecast(self.fit, schedule, &self.setting, points)?.bounded()?;
        let law = found.r#final;
        let anneals = schedule.lr(schedule.total().0) < AT_PEAK * schedule.peak_lr();
        let mut carry = Carry::default();
        for (i, &t) in points.iter().enumerate() {
            let half = (found.upper[i] / found.loss[i]).ln();
            carry = self.carry(t, anneals);
            let (loss, half) = self.corrected(found.loss[i], half, &carry);
            found.loss[i] = loss;
            found.lower[i] = loss * (-half).exp();
            found.upper[i] = loss * half.exp();
        }
        let last = points.len() - 1;
        found.r#final =
            Estimate { value: found.loss[last], lower: found.lower[last], upper: found.upper[last] };
        found.caveats.extend(self.caveats());
        Ok(LiveForecast { forecast: found, law, carry })
    }

    /// A loss and its relative half-width, corrected.
    fn corrected(&self, loss: f64, half: f64, carry: &Carry) -> (f64, f64) {
        let offset = &self.standing.offset;
        let quantile = student(self.fit.options.level, (self.standing.points as f64 - 1.0).max(3.0));
        let known = half.min(self.half_width);
        let explained = (1.0 - carry.left * carry.left) * known * known;
        let own = (quantile * carry.share * offset.sd).powi(2);
        (loss * (carry.share * offset.value).exp(), (half * half - explained + own).max(0.0).sqrt())
    }

    /// What to know about this job before using its forecast.
    #[must_use]
    pub fn caveats(&self) -> Vec<Caveat> {
        let standing = &self.standing;
        let mut out = Vec::new();
        if !standing.inside {
            out.push(CaveatKind::JobUnknown {
                off: standing.residual,
                times: standing.offset.value.abs() / self.half_width,
            });
        }
        if standing.fitted {
            out.push(CaveatKind::JobInFit { run: standing.id.clone() });
        }
        if standing.annealing {
            out.push(CaveatKind::JobAnneals { lr: standing.lr, peak_lr: standing.peak_lr });
        }
        out.into_iter().map(Caveat::from).collect()
    }
}
