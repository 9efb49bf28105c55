//! Features, laws with their Jacobians, objectives, fits and bootstraps on simulated runs: `cargo bench -p lehr`.

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use lehr::features::Momentum;
use lehr::fit::{Dataset, FitOptions, Objective, Plan, Scratch, fit_point, resample, starts};
use lehr::law::{self, Law, NoiseRelaxation, exact_gain};
use lehr::{AnnealingRatio, Curve, FeatureDefinition, RunFeatures, RunMeta, Schedule, Shape, Steps, Wsd};
use std::hint::black_box;
use std::time::Duration;

fn schedule(total: u64, ratio: f64, shape: Shape) -> Schedule {
    let ratio = AnnealingRatio::new(ratio).unwrap();
    Schedule::Wsd(Wsd::new(3e-4, Steps(total), Steps(total / 10), ratio, shape, 3e-5).unwrap())
}

/// Runs of 20,000 updates, 156 points each, from the noise-relaxation law with a ripple of 3·10⁻⁴.
fn curves(count: usize) -> Vec<Curve> {
    let theta: Vec<f64> = NoiseRelaxation.coefficients().iter().map(|c| c.start).collect();
    (0..count)
        .map(|i| {
            let shape = [Shape::Linear, Shape::Cosine, Shape::OneMinusSqrt][i % 3];
            let schedule = schedule(20_000, 0.9 * (i % 7) as f64 / 7.0, shape);
            let points: Vec<u64> = (1..=156).map(|k| k * 128).collect();
            let run = RunFeatures::new(&schedule, &points, None, None, &FeatureDefinition::default());
            let mut loss = vec![0.0; points.len()];
            NoiseRelaxation.predict(&theta, &run, &mut loss);
            for (k, l) in loss.iter_mut().enumerate() {
                *l *= 1.0 + 3e-4 * (12.9898 * k as f64 + 78.233 * i as f64).sin();
            }
            Curve::new(RunMeta::named(format!("run-{i}")), schedule, points, loss).unwrap()
        })
        .collect()
}

fn features(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("features");
    for total in [1_000_u64, 10_000, 100_000] {
        let rates = schedule(total, 0.3, Shape::Cosine).rates();
        let points: Vec<u64> = (1..=100).map(|k| k * total / 100).collect();
        for (name, momentum) in
            [("nodes", Momentum::None), ("nodes and momentum", Momentum::Dense { stride: 1, warmup: true })]
        {
            let definition = FeatureDefinition { momentum, ..FeatureDefinition::default() };
            group.bench_with_input(BenchmarkId::new(name, total), &rates, |bencher, rates| {
                bencher.iter(|| {
                    RunFeatures::from_rates(black_box(rates), 0.0, &points, None, None, &definition)
                });
            });
        }
    }
    group.finish();
}

fn law_and_jacobian(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("law and Jacobian, cosine of 24,000 updates, 48 points");
    let schedule = schedule(24_000, 0.9, Shape::Cosine);
    let points: Vec<u64> = (1..=48).map(|k| k * 500).collect();
    for law in law::all() {
        let run = RunFeatures::new(&schedule, &points, None, Some(lehr::Tokens(500_000)), &law.features());
        let theta: Vec<f64> = law.coefficients().iter().map(|c| c.start).collect();
        let (mut loss, mut jacobian) = (vec![0.0; 48], vec![0.0; 48 * theta.len()]);
        group.bench_function(law.name(), |bencher| {
            bencher.iter(|| law.predict_with_jacobian(black_box(&theta), &run, &mut loss, &mut jacobian));
        });
    }
    let rates = schedule.rates();
    group.sample_size(10).bench_function("multi-power, exact sum, without Jacobian", |bencher| {
        bencher.iter(|| {
            points
                .iter()
                .map(|&t| exact_gain(black_box(&rates), 2_399, t as usize, 30.0, 0.5, 0.5))
                .sum::<f64>()
        });
    });
    group.finish();
}

fn objectives(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("objective and gradient by runs");
    for name in ["noise-relaxation", "forward-momentum", "cmmt", "multi-power"] {
        let law = law::by_name(name).unwrap();
        for count in [1, 4, 16, 64] {
            let options = FitOptions::default();
            let data = Dataset::new(law, &curves(count), &options);
            let plan = Plan::new(law, &data, &options).unwrap();
            let objective = Objective::new(law, &data, &plan, &options);
            let z = starts::starts(law, &data, &plan, 1, 0).remove(0);
            let (mut gradient, mut scratch) = (vec![0.0; z.len()], Scratch::default());
            group.bench_function(BenchmarkId::new(name, count), |bencher| {
                bencher.iter(|| objective.value(black_box(&z), Some(&mut gradient), &mut scratch));
            });
        }
    }
    group.finish();
}

fn fits(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("fit of 4 runs by starts");
    group.sample_size(10);
    let curves = curves(4);
    for name in ["noise-relaxation", "forward-momentum", "cmmt"] {
        let law: &dyn Law = law::by_name(name).unwrap();
        for starts in [1, 4, 16] {
            let options = FitOptions { starts, ..FitOptions::default() };
            group.bench_function(BenchmarkId::new(name, starts), |bencher| {
                bencher.iter(|| fit_point(law, black_box(&curves), &options).unwrap());
            });
        }
    }
    group.finish();
}

fn bootstraps(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("100 bootstrap refits of 4 runs");
    group.sample_size(10);
    let curves = curves(4);
    for name in ["noise-relaxation", "cmmt"] {
        let law = law::by_name(name).unwrap();
        let options = FitOptions::default();
        let point = fit_point(law, &curves, &options).unwrap();
        group.bench_function(name, |bencher| {
            bencher.iter(|| resample::bootstrap(law, black_box(&curves), &point, &options, 100));
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    targets = features, law_and_jacobian, objectives, fits, bootstraps
}
criterion_main!(benches);
