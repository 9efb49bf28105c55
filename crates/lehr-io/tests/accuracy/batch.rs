//! Batches that were not fitted: steplaw-dense, final losses alone.

use crate::support::{batch, heading, held_out, levels, mean, named, params, steplaw, those};
use lehr::fit::{FitOptions, fit_point};

/// Runs whose last loss is within a margin of the best of their size and batch: the published grid goes far beyond the rates
/// that anyone trains at.
pub fn usual(curves: &[lehr::Curve], margin: f64) -> Vec<lehr::Curve> {
    let best = |n: u64, b: u64| {
        curves
            .iter()
            .filter(|c| params(c) == n && batch(c) == b)
            .map(|c| c.last().1)
            .fold(f64::INFINITY, f64::min)
    };
    those(curves, |c| c.last().1 < margin * best(params(c), batch(c)))
}

#[test]
#[ignore = "minutes; reads public curves"]
fn other_batches() {
    let Some(all) = steplaw() else { return };
    let law = named("noise-relaxation");
    let options = FitOptions { starts: 4, ..FitOptions::default() };
    println!("batches: {:?}", levels(&all, batch));
    println!("sizes: {:?}", levels(&all, params));
    let all = usual(&all, 1.03);
    println!("{} usual runs", all.len());
    heading("steplaw-dense: two batches of one size → its other batches");
    let mut two = Vec::new();
    let sizes = levels(&all, params);
    for &n in &sizes {
        let of_size = those(&all, |c| params(c) == n);
        let batches: Vec<u64> = levels(&of_size, batch)
            .into_iter()
            .filter(|&b| of_size.iter().filter(|c| batch(c) == b).count() >= 12)
            .collect();
        if batches.len() < 3 {
            continue;
        }
        let (low, high) = (batches[batches.len() / 4], batches[3 * batches.len() / 4]);
        let train = those(&of_size, |c| batch(c) == low || batch(c) == high);
        let test = those(&of_size, |c| batch(c) != low && batch(c) != high);
        two.push(held_out(&format!("N {n}, {low} and {high}"), law, &train, &test, &options));
        // Two tries: exponents that two batches say more or less about than the prior allows.
        for sd in [0.03, 0.3] {
            let priors =
                [("beta_s", 0.5), ("beta_y", -0.5)].map(|(name, mean)| (name.to_owned(), (mean, sd)));
            let options = FitOptions { priors: priors.into_iter().collect(), ..options.clone() };
            held_out(&format!("– β within ±{sd}"), law, &train, &test, &options);
        }
    }
    heading("steplaw-dense: one batch → twice and four times it, up and down");
    let (mut twice, mut four) = (Vec::new(), Vec::new());
    for &n in &sizes {
        let of_size = those(&all, |c| params(c) == n);
        let batches = levels(&of_size, batch);
        for &b in &batches {
            let train = those(&of_size, |c| batch(c) == b);
            if train.len() < 20 || levels(&train, |c| c.last().0).len() < 3 {
                continue;
            }
            for (factor, found) in [(2.0, &mut twice), (4.0, &mut four)] {
                let near = |c: &lehr::Curve| {
                    let ratio = batch(c) as f64 / b as f64;
                    let apart = ratio.max(1.0 / ratio);
                    apart > factor / 1.25 && apart < factor * 1.25
                };
                let test = those(&of_size, near);
                if test.len() >= 5 {
                    found.push(held_out(&format!("N {n}, {b} → ×{factor}"), law, &train, &test, &options));
                }
            }
        }
    }
    for (name, errors) in [("two batches → others", &two), ("one → ×2", &twice), ("one → ×4", &four)]
    {
        println!("{name}: mean of {} splits {:.3} %", errors.len(), mean(errors.iter().map(|e| e.finals)));
    }
}

#[test]
#[ignore = "minutes; reads public curves"]
fn all_final_losses_are_fitted_in_seconds() {
    let Some(all) = steplaw() else { return };
    for law in lehr::law::all() {
        let name = law.name();
        let begin = std::time::Instant::now();
        let point = fit_point(law, &all, &FitOptions::default()).unwrap();
        println!(
            "{name}: {} runs in {:.1} s, objective {:.3}, {} of {} starts agree, θ {:.3?}",
            all.len(),
            begin.elapsed().as_secs_f64(),
            point.solution.objective,
            point.solution.starts_agreeing,
            point.solution.starts,
            point.theta
        );
    }
}
