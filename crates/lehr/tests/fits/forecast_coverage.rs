//! Intervals hold what they promise on simulated data whose noise is not the one assumed.

use crate::support::{Noise, named, random, simulated, truth_of_short_runs, wsd};
use lehr::fit::{FitOptions, fit};
use lehr::forecast::{Axis, ForecastError, Setting, forecast};
use lehr::{Curve, Tokens};
use rayon::prelude::*;

#[test]
fn ninety_percent_intervals_hold_most_final_losses() {
    let law = named("noise-relaxation");
    let noise = Noise { point: 2e-4, run: 4e-4, wander: 4e-4 };
    let options = FitOptions { starts: 4, points_per_curve: Some(30), ..FitOptions::default() };
    let outcomes: Vec<(bool, f64)> = (0..40_u64)
        .into_par_iter()
        .map(|seed| {
            let mut rng = random(1000 + seed);
            let mut run = |id: &str, schedule| {
                simulated(law, &truth_of_short_runs(), id, schedule, 60, noise, &mut rng)
            };
            let curves: Vec<Curve> =
                [(5e-4, 0.0), (5e-4, 0.2), (5e-4, 0.5), (2e-3, 0.0), (2e-3, 0.2), (2e-3, 0.5)]
                    .iter()
                    .map(|&(peak, ratio)| run(&format!("{peak}-{ratio}"), wsd(peak, 4000, ratio)))
                    .collect();
            // Another ratio, another peak between the two, a longer horizon.
            let target = run("target", wsd(1e-3, 6000, 0.35));
            let fit = fit(law, &curves, &options).unwrap();
            let forecast =
                forecast(&fit, target.schedule(), &Setting::default(), &[target.last().0]).unwrap();
            let f = forecast.r#final;
            let measured = target.last().1;
            (measured >= f.lower && measured <= f.upper, (f.upper / f.value).ln())
        })
        .collect();
    let covered = outcomes.iter().filter(|(inside, _)| *inside).count() as f64 / outcomes.len() as f64;
    let width = outcomes.iter().map(|(_, width)| width).sum::<f64>() / outcomes.len() as f64;
    // 0.8 is two standard errors of 40 draws below 0.9.
    assert!((0.8..=1.0).contains(&covered), "nominal 0.9, covered {covered}");
    // An interval that is wide enough for everything says nothing: the noise of a last loss is 6·10⁻⁴.
    assert!(width > 4e-4 && width < 8e-3, "mean half-width {width}");
}

#[test]
fn intervals_widen_where_a_target_leaves_the_data() {
    let law = named("noise-relaxation");
    let curves = crate::support::runs(Noise { point: 2e-4, run: 4e-4, wander: 2e-4 }, 30);
    let fit = fit(law, &curves, &FitOptions { starts: 4, ..FitOptions::default() }).unwrap();
    let width = |peak: f64, total: u64| {
        let f = forecast(&fit, &wsd(peak, total, 0.2), &Setting::default(), &[total]).unwrap().r#final;
        (f.upper / f.lower).ln()
    };
    assert!(width(8e-3, 8000) > 1.5 * width(2e-3, 8000), "a peak four times beyond the data");
    assert!(width(1e-3, 400_000) > width(1e-3, 8000), "a horizon fifty times beyond the data");
}

#[test]
fn a_fit_that_contradicts_itself_is_refused() {
    let curves = crate::support::runs(Noise { point: 2e-4, run: 4e-4, wander: 0.0 }, 31);
    let good =
        fit(named("noise-relaxation"), &curves, &FitOptions { starts: 2, ..FitOptions::default() }).unwrap();
    let ask = |fit: &lehr::fit::Fit| forecast(fit, &wsd(1e-3, 4000, 0.2), &Setting::default(), &[4000]);
    assert!(ask(&good).is_ok());
    let mut renamed = good.clone();
    renamed.coefficients.swap(0, 1);
    assert!(matches!(ask(&renamed), Err(ForecastError::Inconsistent(_))));
    let mut shortened = good.clone();
    shortened.uncertainty.refits[0].theta.pop();
    assert!(matches!(ask(&shortened), Err(ForecastError::Inconsistent(_))));
    let mut empty = good.clone();
    empty.runs.clear();
    assert!(matches!(ask(&empty), Err(ForecastError::Inconsistent(_))));
    let mut negative = good.clone();
    negative.coefficients[1].value = -5.0;
    assert!(matches!(ask(&negative), Err(ForecastError::Inconsistent(_))));
    let mut huge = good.clone();
    huge.uncertainty.refits[0].theta[1] = 1e300;
    assert!(matches!(ask(&huge), Err(ForecastError::Inconsistent(_))));
    let mut infinite = good;
    infinite.coefficients[0].value = f64::INFINITY;
    assert!(matches!(ask(&infinite), Err(ForecastError::Inconsistent(_))));
}

