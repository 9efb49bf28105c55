//! Data that cannot answer lead to caveats that say so.

use crate::support::{Noise, named, random, runs, simulated, truth, wsd};
use lehr::fit::{Fit, FitOptions, Unsound, fit};
use lehr::forecast::Setting;
use lehr::recommend::{RecommendOptions, Target, recommend_ratio};
use lehr::{Arch, Caveat, Curve, RunMeta, Schedule, Shape, Split, Steps};

fn blocking(fit: &Fit, code: &str) -> bool {
    fit.caveats.iter().any(|c| c.blocking() && c.code() == code)
}

fn fit_all(curves: &[Curve], options: &FitOptions) -> Fit {
    fit(named("noise-relaxation"), curves, options).unwrap()
}

fn fitted(curves: &[Curve]) -> Fit {
    fit(named("noise-relaxation"), curves, &FitOptions { starts: 4, ..FitOptions::default() }).unwrap()
}

#[test]
fn a_single_cosine_is_named_and_blocks_a_recommendation() {
    let cosine = Schedule::cosine(1e-3, Steps(6000), Steps(100), 1e-4).unwrap();
    let noise = Noise { point: 2e-4, ..Noise::default() };
    let curve = simulated(named("noise-relaxation"), &truth(), "cosine", cosine, 60, noise, &mut random(20));
    let fit = fitted(&[curve]);
    assert!(fit.caveats.iter().any(|c| c.code() == "no-stable-run"), "{:?}", fit.caveats);
    let target = Target {
        peak_lr: 1e-3,
        total: Steps(6000),
        warmup: Steps(100),
        shape: Shape::Linear,
        final_lr: 0.0,
        setting: Setting::default(),
    };
    let found = recommend_ratio(&fit, &target, &RecommendOptions::default()).unwrap();
    let codes: Vec<&str> = found.caveats.iter().filter(|c| c.blocking()).map(Caveat::code).collect();
    assert!(codes.contains(&"whole-run-annealing") && codes.contains(&"few-runs"), "{codes:?}");
}

#[test]
fn runs_without_annealing_block() {
    let curves: Vec<Curve> = runs(Noise { point: 2e-4, run: 3e-4, wander: 0.0 }, 21)
        .into_iter()
        .filter(|c| c.meta().id.ends_with("-0"))
        .collect();
    assert_eq!(curves.len(), 2);
    assert!(blocking(&fitted(&curves), "no-annealing"));
}

#[test]
fn losses_that_must_not_be_mixed_block() {
    let change = |edit: &dyn Fn(&mut RunMeta)| {
        let mut curves = runs(Noise { point: 2e-4, run: 3e-4, wander: 0.0 }, 22);
        for (i, curve) in curves.iter_mut().enumerate() {
            let mut meta = curve.meta().clone();
            (meta.split, meta.dataset) = (Split::Validation, Some("one".to_owned()));
            if i == 3 {
                edit(&mut meta);
            }
            *curve = curve.clone().with_meta(meta);
        }
        fitted(&curves)
    };
    assert!(blocking(&change(&|m| m.split = Split::Train), "mixed-splits"));
    assert!(blocking(&change(&|m| m.dataset = Some("another".to_owned())), "mixed-datasets"));
    assert!(blocking(&change(&|m| m.arch = Arch::Moe { experts: 8, top_k: 2 }), "mixed-architectures"));
    assert!(!change(&|_| {}).caveats.iter().any(|c| c.code().starts_with("mixed-")));
    // What is not stated does not differ.
    let unstated = change(&|m| (m.split, m.dataset, m.tokens_per_step) = (Split::Unstated, None, None));
    assert!(!unstated.caveats.iter().any(|c| c.code().starts_with("mixed-")), "{:?}", unstated.caveats);
}

#[test]
fn a_diverged_run_is_left_out_and_named_unless_kept() {
    let mut curves = runs(Noise { point: 2e-4, run: 3e-4, wander: 0.0 }, 24);
    let broken = &curves[7];
    let loss: Vec<f64> =
        broken.loss().iter().enumerate().map(|(i, &l)| if i > 30 { 7.5 } else { l }).collect();
    let id = broken.meta().id.clone();
    curves[7] =
        Curve::new(broken.meta().clone(), broken.schedule().clone(), broken.step().to_vec(), loss).unwrap();
    let fit = fitted(&curves);
    assert_eq!(
        fit.left_out.iter().map(|l| (l.id.as_str(), l.reason)).collect::<Vec<_>>(),
        [(id.as_str(), Unsound::Diverged)]
    );
    assert!(fit.runs.iter().all(|run| run.id != id) && fit.metrics.mape < 1e-3, "{:?}", fit.metrics);
    assert!(fit.caveats[0].code() == "left-out" && fit.caveats[0].message().contains(&id));
    let options = FitOptions { starts: 4, keep: vec![id.clone()], ..FitOptions::default() };
    let kept = fit_all(&curves, &options);
    assert!(kept.left_out.is_empty() && kept.runs.iter().any(|run| run.id == id));
}

#[test]
fn a_run_whose_level_breaks_is_left_out_and_named_unless_kept() {
    let mut curves = runs(Noise { point: 2e-4, run: 3e-4, wander: 0.0 }, 40);
    let broken = &curves[5];
    // The first half in bits.
    let half = broken.loss().len() / 2;
    let loss = broken.loss().iter().enumerate().map(|(i, &l)| if i < half { l / 0.693 } else { l }).collect();
    let id = broken.meta().id.clone();
    curves[5] =
        Curve::new(broken.meta().clone(), broken.schedule().clone(), broken.step().to_vec(), loss).unwrap();
    let fit = fitted(&curves);
    assert_eq!(
        fit.left_out.iter().map(|l| (l.id.as_str(), l.reason)).collect::<Vec<_>>(),
        [(id.as_str(), Unsound::LevelBroken)]
    );
    let (before, after) = (fit.left_out[0].against, fit.left_out[0].loss);
    assert!((before / after - 1.0 / 0.693).abs() < 0.05, "{before} {after}");
    assert!(fit.caveats[0].code() == "left-out-break" && fit.caveats[0].message().contains(&id));
    let options = FitOptions { starts: 4, keep: vec![id.clone()], ..FitOptions::default() };
    assert!(fit_all(&curves, &options).left_out.is_empty());
}

#[test]
fn final_losses_from_before_fitting_begins_are_left_out() {
    let mut curves = runs(Noise { point: 2e-4, run: 3e-4, wander: 0.0 }, 40);
    curves[3] = curves[3].retain(|i, _, _| i == 0).unwrap();
    let first = curves[3].last().0;
    let options = FitOptions { starts: 4, first_update: first + 1, ..FitOptions::default() };
    let fit = fit_all(&curves, &options);
    assert_eq!(fit.left_out.iter().map(|l| l.reason).collect::<Vec<_>>(), [Unsound::TooShort]);
    assert!(fit.caveats.iter().any(|c| c.code() == "left-out-short"), "{:?}", fit.caveats);
}

#[test]
fn good_runs_do_not_block() {
    let fit = fitted(&runs(Noise { point: 2e-4, run: 3e-4, wander: 0.0 }, 23));
    assert!(fit.caveats.iter().all(|c| !c.blocking()), "{:?}", fit.caveats);
    let one = wsd(1e-3, 100 * 40, 0.2);
    assert_eq!(one.total().0, 4000);
}
