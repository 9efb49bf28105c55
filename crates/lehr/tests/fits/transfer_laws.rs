//! Transfer laws and stability tests on planted optima.

use crate::support::{gauss, random};
use lehr::transfer::{
    ALL_VARIABLES, Limit, Optimum, TransferError, Variable, check_architecture, power_law, stability,
};
use lehr::{ArchFamily, Params};

const JOINT: [Variable; 2] = [Variable::PeakLr, Variable::Horizon];

/// Optima of R = 0.45·(η/10⁻³)^0.4·(T/10⁴)^0.15·N₈^effect with noise of ln R.
fn planted(effect: f64, noise: f64, seed: u64) -> Vec<Optimum> {
    let mut rng = random(seed);
    let mut optima = Vec::new();
    for peak_lr in [2e-4, 5e-4, 1e-3, 2e-3] {
        for total in [5e3, 1e4, 2e4] {
            for n8 in [0.3, 1.0, 3.0] {
                let ln = 0.45_f64.ln()
                    + 0.4 * (peak_lr / 1e-3_f64).ln()
                    + 0.15 * (total / 1e4_f64).ln()
                    + effect * f64::ln(n8);
                optima.push(Optimum {
                    peak_lr,
                    total,
                    params: Some(Params((n8 * 1e8_f64).round() as u64)),
                    arch: ArchFamily::Dense,
                    dataset: "web".to_owned(),
                    split: "validation".to_owned(),
                    ratio: (ln + noise * gauss(&mut rng)).exp(),
                    ln_sd: noise,
                    limit: None,
                });
            }
        }
    }
    optima
}

#[test]
fn planted_exponents_are_recovered() {
    let exact = power_law(&planted(0.0, 0.0, 0), &JOINT, lehr::Level::USUAL).unwrap();
    assert!((exact.lambda - 0.45).abs() < 1e-9);
    assert!((exact.exponents[0].value - 0.4).abs() < 1e-9 && (exact.exponents[1].value - 0.15).abs() < 1e-9);
    let (ratio, _) = exact.predict(5e-4, 4e4, None, lehr::Level::USUAL).unwrap();
    assert!((ratio - 0.45 * 0.5_f64.powf(0.4) * 4.0_f64.powf(0.15)).abs() < 1e-9);
    assert_eq!(exact.predict(1.0, 1e6, None, lehr::Level::USUAL).unwrap().0, 1.0, "capped at the whole run");
    let inside = (0..200)
        .filter(|&seed| {
            let e = power_law(&planted(0.0, 0.1, seed), &JOINT, lehr::Level::USUAL).unwrap().exponents[0];
            assert!((e.value - 0.4).abs() < 0.15, "{e:?}");
            e.interval.0 <= 0.4 && 0.4 <= e.interval.1
        })
        .count();
    // 180 expected, standard deviation 4.2.
    assert!((166..=194).contains(&inside), "{inside} of 200 intervals hold the exponent");
}

#[test]
fn the_size_is_a_variable_like_any_other() {
    let optima = planted(0.25, 0.0, 0);
    let variables = ALL_VARIABLES;
    let law = power_law(&optima, &variables, lehr::Level::USUAL).unwrap();
    assert!((law.exponents[2].value - 0.25).abs() < 1e-9);
    let (ratio, _) = law.predict(1e-3, 1e4, Some(Params(200_000_000)), lehr::Level::USUAL).unwrap();
    assert!((ratio - 0.45 * 2.0_f64.powf(0.25)).abs() < 1e-9);
    assert_eq!(law.predict(1e-3, 1e4, None, lehr::Level::USUAL), None, "nothing is said of an unknown size");
}

/// The planted optima as ratios from 0.3 to 0.7 show them: those beyond are limits.
fn censored(seed: u64) -> Vec<Optimum> {
    let mut optima = planted(0.0, 0.15, seed);
    for optimum in &mut optima {
        if optimum.ratio < 0.3 {
            (optimum.ratio, optimum.limit) = (0.3, Some(Limit::AtMost));
        } else if optimum.ratio > 0.6 {
            (optimum.ratio, optimum.limit) = (0.6, Some(Limit::AtLeast));
        }
    }
    optima
}

