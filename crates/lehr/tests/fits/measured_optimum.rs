//! The optimum measured from runs that differ in the ratio alone.

use crate::support::{gauss, random, wsd};
use lehr::measured::{measured_optima, twin_noise};
use lehr::{Curve, Params, RunMeta, Tokens};

const QUADRATIC: [f64; 3] = [3.1, -0.2, 0.16];

fn value(ratio: f64) -> f64 {
    QUADRATIC[0] + QUADRATIC[1] * ratio.sqrt() + QUADRATIC[2] * ratio
}

fn run(id: &str, peak: f64, total: u64, ratio: f64, loss: f64) -> Curve {
    let meta = RunMeta {
        params: Some(Params(100_000_000)),
        tokens_per_step: Some(Tokens(100_000)),
        final_loss: Some(loss),
        ..RunMeta::named(id)
    };
    Curve::new(meta, wsd(peak, total, ratio), vec![total / 2, total], vec![loss + 0.3, loss]).unwrap()
}

const RATIOS: [f64; 7] = [0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 0.9];

fn cell(noise: f64, seed: u64) -> Vec<Curve> {
    let mut rng = random(seed);
    RATIOS
        .iter()
        .map(|&r| run(&format!("r{r}"), 1e-3, 10_000, r, value(r) + noise * gauss(&mut rng)))
        .collect()
}

#[test]
fn an_exact_quadratic_gives_its_vertex() {
    let found = measured_optima(&cell(0.0, 0));
    assert_eq!(found.len(), 1);
    let m = &found[0];
    let vertex = (QUADRATIC[1] / (2.0 * QUADRATIC[2])).powi(2);
    assert!((m.ratio - vertex).abs() < 1e-9, "{} {vertex}", m.ratio);
    assert!((m.loss - value(vertex)).abs() < 1e-10);
    assert!(m.misfit < 1e-10 && !m.at_edge);
    for (found, planted) in m.quadratic.iter().zip(QUADRATIC) {
        assert!((found - planted).abs() < 1e-8);
    }
    assert!((m.regret(0.1) - (value(0.1) - value(vertex))).abs() < 1e-9);
    assert!(m.regret(vertex).abs() < 1e-12);
}

#[test]
fn intervals_hold_the_vertex() {
    let vertex = (QUADRATIC[1] / (2.0 * QUADRATIC[2])).powi(2);
    let inside = (0..100)
        .filter(|&seed| {
            let m = &measured_optima(&cell(1e-3, seed))[0];
            m.interval.0 <= vertex && vertex <= m.interval.1
        })
        .count();
    // Nominal 90 of 100; seven points and four degrees of freedom make the estimate of the noise a rough one.
    assert!((75..=100).contains(&inside), "{inside} of 100");
}

#[test]
fn an_optimum_beyond_the_ratios_measured_is_marked() {
    let short: Vec<Curve> = cell(0.0, 0).into_iter().take(4).collect();
    let falling: Vec<Curve> = short
        .iter()
        .enumerate()
        .map(|(i, c)| run(&c.meta().id, 1e-3, 10_000, RATIOS[i] / 4.0, value(RATIOS[i] / 4.0)))
        .collect();
    let m = &measured_optima(&falling)[0];
    assert!(m.at_edge && (m.ratio - 0.1).abs() < 1e-9, "{m:?}");
    assert!(measured_optima(&short[..3]).is_empty(), "three ratios measure no optimum");
}

#[test]
fn cells_are_kept_apart_and_twins_give_the_noise() {
    let mut curves = cell(0.0, 0);
    for (i, &r) in RATIOS.iter().enumerate() {
        curves.push(run(&format!("other-{i}"), 2e-3, 10_000, r, value(r) + 0.1));
    }
    assert_eq!(measured_optima(&curves).len(), 2);
    assert_eq!(twin_noise(&curves), None);
    let mut rng = random(3);
    let twins: Vec<Curve> = (0..400)
        .map(|i| run(&format!("t{i}"), 1e-3, 10_000, RATIOS[i / 2 % 7], 3.0 + 2e-3 * gauss(&mut rng)))
        .collect();
    let noise = twin_noise(&twins).unwrap();
    assert!((noise / 2e-3 - 1.0).abs() < 0.15, "{noise}");
}
