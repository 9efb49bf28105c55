//! Peak rate and batch chosen for a size that was not fitted: steplaw-dense, next to the published formulas.

use crate::batch::usual;
use crate::support::{batch, levels, mean, named, params, steplaw, those};
use lehr::Curve;
use lehr::fit::{FitOptions, evaluate, fit_point};
use std::collections::BTreeMap;

/// Fewest runs of one N and number of tokens that make a grid of rates and batches.
const GRID: usize = 30;

/// The run of a grid that is nearest to a rate and a batch, on the log scale.
fn nearest(grid: &[Curve], rate: f64, tokens: f64) -> f64 {
    let apart = |c: &Curve| {
        let (r, b) = (c.schedule().peak_lr() / rate, batch(c) as f64 / tokens);
        r.ln().powi(2) + b.ln().powi(2)
    };
    grid.iter().min_by(|a, b| apart(a).total_cmp(&apart(b))).unwrap().last().1
}

/// Li et al., Predictable Scale: Part I, 2025: rate and batch (tokens) for N parameters and D tokens.
fn step_law(n: f64, d: f64) -> (f64, f64) {
    (1.79 * n.powf(-0.713) * d.powf(0.307), 0.58 * d.powf(0.571))
}

/// Hu et al., MiniCPM, 2024: batch in tokens for a loss.
fn minicpm(loss: f64) -> f64 {
    1.21e9 / loss.powf(6.24)
}

/// The regrets of one choice of training runs: of the law, of Step Law, of MiniCPM's batch, of the middle of the grid.
fn regrets(all: &[Curve], n: u64, margin: f64, rows: bool) -> [Vec<f64>; 4] {
    let law = named("noise-relaxation");
    let options = FitOptions { starts: 4, ..FitOptions::default() };
    let train = those(&usual(all, margin), |c| params(c) != n);
    let point = fit_point(law, &train, &options).unwrap();
    let mut grids: BTreeMap<u64, Vec<Curve>> = BTreeMap::new();
    for curve in those(all, |c| params(c) == n) {
        // Tokens to two digits: batches do not divide a budget evenly.
        let tokens = (curve.last().0 * batch(&curve)) as f64;
        let unit = 10f64.powf(tokens.log10().floor() - 1.0);
        grids.entry(((tokens / unit).round() * unit) as u64).or_default().push(curve);
    }
    let mut out: [Vec<f64>; 4] = Default::default();
    for (tokens, grid) in grids.into_iter().filter(|(_, grid)| grid.len() >= GRID) {
        let best = grid.iter().map(|c| c.last().1).fold(f64::INFINITY, f64::min);
        let forecast = |c: &Curve| {
            let (_, end, _) = evaluate(law, &point.theta, c, &point.data.definition, &options);
            c.last().1 * (1.0 + end)
        };
        let chosen = grid.iter().min_by(|a, b| forecast(a).total_cmp(&forecast(b))).unwrap();
        let regret = |loss: f64| 1e3 * (loss - best);
        let (rate, of_step_law) = step_law(n as f64, tokens as f64);
        let middle = |of: &dyn Fn(&Curve) -> f64| {
            (grid.iter().map(|c| of(c).ln()).sum::<f64>() / grid.len() as f64).exp()
        };
        let (centre, of_centre) = (middle(&|c| c.schedule().peak_lr()), middle(&|c| batch(c) as f64));
        let found = [
            regret(chosen.last().1),
            regret(nearest(&grid, rate, of_step_law)),
            regret(nearest(&grid, chosen.schedule().peak_lr(), minicpm(best))),
            regret(nearest(&grid, centre, of_centre)),
        ];
        if rows {
            println!(
                "| {n} | {tokens:.2e} | {} | {:.2e}, {} | {:.1} | {:.1} | {:.1} | {:.1} |",
                grid.len(),
                chosen.schedule().peak_lr(),
                batch(chosen),
                found[0],
                found[1],
                found[2],
                found[3]
            );
        }
        for (all, one) in out.iter_mut().zip(found) {
            all.push(one);
        }
    }
    out
}

#[test]
#[ignore = "minutes; reads public curves"]
fn peak_rate_and_batch_chosen_for_another_size() {
    let Some(all) = steplaw() else { return };
    let sizes = levels(&all, params);
    // Which runs to fit is chosen on the first size and judged on the others.
    let margins = [1.03, 1.1, f64::INFINITY];
    let of_first = margins.map(|margin| {
        let found = mean(regrets(&all, sizes[0], margin, false)[0].iter().copied());
        println!(
            "{} left out, runs within {margin} × the best fitted: mean regret {found:.1} mnat",
            sizes[0]
        );
        found
    });
    let best = (0..margins.len()).min_by(|&a, &b| of_first[a].total_cmp(&of_first[b])).unwrap();
    println!(
        "| N left out | tokens | runs | chosen by the law: rate, batch | regret, mnat | Step Law | MiniCPM's batch, the law's rate | middle of the grid |\n|---|---|---|---|---|---|---|---|"
    );
    let mut total: [Vec<f64>; 4] = Default::default();
    for &n in &sizes[1..] {
        for (all, more) in total.iter_mut().zip(regrets(&all, n, margins[best], true)) {
            all.extend(more);
        }
    }
    for (name, values) in ["law", "Step Law", "MiniCPM's batch", "middle"].iter().zip(&total) {
        let most = values.iter().copied().fold(0.0, f64::max);
        let mean = mean(values.iter().copied());
        println!("{name}: mean {mean:.1}, largest {most:.1} mnat over {} grids", values.len());
    }
    assert!(mean(total[0].iter().copied()) < 60.0, "{total:?}");
}
