//! Refits: what is left out, how many there are, and what very many runs change.

use crate::support::{Noise, named, random, runs, simulated, truth, wsd};
use lehr::fit::dataset::condense;
use lehr::fit::resample::{MOST_REFITS, Method};
use lehr::fit::{FitError, FitOptions, Objective, Scratch, fit, fit_point};
use lehr::{BranchPoint, Curve, RunMeta, Split, Steps};
use std::collections::BTreeSet;

fn many(count: usize) -> Vec<Curve> {
    let law = named("noise-relaxation");
    let mut rng = random(11);
    let noise = Noise { point: 2e-4, run: 5e-4, wander: 0.0 };
    (0..count)
        .map(|i| {
            let schedule = wsd([5e-4, 2e-3][i % 2], 1500, [0.0, 0.2, 0.5][i % 3]);
            simulated(law, &truth(), &format!("run-{i:04}"), schedule, 12, noise, &mut rng)
        })
        .collect()
}

fn quick() -> FitOptions {
    FitOptions { starts: 2, points_per_curve: Some(8), ..FitOptions::default() }
}

#[test]
fn few_runs_are_left_out_one_by_one() {
    let curves = runs(Noise { point: 1e-4, run: 2e-4, wander: 0.0 }, 12);
    let fit = fit(named("noise-relaxation"), &curves, &quick()).unwrap();
    assert_eq!(fit.uncertainty.method, Method::LeaveOneGroupOut);
    let left: BTreeSet<&str> = fit.uncertainty.refits.iter().map(|r| r.left_out.as_str()).collect();
    let names: BTreeSet<&str> = curves.iter().map(|c| c.meta().id.as_str()).collect();
    assert_eq!(left, names);
}

#[test]
fn a_trunk_goes_with_its_branches() {
    let curves: Vec<Curve> = runs(Noise { point: 1e-4, run: 2e-4, wander: 0.0 }, 13)
        .into_iter()
        .enumerate()
        .map(|(i, curve)| {
            let trunk = format!("trunk-{}", i / 2);
            let branch = Some(BranchPoint { trunk, at: Steps(1000) });
            let meta = RunMeta { branch, ..curve.meta().clone() };
            curve.with_meta(meta)
        })
        .collect();
    let fit = fit(named("noise-relaxation"), &curves, &quick()).unwrap();
    assert_eq!(fit.uncertainty.refits.len(), 5);
    assert_eq!(fit.uncertainty.held_out.len(), 10);
}

#[test]
fn more_than_a_hundred_groups_are_left_out_in_a_hundred_folds() {
    let curves = many(130);
    let law = named("noise-relaxation");
    let fitted = fit(law, &curves, &quick()).unwrap();
    assert_eq!(fitted.uncertainty.method, Method::LeaveFoldOut);
    assert_eq!(fitted.uncertainty.refits.len(), MOST_REFITS);
    let held: BTreeSet<&str> = fitted.uncertainty.held_out.iter().map(|h| h.id.as_str()).collect();
    assert_eq!((held.len(), fitted.uncertainty.held_out.len()), (130, 130), "every run is held out once");
    // The first fold holds the first and the hundred-and-first name.
    assert_eq!(fitted.uncertainty.refits[0].left_out, "fold 1 of 100");
    let rest: Vec<Curve> = curves
        .iter()
        .filter(|c| !["run-0000", "run-0100"].contains(&c.meta().id.as_str()))
        .cloned()
        .collect();
    // The weight of the priors is that of the whole fit.
    let options = FitOptions { prior_weight: fitted.options.prior_weight, ..quick() };
    let alone = fit_point(law, &rest, &options).unwrap();
    for (i, c) in fitted.coefficients.iter().enumerate().filter(|(_, c)| c.free) {
        let (a, b) = (fitted.uncertainty.refits[0].theta[i], alone.theta[i]);
        assert!((a - b).abs() < 0.02 * b.abs() + 1e-3, "{}: refit {a}, fit without the fold {b}", c.name);
    }
}

