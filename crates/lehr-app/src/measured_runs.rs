//! Measured runs beside a recommendation: which of them are runs of the target, what the law says of each, and why the others
//! are left out.

use crate::recommend::MeasuredRegret;
use lehr::fit::Fit;
use lehr::forecast::{Setting, forecast};
use lehr::measured::measured_optima;
use lehr::recommend::{Recommendation, Target};
use lehr::schedule::{Schedule, Wsd};
use lehr::{Curve, Shape};
use lehr_io::Note;
use serde::Serialize;

/// A measured run of the target, beside what the law forecasts for it.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct MeasuredRun {
    /// Name of the run.
    pub run: String,
    /// Its annealing ratio; `None` where its rate falls from the end of the warm-up to the end.
    pub ratio: Option<f64>,
    /// Whether shape and final rate are the target's, so that it belongs on the curve of loss against ratio.
    pub on_curve: bool,
    /// Its schedule, as text.
    pub schedule: String,
    /// Update of its last loss.
    pub update: u64,
    /// Its last loss, nats per token: the final one that its source states apart, if it does.
    pub loss: f64,
    /// Forecast loss at that update, nats per token.
    pub forecast: f64,
    /// Measured less forecast, nats per token.
    pub difference: f64,
}

/// Measured runs beside a recommendation.
#[derive(Debug, Clone, Default)]
pub struct MeasuredRuns {
    /// The runs of the target, those with a ratio first, ascending.
    pub runs: Vec<MeasuredRun>,
    /// The optimum that they measure by themselves, where they have four ratios.
    pub optima: Vec<MeasuredRegret>,
    /// A note for every run that is left out, and one where no optimum can be measured.
    pub notes: Vec<Note>,
}

/// A run whose last loss is before this share of its horizon has not ended.
const ENDED: f64 = 0.95;
/// Sizes and batches this near to each other are the same, written with fewer digits.
const SAME: f64 = 0.01;

fn near(a: f64, b: f64, tolerance: f64) -> bool {
    (a / b - 1.0).abs() <= tolerance
}

/// Why a run is no run of the target: another peak rate, horizon, size or batch. What a run does not state does not differ.
fn elsewhere(curve: &Curve, wsd: &Wsd, target: &Target) -> Option<String> {
    let meta = curve.meta();
    if !near(wsd.peak_lr, target.peak_lr, 1e-3) {
        return Some(format!("its peak rate is {:e}, not {:e}", wsd.peak_lr, target.peak_lr));
    }
    if wsd.total != target.total {
        return Some(format!("its horizon is {} updates, not {}", wsd.total, target.total));
    }
    if let (Some(own), Some(wanted)) = (meta.law_params(), target.setting.params)
        && !near(own.0 as f64, wanted.0 as f64, SAME)
    {
        return Some(format!("its N is {:.4e}, not {:.4e}", own.0 as f64, wanted.0 as f64));
    }
    if let (Some(own), Some(wanted)) = (meta.tokens_per_step, target.setting.tokens_per_step)
        && !near(own.0 as f64, wanted.0 as f64, SAME)
    {
        return Some(format!("its batch is {} tokens, not {}", own.0, wanted.0));
    }
    None
}

/// The update and the loss that a run ended with.
fn ending(curve: &Curve, total: u64) -> Result<(u64, f64), String> {
    if let Some(loss) = curve.meta().final_loss {
        return Ok((total, loss));
    }
    let (update, loss) = curve.last();
    if (update as f64) < ENDED * total as f64 {
        return Err(format!("its last loss is at update {update} of {total}: it has not ended"));
    }
    Ok((update, loss))
}

/// Whether the rate falls from the end of the warm-up to the end of the run.
fn whole_run(wsd: &Wsd) -> bool {
    wsd.anneal.0 + wsd.warmup.0 >= wsd.total.0
}

