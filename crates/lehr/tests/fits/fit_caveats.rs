//! Data that cannot answer lead to caveats that say so.

use crate::support::{Noise, named, random, runs, simulated, truth, wsd};
use lehr::fit::{Fit, FitOptions, fit};
use lehr::{Arch, Curve, RunMeta, Schedule, Split, Steps};

fn blocking(fit: &Fit, code: &str) -> bool {
    fit.caveats.iter().any(|c| c.blocking && c.code == code)
}

fn fitted(curves: &[Curve]) -> Fit {
    fit(named("noise-relaxation"), curves, &FitOptions { starts: 4, ..FitOptions::default() }).unwrap()
}

#[test]
fn a_single_cosine_blocks() {
    let cosine = Schedule::cosine(1e-3, Steps(6000), Steps(100), 1e-4).unwrap();
    let noise = Noise { point: 2e-4, ..Noise::default() };
    let curve = simulated(named("noise-relaxation"), &truth(), "cosine", cosine, 60, noise, &mut random(20));
    let fit = fitted(&[curve]);
    assert!(blocking(&fit, "no-stable-run"), "{:?}", fit.caveats);
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
        let mut meta = curves[3].meta().clone();
        edit(&mut meta);
        curves[3] = curves[3].clone().with_meta(meta);
        fitted(&curves)
    };
    assert!(blocking(&change(&|m| m.split = Split::Train), "mixed-splits"));
    assert!(blocking(&change(&|m| m.dataset = Some("another".to_owned())), "mixed-datasets"));
    assert!(blocking(&change(&|m| m.arch = Arch::Moe { experts: 8, top_k: 2 }), "mixed-architectures"));
    assert!(!change(&|_| {}).caveats.iter().any(|c| c.code.starts_with("mixed-")));
}

#[test]
fn good_runs_do_not_block() {
    let fit = fitted(&runs(Noise { point: 2e-4, run: 3e-4, wander: 0.0 }, 23));
    assert!(fit.caveats.iter().all(|c| !c.blocking), "{:?}", fit.caveats);
    let one = wsd(1e-3, 100 * 40, 0.2);
    assert_eq!(one.total().0, 4000);
}
