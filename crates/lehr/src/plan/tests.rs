//! Runs chosen on a law whose coefficients are known.

use super::*;
use crate::curve::{BranchPoint, Curve, RunMeta};
use crate::features::RunFeatures;
use crate::fit::starts::normal;
use crate::fit::{FitOptions, fit, fit_point};
use crate::forecast::Setting;
use crate::law::{Law, NoiseRelaxation};
use crate::recommend::{RecommendOptions, recommend_ratio};
use crate::schedule::{Schedule, Shape, WsdSpec};
use crate::units::{Params, Steps, Tokens};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

const NOISE: Noise = Noise { misfit: 2e-4, shared: 5e-4, point: 4e-4 };
const WARMUP: u64 = 100;

/// Coefficients of a world that is not the law's start; `e_c` and `q` lie so many standard deviations of their priors off.
fn truth(off: [f64; 2]) -> Vec<f64> {
    let mut theta: Vec<f64> = NoiseRelaxation.coefficients().iter().map(|c| c.start).collect();
    for (name, value) in
        [("l0", 2.3), ("a", 0.7), ("alpha", 0.45), ("b", 0.3), ("kappa", 6.0), ("s0", 0.0), ("e", 0.0)]
    {
        let i = NoiseRelaxation.coefficients().iter().position(|c| c.name == name).unwrap();
        theta[i] = value;
    }
    let at = |name: &str| NoiseRelaxation.coefficients().iter().position(|c| c.name == name).unwrap();
    theta[at("e_c")] *= (0.4 * off[0]).exp();
    theta[at("q")] += 0.12 * off[1];
    theta
}

fn schedule(total: u64, anneal: u64) -> Schedule {
    let (total, anneal, warmup) = (Steps(total), Steps(anneal), Steps(WARMUP));
    let spec = WsdSpec { peak_lr: 1e-3, total, warmup, anneal, shape: Shape::Linear, ..WsdSpec::default() };
    spec.checked().map(Schedule::Wsd).unwrap()
}

fn losses(theta: &[f64], schedule: &Schedule, points: &[u64]) -> Vec<f64> {
    let law = NoiseRelaxation;
    let features =
        RunFeatures::new(schedule, points, Some(Params(100_000_000)), Some(Tokens(100_000)), &law.features());
    let mut loss = vec![0.0; points.len()];
    law.predict(theta, &features, &mut loss);
    loss
}

/// A run as it would be measured, with the noise of its trunk and of its points.
fn measured(
    theta: &[f64],
    id: &str,
    (total, anneal): (u64, u64),
    trunk: &str,
    shared: f64,
    rng: &mut ChaCha8Rng,
) -> Curve {
    let first = if anneal == 0 || trunk == id { 200 } else { total - anneal + 1 };
    let points: Vec<u64> = (0..24).map(|i| first + (total - first) * i / 23).collect();
    let schedule = schedule(total, anneal);
    let loss = losses(theta, &schedule, &points)
        .iter()
        .map(|loss| loss * (NOISE.shared * shared + NOISE.point * normal(rng)).exp())
        .collect();
    let branch = (trunk != id).then(|| BranchPoint { trunk: trunk.to_owned(), at: Steps(total - anneal) });
    let meta = RunMeta {
        params: Some(Params(100_000_000)),
        tokens_per_step: Some(Tokens(100_000)),
        branch,
        ..RunMeta::named(id)
    };
    Curve::new(meta, schedule, points, loss).unwrap()
}

/// Two runs to begin with.
fn first_runs(theta: &[f64], rng: &mut ChaCha8Rng) -> Vec<Curve> {
    let shared = normal(rng);
    vec![
        measured(theta, "constant", (4_000, 0), "constant", shared, rng),
        measured(theta, "annealed", (4_000, 800), "constant", shared, rng),
    ]
}

