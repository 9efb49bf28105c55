//! Answers → pictures: fills the report crate's pictures.

use crate::measured_runs::{self, MeasuredRun};
use lehr::fit::Fit;
use lehr::fit::dataset::prepare;
use lehr::forecast::Forecast;
use lehr::recommend::{Recommendation, Target};
use lehr::transfer::{Optimum, PowerLaw, Variable};
use lehr::validate::Contender;
use lehr::{Curve, Law, Schedule};
use lehr_report::{
    ComparisonEntry, ComparisonPicture, FitPicture, FitView, ForecastPicture, Horizontal, MeasuredLoss,
    Phase, RecommendationPicture, Rival, Rule, RunFit, TickFormat, TransferPanel, TransferPicture, power, si,
};

/// Any picture.
pub type Picture = Box<dyn lehr_report::Picture + Send + Sync>;

/// A picture and the height that it wants, where it wants another than the usual one.
pub struct Drawing {
    /// The picture.
    pub picture: Picture,
    /// Height in points.
    pub height: Option<f64>,
}

impl From<Picture> for Drawing {
    fn from(picture: Picture) -> Self {
        Self { picture, height: None }
    }
}

impl std::fmt::Debug for Drawing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Drawing").field("height", &self.height).finish_non_exhaustive()
    }
}

fn fitted_on(fit: &Fit) -> String {
    format!("{} law fitted on {} runs", fit.law, fit.runs.len())
}

/// The forecast with its schedule.
#[must_use]
pub fn forecast(fit: &Fit, schedule: &Schedule, forecast: &Forecast, measured: &[Curve]) -> Picture {
    forecast_beside(fit, schedule, forecast, measured, &[])
}

/// Updates at which a schedule is drawn: evenly spread, and every corner, since warm-up and start of annealing lie between.
fn corners(schedule: &Schedule) -> Vec<u64> {
    let total = schedule.total().0;
    let mut rate_at = lehr::forecast::default_points(total, 600);
    rate_at.push(1);
    let mut corner = 0;
    for segment in schedule.segments().into_iter().flatten() {
        corner += segment.updates.0;
        rate_at.extend([corner, (corner + 1).min(total)]);
    }
    rate_at.sort_unstable();
    rate_at.dedup();
    rate_at
}

/// The forecast with its schedule, and those of other schedules beside it.
#[must_use]
pub fn forecast_beside(
    fit: &Fit,
    schedule: &Schedule,
    forecast: &Forecast,
    measured: &[Curve],
    others: &[(&Schedule, &Forecast)],
) -> Picture {
    let f = &forecast.r#final;
    let total = schedule.total().0;
    let rate_at = corners(schedule);
    let rivals = others.iter().enumerate().map(|(i, (other, forecast))| Rival {
        name: format!("pin {}", i + 1),
        x: forecast.update.iter().map(|&t| t as f64).collect(),
        loss: forecast.loss.clone(),
        rate: forecast.update.iter().map(|&t| other.lr(t)).collect(),
    });
    let rivals = rivals.collect();
    let phases = match schedule {
        Schedule::Wsd(wsd) => {
            let start = wsd.anneal_start().0;
            [
                ("warm-up", 0, wsd.warmup.0, false),
                ("stable", wsd.warmup.0, start, false),
                ("annealing", start, total, true),
            ]
            .into_iter()
            .filter(|(_, from, to, _)| to > from)
            .map(|(name, from, to, marked)| Phase {
                name: name.to_owned(),
                from: from as f64,
                to: to as f64,
                marked,
            })
            .collect()
        }
        _ => Vec::new(),
    };
    let measured = measured
        .iter()
        .map(|curve| {
            let every = curve.step().len().div_ceil(120);
            let kept = (0..curve.step().len()).filter(|i| i % every == 0);
            let (x, loss) = kept.map(|i| (curve.step()[i] as f64, curve.loss()[i])).unzip();
            Rival { name: curve.meta().id.clone(), x, loss, rate: Vec::new() }
        })
        .collect();
    Box::new(ForecastPicture {
        title: format!(
            "Forecast loss {:.4} at update {}",
            f.value,
            forecast.update[forecast.update.len() - 1]
        ),
        subtitle: Some(format!("{schedule}")),
        caption: Some(format!(
            "{}; {:.0} % interval from refits with runs left out",
            fitted_on(fit),
            forecast.level.get() * 100.0
        )),
        horizontal: Horizontal::Updates,
        log_x: false,
        loss_range: None,
        x: forecast.update.iter().map(|&t| t as f64).collect(),
        loss: forecast.loss.clone(),
        lower: forecast.lower.clone(),
        upper: forecast.upper.clone(),
        coverage: forecast.level.get(),
        rate: rate_at.iter().map(|&t| schedule.lr(t)).collect(),
        rate_x: rate_at.iter().map(|&t| t as f64).collect(),
        phases,
        measured,
        rivals,
    })
}

