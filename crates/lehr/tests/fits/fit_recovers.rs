//! Every law finds the coefficients behind curves that it made itself, and errors are those of a fit that did not see the run.

use crate::support::{Noise, named, plausible, random, runs, simulated};
use lehr::fit::{FitOptions, evaluate, fit, fit_point};
use lehr::law::Scale;
use lehr::validate::{split_by_name, validate};

#[test]
fn every_law_of_whole_curves_recovers_its_own_coefficients() {
    let template = runs(Noise::default(), 6);
    for law in lehr::law::all().into_iter().filter(|law| !law.final_only()) {
        let theta = plausible(law, &template);
        let mut rng = random(7);
        let noise = Noise { point: 1e-5, ..Noise::default() };
        let curves: Vec<_> = template
            .iter()
            .map(|c| simulated(law, &theta, &c.meta().id, c.schedule().clone(), 60, noise, &mut rng))
            .collect();
        let options = FitOptions { starts: 24, ..FitOptions::default() };
        let found = fit(law, &curves, &options).unwrap_or_else(|error| panic!("{}: {error}", law.name()));
        // The noise of a point is 10⁻⁵, and a mean of its size is 0.8 times that.
        assert!(found.metrics.mape < 3e-5, "{}: errors of {}", law.name(), found.metrics.mape);
        let mut checked = 0;
        let free: Vec<usize> = (0..theta.len()).filter(|&i| found.coefficients[i].free).collect();
        for (k, &i) in free.iter().enumerate() {
            let (c, sd) = (&found.coefficients[i], found.identifiability.sd[k]);
            let scale = law.coefficients()[i].scale;
            let (got, wanted) =
                if scale == Scale::Log { (c.value.ln(), theta[i].ln()) } else { (c.value, theta[i]) };
            // Coefficients that these curves determine, within what they leave open.
            if sd < 0.02 {
                checked += 1;
                assert!(
                    (got - wanted).abs() < 8.0 * sd + 2e-3,
                    "{}: {} = {}, simulated {}, sd {sd}",
                    law.name(),
                    c.name,
                    c.value,
                    theta[i]
                );
            }
        }
        assert!(checked >= 3, "{}: the curves determine only {checked} coefficients", law.name());
    }
}

#[test]
fn held_out_errors_are_those_of_a_fit_that_did_not_see_the_run() {
    let curves = runs(Noise { point: 2e-4, run: 3e-4, wander: 0.0 }, 8);
    let law = named("noise-relaxation");
    let options = FitOptions { starts: 4, ..FitOptions::default() };
    let split = split_by_name(&curves, &["*-4000-*".to_owned()], &[]).unwrap();
    assert_eq!((split.train.len(), split.test.len()), (8, 2));
    let validation = validate(law, &curves, std::slice::from_ref(&split), &options).unwrap();
    let train: Vec<_> = split.train.iter().map(|&i| curves[i].clone()).collect();
    let point = fit_point(law, &train, &options).unwrap();
    let mut mapes = Vec::new();
    for &i in &split.test {
        let (metrics, end, errors) =
            evaluate(law, &point.theta, &curves[i], &point.data.definition, &options);
        let found =
            validation.per_run.iter().find(|r| r.id == curves[i].meta().id && r.part == "test").unwrap();
        assert_eq!((found.metrics, found.final_signed), (metrics, end));
        // Errors are over all points after 1.3 warm-ups, not over the ones that a fit would choose.
        assert_eq!(errors.len(), curves[i].step().iter().filter(|&&t| t as f64 >= 130.0).count());
        let mean = errors.iter().map(|e| (e.exp() - 1.0).abs()).sum::<f64>() / errors.len() as f64;
        assert!((mean - metrics.mape).abs() < 1e-12);
        mapes.push(metrics.mape);
    }
    assert!((validation.test.mape - (mapes[0] + mapes[1]) / 2.0).abs() < 1e-15);
}

#[test]
fn a_law_of_tokens_refuses_runs_that_do_not_state_them() {
    let curves: Vec<_> = runs(Noise::default(), 3)
        .into_iter()
        .map(|curve| {
            let meta = lehr::RunMeta { tokens_per_step: None, ..curve.meta().clone() };
            curve.with_meta(meta)
        })
        .collect();
    let law = lehr::law::by_name("chinchilla").expect("the law is there");
    let error = fit_point(law, &curves, &FitOptions::default())
        .expect_err("nothing says how many tokens an update has");
    assert!(error.to_string().contains(&curves[0].meta().id), "{error}");
    assert!(matches!(error, lehr::fit::FitError::NoTokens { law: "chinchilla", .. }), "{error}");
}
