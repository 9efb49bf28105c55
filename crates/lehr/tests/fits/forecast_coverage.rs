//! Intervals hold what they promise on simulated data whose noise is not the one assumed.

use crate::support::{Noise, named, random, simulated, truth, wsd};
use lehr::Curve;
use lehr::fit::{FitOptions, fit};
use lehr::forecast::{ForecastError, Setting, forecast};
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
            let mut run = |id: &str, schedule| simulated(law, &truth(), id, schedule, 60, noise, &mut rng);
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
    let mut infinite = good;
    infinite.coefficients[0].value = f64::INFINITY;
    assert!(matches!(ask(&infinite), Err(ForecastError::Inconsistent(_))));
}