/// By how much measured losses are moved to be drawn beside a forecast: not at all where their lowest lies within its interval; else
/// so that the lowest meet, because they come from another evaluation set. In nats per token.
fn moved_by(lowest: f64, found: &Recommendation) -> Option<f64> {
    let inside = (found.loss.lower..=found.loss.upper).contains(&lowest);
    (!inside).then_some(found.loss.value - lowest)
}

/// Loss against the annealing ratio.
#[must_use]
pub fn recommendation(
    fit: &Fit,
    target: &Target,
    found: &Recommendation,
    measured: &[MeasuredRun],
) -> Picture {
    recommendation_at(fit, target, found, measured, None)
}

/// The same with a ratio that somebody looks at, and its loss.
#[must_use]
pub fn recommendation_at(
    fit: &Fit,
    target: &Target,
    found: &Recommendation,
    measured: &[MeasuredRun],
    chosen: Option<(f64, f64)>,
) -> Picture {
    let band = found.band();
    let lowest = measured.iter().map(|run| run.loss).min_by(f64::total_cmp);
    let by = lowest.and_then(|lowest| moved_by(lowest, found)).unwrap_or_default();
    let moved = match by {
        0.0 => String::new(),
        by => format!(
            "; measured runs moved by {:+.1} mnat, as their lowest loss lies outside the forecast's interval",
            1e3 * by
        ),
    };
    let measured = measured
        .iter()
        .filter(|run| run.on_curve || run.ratio.is_none())
        .map(|run| MeasuredLoss {
            name: match run.ratio {
                Some(_) => "measured".to_owned(),
                None => format!("{}, measured", measured_runs::name(&run.schedule)),
            },
            ratio: run.place(),
            loss: run.loss + by,
        })
        .collect();
    let rules = found
        .rules
        .iter()
        .map(|(name, rule)| Rule {
            name: name.clone(),
            ratio: rule.ratio,
            loss: rule.loss,
            regret_mnat: rule.regret * 1e3,
        })
        .collect();
    Box::new(RecommendationPicture {
        title: format!("Anneal over the last {:.0} % of the run", found.ratio * 100.0),
        subtitle: Some(format!(
            "peak rate {}, {} updates, {} annealing to {}",
            target.peak_lr, target.total, target.shape, target.final_lr
        )),
        caption: Some(format!(
            "{}; band: {:.0} % interval of the difference to the recommended ratio{}",
            fitted_on(fit),
            found.level.get() * 100.0,
            moved
        )),
        ratio: found.curve.iter().map(|p| p.ratio).collect(),
        loss: found.curve.iter().map(|p| p.loss).collect(),
        lower: band.iter().map(|b| b.0).collect(),
        upper: band.iter().map(|b| b.1).collect(),
        coverage: found.level.get(),
        best_ratio: found.ratio,
        best_loss: found.loss.value,
        ratio_interval: Some(found.interval),
        plateau: Some(found.plateau),
        tolerance_mnat: found.tolerance * 1e3,
        rules,
        measured,
        chosen,
    })
}

/// Held-out errors of laws, with the interval of each difference to the best.
#[must_use]
pub fn comparison(entries: &[(String, Contender)]) -> Drawing {
    let entries: Vec<ComparisonEntry> = entries
        .iter()
        .filter_map(|(name, c)| {
            let (error, interval) = c.error(lehr::Level::USUAL)?;
            let free = c.validation.as_ref().ok()?.n_coefficients;
            Some(ComparisonEntry {
                name: name.clone(),
                value: error * 100.0,
                interval: interval.map(|(lower, upper)| (lower * 100.0, upper * 100.0)),
                note: Some(format!("{free} coefficients")),
            })
        })
        .collect();
    let picture = ComparisonPicture {
        title: "Error on runs that the fits did not see".to_owned(),
        subtitle: None,
        caption: Some("intervals: 90 %, of the difference to the best law, paired over runs".to_owned()),
        metric: "held-out MAPE (%)".to_owned(),
        coverage: 0.9,
        entries,
    };
    Drawing { height: Some(picture.natural_height()), picture: Box::new(picture) }
}

/// Each run's losses with the law's, the longest first; `of` is how many runs there are in all.
#[must_use]
pub fn curves(fit: &Fit, law: &dyn Law, curves: &[Curve], of: usize) -> Drawing {
    let mut runs = fitted(fit, law, curves);
    runs.sort_by(|a, b| b.x.last().unwrap_or(&0.0).total_cmp(a.x.last().unwrap_or(&0.0)));
    let shown = if curves.len() < of {
        format!("{} of {of} runs, evenly chosen", curves.len())
    } else {
        format!("all {of} runs")
    };
    let picture = FitPicture {
        title: format!("The runs and the {} law", fit.law),
        subtitle: Some(format!("{shown}; points: measured, line: law")),
        caption: None,
        view: FitView::Curves,
        runs,
    };
    Drawing { height: Some(picture.natural_height()), picture: Box::new(picture) }
}

