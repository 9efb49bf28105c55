//! Sizes that were not fitted: slimpajama-sizes and olmo-ladder.

use crate::support::{heading, held_out, levels, load, mean, named, params, those};
use lehr::fit::FitOptions;

#[test]
#[ignore = "minutes; reads public curves"]
fn other_sizes() {
    let Some(all) = load("slimpajama-sizes") else { return };
    let options = FitOptions { starts: 8, ..FitOptions::default() };
    let sizes = levels(&all, params);
    for law in ["noise-relaxation"] {
        let law = named(law);
        heading("slimpajama-sizes: leave one size out");
        let errors: Vec<_> = sizes
            .iter()
            .map(|&n| {
                let (train, test) = (those(&all, |c| params(c) != n), those(&all, |c| params(c) == n));
                held_out(&format!("without {n}"), law, &train, &test, &options)
            })
            .collect();
        let inside = &errors[1..errors.len() - 1];
        println!("interior mean {:.3} %", mean(inside.iter().map(|e| e.mape)));
        heading("slimpajama-sizes: two or three sizes → the next");
        for width in [2, 3] {
            for from in 0..sizes.len() - width {
                let fitted = &sizes[from..from + width];
                let train = those(&all, |c| fitted.contains(&params(c)));
                let test = those(&all, |c| params(c) == sizes[from + width]);
                held_out(&format!("{fitted:?} → {}", sizes[from + width]), law, &train, &test, &options);
            }
        }
    }
}

#[test]
#[ignore = "minutes; reads public curves"]
fn the_ladder_to_the_next_size() {
    let Some(all) = load("olmo-ladder") else { return };
    let options = FitOptions { starts: 8, ..FitOptions::default() };
    let sizes = levels(&all, params);
    heading("olmo-ladder: 190M and 370M → 760M");
    let train = those(&all, |c| params(c) < sizes[2]);
    let test = those(&all, |c| params(c) == sizes[2]);
    for law in ["noise-relaxation", "chinchilla", "chinchilla-steps"] {
        held_out("→ 760M", named(law), &train, &test, &options);
    }
}
