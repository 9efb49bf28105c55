//! A baseline whose memory is convex in its weights: relaxing modes at fixed clocks, each with a weight of at least 0.

use crate::support::{heading, held_out, load, named, those};
use lehr::features::RunFeatures;
use lehr::fit::FitOptions;
use lehr::law::{Coefficient, DataSummary, Law, Role, Scale};
use lehr::names_run;

/// Speeds of the modes at a rate of 10⁻³, per 1000 updates.
const CLOCKS: [f64; 8] = [0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0];
const MODES: usize = CLOCKS.len();
const L0: usize = 0;
const A: usize = 1;
const ALPHA: usize = 2;
const PROGRESS: usize = 3;
const SPEED: usize = 4;
const LEVEL: usize = 5;
const FIRST: usize = 6;
const COUNT: usize = FIRST + MODES;

const fn number(name: &'static str, lower: f64, upper: f64, scale: Scale, start: f64) -> Coefficient {
    Coefficient { name, symbol: name, unit: "", lower, upper, scale, start }
}

const fn weight(name: &'static str) -> Coefficient {
    number(name, 0.0, 10.0, Scale::Linear, 0.03)
}

static COEFFICIENTS: [Coefficient; COUNT] = [
    number("l0", 1e-6, 6.0, Scale::Linear, 2.0),
    number("a", 2.5e-3, 54.6, Scale::Log, 0.6),
    number("alpha", 0.05, 2.0, Scale::Linear, 0.5),
    number("s", 0.2, 1.2, Scale::Linear, 0.8),
    number("p", -0.5, 2.5, Scale::Linear, 1.0),
    number("q", 0.1, 2.0, Scale::Linear, 0.6),
    weight("b1"),
    weight("b2"),
    weight("b3"),
    weight("b4"),
    weight("b5"),
    weight("b6"),
    weight("b7"),
    weight("b8"),
];

/// L = l0 + a·S^-alpha + Σ_j b_j·Y_j,  S = ∫ e^s dt,  dY_j/dt = κ_j·e^p·(e^q − Y_j),  b_j ≥ 0.
#[derive(Debug)]
struct RelaxingModes;

/// A mode: Y, ∂Y/∂p, ∂Y/∂q.
type Mode = [f64; 3];

impl RelaxingModes {
    fn evaluate(theta: &[f64], run: &RunFeatures, loss: &mut [f64], jacobian: &mut [f64]) {
        let nodes = &run.nodes;
        let power = |e: f64, exponent: f64| if e > 0.0 { e.powf(exponent) } else { 0.0 };
        let log = |e: f64| if e > 0.0 { e.ln() } else { 0.0 };
        let (mut modes, mut progress, mut by_s, mut point) = ([[0.0; 3]; MODES], 0.0, 0.0, 0);
        for k in 0..nodes.len() {
            let before = (modes, progress, by_s);
            let (start, end, dt) = (nodes.start[k], nodes.end[k], nodes.updates[k] * 1e-3);
            let mean = 0.5 * (start + end);
            let (a0, a1) = (power(start, theta[LEVEL]), power(end, theta[LEVEL]));
            let (a0_q, a1_q) = (a0 * log(start), a1 * log(end));
            let speed = power(mean, theta[SPEED]);
            for (mode, clock) in modes.iter_mut().zip(CLOCKS) {
                let x = clock * speed * dt;
                let decay = (-x).exp();
                let phi = if x > 1e-4 { -(-x).exp_m1() / x } else { 1.0 - 0.5 * x };
                let [y, by_p, by_q] = *mode;
                let by_ln_x = -(y - a0) * x * decay - (a1 - a0) * (decay - phi);
                *mode = [
                    a1 + (y - a0) * decay - (a1 - a0) * phi,
                    by_p * decay + by_ln_x * log(mean),
                    (by_q - a0_q) * decay + a1_q - (a1_q - a0_q) * phi,
                ];
            }
            let [left, middle, right] = [start, mean, end].map(|e| power(e, theta[PROGRESS]));
            progress += dt * (left + 4.0 * middle + right) / 6.0;
            by_s += dt * (left * log(start) + 4.0 * middle * log(mean) + right * log(end)) / 6.0;
            while point < nodes.before_point.len() && nodes.before_point[point] == k + 1 {
                Self::at_point(theta, (&modes, progress, by_s), point, loss, jacobian);
                point += 1;
            }
            if nodes.side[k] {
                (modes, progress, by_s) = before;
            }
        }
    }

    fn at_point(
        theta: &[f64],
        (modes, progress, by_s): (&[Mode; MODES], f64, f64),
        point: usize,
        loss: &mut [f64],
        jacobian: &mut [f64],
    ) {
        let weights = &theta[FIRST..];
        let sum = |part: usize| modes.iter().zip(weights).map(|(mode, b)| b * mode[part]).sum::<f64>();
        let unit = progress.powf(-theta[ALPHA]);
        loss[point] = theta[L0] + theta[A] * unit + sum(0);
        if let Some(row) = jacobian.get_mut(point * COUNT..(point + 1) * COUNT) {
            row[L0] = 1.0;
            row[A] = unit;
            row[ALPHA] = -theta[A] * unit * progress.ln();
            row[PROGRESS] = -theta[A] * theta[ALPHA] * unit / progress * by_s;
            row[SPEED] = sum(1);
            row[LEVEL] = sum(2);
            for (cell, mode) in row[FIRST..].iter_mut().zip(modes) {
                *cell = mode[0];
            }
        }
    }
}

