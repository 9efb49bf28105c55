//! The conformance harness: what every law must pass, whoever writes it.
//!
//! A law outside this crate is checked in the same way:
//!
//! ```
//! use lehr::law::{Cmmt, Law};
//! let law: &dyn Law = &Cmmt;
//! assert_eq!(lehr::testing::violations(law), Vec::<String>::new());
//! ```

use crate::features::{FeatureDefinition, Momentum, RunFeatures};
use crate::law::{Law, Scale};
use crate::schedule::{Piecewise, Sampled, Schedule, Segment, Shape, WsdSpec};
use crate::units::{Params, Steps, Tokens};

/// Steps of the finite differences, relative to the coefficient.
const DIFFERENCE: f64 = 2e-5;
/// Largest error of a derivative, as a share of the largest derivative by that coefficient plus 10⁻³ nats per unit:
/// the rounding of a loss of order 1 over the step of the difference is 10⁻¹¹, its curvature 10⁻⁹.
const DERIVATIVE_TOLERANCE: f64 = 1e-6;
/// Largest departure from linearity, as a share of the loss.
const LINEARITY_TOLERANCE: f64 = 1e-11;
/// Largest change of the loss (nats) by which other points are asked for along with its own: the rounding of sums over a held
/// rate in one step or in several.
const OTHER_POINTS_TOLERANCE: f64 = 1e-10;
/// Largest change of the loss (nats) that counts as none: laws that take the rate as linear between two updates see
/// half an update in a jump to 0.
const PADDING_TOLERANCE: f64 = 5e-4;

/// The schedules that the checks run on, with names: cosine, linear to zero, two-stage, a late re-rise, a constant.
#[must_use]
pub fn schedules() -> Vec<(&'static str, Schedule)> {
    let wsd = |anneal, shape, final_lr| {
        let (total, warmup, anneal) = (Steps(6_000), Steps(300), Steps(anneal));
        WsdSpec { peak_lr: 8e-4, total, warmup, anneal, shape, final_lr, ..WsdSpec::default() }
            .checked()
            .map(Schedule::Wsd)
            .expect("the constants fit together")
    };
    let segment = |updates, from, to, shape| Segment::new(Steps(updates), from, to, shape);
    let piecewise =
        |segments| Piecewise::new(segments).map_or_else(|_| wsd(0, Shape::Linear, 8e-4), Schedule::Piecewise);
    vec![
        ("cosine", wsd(5_700, Shape::Cosine, 8e-5)),
        ("linear to zero", wsd(1_500, Shape::Linear, 0.0)),
        ("constant", wsd(0, Shape::Linear, 8e-4)),
        (
            "two-stage",
            piecewise(vec![
                segment(300, 0.0, 1e-3, Shape::Linear),
                segment(2_700, 1e-3, 1e-3, Shape::Linear),
                segment(3_000, 2e-4, 2e-4, Shape::Linear),
            ]),
        ),
        (
            "re-rise",
            piecewise(vec![
                segment(300, 0.0, 6e-4, Shape::Linear),
                segment(2_000, 6e-4, 6e-4, Shape::Linear),
                segment(500, 6e-4, 6e-5, Shape::Geometric),
                segment(1_500, 6e-4, 6e-4, Shape::Linear),
                segment(700, 6e-4, 0.0, Shape::OneMinusSqrt),
            ]),
        ),
    ]
}

/// Features of [`schedules`] for a law, at 40 points each, for several N and, unless the definition names another
/// reference, batches from a half to eight times it.
#[must_use]
pub fn runs(definition: &FeatureDefinition) -> Vec<(&'static str, RunFeatures)> {
    let sizes = [25_000_000, 124_000_000, 100_000_000, 1_000_000_000, 400_000_000];
    let batches = [500_000, 250_000, 1_000_000, 4_000_000, 500_000];
    let definition =
        &FeatureDefinition { reference_batch: definition.reference_batch.or(Some(500_000.0)), ..*definition };
    schedules()
        .into_iter()
        .zip(sizes.into_iter().zip(batches))
        .map(|((name, schedule), (size, batch))| {
            let total = schedule.total().0;
            let points: Vec<u64> = (1..=40).map(|i| i * total / 40).collect();
            let features =
                RunFeatures::new(&schedule, &points, Some(Params(size)), Some(Tokens(batch)), definition);
            (name, features)
        })
        .collect()
}