/// Each run with the law's values at its points.
fn fitted(fit: &Fit, law: &dyn Law, curves: &[Curve]) -> Vec<RunFit> {
    let theta: Vec<f64> = fit.coefficients.iter().map(|c| c.value).collect();
    curves
        .iter()
        .map(|curve| {
            let run = prepare(law, curve, &fit.definition, &fit.options, false);
            let mut loss = vec![0.0; run.features.points()];
            law.predict(&theta, &run.features, &mut loss);
            let mut fitted = Vec::new();
            run.observe(&loss, &mut fitted);
            let x = run.step.iter().map(|&t| t as f64).collect();
            RunFit { name: curve.meta().id.clone(), x, measured: run.loss, fitted }
        })
        .collect()
}

/// What the law misses of each run, the worst first.
#[must_use]
pub fn residuals(fit: &Fit, law: &dyn Law, curves: &[Curve]) -> Drawing {
    worst_residuals(fit, law, curves, usize::MAX)
}

/// The same of so many runs at most: the worst.
#[must_use]
pub fn worst_residuals(fit: &Fit, law: &dyn Law, curves: &[Curve], most: usize) -> Drawing {
    let mut runs = fitted(fit, law, curves);
    runs.sort_by(|a, b| b.rmse_mnat().total_cmp(&a.rmse_mnat()));
    let shown =
        if runs.len() > most { format!("; the worst {most} of {}", runs.len()) } else { String::new() };
    runs.truncate(most);
    let picture = FitPicture {
        title: format!("What the {} law misses of each run", fit.law),
        subtitle: Some(format!("measured minus law after the warm-up, the worst run first{shown}")),
        caption: None,
        view: FitView::Residuals,
        runs,
    };
    Drawing { height: Some(picture.natural_height()), picture: Box::new(picture) }
}

/// Optimal ratios against peak rate and horizon.
#[must_use]
pub fn transfer(sources: &[(&str, &[Optimum], &[Result<PowerLaw, String>])]) -> Picture {
    let mut panels = Vec::new();
    for (axis, variable, format) in [
        ("peak learning rate", Variable::PeakLr, TickFormat::Power),
        ("horizon (updates)", Variable::Horizon, TickFormat::Si),
    ] {
        let position = |o: &Optimum| if variable == Variable::PeakLr { o.peak_lr } else { o.total };
        let Some((_, optima, laws)) = sources.first() else { continue };
        let law = laws.iter().flatten().find(|law| law.variables == [variable]);
        let (low, high) =
            optima.iter().map(position).fold((f64::INFINITY, 0.0_f64), |(l, h), x| (l.min(x), h.max(x)));
        let x: Vec<f64> = if law.is_some() {
            (0..=40).map(|i| low * (high / low).powf(f64::from(i) / 40.0)).collect()
        } else {
            Vec::new()
        };
        let predicted = law.and_then(|law| law.along(variable, &x, lehr::Level::USUAL)).unwrap_or_default();
        panels.push(TransferPanel {
            axis: axis.to_owned(),
            format,
            optima: sources
                .iter()
                .flat_map(|(name, optima, _)| {
                    optima.iter().map(|o| lehr_report::Optimum {
                        group: if sources.len() > 1 {
                            (*name).to_owned()
                        } else if variable == Variable::PeakLr {
                            format!("{} updates", si(o.total, 3))
                        } else {
                            format!("peak {}", power(o.peak_lr, 2))
                        },
                        x: position(o),
                        ratio: o.ratio,
                        limit: o.limit.is_some(),
                        interval: o.interval(lehr::Level::USUAL),
                    })
                })
                .collect(),
            ratio: predicted.iter().map(|p| p.0).collect(),
            lower: predicted.iter().map(|p| p.1.0).collect(),
            upper: predicted.iter().map(|p| p.1.1).collect(),
            law: law.map_or_else(String::new, |law| {
                let unit = variable.term();
                format!("R = {:.2}·{unit}^{:.2}", law.lambda, law.exponents[0].value)
            }),
            x,
            target: None,
        });
    }
    Box::new(TransferPicture {
        title: "The optimal annealing ratio against peak rate and horizon".to_owned(),
        subtitle: None,
        caption: sources.iter().flat_map(|(_, optima, _)| *optima).any(|o| o.limit.is_some()).then(|| {
            "pale: the smallest or largest ratio measured; the optimum lies there or beyond".to_owned()
        }),
        coverage: 0.9,
        panels,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use lehr::forecast::Estimate;

    #[test]
    fn measured_losses_are_moved_only_where_they_lie_outside_the_interval() {
        let found = |value: f64| Recommendation {
            ratio: 0.4,
            interval: (0.3, 0.5),
            plateau: (0.3, 0.5),
            tolerance: 2e-3,
            loss: Estimate { value, lower: value - 0.01, upper: value + 0.01 },
            start_step: 600,
            anneal_steps: 400,
            tokens: None,
            curve: Vec::new(),
            rules: std::collections::BTreeMap::new(),
            level: lehr::Level::USUAL,
            caveats: Vec::new(),
        };
        let by = |lowest: f64| moved_by(lowest, &found(3.0));
        assert_eq!(by(3.008), None);
        assert!((by(3.0317).unwrap() + 0.0317).abs() < 1e-12);
    }
}