#[test]
fn limits_count_by_their_side_and_bias_no_exponent() {
    let (mut sum, mut left_out, mut taken, mut inside) = (0.0, 0.0, 0.0, 0);
    for seed in 0..200 {
        let optima = censored(seed);
        let law = power_law(&optima, &JOINT, lehr::Level::USUAL).unwrap();
        assert_eq!(law.n + law.limits, 36);
        assert!(law.limits >= 8, "{}", law.limits);
        let e = &law.exponents[0];
        sum += e.value / 200.0;
        inside += usize::from(e.interval.0 <= 0.4 && 0.4 <= e.interval.1);
        // What was done before: without the limits, and with them as if they were optima.
        let without: Vec<Optimum> = optima.iter().filter(|o| o.limit.is_none()).cloned().collect();
        left_out += power_law(&without, &JOINT, lehr::Level::USUAL).unwrap().exponents[0].value / 200.0;
        let as_optima: Vec<Optimum> = optima.into_iter().map(|o| Optimum { limit: None, ..o }).collect();
        taken += power_law(&as_optima, &JOINT, lehr::Level::USUAL).unwrap().exponents[0].value / 200.0;
    }
    assert!((sum - 0.4).abs() < 0.01, "{sum}");
    assert!(left_out < 0.37 && taken < 0.37, "left out {left_out}, as optima {taken}");
    // 180 expected, standard deviation 4.2.
    assert!((164..=194).contains(&inside), "{inside} of 200 intervals hold the exponent");
}

#[test]
fn a_limit_that_the_law_expects_changes_nothing() {
    let mut optima = planted(0.0, 0.02, 3);
    let law = power_law(&optima, &JOINT, lehr::Level::USUAL).unwrap();
    optima.push(Optimum { ratio: 0.9, limit: Some(Limit::AtMost), ..optima[0].clone() });
    let again = power_law(&optima, &JOINT, lehr::Level::USUAL).unwrap();
    assert!((again.lambda - law.lambda).abs() < 1e-6, "{again:?} {law:?}");
    assert_eq!((again.n, again.limits), (law.n, 1));
}

#[test]
fn architectures_of_unlike_sizes_are_compared_at_equal_size() {
    // ln R grows with N, and the mixtures of experts are the larger ones: the architecture itself changes nothing.
    let mut optima = planted(0.25, 0.02, 1);
    for optimum in &mut optima {
        if optimum.params == Some(Params(300_000_000))
            || (optimum.params == Some(Params(100_000_000)) && optimum.total == 1e4)
        {
            optimum.arch = ArchFamily::Moe;
        }
    }
    let answers = stability(&optima);
    let architecture = answers.iter().find(|q| q.across == "architecture").unwrap();
    assert!(architecture.verdict.starts_with("no change"), "{architecture:?}");
    let gap = 0.3;
    for optimum in optima.iter_mut().filter(|o| o.arch == ArchFamily::Moe) {
        optimum.ratio *= f64::exp(gap);
    }
    let answers = stability(&optima);
    let architecture = answers.iter().find(|q| q.across == "architecture").unwrap();
    assert!((architecture.effect.unwrap() - gap).abs() < 0.05, "{architecture:?}");
}

#[test]
fn what_cannot_be_determined_is_refused() {
    let optima = planted(0.0, 0.0, 0);
    assert!(matches!(power_law(&optima[..2], &JOINT, lehr::Level::USUAL), Err(TransferError::TooFew { .. })));
    let same: Vec<Optimum> = optima.into_iter().filter(|o| o.total == 1e4).collect();
    assert!(
        matches!(power_law(&same, &[Variable::Horizon], lehr::Level::USUAL), Err(TransferError::Constant(v)) if v == "horizon")
    );
}

fn flagged(effect: f64) -> usize {
    (0..100)
        .filter(|&seed| {
            let answers = stability(&planted(effect, 0.1, seed));
            let size = answers.iter().find(|q| q.across == "N").unwrap();
            assert_eq!(size.p_value.unwrap() < 0.05, size.verdict.starts_with("moves"));
            size.p_value.unwrap() < 0.05
        })
        .count()
}