/// What one run says beside the target, or why it says nothing.
fn one(fit: &Fit, target: &Target, curve: &Curve) -> Result<MeasuredRun, Note> {
    let id = &curve.meta().id;
    let other =
        |reason: String| Note::new("measured-other-target", id, format!("not beside the target: {reason}"));
    let unusable =
        |reason: String| Note::new("measured-unusable", id, format!("not beside the target: {reason}"));
    let Schedule::Wsd(wsd) = curve.schedule() else {
        return Err(unusable("its schedule is neither warm-up–stable–decay nor a cosine".to_owned()));
    };
    if let Some(reason) = elsewhere(curve, wsd, target) {
        return Err(other(reason));
    }
    if wsd.anneal.0 == 0 {
        return Err(unusable("it is not annealed".to_owned()));
    }
    let (update, loss) = ending(curve, wsd.total.0).map_err(unusable)?;
    let setting = Setting {
        params: curve.meta().law_params().or(target.setting.params),
        tokens_per_step: curve.meta().tokens_per_step.or(target.setting.tokens_per_step),
        arch: target.setting.arch,
    };
    let found = forecast(fit, curve.schedule(), &setting, &[update])
        .or_else(|_| forecast(fit, curve.schedule(), &target.setting, &[update]))
        .map_err(|error| unusable(format!("the law does not forecast it: {error}")))?;
    let forecast = found.loss[0];
    Ok(MeasuredRun {
        run: id.clone(),
        ratio: (!whole_run(wsd)).then(|| wsd.ratio()),
        on_curve: wsd.shape == target.shape
            && (wsd.final_lr - target.final_lr).abs() <= 1e-3 * target.peak_lr,
        schedule: curve.schedule().to_string(),
        update,
        loss,
        forecast,
        difference: loss - forecast,
    })
}

impl MeasuredRun {
    /// Where the run is drawn on the axis of ratios: a rate that falls over the whole run at the right end.
    #[must_use]
    pub fn place(&self) -> f64 {
        self.ratio.unwrap_or(1.0)
    }
}

/// What to say where the runs lie apart from the forecast as a whole: so does a loss of another evaluation set.
fn apart(runs: &[MeasuredRun], found: &Recommendation) -> Option<Note> {
    let lowest = runs.iter().map(|run| run.loss).min_by(f64::total_cmp)?;
    if (found.loss.lower..=found.loss.upper).contains(&lowest) {
        return None;
    }
    let mut differences: Vec<f64> = runs.iter().map(|run| run.difference).collect();
    differences.sort_by(f64::total_cmp);
    let middle = differences[differences.len() / 2];
    Some(Note::new(
        "measured-level",
        "measured runs",
        format!(
            "their losses lie {:+.1} mnat off the forecast (median), outside its interval: probably of another evaluation set; compare them with each other",
            1e3 * middle
        ),
    ))
}

/// Measured runs beside a recommendation for a target.
#[must_use]
pub fn beside(fit: &Fit, target: &Target, found: &Recommendation, curves: &[Curve]) -> MeasuredRuns {
    let mut out = MeasuredRuns::default();
    for curve in curves {
        match one(fit, target, curve) {
            Ok(run) => out.runs.push(run),
            Err(note) => out.notes.push(note),
        }
    }
    out.runs.sort_by(|a, b| a.place().total_cmp(&b.place()).then_with(|| a.run.cmp(&b.run)));
    out.notes.extend(apart(&out.runs, found));
    out.optima = measured_optima(curves)
        .into_iter()
        .filter(|m| near(m.peak_lr, target.peak_lr, 1e-3) && m.total == target.total.0)
        .map(|m| MeasuredRegret { regret: m.regret(found.ratio), measured: m })
        .collect();
    if out.optima.is_empty() {
        let mut ratios: Vec<f64> =
            out.runs.iter().filter(|run| run.on_curve).filter_map(|run| run.ratio).collect();
        ratios.dedup_by(|a, b| (*a - *b).abs() < 1e-6);
        out.notes.push(Note::new(
            "no-measured-optimum",
            "measured runs",
            format!(
                "no optimum is measured: it takes four ratios of one peak rate, horizon and shape whose last loss is at the end, and there {} {}",
                if ratios.len() == 1 { "is" } else { "are" },
                ratios.len()
            ),
        ));
    }
    out
}

/// What a schedule that falls over the whole run is called in a picture.
#[must_use]
pub fn name(schedule: &str) -> &'static str {
    match schedule.parse::<Schedule>() {
        Ok(Schedule::Wsd(wsd)) if wsd.shape == Shape::Cosine && wsd.final_lr == 0.0 => "cosine",
        Ok(Schedule::Wsd(wsd)) if wsd.shape == Shape::Cosine => "cosine to a floor",
        Ok(Schedule::Wsd(wsd)) if wsd.shape == Shape::Linear => "linear, whole run",
        _ => "whole run",
    }
}
