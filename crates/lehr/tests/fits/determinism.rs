//! The same input gives the same bits, whatever the number of threads.

use crate::support::{Noise, named, runs, wsd};
use lehr::fit::{FitOptions, fit, fit_point, profile, resample};
use lehr::forecast::{Setting, default_points, forecast};
use lehr::recommend::{RecommendOptions, Target, optimise_free_schedule, recommend_ratio};
use lehr::validate::{LeaveOut, splits, validate};
use lehr::{Shape, Steps};

fn with_threads<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(work)
}

/// Everything that is computed in parallel, as text: `{:?}` of a float gives its bits back.
fn everything() -> String {
    let curves = runs(Noise { point: 1e-4, run: 2e-4, wander: 2e-4 }, 1);
    let law = named("noise-relaxation");
    let options = FitOptions { starts: 6, points_per_curve: Some(24), ..FitOptions::default() };
    let fitted = fit(law, &curves, &options).unwrap();
    let point = fit_point(law, &curves, &options).unwrap();
    let bootstrap = resample::bootstrap(law, &curves, &point, &options, 5);
    let profiles = profile::profiles(law, &point, &options, 6);
    let validation = validate(law, &curves, &splits(&curves, LeaveOut::PeakRate).unwrap(), &options).unwrap();
    let target = Target {
        peak_lr: 1e-3,
        total: Steps(6000),
        warmup: Steps(100),
        shape: Shape::Linear,
        final_lr: 0.0,
        setting: Setting::default(),
    };
    let found = recommend_ratio(&fitted, &target, &RecommendOptions::default()).unwrap();
    let free = optimise_free_schedule(&fitted, &target, &found).unwrap();
    let forecast =
        forecast(&fitted, &wsd(1e-3, 6000, 0.3), &Setting::default(), &default_points(6000, 20)).unwrap();
    format!("{fitted:?}\n{bootstrap:?}\n{profiles:?}\n{validation:?}\n{found:?}\n{free:?}\n{forecast:?}")
}

#[test]
fn one_and_two_threads_give_the_same_bits() {
    let one = with_threads(1, everything);
    assert!(one == with_threads(2, everything), "two threads give another answer than one");
    assert!(one == with_threads(1, everything), "two runs give different answers");
}

#[test]
fn the_order_of_the_runs_moves_a_fit_by_rounding_alone() {
    let mut curves = runs(Noise { point: 1e-4, run: 2e-4, wander: 0.0 }, 2);
    let law = named("noise-relaxation");
    let options = FitOptions { starts: 6, ..FitOptions::default() };
    let forth = fit_point(law, &curves, &options).unwrap();
    curves.reverse();
    let back = fit_point(law, &curves, &options).unwrap();
    for (a, b) in forth.z.iter().zip(&back.z) {
        // The sums differ in the last place; the optimum is flat, so z may differ by its square root.
        assert!((a - b).abs() < 1e-4, "{a} {b}");
    }
}
