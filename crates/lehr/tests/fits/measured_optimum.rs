//! The optimum measured from runs that differ in the ratio alone.

use crate::support::{gauss, random, wsd};
use lehr::measured::{branch_noise, measured_optima, twin_noise};
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

/// A cell measured with several seeds: the runs of a seed share an offset of `common`, and each run has `own` noise.
fn seeded(seeds: u64, ratios: &[f64], common: f64, own: f64, stream: u64) -> Vec<Curve> {
    let mut rng = random(stream);
    let mut curves = Vec::new();
    for seed in 1..=seeds {
        let offset = common * gauss(&mut rng);
        for &r in ratios {
            let loss = value(r) + offset + own * gauss(&mut rng);
            let id = format!("s{seed}-r{r}");
            let meta = RunMeta { seed: Some(seed), ..run(&id, 1e-3, 10_000, r, loss).meta().clone() };
            curves.push(
                Curve::new(meta, wsd(1e-3, 10_000, r), vec![5000, 10_000], vec![loss + 0.3, loss]).unwrap(),
            );
        }
    }
    curves
}

#[test]
fn what_all_runs_of_a_seed_share_disturbs_neither_the_optimum_nor_its_interval() {
    let vertex = (QUADRATIC[1] / (2.0 * QUADRATIC[2])).powi(2);
    // Exact up to the seeds' offsets: the optimum is exact, and the points lie on the quadratic.
    let exact = &measured_optima(&seeded(3, &RATIOS, 0.05, 0.0, 1))[0];
    assert_eq!(exact.seeds, 3);
    assert!((exact.ratio - vertex).abs() < 1e-6 && exact.misfit < 1e-9, "{exact:?}");
    // Seeds that measured unlike sets of ratios do not pull the optimum about.
    let mut uneven = seeded(1, &RATIOS, 0.05, 0.0, 2);
    uneven.extend(seeded(2, &RATIOS[..2], 0.05, 0.0, 3).split_off(2));
    assert!((measured_optima(&uneven)[0].ratio - vertex).abs() < 1e-6);

    let (common, own) = (0.02, 1e-3);
    let (mut narrow, mut inside) = (0, 0);
    for stream in 0..50 {
        let curves = seeded(3, &RATIOS, common, own, stream);
        let noise = branch_noise(&curves).unwrap();
        assert!((noise / own - 1.0).abs() < 0.7, "{noise}");
        let found = &measured_optima(&curves)[0];
        narrow += usize::from(found.interval.1 - found.interval.0 < 0.25);
        inside += usize::from(found.interval.0 <= vertex && vertex <= found.interval.1);
    }
    assert!(narrow == 50, "{narrow}");
    assert!(inside >= 38, "{inside} of 50 intervals of 90 % hold the vertex");
}

#[test]
fn seeds_that_go_with_the_ratio_are_pooled() {
    let curves: Vec<Curve> = (0..4)
        .flat_map(|i| seeded(i + 1, &RATIOS[i as usize..=i as usize], 0.0, 0.0, 5).split_off(i as usize))
        .collect();
    assert_eq!(curves.len(), 4);
    assert_eq!(branch_noise(&curves), None);
    let found = measured_optima(&curves);
    assert_eq!((found.len(), found[0].seeds), (1, 4));
    assert!((found[0].loss - value(found[0].ratio)).abs() < 1e-9);
}