fn target() -> Target {
    Target {
        peak_lr: 1e-3,
        total: Steps(40_000),
        warmup: Steps(WARMUP),
        shape: Shape::Linear,
        final_lr: 0.0,
        setting: Setting {
            params: Some(Params(100_000_000)),
            tokens_per_step: Some(Tokens(100_000)),
            arch: None,
        },
    }
}

fn money() -> Money {
    Money { batch: Some(Tokens(100_000)), sizes: true, operations_per_second: Some(1e14) }
}

fn options(candidates: Candidates) -> PlanOptions {
    PlanOptions {
        candidates,
        checkpoints: Vec::new(),
        budget: None,
        most_runs: 5,
        aim: Aim::Ratio,
        noise: Some(NOISE),
        draws: 4,
        seed: 1,
        level: crate::Level::USUAL,
    }
}

fn grid() -> Candidates {
    Candidates {
        params: vec![Some(Params(100_000_000))],
        peak_lr: vec![1e-3],
        total: vec![2_500, 5_000, 10_000],
        ratio: vec![0.05, 0.2, 0.5],
    }
}

fn quick() -> FitOptions {
    FitOptions { starts: 2, points_per_curve: Some(24), ..FitOptions::default() }
}

#[test]
fn regret_and_interval_fall_with_every_run_and_the_whole_grid_is_the_limit() {
    let fitted =
        fit(&NoiseRelaxation, &first_runs(&truth([0.0; 2]), &mut ChaCha8Rng::seed_from_u64(5)), &quick())
            .unwrap();
    let price = money().price(1, Some(Params(100_000_000))).amount;
    let with_budget = PlanOptions { budget: Some(20_000.0 * price), ..options(grid()) };
    let plan = plan_runs(AtHand::Fit(&fitted), &target(), &money(), &with_budget).unwrap();
    assert!(!plan.runs.is_empty());
    let mut before = (plan.regret, plan.half_width);
    for run in &plan.runs {
        assert!(
            run.regret < before.0 && run.half_width <= before.1 * (1.0 + 1e-9),
            "{run:?} after {before:?}"
        );
        assert_eq!(run.updates, run.trunk_updates + run.anneal_steps);
        before = (run.regret, run.half_width);
    }
    let last = plan.runs.last().unwrap();
    assert!(last.price_so_far.amount <= 20_000.0 * price * (1.0 + 1e-9));
    assert_eq!(last.updates_so_far, plan.runs.iter().map(|run| run.updates).sum::<u64>());
    // The grid shares one trunk to 10,000·0.95 updates; annealings are 75 % of 2,500 + 5,000 + 10,000.
    assert_eq!((plan.grid.runs, plan.grid.updates), (9, 9_500 + 13_125));
    assert!(plan.grid.half_width <= last.half_width && plan.grid.regret <= last.regret + 1e-5);
    // 6·10⁸ operations a token, 10⁵ tokens an update, at 10¹⁴ a second.
    let hours = last.updates_so_far as f64 * 6e13 / 1e14 / 3600.0;
    assert!((last.price_so_far.hours.unwrap() / hours - 1.0).abs() < 1e-9);
    // The same question has the same answer.
    assert_eq!(plan, plan_runs(AtHand::Fit(&fitted), &target(), &money(), &with_budget).unwrap());
}

#[test]
fn a_branch_off_a_checkpoint_at_hand_costs_its_annealing_alone() {
    let fitted =
        fit(&NoiseRelaxation, &first_runs(&truth([0.0; 2]), &mut ChaCha8Rng::seed_from_u64(5)), &quick())
            .unwrap();
    let near = Candidates { total: vec![4_000], ..grid() };
    let options = PlanOptions { checkpoints: vec!["constant".into()], ..options(near) };
    let plan = plan_runs(AtHand::Fit(&fitted), &target(), &money(), &options).unwrap();
    for run in &plan.runs {
        assert_eq!(run.checkpoint.as_deref(), Some("constant"));
        assert_eq!((run.trunk_updates, run.updates), (0, (run.ratio * 4_000.0).round() as u64));
    }
    let wrong = PlanOptions { checkpoints: vec!["annealed".into()], ..options };
    let refused = plan_runs(AtHand::Fit(&fitted), &target(), &money(), &wrong);
    assert_eq!(refused, Err(RunPlanError::Checkpoint("annealed".into())));
}

