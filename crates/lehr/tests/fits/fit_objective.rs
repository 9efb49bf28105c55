//! The objective: its gradient against differences, its criterion, its Gauss–Newton matrix.

use crate::support::{Noise, named, plausible, runs, truth};
use lehr::fit::{Criterion, Dataset, FitOptions, Objective, Plan, Residual, Scratch, Weighting};
use lehr::{Curve, LossKind, RunMeta, Split, Steps};

/// Runs of every kind: instantaneous, averaged over an interval, single-batch training losses that are binned.
fn mixed() -> Vec<Curve> {
    // Errors on both sides of Huber's δ = 10⁻³.
    let curves = runs(Noise { point: 1e-3, run: 1e-3, wander: 0.0 }, 3);
    curves
        .into_iter()
        .enumerate()
        .map(|(i, curve)| {
            let meta = curve.meta().clone();
            let meta = match i % 3 {
                0 => meta,
                1 => RunMeta { loss_kind: LossKind::IntervalMean(Steps(60)), ..meta },
                _ => RunMeta { split: Split::Train, ..meta },
            };
            curve.with_meta(meta)
        })
        .collect()
}

/// z of the truth, moved a little so that no residual is at its best.
fn away(plan: &Plan, theta: &[f64]) -> Vec<f64> {
    let z = plan.to_z(theta);
    z.iter().enumerate().map(|(k, z)| z + 0.01 * if k % 2 == 0 { 1.0 } else { -1.3 }).collect()
}

fn differences(objective: &Objective, z: &[f64], h: f64) -> Vec<f64> {
    let mut scratch = Scratch::default();
    (0..z.len())
        .map(|k| {
            let mut at = |shift: f64| {
                let mut z = z.to_vec();
                z[k] += shift;
                objective.value(&z, None, &mut scratch)
            };
            (8.0 * (at(h) - at(-h)) - (at(2.0 * h) - at(-2.0 * h))) / (12.0 * h)
        })
        .collect()
}

#[test]
fn the_gradient_is_that_of_the_value() {
    let curves = mixed();
    let criteria = [
        Criterion::Squares,
        Criterion::Huber { delta: lehr::HuberDelta::new(1e-3).unwrap() },
        Criterion::Huber { delta: lehr::HuberDelta::new(1e-2).unwrap() },
    ];
    for name in ["noise-relaxation", "cmmt", "memoryless"] {
        let law = named(name);
        let theta = if name == "noise-relaxation" { truth() } else { plausible(law, &curves) };
        for criterion in criteria {
            for residual in [Residual::Log, Residual::Raw] {
                for weighting in [Weighting::EqualCurves, Weighting::EqualPoints] {
                    let options = FitOptions {
                        criterion,
                        residual,
                        weighting,
                        points_per_curve: Some(20),
                        ..FitOptions::default()
                    };
                    let data = Dataset::new(law, &curves, &options);
                    let plan = Plan::new(law, &data, &options).unwrap();
                    let objective = Objective::new(law, &data, &plan, &options);
                    let z = away(&plan, &theta);
                    let mut gradient = vec![0.0; z.len()];
                    let mut scratch = Scratch::default();
                    let value = objective.value(&z, Some(&mut gradient), &mut scratch);
                    let alone = objective.value(&z, None, &mut scratch);
                    assert!((value - alone).abs() <= 1e-9 * value.abs(), "{name}: {value} {alone}");
                    let wanted = differences(&objective, &z, 1e-5);
                    let largest = wanted.iter().fold(0.0_f64, |a, b| a.max(b.abs()));
                    for k in 0..z.len() {
                        // A residual that crosses δ between two of the four points leaves O(h) of its curvature.
                        let error = (gradient[k] - wanted[k]).abs();
                        assert!(
                            error < 2e-4 * wanted[k].abs() + 1e-6 * largest,
                            "{name} {criterion:?} {residual:?} {weighting:?}, coefficient {k}: {} {}",
                            gradient[k],
                            wanted[k]
                        );
                    }
                    let (value, again, _) = objective.normal_equations(&z, true, &mut scratch);
                    assert!((value - alone).abs() <= 1e-9 * value.abs());
                    for k in 0..z.len() {
                        let error = (again[k] - gradient[k]).abs();
                        assert!(error <= 1e-9 * largest, "{name}: {} {}", again[k], gradient[k]);
                    }
                }
            }
        }
    }
}

