//! The exponential-memory law: the noise level forgets at a speed that is a power of the rate.

use super::relaxation::{Relaxation, relax};
use super::{Coefficient, DataSummary, Law, Role, Scale, coefficient};
use crate::features::RunFeatures;

/// The exponential-memory law with free exponents.
///
/// The noise-relaxation law without saturation of the rate and without its scaling by the peak: a simpler rival that
/// recommends ratios almost as well and extrapolates to other peak rates worse.
///
/// # Formula
/// ```text
/// L(t) = L₀ + λ_N·N₈^-α_N + A·S^-α + B·Y(t),   S = ∫ e dt,   dY/dt = κ·e^p·(e^q − Y),   Y(0) = 0
/// ```
/// e rate in 10⁻³, t in 1000 updates, N₈ parameters in 10⁸.
///
/// # Source
/// This project, after the exponential kernels of Tissue et al., Scaling Law with Learning Rate Annealing, 2024.
#[derive(Debug, Clone, Copy)]
pub struct ExponentialMemory;

const L0: usize = 0;
const A: usize = 1;
const ALPHA: usize = 2;
const B: usize = 3;
const KAPPA: usize = 4;
const P: usize = 5;
const Q: usize = 6;
const LAMBDA_N: usize = 7;
const ALPHA_N: usize = 8;

static COEFFICIENTS: [Coefficient; 9] = [
    coefficient("l0", "L₀", "nats", 1e-6, 6.0, Scale::Linear, 2.0),
    coefficient("a", "A", "nats", 2.5e-3, 54.6, Scale::Log, 0.6),
    coefficient("alpha", "α", "", 0.05, 2.0, Scale::Linear, 0.5),
    coefficient("b", "B", "nats", 1.2e-4, 148.0, Scale::Log, 0.22),
    coefficient("kappa", "κ", "1/1000 updates", 6.7e-3, 1.6e5, Scale::Log, 9.0),
    coefficient("p", "p", "", -0.5, 2.5, Scale::Linear, 1.0),
    coefficient("q", "q", "", 0.1, 2.0, Scale::Linear, 0.6),
    coefficient("lambda_n", "λ_N", "nats", 1e-3, 54.6, Scale::Log, 0.5),
    coefficient("alpha_n", "α_N", "", 0.02, 1.5, Scale::Linear, 0.25),
];

impl Law for ExponentialMemory {
    fn name(&self) -> &'static str {
        "exponential-memory"
    }

    fn aliases(&self) -> &'static [&'static str] {
        &["exp-memory"]
    }

    fn equation(&self) -> &'static str {
        "L = L₀ + λ_N·N₈^-α_N + A·S^-α + B·Y;  S = ∫ e dt;  dY/dt = κ·e^p·(e^q − Y)"
    }

    fn source(&self) -> &'static str {
        "lehr, after Tissue et al., Scaling Law with Learning Rate Annealing, 2024"
    }

    fn limits(&self) -> &'static [&'static str] {
        &[
            "a larger rate always speeds up the descent: the law has no best peak rate",
            "from one peak rate the exponents p and q come from the shape of the annealing alone",
            "λ_N is not identifiable from one size: the term is then part of L₀",
        ]
    }

    fn coefficients(&self) -> &'static [Coefficient] {
        &COEFFICIENTS
    }

    fn linear(&self) -> &'static [usize] {
        &[L0, A, B, LAMBDA_N]
    }

    fn roles(&self, data: &DataSummary) -> Vec<Role> {
        let mut roles: Vec<Role> = COEFFICIENTS.iter().map(|c| Role::Free { start: c.start }).collect();
        roles[L0] = Role::Free { start: (data.min_loss - 0.12).max(0.1) };
        roles[A] = Role::Free { start: ((data.max_loss - data.min_loss) / 2.0).clamp(0.02, 20.0) };
        super::size_roles(data, &mut roles, LAMBDA_N, ALPHA_N);
        roles
    }

    fn predict(&self, theta: &[f64], run: &RunFeatures, loss: &mut [f64]) {
        evaluate::<false>(theta, run, loss, &mut []);
    }

    fn predict_with_jacobian(
        &self,
        theta: &[f64],
        run: &RunFeatures,
        loss: &mut [f64],
        jacobian: &mut [f64],
    ) {
        evaluate::<true>(theta, run, loss, jacobian);
    }
}

fn evaluate<const JACOBIAN: bool>(theta: &[f64], run: &RunFeatures, loss: &mut [f64], jacobian: &mut [f64]) {
    let n = COEFFICIENTS.len();
    let ln_n = run.n8.ln();
    let size_unit = (-theta[ALPHA_N] * ln_n).exp();
    let size = theta[LAMBDA_N] * size_unit;
    let relaxation = Relaxation {
        kappa: theta[KAPPA],
        clock: theta[P],
        clock_peak: 0.0,
        level: theta[Q],
        saturation: f64::INFINITY,
    };
    relax(&run.nodes, &relaxation, |i, _, state| {
        let ln_time = state.forward.ln();
        let descent_unit = (-theta[ALPHA] * ln_time).exp();
        loss[i] = theta[L0] + size + theta[A] * descent_unit + theta[B] * state.noise;
        if JACOBIAN {
            let row = &mut jacobian[i * n..(i + 1) * n];
            row[L0] = 1.0;
            row[A] = descent_unit;
            row[ALPHA] = -theta[A] * descent_unit * ln_time;
            row[B] = state.noise;
            row[KAPPA] = theta[B] * state.by_ln_kappa / theta[KAPPA];
            row[P] = theta[B] * state.by_clock;
            row[Q] = theta[B] * state.by_level;
            row[LAMBDA_N] = size_unit;
            row[ALPHA_N] = -size * ln_n;
        }
    });
}
