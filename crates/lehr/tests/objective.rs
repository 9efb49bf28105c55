//! The objective's two ways over a run's points give the same number.

use lehr::fit::{Criterion, Dataset, FitOptions, Objective, Plan, Residual, Scratch, starts};
use lehr::law::{self, Law, NoiseRelaxation};
use lehr::{AnnealingRatio, Curve, FeatureDefinition, RunFeatures, RunMeta, Schedule, Shape, Steps, Wsd};

fn curve(ratio: f64, shape: Shape) -> Curve {
    let ratio = AnnealingRatio::new(ratio).unwrap();
    let schedule = Schedule::Wsd(Wsd::new(5e-4, Steps(8_000), Steps(400), ratio, shape, 1e-5).unwrap());
    let points: Vec<u64> = (1..=61).map(|i| i * 131).collect();
    let run = RunFeatures::new(&schedule, &points, None, None, &FeatureDefinition::default());
    let theta: Vec<f64> = NoiseRelaxation.coefficients().iter().map(|c| c.start).collect();
    let mut loss = vec![0.0; points.len()];
    NoiseRelaxation.predict(&theta, &run, &mut loss);
    for (i, l) in loss.iter_mut().enumerate() {
        // Both branches of the Huber function are met.
        *l *= 1.0 + 2e-3 * (i as f64 * 1.7).sin();
    }
    Curve::new(RunMeta::named(shape.to_string()), schedule, points, loss).unwrap()
}

#[test]
fn whole_slices_and_single_observations_agree() {
    let curves = [curve(0.3, Shape::Linear), curve(0.9, Shape::Cosine), curve(0.0, Shape::OneMinusSqrt)];
    for name in ["noise-relaxation", "forward-momentum", "cmmt", "multi-power", "convex-bound"] {
        let law = law::by_name(name).unwrap();
        for residual in [Residual::Log, Residual::Raw] {
            for criterion in
                [Criterion::Huber { delta: lehr::HuberDelta::new(1e-3).unwrap() }, Criterion::Squares]
            {
                let options =
                    FitOptions { residual, criterion, points_per_curve: None, ..FitOptions::default() };
                let plain = Dataset::new(law, &curves, &options);
                // Every observation as the mean of the same evaluation point taken twice.
                let mut doubled = plain.clone();
                for run in &mut doubled.runs {
                    run.samples = run.samples.iter().flat_map(|&j| [j, j]).collect();
                    run.starts = run.starts.iter().map(|s| 2 * s).collect();
                }
                let plan = Plan::new(law, &plain, &options).unwrap();
                let z = starts::starts(law, &plain, &plan, 1, 0).remove(0);
                let mut scratch = Scratch::default();
                let mut answers = Vec::new();
                for data in [&plain, &doubled] {
                    let objective = Objective::new(law, data, &plan, &options);
                    let mut gradient = vec![0.0; z.len()];
                    let value = objective.value(&z, Some(&mut gradient), &mut scratch);
                    let (again, slope, matrix) = objective.normal_equations(&z, true, &mut scratch);
                    let mut all = vec![value, again];
                    all.extend(gradient);
                    all.extend(slope.iter());
                    all.extend(matrix.iter());
                    answers.push(all);
                }
                let largest = answers[0].iter().fold(0.0, |a: f64, b| a.max(b.abs()));
                assert!(largest > 0.0);
                for (a, b) in answers[0].iter().zip(&answers[1]) {
                    assert!(
                        (a - b).abs() <= 1e-11 * largest,
                        "{name}, {residual:?}, {criterion:?}: {a} and {b}"
                    );
                }
            }
        }
    }
}