#[test]
fn a_prior_pulls_with_its_weight() {
    let curves = runs(Noise::default(), 4);
    let law = named("noise-relaxation");
    let prior = |sd: f64| FitOptions {
        priors: [("q".to_owned(), (0.55, sd)), ("e_c".to_owned(), (0.7, sd))].into(),
        ..FitOptions::default()
    };
    let value = |sd: f64, shift: f64| {
        let options = prior(sd);
        let data = Dataset::new(law, &curves, &options);
        let plan = Plan::new(law, &data, &options).unwrap();
        let mut z = plan.to_z(&truth());
        let q = plan.free.iter().position(|&i| law.coefficients()[i].name == "q").unwrap();
        z[q] += shift;
        let objective = Objective::new(law, &data, &plan, &options);
        let mut scratch = Scratch::default();
        objective.value(&z, None, &mut scratch) - objective.data_value(&z, &mut scratch)
    };
    // 0.015·(shift/σ)² more than without a shift, whatever the data say.
    for (sd, shift) in [(0.1, 0.1), (0.1, 0.3), (0.05, 0.1)] {
        let pulled = value(sd, shift) - value(sd, 0.0);
        let wanted = 0.015 * (shift / sd).powi(2);
        assert!((pulled - wanted).abs() < 1e-6 * wanted, "{pulled} {wanted}");
    }
}

#[test]
fn the_matrix_is_the_hessian_where_all_residuals_vanish() {
    let curves = runs(Noise::default(), 5);
    let law = named("noise-relaxation");
    let options = FitOptions { criterion: Criterion::Squares, ..FitOptions::default() };
    let data = Dataset::new(law, &curves, &options);
    let plan = Plan::new(law, &data, &options).unwrap();
    let objective = Objective::new(law, &data, &plan, &options);
    let z = plan.to_z(&truth());
    let mut scratch = Scratch::default();
    // Curves and fit place their nodes for other points; 10⁻⁴ is a relative error of 10⁻⁵.
    let misfit = objective.data_value(&z, &mut scratch);
    assert!(misfit < 1e-4, "the truth fits its own curves to {misfit}");
    let (.., matrix) = objective.normal_equations(&z, true, &mut scratch);
    let h = 1e-5;
    for k in 0..z.len() {
        let mut gradient = |shift: f64| {
            let mut z = z.clone();
            z[k] += shift;
            let mut gradient = vec![0.0; z.len()];
            objective.value(&z, Some(&mut gradient), &mut scratch);
            gradient
        };
        let (up, down) = (gradient(h), gradient(-h));
        for j in 0..z.len() {
            let wanted = (up[j] - down[j]) / (2.0 * h);
            let scale = (matrix[(j, j)] * matrix[(k, k)]).sqrt();
            assert!(
                (matrix[(j, k)] - wanted).abs() < 1e-4 * scale,
                "({j}, {k}): {} {wanted}",
                matrix[(j, k)]
            );
        }
    }
}

#[test]
fn hubers_criterion_has_no_step_and_no_kink_in_its_slope() {
    let huber = Criterion::Huber { delta: lehr::HuberDelta::new(1e-3).unwrap() };
    for sign in [1.0, -1.0] {
        let (inside, outside) =
            (huber.evaluate(sign * 1e-3 * (1.0 - 1e-9)), huber.evaluate(sign * 1e-3 * (1.0 + 1e-9)));
        assert!((inside.0 - outside.0).abs() < 1e-14);
        assert!((inside.1 - outside.1).abs() < 1e-11);
        let (value, slope, weight) = huber.evaluate(sign * 5e-3);
        assert_eq!((value, slope), (1e-3 * (5e-3 - 0.5e-3), sign * 1e-3));
        assert!((weight * sign * 5e-3 - slope).abs() < 1e-18);
    }
    assert_eq!(huber.evaluate(0.0), (0.0, 0.0, 1.0));
}