impl Law for RelaxingModes {
    fn name(&self) -> &'static str {
        "relaxing-modes"
    }
    fn equation(&self) -> &'static str {
        "L = l0 + a·S^-alpha + Σ b_j·Y_j"
    }
    fn source(&self) -> &'static str {
        "this measurement"
    }
    fn limits(&self) -> &'static [&'static str] {
        &["of one size and one batch"]
    }
    fn coefficients(&self) -> &'static [Coefficient] {
        &COEFFICIENTS
    }
    fn roles(&self, data: &DataSummary) -> Vec<Role> {
        let mut roles: Vec<Role> = COEFFICIENTS.iter().map(|c| Role::Free { start: c.start }).collect();
        roles[L0] = Role::Free { start: (data.min_loss - 0.12).max(0.1) };
        roles
    }
    fn predict(&self, theta: &[f64], run: &RunFeatures, loss: &mut [f64]) {
        Self::evaluate(theta, run, loss, &mut []);
    }
    fn predict_with_jacobian(
        &self,
        theta: &[f64],
        run: &RunFeatures,
        loss: &mut [f64],
        jacobian: &mut [f64],
    ) {
        Self::evaluate(theta, run, loss, jacobian);
    }
}

fn one_of(patterns: &'static [&'static str]) -> impl Fn(&lehr::Curve) -> bool {
    move |curve| patterns.iter().any(|pattern| names_run(pattern, &curve.meta().id))
}

#[test]
#[ignore = "minutes; reads public curves"]
fn a_mixture_of_relaxing_modes_against_the_law() {
    heading("a mixture of relaxing modes with weights of at least 0");
    let options = FitOptions::default();
    let judge = |name: &str, all: &[lehr::Curve], fitted: &dyn Fn(&lehr::Curve) -> bool| {
        let (train, test) = (those(all, fitted), those(all, |c| !fitted(c)));
        held_out(name, named("noise-relaxation"), &train, &test, &options);
        held_out(name, &RelaxingModes, &train, &test, &options);
        // The clock of every mode runs with the rate, so that what is left to search is less curved.
        let fixed = FitOptions { fixed: [("p".to_owned(), 1.0)].into(), ..options.clone() };
        held_out(&format!("{name}, p = 1"), &RelaxingModes, &train, &test, &fixed);
        let fixed =
            FitOptions { fixed: [("p".to_owned(), 1.0), ("s".to_owned(), 1.0)].into(), ..options.clone() };
        held_out(&format!("{name}, p = s = 1"), &RelaxingModes, &train, &test, &fixed);
        let point = lehr::fit::fit_point(&RelaxingModes, &train, &options).unwrap();
        let active = CLOCKS.iter().zip(&point.theta[FIRST..]).filter(|(_, b)| **b > 1e-4);
        let active: Vec<String> = active.map(|(clock, b)| format!("{b:.4} at {clock}")).collect();
        println!("  active modes: {}", active.join(", "));
    };
    for size in ["25M", "100M"] {
        let Some(all) = load(&format!("multi-power-law/{size}")) else { return };
        judge(size, &all, &one_of(&["*cosine_24000", "*constant_24000", "*wsdcon_9"]));
    }
    let Some(all) = load("slimpajama-124m") else { return };
    judge("slimpajama-124m, constant and r = 0.2 → rest", &all, &one_of(&["trunk*", "*-r0.2-linear*"]));
    let short = |c: &lehr::Curve| c.meta().id.contains("trunk") || c.schedule().total().0 <= 15_000;
    judge("slimpajama-124m, T = 15k and trunks → 25k", &all, &short);
}

#[test]
fn the_derivatives_of_the_baseline_are_those_of_its_losses() {
    let schedule: lehr::Schedule =
        "wsd:peak=2e-3,total=4000,warmup=200,ratio=0.3,shape=cosine".parse().unwrap();
    let points = [500, 3000, 3600, 4000];
    let run = RunFeatures::new(&schedule, &points, None, None, &RelaxingModes.features());
    let mut theta: Vec<f64> = COEFFICIENTS.iter().map(|c| c.start).collect();
    let (mut loss, mut jacobian) = ([0.0; 4], vec![0.0; 4 * COUNT]);
    RelaxingModes.predict_with_jacobian(&theta, &run, &mut loss, &mut jacobian);
    for j in 0..COUNT {
        let (kept, step) = (theta[j], 1e-6 * theta[j].max(0.1));
        let mut at = |value: f64| {
            theta[j] = value;
            let mut loss = [0.0; 4];
            RelaxingModes.predict(&theta, &run, &mut loss);
            loss
        };
        let (above, below) = (at(kept + step), at(kept - step));
        theta[j] = kept;
        for i in 0..4 {
            let (exact, found) = (jacobian[i * COUNT + j], (above[i] - below[i]) / (2.0 * step));
            assert!((exact - found).abs() < 1e-6 * (1.0 + exact.abs()), "{j} at {i}: {exact}, {found}");
        }
    }
}