#[test]
fn intervals_from_folds_are_as_wide_as_from_single_runs() {
    let curves = many(130);
    let law = named("noise-relaxation");
    let width = |curves: &[Curve]| {
        let fit = fit(law, curves, &quick()).unwrap();
        let (low, high) = fit.coefficients[0].interval.unwrap();
        (fit.uncertainty.method, high - low)
    };
    let (folds, of_folds) = width(&curves);
    let (single, of_single) = width(&curves[..96]);
    assert_eq!((folds, single), (Method::LeaveFoldOut, Method::LeaveOneGroupOut));
    // The spread falls with the root of the number of runs: 0.86. Both are estimates.
    let ratio = of_folds / of_single;
    assert!(ratio > 0.4 && ratio < 1.6, "{of_folds} / {of_single}");
}

#[test]
fn with_very_many_runs_the_finish_sees_all_of_them() {
    let curves = many(450);
    let law = named("noise-relaxation");
    let point = fit_point(law, &curves, &quick()).unwrap();
    assert_eq!(point.data.runs.len(), 450);
    assert_eq!(point.solution.observations, 450 * 8);
    let objective = Objective::new(law, &point.data, &point.plan, &point.options);
    let mut gradient = vec![0.0; point.z.len()];
    objective.value(&point.z, Some(&mut gradient), &mut Scratch::default());
    for (k, g) in gradient.iter().enumerate() {
        let (z, lower, upper) = (point.z[k], point.plan.lower[k], point.plan.upper[k]);
        assert!(g.abs() < 1e-2 || z <= lower + 1e-6 || z >= upper - 1e-6, "coefficient {k}: gradient {g}");
    }
}

#[test]
fn a_run_without_points_after_the_warm_up_is_refused_by_name() {
    let curves = runs(Noise::default(), 14);
    let options = FitOptions { first_update: 5000, ..quick() };
    let error = fit_point(named("noise-relaxation"), &curves, &options).unwrap_err();
    assert!(
        matches!(&error, FitError::NoPoints { run, last: 4000, first: 5000 } if run == "5e-4-4000-0"),
        "{error}"
    );
}

#[test]
fn condensed_curves_keep_their_ends_and_average_single_batches() {
    let law = named("noise-relaxation");
    let noise = Noise { point: 1e-2, ..Noise::default() };
    let curve = simulated(law, &truth(), "long", wsd(1e-3, 10_000, 0.2), 10_000, noise, &mut random(15));
    let clean =
        simulated(law, &truth(), "long", wsd(1e-3, 10_000, 0.2), 10_000, Noise::default(), &mut random(15));
    assert_eq!(condense(curve.clone(), 10_000), curve, "short enough to be kept as it is");
    let of_split = |split| {
        let meta = RunMeta { split, ..curve.meta().clone() };
        condense(curve.clone().with_meta(meta), 500)
    };
    for split in [Split::Train, Split::Validation] {
        let short = of_split(split);
        assert!(short.step().len() <= 520, "{} points", short.step().len());
        assert_eq!(short.last(), curve.last(), "the last loss is the run's last loss");
        assert_eq!((short.step()[0], short.loss()[0]), (curve.step()[0], curve.loss()[0]));
        assert_eq!(short.schedule(), curve.schedule());
    }
    let deviation = |short: &Curve| {
        let inner = 50..short.step().len() - 1;
        let n = inner.len() as f64;
        let squares: f64 =
            inner.map(|i| (short.loss()[i] / clean.loss()[short.step()[i] as usize - 1]).ln().powi(2)).sum();
        (squares / n).sqrt()
    };
    // Means of twenty losses have a root of twenty less noise; single ones have all of it.
    let (train, validation) = (deviation(&of_split(Split::Train)), deviation(&of_split(Split::Validation)));
    assert!(train < 3e-3 && validation > 8e-3, "train {train}, validation {validation}");
}
