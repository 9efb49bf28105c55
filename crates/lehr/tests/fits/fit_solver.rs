//! The solvers against references that do not share their code.

use crate::support::{Noise, named, runs};
use lehr::fit::solver::{gauss_newton, lbfgsb};
use lehr::fit::{
    Criterion, Dataset, FitOptions, Objective, Plan, Residual, Scratch, Weighting, fit_point, starts,
};
use nalgebra::{DMatrix, DVector};

#[test]
fn sixteen_starts_end_at_the_same_optimum() {
    let curves = runs(Noise { point: 2e-4, run: 3e-4, wander: 2e-4 }, 9);
    let law = named("noise-relaxation");
    let options = FitOptions::default();
    let data = Dataset::new(law, &curves, &options);
    let plan = Plan::new(law, &data, &options).unwrap();
    let objective = Objective::new(law, &data, &plan, &options);
    let mut scratch = Scratch::default();
    let ends: Vec<_> = starts::starts(law, &data, &plan, 16, 0)
        .iter()
        .map(|start| {
            let near = lbfgsb(&objective, start, 400, &mut scratch);
            let end = gauss_newton(&objective, &near.z, 400, &mut scratch);
            assert!(end.value <= near.value * (1.0 + 1e-12), "the finish makes it worse");
            end
        })
        .collect();
    assert_eq!(ends.len(), 16);
    let best = ends.iter().map(|end| end.value).fold(f64::INFINITY, f64::min);
    let agreeing = ends.iter().filter(|end| end.value < best * (1.0 + 1e-6)).count();
    // A start may end in another basin; most must not.
    assert!(agreeing >= 14, "{agreeing} of 16 starts agree");
    let reference = ends.iter().find(|end| end.value < best * (1.0 + 1e-6)).unwrap();
    for end in ends.iter().filter(|end| end.value < best * (1.0 + 1e-6)) {
        for (a, b) in end.z.iter().zip(&reference.z) {
            assert!((a - b).abs() < 2e-3, "{:?} {:?}", end.z, reference.z);
        }
    }
    // And the gradient vanishes there, in every direction that no bound holds.
    let mut gradient = vec![0.0; reference.z.len()];
    objective.value(&reference.z, Some(&mut gradient), &mut scratch);
    for (k, g) in gradient.iter().enumerate() {
        let z = reference.z[k];
        if z > plan.lower[k] + 1e-6 && z < plan.upper[k] - 1e-6 {
            assert!(g.abs() < 1e-3, "gradient {g} of coefficient {k} at the optimum");
        }
    }
}

#[test]
fn a_fit_is_as_good_as_a_dense_search_with_exact_linear_algebra() {
    // L = L₀ + A·S^-α + B·(η/10⁻³)^q with q held: for each α the best L₀, A, B are a linear least-squares problem.
    let curves = runs(Noise { point: 1e-3, run: 1e-3, wander: 1e-3 }, 10);
    let law = named("memoryless");
    let options = FitOptions {
        residual: Residual::Raw,
        criterion: Criterion::Squares,
        weighting: Weighting::EqualPoints,
        points_per_curve: None,
        fixed: [("q".to_owned(), 0.6)].into(),
        ..FitOptions::default()
    };
    let found = fit_point(law, &curves, &options).unwrap();
    let at = |name: &str| law.coefficients().iter().position(|c| c.name == name).unwrap();
    let data = Dataset::new(law, &curves, &options);
    let mut best = (f64::INFINITY, 0.0);
    for i in 0..=4000 {
        let alpha = 0.05 + 1.95 * f64::from(i) / 4000.0;
        let rows: Vec<[f64; 4]> = data
            .runs
            .iter()
            .flat_map(|run| {
                let f = &run.features;
                (0..run.loss.len())
                    .map(|i| [1.0, f.forward_effect[i].powf(-alpha), (f.lr[i] / 1e-3).powf(0.6), run.loss[i]])
                    .collect::<Vec<_>>()
            })
            .collect();
        let x = DMatrix::from_fn(rows.len(), 3, |i, j| rows[i][j]);
        let y = DVector::from_fn(rows.len(), |i, _| rows[i][3]);
        let solution = (x.transpose() * &x).cholesky().unwrap().solve(&(x.transpose() * &y));
        let value = 0.5 * (y - x * solution).norm_squared();
        if value < best.0 {
            best = (value, alpha);
        }
    }
    let alpha = found.theta[at("alpha")];
    assert!(found.solution.objective <= best.0 * (1.0 + 1e-9), "{} {}", found.solution.objective, best.0);
    assert!(found.solution.objective > best.0 * 0.999, "the reference is the same function");
    assert!((alpha - best.1).abs() < 2e-3, "{alpha} {}", best.1);
}
