//! A law that is defined here, outside the crate, is fitted, saved, loaded and forecast; options that no fit can be made
//! with are refused.

use lehr::features::RunFeatures;
use lehr::fit::{Fit, FitError, FitOptions, Fitter};
use lehr::forecast::{ForecastError, Setting, forecast};
use lehr::law::{Coefficient, DataSummary, Law, LawRegistry, RegisterError, Role, Scale};
use lehr::{Curve, RunMeta, Schedule, Shape, Steps, WsdSpec};
use std::sync::Arc;

/// L = l0 + a·S^-alpha: no word of annealing.
#[derive(Debug)]
struct Descent {
    name: &'static str,
    coefficients: &'static [Coefficient],
}

const fn number(name: &'static str, lower: f64, upper: f64, scale: Scale, start: f64) -> Coefficient {
    Coefficient { name, symbol: name, unit: "", lower, upper, scale, start }
}

static COEFFICIENTS: [Coefficient; 3] = [
    number("l0", 1e-3, 8.0, Scale::Linear, 2.0),
    number("a", 1e-3, 50.0, Scale::Log, 0.6),
    number("alpha", 0.05, 3.0, Scale::Linear, 0.5),
];

fn descent() -> Descent {
    Descent { name: "descent-only", coefficients: &COEFFICIENTS }
}

impl Law for Descent {
    fn name(&self) -> &'static str {
        self.name
    }
    fn equation(&self) -> &'static str {
        "L = l0 + a·S^-alpha"
    }
    fn source(&self) -> &'static str {
        "this test"
    }
    fn limits(&self) -> &'static [&'static str] {
        &["annealing gains nothing"]
    }
    fn coefficients(&self) -> &'static [Coefficient] {
        self.coefficients
    }
    fn roles(&self, _: &DataSummary) -> Vec<Role> {
        self.coefficients.iter().map(|c| Role::Free { start: c.start }).collect()
    }
    fn predict(&self, theta: &[f64], run: &RunFeatures, loss: &mut [f64]) {
        for (loss, ln_s) in loss.iter_mut().zip(&run.ln_forward_effect) {
            *loss = theta[0] + theta[1] * (-theta[2] * ln_s).exp();
        }
    }
    fn predict_with_jacobian(
        &self,
        theta: &[f64],
        run: &RunFeatures,
        loss: &mut [f64],
        jacobian: &mut [f64],
    ) {
        self.predict(theta, run, loss);
        for (row, ln_s) in jacobian.chunks_exact_mut(3).zip(&run.ln_forward_effect) {
            let unit = (-theta[2] * ln_s).exp();
            row.copy_from_slice(&[1.0, unit, -theta[1] * unit * ln_s]);
        }
    }
}

fn schedule(peak_lr: f64, total: u64) -> Schedule {
    let spec = WsdSpec {
        peak_lr,
        total: Steps(total),
        warmup: Steps(100),
        anneal: Steps(total / 5),
        shape: Shape::Linear,
        ..WsdSpec::default()
    };
    Schedule::Wsd(spec.checked().unwrap())
}

const TRUTH: [f64; 3] = [2.5, 0.8, 0.6];

/// Losses of the law itself, so that the fit must find [`TRUTH`].
fn curves() -> Vec<Curve> {
    let law = descent();
    [(5e-4, 2000), (1e-3, 2000), (1e-3, 4000), (2e-3, 4000)]
        .into_iter()
        .map(|(peak_lr, total)| {
            let schedule = schedule(peak_lr, total);
            let step: Vec<u64> = (1..=40).map(|i| i * total / 40).collect();
            let run = RunFeatures::new(&schedule, &step, None, None, &law.features());
            let mut loss = vec![0.0; step.len()];
            law.predict(&TRUTH, &run, &mut loss);
            Curve::new(RunMeta::named(format!("{peak_lr:e}-{total}")), schedule, step, loss).unwrap()
        })
        .collect()
}