#[test]
fn a_planted_effect_of_size_is_flagged_and_its_absence_is_not() {
    assert!(flagged(0.15) >= 95, "power at an effect of nine standard errors");
    let false_alarms = flagged(0.0);
    // Five of a hundred expected, standard deviation 2.2.
    assert!(false_alarms <= 12, "{false_alarms} false alarms of 100");
}

#[test]
fn questions_without_two_levels_say_so() {
    let answers = stability(&planted(0.0, 0.1, 0));
    assert_eq!(answers.len(), 4);
    for q in answers.iter().filter(|q| q.across != "N") {
        assert!(q.verdict.starts_with("not tested") && q.p_value.is_none(), "{q:?}");
    }
}

#[test]
fn architectures_are_not_crossed_in_silence() {
    let optima = planted(0.0, 0.0, 0);
    assert_eq!(check_architecture(&optima, ArchFamily::Dense, false), Ok(None));
    assert!(matches!(
        check_architecture(&optima, ArchFamily::Moe, false),
        Err(TransferError::Architecture { .. })
    ));
    let caveat = check_architecture(&optima, ArchFamily::Moe, true).unwrap().unwrap();
    assert_eq!(caveat.code(), "across-architectures");
}

#[test]
fn the_line_of_a_law_is_what_it_predicts_and_takes_no_rate_for_a_horizon() {
    let optima = planted(0.0, 0.05, 3);
    let rates = [2e-4, 1e-3, 4e-3];
    let law = power_law(&optima, &[Variable::PeakLr], lehr::Level::USUAL).unwrap();
    let line = law.along(Variable::PeakLr, &rates, lehr::Level::USUAL).unwrap();
    for (rate, point) in rates.iter().zip(&line) {
        assert_eq!(Some(*point), law.predict(*rate, 1e4, Some(Params(100_000_000)), lehr::Level::USUAL));
    }
    assert_eq!(
        law.along(Variable::Horizon, &[1e4], lehr::Level::USUAL),
        None,
        "a law of the rate says nothing of horizons"
    );
    let horizons = power_law(&optima, &[Variable::Horizon], lehr::Level::USUAL).unwrap();
    let at = horizons.along(Variable::Horizon, &[1e4, 4e4], lehr::Level::USUAL).unwrap();
    assert_eq!(Some(at[1]), horizons.predict(1e-3, 4e4, None, lehr::Level::USUAL));
    let size = power_law(&planted(0.25, 0.05, 3), &[Variable::Params], lehr::Level::USUAL).unwrap();
    assert_eq!(
        size.along(Variable::Params, &[2e8], lehr::Level::USUAL).map(|line| line[0]),
        size.predict(1e-3, 1e4, Some(Params(200_000_000)), lehr::Level::USUAL)
    );
    // Of a law of both, one of them does not tell the ratio: before, the rate stood in for the horizon.
    let both = power_law(&optima, &JOINT, lehr::Level::USUAL).unwrap();
    assert_eq!(both.along(Variable::PeakLr, &rates, lehr::Level::USUAL), None);
}

#[test]
fn the_interval_of_a_measured_optimum_survives_the_way_through_its_deviation() {
    let optimum = Optimum { ln_sd: 0.2, ratio: 0.4, ..planted(0.0, 0.0, 0).remove(0) };
    let (low, high) = optimum.interval(lehr::Level::USUAL).unwrap();
    assert!((low - 0.4 * (-0.2 * 1.644_853_627_f64).exp()).abs() < 1e-9, "{low}");
    assert!((low * high - 0.16).abs() < 1e-12, "symmetric in the logarithm: {low} {high}");
    assert_eq!(Optimum { ratio: 0.9, ..optimum.clone() }.interval(lehr::Level::USUAL).unwrap().1, 1.0);
    assert_eq!(Optimum { ln_sd: 0.0, ..optimum }.interval(lehr::Level::USUAL), None);
}