/// Values of θ inside the bounds: the starts, and points toward either bound on the solver's scale.
#[must_use]
pub fn thetas(law: &dyn Law) -> Vec<Vec<f64>> {
    let coefficients = law.coefficients();
    // A low-discrepancy sequence in place of random numbers: the same on every machine.
    (0..8u32)
        .map(|k| {
            coefficients
                .iter()
                .enumerate()
                .map(|(j, c)| {
                    let share = (f64::from(k) * (0.618_034 + 0.131 * j as f64)).fract() - 0.5;
                    let toward = if k == 0 { 0.0 } else { 0.6 * share };
                    let bound = if toward < 0.0 { c.lower } else { c.upper };
                    match c.scale {
                        Scale::Log => (c.start.ln() + toward.abs() * (bound / c.start).ln()).exp(),
                        Scale::Linear => {
                            // Not too far: an upper bound of 1000 around a start of 0.5 says little about typical values.
                            let reach = (bound - c.start)
                                .clamp(-3.0 * c.start.abs().max(1.0), 3.0 * c.start.abs().max(1.0));
                            c.start + toward.abs() * reach
                        }
                    }
                })
                .collect()
        })
        .collect()
}

/// Every rule that the law breaks, in words; empty for a law that conforms.
///
/// Checked: the coefficient table is sane; roles, aliases and texts are there; predictions are finite inside the
/// bounds, the same twice, and the same with and without the Jacobian; the Jacobian agrees with central differences;
/// the prediction is linear in the coefficients that `linear` names; it does not depend on which other points are asked for
/// (unless the law's features are of the logged rows). Zero-rate padding is a separate question
/// ([`padding_change`]), because some laws fail it by nature.
#[must_use]
pub fn violations(law: &dyn Law) -> Vec<String> {
    let mut broken = Vec::new();
    check_table(law, &mut broken);
    let runs = runs(&law.features());
    for theta in thetas(law) {
        for (name, run) in &runs {
            check_prediction(law, name, run, &theta, &mut broken);
            check_linearity(law, name, run, &theta, &mut broken);
        }
    }
    check_points(law, &mut broken);
    broken
}

fn check_table(law: &dyn Law, broken: &mut Vec<String>) {
    let coefficients = law.coefficients();
    for c in coefficients {
        if !(c.lower < c.start && c.start < c.upper) {
            broken.push(format!("{}: the start {} is not inside {} … {}", c.name, c.start, c.lower, c.upper));
        }
        if c.scale == Scale::Log && c.lower <= 0.0 {
            broken.push(format!("{}: a logarithmic scale with lower bound {}", c.name, c.lower));
        }
    }
    let mut names: Vec<&str> = coefficients.iter().map(|c| c.name).collect();
    names.sort_unstable();
    names.dedup();
    if names.len() != coefficients.len() {
        broken.push("two coefficients share a name".into());
    }
    if law.linear().iter().any(|&j| j >= coefficients.len()) {
        broken.push("linear() names a coefficient that does not exist".into());
    }
    if law.equation().is_empty() || law.source().is_empty() || law.limits().is_empty() {
        broken.push("equation, source or limits are empty".into());
    }
    if law.name() != law.name().to_ascii_lowercase() || law.name().contains([' ', '_']) {
        broken.push(format!("the name '{}' is not in lower case with hyphens", law.name()));
    }
    let data = crate::law::DataSummary::default();
    if law.roles(&data).len() != coefficients.len() {
        broken.push("roles() does not have one entry a coefficient".into());
    }
}

fn check_prediction(law: &dyn Law, name: &str, run: &RunFeatures, theta: &[f64], broken: &mut Vec<String>) {
    let (p, n) = (run.points(), theta.len());
    let mut loss = vec![0.0; p];
    law.predict(theta, run, &mut loss);
    if let Some(i) = loss.iter().position(|l| !l.is_finite()) {
        broken.push(format!("{name}: the loss at update {} is {} for θ = {theta:?}", run.update[i], loss[i]));
        return;
    }
    let mut again = vec![f64::NAN; p];
    law.predict(theta, run, &mut again);
    if again != loss {
        broken.push(format!("{name}: two predictions for the same θ differ"));
    }
    let mut jacobian = vec![f64::NAN; p * n];
    law.predict_with_jacobian(theta, run, &mut again, &mut jacobian);
    // The same formula in another order of operations may differ in the last place.
    if let Some(i) = (0..p).find(|&i| (again[i] - loss[i]).abs() > 1e-13 * loss[i].abs()) {
        broken.push(format!("{name}: predict says {} and predict_with_jacobian {}", loss[i], again[i]));
    }
    for (j, c) in law.coefficients().iter().enumerate() {
        let h = DIFFERENCE * theta[j].abs().max(1e-3);
        let at = |shift: f64| {
            let mut theta = theta.to_vec();
            theta[j] += shift;
            let mut loss = vec![0.0; p];
            law.predict(&theta, run, &mut loss);
            loss
        };
        let (far_down, down, up, far_up) = (at(-2.0 * h), at(-h), at(h), at(2.0 * h));
        let differences: Vec<f64> =
            (0..p).map(|i| (8.0 * (up[i] - down[i]) - (far_up[i] - far_down[i])) / (12.0 * h)).collect();
        let largest = differences.iter().fold(0.0, |a: f64, b| a.max(b.abs()));
        let rounding = 4.0 * f64::EPSILON * loss.iter().fold(0.0, |a: f64, b| a.max(b.abs())) / h;
        let allowed = DERIVATIVE_TOLERANCE * (largest + 1e-3) + rounding;
        let worst = (0..p).max_by(|&a, &b| {
            let error = |i: usize| (jacobian[i * n + j] - differences[i]).abs();
            error(a).total_cmp(&error(b))
        });
        if let Some(i) = worst {
            let error = (jacobian[i * n + j] - differences[i]).abs();
            if error.is_nan() || error > allowed {
                broken.push(format!(
                    "{name}: ∂L/∂{} at update {} is {:e}, by differences {:e} (off by {error:.1e}, allowed {allowed:.1e}) for θ = {theta:?}",
                    c.name, run.update[i], jacobian[i * n + j], differences[i]
                ));
            }
        }
    }
}