#[test]
fn without_any_run_the_choice_starts_from_priors() {
    let plan = plan_runs(AtHand::Nothing(&NoiseRelaxation), &target(), &money(), &options(grid())).unwrap();
    assert_eq!(plan.runs_at_hand, 0);
    // The first run must teach more than those after it.
    assert!(plan.runs[0].regret < 0.7 * plan.regret, "{:?}", plan.runs[0]);
    assert_eq!(plan.runs[0].trunk_updates, plan.runs[0].total - plan.runs[0].anneal_steps);
}

#[test]
fn promised_and_realised_intervals_agree_where_the_law_is_true() {
    let candidates = grid();
    let fitted =
        fit(&NoiseRelaxation, &first_runs(&truth([0.0; 2]), &mut ChaCha8Rng::seed_from_u64(5)), &quick())
            .unwrap();
    let three = PlanOptions { most_runs: 3, ..options(candidates) };
    let plan = plan_runs(AtHand::Fit(&fitted), &target(), &money(), &three).unwrap();
    let promised = plan.runs.last().unwrap();
    let at = Steps((plan.ratio * 40_000.0).round() as u64);
    let repeats = 16;
    let (mut squares, mut regret) = (0.0, 0.0);
    for repeat in 0..repeats {
        let mut rng = ChaCha8Rng::seed_from_u64(100 + repeat);
        let theta = truth([normal(&mut rng), normal(&mut rng)]);
        let true_loss = losses(&theta, &target().schedule(at).unwrap(), &[40_000])[0];
        let lowest = (1..100)
            .map(|i| losses(&theta, &target().schedule(Steps(i * 400)).unwrap(), &[40_000])[0])
            .fold(f64::INFINITY, f64::min);
        let mut curves = first_runs(&theta, &mut rng);
        let shared = normal(&mut rng);
        let longest = plan.runs.iter().map(|run| run.total - run.anneal_steps).max().unwrap();
        curves.push(measured(&theta, "trunk", (longest, 0), "trunk", shared, &mut rng));
        for (i, run) in plan.runs.iter().enumerate() {
            let length = (run.total, run.anneal_steps);
            curves.push(measured(&theta, &format!("{i}"), length, "trunk", shared, &mut rng));
        }
        let point = fit_point(&NoiseRelaxation, &curves, &quick()).unwrap();
        let mut again = fitted.clone();
        for (coefficient, value) in again.coefficients.iter_mut().zip(&point.theta) {
            coefficient.value = *value;
        }
        again.uncertainty.refits.clear();
        let found = recommend_ratio(&again, &target(), &RecommendOptions::default()).unwrap();
        let chosen = losses(&theta, &target().schedule(Steps(found.anneal_steps)).unwrap(), &[40_000])[0];
        regret += (chosen - lowest) / repeats as f64;
        let features = RunFeatures::new(
            &target().schedule(at).unwrap(),
            &[40_000],
            Some(Params(100_000_000)),
            Some(Tokens(100_000)),
            &NoiseRelaxation.features(),
        );
        let mut loss = [0.0];
        NoiseRelaxation.predict(&point.theta, &features, &mut loss);
        squares += (loss[0] - true_loss).powi(2) / repeats as f64;
    }
    let (sd, realised) = (promised.half_width / 1.644_854, squares.sqrt());
    println!(
        "interval: promised ±{sd:.5}, realised ±{realised:.5}; regret: promised {:.6}, realised {regret:.6}",
        promised.regret
    );
    // Sixteen repeats know a standard deviation to 18 %; the fit does not weight points as the plan does.
    assert!((0.5..2.0).contains(&(realised / sd)), "promised ±{sd}, realised ±{realised}");
    assert!(regret < 4.0 * promised.regret + 2e-4, "promised {}, realised {regret}", promised.regret);
}