#[test]
fn a_target_far_outside_widens_says_why_and_is_refused_beyond_the_limits() {
    let law = named("noise-relaxation");
    let curves = crate::support::runs(Noise { point: 2e-4, run: 4e-4, wander: 2e-4 }, 32);
    let fit = fit(law, &curves, &FitOptions { starts: 4, ..FitOptions::default() }).unwrap();
    let ask = |peak: f64, total: u64, batch: u64| {
        let setting = Setting { tokens_per_step: Some(Tokens(batch)), ..Setting::default() };
        forecast(&fit, &wsd(peak, total, 0.2), &setting, &[total]).unwrap()
    };
    let blocked =
        |f: &lehr::forecast::Forecast, code: &str| f.caveats.iter().any(|c| c.blocking() && c.code() == code);
    let inside = ask(1e-3, 8000, 100_000);
    assert!(
        inside.widened.is_empty() && inside.caveats.iter().all(|c| !c.blocking()),
        "{:?}",
        inside.caveats
    );
    let twice = ask(1e-3, 8000, 200_000);
    assert_eq!(twice.widened.iter().map(|w| w.axis).collect::<Vec<_>>(), [Axis::Batch]);
    let said = twice.caveats.iter().find(|c| c.code() == "interval-widened").unwrap();
    assert!(said.message().contains("because the batch is 2.0 × the largest fitted"), "{}", said.message());
    // 1.2 % a doubling, in quadrature with what there was.
    let half = |f: &lehr::forecast::Forecast| (f.r#final.upper / f.r#final.value).ln();
    assert!((half(&twice) - half(&inside).hypot(0.012)).abs() < 1e-3, "{} {}", half(&twice), half(&inside));
    assert!(!blocked(&twice, "unseen-batch") && blocked(&ask(1e-3, 8000, 4_000_000), "unseen-batch"));
    assert!(twice.loss[0] < inside.loss[0], "a larger batch brings progress and less noise");
    assert!(blocked(&ask(2e-2, 8000, 100_000), "extrapolates-peak-rate"));
    assert!(blocked(&ask(1e-3, 100_000, 100_000), "extrapolates-horizon"));
    let lengths = |f: &lehr::forecast::Forecast| f.widened.first().map(|w| (w.axis, w.factor > 4.9));
    assert_eq!(lengths(&ask(1e-3, 40_000, 100_000)), Some((Axis::Horizon, true)));
}

#[test]
fn runs_of_three_batches_recover_the_exponents_of_the_batch() {
    let law = named("noise-relaxation");
    let mut theta = truth_of_short_runs();
    let at = |name: &str| law.coefficients().iter().position(|c| c.name == name).unwrap();
    (theta[at("beta_s")], theta[at("beta_y")]) = (0.4, -0.6);
    let mut rng = random(33);
    let definition =
        lehr::FeatureDefinition { reference_batch: Some(100_000.0), ..lehr::FeatureDefinition::default() };
    let mut curves = Vec::new();
    for batch in [100_000_u64, 200_000, 800_000, 100_000] {
        for (peak, ratio) in [(5e-4, 0.0), (5e-4, 0.3), (2e-3, 0.0), (2e-3, 0.3), (2e-3, 0.7)] {
            let id = format!("{}-{batch}-{peak}-{ratio}", curves.len());
            let meta = lehr::RunMeta { tokens_per_step: Some(Tokens(batch)), ..lehr::RunMeta::named(id) };
            let schedule = wsd(peak, 4000, ratio);
            let step: Vec<u64> = (1..=60).map(|i| i * 4000 / 60).collect();
            let features = lehr::RunFeatures::new(&schedule, &step, None, meta.tokens_per_step, &definition);
            let mut loss = vec![0.0; step.len()];
            law.predict(&theta, &features, &mut loss);
            for l in &mut loss {
                *l *= (2e-4 * crate::support::gauss(&mut rng)).exp();
            }
            curves.push(Curve::new(meta, schedule, step, loss).unwrap());
        }
    }
    let fit = fit(law, &curves, &FitOptions { starts: 4, ..FitOptions::default() }).unwrap();
    assert_eq!(fit.definition.reference_batch, Some(100_000.0));
    let value = |name: &str| fit.coefficients[at(name)].value;
    assert!(
        (value("beta_s") - 0.4).abs() < 0.03 && (value("beta_y") + 0.6).abs() < 0.06,
        "{} {}",
        value("beta_s"),
        value("beta_y")
    );
    assert!(!fit.caveats.iter().any(|c| c.code() == "mixed-batches"));
}