/// The loss at an update is the same whichever other updates are asked for.
fn check_points(law: &dyn Law, broken: &mut Vec<String>) {
    let definition = law.features();
    if definition.momentum == Momentum::LoggedRows {
        return;
    }
    for (name, schedule) in schedules() {
        let total = schedule.total().0;
        let losses = |points: &[u64], theta: &[f64]| {
            let (params, tokens) = (Params(100_000_000), Tokens(500_000));
            let run = RunFeatures::new(&schedule, points, Some(params), Some(tokens), &definition);
            let mut loss = vec![0.0; points.len()];
            law.predict(theta, &run, &mut loss);
            loss
        };
        let many: Vec<u64> = (1..=60).map(|i| i * total / 60).collect();
        let few: Vec<u64> = many.iter().copied().skip(6).step_by(11).collect();
        for theta in thetas(law).iter().take(3) {
            let (all, some) = (losses(&many, theta), losses(&few, theta));
            for (i, update) in few.iter().enumerate() {
                let (among, alone) = (all[6 + 11 * i], losses(&[*update], theta)[0]);
                let largest = (among - alone).abs().max((some[i] - alone).abs());
                if largest > OTHER_POINTS_TOLERANCE * alone.abs().max(1.0) {
                    broken.push(format!(
                        "{name}: the loss at update {update} is {alone} alone and {among} among {} points",
                        many.len()
                    ));
                }
            }
        }
    }
}

fn check_linearity(law: &dyn Law, name: &str, run: &RunFeatures, theta: &[f64], broken: &mut Vec<String>) {
    let p = run.points();
    let at = |shifts: &[(usize, f64)]| {
        let mut theta = theta.to_vec();
        for &(j, by) in shifts {
            theta[j] += by;
        }
        let mut loss = vec![0.0; p];
        law.predict(&theta, run, &mut loss);
        loss
    };
    let linear = law.linear();
    for (place, &j) in linear.iter().enumerate() {
        let by = 0.3 * theta[j].abs().max(0.1);
        // Along the coefficient itself, and together with the next one.
        let other = linear[(place + 1) % linear.len()];
        let shift = 0.7 * theta[other].abs().max(0.1);
        let (one, both, second) = (at(&[(j, by)]), at(&[(j, by), (other, shift)]), at(&[(other, shift)]));
        let base = at(&[]);
        let far = at(&[(j, 2.0 * by)]);
        for i in 0..p {
            let scale = far[i].abs().max(both[i].abs()).max(1.0);
            let bend = (far[i] - 2.0 * one[i] + base[i]).abs();
            let mixed = (both[i] - one[i] - second[i] + base[i]).abs();
            if bend.max(mixed) > LINEARITY_TOLERANCE * scale {
                broken.push(format!(
                    "{name}: not linear in {} at update {}",
                    law.coefficients()[j].name,
                    run.update[i]
                ));
                return;
            }
        }
    }
}

/// By how much (nats) 2,000 updates at rate 0 change the law's final loss: the larger of the changes after a linear
/// fall to zero and after a constant rate.
///
/// An update at rate 0 changes nothing in a real run.
#[must_use]
pub fn padding_change(law: &dyn Law) -> f64 {
    let theta: Vec<f64> = law.coefficients().iter().map(|c| c.start).collect();
    let mut largest: f64 = 0.0;
    for (_, schedule) in
        schedules().into_iter().filter(|(name, _)| matches!(*name, "constant" | "linear to zero"))
    {
        let total = schedule.total().0;
        let mut rates = schedule.rates();
        rates.extend(std::iter::repeat_n(0.0, 2_000));
        let Ok(padded) = Sampled::new(rates) else { continue };
        let run = RunFeatures::new(
            &Schedule::Sampled(padded),
            &[total, total + 2_000],
            Some(Params(100_000_000)),
            Some(Tokens(500_000)),
            &law.features(),
        );
        let mut loss = [0.0; 2];
        law.predict(&theta, &run, &mut loss);
        largest = largest.max((loss[1] - loss[0]).abs());
    }
    largest
}

/// Whether zero-rate padding leaves the law's loss as it is (within half an update).
#[must_use]
pub fn survives_padding(law: &dyn Law) -> bool {
    padding_change(law) <= PADDING_TOLERANCE
}