#[test]
fn a_law_from_outside_is_fitted_saved_loaded_and_forecast() {
    let fitted = Fitter::new(Arc::new(descent())).fit(&curves()).unwrap();
    let profiles = fitted.profile(8);
    assert_eq!(profiles.iter().map(|p| p.name.as_str()).collect::<Vec<_>>(), ["l0", "a", "alpha"]);
    assert_eq!(fitted.bootstrap(5).refits.len(), 5);
    let fit = fitted.into_fit();
    for (found, truth) in fit.theta().iter().zip(TRUTH) {
        // No noise: what is left is where the solver stops.
        assert!((found / truth - 1.0).abs() < 1e-4, "{found} for {truth}");
    }
    let target = schedule(1.5e-3, 10_000);
    let ahead = forecast(&fit, &target, &Setting::default(), &[10_000]).unwrap();
    let s = RunFeatures::new(&target, &[10_000], None, None, &descent().features()).ln_forward_effect[0];
    let expected = TRUTH[0] + TRUTH[1] * (-TRUTH[2] * s).exp();
    assert!((ahead.r#final.value / expected - 1.0).abs() < 1e-4, "{} for {expected}", ahead.r#final.value);

    let text = serde_json::to_string(&fit).unwrap();
    let loaded: Fit = serde_json::from_str(&text).unwrap();
    let unknown = ForecastError::UnknownLaw("descent-only".to_owned());
    assert_eq!(forecast(&loaded, &target, &Setting::default(), &[10_000]), Err(unknown.clone()));
    assert_eq!(loaded.clone().resolve(&LawRegistry::built_in()), Err(unknown));
    let registry = LawRegistry::built_in().with(Arc::new(descent())).unwrap();
    let resolved = loaded.resolve(&registry).unwrap();
    assert_eq!(resolved, fit);
    assert_eq!(forecast(&resolved, &target, &Setting::default(), &[10_000]), Ok(ahead));
}

#[test]
fn a_registry_finds_laws_by_name_and_refuses_names_and_tables_that_contradict_it() {
    let registry = LawRegistry::built_in().with(Arc::new(descent())).unwrap();
    assert_eq!(registry.by_name("Descent_Only").map(Law::name), Some("descent-only"));
    assert_eq!(registry.by_name("noise-relaxation").map(Law::name), Some("noise-relaxation"));
    assert_eq!(registry.laws().len(), lehr::law::all().len() + 1);
    let refused = |law: Descent| registry.clone().with(Arc::new(law)).expect_err("refused");
    let taken = |name, by| RegisterError::Taken { law: name, name, by };
    assert_eq!(refused(descent()), taken("descent-only", "descent-only"));
    assert_eq!(refused(Descent { name: "fsl", ..descent() }), taken("fsl", "fsl"));
    assert_eq!(refused(Descent { name: "My Law", ..descent() }), RegisterError::Name { name: "My Law" });
    static TWICE: [Coefficient; 2] =
        [number("a", 0.0, 1.0, Scale::Linear, 0.5), number("a", 0.0, 1.0, Scale::Linear, 0.5)];
    static LOG: [Coefficient; 1] = [number("a", 0.0, 1.0, Scale::Log, 0.5)];
    static START: [Coefficient; 1] = [number("a", 0.0, 1.0, Scale::Linear, 2.0)];
    for (coefficients, what) in
        [(&TWICE[..], "appears twice"), (&LOG, "its lower bound is not positive"), (&START, "starts outside")]
    {
        let error = refused(Descent { name: "other", coefficients }).to_string();
        assert!(error.contains(what), "{error}");
    }
}

#[test]
fn options_that_no_fit_can_be_made_with_are_refused_and_never_panic() {
    let good = FitOptions::default();
    let curves = curves();
    for (options, name) in [
        (FitOptions { warmup_factor: -1.0, ..good.clone() }, "warmup_factor"),
        (FitOptions { first_share: 1.0, ..good.clone() }, "first_share"),
        (FitOptions { prior_weight: f64::NAN, ..good.clone() }, "prior_weight"),
        (FitOptions { starts: 0, ..good.clone() }, "starts"),
        (FitOptions { max_iterations: 0, ..good.clone() }, "max_iterations"),
        (FitOptions { points_per_curve: Some(0), ..good.clone() }, "points_per_curve"),
    ] {
        let error = Fitter::new(Arc::new(descent())).options(options.clone()).expect_err(name);
        assert_eq!(error.name, name);
        let error = lehr::fit::fit(&descent(), &curves, &options).expect_err(name);
        assert!(matches!(&error, FitError::Option(error) if error.name == name), "{error}");
    }
    for number in [90.0, f64::NAN, 0.0, 1.0, -0.1] {
        assert!(lehr::Level::new(number).is_err(), "{number}");
        let text = format!("{{\"level\": {number}}}");
        assert!(serde_json::from_str::<FitOptions>(&text).is_err(), "{text}");
    }
    for number in [0.0, f64::INFINITY, f64::NAN, -1e-3] {
        assert!(lehr::HuberDelta::new(number).is_err(), "{number}");
    }
    let error = serde_json::from_str::<FitOptions>("{\"level\": 90.0}").unwrap_err().to_string();
    assert!(error.starts_with("the level is 90; expected a number between 0 and 1"), "{error}");
}
